// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Values of GGC and what Linux, ACRN and QEMU make of them.

use igd_quirks::ggc::{Ggc, GgcError, GgcSizes, Strictness, qemu};
use igd_quirks::platform::{Class, QemuEra};
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

/// What a document, and what the drivers' formula says.
#[derive(Clone, Copy)]
enum Stolen {
    /// MiB, defined.
    Is(u64),
    /// Undefined; drivers compute these MiB.
    Computed(u64),
    /// Undefined, and drivers refuse it.
    Refused,
}
use Stolen::{Computed, Is, Refused};

/// Class, GGC, stolen memory, MiB of translation table.
#[rustfmt::skip]
const VECTORS: &[(Class, u16, Stolen, u64)] = &[
    (Class::G6,      0x0000, Is(0),          0),
    (Class::G6,      0x0108, Is(32),         1),
    (Class::G6,      0x0208, Is(32),         2),
    (Class::G6,      0x0211, Is(64),         2),
    (Class::G6,      0x0280, Is(512),        2),
    (Class::G6,      0x0308, Is(32),         3),
    (Class::G6,      0x000a, Is(32),         0),
    (Class::G7,      0x0209, Is(32),         2),
    (Class::G7,      0x0210, Is(64),         2),
    (Class::G7,      0x0288, Computed(544),  2),
    (Class::G7,      0x02f8, Computed(992),  2),
    (Class::G8,      0x0000, Is(0),          0),
    (Class::G8,      0x0180, Is(32),         4),
    (Class::G8,      0x01c0, Is(32),         8),
    (Class::G8,      0x02c1, Is(64),         8),
    (Class::G8,      0x02c3, Is(64),         8),
    (Class::G8,      0x1040, Is(512),        2),
    (Class::G8,      0x40c0, Is(2048),       8),
    (Class::G8,      0xf0c0, Computed(7680), 8),
    (Class::Chv,     0x0080, Is(512),        0),
    (Class::Chv,     0x0108, Is(32),         2),
    (Class::Chv,     0x0208, Is(32),         4),
    (Class::Chv,     0x0288, Is(8),          4),
    (Class::Chv,     0x0290, Is(12),         4),
    (Class::Chv,     0x02b8, Is(36),         4),
    (Class::Chv,     0x02e8, Is(60),         4),
    (Class::Chv,     0x02f8, Computed(68),   4),
    (Class::G9,      0x01c0, Is(32),         8),
    (Class::G9,      0x02c1, Is(64),         8),
    (Class::G9,      0x05c1, Is(160),        8),
    (Class::G9,      0x10c0, Is(512),        8),
    (Class::G9,      0x11c0, Computed(544),  8),
    (Class::G9,      0x1fc0, Computed(992),  8),
    (Class::G9,      0x20c0, Is(1024),       8),
    (Class::G9,      0x21c0, Computed(1056), 8),
    (Class::G9,      0x30c0, Is(1536),       8),
    (Class::G9,      0x3fc0, Computed(2016), 8),
    (Class::G9,      0x40c0, Is(2048),       8),
    (Class::G9,      0x41c0, Computed(2080), 8),
    (Class::G9,      0xefc0, Computed(7648), 8),
    (Class::G9,      0xf0c1, Is(4),          8),
    (Class::G9,      0xf7c1, Is(32),         8),
    (Class::G9,      0xfec1, Is(60),         8),
    (Class::G9,      0xffc1, Computed(64),   8),
    (Class::G9,      0x0040, Is(0),          2),
    (Class::G11,     0x02c1, Is(64),         8),
    (Class::G11,     0xfec1, Is(60),         8),
    (Class::G12,     0x02c1, Is(64),         8),
    (Class::G12,     0xf1c1, Is(8),          8),
    (Class::G12,     0x40c1, Is(2048),       8),
    (Class::LmemBar, 0x00c0, Is(0),          8),
    (Class::LmemBar, 0x02c0, Is(64),         8),
    (Class::LmemBar, 0x04c0, Is(128),        8),
    (Class::LmemBar, 0x05c0, Refused,        8),
    (Class::LmemBar, 0xf0c1, Is(4),          8),
    (Class::LmemBar, 0xfec1, Is(60),         8),
    (Class::LmemBar, 0xffc1, Refused,        8),
];

#[test]
fn sizes_are_those_of_the_documents() {
    for (class, bits, stolen, gtt) in VECTORS {
        let ggc = Ggc::new(*class, *bits);
        let sizes = |stolen: u64, undefined_code| {
            Ok(GgcSizes {
                stolen: stolen * MIB,
                gtt: gtt * MIB,
                undefined_code,
            })
        };
        let undefined = |result: Result<GgcSizes, GgcError>| match result {
            Err(GgcError::UndefinedGms { code, class: told, .. }) => (code, told) == (ggc.gms(), *class),
            _ => false,
        };
        let (native, compatible) = (ggc.sizes(Strictness::Native), ggc.sizes(Strictness::Compatible));
        match stolen {
            Is(mib) => {
                assert_eq!(native, sizes(*mib, false), "{class} {bits:#06x}");
                assert_eq!(compatible, native, "{class} {bits:#06x}");
            }
            Computed(mib) => {
                assert!(undefined(native), "{class} {bits:#06x}: {native:?}");
                assert_eq!(compatible, sizes(*mib, true), "{class} {bits:#06x}");
            }
            Refused => {
                assert!(undefined(native), "{class} {bits:#06x}: {native:?}");
                assert!(undefined(compatible), "{class} {bits:#06x}: {compatible:?}");
            }
        }
        assert_eq!(ggc.gtt_size(), Ok(gtt * MIB), "{class} {bits:#06x}");
    }
}

#[test]
fn ivd_is_bit_1() {
    assert!(Ggc::new(Class::G6, 0x000a).vga_disabled());
    assert!(Ggc::new(Class::G8, 0x02c3).vga_disabled());
    assert!(!Ggc::new(Class::G8, 0x02c1).vga_disabled());
}

#[test]
fn meteor_lake_fixes_the_size_of_the_translation_table() {
    let ggc = Ggc::new(Class::LmemBar, 0x0280);
    let expected = GgcError::GgmsNotThree {
        code: 2,
        ggc: 0x0280,
        class: Class::LmemBar,
    };
    for strictness in [Strictness::Native, Strictness::Compatible] {
        assert_eq!(ggc.sizes(strictness), Err(expected));
    }
    assert_eq!(
        expected.to_string(),
        "GGMS code 2 of GGC 0x0280 is not allowed for LMEMBAR: it must be 3"
    );
}

#[test]
fn the_translation_table_covers_up_to_4_gib() {
    for (class, bits, bytes) in [
        (Class::G6, 0x0200, 2 << 30),
        (Class::G7, 0x0000, 0),
        (Class::G8, 0x00c0, 4_u64 << 30),
        (Class::Chv, 0x0200, 2 << 30),
        (Class::LmemBar, 0x00c0, 4 << 30),
    ] {
        assert_eq!(Ggc::new(class, bits).address_space(), Ok(bytes), "{class} {bits:#06x}");
    }
}

#[test]
fn another_gms_keeps_all_other_bits() {
    for (class, bits, code, expected) in [
        (Class::G6, 0x0211, 0x01, Some(0x0209)),
        (Class::G6, 0x0211, 0x10, Some(0x0281)),
        (Class::G6, 0x0211, 0x11, None),
        (Class::G8, 0x02c1, 0x40, Some(0x40c1)),
        (Class::G8, 0x02c1, 0x41, None),
        (Class::G8, 0x02c1, 0xf0, None),
        (Class::Chv, 0x0208, 0x11, Some(0x0288)),
        (Class::Chv, 0x0208, 0x1e, None),
        (Class::G9, 0x02c1, 0xf0, Some(0xf0c1)),
        (Class::G9, 0x02c1, 0xfe, Some(0xfec1)),
        (Class::G9, 0x02c1, 0xff, None),
        (Class::G9, 0x02c1, 0x11, None),
        (Class::G12, 0xfec1, 0x02, Some(0x02c1)),
    ] {
        let result = Ggc::new(class, bits).with_gms(code);
        assert_eq!(
            result.ok().map(Ggc::bits),
            expected,
            "{class} {bits:#06x} {code:#04x}: {result:?}"
        );
    }
    for class in Class::ALL {
        assert_eq!(
            Ggc::new(class, 0xabcd).with_gms(0).map(Ggc::bits),
            Ok(0xabcd),
            "{class}"
        );
    }
    let fixed = Ggc::new(Class::LmemBar, 0x02c0).with_gms(2);
    assert_eq!(
        fixed,
        Err(GgcError::FixedGms {
            code: 2,
            class: Class::LmemBar
        })
    );
}

/// Text and table say the same.
#[test]
fn codes_outside_of_what_is_said_are_refused() {
    for (class, said, last) in [
        (Class::G6, "0x00 to 0x10", 0x10),
        (Class::G7, "0x00 to 0x10", 0x10),
        (Class::Chv, "0x00 to 0x1d", 0x1d),
        (Class::G8, "0x00 to 0x40", 0x40),
    ] {
        let ggc = Ggc::new(class, 0);
        assert!((0..=last).all(|code| ggc.with_gms(code).is_ok()), "{class}");
        let refusal = ggc.with_gms(last + 1).unwrap_err().to_string();
        assert!(refusal.ends_with(said), "{refusal}");
    }
}

#[test]
fn refusals_say_what_is_allowed() {
    let told = |class, bits: u16| Ggc::new(class, bits).sizes(Strictness::Native).unwrap_err().to_string();
    assert_eq!(
        told(Class::G9, 0xffc1),
        "GMS code 0xff of GGC is not defined for gen 9: allowed are 0x00 to 0x10, 0x20, 0x30, 0x40, 0xf0 to 0xfe"
    );
    assert_eq!(
        told(Class::G7, 0x0288),
        "GMS code 0x11 of GGC is not defined for gen 7: allowed are 0x00 to 0x10"
    );
    assert_eq!(
        told(Class::LmemBar, 0x05c0),
        "GMS code 0x05 of GGC is not defined for LMEMBAR: allowed are 0x00 to 0x04, 0xf0 to 0xfe"
    );
    let size = Ggc::encode(Class::G6, 33 * MIB, 2 * MIB, false).unwrap_err();
    assert_eq!(
        size.to_string(),
        "no GMS code of gen 6 stands for 34603008 bytes of stolen memory: allowed are 0x00 to 0x10"
    );
    let table = Ggc::encode(Class::G9, 32 * MIB, 3 * MIB, false).unwrap_err();
    assert_eq!(
        table.to_string(),
        "no GGMS code of gen 9 stands for a translation table of 3145728 bytes: allowed are 0, 2, 4, 8 MiB"
    );
    assert!(Ggc::encode(Class::LmemBar, 32 * MIB, 4 * MIB, false).is_err());
}

#[test]
fn encoding_takes_the_smaller_of_two_codes() {
    let ggc = Ggc::encode(Class::G9, 32 * MIB, 8 * MIB, true).unwrap();
    assert_eq!((ggc.gms(), ggc.bits()), (0x01, 0x01c2));
    let ggc = Ggc::encode(Class::Chv, 36 * MIB, 4 * MIB, false).unwrap();
    assert_eq!((ggc.gms(), ggc.bits()), (0x17, 0x02b8));
}

#[test]
fn qemu_counts_stolen_memory_by_generation() {
    let new = |generation, ggc| qemu::bdsm_size(QemuEra::From10_1, generation, ggc) / MIB;
    for (generation, ggc, mib) in [
        (6, 0x01c1, 768),
        (9, 0x01c1, 32),
        (7, 0x0211, 64),
        (12, 0xf0c1, 4),
        (7, 0x0288, 544),
        (8, 0xf0c0, 7680),
        // Cherryview is Broxton's elder to QEMU: the field is taken from where Broadwell has it.
        (8, 0x0208, 64),
        (9, 0xffc1, 64),
    ] {
        assert_eq!(new(Some(generation), ggc), mib, "{generation} {ggc:#06x}");
    }
    assert_eq!(new(None, 0x02c1), 0);
}

#[test]
fn qemu_up_to_9_2_adds_the_translation_table() {
    for (era, generation, ggc, mib) in [
        (QemuEra::UpTo9_1, 6, 0x0101, 1),
        (QemuEra::UpTo9_1, 8, 0x00c1, 8),
        (QemuEra::UpTo9_1, 8, 0x02c1, 64 + 8),
        (QemuEra::UpTo9_1, 8, 0x03c1, 96 + 8),
        (QemuEra::UpTo9_1, 8, 0x0001, 1),
        (QemuEra::V9_2, 8, 0x0001, 0),
        (QemuEra::V9_2, 8, 0x11c1, 8),
        (QemuEra::V9_2, 6, 0x0288, 2),
        (QemuEra::V9_2, 9, 0x11c1, 544 + 8),
        (QemuEra::V9_2, 12, 0xf0c1, 4 + 8),
        (QemuEra::V10_0, 8, 0x02c1, 64),
    ] {
        assert_eq!(
            qemu::bdsm_size(era, Some(generation), ggc) / MIB,
            mib,
            "{era} {generation} {ggc:#06x}"
        );
    }
}

#[test]
fn qemu_limits_its_gms_option_by_version() {
    use QemuEra::{From10_1, UpTo9_1, V9_2, V10_0};
    /// Era, generation, GGC of the host, option; GGC of the guest, or what a refusal goes on with.
    type Case = (QemuEra, Option<u8>, u16, u32, Result<u16, Option<u16>>);
    #[rustfmt::skip]
    let cases: &[Case] = &[
        (From10_1, Some(6),  0x0211, 0x01,       Ok(0x0209)),
        (From10_1, Some(6),  0x0211, 0x10,       Ok(0x0281)),
        (From10_1, Some(6),  0x0211, 0x11,       Err(None)),
        (From10_1, Some(8),  0x02c1, 0x40,       Ok(0x40c1)),
        (From10_1, Some(8),  0x02c1, 0x41,       Err(None)),
        (From10_1, Some(8),  0x02c1, 0xf0,       Err(None)),
        (From10_1, Some(9),  0x02c1, 0xf0,       Ok(0xf0c1)),
        (From10_1, Some(9),  0x02c1, 0xfe,       Ok(0xfec1)),
        (From10_1, Some(9),  0x02c1, 0xff,       Err(None)),
        (From10_1, Some(9),  0x02c1, 0x41,       Err(None)),
        (From10_1, Some(12), 0xfec1, 0x02,       Ok(0x02c1)),
        (From10_1, Some(12), 0xfec1, 0x00,       Ok(0xfec1)),
        (From10_1, Some(9),  0x02c1, 0x1_0002,   Err(None)),
        (From10_1, None,     0x02c1, 0x02,       Err(None)),
        (V10_0,    Some(9),  0x02c1, 0x40,       Ok(0x40c1)),
        (V10_0,    Some(9),  0x02c1, 0xf0,       Err(Some(0x02c1))),
        (V10_0,    Some(7),  0x0211, 0x11,       Err(Some(0x0211))),
        (V10_0,    None,     0x02c1, 0x02,       Ok(0x02c1)),
        (V9_2,     Some(9),  0x02c1, 0x05,       Ok(0x02c1)),
        (V9_2,     Some(9),  0x02c1, 0xff,       Ok(0x02c1)),
        (UpTo9_1,  Some(6),  0x01c1, 0x00,       Ok(0x0101)),
        (UpTo9_1,  Some(8),  0x01c1, 0x00,       Ok(0x00c1)),
        (UpTo9_1,  Some(8),  0x01c1, 0x03,       Ok(0x03c1)),
        (UpTo9_1,  Some(8),  0x01c1, 0x11,       Err(Some(0x00c1))),
        (UpTo9_1,  None,     0x01c1, 0x11,       Ok(0x01c1)),
    ];
    for (era, generation, host, gms, expected) in cases {
        let result = qemu::guest_ggc(*era, *generation, *host, *gms);
        let result = result.map_err(|refused| refused.continues_with);
        assert_eq!(result, *expected, "{era} {generation:?} {host:#06x} {gms:#x}");
    }
    let refused = qemu::guest_ggc(From10_1, Some(8), 0x02c1, 0x41).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "x-igd-gms=0x41 is refused by QEMU from 10.1 for generation 8: allowed are 0 to 0x40"
    );
}

proptest! {
    #[test]
    fn whatever_is_encoded_decodes_to_itself(
        class in proptest::sample::select(&Class::ALL[..]),
        steps in 0_u64..520,
        gtt in 0_u64..9,
        vga_disabled: bool,
    ) {
        let (stolen, gtt) = (steps * 4 * MIB, gtt * MIB);
        if let Ok(ggc) = Ggc::encode(class, stolen, gtt, vga_disabled) {
            prop_assert_eq!(ggc.sizes(Strictness::Native), Ok(GgcSizes { stolen, gtt, undefined_code: false }));
            prop_assert_eq!(ggc.vga_disabled(), vga_disabled);
        }
    }

    #[test]
    fn defined_values_can_be_encoded_again(class in proptest::sample::select(&Class::ALL[..]), bits: u16) {
        let ggc = Ggc::new(class, bits);
        let native = ggc.sizes(Strictness::Native);
        let compatible = ggc.sizes(Strictness::Compatible);
        if let Ok(sizes) = native {
            let again = Ggc::encode(class, sizes.stolen, sizes.gtt, ggc.vga_disabled());
            prop_assert_eq!(again.and_then(|ggc| ggc.sizes(Strictness::Native)), Ok(sizes));
            prop_assert_eq!(compatible, native);
        } else if let Ok(sizes) = compatible {
            prop_assert!(sizes.undefined_code);
        }
    }

    #[test]
    fn another_gms_is_read_back(class in proptest::sample::select(&Class::ALL[..]), bits: u16, code in 1_u8..) {
        if let Ok(ggc) = Ggc::new(class, bits).with_gms(code) {
            prop_assert_eq!(ggc.gms(), code);
            prop_assert_eq!(ggc.ggms(), Ggc::new(class, bits).ggms());
            prop_assert_eq!(ggc.with_gms(Ggc::new(class, bits).gms().max(1)).map_or(bits, Ggc::bits) & 3, bits & 3);
        }
    }

    #[test]
    fn qemu_takes_any_value(generation in proptest::option::of(6_u8..13), bits: u16, gms: u32) {
        for era in [QemuEra::UpTo9_1, QemuEra::V9_2, QemuEra::V10_0, QemuEra::From10_1] {
            let guest = qemu::guest_ggc(era, generation, bits, gms);
            let size = qemu::bdsm_size(era, generation, guest.unwrap_or(bits));
            prop_assert!(size <= 8 * 1024 * MIB);
        }
    }
}

#[test]
fn no_value_of_any_class_is_out_of_bounds() {
    for class in Class::ALL {
        for bits in 0..=u16::MAX {
            if let Ok(sizes) = Ggc::new(class, bits).sizes(Strictness::Compatible) {
                assert!(
                    sizes.stolen <= 255 * 32 * MIB && sizes.gtt <= 8 * MIB,
                    "{class} {bits:#06x}"
                );
            }
        }
    }
}
