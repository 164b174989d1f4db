// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The vfio-user server against a lying client.

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "vfio_user_server",
    package: "igd-sim",
    summary: "the vfio-user server against a lying client",
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
