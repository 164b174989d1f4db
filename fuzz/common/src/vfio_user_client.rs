// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The vfio-user client against a lying server.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "vfio_user_client",
    package: "igd-vmm",
    summary: "the vfio-user client against a lying server",
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
