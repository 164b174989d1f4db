// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which answers a trace asks for.

use std::fmt;
use std::str::FromStr;

use fwcfg::AccessRule;
use pci_model::Rules;

use crate::trace::Header;

/// A named compatibility setting of all devices of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Setting {
    /// What the specifications say.
    Specification,
    /// What QEMU 7.2 answers.
    Qemu7,
    /// What QEMU 11.1 answers.
    Qemu11,
}

/// The first name of a setting is the one it goes by. Where there is no specification, as for the registers of an
/// assigned function, our own policy stands in its place; traces about that say `native`.
const NAMES: [(Setting, &str); 4] = [
    (Setting::Specification, "specification"),
    (Setting::Specification, "native"),
    (Setting::Qemu7, "qemu-7.2"),
    (Setting::Qemu11, "qemu-11.1"),
];

/// The first major version of QEMU whose answers are those of [`Setting::Qemu11`].
const QEMU_REFUSES_UNALIGNED: u32 = 8;

impl Setting {
    /// The setting that a trace asks for: by `@compat`, else by the newest version in `@qemu`, else the specifications.
    ///
    /// # Errors
    ///
    /// `@compat` names no setting, or a version is no number.
    pub fn of(header: &Header) -> Result<Self, String> {
        if let Some(name) = header.compat() {
            return name.parse();
        }
        let mut newest = None;
        for version in &header.qemu {
            let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
            newest = newest.max(Some(
                major.ok_or_else(|| format!("@qemu {version}: not a version number"))?,
            ));
        }
        Ok(match newest {
            None => Self::Specification,
            Some(major) if major < QEMU_REFUSES_UNALIGNED => Self::Qemu7,
            Some(_) => Self::Qemu11,
        })
    }

    /// The name, as in `@compat`.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(setting, _)| *setting == self)
            .map_or("", |(_, name)| name)
    }

    pub(crate) fn rules(self) -> Rules {
        match self {
            Self::Specification => Rules::Specification,
            Self::Qemu7 => Rules::Qemu7,
            Self::Qemu11 => Rules::Qemu11,
        }
    }

    pub(crate) fn fwcfg(self) -> AccessRule {
        match self {
            Self::Specification | Self::Qemu7 => AccessRule::Split,
            Self::Qemu11 => AccessRule::Refuse,
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(setting, _)| *setting)
            .ok_or_else(|| {
                let names: Vec<_> = NAMES.iter().map(|(_, name)| *name).collect();
                format!("unknown compatibility setting {text:?}: expected {}", names.join(", "))
            })
    }
}
