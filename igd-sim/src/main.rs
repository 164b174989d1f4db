// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! The `igd-sim` program: a simulated integrated GPU on a vfio-user socket.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::run(&cli::Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("igd-sim: {}", cli::line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
