// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The option ROM: an image for PC-AT compatible firmware, one for EFI, or both.
//!
//! The images have everything that firmware checks, and nothing that it could run: the entry of the first returns at
//! once, the payload of the second is no program.

use core::fmt;
use core::str::FromStr;

use crate::bytes::{checksum, put};
use crate::named;
use crate::profile::{Profile, RomKind};
use crate::spec::{INTEL, rom};

/// A defect of an option ROM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RomFault {
    /// The signature of the first image is wrong.
    BadSignature,
    /// The checksum of the first image is wrong.
    BadChecksum,
    /// The images are for another device.
    WrongDevice,
    /// The pointer to the PCI data structure leaves the ROM.
    BadPointer,
}

impl RomFault {
    /// The defects and their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("bad-signature", Self::BadSignature),
        ("bad-checksum", Self::BadChecksum),
        ("wrong-device", Self::WrongDevice),
        ("bad-pointer", Self::BadPointer),
    ];
}

impl fmt::Display for RomFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        named::show(&Self::ALL, self, f)
    }
}

impl FromStr for RomFault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        named::find(&Self::ALL, text)
    }
}

/// 512-byte units of the image for PC-AT compatible firmware.
const LEGACY_UNITS: u8 = 128;
/// 512-byte units of the image for EFI.
const EFI_UNITS: u8 = 16;
const PCIR_AT: usize = 0x40;

/// The ROM of a platform for a function of class `class`; empty if it has none.
#[must_use]
pub fn build(profile: &Profile, class: u32, fault: Option<RomFault>) -> Vec<u8> {
    let device = match fault {
        Some(RomFault::WrongDevice) => profile.device ^ 0x8000,
        _ => profile.device,
    };
    let mut bytes = Vec::new();
    if profile.rom == RomKind::LegacyAndEfi {
        bytes = legacy(device, class);
    }
    if profile.rom != RomKind::None {
        bytes.extend(efi(device, class));
    }
    let broken_sum = bytes.get(6).copied().unwrap_or(0).wrapping_add(1);
    match fault {
        Some(RomFault::BadSignature) => put(&mut bytes, 0, &[0xaa, 0x55]),
        Some(RomFault::BadChecksum) => put(&mut bytes, 6, &[broken_sum]),
        Some(RomFault::BadPointer) => put(&mut bytes, rom::PCIR_POINTER, &[0xfe, 0xff]),
        Some(RomFault::WrongDevice) | None => {}
    }
    bytes
}

fn image(units: u8, device: u16, class: u32, code_type: u8, is_last: bool) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(units) * rom::UNIT];
    let [prog_if, subclass, base, _] = class.to_le_bytes();
    let [pointer, _] = 0x0040_u16.to_le_bytes();
    let [pcir_len, _] = rom::PCIR_LEN.to_le_bytes();
    put(&mut bytes, 0, &rom::SIGNATURE);
    put(&mut bytes, rom::PCIR_POINTER, &[pointer, 0]);
    put(&mut bytes, PCIR_AT, rom::PCIR);
    put(&mut bytes, PCIR_AT + 4, &INTEL.to_le_bytes());
    put(&mut bytes, PCIR_AT + 6, &device.to_le_bytes());
    put(
        &mut bytes,
        PCIR_AT + 10,
        &[pcir_len, 0, 3, prog_if, subclass, base, units, 0],
    );
    put(&mut bytes, PCIR_AT + 20, &[code_type, u8::from(is_last) << 7]);
    bytes
}

fn legacy(device: u16, class: u32) -> Vec<u8> {
    let mut bytes = image(LEGACY_UNITS, device, class, rom::LEGACY, false);
    // Length in units, then the entry: a far return.
    put(&mut bytes, 2, &[LEGACY_UNITS, 0xcb]);
    let last = bytes.len().saturating_sub(1);
    let sum = checksum(&bytes, last);
    put(&mut bytes, last, &[sum]);
    bytes
}

fn efi(device: u16, class: u32) -> Vec<u8> {
    let mut bytes = image(EFI_UNITS, device, class, rom::EFI, true);
    put(&mut bytes, 2, &[EFI_UNITS, 0]);
    // EFI signature; subsystem 11, boot service driver; machine 8664h, x86-64; not compressed; offset of the program.
    put(&mut bytes, 4, &[0xf1, 0x0e, 0, 0, 11, 0, 0x64, 0x86, 0, 0]);
    put(&mut bytes, 0x16, &[0x60, 0]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kbl() -> &'static Profile {
        Profile::by_name("kbl").unwrap()
    }

    #[test]
    fn images_follow_each_other_and_the_first_sums_to_zero() {
        let bytes = build(kbl(), 0x030000, None);
        let len = usize::from(bytes[2]) * 512;
        assert_eq!(bytes[..len].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        let mut at = 0;
        for (code_type, last) in [(0, 0), (3, 0x80)] {
            assert_eq!(bytes[at..at + 2], [0x55, 0xaa]);
            let pcir = at + usize::from(u16::from_le_bytes([bytes[at + 0x18], bytes[at + 0x19]]));
            assert_eq!(&bytes[pcir..pcir + 8], b"PCIR\x86\x80\x12\x59");
            assert_eq!(bytes[pcir + 13..pcir + 16], [0, 0, 3]);
            assert_eq!((bytes[pcir + 20], bytes[pcir + 21]), (code_type, last));
            at += usize::from(u16::from_le_bytes([bytes[pcir + 16], bytes[pcir + 17]])) * 512;
        }
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn newer_platforms_have_efi_alone_or_nothing() {
        let tgl = build(Profile::by_name("tgl").unwrap(), 0x030000, None);
        assert_eq!((tgl.len(), tgl[4], tgl[5]), (8192, 0xf1, 0x0e));
        assert!(build(Profile::by_name("ptl").unwrap(), 0x030000, None).is_empty());
    }

    #[test]
    fn each_defect_shows() {
        let good = build(kbl(), 0x030000, None);
        for (name, fault) in RomFault::ALL {
            let bad = build(kbl(), 0x030000, Some(fault));
            assert_ne!(bad, good, "{name}");
            assert_eq!(bad.len(), good.len());
            assert_eq!(name.parse(), Ok(fault));
            assert_eq!(fault.to_string(), name);
        }
        let bad = build(kbl(), 0x030000, Some(RomFault::BadChecksum));
        assert_ne!(bad[..0x10000].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    }
}
