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

    /// Reads `data.len()` bytes at `offset`. An access of 8 bytes is two of 4.
    pub fn read(self, offset: u64, data: &mut [u8], bus: &mut impl ConfigRouter) {
        if lanes::refused(offset, data.len(), self.rules.unaligned()) {
            data.fill(0);
            return;
        }
        data.fill(0xff);
        let (mut at, mut left) = (offset, data);
        while let Some((bdf, register)) = target(at) {
            let room = usize::from(crate::EXTENDED_CONFIG_SIZE - register);
            let len = left.len().min(room);
            let (here, rest) = left.split_at_mut(len);
            let size = bus.config_size(bdf).unwrap_or(0);
            for Piece { offset, bytes } in lanes::whole(register, here) {
                let access = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width));
                if let Some(value) = access
                    .filter(|at| at.end() <= size)
                    .and_then(|at| bus.config_read(bdf, at))
                {
                    lanes::store(bytes, value);
                }
            }
            if rest.is_empty() {
                return;
            }
            (at, left) = (at.wrapping_add(len as u64), rest);
        }
    }

    /// Writes `data` at `offset`.
    pub fn write(self, offset: u64, data: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        let mut done = PortEffects {
            function: None,
            effects: Effects::empty(),
        };
        if lanes::refused(offset, data.len(), self.rules.unaligned()) {
            return done;
        }
        let (mut at, mut left) = (offset, data);
        while let (Some((bdf, register)), false) = (target(at), left.is_empty()) {
            let room = usize::from(crate::EXTENDED_CONFIG_SIZE - register);
            let (here, rest) = left.split_at_checked(room).unwrap_or((left, &[]));
            let size = bus.config_size(bdf).unwrap_or(0);
            for Piece { offset, bytes } in lanes::whole(register, here) {
                let access = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width));
                let Some(at) = access.filter(|at| at.end() <= size) else {
                    continue;
                };
                if let Some(effects) = bus.config_write(bdf, at, lanes::load(bytes)) {
                    done.function = done.function.or(Some(bdf));
                    done.effects |= effects;
                }
            }
            (at, left) = (at.wrapping_add(here.len() as u64), rest);
        }
        done
    }
}

/// The function and register that an offset names, or `None` beyond 256 buses.
fn target(offset: u64) -> Option<(Bdf, u16)> {
    let register = u16::try_from(offset & 0xfff).ok()?;
    let bdf = u16::try_from(offset >> 12).ok()?;
    Some((Bdf::from_bits(bdf), register))
}
