// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What of each capability software can change, and what its changes do.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use pci_model::{
    Capability, ConfigAccess, ConfigSpace, Effects, Express, ExpressKind, Function, FunctionBuilder, Identity, Msi,
    PowerManagement, PowerState, Rules, Width, capabilities,
};

const AT: u16 = 0x40;

fn function(capability: Capability<'_>, rules: Rules) -> Function<256> {
    let identity = Identity {
        vendor: 0x8086,
        ..Identity::default()
    };
    FunctionBuilder::new(identity)
        .rules(rules)
        .capability_at(AT, capability)
        .and_then(FunctionBuilder::build)
        .unwrap()
}

fn write(function: &mut Function<256>, offset: u16, len: usize, value: u32) -> Effects {
    function.config_write(ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap(), value)
}

/// The bits of a word that stay when ones are written.
fn written(function: &mut Function<256>, offset: u16) -> u16 {
    let _ = write(function, offset, 2, 0xffff);
    function.registers().u16(offset)
}

mod advanced_features {
    use super::*;

    fn advanced(capabilities: u8) -> Function<256> {
        let mut function = function(Capability::Other(0x13, &[6, capabilities, 0, 0]), Rules::Specification);
        assert_eq!(write(&mut function, 0x04, 2, 4), Effects::BUS_MASTER);
        function
    }

    const RESET: Effects = Effects::FUNCTION_RESET.union(Effects::BUS_MASTER);

    #[test]
    fn bit_0_of_control_resets_the_function() {
        for (offset, len, value) in [
            (AT + 4, 1, 1),
            (AT + 4, 1, 0xff),
            (AT + 4, 2, 1),
            (AT + 4, 4, 1),
            (AT + 2, 4, 0x1_0000),
            (AT + 3, 2, 0x100),
            (AT + 1, 4, 0x0100_0000),
        ] {
            let mut function = advanced(3);
            assert_eq!(
                write(&mut function, offset, len, value),
                RESET,
                "{offset:#x} {value:#x}"
            );
            assert_eq!(function.registers().u16(0x04), 0);
            assert_eq!(function.registers().u8(AT + 4), 0, "it reads as zero");
        }
    }

    #[test]
    fn other_bits_and_bytes_do_not() {
        for (offset, len, value) in [
            (AT + 4, 1, 0xfe),
            (AT, 4, u32::MAX),
            (AT + 5, 1, 0xff),
            (AT + 4, 2, 0x0100),
            (AT + 8, 4, u32::MAX),
            (AT + 2, 2, 0x1_0000),
        ] {
            assert_eq!(
                write(&mut advanced(3), offset, len, value),
                Effects::empty(),
                "{offset:#x}"
            );
        }
    }

    #[test]
    fn a_function_that_is_not_able_to_reset_does_not() {
        for capabilities in [0, 1, 0xfd] {
            assert_eq!(write(&mut advanced(capabilities), AT + 4, 1, 1), Effects::empty());
        }
        assert_eq!(write(&mut advanced(2), AT + 4, 1, 1), RESET);
    }
}

mod express {
    use super::*;

    fn express(device_capabilities: u32, device_capabilities_2: u32) -> Function<256> {
        let express = Express {
            kind: ExpressKind::RootComplexIntegratedEndpoint,
            device_capabilities,
            device_capabilities_2,
        };
        function(Capability::Express(express), Rules::Specification)
    }

    #[test]
    fn device_control_follows_device_capabilities() {
        for (capabilities, expected) in [
            (0, 0x7cff),
            (1 << 3, 0x7eff),
            (1 << 4, 0x7eff),
            (1 << 5, 0x7dff),
            (0b111 << 3, 0x7fff),
            (!(1 << 28 | 0b111 << 3), 0x7cff),
        ] {
            let control = written(&mut express(capabilities, u32::MAX), AT + 8);
            assert_eq!(control, expected, "{capabilities:#x}");
        }
    }

    #[test]
    fn device_control_2_follows_device_capabilities_2() {
        let rows = [
            (0, 0x000f),
            (1, 0x000f),
            (2, 0x000f),
            (3, 0x000f),
            (4, 0x0010),
            (5, 0x0020),
            (11, 0x0400),
            (17, 0x1000),
            (18, 0x6000),
            (19, 0x6000),
            (21, 0x8000),
        ];
        for (bit, expected) in rows {
            let control = written(&mut express(!(1 << 28), 1 << bit), AT + 0x28);
            assert_eq!(control, expected, "bit {bit}");
        }
        let others = rows.iter().fold(u32::MAX, |others, (bit, _)| others & !(1 << bit));
        assert_eq!(written(&mut express(0, others), AT + 0x28), 0);
        assert_eq!(written(&mut express(0, u32::MAX), AT + 0x28), 0xf43f);
    }

    #[test]
    fn errors_are_cleared_by_writing_one() {
        let mut function = express(0, 0);
        function.registers_mut().set_now(AT + 0x0a, &[0x3f]);
        let _ = write(&mut function, AT + 0x0a, 1, 0x05);
        assert_eq!(function.registers().u8(AT + 0x0a), 0x3a);
        let _ = write(&mut function, AT + 0x0a, 1, 0xff);
        assert_eq!(function.registers().u8(AT + 0x0a), 0x30);
    }

    /// An image of a capability with this word of capabilities, all others ones.
    fn image(capabilities: u16) -> [u8; 256] {
        let mut image = [0; 256];
        image[0x06] = 0x10;
        image[0x34] = 0x40;
        image[0x40] = 0x10;
        image[0x42..0x44].copy_from_slice(&capabilities.to_le_bytes());
        image[0x44..0x48].fill(0xff);
        image[0x64..0x68].fill(0xff);
        image
    }

    #[test]
    fn an_endpoint_behind_a_port_has_a_link() {
        for (kind, expected) in [(0, 0x01cb), (1, 0x01cb), (2, 0), (4, 0), (9, 0), (0xa, 0)] {
            let mut function = FunctionBuilder::from_image(&image(2 | kind << 4)).build().unwrap();
            assert_eq!(written(&mut function, AT + 0x10), expected, "kind {kind}");
        }
        for (kind, code) in [
            (ExpressKind::Endpoint, 0x02),
            (ExpressKind::LegacyEndpoint, 0x12),
            (ExpressKind::RootComplexIntegratedEndpoint, 0x92),
        ] {
            let express = Express {
                kind,
                device_capabilities: 0x1234_5678,
                device_capabilities_2: 0x9abc_def0,
            };
            let function = function(Capability::Express(express), Rules::Specification);
            let registers = function.registers();
            assert_eq!(registers.u16(AT + 2), code);
            assert_eq!(
                (registers.u32(AT + 4), registers.u32(AT + 0x24)),
                (0x1234_5678, 0x9abc_def0)
            );
        }
    }

    #[test]
    fn control_2_comes_with_version_2() {
        for (version, expected) in [(1, 0), (2, 0xf43f), (3, 0xf43f)] {
            let mut function = FunctionBuilder::from_image(&image(version)).build().unwrap();
            assert_eq!(written(&mut function, AT + 0x28), expected, "version {version}");
        }
        for (version, expected) in [(1, 0xffff), (2, 0x8000)] {
            let builder = FunctionBuilder::from_image(&image(version)).rules(Rules::Qemu11);
            let mut function = builder.build().unwrap();
            assert_eq!(written(&mut function, AT + 0x28), expected, "QEMU, version {version}");
            let _ = function.reset();
            assert_eq!(function.registers().u16(AT + 0x28), expected, "and no reset clears it");
        }
    }
}

mod power {
    use super::*;

    fn power(pmc: u16) -> Function<256> {
        let power = PowerManagement {
            pmc,
            no_soft_reset: true,
        };
        function(Capability::PowerManagement(power), Rules::Specification)
    }

    #[test]
    fn states_are_told_apart() {
        let mut function = power(0b11 << 9);
        for (bits, state) in [(1, PowerState::D1), (2, PowerState::D2), (3, PowerState::D3Hot)] {
            assert_eq!(write(&mut function, AT + 4, 2, bits), Effects::POWER);
            assert_eq!(function.power_state(), state);
        }
        assert_eq!(write(&mut function, AT + 4, 2, 0), Effects::POWER);
        assert_eq!(function.power_state(), PowerState::D0);
    }

    #[test]
    fn a_state_that_is_not_there_is_not_entered() {
        for (pmc, bits) in [(1 << 10, 1), (1 << 9, 2)] {
            let mut function = power(pmc);
            assert_eq!(write(&mut function, AT + 4, 2, bits), Effects::empty());
            assert_eq!(function.power_state(), PowerState::D0);
        }
    }

    #[test]
    fn events_can_be_enabled_where_there_are_any() {
        assert_eq!(written(&mut power(0), AT + 4), 0x000b);
        for pmc in [1 << 11, 1 << 15] {
            let mut function = power(pmc);
            function.registers_mut().set_now(AT + 5, &[0x80]);
            assert_eq!(function.registers().u16(AT + 4), 0x8008);
            assert_eq!(written(&mut function, AT + 4), 0x1f0b);
        }
    }
}

#[test]
fn a_capability_ends_where_its_kind_says() {
    // QEMU leaves all that is no capability's to software, and no reset clears it.
    let first_free = |body: &[u8]| {
        let mut image = [0; 256];
        image[0x06] = 0x10;
        image[0x34] = 0x40;
        image[0x40..0x40 + body.len()].copy_from_slice(body);
        let builder = FunctionBuilder::from_image(&image).rules(Rules::Qemu11);
        let placed = builder.clone().capability(Capability::Other(0x42, &[0; 2])).unwrap();
        let next = capabilities(placed.build().unwrap().registers().bytes())
            .last()
            .unwrap();
        let mut function = builder.build().unwrap();
        for offset in 0x41..0x100 {
            let _ = write(&mut function, offset, 1, 0xff);
        }
        let _ = function.reset();
        let bytes = function.registers().bytes();
        let free = (0x41..0x100).find(|offset| bytes[usize::from(*offset)..].iter().all(|byte| *byte == 0xff));
        (free.unwrap() - AT, u16::from(next.offset) - AT)
    };
    for (body, length) in [
        (&[0x01, 0, 0, 0, 0, 0, 0, 0][..], 8_u16),
        (&[0x03], 8),
        (&[0x04], 4),
        (&[0x05, 0, 0x00, 0], 0x0a),
        (&[0x05, 0, 0x80, 0], 0x0e),
        (&[0x05, 0, 0x00, 1], 0x14),
        (&[0x05, 0, 0x80, 1], 0x18),
        (&[0x09, 0, 0], 3),
        (&[0x09, 0, 2], 3),
        (&[0x09, 0, 4], 4),
        (&[0x09, 0, 0x21], 0x21),
        (&[0x0d], 8),
        (&[0x10, 0, 1, 0], 0x14),
        (&[0x10, 0, 2, 0], 0x3c),
        (&[0x11, 0, 7, 0], 12),
        (&[0x12], 8),
        (&[0x13], 6),
        (&[0x42], 2),
    ] {
        assert_eq!(first_free(body), (length, length.next_multiple_of(4)), "{body:x?}");
    }
}

#[test]
fn pending_and_mask_bits_are_as_many_as_vectors() {
    for (vectors, bits) in [(1, 1), (2, 3), (4, 0xf), (8, 0xff), (16, 0xffff), (32, u32::MAX)] {
        for (wide, mask) in [(false, AT + 0xc), (true, AT + 0x10)] {
            let msi = Msi::new(vectors, wide, true).unwrap();
            let mut function = function(Capability::Msi(msi), Rules::Specification);
            let _ = write(&mut function, mask, 4, u32::MAX);
            assert_eq!(function.registers().u32(mask), bits, "{vectors}");
            let _ = write(&mut function, mask + 4, 4, u32::MAX);
            assert_eq!(function.registers().u32(mask + 4), 0, "pending bits are the device's");
        }
    }
}

#[test]
fn a_capability_may_end_where_the_space_does() {
    let power = PowerManagement {
        pmc: 0,
        no_soft_reset: true,
    };
    for (offset, is_there) in [(0xf8_u8, true), (0xfc, false)] {
        let mut image = [0; 256];
        image[0x06] = 0x10;
        image[0x34] = offset;
        image[usize::from(offset)] = 0x01;
        let mut function = FunctionBuilder::from_image(&image).build().unwrap();
        let _ = write(&mut function, 0xfc, 2, 3);
        assert_eq!(function.power_state() == PowerState::D3Hot, is_there, "{offset:#x}");
    }
    let builder = FunctionBuilder::<256>::from_image(&[0; 256]);
    assert!(builder.capability_at(0xf8, Capability::PowerManagement(power)).is_ok());
}

#[test]
fn a_place_that_two_capabilities_of_an_image_share_is_taken() {
    let mut image = [0; 256];
    image[0x06] = 0x10;
    image[0x34] = 0x40;
    image[0x40..0x44].copy_from_slice(&[0x05, 0x44, 0x80, 1]);
    image[0x44] = 0x42;
    let builder = FunctionBuilder::from_image(&image);
    let other = Capability::Other(0x42, &[0; 2]);
    for (offset, is_free) in [(0x40, false), (0x44, false), (0x48, false), (0x54, false), (0x58, true)] {
        assert_eq!(
            builder.clone().capability_at(offset, other).is_ok(),
            is_free,
            "{offset:#x}"
        );
    }
}

#[test]
fn a_function_knows_its_rules() {
    for rules in [Rules::Specification, Rules::Qemu7, Rules::Qemu11] {
        let builder = FunctionBuilder::<256>::from_image(&[0; 256]).rules(rules);
        assert_eq!(builder.build().unwrap().rules(), rules);
    }
}

#[test]
fn what_software_left_in_an_image_is_dropped() {
    let mut image = [0; 256];
    image[0x04..0x08].copy_from_slice(&[0x47, 0x05, 0x18, 0xf9]);
    image[0x34] = 0x40;
    for (at, bytes) in [
        (0x40, &[0x01, 0x50, 0, 0xf8, 0x0b, 0x81][..]),
        (0x50, &[0x05, 0x70, 0xf7, 0x01]),
        (0x54, &[0xff; 0x14]),
        (0x70, &[0x11, 0x80, 0x07, 0xc0]),
        (0x80, &[0x10, 0x00, 0x92, 0x00]),
        (0x88, &[0xff, 0x7f, 0x0f, 0x00]),
    ] {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let mut function: Function<256> = FunctionBuilder::from_image(&image).build().unwrap();
    for when in ["at first", "after a reset"] {
        let registers = function.registers();
        // What is not software's stays: parity response, the list, and what the capabilities say of themselves.
        assert_eq!((registers.u16(0x04), registers.u16(0x06)), (0x0040, 0x0010), "{when}");
        assert_eq!((registers.u16(0x42), registers.u16(0x44)), (0xf800, 0x0008), "{when}");
        assert_eq!(registers.u16(0x52), 0x0186, "{when}");
        assert_eq!((registers.u32(0x54), registers.u32(0x58)), (3, 0), "{when}");
        assert_eq!(registers.u16(0x5c), 0, "{when}");
        assert_eq!(registers.u16(0x72), 0x0007, "{when}");
        assert_eq!(registers.u16(0x8a), 0, "{when}");
        let _ = function.reset();
    }
}
