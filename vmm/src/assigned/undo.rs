// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What has been done to a device, to be undone in reverse.

use std::sync::Arc;

use igd_quirks::facts::Extent;
use pci_model::spec;
use vm_memory::{Bytes, GuestAddress};

use super::config;
use crate::backend::{HostDevice, HostError};
use crate::memory::GuestRam;

/// Something that was done.
#[derive(Debug)]
pub(super) enum Done {
    /// The device was taken; its command register had this value.
    Taken(u16),
    /// The device was given this guest memory.
    Dma(Extent),
    /// The device is in use: what happens to it from here on is undone by a reset.
    InUse,
    /// Guest memory was written where these bytes were.
    Memory(u64, Vec<u8>),
}

/// What has been done to a device. Dropping it undoes that.
///
/// Holds the guest memory too, which must stay as long as the device may reach it.
#[derive(Debug)]
pub(super) struct Undo {
    device: Arc<dyn HostDevice>,
    ram: GuestRam,
    done: Vec<Done>,
}

impl Undo {
    pub(super) fn new(device: Arc<dyn HostDevice>, ram: GuestRam) -> Self {
        Self {
            device,
            ram,
            done: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, done: Done) {
        self.done.push(done);
    }

    /// Leaves guest memory to the guest from now on.
    pub(super) fn release_memory(&mut self) {
        self.done.retain(|done| !matches!(done, Done::Memory(..)));
    }

    /// Undoes everything, whatever fails meanwhile.
    pub(super) fn unwind(&mut self) -> Vec<HostError> {
        let mut errors = Vec::new();
        while let Some(done) = self.done.pop() {
            errors.extend(self.undo(&done).err());
        }
        errors
    }

    fn undo(&self, done: &Done) -> Result<(), HostError> {
        match done {
            Done::Taken(command) => config::write_u16(&*self.device, spec::COMMAND, *command),
            Done::Dma(range) => self.device.unmap_dma(range.start, range.len),
            Done::InUse => config::reset(&*self.device),
            Done::Memory(gpa, bytes) => {
                if let Err(error) = self.ram.memory().write_slice(bytes, GuestAddress(*gpa)) {
                    log::warn!("undoing a write to guest memory at {gpa:#x}: {error}");
                }
                Ok(())
            }
        }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for error in self.unwind() {
            log::warn!("{}: undoing: {error}", self.device.name());
        }
    }
}
