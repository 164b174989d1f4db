// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
//! Each kept input, seeds and those that once broke an oracle, is a test of its name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use igd_fuzz_common::{TARGETS, Target};
use libtest_mimic::{Arguments, Failed, Trial};

/// Folders below `fuzz` that hold kept inputs, a folder for each target.
const KEPT: &[&str] = &["regressions", "seeds"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let trials = KEPT.iter().flat_map(|kind| trials(kind, &fuzz.join(kind))).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// One test for each file of each target, and a failing one for what belongs to none.
fn trials(kind: &str, folder: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for path in sorted(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let target = TARGETS.iter().find(|target| target.name == name);
        match target {
            Some(target) if path.is_dir() => {
                for file in sorted(&path) {
                    let input = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    trials.push(Trial::test(format!("{kind}::{name}::{input}"), move || {
                        replay(target, &file)
                    }));
                }
            }
            _ if name == "README.md" => {}
            _ => trials.push(Trial::test(format!("{kind}::{name}"), move || {
                Err(Failed::from(format!("{} belongs to no target", path.display())))
            })),
        }
    }
    trials
}

fn replay(target: &Target, file: &Path) -> Result<(), Failed> {
    (target.run)(&fs::read(file)?);
    // What a person is shown of an input must not fail either.
    (target.describe)(&fs::read(file)?);
    Ok(())
}

/// What is in a folder; nothing where there is none.
fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => panic!("{}: {error}", folder.display()),
    };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
