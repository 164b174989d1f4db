// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
//! Recorder and replayer against the installed QEMU. What cannot run without it, or on this version, counts as ignored.

#[path = "qemu/folder.rs"]
mod folder;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use folder::{Folder, header};
use igd_conformance::corpus::{self, Corpus};
use igd_conformance::record::{RecordArgs, RecordOutcome};
use igd_conformance::report::Status;
use igd_conformance::runner::{self, Options};
use igd_conformance::subject::{Refusal, Subject};
use igd_conformance::subjects::igd::Igd;
use igd_conformance::subjects::qtest::{Launcher, PACKAGE, Qemu};
use igd_conformance::trace::{Header, Space, Width};
use libtest_mimic::{Arguments, Trial};

fn traces_that_reach_the_host_are_skipped(qemu: &Qemu) {
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
    let (outcome, said) = try_record(words).unwrap();
    // Shown if the test fails.
    println!("{said}");
    outcome
}

fn try_record(words: &[&str]) -> anyhow::Result<(RecordOutcome, String)> {
    let cli = Cli::try_parse_from(["record"].iter().chain(words))?;
    let mut out = Vec::new();
    let outcome = igd_conformance::record::run_to(&cli.record, &mut out)?;
    Ok((outcome, String::from_utf8(out)?))
}

/// Why there can be no made-up host on this machine, if so: something that it is built with is missing.
fn no_made_up_host() -> Option<String> {
    let folder = Folder::new();
    let out = folder.path("probe.trace");
    let words = ["--suite", "igd", "--device", "vfio-pci,addr=2.0", "--out"];
    let probe = try_record(&[&words[..], &[out.to_str().unwrap()]].concat());
    let reason = probe.err()?.to_string();
    assert!(reason.starts_with("cannot build the library"), "{reason}");
    Some(reason)
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

fn assigned_graphics_is_recorded_again_and_replayed(qemu: &Qemu) {
    let traces = assigned_graphics(qemu);
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
        for trial in runner::replay(qemu, &trace, &Options::default()).trials {
            let what = (&trace.name, &trial.section, &trial.failure);
            assert_eq!(trial.status, Status::Pass, "{what:?}");
        }
    }
}

fn models_answer_what_is_not_in_the_corpus(_: &Qemu) {
    let folder = Folder::new();
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

fn without_a_compiler_assigned_graphics_is_skipped(_: &Qemu) {
    let mut launcher = Launcher::new("", None);
    launcher.compiler = "/no/such/compiler".to_owned();
    let qemu = Qemu::new(launcher).unwrap();
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

fn recording_again_gives_the_corpus(_: &Qemu) {
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

fn the_longer_variants_can_be_recorded_again(_: &Qemu) {
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

fn the_corpus_replays_on_qemu(qemu: &Qemu) {
    let (corpus, paths) = quick();
    for trace in corpus::find(Some(&corpus), &paths).unwrap() {
        let outcome = runner::replay(qemu, &trace, &Options::default());
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

fn a_qemu_that_dies_is_an_error_with_its_last_words(qemu: &Qemu) {
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

fn what_nobody_recorded_is_not_different(_: &Qemu) {
    let outcome = record(&["--verify", "vectors", "native"]);
    let RecordOutcome::Verified { same, different, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((same, different), (0, 0));
}

/// What a test cannot do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Any QEMU.
    Qemu,
    /// One of the versions that the corpus was recorded on.
    Recorded,
    /// That, and what a made-up host is built with.
    Host,
}

type Test = (&'static str, Needs, fn(&Qemu));

const TESTS: [Test; 9] = [
    (
        "traces_that_reach_the_host_are_skipped",
        Needs::Qemu,
        traces_that_reach_the_host_are_skipped,
    ),
    (
        "assigned_graphics_is_recorded_again_and_replayed",
        Needs::Host,
        assigned_graphics_is_recorded_again_and_replayed,
    ),
    (
        "models_answer_what_is_not_in_the_corpus",
        Needs::Host,
        models_answer_what_is_not_in_the_corpus,
    ),
    (
        "without_a_compiler_assigned_graphics_is_skipped",
        Needs::Recorded,
        without_a_compiler_assigned_graphics_is_skipped,
    ),
    (
        "recording_again_gives_the_corpus",
        Needs::Recorded,
        recording_again_gives_the_corpus,
    ),
    (
        "the_longer_variants_can_be_recorded_again",
        Needs::Qemu,
        the_longer_variants_can_be_recorded_again,
    ),
    (
        "the_corpus_replays_on_qemu",
        Needs::Recorded,
        the_corpus_replays_on_qemu,
    ),
    (
        "a_qemu_that_dies_is_an_error_with_its_last_words",
        Needs::Qemu,
        a_qemu_that_dies_is_an_error_with_its_last_words,
    ),
    (
        "what_nobody_recorded_is_not_different",
        Needs::Qemu,
        what_nobody_recorded_is_not_different,
    ),
];

/// Why a test cannot run, if so.
fn missing(qemu: &Result<Qemu, String>, needs: Needs) -> Option<String> {
    let qemu = match qemu {
        Ok(qemu) => qemu,
        Err(reason) => {
            return Some(format!(
                "qemu-system-x86_64 is not installed (Debian package {PACKAGE}): {reason}"
            ));
        }
    };
    let version = qemu.version();
    let is_known = ["7.2.", "11.1."].iter().any(|known| version.starts_with(known));
    match needs {
        Needs::Qemu => None,
        _ if !is_known => Some(format!(
            "the corpus was recorded on QEMU 7.2 and 11.1, this is {version}"
        )),
        Needs::Recorded => None,
        Needs::Host => no_made_up_host(),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let qemu = Qemu::new(Launcher::default()).map_err(|error| error.to_string());
    let mut reasons = Vec::new();
    let trials = TESTS.map(|(name, needs, test)| {
        let reason = missing(&qemu, needs);
        let is_ignored = reason.is_some();
        reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
        Trial::test(name, move || {
            test(&Qemu::new(Launcher::default()).map_err(|error| error.to_string())?);
            Ok(())
        })
        .with_ignored_flag(is_ignored)
    });
    if !arguments.list {
        reasons.iter().for_each(|reason| eprintln!("ignored: {reason}"));
    }
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
