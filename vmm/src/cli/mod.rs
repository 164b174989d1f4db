// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command line.

mod args;
mod files;
mod probe;
mod run;
mod source;
mod status;
mod terminal;

use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

use crate::backend::HostError;

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
    /// The device is gone.
    Lost(String),
}

impl Failure {
    /// An error that says itself what failed. A device that is gone is told apart, however deep below.
    fn failed(error: impl Error + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if let Some(HostError::Lost { .. }) = inner.downcast_ref() {
                return Self::Lost(error.to_string());
            }
            cause = inner.source();
        }
        Self::Failed(error.to_string())
    }

    /// The exit code, and what is told.
    fn into_parts(self) -> (u8, String) {
        match self {
            Self::Failed(text) => (FAILED, text),
            Self::Usage(text) => (USAGE, text + " (see igd-vmm --help)"),
            Self::Refused(text) => (REFUSED, text),
            Self::Lost(text) => (LOST, text),
        }
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
    ExitCode::from(outcome.unwrap_or_else(|failure| {
        let (code, text) = failure.into_parts();
        eprintln!("igd-vmm: {text}");
        code
    }))
}

/// Prints all of it at once. A reader that has seen enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ProbeError;

    #[test]
    fn a_device_that_is_gone_has_a_code_of_its_own() {
        let read = |source| {
            Failure::failed(ProbeError::Read {
                device: "igd".to_owned(),
                source,
            })
        };
        let lost = read(HostError::Lost {
            device: "igd".to_owned(),
            reason: "closed".to_owned(),
        });
        assert_eq!(lost.into_parts(), (LOST, "igd: igd is gone: closed".to_owned()));
        let other = read(HostError::Reset {
            reason: "no".to_owned(),
        });
        assert_eq!(other.into_parts().0, FAILED);
    }
}
