// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask doc`: rustdoc with warnings denied.

use std::env;

use anyhow::Result;

use crate::tools::{cargo, root, run as run_command};

/// Arguments of `cargo xtask doc`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Opens the result in a browser
    #[arg(long)]
    open: bool,
}

/// Documents every crate with every feature.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = cargo(["doc", "--workspace", "--all-features", "--no-deps"]);
    if args.open {
        command.arg("--open");
    }
    let flags = env::var("RUSTDOCFLAGS").unwrap_or_default();
    run_command(
        command
            .env("RUSTDOCFLAGS", format!("{flags} -D warnings").trim_start())
            .current_dir(root()?),
    )
}
