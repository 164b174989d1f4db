// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `run`: replays traces and reports.

use std::collections::HashSet;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::list::grouped;
use super::output::{Color, error, note, print, warning, width};
use super::reports::Target;
use super::select::SelectArgs;
use super::subject::SubjectArg;
use super::{AS_EXPECTED, FAILED, NOTHING_SELECTED, UNEXPECTED, USAGE};
use crate::corpus::Trace;
use crate::expect::Expectations;
use crate::report::{Counts, Report, table};
use crate::runner::{self, Again, Observed, Options, Outcome, TraceOutcome};
use crate::shard::Shard;

/// Arguments of `run`.
#[derive(Args, Debug, Default)]
pub(super) struct RunArgs {
    #[command(flatten)]
    select: SelectArgs,

    /// What to test: igd (the device models of this repository), qtest:SOCKET (a program that speaks QEMU's qtest
    /// protocol), qemu[:BINARY] (a QEMU started for each trace), storage (nothing but memory; measures the runner).
    /// igd:SETTING replaces the compatibility setting that each trace asks for, igd:specification by the specifications
    #[arg(long, value_name = "SUBJECT", default_value = "igd")]
    subject: SubjectArg,

    /// Worker threads; one for each processor by default
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Longest time for one trace, 60 seconds by default
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    timeout: Option<u64>,

    /// Only part K of N; all parts are disjoint, complete and of about the same size
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,

    /// Write a report: json=FILE, junit=FILE or html=FILE; may be given several times, - is standard output
    #[arg(long = "report", value_name = "FORM=FILE")]
    reports: Vec<Target>,

    /// Known differences of your subject, in the form of expectations.toml
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,

    /// When to use colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,

    /// List the selected sections instead of running them
    #[arg(long)]
    list: bool,

    /// Print every access of the selected sections with the subject's answer
    #[arg(long)]
    trace: bool,
}

/// Replays traces.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let mut files = HashSet::new();
    if let Some(twice) = args.reports.iter().find(|target| !files.insert(target.file())) {
        error(&format!("two reports would go to {}", twice.file().display()));
        return Ok(USAGE);
    }
    let mut expectations = Expectations::built_in()?;
    if let Some(file) = &args.expect {
        expectations = Expectations::read(file)?.and_then(expectations);
    }
    let mut traces = args.select.find()?;
    if let Some(shard) = args.shard {
        traces = shard.take(traces);
    }
    if traces.is_empty() {
        error("nothing selected; `igd-conformance list` shows what there is");
        return Ok(NOTHING_SELECTED);
    }
    if args.list {
        return list(args, &traces);
    }
    let subject = args.subject.open()?;
    let options = Options {
        jobs: if args.trace { Some(NonZeroUsize::MIN) } else { args.jobs },
        timeout: Duration::from_secs(args.timeout.unwrap_or(60)),
        section: args.select.selection().section,
        expectations,
        shard: args.shard.map(|shard| shard.to_string()),
        again: again(args),
        tap: args.trace.then(|| Arc::new(tap) as runner::Tap),
    };
    let progress = if args.trace {
        Progress::Quiet
    } else {
        Progress::new(traces.len())
    };
    let clock = Instant::now();
    let outcome = runner::run(&subject, traces, &options, &mut |trace, outcome| {
        progress.finished(trace, outcome);
    })
    .context("cannot start a thread")?;
    let elapsed = clock.elapsed();
    progress.end();
    if args.select.is_everything() && args.shard.is_none() {
        warn_of_unused(&options.expectations, &outcome.report);
    }
    conclude(args, &outcome, elapsed)
}

/// Writes reports and summary; returns the exit code.
fn conclude(args: &RunArgs, outcome: &Outcome, elapsed: Duration) -> anyhow::Result<u8> {
    let Outcome { report, unreadable } = outcome;
    let code = if !unreadable.is_empty() {
        FAILED
    } else if Counts::of(&report.trials).unexpected() > 0 {
        UNEXPECTED
    } else {
        AS_EXPECTED
    };
    let mut written = String::new();
    for target in &args.reports {
        target.write(report)?;
        if !target.is_stdout() {
            write!(written, " · {}", target.file().display())?;
        }
    }
    let accesses: u64 = report.trials.iter().map(|trial| trial.accesses).sum();
    let seconds = elapsed.as_secs_f64();
    let rate = per_second(accesses, elapsed);
    let summary = format!(
        "{} accesses in {seconds:.2} s, {} per second{written} · exit {code}\n",
        grouped(accesses),
        grouped(rate)
    );
    if args.reports.iter().any(Target::is_stdout) {
        // Standard output belongs to the report.
        note(&(table::render(report, false, None) + summary.trim_end()));
    } else {
        print(&(table::render(report, args.color.is_on(), width()) + &summary))?;
    }
    for problem in unreadable {
        error(problem);
    }
    Ok(code)
}

fn per_second(accesses: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(accesses) * 1_000_000_000 / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn list(args: &RunArgs, traces: &[Trace]) -> anyhow::Result<u8> {
    let section = args.select.selection().section;
    let mut out = String::new();
    for trace in traces {
        let wanted = |label: &str| section.as_ref().is_none_or(|pattern| pattern.matches(label));
        for section in trace.sections.iter().filter(|section| wanted(&section.label)) {
            writeln!(out, "{} {}", trace.name, section.label)?;
        }
    }
    print(&out)?;
    let problems = traces.iter().filter_map(|trace| trace.problem.as_ref());
    Ok(if problems.inspect(|problem| error(problem)).count() == 0 {
        AS_EXPECTED
    } else {
        FAILED
    })
}

fn again(args: &RunArgs) -> Again {
    let in_tree = args.select.corpus.is_none()
        && std::env::var_os(crate::corpus::CORPUS_VARIABLE).is_none()
        && std::path::Path::new(env!("CARGO_MANIFEST_DIR")).is_dir();
    let program = if in_tree {
        "cargo xtask conformance"
    } else {
        "igd-conformance"
    };
    let mut options = args.subject.option();
    if let Some(corpus) = &args.select.corpus {
        options.push_str(&format!(" --corpus {}", corpus.display()));
    }
    Again {
        program: program.to_owned(),
        options,
    }
}

/// Prints one access.
fn tap(seen: &Observed<'_>) {
    let text = seen.text.get(..200).unwrap_or(seen.text).escape_ascii();
    let answer = seen
        .answer
        .as_deref()
        .map_or(String::new(), |answer| format!("  -> {answer}"));
    let differs = if seen.differs { "  DIFFERS" } else { "" };
    // The summary says it if standard output cannot be written to.
    let _ = print(&format!("{}:{}: {text}{answer}{differs}\n", seen.trace, seen.number));
}

fn warn_of_unused(expectations: &Expectations, report: &Report) {
    let ran: Vec<_> = report
        .trials
        .iter()
        .map(|trial| (trial.trace.as_str(), trial.section.as_str()))
        .collect();
    for entry in expectations.unused(&report.subject.name, &ran) {
        warning(&format!(
            "an expectation matches nothing: trace {}, section {}",
            entry.trace, entry.section
        ));
    }
}

/// A bar on a terminal, a line for each trace elsewhere, nothing where accesses are printed.
enum Progress {
    Bar(ProgressBar),
    Lines,
    Quiet,
}

impl Progress {
    fn new(traces: usize) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(u64::try_from(traces).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{msg:30!} {wide_bar} {pos}/{len}  {elapsed}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    fn finished(&self, trace: &Trace, outcome: &TraceOutcome) {
        match self {
            Self::Bar(bar) => {
                bar.set_message(trace.name.clone());
                bar.inc(1);
            }
            Self::Quiet => {}
            Self::Lines => {
                let counts = Counts::of(&outcome.trials);
                let words = [
                    (counts.pass, "pass"),
                    (counts.fail, "fail"),
                    (counts.skip, "skip"),
                    (counts.xfail, "xfail"),
                    (counts.xpass, "xpass"),
                    (counts.error, "error"),
                    (counts.timeout, "timeout"),
                ];
                let words = words
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, word)| format!(" {count} {word}"));
                note(&format!("{}:{}", trace.name, words.collect::<Vec<_>>().join(",")));
            }
        }
    }

    fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
