// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Assigned graphics: answers come from the made-up host and the plan for it, never from the trace.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::PathBuf;

use igd_conformance::corpus::{self, Corpus, Trace};
use igd_conformance::report::Status;
use igd_conformance::runner::{self, Options};
use igd_conformance::subject::{Machine, Refusal, Subject};
use igd_conformance::subjects::igd::Igd;
use igd_conformance::trace::Header;

/// What is done to a header.
type Alter = fn(&mut Header);

static IGD: Igd = Igd { setting: None };

/// The device models, with another header than that of the trace.
struct Altered(Alter);

impl Subject for Altered {
    fn name(&self) -> &'static str {
        "altered"
    }

    fn version(&self) -> String {
        IGD.version()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        let mut header = header.clone();
        self.0(&mut header);
        IGD.machine(&header)
    }
}

fn traces() -> Vec<Trace> {
    let corpus = Corpus::locate(None).unwrap();
    let traces = corpus::find(Some(&corpus), &[PathBuf::from("igd")]).unwrap();
    assert!(!traces.is_empty());
    traces
}

/// The sections of a trace that do not pass, with the reason why there was no machine.
fn failures(trace: &Trace, alter: Alter) -> Vec<(String, Status, String)> {
    let outcome = runner::replay(&Altered(alter), trace, &Options::default());
    let failed = outcome.trials.into_iter().filter(|trial| trial.status != Status::Pass);
    failed
        .map(|trial| (trial.section, trial.status, trial.reason.unwrap_or_default()))
        .collect()
}

fn refusal(alter: Alter) -> String {
    let traces = traces();
    let trace = traces
        .iter()
        .find(|trace| trace.name.ends_with("3e92-auto.qemu-11.1.2"));
    let failures = failures(trace.unwrap(), alter);
    let (_, status, reason) = failures.first().unwrap();
    assert_eq!(*status, Status::Error, "{reason}");
    reason.clone()
}

#[test]
fn recorded_images_and_files_are_not_looked_at() {
    for trace in traces() {
        let failures = failures(&trace, |header| {
            let function = header.functions.first().copied();
            for image in &mut header.pci {
                if Some(image.bdf) == function || matches!(image.bdf.to_bits(), 0x00 | 0xf8) {
                    image.config.fill(0x5a);
                }
            }
            for item in &mut header.items {
                item.bytes.clear();
            }
        });
        assert_eq!(failures, [], "{}", trace.name);
    }
}

#[test]
fn another_host_answers_otherwise() {
    let alterations: [Alter; 3] = [
        |header| header.igd_host = vec![("IGD_GGC".to_owned(), "0x0241".to_owned())],
        |header| header.igd_host = vec![("IGD_DEVICE".to_owned(), "0x5a40".to_owned())],
        |header| header.igd_host.push(("IGD_CLASS".to_owned(), "0x038000".to_owned())),
    ];
    for trace in traces() {
        for alter in alterations {
            assert_ne!(failures(&trace, alter), [], "{}", trace.name);
        }
    }
}

#[test]
fn files_are_those_of_the_plan() {
    let missing = refusal(|header| header.items.retain(|item| item.name != "etc/igd-bdsm-size"));
    assert!(
        missing.contains("the plan gives the file etc/igd-bdsm-size, which was not recorded"),
        "{missing}"
    );
    let other = refusal(|header| {
        let mut item = header.items.last().unwrap().clone();
        item.name = "etc/igd-zzz".to_owned();
        item.key += 1;
        header.items.push(item);
    });
    assert!(
        other.contains("the plan does not give the recorded file etc/igd-zzz"),
        "{other}"
    );
}

#[test]
fn headers_that_make_no_sense_are_refused_by_name() {
    let cases: [(Alter, &str); 7] = [
        (
            |header| header.igd_host.push(("IGD_SPEED".to_owned(), "1".to_owned())),
            "@igd-host IGD_SPEED",
        ),
        (
            |header| header.igd_host.push(("IGD_GGC".to_owned(), "0x1_0".to_owned())),
            "@igd-host IGD_GGC 0x1_0",
        ),
        (
            |header| header.igd_host.push(("IGD_BDSM".to_owned(), "0x100000000".to_owned())),
            "@igd-host IGD_BDSM 0x100000000",
        ),
        (
            |header| header.devices = vec!["vfio-pci,sysfsdev=0000:00:02.0".to_owned()],
            "addr=",
        ),
        (
            |header| header.devices = vec!["vfio-pci,addr=2.0,x-igd-speed=9".to_owned()],
            "x-igd-speed",
        ),
        (
            |header| header.devices = vec!["vfio-pci,addr=2.0,romfile=r,x-igd-gms=0x41".to_owned()],
            "0x41",
        ),
        (|header| header.qemu = vec!["2.6.0".to_owned()], "policy qemu-2.6.0"),
    ];
    for (alter, text) in cases {
        let reason = refusal(alter);
        assert!(reason.contains(text), "{reason:?} has no {text:?}");
    }
}
