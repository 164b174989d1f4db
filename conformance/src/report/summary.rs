// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the renderings have in common: totals, reasons, names, the verdict.

use std::collections::{BTreeMap, BTreeSet};

use super::bits::{Piece, compare};
use super::text::{COMMAND, LONG, count, duration, printable, shorten, thousands};
use super::{Counts, Report, Status, Trial};

/// Totals of some trials.
#[derive(Default)]
pub(super) struct Total {
    pub(super) traces: u64,
    pub(super) sections: u64,
    pub(super) counts: Counts,
    pub(super) accesses: u64,
    /// Time in trials, which is more than the duration of the run if several run at once.
    pub(super) duration_us: u64,
}

impl Total {
    pub(super) fn of<'a>(trials: impl IntoIterator<Item = &'a Trial> + Clone) -> Self {
        let mut total = Self {
            counts: Counts::of(trials.clone()),
            ..Self::default()
        };
        let mut traces = BTreeSet::new();
        for trial in trials {
            traces.insert(trial.trace.as_str());
            total.sections += 1;
            total.accesses = total.accesses.saturating_add(trial.accesses);
            total.duration_us = total.duration_us.saturating_add(trial.duration_us);
        }
        total.traces = to_u64(traces.len());
        total
    }
}

pub(super) fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// The folder of a trace, or `.` if it lies in none.
pub(super) fn group(trial: &Trial) -> &str {
    trial.trace.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// Trials by group, in the order of the groups' names.
pub(super) fn groups(trials: &[Trial]) -> BTreeMap<&str, Vec<&Trial>> {
    let mut groups: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        groups.entry(group(trial)).or_default().push(trial);
    }
    groups
}

/// A text that some trials share, and where.
pub(super) struct Reason<'a> {
    pub(super) text: &'a str,
    pub(super) sections: u64,
    pub(super) groups: BTreeSet<&'a str>,
}

impl Reason<'_> {
    /// `3 sections in fwcfg, igd`
    pub(super) fn place(&self) -> String {
        let groups = self
            .groups
            .iter()
            .map(|group| printable(group))
            .collect::<Vec<_>>()
            .join(", ");
        format!("{} in {}", count(self.sections, "section"), shorten(&groups, LONG))
    }
}

/// The reasons of the trials that ended with `status`, the most frequent first.
pub(super) fn reasons(trials: &[Trial], status: Status) -> Vec<Reason<'_>> {
    let trials = trials.iter().filter(|trial| trial.status == status);
    gather(trials.map(|trial| (trial.reason.as_deref().unwrap_or("no reason given"), trial)))
}

/// The compatibility settings under which trials ran, the most frequent first.
pub(super) fn settings(trials: &[Trial]) -> Vec<Reason<'_>> {
    gather(
        trials
            .iter()
            .filter_map(|trial| Some((trial.setting.as_deref()?, trial))),
    )
}

fn gather<'a>(trials: impl Iterator<Item = (&'a str, &'a Trial)>) -> Vec<Reason<'a>> {
    let mut by_text: BTreeMap<&str, Reason<'_>> = BTreeMap::new();
    for (text, trial) in trials {
        let reason = by_text.entry(text).or_insert(Reason {
            text,
            sections: 0,
            groups: BTreeSet::new(),
        });
        reason.sections += 1;
        reason.groups.insert(group(trial));
    }
    let mut reasons: Vec<_> = by_text.into_values().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.sections));
    reasons
}

/// For each trial, how many trials before it have its trace and section.
///
/// A trace may check one rule in several sections of the same label.
pub(crate) fn repeats(trials: &[Trial]) -> impl Iterator<Item = (u64, &Trial)> {
    let mut seen: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    trials.iter().map(move |trial| {
        let times = seen.entry((&trial.trace, &trial.section)).or_default();
        *times += 1;
        (*times - 1, trial)
    })
}

/// A section's label, numbered from its second appearance in the trace.
pub(crate) fn label(section: &str, repeat: u64) -> String {
    let section = shorten(section, LONG);
    if repeat == 0 {
        section.into_owned()
    } else {
        format!("{section} #{}", repeat.saturating_add(1))
    }
}

/// The word for a status.
pub(crate) const fn word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Skip => "skip",
        Status::Xfail => "xfail",
        Status::Xpass => "xpass",
        Status::Error => "error",
        Status::Timeout => "timeout",
    }
}

/// How the run as a whole ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    AsExpected,
    Unexpected(u64),
    NothingRan,
}

pub(super) fn verdict(counts: &Counts) -> Verdict {
    let Counts {
        pass,
        fail,
        skip: _,
        xfail,
        xpass,
        error,
        timeout,
    } = *counts;
    match fail + xpass + error + timeout {
        0 if pass + xfail == 0 => Verdict::NothingRan,
        0 => Verdict::AsExpected,
        unexpected => Verdict::Unexpected(unexpected),
    }
}

/// The verdict in words.
pub(super) fn verdict_text(verdict: Verdict) -> String {
    match verdict {
        Verdict::AsExpected => "all as expected".to_owned(),
        Verdict::Unexpected(n) => count(n, "unexpected result"),
        Verdict::NothingRan => "nothing ran".to_owned(),
    }
}

/// What the verdict is about: `214 sections of 57 traces, 12 skipped, 0.4 s on 8 threads`.
pub(super) fn scope(report: &Report, total: &Total) -> String {
    let mut text = format!(
        "{} of {}",
        count(total.sections, "section"),
        count(total.traces, "trace")
    );
    for (n, what) in [(total.counts.skip, "skipped"), (total.counts.xfail, "expected to fail")] {
        if n > 0 {
            text += &format!(", {} {what}", thousands(n));
        }
    }
    text += &format!(
        ", {} on {}",
        duration(report.duration_us),
        count(to_u64(report.host.threads), "thread")
    );
    text
}

/// What is known about one trial beyond its name and status, label by label.
pub(super) fn details(trial: &Trial) -> Vec<(&'static str, Vec<Piece>)> {
    fn plain(text: &str) -> Vec<Piece> {
        vec![Piece {
            text: shorten(text, LONG).into_owned(),
            differs: false,
        }]
    }
    // A command is of use only if it is whole.
    fn command(text: &str) -> Vec<Piece> {
        vec![Piece {
            text: shorten(text, COMMAND).into_owned(),
            differs: false,
        }]
    }
    let mut rows = Vec::new();
    if let Some(failure) = &trial.failure {
        let comparison = compare(failure);
        rows.push((
            "at",
            plain(&format!("{}:{}", shorten(&failure.path, LONG), failure.line)),
        ));
        rows.push(("line", plain(&failure.text)));
        rows.push(("rule", plain(&failure.rule)));
        rows.push(("access", plain(&failure.access)));
        rows.push(("expected", comparison.expected));
        rows.push(("got", comparison.got));
        if let Some(mask) = &failure.mask {
            rows.push(("mask", plain(mask)));
        }
        if let Some(note) = comparison.note {
            rows.push(("differs", plain(&note)));
        }
    }
    if trial.differences > 1 {
        let differences = count(trial.differences, "difference");
        let text = format!("{differences}, {} compared", count(trial.checks, "answer"));
        rows.push(("in all", plain(&text)));
    }
    if let Some(reason) = &trial.reason {
        rows.push(("reason", plain(reason)));
    }
    if let Some(setting) = &trial.setting {
        rows.push(("setting", plain(setting)));
    }
    if let Some(failure) = &trial.failure {
        rows.push(("again", command(&failure.again)));
    }
    rows.retain(|(_, pieces)| pieces.iter().any(|piece| !piece.text.is_empty()));
    rows
}
