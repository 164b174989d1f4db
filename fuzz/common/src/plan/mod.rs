// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Plans for random facts: invariants of every plan and every refusal.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "plan",
    package: "igd-quirks",
    summary: "plans for random facts: invariants of every plan and every refusal",
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
