// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Building the targets with libFuzzer, and the program that shows inputs.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::tools::{cargo, root, run as run_command, succeed, target_dir};

/// The coverage that libFuzzer is guided by. One codegen unit, because the linker drops counters otherwise.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    --cfg fuzzing -Ccodegen-units=1";
/// Lets libFuzzer learn what input is compared with.
const COMPARES: &str = "-Cllvm-args=-sanitizer-coverage-trace-compares";

/// What watches memory while a target runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Sanitizer {
    /// Nothing; any toolchain.
    None,
    /// `AddressSanitizer`, which finds leaks too; a nightly toolchain.
    Address,
}

/// A way of building the targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flavour {
    /// Whether with the nightly toolchain.
    pub(crate) nightly: bool,
    /// The sanitizer.
    pub(crate) sanitizer: Sanitizer,
    /// Whether comparisons are traced.
    pub(crate) compares: bool,
}

impl Flavour {
    /// What was asked for, or the best that this machine has.
    ///
    /// # Errors
    ///
    /// `AddressSanitizer` is asked for and cannot be had.
    pub(crate) fn choose(stable: bool, sanitizer: Option<Sanitizer>, compares: bool) -> Result<Self> {
        let has_nightly = !stable && has_nightly();
        let sanitizer = sanitizer.unwrap_or(if has_nightly {
            Sanitizer::Address
        } else {
            Sanitizer::None
        });
        if sanitizer == Sanitizer::Address && !has_nightly {
            bail!("AddressSanitizer needs a nightly toolchain: rustup toolchain install nightly, without --stable");
        }
        Ok(Self {
            nightly: sanitizer == Sanitizer::Address,
            sanitizer,
            compares,
        })
    }

    /// Its name, also that of its folder.
    pub(crate) fn name(self) -> &'static str {
        match (self.nightly, self.compares) {
            (true, true) => "nightly-address",
            (true, false) => "nightly-address-no-compares",
            (false, true) => "stable",
            (false, false) => "stable-no-compares",
        }
    }

    fn flags(self) -> String {
        let mut flags = vec![COVERAGE];
        flags.extend(self.compares.then_some(COMPARES));
        flags.extend((self.sanitizer == Sanitizer::Address).then_some("-Zsanitizer=address"));
        flags.join(" ")
    }
}

/// Where programs and folders are.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder `fuzz`.
    pub(crate) fuzz: PathBuf,
    /// The folder of everything that is made here.
    pub(crate) made: PathBuf,
    /// The folder of the built targets.
    pub(crate) programs: PathBuf,
    /// `igd-fuzz-input`.
    pub(crate) input: PathBuf,
}

impl Place {
    /// The folders of one flavour.
    pub(crate) fn new(flavour: Flavour) -> Result<Self> {
        let made = target_dir()?.join("fuzz");
        fs::create_dir_all(&made).with_context(|| format!("cannot create {}", made.display()))?;
        Ok(Self {
            fuzz: root()?.join("fuzz"),
            programs: made.join(flavour.name()).join(host()?).join("release"),
            input: target_dir()?.join("debug/igd-fuzz-input"),
            made,
        })
    }

    /// A folder below `fuzz` that belongs to a target.
    pub(crate) fn of(&self, kind: &str, target: &str) -> PathBuf {
        self.fuzz.join(kind).join(target)
    }
}

/// Whether there is what libFuzzer is built with.
///
/// # Errors
///
/// There is none.
pub(crate) fn compiler() -> Result<()> {
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !starts(Command::new(&compiler).arg("--version")) {
        bail!(
            "no C++ compiler `{}`, which libFuzzer is built with: apt-get install g++, or set CXX",
            compiler.display()
        );
    }
    Ok(())
}

/// Builds the program that shows and replays inputs.
pub(crate) fn input_program() -> Result<()> {
    let mut build = cargo(["build", "--quiet", "--profile", "test", "--package", "igd-fuzz-common"]);
    succeed(build.args(["--bin", "igd-fuzz-input"]).current_dir(root()?))
}

/// Builds the targets.
pub(crate) fn targets(flavour: Flavour, place: &Place, names: &[&str]) -> Result<()> {
    compiler()?;
    let mut build = if flavour.nightly {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly", "cargo", "build"]);
        // What the toolchain that started us says of itself does not hold for the other.
        command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTDOC");
        command
    } else {
        cargo(["build"])
    };
    build.args(["--release", "--target", &host()?, "--target-dir"]);
    build.arg(place.made.join(flavour.name()));
    for name in names {
        build.args(["--bin", name]);
    }
    build
        .env("RUSTFLAGS", flavour.flags())
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.current_dir(&place.fuzz);
    // Shows what takes long the first time, and stays out of the way later.
    if place.programs.exists() {
        succeed(build.arg("--quiet"))
    } else {
        run_command(&mut build)
    }
}

fn has_nightly() -> bool {
    starts(Command::new("rustup").args(["run", "nightly", "rustc", "--version"]))
}

/// The triple of this machine, as the compiler calls it. RUSTFLAGS hold for build scripts too unless it is named.
pub(crate) fn host() -> Result<String> {
    let output = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .context("`rustc -vV` names no host")
}

/// Whether a command can be started and succeeds.
pub(crate) fn starts(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
