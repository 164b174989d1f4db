// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The OpRegion: 8 KiB of mailboxes between firmware and driver, and the video BIOS table (VBT).
//!
//! All bytes come from a host's firmware and are believed nothing: lengths are compared with what is there.

mod guest_copy;
pub mod layout;

pub use guest_copy::{GuestCopy, GuestCopyChange, GuestCopyOptions, KernelView, kernel_view};

use core::fmt;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::vbt::{Vbt, VbtError};

/// Version of an OpRegion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version(pub u16);

impl Version {
    /// 2.0: RVDA is a physical address.
    pub const V2_0: Self = Self(0x0200);
    /// 2.1: RVDA is relative to the OpRegion.
    pub const V2_1: Self = Self(0x0201);

    /// Major version.
    #[must_use]
    pub const fn major(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Minor version.
    #[must_use]
    pub const fn minor(self) -> u8 {
        self.0.to_be_bytes()[1]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// The mailboxes that an OpRegion says it has (MBOX).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mailboxes(pub u32);

impl Mailboxes {
    /// Mailbox 1: public ACPI methods.
    #[must_use]
    pub const fn acpi(self) -> bool {
        self.0 & layout::MBOX_ACPI != 0
    }

    /// Mailbox 2: requests of the driver to the BIOS (SWSCI).
    #[must_use]
    pub const fn swsci(self) -> bool {
        self.0 & layout::MBOX_SWSCI != 0
    }

    /// Mailbox 3: requests of the BIOS to the driver (ASLE), with RVDA and RVDS.
    #[must_use]
    pub const fn asle(self) -> bool {
        self.0 & layout::MBOX_ASLE != 0
    }

    /// Mailbox 4: VBT.
    #[must_use]
    pub const fn vbt(self) -> bool {
        self.0 & layout::MBOX_VBT != 0
    }

    /// Mailbox 5: extension of mailbox 3, which ends the room of mailbox 4.
    #[must_use]
    pub const fn asle_extension(self) -> bool {
        self.0 & layout::MBOX_ASLE_EXT != 0
    }
}

/// Where a VBT lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum VbtPlace {
    /// In mailbox 4.
    Mailbox4,
    /// Outside of the 8 KiB, where RVDA points.
    Extended,
}

/// The extended VBT of an OpRegion, as RVDA and RVDS tell it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExtendedVbt<'a> {
    /// There is none.
    None,
    /// These bytes.
    Present(&'a [u8]),
    /// A host-physical address which the bytes of the OpRegion do not reach: version 2.0 copied by a kernel that does
    /// not add the extended VBT.
    Unreachable {
        /// The address.
        rvda: u64,
        /// Its length in bytes.
        rvds: u32,
    },
}

/// An OpRegion whose signature, size and extended VBT are consistent with its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpRegion<'a> {
    bytes: &'a [u8],
    extended: ExtendedVbt<'a>,
}

/// Why bytes are no OpRegion.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpRegionError {
    /// Too few bytes for the signature and the size.
    #[error("OpRegion is {len} bytes, too few for its header of {header} bytes", header = layout::HEADER_LEN)]
    NoHeader {
        /// Bytes given.
        len: usize,
    },
    /// Another signature.
    #[error("OpRegion has the signature \"{}\", not \"IntelGraphicsMem\"", found.escape_ascii())]
    Signature {
        /// The bytes in its place.
        found: [u8; 16],
    },
    /// A size field other than 8 KiB.
    #[error("OpRegion header says {kib} KiB, only 8 KiB are defined")]
    SizeField {
        /// The field, in KiB.
        kib: u32,
    },
    /// More or fewer bytes than the header accounts for.
    #[error("OpRegion is {len} bytes, its header says {told}")]
    Length {
        /// Bytes given.
        len: usize,
        /// Bytes that the header accounts for: 8 KiB, or the end of the extended VBT.
        told: u64,
    },
    /// RVDA points into the mailboxes.
    #[error("extended VBT at {rvda:#x} of OpRegion {version} lies within its first 8192 bytes")]
    ExtendedVbtInside {
        /// Version of the OpRegion.
        version: Version,
        /// RVDA.
        rvda: u64,
    },
    /// RVDA plus RVDS is no address.
    #[error("extended VBT at {rvda:#x} with {rvds} bytes of OpRegion {version} wraps around")]
    ExtendedVbtWraps {
        /// Version of the OpRegion.
        version: Version,
        /// RVDA.
        rvda: u64,
        /// RVDS.
        rvds: u32,
    },
}

impl<'a> OpRegion<'a> {
    /// Checks an OpRegion and what follows it.
    ///
    /// `bytes` is what `vfio-pci` presents, or a raw copy with the extended VBT behind it. Zeros that pad it to the
    /// next 4 KiB are accepted.
    ///
    /// # Errors
    ///
    /// [`OpRegionError`] where the signature or the size is wrong, or RVDA and RVDS do not fit the bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, OpRegionError> {
        let short = OpRegionError::NoHeader { len: bytes.len() };
        let signature = bytes.first_chunk::<16>().ok_or(short.clone())?;
        if signature != layout::SIGNATURE {
            return Err(OpRegionError::Signature { found: *signature });
        }
        let kib = u32_at(bytes, layout::SIZE_KIB).ok_or(short)?;
        if kib != layout::SIZE_IN_KIB {
            return Err(OpRegionError::SizeField { kib });
        }
        let length = |told: u64| OpRegionError::Length { len: bytes.len(), told };
        let size = u64::from(kib) * 1024;
        if bytes.len() < layout::SIZE {
            return Err(length(size));
        }
        let region = Self {
            bytes,
            extended: ExtendedVbt::None,
        };
        let (version, rvda, rvds) = (region.version(), region.rvda(), region.rvds());
        let told = if version < Version::V2_0 || rvda == 0 || rvds == 0 {
            size
        } else if version == Version::V2_0 {
            if without_padding(bytes, size) {
                return Ok(Self {
                    extended: ExtendedVbt::Unreachable { rvda, rvds },
                    ..region
                });
            }
            size + u64::from(rvds)
        } else if rvda < size {
            return Err(OpRegionError::ExtendedVbtInside { version, rvda });
        } else {
            let wraps = OpRegionError::ExtendedVbtWraps { version, rvda, rvds };
            rvda.checked_add(u64::from(rvds)).ok_or(wraps)?
        };
        let extended = match usize::try_from(told).map(|end| (end, usize::try_from(rvds))) {
            _ if told == size => ExtendedVbt::None,
            Ok((end, Ok(len))) => {
                let start = end.saturating_sub(len);
                ExtendedVbt::Present(bytes.get(start..end).ok_or(length(told))?)
            }
            _ => return Err(length(told)),
        };
        if !without_padding(bytes, told) {
            return Err(length(told));
        }
        Ok(Self { extended, ..region })
    }

    /// The bytes, with the extended VBT and the padding.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Version (OVER).
    #[must_use]
    pub fn version(&self) -> Version {
        Version(u16_at(self.bytes, layout::VERSION).unwrap_or_default())
    }

    /// Mailboxes that are there (MBOX).
    #[must_use]
    pub fn mailboxes(&self) -> Mailboxes {
        Mailboxes(u32_at(self.bytes, layout::MBOX).unwrap_or_default())
    }

    /// Whether the platform says it has no display (PCON bit 13).
    #[must_use]
    pub fn headless(&self) -> bool {
        u32_at(self.bytes, layout::PCON).unwrap_or_default() & layout::PCON_HEADLESS != 0
    }

    /// Address or offset of the extended VBT (RVDA), without meaning before version 2.0.
    #[must_use]
    pub fn rvda(&self) -> u64 {
        u64_at(self.bytes, layout::RVDA).unwrap_or_default()
    }

    /// Length of the extended VBT in bytes (RVDS), without meaning before version 2.0.
    #[must_use]
    pub fn rvds(&self) -> u32 {
        u32_at(self.bytes, layout::RVDS).unwrap_or_default()
    }

    /// The extended VBT.
    #[must_use]
    pub const fn extended_vbt(&self) -> ExtendedVbt<'a> {
        self.extended
    }

    /// The room of mailbox 4: 6 KiB, or 7 KiB where no mailbox 5 follows.
    #[must_use]
    pub fn mailbox4(&self) -> &'a [u8] {
        let end = if self.mailboxes().asle_extension() {
            layout::MAILBOX5
        } else {
            layout::SIZE
        };
        self.bytes.get(layout::MAILBOX4..end).unwrap_or_default()
    }

    /// The VBT that a driver takes: the extended one if mailbox 3 exists and it is valid, else that of mailbox 4.
    ///
    /// # Errors
    ///
    /// [`VbtError`] of mailbox 4 if neither is valid.
    pub fn vbt(&self) -> Result<(VbtPlace, Vbt<'a>), VbtError> {
        if let (ExtendedVbt::Present(bytes), true) = (self.extended, self.mailboxes().asle())
            && let Ok(vbt) = Vbt::parse(bytes)
        {
            return Ok((VbtPlace::Extended, vbt));
        }
        Vbt::parse(self.mailbox4()).map(|vbt| (VbtPlace::Mailbox4, vbt))
    }
}

/// Whether `bytes` ends at `told`, or only zeros follow up to the next 4 KiB.
fn without_padding(bytes: &[u8], told: u64) -> bool {
    let Some(rest) = usize::try_from(told).ok().and_then(|end| bytes.get(end..)) else {
        return false;
    };
    rest.is_empty()
        || (u64::try_from(bytes.len()) == Ok(told.next_multiple_of(layout::PAGE)) && rest.iter().all(|byte| *byte == 0))
}
