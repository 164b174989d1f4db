// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What i915 says in our VMM's guest and in QEMU's, with the same device: all but numbers that may differ.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What i915 says of a machine and not of a number in it.
const SUBJECT: &str = "i915 ";
/// What follows is an address, or is reckoned from one: where the machine's firmware, or our VMM, placed things.
const ADDRESSES: &[&str] = &["usable: ", "stolen-system: ", "physical addr: "];
/// What QEMU's guest alone says: ours is not shown SWSCI, the calls of which no firmware answers in a guest.
const HIDDEN: &str = "intel_opregion_setup [i915]] SWSCI ";
/// Without this the driver did not come up, and nothing is compared.
const CAME_UP: &str = "Initialized i915";

/// What one says and the other does not.
pub(super) fn failures(folder: &Path) -> Vec<String> {
    let log = |name: &str| {
        let bytes = fs::read(folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    compare(&log("serial.log"), &log("qemu.log"))
}

fn compare(ours: &str, qemus: &str) -> Vec<String> {
    let mut failures = Vec::new();
    for (who, log) in [("our VMM", ours), ("QEMU", qemus)] {
        if !log.contains(CAME_UP) {
            let last = log.lines().last().unwrap_or("nothing");
            failures.push(format!("in {who} i915 does not come up; the last words: {last}"));
        }
    }
    if !failures.is_empty() {
        return failures;
    }
    let (ours, qemus): (BTreeSet<String>, BTreeSet<String>) = (said(ours), said(qemus));
    let only = |who: &str, a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).map(|line| format!("only in {who}: {line}")).collect()
    };
    let (hidden, qemus): (BTreeSet<String>, _) = qemus.into_iter().partition(|line| line.contains(HIDDEN));
    if hidden.is_empty() {
        failures.push("in QEMU i915 finds no SWSCI, which the device has".to_owned());
    }
    failures.extend(only("our VMM", &ours, &qemus));
    failures.extend(only("QEMU", &qemus, &ours));
    failures
}

/// The lines of the driver without times and addresses.
fn said(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| {
        let line = line.get(line.find(SUBJECT)?..)?;
        let cut = ADDRESSES
            .iter()
            .filter_map(|words| Some(line.find(words)? + words.len()));
        let end = cut.min().unwrap_or(line.len());
        line.get(..end).map(|line| line.trim_end().to_owned())
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "[    9.009653] i915 0000:00:02.0: [drm:x [i915]] Memory reserved: 32768K, usable: 540672K\n\
        [    9.161929] i915 0000:00:02.0: [drm:x [i915]] Found SunrisePoint PCH\n\
        [   11.532689] [drm] Initialized i915 1.6.0 for 0000:00:02.0 on minor 0\n";

    const SWSCI: &str = "[    9.0] i915 0000:00:02.0: [drm:intel_opregion_setup [i915]] SWSCI supported\n";

    /// As QEMU's guest has it.
    fn shown(log: &str) -> String {
        [log, SWSCI].concat()
    }

    #[test]
    fn times_and_addresses_do_not_count() {
        let other = shown(LOG).replace("9.009653", "7.1").replace("540672K", "1K");
        assert_eq!(compare(LOG, &other), [""; 0]);
    }

    #[test]
    fn a_guest_of_ours_sees_no_swsci() {
        assert_eq!(compare(&shown(LOG), &shown(LOG)).len(), 1);
        assert_eq!(compare(LOG, LOG).len(), 1, "the device has it");
    }

    #[test]
    fn what_one_alone_says_is_told() {
        let other = shown(LOG).replace("SunrisePoint", "Cannon Lake");
        let failures = compare(LOG, &other);
        assert_eq!(failures.len(), 2);
        assert!(failures[0].starts_with("only in our VMM: i915 0000:00:02.0: [drm:x [i915]] Found Sunrise"));
        assert!(failures[1].starts_with("only in QEMU: "));
        let fewer = shown(LOG).replace("32768K", "16384K");
        assert_eq!(compare(LOG, &fewer).len(), 2, "the size does");
    }

    #[test]
    fn a_driver_that_does_not_come_up_is_no_agreement() {
        assert_eq!(compare("", "").len(), 2);
        assert_eq!(
            compare(LOG, "i915 x\n"),
            ["in QEMU i915 does not come up; the last words: i915 x"]
        );
    }
}
