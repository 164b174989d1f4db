// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask test`: every test, then the examples in the docs.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::tools::{NEXTEST, cargo, on_ci, root, run as run_command};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Tests this package only; may be given more than once
    #[arg(short, long = "package", value_name = "NAME")]
    packages: Vec<String>,
    /// Arguments for the runner: a filter on names, or options of `cargo nextest run` or `cargo test`
    #[arg(last = true, value_name = "ARGS")]
    runner: Vec<OsString>,
}

/// Runs the tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut tests = if NEXTEST.is_present() {
        let mut command = cargo(["nextest", "run"]);
        if on_ci() {
            command.args(["--profile", "ci"]);
        }
        command
    } else {
        eprintln!("cargo nextest would be faster: {}", NEXTEST.install);
        cargo(["test", "--all-targets"])
    };
    run_command(select(&mut tests, args).args(&args.runner).current_dir(root()?))?;
    // nextest does not run the examples in the docs, and `--all-targets` leaves them out.
    run_command(select(&mut cargo(["test", "--doc"]), args).current_dir(root()?))
}

fn select<'a>(command: &'a mut Command, args: &Args) -> &'a mut Command {
    command.arg("--all-features");
    if args.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &args.packages {
        command.args(["--package", package]);
    }
    command
}
