// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The `igd-vmm` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    igd_vmm::cli::main()
}
