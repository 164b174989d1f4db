// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A VMM as a program: how it is started with a firmware, and what it took.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// RAM of the guest in KiB, as the command lines have it.
const RAM: u64 = 64 << 10;

/// Which program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vmm {
    Ours,
    Qemu,
}

impl Vmm {
    /// The exit code for a value that a firmware wrote to port 501h.
    pub(crate) fn ended_with(self, value: u8) -> i32 {
        match self {
            Self::Ours => i32::from(64 | value & 0x3f),
            Self::Qemu => i32::from(value) << 1 | 1,
        }
    }

    fn command(self, firmware: &Path, folder: &Path) -> Command {
        let (program, line) = match self {
            Self::Ours => (
                env!("CARGO_BIN_EXE_igd-vmm"),
                "run --sim kbl --log error --debugcon stdio --memory 64M --firmware",
            ),
            Self::Qemu => (
                "qemu-system-x86_64",
                "-accel kvm -machine pc -m 64M -nodefaults -display none \
                 -device isa-debug-exit,iobase=0x501,iosize=1 \
                 -chardev stdio,id=out,signal=off -device isa-debugcon,iobase=0x402,chardev=out \
                 -object memory-backend-memfd,id=bar,size=16M,share=on \
                 -device ivshmem-plain,memdev=bar,addr=2 -device edu,addr=3 -bios",
            ),
        };
        let mut command = Command::new(program);
        command.args(line.split_whitespace()).arg(firmware);
        quiet(command, folder)
    }
}

fn quiet(mut command: Command, folder: &Path) -> Command {
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

/// The instructions that a program executes in user space with this firmware, as valgrind counts them.
pub(crate) fn instructions(vmm: Vmm, firmware: &Path, folder: &Path) -> u64 {
    let command = vmm.command(firmware, folder);
    let mut counted = Command::new("valgrind");
    counted
        .args(["--tool=callgrind", "--callgrind-out-file=callgrind.out"])
        .arg(command.get_program())
        .args(command.get_args());
    let ended = quiet(counted, folder).output().unwrap().status.code();
    assert!(
        ended.is_some_and(|code| code >= 64),
        "{vmm:?} under valgrind ended with {ended:?}"
    );
    let counts = std::fs::read_to_string(folder.join("callgrind.out")).unwrap();
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}

/// How often `igd-vmm` called KVM for a memory slot with this firmware.
pub(crate) fn slot_calls(firmware: &Path, folder: &Path) -> f64 {
    // The firmware is the last argument, and options may follow it.
    let mut command = Vmm::Ours.command(firmware, folder);
    command.args(["--status", "status.json"]).status().unwrap();
    let status = std::fs::read(folder.join("status.json")).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
    status.get("slot-calls").and_then(serde_json::Value::as_f64).unwrap()
}

/// Whether a program is installed.
pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The version of the installed QEMU, if there is one.
pub(crate) fn qemu_version() -> Option<String> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()
        .map(str::to_owned)
}

/// A firmware whose first instructions write a line to the debug console and end the machine:
/// mov al, 0Ah; mov dx, 402h; out dx, al; mov al, value; mov dx, 501h; out dx, al
pub(crate) fn first_instruction(value: u8) -> Vec<u8> {
    const LENGTH: usize = 0x1_0000;
    let code = [
        0xb0, b'\n', 0xba, 0x02, 0x04, 0xee, 0xb0, value, 0xba, 0x01, 0x05, 0xee, 0xeb, 0xfe,
    ];
    // At the reset vector there is room for a jump to the code.
    let jump = [0xe9, 0xed, 0xff];
    let mut image = vec![0; LENGTH - 0x20];
    image.extend(code);
    image.resize(LENGTH - 0x10, 0);
    image.extend(jump);
    image.resize(LENGTH, 0);
    image
}

/// A program that runs.
pub(crate) struct Run {
    child: Child,
    started: Instant,
}

/// What a program took.
pub(crate) struct Took {
    pub(crate) code: i32,
    pub(crate) wall: Duration,
}

impl Run {
    pub(crate) fn start(vmm: Vmm, firmware: &Path, folder: &Path) -> Self {
        let mut command = vmm.command(firmware, folder);
        let started = Instant::now();
        let child = command.spawn().unwrap();
        Self { child, started }
    }

    /// Waits for the first byte on the debug console, and says how long that took.
    pub(crate) fn first_byte(&mut self) -> Duration {
        let mut byte = [0];
        self.child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
        self.started.elapsed()
    }

    /// Waits for a line on the debug console that holds `text`, and says how long that took.
    pub(crate) fn until(&mut self, text: &str) -> Duration {
        let console = BufReader::new(self.child.stdout.take().unwrap());
        let found = console.lines().map_while(Result::ok).any(|line| line.contains(text));
        assert!(found, "the firmware ended without saying {text:?}");
        self.started.elapsed()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Took {
        let status = self.child.wait().unwrap();
        Took {
            code: status.code().unwrap_or(-1),
            wall: self.started.elapsed(),
        }
    }

    /// Resident memory in KiB beyond that of guest and device, and the number of threads.
    pub(crate) fn footprint(&self) -> (f64, f64) {
        let folder = Path::new("/proc").join(self.child.id().to_string());
        let maps = std::fs::read_to_string(folder.join("smaps")).unwrap();
        let mut resident = 0_u64;
        let mut is_guests = false;
        for line in maps.lines() {
            // The first line of a mapping begins with its address.
            if line.starts_with(|first: char| first.is_ascii_digit() || first.is_ascii_lowercase()) {
                is_guests = line.contains("memfd:");
            }
            let mut words = line.split_whitespace();
            let (name, value) = (words.next(), words.next().and_then(|value| value.parse::<u64>().ok()));
            match (name, value) {
                (Some("Size:"), Some(value)) => is_guests |= value == RAM,
                (Some("Rss:"), Some(value)) if !is_guests => resident += value,
                _ => {}
            }
        }
        let status = std::fs::read_to_string(folder.join("status")).unwrap();
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        let threads: u32 = threads.trim().parse().unwrap();
        (f64::from(u32::try_from(resident).unwrap()), f64::from(threads))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
