// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! From what the kernel tells about regions to the regions of a device.

use igd_quirks::facts::Extent;
use vfio_bindings::bindings::vfio::{
    VFIO_REGION_INFO_FLAG_MMAP, VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_ioctls::VfioRegionInfoCap;

use crate::backend::mapping::PAGE;
use crate::backend::{Region, RegionKind};

/// Regions that belong to Intel: the PCI vendor type, and its subtypes.
const INTEL: u32 = 0x8000_8086;
const SUBTYPES: [(u32, RegionKind); 3] = [
    (1, RegionKind::OpRegion),
    (2, RegionKind::HostBridge),
    (3, RegionKind::LpcBridge),
];
/// The first region without a fixed meaning.
const FIRST_TYPED: u32 = 9;

/// A region as the kernel tells of it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) index: u32,
    pub(super) size: u64,
    pub(super) offset: u64,
    pub(super) flags: u32,
    pub(super) capabilities: Vec<VfioRegionInfoCap>,
}

/// Where each region is in a list that leaves out those the kernel does not tell of, as `vfio-ioctls` makes it: position
/// and index. A display controller without VGA has no region 8, but OpRegion and bridges behind it.
pub(super) fn positions(count: u32, has: impl Fn(u32) -> bool) -> impl Iterator<Item = (u32, u32)> {
    (0..).zip((0..count).filter(move |index| has(*index)))
}

/// What the region holds, or `None` for one that nobody here asks for.
pub(super) fn region(told: &Told, is_io: impl Fn(u8) -> bool) -> Option<Region> {
    let kind = kind(told)?;
    if told.size == 0 || told.flags & VFIO_REGION_INFO_FLAG_READ == 0 {
        return None;
    }
    let may_map = match kind {
        RegionKind::Bar(bar) => !is_io(bar) && told.flags & VFIO_REGION_INFO_FLAG_MMAP != 0,
        _ => false,
    };
    Some(Region {
        kind,
        size: told.size,
        writable: told.flags & VFIO_REGION_INFO_FLAG_WRITE != 0,
        mappable: if may_map { areas(told) } else { Vec::new() },
    })
}

fn kind(told: &Told) -> Option<RegionKind> {
    match told.index {
        0..6 => u8::try_from(told.index).ok().map(RegionKind::Bar),
        6 => Some(RegionKind::Rom),
        7 => Some(RegionKind::Config),
        8 => Some(RegionKind::Vga),
        FIRST_TYPED.. => told.capabilities.iter().find_map(|capability| match capability {
            VfioRegionInfoCap::Type(found) if found.type_ == INTEL => SUBTYPES
                .iter()
                .find(|(subtype, _)| *subtype == found.subtype)
                .map(|(_, kind)| *kind),
            _ => None,
        }),
    }
}

/// The areas that may be mapped: those the kernel names, else all of it; whole pages of them, each once.
fn areas(told: &Told) -> Vec<Extent> {
    let named = told.capabilities.iter().find_map(|capability| match capability {
        VfioRegionInfoCap::SparseMmap(sparse) => Some(&sparse.areas),
        _ => None,
    });
    let mut areas: Vec<Extent> = match named {
        Some(areas) => areas.iter().map(|area| Extent::new(area.offset, area.size)).collect(),
        None => vec![Extent::new(0, told.size)],
    };
    areas.sort_unstable();
    let mut kept: Vec<Extent> = Vec::with_capacity(areas.len());
    for area in areas {
        let from = kept.last().map_or(0, |last| last.end());
        let start = area.start.max(from).checked_next_multiple_of(PAGE);
        let end = area.end().min(told.size) & !(PAGE - 1);
        if let Some(start) = start.filter(|start| *start < end) {
            kept.push(Extent::new(start, end - start));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use vfio_ioctls::{VfioRegionInfoCapSparseMmap, VfioRegionInfoCapType, VfioRegionSparseMmapArea};

    fn told(index: u32, capabilities: Vec<VfioRegionInfoCap>) -> Told {
        Told {
            index,
            size: 0x10_0000,
            offset: 0,
            flags: VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP,
            capabilities,
        }
    }

    fn of_type(type_: u32, subtype: u32) -> Vec<VfioRegionInfoCap> {
        vec![VfioRegionInfoCap::Type(VfioRegionInfoCapType { type_, subtype })]
    }

    fn sparse(areas: &[(u64, u64)]) -> Vec<VfioRegionInfoCap> {
        let areas = areas.iter().map(|(offset, size)| VfioRegionSparseMmapArea {
            offset: *offset,
            size: *size,
        });
        vec![VfioRegionInfoCap::SparseMmap(VfioRegionInfoCapSparseMmap {
            areas: areas.collect(),
        })]
    }

    #[test]
    fn a_region_that_is_left_out_shifts_those_behind_it() {
        let of = |absent: u32| -> Vec<(u32, u32)> { positions(12, |index| index != absent).collect() };
        assert_eq!(of(8).get(7..), Some([(7, 7), (8, 9), (9, 10), (10, 11)].as_slice()));
        assert_eq!(of(12).last(), Some(&(11, 11)));
    }

    #[test]
    fn what_is_behind_the_fixed_ones_is_found_by_type() {
        let found = |index, capabilities| region(&told(index, capabilities), |_| false).map(|region| region.kind);
        assert_eq!(found(2, vec![]), Some(RegionKind::Bar(2)));
        assert_eq!(found(8, vec![]), Some(RegionKind::Vga));
        assert_eq!(found(9, of_type(INTEL, 3)), Some(RegionKind::LpcBridge));
        assert_eq!(found(17, of_type(INTEL, 1)), Some(RegionKind::OpRegion));
        assert_eq!(found(9, of_type(0x8000_10de, 1)), None);
        assert_eq!(found(9, of_type(INTEL, 7)), None);
        assert_eq!(found(9, vec![]), None);
    }

    #[test]
    fn areas_are_whole_pages_within_the_region() {
        let of = |areas: &[(u64, u64)]| -> Vec<(u64, u64)> {
            let found = region(&told(0, sparse(areas)), |_| false).unwrap().mappable;
            found.iter().map(|area| (area.start, area.len)).collect()
        };
        assert_eq!(of(&[(0, 0x3000), (0x5000, 0x1000)]), [(0, 0x3000), (0x5000, 0x1000)]);
        assert_eq!(of(&[(0x5000, 0x1000), (0, 0x3000)]), [(0, 0x3000), (0x5000, 0x1000)]);
        assert_eq!(of(&[(0x800, 0x1800)]), [(0x1000, 0x1000)]);
        assert_eq!(of(&[(0, 0x3000), (0x2000, 0x2000)]), [(0, 0x3000), (0x3000, 0x1000)]);
        assert!(of(&[(0xf_f800, 0x800), (u64::MAX, 0x1000), (0x1000, 0)]).is_empty());
        assert_eq!(of(&[(0xf_f000, u64::MAX)]), [(0xf_f000, 0x1000)]);
        let whole = region(&told(0, vec![]), |_| false).unwrap().mappable;
        assert_eq!(whole, [Extent::new(0, 0x10_0000)]);
    }

    #[test]
    fn ports_and_others_than_bars_are_not_mapped() {
        assert!(region(&told(4, vec![]), |bar| bar == 4).unwrap().mappable.is_empty());
        assert!(region(&told(6, vec![]), |_| false).unwrap().mappable.is_empty());
        let empty = Told {
            size: 0,
            ..told(6, vec![])
        };
        assert_eq!(region(&empty, |_| false), None);
    }
}
