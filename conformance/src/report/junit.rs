// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The report as `JUnit` XML: a suite for each trace, a case for each section.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::summary::{label, repeats, word};
use super::table::block;
use super::text::{LONG, Paint, iso_date, shorten};
use super::{Report, Status, Trial};

/// Renders a report as `JUnit` XML.
///
/// `fail` and `xpass` become failures, `error` and `timeout` errors. `skip` and `xfail` become skipped cases, told apart
/// by their type, since `JUnit` has no word for a failure that is expected.
///
/// # Errors
///
/// None that a report can cause; serialisation is fallible by its signature.
pub fn to_string(report: &Report) -> Result<String, quick_junit::SerializeError> {
    let mut junit = quick_junit::Report::new("igd-conformance");
    junit.set_time(Duration::from_micros(report.duration_us));
    let mut open: Option<(&str, TestSuite)> = None;
    let mut time = 0_u64;
    for (repeat, trial) in repeats(&report.trials) {
        if open.as_ref().is_none_or(|(trace, _)| *trace != trial.trace) {
            close(&mut junit, open.take(), time);
            time = 0;
            open = Some((&trial.trace, suite(report, trial)));
        }
        time = time.saturating_add(trial.duration_us);
        if let Some((_, suite)) = &mut open {
            suite.add_test_case(case(trial, repeat));
        }
    }
    close(&mut junit, open, time);
    junit.to_string()
}

fn close(junit: &mut quick_junit::Report, open: Option<(&str, TestSuite)>, time: u64) {
    if let Some((_, mut suite)) = open {
        suite.set_time(Duration::from_micros(time));
        junit.add_test_suite(suite);
    }
}

fn suite(report: &Report, trial: &Trial) -> TestSuite {
    let mut suite = TestSuite::new(shorten(&trial.trace, LONG));
    if let Some(date) = iso_date(report.started) {
        suite.extra.insert("timestamp".into(), date.into());
    }
    let threads = report.host.threads.to_string();
    for (name, value) in [
        ("suite", Some(report.suite.as_str())),
        ("subject", Some(&report.subject.name)),
        ("subject.version", Some(&report.subject.version)),
        ("host.os", Some(&report.host.os)),
        ("host.arch", Some(&report.host.arch)),
        ("host.threads", Some(&threads)),
        ("shard", report.shard.as_deref()),
        ("kind", Some(&trial.kind)),
        ("setting", trial.setting.as_deref()),
    ] {
        if let Some(value) = value {
            suite.add_property((name, &*shorten(value, LONG)));
        }
    }
    suite
}

fn case(trial: &Trial, repeat: u64) -> TestCase {
    let mut status = match trial.status {
        Status::Pass => TestCaseStatus::success(),
        Status::Fail | Status::Xpass => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Error | Status::Timeout => TestCaseStatus::non_success(NonSuccessKind::Error),
        Status::Skip | Status::Xfail => TestCaseStatus::skipped(),
    };
    if trial.status != Status::Pass {
        status.set_type(word(trial.status));
        let message = match (&trial.failure, trial.status) {
            (Some(failure), Status::Fail) => Some(format!(
                "line {}: expected {}, got {}",
                failure.line, failure.expected, failure.got
            )),
            _ => trial.reason.clone(),
        };
        if let Some(message) = message {
            status.set_message(&*shorten(&message, LONG));
        }
        let text = block(trial, Paint(false));
        if !text.is_empty() {
            status.set_description(format!("\n{}\n", text.join("\n")));
        }
    }
    let mut case = TestCase::new(label(&trial.section, repeat), status);
    case.set_classname(shorten(&trial.trace, LONG));
    case.set_time(Duration::from_micros(trial.duration_us));
    if let Ok(checks) = usize::try_from(trial.checks) {
        case.set_assertions(checks);
    }
    case
}
