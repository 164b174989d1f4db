// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables of vectors: how they are read, and that every value in them counts.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::path::{Path, PathBuf};

use igd_conformance::corpus::{self, Corpus, Trace};
use igd_conformance::report::{Status, Trial};
use igd_conformance::runner::{self, Options, Storage};
use igd_conformance::subject::{Machine, Refusal, Subject};
use igd_conformance::subjects::igd::Igd;
use igd_conformance::trace::Header;
use igd_conformance::vectors::{ANY, Question, Table};

const HEAD: &str = "@vectors 1\n@about ggc\n@source here\n@columns class ggc = gtt ivd\n";

static IGD: Igd = Igd { setting: None };

fn vectors() -> Vec<Trace> {
    let corpus = Corpus::locate(None).unwrap();
    corpus::find(Some(&corpus), &[PathBuf::from("vectors")]).unwrap()
}

fn tables() -> Vec<Trace> {
    let mut traces = vectors();
    traces.retain(Trace::is_vectors);
    assert_eq!(traces.len(), 17);
    traces
}

fn trials(subject: &dyn Subject, trace: &Trace) -> Vec<Trial> {
    runner::replay(subject, trace, &Options::default()).trials
}

/// A table in a file of its own.
fn file(name: &str, text: &str) -> Trace {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name).with_extension("vectors");
    std::fs::write(&path, text).unwrap();
    Trace::scan(&path, None).unwrap()
}

#[test]
fn every_section_compares_something() {
    for trace in vectors() {
        assert_eq!(trace.problem, None);
        for trial in trials(&IGD, &trace) {
            assert_eq!(trial.status, Status::Pass, "{} {}", trial.trace, trial.section);
            assert!(trial.checks > 0, "{} {}", trial.trace, trial.section);
        }
    }
}

#[test]
fn every_expected_value_counts() {
    for trace in tables() {
        let table = Table::open(&trace.path).unwrap();
        let text = std::fs::read_to_string(&trace.path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        for (place, section) in table.sections.iter().enumerate() {
            for case in &section.cases {
                for output in (0..table.outputs.len()).filter(|output| case.outputs[*output] != ANY) {
                    let mut outputs = case.outputs.clone();
                    outputs[output].push('0');
                    let altered = format!("{} = {}", case.inputs.join(" "), outputs.join(" "));
                    let mut lines = lines.clone();
                    lines[usize::try_from(case.line).unwrap() - 1] = &altered;
                    let trials = trials(&IGD, &file("altered", &(lines.join("\n") + "\n")));
                    let failed: Vec<_> = trials.iter().filter(|trial| trial.status == Status::Fail).collect();
                    assert_eq!(failed.len(), 1, "{altered}");
                    let failure = failed[0].failure.as_ref().unwrap();
                    assert_eq!(failed[0].section, trace.sections[place].label);
                    assert_eq!((failed[0].differences, failure.line), (1, case.line));
                    assert_eq!(
                        (&failure.got, &failure.expected),
                        (&case.outputs[output], &outputs[output])
                    );
                }
            }
        }
    }
}

#[test]
fn mistakes_are_named_by_line_and_column() {
    let long = format!("{HEAD}section a b\nG6 {} = 0 no\n", "1".repeat(5000));
    let wide = format!("@vectors 1\n@columns{} = b\n", " a".repeat(40));
    let many = "#\n".repeat(70_000);
    for (text, place, what) in [
        ("", ":1:1: ", "@source"),
        ("G6 0 = 0 no\n", ":1:1: ", "@vectors 1"),
        ("@vectors 2\n", ":1:10: ", "`2`"),
        ("@about ggc\n", ":1:1: ", "once and first"),
        ("@vectors 1\n@vectors 1\n", ":2:1: ", "once and first"),
        ("@vectors 1\n@about\n", ":2:8: ", "says nothing"),
        ("@vectors 1\n@about a\n@about b\n", ":3:1: ", "twice"),
        ("@vectors 1\n@colour red\n", ":2:2: ", "`colour`"),
        ("@vectors 1\n@columns a b\n", ":2:13: ", "both sides"),
        ("@vectors 1\n@columns a = a\n", ":2:10: ", "`a`"),
        ("@vectors 1\n@columns a  = b\n", ":2:12: ", "one space"),
        (&wide, ":2:76: ", "32 columns"),
        (&many, ":65537:1: ", "65536 lines"),
        (&long, ":6:1: ", "4096 bytes"),
        ("@vectors 1\nsection a b\n1 = 2\n", ":3:1: ", "before @columns"),
        (&format!("{HEAD}G6 0 = 0 no\n"), ":5:1: ", "before the first section"),
        (&format!("{HEAD}section a\nG6 0 = 0\n"), ":6:8: ", "gtt ivd"),
        (&format!("{HEAD}section a\nG6 = 0 no\n"), ":6:1: ", "class ggc"),
        (&format!("{HEAD}section a\nG6 0 = 0 = no\n"), ":6:10: ", "second `=`"),
        (&format!("{HEAD}section a\nG6 0 = 0 no \n"), ":6:13: ", "at the end"),
        (&format!("{HEAD}section a\nG6 0 = 0 n\u{f6}\n"), ":6:11: ", "ASCII"),
        (&format!("{HEAD}section a\nG6 0 = 0 no"), ":6:12: ", "truncated"),
        (&format!("{HEAD}section a/b\n"), ":5:", ""),
        (&format!("{HEAD}section a\nG6 0 = 0 no\nsection a\n"), ":7:9: ", "twice"),
        (
            &format!("{HEAD}section a\nG6 0 = 0 no\nsection b\n"),
            ":7:1: ",
            "section b has no cases",
        ),
        (
            &format!("{HEAD}section a\nG6 0 = 0 no\n@about ggc\n"),
            ":7:1: ",
            "after the first section",
        ),
        (HEAD, ":4:1: ", "no cases"),
    ] {
        let error = Table::read(text.as_bytes(), "t").unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("t{place}")) && error.contains(what),
            "{error}"
        );
    }
}

#[test]
fn a_table_that_is_wrong_is_an_error_and_no_pass() {
    let section = "section a b\n";
    for (name, text, what) in [
        ("cut", format!("{HEAD}{section}G6 0 = 0"), "truncated"),
        ("class", format!("{HEAD}{section}G5 0 = 0 no\n"), "class G5"),
        ("number", format!("{HEAD}{section}G6 0x10000 = 0 no\n"), "ggc 0x10000"),
        ("sign", format!("{HEAD}{section}G6 +1 = 0 no\n"), "ggc +1"),
        (
            "output",
            HEAD.replace("ivd", "vga") + section + "G6 0 = 0 no\n",
            "no answer vga",
        ),
        (
            "input",
            HEAD.replace("ggc =", "ggd =") + section + "G6 0 = 0 no\n",
            "no input ggc",
        ),
        (
            "about",
            HEAD.replace("about ggc", "about moon") + section + "G6 0 = 0 no\n",
            "moon",
        ),
    ] {
        let trials = trials(&IGD, &file(name, &text));
        assert_eq!(trials.len(), 1, "{name}");
        let reason = trials[0].reason.clone().unwrap();
        assert!(
            trials[0].status == Status::Error && reason.contains(what),
            "{name}: {reason}"
        );
    }
}

#[test]
fn steps_that_are_wrong_are_errors_that_name_the_step() {
    let function = |case: &str| ("function", "bars capabilities steps = answers", case.to_owned());
    let fwcfg = |steps: &str| {
        (
            "fwcfg",
            "data-width contents steps = answers",
            format!("1 opt/a:0x41 {steps}"),
        )
    };
    let msix = |steps: &str| ("msix-table", "steps = answers", steps.to_owned());
    let carve = |case: &str| ("carve", "size page areas trapped = pieces", case.to_owned());
    for ((about, columns, case), what) in [
        (function("none none jump"), "jump: no step"),
        (function("none none r4"), "r4: expected @"),
        (function("none none r3@0x0"), "r3@0x0: no access"),
        (function("none none r4@0x1000"), "r4@0x1000: no access"),
        (function("none none r4@0x10000"), "r4@0x10000 0x10000: no number"),
        (function("none none w4@0x0"), "w4@0x0: expected ="),
        (function("none none restore"), "restore: nothing was saved"),
        (function("none none ,"), ": no step"),
        (function("0:mem32 none level"), "0:mem32: expected"),
        (function("0:mem16:0x10 none level"), "0:mem16:0x10: no kind"),
        (function("0:mem32:0x11 none level"), "0:mem32:0x11: "),
        (function("9:mem32:0x10 none level"), "BAR"),
        (function("none agp@0x40 level"), "agp@0x40: not one"),
        (function("none msi@0x20 level"), "0x20"),
        (fwcfg("r65@0x0"), "65 bytes, at most 64"),
        (fwcfg("r18446744073709551616@0x0"), "too large"),
        (fwcfg("w2@0x8=0x000"), "0x000: expected"),
        (fwcfg("w2@0x8=0x00+1"), "0x00+1: expected"),
        (fwcfg("w2@0x8=0x000000"), "another number of bytes"),
        (fwcfg("in1@0x50f"), "in1@0x50f: a port below"),
        (fwcfg("ram8@0xfffc"), "ram8@0xfffc: not guest RAM"),
        (fwcfg("offset=0x1"), "offset=0x1: nothing was saved"),
        (msix("w9@0x0=0x0"), "more than 8 bytes"),
        (msix("r9@0x0"), "more than 8 bytes"),
        (msix("fire=0x10000"), "no number, or too large"),
        (carve("0x1000 0x1000 whole 0x10"), "0x10: expected"),
    ] {
        let text = format!("@vectors 1\n@about {about}\n@source here\n@columns {columns}\nsection a b\n{case} = *\n");
        let trials = trials(&IGD, &file("steps", &text));
        let reason = trials[0].reason.clone().unwrap_or_default();
        assert!(
            trials[0].status == Status::Error && reason.contains(what),
            "{case}: {reason}"
        );
    }
}

/// A subject that breaks where it should decide.
struct Broken;

impl Subject for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn version(&self) -> String {
        String::new()
    }

    fn machine(&self, _: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        Err(Refusal::Skip("no machine".to_owned()))
    }

    fn decide(&self, question: &Question<'_>) -> Result<Vec<(&'static str, String)>, Refusal> {
        panic!("at {}", question.about())
    }
}

#[test]
fn subjects_without_opinions_are_skipped_and_panics_are_errors() {
    for trace in tables() {
        for trial in trials(&Storage, &trace) {
            assert_eq!(trial.status, Status::Skip, "{:?}", trial.reason);
        }
        for trial in trials(&Broken, &trace) {
            assert_eq!(trial.status, Status::Error);
        }
    }
}
