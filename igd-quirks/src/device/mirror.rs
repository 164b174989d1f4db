// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR0: the registers of configuration space that the device shows there again.

use alloc::vec::Vec;

use pci_model::carve::Span;
use pci_model::{ConfigAccess, Width};

use super::registers::{FIELDS, View};
use super::{Event, IgdDevice, lanes};

/// Longest access to configuration space.
const CONFIG_MAX: usize = 4;

/// What became of a guest's write to BAR0.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "the hardware has not seen the write yet"]
pub struct Bar0Write {
    offset: u64,
    value: u64,
    /// Lanes that go to the hardware.
    lanes: u8,
    redirects: Vec<(ConfigAccess, u32)>,
    event: Option<Event>,
}

impl Bar0Write {
    /// The writes that the hardware is to see, naturally aligned: offset in BAR0, length in bytes, value.
    pub fn forwards(&self) -> impl Iterator<Item = (u64, usize, u64)> + use<> {
        let &Self {
            offset, value, lanes, ..
        } = self;
        lanes::parts(offset, lanes).filter_map(move |(first, len)| {
            let offset = offset.checked_add(first as u64)?;
            Some((offset, len, lanes::part(value, first, len)))
        })
    }

    /// The writes to configuration space that the rest of the access is instead, to be made as if the guest had made them
    /// there.
    pub fn redirects(&self) -> impl Iterator<Item = (ConfigAccess, u32)> {
        self.redirects.iter().copied()
    }

    /// What happened to an emulated register, if the write touched one.
    #[must_use]
    pub const fn event(&self) -> Option<Event> {
        self.event
    }
}

impl IgdDevice {
    /// The bytes of BAR0 that must trap.
    pub fn bar0_traps(&self) -> impl Iterator<Item = Span> {
        let mirrors = FIELDS.into_iter().filter_map(|field| {
            let (offset, len) = self.registers.place(View::Bar0, field)?;
            Some(Span::new(offset, len))
        });
        let redirects = self.redirects.iter();
        mirrors.chain(redirects.map(|redirect| Span::new(redirect.bar0, redirect.len.into())))
    }

    /// The parts of an access of `len` bytes, at most 8, that are accesses to configuration space instead: first byte in
    /// the access, and the access in its place.
    ///
    /// A part has up to 4 bytes, is naturally aligned in BAR0, and belongs as a whole to where it starts.
    pub fn bar0_redirects(&self, offset: u64, len: usize) -> impl Iterator<Item = (usize, ConfigAccess)> {
        // Most setups have none.
        let lanes = match self.redirected.is_empty() {
            true => 0,
            false => lanes::all(len) & !self.registers.lanes(View::Bar0, offset, len),
        };
        lanes::parts(offset, lanes)
            .flat_map(|(first, len)| {
                let step = len.min(CONFIG_MAX);
                (first..first + len).step_by(step).map(move |first| (first, step))
            })
            .filter_map(move |(first, len)| {
                let byte = offset.checked_add(first as u64)?;
                let config = self.redirected.find(byte)?;
                Some((first, ConfigAccess::new(config, Width::from_len(len)?)?))
            })
    }

    /// The bits of a read of `len` bytes, at most 8, that are emulated. If they are all, the hardware need not be asked.
    #[must_use]
    pub fn bar0_owns(&self, offset: u64, len: usize) -> u64 {
        self.registers.owned(View::Bar0, offset, len)
    }

    /// What the guest reads where the hardware answers `hardware`, with the answers of configuration space in it where
    /// [`bar0_redirects`](Self::bar0_redirects) asks for them. An access has at most 8 bytes, at any alignment.
    #[must_use]
    pub fn bar0_read(&self, offset: u64, len: usize, hardware: u64) -> u64 {
        let hardware = hardware & lanes::bytes(len);
        self.registers.read(View::Bar0, offset, len, hardware)
    }

    /// Takes a guest's write of `len` bytes, at most 8, and says what of it is for the hardware.
    ///
    /// What an emulated register takes never reaches the hardware's register in BAR0, whatever the
    /// [rules](super::DeviceRules).
    pub fn bar0_write(&mut self, offset: u64, len: usize, value: u64) -> Bar0Write {
        let taken = self.registers.write(View::Bar0, offset, len, value);
        let mut lanes = lanes::all(len) & !taken.lanes;
        let mut redirects = Vec::new();
        for (first, at) in self.bar0_redirects(offset, len) {
            let len = at.width().len();
            lanes &= !lanes::all(first + len) | lanes::all(first);
            redirects.extend(u32::try_from(lanes::part(value, first, len)).map(|value| (at, value)));
        }
        Bar0Write {
            offset,
            value,
            lanes,
            redirects,
            event: taken.event,
        }
    }
}
