// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The assigned function: the parts of a plan that concern the device, carried out.

mod apply;
mod bars;
mod config;
mod function;
mod interrupts;
mod rom;

use std::fmt;

use pci_model::BarRange;

pub use apply::{Applied, ApplyError, apply};
pub use bars::{AssignedBars, Piece};
pub use function::AssignedFunction;

/// What a machine does for the BARs of an assigned function; 6 is the ROM.
pub trait BarHost: Send + Sync + fmt::Debug {
    /// The BAR is no longer decoded there. The device still answers until this returns.
    fn unmap(&self, bar: u8, range: BarRange);

    /// The BAR is decoded there. The device answers already.
    fn map(&self, bar: u8, range: BarRange);
}
