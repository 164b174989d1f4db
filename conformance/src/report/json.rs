// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The report as JSON, as `schema/report-v1.json` describes it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::merge::Shard;
use super::text::{LONG, shorten, thousands};
use super::{Report, SCHEMA, Status, Trial};

/// Largest file that [`read`] accepts, in bytes.
pub const MAX_LEN: u64 = 256 << 20;

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not JSON, or a field is missing, unknown or of the wrong type; the text names line and column.
    #[error("{0}")]
    Syntax(String),
    /// It is of another kind or a later version.
    #[error("schema is \"{0}\", expected \"{SCHEMA}\"")]
    Schema(String),
    /// Its fields contradict each other.
    #[error("{0}")]
    Inconsistent(String),
}

/// Why a file could not be read as a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", shorten(&path.to_string_lossy(), LONG))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than [`MAX_LEN`].
    #[error("{}: {}{} bytes, a report has at most {}",
        shorten(&path.to_string_lossy(), LONG), if *exact { "" } else { "more than " }, thousands(*len), thousands(*max))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes, as far as it was looked at.
        len: u64,
        /// Whether `len` is its whole size.
        exact: bool,
        /// Bytes allowed.
        max: u64,
    },
    /// Its content is not a report.
    #[error("{} is not a report", shorten(&path.to_string_lossy(), LONG))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
}

/// Renders a report as indented JSON, with a line feed at the end.
///
/// # Errors
///
/// None that a report can cause; serialisation is fallible by its signature.
pub fn to_string(report: &Report) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}

/// Reads a report from JSON.
///
/// The caller bounds the length; memory used is proportional to it.
///
/// # Errors
///
/// The text is not JSON, is of another schema, or contradicts itself. Messages are one line.
pub fn parse(json: &[u8]) -> Result<Report, ParseError> {
    /// The field that says how to read the others.
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let syntax = |error: serde_json::Error| ParseError::Syntax(shorten(&error.to_string(), LONG).into_owned());
    let head: Head = serde_json::from_slice(json).map_err(syntax)?;
    if head.schema != SCHEMA {
        return Err(ParseError::Schema(shorten(&head.schema, LONG).into_owned()));
    }
    let report: Report = serde_json::from_slice(json).map_err(syntax)?;
    check(&report).map_err(ParseError::Inconsistent)?;
    Ok(report)
}

/// Reads a report from a file of at most [`MAX_LEN`] bytes.
///
/// # Errors
///
/// The file cannot be read, is larger, or is not a report.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    read_at_most(path, MAX_LEN)
}

fn read_at_most(path: &Path, max: u64) -> Result<Report, ReadError> {
    let io = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let too_large = |len, exact| {
        Err(ReadError::TooLarge {
            path: path.to_owned(),
            len,
            exact,
            max,
        })
    };
    let file = File::open(path).map_err(io)?;
    let len = file.metadata().map_err(io)?.len();
    if len > max {
        return too_large(len, true);
    }
    // A pipe or a growing file is longer than it says.
    let mut json = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut json).map_err(io)?;
    if u64::try_from(json.len()).unwrap_or(u64::MAX) > max {
        return too_large(max, false);
    }
    parse(&json).map_err(|source| ReadError::Parse {
        path: path.to_owned(),
        source,
    })
}

fn check(report: &Report) -> Result<(), String> {
    if let Some(shard) = &report.shard
        && Shard::parse(shard).is_none()
    {
        return Err(format!(
            "shard is \"{}\", expected K/N with K from 1 to N",
            shorten(shard, LONG)
        ));
    }
    let mut traces = BTreeSet::new();
    let mut last = None;
    for (i, trial) in report.trials.iter().enumerate() {
        let name = || {
            format!(
                "trial {i} ({} {})",
                shorten(&trial.trace, LONG),
                shorten(&trial.section, LONG)
            )
        };
        if let Some(problem) = contradiction(trial) {
            return Err(format!("{}: {problem}", name()));
        }
        if last != Some(&trial.trace) && !traces.insert(&trial.trace) {
            return Err(format!("{}: not next to the other trials of its trace", name()));
        }
        last = Some(&trial.trace);
    }
    Ok(())
}

/// The first thing in a trial that cannot be.
fn contradiction(trial: &Trial) -> Option<String> {
    let Trial {
        trace,
        section,
        status,
        differences,
        reason,
        failure,
        ..
    } = trial;
    let matched = matches!(status, Status::Pass | Status::Xpass | Status::Skip);
    let needs_reason = matches!(status, Status::Skip | Status::Xfail | Status::Error);
    let status = super::summary::word(*status);
    [
        (trace.is_empty(), "the trace has no name".to_owned()),
        (section.is_empty(), "the section has no label".to_owned()),
        (
            matched && *differences > 0,
            format!("{status} with {differences} differences"),
        ),
        (matched && failure.is_some(), format!("{status} with a failure")),
        (
            status == "fail" && failure.is_none(),
            "fail without a failure".to_owned(),
        ),
        (needs_reason && reason.is_none(), format!("{status} without a reason")),
    ]
    .into_iter()
    .find_map(|(wrong, what)| wrong.then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_file_that_is_too_large_is_refused_with_its_size() {
        let path = std::env::temp_dir().join(format!("igd-conformance-json-{}.json", std::process::id()));
        let text = to_string(&sample::mixed()).unwrap();
        let len = u64::try_from(text.len()).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read_at_most(&path, len).unwrap(), sample::mixed());
        let error = read_at_most(&path, len - 1).unwrap_err().to_string();
        std::fs::remove_file(&path).unwrap();
        assert!(
            error.contains(&thousands(len)) && error.contains(&thousands(len - 1)),
            "{error}"
        );
        let error = read(&path).unwrap_err();
        assert!(matches!(error, ReadError::Io { .. }), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_without_end_is_refused() {
        let error = read_at_most(Path::new("/dev/zero"), 4096).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: more than 4,096 bytes, a report has at most 4,096");
    }
}
