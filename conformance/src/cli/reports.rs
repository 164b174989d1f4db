// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `diff` and `merge`, and the files that `run --report` writes.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::output::{Color, note, print};
use super::{AS_EXPECTED, UNEXPECTED};
use crate::report::{Report, html, json, junit, merge as merging};

/// Form of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Form {
    /// For programs, `diff` and `merge`
    Json,
    /// For continuous integration
    Junit,
    /// For people
    Html,
}

/// A report to write, as `FORM=FILE`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    form: Form,
    file: PathBuf,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected json=FILE, junit=FILE or html=FILE".to_owned();
        let (form, file) = text.split_once('=').ok_or_else(wrong)?;
        if file.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            form: Form::from_str(form, false).map_err(|_| wrong())?,
            file: file.into(),
        })
    }
}

impl Target {
    /// Whether the report goes to standard output.
    pub(super) fn is_stdout(&self) -> bool {
        self.file.as_os_str() == "-"
    }

    /// Where the report goes.
    pub(super) fn file(&self) -> &PathBuf {
        &self.file
    }

    /// Writes the report.
    pub(super) fn write(&self, report: &Report) -> anyhow::Result<()> {
        let text = match self.form {
            Form::Json => json::to_string(report)?,
            Form::Junit => junit::to_string(report)?,
            Form::Html => html::to_string(report),
        };
        if self.is_stdout() {
            return print(&text);
        }
        std::fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))
    }
}

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// JSON report to compare with
    old: PathBuf,
    /// JSON report to compare
    new: PathBuf,
    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Print the difference as JSON
    #[arg(long)]
    json: bool,
}

/// Compares two reports.
pub(super) fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
    let diff = crate::diff::diff(&json::read(&args.old)?, &json::read(&args.new)?);
    let text = if args.json {
        serde_json::to_string_pretty(&diff)? + "\n"
    } else {
        diff.render(args.color.is_on())
    };
    print(&text)?;
    Ok(if diff.regressed.is_empty() {
        AS_EXPECTED
    } else {
        UNEXPECTED
    })
}

/// Arguments of `merge`.
#[derive(Args, Debug)]
pub(super) struct MergeArgs {
    /// JSON reports of all shards
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Where the joined report goes; may be given several times; without it, JSON goes to standard output
    #[arg(long = "report", value_name = "FORM=FILE")]
    reports: Vec<Target>,
}

/// Joins the reports of shards.
pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<u8> {
    let reports = args
        .files
        .iter()
        .map(|file| json::read(file))
        .collect::<Result<Vec<_>, _>>()?;
    let report = merging::merge(reports)?;
    if args.reports.is_empty() {
        print(&json::to_string(&report)?)?;
    }
    for target in &args.reports {
        target.write(&report)?;
        if !target.is_stdout() {
            note(&format!("wrote {}", target.file().display()));
        }
    }
    let unexpected = report.trials.iter().any(|trial| trial.status.is_unexpected());
    Ok(if unexpected { UNEXPECTED } else { AS_EXPECTED })
}
