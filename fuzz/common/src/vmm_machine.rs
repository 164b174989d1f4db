// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The whole machine without KVM: streams of port and memory accesses.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "vmm_machine",
    package: "igd-vmm",
    summary: "the whole machine without KVM: streams of port and memory accesses",
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
