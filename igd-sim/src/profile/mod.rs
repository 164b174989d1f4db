// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Platforms, as data.

mod table;

use core::fmt;
use core::str::FromStr;

use crate::ggc::{self, GgcError};
use crate::spec::MIB;

/// Platforms whose registers look alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Class {
    /// Sandy Bridge, Ivy Bridge.
    Gen6,
    /// Haswell, Valleyview.
    Gen7,
    /// Broadwell.
    Gen8,
    /// Cherryview.
    Cherryview,
    /// Skylake to Comet Lake, Broxton, Gemini Lake.
    Gen9,
    /// Ice Lake, Elkhart Lake, Jasper Lake.
    Gen11,
    /// Tiger Lake to Raptor Lake.
    Gen12,
    /// Meteor Lake and later: stolen memory is reached through BAR2.
    LocalMemory,
}

impl Class {
    /// Where the base of stolen memory stands in configuration space, if anywhere, and its length in bytes.
    #[must_use]
    pub const fn bdsm(self) -> Option<(u16, usize)> {
        match self {
            Self::Gen6 | Self::Gen7 | Self::Gen8 | Self::Cherryview | Self::Gen9 => {
                Some((crate::spec::config::BDSM, 4))
            }
            Self::Gen11 | Self::Gen12 => Some((crate::spec::config::BDSM64, 8)),
            Self::LocalMemory => None,
        }
    }

    /// Size of BAR0 in bytes: registers in the lower half, GTT in the upper.
    #[must_use]
    pub const fn registers_len(self) -> u64 {
        match self {
            Self::Gen6 | Self::Gen7 => 4 * MIB,
            _ => 16 * MIB,
        }
    }

    /// Size of BAR2 in bytes.
    #[must_use]
    pub const fn aperture_len(self) -> u64 {
        256 * MIB
    }

    /// Size of BAR4 in bytes; 0 if there is none.
    #[must_use]
    pub const fn ports_len(self) -> u64 {
        match self {
            Self::LocalMemory => 0,
            _ => 64,
        }
    }

    /// Size of an entry of the GTT in bytes.
    #[must_use]
    pub const fn pte_len(self) -> usize {
        match self {
            Self::Gen6 | Self::Gen7 => 4,
            _ => 8,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gen6 => "gen6",
            Self::Gen7 => "gen7",
            Self::Gen8 => "gen8",
            Self::Cherryview => "chv",
            Self::Gen9 => "gen9",
            Self::Gen11 => "gen11",
            Self::Gen12 => "gen12",
            Self::LocalMemory => "lmem",
        })
    }
}

/// Which capabilities a function has, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CapabilityLayout {
    /// MSI at 0x90, power management at 0xD0, advanced features at 0xA4.
    Legacy,
    /// Power management at 0xD0, MSI at 0x90, vendor specific at 0xB0.
    Atom,
    /// Vendor specific at 0x40, PCI Express at 0x70, MSI at 0xAC, power management at 0xD0.
    Express,
}

/// Which images an option ROM holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RomKind {
    /// No ROM.
    None,
    /// One image, for EFI.
    Efi,
    /// An image for PC-AT compatible firmware, and one for EFI.
    LegacyAndEfi,
}

/// Version of an OpRegion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpRegionVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
}

impl OpRegionVersion {
    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for OpRegionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

/// Text that names no version of an OpRegion.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no OpRegion version: two numbers with a dot between them, such as 2.1")]
pub struct ParseVersionError(String);

impl FromStr for OpRegionVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
            digits.then(|| part.parse().ok()).flatten()
        };
        let wrong = || ParseVersionError(text.chars().take(40).collect());
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        match (number(major), number(minor)) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(wrong()),
        }
    }
}

/// A platform with an integrated GPU.
///
/// ```
/// use igd_sim::Profile;
///
/// let kbl = Profile::by_name("kbl").unwrap();
/// assert_eq!(kbl.device, 0x5912);
/// assert_eq!(kbl.ggc()?, 0x01c0);
/// # Ok::<(), igd_sim::GgcError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Short name, lower case.
    pub name: &'static str,
    /// Name of the platform.
    pub platform: &'static str,
    /// How its registers look.
    pub class: Class,
    /// Version of the display engine, as drivers count it.
    pub display: u8,
    /// Device id of the graphics function.
    pub device: u16,
    /// Revision of the graphics function.
    pub revision: u8,
    /// Capabilities of the graphics function.
    pub capabilities: CapabilityLayout,
    /// Stolen memory in MiB.
    pub stolen_mib: u32,
    /// The GTT in MiB.
    pub gtt_mib: u32,
    /// Host address of stolen memory.
    pub stolen_base: u32,
    /// Version of the OpRegion.
    pub opregion: OpRegionVersion,
    /// Size of the VBT in bytes.
    pub vbt_len: u16,
    /// Images of the option ROM.
    pub rom: RomKind,
    /// Device id of the host bridge, 00:00.0.
    pub host_bridge: u16,
    /// Device id of the ISA bridge, 00:1f.0.
    pub lpc_bridge: u16,
}

impl Profile {
    /// The profiles, oldest platform first.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        table::PROFILES
    }

    /// The profile with this short name, in either case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        Self::all()
            .iter()
            .find(|profile| profile.name.eq_ignore_ascii_case(name))
    }

    /// The graphics control register.
    ///
    /// # Errors
    ///
    /// The class has no code for one of the sizes.
    pub fn ggc(&self) -> Result<u16, GgcError> {
        ggc::encode(self.class, self.stolen_mib, self.gtt_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!("2.1".parse(), Ok(OpRegionVersion::new(2, 1)));
        assert_eq!(OpRegionVersion::new(3, 0).to_string(), "3.0");
        for text in ["", "2", "2.", ".1", "2.1.0", "2.+1", "256.0", "-1.0", " 2.1"] {
            assert!(text.parse::<OpRegionVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_found_in_either_case() {
        assert_eq!(Profile::by_name("KBL"), Profile::by_name("kbl"));
        assert_eq!(Profile::by_name("i740"), None);
    }
}
