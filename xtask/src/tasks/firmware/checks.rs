// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What has to come out of a run.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::scenarios::{Like, Scenario};
use super::{Files, Place};

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
        failures.push(format!("exit code {code:?} instead of {}: {last}", scenario.code));
    }
    if !scenario.is_placed {
        return failures;
    }
    let (status, log) = (text(&files.status), text(&files.log));
    let (asls, bdsm) = (field(&status, "asls"), field(&status, "bdsm"));
    if scenario.is_told {
        let pairs = [("ASLS", asls, told(&log, OPREGION)), ("BDSM", bdsm, told(&log, BDSM))];
        for (name, found, expected) in pairs {
            if found.is_none() || found != expected {
                failures.push(format!("{name} is {found:x?}, SeaBIOS says {expected:x?}"));
            }
        }
    }
    match (asls, bdsm.map(|bdsm| bdsm & BDSM_BITS)) {
        (Some(asls), Some(bdsm)) => {
            for (name, address) in [("the OpRegion", asls), ("stolen memory", bdsm)] {
                if !is_reserved(&log, address) {
                    failures.push(format!(
                        "{name} at {address:#x} is not reserved in SeaBIOS's memory map"
                    ));
                }
            }
        }
        _ => failures.push("ASLS or BDSM is not set".to_owned()),
    }
    failures.extend(opregion(scenario, files));
    if let Some(like) = &scenario.like {
        failures.extend(unlike(like, files, place));
    }
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
fn field(status: &str, name: &str) -> Option<u64> {
    let (_, rest) = status.split_once(&format!("\"{name}\": \""))?;
    number(rest)
}

/// The address that SeaBIOS says.
fn told(log: &str, before: &str) -> Option<u64> {
    let (_, rest) = log.split_once(before)?;
    number(rest)
}

/// Whether SeaBIOS's memory map, `N: START - END = KIND NAME`, reserves this address.
fn is_reserved(log: &str, address: u64) -> bool {
    let entries = log.lines().filter_map(|line| {
        let (range, kind) = line.split_once(" = ")?;
        let (_, range) = range.split_once(": ")?;
        let (start, end) = range.split_once(" - ")?;
        Some((number(start)?, number(end)?, kind.starts_with('1')))
    });
    let mut covering = entries.filter(|(start, end, _)| (*start..*end).contains(&address));
    covering.next().is_some_and(|(_, _, is_ram)| !is_ram)
}

/// Compares guest memory at ASLS with what the guest was to get: by `fw_cfg`, as the trace's header has it.
fn opregion(scenario: &Scenario, files: &Files) -> Option<String> {
    let memory = fs::read(&files.opregion).unwrap_or_default();
    if !scenario.is_told {
        let is_one = memory.starts_with(b"IntelGraphicsMem");
        return (!is_one).then(|| "no OpRegion lies at ASLS".to_owned());
    }
    let trace = text(&files.trace);
    let line = trace.lines().find(|line| line.contains(" etc/igd-opregion 0x"))?;
    let digits = line.rsplit("0x").next()?.as_bytes();
    let digit = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let file: Option<Vec<u8>> = digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    let file = file.unwrap_or_default();
    let is_same = !file.is_empty() && memory.starts_with(&file);
    (!is_same).then(|| format!("guest memory at ASLS is not the OpRegion of {} bytes", file.len()))
}

fn unlike(like: &Like, files: &Files, place: &Place) -> Option<String> {
    let recorded = place.traces.join(format!("{}.trace", like.trace));
    let mut command = Command::new(&place.conformance);
    command.arg("compare").arg("--common").arg(&files.trace).arg(recorded);
    for name in like.ignored {
        command.args(["--ignore", name]);
    }
    for name in like.values {
        command.args(["--any-value", name]);
    }
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<&str> = said.lines().filter(|line| line.contains("differs")).collect();
            Some(format!("not as in {}: {}", like.trace, lines.join("; ")))
        }
        Err(error) => Some(format!("igd-conformance compare: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Intel IGD OpRegion enabled at 0x1fffc000, size 16KB, dev 00:02.0\n\
        e820 map has 2 items:\n  0: 0000000000000000 - 000000001cf00000 = 1 RAM\n  \
        1: 000000001cf00000 - 000000001ef00000 = 2 RESERVED\n";

    #[test]
    fn addresses_are_found() {
        assert_eq!(told(LOG, OPREGION), Some(0x1fff_c000));
        assert_eq!(told(LOG, BDSM), None);
        assert_eq!(field("{\n  \"asls\": \"0x1fffc000\",\n", "asls"), Some(0x1fff_c000));
        assert_eq!(field("{\n  \"asls\": null\n", "asls"), None);
    }

    #[test]
    fn the_memory_map_is_read() {
        assert!(is_reserved(LOG, 0x1cf0_0000));
        assert!(!is_reserved(LOG, 0x1cef_ffff), "RAM");
        assert!(!is_reserved(LOG, 0x2000_0000), "in no entry");
    }
}
