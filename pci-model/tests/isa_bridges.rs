// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of the ISA bridges: where interrupts lead, which bits are software's, and what they open.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use pci_model::isa_bridge::{Ich9, Piix3, Piix4Pm, PirqRoute};
use pci_model::{ConfigAccess, ConfigSpace, Effects, Rules, Width};

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];

fn set(bridge: &mut impl ConfigSpace, offset: u16, width: Width, value: u32) -> Effects {
    bridge.config_write(ConfigAccess::new(offset, width).unwrap(), value)
}

fn byte(bridge: &mut impl ConfigSpace, offset: u16) -> u8 {
    let value = bridge.config_read(ConfigAccess::new(offset, Width::Byte).unwrap());
    u8::try_from(value).unwrap()
}

/// Offsets and values of bytes, but for zeros.
type Bytes = Vec<(u16, u8)>;

/// From 40h on, the bits that take what is written, and the values after a reset.
fn map(bridge: &mut impl ConfigSpace) -> (Bytes, Bytes) {
    let _ = bridge.reset();
    let initial: Vec<_> = (0x40..0x100).map(|offset| (offset, byte(bridge, offset))).collect();
    let writable = (0x40..0x100).map(|offset| {
        let _ = set(bridge, offset, Width::Byte, 0);
        let low = byte(bridge, offset);
        let _ = set(bridge, offset, Width::Byte, 0xff);
        (offset, low ^ byte(bridge, offset))
    });
    let writable = writable.filter(|(_, bits)| *bits != 0).collect();
    let _ = bridge.reset();
    assert_eq!(
        (0x40..0x100)
            .map(|offset| (offset, byte(bridge, offset)))
            .collect::<Vec<_>>(),
        initial
    );
    (writable, initial.into_iter().filter(|(_, bits)| *bits != 0).collect())
}

/// The bytes of registers, given as offset and value.
fn bytes(rows: &[(u16, u32)]) -> Bytes {
    let of = |&(at, value): &(u16, u32)| (at..).zip(value.to_le_bytes());
    rows.iter().flat_map(of).filter(|(_, bits)| *bits != 0).collect()
}

#[test]
fn piix3_has_the_registers_of_its_data_sheet() {
    let (writable, initial) = map(&mut Piix3::new((0x1af4, 0x1100), Rules::Specification).unwrap());
    let expected = [
        (0x4c, 0x7f),
        (0x4e, 0xffff),
        (0x60, 0x8f8f_8f8f),
        (0x69, 0xfe),
        (0x70, 0x8f),
        (0x76, 0x8f8f),
        (0x78, 0xffff),
        (0x80, 0x7f),
        (0x82, 0x0f),
        (0xa0, 0x1f),
        (0xa2, 0xff),
        (0xa4, 0xf000_ffff),
        (0xa8, 0xff),
        (0xaa, 0xffff),
        (0xac, 0xff),
        (0xae, 0xff),
    ];
    assert_eq!(writable, bytes(&expected));
    let expected = [
        (0x4c, 0x4d),
        (0x4e, 0x0003),
        (0x60, 0x8080_8080),
        (0x69, 0x02),
        (0x70, 0x80),
        (0x76, 0x0c0c),
        (0x78, 0x0002),
        (0xa0, 0x08),
        (0xa8, 0x0f),
    ];
    assert_eq!(initial, bytes(&expected));
}

#[test]
fn ich9_has_the_registers_of_its_data_sheet() {
    let (writable, initial) = map(&mut Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap());
    let expected = [
        (0x40, 0xff80),
        (0x44, 0x87),
        (0x60, 0x8f8f_8f8f),
        (0x68, 0x8f8f_8f8f),
        (0x80, 0x3f0f_1377),
        (0xa0, 0x06bf),
        (0xdc, 0x0f),
        (0xf0, 0xffff_c001),
    ];
    assert_eq!(writable, bytes(&expected));
    assert_eq!(initial, bytes(&[(0x40, 1), (0x60, 0x8080_8080), (0x68, 0x8080_8080)]));
}

#[test]
fn piix4_has_the_registers_of_its_data_sheet() {
    let (writable, initial) = map(&mut Piix4Pm::new((0x1af4, 0x1100), Rules::Specification).unwrap());
    let expected = [
        (0x40, 0xffc0),
        (0x58, u32::MAX),
        (0x5c, u32::MAX),
        (0x80, 0x01),
        (0x90, 0xfff0),
        (0xd2, 0x0f),
    ];
    assert_eq!(writable, bytes(&expected));
    let expected = [(0x40, 1), (0x58, 1 << 25), (0x5c, 0x1000_0000), (0x90, 1), (0xd2, 9)];
    assert_eq!(initial, bytes(&expected));
}

/// All that is no register with a meaning is storage; those are reset.
#[test]
fn qemu_keeps_what_is_written() {
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        let mut ich9 = Ich9::new((0x1af4, 0x1100), rules).unwrap();
        let mut piix3 = Piix3::new((0x1af4, 0x1100), rules).unwrap();
        for (offset, ich9_after, piix3_after) in [
            (0x40, 0x01, 0xff),
            (0x44, 0x00, 0xff),
            (0x4c, 0xff, 0x4d),
            (0x60, 0x80, 0x80),
            (0x68, 0x80, 0xff),
            (0xa2, 0xff, 0x00),
            (0xf0, 0x00, 0xff),
            (0xff, 0xff, 0xff),
        ] {
            let _ = set(&mut ich9, offset, Width::Byte, 0xff);
            let _ = set(&mut piix3, offset, Width::Byte, 0xff);
            if offset != 0x40 {
                assert_eq!((byte(&mut ich9, offset), byte(&mut piix3, offset)), (0xff, 0xff));
            }
            let _ = (ich9.reset(), piix3.reset());
            let after = (byte(&mut ich9, offset), byte(&mut piix3, offset));
            assert_eq!(after, (ich9_after, piix3_after), "{offset:#x}");
        }
    }
}

#[test]
fn each_line_has_its_own_route() {
    for rules in RULES {
        for line in 0..8 {
            let mut bridge = Ich9::new((0x1af4, 0x1100), rules).unwrap();
            let register = if line < 4 { 0x60 } else { 0x68 } + u16::from(line % 4);
            assert_eq!(set(&mut bridge, register, Width::Byte, 0x0b), Effects::PIRQ);
            for other in 0..8 {
                let expected = if other == line {
                    PirqRoute::Isa(11)
                } else {
                    PirqRoute::Disconnected
                };
                assert_eq!(bridge.route(other), expected, "{line} and {other}");
            }
            assert_eq!(Ich9::gsi(line), 16 + line);
            let saved = bridge.state();
            assert_eq!(bridge.reset(), Effects::PIRQ);
            assert_eq!(bridge.restore(&saved), Ok(Effects::PIRQ));
        }
        for line in 0..4 {
            let mut bridge = Piix3::new((0x1af4, 0x1100), rules).unwrap();
            assert_eq!(
                set(&mut bridge, 0x60 + u16::from(line), Width::Byte, 0x0b),
                Effects::PIRQ
            );
            for other in 0..4 {
                let expected = if other == line {
                    PirqRoute::Isa(11)
                } else {
                    PirqRoute::Disconnected
                };
                assert_eq!(bridge.route(other), expected, "{line} and {other}");
            }
            let saved = bridge.state();
            assert_eq!(bridge.reset(), Effects::PIRQ);
            assert_eq!(bridge.restore(&saved), Ok(Effects::PIRQ));
        }
    }
}

#[test]
fn pins_are_swizzled_by_device() {
    for device in 0..25 {
        for pin in 1..=4 {
            assert_eq!(Ich9::line(device, pin), 4 + (device + pin - 1) % 4);
            assert_eq!(Piix3::line(device, pin), (device + pin + 2) % 4);
        }
    }
}

#[test]
fn a_route_is_one_of_sixteen_interrupts() {
    for bits in 0..=255 {
        let expected = if bits < 16 {
            PirqRoute::Isa(bits)
        } else {
            PirqRoute::Disconnected
        };
        assert_eq!(PirqRoute::from_bits(bits), expected);
    }
}

#[test]
fn ich9_chooses_the_interrupt_of_acpi() {
    for (select, interrupt) in [
        (0, Some(9)),
        (1, Some(10)),
        (2, Some(11)),
        (3, None),
        (4, Some(20)),
        (5, Some(21)),
        (6, None),
        (7, None),
    ] {
        let mut bridge = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let _ = set(&mut bridge, 0x40, Width::Dword, 0xffff_0681);
        assert_eq!(set(&mut bridge, 0x44, Width::Byte, 0x80 | select), Effects::ACPI);
        assert_eq!(
            bridge.acpi(),
            interrupt.map(|interrupt| (0x0680, interrupt)),
            "{select}"
        );
    }
}

#[test]
fn ich9_locks_system_management_interrupts() {
    for rules in RULES {
        let mut bridge = Ich9::new((0x1af4, 0x1100), rules).unwrap();
        let _ = set(&mut bridge, 0xa0, Width::Byte, 0x10);
        let locked = bridge.state();
        let _ = set(&mut bridge, 0xa0, Width::Byte, 0x01);
        assert_eq!(byte(&mut bridge, 0xa0), 0x11, "{rules:?}");
        let mut other = Ich9::new((0x1af4, 0x1100), rules).unwrap();
        assert_eq!(other.restore(&locked), Ok(Effects::empty()));
        let _ = set(&mut other, 0xa0, Width::Byte, 0);
        assert_eq!(byte(&mut other, 0xa0), 0x10, "{rules:?}");
    }
}

#[test]
fn ich9_shows_the_ports_of_an_image() {
    let mut image = [0; 256];
    for (to, from) in image.iter_mut().skip(0x7f).zip([0xff, 0x12, 0x34, 0x56, 0x78, 0xff]) {
        *to = from;
    }
    let mut bridge = Ich9::from_image(&image, Rules::Qemu11).unwrap();
    let read = [0x80, 0x81, 0x82, 0x83].map(|offset| byte(&mut bridge, offset));
    assert_eq!(read, [0x12, 0x34, 0x56, 0x78]);
}
