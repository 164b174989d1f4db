// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The `igd-conformance` program.

mod compare;
mod list;
mod output;
mod reports;
mod run;
mod select;
mod subject;

pub use subject::default_subject;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::record::{self, RecordArgs, RecordOutcome};

/// Every result was the expected one.
const AS_EXPECTED: u8 = 0;
/// The program could not do its work.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// Nothing was selected.
const NOTHING_SELECTED: u8 = 4;
/// There are unexpected results.
const UNEXPECTED: u8 = 100;

const AFTER_HELP: &str = "\
Examples:
  igd-conformance                                      replay the whole corpus
  igd-conformance run fwcfg --report html=out.html     one group of it, with a report to look at
  igd-conformance run my.trace --subject qemu          a trace of your own, on QEMU
  igd-conformance run fwcfg/basic --section fwcfg.dma-skip --trace
                                                       every access of one section
  igd-conformance diff old.json new.json               what changed between two runs

Exit codes:
  0    everything as expected
  1    the program failed: a file or trace could not be read, a report not written
  2    wrong arguments
  4    nothing selected
  100  unexpected results: fail, xpass, error, timeout";

/// Replays recorded register traces on device models.
///
/// A trace holds what a program or real firmware did to registers, and what QEMU's devices answered. Each section of
/// a trace checks one rule and is one trial. Without a command, the whole corpus is replayed.
#[derive(Parser, Debug)]
#[command(name = "igd-conformance", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Replay traces and compare every answer
    Run(Box<run::RunArgs>),
    /// List traces: kind, sections, accesses, size
    List(list::ListArgs),
    /// Show what a trace contains: header, sections, accesses
    Show(list::ShowArgs),
    /// Check that traces are of the format, and in its canonical form
    Check(list::CheckArgs),
    /// Record traces on QEMU, merge recordings, or record traces again and compare
    Record(Box<RecordArgs>),
    /// Compare two JSON reports; exit code 100 if something got worse
    Diff(reports::DiffArgs),
    /// Compare what firmware did in two traces; exit code 100 if that differs
    Compare(compare::CompareArgs),
    /// Join the JSON reports of the shards of a run
    Merge(reports::MergeArgs),
}

/// Prints help as clap does, and a mistake as one line.
fn usage(error: &clap::Error) -> std::io::Result<()> {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error.print();
    }
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("error: wrong arguments");
    // Where clap names what is missing, or what comes near, it does so in the lines up to the usage.
    let more: Vec<_> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .collect();
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" {}", more.join(" "))
    };
    writeln!(std::io::stderr(), "{first}{more} (see `igd-conformance --help`)")
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason for another exit code.
            let _ = usage(&error);
            return ExitCode::from(if error.use_stderr() { USAGE } else { AS_EXPECTED });
        }
    };
    let result = match cli.command {
        None => run::run(&run::RunArgs::default()),
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::List(args)) => list::list(&args),
        Some(Command::Show(args)) => list::show(&args),
        Some(Command::Check(args)) => list::check(&args),
        Some(Command::Record(args)) => record::run_to(&args, &mut output::Out).map(recorded),
        Some(Command::Diff(args)) => reports::diff(&args),
        Some(Command::Compare(args)) => compare::run(&args),
        Some(Command::Merge(args)) => reports::merge(&args),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        output::error(&format!("{error:#}"));
        FAILED
    }))
}

const fn recorded(outcome: RecordOutcome) -> u8 {
    match outcome {
        RecordOutcome::Verified {
            same: 0,
            different: 0,
            skipped: 0,
        } => NOTHING_SELECTED,
        RecordOutcome::Verified { different: 1.., .. } => UNEXPECTED,
        RecordOutcome::Done | RecordOutcome::Verified { .. } => AS_EXPECTED,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
