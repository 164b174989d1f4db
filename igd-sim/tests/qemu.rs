// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A real QEMU as the client.
//!
//! It is looked for on PATH, or named by `IGD_SIM_QEMU`: a command with arguments, such as one that changes the root.
//! `IGD_SIM_QEMU_ROOT` is that root then; the socket is put below it. Without one the tests count as ignored.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use igd_sim::server::{Access, Listener, Observer, serve};
use igd_sim::{Options, Profile, RegionKind, SimDevice};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

struct Qemu {
    command: Vec<String>,
    root: PathBuf,
}

impl Qemu {
    /// A QEMU that has vfio-user-pci, or why there is none.
    fn find() -> Result<Self, String> {
        let words = std::env::var("IGD_SIM_QEMU").unwrap_or_else(|_| "qemu-system-x86_64".into());
        let command: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let root = std::env::var("IGD_SIM_QEMU_ROOT").map_or_else(|_| PathBuf::from("/"), PathBuf::from);
        let qemu = Self { command, root };
        let devices = qemu
            .start(&["-device", "help"])
            .output()
            .map_err(|error| format!("{words}: {error}"))?;
        let text = String::from_utf8_lossy(&devices.stdout);
        if text.contains("\"vfio-user-pci\"") {
            Ok(qemu)
        } else {
            Err(format!(
                "{words}: has no device vfio-user-pci (QEMU has it from 10.1 on)"
            ))
        }
    }

    fn start(&self, arguments: &[&str]) -> Command {
        let (program, before) = self.command.split_first().expect("IGD_SIM_QEMU is empty");
        let mut command = Command::new(program);
        command
            .args(before)
            .args(arguments)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A path below QEMU's root, as this process and as QEMU sees it.
    fn path(&self, name: &str) -> (PathBuf, String) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let inside = format!("tmp/igd-sim-{}-{number}-{name}", std::process::id());
        (self.root.join(&inside), format!("/{inside}"))
    }
}

/// Ends QEMU when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Default)]
struct Writes(Vec<(u64, Vec<u8>)>);

impl Observer for Writes {
    fn access(&mut self, access: &Access<'_>) {
        if access.is_write && access.region == RegionKind::Config {
            self.0.push((access.offset, access.data.to_vec()));
        }
    }
}

impl Writes {
    fn last(&self, offset: u64) -> Option<u32> {
        let (_, data) = self.0.iter().rev().find(|(at, _)| *at == offset)?;
        Some(u32::from_le_bytes(data.as_slice().try_into().ok()?))
    }
}

fn qmp(lines: &mut impl BufRead, input: &mut impl Write, command: &str) -> Value {
    // A QEMU that ended shows in the answer.
    let _ = writeln!(input, "{}", json!({ "execute": command }));
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).unwrap() == 0 {
            return Value::Null;
        }
        let value: Value = serde_json::from_str(&line).unwrap();
        if value.get("return").is_some() || value.get("error").is_some() {
            return value;
        }
    }
}

/// Starts QEMU with the platform at 00:02.0, lets `ask` talk to it, and gives the configuration writes.
fn run(qemu: &Qemu, name: &str, more: &[&str], ask: impl FnOnce(&mut dyn BufRead, &mut dyn Write)) -> Writes {
    let profile = Profile::by_name(name).unwrap();
    let (outside, inside) = qemu.path(&format!("{name}.sock"));
    let listener = Listener::bind(&outside).unwrap();
    let server = std::thread::spawn(move || {
        let mut options = Options::default();
        options.shared = true;
        let mut device = SimDevice::new(profile, &options).unwrap();
        let mut writes = Writes::default();
        let stream = listener.accept().unwrap();
        serve(
            stream,
            &mut device,
            &mut writes,
            Duration::from_secs(10),
            &AtomicBool::new(false),
        )
        .unwrap();
        writes
    });
    let device = json!({
        "driver": "vfio-user-pci", "addr": "02.0", "socket": { "type": "unix", "path": inside }
    });
    let device = device.to_string();
    let mut arguments = vec![
        "-machine",
        "pc,accel=tcg,memory-backend=ram",
        "-m",
        "256M",
        "-object",
        "memory-backend-memfd,id=ram,size=256M,share=on",
        "-nodefaults",
        "-display",
        "none",
        "-no-user-config",
        "-qmp",
        "stdio",
        "-device",
        &device,
    ];
    arguments.extend_from_slice(more);
    let mut child = Running(qemu.start(&arguments).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    let mut input = child.0.stdin.take().unwrap();
    assert!(qmp(&mut lines, &mut input, "qmp_capabilities").get("return").is_some());
    ask(&mut lines, &mut input);
    qmp(&mut lines, &mut input, "quit");
    let status = child.0.wait().unwrap();
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success(), "QEMU ended with {status}: {said}");
    server.join().unwrap()
}

/// The function at slot 2 in an answer to `query-pci`.
fn slot_2(answer: &Value) -> &Value {
    let devices = answer["return"][0]["devices"].as_array().unwrap();
    devices.iter().find(|device| device["slot"] == 2).unwrap()
}

fn qemu_lists_the_device_with_its_bars(qemu: &Qemu) {
    for name in ["snb", "kbl", "tgl", "lnl"] {
        let profile = Profile::by_name(name).unwrap();
        run(qemu, name, &["-S"], |lines, input| {
            let answer = qmp(&mut &mut *lines, &mut &mut *input, "query-pci");
            let device = slot_2(&answer);
            assert_eq!(device["id"]["device"], profile.device, "{name}");
            assert_eq!(
                (&device["id"]["vendor"], &device["class_info"]["class"]),
                (&json!(0x8086), &json!(0x0300))
            );
            let regions = device["regions"].as_array().unwrap();
            let size = |bar: u8| {
                regions
                    .iter()
                    .find(|region| region["bar"] == bar)
                    .map_or(0, |region| region["size"].as_u64().unwrap())
            };
            let class = profile.class;
            assert_eq!(
                [0, 2, 4].map(size),
                [class.registers_len(), class.aperture_len(), class.ports_len()],
                "{name}"
            );
        });
    }
}

fn seabios_provides_opregion_and_stolen_memory(qemu: &Qemu) {
    let mut device = SimDevice::new(Profile::by_name("kbl").unwrap(), &Options::default()).unwrap();
    let size = device.find_region(RegionKind::OpRegion).unwrap().size;
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    device.read_exact(RegionKind::OpRegion, 0, &mut bytes).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let (outside, inside) = qemu.path(name);
        std::fs::write(&outside, bytes).unwrap();
        (Removed(outside), inside)
    };
    let (_opregion, opregion) = file("opregion", &bytes);
    let (_bdsm, bdsm) = file("bdsm", &(32_u64 << 20).to_le_bytes());
    let (log, log_inside) = file("seabios.log", &[]);
    let options = [
        format!("name=etc/igd-opregion,file={opregion}"),
        format!("name=etc/igd-bdsm-size,file={bdsm}"),
        format!("file,id=log,path={log_inside}"),
    ];
    let more = [
        "-fw_cfg",
        &options[0],
        "-fw_cfg",
        &options[1],
        "-chardev",
        &options[2],
        "-device",
        "isa-debugcon,iobase=0x402,chardev=log",
    ];
    let writes = run(qemu, "kbl", &more, |lines, input| {
        for _ in 0..600 {
            let text = std::fs::read_to_string(&log.0).unwrap_or_default();
            if text.contains("Running option rom at c000:0003") {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(slot_2(&qmp(&mut &mut *lines, &mut &mut *input, "query-pci"))["regions"].is_array());
    });
    let text = std::fs::read_to_string(&log.0).unwrap();
    assert!(
        text.contains("Running option rom at c000:0003"),
        "the ROM did not pass:\n{text}"
    );
    let asls = writes.last(0xfc).expect("no write to ASLS");
    let bdsm = writes.last(0x5c).expect("no write to BDSM");
    assert!(asls != 0 && asls % 4096 == 0 && asls < 256 << 20, "{asls:#x}");
    assert!(
        bdsm != 0 && bdsm % (1 << 20) == 0 && bdsm + (32 << 20) <= 256 << 20,
        "{bdsm:#x}"
    );
    assert!(
        text.contains(&format!("IGD OpRegion enabled at 0x{asls:08x}")),
        "{text}"
    );
}

/// Removes a file at the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file::<&Path>(&self.0);
    }
}

type Test = fn(&Qemu);

const TESTS: [(&str, Test); 2] = [
    (
        "qemu_lists_the_device_with_its_bars",
        qemu_lists_the_device_with_its_bars,
    ),
    (
        "seabios_provides_opregion_and_stolen_memory",
        seabios_provides_opregion_and_stolen_memory,
    ),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let qemu = Qemu::find().map(Arc::new);
    if let Err(reason) = &qemu
        && !arguments.list
    {
        eprintln!("ignored: {reason}");
    }
    let trials = TESTS.map(|(name, test)| {
        let found = qemu.clone().ok();
        Trial::test(name, move || {
            found.iter().for_each(|qemu| test(qemu));
            Ok(())
        })
        .with_ignored_flag(qemu.is_err())
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
