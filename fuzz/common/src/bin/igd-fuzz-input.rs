// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! Shows and replays inputs of the targets, without a fuzzer. `cargo xtask fuzz` starts it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use igd_fuzz_common::{TARGETS, Target};

const USAGE: &str = "\
usage: igd-fuzz-input list                      name, package and summary of each target, separated by tabs
       igd-fuzz-input describe TARGET FILE      what the input stands for
       igd-fuzz-input seeds TARGET FOLDER       writes the inputs to start from
       igd-fuzz-input replay TARGET PATH...     runs files, and the files of folders
exit codes: 0 done, 1 a file cannot be read, 2 wrong arguments, 101 an input broke an oracle";

/// As for a panic that is not caught.
const BROKEN: u8 = 101;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match args.as_slice() {
        [list] if list == "list" => list_targets(),
        [describe, name, file] if describe == "describe" => with(name, |target| show(target, Path::new(file))),
        [seeds, name, folder] if seeds == "seeds" => with(name, |target| write(target, Path::new(folder))),
        [replay, name, paths @ ..] if replay == "replay" && !paths.is_empty() => {
            with(name, |target| run(target, paths.iter().map(PathBuf::from).collect()))
        }
        _ => {
            eprintln!("{USAGE}");
            Ok(2)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        // Whoever read the output has left.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn with(name: &OsStr, act: impl FnOnce(&Target) -> io::Result<u8>) -> io::Result<u8> {
    match TARGETS.iter().find(|target| name == target.name) {
        Some(target) => act(target),
        None => {
            eprintln!("error: no target {}; `list` names them", name.display());
            Ok(2)
        }
    }
}

fn list_targets() -> io::Result<u8> {
    let mut out = io::stdout().lock();
    for target in TARGETS {
        writeln!(out, "{}\t{}\t{}", target.name, target.package, target.summary)?;
    }
    Ok(0)
}

fn show(target: &Target, file: &Path) -> io::Result<u8> {
    let text = (target.describe)(&read(file)?);
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(0)
}

fn write(target: &Target, folder: &Path) -> io::Result<u8> {
    fs::create_dir_all(folder)?;
    for (name, data) in (target.seeds)() {
        fs::write(folder.join(name), data)?;
    }
    Ok(0)
}

/// Runs every file, also after one that panics.
fn run(target: &Target, paths: Vec<PathBuf>) -> io::Result<u8> {
    let (mut ran, mut broken) = (0_u64, 0_u64);
    for file in files(paths)? {
        let data = read(&file)?;
        let run = target.run;
        ran += 1;
        if catch_unwind(|| run(&data)).is_err() {
            broken += 1;
            eprintln!("broken by {}", file.display());
        }
    }
    writeln!(io::stdout(), "{}: {ran} inputs, {broken} broke an oracle", target.name)?;
    Ok(if broken == 0 { 0 } else { BROKEN })
}

/// The files among `paths` and directly in the folders among them, in order.
fn files(paths: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let mut here = Vec::new();
        for entry in fs::read_dir(&path)? {
            here.push(entry?.path());
        }
        here.retain(|path| path.is_file());
        here.sort();
        files.append(&mut here);
    }
    Ok(files)
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}
