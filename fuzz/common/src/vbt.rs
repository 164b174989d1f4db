// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Video BIOS tables: bounds and repair.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "vbt",
    package: "igd-quirks",
    summary: "video BIOS tables: bounds and repair",
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
