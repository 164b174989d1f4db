// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask fuzz`: builds the targets with libFuzzer, runs them in turns and says what came of it.

use std::collections::BTreeSet;
use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, Result};

mod build;
mod campaign;
mod corpus;
pub(crate) mod coverage;
mod crash;
mod output;
mod progress;
mod report;
mod targets;

use build::{Flavour, Place, Sanitizer};
use campaign::Plan;
use coverage::Counter;
use crash::Crash;
use report::Report;
use targets::Target;

/// Something was found, as `igd-conformance` says it.
const FOUND: u8 = 100;
const USAGE: u8 = 2;

const AFTER_HELP: &str = "\
Examples:
  cargo xtask fuzz vbt                            a minute of one target
  cargo xtask fuzz --all --seconds 20             what CI does
  cargo xtask fuzz --replay FILE vbt              one input again, on a stable compiler
  cargo xtask fuzz --merge DIR...                 the corpora of other machines, DIR/TARGET/INPUT, into fuzz/corpus

Exit codes:
  0  nothing found     1  it could not be run     2  wrong arguments     100  something was found";

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args, Default, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Targets; see --list
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Runs every target
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// Time for each target
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: u64,
    /// Processes at a time; one for each core unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Goes on after a crash until the time is up
    #[arg(long)]
    keep_going: bool,
    /// Builds with the toolchain in use, without sanitizer, though there is a nightly one
    #[arg(long)]
    stable: bool,
    /// Watches memory: `address` is the default where there is a nightly toolchain
    #[arg(long, value_name = "NAME")]
    sanitizer: Option<Sanitizer>,
    /// Does not trace what input is compared with: twice as fast where inputs are lists of accesses
    #[arg(long)]
    no_compares: bool,
    /// Does not feed back how often an edge was taken: twice as fast once more
    #[arg(long)]
    no_counts: bool,
    /// Does not count the lines that were reached, which takes another build
    #[arg(long)]
    no_coverage: bool,
    /// Lists the targets
    #[arg(long, group = "mode")]
    list: bool,
    /// Shows inputs of one target and runs them again, without libFuzzer; takes folders too
    #[arg(long, value_name = "PATH", group = "mode", num_args = 1)]
    replay: Vec<PathBuf>,
    /// Runs fuzz/artifacts again, and lists what still fails, by cause
    #[arg(long, group = "mode")]
    triage: bool,
    /// Adds the corpora below these folders to fuzz/corpus
    #[arg(long, value_name = "DIR", group = "mode", num_args = 1..)]
    merge: Vec<PathBuf>,
    /// Replaces fuzz/seeds by the few inputs that reach what the corpus reaches
    #[arg(long, group = "mode")]
    minimize: bool,
    /// All is built, and an interrupt is for the targets only.
    #[arg(long, hide = true)]
    built: bool,
}

impl Args {
    /// What CI does.
    pub(crate) fn in_ci() -> Self {
        Self {
            all: true,
            seconds: 20,
            stable: true,
            no_coverage: true,
            ..Self::default()
        }
    }
}

/// Why nothing can be fuzzed here.
pub(crate) fn missing() -> Option<String> {
    build::compiler().err().map(|error| error.to_string())
}

/// Does what is asked for; returns the exit code.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let has_mode = args.list || args.triage || args.minimize || !args.replay.is_empty() || !args.merge.is_empty();
    if args.targets.is_empty() && !args.all && !has_mode {
        eprintln!("error: name targets, or --all; `cargo xtask fuzz --list` names them");
        return Ok(USAGE);
    }
    let has_program = !args.list && args.replay.is_empty();
    let flavour = if has_program {
        Flavour::choose(args.stable, args.sanitizer, !args.no_compares)?
    } else {
        Flavour {
            nightly: false,
            sanitizer: Sanitizer::None,
            compares: true,
        }
    };
    let place = Place::new(flavour)?;
    if !args.built {
        build::input_program()?;
    }
    let selected = match targets::select(&targets::all(&place)?, &args.targets) {
        Ok(selected) => selected,
        Err(message) => {
            eprintln!("error: {message}");
            return Ok(USAGE);
        }
    };
    if args.list {
        for target in &selected {
            println!("{:<18} {:<16} {}", target.name(), target.package, target.summary);
        }
        return Ok(0);
    }
    if !args.replay.is_empty() {
        return replay(&selected, &args.replay, &place);
    }
    if !args.built {
        let names: Vec<_> = selected.iter().map(Target::name).collect();
        build::targets(flavour, &place, &names)?;
    }
    if args.triage {
        Ok(if crash::triage(&selected, &place)? { FOUND } else { 0 })
    } else if args.minimize {
        corpus::minimize(&selected, &place).map(|()| 0)
    } else if !args.merge.is_empty() {
        corpus::merge(&selected, &args.merge, &place).map(|()| 0)
    } else {
        fuzz(args, &selected, flavour, &place)
    }
}

/// Runs inputs in the plain program, which shows them first if they are few.
fn replay(selected: &[Target], paths: &[PathBuf], place: &Place) -> Result<u8> {
    let [target] = selected else {
        eprintln!("error: --replay takes the name of one target");
        return Ok(USAGE);
    };
    for path in paths.iter().filter(|path| path.is_file()) {
        println!("{} stands for", path.display());
        Command::new(&place.input)
            .args(["describe", target.name()])
            .arg(path)
            .status()
            .with_context(|| format!("cannot start {}", place.input.display()))?;
    }
    let status = Command::new(&place.input)
        .args(["replay", target.name()])
        .args(paths)
        .status()
        .with_context(|| format!("cannot start {}", place.input.display()))?;
    Ok(match status.code() {
        Some(0) => 0,
        Some(1 | 2) => 1,
        // An oracle, or the process itself: a stack or an abort.
        _ => FOUND,
    })
}

fn fuzz(args: &Args, selected: &[Target], flavour: Flavour, place: &Place) -> Result<u8> {
    let counter = if args.no_coverage {
        Err("--no-coverage".to_owned())
    } else if args.built {
        Counter::find(place).map_err(|error| format!("{error:#}"))
    } else {
        Counter::build(place).map_err(|error| format!("{error:#}"))
    };
    if !args.built {
        return Err(hand_over());
    }
    let jobs = args
        .jobs
        .map_or_else(|| available_parallelism().map_or(1, usize::from), usize::from);
    let plan = Plan {
        time: Duration::from_secs(args.seconds),
        jobs,
        keep_going: args.keep_going,
        counts: !args.no_counts,
    };
    let build = flavour.name().to_owned() + if args.no_counts { ", no counts" } else { "" };
    eprintln!(
        "{} targets, {} s each, {jobs} at a time, {build}",
        selected.len(),
        args.seconds,
    );
    let (rows, interrupted) = campaign::run(selected, plan, place)?;
    // One of each cause is made smaller and shown; the others stay in fuzz/artifacts.
    let studied = |row: &campaign::Row| -> Vec<Crash> {
        let mut known = BTreeSet::new();
        let new = row.findings.iter().filter(|output| known.insert(output.key()));
        new.filter_map(|output| Crash::study(&row.target, output, place))
            .collect()
    };
    let crashes: Vec<Crash> = rows.iter().flat_map(studied).collect();
    let count = |target: &Target| match &counter {
        Ok(counter) => counter
            .count(target, place)
            .map_err(|error| format!("{}: {error:#}", target.name())),
        Err(reason) => Err(reason.clone()),
    };
    let report = Report {
        seconds: args.seconds,
        build,
        jobs,
        interrupted,
        selected: selected.len(),
        rows: rows
            .into_iter()
            .map(|row| {
                let coverage = count(&row.target);
                (row, coverage)
            })
            .collect(),
        crashes,
    };
    for crash in &report.crashes {
        println!("{}\n", crash.text());
    }
    println!("{}", report.table());
    for path in report.write(&place.made)? {
        println!("{}", crash::short(&path).display());
    }
    Ok(exit_code(&report))
}

fn exit_code(report: &Report) -> u8 {
    if !report.crashes.is_empty() {
        FOUND
    } else {
        u8::from(report.rows.is_empty() || report.rows.iter().any(|(row, _)| row.failure.is_some()))
    }
}

/// Becomes this program once more, with all built and with interrupts ignored.
///
/// An interrupt from the terminal goes to the whole group. libFuzzer installs its own handler and ends in order; the
/// report about it is ours to write. Only a shell can set that up without a call to the system of our own, and cargo
/// must not inherit it, or a build could not be interrupted.
fn hand_over() -> anyhow::Error {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return anyhow::Error::new(error).context("cannot tell where this program is"),
    };
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' INT; exec \"$0\" \"$@\" --built"])
        .arg(program);
    // Comes back only if it fails.
    let error = shell.args(env::args_os().skip(1)).exec();
    anyhow::Error::new(error).context("cannot start sh")
}
