// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Steps that run one after the other, and the summary at the end.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// As it should.
    Passed,
    /// It found something; what, if it has not been printed yet.
    Failed(String),
    /// It could not run, and why that is acceptable.
    Skipped(String),
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(error) => Self::Failed(format!("{error:#}")),
        }
    }
}

/// A step: its name and what it does.
pub(crate) type Step = (&'static str, fn() -> Outcome);

/// Runs every step, also after a failure, then prints a summary with times.
///
/// Returns the exit code: 1 if a step failed, else 0.
pub(crate) fn run(task: &str, steps: &[Step]) -> u8 {
    let mut done = Vec::new();
    for (name, step) in steps {
        eprintln!("== {task}: {name}");
        let start = Instant::now();
        let outcome = step();
        done.push((*name, outcome, start.elapsed()));
    }
    let (text, failed) = summary(task, &done);
    println!("{text}");
    u8::from(failed)
}

fn summary(task: &str, done: &[(&str, Outcome, Duration)]) -> (String, bool) {
    let mut text = String::new();
    let (mut failed, mut skipped) = (0, 0);
    for (name, outcome, time) in done {
        let (word, reason) = match outcome {
            Outcome::Passed => ("ok", ""),
            Outcome::Failed(reason) => ("FAIL", reason.as_str()),
            Outcome::Skipped(reason) => ("skip", reason.as_str()),
        };
        failed += usize::from(word == "FAIL");
        skipped += usize::from(word == "skip");
        text += format!(
            " {word:<5}{name:<12}{:>7.1} s  {}",
            time.as_secs_f64(),
            reason.replace('\n', "\n      ")
        )
        .trim_end();
        text.push('\n');
    }
    let total: Duration = done.iter().map(|(_, _, time)| *time).sum();
    text += &format!(
        " {task}: {} passed, {failed} failed, {skipped} skipped in {:.1} s",
        done.len() - failed - skipped,
        total.as_secs_f64()
    );
    (text, failed != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_not_a_pass_and_a_failure_is_a_failure() {
        let second = Duration::from_secs(1);
        let mut done = vec![
            ("one", Outcome::Passed, second),
            ("two", Outcome::Skipped("no such tool".into()), second),
        ];
        let (text, failed) = summary("lint", &done);
        assert!(!failed);
        assert_eq!(
            text,
            " ok   one             1.0 s\n skip two             1.0 s  no such tool\n lint: 1 passed, 0 failed, 1 skipped in 2.0 s"
        );
        done.push(("three", Outcome::Failed("a\nb".into()), second));
        let (text, failed) = summary("lint", &done);
        assert!(failed);
        assert!(text.contains(" FAIL three           1.0 s  a\n      b\n"), "{text}");
        assert_eq!(
            run(
                "lint",
                &[("one", || Outcome::Failed(String::new())), ("two", || Outcome::Passed)]
            ),
            1
        );
    }
}
