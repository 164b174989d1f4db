// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The memory-mapped configuration window (ECAM).
//!
//! ```text
//! offset  27:20 bus | 19:15 device | 14:12 function | 11:0 register
//! ```
//!
//! *PCI Express Base Specification* 5.0, section 7.2.2.

use crate::access::{ConfigAccess, Width};
use crate::bdf::Bdf;
use crate::bus::ConfigRouter;
use crate::effects::Effects;
use crate::lanes::{self, Piece};
use crate::mechanism::PortEffects;
use crate::rules::Rules;
use crate::spec;

/// Where the window is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct EcamWindow {
    /// First physical address.
    pub base: u64,
    /// Length in bytes: 1 MiB for each bus.
    pub size: u64,
}

/// The window's access rules. Offsets count from the base of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ecam {
    rules: Rules,
}

impl Ecam {
    /// A window under these rules.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Reads `data.len()` bytes at `offset`. An access of 8 bytes is two of 4; what leaves the 4096 bytes of the
    /// function in which the access begins is ones.
    pub fn read(self, offset: u64, data: &mut [u8], bus: &mut impl ConfigRouter) {
        let (bdf, register) = target(offset);
        // Most accesses by far.
        if let Ok(dword) = <&mut [u8; 4]>::try_from(&mut *data)
            && register.is_multiple_of(4)
            && let (Some(bdf), Some(at)) = (bdf, ConfigAccess::new(register, Width::Dword))
        {
            *dword = bus.config_read(bdf, at).unwrap_or(u32::MAX).to_le_bytes();
            return;
        }
        if lanes::aligned(register, data.len()).is_some() {
            read_piece(bdf, register, data, bus);
        } else {
            self.read_unaligned(offset, data, bus);
        }
    }

    #[cold]
    fn read_unaligned(self, offset: u64, data: &mut [u8], bus: &mut impl ConfigRouter) {
        if lanes::refused(offset, data.len(), self.rules.unaligned()) {
            data.fill(0);
            return;
        }
        let (bdf, register) = target(offset);
        for Piece { offset, bytes } in lanes::whole(register, data) {
            read_piece(bdf, offset, bytes, bus);
        }
    }

    /// Writes `data` at `offset`. What leaves the 4096 bytes of the function in which the access begins is dropped.
    pub fn write(self, offset: u64, data: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        let (bdf, register) = target(offset);
        let effects = if lanes::aligned(register, data.len()).is_some() {
            write_piece(bdf, register, data, bus)
        } else {
            self.write_unaligned(offset, data, bus)
        };
        PortEffects {
            function: effects.and(bdf),
            effects: effects.unwrap_or_default(),
        }
    }

    #[cold]
    fn write_unaligned(self, offset: u64, data: &[u8], bus: &mut impl ConfigRouter) -> Option<Effects> {
        if lanes::refused(offset, data.len(), self.rules.unaligned()) {
            return None;
        }
        let (bdf, register) = target(offset);
        lanes::whole(register, data).fold(None, |all, Piece { offset, bytes }| {
            let effects = write_piece(bdf, offset, bytes, bus);
            effects.map(|effects| all.unwrap_or_default() | effects).or(all)
        })
    }
}

fn read_piece(bdf: Option<Bdf>, register: u16, bytes: &mut [u8], bus: &mut impl ConfigRouter) {
    let access = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(register, width));
    let value = bdf.zip(access).and_then(|(bdf, at)| bus.config_read(bdf, at));
    lanes::store(bytes, value.unwrap_or(u32::MAX));
}

/// Writes one piece, or gives `None` where nothing takes it.
fn write_piece(bdf: Option<Bdf>, register: u16, bytes: &[u8], bus: &mut impl ConfigRouter) -> Option<Effects> {
    let bdf = bdf?;
    let at = ConfigAccess::new(register, Width::from_len(bytes.len())?)?;
    if at.end() > spec::CONFIG_SIZE && bus.config_size(bdf)? < at.end() {
        return None;
    }
    bus.config_write(bdf, at, lanes::load(bytes))
}

/// The function that an offset names, or `None` beyond 256 buses, and the register in it.
#[inline]
fn target(offset: u64) -> (Option<Bdf>, u16) {
    let bdf = u16::try_from(offset >> 12).ok().map(Bdf::from_bits);
    (bdf, u16::try_from(offset & 0xfff).unwrap_or(0))
}
