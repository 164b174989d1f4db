// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Capabilities: walking, hiding, and the masks of those that the specifications define.

mod express;
mod msi;
mod msix;
mod msix_table;
mod power;

pub use express::{Express, ExpressKind};
pub use msi::{Msi, MsiDelivery, MsiError, MsiMessage, MsiState};
pub use msix::{Msix, MsixControl, MsixError};
pub use msix_table::{MsixDelivery, MsixTable, MsixTableStateError, MsixTableStateV1};
pub use power::{PowerManagement, PowerState};

pub(crate) use express::{DEVICE_CONTROL, INITIATE_FLR, has_flr};
pub(crate) use msi::{
    clamp as msi_clamp, device_bits as msi_device_bits, fire as msi_fire, length as msi_length,
    take_pending as msi_take_pending,
};
pub(crate) use power::{PMCSR, decodes, transition};

use crate::registers::Registers;
use crate::rules::Rules;
use crate::spec::{self, capability as id};

/// A capability in the list of a function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CapabilityHeader {
    /// Capability id.
    pub id: u8,
    /// Offset in configuration space, a multiple of 4.
    pub offset: u8,
}

/// Walks the capability list of the configuration bytes `config`.
///
/// Ends at the first pointer that leads into the header, to a byte that was visited, or that is all ones, and after at
/// most 48 entries. Without the capability bit in the status register there is no list.
pub fn capabilities(config: &[u8]) -> impl Iterator<Item = CapabilityHeader> + '_ {
    let byte = |at: u8| config.get(usize::from(at)).copied().unwrap_or(0xff);
    let has_list = byte(0x06) & 0x10 != 0 && config.len() >= usize::from(spec::CONFIG_SIZE);
    let mut next = if has_list { byte(0x34) } else { 0 };
    let mut visited = 0_u64;
    core::iter::from_fn(move || {
        let offset = next & 0xfc;
        let bit = 1_u64 << (offset >> 2);
        if next == 0xff || u16::from(offset) < spec::DEVICE_SPECIFIC || visited & bit != 0 {
            return None;
        }
        visited |= bit;
        next = byte(offset + 1);
        Some(CapabilityHeader {
            id: byte(offset),
            offset,
        })
    })
}

/// An extended capability.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExtendedCapabilityHeader {
    /// Capability id.
    pub id: u16,
    /// Version of the structure.
    pub version: u8,
    /// Offset in configuration space, a multiple of 4 from 0x100 on.
    pub offset: u16,
}

/// Walks the extended capabilities of the 4096 configuration bytes `config`.
///
/// Ends at the first pointer that leads to conventional configuration space or to an entry that was visited, and at an
/// entry of all zeros or all ones.
pub fn extended_capabilities(config: &[u8]) -> impl Iterator<Item = ExtendedCapabilityHeader> + '_ {
    let mut next = spec::EXTENDED_CAPABILITIES;
    let mut visited = [0_u64; 16];
    core::iter::from_fn(move || {
        let header = dword(config, next);
        let word = visited.get_mut(usize::from(next >> 8))?;
        let bit = 1 << (next >> 2 & 0x3f);
        if next < spec::EXTENDED_CAPABILITIES || header == 0 || header == u32::MAX || *word & bit != 0 {
            return None;
        }
        *word |= bit;
        let [low, high, ..] = header.to_le_bytes();
        let found = ExtendedCapabilityHeader {
            id: u16::from_le_bytes([low, high]),
            version: u8::try_from(header >> 16 & 0xf).unwrap_or(0),
            offset: next,
        };
        next = u16::try_from(header >> 20).unwrap_or(0) & 0xffc;
        Some(found)
    })
}

fn dword(config: &[u8], at: u16) -> u32 {
    let bytes = config.get(usize::from(at)..).and_then(|b| b.first_chunk());
    bytes.map_or(0, |b| u32::from_le_bytes(*b))
}

/// What stands around an entry that is to be taken out of a list.
struct Neighbours {
    previous: Option<u16>,
    next: u16,
    /// The last entry that stays, if it is not the previous one.
    last: Option<u16>,
}

/// The neighbours of the entry at `offset` in the order of a walk: the pointers themselves may lead back.
fn neighbours(walk: impl Iterator<Item = u16>, offset: u16) -> Option<Neighbours> {
    let mut walk = walk;
    let mut previous = None;
    while let Some(at) = walk.next() {
        if at == offset {
            let next = walk.next();
            return Some(Neighbours {
                previous,
                next: next.unwrap_or(0),
                last: walk.last().or(next),
            });
        }
        previous = Some(at);
    }
    None
}

/// Takes the capability at `offset` out of the list in `config`; its bytes stay. Says whether it was there.
///
/// If it was the only one, the capability bit of the status register is cleared. A list that does not end with a pointer
/// of 0 gets one.
pub fn hide_capability(config: &mut [u8], offset: u8) -> bool {
    let walk = capabilities(config).map(|c| c.offset.into());
    let Some(Neighbours { previous, next, last }) = neighbours(walk, offset.into()) else {
        return false;
    };
    let link = previous.map_or(spec::CAPABILITIES_POINTER, |at| at + 1);
    for (at, pointer) in [Some((link, next)), last.map(|at| (at + 1, 0))].into_iter().flatten() {
        if let Some(byte) = config.get_mut(usize::from(at)) {
            [*byte, _] = pointer.to_le_bytes();
        }
    }
    if previous.is_none()
        && next == 0
        && let Some(status) = config.get_mut(usize::from(spec::STATUS))
    {
        *status &= !0x10;
    }
    true
}

/// Takes the extended capability at `offset` out of the list in `config`. Says whether it was there.
///
/// The first one keeps its place as an empty entry (id 0), since the list always starts at 0x100.
pub fn hide_extended_capability(config: &mut [u8], offset: u16) -> bool {
    let walk = extended_capabilities(config).map(|c| c.offset);
    let Some(Neighbours { previous, next, last }) = neighbours(walk, offset) else {
        return false;
    };
    let pointer = u32::from(next) << 20;
    let (at, header) = match previous {
        Some(at) => (at, dword(config, at) & 0x000f_ffff | pointer),
        None => (offset, pointer),
    };
    let end = last.map(|at| (at, dword(config, at) & 0x000f_ffff));
    for (at, header) in [Some((at, header)), end].into_iter().flatten() {
        if let Some(bytes) = config.get_mut(usize::from(at)..).and_then(|b| b.first_chunk_mut()) {
            *bytes = header.to_le_bytes();
        }
    }
    true
}

/// The capabilities that a function acts on, by offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Known {
    pub(crate) power: Option<u16>,
    pub(crate) msi: Option<u16>,
    pub(crate) msix: Option<u16>,
    pub(crate) express: Option<u16>,
    pub(crate) advanced: Option<u16>,
}

/// The dwords of the first 256 bytes that the capabilities in `image` occupy, as bits.
pub(crate) fn occupied<const N: usize>(image: &[u8; N]) -> u64 {
    let registers = Registers::from_image(image);
    capabilities(image).fold(0, |bits, CapabilityHeader { id, offset }| {
        let dwords = length(&registers, id, offset.into()).div_ceil(4).min(64);
        bits | (u64::MAX >> (64 - dwords)) << (offset >> 2)
    })
}

/// Finds the capabilities in the bytes of `registers` and gives each its masks. One that leaves the 256 bytes of
/// conventional configuration space stays without.
pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, rules: Rules) -> Known {
    let mut known = Known::default();
    let image = *registers.bytes();
    for CapabilityHeader { id, offset } in capabilities(&image) {
        let at = u16::from(offset);
        let end = at.saturating_add(length(registers, id, at));
        for byte in at..end.min(spec::CONFIG_SIZE) {
            registers.set_writable(byte, &[0]);
        }
        if end > spec::CONFIG_SIZE {
            continue;
        }
        let first = |slot: &mut Option<u16>| {
            let is_first = slot.is_none();
            slot.get_or_insert(at);
            is_first
        };
        match id {
            id::POWER_MANAGEMENT if first(&mut known.power) => power::install(registers, at),
            id::MSI if first(&mut known.msi) => msi::install(registers, at),
            id::MSIX if first(&mut known.msix) => msix::install(registers, at),
            id::EXPRESS if first(&mut known.express) => express::install(registers, at, rules),
            id::ADVANCED_FEATURES => known.advanced = known.advanced.or(Some(at)),
            _ => {}
        }
    }
    // The list itself is never software's, not even where capabilities of a broken image overlap.
    for CapabilityHeader { id, offset } in capabilities(&image) {
        let at = u16::from(offset);
        let next = image.get(usize::from(at) + 1).copied().unwrap_or(0);
        registers.set(at, &[id, next]);
        registers.set_w1c(at, &[0; 2]);
        registers.set_writable(at, &[0; 2]);
    }
    known
}

/// How many bytes a capability occupies; 2 for one whose length no public document gives.
fn length<const N: usize>(registers: &Registers<N>, id: u8, at: u16) -> u16 {
    match id {
        id::POWER_MANAGEMENT | id::VPD | id::BRIDGE_SUBSYSTEM | id::SATA => 8,
        id::SLOT_ID => 4,
        id::MSI => msi::length(registers.u16(at + 2)),
        id::VENDOR => u16::from(registers.u8(at + 2)).max(3),
        id::EXPRESS => express::length(registers.u16(at + 2)),
        id::MSIX => 12,
        id::ADVANCED_FEATURES => 6,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn list(entries: &[(u8, u8, u8)]) -> [u8; 256] {
        let mut config = [0; 256];
        config[0x06] = 0x10;
        config[0x34] = entries.first().map_or(0, |e| e.0);
        for &(at, id, next) in entries {
            config[usize::from(at)] = id;
            config[usize::from(at) + 1] = next;
        }
        config
    }

    fn offsets(config: &[u8]) -> Vec<u8> {
        capabilities(config).map(|c| c.offset).collect()
    }

    #[test]
    fn walks_to_the_end() {
        let config = list(&[(0x40, 9, 0x70), (0x70, 0x10, 0xac), (0xac, 5, 0xd0), (0xd0, 1, 0)]);
        assert_eq!(offsets(&config), [0x40, 0x70, 0xac, 0xd0]);
    }

    #[test]
    fn broken_lists_end() {
        assert_eq!(
            offsets(&list(&[(0x40, 5, 0x50), (0x50, 1, 0x40)])),
            [0x40, 0x50],
            "a loop"
        );
        assert_eq!(offsets(&list(&[(0x40, 5, 0xff)])), [0x40], "pointer FF");
        assert_eq!(offsets(&list(&[(0x40, 5, 0x03)])), [0x40], "pointer 03");
        assert_eq!(offsets(&list(&[(0x40, 5, 0x20)])), [0x40], "pointer into the header");
        assert_eq!(
            offsets(&list(&[(0xfc, 5, 0xfc)])),
            [0xfc],
            "the last dword, pointing to itself"
        );
        assert_eq!(offsets(&[0xff; 256]), [] as [u8; 0], "an absent function");
        assert_eq!(offsets(&[0x10; 16]), [] as [u8; 0], "a short buffer");
        let mut config = list(&[(0x40, 5, 0)]);
        config[0x06] = 0;
        assert_eq!(offsets(&config), [] as [u8; 0], "no capability bit");
    }

    #[test]
    fn low_bits_of_pointers_are_ignored() {
        let mut config = list(&[(0x40, 5, 0x53), (0x50, 1, 0)]);
        config[0x34] = 0x42;
        assert_eq!(offsets(&config), [0x40, 0x50]);
    }

    #[test]
    fn hiding_relinks() {
        let entries = [(0x40, 9, 0x70), (0x70, 0x10, 0xac), (0xac, 5, 0)];
        for hidden in [0x40, 0x70, 0xac] {
            let mut config = list(&entries);
            assert!(hide_capability(&mut config, hidden));
            assert_eq!(
                offsets(&config),
                entries.iter().map(|e| e.0).filter(|&o| o != hidden).collect::<Vec<_>>()
            );
            assert!(!hide_capability(&mut config, hidden));
        }
        for next in [0, 0x40, 0xff, 0x03] {
            let mut config = list(&[(0x40, 5, next)]);
            assert!(hide_capability(&mut config, 0x40));
            assert_eq!((config[0x34], config[0x06]), (0, 0));
        }
    }

    #[test]
    fn broken_extended_lists_end() {
        let offsets = |first: u32, second: (usize, u32)| {
            let mut config = [0_u8; 4096];
            config[0x100..0x104].copy_from_slice(&first.to_le_bytes());
            config[second.0..second.0 + 4].copy_from_slice(&second.1.to_le_bytes());
            extended_capabilities(&config).map(|c| c.offset).collect::<Vec<_>>()
        };
        assert_eq!(offsets(0x1401_0001, (0x140, 0x0001_0002)), [0x100, 0x140]);
        assert_eq!(
            offsets(0x0fc1_0001, (0xfc, 0x0001_0002)),
            [0x100],
            "into conventional space"
        );
        assert_eq!(offsets(0x1401_0001, (0x140, 0)), [0x100], "zeros");
        assert_eq!(offsets(0x1401_0001, (0x140, u32::MAX)), [0x100], "ones");
        assert_eq!(offsets(0, (0x140, 0x0001_0002)), [0_u16; 0], "no list");
    }

    #[test]
    fn extended_lists_are_bounded_and_can_be_hidden() {
        let mut config = [0_u8; 4096];
        let mut put = |at: usize, value: u32| config[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0x100, 0x1401_0001);
        put(0x140, 0x2001_000f);
        put(0x200, 0x1002_0010);
        let ids = |config: &[u8]| extended_capabilities(config).map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(ids(&config), [1, 0xf, 0x10], "a loop ends");
        for (hidden, left) in [(0x100, [0, 0xf, 0x10]), (0x140, [1, 0x10, 0]), (0x200, [1, 0xf, 0])] {
            let mut looped = config;
            assert!(hide_extended_capability(&mut looped, hidden));
            let left: &[u16] = if hidden == 0x100 { &left } else { &left[..2] };
            assert_eq!(ids(&looped), left, "a pointer back is not taken over");
        }
        config[0x203] = 0;
        assert_eq!(ids(&config), [1, 0xf, 0x10]);
        let versions: Vec<_> = extended_capabilities(&config).map(|c| c.version).collect();
        assert_eq!(versions, [1, 1, 2]);
        assert!(hide_extended_capability(&mut config, 0x140));
        assert_eq!(ids(&config), [1, 0x10]);
        assert!(hide_extended_capability(&mut config, 0x100));
        assert_eq!(ids(&config), [0, 0x10]);
        assert!(!hide_extended_capability(&mut config, 0x300));
        assert_eq!(ids(&[0xff; 4096]), [] as [u16; 0]);
    }
}
