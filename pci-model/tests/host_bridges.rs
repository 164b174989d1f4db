// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of the host bridges that lock, answer questions, or say where memory is.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use pci_model::host_bridge::{I440Fx, Q35, Q35StateError, Smram};
use pci_model::{ConfigAccess, ConfigSpace, EcamWindow, Effects, Rules, Width};

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];
const MIB: u64 = 1 << 20;

fn set(bridge: &mut impl ConfigSpace, offset: u16, len: usize, value: u32) -> Effects {
    bridge.config_write(ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap(), value)
}

fn byte(bridge: &mut impl ConfigSpace, offset: u16) -> u32 {
    bridge.config_read(ConfigAccess::new(offset, Width::Byte).unwrap())
}

fn word(bridge: &mut impl ConfigSpace, offset: u16) -> u32 {
    bridge.config_read(ConfigAccess::new(offset, Width::Word).unwrap())
}

fn i440fx(rules: Rules) -> I440Fx {
    I440Fx::new((0x1af4, 0x1100), 1 << 30, rules).unwrap()
}

fn q35(ext_tseg_mib: u16, rules: Rules) -> Q35 {
    Q35::new((0x1af4, 0x1100), ext_tseg_mib, rules).unwrap()
}

#[test]
fn each_bit_of_smram_is_told() {
    let rows = [
        (
            0x40,
            Smram {
                open: true,
                ..Smram::default()
            },
        ),
        (
            0x20,
            Smram {
                closed: true,
                ..Smram::default()
            },
        ),
        (
            0x10,
            Smram {
                locked: true,
                ..Smram::default()
            },
        ),
        (
            0x08,
            Smram {
                enabled: true,
                ..Smram::default()
            },
        ),
    ];
    for (bit, expected) in rows {
        let (mut old, mut new) = (i440fx(Rules::Specification), q35(0, Rules::Specification));
        assert_eq!((old.smram(), new.smram()), (Smram::default(), Smram::default()));
        assert_eq!(set(&mut old, 0x72, 1, bit), Effects::SMRAM);
        assert_eq!(set(&mut new, 0x9d, 1, bit), Effects::SMRAM);
        assert_eq!((old.smram(), new.smram()), (expected, expected), "{bit:#x}");
        assert_eq!((byte(&mut old, 0x72), byte(&mut new, 0x9d)), (bit | 2, bit | 2));
    }
}

#[test]
fn i440fx_locks_smram_until_a_reset() {
    let mut bridge = i440fx(Rules::Specification);
    let _ = set(&mut bridge, 0x72, 1, 0x58);
    assert_eq!(byte(&mut bridge, 0x72), 0x1a, "the lock closes");
    assert_eq!(set(&mut bridge, 0x72, 1, 0xff), Effects::empty());
    assert_eq!(byte(&mut bridge, 0x72), 0x1a);
    let locked = bridge.state();
    assert_eq!(bridge.reset(), Effects::SMRAM);
    assert_eq!(byte(&mut bridge, 0x72), 0x02);
    assert_eq!(set(&mut bridge, 0x72, 1, 0x48), Effects::SMRAM);
    assert_eq!(byte(&mut bridge, 0x72), 0x4a);
    assert_eq!(bridge.restore(&locked), Ok(Effects::SMRAM));
    assert_eq!(set(&mut bridge, 0x72, 1, 0x48), Effects::empty());
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        let mut bridge = i440fx(rules);
        let _ = set(&mut bridge, 0x72, 1, 0x58);
        assert_eq!(byte(&mut bridge, 0x72), 0x58, "QEMU has no lock");
        let _ = bridge.reset();
        assert_eq!(byte(&mut bridge, 0x72), 0x58, "and no reset of it");
    }
}

#[test]
fn i440fx_shows_the_size_of_memory_and_comes_from_an_image() {
    for (size, units) in [(1 << 30, 0x80), (8 * MIB, 1), (16 * MIB - 1, 1), (1 << 40, 0xff)] {
        let mut bridge = I440Fx::new((0, 0), size, Rules::Qemu11).unwrap();
        assert_eq!(byte(&mut bridge, 0x57), units);
    }
    let mut image = [0x5a; 256];
    image[0x0e] = 0;
    image[0x34] = 0;
    image[0x72] = 0x4a;
    let mut bridge = I440Fx::from_image(&image, Rules::Qemu11).unwrap();
    assert_eq!(
        [0x40, 0x57, 0x71, 0x72, 0x73, 0xff].map(|at| byte(&mut bridge, at)),
        [0x5a, 0x5a, 0x5a, 2, 0x5a, 0x5a]
    );
    let _ = set(&mut bridge, 0x40, 1, 0);
    assert_eq!(byte(&mut bridge, 0x40), 0, "it is storage");
}

#[test]
fn pam_is_told_at_its_first_and_last_register() {
    for (offset, len, value, told) in [
        (0x58, 1, 0xff, false),
        (0x59, 1, 0x30, true),
        (0x56, 4, 0x3000_0000, true),
        (0x5f, 1, 0x30, true),
        (0x5f, 4, 0x30, true),
        (0x60, 4, u32::MAX, false),
    ] {
        let expected = if told { Effects::PAM } else { Effects::empty() };
        assert_eq!(
            set(&mut i440fx(Rules::Specification), offset, len, value),
            expected,
            "{offset:#x}"
        );
        let mut bridge = q35(0, Rules::Specification);
        assert_eq!(
            set(&mut bridge, offset + 0x90 - 0x59, len, value),
            expected,
            "{offset:#x}"
        );
    }
}

#[test]
fn q35_says_where_tseg_is() {
    for (value, size) in [
        (0x01, Some(MIB)),
        (0x03, Some(2 * MIB)),
        (0x05, Some(8 * MIB)),
        (0x07, Some(16 * MIB)),
        (0x80, None),
        (0x06, None),
    ] {
        let mut bridge = q35(16, Rules::Specification);
        let expected = if size.is_some() {
            Effects::SMRAM
        } else {
            Effects::empty()
        };
        assert_eq!(set(&mut bridge, 0x9e, 1, value), expected);
        assert_eq!(bridge.tseg(), size, "{value:#x}");
    }
    let mut bridge = q35(0, Rules::Specification);
    let _ = set(&mut bridge, 0x9e, 1, 0x07);
    assert_eq!(bridge.tseg(), None);
    let _ = set(&mut bridge, 0x9e, 1, 0xff);
    assert_eq!(byte(&mut bridge, 0x9e), 0xbf);
}

#[test]
fn q35_locks_smram_and_tseg_until_a_reset() {
    for rules in RULES {
        let mut bridge = q35(0, rules);
        let _ = set(&mut bridge, 0x9e, 1, 0x03);
        let _ = set(&mut bridge, 0x9d, 1, 0x5a);
        assert_eq!(byte(&mut bridge, 0x9d), 0x1a);
        assert_eq!(set(&mut bridge, 0x9d, 1, 0xff), Effects::SMRAM, "closing is allowed");
        assert_eq!(byte(&mut bridge, 0x9d), 0x3a);
        assert_eq!(set(&mut bridge, 0x9e, 1, 0x84), Effects::empty());
        assert_eq!(bridge.tseg(), Some(2 * MIB));
        let locked = bridge.state();
        assert_eq!(bridge.reset(), Effects::SMRAM);
        assert_eq!((byte(&mut bridge, 0x9d), byte(&mut bridge, 0x9e)), (0x02, 0x38));
        assert_eq!(set(&mut bridge, 0x9d, 1, 0x48), Effects::SMRAM);
        assert_eq!((byte(&mut bridge, 0x9d), bridge.tseg()), (0x4a, None));
        assert_eq!(bridge.restore(&locked), Ok(Effects::SMRAM));
        assert_eq!(bridge.tseg(), Some(2 * MIB));
        assert_eq!(set(&mut bridge, 0x9e, 1, 0x84), Effects::empty());
    }
}

#[test]
fn q35_answers_how_large_extended_tseg_is() {
    for rules in RULES {
        let mut bridge = q35(0x1234, rules);
        assert_eq!(word(&mut bridge, 0x50), 0x1234);
        let _ = set(&mut bridge, 0x50, 2, 0xfffe);
        assert_eq!(word(&mut bridge, 0x50), 0xfffe);
        let _ = set(&mut bridge, 0x50, 2, 0xffff);
        assert_eq!(word(&mut bridge, 0x50), 0x1234);
        let _ = set(&mut bridge, 0x50, 1, 0xff);
        assert_eq!(word(&mut bridge, 0x50), 0x12ff);
        let _ = set(&mut bridge, 0x51, 1, 0xff);
        assert_eq!(word(&mut bridge, 0x50), 0x1234);
        let _ = set(&mut bridge, 0x50, 2, 0);
        let _ = bridge.reset();
        assert_eq!(word(&mut bridge, 0x50), 0x1234);
    }
    let mut bridge = q35(0, Rules::Specification);
    let _ = set(&mut bridge, 0x50, 2, 0x5555);
    assert_eq!(word(&mut bridge, 0x50), 0, "there is none");
    let mut bridge = q35(0, Rules::Qemu11);
    let _ = set(&mut bridge, 0x50, 2, 0x5555);
    assert_eq!(word(&mut bridge, 0x50), 0x5555, "QEMU keeps what is written");
    let _ = set(&mut bridge, 0x50, 2, 0xffff);
    assert_eq!(word(&mut bridge, 0x50), 0);
}

#[test]
fn q35_answers_whether_smbase_can_be_ram() {
    for rules in RULES {
        let mut bridge = q35(16, rules);
        assert_eq!(byte(&mut bridge, 0x9c), 0);
        assert_eq!(set(&mut bridge, 0x9c, 1, 0xff), Effects::SMRAM);
        assert_eq!(byte(&mut bridge, 0x9c), 1);
        assert_eq!(set(&mut bridge, 0x9c, 1, 0xfd), Effects::empty());
        assert_eq!(byte(&mut bridge, 0x9c), 1, "only the lock is writable");
        assert_eq!(set(&mut bridge, 0x9c, 1, 0x02), Effects::SMRAM);
        assert_eq!(byte(&mut bridge, 0x9c), 2);
        assert_eq!(set(&mut bridge, 0x9c, 1, 0xff), Effects::empty());
        assert_eq!(byte(&mut bridge, 0x9c), 2, "and holds");
        let locked = bridge.state();
        assert_eq!(bridge.reset(), Effects::SMRAM);
        assert_eq!(byte(&mut bridge, 0x9c), 0);
        assert_eq!(set(&mut bridge, 0x9c, 1, 0xff), Effects::SMRAM);
        assert_eq!(bridge.reset(), Effects::SMRAM);
        assert_eq!(bridge.restore(&locked), Ok(Effects::SMRAM));
        assert_eq!(set(&mut bridge, 0x9c, 1, 0xff), Effects::empty());
        assert_eq!(byte(&mut bridge, 0x9c), 2);
    }
    for (rules, plain, lock) in [
        (Rules::Specification, 0x55, 2),
        (Rules::Qemu7, 0, 0),
        (Rules::Qemu11, 0x55, 2),
    ] {
        let mut bridge = q35(16, rules);
        let _ = set(&mut bridge, 0x9c, 1, 0x55);
        assert_eq!(byte(&mut bridge, 0x9c), plain, "{rules:?}");
        let _ = set(&mut bridge, 0x9c, 1, 0x56);
        assert_eq!(byte(&mut bridge, 0x9c), lock, "{rules:?}");
    }
    let mut bridge = q35(0, Rules::Specification);
    assert_eq!(set(&mut bridge, 0x9c, 1, 0xff), Effects::empty(), "there is none");
    assert_eq!(byte(&mut bridge, 0x9c), 0);
}

#[test]
fn q35_keeps_reserved_bits_of_pciexbar_clear() {
    let mut bridge = q35(0, Rules::Specification);
    let _ = set(&mut bridge, 0x60, 4, 0xb3ff_fff8);
    let _ = set(&mut bridge, 0x64, 4, u32::MAX);
    let read = |at| ConfigAccess::new(at, Width::Dword).unwrap();
    assert_eq!(
        (bridge.config_read(read(0x60)), bridge.config_read(read(0x64))),
        (0xb000_0000, 0xf)
    );
    assert_eq!(set(&mut bridge, 0x60, 1, 1), Effects::ECAM);
    let high = EcamWindow {
        base: 0xf_b000_0000,
        size: 256 * MIB,
    };
    assert_eq!(bridge.ecam(), Some(high));
    assert_eq!(set(&mut bridge, 0x64, 4, 1), Effects::ECAM);
    assert_eq!(bridge.ecam().unwrap().base, 0x1_b000_0000);
    assert_eq!(bridge.reset(), Effects::ECAM);
    assert_eq!(bridge.ecam(), None);
}

#[test]
fn q35_refuses_a_window_that_pciexbar_does_not_lead_to() {
    let window = |base, size| Some(EcamWindow { base, size });
    let restore = |pciexbar: u64, ecam| {
        let mut bridge = q35(0, Rules::Specification);
        let mut state = bridge.state();
        state.function.config[0x60..0x68].copy_from_slice(&pciexbar.to_le_bytes());
        state.ecam = ecam;
        let result = bridge.restore(&state);
        if let Err(error) = &result {
            let message = error.to_string();
            assert!(message.contains(&format!("{pciexbar:#x}")), "{message}");
            assert_eq!(bridge, q35(0, Rules::Specification), "it is unchanged");
            assert!(matches!(error, Q35StateError::Window { .. }));
        }
        result.ok()
    };
    let opened = Some(Effects::ECAM);
    assert_eq!(restore(0xe000_0001, window(0xe000_0000, 256 * MIB)), opened);
    assert_eq!(restore(0xe000_0001, window(0xb000_0000, 256 * MIB)), None);
    assert_eq!(restore(0xe000_0001, None), None);
    assert_eq!(restore(0xe000_0000, window(0xe000_0000, 256 * MIB)), None);
    assert_eq!(restore(0xe000_0000, None), Some(Effects::empty()));
    // A reserved length leaves any window that was one.
    for (base, size) in [
        (0xb000_0000, 256 * MIB),
        (0xb800_0000, 128 * MIB),
        (0xb400_0000, 64 * MIB),
        (0, 64 * MIB),
    ] {
        assert_eq!(restore(0xe000_0007, window(base, size)), opened, "{base:#x}");
    }
    assert_eq!(restore(0xe000_0007, None), Some(Effects::empty()));
    for (base, size) in [
        (0xb800_0000, 256 * MIB),
        (0xb400_0000, 128 * MIB),
        (0xb200_0000, 64 * MIB),
        (0xb000_0001, 256 * MIB),
        (0xb000_0000, 32 * MIB),
    ] {
        assert_eq!(restore(0xe000_0007, window(base, size)), None, "{base:#x}");
    }
}

#[test]
fn q35_comes_from_an_image() {
    let mut image = [0; 256];
    image[..4].copy_from_slice(&0x29c0_8086_u32.to_le_bytes());
    image[0x50..0x52].copy_from_slice(&[0x34, 0x12]);
    image[0x60..0x68].fill(0xff);
    image[0x90..0xa0].fill(0xff);
    let bridge = Q35::from_image(&image, Rules::Specification).unwrap();
    let registers = bridge.function().registers();
    assert_eq!(
        (registers.u16(0x50), registers.u32(0x60), registers.u32(0x64)),
        (0x1234, 0xb000_0000, 0)
    );
    assert_eq!((registers.u32(0x90), registers.u32(0x94) & 0xff_ffff), (0, 0));
    assert_eq!((registers.u16(0x9c), registers.u8(0x9e)), (0x0200, 0x38));
}
