// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask cov`: which lines of the pure crates their tests reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::fuzz::coverage::{Lines, Llvm};
use super::mutants::{PURE, choose};
use crate::metadata::packages;
use crate::tools::{LLVM_COV, cargo, root, succeed, target_dir};

/// The share of lines that must be reached, in tenths of a percent.
const BOUND: u64 = 950;

/// Arguments of `cargo xtask cov`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Packages; the four pure crates unless given
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Lists the lines that are not reached
    #[arg(long)]
    uncovered: bool,
}

/// Counts; 100 under the bound.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let all = packages()?;
    let Some(names) = choose(&args.packages, PURE, &all) else {
        return Ok(2);
    };
    if !LLVM_COV.is_present() {
        anyhow::bail!("cargo llvm-cov is not installed: {}", LLVM_COV.install);
    }
    Llvm::find()?;
    let folder = target_dir()?.join("cov");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut low = 0;
    let mut table = format!("{:<16} {:>7} {:>9} {:>9}\n", "package", "lines", "reached", "share");
    for name in &names {
        let report = folder.join(format!("{name}.lcov"));
        let mut count = cargo(["llvm-cov", "test", "--quiet", "--package", name, "--all-features"]);
        // The wrapper takes its own folder below the target folder; the tests' output is of no interest if they pass.
        count
            .args(["--lcov", "--output-path"])
            .arg(&report)
            .current_dir(root()?);
        succeed(count.stdout(std::process::Stdio::null()))?;
        let text = fs::read_to_string(&report).with_context(|| format!("cannot read {}", report.display()))?;
        let package = all.iter().find(|package| package.name == **name);
        let source = package
            .with_context(|| format!("no package {name}"))?
            .folder
            .join("src");
        let files = product_lines(&text, &source, |path| fs::read_to_string(path).unwrap_or_default());
        let lines = sum(&files);
        let verdict = if lines.permille() < BOUND {
            "  under the bound"
        } else {
            ""
        };
        low += usize::from(!verdict.is_empty());
        table += &format!(
            "{name:<16} {:>7} {:>9} {:>9}{verdict}\n",
            lines.count,
            lines.covered,
            lines.percent()
        );
        if args.uncovered {
            files.iter().for_each(|(path, lines)| table += &uncovered(path, lines));
        }
    }
    print!("{table}");
    println!("bound {} %, tests aside · {}", BOUND / 10, folder.display());
    Ok(if low == 0 { 0 } else { 100 })
}

/// Lines of a file, and whether each was reached.
type FileLines = BTreeMap<u64, bool>;

/// The lines of the files below `folder` in an lcov report, but not those of their tests, which are all reached.
fn product_lines(lcov: &str, folder: &Path, read: impl Fn(&Path) -> String) -> BTreeMap<PathBuf, FileLines> {
    let mut files = BTreeMap::new();
    let mut file: Option<(PathBuf, BTreeSet<u64>)> = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:").map(PathBuf::from) {
            file = path.starts_with(folder).then(|| {
                let tests = test_lines(&read(&path));
                (path, tests)
            });
        } else if let Some((path, tests)) = &file
            && let Some((number, count)) = line.strip_prefix("DA:").and_then(|line| line.split_once(','))
            && let Ok(number) = number.parse()
            && !tests.contains(&number)
        {
            let lines: &mut FileLines = files.entry(path.clone()).or_default();
            *lines.entry(number).or_default() |= count != "0";
        }
    }
    files
}

/// The lines of the module of unit tests, from its attribute to the brace at the margin.
fn test_lines(source: &str) -> BTreeSet<u64> {
    let mut lines = BTreeSet::new();
    let mut inside = false;
    for (number, line) in (1..).zip(source.lines()) {
        inside |= line == "#[cfg(test)]";
        if inside {
            lines.insert(number);
            inside = line != "}" && !(line.starts_with("mod ") && line.ends_with(';'));
        }
    }
    lines
}

fn sum(files: &BTreeMap<PathBuf, FileLines>) -> Lines {
    let lines = || files.values().flat_map(FileLines::values);
    let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
    Lines {
        covered: number(lines().filter(|reached| **reached).count()),
        count: number(lines().count()),
    }
}

/// `path:line`, one a line.
fn uncovered(path: &Path, lines: &FileLines) -> String {
    let path = root()
        .ok()
        .and_then(|root| path.strip_prefix(root).ok())
        .unwrap_or(path);
    let missing = lines.iter().filter(|(_, reached)| !**reached);
    missing
        .map(|(line, _)| format!("    {}:{line}\n", path.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn a() {\n}\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\nfn b() {}\n";

    #[test]
    fn tests_are_left_out_and_what_follows_them_is_not() {
        assert_eq!(test_lines(SOURCE).into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        let outside = "#[cfg(test)]\nmod tests;\nfn b() {}\n";
        assert_eq!(test_lines(outside).into_iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn lines_of_the_package_are_counted_once() {
        let lcov = "SF:x/fwcfg/src/a.rs\nFN:1,a\nDA:1,3\nDA:2,0\nDA:5,9\nDA:8,0\nend_of_record\n\
                    SF:x/other/src/a.rs\nDA:1,1\nend_of_record\n\
                    SF:x/fwcfg/src/a.rs\nDA:2,1\nend_of_record\n";
        let files = product_lines(lcov, Path::new("x/fwcfg/src"), |_| SOURCE.to_owned());
        assert_eq!(sum(&files), Lines { covered: 2, count: 3 });
        let (path, lines) = files.iter().next().unwrap();
        assert_eq!(uncovered(path, lines), "    x/fwcfg/src/a.rs:8\n");
    }
}
