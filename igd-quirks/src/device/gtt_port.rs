// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR4: index and data ports into the GTT, where a policy translates what goes through them.

use pci_model::carve::Span;

use super::setup::{BdsmSetup, GttPortSetup};
use super::{Event, IgdDevice, lanes};

/// `MMIO_Index` in BAR4, 32 bits: bit 0 selects the GTT, 31:2 are the offset of a dword.
const INDEX_PORT: u64 = 0;
/// `MMIO_Data` in BAR4, 32 bits.
const DATA_PORT: u64 = 4;
/// Bytes of both ports.
const PORTS: u64 = 8;

/// No entry is selected.
pub(super) const NO_INDEX: u32 = u32::MAX;

/// Bit 0 of an index selects the GTT; of its dwords, every fourth index is one.
const DWORD_STEP: u32 = 4;

/// The ports, and the index that was written last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct GttPort {
    setup: GttPortSetup,
    pub(super) index: u32,
}

impl GttPort {
    pub(super) const fn new(setup: GttPortSetup) -> Self {
        Self { setup, index: NO_INDEX }
    }

    /// The data for the selected entry of the table, with the guest's base of stolen memory in place of the host's.
    fn translate(&self, data: u32, guest_bdsm: u32) -> Bar4Write {
        let is_entry = self.index % DWORD_STEP == 1 && self.index < self.setup.index_end;
        let is_low = self.setup.entry_size < 8 || self.index % (2 * DWORD_STEP) == 1;
        let (value, event) = match (is_entry, is_low) {
            (false, _) => (data, None),
            (true, false) => (0, None),
            (true, true) if guest_bdsm == 0 => (0, Some(Event::GttEntryWithoutBdsm(data))),
            (true, true) => (data.wrapping_sub(self.setup.host_bdsm).wrapping_add(guest_bdsm), None),
        };
        Bar4Write { value, event }
    }
}

/// What the hardware is to see of a guest's write to BAR4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the hardware has not seen the write yet"]
pub struct Bar4Write {
    /// The value for the hardware, at the guest's offset and width.
    pub value: u32,
    /// What happened, if it was no plain access.
    pub event: Option<Event>,
}

impl IgdDevice {
    /// The bytes of BAR4 that must trap, or `None` if the guest may reach all ports.
    #[must_use]
    pub fn bar4_trap(&self) -> Option<Span> {
        self.gtt_port.map(|_| Span::new(INDEX_PORT, PORTS))
    }

    /// Notes a guest's read of BAR4, which the hardware answers. Reading either port forgets the index.
    pub fn bar4_read(&mut self, offset: u64) {
        if let Some(port) = &mut self.gtt_port
            && offset < PORTS
        {
            port.index = NO_INDEX;
        }
    }

    /// Takes a guest's write of `len` bytes, at most 4, and says what the hardware is to see of it.
    ///
    /// A write of any width is one to the port where it starts. One to the index port selects its value; one to the data
    /// port is translated, cut to its width, and forgets the index. A base of stolen memory that the guest has not set yet
    /// makes an empty entry.
    pub fn bar4_write(&mut self, offset: u64, len: usize, value: u32) -> Bar4Write {
        let through = Bar4Write { value, event: None };
        let (Some(port), BdsmSetup::Dword(guest_bdsm)) = (&mut self.gtt_port, self.registers.bdsm) else {
            return through;
        };
        match offset {
            ..DATA_PORT => {
                port.index = value;
                through
            }
            DATA_PORT..PORTS => {
                let Bar4Write { value, event } = port.translate(value, guest_bdsm);
                port.index = NO_INDEX;
                let lanes = u32::try_from(lanes::mask(lanes::all(len.min(4)))).unwrap_or(u32::MAX);
                Bar4Write {
                    value: value & lanes,
                    event,
                }
            }
            _ => through,
        }
    }
}
