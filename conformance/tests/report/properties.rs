// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Properties of any report.

use igd_conformance::diff::{self, Diff};
use igd_conformance::report::merge::merge;
use igd_conformance::report::{
    Failure, HostInfo, Report, SCHEMA, Status, SubjectInfo, Trial, html, json, junit, table,
};
use proptest::prelude::*;

use crate::merge::split;
use crate::render::markup;
use crate::samples::STATUSES;
use crate::schema::validator;

fn any_failure() -> impl Strategy<Value = Failure> {
    let hex = "0x[0-9a-f]{0,40}|[0-9a-f-]{0,4}|\\PC{0,8}";
    let values = (hex, hex, prop::option::of(hex));
    (
        "(r|rb|rs|p|map)( .{0,20})?",
        any::<String>(),
        any::<u64>(),
        values,
        any::<String>(),
    )
        .prop_map(|(text, path, line, (expected, got, mask), other)| Failure {
            path,
            line,
            text,
            rule: other.clone(),
            access: other.clone(),
            expected,
            got,
            mask,
            again: other,
        })
}

fn any_trial() -> impl Strategy<Value = Trial> {
    let status = prop::sample::select(STATUSES.as_slice());
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    let texts = ("[a-c]{1,2}(/[a-z]{1,3})?|.{1,4}", "[a-b]|.{1,4}", any::<String>());
    (
        texts,
        status,
        numbers,
        any_failure(),
        any::<bool>(),
        prop::option::of(any::<String>()),
    )
        .prop_map(
            |((trace, section, text), status, (accesses, checks, differences, duration_us), failure, flag, setting)| {
                let clean = matches!(status, Status::Pass | Status::Xpass | Status::Skip);
                let reasoned = matches!(status, Status::Skip | Status::Xfail | Status::Error);
                Trial {
                    trace,
                    section,
                    kind: text.clone(),
                    setting,
                    status,
                    reason: (reasoned || flag).then_some(text),
                    accesses,
                    checks,
                    differences: if clean { 0 } else { differences },
                    duration_us,
                    failure: (status == Status::Fail || (flag && !clean)).then_some(failure),
                }
            },
        )
}

/// Whole reports as the runner makes them: trials of one trace together, in the order of traces.
fn any_report() -> impl Strategy<Value = Report> {
    let texts = (
        any::<String>(),
        any::<String>(),
        any::<String>(),
        any::<String>(),
        any::<String>(),
    );
    let numbers = (any::<u64>(), any::<u64>(), any::<u32>());
    (texts, numbers, prop::collection::vec(any_trial(), 0..24)).prop_map(
        |((suite, name, version, os, arch), (started, duration_us, threads), mut trials)| {
            trials.sort_by(|a, b| a.trace.cmp(&b.trace));
            Report {
                schema: SCHEMA.to_owned(),
                suite,
                subject: SubjectInfo { name, version },
                host: HostInfo {
                    os,
                    arch,
                    threads: threads.try_into().unwrap(),
                },
                started,
                duration_us,
                shard: None,
                trials,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_comes_back(report in any_report()) {
        let text = json::to_string(&report).unwrap();
        let (_, validator) = validator();
        prop_assert!(validator.is_valid(&serde_json::from_str(&text).unwrap()));
        prop_assert_eq!(json::parse(text.as_bytes()).unwrap(), report);
    }

    #[test]
    fn changed_json_breaks_nothing(report in any_report(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = json::to_string(&report).unwrap().into_bytes();
        let place = place.index(text.len());
        text[place] = byte;
        if let Err(error) = json::parse(&text) {
            prop_assert!(!error.to_string().contains(char::is_control));
        }
    }

    #[test]
    fn split_and_merged_is_the_same(report in any_report(), of in 1u32..9, seed in any::<u32>()) {
        let place = |trace: &str| trace.bytes().fold(seed, |sum, byte| sum.rotate_left(5) ^ u32::from(byte));
        let mut shards = split(&report, of, place);
        shards.rotate_left(usize::try_from(seed % of).unwrap());
        prop_assert_eq!(merge(shards).unwrap(), report);
    }

    #[test]
    fn anything_can_be_rendered(report in any_report(), other in any_report(), width in any::<Option<u16>>()) {
        prop_assert!(!table::render(&report, true, width).is_empty());
        let xml = junit::to_string(&report).unwrap();
        let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
        prop_assert_eq!(read.tests, report.trials.len());
        prop_assert_eq!(markup(&html::to_string(&report)).matches("<li data-status=").count(), report.trials.len());
        let diff = diff::diff(&report, &other);
        prop_assert!(!diff.render(true).is_empty());
        let both = report.trials.len() + other.trials.len();
        let counted = 2 * (usize::try_from(diff.same).unwrap() + diff.regressed.len() + diff.improved.len() + diff.changed.len());
        prop_assert_eq!(counted + diff.added.len() + diff.removed.len(), both);
        let text = serde_json::to_string(&diff).unwrap();
        prop_assert_eq!(serde_json::from_str::<Diff>(&text).unwrap(), diff);
        prop_assert!(diff::diff(&report, &report).is_same());
    }
}
