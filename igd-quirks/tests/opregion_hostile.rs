// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The OpRegion: as firmware writes it, as a kernel presents it, and as an attacker would.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod firmware;

use firmware::{put, vbt};
use igd_quirks::opregion::{
    ExtendedVbt, GuestCopy, GuestCopyChange, GuestCopyOptions, Mailboxes, OpRegion, OpRegionError, VbtPlace, Version,
    kernel_view, layout,
};
use igd_quirks::vbt::VbtError;
use proptest::prelude::*;

/// Mailboxes 1, 3 and 4.
const MAILBOXES: u32 = layout::MBOX_ACPI | layout::MBOX_ASLE | layout::MBOX_VBT;

/// An OpRegion of 8 KiB with a VBT in mailbox 4.
fn opregion(version: u16, rvda: u64, rvds: u32) -> Vec<u8> {
    let mut bytes = vec![0; layout::SIZE];
    put(&mut bytes, 0, layout::SIGNATURE);
    put(&mut bytes, layout::SIZE_KIB, &8_u32.to_le_bytes());
    put(&mut bytes, layout::VERSION, &version.to_le_bytes());
    put(&mut bytes, layout::MBOX, &MAILBOXES.to_le_bytes());
    put(&mut bytes, layout::RVDA, &rvda.to_le_bytes());
    put(&mut bytes, layout::RVDS, &rvds.to_le_bytes());
    put(&mut bytes, layout::MAILBOX4, &vbt("$VBT MAILBOX4", 0x700));
    bytes
}

/// The bytes of an OpRegion with an extended VBT of `rvds` bytes at `rvda`.
fn extended(version: u16, rvda: u64, rvds: u32) -> Vec<u8> {
    let mut bytes = opregion(version, rvda, rvds);
    bytes.resize(usize::try_from(rvda).unwrap(), 0xee);
    bytes.extend(vbt("$VBT EXTENDED", usize::try_from(rvds).unwrap()));
    bytes
}

fn error(bytes: &[u8]) -> OpRegionError {
    OpRegion::parse(bytes).unwrap_err()
}

#[test]
fn a_kernel_presents_version_and_rvda_like_this() {
    for (version, rvda, rvds, size, shown_version, shown_rvda) in [
        (0x0100, 0x1234, 0x5678, 8192, 0x0100, 0),
        (0x0200, 0, 0, 8192, 0x0200, 0),
        (0x0200, 0x9a5f_1018, 0x1e00, 15872, 0x0201, 0x2000),
        (0x0201, 0x2000, 0x2200, 16896, 0x0201, 0x2000),
        (0x0201, 0x5000, 0x1900, 14592, 0x0201, 0x2000),
        (0x0300, 0x2000, 0, 8192, 0x0300, 0),
    ] {
        let view = kernel_view(Version(version), rvda, rvds);
        assert_eq!(
            (view.size, view.version.0, view.rvda),
            (size, shown_version, shown_rvda),
            "{version:#06x}"
        );
    }
}

#[test]
fn a_guest_copy_is_what_a_kernel_presents() {
    for (version, rvda, rvds) in [
        (0x0201, 0x2000, 0x2200),
        (0x0201, 0x5000, 0x1900),
        (0x0300, 0x2000, 0x1c00),
    ] {
        let host = extended(version, rvda, rvds);
        let copy = GuestCopy::new(&OpRegion::parse(&host).unwrap(), GuestCopyOptions::default());
        let view = kernel_view(Version(version), rvda, rvds);
        let guest = OpRegion::parse(&copy.bytes).unwrap();
        assert_eq!(u64::try_from(copy.bytes.len()), Ok(view.size));
        assert_eq!(
            (guest.version(), guest.rvda(), guest.rvds()),
            (view.version, view.rvda, rvds)
        );
        assert_eq!(copy.bytes[0x2000..], host[usize::try_from(rvda).unwrap()..]);
        let changes: &[GuestCopyChange] = if rvda == 0x2000 {
            &[]
        } else {
            &[GuestCopyChange::Rvda { from: rvda }]
        };
        assert_eq!(copy.changes, changes);
    }
}

#[test]
fn version_2_0_becomes_2_1_with_its_extended_vbt() {
    let mut host = opregion(0x0200, 0x9a5f_1018, 0x1e00);
    host.extend(vbt("$VBT EXTENDED", 0x1e00));
    let copy = GuestCopy::new(&OpRegion::parse(&host).unwrap(), GuestCopyOptions::default());
    let guest = OpRegion::parse(&copy.bytes).unwrap();
    assert_eq!(
        (guest.version(), guest.rvda(), guest.rvds()),
        (Version::V2_1, 0x2000, 0x1e00)
    );
    let changes = [
        GuestCopyChange::Version { from: Version::V2_0 },
        GuestCopyChange::Rvda { from: 0x9a5f_1018 },
    ];
    assert_eq!(copy.changes, changes);
    assert_eq!(copy.changes[0].to_string(), "version 2.0 becomes 2.1");
    assert_eq!(copy.changes[1].to_string(), "RVDA 0x9a5f1018 becomes 0x2000");
    let (place, vbt) = guest.vbt().unwrap();
    assert_eq!((place, vbt.product()), (VbtPlace::Extended, "$VBT EXTENDED"));
    assert_eq!(copy.bytes[..layout::VERSION], host[..layout::VERSION]);
    assert_eq!(
        copy.bytes[layout::VERSION + 2..layout::RVDA],
        host[layout::VERSION + 2..layout::RVDA]
    );
    assert_eq!(copy.bytes[layout::RVDA + 8..], host[layout::RVDA + 8..]);
}

#[test]
fn an_address_of_the_host_never_reaches_the_guest() {
    let host = opregion(0x0200, 0x9a5f_1018, 0x1e00);
    let region = OpRegion::parse(&host).unwrap();
    assert_eq!(
        region.extended_vbt(),
        ExtendedVbt::Unreachable {
            rvda: 0x9a5f_1018,
            rvds: 0x1e00
        }
    );
    let copy = GuestCopy::new(&region, GuestCopyOptions::default());
    let guest = OpRegion::parse(&copy.bytes).unwrap();
    assert_eq!((guest.version(), guest.rvda(), guest.rvds()), (Version::V2_0, 0, 0));
    assert_eq!(guest.vbt().unwrap().0, VbtPlace::Mailbox4);

    for version in [0x0100, 0x0200, 0x0201, 0x0300] {
        let host = opregion(version, 0x9a5f_1018, 0);
        let copy = GuestCopy::new(&OpRegion::parse(&host).unwrap(), GuestCopyOptions::default());
        assert_eq!(OpRegion::parse(&copy.bytes).unwrap().rvda(), 0, "{version:#06x}");
        assert_eq!(copy.changes, [GuestCopyChange::RvdaCleared { from: 0x9a5f_1018 }]);
    }
}

#[test]
fn before_2_0_rvda_has_no_meaning() {
    let host = opregion(0x0100, 0x2000, 0x1e00);
    assert_eq!(OpRegion::parse(&host).unwrap().extended_vbt(), ExtendedVbt::None);
    let longer = extended(0x0100, 0x2000, 0x1e00);
    assert_eq!(
        error(&longer),
        OpRegionError::Length {
            len: 0x3e00,
            told: 0x2000
        }
    );
}

#[test]
fn options_hide_swsci_and_pad() {
    let mut host = extended(0x0201, 0x2000, 0x1900);
    put(&mut host, layout::MBOX, &(MAILBOXES | layout::MBOX_SWSCI).to_le_bytes());
    let region = OpRegion::parse(&host).unwrap();
    let copy = GuestCopy::new(
        &region,
        GuestCopyOptions {
            hide_swsci: true,
            pad: true,
        },
    );
    assert_eq!(copy.changes, [GuestCopyChange::SwsciHidden]);
    assert_eq!(copy.bytes.len(), 0x4000);
    let guest = OpRegion::parse(&copy.bytes).unwrap();
    assert_eq!(guest.mailboxes().0, MAILBOXES);
    assert_eq!(guest.extended_vbt(), region.extended_vbt());
    assert_eq!(
        GuestCopy::new(
            &guest,
            GuestCopyOptions {
                hide_swsci: true,
                pad: false
            }
        )
        .changes,
        []
    );
    let kept = GuestCopy::new(&region, GuestCopyOptions::default());
    assert!(OpRegion::parse(&kept.bytes).unwrap().mailboxes().swsci());
}

#[test]
fn refusals_name_the_values() {
    let mut bytes = opregion(0x0200, 0, 0);
    bytes.truncate(4096);
    assert_eq!(
        error(&bytes).to_string(),
        "OpRegion is 4096 bytes, its header says 8192"
    );
    assert_eq!(
        error(&bytes[..19]).to_string(),
        "OpRegion is 19 bytes, too few for its header of 20 bytes"
    );
    assert_eq!(error(&[]), OpRegionError::NoHeader { len: 0 });

    let mut bytes = opregion(0x0200, 0, 0);
    bytes[3] = 0;
    assert_eq!(
        error(&bytes).to_string(),
        "OpRegion has the signature \"Int\\x00lGraphicsMem\", not \"IntelGraphicsMem\""
    );
    for kib in [0, 7, 9, 16, u32::MAX] {
        let mut bytes = opregion(0x0200, 0, 0);
        put(&mut bytes, layout::SIZE_KIB, &kib.to_le_bytes());
        assert_eq!(error(&bytes), OpRegionError::SizeField { kib });
    }
    let inside = error(&opregion(0x0201, 0x1fff, 0x100));
    assert_eq!(
        inside.to_string(),
        "extended VBT at 0x1fff of OpRegion 2.1 lies within its first 8192 bytes"
    );
    let wraps = error(&opregion(0x0201, u64::MAX - 1, 0x100));
    assert_eq!(
        wraps.to_string(),
        "extended VBT at 0xfffffffffffffffe with 256 bytes of OpRegion 2.1 wraps around"
    );
    assert_eq!(
        error(&opregion(0x0201, 0x2000, u32::MAX)),
        OpRegionError::Length {
            len: 0x2000,
            told: 0x1_0000_1fff
        }
    );
    assert_eq!(
        error(&opregion(0x0201, 1 << 63, 1)),
        OpRegionError::Length {
            len: 0x2000,
            told: (1 << 63) + 1
        }
    );
}

#[test]
fn one_byte_too_few_or_too_many_is_refused() {
    let bytes = extended(0x0201, 0x2000, 0x1900);
    assert!(OpRegion::parse(&bytes).is_ok());
    assert_eq!(
        error(&bytes[..0x38ff]),
        OpRegionError::Length {
            len: 0x38ff,
            told: 0x3900
        }
    );
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(
        error(&longer),
        OpRegionError::Length {
            len: 0x3901,
            told: 0x3900
        }
    );
    longer.resize(0x4000, 0);
    assert!(OpRegion::parse(&longer).is_ok(), "padding to the next page");
    longer[0x3fff] = 1;
    assert_eq!(
        error(&longer),
        OpRegionError::Length {
            len: 0x4000,
            told: 0x3900
        }
    );
}

#[test]
fn mailbox_4_ends_where_mailbox_5_begins() {
    let mut bytes = opregion(0x0200, 0, 0);
    assert_eq!(OpRegion::parse(&bytes).unwrap().mailbox4().len(), 0x1c00);
    put(
        &mut bytes,
        layout::MBOX,
        &(MAILBOXES | layout::MBOX_ASLE_EXT).to_le_bytes(),
    );
    assert_eq!(OpRegion::parse(&bytes).unwrap().mailbox4().len(), 0x1800);
}

#[test]
fn fields_are_where_the_specification_has_them() {
    let mut bytes = vec![0; 0x3e00];
    put(&mut bytes, 0x000, b"IntelGraphicsMem\x08\0\0\0");
    put(&mut bytes, 0x016, &[0x05, 0x02]);
    put(&mut bytes, 0x058, &[0x1d, 0, 0, 0]);
    put(&mut bytes, 0x3ba, &[0x00, 0x20, 0, 0, 0, 0, 0, 0, 0x00, 0x1e, 0, 0]);
    put(&mut bytes, 0x2000, &vbt("$VBT", 0x1e00));
    let region = OpRegion::parse(&bytes).unwrap();
    assert_eq!(
        (region.version().to_string().as_str(), region.mailboxes().0),
        ("2.5", 0x1d)
    );
    assert_eq!((region.rvda(), region.rvds()), (0x2000, 0x1e00));
    assert_eq!(region.extended_vbt(), ExtendedVbt::Present(&bytes[0x2000..]));
    assert_eq!(region.mailbox4().as_ptr(), bytes[0x400..].as_ptr());
}

#[test]
fn fields_of_the_header_are_read() {
    let mut bytes = opregion(0x0203, 0, 0);
    put(&mut bytes, 0x60, &(1_u32 << 13).to_le_bytes());
    let region = OpRegion::parse(&bytes).unwrap();
    assert!(region.headless());
    assert!(!OpRegion::parse(&opregion(0x0201, 0, 0)).unwrap().headless());
    assert_eq!((region.version().major(), region.version().minor()), (2, 3));
    let mailboxes = region.mailboxes();
    assert!(mailboxes.acpi() && mailboxes.asle() && mailboxes.vbt());
    assert!(!mailboxes.swsci() && !mailboxes.asle_extension());
}

#[test]
fn the_vbt_is_taken_from_where_a_driver_takes_it() {
    let bytes = extended(0x0201, 0x2000, 0x1900);
    let (place, vbt) = OpRegion::parse(&bytes).unwrap().vbt().unwrap();
    assert_eq!((place, vbt.product()), (VbtPlace::Extended, "$VBT EXTENDED"));

    let mut without_mailbox3 = bytes.clone();
    put(&mut without_mailbox3, layout::MBOX, &layout::MBOX_VBT.to_le_bytes());
    let (place, vbt) = OpRegion::parse(&without_mailbox3).unwrap().vbt().unwrap();
    assert_eq!((place, vbt.product()), (VbtPlace::Mailbox4, "$VBT MAILBOX4"));

    let mut broken = bytes.clone();
    broken[0x2000] = 0;
    assert_eq!(OpRegion::parse(&broken).unwrap().vbt().unwrap().0, VbtPlace::Mailbox4);
    broken[layout::MAILBOX4] = 0;
    let found = *b"\0VBT";
    assert_eq!(
        OpRegion::parse(&broken).unwrap().vbt().unwrap_err(),
        VbtError::Signature { found }
    );
}

/// An OpRegion whose lengths may fit, with some bytes changed.
fn nearly_opregion() -> impl Strategy<Value = Vec<u8>> {
    let version = prop::sample::select(vec![0x0100, 0x0200, 0x0201, 0x0300, 0xffff]);
    let rvda = prop_oneof![Just(0), 0x1ff0..0x5000_u64, any::<u64>()];
    let rvds = prop_oneof![Just(0), 0x100..0x2400_u32, any::<u32>()];
    let edits = prop::collection::vec((0_usize..0x4000, any::<u8>()), 0..8);
    (version, rvda, rvds, any::<u32>(), any::<bool>(), edits).prop_map(
        |(version, rvda, rvds, mailboxes, fits, edits)| {
            let reachable = (0x2000..0x5000).contains(&rvda) && (0x100..0x2400).contains(&rvds);
            let mut bytes = if fits && reachable && version > 0x0200 {
                extended(version, rvda, rvds)
            } else if fits && version == 0x0200 && (0x100..0x2400).contains(&rvds) {
                let mut bytes = opregion(version, rvda, rvds);
                bytes.extend(vbt("$VBT", usize::try_from(rvds).unwrap()));
                bytes
            } else {
                opregion(version, rvda, rvds)
            };
            put(&mut bytes, layout::MBOX, &mailboxes.to_le_bytes());
            for (offset, value) in edits {
                if let Some(byte) = bytes.get_mut(offset) {
                    *byte = value;
                }
            }
            bytes
        },
    )
}

#[test]
fn a_mailbox_is_one_bit() {
    let of = |boxes: u32| {
        let boxes = Mailboxes(boxes);
        [
            boxes.acpi(),
            boxes.swsci(),
            boxes.asle(),
            boxes.vbt(),
            boxes.asle_extension(),
        ]
    };
    let bits = [
        layout::MBOX_ACPI,
        layout::MBOX_SWSCI,
        layout::MBOX_ASLE,
        layout::MBOX_VBT,
        layout::MBOX_ASLE_EXT,
    ];
    for (place, bit) in bits.into_iter().enumerate() {
        let mut expected = [false; 5];
        expected[place] = true;
        assert_eq!(of(bit), expected, "{bit:#x}");
        assert_eq!(of(!bit), expected.map(|is_set| !is_set), "{bit:#x}");
    }
}

proptest! {
    #[test]
    fn a_copy_of_a_valid_region_is_valid_and_final(bytes in nearly_opregion(), hide_swsci: bool, pad: bool) {
        if let Ok(host) = OpRegion::parse(&bytes) {
            let copy = GuestCopy::new(&host, GuestCopyOptions { hide_swsci, pad });
            prop_assert!(copy.bytes.len() <= bytes.len().next_multiple_of(4096));
            let guest = OpRegion::parse(&copy.bytes);
            prop_assert!(guest.is_ok(), "{:?} after {:?}", guest, copy.changes);
            if let Ok(guest) = guest {
                let vbt = |region: &OpRegion<'_>| region.vbt().map(|(place, vbt)| (place, vbt.bytes().to_vec()));
                prop_assert_eq!(vbt(&guest), vbt(&host));
                prop_assert!(guest.rvda() == 0 || guest.rvda() == 0x2000);
                let again = GuestCopy::new(&guest, GuestCopyOptions { hide_swsci, pad });
                prop_assert_eq!(again.bytes, copy.bytes.clone());
                prop_assert_eq!(again.changes, []);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_opregion_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..0x2100), header: bool) {
        let mut bytes = bytes;
        if header && bytes.len() >= 20 {
            put(&mut bytes, 0, layout::SIGNATURE);
            put(&mut bytes, layout::SIZE_KIB, &8_u32.to_le_bytes());
        }
        match OpRegion::parse(&bytes) {
            Ok(region) => { let _ = region.vbt().map(|(_, vbt)| vbt.to_string()); }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
