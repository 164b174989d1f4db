// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Starting other programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::Outcome;

/// A program that a task would like to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Subcommand of cargo.
    pub(crate) name: &'static str,
    /// Command that installs it.
    pub(crate) install: &'static str,
    /// Whether CI cannot do without.
    pub(crate) needed: bool,
}

/// `cargo fmt`.
pub(crate) const FMT: Tool = Tool {
    name: "fmt",
    install: "rustup component add rustfmt",
    needed: true,
};
/// `cargo clippy`.
pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    install: "rustup component add clippy",
    needed: true,
};
/// `cargo nextest`.
pub(crate) const NEXTEST: Tool = Tool {
    name: "nextest",
    install: "cargo install --locked cargo-nextest",
    needed: false,
};
/// `cargo deny`.
pub(crate) const DENY: Tool = Tool {
    name: "deny",
    install: "cargo install --locked cargo-deny",
    needed: false,
};

/// `cargo llvm-cov`.
pub(crate) const LLVM_COV: Tool = Tool {
    name: "llvm-cov",
    install: "cargo install --locked cargo-llvm-cov; rustup component add llvm-tools",
    needed: false,
};
/// `cargo mutants`.
pub(crate) const MUTANTS: Tool = Tool {
    name: "mutants",
    install: "cargo install --locked cargo-mutants",
    needed: false,
};

impl Tool {
    /// Whether the tool can be started.
    pub(crate) fn is_present(self) -> bool {
        cargo([self.name, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// What a step that needs the tool comes to without it.
    pub(crate) fn missing(self) -> Outcome {
        let reason = format!("cargo {} is not installed: {}", self.name, self.install);
        if self.needed && on_ci() {
            Outcome::Failed(reason)
        } else {
            Outcome::Skipped(reason)
        }
    }
}

/// Whether the environment says that this is CI.
pub(crate) fn on_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// The root of the workspace.
pub(crate) fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the xtask crate has no parent folder")
}

/// The folder that holds the profiles' folders. This program was built into it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let target = program.ancestors().nth(2);
    Ok(target
        .with_context(|| format!("{} is in no target folder", program.display()))?
        .to_owned())
}

/// The cargo that started us, with `args`.
pub(crate) fn cargo<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs a command and shows which.
///
/// # Errors
///
/// It cannot be started, or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", line(command));
    succeed(command)
}

/// Runs a command.
///
/// # Errors
///
/// It cannot be started, or does not succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line += &arg.to_string_lossy();
    }
    line
}
