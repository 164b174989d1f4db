// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The parts of a run, put together.

use std::collections::BTreeMap;

use super::text::{LONG, shorten};
use super::{Report, Trial};

/// Which part of a run: part `part` of `of`, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shard {
    pub(super) part: u32,
    pub(super) of: u32,
}

impl Shard {
    pub(super) fn parse(text: &str) -> Option<Self> {
        // `parse` alone would take `+1` and `01`.
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| n.to_string() == text);
        let (part, of) = text.split_once('/')?;
        let shard = Self {
            part: number(part)?,
            of: number(of)?,
        };
        (1..=shard.of).contains(&shard.part).then_some(shard)
    }
}

/// Why reports do not make one run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no reports to merge")]
    Nothing,
    /// A report is of a whole run.
    #[error("report {index} is not of a part of a run")]
    Whole {
        /// Place among the reports, from 1.
        index: usize,
    },
    /// A report's shard is not `K/N`.
    #[error("report {index} has shard \"{shard}\", expected K/N with K from 1 to N")]
    BadShard {
        /// Place among the reports, from 1.
        index: usize,
        /// What it says.
        shard: String,
    },
    /// Something that must be the same in all reports is not.
    #[error("{what} is {first} in shard {first_shard} and {other} in shard {other_shard}")]
    Differs {
        /// What differs, such as `subject`.
        what: &'static str,
        /// Its value in the first report.
        first: String,
        /// Shard of the first report.
        first_shard: String,
        /// Its value in the other report.
        other: String,
        /// Shard of the other report.
        other_shard: String,
    },
    /// A shard is there twice.
    #[error("shard {0} is there twice")]
    Twice(String),
    /// Shards are not there.
    #[error("{missing} of {of} shards missing, the first is {first}/{of}")]
    Missing {
        /// How many.
        missing: u32,
        /// How many there should be.
        of: u32,
        /// The lowest of them.
        first: u32,
    },
    /// Two shards have trials of one trace.
    #[error("trace {trace} is in shard {first} and in shard {second}")]
    TraceTwice {
        /// The trace.
        trace: String,
        /// A shard it is in.
        first: String,
        /// Another one.
        second: String,
    },
}

/// Joins the reports of all shards of a run, in any order.
///
/// The result is that of the undivided run but for times: it starts with the earliest shard, and lasts as long as the
/// longest, as if all had run side by side. Trials are ordered by trace, byte by byte, and stay in their order within a
/// trace. The host is that of the shards, with the highest number of threads among them.
///
/// # Errors
///
/// [`MergeError`] if a shard is missing or there twice, if schema, suite, subject or host differ, or if a trace is in
/// more than one shard.
pub fn merge(reports: Vec<Report>) -> Result<Report, MergeError> {
    let mut parts = BTreeMap::new();
    let mut first: Option<(Shard, Vec<(&'static str, String)>)> = None;
    for (i, report) in reports.into_iter().enumerate() {
        let text = report.shard.as_deref().ok_or(MergeError::Whole { index: i + 1 })?;
        let shard = Shard::parse(text).ok_or_else(|| MergeError::BadShard {
            index: i + 1,
            shard: shorten(text, LONG).into_owned(),
        })?;
        let identity = identity(&report, shard);
        match &first {
            None => first = Some((shard, identity)),
            Some((first_shard, expected)) => same(*first_shard, expected, shard, &identity)?,
        }
        if parts.insert(shard.part, report).is_some() {
            return Err(MergeError::Twice(name(shard)));
        }
    }
    let (Shard { of, .. }, _) = first.ok_or(MergeError::Nothing)?;
    let present = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    if present < of {
        let first = parts
            .keys()
            .zip(1..)
            .find_map(|(&part, due)| (part != due).then_some(due))
            .unwrap_or(present + 1);
        return Err(MergeError::Missing {
            missing: of - present,
            of,
            first,
        });
    }
    join(parts, of)
}

fn join(parts: BTreeMap<u32, Report>, of: u32) -> Result<Report, MergeError> {
    let mut traces: BTreeMap<String, (u32, Vec<Trial>)> = BTreeMap::new();
    let mut whole: Option<Report> = None;
    for (part, mut report) in parts {
        for trial in std::mem::take(&mut report.trials) {
            let (owner, trials) = traces.entry(trial.trace.clone()).or_insert((part, Vec::new()));
            if *owner != part {
                return Err(MergeError::TraceTwice {
                    first: name(Shard { part: *owner, of }),
                    second: name(Shard { part, of }),
                    trace: shorten(&trial.trace, LONG).into_owned(),
                });
            }
            trials.push(trial);
        }
        whole = Some(match whole {
            None => Report { shard: None, ..report },
            Some(mut whole) => {
                whole.started = whole.started.min(report.started);
                whole.duration_us = whole.duration_us.max(report.duration_us);
                whole.host.threads = whole.host.threads.max(report.host.threads);
                whole
            }
        });
    }
    let mut whole = whole.ok_or(MergeError::Nothing)?;
    whole.trials = traces.into_values().flat_map(|(_, trials)| trials).collect();
    Ok(whole)
}

fn name(shard: Shard) -> String {
    format!("{}/{}", shard.part, shard.of)
}

/// What all shards of a run have in common.
fn identity(report: &Report, shard: Shard) -> Vec<(&'static str, String)> {
    vec![
        ("schema", report.schema.clone()),
        ("number of shards", shard.of.to_string()),
        ("suite", report.suite.clone()),
        ("subject", report.subject.name.clone()),
        ("subject's version", report.subject.version.clone()),
        ("operating system", report.host.os.clone()),
        ("architecture", report.host.arch.clone()),
    ]
}

fn same(
    first_shard: Shard,
    first: &[(&'static str, String)],
    other_shard: Shard,
    other: &[(&'static str, String)],
) -> Result<(), MergeError> {
    match first.iter().zip(other).find(|(first, other)| first.1 != other.1) {
        None => Ok(()),
        Some(((what, first), (_, other))) => Err(MergeError::Differs {
            what,
            first: shorten(first, LONG).into_owned(),
            first_shard: name(first_shard),
            other: shorten(other, LONG).into_owned(),
            other_shard: name(other_shard),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards() {
        assert_eq!(Shard::parse("1/1"), Some(Shard { part: 1, of: 1 }));
        assert_eq!(
            Shard::parse("4294967295/4294967295"),
            Some(Shard {
                part: u32::MAX,
                of: u32::MAX
            })
        );
        for text in [
            "",
            "/",
            "1",
            "0/1",
            "2/1",
            "1/0",
            "+1/2",
            "01/2",
            "1/2/3",
            " 1/2",
            "1/4294967296",
            "-1/2",
        ] {
            assert_eq!(Shard::parse(text), None, "{text}");
        }
    }
}
