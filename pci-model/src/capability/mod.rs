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

/// Walks the extended capabilities of the 4096 configuration bytes `config`, in at most 960 steps.
pub fn extended_capabilities(config: &[u8]) -> impl Iterator<Item = ExtendedCapabilityHeader> + '_ {
    let dword = move |at: u16| {
        let bytes = config.get(usize::from(at)..).and_then(|b| b.first_chunk::<4>());
        bytes.map_or(0, |b| u32::from_le_bytes(*b))
    };
    let mut next = spec::EXTENDED_CAPABILITIES;
    let mut left = 960;
    core::iter::from_fn(move || {
        let header = dword(next);
        if left == 0 || next < spec::EXTENDED_CAPABILITIES || header == 0 || header == u32::MAX {
            return None;
        }
        left -= 1;
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

/// Takes the capability at `offset` out of the list in `config`; its bytes stay. Says whether it was there.
///
/// If it was the only one, the capability bit of the status register is cleared.
pub fn hide_capability(config: &mut [u8], offset: u8) -> bool {
    let mut link = 0x34_u8;
    let Some(found) = capabilities(config).find(|c| {
        let here = c.offset == offset;
        if !here {
            link = c.offset + 1;
        }
        here
    }) else {
        return false;
    };
    let next = config.get(usize::from(found.offset) + 1).copied().unwrap_or(0);
    if let Some(pointer) = config.get_mut(usize::from(link)) {
        *pointer = next;
    }
    if capabilities(config).next().is_none()
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
    let mut previous = None;
    let Some(found) = extended_capabilities(config).find(|c| {
        let here = c.offset == offset;
        if !here {
            previous = Some(c.offset);
        }
        here
    }) else {
        return false;
    };
    let header = |config: &[u8], at: u16| {
        let bytes = config.get(usize::from(at)..).and_then(|b| b.first_chunk::<4>());
        bytes.map_or(0, |b| u32::from_le_bytes(*b))
    };
    let next = header(config, found.offset) & 0xfff0_0000;
    let (at, value) = match previous {
        Some(at) => (at, header(config, at) & 0x000f_ffff | next),
        None => (found.offset, next),
    };
    if let Some(bytes) = config.get_mut(usize::from(at)..).and_then(|b| b.first_chunk_mut::<4>()) {
        *bytes = value.to_le_bytes();
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

/// Finds the capabilities in the bytes of `registers` and gives each its masks.
pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, rules: Rules) -> Known {
    let mut known = Known::default();
    let image = *registers.bytes();
    for CapabilityHeader { id, offset } in capabilities(&image) {
        let at = u16::from(offset);
        let length = length(registers, id, at);
        for byte in at..at.saturating_add(length) {
            registers.set_writable(byte, &[0]);
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
        let mut config = list(&[(0x40, 5, 0)]);
        assert!(hide_capability(&mut config, 0x40));
        assert_eq!((config[0x34], config[0x06]), (0, 0));
    }

    #[test]
    fn extended_lists_are_bounded_and_can_be_hidden() {
        let mut config = [0_u8; 4096];
        let mut put = |at: usize, value: u32| config[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0x100, 0x1401_0001);
        put(0x140, 0x2001_000f);
        put(0x200, 0x1002_0010);
        let ids = |config: &[u8]| extended_capabilities(config).map(|c| c.id).collect::<Vec<_>>();
        assert_eq!(extended_capabilities(&config).count(), 960, "a loop ends");
        config[0x203] = 0;
        assert_eq!(ids(&config), [1, 0xf, 0x10]);
        assert!(hide_extended_capability(&mut config, 0x140));
        assert_eq!(ids(&config), [1, 0x10]);
        assert!(hide_extended_capability(&mut config, 0x100));
        assert_eq!(ids(&config), [0, 0x10]);
        assert!(!hide_extended_capability(&mut config, 0x300));
        assert_eq!(ids(&[0xff; 4096]), [] as [u16; 0]);
    }
}
