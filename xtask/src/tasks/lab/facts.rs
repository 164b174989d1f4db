// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Comparison of two facts files: every difference is known, and every known difference is there.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

/// Members that hold bytes.
const BYTES: &[&str] = &[
    "device.config",
    "device.opregion",
    "device.host_bridge",
    "device.lpc_bridge",
    "device.rom.image",
];
/// Most bytes of a member.
const MAX: usize = 1 << 20;

/// A difference that the machine between makes.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Members by their names, with dots between.
    pub(super) path: &'static str,
    /// Which bytes of it; all of it, if empty.
    pub(super) bytes: Range<usize>,
    pub(super) now: Now,
    pub(super) why: &'static str,
}

/// What is there instead.
#[derive(Clone, Copy, Debug)]
pub(super) enum Now {
    /// Something else.
    Other,
    /// The number and so much more, in little-endian bytes.
    Plus(u64),
    /// These bytes come first.
    Starts(&'static [u8]),
    /// This text.
    Text(&'static str),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Member {
    Text(String),
    Bytes(Vec<u8>),
}

/// What differs between `found` and `expected` and should not, or should and does not.
pub(super) fn differences(found: &Value, expected: &Value, known: &[Known]) -> Vec<String> {
    let (found, expected) = (members(found), members(expected));
    let mut failures = Vec::new();
    let mut is_used = vec![false; known.len()];
    let paths: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    for path in paths {
        let pair = (found.get(path), expected.get(path));
        match pair {
            (Some(found), Some(expected)) if found == expected => {}
            (Some(Member::Bytes(found)), Some(Member::Bytes(expected))) => {
                failures.extend(bytes(path, found, expected, known, &mut is_used));
            }
            (found, expected) => {
                let row = known.iter().position(|row| row.path == path.as_str());
                let is_as_known = row.is_some_and(|row| is_whole(known.get(row), found));
                if let Some(used) = row.and_then(|row| is_used.get_mut(row)) {
                    *used = true;
                }
                if !is_as_known {
                    failures.push(format!("{path} is {} instead of {}", shown(found), shown(expected)));
                }
            }
        }
    }
    for (row, _) in known.iter().zip(is_used).filter(|(_, is_used)| !is_used) {
        failures.push(format!("{} differs no longer, as it did because {}", row.path, row.why));
    }
    failures
}

fn is_whole(row: Option<&Known>, found: Option<&Member>) -> bool {
    match (row.map(|row| row.now), found) {
        (Some(Now::Other), _) => true,
        (Some(Now::Text(text)), Some(Member::Text(found))) => text == found,
        _ => false,
    }
}

fn bytes(path: &str, found: &[u8], expected: &[u8], known: &[Known], is_used: &mut [bool]) -> Vec<String> {
    let mut failures = Vec::new();
    if found.len() != expected.len() {
        failures.push(format!(
            "{path} has {:#x} bytes instead of {:#x}",
            found.len(),
            expected.len()
        ));
    }
    let covers = |row: &Known, at: usize| row.path == path && (row.bytes.is_empty() || row.bytes.contains(&at));
    let mut unknown = Vec::new();
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        if a == b {
            continue;
        }
        match known.iter().position(|row| covers(row, at)) {
            Some(row) => {
                if let Some(used) = is_used.get_mut(row) {
                    *used = true;
                }
            }
            None => unknown.push(format!("{at:#x}: {a:02x}, not {b:02x}")),
        }
    }
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(8);
        unknown.truncate(8);
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        failures.push(format!("{path} at {}{more}", unknown.join(", ")));
    }
    for row in known.iter().filter(|row| row.path == path) {
        let range = if row.bytes.is_empty() {
            0..found.len()
        } else {
            row.bytes.clone()
        };
        let (now, was) = (found.get(range.clone()), expected.get(range.clone()));
        let is_right = match (row.now, now, was) {
            (Now::Other, ..) => true,
            (Now::Starts(start), Some(now), _) => now.starts_with(start),
            (Now::Plus(more), Some(now), Some(was)) => number(now) == number(was).wrapping_add(more),
            _ => false,
        };
        if !is_right {
            failures.push(format!(
                "{path} at {:#x} is {:02x?}, not as it should be because {}",
                range.start,
                now.map(|now| now.get(..8).unwrap_or(now)).unwrap_or_default(),
                row.why
            ));
        }
    }
    failures
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn shown(member: Option<&Member>) -> String {
    match member {
        None => "absent".to_owned(),
        Some(Member::Text(text)) => text.chars().take(100).collect(),
        Some(Member::Bytes(bytes)) => format!("{:#x} bytes", bytes.len()),
    }
}

/// The members of objects by their paths. Lists are text.
fn members(value: &Value) -> BTreeMap<String, Member> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![(String::new(), value)];
    while let Some((path, value)) = waiting.pop() {
        match value {
            Value::Object(object) => {
                let join = |name: &String| {
                    if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    }
                };
                waiting.extend(object.iter().map(|(name, value)| (join(name), value)));
            }
            Value::String(text) if BYTES.contains(&path.as_str()) => {
                let member = unpacked(text).map_or_else(|| Member::Text(text.clone()), Member::Bytes);
                found.insert(path, member);
            }
            Value::String(text) => {
                found.insert(path, Member::Text(text.clone()));
            }
            other => {
                found.insert(path, Member::Text(other.to_string()));
            }
        }
    }
    found
}

/// Bytes as facts write them: hexadecimal digits, and `00*12` for twelve zeros.
pub(super) fn unpacked(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, count) = word.split_once('*').unwrap_or((word, "1"));
        let count: usize = count.parse().ok()?;
        let run: Option<Vec<u8>> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let run = run.filter(|run| run.len().saturating_mul(count).saturating_add(bytes.len()) <= MAX)?;
        bytes.extend(run.repeat(count));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known(path: &'static str, bytes: Range<usize>, now: Now) -> Known {
        Known {
            path,
            bytes,
            now,
            why: "of a test",
        }
    }

    #[test]
    fn bytes_are_unpacked() {
        assert_eq!(unpacked("8680 00*3 ff"), Some(vec![0x86, 0x80, 0, 0, 0, 0xff]));
        assert_eq!(unpacked(""), Some(vec![]));
        for wrong in ["8", "zz", "00*x", "00*99999999999", "€€"] {
            assert_eq!(unpacked(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn equal_facts_differ_in_nothing() {
        let facts = json!({ "device": { "config": "8680 00*4", "bars": [1, 2] }, "machine": { "bits": null } });
        assert_eq!(differences(&facts, &facts, &[]), [""; 0]);
    }

    #[test]
    fn a_difference_has_to_be_known_and_as_it_is_known() {
        let was = json!({ "device": { "config": "00*8", "vga": "no" } });
        let now = json!({ "device": { "config": "00*4 0030 00*2", "vga": "yes" } });
        let rows = |now| {
            vec![
                known("device.config", 4..8, now),
                known("device.vga", 0..0, Now::Text("yes")),
            ]
        };
        assert_eq!(differences(&now, &was, &rows(Now::Plus(0x3000))), [""; 0]);
        assert_eq!(differences(&now, &was, &rows(Now::Starts(&[0, 0x30]))), [""; 0]);
        let wrong = differences(&now, &was, &rows(Now::Plus(0x2000)));
        assert!(wrong[0].contains("device.config at 0x4"), "{wrong:?}");
        let wrong = differences(&now, &was, &[]);
        assert!(wrong[0].contains("0x5: 30, not 00"), "{wrong:?}");
        assert_eq!(wrong[1], "device.vga is yes instead of no");
        let wrong = differences(&was, &was, &rows(Now::Other));
        assert!(wrong.len() == 2 && wrong[0].contains("differs no longer"), "{wrong:?}");
    }

    #[test]
    fn something_absent_and_something_shorter_are_differences() {
        let was = json!({ "device": { "opregion": "00*8", "rom": { "image": "55aa" } } });
        let now = json!({ "device": { "opregion": "00*4", "rom": { "absent": "none" } } });
        let wrong = differences(&now, &was, &[]);
        assert!(wrong[0].contains("0x4 bytes instead of 0x8"), "{wrong:?}");
        assert_eq!(wrong.len(), 3);
    }
}
