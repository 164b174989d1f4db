// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Named compatibility settings.

/// Whose answers a device gives where implementations differ from the specifications.
///
/// | Question | [`Specification`](Self::Specification) | [`Qemu7`](Self::Qemu7) | [`Qemu11`](Self::Qemu11) |
/// |---|---|---|---|
/// | device-specific bytes without a register | read-only zero | storage, kept over a reset | storage, kept over a reset |
/// | reserved bits of `CONFIG_ADDRESS` | read zero, ignored | stored, bits 1:0 added to the port | as QEMU 7 |
/// | byte and word reads of `CONFIG_ADDRESS` | the right lane | the low bits | the low bits |
/// | unaligned access to a window | split into lanes | split into lanes | refused, reads zero |
/// | power state D3hot | BARs are not decoded, leaving it resets | no effect | BARs are not decoded |
/// | illegal power transitions | ignored | stored | ignored |
/// | MSI vectors enabled beyond those there are | limited | limited while MSI is enabled | as QEMU 7 |
/// | I/O BARs above 64 KiB | not decoded | decoded | decoded |
/// | PCI Express device control | per specification | read-only unless the device says otherwise | as QEMU 7 |
/// | i440FX SMRAM lock, PAM at reset | locks, cleared | no lock, kept | no lock, kept |
/// | PCIEXBAR address bits of 128 and 64 MiB windows | 27; 27 and 26 | 26 and 25; 25 | as QEMU 7 |
///
/// QEMU's answers are those of versions 7.2 and 11.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Rules {
    /// What the specifications and data sheets say.
    #[default]
    Specification,
    /// What QEMU 7.2 answers.
    Qemu7,
    /// What QEMU 11.1 answers.
    Qemu11,
}

impl Rules {
    /// Whether these are QEMU's answers, of any version.
    #[must_use]
    pub const fn is_qemu(self) -> bool {
        !matches!(self, Self::Specification)
    }

    /// What becomes of an access that is not naturally aligned.
    #[must_use]
    pub const fn unaligned(self) -> Unaligned {
        match self {
            Self::Specification | Self::Qemu7 => Unaligned::Split,
            Self::Qemu11 => Unaligned::Refuse,
        }
    }
}

/// What becomes of an access that is not naturally aligned or crosses the end of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unaligned {
    /// Each byte lane is served by whoever owns it; lanes that nobody owns read ones.
    Split,
    /// Nothing is served: a read gives zero, a write is dropped.
    Refuse,
}
