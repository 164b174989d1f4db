// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What has to come out of the steps.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::facts::{Known, Now, differences};
use super::judge;
use super::oracle;
use super::scenarios::{Case, Check, STOLEN_MIB};
use super::signals;
use crate::tasks::firmware::checks::{Artefacts, misplaced};
use crate::tasks::firmware::scenarios::{NO_SWSCI, Placed};

/// What SeaBIOS says when it starts the device's ROM.
const ROM_RUNS: &str = "Running option rom at c000:0003";
/// SeaBIOS reads a few headers, and then copies an image of 64 KiB with four bytes an access: a ROM is no memory that the
/// guest could have mapped. BARs are, so that accesses to them are not seen.
const ROM_READS: u64 = 0x1_0000 / 4 + 16;

const DEVICE: &str = "addr=0x2,x-igd-opregion=on";

/// What the kernel and the machine around it make of the device.
const KNOWN: &[Known] = &[
    Known {
        path: "device.bars",
        bytes: 0..0,
        now: Now::Text(WHOLE_BARS),
        why: "QEMU hands a BAR on as a whole, and traps what the device does not let be mapped",
    },
    Known {
        path: "device.config",
        bytes: 0x04..0x06,
        now: Now::Starts(&[0x03, 0x01]),
        why: "the machine's firmware turned decoding and SERR# on",
    },
    Known {
        path: "device.config",
        bytes: 0x10..0x28,
        now: Now::Other,
        why: "the machine's firmware gave addresses to BARs",
    },
    Known {
        path: "device.config",
        bytes: 0x30..0x34,
        now: Now::Other,
        why: "the machine's firmware gave an address to the ROM",
    },
    Known {
        path: "device.config",
        bytes: 0x3c..0x3d,
        now: Now::Other,
        why: "the machine's firmware routed the interrupt",
    },
    Known {
        path: "device.config",
        bytes: 0xfc..0x100,
        now: Now::Plus(0x2000),
        why: "the kernel adds RVDA to ASLS of an OpRegion whose VBT lies behind it",
    },
    Known {
        path: "device.host_bridge",
        bytes: 0..0,
        now: Now::Starts(&[0x86, 0x80, 0xc0, 0x29]),
        why: "the machine's host bridge is a Q35",
    },
    Known {
        path: "device.lpc_bridge",
        bytes: 0..0,
        now: Now::Starts(&[0x86, 0x80, 0x18, 0x29]),
        why: "the machine's ISA bridge is an ICH9",
    },
    Known {
        path: "device.rom.image",
        bytes: 0x1_0000..0x2_0000,
        now: Now::Starts(&[0xff; 16]),
        why: "the kernel reads the first display's ROM from its copy at C0000h, where other ROMs follow the first image",
    },
    Known {
        path: "machine.iommu_bits",
        bytes: 0..0,
        now: Now::Text("48"),
        why: "there is an IOMMU",
    },
];

/// The BARs of the device, each to be mapped as a whole but for the ports.
const WHOLE_BARS: &str = concat!(
    r#"[{"index":0,"mmap":[{"len":"0x01000000","start":"0x00000000"}],"size":"0x01000000"},"#,
    r#"{"index":2,"mmap":[{"len":"0x10000000","start":"0x00000000"}],"size":"0x10000000"},"#,
    r#"{"index":4,"mmap":[],"size":"0x00000040"}]"#
);

/// Where a scenario's results are, and what to compare them with.
#[derive(Debug)]
pub(super) struct Results<'a> {
    /// What the step left.
    pub(super) folder: &'a Path,
    /// `igd-vmm`.
    pub(super) vmm: &'a Path,
    /// The facts of the device without a kernel between.
    pub(super) facts: &'a Path,
    /// The OpRegion as it lies in the host's memory.
    pub(super) opregion: &'a Path,
}

/// What is not as expected.
pub(super) fn failures(check: Check, results: &Results<'_>) -> Vec<String> {
    let folder = results.folder;
    let Ok(code) = fs::read_to_string(folder.join("code")) else {
        return vec!["the step did not come to its end".to_owned()];
    };
    let mut failures = Vec::new();
    if code.trim() != "0" {
        let said = [text(&folder.join("err.txt")), text(&folder.join("out.txt"))].concat();
        failures.push(format!(
            "exit code {}: {}",
            code.trim(),
            said.lines().last().unwrap_or("it said nothing")
        ));
    }
    failures.extend(match check {
        Check::Facts => facts(results),
        Check::Plan => plan(results),
        Check::Run(descriptors) => {
            let mut failures = ran(results);
            let open = text(&folder.join("fds.txt"));
            let missing = descriptors.iter().filter(|name| !open.contains(**name));
            failures.extend(missing.map(|name| format!("the VMM has no {name} open")));
            failures
        }
        Check::Killed => {
            let mut failures = ran(results);
            if !text(&folder.join("log.first")).contains("SeaBIOS") {
                failures.push("the first VMM was killed before its firmware ran".to_owned());
            }
            failures.extend(unlike(folder));
            failures
        }
        Check::Cases(cases) => wrong(cases, folder),
        Check::Times(names) => untimed(names, folder),
        Check::Tests(names) => names.iter().filter_map(|name| untested(name, folder)).collect(),
        Check::Driver(words) => driver(folder, words),
        Check::Signals => signals::failures(folder),
        Check::Judge => judge::failures(folder),
        Check::Oracle(profile) => oracle::failures(folder, profile),
    });
    failures
}

fn text(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_str(&text(path)).ok()
}

fn facts(results: &Results<'_>) -> Vec<String> {
    match (json(&results.folder.join("facts.json")), json(results.facts)) {
        (Some(found), Some(expected)) => differences(&found, &expected, KNOWN),
        _ => vec!["there are no facts to compare".to_owned()],
    }
}

/// What criterion says of the ways to a BAR.
fn criterion(folder: &Path) -> String {
    text(&folder.join("bar.txt"))
}

/// What each bench took: the middle of three times.
pub(super) fn times(folder: &Path) -> Vec<(String, String)> {
    let said = criterion(folder);
    let mut name = "";
    let mut times = Vec::new();
    for line in said.lines() {
        // A long name has a line of its own.
        let (before, time) = line
            .split_once("time:")
            .map_or((line, None), |(name, time)| (name, Some(time)));
        name = Some(before.trim()).filter(|text| !text.is_empty()).unwrap_or(name);
        let mut numbers = time
            .unwrap_or_default()
            .trim_matches([' ', '[', ']'])
            .split(' ')
            .skip(2);
        if let (Some(number), Some(unit)) = (numbers.next(), numbers.next()) {
            times.push((name.to_owned(), format!("{number} {unit}")));
        }
    }
    times
}

/// What a VMM that was killed left behind in the device.
fn unlike(folder: &Path) -> Vec<String> {
    match (json(&folder.join("after.json")), json(&folder.join("before.json"))) {
        (Some(after), Some(before)) => differences(&after, &before, &[]),
        _ => vec!["the device was not probed before and after the kill".to_owned()],
    }
}

/// The plan that was made in the machine is that of its facts.
fn plan(results: &Results<'_>) -> Vec<String> {
    let mut command = Command::new(results.vmm);
    command.args(["plan", "--json", "--device", DEVICE, "--facts"]);
    let output = command
        .arg(results.folder.join("facts.json"))
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            return vec![format!(
                "no plan here: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )];
        }
        Err(error) => return vec![format!("igd-vmm plan: {error}")],
    };
    let here: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let there = json(&results.folder.join("plan.json"));
    if here.is_none() || here != there {
        return vec!["the plan in the machine is not the one that its facts give here".to_owned()];
    }
    Vec::new()
}

/// SeaBIOS ran to its end, and everything is in its place.
fn ran(results: &Results<'_>) -> Vec<String> {
    let file = |name: &str| results.folder.join(name);
    let mut failures = Vec::new();
    let Some(status) = json(&file("status.json")) else {
        return vec!["the VMM left no status".to_owned()];
    };
    let end = status.get("end").and_then(Value::as_str).unwrap_or("unknown");
    if end != "stopped" {
        failures.push(format!("it ended as {end}"));
    }
    let counts = [
        ("accesses to BARs are trapped", "/accesses/bars", ROM_READS),
        ("accesses were refused", "/refused", 0),
    ];
    for (name, pointer, most) in counts {
        let count = status.pointer(pointer).and_then(Value::as_u64);
        if count.is_none_or(|count| count > most) {
            let count = count.map_or("an unknown number of".to_owned(), |count| count.to_string());
            failures.push(format!("{count} {name}, not at most {most}"));
        }
    }
    failures.extend(said("SeaBIOS", &text(&file("log")), &[ROM_RUNS]));
    let artefacts = Artefacts {
        opregion: &file("opregion"),
        host_opregion: results.opregion,
    };
    let placed = Placed {
        is_told: true,
        stolen_mib: STOLEN_MIB,
        base: None,
        cleared: NO_SWSCI,
    };
    failures.extend(misplaced(&placed, &status, &text(&file("log")), artefacts));
    failures
}

/// The guest's driver says these words, and finds OpRegion and stolen memory where the device's registers have them.
fn driver(folder: &Path, words: &[&str]) -> Vec<String> {
    let log = text(&folder.join("serial.log"));
    let mut failures = said("i915", &log, words);
    let Some(status) = json(&folder.join("status.json")) else {
        failures.push("the VMM left no status".to_owned());
        return failures;
    };
    let register = |name: &str| {
        let text = status.get(name)?.as_str()?;
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    };
    match (register("asls"), register("bdsm")) {
        (Some(asls), Some(bdsm)) => {
            let opregion = format!("graphic opregion physical addr: {asls:#x}");
            let base = format!("[mem {:#010x}-", bdsm & !0xf_ffff);
            if !log.contains(&opregion) {
                failures.push(format!("i915 does not say `{opregion}`"));
            }
            if !log
                .lines()
                .any(|line| line.contains("stolen-system: ") && line.contains(&base))
            {
                failures.push(format!("i915 does not find stolen memory at {base}"));
            }
        }
        _ => failures.push("the status names no ASLS and BDSM".to_owned()),
    }
    failures
}

/// Which of the benches have no time.
fn untimed(names: &[&str], folder: &Path) -> Vec<String> {
    let times = times(folder);
    let said = criterion(folder);
    let last = said.trim().lines().last().unwrap_or("nothing");
    let missing = names
        .iter()
        .filter(|name| !times.iter().any(|(timed, _)| timed == *name));
    missing.map(|name| format!("no time for {name}, but: {last}")).collect()
}

/// Why not all of a program's tests passed.
fn untested(name: &str, folder: &Path) -> Option<String> {
    let said = text(&folder.join(format!("{name}.txt")));
    let result = said.lines().find(|line| line.starts_with("test result:"));
    let is_well = |line: &&str| {
        line.starts_with("test result: ok. ") && !line.contains(" 0 passed") && line.contains(" 0 ignored")
    };
    if result.is_some_and(|line| is_well(&line)) {
        return None;
    }
    let failed: Vec<&str> = said.lines().filter(|line| line.ends_with("FAILED")).collect();
    let last = result.or(said.lines().last()).unwrap_or("nothing");
    Some(format!("{name}: {last} {}", failed.join(", ")))
}

/// What is wrong with the cases of this kernel.
fn wrong(cases: &[Case], folder: &Path) -> Vec<String> {
    let release = text(&folder.join("kernel"));
    let mut numbers = release.split('.').map_while(|number| number.parse().ok());
    let Some(kernel) = numbers.next().zip(numbers.next()) else {
        return vec![format!("the step names no kernel, but `{}`", release.trim())];
    };
    let here = cases.iter().filter(|case| case.kernels.contains(&kernel));
    here.flat_map(|case| failed(case, folder)).collect()
}

fn failed(case: &Case, folder: &Path) -> Vec<String> {
    let output = text(&folder.join(format!("{}.out", case.name)));
    let code = text(&folder.join(format!("{}.code", case.name)));
    let mut failures = said(case.name, &output, case.words);
    if code.trim() != case.code.to_string() {
        failures.push(format!(
            "{}: exit code {} instead of {}",
            case.name,
            code.trim(),
            case.code
        ));
    }
    failures
}

fn said(name: &str, output: &str, words: &[&str]) -> Vec<String> {
    let missing = words.iter().filter(|words| !output.contains(**words));
    let last = output.trim().lines().last().unwrap_or("nothing");
    missing
        .map(|words| format!("{name} does not say `{words}`, but: {last}"))
        .collect()
}

/// The OpRegion's file, whose length a step needs.
pub(super) fn opregion(folder: &Path) -> PathBuf {
    folder.join("host-opregion.bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("lab-checks-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn failures(&self, check: Check) -> Vec<String> {
            let results = Results {
                folder: &self.0,
                vmm: Path::new("/nonexistent"),
                facts: &self.0.join("expected.json"),
                opregion: &self.0.join("host"),
            };
            failures(check, &results)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_step_that_left_nothing_has_failed() {
        let folder = Folder::new("nothing");
        let every = [
            Check::Facts,
            Check::Plan,
            Check::Run(&[]),
            Check::Killed,
            Check::Cases(&[]),
        ];
        for check in every {
            assert_eq!(folder.failures(check).len(), 1, "{check:?}");
        }
        folder.write("code", "0\n");
        for check in [Check::Facts, Check::Plan, Check::Run(&[]), Check::Driver(&["x"])] {
            assert_ne!(folder.failures(check), [""; 0], "{check:?}");
        }
    }

    #[test]
    fn a_case_needs_its_code_and_its_words() {
        const CASE: Case = Case {
            name: "one",
            code: 3,
            words: &["ulimit -l", "8 MiB"],
            kernels: (6, 1)..(6, 15),
        };
        let folder = Folder::new("case");
        folder.write("code", "0\n");
        assert_eq!(
            folder.failures(Check::Cases(&[CASE])),
            ["the step names no kernel, but ``"]
        );
        folder.write("kernel", "6.1.0-50-amd64\n");
        folder.write("one.out", "first\nraise it with ulimit -l to 8 MiB\n");
        folder.write("one.code", "3\n");
        assert_eq!(folder.failures(Check::Cases(&[CASE])), [""; 0]);
        folder.write("one.code", "0\n");
        folder.write("one.out", "first\nraise it with ulimit -l\n");
        let failures = folder.failures(Check::Cases(&[CASE]));
        assert_eq!(failures.len(), 2);
        assert!(failures[0].contains("`8 MiB`") && failures[1].contains("exit code 0 instead of 3"));
        folder.write("kernel", "6.15.2\n");
        assert_eq!(folder.failures(Check::Cases(&[CASE])), [""; 0], "not with this kernel");
    }

    #[test]
    fn a_device_that_a_kill_changed_is_seen() {
        let folder = Folder::new("killed");
        folder.write("code", "0\n");
        let left = |after: &str| {
            folder.write("before.json", r#"{ "device": { "class": "0x030000" } }"#);
            folder.write("after.json", after);
            folder.failures(Check::Killed).join("\n")
        };
        assert!(!left(r#"{ "device": { "class": "0x030000" } }"#).contains("device"));
        assert!(left(r#"{ "device": { "class": "0x038000" } }"#).contains("device.class"));
        assert!(left("").contains("was not probed"));
    }

    #[test]
    fn each_way_has_a_time() {
        let folder = Folder::new("speed");
        folder.write("code", "0\n");
        let said = "Benchmarking limit/read-dword: Analyzing\n\
            limit/read-dword        time:   [541.2 ps 541.5 ps 541.8 ps]\n\
            a-name-of-more-than-twenty/read-dword\n\
            \x20                       time:   [1.2 µs 1.3 µs 1.4 µs]\n\
            \x20                       thrpt:  [1.2 GiB/s 1.3 GiB/s 1.4 GiB/s]\n";
        folder.write("bar.txt", said);
        let expected = [
            ("limit/read-dword", "541.5 ps"),
            ("a-name-of-more-than-twenty/read-dword", "1.3 µs"),
        ];
        let expected = expected.map(|(name, time)| (name.to_owned(), time.to_owned()));
        assert_eq!(times(&folder.0), expected);
        assert_eq!(folder.failures(Check::Times(&["limit/read-dword"])), [""; 0]);
        let missing = folder.failures(Check::Times(&["vfio/read-dword"]));
        assert!(missing.join("").contains("no time for vfio/read-dword"), "{missing:?}");
    }

    #[test]
    fn tests_have_to_run_and_pass() {
        let folder = Folder::new("tests");
        folder.write("code", "0\n");
        let failures = |text: &str| {
            folder.write("one.txt", text);
            folder.failures(Check::Tests(&["one"]))
        };
        assert_eq!(
            failures("running 2 tests\n\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n"),
            [""; 0]
        );
        for text in [
            "",
            "test result: ok. 1 passed; 0 failed; 1 ignored;\n",
            "test result: ok. 0 passed; 0 failed; 0 ignored;\n",
            "test a ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored;\n",
        ] {
            assert_eq!(failures(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_trapped_bar_and_a_wrong_end_are_seen() {
        let folder = Folder::new("run");
        folder.write("code", "1\n");
        folder.write("out.txt", "no\n");
        folder.write(
            "status.json",
            r#"{ "end": "timed-out", "accesses": { "bars": 30000 }, "refused": 0 }"#,
        );
        folder.write("fds.txt", "7 -> /dev/vfio/vfio\n");
        let failures = folder
            .failures(Check::Run(&["/dev/vfio/vfio", "/dev/iommu"]))
            .join("\n");
        for expected in [
            "exit code 1: no",
            "timed-out",
            "30000 accesses to BARs",
            "no /dev/iommu open",
            "ASLS",
        ] {
            assert!(failures.contains(expected), "{expected} is not in {failures}");
        }
    }
}
