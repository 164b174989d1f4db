// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What changed between two reports.

use igd_conformance::diff;
use igd_conformance::report::{Report, Status, Trial, sample};

use crate::samples::{STATUSES, complete, many_failures, snapshot};

#[test]
fn diff_snapshot() {
    snapshot("diff", &diff::diff(&sample::green(), &sample::mixed()).render(false));
    snapshot(
        "diff-color",
        &diff::diff(&sample::mixed(), &sample::green()).render(true),
    );
}

/// For each pair of statuses, in the order of `STATUSES`: `=` same, `-` regressed, `+` improved, `~` changed.
#[test]
fn every_pair_of_statuses_has_its_outcome() {
    // old: pass fail skip xfail xpass error timeout, each with the seven new ones.
    let table = [
        "=-~----", "+=~~+--", "~-=~---", "+-~=+--", "~-~-=--", "++~++=~", "++~++~=",
    ];
    let report = |status| Report {
        trials: vec![Trial {
            status,
            failure: None,
            ..complete().trials[0].clone()
        }],
        ..complete()
    };
    for (old, row) in STATUSES.into_iter().zip(table) {
        let found: String = STATUSES
            .into_iter()
            .map(|new| {
                let diff = diff::diff(&report(old), &report(new));
                assert_eq!(diff.is_regression(), !diff.regressed.is_empty());
                assert_eq!(diff.is_same(), diff.same == 1);
                assert!(diff.added.is_empty() && diff.removed.is_empty());
                match (diff.same, diff.regressed.len(), diff.improved.len(), diff.changed.len()) {
                    (1, 0, 0, 0) => '=',
                    (0, 1, 0, 0) => '-',
                    (0, 0, 1, 0) => '+',
                    (0, 0, 0, 1) => '~',
                    other => panic!("{other:?}"),
                }
            })
            .collect();
        assert_eq!(found, row, "from {old:?}");
    }
}

#[test]
fn another_difference_is_a_change_and_another_line_is_none() {
    let old = many_failures(1);
    let mut new = old.clone();
    let failure = new.trials[0].failure.as_mut().unwrap();
    (failure.line, failure.rule) = (99, "in other words".to_owned());
    assert!(diff::diff(&old, &new).is_same());
    new.trials[0].failure.as_mut().unwrap().got = "0x01".to_owned();
    let diff = diff::diff(&old, &new);
    assert_eq!((diff.changed.len(), diff.is_regression()), (1, false));
    assert_eq!(
        diff.changed[0].detail.as_deref(),
        Some("line 99: port 0x511, 1 byte: expected 0x51, got 0x01")
    );
}

#[test]
fn sections_of_one_label_are_told_apart() {
    let old = sample::green();
    let mut new = old.clone();
    let place = new
        .trials
        .iter()
        .rposition(|trial| trial.section == "firmware.fwcfg")
        .unwrap();
    new.trials[place].status = Status::Timeout;
    let mut diff = diff::diff(&old, &new);
    let change = diff.regressed.pop().unwrap();
    assert_eq!(
        (change.repeat, change.old, change.new),
        (2, Some(Status::Pass), Some(Status::Timeout))
    );
    assert!(diff.is_same());
    new.trials.remove(place);
    diff = diff::diff(&old, &new);
    assert_eq!(
        (diff.removed.len(), diff.removed[0].new, diff.is_regression()),
        (1, None, false)
    );
}
