// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a peer says of one region, checked.

use std::fs::File;
use std::os::fd::AsRawFd;

use igd_quirks::facts::{Extent, MAX_LIST};
use igd_quirks::spec;

use super::wire::{self, REGION_INFO, u16_at, u32_at, u64_at};
use crate::backend::mapping::PAGE;
use crate::backend::{Region, RegionKind};

/// More capabilities than this no region has.
const MAX_CAPS: usize = 16;

/// A region that exists, and where.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) region: Region,
    pub(super) place: Place,
}

/// Where a region is found.
#[derive(Debug)]
pub(super) struct Place {
    /// The peer's number of it.
    pub(super) index: u32,
    /// The file that holds its mappable areas, and where in it the region begins.
    pub(super) file: Option<(File, u64)>,
}

/// What a list of capabilities says.
#[derive(Default)]
struct Caps {
    areas: Option<Vec<Extent>>,
    kind: Option<(u32, u32)>,
}

impl Sight {
    /// Reads an answer to `DEVICE_GET_REGION_INFO`. `None` if there is no such region, or one of a type unknown here.
    pub(super) fn new(index: u32, answer: &[u8], file: Option<File>) -> Result<Option<Self>, String> {
        let short = || format!("an answer of {} bytes, {REGION_INFO} are needed", answer.len());
        let number = |offset| u32_at(answer, offset).ok_or_else(short);
        let (flags, echo, first) = (number(4)?, number(8)?, number(12)?);
        let size = u64_at(answer, 16).ok_or_else(short)?;
        let offset = u64_at(answer, 24).ok_or_else(short)?;
        if echo != index {
            return Err(format!("an answer for region {echo}"));
        }
        if size == 0 || flags & wire::REGION_READABLE == 0 {
            return Ok(None);
        }
        let caps = match (flags & wire::REGION_CAPS, first) {
            (0, _) | (_, 0) => Caps::default(),
            _ => Caps::parse(answer, first)?,
        };
        let Some(kind) = kind(index, caps.kind) else {
            return Ok(None);
        };
        check_size(kind, size)?;
        let mut place = Place { index, file: None };
        let mut mappable = Vec::new();
        if flags & wire::REGION_MAPPABLE != 0 && matches!(kind, RegionKind::Bar(_)) {
            let areas = caps.areas.unwrap_or_else(|| vec![Extent::new(0, size)]);
            mappable = check_areas(areas, size)?;
            if !mappable.is_empty() {
                let file = file.ok_or_else(|| format!("{kind} can be mapped, but no descriptor came along"))?;
                check_file(&file, offset, &mappable)?;
                if is_memory(&file) {
                    // The copy closes on exec, which a received descriptor does not.
                    let file = file.try_clone().map_err(|error| error.to_string())?;
                    place.file = Some((file, offset));
                } else {
                    log::warn!("{kind} is not mapped: its file is not plain shared memory, so an access could stall");
                    mappable.clear();
                }
            }
        }
        let region = Region {
            kind,
            size,
            writable: flags & wire::REGION_WRITABLE != 0,
            mappable,
        };
        Ok(Some(Self { region, place }))
    }
}

impl Caps {
    fn parse(answer: &[u8], first: u32) -> Result<Self, String> {
        let mut caps = Self::default();
        let mut next = first;
        let mut least = REGION_INFO;
        for _ in 0..MAX_CAPS {
            let outside = || format!("a capability at {next:#x} of {:#x} bytes", answer.len());
            let at = usize::try_from(next)
                .ok()
                .filter(|at| *at >= least)
                .ok_or_else(outside)?;
            let cap = answer.get(at..).ok_or_else(outside)?;
            let id = u16_at(cap, 0).ok_or_else(outside)?;
            let follower = u32_at(cap, 4).ok_or_else(outside)?;
            match id {
                wire::CAP_SPARSE_MMAP if caps.areas.is_none() => caps.areas = Some(areas(cap)?),
                wire::CAP_TYPE if caps.kind.is_none() => {
                    caps.kind = u32_at(cap, 8).zip(u32_at(cap, 12));
                    caps.kind.ok_or_else(outside)?;
                }
                wire::CAP_SPARSE_MMAP | wire::CAP_TYPE => return Err(format!("capability {id} twice")),
                _ => {}
            }
            if follower == 0 {
                return Ok(caps);
            }
            least = at.saturating_add(8);
            next = follower;
        }
        Err(format!("more than {MAX_CAPS} capabilities"))
    }
}

fn areas(cap: &[u8]) -> Result<Vec<Extent>, String> {
    let told = u32_at(cap, 8).and_then(|count| usize::try_from(count).ok());
    let (entries, _) = cap.get(16..).unwrap_or(&[]).as_chunks::<16>();
    let count = told
        .filter(|count| *count <= entries.len().min(MAX_LIST))
        .ok_or_else(|| {
            let told = told.unwrap_or(usize::MAX);
            format!(
                "{told} mappable areas, where {} fit and {MAX_LIST} are allowed",
                entries.len()
            )
        })?;
    let area = |entry: &[u8; 16]| Some(Extent::new(u64_at(entry, 0)?, u64_at(entry, 8)?));
    Ok(entries.iter().take(count).filter_map(area).collect())
}

fn kind(index: u32, kind: Option<(u32, u32)>) -> Option<RegionKind> {
    Some(match index {
        0..=5 => RegionKind::Bar(u8::try_from(index).ok()?),
        wire::ROM_INDEX => RegionKind::Rom,
        wire::CONFIG_INDEX => RegionKind::Config,
        wire::VGA_INDEX => RegionKind::Vga,
        _ => match kind? {
            (spec::VFIO_REGION_TYPE, spec::VFIO_SUBTYPE_OPREGION) => RegionKind::OpRegion,
            (spec::VFIO_REGION_TYPE, spec::VFIO_SUBTYPE_HOST_BRIDGE) => RegionKind::HostBridge,
            (spec::VFIO_REGION_TYPE, spec::VFIO_SUBTYPE_LPC_BRIDGE) => RegionKind::LpcBridge,
            _ => return None,
        },
    })
}

fn check_size(kind: RegionKind, size: u64) -> Result<(), String> {
    let (fits, rule) = match kind {
        RegionKind::Bar(_) => (
            size.is_power_of_two() && size <= 1 << 47,
            "a power of two up to 128 TiB",
        ),
        RegionKind::Config | RegionKind::HostBridge | RegionKind::LpcBridge => {
            (size == 256 || size == 4096, "256 or 4096 bytes")
        }
        RegionKind::Rom => (size <= 16 << 20, "up to 16 MiB"),
        RegionKind::Vga | RegionKind::OpRegion => (size <= 1 << 20, "up to 1 MiB"),
    };
    if fits {
        return Ok(());
    }
    Err(format!("{kind} of {size:#x} bytes: it has {rule}"))
}

/// Sorts areas, which are to be made of pages, disjoint, and within the region.
fn check_areas(mut areas: Vec<Extent>, size: u64) -> Result<Vec<Extent>, String> {
    areas.sort_unstable();
    let mut end = 0;
    for area in &areas {
        if area.len == 0 || !area.start.is_multiple_of(PAGE) || !area.len.is_multiple_of(PAGE) {
            return Err(format!("mappable area {area}: not made of whole pages"));
        }
        if area.start < end {
            return Err(format!("mappable area {area}: overlaps the one before it"));
        }
        end = area
            .start
            .checked_add(area.len)
            .filter(|end| *end <= size)
            .ok_or_else(|| format!("mappable area {area}: beyond the region's {size:#x} bytes"))?;
    }
    Ok(areas)
}

fn check_file(file: &File, offset: u64, areas: &[Extent]) -> Result<(), String> {
    if !offset.is_multiple_of(PAGE) {
        return Err(format!(
            "offset {offset:#x} in a file, which is not a multiple of a page"
        ));
    }
    let needed = areas.last().and_then(|area| area.end().checked_add(offset));
    let found = file.metadata().map_err(|error| error.to_string())?;
    match needed {
        Some(needed) if !found.is_file() || needed <= found.len() => Ok(()),
        _ => Err(format!(
            "a file of {:#x} bytes, which ends before the areas at {offset:#x}",
            found.len()
        )),
    }
}

/// Whether a file is in shared memory. An access to a mapped file of another kind may wait for whoever provides it.
fn is_memory(file: &File) -> bool {
    // SAFETY: the structure is plain data that fstatfs fills; the result is checked before it is read.
    #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
    unsafe {
        let mut found = std::mem::zeroed::<libc::statfs>();
        libc::fstatfs(file.as_raw_fd(), &raw mut found) == 0 && found.f_type == libc::TMPFS_MAGIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_sorted_and_checked() {
        let area = Extent::new;
        let sorted = check_areas(vec![area(0x3000, 0x1000), area(0, 0x1000)], 0x4000);
        assert_eq!(sorted, Ok(vec![area(0, 0x1000), area(0x3000, 0x1000)]));
        for (wrong, why) in [
            (vec![area(0, 0)], "whole pages"),
            (vec![area(0x10, 0x1000)], "whole pages"),
            (vec![area(0, 0x1800)], "whole pages"),
            (vec![area(0, 0x2000), area(0x1000, 0x1000)], "overlaps"),
            (vec![area(0, 0x5000)], "beyond"),
            (vec![area(0x4000, 0x1000)], "beyond"),
            (vec![area(0xffff_ffff_ffff_f000, 0x1000)], "beyond"),
        ] {
            let error = check_areas(wrong.clone(), 0x4000).unwrap_err();
            assert!(error.contains(why), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn lists_of_capabilities_end() {
        let list = |caps: &[[u32; 4]]| [vec![0; REGION_INFO], wire::words(caps.as_flattened())].concat();
        let parse = |answer: &[u8], first| Caps::parse(answer, first).map(|caps| caps.kind);
        let typed = list(&[[9, 48, 0, 0], [2, 0, 7, 8]]);
        assert_eq!(parse(&typed, 32), Ok(Some((7, 8))));
        for (answer, first) in [
            (list(&[[9, 32, 0, 0]]), 32),
            (list(&[[9, 16, 0, 0]]), 32),
            (list(&[[9, 64, 0, 0]]), 32),
            (list(&[[9, 0, 0, 0]]), 16),
            (list(&[[9, 0, 0, 0]]), u32::MAX),
            (list(&[[2, 48, 1, 1], [2, 0, 1, 1]]), 32),
            (list(&[[1, 0, 1, 0]]), 32),
            (list(&[[1, 0, u32::MAX, 0]]), 32),
            (list(&[[2, 0, 7, 8]])[..44].to_vec(), 32),
        ] {
            assert!(parse(&answer, first).is_err(), "{answer:?}");
        }
        let long: Vec<_> = (1..=20).map(|place| [9, 32 + 16 * place, 0, 0]).collect();
        assert!(parse(&list(&long), 32).unwrap_err().contains("more than"));
    }
}
