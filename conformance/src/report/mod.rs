// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The outcome of a run: one model, several renderings.

mod bits;
pub mod html;
pub mod json;
pub mod junit;
pub mod merge;
pub mod sample;
pub(crate) mod summary;
pub mod table;
pub(crate) mod text;

use serde::{Deserialize, Serialize};

/// Name and version of the JSON form of [`Report`].
pub const SCHEMA: &str = "igd-conformance/report/1";

/// The outcome of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Version of this suite.
    pub suite: String,
    /// What was tested.
    pub subject: SubjectInfo,
    /// Where it ran.
    pub host: HostInfo,
    /// Start of the run, in seconds since the Unix epoch.
    pub started: u64,
    /// Wall-clock duration of the run, in microseconds.
    pub duration_us: u64,
    /// Which part of the run this is, as `K/N`; absent if it is the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Every trial, ordered by trace and then by place in the trace.
    pub trials: Vec<Trial>,
}

/// What was tested.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectInfo {
    /// Name, such as `igd`.
    pub name: String,
    /// Version.
    pub version: String,
}

/// Where the run took place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostInfo {
    /// Operating system, such as `linux`.
    pub os: String,
    /// Architecture, such as `x86_64`.
    pub arch: String,
    /// How many worker threads ran trials.
    pub threads: usize,
}

/// How a trial ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every answer was the recorded one.
    Pass,
    /// An answer differed.
    Fail,
    /// The trial did not run; the reason says why.
    Skip,
    /// It failed as the expectations say.
    Xfail,
    /// The expectations say that it fails, and it passed.
    Xpass,
    /// The trace could not be read, or the subject broke or panicked.
    Error,
    /// It took longer than allowed.
    Timeout,
}

impl Status {
    /// Whether the run as a whole fails because of it.
    #[must_use]
    pub const fn is_unexpected(self) -> bool {
        matches!(self, Self::Fail | Self::Xpass | Self::Error | Self::Timeout)
    }
}

/// One section of one trace.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The trace without its extension, relative to the corpus: `fwcfg/basic`.
    pub trace: String,
    /// Label of the section: `fwcfg.dma-skip`.
    pub section: String,
    /// Kind of the trace: `qtest` or `firmware`.
    pub kind: String,
    /// The compatibility setting under which the subject answered, such as `qemu-11.1`, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it was skipped, was expected to fail, or broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Accesses performed.
    pub accesses: u64,
    /// Answers compared.
    pub checks: u64,
    /// Answers that differed.
    pub differences: u64,
    /// Time spent in the section, in microseconds.
    pub duration_us: u64,
    /// The first difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// The first answer that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Path of the trace as it was given or found.
    pub path: String,
    /// Line in the trace, from 1.
    pub line: u64,
    /// The line, shortened if it is long.
    pub text: String,
    /// The rule in the words of the section.
    pub rule: String,
    /// The access in words: `port 0x511, 1 byte`.
    pub access: String,
    /// The recorded answer.
    pub expected: String,
    /// The subject's answer.
    pub got: String,
    /// Bits compared, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Command that runs this trial again.
    pub again: String,
}

/// How many trials ended in each way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// [`Status::Pass`]
    pub pass: u64,
    /// [`Status::Fail`]
    pub fail: u64,
    /// [`Status::Skip`]
    pub skip: u64,
    /// [`Status::Xfail`]
    pub xfail: u64,
    /// [`Status::Xpass`]
    pub xpass: u64,
    /// [`Status::Error`]
    pub error: u64,
    /// [`Status::Timeout`]
    pub timeout: u64,
}

impl Counts {
    /// Counts `trials`.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut counts = Self::default();
        for trial in trials {
            *match trial.status {
                Status::Pass => &mut counts.pass,
                Status::Fail => &mut counts.fail,
                Status::Skip => &mut counts.skip,
                Status::Xfail => &mut counts.xfail,
                Status::Xpass => &mut counts.xpass,
                Status::Error => &mut counts.error,
                Status::Timeout => &mut counts.timeout,
            } += 1;
        }
        counts
    }

    /// Trials that make the run fail.
    #[must_use]
    pub const fn unexpected(&self) -> u64 {
        self.fail + self.xpass + self.error + self.timeout
    }
}
