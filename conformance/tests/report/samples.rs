// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reports to test with, and where snapshots are.

use igd_conformance::report::{Failure, HostInfo, Report, SCHEMA, Status, SubjectInfo, Trial};

pub(crate) const STATUSES: [Status; 7] = [
    Status::Pass,
    Status::Fail,
    Status::Skip,
    Status::Xfail,
    Status::Xpass,
    Status::Error,
    Status::Timeout,
];

/// Every string that a rendering must not obey.
pub(crate) const HOSTILE: &str =
    "<script>alert(1)</script>\"' onload='x' & &amp; ]]> \u{0}\u{1b}[31m\u{7}\n\u{202e}שלום\u{2066}\u{ffff}";

pub(crate) fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// Every field set, without `..`: a new field does not compile until it is here, and then must be in the schema.
pub(crate) fn complete() -> Report {
    let failure = Failure {
        path: "traces/a/b.trace".to_owned(),
        line: 3,
        text: "r io 0x0511 1 0x51 0x7f".to_owned(),
        rule: "rule".to_owned(),
        access: "port 0x511, 1 byte".to_owned(),
        expected: "0x51".to_owned(),
        got: "0x00".to_owned(),
        mask: Some("0x7f".to_owned()),
        again: "igd-conformance run a/b".to_owned(),
    };
    let trial = Trial {
        trace: "a/b".to_owned(),
        section: "a.rule".to_owned(),
        kind: "qtest".to_owned(),
        setting: Some("qemu-11.1".to_owned()),
        status: Status::Xfail,
        reason: Some("reason".to_owned()),
        accesses: 2,
        checks: 1,
        differences: 1,
        duration_us: 7,
        failure: Some(failure),
    };
    Report {
        schema: SCHEMA.to_owned(),
        suite: "1.0.0".to_owned(),
        subject: SubjectInfo {
            name: "igd".to_owned(),
            version: "1.0.0".to_owned(),
        },
        host: HostInfo {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            threads: 1,
        },
        started: u64::MAX,
        duration_us: u64::MAX,
        shard: Some("1/2".to_owned()),
        trials: vec![trial],
    }
}

/// A report whose every string is hostile.
pub(crate) fn hostile() -> Report {
    let text = || HOSTILE.to_owned();
    let trials = STATUSES.map(|status| Trial {
        trace: format!("{HOSTILE}/{status:?}"),
        section: text(),
        kind: text(),
        setting: Some(text()),
        status,
        reason: Some(text()),
        accesses: u64::MAX,
        checks: u64::MAX,
        differences: if matches!(status, Status::Fail | Status::Xfail) {
            u64::MAX
        } else {
            0
        },
        duration_us: u64::MAX,
        failure: matches!(status, Status::Fail | Status::Xfail).then(|| Failure {
            path: text(),
            line: u64::MAX,
            text: text(),
            rule: text(),
            access: text(),
            expected: text(),
            got: format!("0x{}", "f".repeat(100_000)),
            mask: Some(text()),
            again: text(),
        }),
    });
    let subject = SubjectInfo {
        name: text(),
        version: text(),
    };
    let host = HostInfo {
        os: text(),
        arch: text(),
        threads: usize::MAX,
    };
    Report {
        suite: text(),
        subject,
        host,
        shard: Some("3/3".to_owned()),
        trials: trials.into(),
        ..complete()
    }
}

pub(crate) fn many_failures(count: u64) -> Report {
    let mut report = complete();
    let trial = report.trials.pop().unwrap();
    let trials = (0..count).map(|i| Trial {
        section: format!("a.{i}"),
        status: Status::Fail,
        ..trial.clone()
    });
    Report {
        trials: trials.collect(),
        ..report
    }
}
