// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Expectations: known differences and trials that are left out, each with a reason.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::pattern::Pattern;

/// The expectations that come with the suite.
const BUILT_IN: &str = include_str!("../expectations.toml");
/// Largest file of expectations, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// What is expected of trials.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// The trial fails; passing is unexpected.
    Xfail,
    /// The trial is not run.
    Skip,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expectation {
    /// Which traces.
    pub trace: Pattern,
    /// Which sections of them.
    pub section: Pattern,
    /// Of which subject.
    pub subject: String,
    /// What happens.
    pub status: Expected,
    /// Why.
    pub reason: String,
}

/// Entries of which the first that matches counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expectations(Vec<Expectation>);

/// Expectations that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// The file is larger than any such file.
    #[error("{path}: larger than {MAX_SIZE} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is no expectations.
    #[error("{name}: {what}")]
    Parse {
        /// Where the text comes from.
        name: String,
        /// What is wrong, with its place.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    expect: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    trace: String,
    #[serde(default)]
    section: Option<String>,
    subject: String,
    status: Expected,
    reason: String,
}

impl Expectations {
    /// The expectations that come with the suite.
    ///
    /// # Errors
    ///
    /// The suite was built with a file that is wrong.
    pub fn built_in() -> Result<Self, ExpectError> {
        Self::parse(BUILT_IN, "expectations.toml")
    }

    /// The expectations in a file.
    ///
    /// # Errors
    ///
    /// The file could not be read, or is wrong.
    pub fn read(path: &Path) -> Result<Self, ExpectError> {
        let io = |source| ExpectError::Io {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(io)?.len() > MAX_SIZE {
            return Err(ExpectError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(io)?, &path.display().to_string())
    }

    /// The expectations in a text called `name` in errors.
    ///
    /// # Errors
    ///
    /// The text is not TOML, lacks a field or has an unknown one, or a reason is empty.
    pub fn parse(text: &str, name: &str) -> Result<Self, ExpectError> {
        let wrong = |what: String| ExpectError::Parse {
            name: name.to_owned(),
            what,
        };
        let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let entries = file.expect.into_iter().map(|entry| {
            if entry.reason.trim().is_empty() {
                return Err(wrong(format!("the entry for `{}` has no reason", entry.trace)));
            }
            Ok(Expectation {
                trace: Pattern::glob(&entry.trace),
                section: Pattern::glob(entry.section.as_deref().unwrap_or("*")),
                subject: entry.subject,
                status: entry.status,
                reason: entry.reason,
            })
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// These expectations and then `others`.
    #[must_use]
    pub fn and_then(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// What is expected of a section of a trace.
    #[must_use]
    pub fn find(&self, subject: &str, trace: &str, section: &str) -> Option<&Expectation> {
        self.0.iter().find(|entry| entry.matches(subject, trace, section))
    }

    /// Entries for `subject` that match none of these pairs of trace and section.
    pub fn unused<'a>(
        &'a self,
        subject: &'a str,
        trials: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Expectation> {
        let used = move |entry: &Expectation| {
            trials
                .iter()
                .any(|(trace, section)| entry.matches(subject, trace, section))
        };
        self.0
            .iter()
            .filter(move |entry| entry.subject == subject && !used(entry))
    }
}

impl Expectation {
    fn matches(&self, subject: &str, trace: &str, section: &str) -> bool {
        self.subject == subject && self.trace.matches(trace) && self.section.matches(section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_matches_counts() {
        let mine = "[[expect]]\ntrace = 'a/*'\nsection = 'x.*'\nsubject = 's'\nstatus = 'xfail'\nreason = 'r'\n";
        let all = "[[expect]]\ntrace = '*'\nsubject = 's'\nstatus = 'skip'\nreason = 'q'\n";
        let both = Expectations::parse(mine, "a")
            .unwrap()
            .and_then(Expectations::parse(all, "b").unwrap());
        let status = |trace, section| both.find("s", trace, section).map(|entry| entry.status);
        assert_eq!(status("a/b", "x.y"), Some(Expected::Xfail));
        assert_eq!(status("a/b", "y.y"), Some(Expected::Skip));
        assert_eq!(both.find("t", "a/b", "x.y"), None);
        assert_eq!(
            both.unused("s", &[("b", "x.y")])
                .map(|entry| entry.reason.as_str())
                .collect::<Vec<_>>(),
            ["r"]
        );
        assert_eq!(both.unused("t", &[]).count(), 0);
    }

    #[test]
    fn wrong_entries_are_refused() {
        for (text, message) in [
            ("[[expect]]\ntrace = 'a'\nsubject = 's'\nstatus = 'skip'\n", "reason"),
            (
                "[[expect]]\ntrace = 'a'\nsubject = 's'\nstatus = 'skip'\nreason = ' '\n",
                "has no reason",
            ),
            (
                "[[expect]]\ntrace = 'a'\nsubject = 's'\nstatus = 'pass'\nreason = 'r'\n",
                "pass",
            ),
            (
                "[[expect]]\ntrace = 'a'\nsubject = 's'\nstatus = 'skip'\nreason = 'r'\nwhen = 1\n",
                "when",
            ),
            ("expects = 1\n", "expects"),
            ("\u{0}", "TOML"),
        ] {
            let error = Expectations::parse(text, "f.toml").unwrap_err().to_string();
            assert!(error.starts_with("f.toml: ") && error.contains(message), "{error}");
        }
    }

    #[test]
    fn the_built_in_expectations_parse() {
        assert!(Expectations::built_in().is_ok());
    }
}
