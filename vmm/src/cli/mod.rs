// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line.

mod args;
mod files;
mod probe;
mod run;
mod source;
mod status;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Something failed.
const FAILED: u8 = 1;
/// The arguments are wrong.
const USAGE: u8 = 2;
/// There is no plan.
const REFUSED: u8 = 3;
/// The device is gone.
const LOST: u8 = 4;
/// The guest wrote to the debug exit port: this and the lower 6 bits of the value.
const GUEST: u8 = 64;

/// How a command failed.
#[derive(Debug)]
enum Failure {
    /// It could not be done.
    Failed(String),
    /// It was asked for in a wrong way.
    Usage(String),
    /// There is no plan, and why.
    Refused(String),
}

impl Failure {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    env_logger::Builder::new()
        .filter_level(args.log)
        .format_target(false)
        .format(|out, record| writeln!(out, "igd-vmm: {}: {}", record.level(), record.args()))
        .init();
    let outcome = match args.command {
        Command::Probe(args) => probe::probe(&args),
        Command::Plan(args) => probe::plan(&args),
        Command::Run(args) => run::run(&args),
    };
    let (code, text) = match outcome {
        Ok(code) => return ExitCode::from(code),
        Err(Failure::Failed(text)) => (FAILED, text),
        Err(Failure::Usage(text)) => (USAGE, text + " (see igd-vmm --help)"),
        Err(Failure::Refused(text)) => (REFUSED, text),
    };
    eprintln!("igd-vmm: {text}");
    ExitCode::from(code)
}

/// Prints all of it at once. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}
