// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask bench`: criterion, with a baseline to record or to compare with.

use anyhow::{Result, bail};

use crate::metadata::packages;
use crate::tools::{cargo, root, run as run_command};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Records the results under this name
    #[arg(long, value_name = "NAME", conflicts_with = "baseline")]
    save: Option<String>,
    /// Compares with the results recorded under this name
    #[arg(long, value_name = "NAME")]
    baseline: Option<String>,
    /// Runs only benchmarks whose names hold this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,
}

/// Runs the benchmarks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let packages: Vec<_> = packages()?.into_iter().filter(|package| package.benches).collect();
    if packages.is_empty() {
        bail!("no package has benchmarks");
    }
    // The test harness of a library refuses criterion's options: ask for the benchmarks alone.
    let mut command = cargo(["bench", "--all-features", "--bench", "*"]);
    for package in &packages {
        command.args(["--package", &package.name]);
    }
    command.arg("--").args(&args.filter);
    for (option, name) in [("--save-baseline", &args.save), ("--baseline", &args.baseline)] {
        if let Some(name) = name {
            command.args([option, name]);
        }
    }
    run_command(command.current_dir(root()?))
}
