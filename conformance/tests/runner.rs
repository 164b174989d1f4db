// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The runner with a subject that passes, differs, panics, fails and hangs on demand.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use igd_conformance::corpus::{self, Corpus, Trace};
use igd_conformance::expect::Expectations;
use igd_conformance::pattern::Pattern;
use igd_conformance::report::{Report, Status, Trial, merge};
use igd_conformance::runner::{self, Options, Outcome, SharedSubject, Storage};
use igd_conformance::shard::Shard;
use igd_conformance::subject::{Machine, MachineError, Probe, Refusal, Subject};
use igd_conformance::trace::{Header, Space, Width};
use pci_model::Bdf;

/// Storage, but for some ports that misbehave.
struct Moody;

const PANIC: u64 = 0x10;
const HANG: u64 = 0x11;
const BREAK: u64 = 0x12;
const SLOW: u64 = 0x13;

struct MoodyMachine<'a>(Box<dyn Machine + 'a>);

impl Subject for Moody {
    fn name(&self) -> &'static str {
        "moody"
    }

    fn version(&self) -> String {
        "1".to_owned()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        match header.suite.as_str() {
            "skip" => Err(Refusal::Skip("not built in".to_owned())),
            "error" => Err(Refusal::Error("no memory".to_owned())),
            "panic" => panic!("cannot be built"),
            _ => Ok(Box::new(MoodyMachine(Storage.machine(header)?))),
        }
    }
}

impl Machine for MoodyMachine<'_> {
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError> {
        match (space, addr) {
            (Space::Io, PANIC) => panic!("port {addr:#x}"),
            (Space::Io, HANG) => loop {
                std::thread::sleep(Duration::from_secs(60));
            },
            (Space::Io, BREAK) => Err(MachineError("wire cut".to_owned())),
            (Space::Io, SLOW) => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(0)
            }
            _ => self.0.read(space, addr, width),
        }
    }
    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError> {
        self.0.write(space, addr, width, value)
    }
    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError> {
        self.0.ram_read(addr, out)
    }
    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.0.ram_write(addr, bytes)
    }
    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError> {
        self.0.ram_fill(addr, len, byte)
    }
    fn bar(&mut self, bdf: Bdf, bar: u8) -> Result<Option<u64>, MachineError> {
        self.0.bar(bdf, bar)
    }
    fn probe(&mut self, space: Space, addr: u64, width: Width, _bdf: Bdf) -> Result<Probe, MachineError> {
        let value = if addr & 0x8000 == 0 {
            Some(self.0.read(space, addr, width)?)
        } else {
            None
        };
        Ok(Probe {
            at: Some((2, addr & 0xfff)),
            value,
        })
    }
    fn reset(&mut self) -> Result<(), MachineError> {
        self.0.reset()
    }
    fn setting(&self) -> Option<&str> {
        Some("gloomy")
    }
}

/// A folder of traces, removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, traces: &[(&str, &str)]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        for (trace, body) in traces {
            let path = folder.join(trace).with_extension("trace");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("@trace 1\n{body}")).unwrap();
        }
        Self(folder)
    }

    fn traces(&self) -> Vec<Trace> {
        let corpus = Corpus::locate(Some(&self.0)).unwrap();
        corpus::find(Some(&corpus), &[]).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn options() -> Options {
    Options {
        timeout: Duration::from_millis(300),
        ..Options::default()
    }
}

fn run(folder: &Folder, options: &Options) -> Outcome {
    let subject: SharedSubject = Arc::new(Moody);
    runner::run(&subject, folder.traces(), options, &mut |_, _| {}).unwrap()
}

fn one(name: &str, body: &str, options: &Options) -> Vec<Trial> {
    run(&Folder::new(name, &[("a/t", body)]), options).report.trials
}

fn statuses(trials: &[Trial]) -> Vec<(&str, Status)> {
    trials
        .iter()
        .map(|trial| (trial.section.as_str(), trial.status))
        .collect()
}

#[test]
fn state_goes_through_a_trace_and_sections_are_told_apart() {
    let body = "w io 0x0060 1 0x07\nr io 0x0060 1 0x07\nsection a.x first\nr io 0x0060 2 0x0008 0xfff0\n\
        section a.y second\nr io 0x0060 1 0x08\nr io 0x0060 1 0x09\nsection a.x again\nr io 0x0060 1 0x07\n";
    let trials = one("state", body, &options());
    assert_eq!(
        statuses(&trials),
        [("-", Status::Pass), ("a.x", Status::Pass), ("a.y", Status::Fail)]
    );
    assert_eq!((trials[0].accesses, trials[0].checks), (2, 1));
    assert_eq!((trials[1].accesses, trials[1].checks, trials[1].differences), (2, 2, 0));
    assert_eq!(trials[2].differences, 2);
    assert_eq!(trials[2].setting.as_deref(), Some("gloomy"));
    let failure = trials[2].failure.as_ref().unwrap();
    assert!(failure.path.ends_with("a/t.trace"));
    assert_eq!((failure.line, failure.text.as_str()), (7, "r io 0x0060 1 0x08"));
    assert_eq!(
        (failure.rule.as_str(), failure.access.as_str()),
        ("second", "port 0x60, 1 byte")
    );
    assert_eq!(
        (failure.expected.as_str(), failure.got.as_str(), &failure.mask),
        ("0x08", "0x07", &None)
    );
    assert_eq!(failure.again, "igd-conformance run a/t --section a.y");
}

#[test]
fn an_unselected_section_is_executed_and_not_reported() {
    let body = "section a.x set\nw io 0x0060 1 0x07\nsection a.y get\nr io 0x0060 1 0x07\n";
    let section = Some(Pattern::glob("*.y"));
    assert_eq!(
        statuses(&one("select", body, &Options { section, ..options() })),
        [("a.y", Status::Pass)]
    );
}

#[test]
fn every_kind_of_line_is_compared() {
    let body = "section a.rs x\nw io 0x0060 2 0x3412\nrs io 0x0060 2 2 0x12341234\nrs io 0x0060 1 2 0x1213 0xfff0\n\
        section a.rs2 x\nrs io 0x0060 2 3 0x123412341334\n\
        section a.ram x\nfb ram 0x00001000 4 0xaa\nwb ram 0x00001001 2 0x0102\nrb ram 0x00001000 4 0xaa0102aa\n\
        rb ram 0x00001000 2 0xaaff 0xff00\nsection a.ram2 x\nrb ram 0x00001000 2 0xaaff 0xff02\n\
        section a.map x\nmap 00:02.0 0 - 0x1000\nsection a.map2 x\nmap 00:02.0 0 0xe0000000 0x1000\n\
        section a.p x\nw mem 0x00001004 4 0x00000005\np mem 0x00001004 4 0x00000005 00:02.0 2+0x4\n\
        p mem 0x00008004 4 0x12345678 00:02.0 2+0x4\nsection a.p2 x\np mem 0x00001004 4 0x00000006 00:02.0 2+0x4\n\
        section a.p3 x\np mem 0x00008004 4 0x00000006 00:02.0 -\nsection a.reset x\nreset\n\
        section a.cfg x\nr cfg 0x0010fc 4 0x00000001\nsection a.step x\nstep 5\n";
    let trials = one("kinds", body, &options());
    use Status::{Error, Fail, Pass};
    let expected = [
        ("a.rs", Pass),
        ("a.rs2", Fail),
        ("a.ram", Pass),
        ("a.ram2", Fail),
        ("a.map", Pass),
        ("a.map2", Fail),
        ("a.p", Pass),
        ("a.p2", Fail),
        ("a.p3", Fail),
        ("a.reset", Pass),
        ("a.cfg", Fail),
        ("a.step", Error),
    ];
    assert_eq!(statuses(&trials), expected);
    let shown: Vec<_> = trials.iter().filter_map(|trial| trial.failure.as_ref()).collect();
    let shown: Vec<_> = shown
        .iter()
        .map(|f| [f.access.as_str(), f.expected.as_str(), f.got.as_str()])
        .collect();
    assert_eq!(
        shown,
        [
            ["port 0x60, 2 bytes, 3 times", "0x123412341334", "0x123412341234"],
            ["RAM 0x1000, 2 bytes", "0xaaff", "0xaa01"],
            ["where BAR 0 of 00:02.0 is decoded", "0xe0000000", "not decoded"],
            ["memory 0x1004, 4 bytes of 00:02.0", "0x00000006", "0x00000005"],
            ["memory 0x8004, 4 bytes of 00:02.0", "no BAR", "BAR 2 + 0x4"],
            [
                "configuration 00:02.0 register 0xfc, 4 bytes",
                "0x00000001",
                "0x00000000"
            ],
        ]
    );
    assert_eq!((trials[0].accesses, trials[0].checks), (5, 4));
    assert_eq!((trials[1].checks, trials[1].differences), (3, 1));
    let reason = trials[11].reason.as_deref().unwrap();
    assert!(
        reason.ends_with(": clock step of 5 ns: no virtual clock to advance by 5 ns"),
        "{reason}"
    );
}

#[test]
fn a_panic_costs_the_rest_of_its_trace() {
    let body = "section a.x x\nr io 0x0060 1 0x00\nsection a.y x\nr io 0x0060 1 0x01\nr io 0x0010 1 0x00\n\
        section a.z x\nr io 0x0060 1 0x00\nsection a.x x\n";
    let folder = Folder::new(
        "panic",
        &[("a/t", body), ("b/t", "section b.x x\nr io 0x0060 1 0x00\n")],
    );
    let trials = run(&folder, &options()).report.trials;
    let (x, y, z) = (&trials[0], &trials[1], &trials[2]);
    assert_eq!(
        (x.status, y.status, z.status),
        (Status::Error, Status::Error, Status::Error)
    );
    assert_eq!(
        x.reason.as_deref(),
        Some("not reached: the trace ended in a.y"),
        "its second visit"
    );
    let reason = y.reason.as_deref().unwrap();
    assert!(
        reason.starts_with("the subject panicked at ") && reason.ends_with(": port 0x10"),
        "{reason}"
    );
    assert_eq!(y.failure.as_ref().unwrap().got, "0x00");
    assert_eq!(z.reason.as_deref(), Some("not reached: the trace ended in a.y"));
    assert_eq!(trials[3].status, Status::Pass);
}

#[test]
fn a_broken_machine_is_an_error() {
    let trials = one(
        "broken",
        "section a.x x\nr io 0x0012 1 0x00\nsection a.y x\nreset\n",
        &options(),
    );
    assert_eq!(statuses(&trials), [("a.x", Status::Error), ("a.y", Status::Error)]);
    let reason = trials[0].reason.as_deref().unwrap();
    assert!(reason.ends_with("t.trace:3: port 0x12, 1 byte: wire cut"), "{reason}");
}

#[test]
fn a_subject_may_refuse_fail_or_panic_at_the_start() {
    let line = "section a.x x\nreset\n";
    for (suite, status, reason) in [
        ("skip", Status::Skip, "not built in"),
        ("error", Status::Error, "no machine: no memory"),
        ("panic", Status::Error, "cannot be built"),
    ] {
        let trials = one(suite, &format!("@suite {suite}\n{line}"), &options());
        assert_eq!(statuses(&trials), [("a.x", status)]);
        assert!(trials[0].reason.as_deref().unwrap().ends_with(reason), "{trials:?}");
    }
}

#[test]
fn a_hanging_subject_is_left_behind_and_the_run_goes_on() {
    let hang = "section a.x x\nreset\nsection a.y x\nr io 0x0011 1 0x00\nsection a.z x\nreset\n";
    let fine = "section b.x x\nr io 0x0060 1 0x00\n";
    let folder = Folder::new("hang", &[("a/t", hang), ("b/t", fine), ("c/t", fine)]);
    let jobs = std::num::NonZeroUsize::new(1);
    let clock = Instant::now();
    let outcome = run(&folder, &Options { jobs, ..options() });
    assert!(clock.elapsed() < Duration::from_secs(20));
    assert_eq!(
        statuses(&outcome.report.trials),
        [
            ("a.x", Status::Pass),
            ("a.y", Status::Timeout),
            ("a.z", Status::Error),
            ("b.x", Status::Pass),
            ("b.x", Status::Pass)
        ]
    );
    assert_eq!(
        outcome.report.trials[1].reason.as_deref(),
        Some("longer than 0.3 s for the trace")
    );
}

#[test]
fn a_slow_subject_is_stopped_between_accesses() {
    let body = format!(
        "section a.x x\n{}section a.y x\nreset\n",
        "r io 0x0013 1 0x00\n".repeat(200)
    );
    let trials = one("slow", &body, &options());
    assert_eq!(statuses(&trials), [("a.x", Status::Timeout), ("a.y", Status::Error)]);
    assert!((2..200).contains(&trials[0].accesses), "{}", trials[0].accesses);
}

#[test]
fn expectations_turn_results_around() {
    let body =
        "section a.x x\nr io 0x0060 1 0x01\nsection a.y x\nr io 0x0060 1 0x00\nsection a.z x\nr io 0x0010 1 0x00\n";
    let expect = "[[expect]]\ntrace = 'a/*'\nsection = 'a.z'\nsubject = 'moody'\nstatus = 'skip'\nreason = 'left out'\n\
        [[expect]]\ntrace = '*'\nsubject = 'moody'\nstatus = 'xfail'\nreason = 'known'\n";
    let expectations = Expectations::parse(expect, "e.toml").unwrap();
    let trials = one(
        "expect",
        body,
        &Options {
            expectations,
            ..options()
        },
    );
    assert_eq!(
        statuses(&trials),
        [("a.x", Status::Xfail), ("a.y", Status::Xpass), ("a.z", Status::Skip)]
    );
    let reasons: Vec<_> = trials.iter().map(|trial| trial.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons, ["known", "expected to fail: known", "left out"]);
}

#[test]
fn a_trace_that_is_all_skipped_is_not_run() {
    let expect = "[[expect]]\ntrace = '*'\nsubject = 'moody'\nstatus = 'skip'\nreason = 'left out'\n";
    let expectations = Expectations::parse(expect, "e.toml").unwrap();
    let trials = one(
        "unwanted",
        "section a.x x\nr io 0x0010 1 0x00\n",
        &Options {
            expectations,
            ..options()
        },
    );
    assert_eq!(statuses(&trials), [("a.x", Status::Skip)]);
    assert_eq!(trials[0].accesses, 0);
}

#[test]
fn an_unreadable_trace_is_an_error_with_its_place() {
    let body = "section a.x x\nr io 0x0060 1 0x00\nr io 0x0060 1 0x0q\nsection a.y x\n";
    let outcome = run(&Folder::new("wrong", &[("a/t", body), ("b/t", "@ram x\n")]), &options());
    let trials = &outcome.report.trials;
    assert_eq!(
        statuses(trials),
        [("a.x", Status::Error), ("a.y", Status::Error), ("-", Status::Error)]
    );
    assert!(
        trials[0]
            .reason
            .as_deref()
            .unwrap()
            .ends_with("t.trace:4:15: expected a value: `0x0q`")
    );
    assert!(
        trials[2]
            .reason
            .as_deref()
            .unwrap()
            .ends_with("t.trace:2:6: expected the size of RAM: `x`")
    );
    assert_eq!(outcome.unreadable.len(), 2);
}

/// The report without what differs from run to run.
fn timeless(mut report: Report) -> Report {
    report.started = 0;
    report.duration_us = 0;
    report.host.threads = 0;
    report.shard = None;
    for trial in &mut report.trials {
        trial.duration_us = 0;
    }
    report
}

fn run_corpus(jobs: usize, shard: Option<Shard>) -> Report {
    let corpus = Corpus::locate(None).unwrap();
    let mut traces = corpus::find(Some(&corpus), &[]).unwrap();
    if let Some(shard) = shard {
        traces = shard.take(traces);
    }
    let subject: SharedSubject = Arc::new(Storage);
    let jobs = std::num::NonZeroUsize::new(jobs);
    let shard = shard.map(|shard| shard.to_string());
    let options = Options {
        jobs,
        shard,
        ..Options::default()
    };
    runner::run(&subject, traces, &options, &mut |_, _| {}).unwrap().report
}

#[test]
fn two_runs_differ_in_nothing_but_times() {
    let first = run_corpus(1, None);
    assert!(first.trials.len() > 600);
    assert_eq!(timeless(first), timeless(run_corpus(4, None)));
}

#[test]
fn shards_join_to_the_whole() {
    let shard = |k: u32, n: u32| format!("{k}/{n}").parse::<Shard>().unwrap();
    for count in [1, 3, 7] {
        let parts: Vec<_> = (1..=count).map(|k| run_corpus(2, Some(shard(k, count)))).collect();
        let sizes: Vec<u64> = parts
            .iter()
            .map(|part| part.trials.iter().map(|trial| trial.accesses).sum())
            .collect();
        assert!(sizes.iter().all(|size| *size > 0), "{sizes:?}");
        assert_eq!(timeless(merge::merge(parts).unwrap()), timeless(run_corpus(2, None)));
    }
}

#[test]
fn wrong_shards_are_refused() {
    for text in [
        "",
        "1",
        "0/3",
        "4/3",
        "1/0",
        "+1/3",
        "1/1025",
        "a/b",
        "1/3/5",
        "99999999999/99999999999",
    ] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}

#[test]
fn links_that_go_in_circles_are_followed_once() {
    let folder = Folder::new("links", &[("a/t", "reset\n"), ("b/u", "reset\n")]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&folder.0, folder.0.join("a/loop")).unwrap();
        std::os::unix::fs::symlink(folder.0.join("b"), folder.0.join("a/b")).unwrap();
        std::os::unix::fs::symlink(folder.0.join("gone"), folder.0.join("a/gone.trace")).unwrap();
    }
    let found = corpus::find(None, std::slice::from_ref(&folder.0)).unwrap();
    assert_eq!(found.len(), 2);
    let corpus = Corpus::locate(Some(&folder.0)).unwrap();
    let named = |name: &str| corpus::find(Some(&corpus), &[name.into()]).map(|found| found.len());
    assert_eq!(named("a/t").unwrap(), 1);
    assert_eq!(named("b").unwrap(), 1);
    assert!(named("../links").is_err());
    assert_eq!(
        named("c").unwrap_err().to_string(),
        "c: no such file or folder, and no trace of this name in the corpus"
    );
}
