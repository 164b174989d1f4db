// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The assigned function: the parts of a plan that concern the device, carried out.
//!
//! [`apply()`] gives the device guest memory and puts it together as the guest is to see it. [`AssignedFunction`] is
//! what the guest's bus has; [`AssignedBars`] serves what leaves the guest of accesses to BARs and VGA ranges.

mod apply;
mod bars;
mod config;
mod function;
mod gtt;
mod interrupts;
mod msix;
mod pieces;
mod rom;
mod undo;
mod vectors;

use std::fmt;

use pci_model::BarRange;

pub use apply::{Applied, ApplyError, apply};
pub use bars::AssignedBars;
pub use function::AssignedFunction;
pub use pieces::Piece;

/// What a machine does for the BARs of an assigned function; 6 is the ROM.
pub trait BarHost: Send + Sync + fmt::Debug {
    /// The BAR is no longer decoded there. The device still answers until this returns.
    fn unmap(&self, bar: u8, range: BarRange);

    /// The BAR is decoded there. The device answers already.
    fn map(&self, bar: u8, range: BarRange);
}
