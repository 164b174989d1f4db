// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A BAR cut into mapped and trapped pieces, against a page-by-page reckoning.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "bar_carving",
    package: "pci-model",
    summary: "a BAR cut into mapped and trapped pieces, against a page-by-page reckoning",
    run,
    describe,
};

/// Runs one input.
pub fn run(_data: &[u8]) {}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    format!("{data:02x?}")
}
