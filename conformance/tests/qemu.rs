// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
//! The qtest client against hostile peers, and recorder and replayer against a real QEMU where there is one.

#[path = "qemu/peers.rs"]
mod peers;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use igd_conformance::corpus::{self, Corpus};
use igd_conformance::record::{RecordArgs, RecordOutcome};
use igd_conformance::report::Status;
use igd_conformance::runner::{self, Options};
use igd_conformance::subject::{Refusal, Subject};
use igd_conformance::subjects::igd::Igd;
use igd_conformance::subjects::qtest::{Launcher, PACKAGE, Qemu};
use igd_conformance::trace::{Header, Space, Width};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "igd-conformance-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn header() -> Header {
    Header {
        ram: 1 << 20,
        ..Header::default()
    }
}

#[test]
fn traces_that_reach_the_host_are_skipped() {
    let Some(qemu) = qemu() else { return };
    let header = Header {
        cmdline: "qemu-system-x86_64 -drive file=/etc/passwd".to_owned(),
        ..header()
    };
    assert!(matches!(qemu.machine(&header), Err(Refusal::Skip(_))));
    let header = Header {
        qemu: vec!["1.0".to_owned()],
        ..header
    };
    let Err(Refusal::Skip(reason)) = qemu.machine(&header) else {
        panic!("not skipped")
    };
    assert!(reason.starts_with("recorded on QEMU 1.0, this is"), "{reason}");
}

/// The installed QEMU, or nothing and the reason.
fn qemu() -> Option<Qemu> {
    match Qemu::new(Launcher::default()) {
        Ok(qemu) => Some(qemu),
        Err(reason) => {
            eprintln!("skipped: qemu-system-x86_64 is not installed (Debian package {PACKAGE}): {reason}");
            None
        }
    }
}

/// Versions that the corpus was recorded on.
fn recorded_on(qemu: &Qemu) -> bool {
    let version = qemu.version();
    let known = ["7.2.", "11.1."].iter().any(|known| version.starts_with(known));
    if !known {
        eprintln!("skipped: the corpus was recorded on QEMU 7.2 and 11.1, this is {version}");
    }
    known
}

const QUICK: [&str; 8] = [
    "fwcfg/basic",
    "fwcfg/no-writable-item",
    "cfg1/pc-igd-lpc",
    "igd-lpc/config",
    "i440fx/pam-smram",
    "pci/edu",
    "q35/ecam",
    "q35/mch",
];

fn quick() -> (Corpus, Vec<PathBuf>) {
    let corpus = Corpus::locate(None).unwrap();
    let paths = QUICK
        .iter()
        .map(|name| corpus.root().join(format!("{name}.trace")))
        .collect();
    (corpus, paths)
}

#[derive(Parser, Debug)]
struct Cli {
    #[command(flatten)]
    record: RecordArgs,
}

fn record(words: &[&str]) -> RecordOutcome {
    try_record(words).unwrap()
}

fn try_record(words: &[&str]) -> anyhow::Result<RecordOutcome> {
    let cli = Cli::try_parse_from(["record"].iter().chain(words))?;
    let mut out = Vec::new();
    let outcome = igd_conformance::record::run_to(&cli.record, &mut out)?;
    // Shown if the test fails.
    println!("{}", String::from_utf8(out)?);
    Ok(outcome)
}

/// Whether the machine has what the made-up host is built with.
fn can_make_up_a_host(folder: &Folder) -> bool {
    let out = folder.path("probe.trace");
    let words = ["--suite", "igd", "--device", "vfio-pci,addr=2.0", "--out"];
    let probe = try_record(&[&words[..], &[out.to_str().unwrap()]].concat());
    let missing = probe.err().map(|error| error.to_string());
    match missing {
        None => true,
        Some(reason) => {
            assert!(reason.starts_with("cannot build the library"), "{reason}");
            eprintln!("skipped: {reason}");
            false
        }
    }
}

/// Traces of assigned graphics that were recorded on the major version of `qemu`.
fn assigned_graphics(qemu: &Qemu) -> Vec<corpus::Trace> {
    let version = qemu.version();
    let major = version.split('.').next().unwrap();
    let corpus = Corpus::locate(None).unwrap();
    let mut traces = corpus::find(Some(&corpus), &[PathBuf::from("igd")]).unwrap();
    traces.retain(|trace| trace.name.contains(&format!(".qemu-{major}.")));
    assert!(traces.len() >= 9, "{traces:?}");
    traces
}

#[test]
fn assigned_graphics_is_recorded_again_and_replayed() {
    let Some(qemu) = qemu() else { return };
    if !recorded_on(&qemu) || !can_make_up_a_host(&Folder::new()) {
        return;
    }
    let traces = assigned_graphics(&qemu);
    let paths: Vec<&str> = traces.iter().map(|trace| trace.path.to_str().unwrap()).collect();
    assert_eq!(
        record(&[&["--verify"][..], &paths].concat()),
        RecordOutcome::Verified {
            same: u64::try_from(paths.len()).unwrap(),
            different: 0,
            skipped: 0
        }
    );
    for trace in traces {
        for trial in runner::replay(&qemu, &trace, &Options::default()).trials {
            let what = (&trace.name, &trial.section, &trial.failure);
            assert_eq!(trial.status, Status::Pass, "{what:?}");
        }
    }
}

#[test]
fn models_answer_what_is_not_in_the_corpus() {
    let Some(qemu) = qemu() else { return };
    let folder = Folder::new();
    if !recorded_on(&qemu) || !can_make_up_a_host(&folder) {
        return;
    }
    for (seed, properties, host) in [
        ("101", "romfile=igd.rom,addr=2.0,x-igd-opregion=on", "IGD_DEVICE=0x0412"),
        (
            "102",
            "romfile=igd.rom,addr=2.0,x-igd-opregion=on,x-igd-gms=4",
            "IGD_DEVICE=0x46a6",
        ),
        ("103", "addr=2.0,x-igd-opregion=on", "IGD_GGC=0x02c3"),
        ("104", "romfile=igd.rom,addr=3.0,x-igd-gms=2", "IGD_NO_OPREGION=1"),
        (
            "105",
            "romfile=igd.rom,addr=2.0,x-igd-opregion=on",
            "IGD_CLASS=0x040000",
        ),
    ] {
        let path = folder.path(&format!("{seed}.trace"));
        let device = format!("vfio-pci,{properties}");
        let words = [
            "--suite", "igd", "--held", "--seed", seed, "--device", &device, "--env", host,
        ];
        record(&[&words[..], &["--out", path.to_str().unwrap()]].concat());
        for trace in corpus::find(None, &[path]).unwrap() {
            let outcome = runner::replay(&Igd { setting: None }, &trace, &Options::default());
            assert!(outcome.trials.len() >= 16, "{properties}");
            for trial in outcome.trials {
                let what = (properties, host, &trial.section, &trial.failure, &trial.reason);
                assert_eq!(trial.status, Status::Pass, "{what:?}");
            }
        }
    }
}

#[test]
fn without_a_compiler_assigned_graphics_is_skipped() {
    let mut launcher = Launcher::new("", None);
    launcher.compiler = "/no/such/compiler".to_owned();
    let qemu = match Qemu::new(launcher) {
        Ok(qemu) => qemu,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    if !recorded_on(&qemu) {
        return;
    }
    for trace in assigned_graphics(&qemu) {
        for trial in runner::replay(&qemu, &trace, &Options::default()).trials {
            assert_eq!(trial.status, Status::Skip);
            let reason = trial.reason.unwrap();
            assert!(
                reason.contains("/no/such/compiler") && reason.contains("gcc"),
                "{reason}"
            );
        }
    }
}

#[test]
fn recording_again_gives_the_corpus() {
    let Some(qemu) = qemu() else { return };
    if !recorded_on(&qemu) {
        return;
    }
    let (_, paths) = quick();
    let words: Vec<&str> = ["--verify"]
        .into_iter()
        .chain(paths.iter().map(|path| path.to_str().unwrap()))
        .collect();
    assert_eq!(
        record(&words),
        RecordOutcome::Verified {
            same: 8,
            different: 0,
            skipped: 0
        }
    );
}

#[test]
fn the_longer_variants_can_be_recorded_again() {
    if qemu().is_none() {
        return;
    }
    let folder = Folder::new();
    let out = folder.path("held.trace");
    let out = out.to_str().unwrap();
    for options in [
        &[
            "--suite",
            "fuzz",
            "--device",
            "edu,addr=3.0",
            "--count",
            "77",
            "--skip",
            "0x40-0x43",
            "--seed",
            "5",
        ][..],
        &["--suite", "ecam", "--machine", "q35", "--held"],
        &[
            "--suite", "bridge", "--bdf", "1.0", "--held", "--count", "10", "--skip", "0xf0", "--ram", "16",
        ],
    ] {
        assert_eq!(record(&[options, &["--out", out]].concat()), RecordOutcome::Done);
        assert_eq!(
            record(&["--verify", out]),
            RecordOutcome::Verified {
                same: 1,
                different: 0,
                skipped: 0
            }
        );
        let changed = std::fs::read_to_string(out).unwrap().replacen("\nreset\n", "\n", 1);
        std::fs::write(out, changed).unwrap();
        assert_eq!(
            record(&["--verify", out]),
            RecordOutcome::Verified {
                same: 0,
                different: 1,
                skipped: 0
            }
        );
    }
}

#[test]
fn the_corpus_replays_on_qemu() {
    let Some(qemu) = qemu() else { return };
    if !recorded_on(&qemu) {
        return;
    }
    let (corpus, paths) = quick();
    for trace in corpus::find(Some(&corpus), &paths).unwrap() {
        let outcome = runner::replay(&qemu, &trace, &Options::default());
        assert_eq!(outcome.unreadable, None);
        assert!(!outcome.trials.is_empty(), "{}", trace.name);
        for trial in outcome.trials {
            assert_eq!(
                trial.status,
                Status::Pass,
                "{} {}: {:?}",
                trace.name,
                trial.section,
                trial.failure
            );
        }
    }
}

#[test]
fn a_qemu_that_dies_is_an_error_with_its_last_words() {
    let Some(qemu) = qemu() else { return };
    let options = "-machine pc -nodefaults -device isa-debug-exit";
    let header = Header {
        cmdline: format!("qemu-system-x86_64 {options}"),
        ..header()
    };
    let mut machine = qemu.machine(&header).unwrap();
    // The device ends QEMU at a write to port 0x501.
    let error = machine.write(Space::Io, 0x501, Width::B1, 0).unwrap_err().0;
    assert!(error.contains("closed the connection"), "{error}");
    let header = Header {
        cmdline: "qemu-system-x86_64 -machine no-such-machine".to_owned(),
        ..header
    };
    let Err(Refusal::Error(reason)) = qemu.machine(&header) else {
        panic!("started")
    };
    assert!(
        reason.contains("no-such-machine") || reason.contains("unsupported machine type"),
        "{reason}"
    );
}

#[test]
fn what_nobody_recorded_is_not_different() {
    if qemu().is_none() {
        return;
    }
    let outcome = record(&["--verify", "vectors", "native"]);
    let RecordOutcome::Verified { same, different, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((same, different), (0, 0));
}
