// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is to be known of an input that ended a target, and inputs of one cause together.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::build::Place;
use super::campaign::{INPUT_LIMIT, files, libfuzzer};
use super::output::{Output, kind};
use super::targets::Target;
use crate::tools::root;

/// How long an input is made smaller, in seconds.
const MINIMIZE: u64 = 20;
/// How much of a description is shown.
const LINES: usize = 60;
/// How many bytes of an input are shown.
const BYTES: usize = 256;

/// An input that ended a target.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    /// Name of the target.
    pub(crate) target: String,
    /// `crash`, `timeout`, `oom` or `leak`.
    pub(crate) kind: &'static str,
    /// The smallest input that was found for it.
    pub(crate) file: PathBuf,
    /// Its bytes in hexadecimal, the first of them.
    pub(crate) bytes: String,
    /// What it stands for, a line an access.
    pub(crate) description: String,
    /// Place and message.
    pub(crate) cause: String,
    /// The whole message.
    pub(crate) message: String,
}

impl Crash {
    /// Makes the input smaller and says what it is. `None` without an input.
    pub(crate) fn study(target: &Target, output: &Output, place: &Place) -> Option<Self> {
        let original = output.artifact.as_deref()?;
        let (file, output) =
            smaller(target, original, output, place).unwrap_or_else(|| (original.to_owned(), output.clone()));
        let data = std::fs::read(&file).unwrap_or_default();
        Some(Self {
            target: target.name().to_owned(),
            kind: kind(original),
            bytes: hex(&data),
            description: describe(target, &file, place),
            cause: output.cause(),
            message: output.message.clone().unwrap_or_default(),
            file: short(&file),
        })
    }

    /// The command that runs it again on a stable compiler.
    pub(crate) fn replay(&self) -> String {
        format!("cargo xtask fuzz {} --replay {}", self.target, self.file.display())
    }

    /// What a person reads first.
    pub(crate) fn text(&self) -> String {
        let indented = |text: &str| text.replace('\n', "\n           ");
        format!(
            "{:<10} {}\n  cause    {}\n  message  {}\n  input    {}\n  bytes    {}\n  stands for\n           {}\n  again    {}",
            self.kind.to_uppercase(),
            self.target,
            self.cause,
            indented(&self.message),
            self.file.display(),
            self.bytes,
            indented(&self.description),
            self.replay(),
        )
    }
}

/// A smaller input with the same cause, if there is one, and what it prints.
fn smaller(target: &Target, original: &Path, output: &Output, place: &Place) -> Option<(PathBuf, Output)> {
    // One that takes long or much memory takes it again at each attempt.
    if kind(original) != "crash" {
        return None;
    }
    let name = original.file_name()?.to_string_lossy();
    let small = original.with_file_name(format!("minimized-{name}"));
    let mut command = libfuzzer(place, target.name());
    command.arg("-minimize_crash=1");
    command.arg(format!("-max_total_time={MINIMIZE}"));
    command.arg(format!("-exact_artifact_path={}", small.display()));
    command.arg(original);
    read(&mut command, Duration::from_secs(MINIMIZE + 2 * INPUT_LIMIT)).ok()?;
    let again = again(target, &small, place).ok()?;
    let is_same = small.is_file() && again.key() == output.key();
    is_same.then_some((small, again))
}

/// Runs one input in the target's program.
fn again(target: &Target, file: &Path, place: &Place) -> Result<Output> {
    let mut command = libfuzzer(place, target.name());
    read(command.arg(file), Duration::from_secs(3 * INPUT_LIMIT))
}

/// Runs a program of libFuzzer for a bounded time, and reads what it prints.
fn read(command: &mut Command, limit: Duration) -> Result<Output> {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the target")?;
    let stderr = child.stderr.take().context("the target has no output")?;
    let reader = thread::spawn(move || {
        let mut output = Output::default();
        for line in BufReader::new(stderr).split(b'\n').map_while(std::result::Result::ok) {
            output.line(&String::from_utf8_lossy(&line));
        }
        output
    });
    let start = Instant::now();
    while child.try_wait().context("the target was lost")?.is_none() {
        if start.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
        }
        thread::sleep(Duration::from_millis(10));
    }
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("cannot read what the target prints"))
}

fn describe(target: &Target, file: &Path, place: &Place) -> String {
    let output = Command::new(&place.input)
        .args(["describe", target.name()])
        .arg(file)
        .output();
    match output {
        Ok(output) if output.status.success() => cut(&String::from_utf8_lossy(&output.stdout)),
        Ok(output) => format!(
            "describe failed ({}): {}",
            output.status,
            cut(&String::from_utf8_lossy(&output.stderr))
        ),
        Err(error) => format!("cannot start {}: {error}", place.input.display()),
    }
}

/// The first lines.
fn cut(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    let mut cut = lines.iter().take(LINES).copied().collect::<Vec<_>>().join("\n");
    if lines.len() > LINES {
        cut += &format!("\n... {} lines more", lines.len() - LINES);
    }
    cut
}

fn hex(data: &[u8]) -> String {
    let mut text: String = data.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
    if data.len() > BYTES {
        text += &format!("... {} bytes", data.len());
    }
    text
}

/// As one would type it at the root of the repository.
pub(crate) fn short(path: &Path) -> PathBuf {
    let root = root().ok();
    root.and_then(|root| path.strip_prefix(root).ok())
        .unwrap_or(path)
        .to_owned()
}

/// Runs every input in `fuzz/artifacts` again, and prints those that still fail, by cause. Says whether any does.
pub(crate) fn triage(targets: &[Target], place: &Place) -> Result<bool> {
    let mut groups = Groups::new();
    let (mut total, mut well) = (0, 0);
    for target in targets {
        for file in files(&place.of("artifacts", target.name())) {
            if kind(&file) == "slow-unit" {
                continue;
            }
            total += 1;
            let output = again(target, &file, place)?;
            if output.message.is_none() && output.location.is_none() {
                well += 1;
                println!("{}: ends well now", short(&file).display());
                continue;
            }
            let group = groups.entry((target.name().to_owned(), output.key().to_owned()));
            group.or_insert_with(|| (output.cause(), Vec::new())).1.push(file);
        }
    }
    print!(
        "{}",
        listed(groups, |file| std::fs::metadata(file)
            .map_or(u64::MAX, |file| file.len()))
    );
    println!("{total} inputs · {well} end well now");
    Ok(total > well)
}

/// Inputs by target and place, with one of their messages.
type Groups = BTreeMap<(String, String), (String, Vec<PathBuf>)>;

/// Each cause once, with its smallest input.
fn listed(groups: Groups, len: impl Fn(&Path) -> u64) -> String {
    let mut text = String::new();
    for ((target, _), (cause, files)) in groups {
        let Some(smallest) = files.iter().min_by_key(|file| (len(file), file.to_path_buf())) else {
            continue;
        };
        text += &format!(
            "{target}: {} inputs, {cause}\n    cargo xtask fuzz {target} --replay {}\n",
            files.len(),
            short(smallest).display()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_listed_once_with_its_smallest_input() {
        let mut groups = Groups::new();
        let mut insert = |place: &str, cause: &str, files: &[&str]| {
            let files = files.iter().map(PathBuf::from).collect();
            groups.insert(("vbt".to_owned(), place.to_owned()), (cause.to_owned(), files));
        };
        insert("a.rs:1:2", "a.rs:1:2: one", &["longer", "short"]);
        insert("a.rs:3:4", "a.rs:3:4: two", &["x"]);
        assert_eq!(
            listed(groups, |file| file.as_os_str().len() as u64),
            "vbt: 2 inputs, a.rs:1:2: one\n    cargo xtask fuzz vbt --replay short\n\
             vbt: 1 inputs, a.rs:3:4: two\n    cargo xtask fuzz vbt --replay x\n"
        );
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(hex(&[0, 255]), "00ff");
        assert!(hex(&[1; 300]).ends_with("01... 300 bytes"));
        assert_eq!(cut("a\nb\n"), "a\nb");
        assert!(cut(&"x\n".repeat(70)).ends_with("x\n... 10 lines more"));
    }

    #[test]
    fn a_crash_says_how_to_replay_it() {
        let crash = Crash {
            target: "vbt".into(),
            kind: "crash",
            file: "fuzz/artifacts/vbt/crash-1".into(),
            bytes: "00".into(),
            description: "one\ntwo".into(),
            cause: "a.rs:1:2: wrong".into(),
            message: "wrong\n  left: 1".into(),
        };
        let text = crash.text();
        assert!(
            text.starts_with("CRASH      vbt\n  cause    a.rs:1:2: wrong\n"),
            "{text}"
        );
        assert!(
            text.contains("\n  stands for\n           one\n           two\n"),
            "{text}"
        );
        assert!(
            text.ends_with("again    cargo xtask fuzz vbt --replay fuzz/artifacts/vbt/crash-1"),
            "{text}"
        );
    }
}
