// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Facts files: what is accepted is written and read back equal, and redaction removes what it promises.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_quirks::facts::{Bytes, HostFacts};
use igd_quirks::opregion::{OpRegion, VbtPlace};
use igd_quirks::options::Options;
use igd_quirks::plan::{Provisioning, plan};
use igd_quirks::policy::Policy;
use serde_json::Value;

use crate::Target;
use crate::util::{Edit, apply, edits, field, put, rarely, show};

/// The target.
pub const TARGET: Target = Target {
    name: "facts_file",
    package: "igd-quirks",
    summary: "facts files: what is accepted is written and read back equal, and redaction removes what it promises",
    run,
    describe,
    seeds,
};

const DOCUMENTS: [(&str, &str); 6] = [
    (
        "kbl-laptop",
        include_str!("../../../igd-quirks/examples/facts/kbl-laptop.json"),
    ),
    (
        "tgl-laptop",
        include_str!("../../../igd-quirks/examples/facts/tgl-laptop.json"),
    ),
    (
        "mtl-laptop",
        include_str!("../../../igd-quirks/examples/facts/mtl-laptop.json"),
    ),
    (
        "rpl-q35",
        include_str!("../../../igd-quirks/examples/facts/rpl-q35.json"),
    ),
    (
        "discrete-card",
        include_str!("../../../igd-quirks/examples/facts/discrete-card.json"),
    ),
    (
        "unknown-id",
        include_str!("../../../igd-quirks/examples/facts/unknown-id.json"),
    ),
];
/// Texts in place of a value.
const TEXTS: [&str; 14] = [
    "0x0",
    "0xffffffffffffffff",
    "0x10000000000000000",
    "-1",
    "65536",
    "0x03ab00",
    "00*4096",
    "00*1048577",
    "ff*256 00*18446744073709551615",
    "0",
    "",
    "q35",
    "4d*16",
    "0x4c800001",
];
/// Bytes of an OpRegion that redaction clears: version strings of BIOS, VBIOS and driver, and the panel's EDID.
const STRINGS: core::ops::Range<usize> = 0x18..0x58;
const EDID: core::ops::Range<usize> = 0x1c04..0x1d04;
const SERIAL_NUMBER: u16 = 3;

/// A change of a document: which of its values, and what comes there.
#[derive(Clone, Debug)]
enum Change {
    Text(usize, String),
    Remove(usize),
    Other(usize, Value),
    /// An OpRegion or configuration space in the place of a value, with these edits.
    OpRegion(usize, Vec<Edit>),
    Capabilities(usize, Vec<(u16, u16)>),
}

#[derive(Clone, Debug)]
struct Input {
    text: Vec<u8>,
    document: Option<&'static str>,
    changes: Vec<Change>,
    edits: Vec<Edit>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        // A file starts with a brace or a space; others choose a document.
        if data
            .first()
            .is_none_or(|first| first.is_ascii_graphic() || *first == b' ')
        {
            return Ok(Self {
                text: data.to_vec(),
                document: None,
                changes: Vec::new(),
                edits: Vec::new(),
            });
        }
        let index: u8 = u.arbitrary()?;
        let (name, text) = DOCUMENTS
            .get(usize::from(index) % DOCUMENTS.len())
            .copied()
            .unwrap_or_default();
        let mut document: Value = serde_json::from_str(text).unwrap_or_default();
        let mut changes = Vec::new();
        for _ in 0..u.int_in_range(0..=6_u8)? {
            let change = Change::read(&mut u, count(&document))?;
            change.carry_out(&mut document);
            changes.push(change);
        }
        let mut text = document.to_string().into_bytes();
        let edits = if rarely(&mut u, 3)? {
            edits(&mut u, text.len())?
        } else {
            Vec::new()
        };
        apply(&mut text, &edits);
        Ok(Self {
            text,
            document: Some(name),
            changes,
            edits,
        })
    }
}

impl Change {
    fn read(u: &mut Unstructured<'_>, values: usize) -> Result<Self> {
        let at = u.int_in_range(0..=values)?;
        Ok(match u.int_in_range(0..=7_u8)? {
            0..2 => Self::Text(at, (*u.choose(&TEXTS)?).to_owned()),
            2 => Self::Text(at, u.int_in_range(0..=u64::MAX)?.to_string()),
            3 => Self::Remove(at),
            4 => Self::Other(at, u.arbitrary::<bool>()?.into()),
            5 => Self::Other(at, u.arbitrary::<i64>()?.into()),
            6 => Self::OpRegion(at, edits(u, 0x2000)?),
            _ => {
                let count = u.int_in_range(0..=6_u8)?;
                let capability =
                    |u: &mut Unstructured<'_>| Ok((u.int_in_range(0..=8)?, u.int_in_range(0..=0xfff)? & !3));
                Self::Capabilities(at, (0..count).map(|_| capability(u)).collect::<Result<_>>()?)
            }
        })
    }

    fn carry_out(&self, document: &mut Value) {
        match self {
            Self::Text(at, text) => replace(document, *at, |value| *value = text.as_str().into()),
            Self::Other(at, other) => replace(document, *at, |value| *value = other.clone()),
            Self::Remove(at) => replace(document, *at, |value| match value {
                Value::Object(map) => map.clear(),
                Value::Array(list) => list.clear(),
                other => *other = Value::Null,
            }),
            Self::OpRegion(at, edits) => {
                let table = igd_sim::vbt::build("FUZZ", 0x1b00);
                let mut bytes = vec![0x41; 0x2000];
                put(&mut bytes, 0, b"IntelGraphicsMem\x08\0\0\0\0\0\0\x01");
                put(&mut bytes, 0x58, &[0x0d, 0, 0, 0]);
                put(&mut bytes, 0x400, &table);
                apply(&mut bytes, edits);
                let path = if at % 2 == 0 { "opregion" } else { "config" };
                device(document, path, &bytes);
            }
            Self::Capabilities(at, list) => {
                let mut bytes = vec![0xee; 4096];
                let mut place = 0x100;
                for (id, next) in list {
                    let header = u32::from(*id) | 1 << 16 | u32::from(*next) << 20;
                    put(&mut bytes, place, &header.to_le_bytes());
                    place = usize::from(*next);
                }
                put(&mut bytes, place, &[0; 4]);
                let path = ["config", "host_bridge", "lpc_bridge"]
                    .get(at % 3)
                    .copied()
                    .unwrap_or_default();
                device(document, path, &bytes);
            }
        }
    }
}

fn device(document: &mut Value, path: &str, bytes: &[u8]) {
    let text = Bytes::<{ 1 << 20 }>::new(bytes).map(|bytes| bytes.to_string());
    if let (Some(Value::Object(device)), Ok(text)) = (document.get_mut("device"), text) {
        device.insert(path.to_owned(), text.into());
    }
}

/// How many values a document has.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(map) => map.values().map(count).sum(),
        Value::Array(list) => list.iter().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value with this number, counted in depth.
fn replace(value: &mut Value, mut number: usize, change: impl FnOnce(&mut Value)) {
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        if number == 0 {
            return change(value);
        }
        number -= 1;
        match value {
            Value::Object(map) => stack.extend(map.values_mut()),
            Value::Array(list) => stack.extend(list.iter_mut()),
            _ => {}
        }
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let Ok(facts) = serde_json::from_slice::<HostFacts>(&input.text) else {
        return;
    };
    for text in [serde_json::to_string(&facts), serde_json::to_string_pretty(&facts)] {
        let text = text.unwrap_or_else(|error| panic!("not written: {error}"));
        match serde_json::from_str::<HostFacts>(&text) {
            Ok(again) => assert!(again == facts, "read back as something else:\n{text}"),
            Err(error) => panic!("not read back: {error}\n{text}"),
        }
    }
    let mut redacted = facts.clone();
    redacted.redact();
    redaction(&facts, &redacted);
    let mut twice = redacted.clone();
    twice.redact();
    assert!(twice == redacted, "a second redaction changes something");
    decision(&facts, &redacted);
}

/// What redaction clears is zero, and nothing else changed.
fn redaction(facts: &HostFacts, redacted: &HostFacts) {
    let (old, new) = (&facts.device, &redacted.device);
    let none = Bytes::default();
    let spaces = [
        ("configuration space", Some(&old.config), Some(&new.config)),
        ("host bridge", old.host_bridge.as_ref(), new.host_bridge.as_ref()),
        ("LPC bridge", old.lpc_bridge.as_ref(), new.lpc_bridge.as_ref()),
    ];
    for (name, old, new) in spaces {
        assert_eq!(old.is_some(), new.is_some(), "{name}");
        let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
        assert_eq!(old.len(), new.len(), "length of the {name}");
        let numbers = serial_numbers(old);
        for (at, (old, new)) in old.iter().zip(new.iter()).enumerate() {
            let may_go = at >= 0x104 && !numbers.places.is_empty();
            assert!(
                old == new || *new == 0 && may_go,
                "byte {at:#x} of the {name} was {old:#04x}, is {new:#04x}"
            );
            // Capabilities that lie in each other have no meaning that could be kept.
            let is_serial = numbers.places.iter().any(|start| (*start..start + 8).contains(&at));
            let expected = if is_serial { 0 } else { *old };
            assert!(
                numbers.overlap || *new == expected,
                "byte {at:#x} of the {name} was {old:#04x}, is {new:#04x}"
            );
        }
    }
    let bytes = |facts: &HostFacts| {
        facts
            .device
            .opregion
            .as_ref()
            .map_or(Vec::new(), |bytes| bytes.to_vec())
    };
    let (old, new) = (bytes(facts), bytes(redacted));
    assert_eq!(old.len(), new.len(), "length of the OpRegion");
    let vbt = OpRegion::parse(&old).ok().and_then(|region| region.vbt().ok());
    let kept = match vbt {
        Some((VbtPlace::Mailbox4, vbt)) => 0x400..0x400 + vbt.bytes().len(),
        _ => 0..0,
    };
    for (at, (old, new)) in old.iter().zip(&new).enumerate() {
        let is_hidden = STRINGS.contains(&at) || EDID.contains(&at) && !kept.contains(&at);
        let expected = if is_hidden { 0 } else { *old };
        assert_eq!(
            *new, expected,
            "byte {at:#x} of the OpRegion, which was {old:#04x}; the VBT is {kept:#x?}"
        );
    }
    let mut rest = redacted.clone();
    (rest.device.config, rest.device.opregion) = (facts.device.config.clone(), facts.device.opregion.clone());
    rest.device.host_bridge.clone_from(&facts.device.host_bridge);
    rest.device.lpc_bridge.clone_from(&facts.device.lpc_bridge);
    assert!(rest == *facts, "redaction changed more than bytes");
}

/// The serial numbers of a configuration space.
struct SerialNumbers {
    places: Vec<usize>,
    /// Whether a capability starts in a serial number, or one is met twice.
    overlap: bool,
}

fn serial_numbers(config: &[u8]) -> SerialNumbers {
    let mut found = SerialNumbers {
        places: Vec::new(),
        overlap: false,
    };
    let mut met = Vec::new();
    let mut place = 0x100;
    while place >= 0x100 && place + 4 <= config.len() && met.len() < 480 {
        let header = u32::from_le_bytes(field(config, place));
        found.overlap |= met.contains(&place);
        met.push(place);
        if header & 0xffff == u32::from(SERIAL_NUMBER) {
            found.places.push(place + 4);
        }
        place = usize::try_from(header >> 20 & 0xffc).unwrap_or(0);
    }
    let starts_inside = |at: &usize| found.places.iter().any(|start| (*start..start + 8).contains(at));
    found.overlap |= met.iter().any(starts_inside);
    found
}

/// What a plan decides does not depend on what was redacted.
fn decision(facts: &HostFacts, redacted: &HostFacts) {
    let options = Options {
        addr: pci_model::Bdf::new(0, 2, 0),
        ..Options::default()
    };
    let of = |facts| plan(facts, &options, Policy::Native, Provisioning::FwCfg);
    match (of(facts), of(redacted)) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.steps, other.steps, "steps of a plan from redacted facts");
            assert_eq!(one.device, other.device, "registers of a plan from redacted facts");
            assert_eq!(one.warnings, other.warnings, "warnings of a plan from redacted facts");
        }
        (one, other) => assert_eq!(one.err(), other.err(), "refusals of a plan from redacted facts"),
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    if let Some(name) = input.document {
        let _ = writeln!(text, "document {name}");
    }
    for change in &input.changes {
        let _ = writeln!(text, "{change:?}");
    }
    text.push_str(&show(&input.edits));
    let _ = writeln!(text, "{}", String::from_utf8_lossy(&input.text));
    match serde_json::from_slice::<HostFacts>(&input.text) {
        Ok(_) => text.push_str("accepted\n"),
        Err(error) => {
            let _ = writeln!(text, "refused: {error}");
        }
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = DOCUMENTS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect();
    // Document, count of changes; value, kind of change and what it takes.
    let changed: [(&str, &[u8]); 3] = [
        ("opregion", &[0, 1, 0, 6, 0]),
        ("serial-number", &[1, 1, 0, 7, 2, 0, 1, 0x80, 3, 0, 0]),
        ("removed", &[2, 1, 4, 3]),
    ];
    seeds.extend(changed.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())));
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 3000);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        assert!(of("kbl-laptop").ends_with("accepted\n"), "{}", of("kbl-laptop"));
        let text = of("serial-number");
        assert!(
            text.starts_with("document tgl-laptop\nCapabilities(0, [(0, 384), (3, 0)])\n"),
            "{text}"
        );
    }

    #[test]
    fn every_document_is_accepted() {
        for (name, text) in DOCUMENTS {
            assert!(serde_json::from_str::<HostFacts>(text).is_ok(), "{name}");
        }
    }
}
