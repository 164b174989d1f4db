// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device together with what its accesses need.

use pci_model::{Mmio, PortIo};

use crate::device::FwCfg;
use crate::error::SourceError;
use crate::events::{Effects, Events};
use crate::memory::GuestMemory;

/// A device with its guest memory and its events, for buses whose accesses carry neither.
///
/// As [`PortIo`] each call is one access of `data.len()` bytes. A bus that hands over a whole `rep insb` in one call
/// wants [`FwCfg::port_read_flattened`], which the `vm-device` traits of this type use.
#[derive(Debug)]
pub struct Attached<M, E = ()> {
    device: FwCfg,
    memory: M,
    events: E,
}

impl<M: GuestMemory, E: Events> Attached<M, E> {
    /// Attaches a device to guest memory and to those who want to know.
    pub fn new(device: FwCfg, memory: M, events: E) -> Self {
        Self { device, memory, events }
    }

    /// The device.
    pub fn device(&self) -> &FwCfg {
        &self.device
    }

    /// The device, to modify, reset or restore it.
    pub fn device_mut(&mut self) -> &mut FwCfg {
        &mut self.device
    }

    /// Who gets the effects.
    pub fn events(&self) -> &E {
        &self.events
    }

    /// Takes the device off its bus.
    pub fn into_device(self) -> FwCfg {
        self.device
    }

    pub(crate) fn read(&mut self, read: impl FnOnce(&mut FwCfg) -> Result<(), SourceError>) {
        if let Err(error) = read(&mut self.device) {
            self.events.source_failed(error);
        }
    }

    pub(crate) fn write(&mut self, write: impl FnOnce(&mut FwCfg, &M) -> Effects) {
        let effects = write(&mut self.device, &self.memory);
        self.events.effects(&mut self.device, effects);
        if self.device.is_paused() {
            let effects = self.device.resume(&self.memory);
            self.events.effects(&mut self.device, effects);
        }
    }
}

impl<M: GuestMemory, E: Events> PortIo for Attached<M, E> {
    fn port_read(&mut self, offset: u16, data: &mut [u8]) {
        self.read(|device| device.port_read(offset, data));
    }

    fn port_write(&mut self, offset: u16, data: &[u8]) {
        self.write(|device, memory| device.port_write(offset, data, memory));
    }
}

impl<M: GuestMemory, E: Events> Mmio for Attached<M, E> {
    fn mmio_read(&mut self, offset: u64, data: &mut [u8]) {
        self.read(|device| device.mmio_read(offset, data));
    }

    fn mmio_write(&mut self, offset: u64, data: &[u8]) {
        self.write(|device, memory| device.mmio_write(offset, data, memory));
    }
}
