// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask ci`: what CI runs, in its order.

use anyhow::Result;

use super::bench::counts;
use super::{conformance, doc, firmware, fuzz, lab, lint, test};
use crate::steps::{self, Outcome, Step};

const STEPS: &[Step] = &[
    ("lint", || exit(lint::run())),
    ("test", || test::run(&test::Args::default()).into()),
    ("doc", || doc::run(&doc::Args::default()).into()),
    ("conformance", || exit(conformance::run(&conformance::Args::default()))),
    ("firmware", || match firmware::missing() {
        Some(reason) => Outcome::Skipped(reason),
        None => exit(firmware::run(&firmware::Args::default())),
    }),
    ("counts", || match counts::missing() {
        Some(reason) => Outcome::Skipped(reason),
        None => counts::run(false, None).into(),
    }),
    ("lab", || match lab::unfit() {
        Some(reason) => Outcome::Skipped(reason),
        None => exit(lab::run(&lab::Args::default())),
    }),
    ("fuzz", || match fuzz::missing() {
        Some(reason) => Outcome::Skipped(reason),
        None => exit(fuzz::run(&fuzz::Args::in_ci())),
    }),
];

/// Runs every step and prints the summary.
pub(crate) fn run() -> Result<u8> {
    Ok(steps::run("ci", STEPS))
}

fn exit(code: Result<u8>) -> Outcome {
    match code {
        Ok(0) => Outcome::Passed,
        Ok(code) => Outcome::Failed(format!("exit {code}, see above")),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}
