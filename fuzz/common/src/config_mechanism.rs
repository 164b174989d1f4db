// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Mechanism #1 and ECAM on a bus, against a naive decoder.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "config_mechanism",
    package: "pci-model",
    summary: "mechanism #1 and ECAM on a bus, against a naive decoder",
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
