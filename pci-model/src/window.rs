// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest-facing windows of a device: what a guest does, infallibly.
//!
//! Offsets are relative to the window, so a device does not know where it lives. A read that nobody claims leaves all
//! ones; a write that nobody claims is dropped.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::effects::Effects;
use crate::spec;

/// The configuration space of a function, as the guest accesses it.
pub trait ConfigSpace {
    /// Size in bytes: 256, or 4096 with extended configuration space.
    fn config_size(&self) -> u16 {
        spec::CONFIG_SIZE
    }

    /// Reads one access, zero-extended. Bytes beyond the end of the space are ones.
    fn config_read(&mut self, at: ConfigAccess) -> u32;

    /// Writes one access and says what it changed. Bytes beyond the end of the space are dropped.
    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects;

    /// Where the BARs are decoded now.
    fn bar_map(&self) -> BarMap {
        BarMap::EMPTY
    }

    /// Resets the function as a reset of its bus does.
    fn reset(&mut self) -> Effects;
}

impl<T: ConfigSpace + ?Sized> ConfigSpace for &mut T {
    fn config_size(&self) -> u16 {
        (**self).config_size()
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        (**self).config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        (**self).config_write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        (**self).bar_map()
    }

    fn reset(&mut self) -> Effects {
        (**self).reset()
    }
}

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
