// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! OpRegions as firmware and host give them: bounds, guest copy, idempotence.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "opregion",
    package: "igd-quirks",
    summary: "OpRegions as firmware and host give them: bounds, guest copy, idempotence",
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
