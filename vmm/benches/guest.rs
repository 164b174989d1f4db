// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What accesses cost a guest: the same firmware on `igd-vmm` and on QEMU, both under KVM, in turns.
//!
//! Each firmware does one kind of access in a loop and ends the machine. It runs with few and with many iterations; the
//! difference is the loop alone, without the start of the program. What the two machines have in common is compared as
//! it is: registers of the host bridge, fw_cfg. For a BAR in memory QEMU has `ivshmem-plain`, for a trapped one `edu`.
//!
//! Then the time from the start of the program to the first instruction of the firmware, and what the program has in
//! memory beyond that of its guest, and threads, while a guest runs.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

#[expect(dead_code, reason = "a benchmark takes what it needs of it")]
#[path = "../tests/common/guest.rs"]
mod guest;
#[path = "guest/plot.rs"]
mod plot;
#[path = "guest/process.rs"]
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use guest::{Guest, OK};
use process::{Run, Vmm};

/// 00:02.0 and 00:03.0
const IGD: u8 = 0x10;
const SECOND: u8 = 0x18;
const MEMORY: u32 = 2;
const FAST: u32 = 0xd000_0000;
const TRAPPED: u32 = 0xe000_0000;
/// How often each is run.
const ROUNDS: usize = 3;
/// Where distributions have it.
const SEABIOS: [&str; 3] = [
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-256k.bin",
    "/usr/share/seabios/bios.bin",
];
/// Iterations whose instructions are counted.
const COUNTED: u32 = 500;
/// The firmware reads this much with one string instruction.
const STRING: u32 = 4096;

/// A kind of access.
struct Case {
    name: &'static str,
    /// What it is on the one and on the other.
    summary: &'static str,
    /// Iterations of the long run.
    many: u32,
    /// Accesses in an iteration.
    accesses: u32,
    /// Before the loop, and in it.
    setup: fn(&mut Guest, Vmm),
    body: fn(&mut Guest, Vmm),
}

const CASES: [Case; 9] = [
    Case {
        name: "BAR, mapped",
        summary: "read and write of a dword in a BAR that is memory (QEMU: ivshmem-plain)",
        many: 2_000_000,
        accesses: 2,
        setup: fast,
        body: |guest, vmm| {
            let at = FAST + if vmm == Vmm::Ours { 0x12_3000 } else { 0x3000 };
            guest.write32(at, 0x1234_5678).read32(at);
        },
    },
    Case {
        name: "BAR, trapped",
        summary: "read of a dword that the VMM answers: mirror of GGC (QEMU: id register of edu)",
        many: 40_000,
        accesses: 1,
        setup: trapped,
        body: |guest, vmm| {
            guest.read32(TRAPPED + if vmm == Vmm::Ours { 0x10_8040 } else { 0 });
        },
    },
    Case {
        name: "BAR, moved",
        summary: "a BAR with 16 MiB (QEMU) to 256 MiB of memory behind it, placed elsewhere",
        many: 100,
        accesses: 2,
        setup: fast,
        body: |guest, _| {
            guest.config_write(IGD, 0x18, 0xc000_0000).config_write(IGD, 0x18, FAST);
        },
    },
    Case {
        name: "BAR, off and on",
        summary: "decoding of memory switched off and on: all BARs of the function",
        many: 100,
        accesses: 1,
        setup: fast,
        body: |guest, _| {
            guest.config_write(IGD, 0x04, 0).config_write(IGD, 0x04, MEMORY);
        },
    },
    Case {
        name: "config, bridge",
        summary: "address and data of mechanism #1: id of the host bridge, two accesses",
        many: 20_000,
        accesses: 2,
        setup: |_, _| {},
        body: |guest, _| {
            guest.config_read(0, 0);
        },
    },
    Case {
        name: "config, display",
        summary: "the same of 00:02.0, which igd-vmm reads from the device",
        many: 20_000,
        accesses: 2,
        setup: |_, _| {},
        body: |guest, _| {
            guest.config_read(IGD, 0);
        },
    },
    Case {
        name: "fw_cfg, byte",
        summary: "one byte of the signature",
        many: 40_000,
        accesses: 1,
        setup: |guest, _| {
            guest.out16(0x510, 0);
        },
        body: |guest, _| {
            guest.in8(0x511);
        },
    },
    Case {
        name: "fw_cfg, string",
        summary: "4096 bytes with one instruction, a byte each",
        many: 1000,
        accesses: STRING,
        setup: |guest, _| {
            guest.out16(0x510, 0x19);
        },
        body: |guest, _| {
            guest.rep_insb(0x511, 0x9000, STRING);
        },
    },
    Case {
        name: "port, CMOS",
        summary: "one byte of the real-time clock's memory",
        many: 40_000,
        accesses: 1,
        setup: |guest, _| {
            guest.out8(0x70, 0x7f);
        },
        body: |guest, _| {
            guest.in8(0x71);
        },
    },
];

fn fast(guest: &mut Guest, _: Vmm) {
    guest
        .config_write(IGD, 0x18, FAST)
        .config_write(IGD, 0x1c, 0)
        .config_write(IGD, 0x04, MEMORY);
}

fn trapped(guest: &mut Guest, vmm: Vmm) {
    let at = if vmm == Vmm::Ours { IGD } else { SECOND };
    guest.config_write(at, 0x10, TRAPPED);
    if vmm == Vmm::Ours {
        guest.config_write(at, 0x14, 0);
    }
    guest.config_write(at, 0x04, MEMORY);
}

impl Case {
    fn image(&self, vmm: Vmm, iterations: u32) -> Vec<u8> {
        let mut guest = Guest::new();
        (self.setup)(&mut guest, vmm);
        guest.repeat(iterations, |guest| (self.body)(guest, vmm)).build()
    }

    fn firmware(&self, vmm: Vmm, iterations: u32, folder: &Path) -> PathBuf {
        let path = folder.join("bench.bin");
        fs::write(&path, self.image(vmm, iterations)).unwrap();
        path
    }

    /// Nanoseconds for one access.
    fn time(&self, vmm: Vmm, folder: &Path) -> f64 {
        let few = self.many / 20;
        let [few, many] = [few, self.many + few].map(|iterations| {
            let run = Run::start(vmm, &self.firmware(vmm, iterations, folder), folder).wait();
            assert_eq!(run.code, vmm.ended_with(OK), "{}: {vmm:?} ended otherwise", self.name);
            run.wall.as_secs_f64()
        });
        (many - few) * 1e9 / (f64::from(self.many) * f64::from(self.accesses))
    }

    /// Instructions in user space for one access.
    fn count(&self, vmm: Vmm, folder: &Path) -> f64 {
        let counted = self.many.min(COUNTED);
        let [few, many] = [counted, 2 * counted]
            .map(|iterations| process::instructions(vmm, &self.firmware(vmm, iterations, folder), folder));
        (many.abs_diff(few) as f64) / (f64::from(counted) * f64::from(self.accesses))
    }
}

/// Calls to KVM for memory slots in one access, by the status that `igd-vmm` leaves.
fn slot_calls(case: &Case, folder: &Path) -> f64 {
    let few = case.many / 20;
    let [few, many] = [few, case.many + few].map(|iterations| {
        let firmware = case.firmware(Vmm::Ours, iterations, folder);
        process::slot_calls(&firmware, folder)
    });
    (many - few) / (f64::from(case.many) * f64::from(case.accesses))
}

/// A figure of both, and the ratio of pairs that ran next to each other.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    unit: &'static str,
    ours: f64,
    /// Of QEMU, and how many times ours that is.
    qemu: Option<(f64, f64)>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(name: String, unit: &'static str, ours: Vec<f64>, qemu: Vec<f64>) -> Row {
    let ratios: Vec<f64> = ours.iter().zip(&qemu).map(|(ours, qemu)| qemu / ours).collect();
    let has_qemu = !qemu.is_empty();
    Row {
        name,
        unit,
        ours: median(ours),
        qemu: has_qemu.then(|| (median(qemu), median(ratios))),
    }
}

fn accesses(vmms: &[Vmm], folder: &Path) -> Vec<Row> {
    let has_valgrind = process::is_installed("valgrind");
    if !has_valgrind {
        println!("valgrind is not installed (Debian package valgrind): no instructions are counted");
    }
    let mut rows = Vec::new();
    for case in &CASES {
        println!("{:<18} {}", case.name, case.summary);
        let mut times: [Vec<f64>; 2] = Default::default();
        for _ in 0..ROUNDS {
            for (vmm, times) in vmms.iter().zip(&mut times) {
                times.push(case.time(*vmm, folder));
            }
        }
        let [ours, qemu] = times;
        rows.push(row(case.name.to_owned(), "ns", ours, qemu));
        if has_valgrind {
            let mut counts: [Vec<f64>; 2] = Default::default();
            for (vmm, counts) in vmms.iter().zip(&mut counts) {
                counts.push(case.count(*vmm, folder));
            }
            let [ours, qemu] = counts;
            rows.push(row(format!("{}, instructions", case.name), "", ours, qemu));
        }
        let calls = slot_calls(case, folder);
        if calls > 0.0 {
            rows.push(row(format!("{}, slot ioctls", case.name), "", vec![calls], vec![]));
        }
    }
    rows
}

/// Time to the first instruction, memory beyond the guest's, threads.
fn footprint(vmms: &[Vmm], folder: &Path) -> Vec<Row> {
    println!(
        "{:<18} program start to first instruction; what it has while a guest runs",
        "start"
    );
    let first = folder.join("first.bin");
    fs::write(&first, process::first_instruction(OK)).unwrap();
    let endless = folder.join("endless.bin");
    fs::write(&endless, Guest::new().forever(|_| {}).build()).unwrap();
    let mut found: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (vmm, [start, memory, threads]) in vmms.iter().zip(&mut found) {
            let mut run = Run::start(*vmm, &first, folder);
            start.push(run.first_byte().as_secs_f64() * 1e3);
            assert_eq!(run.wait().code, vmm.ended_with(OK), "{vmm:?} ended otherwise");
            let running = Run::start(*vmm, &endless, folder);
            std::thread::sleep(Duration::from_millis(400));
            let (kib, count) = running.footprint();
            memory.push(kib / 1024.0);
            threads.push(count);
            running.kill();
        }
    }
    let [ours, qemu] = found;
    let names = [("first instruction", "ms"), ("memory", "MiB"), ("threads", "")];
    let rows = names.into_iter().zip(ours.into_iter().zip(qemu));
    rows.map(|((name, unit), (ours, qemu))| row(name.to_owned(), unit, ours, qemu))
        .collect()
}

/// What SeaBIOS says in both machines when it has set up PCI, and what it says where it finds an OpRegion to place.
const SCANS: &str = "Scan for VGA option rom";
const ENABLED: &str = "BDSM enabled";

/// Time from program start to what SeaBIOS says.
fn seabios(vmms: &[Vmm], folder: &Path) -> Vec<Row> {
    let Some(image) = SEABIOS.iter().map(Path::new).find(|path| path.exists()) else {
        println!("SeaBIOS is not installed (Debian package seabios): it is not measured");
        return Vec::new();
    };
    println!(
        "{:<18} program start to what SeaBIOS says: {}",
        "SeaBIOS",
        image.display()
    );
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut enabled = Vec::new();
    let measure = |vmm, text| {
        let mut run = Run::start(vmm, image, folder);
        let time = run.until(text).as_secs_f64() * 1e3;
        run.kill();
        time
    };
    for _ in 0..ROUNDS {
        for (vmm, times) in vmms.iter().zip(&mut times) {
            times.push(measure(*vmm, SCANS));
        }
        enabled.push(measure(Vmm::Ours, ENABLED));
    }
    let [ours, qemu] = times;
    vec![
        row("SeaBIOS, PCI set up".to_owned(), "ms", ours, qemu),
        row("SeaBIOS, IGD enabled".to_owned(), "ms", enabled, vec![]),
    ]
}

fn print(rows: &[Row]) {
    println!(
        "\n{:<32}{:>10}{:>10}  {:<4}{:>12}",
        "", "igd-vmm", "QEMU", "", "QEMU/igd-vmm"
    );
    for Row { name, unit, ours, qemu } in rows {
        let (theirs, ratio) = qemu.map_or((String::from("-"), String::from("-")), |(theirs, ratio)| {
            (plot::figure(theirs), format!("{ratio:.2}"))
        });
        let ours = plot::figure(*ours);
        println!("{name:<32}{ours:>10}{theirs:>10}  {unit:<4}{ratio:>12}");
    }
}

fn main() -> ExitCode {
    // Test runners start benchmarks too, to list them or to try them once.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    if let Err(error) = kvm_ioctls::Kvm::new() {
        println!("skipped: /dev/kvm: {error}");
        return ExitCode::SUCCESS;
    }
    let vmms: &[Vmm] = if let Some(version) = process::qemu_version() {
        println!("{version}");
        &[Vmm::Ours, Vmm::Qemu]
    } else {
        println!("qemu-system-x86_64 is not installed (Debian package qemu-system-x86): igd-vmm alone");
        &[Vmm::Ours]
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../bench");
    fs::create_dir_all(&folder).unwrap();
    let mut rows = accesses(vmms, &folder);
    rows.extend(footprint(vmms, &folder));
    rows.extend(seabios(vmms, &folder));
    print(&rows);
    let rows: Vec<_> = rows
        .iter()
        .map(|Row { name, unit, ours, qemu }| {
            serde_json::json!({ "name": name, "unit": unit, "igd-vmm": ours, "qemu": qemu.map(|q| q.0), "ratio": qemu.map(|q| q.1) })
        })
        .collect();
    fs::write(folder.join("guest.json"), serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    fs::write(folder.join("guest.svg"), plot::bars(&rows)).unwrap();
    println!(
        "\n{}",
        folder.canonicalize().unwrap().join("guest.{json,svg}").display()
    );
    ExitCode::SUCCESS
}
