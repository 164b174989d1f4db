// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The command `record`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};

use super::merge::merge;
use super::options::{COUNT, Options, function_of, parse_function, parse_registers};
use super::suites::{SUITES, Suite};
use super::verify::{Verdict, verify};
use crate::corpus::{self, Corpus, CorpusError};
use crate::subjects::qtest::Launcher;

/// Most guest RAM that can be asked for, in MiB.
pub(super) const RAM_LIMIT: u64 = 1 << 20;
/// Longest trace that is read as a whole.
const TRACE_LIMIT: u64 = 256 << 20;

/// Records traces with QEMU, merges them, and records them again to compare.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("action").required(true).args(["suite", "merge", "verify", "list"])))]
pub struct RecordArgs {
    /// Sequence to perform
    #[arg(long, value_name = "NAME")]
    suite: Option<String>,
    /// Merge two recordings of one sequence
    #[arg(long, num_args = 2, value_names = ["TRACE", "TRACE"])]
    merge: Option<Vec<PathBuf>>,
    /// Record traces again and compare: files, folders or names of the corpus; without any, the corpus
    #[arg(long, num_args = 0.., value_name = "PATH")]
    verify: Option<Vec<PathBuf>>,
    /// List the suites
    #[arg(long)]
    list: bool,

    /// QEMU's -machine
    #[arg(long, default_value = "pc", value_name = "MACHINE")]
    machine: String,
    /// A -device of QEMU; may be repeated
    #[arg(long, value_name = "DEVICE")]
    device: Vec<String>,
    /// Guest RAM in MiB
    #[arg(long, default_value_t = 128, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=RAM_LIMIT))]
    ram: u64,
    /// Function to test, such as 02.0 [default: the addr= of the first device]
    #[arg(long, value_name = "FUNCTION")]
    bdf: Option<String>,
    /// Seed of the pseudo-random accesses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of pseudo-random config accesses
    #[arg(long, default_value_t = COUNT)]
    count: u64,
    /// Longer variant with more values
    #[arg(long)]
    held: bool,
    /// Config registers that pseudo-random writes leave alone, such as 0x60-0x67,0xf0
    #[arg(long, default_value = "", value_name = "REGISTERS", hide_default_value = true)]
    skip: String,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// QEMU's program
    #[arg(long, default_value = "qemu-system-x86_64", value_name = "PROGRAM")]
    qemu: String,
    /// Run QEMU inside this directory by chroot
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Words before QEMU's command
    #[arg(long, default_value = "", value_name = "WORDS", hide_default_value = true)]
    prefix: String,
    /// For QEMU's environment; names with IGD_ go into the header
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Folder, as QEMU sees it, with sysfsdev and romfile of an assigned device [default: those of a made-up host]
    #[arg(long, value_name = "DIR")]
    files: Option<String>,
}

/// What came of the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordOutcome {
    /// A trace was written, or the suites were listed.
    Done,
    /// Traces were recorded again.
    Verified {
        /// Traces without a difference.
        same: u64,
        /// Traces with differences, or that could not be recorded any more.
        different: u64,
        /// Traces that were not recorded again, each with a reason.
        skipped: u64,
    },
}

/// Carries the command out; results go to standard output.
///
/// # Errors
///
/// A file cannot be read or written, QEMU cannot be started, a recording failed, or two traces cannot be merged.
pub fn run(args: &RecordArgs) -> anyhow::Result<RecordOutcome> {
    run_to(args, &mut std::io::stdout().lock())
}

/// Carries the command out; results go to `out` instead of standard output.
///
/// # Errors
///
/// As those of [`run`].
pub fn run_to(args: &RecordArgs, out: &mut dyn Write) -> anyhow::Result<RecordOutcome> {
    if let Some([first, second]) = args.merge.as_deref() {
        let text = merge(&read(first)?, &read(second)?).map_err(anyhow::Error::msg)?;
        write(args.out.as_deref(), &text, out)?;
    } else if let Some(paths) = &args.verify {
        return verify_all(paths, &args.launcher()?, out);
    } else if let Some(name) = &args.suite {
        let prepared = args.options(name)?.on_host(args.launcher()?);
        let text = prepared.and_then(|(options, launcher)| options.record(&launcher));
        let text = text.map_err(anyhow::Error::msg)?;
        write(args.out.as_deref(), &text, out)?;
    } else {
        let lines: Vec<String> = SUITES
            .iter()
            .map(|suite| format!("{:<12} {}\n", suite.name, suite.about))
            .collect();
        write(None, &lines.concat(), out)?;
    }
    Ok(RecordOutcome::Done)
}

impl RecordArgs {
    fn launcher(&self) -> anyhow::Result<Launcher> {
        for word in &self.env {
            if !word.contains('=') || has_blank(word) {
                bail!("--env {word:?} is not NAME=VALUE");
            }
        }
        let mut launcher = Launcher::new(&self.qemu, self.root.clone());
        launcher.prefix = self.prefix.split_whitespace().map(str::to_owned).collect();
        launcher.env.clone_from(&self.env);
        launcher.files.clone_from(&self.files);
        Ok(launcher)
    }

    fn options(&self, suite: &str) -> anyhow::Result<Options> {
        for value in self.device.iter().chain([&self.machine]) {
            if has_blank(value) {
                bail!("{value:?} has a blank or a character that is not ASCII, which a trace cannot hold");
            }
        }
        let bdf = match (&self.bdf, self.device.first()) {
            (Some(text), _) => parse_function(text),
            (None, Some(device)) => function_of(device),
            (None, None) => Ok(pci_model::Bdf::default()),
        };
        Ok(Options {
            suite: Suite::find(suite).map_err(anyhow::Error::msg)?,
            machine: self.machine.clone(),
            devices: self.device.clone(),
            bdf: bdf.map_err(anyhow::Error::msg)?,
            seed: self.seed,
            count: self.count,
            held: self.held,
            skip: parse_registers(&self.skip)
                .map_err(anyhow::Error::msg)
                .context("--skip")?,
            ram_mib: self.ram,
        })
    }
}

fn has_blank(text: &str) -> bool {
    text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    file.take(TRACE_LIMIT + 1)
        .read_to_string(&mut text)
        .with_context(|| path.display().to_string())?;
    if u64::try_from(text.len()).is_ok_and(|len| len > TRACE_LIMIT) {
        bail!("{}: longer than {TRACE_LIMIT} bytes", path.display());
    }
    Ok(text)
}

fn write(path: Option<&Path>, text: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    match path.filter(|path| *path != Path::new("-")) {
        Some(path) => fs::write(path, text).with_context(|| path.display().to_string()),
        None => out.write_all(text.as_bytes()).context("standard output"),
    }
}

fn verify_all(paths: &[PathBuf], launcher: &Launcher, out: &mut dyn Write) -> anyhow::Result<RecordOutcome> {
    // Without QEMU, every trace would be skipped for the same reason.
    launcher.version().map_err(anyhow::Error::msg)?;
    let corpus = match Corpus::locate(None) {
        // Who names files needs no corpus.
        Err(CorpusError::Unknown) if !paths.is_empty() => None,
        corpus => Some(corpus?),
    };
    let (mut same, mut different, mut skipped) = (0, 0, 0);
    for trace in corpus::find(corpus.as_ref(), paths)? {
        let verdict = if trace.is_vectors() {
            Ok(Verdict::Skipped("a table of vectors, which nobody recorded".to_owned()))
        } else {
            verify(&read(&trace.path)?, &trace.name, launcher)
        };
        let name = trace.name;
        let lines = match verdict {
            Err(error) => {
                different += 1;
                vec![format!("{name}: failed: {error}")]
            }
            Ok(Verdict::Skipped(reason)) => {
                skipped += 1;
                vec![format!("{name}: skipped: {reason}")]
            }
            Ok(Verdict::Compared {
                answers,
                differences,
                shown,
            }) => {
                *(if differences == 0 { &mut same } else { &mut different }) += 1;
                let mut lines = vec![format!("{name}: {answers} answers, {differences} differences")];
                lines.extend(shown.into_iter().map(|line| format!("  {line}")));
                lines
            }
        };
        write(None, &(lines.join("\n") + "\n"), out)?;
    }
    write(
        None,
        &format!("{same} traces the same, {different} different, {skipped} skipped\n"),
        out,
    )?;
    Ok(RecordOutcome::Verified {
        same,
        different,
        skipped,
    })
}
