// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Shards put together.

use igd_conformance::report::merge::{MergeError, merge};
use igd_conformance::report::{Report, sample};

/// The report of each of `of` shards, a trace going where `place` sends it.
pub(crate) fn split(report: &Report, of: u32, place: impl Fn(&str) -> u32) -> Vec<Report> {
    let shard = |part: u32| Report {
        shard: Some(format!("{}/{of}", part + 1)),
        trials: report
            .trials
            .iter()
            .filter(|trial| place(&trial.trace) % of == part)
            .cloned()
            .collect(),
        ..report.clone()
    };
    (0..of).map(shard).collect()
}

fn by_length(trace: &str) -> u32 {
    u32::try_from(trace.len()).unwrap()
}

#[test]
fn shards_make_the_whole_run() {
    let whole = Report {
        shard: None,
        ..sample::mixed()
    };
    for of in 1..20 {
        let mut shards = split(&whole, of, by_length);
        shards.reverse();
        assert_eq!(merge(shards).unwrap(), whole);
    }
    let mut shards = split(&whole, 2, by_length);
    (shards[1].started, shards[1].duration_us, shards[1].host.threads) = (7, 99_000_000, 64);
    let merged = merge(shards).unwrap();
    assert_eq!(
        (merged.started, merged.duration_us, merged.host.threads),
        (7, 99_000_000, 64)
    );
}

#[test]
fn shards_that_do_not_fit_are_refused() {
    type Change = fn(&mut Vec<Report>);
    let cases: [(&str, Change); 13] = [
        ("no reports to merge", Vec::clear),
        ("report 2 is not of a part of a run", |r| r[1].shard = None),
        ("report 3 has shard \"x\\u{a}\", expected K/N with K from 1 to N", |r| {
            r[2].shard = Some("x\n".into());
        }),
        ("shard 1/3 is there twice", |r| r[2] = r[0].clone()),
        ("1 of 3 shards missing, the first is 2/3", |r| drop(r.remove(1))),
        ("2 of 3 shards missing, the first is 1/3", |r| {
            r.truncate(1);
            r[0].shard = Some("3/3".to_owned());
        }),
        ("number of shards is 3 in shard 1/3 and 4 in shard 2/4", |r| {
            r[1].shard = Some("2/4".into());
        }),
        ("suite is 0.1.0 in shard 1/3 and 0.2.0 in shard 2/3", |r| {
            r[1].suite = "0.2.0".into();
        }),
        ("subject is igd in shard 1/3 and qtest in shard 3/3", |r| {
            r[2].subject.name = "qtest".into();
        }),
        ("subject's version is 0.1.0 in shard 1/3 and 9 in shard 3/3", |r| {
            r[2].subject.version = "9".into();
        }),
        ("architecture is x86_64 in shard 1/3 and riscv64 in shard 2/3", |r| {
            r[1].host.arch = "riscv64".into();
        }),
        ("operating system is linux in shard 1/3 and macos in shard 2/3", |r| {
            r[1].host.os = "macos".into();
        }),
        ("trace cfg1/pc is in shard 2/3 and in shard 3/3", |r| {
            let trial = sample::mixed().trials[0].clone();
            r[0].trials.retain(|t| t.trace != trial.trace);
            r[1].trials.retain(|t| t.trace != trial.trace);
            r[2].trials.retain(|t| t.trace != trial.trace);
            r[1].trials.push(trial.clone());
            r[2].trials.push(trial);
        }),
    ];
    for (message, change) in cases {
        let mut shards = split(&sample::mixed(), 3, by_length);
        change(&mut shards);
        assert_eq!(merge(shards).unwrap_err().to_string(), message);
    }
    let far = Report {
        shard: Some("2/4294967295".to_owned()),
        ..sample::green()
    };
    assert_eq!(
        merge(vec![far]),
        Err(MergeError::Missing {
            missing: u32::MAX - 1,
            of: u32::MAX,
            first: 1
        })
    );
}
