// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask conformance`: builds `igd-conformance` and starts it.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::tools::{cargo, root, run as run_command, succeed, target_dir};

/// Arguments of `cargo xtask conformance`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Arguments for igd-conformance; without any, the whole corpus is run and reports are written
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

/// The reports of a run without arguments: format and file name.
const REPORTS: &[(&str, &str)] = &[
    ("json", "report.json"),
    ("junit", "report.xml"),
    ("html", "report.html"),
];

/// Runs `igd-conformance`; its exit code is ours.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let target = target_dir()?;
    let program = target.join("release").join(format!("igd-conformance{EXE_SUFFIX}"));
    let mut build = cargo([
        "build",
        "--release",
        "--package",
        "igd-conformance",
        "--bin",
        "igd-conformance",
    ]);
    build.current_dir(root()?);
    // Shows what takes long the first time, and stays out of the way later.
    if program.exists() {
        succeed(build.arg("--quiet"))?;
    } else {
        run_command(&mut build)?;
    }

    let reports = target.join("conformance");
    // Short to read and to copy, where that is possible.
    let reports = match std::env::current_dir() {
        Ok(here) => reports.strip_prefix(here).map(Path::to_path_buf).unwrap_or(reports),
        Err(_) => reports,
    };
    if args.args.is_empty() {
        fs::create_dir_all(&reports).with_context(|| format!("cannot create {}", reports.display()))?;
    }
    let mut command = Command::new(&program);
    command.args(arguments(&args.args, &root()?.join("conformance/traces"), &reports));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let code = status
        .code()
        .with_context(|| format!("igd-conformance ended by a signal ({status})"))?;
    Ok(u8::try_from(code).unwrap_or(1))
}

/// What `igd-conformance` is given: `run` goes without saying, and a run of everything writes reports.
fn arguments(given: &[OsString], corpus: &Path, reports: &Path) -> Vec<OsString> {
    let mut arguments = Vec::new();
    if given
        .first()
        .is_none_or(|first| belongs_to_run(&first.to_string_lossy(), corpus))
    {
        arguments.push("run".into());
    }
    arguments.extend_from_slice(given);
    if given.is_empty() {
        for (format, name) in REPORTS {
            let mut report = OsString::from(format!("{format}="));
            report.push(reports.join(name));
            arguments.extend(["--report".into(), report]);
        }
    }
    arguments
}

/// Whether the first argument is an option or a trace of `run`, not a command.
fn belongs_to_run(first: &str, corpus: &Path) -> bool {
    if first.starts_with('-') {
        return !["--help", "-h", "--version", "-V"].contains(&first);
    }
    first.contains(['/', '.']) || corpus.join(first).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(given: &[&str]) -> Vec<String> {
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        arguments(&given, &root().unwrap().join("conformance/traces"), Path::new("out"))
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect()
    }

    #[test]
    fn run_goes_without_saying() {
        assert_eq!(passed(&["fwcfg"]), ["run", "fwcfg"]);
        assert_eq!(passed(&["--subject", "qtest"]), ["run", "--subject", "qtest"]);
        assert_eq!(passed(&["fwcfg/basic", "--trace"]), ["run", "fwcfg/basic", "--trace"]);
        assert_eq!(passed(&["my.trace"]), ["run", "my.trace"]);
        for word in ["run", "list", "diff", "rnu", "--help", "-h", "--version", "-V"] {
            assert_eq!(passed(&[word, "x"]), [word, "x"]);
        }
    }

    #[test]
    fn a_run_of_everything_writes_reports() {
        assert_eq!(
            passed(&[]).join(" "),
            "run --report json=out/report.json --report junit=out/report.xml --report html=out/report.html"
        );
        assert_eq!(passed(&["run"]), ["run"]);
    }
}
