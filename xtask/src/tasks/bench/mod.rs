// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask bench`: criterion, with a baseline to record or to compare with, and counts of instructions.

mod baseline;
pub(crate) mod counts;

use anyhow::{Result, bail};

use crate::metadata::packages;
use crate::tools::{cargo, root, run as run_command};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Counts instructions instead, and fails where they exceed the bounds in xtask/counts/baseline.toml; needs valgrind
    #[arg(long, conflicts_with = "quick")]
    counts: bool,
    /// Records the results under this name; with --counts, in xtask/counts/baseline.toml
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "base", conflicts_with = "compare")]
    save: Option<String>,
    /// Compares with the results recorded under this name; --counts compares without it
    #[arg(long, alias = "baseline", value_name = "NAME", num_args = 0..=1, default_missing_value = "base")]
    compare: Option<String>,
    /// Measures for less than a second each: enough to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Runs the benchmarks of this package only; may be given more than once
    #[arg(short, long = "package", value_name = "PACKAGE", conflicts_with = "counts")]
    packages: Vec<String>,
    /// Runs only benchmarks whose names hold this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Runs the benchmarks, or counts.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.counts {
        return counts::run(args.save.is_some(), args.filter.as_deref());
    }
    let is_asked = |name: &String| args.packages.is_empty() || args.packages.contains(name);
    let mut packages = packages()?;
    packages.retain(|package| package.benches && is_asked(&package.name));
    if packages.is_empty() {
        bail!("no such package has benchmarks");
    }
    // The test harness of a library refuses criterion's options: ask for the benchmarks alone.
    let mut command = cargo(["bench", "--all-features", "--bench", "*"]);
    for package in &packages {
        command.args(["--package", &package.name]);
    }
    command.arg("--").args(&args.filter);
    if args.quick {
        command.arg("--quick");
    }
    for (option, name) in [("--save-baseline", &args.save), ("--baseline", &args.compare)] {
        if let Some(name) = name {
            command.args([option, name]);
        }
    }
    run_command(command.current_dir(root()?))
}
