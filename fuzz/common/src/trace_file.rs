// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Traces: what is accepted is printed and parsed equal, errors have a place in the file, a replay is bounded.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_conformance::subject::{Machine, Subject};
use igd_conformance::subjects::igd::{Igd, Setting};
use igd_conformance::trace::{Header, Line, Reader, Space, TraceError, Width};
use pci_model::Bdf;

use crate::Target;
use crate::util::{Edit, apply, edits, rarely, show};

/// The target.
pub const TARGET: Target = Target {
    name: "trace_file",
    package: "igd-conformance",
    summary: "traces: what is accepted is printed and parsed equal, errors have a place in the file, a replay is bounded",
    run,
    describe,
    seeds,
};

/// Bytes of a document at the most.
const DOCUMENT: usize = 7 << 10;
/// Guest RAM of a replay: enough for the corpus, and nothing that a fill could make large.
const RAM: u64 = 1 << 20;
const DOCUMENTS: [(&str, &str); 9] = [
    (
        "pci-header",
        include_str!("../../../conformance/traces/vectors/pci-header.trace"),
    ),
    (
        "pci-mechanism",
        include_str!("../../../conformance/traces/vectors/pci-mechanism.trace"),
    ),
    (
        "pci-functions",
        include_str!("../../../conformance/traces/vectors/pci-functions.trace"),
    ),
    (
        "i440fx",
        include_str!("../../../conformance/traces/vectors/i440fx.trace"),
    ),
    ("q35", include_str!("../../../conformance/traces/vectors/q35.trace")),
    (
        "fwcfg-dma",
        include_str!("../../../conformance/traces/vectors/fwcfg-dma.trace"),
    ),
    ("ecam", include_str!("../../../conformance/traces/q35/ecam.trace")),
    (
        "pam",
        include_str!("../../../conformance/traces/i440fx/pam-smram.trace"),
    ),
    (
        "fwcfg-directory",
        include_str!("../../../conformance/traces/vectors/fwcfg-directory.trace"),
    ),
];
const SETTINGS: [Option<Setting>; 4] = [
    None,
    Some(Setting::Specification),
    Some(Setting::Qemu7),
    Some(Setting::Qemu11),
];

/// A trace, and how it is replayed.
#[derive(Clone, Debug)]
struct Input {
    text: Vec<u8>,
    setting: Option<Setting>,
    document: Option<&'static str>,
    lines: Vec<(usize, String)>,
    edits: Vec<Edit>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        // A trace starts with a character of its own; others choose a document.
        if data
            .first()
            .is_none_or(|first| first.is_ascii_graphic() || first.is_ascii_whitespace())
        {
            return Ok(Self {
                text: data.to_vec(),
                setting: None,
                document: None,
                lines: Vec::new(),
                edits: Vec::new(),
            });
        }
        let first: u8 = u.arbitrary()?;
        let index = usize::from(first & 0x7f) % DOCUMENTS.len();
        let (name, text) = DOCUMENTS.get(index).copied().unwrap_or_default();
        let setting = *u.choose(&SETTINGS)?;
        let mut text: Vec<String> = cut(text).lines().map(str::to_owned).collect();
        let mut lines = Vec::new();
        for _ in 0..u.int_in_range(0..=12_u8)? {
            let at = u.int_in_range(0..=text.len())?;
            let line = line(&mut u)?;
            if rarely(&mut u, 2)? && at < text.len() {
                text.remove(at);
            }
            text.insert(at.min(text.len()), line.clone());
            lines.push((at, line));
        }
        let mut text = text.join("\n").into_bytes();
        text.push(b'\n');
        let edits = if rarely(&mut u, 2)? {
            edits(&mut u, text.len())?
        } else {
            Vec::new()
        };
        apply(&mut text, &edits);
        Ok(Self {
            text,
            setting,
            document: Some(name),
            lines,
            edits,
        })
    }
}

/// The first lines of a document.
fn cut(text: &str) -> &str {
    let end = text
        .char_indices()
        .take_while(|(at, _)| *at < DOCUMENT)
        .filter(|(_, c)| *c == '\n')
        .last();
    end.and_then(|(at, _)| text.get(..=at)).unwrap_or(text)
}

/// A line that is mostly valid.
fn line(u: &mut Unstructured<'_>) -> Result<String> {
    let width = [Width::B1, Width::B2, Width::B4, Width::B8];
    let width = *u.choose(&width)?;
    let space = *u.choose(&[Space::Io, Space::Mem, Space::Ram, Space::Cfg])?;
    let near: [u64; 9] = [0xcf8, 0xcfc, 0x510, 0x514, 0xcf9, 0, 0xc_0000, 0xb000_0000, 0xfec0_0000];
    let addr = match (space, u.int_in_range(0..=7_u8)?) {
        (_, 0) => u.arbitrary()?,
        (Space::Cfg, _) => u.int_in_range(0..=0x1_ffff)?,
        _ => u.choose(&near)?.wrapping_add(u.int_in_range(0..=16)?),
    };
    let value: u64 = if rarely(u, 8)? {
        u.arbitrary()?
    } else {
        u.arbitrary::<u64>()? & width.ones()
    };
    let bdf = Bdf::from_bits(u.int_in_range(0..=0xff)?);
    let mask = if rarely(u, 3)? {
        Some(u.arbitrary::<u64>()? & width.ones())
    } else {
        None
    };
    let hex: String = (0..u.int_in_range(0..=12_u8)?)
        .map(|_| u.arbitrary::<u8>().map(|byte| format!("{byte:02x}")))
        .collect::<Result<_>>()?;
    let len = hex.len() / 2;
    Ok(match u.int_in_range(0..=13_u8)? {
        0..3 => Line::Write {
            space,
            addr,
            width,
            value,
        }
        .to_string(),
        3..5 => Line::Read {
            space,
            addr,
            width,
            value,
            mask,
        }
        .to_string(),
        5 => format!("rs io {addr:#06x} 1 {len} 0x{hex}"),
        6 => format!("wb ram {addr:#x} {len} 0x{hex}"),
        7 => format!("rb ram {addr:#x} {len} 0x{hex}"),
        8 => format!("fb ram {addr:#x} {} {:#04x}", value & 0xffff, value & 0xff),
        9 => Line::Map {
            bdf,
            bar: u.int_in_range(0..=6)?,
            addr: mask,
            size: value,
        }
        .to_string(),
        10 => Line::Probe {
            space,
            addr,
            width,
            value,
            bdf,
            at: mask.map(|offset| (0, offset)),
            mask,
        }
        .to_string(),
        11 => u
            .choose(&[
                "reset",
                "step 5",
                "# a comment",
                "",
                "section a.b text",
                "section",
                "@ram 0x100000",
            ])?
            .to_string(),
        12 => format!("@bar {bdf} {} mem64 pf {value:#x}", u.int_in_range(0..=6_u8)?),
        _ => format!("@item {:#06x} {len} opt/{} 0x{hex}", value & 0x3fff, value & 7),
    })
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let mut reader = Reader::new(input.text.as_slice(), "input");
    let mut header = match reader.header() {
        Ok(header) => header,
        Err(error) => return placed(&input.text, &error),
    };
    let machine_of = Igd { setting: input.setting };
    header.ram = header.ram.min(RAM);
    let mut machine = machine_of.machine(&header).ok();
    let mut answers = 0_usize;
    loop {
        let entry = match reader.entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => return placed(&input.text, &error),
        };
        printed(&entry.line);
        if let Some(machine) = &mut machine {
            // Whether a machine carries an access out is its own affair: a guest may read what is not there.
            answers += perform(machine.as_mut(), &entry.line);
        }
    }
    assert!(
        answers <= input.text.len(),
        "{answers} answers to {} bytes",
        input.text.len()
    );
    whole(&input.text);
}

/// The place of an error is one of the file.
fn placed(text: &[u8], error: &TraceError) {
    let TraceError::Line { line, column, what, .. } = error else {
        panic!("reading from memory failed: {error}")
    };
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let number = usize::try_from(*line).unwrap_or(usize::MAX);
    let found = number.checked_sub(1).and_then(|index| lines.get(index));
    let Some(found) = found else {
        panic!("line {line} of {}: {what}", lines.len())
    };
    assert!(
        (1..=found.len() + 1).contains(column),
        "column {column} of {} in line {line}: {what}",
        found.len()
    );
    assert!(!what.is_empty(), "no reason in line {line}");
}

/// A line is printed, and parsed as the same.
fn printed(line: &Line<'_>) {
    let text = line.to_string();
    match Line::parse(&text) {
        Ok(again) => assert_eq!(*line, again, "{text}"),
        Err(error) => panic!("{line:?} is printed as {text:?}, which is refused: {error}"),
    }
    assert!(!text.contains('\n'), "{text:?}");
}

/// An accepted trace printed line by line is an accepted trace with the same header.
fn whole(text: &[u8]) {
    let canonical: String = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| Line::parse(line).ok())
        .map(|line| format!("{line}\n"))
        .collect();
    let header = |text: &[u8]| -> Option<Header> { Reader::new(text, "input").header().ok() };
    assert_eq!(
        header(text),
        header(canonical.as_bytes()),
        "the header of the printed trace\n{canonical}"
    );
}

/// Carries a line out, and returns how many bytes were answered.
fn perform(machine: &mut dyn Machine, line: &Line<'_>) -> usize {
    let mut buffer = vec![0xff; 64];
    match *line {
        Line::Write {
            space,
            addr,
            width,
            value,
        } => drop(machine.write(space, addr, width, value)),
        Line::Read { space, addr, width, .. } => {
            if let Ok(value) = machine.read(space, addr, width) {
                assert_eq!(value & !width.ones(), 0, "{line} is answered with {value:#x}");
            }
            return width.len();
        }
        Line::ReadString { port, width, bytes, .. } => {
            buffer.resize(bytes.len(), 0xff);
            drop(machine.read_string(port, width, &mut buffer));
            return buffer.len();
        }
        Line::RamWrite { addr, bytes } => {
            buffer.resize(bytes.len(), 0);
            bytes.copy_to(&mut buffer);
            if machine.ram_write(addr, &buffer).is_ok() {
                let mut again = vec![0; buffer.len()];
                let read = machine.ram_read(addr, &mut again);
                assert!(read.is_ok() && again == buffer, "{line} is not read back: {read:?}");
            }
        }
        Line::RamRead { addr, bytes, .. } => {
            buffer.resize(bytes.len(), 0xff);
            drop(machine.ram_read(addr, &mut buffer));
            return buffer.len();
        }
        Line::RamFill { addr, len, byte } => {
            let filled = machine.ram_fill(addr, len, byte);
            let fits = addr.checked_add(len).is_some_and(|end| end <= RAM);
            assert!(fits || filled.is_err(), "{line} of a RAM of {RAM:#x} bytes");
        }
        Line::Map { bdf, bar, .. } => drop(machine.bar(bdf, bar)),
        Line::Probe {
            space,
            addr,
            width,
            bdf,
            ..
        } => {
            if let Ok(probe) = machine.probe(space, addr, width, bdf)
                && let Some((bar, offset)) = probe.at
            {
                let start = machine.bar(bdf, bar).ok().flatten();
                assert_eq!(
                    start.map(|start| start.wrapping_add(offset)),
                    Some(addr),
                    "{line} leads to BAR{bar}"
                );
            }
        }
        Line::Reset => drop(machine.reset()),
        Line::Step { ns } => drop(machine.step(ns)),
        Line::Header { .. } | Line::Comment(_) | Line::Section { .. } => {}
    }
    0
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!("setting {:?}\n", input.setting);
    if let Some(name) = input.document {
        let _ = writeln!(text, "document {name}");
    }
    for (at, line) in &input.lines {
        let _ = writeln!(text, "line {}: {line}", at + 1);
    }
    text.push_str(&show(&input.edits));
    let mut reader = Reader::new(input.text.as_slice(), "input");
    let mut end = reader.header().map(drop);
    while end.is_ok() {
        end = match reader.entry() {
            Ok(Some(entry)) => {
                let _ = writeln!(text, "{}", entry.line);
                Ok(())
            }
            Ok(None) => break,
            Err(error) => Err(error),
        };
    }
    if let Err(error) = end {
        let _ = writeln!(text, "refused: {error}");
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let documents = DOCUMENTS.map(|(name, text)| (name.to_owned(), cut(text).as_bytes().to_vec()));
    // Document and setting; one line: place, width, space, address, value and kind.
    let changed = (0x80..0x86).map(|document| {
        (
            format!("changed-{document:02x}"),
            vec![document, 1, 1, 40, 2, 0, 1, 0, 0],
        )
    });
    documents.into_iter().chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 2000);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        assert!(
            !of("q35").contains("refused: ") && of("q35").contains("section "),
            "{}",
            of("q35")
        );
        assert!(
            of("changed-80").starts_with("setting Some(Specification)\ndocument "),
            "{}",
            of("changed-80")
        );
    }

    #[test]
    fn every_document_is_replayed() {
        for (name, text) in DOCUMENTS {
            let header = Reader::new(cut(text).as_bytes(), name).header().unwrap();
            assert!(Igd::default().machine(&header).is_ok(), "{name}");
        }
    }
}
