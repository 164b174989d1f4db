// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scripted sequences.
//!
//! The order of draws from the generator and of accesses is part of what a seed stands for: a change here makes the
//! corpus impossible to record again.

mod bridge;
mod cfg1;
mod ecam;
mod fuzz;
mod fwcfg;
mod fwcfg_dma;
mod fwcfg_random;
mod igd;
mod igd_random;
mod pam;
mod pci;
mod pcidev;
mod pcidev_bars;
mod pcidev_caps;

use super::options::Options;
use super::recorder::{Recorded, Recorder};

pub(super) use fwcfg::files as fwcfg_files;

/// A scripted sequence.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&mut Recorder<'_>, &Options) -> Recorded,
    pub(super) needs: Needs,
}

/// What QEMU is started with besides machine and devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// Firmware of known content.
    Firmware,
    /// `fw_cfg` items of known content.
    Items,
}

/// All suites, by name.
pub(super) const SUITES: [Suite; 9] = [
    Suite {
        name: "bridge",
        about: "Config space of a fixed function: dump, masks, reset.",
        run: bridge::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "cfg1",
        about: "Configuration mechanism #1: ports 0xCF8 to 0xCFF.",
        run: cfg1::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "ecam",
        about: "PCIEXBAR of the q35 host bridge and accesses through the window.",
        run: ecam::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "fuzz",
        about: "Only the pseudo-random config accesses to one function.",
        run: fuzz::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "fwcfg",
        about: "fw_cfg on ports 0x510 to 0x51B: selector, data, directory, DMA.",
        run: fwcfg::run,
        needs: Needs::Items,
    },
    Suite {
        name: "i440fx-pam",
        about: "Shadow RAM and SMRAM of the i440FX host bridge.",
        run: pam::i440fx,
        needs: Needs::Firmware,
    },
    Suite {
        name: "igd",
        about: "QEMU's quirks for an assigned Intel graphics function.",
        run: igd::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "pcidev",
        about: "BARs, decode, capabilities and write masks of one function.",
        run: pcidev::run,
        needs: Needs::Nothing,
    },
    Suite {
        name: "q35-pam",
        about: "Shadow RAM and SMRAM of the q35 host bridge.",
        run: pam::q35,
        needs: Needs::Firmware,
    },
];

impl Suite {
    /// The suite of that name.
    pub(super) fn find(name: &str) -> Result<&'static Self, String> {
        SUITES.iter().find(|suite| suite.name == name).ok_or_else(|| {
            let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            format!("there is no suite {name:?}, only {}", names.join(", "))
        })
    }
}
