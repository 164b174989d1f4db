// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The `igd-conformance` program.

fn main() -> std::process::ExitCode {
    igd_conformance::cli::main()
}
