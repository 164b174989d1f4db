// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What one sees while targets run: a line that is rewritten, or plain lines where there is no terminal.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use super::campaign::{Plan, Task};
use super::report::grouped;
use super::targets::Target;

/// How often a terminal is written to, and anything else.
const FAST: Duration = Duration::from_millis(500);
const SLOW: Duration = Duration::from_secs(10);
/// As much as a narrow terminal shows.
const WIDTH: usize = 100;

/// Prints how the tasks stand, not too often.
#[derive(Debug)]
pub(crate) struct Progress {
    plan: Plan,
    is_terminal: bool,
    last: Instant,
    ended: Vec<usize>,
}

impl Progress {
    /// Nothing is printed yet.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            is_terminal: stderr().is_terminal(),
            last: Instant::now(),
            ended: Vec::new(),
        }
    }

    /// Prints if it is time to, and at the end of each task.
    pub(crate) fn show(&mut self, targets: &[Target], tasks: &[Task]) {
        self.show_ended(targets, tasks);
        if self.last.elapsed() < if self.is_terminal { FAST } else { SLOW } {
            return;
        }
        self.last = Instant::now();
        let lines = running(targets, tasks, self.plan.time);
        if self.is_terminal {
            let ended = tasks.iter().filter(|task| is_ended(task)).count();
            let line = format!("{ended}/{} · {}", tasks.len(), lines.join(" · "));
            let line: String = line.chars().take(WIDTH).collect();
            eprint!("\r\x1b[K{line}");
            let _ = stderr().flush();
        } else {
            lines.iter().for_each(|line| eprintln!("{line}"));
        }
    }

    /// Prints what is still to be said.
    pub(crate) fn finish(&mut self, targets: &[Target], tasks: &[Task]) {
        self.show_ended(targets, tasks);
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn show_ended(&mut self, targets: &[Target], tasks: &[Task]) {
        for (index, task) in tasks.iter().enumerate() {
            let Some(target) = targets.get(task.target).filter(|_| is_ended(task)) else {
                continue;
            };
            if !self.ended.contains(&index) {
                self.ended.push(index);
                let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
                eprintln!("{clear}{}", ended(target, task));
            }
        }
    }
}

fn is_ended(task: &Task) -> bool {
    task.run.is_some_and(|(_, time)| time.is_some())
}

/// One line for each process that runs.
fn running(targets: &[Target], tasks: &[Task], time: Duration) -> Vec<String> {
    let is_running = |task: &&Task| task.run.is_some_and(|(_, time)| time.is_none());
    let line = |task: &Task| {
        let target = targets.get(task.target)?;
        let left = time.saturating_sub(task.elapsed()).as_secs();
        Some(format!("{} {left} s left", numbers(target, task)))
    };
    tasks.iter().filter(is_running).filter_map(line).collect()
}

fn numbers(target: &Target, task: &Task) -> String {
    let executions = task.executions();
    format!(
        "{} {} runs, {}/s, {} edges,",
        target.name(),
        grouped(executions),
        grouped(rate(executions, task.elapsed())),
        task.output.edges
    )
}

fn ended(target: &Target, task: &Task) -> String {
    let verdict = match (&task.failure, task.findings.len()) {
        (Some(failure), _) => failure.clone(),
        (None, 0) => "nothing found".to_owned(),
        (None, count) => format!("{count} FOUND"),
    };
    format!("{} {verdict}", numbers(target, task))
}

/// Executions per second.
pub(crate) fn rate(executions: u64, time: Duration) -> u64 {
    let rate = u128::from(executions) * 1000 / time.as_millis().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::fuzz::output::Output;

    #[test]
    fn each_running_process_has_a_line() {
        let targets = [
            Target::for_test("vbt", "igd-quirks"),
            Target::for_test("ggc", "igd-quirks"),
        ];
        let task = |target, run| Task {
            target,
            run,
            before: 1_000,
            output: Output {
                executions: 2_000,
                edges: 7,
                ..Output::default()
            },
            findings: Vec::new(),
            failure: None,
        };
        let second = Duration::from_secs(1);
        let start = Instant::now();
        let tasks = [
            task(0, None),
            task(1, Some((start, Some(2 * second)))),
            task(0, Some((start, None))),
        ];
        let lines = running(&targets, &tasks, 60 * second);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("vbt 3,000 runs, "), "{lines:?}");
        assert_eq!(
            ended(&targets[1], &tasks[1]),
            "ggc 3,000 runs, 1,500/s, 7 edges, nothing found"
        );
    }

    #[test]
    fn a_rate_is_never_a_division_by_zero() {
        assert_eq!(rate(3, Duration::ZERO), 3_000);
        assert_eq!(rate(3_000, Duration::from_secs(2)), 1_500);
    }
}
