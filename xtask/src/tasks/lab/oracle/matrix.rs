// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The sets of options that QEMU and our VMM are both given.

/// Slots of the machine where the device is with a ROM, and without one.
pub(super) const WITH_ROM: &str = "02.0";
pub(super) const WITHOUT_ROM: &str = "05.0";
/// The device's ROM as a file, in the machine.
pub(super) const ROM_FILE: &str = "/lab/oracle/rom.bin";

/// One set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) machine: &'static str,
    /// Where the guest finds the device.
    pub(super) slot: u8,
    /// Options of the device, in the words that both take.
    pub(super) options: String,
}

/// One value of an option: its part of the name, and what is said.
type Choice = (&'static str, &'static str);

const MACHINES: &[&str] = &["pc", "q35"];
const LEGACY: &[Choice] = &[
    ("auto", ""),
    ("on", ",x-igd-legacy-mode=on"),
    ("off", ",x-igd-legacy-mode=off"),
];
const OPREGION: &[Choice] = &[("opregion", ",x-igd-opregion=on"), ("bare", ",x-igd-opregion=off")];
const GMS: &[Choice] = &[("host", ""), ("gms2", ",x-igd-gms=2")];
const ROM: &[Choice] = &[("rom", ""), ("norom", ""), ("romfile", ",romfile=/lab/oracle/rom.bin")];

/// What is beside the matrix: machine, name, slot, options.
const MORE: &[(&str, &str, u8, &str)] = &[
    ("pc", "defaults", 2, ""),
    ("q35", "defaults", 2, ""),
    ("pc", "lpc", 2, ",x-igd-legacy-mode=off,x-igd-lpc=on"),
    (
        "pc",
        "lpc-bare",
        2,
        ",x-igd-legacy-mode=off,x-igd-opregion=off,x-igd-lpc=on",
    ),
    ("pc", "lpc-off", 2, ",x-igd-lpc=off"),
    ("q35", "lpc", 2, ",x-igd-lpc=on"),
    ("q35", "lpc-off", 2, ",x-igd-lpc=off"),
    ("pc", "slot3", 3, ""),
    ("pc", "slot3-on", 3, ",x-igd-legacy-mode=on"),
    ("pc", "slot3-lpc", 3, ",x-igd-lpc=on"),
    ("q35", "slot3", 3, ""),
    ("pc", "rom-hidden", 2, ",rombar=0"),
    ("pc", "rom-empty", 2, ",romfile="),
    ("pc", "norom-hidden", 2, ",host=0000:00:05.0,rombar=0"),
    ("pc", "norom-empty", 2, ",host=0000:00:05.0,romfile="),
    (
        "pc",
        "romfile-hidden",
        2,
        ",host=0000:00:05.0,rombar=0,romfile=/lab/oracle/rom.bin",
    ),
    ("pc", "vga", 2, ",x-igd-legacy-mode=off,x-vga=on"),
    ("q35", "vga", 2, ",x-vga=on"),
    ("pc", "gms-0x10", 2, ",x-igd-gms=0x10"),
    ("pc", "gms-0x11", 2, ",x-igd-gms=0x11"),
    ("pc", "gms-0x40", 2, ",x-igd-gms=0x40"),
    ("pc", "gms-0x41", 2, ",x-igd-gms=0x41"),
    ("q35", "gms-0xf0", 2, ",x-igd-gms=0xf0"),
    ("q35", "gms-0xfe", 2, ",x-igd-gms=0xfe"),
    ("q35", "gms-0xff", 2, ",x-igd-gms=0xff"),
];

/// Every set.
pub(super) fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for machine in MACHINES.iter().copied() {
        for legacy in LEGACY {
            for opregion in OPREGION {
                for gms in GMS {
                    for rom in ROM {
                        let choices = [legacy, opregion, gms, rom];
                        let names = choices.map(|(name, _)| *name);
                        let options = choices.map(|(_, options)| *options).concat();
                        let host = if rom.0 == "rom" { WITH_ROM } else { WITHOUT_ROM };
                        runs.push(run(machine, &names.join("-"), 2, host, &options));
                    }
                }
            }
        }
    }
    runs.extend(
        MORE.iter()
            .map(|(machine, name, slot, options)| run(machine, name, *slot, WITH_ROM, options)),
    );
    runs
}

fn run(machine: &'static str, name: &str, slot: u8, host: &str, options: &str) -> Run {
    Run {
        name: format!("{machine}-{name}"),
        machine,
        slot,
        options: format!("host=0000:00:{host},addr={slot:02x}.0{options}"),
    }
}

/// The sets for the step: `NAME MACHINE SLOT OPTIONS` a line.
pub(super) fn list(runs: &[Run]) -> String {
    let line = |run: &Run| format!("{} {} {} {}\n", run.name, run.machine, run.slot, run.options);
    runs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_there_once() {
        let runs = runs();
        assert_eq!(runs.len(), 2 * 3 * 2 * 2 * 3 + MORE.len());
        for (index, run) in runs.iter().enumerate() {
            assert!(!run.name.contains(' ') && !run.options.contains(' '), "{run:?}");
            let is_same = |other: &Run| other.name == run.name || other.options == run.options;
            let same = runs
                .iter()
                .position(|other| other.machine == run.machine && is_same(other));
            // What is said by default is said again in words.
            assert_eq!(same, Some(index), "{run:?}");
        }
        assert!(runs.iter().any(|run| run.options.ends_with(ROM_FILE)));
    }

    #[test]
    fn a_line_has_four_words() {
        let list = list(&runs());
        assert!(list.lines().all(|line| line.split(' ').count() == 4));
        assert!(list.starts_with("pc-auto-opregion-host-rom pc 2 host=0000:00:02.0,addr=02.0,x-igd-opregion=on\n"));
    }
}
