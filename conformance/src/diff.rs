// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What changed between two reports.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::summary::{label, repeats, word};
use crate::report::text::{LONG, Paint, count, date, shorten};
use crate::report::{Failure, Report, Status, SubjectInfo, Trial};

/// Name and version of the JSON form of [`Diff`].
pub const SCHEMA: &str = "igd-conformance/diff/1";

/// Trials listed of each kind of change in the text form.
const LISTED: usize = 100;

/// What changed from one report to another, section by section.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Diff {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The run compared with.
    pub old: Run,
    /// The run compared.
    pub new: Run,
    /// Sections that ended alike.
    pub same: u64,
    /// Sections that matched before and do not now, broke and only differed before, or make the run fail now and did
    /// not before.
    pub regressed: Vec<Change>,
    /// Sections that did not match before and do now, or broke before and only differ now.
    pub improved: Vec<Change>,
    /// Sections that ended in another way which is neither better nor worse, such as `pass` and then `skip`, or that
    /// fail at another place.
    pub changed: Vec<Change>,
    /// Sections that only the new report has.
    pub added: Vec<Change>,
    /// Sections that only the old report has.
    pub removed: Vec<Change>,
}

/// A run, by what tells it from others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What was tested.
    pub subject: SubjectInfo,
    /// Version of the suite.
    pub suite: String,
    /// Start, in seconds since the Unix epoch.
    pub started: u64,
    /// Trials in the report.
    pub trials: u64,
}

/// One section in both reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The trace.
    pub trace: String,
    /// Label of the section.
    pub section: String,
    /// How many sections of the trace before this one have its label.
    pub repeat: u64,
    /// How it ended in the old report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Status>,
    /// How it ended in the new report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Status>,
    /// First difference or reason in the new report, or in the old one if the new one has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Colours a text.
type Tint = fn(Paint, &str) -> String;

/// How well a trial ended, whatever was expected of it; `None` if it did not run.
const fn rank(status: Status) -> Option<u8> {
    match status {
        Status::Skip => None,
        Status::Error | Status::Timeout => Some(0),
        Status::Fail | Status::Xfail => Some(1),
        Status::Pass | Status::Xpass => Some(2),
    }
}

enum Outcome {
    Same,
    Regressed,
    Improved,
    Changed,
}

fn outcome(old: &Trial, new: &Trial) -> Outcome {
    let newly_unexpected = new.status.is_unexpected() && !old.status.is_unexpected();
    match (rank(old.status), rank(new.status)) {
        (Some(before), Some(now)) if now > before => Outcome::Improved,
        (Some(before), Some(now)) if now < before => Outcome::Regressed,
        _ if newly_unexpected => Outcome::Regressed,
        _ if old.status == new.status && place(old) == place(new) => Outcome::Same,
        _ => Outcome::Changed,
    }
}

/// What of a failure is the subject's doing; line numbers and wording belong to the corpus.
fn place(trial: &Trial) -> Option<(&str, &str, &str)> {
    trial
        .failure
        .as_ref()
        .map(|failure| (&*failure.access, &*failure.expected, &*failure.got))
}

/// Compares two reports. Times and the order of trials do not matter.
#[must_use]
pub fn diff(old: &Report, new: &Report) -> Diff {
    let mut diff = Diff {
        schema: SCHEMA.to_owned(),
        old: Run::of(old),
        new: Run::of(new),
        same: 0,
        regressed: Vec::new(),
        improved: Vec::new(),
        changed: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
    };
    let mut before = by_name(old);
    for (name, trial) in by_name(new) {
        let (.., repeat) = name;
        let Some(old) = before.remove(&name) else {
            diff.added.push(Change::new(None, Some(trial), trial, repeat));
            continue;
        };
        let list = match outcome(old, trial) {
            Outcome::Same => {
                diff.same += 1;
                continue;
            }
            Outcome::Regressed => &mut diff.regressed,
            Outcome::Improved => &mut diff.improved,
            Outcome::Changed => &mut diff.changed,
        };
        list.push(Change::new(Some(old), Some(trial), trial, repeat));
    }
    for ((.., repeat), trial) in before {
        diff.removed.push(Change::new(Some(trial), None, trial, repeat));
    }
    diff
}

fn by_name(report: &Report) -> BTreeMap<(&str, &str, u64), &Trial> {
    repeats(&report.trials)
        .map(|(repeat, trial)| ((&*trial.trace, &*trial.section, repeat), trial))
        .collect()
}

impl Run {
    fn of(report: &Report) -> Self {
        Self {
            subject: report.subject.clone(),
            suite: report.suite.clone(),
            started: report.started,
            trials: u64::try_from(report.trials.len()).unwrap_or(u64::MAX),
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} {} · suite {} · {} · {}",
            shorten(&self.subject.name, LONG),
            shorten(&self.subject.version, LONG),
            shorten(&self.suite, LONG),
            date(self.started),
            count(self.trials, "section"),
        )
    }
}

impl Change {
    fn new(old: Option<&Trial>, new: Option<&Trial>, named: &Trial, repeat: u64) -> Self {
        Self {
            trace: named.trace.clone(),
            section: named.section.clone(),
            repeat,
            old: old.map(|trial| trial.status),
            new: new.map(|trial| trial.status),
            detail: new.and_then(detail).or_else(|| old.and_then(detail)),
        }
    }
}

fn detail(trial: &Trial) -> Option<String> {
    let difference = trial.failure.as_ref().map(|failure| {
        let Failure {
            line,
            access,
            expected,
            got,
            ..
        } = failure;
        format!(
            "line {line}: {access}: expected {}, got {}",
            shorten(expected, 64),
            shorten(got, 64)
        )
    });
    difference.or_else(|| trial.reason.clone())
}

impl Diff {
    /// Whether anything that both reports have became worse.
    #[must_use]
    pub const fn is_regression(&self) -> bool {
        !self.regressed.is_empty()
    }

    /// Whether no section changed.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        let Self {
            regressed,
            improved,
            changed,
            added,
            removed,
            ..
        } = self;
        regressed.is_empty() && improved.is_empty() && changed.is_empty() && added.is_empty() && removed.is_empty()
    }

    /// Renders the difference as text.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let paint = Paint(color);
        let mut out = format!("old  {}\nnew  {}\n\n", self.old.describe(), self.new.describe());
        let mut summary = Vec::new();
        let lists: [(&str, &[Change], Tint); 5] = [
            ("regressed", &self.regressed, Paint::red),
            ("improved", &self.improved, Paint::green),
            ("changed", &self.changed, Paint::yellow),
            ("added", &self.added, Paint::bold),
            ("removed", &self.removed, Paint::bold),
        ];
        for (heading, changes, tint) in lists {
            if changes.is_empty() {
                continue;
            }
            summary.push(tint(paint, &format!("{} {heading}", changes.len())));
            out += &format!("{}\n", tint(paint, heading));
            for change in changes.iter().take(LISTED) {
                out += &format!("  {}\n", change.line(paint));
                if let Some(detail) = &change.detail {
                    out += &format!("  {:18}{}\n", "", paint.dim(&shorten(detail, LONG)));
                }
            }
            let rest = u64::try_from(changes.len().saturating_sub(LISTED)).unwrap_or(u64::MAX);
            if rest > 0 {
                out += &format!("  and {}\n", count(rest, "more section"));
            }
            out.push('\n');
        }
        summary.push(format!("{} same", self.same));
        out + &summary.join(" · ") + "\n"
    }
}

impl Change {
    fn line(&self, paint: Paint) -> String {
        let status = |status: Option<Status>| status.map_or("-", word);
        let way = format!("{:>7} → {:<7}", status(self.old), status(self.new));
        format!(
            "{way} {}  {}",
            paint.bold(&shorten(&self.trace, LONG)),
            label(&self.section, self.repeat)
        )
    }
}
