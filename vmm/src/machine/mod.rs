// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The reference machine: boards, guest memory, processors.

mod board;
mod build;
mod chipset;
mod console;
mod control;
mod error;
mod functions;
mod io;
mod options;
mod platform;
mod run;
mod slots;
mod space;
mod vcpu;
mod view;

use igd_quirks::facts::Extent;

pub use build::{FunctionInventory, Hypervisor, Inventory, Machine};
pub use console::Console;
pub use error::MachineError;
pub use io::{Counters, Observer, Seen};
pub use options::{Boot, MachineOptions, Output};
pub use platform::Platform;
pub use run::{End, Outcome, Status};
pub use slots::SlotBackend;
pub use view::Part;

/// Which board.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum BoardKind {
    /// i440FX and PIIX3, QEMU's `pc`.
    #[default]
    Pc,
    /// Q35 and ICH9, QEMU's `q35`.
    Q35,
}

/// What firmware, tables and devices have to know of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BoardInfo {
    /// Which board.
    pub kind: BoardKind,
    /// RAM, lowest first, disjoint.
    pub ram: Vec<Extent>,
    /// Number of processors, 1 to 255.
    pub cpus: u8,
}
