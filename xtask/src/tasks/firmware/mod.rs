// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask firmware`: the distribution's SeaBIOS on our VMM under KVM, with a simulated device.

pub(super) mod checks;
pub(super) mod scenarios;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tools::{cargo, root, succeed, target_dir};
use scenarios::{Device, SCENARIOS, Scenario};

/// Unexpected results, as `igd-conformance` says it.
const UNEXPECTED: u8 = 100;
const NOTHING_SELECTED: u8 = 4;
const KVM: &str = "/dev/kvm";
const SEABIOS: &[&str] = &["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin"];
/// What SeaBIOS says when it has found nothing to boot.
const LAST_WORDS: &str = "No bootable device.";
/// How long a scenario may take, in seconds.
const LIMIT: u64 = 20;
/// How much longer it may take to end.
const GRACE: u64 = 20;
/// How long a server may take to listen.
const LISTEN: Duration = Duration::from_secs(5);

/// Arguments of `cargo xtask firmware`.
#[derive(clap::Args, Default, Debug)]
pub(crate) struct Args {
    /// Runs these scenarios only
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Lists the scenarios
    #[arg(long)]
    list: bool,
}

/// Where things are.
#[derive(Debug)]
struct Place {
    vmm: PathBuf,
    sim: PathBuf,
    conformance: PathBuf,
    logs: PathBuf,
    traces: PathBuf,
}

/// Runs the scenarios; says what is missing where they cannot.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.list {
        for scenario in SCENARIOS {
            println!("{:<16} {}", scenario.name, scenario.text);
        }
        return Ok(0);
    }
    let selected: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| args.names.is_empty() || args.names.iter().any(|name| name == scenario.name))
        .collect();
    let is_known = |name: &&String| SCENARIOS.iter().any(|scenario| scenario.name == *name);
    if let Some(unknown) = args.names.iter().find(|name| !is_known(name)) {
        eprintln!("{unknown}: no such scenario; --list names them");
        return Ok(NOTHING_SELECTED);
    }
    if let Some(reason) = missing() {
        println!("firmware: {} scenarios skipped: {reason}", selected.len());
        return Ok(0);
    }
    let place = build()?;
    let mut wrong = 0;
    println!("{:<16} {:<62} {:<7} seconds", "scenario", "expected", "got");
    for scenario in &selected {
        let start = Instant::now();
        let failures = play(scenario, &place)?;
        let got = if failures.is_empty() { "ok" } else { "WRONG" };
        let seconds = start.elapsed().as_secs_f32();
        println!("{:<16} {:<62} {got:<7} {seconds:7.1}", scenario.name, scenario.text);
        for failure in &failures {
            println!("    {failure}");
        }
        wrong += usize::from(!failures.is_empty());
    }
    println!(
        "{} of {} scenarios as expected · logs and traces in {}",
        selected.len() - wrong,
        selected.len(),
        place.logs.display()
    );
    Ok(if wrong == 0 { 0 } else { UNEXPECTED })
}

/// What this machine lacks. SeaBIOS is installed if that is possible.
pub(crate) fn missing() -> Option<String> {
    if let Err(error) = fs::File::options().read(true).write(true).open(KVM) {
        return Some(format!("{KVM}: {error}"));
    }
    let is_there = || SEABIOS.iter().any(|path| Path::new(path).is_file());
    if !is_there() && is_root() {
        eprintln!("$ apt-get install seabios");
        let mut install = Command::new("apt-get");
        install.args(["-qq", "install", "--no-install-recommends", "-y", "seabios"]);
        let _ = install.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    (!is_there()).then(|| "no SeaBIOS: install the package seabios".to_owned())
}

pub(super) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

fn build() -> Result<Place> {
    // With the profile and features of the tests, so that what they built serves here too.
    let mut build = cargo([
        "build",
        "--quiet",
        "--profile",
        "test",
        "--workspace",
        "--all-features",
        "--bins",
    ]);
    succeed(build.current_dir(root()?))?;
    let target = target_dir()?;
    let logs = target.join("firmware");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let program = |name: &str| target.join("debug").join(name);
    Ok(Place {
        vmm: program("igd-vmm"),
        sim: program("igd-sim"),
        conformance: program("igd-conformance"),
        logs,
        traces: root()?.join("conformance/traces/firmware"),
    })
}

/// A program that ends with us.
struct Program(Child);

impl Program {
    fn serve(place: &Place, profile: &str, socket: &Path) -> Result<Self> {
        let _ = fs::remove_file(socket);
        let mut command = Command::new(&place.sim);
        command.args(["--profile", profile, "--socket"]).arg(socket);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self(child.with_context(|| format!("cannot start {}", place.sim.display()))?);
        let start = Instant::now();
        while !socket.exists() {
            if start.elapsed() > LISTEN {
                bail!("igd-sim does not listen on {}", socket.display());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for the VMM, and interrupts it as a terminal does when the firmware has nothing left to do. One that does not
/// end has no exit code.
fn wait(vmm: &mut Child, log: &Path) -> Result<Option<i32>> {
    let mut is_interrupted = false;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(LIMIT + GRACE) {
        if let Some(status) = vmm.try_wait().context("igd-vmm was lost")? {
            return Ok(status.code());
        }
        sleep(Duration::from_millis(20));
        let is_done = || fs::read_to_string(log).is_ok_and(|log| log.contains(LAST_WORDS));
        if !is_interrupted && is_done() {
            is_interrupted = true;
            let mut kill = Command::new("kill");
            let _ = kill.args(["-INT", &vmm.id().to_string()]).status();
        }
    }
    Ok(None)
}

/// Lets the simulator write the OpRegion of a platform; returns its length.
fn dump_opregion(place: &Place, profile: &str, file: &Path) -> Result<u64> {
    let mut command = Command::new(&place.sim);
    command.args(["--profile", profile, "--dump-opregion"]).arg(file);
    succeed(command.stdout(Stdio::null()))?;
    let dump = fs::metadata(file).with_context(|| format!("igd-sim wrote no {}", file.display()))?;
    Ok(dump.len())
}

/// What a run left behind.
#[derive(Debug)]
struct Files {
    log: PathBuf,
    status: PathBuf,
    /// Guest memory at ASLS.
    opregion: PathBuf,
    /// The OpRegion that the device has.
    host_opregion: PathBuf,
    trace: PathBuf,
    errors: PathBuf,
}

/// Runs one scenario and says what was not as expected.
fn play(scenario: &Scenario, place: &Place) -> Result<Vec<String>> {
    let file = |ending: &str| place.logs.join(format!("{}.{ending}", scenario.name));
    let files = Files {
        log: file("log"),
        status: file("json"),
        opregion: file("opregion"),
        host_opregion: file("host-opregion"),
        trace: file("trace"),
        errors: file("err"),
    };
    let old = [
        &files.log,
        &files.status,
        &files.opregion,
        &files.host_opregion,
        &files.trace,
    ];
    for path in old {
        let _ = fs::remove_file(path);
    }
    let socket = file("sock");
    let mut server = match scenario.device {
        Device::Sim(_) => None,
        Device::Served(profile) | Device::Killed(profile) => Some(Program::serve(place, profile, &socket)?),
    };
    let errors = fs::File::create(&files.errors).context("cannot write logs")?;
    let mut command = Command::new(&place.vmm);
    command
        .args(["run", "--exit-after", &LIMIT.to_string()])
        .args(scenario.args);
    match scenario.device {
        Device::Sim(profile) => command.args(["--sim", profile]),
        Device::Served(_) | Device::Killed(_) => command.arg("--vfio-user").arg(&socket),
    };
    command
        .arg("--debugcon")
        .arg(&files.log)
        .arg("--status")
        .arg(&files.status);
    command.arg("--trace").arg(&files.trace);
    if scenario.placed.is_some() {
        let len = dump_opregion(place, scenario.device.profile(), &files.host_opregion)?;
        command
            .arg("--dump-memory")
            .arg(format!("asls,{len},{}", files.opregion.display()));
    }
    let vmm = command.stdin(Stdio::null()).stderr(errors).spawn();
    let mut vmm = Program(vmm.context("cannot start igd-vmm")?);
    if matches!(scenario.device, Device::Killed(_)) {
        let start = Instant::now();
        // The firmware has begun.
        while fs::metadata(&files.log).map_or(0, |log| log.len()) < 100 && start.elapsed() < LISTEN {
            sleep(Duration::from_millis(10));
        }
        drop(server.take());
    }
    let code = wait(&mut vmm.0, &files.log)?;
    Ok(checks::failures(scenario, code, &files, place))
}
