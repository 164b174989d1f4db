// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Replays traces on a subject.
//!
//! A trace is one unit of work: its sections share a machine, and each label is one trial. A subject that panics or
//! hangs costs the rest of its trace, not the run.

mod compare;
mod panics;
mod pool;
mod replay;
mod select;
mod storage;
mod trials;
mod vectors;
mod words;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::corpus::Trace;
use crate::expect::Expectations;
use crate::pattern::Pattern;
use crate::report::{Report, Trial};
use crate::subject::Subject;

pub use pool::run;
pub use select::Selection;
pub use storage::Storage;

/// A subject that worker threads share.
pub type SharedSubject = Arc<dyn Subject + Send>;

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Most worker threads; as many as the machine has processors if `None`.
    pub jobs: Option<NonZeroUsize>,
    /// Longest time for one trace.
    pub timeout: Duration,
    /// Sections that are reported; all if `None`. The others of a trace are executed too.
    pub section: Option<Pattern>,
    /// Known differences.
    pub expectations: Expectations,
    /// Which part of a run this is, for the report.
    pub shard: Option<String>,
    /// Command that the report names for running a trial again.
    pub again: Again,
    /// Sees each access of the reported sections.
    pub tap: Option<Tap>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: None,
            timeout: Duration::from_secs(60),
            section: None,
            expectations: Expectations::default(),
            shard: None,
            again: Again::default(),
            tap: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("jobs", &self.jobs)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The command that runs a trial again: `PROGRAM run TRACE --section LABEL OPTIONS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Again {
    /// What to call, such as `igd-conformance`.
    pub program: String,
    /// Options that choose the subject, with a space before each.
    pub options: String,
}

impl Default for Again {
    fn default() -> Self {
        Self {
            program: "igd-conformance".to_owned(),
            options: String::new(),
        }
    }
}

/// Sees accesses as they are performed.
pub type Tap = Arc<dyn Fn(&Observed<'_>) + Send + Sync>;

/// One line of a trace and what the subject answered.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Name of the trace.
    pub trace: &'a str,
    /// Label of the section.
    pub section: &'a str,
    /// Number of the line, from 1.
    pub number: u64,
    /// The line.
    pub text: &'a [u8],
    /// The subject's answer, if the line asks for one.
    pub answer: Option<String>,
    /// Whether the answer is another than the recorded one.
    pub differs: bool,
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// Traces that could not be read to their end, one message each.
    pub unreadable: Vec<String>,
}

/// What came of one trace.
#[derive(Clone, PartialEq, Debug)]
pub struct TraceOutcome {
    /// Its reported trials, in the order of the trace.
    pub trials: Vec<Trial>,
    /// Why the trace could not be read to its end.
    pub unreadable: Option<String>,
}

/// Replays one trace in this thread. Nothing ends a subject that hangs.
#[must_use]
pub fn replay(subject: &dyn Subject, trace: &Trace, options: &Options) -> TraceOutcome {
    panics::quiet();
    let control = replay::Control::default();
    let end = replay::replay(subject, trace, options, &control);
    trials::outcome(subject.name(), trace, options, &control.board(), &end)
}
