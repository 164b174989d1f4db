// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask bench --counts`: `igd-counts` under callgrind, compared with the counts in the tree.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::baseline::Baseline;
use crate::tools::{cargo, root, run as run_command, target_dir};

const BASELINE: &str = "xtask/counts/baseline.toml";
/// Counted are functions of the modules `counted`, and what they call.
const COUNTED: &str = "*counted*";
/// Where `igd-counts` says that a count ends.
const BOUNDARY: &str = "*igd_counts*boundary*";
/// The C library's copy by string instruction counts as one instruction a byte; this keeps it to vectors.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x10000000");

/// What is missing to count, and how to get it.
pub(crate) fn missing() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("the counts are those of Linux on x86_64".into());
    }
    version("valgrind")
        .is_none()
        .then(|| "valgrind is not installed: apt-get install valgrind, or your system's package of that name".into())
}

/// What a program says about its version.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    // The hash of a compiler's commit says nothing to a reader.
    Some(text.lines().next()?.split(" (").next()?.to_owned())
}

/// Counts and compares, or counts and records.
pub(crate) fn run(save: bool, filter: Option<&str>) -> Result<()> {
    if let Some(reason) = missing() {
        println!("counts: skipped: {reason}");
        return Ok(());
    }
    let root = root()?;
    let path = root.join(BASELINE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {BASELINE}"))?;
    let baseline = Baseline::parse(&text).with_context(|| BASELINE.to_owned())?;
    let mut counts = count()?;
    if save {
        ensure!(
            filter.is_none(),
            "--counts --save records all cases: leave the filter away"
        );
        let versions = [version("rustc"), version("valgrind")].into_iter().flatten();
        let recorded = baseline.recorded(&counts, versions.collect::<Vec<_>>().join(", "));
        fs::write(&path, recorded.print()).with_context(|| format!("cannot write {BASELINE}"))?;
        println!("{}recorded in {BASELINE}", recorded.compare(&counts).0);
        return Ok(());
    }
    counts.retain(|(name, _)| filter.is_none_or(|filter| name.contains(filter)));
    ensure!(!counts.is_empty(), "no case has that in its name");
    let (table, wrong) = baseline.compare(&counts);
    println!("{table}recorded with {}", baseline.counted_with);
    if !wrong.is_empty() {
        bail!(
            "{}\nA path that has to take more is recorded again: cargo xtask bench --counts --save",
            wrong.join("\n")
        );
    }
    Ok(())
}

/// Instructions an operation of each case.
fn count() -> Result<Vec<(String, f64)>> {
    let target = target_dir()?;
    run_command(cargo(["build", "--release", "--quiet", "--package", "igd-counts"]).current_dir(root()?))?;
    let folder = target.join("counts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let dumps = folder.join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--combine-dumps=yes"]);
    command.arg(format!("--toggle-collect={COUNTED}"));
    command.arg(format!("--dump-before={BOUNDARY}"));
    command.arg(format!("--callgrind-out-file={}", dumps.display()));
    command.arg(target.join("release").join("igd-counts"));
    let output = command
        .env(TUNABLES.0, TUNABLES.1)
        .output()
        .context("cannot start valgrind")?;
    if !output.status.success() {
        bail!(
            "igd-counts under valgrind: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let dumps = fs::read_to_string(&dumps).with_context(|| format!("cannot read {}", dumps.display()))?;
    pair(&String::from_utf8_lossy(&output.stdout), &dumps)
}

/// Each case's name and its count: of the dumps, every second one is of a case, from the second on.
fn pair(cases: &str, dumps: &str) -> Result<Vec<(String, f64)>> {
    let totals = dumps.lines().filter_map(|line| line.strip_prefix("totals: "));
    let totals: Vec<u32> = totals
        .map(|total| {
            total
                .trim()
                .parse()
                .with_context(|| format!("callgrind counted {total:?}"))
        })
        .collect::<Result<_>>()?;
    let cases: Vec<&str> = cases.lines().collect();
    // One more at the end, of what is left to do after the last case.
    ensure!(
        totals.len() == 2 * cases.len() + 1,
        "{} cases and {} dumps: has `boundary` been inlined?",
        cases.len(),
        totals.len()
    );
    let counted = totals.iter().skip(1).step_by(2);
    cases
        .iter()
        .zip(counted)
        .map(|(case, total)| {
            let (name, operations) = case.split_once(' ').with_context(|| format!("{case:?} is no case"))?;
            let operations: u32 = operations.parse().with_context(|| format!("{case:?} is no case"))?;
            ensure!(*total > 0 && operations > 0, "{name}: nothing was counted");
            Ok((name.to_owned(), f64::from(*total) / f64::from(operations)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_dumps_are_paired() {
        let dumps = "totals: 7\nsummary: 1\ntotals: 1000\ntotals: 9\ntotals: 500\ntotals: 3\n";
        let counts = pair("a/b 100\nc 1000\n", dumps).unwrap();
        assert_eq!(counts, [("a/b".to_owned(), 10.0), ("c".to_owned(), 0.5)]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (cases, dumps) in [
            ("a 1\n", "totals: 1\ntotals: 2\n"),
            ("a 1\n", "totals: 1\ntotals: 0\ntotals: 1\n"),
            ("a 0\n", "totals: 1\ntotals: 1\ntotals: 1\n"),
            ("a\n", "totals: 1\ntotals: 1\ntotals: 1\n"),
            ("a 1\n", "totals: 1\ntotals: x\ntotals: 1\n"),
        ] {
            assert!(pair(cases, dumps).is_err(), "{cases:?} {dumps:?}");
        }
    }
}
