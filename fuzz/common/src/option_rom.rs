// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Option ROMs: image chain, checksum and id repair.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "option_rom",
    package: "igd-quirks",
    summary: "option ROMs: image chain, checksum and id repair",
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
