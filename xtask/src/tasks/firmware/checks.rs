// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What has to come out of a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::scenarios::{Like, Placed, Scenario};
use super::{Files, LAST_WORDS, Place};

const OPREGION: &str = "IGD OpRegion enabled at ";
const BDSM: &str = "IGD BDSM enabled at ";
/// BDSM without its lock bit and reserved bits.
const BDSM_BITS: u64 = !0xf_ffff;

/// What is not as expected, with the values.
pub(super) fn failures(scenario: &Scenario, code: Option<i32>, files: &Files, place: &Place) -> Vec<String> {
    let mut failures = Vec::new();
    if code != Some(scenario.code) {
        let errors = text(&files.errors);
        let last = errors.lines().last().unwrap_or("it said nothing");
        let code = code.map_or("none, it was killed".to_owned(), |code| code.to_string());
        failures.push(format!("exit code {code} instead of {}: {last}", scenario.code));
    }
    let (status, log) = (text(&files.status), text(&files.log));
    let status: Value = serde_json::from_str(&status).unwrap_or_default();
    let end = status.get("end").and_then(Value::as_str).unwrap_or("unknown");
    if end != scenario.end {
        failures.push(format!("it ended as {end} instead of {}", scenario.end));
    }
    match &scenario.placed {
        Some(placed) => {
            let artefacts = Artefacts {
                opregion: &files.opregion,
                host_opregion: &files.host_opregion,
            };
            failures.extend(misplaced(placed, &status, &log, artefacts));
        }
        None if log.contains(LAST_WORDS) => failures.push("SeaBIOS was through before".to_owned()),
        None => {}
    }
    if let Some(like) = &scenario.like {
        failures.extend(unlike(like, files, place));
    }
    failures
}

/// The OpRegion in the guest and in the host.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks) struct Artefacts<'a> {
    /// Guest memory at ASLS.
    pub(in crate::tasks) opregion: &'a Path,
    /// The OpRegion that the device has.
    pub(in crate::tasks) host_opregion: &'a Path,
}

/// What does not lie where it has to in guest memory.
pub(in crate::tasks) fn misplaced(placed: &Placed, status: &Value, log: &str, files: Artefacts<'_>) -> Vec<String> {
    let mut failures = Vec::new();
    let (asls, bdsm) = (field(status, "asls"), field(status, "bdsm"));
    let said = [("ASLS", asls, told(log, OPREGION)), ("BDSM", bdsm, told(log, BDSM))];
    for (name, found, said) in said {
        let expected = if placed.is_told { found } else { None };
        if found.is_none() || said != expected {
            failures.push(format!("{name} is {found:x?}, SeaBIOS says {said:x?}"));
        }
    }
    let size = format!(", size {}MB,", placed.stolen_mib);
    if placed.is_told && !log.lines().any(|line| line.contains(BDSM) && line.contains(&size)) {
        failures.push(format!(
            "SeaBIOS does not say that stolen memory has {} MiB",
            placed.stolen_mib
        ));
    }
    let opregion = fs::read(files.host_opregion).unwrap_or_default();
    let base = bdsm.map(|bdsm| bdsm & BDSM_BITS);
    let ranges = [
        ("the OpRegion", asls, opregion.len() as u64),
        ("stolen memory", base, placed.stolen_mib << 20),
    ];
    for (name, start, len) in ranges {
        let Some(start) = start.filter(|start| *start != 0) else {
            failures.push(format!("{name} is nowhere"));
            continue;
        };
        if !is_reserved(log, start, len) {
            failures.push(format!(
                "{name}, {len:#x} bytes at {start:#x}, is not reserved in SeaBIOS's memory map"
            ));
        }
    }
    if let Some(expected) = placed.base.filter(|expected| base != Some(*expected)) {
        failures.push(format!("stolen memory is at {base:x?} instead of {expected:#x}"));
    }
    failures.extend(altered(&opregion, placed.cleared, files.opregion));
    failures
}

fn text(path: &Path) -> String {
    fs::read(path).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A hexadecimal number.
fn number(text: &str) -> Option<u64> {
    let digits = text.trim_start_matches("0x");
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    u64::from_str_radix(digits.get(..end)?, 16).ok()
}

/// The address in a field of the status.
fn field(status: &Value, name: &str) -> Option<u64> {
    number(status.get(name)?.as_str()?)
}

/// The address that SeaBIOS says.
fn told(log: &str, before: &str) -> Option<u64> {
    let (_, rest) = log.split_once(before)?;
    number(rest)
}

/// Whether SeaBIOS's memory map, `N: START - END = KIND NAME`, reserves all of this range.
fn is_reserved(log: &str, start: u64, len: u64) -> bool {
    let entries = log.lines().filter_map(|line| {
        let (range, kind) = line.split_once(" = ")?;
        let (_, range) = range.split_once(": ")?;
        let (start, end) = range.split_once(" - ")?;
        Some((number(start)?, number(end)?, kind.starts_with('1')))
    });
    // The map is sorted.
    let mut at = start;
    for (from, to, is_ram) in entries {
        if !is_ram && (from..to).contains(&at) {
            at = to;
        }
    }
    len != 0 && at.checked_sub(start).is_some_and(|reserved| reserved >= len)
}

/// Compares guest memory at ASLS with the OpRegion of the device, which the simulator wrote to a file.
fn altered(host: &[u8], cleared: &[(usize, u8)], dump: &Path) -> Option<String> {
    if !host.starts_with(b"IntelGraphicsMem") {
        return Some("igd-sim gave no OpRegion to compare with".to_owned());
    }
    let mut expected = host.to_vec();
    for (offset, bits) in cleared {
        if let Some(byte) = expected.get_mut(*offset) {
            *byte &= !bits;
        }
    }
    let found = fs::read(dump).unwrap_or_default();
    if found.len() != expected.len() {
        return Some(format!(
            "{} bytes of guest memory at ASLS, not {}",
            found.len(),
            expected.len()
        ));
    }
    let at = found
        .iter()
        .zip(&expected)
        .position(|(found, expected)| found != expected)?;
    Some(format!("guest memory at ASLS is not the OpRegion from {at:#x} on"))
}

fn unlike(like: &Like, files: &Files, place: &Place) -> Option<String> {
    let recorded = place.traces.join(format!("{}.trace", like.trace));
    let mut command = Command::new(&place.conformance);
    command.arg("compare").arg(&files.trace).arg(recorded);
    for name in like.ignored {
        command.args(["--ignore", name]);
    }
    for name in like.values {
        command.args(["--any-value", name]);
    }
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let (said, errors) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            let is_told = |line: &&str| line.contains("differs at") || line.contains("only in");
            let lines: Vec<&str> = said.lines().filter(is_told).chain(errors.lines()).collect();
            Some(format!("not as in {}: {}", like.trace, lines.join("; ")))
        }
        Err(error) => Some(format!("igd-conformance compare: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Intel IGD OpRegion enabled at 0x1fffc000, size 16KB, dev 00:02.0\n\
        e820 map has 3 items:\n  0: 0000000000000000 - 000000001cf00000 = 1 RAM\n  \
        1: 000000001cf00000 - 000000001ef00000 = 2 RESERVED\n  \
        2: 000000001ef00000 - 000000001f000000 = 3 ACPI\n";

    #[test]
    fn addresses_are_found() {
        assert_eq!(told(LOG, OPREGION), Some(0x1fff_c000));
        assert_eq!(told(LOG, BDSM), None);
        let status = serde_json::json!({ "asls": "0x1fffc000", "bdsm": null });
        assert_eq!(field(&status, "asls"), Some(0x1fff_c000));
        assert_eq!(field(&status, "bdsm"), None);
        assert_eq!(field(&status, "bars"), None);
    }

    #[test]
    fn the_memory_map_is_read() {
        assert!(is_reserved(LOG, 0x1cf0_0000, 32 << 20));
        assert!(is_reserved(LOG, 0x1cf0_0000, 33 << 20), "the entry after it follows on");
        assert!(!is_reserved(LOG, 0x1cf0_0000, 34 << 20), "the end is in no entry");
        assert!(!is_reserved(LOG, 0x1cef_ffff, 2), "RAM");
        assert!(!is_reserved(LOG, 0x2000_0000, 1), "in no entry");
        assert!(!is_reserved(LOG, 0x1cf0_0000, 0), "nothing to reserve is a mistake");
    }

    #[test]
    fn an_opregion_has_to_be_the_same_but_for_what_is_stated() {
        let folder = std::env::temp_dir().join(format!("igd-xtask-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let dump = folder.join("dump");
        let mut host = b"IntelGraphicsMem".to_vec();
        host.resize(0x100, 0xff);
        let mut guest = host.clone();
        guest[0x58] = 0xfd;
        fs::write(&dump, &guest).unwrap();
        assert_eq!(altered(&host, &[(0x58, 2)], &dump), None);
        assert!(altered(&host, &[], &dump).unwrap().contains("0x58"));
        fs::write(&dump, &guest[..0x80]).unwrap();
        assert!(altered(&host, &[(0x58, 2)], &dump).unwrap().contains("128 bytes"));
        fs::remove_dir_all(&folder).unwrap();
        assert!(altered(&host, &[], &dump).is_some(), "no dump");
        assert!(altered(&[], &[], &dump).is_some(), "nothing to compare with");
    }
}
