// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The OpRegion: memory that firmware and graphics driver share, with the VBT in it or beside it.

use core::fmt;
use core::str::FromStr;

use crate::bytes::{get, put};
use crate::named;
use crate::profile::{OpRegionVersion, Profile};
use crate::spec::{KIB, opregion, vbt};

/// Where the VBT is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum VbtPlacement {
    /// In mailbox 4, where 6 KiB are.
    Mailbox,
    /// At an address of its own, which RVDA names: version 2.0.
    Absolute {
        /// The physical address.
        address: u64,
    },
    /// Behind the OpRegion, where RVDA is an offset: version 2.1 and later.
    Relative {
        /// Offset from the start of the OpRegion in bytes, at least 0x2000.
        offset: u32,
    },
}

/// An OpRegion that cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpRegionError {
    /// The VBT does not fit into its mailbox.
    #[error("a VBT of {len} bytes: mailbox 4 holds {}", opregion::VBT_LEN)]
    VbtLength {
        /// Length of the VBT in bytes.
        len: usize,
    },
    /// The version does not know this way to place a VBT.
    #[error("OpRegion {version}: RVDA is {meaning} in this version")]
    Placement {
        /// The version asked for.
        version: OpRegionVersion,
        /// What RVDA is there.
        meaning: &'static str,
    },
    /// The VBT overlaps the OpRegion, or lies too far behind it.
    #[error("a VBT at offset {offset:#x}: it must lie between 0x2000 and {LARGEST_OFFSET:#x}")]
    Offset {
        /// The offset asked for.
        offset: u32,
    },
}

/// Far more than firmware leaves between an OpRegion and its VBT.
const LARGEST_OFFSET: u32 = 0x10_0000;

/// A defect of an OpRegion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum OpRegionFault {
    /// The signature is wrong.
    BadSignature,
    /// The header says 0 KiB.
    BadSize,
    /// The bytes end in the middle of mailbox 3.
    Truncated,
    /// The checksum of the VBT is wrong.
    BadChecksum,
    /// The signature of the VBT is wrong.
    BadVbt,
    /// RVDS says 1 MiB more than the VBT has.
    RvdsLies,
    /// RVDA points into the OpRegion.
    RvdaInside,
}

impl OpRegionFault {
    /// The defects and their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("bad-signature", Self::BadSignature),
        ("bad-size", Self::BadSize),
        ("truncated", Self::Truncated),
        ("bad-checksum", Self::BadChecksum),
        ("bad-vbt", Self::BadVbt),
        ("rvds-lies", Self::RvdsLies),
        ("rvda-inside", Self::RvdaInside),
    ];
}

impl fmt::Display for OpRegionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named::show(&Self::ALL, self, f)
    }
}

impl FromStr for OpRegionFault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        named::find(&Self::ALL, text)
    }
}

/// An OpRegion as it lies in the memory of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpRegion {
    /// The first 8 KiB, or less if truncated.
    base: Vec<u8>,
    /// A VBT outside of the first 8 KiB.
    extended: Vec<u8>,
    placement: VbtPlacement,
}

impl OpRegion {
    /// The OpRegion of a platform: the VBT in mailbox 4 if it fits, else outside.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn of(profile: &Profile, version: OpRegionVersion) -> Result<Self, OpRegionError> {
        let table = crate::vbt::build(&profile.platform.to_uppercase(), profile.vbt_len);
        Self::new(version, &table, placement(version, table.len()))
    }

    /// An OpRegion of this version with this VBT.
    ///
    /// # Errors
    ///
    /// The VBT does not fit, or the version does not know the placement.
    pub fn new(version: OpRegionVersion, table: &[u8], placement: VbtPlacement) -> Result<Self, OpRegionError> {
        let wrong = |meaning| OpRegionError::Placement { version, meaning };
        let mut base = vec![0; opregion::LEN];
        let mut mailboxes = opregion::MAILBOX_ACPI | opregion::MAILBOX_ASLE | opregion::MAILBOX_VBT;
        if version.major < 3 {
            mailboxes |= opregion::MAILBOX_SWSCI;
        }
        put(&mut base, 0, opregion::SIGNATURE);
        put(&mut base, opregion::SIZE_KIB, &[8, 0, 0, 0]);
        put(&mut base, opregion::MINOR, &[version.minor, version.major]);
        put(&mut base, opregion::BIOS_VERSION, b"igd-sim");
        put(&mut base, opregion::MAILBOXES, &mailboxes.to_le_bytes());
        // One panel: port A of the platform, type internal digital.
        put(&mut base, opregion::DISPLAYS, &0x0000_0400_u32.to_le_bytes());
        put(&mut base, opregion::SLEEP, &50_u32.to_le_bytes());
        let rvda = match placement {
            VbtPlacement::Mailbox if table.len() > opregion::VBT_LEN => {
                return Err(OpRegionError::VbtLength { len: table.len() });
            }
            VbtPlacement::Mailbox => {
                put(&mut base, opregion::VBT, table);
                return Ok(Self {
                    base,
                    extended: Vec::new(),
                    placement,
                });
            }
            VbtPlacement::Absolute { address } if version == OpRegionVersion::new(2, 0) => address,
            VbtPlacement::Relative { offset } if version >= OpRegionVersion::new(2, 1) => {
                if !(0x2000..=LARGEST_OFFSET).contains(&offset) {
                    return Err(OpRegionError::Offset { offset });
                }
                offset.into()
            }
            _ if version < OpRegionVersion::new(2, 0) => return Err(wrong("not defined")),
            VbtPlacement::Absolute { .. } => return Err(wrong("an offset")),
            VbtPlacement::Relative { .. } => return Err(wrong("an address")),
        };
        let rvds = u32::try_from(table.len()).map_err(|_| OpRegionError::VbtLength { len: table.len() })?;
        put(&mut base, opregion::RVDA, &rvda.to_le_bytes());
        put(&mut base, opregion::RVDS, &rvds.to_le_bytes());
        Ok(Self {
            base,
            extended: table.to_vec(),
            placement,
        })
    }

    /// Gives the OpRegion a defect. A defect of RVDA or RVDS needs an extended VBT to show.
    pub fn damage(&mut self, fault: OpRegionFault) {
        let in_mailbox = self.extended.is_empty();
        let (table, start) = if in_mailbox {
            (&mut self.base, opregion::VBT)
        } else {
            (&mut self.extended, 0)
        };
        match fault {
            OpRegionFault::BadSignature => put(&mut self.base, 0, b"intelGraphicsMem"),
            OpRegionFault::BadSize => put(&mut self.base, opregion::SIZE_KIB, &[0; 4]),
            OpRegionFault::Truncated => {
                self.base.truncate(opregion::RVDA);
                self.extended.clear();
            }
            OpRegionFault::BadChecksum => {
                let right = table.get(start + vbt::CHECKSUM).copied().unwrap_or(0);
                put(table, start + vbt::CHECKSUM, &[right.wrapping_add(1)]);
            }
            OpRegionFault::BadVbt => put(table, start, b"#VBT"),
            OpRegionFault::RvdsLies => {
                let said = u32::from_le_bytes(get(&self.base, opregion::RVDS).unwrap_or_default());
                put(
                    &mut self.base,
                    opregion::RVDS,
                    &said.saturating_add(1 << 20).to_le_bytes(),
                );
            }
            OpRegionFault::RvdaInside => put(&mut self.base, opregion::RVDA, &0x1000_u64.to_le_bytes()),
        }
    }

    /// The bytes at the address that ASLS names: with the VBT if it lies behind, without it if elsewhere.
    #[must_use]
    pub fn host_bytes(&self) -> Vec<u8> {
        let mut bytes = self.base.clone();
        if let VbtPlacement::Relative { offset } = self.placement
            && let Ok(offset) = usize::try_from(offset)
            && !self.extended.is_empty()
        {
            bytes.resize(offset, 0);
            bytes.extend_from_slice(&self.extended);
        }
        bytes
    }

    /// What VFIO's OpRegion region shows: version 2.1 and the VBT at 0x2000 wherever it lies, and how long the region
    /// claims to be. The two lengths differ where the header lies.
    #[must_use]
    pub fn vfio_bytes(&self) -> (Vec<u8>, u64) {
        let mut bytes = self.base.clone();
        let header_kib = u32::from_le_bytes(get(&bytes, opregion::SIZE_KIB).unwrap_or_default());
        let version = u16::from_le_bytes(get(&bytes, opregion::MINOR).unwrap_or_default());
        let rvda = u64::from_le_bytes(get(&bytes, opregion::RVDA).unwrap_or_default());
        let rvds = u32::from_le_bytes(get(&bytes, opregion::RVDS).unwrap_or_default());
        let mut len = u64::from(header_kib) * KIB;
        let has_extended = version >= 0x0200 && rvda != 0 && rvds != 0;
        let shown = match (has_extended, rvda) {
            (false, _) => 0,
            // A kernel would not say so; the defect is to be seen here as well.
            (true, 1..0x2000) => rvda,
            (true, _) => 0x2000,
        };
        if bytes.len() == opregion::LEN {
            put(&mut bytes, opregion::RVDA, &shown.to_le_bytes());
            if has_extended {
                len += u64::from(rvds);
                if version == 0x0200 {
                    put(&mut bytes, opregion::MINOR, &[1, 2]);
                }
                bytes.extend_from_slice(&self.extended);
            }
        } else {
            // A truncated one ends where its bytes do.
            len = u64::try_from(bytes.len()).unwrap_or(len);
        }
        (bytes, len)
    }
}

/// Where firmware puts a VBT of this length.
pub(crate) fn placement(version: OpRegionVersion, len: usize) -> VbtPlacement {
    if len <= opregion::VBT_LEN || version < OpRegionVersion::new(2, 0) {
        VbtPlacement::Mailbox
    } else if version == OpRegionVersion::new(2, 0) {
        VbtPlacement::Absolute { address: 0x9a5f_1018 }
    } else {
        VbtPlacement::Relative { offset: 0x2000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(minor: u8, len: u16, placement: VbtPlacement) -> OpRegion {
        let table = crate::vbt::build("TEST", len);
        OpRegion::new(OpRegionVersion::new(2, minor), &table, placement).unwrap()
    }

    fn rvda(bytes: &[u8]) -> u64 {
        u64::from_le_bytes(bytes[0x3ba..0x3c2].try_into().unwrap())
    }

    /// Host version, RVDA and RVDS; the region a kernel makes of it: size, version, RVDA.
    #[test]
    fn vfio_shows_contiguous_2_1() {
        for (minor, placement, vbt_len, size, shown_minor, shown_rvda) in [
            (0, VbtPlacement::Mailbox, 0x1000, 8192, 0, 0),
            (
                0,
                VbtPlacement::Absolute { address: 0x9a5f_1018 },
                0x1e00,
                15872,
                1,
                0x2000,
            ),
            (1, VbtPlacement::Relative { offset: 0x2000 }, 0x2200, 16896, 1, 0x2000),
            (1, VbtPlacement::Relative { offset: 0x5000 }, 0x1900, 14592, 1, 0x2000),
        ] {
            let region = region(minor, vbt_len, placement);
            let (bytes, len) = region.vfio_bytes();
            assert_eq!((len, bytes.len()), (size, usize::try_from(size).unwrap()));
            assert_eq!((bytes[0x16], bytes[0x17]), (shown_minor, 2));
            assert_eq!(rvda(&bytes), shown_rvda);
            let at = if shown_rvda == 0 { 0x400 } else { 0x2000 };
            assert_eq!(&bytes[at..at + 4], b"$VBT");
            let table = &bytes[at..at + usize::from(vbt_len)];
            assert_eq!(table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        }
    }

    #[test]
    fn the_host_has_the_vbt_where_rvda_says() {
        let host = region(1, 0x1900, VbtPlacement::Relative { offset: 0x5000 }).host_bytes();
        assert_eq!(rvda(&host), 0x5000);
        assert_eq!(&host[0x5000..0x5004], b"$VBT");
        let host = region(0, 0x1e00, VbtPlacement::Absolute { address: 0x9a5f_1018 }).host_bytes();
        assert_eq!((host.len(), rvda(&host)), (0x2000, 0x9a5f_1018));
    }

    #[test]
    fn what_the_version_cannot_say_is_refused() {
        let table = crate::vbt::build("TEST", 0x2000);
        let make = |major, minor, placement| OpRegion::new(OpRegionVersion::new(major, minor), &table, placement);
        assert_eq!(
            make(2, 1, VbtPlacement::Mailbox),
            Err(OpRegionError::VbtLength { len: 0x2000 })
        );
        let absolute = VbtPlacement::Absolute { address: 0x1000_0000 };
        let relative = VbtPlacement::Relative { offset: 0x2000 };
        assert!(matches!(
            make(2, 1, absolute),
            Err(OpRegionError::Placement {
                meaning: "an offset",
                ..
            })
        ));
        assert!(matches!(
            make(2, 0, relative),
            Err(OpRegionError::Placement {
                meaning: "an address",
                ..
            })
        ));
        assert!(matches!(
            make(1, 0, relative),
            Err(OpRegionError::Placement {
                meaning: "not defined",
                ..
            })
        ));
        for offset in [0, 0x1fff, 0x10_0001] {
            assert_eq!(
                make(2, 1, VbtPlacement::Relative { offset }),
                Err(OpRegionError::Offset { offset })
            );
        }
    }

    #[test]
    fn each_defect_shows_and_nothing_grows_with_a_lie() {
        let good = region(1, 0x2200, VbtPlacement::Relative { offset: 0x2000 });
        for (name, fault) in OpRegionFault::ALL {
            let mut bad = good.clone();
            bad.damage(fault);
            assert_ne!(bad.vfio_bytes(), good.vfio_bytes(), "{name}");
            assert!(bad.vfio_bytes().0.len() <= good.vfio_bytes().0.len(), "{name}");
            assert_eq!(name.parse(), Ok(fault));
            assert_eq!(fault.to_string(), name);
        }
        let mut lies = good.clone();
        lies.damage(OpRegionFault::RvdsLies);
        assert_eq!(lies.vfio_bytes().1, 0x2000 + 0x2200 + 0x10_0000);
    }
}
