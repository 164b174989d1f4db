// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! `cargo xtask`: one door to everything one does in this repository.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

mod metadata;
mod steps;
mod tasks;
mod tools;
mod tree;

const AFTER_HELP: &str = "\
Examples:
  cargo xtask ci                             everything, as on CI
  cargo xtask test -p pci-model -- carve     the tests of one crate whose names hold `carve`
  cargo xtask conformance                    the whole corpus; reports go to target/conformance
  cargo xtask conformance run fwcfg          one group of it
  cargo xtask firmware                       SeaBIOS boots on both boards; needs /dev/kvm and the package seabios
  cargo xtask bench --counts                 instructions of the hot paths; needs valgrind
  cargo xtask lab --list                     what it tries on the real vfio-pci, without a GPU
  cargo xtask conformance --help             what igd-conformance itself can do

Exit codes:
  0  as expected     1  something failed     2  wrong arguments
  100  `fuzz` or `lab` found something, a change survived `mutants`, `cov` is under its bound
  `conformance` and `firmware` have those of igd-conformance: 4 nothing selected, 100 unexpected results

A missing optional tool is a skip with a reason. With CI=1 a missing rustfmt or clippy is a failure.";

/// Everything one can do in this repository. `ci` is what CI runs.
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = AFTER_HELP,
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Lints, tests, docs, conformance, firmware, counts: in CI's order, then a summary
    Ci,
    /// rustfmt, clippy, features, arrows between crates, text, links, licences, cargo-deny
    Lint,
    /// cargo nextest when present, cargo test otherwise; then the examples in the docs
    Test(tasks::test::Args),
    /// Replay the corpus; all arguments go to igd-conformance
    #[command(disable_help_flag = true)]
    Conformance(tasks::conformance::Args),
    /// The distribution's SeaBIOS on our VMM under KVM, with a simulated device
    Firmware(tasks::firmware::Args),
    /// libFuzzer on every boundary that takes hostile bytes; --all --seconds 20 is what CI does
    Fuzz(tasks::fuzz::Args),
    /// Changes to the pure crates that no test notices, by cargo-mutants
    Mutants(tasks::mutants::Args),
    /// Which lines of the pure crates their tests reach, by cargo-llvm-cov
    Cov(tasks::cov::Args),
    /// Our VMM on the kernel's own VFIO and KVM, in an emulated machine with a simulated device
    Lab(tasks::lab::Args),
    /// criterion; --save NAME records, --compare NAME compares; --counts counts instructions
    Bench(tasks::bench::Args),
    /// rustdoc with warnings denied; --open shows it
    Doc(tasks::doc::Args),
}

fn main() -> ExitCode {
    let task = match Cli::try_parse() {
        Ok(cli) => cli.task,
        Err(error) => return usage(&error),
    };
    let outcome = match task {
        Task::Ci => tasks::ci::run(),
        Task::Lint => tasks::lint::run(),
        Task::Test(args) => tasks::test::run(&args).map(|()| 0),
        Task::Conformance(args) => tasks::conformance::run(&args),
        Task::Firmware(args) => tasks::firmware::run(&args),
        Task::Fuzz(args) => tasks::fuzz::run(&args),
        Task::Mutants(args) => tasks::mutants::run(&args),
        Task::Cov(args) => tasks::cov::run(&args),
        Task::Lab(args) => tasks::lab::run(&args),
        Task::Bench(args) => tasks::bench::run(&args).map(|()| 0),
        Task::Doc(args) => tasks::doc::run(&args).map(|()| 0),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints help as clap does, and a mistake as one line.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // Nothing is left to do if the terminal is gone.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    eprintln!("{}", one_line(error));
    ExitCode::from(2)
}

fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut line = text.lines().next().unwrap_or("error: wrong arguments").to_owned();
    for kind in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
        match error.get(kind) {
            Some(ContextValue::String(name)) => line += &format!("; did you mean `{name}`?"),
            Some(ContextValue::Strings(names)) if !names.is_empty() => {
                line += &format!("; did you mean `{}`?", names.join("` or `"));
            }
            _ => {}
        }
    }
    line + " (see `cargo xtask --help`)"
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Task, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.task)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn conformance_keeps_its_arguments() {
        for line in [
            "run fwcfg --report json=x",
            "--help",
            "run -- --help",
            "-h",
            "--version",
        ] {
            let Ok(Task::Conformance(args)) = parse(&format!("xtask conformance {line}")) else {
                panic!("{line} is refused");
            };
            assert_eq!(args.args, line.split(' ').collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_mistake_is_one_line() {
        let line = |text| one_line(&parse(text).unwrap_err());
        assert_eq!(
            line("xtask tset"),
            "error: unrecognized subcommand 'tset'; did you mean `test`? (see `cargo xtask --help`)"
        );
        assert_eq!(
            line("xtask doc --opne"),
            "error: unexpected argument '--opne' found; did you mean `--open`? (see `cargo xtask --help`)"
        );
        for command in ["xtask bench --save a --compare b", "xtask bench --save a --baseline b"] {
            let conflict = line(command);
            assert!(
                conflict.contains("cannot be used with") && !conflict.contains('\n'),
                "{conflict}"
            );
        }
    }
}
