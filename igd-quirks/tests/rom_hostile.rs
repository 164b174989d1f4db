// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Option ROMs: walked, repaired, refused.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use igd_quirks::rom::{CodeType, OptionRom, RomAbsent, RomError, present};
use proptest::prelude::*;

const PCIR: usize = 0x40;

/// An image of `units` times 512 bytes, its legacy checksum right.
fn image(code_type: u8, vendor: u16, device: u16, units: u16, last: bool) -> Vec<u8> {
    let mut bytes = vec![0; usize::from(units) * 512];
    put(&mut bytes, 0, &[0x55, 0xaa]);
    put(&mut bytes, 0x18, &u16::try_from(PCIR).unwrap().to_le_bytes());
    put(&mut bytes, PCIR, b"PCIR");
    put(&mut bytes, PCIR + 4, &vendor.to_le_bytes());
    put(&mut bytes, PCIR + 6, &device.to_le_bytes());
    put(&mut bytes, PCIR + 10, &24_u16.to_le_bytes());
    put(&mut bytes, PCIR + 0x10, &units.to_le_bytes());
    bytes[PCIR + 0x14] = code_type;
    bytes[PCIR + 0x15] = u8::from(last) << 7;
    bytes[0x100] = 0x5a;
    if code_type == 0 {
        bytes[6] = sum(&bytes).wrapping_neg();
    }
    bytes
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// VBIOS and UEFI driver, and what a flash chip has behind them.
fn hybrid() -> Vec<u8> {
    let mut rom = image(0, 0x8086, 0x0406, 4, false);
    rom.extend(image(3, 0x8086, 0x0406, 2, true));
    rom.extend([0xff; 100]);
    rom
}

fn error(bytes: &[u8]) -> RomError {
    OptionRom::parse(bytes).unwrap_err()
}

#[test]
fn images_are_found_in_order() {
    let bytes = hybrid();
    let rom = OptionRom::parse(&bytes).unwrap();
    let images: Vec<_> = rom
        .images()
        .iter()
        .map(|image| (image.offset, image.len, image.code_type))
        .collect();
    assert_eq!(images, [(0, 2048, CodeType::Legacy), (2048, 1024, CodeType::Efi)]);
    assert_eq!(rom.images()[1].pcir, 2048 + PCIR);
    assert!(rom.images()[0].checksum_ok);
    assert!(rom.has(CodeType::Legacy) && rom.has(CodeType::Efi) && !rom.has(CodeType::Other(1)));
    assert!(rom.is_for(0x8086, 0x0406));
    assert!(!rom.is_for(0x8086, 0x0416) && !rom.is_for(0x1002, 0x0406));
}

#[test]
fn code_types_print() {
    let names = [CodeType::Legacy, CodeType::Efi, CodeType::Other(1)].map(|code_type| code_type.to_string());
    assert_eq!(names, ["legacy BIOS", "UEFI", "code type 1"]);
}

#[test]
fn a_copy_of_the_first_image_is_a_rom() {
    // As a host's kernel shows it: the first of two images, then another device's ROM, then ones.
    let mut bytes = image(0, 0x8086, 0x0406, 4, false);
    let len = bytes.len();
    for next in [[0xff, 0xff], [0x55, 0xaa]] {
        bytes.truncate(len);
        bytes.extend(next);
        bytes.resize(4096, 0xff);
        let rom = OptionRom::parse(&bytes).unwrap();
        assert_eq!(rom.images().len(), 1, "{next:x?}");
        assert!(rom.is_for(0x8086, 0x0406));
        assert_eq!(rom.repaired(0x8086, 0x0406).unwrap().len(), bytes.len());
    }
    // An image that leaves the ROM is still none to rely on.
    bytes.truncate(len + 0x10);
    assert!(matches!(error(&bytes), RomError::Truncated { offset, .. } if offset == len));
}

#[test]
fn a_repaired_rom_is_for_the_device_and_adds_up() {
    let bytes = hybrid();
    let repaired = OptionRom::parse(&bytes).unwrap().repaired(0x8086, 0x0416).unwrap();
    let rom = OptionRom::parse(&repaired).unwrap();
    assert!(rom.is_for(0x8086, 0x0416));
    assert!(rom.images()[0].checksum_ok);
    // Nothing but ids and the checksum byte of the legacy image differs.
    let changed: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != repaired[*at]).collect();
    assert_eq!(changed, [6, PCIR + 6, 2048 + PCIR + 6]);
}

#[test]
fn a_wrong_checksum_is_repaired_with_the_right_id() {
    let mut bytes = hybrid();
    bytes[0x200] ^= 0x11;
    let rom = OptionRom::parse(&bytes).unwrap();
    assert!(!rom.images()[0].checksum_ok);
    let repaired = rom.repaired(0x8086, 0x0406).unwrap();
    assert!(OptionRom::parse(&repaired).unwrap().images()[0].checksum_ok);
}

#[test]
fn images_of_other_vendors_stay() {
    let mut bytes = image(0, 0x1002, 0x1111, 1, false);
    bytes.extend(image(0, 0x8086, 0x2222, 1, true));
    let repaired = OptionRom::parse(&bytes).unwrap().repaired(0x8086, 0x0416).unwrap();
    assert_eq!(repaired[..512], bytes[..512]);
    assert_eq!(OptionRom::parse(&repaired).unwrap().images()[1].device, 0x0416);

    let refused = OptionRom::parse(&bytes).unwrap().repaired(0x10de, 1).unwrap_err();
    assert_eq!(
        refused,
        RomError::Vendor {
            vendor: 0x10de,
            found: 0x1002
        }
    );
    assert_eq!(
        refused.to_string(),
        "no image of the ROM is for vendor 10de: the first is for 1002"
    );
}

#[test]
fn refusals_name_the_values() {
    let good = image(0, 0x8086, 0x0406, 1, true);
    let with = |offset: usize, value: &[u8]| {
        let mut bytes = good.clone();
        put(&mut bytes, offset, value);
        error(&bytes)
    };
    assert_eq!(
        with(0, &[0, 0]).to_string(),
        "image at 0x0 of the ROM starts with 0000h, not aa55h"
    );
    assert_eq!(with(PCIR, b"X"), RomError::Pcir { offset: 0, pcir: PCIR });
    assert_eq!(
        with(0x18, &[0, 0]).to_string(),
        "image at 0x0 of the ROM has no PCI data structure at 0x0"
    );
    assert_eq!(
        with(0x18, &[0xff, 0xff]),
        RomError::Pcir {
            offset: 0,
            pcir: 0xffff
        }
    );
    assert_eq!(
        with(PCIR + 0x10, &[2, 0]).to_string(),
        "image at 0x0 says it has 1024 bytes, the ROM of 512 bytes has 512 there"
    );
    assert_eq!(
        with(PCIR + 0x10, &[0, 0]),
        RomError::ImageLength {
            offset: 0,
            told: 0,
            len: 512
        }
    );
    assert_eq!(
        with(PCIR + 0x10, &[0xff, 0xff]),
        RomError::ImageLength {
            offset: 0,
            told: 0xffff * 512,
            len: 512
        }
    );
    // Not marked as the last: another one must follow.
    assert_eq!(
        with(PCIR + 0x15, &[0]).to_string(),
        "ROM of 512 bytes ends within the headers of the image at 0x200"
    );
    assert_eq!(error(&[]), RomError::Truncated { offset: 0, len: 0 });
    assert_eq!(error(&good[..0x19]), RomError::Truncated { offset: 0, len: 0x19 });
    assert_eq!(
        error(&good[..511]),
        RomError::ImageLength {
            offset: 0,
            told: 512,
            len: 511
        }
    );
}

#[test]
fn an_image_holds_its_own_pci_data_structure() {
    let mut bytes = image(0, 0x8086, 0x0406, 2, true);
    bytes.copy_within(PCIR..PCIR + 24, 0x200);
    put(&mut bytes, 0x18, &0x200_u16.to_le_bytes());
    put(&mut bytes, 0x200 + 0x10, &1_u16.to_le_bytes());
    assert_eq!(
        error(&bytes),
        RomError::ImageLength {
            offset: 0,
            told: 512,
            len: 1024
        }
    );
}

#[test]
fn pci_data_may_follow_the_header_at_once() {
    let mut bytes = image(0, 0x8086, 0x0406, 2, true);
    bytes.copy_within(PCIR..PCIR + 24, 0x1a);
    put(&mut bytes, 0x18, &0x1a_u16.to_le_bytes());
    assert_eq!(OptionRom::parse(&bytes).unwrap().images()[0].pcir, 0x1a);
}

#[test]
fn an_absent_rom_has_a_reason() {
    let rom = [0x55, 0xaa];
    assert_eq!(present(true, Some(&rom)), Ok(&rom[..]));
    assert_eq!(present(false, Some(&rom)), Err(RomAbsent::TurnedOff));
    assert_eq!(present(true, None), Err(RomAbsent::NoShadow));
    assert_eq!(present(true, Some(&[])), Err(RomAbsent::NoShadow));
    assert_eq!(present(true, Some(&[0xff; 512])), Err(RomAbsent::AllOnes(512)));
    assert_eq!(
        RomAbsent::AllOnes(512).to_string(),
        "the ROM reads as 512 bytes of ffh: the device does not answer"
    );
}

proptest! {
    #[test]
    fn a_damaged_rom_is_walked_within_its_bytes(
        edits in prop::collection::vec((0_usize..3072, any::<u8>()), 0..10),
        headers in prop::collection::vec((prop::sample::select(vec![0x18, 0x19, 0x50, 0x51, 0x54, 0x55]), any::<u8>()), 0..3),
        len in 0_usize..3200,
        ids: (u16, u16),
    ) {
        let mut bytes = hybrid();
        for (offset, value) in edits.into_iter().chain(headers) {
            bytes[offset] = value;
        }
        bytes.truncate(len);
        if let Ok(rom) = OptionRom::parse(&bytes) {
            prop_assert!(rom.images().iter().map(|image| image.len).sum::<usize>() <= bytes.len());
            prop_assert!(rom.images().iter().all(|image| image.pcir + 24 <= image.offset + image.len));
            let vendor = rom.images()[0].vendor;
            let repaired = rom.repaired(vendor, ids.1);
            let Ok(repaired) = repaired else { panic!("{repaired:?}") };
            prop_assert_eq!(repaired.len(), bytes.len());
            let _ = rom.repaired(ids.0, ids.1);
        }
    }

    #[test]
    fn any_bytes_are_a_rom_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        let mut bytes = bytes;
        let _ = OptionRom::parse(&bytes);
        if bytes.len() >= 2 {
            put(&mut bytes, 0, &[0x55, 0xaa]);
            let _ = OptionRom::parse(&bytes);
        }
    }

    #[test]
    fn repairing_makes_every_image_right(
        images in prop::collection::vec((prop::sample::select(vec![0_u8, 1, 3]), 1_u16..5), 1..5),
        device: u16,
        noise: u8,
    ) {
        let count = images.len();
        let mut bytes = Vec::new();
        for (at, (code_type, units)) in images.into_iter().enumerate() {
            let mut image = image(code_type, 0x8086, 0x0406, units, at + 1 == count);
            image[0x101] = noise;
            bytes.extend(image);
        }
        let repaired = OptionRom::parse(&bytes).and_then(|rom| rom.repaired(0x8086, device)).unwrap();
        let rom = OptionRom::parse(&repaired).unwrap();
        prop_assert_eq!(rom.images().len(), count);
        prop_assert!(rom.is_for(0x8086, device));
        prop_assert!(rom.images().iter().all(|image| image.checksum_ok || image.code_type != CodeType::Legacy));
    }
}
