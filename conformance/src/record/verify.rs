// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Records a trace again, from what it says of itself, and compares.

use std::collections::BTreeSet;

use super::options::{COUNT, Options, function_of, parse_registers};
use super::suites::Suite;
use crate::subjects::qtest::{Launcher, answers_for, check_machine, device, launcher_for};
use crate::trace::{Header, Kind, Line, Reader, Width};

/// Differences that are told in full.
const SHOWN: usize = 5;

/// Outcome for one trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Recorded again: how many answers were compared, how many lines differ, and the first of them.
    Compared {
        answers: u64,
        differences: usize,
        shown: Vec<String>,
    },
    /// Not recorded again, and why.
    Skipped(String),
}

/// Records `text` again and compares.
///
/// # Errors
///
/// The trace cannot be read, or the recording failed.
pub(super) fn verify(text: &str, name: &str, launcher: &Launcher) -> Result<Verdict, String> {
    let header = Reader::new(text.as_bytes(), name)
        .header()
        .map_err(|error| error.to_string())?;
    let (options, launcher) = match prepare(&header, text, launcher) {
        Ok(prepared) => prepared,
        Err(reason) => return Ok(Verdict::Skipped(reason)),
    };
    let again = options.record(&launcher)?;
    let mut found = Differences::default();
    compare_headers(text, &again, &mut found);
    compare_bodies(text, &again, &mut found);
    Ok(Verdict::Compared {
        answers: found.answers,
        differences: found.count,
        shown: found.shown,
    })
}

/// The options and the launcher that a trace was recorded with, or why it cannot be recorded again.
fn prepare(header: &Header, text: &str, launcher: &Launcher) -> Result<(Options, Launcher), String> {
    if header.kind == Kind::Firmware {
        return Err("firmware made the accesses, not a suite".to_owned());
    }
    answers_for(&header.qemu, &launcher.version()?)?;
    let launcher = launcher_for(header, launcher)?;
    Ok((options_of(header, text, launcher.files.as_deref())?, launcher))
}

fn options_of(header: &Header, text: &str, files: Option<&str>) -> Result<Options, String> {
    let suite = Suite::find(&header.suite)?;
    check_machine(&header.machine)?;
    let devices = header
        .devices
        .iter()
        .map(|text| device(text, files).map_err(|reason| format!("device {text:?}: {reason}")));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let bdf = match (header.functions.first(), devices.first()) {
        (Some(bdf), _) => *bdf,
        (None, Some(device)) => function_of(device)?,
        (None, None) => pci_model::Bdf::default(),
    };
    let seed = header
        .other("seed")
        .and_then(|seed| seed.parse().ok())
        .ok_or("the header has no seed")?;
    let ram_mib = header.ram >> 20;
    if ram_mib == 0 || ram_mib << 20 != header.ram || ram_mib > super::args::RAM_LIMIT {
        return Err(format!("{:#x} bytes of RAM cannot be asked for", header.ram));
    }
    let body = body_options(text);
    Ok(Options {
        suite,
        machine: header.machine.clone(),
        devices,
        bdf,
        seed,
        count: body.random.unwrap_or(COUNT),
        held: header.other("held") == Some("1"),
        skip: match header.other("skip") {
            Some(list) => parse_registers(list)?,
            None => body.untouched,
        },
        ram_mib,
    })
}

/// What the accesses tell of the options.
#[derive(Default)]
struct BodyOptions {
    /// Pseudo-random accesses to configuration space; as many asked for again give the same ones.
    random: Option<u64>,
    /// Registers that the scan of all bytes passed over.
    untouched: BTreeSet<u64>,
}

fn body_options(text: &str) -> BodyOptions {
    let mut options = BodyOptions::default();
    let mut section = "";
    let mut scanned = BTreeSet::new();
    for line in text.lines() {
        match Line::parse(line) {
            Ok(Line::Section { label, .. }) => {
                section = label;
                if matches!(section, "dev.random" | "bridge.random") {
                    options.random = Some(0);
                }
            }
            Ok(Line::Write { addr, width, .. }) if section == "bridge.scan-bytes" && width == Width::B1 => {
                scanned.insert(addr & 0xff);
            }
            Ok(Line::Write { .. } | Line::Read { .. }) if matches!(section, "dev.random" | "bridge.random") => {
                options.random = options.random.map(|count| count + 1);
            }
            _ => {}
        }
    }
    if !scanned.is_empty() {
        options.untouched = (0..256).filter(|register| !scanned.contains(register)).collect();
    }
    options
}

#[derive(Default)]
struct Differences {
    answers: u64,
    count: usize,
    shown: Vec<String>,
}

impl Differences {
    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.count <= SHOWN {
            self.shown.push(what());
        }
    }
}

fn cut(line: &str) -> String {
    let mut short: String = line.chars().take(100).collect();
    if short.len() < line.len() {
        short.push_str("...");
    }
    short
}

/// Header lines; of a merged trace, those of either version.
fn compare_headers(recorded: &str, again: &str, found: &mut Differences) {
    let is_version = |line: &&str| line.starts_with("@qemu ");
    let ours: BTreeSet<&str> = recorded
        .lines()
        .filter(|line| line.starts_with('@') && !is_version(line))
        .collect();
    let theirs: Vec<&str> = again
        .lines()
        .filter(|line| line.starts_with('@') && !is_version(line))
        .collect();
    // `# VERSION: TEXT` is a header line of the other version, perhaps shortened to its start and `...`.
    let other: Vec<&str> = recorded
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(": ").map(|(_, text)| text))
        .collect();
    let is_other = |line: &str| {
        let text = line.strip_prefix('@').unwrap_or(line);
        other.iter().any(|other| match other.strip_suffix("...") {
            Some(start) => text.starts_with(start),
            None => text == *other,
        })
    };
    for line in &theirs {
        if !ours.contains(line) && !is_other(line) {
            found.add(|| format!("header {} is not in the trace", cut(line)));
        }
    }
    let theirs: BTreeSet<&str> = theirs.into_iter().collect();
    let mut lines = recorded.lines().peekable();
    while let Some(line) = lines.next() {
        let differs = lines
            .peek()
            .is_some_and(|next| next.starts_with("# ") && next.ends_with(" has another line here"));
        if ours.contains(line) && !theirs.contains(line) && !differs {
            found.add(|| format!("header {} is not in the new recording", cut(line)));
        }
    }
}

/// One line of a trace that says what happened.
enum Expected<'a> {
    Line(&'a str),
    /// `map` and `p` lines that differ between two versions stand in a comment.
    OneOf(Vec<&'a str>),
}

fn expected(line: &str) -> Option<Expected<'_>> {
    let Some(comment) = line.strip_prefix('#') else {
        return (!line.is_empty() && !line.starts_with('@')).then_some(Expected::Line(line));
    };
    let lines: Vec<&str> = comment
        .strip_prefix(" differs: ")?
        .split("; ")
        .filter_map(|part| part.split_once(": ").map(|(_, line)| line))
        .collect();
    (!lines.is_empty()).then_some(Expected::OneOf(lines))
}

fn compare_bodies(recorded: &str, again: &str, found: &mut Differences) {
    let mut ours = recorded
        .lines()
        .zip(1_u64..)
        .filter_map(|(line, number)| Some((expected(line)?, number)));
    let mut theirs = again
        .lines()
        .filter(|line| !line.starts_with(['@', '#']) && !line.is_empty());
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return,
            (Some((expected, number)), Some(got)) => {
                found.answers += u64::from(is_answer(got));
                let (holds, want) = match &expected {
                    Expected::Line(line) => (same(line, got), *line),
                    Expected::OneOf(lines) => (lines.contains(&got), lines.first().copied().unwrap_or_default()),
                };
                if !holds {
                    found.add(|| format!("line {number}: {} became {}", cut(want), cut(got)));
                }
            }
            (Some((_, number)), None) => {
                return found.add(|| format!("line {number}: the new recording ends before it"));
            }
            (None, Some(got)) => return found.add(|| format!("the new recording goes on with {}", cut(got))),
        }
    }
}

fn is_answer(line: &str) -> bool {
    ["r ", "rs ", "rb ", "p ", "map "]
        .iter()
        .any(|kind| line.starts_with(kind))
}

/// Whether the new line says the same but for bits that the mask leaves open.
fn same(recorded: &str, again: &str) -> bool {
    if recorded == again {
        return true;
    }
    let (Ok(recorded), Ok(again)) = (Line::parse(recorded), Line::parse(again)) else {
        return false;
    };
    // With the recorded answer and mask in it, the new line must be the recorded one.
    match (recorded, again) {
        (
            Line::Read {
                value,
                mask: Some(mask),
                ..
            },
            Line::Read {
                space,
                addr,
                width,
                value: got,
                mask: None,
            },
        ) => {
            (value ^ got) & mask == 0
                && recorded
                    == Line::Read {
                        space,
                        addr,
                        width,
                        value,
                        mask: Some(mask),
                    }
        }
        (
            Line::Probe {
                value,
                mask: Some(mask),
                ..
            },
            Line::Probe {
                space,
                addr,
                width,
                value: got,
                bdf,
                at,
                mask: None,
            },
        ) => {
            (value ^ got) & mask == 0
                && recorded
                    == Line::Probe {
                        space,
                        addr,
                        width,
                        value,
                        bdf,
                        at,
                        mask: Some(mask),
                    }
        }
        (
            Line::ReadString {
                bytes,
                mask: Some(mask),
                ..
            },
            Line::ReadString {
                port,
                width,
                count,
                bytes: got,
                mask: None,
            },
        ) => {
            agree(bytes, got, mask)
                && recorded
                    == Line::ReadString {
                        port,
                        width,
                        count,
                        bytes,
                        mask: Some(mask),
                    }
        }
        (
            Line::RamRead {
                bytes,
                mask: Some(mask),
                ..
            },
            Line::RamRead {
                addr,
                bytes: got,
                mask: None,
            },
        ) => {
            agree(bytes, got, mask)
                && recorded
                    == Line::RamRead {
                        addr,
                        bytes,
                        mask: Some(mask),
                    }
        }
        _ => false,
    }
}

fn agree(want: crate::trace::Hex<'_>, got: crate::trace::Hex<'_>, mask: crate::trace::Hex<'_>) -> bool {
    want.len() == got.len()
        && want
            .bytes()
            .zip(got.bytes())
            .zip(mask.bytes())
            .all(|((a, b), mask)| (a ^ b) & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(recorded: &str, again: &str) -> Vec<String> {
        let mut found = Differences::default();
        compare_headers(recorded, again, &mut found);
        compare_bodies(recorded, again, &mut found);
        assert_eq!(found.shown.len(), found.count.min(SHOWN));
        found.shown
    }

    #[test]
    fn masks_and_the_other_version_are_respected() {
        let recorded = "@trace 1\n@qemu 1 2\n@item a\n# 2 has another line here\n# 2: item long...\nsection x y\n\
                        # differs: 1=0x12 2=0x13\nr io 0x0cf8 1 0x12 0xf0\n\
                        # differs: 1: map 00:02.0 0 0x1000 0x10; 2: map 00:02.0 0 - 0x10\n\
                        rb ram 0x00001000 2 0x0102 0xff00\n";
        let again = "@trace 1\n@qemu 2\n@item longer\nsection x y\nr io 0x0cf8 1 0x1f\nmap 00:02.0 0 - 0x10\n\
                     rb ram 0x00001000 2 0x0103\n";
        assert_eq!(differences(recorded, again), Vec::<String>::new());
        assert_eq!(differences(recorded, &again.replace("0x1f", "0x2f")).len(), 1);
        assert_eq!(differences(recorded, &again.replace("- 0x10", "0x2000 0x10")).len(), 1);
        assert_eq!(differences(recorded, &again.replace("0x0103", "0x0203")).len(), 1);
        assert_eq!(differences(recorded, &again.replace("cf8", "cf9")).len(), 1);
        assert_eq!(differences(recorded, &again.replace("longer", "other")).len(), 1);
        assert_eq!(differences(recorded, &format!("{again}reset\n")).len(), 1);
        assert_eq!(differences(recorded, &again.replace("section x y\n", "")).len(), 4);
    }

    #[test]
    fn a_missing_header_is_a_difference() {
        assert_eq!(
            differences("@a 1\n@b 2\n", "@a 1\n"),
            ["header @b 2 is not in the new recording"]
        );
        assert_eq!(
            differences("@a 1\n", "@a 1\n@b 2\n"),
            ["header @b 2 is not in the trace"]
        );
    }

    #[test]
    fn options_are_found_in_the_accesses() {
        let mut text = String::from("section bridge.scan-bytes x\n");
        for register in (0..256).filter(|register| !(0x60..0x68).contains(register)) {
            text.push_str(&format!("w cfg 0x{register:06x} 1 0xff\n"));
        }
        text.push_str(
            "section bridge.random x\nw cfg 0x000060 1 0x00\nr cfg 0x000060 1 0x00\nsection bridge.reset x\n",
        );
        text.push_str("reset\nr cfg 0x000060 1 0x00\n");
        let options = body_options(&text);
        assert_eq!(options.random, Some(2));
        assert_eq!(options.untouched, (0x60..0x68).collect());
        assert_eq!(body_options("reset\n").random, None);
    }
}
