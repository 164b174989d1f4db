// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line.

use std::process::ExitCode;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
