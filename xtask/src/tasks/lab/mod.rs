// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask lab`: our VMM on the kernel's own vfio-pci and KVM, in a virtual machine, on any machine.

mod boot;
mod checks;
mod cpio;
mod facts;
mod image;
mod judge;
mod kernel;
mod modules;
mod oracle;
mod packages;
mod report;
mod scenarios;
mod signals;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::tools::{cargo, root, succeed, target_dir};
use checks::Results;
use image::{Contents, Program};
use kernel::Image;
use packages::{Apt, Cache, SUITES};
use report::{Line, Verdict};
use scenarios::{Boot, Check, Kernel, SCENARIOS, Scenario};

/// Unexpected results, as `igd-conformance` says it.
const UNEXPECTED: u8 = 100;
const USAGE: u8 = 2;
/// What makes a program that runs where there are no libraries.
const STATIC: &str = "-C target-feature=+crt-static -C strip=symbols";
const TARGET: &str = "x86_64-unknown-linux-gnu";

const AFTER_HELP: &str = "\
A machine without GPU, VFIO and KVM is enough: QEMU emulates one with an IOMMU, and igd-sim is its GPU.
The first run fetches Debian packages into the cache; later ones need no network.

Exit codes:
  0  as expected, or skipped with a reason     1  something failed
  2  wrong arguments                           100  unexpected results";

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args, Default, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Runs this scenario; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    only: Vec<String>,
    /// Runs every scenario, also those that take minutes or build a kernel
    #[arg(long)]
    all: bool,
    /// Lists the scenarios
    #[arg(long)]
    list: bool,
    /// The machine's kernel, where a scenario leaves a choice
    #[arg(long, value_enum, value_name = "KERNEL")]
    kernel: Option<Kernel>,
    /// Where downloads are kept; by default target/lab/cache
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Fetches newer packages
    #[arg(long)]
    update: bool,
    /// Keeps the files of scenarios that went well
    #[arg(long)]
    keep_logs: bool,
}

/// Where things are.
#[derive(Debug)]
struct Place {
    cache: Cache,
    vmm: PathBuf,
    sim: PathBuf,
    folder: PathBuf,
}

/// Runs the scenarios; says what is missing where they cannot.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.list {
        for scenario in SCENARIOS {
            let when = if scenario.is_default { "" } else { " (with --all)" };
            println!("{:<18} {}{when}", scenario.name, scenario.text);
        }
        return Ok(0);
    }
    let is_known = |name: &&String| SCENARIOS.iter().any(|scenario| scenario.name == *name);
    if let Some(unknown) = args.only.iter().find(|name| !is_known(name)) {
        eprintln!("error: {unknown}: no such scenario; --list names them");
        return Ok(USAGE);
    }
    let selected: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| is_selected(args, scenario))
        .collect();
    let folder = target_dir()?.join("lab");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let cache = Cache {
        folder: args.cache.clone().unwrap_or_else(|| folder.join("cache")),
    };
    if let Some(reason) = unfit() {
        return finish(&folder, &skipped(&selected, &reason));
    }
    if args.update || !cache.is_ready() {
        if args.update {
            let _ = fs::remove_dir_all(cache.folder.join("apt/debs"));
        }
        let filled = Apt::new(&cache.folder, SUITES).and_then(|apt| cache.fill(&apt));
        match filled {
            Ok(()) => {}
            Err(error) if cache.is_ready() => eprintln!("lab: the cache stays as it is: {error:#}"),
            Err(error) => return finish(&folder, &skipped(&selected, &format!("{error:#}"))),
        }
    }
    let place = build(cache, folder)?;
    let mut lines = Vec::new();
    for boot in boots(&selected) {
        let here: Vec<&Scenario> = selected
            .iter()
            .copied()
            .filter(|scenario| scenario.boot.name == boot.name)
            .collect();
        let wanted = boot.kernel.or(args.kernel).unwrap_or(Kernel::Stock);
        match kernel::image(wanted, &place.cache)? {
            Ok(image) => lines.extend(play(&place, boot, &here, &image, args.keep_logs)?),
            Err(reason) => lines.extend(skipped(&here, &reason)),
        }
    }
    finish(&place.folder, &lines)
}

fn is_selected(args: &Args, scenario: &Scenario) -> bool {
    if args.only.is_empty() {
        args.all || scenario.is_default
    } else {
        args.only.iter().any(|name| name == scenario.name)
    }
}

/// The machines of these scenarios, each once.
fn boots(scenarios: &[&Scenario]) -> Vec<&'static Boot> {
    let mut boots: Vec<&'static Boot> = Vec::new();
    for scenario in scenarios {
        if boots.iter().all(|boot| boot.name != scenario.boot.name) {
            boots.push(scenario.boot);
        }
    }
    boots
}

/// Why nothing here can run on this machine.
pub(crate) fn unfit() -> Option<String> {
    let is_amd64 = env::consts::ARCH == "x86_64" && env::consts::OS == "linux";
    if !is_amd64 {
        return Some(format!(
            "needs Linux on x86_64, not {} on {}",
            env::consts::OS,
            env::consts::ARCH
        ));
    }
    let absent = |program: &&&str| {
        let mut command = Command::new(program);
        let tried = command
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        tried.is_err()
    };
    let missing = ["apt-get", "dpkg-deb", "tar", "gzip"].iter().find(absent);
    missing.map(|program| format!("needs {program}, as every Debian has it"))
}

fn skipped(scenarios: &[&Scenario], reason: &str) -> Vec<Line> {
    let line = |scenario: &&Scenario| Line {
        name: scenario.name,
        text: scenario.text,
        kernel: String::new(),
        verdict: Verdict::Skipped(reason.to_owned()),
        seconds: 0.0,
    };
    scenarios.iter().map(line).collect()
}

/// Prints and writes the results.
fn finish(folder: &Path, lines: &[Line]) -> Result<u8> {
    print!("{}", report::table(lines));
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("report.json", format!("{:#}\n", report::to_json(lines)))?;
    write("report.xml", report::to_junit(lines))?;
    let wrong = lines.iter().filter(|line| line.is_wrong()).count();
    let skipped = lines
        .iter()
        .filter(|line| matches!(line.verdict, Verdict::Skipped(_)))
        .count();
    println!(
        "{} of {} scenarios as expected, {skipped} skipped · {}",
        lines.len() - wrong - skipped,
        lines.len(),
        folder.join("report.json").display()
    );
    Ok(if wrong == 0 { 0 } else { UNEXPECTED })
}

/// Builds the programs so that they run in a machine without libraries.
fn build(cache: Cache, folder: PathBuf) -> Result<Place> {
    let mut build = cargo(["build", "--quiet", "--target", TARGET]);
    build.args(["-p", "igd-vmm", "-p", "igd-sim", "--bins", "--all-features"]);
    // The machine's processor is emulated, and loads these over and over.
    build.env("RUSTFLAGS", STATIC);
    build.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    eprintln!("lab: building static programs");
    succeed(build.current_dir(root()?))?;
    let programs = target_dir()?.join(TARGET).join("debug");
    Ok(Place {
        cache,
        vmm: programs.join("igd-vmm"),
        sim: programs.join("igd-sim"),
        folder,
    })
}

/// Builds what else of `igd-vmm` a machine runs: `test`s or `bench`es, in the same way.
fn build_programs(kind: &str, names: &[&str]) -> Result<Vec<Program>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut build = cargo([kind, "--no-run", "--quiet", "--message-format=json", "--target", TARGET]);
    build.args(["-p", "igd-vmm", "--all-features"]);
    for name in names {
        build.arg(format!("--{kind}")).arg(name);
    }
    build.env("RUSTFLAGS", STATIC);
    eprintln!("lab: building static {kind} programs");
    let output = build.current_dir(root()?).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "the {kind} programs do not build ({})",
        output.status
    );
    let programs = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|message| program(message, kind))
        .collect::<Vec<_>>();
    anyhow::ensure!(
        programs.len() == names.len(),
        "cargo named {} {kind} programs of {}",
        programs.len(),
        names.len()
    );
    Ok(programs)
}

/// The program that a message of cargo names, if it is one of this kind.
fn program(message: &str, kind: &str) -> Option<Program> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let name = message.pointer("/target/name")?.as_str()?.to_owned();
    let is_of_kind = message.pointer("/target/kind/0")?.as_str()? == kind;
    let kind = kind.to_owned();
    is_of_kind.then_some(Program { kind, name, path })
}

/// Runs the scenarios of one machine.
fn play(place: &Place, boot: &Boot, scenarios: &[&Scenario], image: &Image, keep_logs: bool) -> Result<Vec<Line>> {
    let folder = place.folder.join(boot.name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let opregion = checks::opregion(&folder);
    let facts = folder.join("expected-facts.json");
    expect(place, boot, &opregion, &facts)?;
    let guest = match &image.modules {
        Some(modules) if boot.has_guest => Some(image::guest(place, &image.path, modules)?),
        _ => None,
    };
    let mut programs = build_programs("test", boot.tests)?;
    programs.extend(build_programs("bench", boot.benches)?);
    let initrd = folder.join("initrd.gz");
    let contents = Contents {
        modules: image.modules.as_deref(),
        has_driver: boot.has_driver,
        guest: guest.as_ref(),
        programs: &programs,
        opregion: &opregion,
    };
    image::machine(place, contents, &initrd)?;
    if scenarios
        .iter()
        .any(|scenario| matches!(scenario.check, Check::Oracle(_)))
    {
        oracle::add(place, boot, &initrd)?;
    }
    if scenarios.iter().any(|scenario| matches!(scenario.check, Check::Judge)) {
        oracle::add_program(place, &initrd)?;
    }
    let mut steps: Vec<&str> = scenarios.iter().map(|scenario| scenario.step).collect();
    steps.dedup();
    eprintln!(
        "lab: booting {} on kernel {}: {} (at most {} s)",
        boot.name,
        image.name,
        steps.join(", "),
        boot.limit.as_secs()
    );
    let files = boot::Files {
        kernel: &image.path,
        initrd: &initrd,
        opregion: &opregion,
        folder: &folder,
    };
    let start = Instant::now();
    let outcome = boot::run(place, boot, &steps, files)?;
    let mut lines = Vec::new();
    for scenario in scenarios {
        let step = folder.join(scenario.step);
        let results = Results {
            folder: &step,
            vmm: &place.vmm,
            facts: &facts,
            opregion: &opregion,
        };
        let mut failures = checks::failures(scenario.check, &results);
        if let Check::Times(_) = scenario.check {
            for (name, time) in checks::times(&step) {
                eprintln!("lab:   {name:<24} {time:>10}");
            }
        }
        if let (Some(failure), false) = (&outcome.failure, failures.is_empty()) {
            failures.push(failure.clone());
        }
        lines.push(Line {
            name: scenario.name,
            text: scenario.text,
            kernel: image.name.clone(),
            verdict: Verdict::Ran(failures),
            seconds: seconds(&step).unwrap_or(outcome.seconds),
        });
    }
    eprintln!("lab: {} took {:.1} s in all", boot.name, start.elapsed().as_secs_f32());
    let is_well = lines.iter().all(|line| !line.is_wrong());
    if is_well && !keep_logs {
        let _ = fs::remove_dir_all(&folder);
    } else {
        eprintln!("lab: logs in {}", folder.display());
    }
    Ok(lines)
}

/// Writes the OpRegion that the machine's firmware would have left, and the facts of the device without a kernel.
fn expect(place: &Place, boot: &Boot, opregion: &Path, facts: &Path) -> Result<()> {
    let device = boot.devices.first().context("a machine without a device")?;
    let mut dump = Command::new(&place.sim);
    dump.args(device.args())
        .arg("--host-opregion")
        .arg("--dump-opregion")
        .arg(opregion);
    succeed(dump.stdout(Stdio::null()))?;
    let folder = env::temp_dir().join(format!("igd-lab-{}-facts", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let socket = folder.join("s");
    let output = boot::serve(place, device, &socket).and_then(|_server| {
        let mut probe = Command::new(&place.vmm);
        probe.args(["probe", "--json", "--vfio-user"]).arg(&socket);
        probe.output().context("cannot start igd-vmm")
    });
    let _ = fs::remove_dir_all(&folder);
    fs::write(facts, output?.stdout).with_context(|| format!("cannot write {}", facts.display()))
}

/// How long a step took, in the machine's time.
fn seconds(step: &Path) -> Option<f32> {
    let times = fs::read_to_string(step.join("times")).ok()?;
    let (start, end) = times.trim().split_once(' ')?;
    Some(end.parse::<f32>().ok()? - start.parse::<f32>().ok()?)
}
