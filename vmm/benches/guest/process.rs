// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A VMM as a program: how it is started with a firmware, and what it took.

use std::io::Read;
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
        command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
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
    /// User time, with that of the guest.
    pub(crate) user: Duration,
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

    /// Waits for the end.
    pub(crate) fn wait(self) -> Took {
        let id = libc::pid_t::try_from(self.child.id()).unwrap();
        let mut status = 0;
        // SAFETY: all bits of the structure are numbers, for which zero is a value.
        #[expect(unsafe_code, reason = "libc has no safe initial value")]
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to variables of this function.
        #[expect(unsafe_code, reason = "the standard library does not tell what a child used")]
        let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
        let wall = self.started.elapsed();
        assert_eq!(waited, id);
        let seconds = u64::try_from(usage.ru_utime.tv_sec).unwrap();
        let micros = u64::try_from(usage.ru_utime.tv_usec).unwrap();
        Took {
            code: libc::WEXITSTATUS(status),
            wall,
            user: Duration::from_secs(seconds) + Duration::from_micros(micros),
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
