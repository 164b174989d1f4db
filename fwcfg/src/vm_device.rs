// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bus traits of the `vm-device` crate.
//!
//! Its bus refuses an access whose end lies beyond the registered range, so a whole `rep insb` at port 0x511 that is
//! longer than the window never gets here: a vCPU loop hands such input over in pieces that fit.

use vm_device::bus::{MmioAddress, MmioAddressOffset, PioAddress, PioAddressOffset};
use vm_device::{MutDeviceMmio, MutDevicePio};

use crate::attached::Attached;
use crate::events::Events;
use crate::memory::GuestMemory;

/// The window at port 0x510. Reads of the data port are [flattened](crate::FwCfg::port_read_flattened).
impl<M: GuestMemory, E: Events> MutDevicePio for Attached<M, E> {
    fn pio_read(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        self.read(|device| device.port_read_flattened(offset, data));
    }

    fn pio_write(&mut self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        self.write(|device, memory| device.port_write(offset, data, memory));
    }
}

impl<M: GuestMemory, E: Events> MutDeviceMmio for Attached<M, E> {
    fn mmio_read(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        self.read(|device| device.mmio_read(offset, data));
    }

    fn mmio_write(&mut self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.write(|device, memory| device.mmio_write(offset, data, memory));
    }
}
