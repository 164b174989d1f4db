// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One boot of the lab's machine: simulated devices as servers, QEMU with an IOMMU, the steps' files at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Place;
use super::packages::checked;
use super::scenarios::{ASLS, BDSM, Boot, Device};

/// How long a server may take to listen.
const LISTEN: Duration = Duration::from_secs(5);
/// How often progress is told.
const TOLD: Duration = Duration::from_secs(15);
/// The last words of a machine that came to its end.
const END: &str = "LAB end";

/// A program that ends with us.
#[derive(Debug)]
pub(super) struct Program(pub(super) Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulated device that listens.
pub(super) fn serve(place: &Place, device: &Device, socket: &Path) -> Result<Program> {
    let _ = fs::remove_file(socket);
    let log = fs::File::create(socket.with_extension("server.log")).context("cannot write logs")?;
    let mut command = Command::new(&place.sim);
    command
        .args(["--stall", "120"])
        .args(device.args())
        .arg("--socket")
        .arg(socket);
    let errors = log.try_clone().context("cannot write logs")?;
    let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
    let server = Program(child.with_context(|| format!("cannot start {}", place.sim.display()))?);
    let start = Instant::now();
    while !socket.exists() {
        if start.elapsed() > LISTEN {
            bail!("igd-sim does not listen on {}", socket.display());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(server)
}

/// What a boot needs and leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initrd: &'a Path,
    /// The OpRegion as it lies in the host's memory.
    pub(super) opregion: &'a Path,
    /// Where logs and the steps' folders go.
    pub(super) folder: &'a Path,
}

/// How a boot went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) seconds: f32,
    /// Why its results are not to be relied on.
    pub(super) failure: Option<String>,
}

/// Boots the machine, lets it do these steps, and unpacks what they left.
///
/// # Errors
///
/// A program cannot be started, or a file cannot be written.
pub(super) fn run(place: &Place, boot: &Boot, steps: &[&str], files: Files<'_>) -> Result<Outcome> {
    let sockets = Sockets::new()?;
    let mut servers = Vec::new();
    for (index, device) in boot.devices.iter().enumerate() {
        servers.push(serve(place, device, &sockets.path(index))?);
    }
    let console = files.folder.join("console.log");
    let results = files.folder.join("results.tar");
    for old in [&console, &results] {
        let _ = fs::remove_file(old);
    }
    let mut command = place.cache.program("qemu-system-x86_64");
    command.args(arguments(place, boot, steps, files, &sockets, &results));
    let errors = fs::File::create(files.folder.join("qemu.err")).context("cannot write logs")?;
    let output = fs::File::create(&console).context("cannot write logs")?;
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    let mut qemu = Program(child.context("cannot start the fetched QEMU")?);
    let mut told = Instant::now();
    let mut is_late = false;
    while qemu.0.try_wait().context("QEMU was lost")?.is_none() {
        if start.elapsed() > boot.limit {
            is_late = true;
            break;
        }
        if told.elapsed() > TOLD {
            told = Instant::now();
            eprintln!(
                "lab:   {}",
                last_words(&console).unwrap_or("it has said nothing yet".to_owned())
            );
        }
        sleep(Duration::from_millis(50));
    }
    drop(qemu);
    for (index, _) in servers.iter().enumerate() {
        let _ = fs::copy(
            sockets.path(index).with_extension("server.log"),
            files.folder.join(format!("server-{index}.log")),
        );
    }
    if results.is_file() {
        let mut tar = Command::new("tar");
        tar.args(["--ignore-zeros", "-xf"])
            .arg(&results)
            .arg("-C")
            .arg(files.folder);
        // What a machine that was stopped has not written to its end is left out.
        let _ = checked(&mut tar);
        let _ = fs::remove_file(&results);
    }
    let seconds = start.elapsed().as_secs_f32();
    let last = last_words(&console);
    let failure = match (is_late, last) {
        (false, Some(last)) if last.starts_with(END) => None,
        (is_late, last) => Some(format!(
            "the machine {}; its last words: {}",
            if is_late {
                "did not end in time"
            } else {
                "ended before its steps"
            },
            last.unwrap_or_else(|| fs::read_to_string(files.folder.join("qemu.err")).unwrap_or_default())
                .trim()
        )),
    };
    Ok(Outcome { seconds, failure })
}

/// The last line of init.
fn last_words(console: &Path) -> Option<String> {
    let text = fs::read(console).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().rev();
    lines.find_map(|line| Some(line.get(line.find("LAB ")?..)?.to_owned()))
}

/// Sockets have short names, wherever the logs are.
struct Sockets(PathBuf);

impl Sockets {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("igd-lab-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    fn path(&self, index: usize) -> PathBuf {
        self.0.join(index.to_string())
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn arguments(
    place: &Place,
    boot: &Boot,
    steps: &[&str],
    files: Files<'_>,
    sockets: &Sockets,
    results: &Path,
) -> Vec<String> {
    let share = place.cache.root().join("usr/share");
    let memory = boot.memory_mib;
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    for folder in ["qemu", "seabios"] {
        add(&["-L", &share.join(folder).display().to_string()]);
    }
    add(&["-accel", "tcg", "-cpu", "max", "-m", &memory.to_string()]);
    add(&["-machine", "q35,kernel-irqchip=split,memory-backend=ram"]);
    // Shared, so that the servers reach it by descriptor.
    add(&[
        "-object",
        &format!("memory-backend-memfd,id=ram,size={memory}M,share=on"),
    ]);
    add(&["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    let bits = boot.iommu_bits;
    add(&[
        "-device",
        &format!("intel-iommu,intremap=on,caching-mode=on,aw-bits={bits}"),
    ]);
    for (index, device) in boot.devices.iter().enumerate() {
        let socket = sockets.path(index).display().to_string();
        let device = serde_json::json!({
            "driver": "vfio-user-pci",
            "socket": { "type": "unix", "path": socket },
            "addr": device.slot,
        });
        add(&["-device", &device.to_string()]);
    }
    // In one IOMMU group, as functions of a device without access control are.
    add(&["-device", "edu,addr=03.0,multifunction=on"]);
    add(&["-device", "virtio-serial-pci,addr=03.1"]);
    add(&["-chardev", &format!("file,id=results,path={}", results.display())]);
    add(&["-device", "virtserialport,chardev=results,name=lab"]);
    add(&[
        "-device",
        &format!("loader,file={},addr={ASLS:#x},force-raw=on", files.opregion.display()),
    ]);
    add(&["-kernel", &files.kernel.display().to_string()]);
    add(&["-initrd", &files.initrd.display().to_string()]);
    let bound: Vec<String> = boot
        .devices
        .iter()
        .map(|device| format!("0000:00:{}", device.slot))
        .collect();
    add(&[
        "-append",
        &format!(
            "console=ttyS0 quiet panic=-1 no_timer_check intel_iommu=on memmap=48M${BDSM:#x} lab.bind={},0000:00:03.0 lab.steps={}",
            bound.join(","),
            steps.join(",")
        ),
    ]);
    args
}
