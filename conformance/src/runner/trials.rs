// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the replay of a trace means for its trials.

use super::replay::{Board, End, Tally};
use super::select::is_selected;
use super::{Options, TraceOutcome};
use crate::corpus::{Section, Trace, UNNAMED};
use crate::expect::Expected;
use crate::report::{Status, Trial};

/// The trials of `trace`.
pub(super) fn outcome(subject: &str, trace: &Trace, options: &Options, board: &Board, end: &End) -> TraceOutcome {
    let unreadable = match end {
        End::Unreadable(message) => Some(message.clone()),
        _ => None,
    };
    let verdict = |place: usize, section: &Section| {
        let tally = board.tallies.get(place).cloned().unwrap_or_default();
        let expected = options.expectations.find(subject, &trace.name, &section.label);
        let (status, reason) = match expected {
            Some(entry) if entry.status == Expected::Skip => (Status::Skip, Some(entry.reason.clone())),
            Some(entry) => match judge(place, section, &tally, trace, board, end, options) {
                (Status::Fail, _) => (Status::Xfail, Some(entry.reason.clone())),
                (Status::Pass, _) => (Status::Xpass, Some(format!("expected to fail: {}", entry.reason))),
                other => other,
            },
            None => judge(place, section, &tally, trace, board, end, options),
        };
        trial(trace, section, board, tally, status, reason)
    };
    let sections = trace.sections.iter().enumerate();
    let reported = sections.filter(|(_, section)| is_selected(options.section.as_ref(), section));
    let mut trials: Vec<_> = reported.map(|(place, section)| verdict(place, section)).collect();
    if trials.is_empty() && unreadable.is_some() {
        let whole = Section {
            label: UNNAMED.to_owned(),
            text: String::new(),
            visits: 0,
            accesses: 0,
        };
        trials.push(trial(
            trace,
            &whole,
            board,
            Tally::default(),
            Status::Error,
            unreadable.clone(),
        ));
    }
    TraceOutcome { trials, unreadable }
}

fn trial(
    trace: &Trace,
    section: &Section,
    board: &Board,
    tally: Tally,
    status: Status,
    reason: Option<String>,
) -> Trial {
    let Tally {
        visits: _,
        accesses,
        checks,
        differences,
        time,
        failure,
    } = tally;
    let performed = status != Status::Skip;
    Trial {
        trace: trace.name.clone(),
        section: section.label.clone(),
        kind: trace.kind().name().to_owned(),
        setting: board.setting.clone(),
        status,
        reason,
        accesses,
        checks,
        differences: if performed { differences } else { 0 },
        duration_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
        failure: failure.filter(|_| performed),
    }
}

/// How a section ended, before expectations.
fn judge(
    place: usize,
    section: &Section,
    tally: &Tally,
    trace: &Trace,
    board: &Board,
    end: &End,
    options: &Options,
) -> (Status, Option<String>) {
    let (status, reason) = match end {
        End::Refused(reason) => return (Status::Skip, Some(reason.clone())),
        End::Broken(reason) | End::Unreadable(reason) => (Status::Error, reason.clone()),
        End::Timeout => (
            Status::Timeout,
            format!("longer than {} for the trace", seconds(options.timeout)),
        ),
        End::Complete if tally.visits < section.visits => (
            Status::Error,
            format!("{}: changed while it was replayed", trace.path.display()),
        ),
        End::Complete | End::Unwanted => return by_answers(tally),
    };
    let broke_in = board
        .current
        .and_then(|current| Some((current, trace.sections.get(current)?)));
    match broke_in {
        Some((current, _)) if current == place => (status, Some(reason)),
        Some(_) if tally.visits >= section.visits => by_answers(tally),
        Some((_, other)) => (
            Status::Error,
            Some(format!("not reached: the trace ended in {}", other.label)),
        ),
        None => (status, Some(reason)),
    }
}

const fn by_answers(tally: &Tally) -> (Status, Option<String>) {
    (
        if tally.differences == 0 {
            Status::Pass
        } else {
            Status::Fail
        },
        None,
    )
}

fn seconds(time: std::time::Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
