// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Made-up reports that show everything a rendering has to cope with.

use super::{Failure, HostInfo, Report, SCHEMA, Status, SubjectInfo, Trial};

/// A report in which each status and each optional field occurs.
#[must_use]
pub fn mixed() -> Report {
    let mut trials = Vec::new();
    for (trace, sections) in SECTIONS {
        trials.extend(sections.iter().zip(0..).map(|(section, i)| pass(trace, section, i)));
    }
    for trial in &mut trials {
        change(trial);
    }
    Report {
        duration_us: 10_412_345,
        shard: Some("1/1".to_owned()),
        ..report(trials)
    }
}

/// A report in which every trial passed.
#[must_use]
pub fn green() -> Report {
    let traces = SECTIONS.iter().filter(|(trace, _)| !trace.starts_with("igd"));
    report(
        traces
            .flat_map(|(trace, sections)| sections.iter().zip(0..).map(|(s, i)| pass(trace, s, i)))
            .collect(),
    )
}

const SECTIONS: [(&str, &[&str]); 8] = [
    (
        "cfg1/pc",
        &["cfg1.address", "cfg1.lanes", "cfg1.absent", "cfg1.straddle"],
    ),
    (
        "firmware/ovmf-q35",
        &["firmware.fwcfg", "firmware.fwcfg", "firmware.fwcfg"],
    ),
    (
        "fwcfg/basic",
        &[
            "fwcfg.selector",
            "fwcfg.data-port",
            "fwcfg.directory",
            "fwcfg.dma-read",
            "fwcfg.dma-skip",
        ],
    ),
    ("fwcfg/q35", &["fwcfg.selector", "fwcfg.data-port", "fwcfg.dma-write"]),
    ("igd-lpc/config", &["bridge.dump", "bridge.masks"]),
    ("igd/gen9-legacy", &["igd.gms", "igd.bdsm", "igd.opregion", "igd.lpc"]),
    ("pci/e1000", &["bar.sizing", "bar.decode", "dev.command", "cap.pm"]),
    (
        "q35/pam-smram",
        &["pam.reset", "pam.enable", "smram.open", "smram.lock"],
    ),
];

fn pass(trace: &str, section: &str, place: u64) -> Trial {
    let size = 17 + 31 * place + 7 * trace.bytes().map(u64::from).sum::<u64>() % 113;
    Trial {
        trace: trace.to_owned(),
        section: section.to_owned(),
        kind: if trace.starts_with("firmware/") {
            "firmware"
        } else {
            "qtest"
        }
        .to_owned(),
        setting: None,
        status: Status::Pass,
        reason: None,
        accesses: size * 3,
        checks: size * 2,
        differences: 0,
        duration_us: size * 9,
        failure: None,
    }
}

fn change(trial: &mut Trial) {
    let reason = |text: &str| Some(text.to_owned());
    if trial.trace.starts_with("firmware/") {
        trial.setting = Some("qemu-11.1".to_owned());
    }
    match trial.section.as_str() {
        "cfg1.straddle" => {
            trial.differences = 14;
            fail(
                trial,
                "r io 0x0cfe 2 0x1237 0xfff0",
                "16-bit port 0xcfe",
                ("0x1237", "0xffff"),
                Some("0xfff0"),
            );
        }
        "fwcfg.dma-read" => {
            trial.differences = 1;
            let line = "rb ram 0x00010000 16 0x51454d5520434647204d494e494d554d";
            let values = (
                "0x51454d5520434647204d494e494d554d",
                "0x51454d5520434647000000000000554d",
            );
            fail(trial, line, "16 bytes of RAM at 0x10000", values, None);
        }
        "fwcfg.dma-write" => {
            trial.status = Status::Xpass;
            trial.reason = reason("expected to fail: items are read-only in this release");
        }
        "bridge.dump" | "bridge.masks" | "igd.lpc" => {
            trial.status = Status::Skip;
            trial.reason = reason("the subject has no ISA bridge at 00:1f.0");
            (trial.accesses, trial.checks, trial.duration_us) = (0, 0, 0);
        }
        "igd.bdsm" => {
            trial.differences = 2;
            fail(
                trial,
                "r cfg 0x00105c 4 0x7c000000",
                "configuration 00:02.0 0x5c, 4 bytes",
                ("0x7c000000", "-"),
                None,
            );
            trial.status = Status::Xfail;
            trial.reason = reason("BDSM is not restored after a reset");
        }
        "igd.opregion" => {
            trial.status = Status::Error;
            trial.reason = reason("subject panicked: no OpRegion of 8192 bytes");
        }
        "smram.lock" => {
            trial.status = Status::Timeout;
            trial.reason = reason("took longer than 10 s");
            trial.duration_us = 10_000_214;
        }
        _ => {}
    }
}

fn fail(trial: &mut Trial, text: &str, access: &str, (expected, got): (&str, &str), mask: Option<&str>) {
    trial.status = Status::Fail;
    trial.failure = Some(Failure {
        path: format!("traces/{}.trace", trial.trace),
        line: 212,
        text: text.to_owned(),
        rule: "an access gives what the last write left there".to_owned(),
        access: access.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
        mask: mask.map(str::to_owned),
        again: format!("igd-conformance run {} --section {}", trial.trace, trial.section),
    });
}

fn report(trials: Vec<Trial>) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        suite: "0.1.0".to_owned(),
        subject: SubjectInfo {
            name: "igd".to_owned(),
            version: "0.1.0".to_owned(),
        },
        host: HostInfo {
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            threads: 8,
        },
        started: 1_767_268_800,
        duration_us: 412_345,
        shard: None,
        trials,
    }
}
