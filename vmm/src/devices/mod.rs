// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The small devices of the boards.

mod acpi_pm;
mod chipset;
mod clock;
mod cmos;
mod debug;
mod keyboard;
mod serial;

use std::fmt;

pub use acpi_pm::{ACPI_DISABLE, ACPI_ENABLE, AcpiPm, Apm, S5};
pub use chipset::{Port92, RootComplex};
pub use clock::{Clock, HostClock};
pub use cmos::Cmos;
pub use debug::{DebugConsole, DebugExit};
pub use keyboard::Keyboard;
pub use serial::SerialPort;

/// What a device asks of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Start again.
    Reset,
    /// End, as a guest that turned itself off.
    PowerOff,
    /// End with this value, which a firmware under test wrote.
    Exit(u8),
}

/// A window of ports or of memory. Offsets count from its start; accesses have 1, 2 or 4 bytes, in memory up to 8.
pub trait Device: Send + fmt::Debug {
    /// Reads `data.len()` bytes in one access.
    fn read(&mut self, offset: u64, data: &mut [u8]);

    /// Writes `data` in one access.
    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request>;

    /// Takes what comes from outside, and says how many bytes of it. Others have to wait.
    fn receive(&mut self, _data: &[u8]) -> usize {
        0
    }

    /// Resets the device together with its machine.
    fn reset(&mut self) {}
}
