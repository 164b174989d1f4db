// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Stolen memory: the range that BDSM names, and the registers that know it by other means.

use core::fmt;
use core::ops::Range;

use crate::platform::{BdsmKind, Class};
use crate::spec;

/// End of what a 32-bit BDSM reaches.
const FOUR_GIB: u64 = 1 << 32;

/// The base in a value of BDSM, without its flags.
#[must_use]
pub const fn base(bdsm: u64) -> u64 {
    bdsm & !spec::BDSM_FLAGS
}

/// The flags in a value of BDSM: bit 0 locks the register, the others are reserved.
#[must_use]
pub const fn flags(bdsm: u64) -> u64 {
    bdsm & spec::BDSM_FLAGS
}

/// A range of memory that is stolen, or may be: not empty, aligned to 1 MiB, within reach of its BDSM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StolenRange {
    base: u64,
    size: u64,
}

/// Why a range cannot be stolen memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StolenError {
    /// No bytes.
    #[error("stolen memory at {base:#x} has no bytes")]
    Empty {
        /// Base.
        base: u64,
    },
    /// Not a multiple of 1 MiB.
    #[error("stolen memory at {base:#x} with {size:#x} bytes is not aligned to 1 MiB")]
    Unaligned {
        /// Base.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// Beyond the last address that BDSM can hold, or that exists.
    #[error("stolen memory at {base:#x} with {size:#x} bytes is out of reach of BDSM with {bits} bits")]
    OutOfReach {
        /// Base.
        base: u64,
        /// Bytes.
        size: u64,
        /// Width of BDSM.
        bits: u8,
    },
    /// The platform has no BDSM.
    #[error("stolen memory at {base:#x} has no place in a platform without BDSM")]
    NoBdsm {
        /// Base.
        base: u64,
    },
}

impl StolenRange {
    /// `size` bytes at `base`, named by a BDSM of `kind`.
    ///
    /// # Errors
    ///
    /// [`StolenError`] if the range is empty, unaligned or out of reach.
    pub fn new(base: u64, size: u64, kind: BdsmKind) -> Result<Self, StolenError> {
        let (bits, limit) = match kind {
            BdsmKind::Dword => (32, FOUR_GIB),
            BdsmKind::Qword => (64, u64::MAX),
            BdsmKind::None => return Err(StolenError::NoBdsm { base }),
        };
        if size == 0 {
            return Err(StolenError::Empty { base });
        }
        if !base.is_multiple_of(spec::STOLEN_ALIGN) || !size.is_multiple_of(spec::STOLEN_ALIGN) {
            return Err(StolenError::Unaligned { base, size });
        }
        match base.checked_add(size) {
            Some(end) if end <= limit => Ok(Self { base, size }),
            _ => Err(StolenError::OutOfReach { base, size, bits }),
        }
    }

    /// First address.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// Length in bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The addresses.
    #[must_use]
    pub const fn range(self) -> Range<u64> {
        self.base..self.base + self.size
    }

    /// Whether any address of `other` lies within.
    #[must_use]
    pub const fn overlaps(self, other: &Range<u64>) -> bool {
        let own = self.range();
        own.start < other.end && other.start < own.end && other.start < other.end
    }
}

impl fmt::Display for StolenRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.base, self.range().end)
    }
}

/// Where a register is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AnchorPlace {
    /// Configuration space of the function, by offset.
    Config(u16),
    /// BAR0, by offset.
    Bar0(u64),
}

/// A register that firmware of the host filled with an address in stolen memory, and that keeps it in the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Name in the documents.
    pub name: &'static str,
    /// Where it is.
    pub place: AnchorPlace,
    /// First class that is known to suffer.
    pub since: Class,
    /// What goes wrong if stolen memory is elsewhere in the guest.
    pub effect: &'static str,
}

/// Registers that go on pointing into the host's stolen memory, wherever BDSM points.
pub const ANCHORS: &[Anchor] = &[
    Anchor {
        name: "STOLEN_RESERVED",
        place: AnchorPlace::Bar0(spec::STOLEN_RESERVED),
        since: Class::G6,
        effect: "a Linux guest finds the reserved part outside of stolen memory and uses none of it; in a Windows \
                 guest the GuC fails (code 43)",
    },
    Anchor {
        name: "RC6_CTX_BASE",
        place: AnchorPlace::Bar0(spec::RC6_CTX_BASE),
        since: Class::G9,
        effect: "the render engine saves its state at the host's address, which faults in the IOMMU",
    },
    Anchor {
        name: "reserved-region pointer",
        place: AnchorPlace::Bar0(spec::RESERVED_POINTER),
        since: Class::G9,
        effect: "the graphics engine uses the host's address, which faults in the IOMMU",
    },
    Anchor {
        name: "GSMBASE",
        place: AnchorPlace::Bar0(spec::GSMBASE),
        since: Class::G12,
        effect: "a Windows guest takes the host's address for its translation table",
    },
    Anchor {
        name: "BGSM",
        place: AnchorPlace::Config(spec::BGSM),
        since: Class::G12,
        effect: "a Windows guest takes the host's address for its translation table",
    },
];

/// The anchors of `class`: none where stolen memory is not relocated.
pub fn anchors(class: Class) -> impl Iterator<Item = &'static Anchor> {
    ANCHORS
        .iter()
        .filter(move |anchor| class.bdsm() != BdsmKind::None && anchor.since <= class)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn base_and_flags_are_apart() {
        assert_eq!(base(0x7c00_0001), 0x7c00_0000);
        assert_eq!(flags(0x7c0f_ffff), 0xf_ffff);
        assert_eq!(base(0x12_8000_0003), 0x12_8000_0000);
    }

    #[test]
    fn ranges_stay_within_reach() {
        let below = StolenRange::new(0xfff0_0000, 1 << 20, BdsmKind::Dword).unwrap();
        assert_eq!(below.range(), 0xfff0_0000..1 << 32);
        assert_eq!(below.to_string(), "0xfff00000..0x100000000");
        let beyond = StolenRange::new(0xfff0_0000, 2 << 20, BdsmKind::Dword);
        assert_eq!(
            beyond,
            Err(StolenError::OutOfReach {
                base: 0xfff0_0000,
                size: 2 << 20,
                bits: 32
            })
        );
        assert!(StolenRange::new(0xfff0_0000, 2 << 20, BdsmKind::Qword).is_ok());
        let top = u64::MAX - 0xf_ffff;
        let wraps = StolenRange::new(top, 1 << 20, BdsmKind::Qword);
        assert_eq!(
            wraps,
            Err(StolenError::OutOfReach {
                base: top,
                size: 1 << 20,
                bits: 64
            })
        );
    }

    #[test]
    fn odd_ranges_are_refused() {
        let new = |base, size| StolenRange::new(base, size, BdsmKind::Dword).unwrap_err().to_string();
        assert_eq!(
            new(0x1000, 1 << 20),
            "stolen memory at 0x1000 with 0x100000 bytes is not aligned to 1 MiB"
        );
        assert_eq!(
            new(1 << 20, 0x1000),
            "stolen memory at 0x100000 with 0x1000 bytes is not aligned to 1 MiB"
        );
        assert_eq!(new(1 << 20, 0), "stolen memory at 0x100000 has no bytes");
        let none = StolenRange::new(1 << 20, 1 << 20, BdsmKind::None);
        assert_eq!(none, Err(StolenError::NoBdsm { base: 1 << 20 }));
    }

    #[test]
    fn touching_is_not_overlapping() {
        let range = StolenRange::new(0x8000_0000, 0x200_0000, BdsmKind::Dword).unwrap();
        assert!(range.overlaps(&(0x8000_0000..0x8000_0001)));
        assert!(range.overlaps(&(0..u64::MAX)));
        assert!(!range.overlaps(&(0x7000_0000..0x8000_0000)));
        assert!(!range.overlaps(&(0x8200_0000..0x9000_0000)));
        assert!(!range.overlaps(&(0x8100_0000..0x8100_0000)));
    }

    #[test]
    fn anchors_grow_with_the_classes() {
        let names = |class| anchors(class).map(|anchor| anchor.name).collect::<Vec<_>>();
        assert_eq!(names(Class::G6), ["STOLEN_RESERVED"]);
        assert_eq!(
            names(Class::G9),
            ["STOLEN_RESERVED", "RC6_CTX_BASE", "reserved-region pointer"]
        );
        assert_eq!(names(Class::G12).len(), ANCHORS.len());
        assert_eq!(names(Class::LmemBar), [""; 0]);
        let places = ANCHORS.iter().map(|anchor| anchor.place).collect::<Vec<_>>();
        let expected = [0x10_82c0, 0x0d48, 0x0dc8, 0x10_8100].map(AnchorPlace::Bar0);
        assert_eq!(places[..4], expected);
        assert_eq!(places[4], AnchorPlace::Config(0xf0));
    }
}
