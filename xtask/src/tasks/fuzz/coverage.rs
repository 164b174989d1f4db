// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which lines of its package a target's corpus reaches, counted on a stable compiler.
//!
//! libFuzzer's own count has edges of every crate in the program, and no total of one package. So the corpus is run
//! once more in a program built with `-Cinstrument-coverage`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::build::{Place, host};
use super::targets::Target;
use crate::metadata::packages;
use crate::tools::{cargo, root, succeed};

const INSTALL: &str = "rustup component add llvm-tools";

/// Lines of a package, and how many were reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lines {
    /// Reached.
    pub(crate) covered: u64,
    /// All that there are.
    pub(crate) count: u64,
}

impl Lines {
    /// In tenths of a percent; 0 of 0 is 0.
    pub(crate) fn permille(self) -> u64 {
        (self.covered * 1000).checked_div(self.count).unwrap_or_default()
    }

    /// As one reads it.
    pub(crate) fn percent(self) -> String {
        let permille = self.permille();
        format!("{}.{} %", permille / 10, permille % 10)
    }
}

/// LLVM's programs of the compiler's version.
#[derive(Clone, Debug)]
pub(crate) struct Llvm {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Llvm {
    /// Those that the environment names, or those of the toolchain.
    ///
    /// # Errors
    ///
    /// There are none; the message says how to get them.
    pub(crate) fn find() -> Result<Self> {
        let output = Command::new("rustc").args(["--print", "sysroot"]).output();
        let sysroot = output.context("cannot start rustc")?.stdout;
        let sysroot = String::from_utf8_lossy(&sysroot).trim().to_owned();
        let folder = Path::new(&sysroot).join("lib/rustlib").join(host()?).join("bin");
        let tool = |variable: &str, name: &str| {
            let path = env::var_os(variable).map_or_else(|| folder.join(name), PathBuf::from);
            if path.is_file() {
                return Ok(path);
            }
            bail!("no {name}: {INSTALL}, or name one of the compiler's LLVM version in {variable}")
        };
        Ok(Self {
            profdata: tool("LLVM_PROFDATA", "llvm-profdata")?,
            cov: tool("LLVM_COV", "llvm-cov")?,
        })
    }
}

/// The program that counts.
#[derive(Clone, Debug)]
pub(crate) struct Counter {
    llvm: Llvm,
    program: PathBuf,
    profiles: PathBuf,
    /// Folder of the sources of each package.
    sources: Vec<(String, PathBuf)>,
}

impl Counter {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// A tool is missing, or it cannot be built.
    pub(crate) fn build(place: &Place) -> Result<Self> {
        let counter = Self::find(place)?;
        let host = host()?;
        let mut build = cargo(["build", "--quiet", "--profile", "test", "--package", "igd-fuzz-common"]);
        build
            .args(["--bin", "igd-fuzz-input", "--target", &host, "--target-dir"])
            .arg(&counter.profiles);
        build
            .env("RUSTFLAGS", "-Cinstrument-coverage")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        succeed(build.current_dir(root()?))?;
        Ok(counter)
    }

    /// Where it was built.
    ///
    /// # Errors
    ///
    /// A tool is missing.
    pub(crate) fn find(place: &Place) -> Result<Self> {
        let llvm = Llvm::find()?;
        let folder = place.made.join("coverage");
        let sources = packages()?
            .into_iter()
            .map(|package| (package.name, package.folder.join("src")));
        Ok(Self {
            llvm,
            program: folder.join(host()?).join("debug/igd-fuzz-input"),
            profiles: folder,
            sources: sources.collect(),
        })
    }

    /// Runs the corpus of a target and counts.
    pub(crate) fn count(&self, target: &Target, place: &Place) -> Result<Lines> {
        let folders: Vec<_> = ["corpus", "seeds", "regressions"]
            .into_iter()
            .map(|kind| place.of(kind, target.name()))
            .filter(|folder| folder.is_dir())
            .collect();
        let raw = self.profiles.join(format!("{}.profraw", target.name()));
        let merged = raw.with_extension("profdata");
        let mut replay = Command::new(&self.program);
        replay
            .args(["replay", target.name()])
            .args(folders)
            .env("LLVM_PROFILE_FILE", &raw);
        // An input that breaks an oracle is reported elsewhere; what it reached counts.
        let status = replay.stdout(Stdio::null()).stderr(Stdio::null()).status();
        let status = status.context("cannot start the program that counts")?;
        if !matches!(status.code(), Some(0 | 101)) {
            bail!("the corpus could not be run again ({status})");
        }
        let mut merge = Command::new(&self.llvm.profdata);
        merge.args(["merge", "-sparse", "-o"]).arg(&merged).arg(&raw);
        output(&mut merge)?;
        let mut export = Command::new(&self.llvm.cov);
        export
            .args(["export", "--summary-only", "--instr-profile"])
            .arg(&merged)
            .arg(&self.program);
        let export: Value = serde_json::from_slice(&output(&mut export)?).context("llvm-cov wrote no JSON")?;
        let source = self.sources.iter().find(|(name, _)| *name == target.package);
        let (_, folder) = source.with_context(|| format!("no package {}", target.package))?;
        let lines = lines(&export, folder);
        if lines.count == 0 {
            bail!("nothing of {} is in the program", target.package);
        }
        Ok(lines)
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}", said.lines().next().unwrap_or("failed without a word"));
    }
    Ok(output.stdout)
}

/// The sum over the files below `folder`.
pub(crate) fn lines(export: &Value, folder: &Path) -> Lines {
    let files = export
        .pointer("/data/0/files")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut sum = Lines { covered: 0, count: 0 };
    for file in files {
        let name = file.get("filename").and_then(Value::as_str).unwrap_or_default();
        if Path::new(name).starts_with(folder) {
            let number = |key: &str| file.pointer(&format!("/summary/lines/{key}")).and_then(Value::as_u64);
            sum.covered += number("covered").unwrap_or_default();
            sum.count += number("count").unwrap_or_default();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_package_counts() {
        let file = |name: &str, covered: u64, count: u64| json!({ "filename": name, "summary": { "lines": { "covered": covered, "count": count } } });
        let export = json!({ "data": [{ "files": [
            file("x/fwcfg/src/lib.rs", 3, 4),
            file("x/fwcfg/src/dma/mod.rs", 30, 40),
            file("x/fwcfg-other/src/lib.rs", 500, 500),
            file("x/fwcfg/tests/a.rs", 7, 7),
            json!({ "nonsense": 1 }),
        ] }] });
        let lines = lines(&export, Path::new("x/fwcfg/src"));
        assert_eq!(lines, Lines { covered: 33, count: 44 });
        assert_eq!(lines.percent(), "75.0 %");
        assert_eq!(Lines { covered: 0, count: 0 }.percent(), "0.0 %");
        assert_eq!(
            Lines {
                covered: 1999,
                count: 2000
            }
            .percent(),
            "99.9 %"
        );
    }
}
