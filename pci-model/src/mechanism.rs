// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration mechanism #1: ports 0xCF8 to 0xCFF.
//!
//! ```text
//! 0xCF8 CONFIG_ADDRESS  31 enable | 23:16 bus | 15:11 device | 10:8 function | 7:2 dword
//! 0xCF9 reset control   2 reset now | 1 hard reset
//! 0xCFC CONFIG_DATA     the four byte lanes of the dword
//! ```
//!
//! *PCI Local Bus Specification* 3.0, section 3.2.2.3.2. A bus that refuses an access which crosses the end of a range
//! must hand all eight ports to one [`ConfigMechanism`].

use crate::access::{ConfigAccess, Width};
use crate::bdf::Bdf;
use crate::bus::ConfigRouter;
use crate::effects::Effects;
use crate::lanes::{self, Piece};
use crate::rules::Rules;
use crate::spec;

/// The first of the eight ports.
pub const CONFIG_PORT: u16 = 0xcf8;

/// How many ports there are.
pub const CONFIG_PORTS: u16 = 8;

const ENABLE: u32 = 1 << 31;
const ADDRESS_BITS: u32 = 0x80ff_fffc;
const RESET_CONTROL: u16 = 1;
const DATA: u16 = 4;
const RESET_NOW: u8 = 1 << 2;

/// The chipset that owns the reset control port 0xCF9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResetControl {
    /// PIIX3: bit 1 is kept.
    Piix3,
    /// ICH9: bits 3 and 1 are kept.
    Ich9,
}

impl ResetControl {
    const fn kept(self) -> u8 {
        match self {
            Self::Piix3 => 0x02,
            Self::Ich9 => 0x0a,
        }
    }

    /// Widest write that starts at the port and that QEMU takes for a write to it.
    const fn widest(self) -> usize {
        match self {
            Self::Piix3 => 2,
            Self::Ich9 => 4,
        }
    }
}

/// What a write to the ports changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct PortEffects {
    /// The function whose configuration was written.
    pub function: Option<Bdf>,
    /// What changed; [`Effects::SYSTEM_RESET`] comes from the reset control port and belongs to no function.
    pub effects: Effects,
}

const NOTHING: PortEffects = PortEffects {
    function: None,
    effects: Effects::empty(),
};

/// Saved state of a [`ConfigMechanism`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConfigMechanismStateV1 {
    /// `CONFIG_ADDRESS`
    pub address: u32,
    /// Reset control.
    pub reset_control: u8,
}

/// The ports 0xCF8 to 0xCFF. Offsets count from 0xCF8.
///
/// Only an aligned dword write changes `CONFIG_ADDRESS`, and only with its enable bit set are the data ports
/// configuration space. An absent function reads ones. Where implementations differ, [`Rules`] decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigMechanism {
    rules: Rules,
    chipset: ResetControl,
    address: u32,
    reset_control: u8,
}

impl ConfigMechanism {
    /// The ports at power-on.
    #[must_use]
    pub const fn new(chipset: ResetControl, rules: Rules) -> Self {
        Self {
            rules,
            chipset,
            address: 0,
            reset_control: 0,
        }
    }

    /// Reads `data.len()` bytes at `offset`. Lanes past the last port are ones.
    pub fn port_read(&mut self, offset: u16, data: &mut [u8], bus: &mut impl ConfigRouter) {
        // Most accesses by far.
        if offset == DATA
            && let Ok(dword) = <&mut [u8; 4]>::try_from(&mut *data)
            && let Some((bdf, at)) = self.target_dword()
        {
            *dword = bus.config_read(bdf, at).unwrap_or(u32::MAX).to_le_bytes();
            return;
        }
        if lanes::aligned(offset, data.len()).is_some() {
            self.read_piece(offset, data, bus);
        } else {
            self.read_unaligned(offset, data, bus);
        }
    }

    #[cold]
    fn read_unaligned(&self, offset: u16, data: &mut [u8], bus: &mut impl ConfigRouter) {
        if self.rules.is_qemu() && offset == RESET_CONTROL {
            data.fill(0);
            if let Some(first) = data.first_mut() {
                *first = self.reset_control;
            }
            return;
        }
        if lanes::refused(u64::from(offset), data.len(), self.rules.unaligned()) {
            data.fill(0);
            return;
        }
        for Piece { offset, bytes } in lanes::whole(offset, data) {
            self.read_piece(offset, bytes, bus);
        }
    }

    fn read_piece(&self, offset: u16, bytes: &mut [u8], bus: &mut impl ConfigRouter) {
        let value = match offset {
            DATA..CONFIG_PORTS => return self.read_data(offset - DATA, bytes, bus),
            RESET_CONTROL => u32::from(self.reset_control),
            0..DATA if self.rules.is_qemu() => self.address,
            0..DATA => self.address >> (8 * offset),
            _ => u32::MAX,
        };
        lanes::store(bytes, value);
    }

    fn read_data(&self, lane: u16, bytes: &mut [u8], bus: &mut impl ConfigRouter) {
        let Some((bdf, register)) = self.target(lane) else {
            return lanes::store(bytes, u32::MAX);
        };
        let Some(width) = lanes::aligned(register, bytes.len()) else {
            return read_straddling(bdf, register, bytes, bus);
        };
        let value = ConfigAccess::new(register, width).and_then(|at| bus.config_read(bdf, at));
        lanes::store(bytes, value.unwrap_or(u32::MAX));
    }

    /// Writes `data` at `offset`.
    #[inline]
    pub fn port_write(&mut self, offset: u16, data: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        if offset == 0
            && let Ok(address) = data.try_into()
        {
            let address = u32::from_le_bytes(address);
            self.address = if self.rules.is_qemu() {
                address
            } else {
                address & ADDRESS_BITS
            };
            return NOTHING;
        }
        if lanes::aligned(offset, data.len()).is_some() {
            self.write_piece(offset, data, bus)
        } else {
            self.write_unaligned(offset, data, bus)
        }
    }

    #[cold]
    fn write_unaligned(&mut self, offset: u16, data: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        if self.rules.is_qemu() && offset == RESET_CONTROL {
            return match data.first() {
                Some(value) if data.len() <= self.chipset.widest() => self.control_reset(*value),
                _ => NOTHING,
            };
        }
        let mut done = NOTHING;
        if lanes::refused(u64::from(offset), data.len(), self.rules.unaligned()) {
            return done;
        }
        for Piece { offset, bytes } in lanes::whole(offset, data) {
            let piece = self.write_piece(offset, bytes, bus);
            done.function = done.function.or(piece.function);
            done.effects |= piece.effects;
        }
        done
    }

    fn write_piece(&mut self, offset: u16, bytes: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        match (offset, bytes) {
            (RESET_CONTROL, [value]) => self.control_reset(*value),
            (DATA..CONFIG_PORTS, bytes) => self.write_data(offset - DATA, bytes, bus),
            _ => NOTHING,
        }
    }

    fn control_reset(&mut self, value: u8) -> PortEffects {
        if value & RESET_NOW != 0 {
            return PortEffects {
                function: None,
                effects: Effects::SYSTEM_RESET,
            };
        }
        self.reset_control = value & self.chipset.kept();
        NOTHING
    }

    fn write_data(&self, lane: u16, bytes: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
        let Some((bdf, register)) = self.target(lane) else {
            return NOTHING;
        };
        let Some(width) = lanes::aligned(register, bytes.len()) else {
            return write_straddling(bdf, register, bytes, bus);
        };
        let effects = ConfigAccess::new(register, width).and_then(|at| bus.config_write(bdf, at, lanes::load(bytes)));
        effects.map_or(NOTHING, |effects| PortEffects {
            function: Some(bdf),
            effects,
        })
    }

    /// Function and register that a data lane leads to, or `None` while the enable bit is clear.
    #[inline]
    fn target(&self, lane: u16) -> Option<(Bdf, u16)> {
        if self.address & ENABLE == 0 {
            return None;
        }
        let [register, devfn, bus, _] = self.address.to_le_bytes();
        let register = if self.rules.is_qemu() {
            u16::from(register) | lane
        } else {
            u16::from(register) + lane
        };
        Some((Bdf::from_bits(u16::from_be_bytes([bus, devfn])), register))
    }

    /// Function and dword that the whole data port leads to, if it leads to one.
    #[inline]
    fn target_dword(&self) -> Option<(Bdf, ConfigAccess)> {
        let (bdf, register) = self.target(0)?;
        let at = ConfigAccess::new(register, Width::Dword)?;
        at.is_aligned().then_some((bdf, at))
    }

    /// A system reset. QEMU keeps `CONFIG_ADDRESS`.
    pub fn reset(&mut self) {
        self.reset_control = 0;
        if !self.rules.is_qemu() {
            self.address = 0;
        }
    }

    /// The state to save.
    #[must_use]
    pub const fn state(&self) -> ConfigMechanismStateV1 {
        let Self {
            rules: _,
            chipset: _,
            address,
            reset_control,
        } = self;
        ConfigMechanismStateV1 {
            address: *address,
            reset_control: *reset_control,
        }
    }

    /// Puts a saved state in place. Bits that this mechanism does not hold are dropped, as a write drops them.
    pub const fn restore(&mut self, state: &ConfigMechanismStateV1) {
        let ConfigMechanismStateV1 { address, reset_control } = state;
        self.address = if self.rules.is_qemu() {
            *address
        } else {
            *address & ADDRESS_BITS
        };
        self.reset_control = *reset_control & self.chipset.kept();
    }
}

/// A data access that low bits of the latch make unaligned. It ends at the last byte; what is left reads zero.
#[cold]
fn read_straddling(bdf: Bdf, register: u16, bytes: &mut [u8], bus: &mut impl ConfigRouter) {
    if bus.config_size(bdf).is_none() {
        bytes.fill(0xff);
        return;
    }
    let room = usize::from(spec::CONFIG_SIZE.saturating_sub(register));
    if bytes.len() > room {
        bytes.fill(0);
    }
    let served = bytes.len().min(room);
    for Piece { offset, bytes } in lanes::whole(register, bytes.get_mut(..served).unwrap_or(&mut [])) {
        let value = Width::from_len(bytes.len())
            .and_then(|width| ConfigAccess::new(offset, width))
            .and_then(|at| bus.config_read(bdf, at));
        lanes::store(bytes, value.unwrap_or(u32::MAX));
    }
}

#[cold]
fn write_straddling(bdf: Bdf, register: u16, bytes: &[u8], bus: &mut impl ConfigRouter) -> PortEffects {
    let room = usize::from(spec::CONFIG_SIZE.saturating_sub(register));
    let mut done = NOTHING;
    let served = bytes.get(..bytes.len().min(room)).unwrap_or(&[]);
    for Piece { offset, bytes } in lanes::whole(register, served) {
        let Some(at) = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width)) else {
            continue;
        };
        if let Some(effects) = bus.config_write(bdf, at, lanes::load(bytes)) {
            done.function = Some(bdf);
            done.effects |= effects;
        }
    }
    done
}
