// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest-facing windows of a device: what a guest does, infallibly.
//!
//! Offsets are relative to the window, so a device does not know where it lives. A read that nobody claims leaves all
//! ones; a write that nobody claims is dropped.

/// A window of I/O ports.
pub trait PortIo {
    /// Reads `data.len()` bytes in one access at `offset` ports into the window.
    fn port_read(&mut self, offset: u16, data: &mut [u8]);
    /// Writes `data` in one access at `offset` ports into the window.
    fn port_write(&mut self, offset: u16, data: &[u8]);
}

/// A window of memory-mapped registers.
pub trait Mmio {
    /// Reads `data.len()` bytes in one access at `offset` bytes into the window.
    fn mmio_read(&mut self, offset: u64, data: &mut [u8]);
    /// Writes `data` in one access at `offset` bytes into the window.
    fn mmio_write(&mut self, offset: u64, data: &[u8]);
}
