// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every section of every trace of the corpus as a test of the device models.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use igd_conformance::cli;
use igd_conformance::corpus::{self, Corpus, Trace};
use igd_conformance::expect::{Expectations, Expected};
use igd_conformance::report::{Status, Trial};
use igd_conformance::runner::{self, Options, SharedSubject};
use libtest_mimic::{Arguments, Failed};

/// A trace that is replayed when the first of its sections is asked for.
struct Replay {
    trace: Trace,
    subject: SharedSubject,
    options: Arc<Options>,
    trials: OnceLock<Vec<Trial>>,
}

impl Replay {
    fn trials(&self) -> &[Trial] {
        self.trials
            .get_or_init(|| runner::replay(self.subject.as_ref(), &self.trace, &self.options).trials)
    }

    fn verdict(&self, section: &str) -> Result<(), Failed> {
        let trial = self
            .trials()
            .iter()
            .find(|trial| trial.section == section)
            .ok_or("the section has no result")?;
        if let Some(failure) = trial.failure.as_ref().filter(|_| trial.status == Status::Fail) {
            let mask = failure
                .mask
                .as_ref()
                .map(|mask| format!(", bits {mask}"))
                .unwrap_or_default();
            return Err(Failed::from(format!(
                "{}:{}: {}\n  {}\n  {}: expected {}, got {}{mask}\n  {} of {} answers differ\n  {}",
                failure.path,
                failure.line,
                failure.text,
                failure.rule,
                failure.access,
                failure.expected,
                failure.got,
                trial.differences,
                trial.checks,
                failure.again,
            )));
        }
        if trial.status.is_unexpected() {
            return Err(Failed::from(trial.reason.clone().unwrap_or_default()));
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let corpus = Corpus::locate(None).expect("the corpus is part of this package");
    let traces = corpus::find(Some(&corpus), &[]).expect("the corpus can be read");
    let subject = cli::default_subject();
    let expectations = Expectations::built_in().expect("the built-in expectations are right");
    let options = Arc::new(Options {
        expectations,
        ..Options::default()
    });
    let mut tests = Vec::new();
    for trace in traces {
        assert_eq!(trace.problem, None);
        let labels: Vec<_> = trace.sections.iter().map(|section| section.label.clone()).collect();
        let trials = OnceLock::new();
        let replay = Arc::new(Replay {
            trace,
            subject: Arc::clone(&subject),
            options: Arc::clone(&options),
            trials,
        });
        for label in labels {
            let expected = options.expectations.find(subject.name(), &replay.trace.name, &label);
            let skipped = expected.is_some_and(|entry| entry.status == Expected::Skip);
            let name = format!("{}::{label}", replay.trace.name);
            let replay = Arc::clone(&replay);
            let test = libtest_mimic::Trial::test(name, move || replay.verdict(&label));
            tests.push(test.with_ignored_flag(skipped));
        }
    }
    libtest_mimic::run(&arguments, tests).exit_code()
}
