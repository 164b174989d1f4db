// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask lint`: what can be checked without running the product.

use anyhow::Result;

use crate::steps::{self, Outcome, Step};
use crate::tools::{CLIPPY, DENY, FMT, Tool, cargo, root, run as run_command};

mod arrows;
mod features;
mod links;
mod text;

const STEPS: &[Step] = &[
    ("format", || with(FMT, &["--all", "--check"])),
    ("clippy", || {
        with(
            CLIPPY,
            &["--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
        )
    }),
    ("features", || features::check().into()),
    ("arrows", || arrows::check().into()),
    ("text", || text::check().into()),
    ("links", || links::check().into()),
    ("licences", || text::check_licences().into()),
    ("deny", || {
        with(DENY, &["--all-features", "check", "bans", "licenses", "sources"])
    }),
];

/// Runs every check and prints the summary.
pub(crate) fn run() -> Result<u8> {
    Ok(steps::run("lint", STEPS))
}

fn with(tool: Tool, args: &[&str]) -> Outcome {
    if !tool.is_present() {
        return tool.missing();
    }
    root()
        .and_then(|root| run_command(cargo([tool.name]).args(args).current_dir(root)))
        .into()
}

/// An error that lists what was found, or nothing if nothing was.
fn found(what: &[String]) -> Result<()> {
    if !what.is_empty() {
        anyhow::bail!("{} found\n{}", what.len(), what.join("\n"));
    }
    Ok(())
}
