// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function's configuration space: emulated registers over the hardware's.

use pci_model::{ConfigAccess, Width};

use super::registers::View;
use super::setup::DeviceRules;
use super::{Event, IgdDevice, lanes};

/// What became of a guest's write to configuration space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the hardware has not seen the write yet"]
pub struct ConfigWrite {
    at: ConfigAccess,
    value: u32,
    /// Lanes that go to the hardware.
    lanes: u8,
    event: Option<Event>,
}

impl ConfigWrite {
    /// The writes that the hardware is to see, naturally aligned: none if all bytes are emulated.
    pub fn forwards(&self) -> impl Iterator<Item = (ConfigAccess, u32)> + use<> {
        let Self { at, value, lanes, .. } = *self;
        lanes::parts(at.offset().into(), lanes).filter_map(move |(first, len)| {
            let offset = at.offset().checked_add(u16::try_from(first).ok()?)?;
            let access = ConfigAccess::new(offset, Width::from_len(len)?)?;
            Some((access, u32::try_from(lanes::part(value.into(), first, len)).ok()?))
        })
    }

    /// What happened to an emulated register, if the write touched one.
    #[must_use]
    pub const fn event(&self) -> Option<Event> {
        self.event
    }
}

impl IgdDevice {
    /// The bits of a read that are emulated. If they are all, the hardware need not be asked.
    #[must_use]
    pub fn config_owns(&self, at: ConfigAccess) -> u32 {
        let owned = self.registers.owned(View::Config, at.offset().into(), at.width().len());
        u32::try_from(owned).unwrap_or(u32::MAX)
    }

    /// What the guest reads where the hardware answers `hardware`.
    #[must_use]
    pub fn config_read(&self, at: ConfigAccess, hardware: u32) -> u32 {
        let hardware = hardware & at.width().ones();
        let len = at.width().len();
        let value = self
            .registers
            .read(View::Config, at.offset().into(), len, hardware.into());
        u32::try_from(value).unwrap_or(hardware)
    }

    /// Takes a guest's write, and says what of it is for the hardware.
    pub fn config_write(&mut self, at: ConfigAccess, value: u32) -> ConfigWrite {
        let (offset, len) = (at.offset().into(), at.width().len());
        let value = value & at.width().ones();
        let taken = self.registers.write(View::Config, offset, len, value.into());
        let is_hidden = taken.event == Some(Event::SwsciWriteDropped);
        let lanes = match self.rules {
            DeviceRules::Qemu if !is_hidden => lanes::all(len),
            DeviceRules::Native | DeviceRules::Qemu => lanes::all(len) & !taken.lanes,
        };
        ConfigWrite {
            at,
            value,
            lanes,
            event: taken.event,
        }
    }
}
