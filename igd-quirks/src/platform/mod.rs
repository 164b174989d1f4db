// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which graphics device this is, and what sets its platform apart.

mod ids;
mod pch;
mod qemu;
mod table;

pub use ids::{DISCRETE_IDS, PLATFORM_IDS, identify};
pub use pch::{IsaBridge, PCH_IDS, Pch, PchDetection, PchFamily, detect_pch};
pub use qemu::{QemuEra, qemu_generation};

use core::fmt;

use table::row;

/// A processor family with integrated graphics, by the name its drivers use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Platform {
    /// Ironlake: recognised and not supported.
    Ilk,
    /// Sandy Bridge.
    Snb,
    /// Ivy Bridge.
    Ivb,
    /// Haswell.
    Hsw,
    /// Valleyview: Bay Trail.
    Vlv,
    /// Broadwell.
    Bdw,
    /// Cherryview: Cherry Trail, Braswell.
    Chv,
    /// Skylake.
    Skl,
    /// Broxton: Apollo Lake.
    Bxt,
    /// Gemini Lake.
    Glk,
    /// Kaby Lake and Amber Lake.
    Kbl,
    /// Coffee Lake.
    Cfl,
    /// Whiskey Lake.
    Whl,
    /// Comet Lake.
    Cml,
    /// Cannon Lake.
    Cnl,
    /// Ice Lake.
    Icl,
    /// Elkhart Lake.
    Ehl,
    /// Jasper Lake.
    Jsl,
    /// Tiger Lake.
    Tgl,
    /// Rocket Lake.
    Rkl,
    /// Alder Lake-S.
    AdlS,
    /// Alder Lake-P.
    AdlP,
    /// Alder Lake-N.
    AdlN,
    /// Raptor Lake-S.
    RplS,
    /// Raptor Lake-U.
    RplU,
    /// Raptor Lake-P.
    RplP,
    /// Meteor Lake.
    Mtl,
    /// Arrow Lake.
    Arl,
    /// Lunar Lake.
    Lnl,
    /// Panther Lake.
    Ptl,
    /// Wildcat Lake.
    Wcl,
    /// Nova Lake-S.
    NvlS,
    /// Nova Lake-P.
    NvlP,
}

/// What a set of platforms has in common where an assignment is concerned: layout of GGC, place of BDSM.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Class {
    /// Sandy Bridge and Ivy Bridge.
    G6,
    /// Haswell and Valleyview.
    G7,
    /// Broadwell.
    G8,
    /// Cherryview, with a table of stolen-memory sizes of its own.
    Chv,
    /// Skylake to Cannon Lake.
    G9,
    /// Ice Lake, Elkhart Lake, Jasper Lake.
    G11,
    /// Tiger Lake to Raptor Lake.
    G12,
    /// Meteor Lake and later: stolen memory is behind BAR2, no register holds its base.
    LmemBar,
}

/// The configuration register that holds the base of stolen memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BdsmKind {
    /// BDSM at 5Ch, 32 bits.
    Dword,
    /// BDSM at C0h, 64 bits.
    Qword,
    /// No register.
    None,
}

impl Class {
    /// All classes, oldest first.
    pub const ALL: [Self; 8] = [
        Self::G6,
        Self::G7,
        Self::G8,
        Self::Chv,
        Self::G9,
        Self::G11,
        Self::G12,
        Self::LmemBar,
    ];

    /// The register that holds the base of stolen memory.
    #[must_use]
    pub const fn bdsm(self) -> BdsmKind {
        match self {
            Self::G6 | Self::G7 | Self::G8 | Self::Chv | Self::G9 => BdsmKind::Dword,
            Self::G11 | Self::G12 => BdsmKind::Qword,
            Self::LmemBar => BdsmKind::None,
        }
    }

    /// Bytes of an entry of the graphics translation table.
    #[must_use]
    pub const fn pte_size(self) -> u64 {
        match self {
            Self::G6 | Self::G7 => 4,
            Self::G8 | Self::Chv | Self::G9 | Self::G11 | Self::G12 | Self::LmemBar => 8,
        }
    }

    /// Usual size of BAR0 in bytes: registers in the lower half, translation table in the upper.
    #[must_use]
    pub const fn typical_bar0_size(self) -> u64 {
        match self {
            Self::G6 | Self::G7 => 4 << 20,
            Self::G8 | Self::Chv | Self::G9 | Self::G11 | Self::G12 | Self::LmemBar => 16 << 20,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::G6 => "gen 6",
            Self::G7 => "gen 7",
            Self::G8 => "gen 8",
            Self::Chv => "Cherryview",
            Self::G9 => "gen 9",
            Self::G11 => "gen 11",
            Self::G12 => "gen 12",
            Self::LmemBar => "LMEMBAR",
        })
    }
}

impl Platform {
    /// Name for people, such as `Tiger Lake`.
    #[must_use]
    pub fn name(self) -> &'static str {
        row(self).name
    }

    /// What the platform has in common with others, or `None` for one that is not supported (Ironlake).
    #[must_use]
    pub fn class(self) -> Option<Class> {
        row(self).class
    }

    /// Version of the display engine as drivers count it: 9 for Skylake, 20 for Lunar Lake.
    #[must_use]
    pub fn display_version(self) -> u8 {
        row(self).display_version
    }

    /// Families of platform controller hubs that stand at 00:1f.0 of such a machine. Empty where the hub is part of
    /// the package and drivers do not look at the bridge.
    #[must_use]
    pub fn pch_families(self) -> &'static [PchFamily] {
        row(self).pch
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a device id of vendor 8086h stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Identified {
    /// Integrated graphics.
    Igd(Platform),
    /// A discrete card, by the name of its family: nothing of this crate applies.
    Discrete(&'static str),
    /// An SR-IOV virtual function: no OpRegion, no stolen memory, nothing of this crate applies.
    ///
    /// [`identify`] never answers this, since a virtual function may have the device id of its physical one.
    VirtualFunction,
    /// No id of the table: the OpRegion is handed over and nothing else is guessed.
    Unknown,
}
