// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether the pure crates build without the standard library, and with each feature alone.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::metadata::{Package, packages};
use crate::tools::{cargo, root, run};

/// A target that has no standard library: on any other, a dependency that needs one goes unnoticed.
const BARE: &str = "x86_64-unknown-none";

/// Features that bring the standard library, because a foreign crate needs it.
const HOSTED: &[&str] = &["std", "vm-device", "vm-memory"];

/// Checks every `no_std` crate.
pub(super) fn check() -> Result<()> {
    let bare = has_bare_target();
    if !bare {
        eprintln!("checking on the host, which hides a dependency on std: rustup target add {BARE}");
    }
    for package in packages()? {
        if !is_no_std(&package)? {
            continue;
        }
        check_one(&package, None, bare)?;
        for feature in &package.features {
            check_one(&package, Some(feature), bare && !HOSTED.contains(&feature.as_str()))?;
        }
    }
    Ok(())
}

fn check_one(package: &Package, feature: Option<&String>, bare: bool) -> Result<()> {
    let mut command = cargo([
        "check",
        "--quiet",
        "--lib",
        "--no-default-features",
        "--package",
        &package.name,
    ]);
    if let Some(feature) = feature {
        command.args(["--features", feature]);
    }
    if bare {
        command.args(["--target", BARE]);
    }
    run(command.current_dir(root()?))
}

fn is_no_std(package: &Package) -> Result<bool> {
    let Some(library) = &package.library else {
        return Ok(false);
    };
    let text = fs::read_to_string(library).with_context(|| format!("cannot read {}", library.display()))?;
    Ok(text
        .lines()
        .any(|line| line.starts_with("#![") && line.contains("no_std")))
}

fn has_bare_target() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", BARE])
        .stderr(Stdio::null())
        .output();
    output.is_ok_and(|output| fs::exists(String::from_utf8_lossy(&output.stdout).trim()).unwrap_or(false))
}
