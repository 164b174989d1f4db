// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Any setup under any accesses, against a guest's view kept as plain bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

use igd_quirks::device::{BdsmSetup, DeviceRules, DeviceSetup, GttPortSetup, IgdDevice, Redirect};
use pci_model::carve::Span;
use pci_model::{ConfigAccess, Width};
use proptest::option;
use proptest::prelude::*;

fn setup() -> impl Strategy<Value = DeviceSetup> {
    let bdsm = prop_oneof![
        Just(BdsmSetup::Hardware),
        any::<u32>().prop_map(BdsmSetup::Dword),
        any::<u64>().prop_map(BdsmSetup::Qword),
    ];
    let gtt_port =
        (any::<u32>(), any::<u8>(), any::<u32>()).prop_map(|(host_bdsm, entry_size, index_end)| GttPortSetup {
            host_bdsm,
            entry_size,
            index_end,
        });
    let rules = prop_oneof![Just(DeviceRules::Native), Just(DeviceRules::Qemu)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let bar0 = prop_oneof![0x10_8038_u64..0x10_80d0, any::<u64>()];
    let redirect = (bar0, any::<u16>(), any::<u16>()).prop_map(|(bar0, config, len)| Redirect { bar0, config, len });
    let redirects = proptest::collection::vec(redirect, 0..3);
    (
        (
            option::of(any::<u16>()),
            option::of(any::<u16>()),
            bdsm,
            option::of(any::<u32>()),
        ),
        (flags, option::of(gtt_port), rules, redirects),
    )
        .prop_map(
            |((ggc, ggc_high, bdsm, asls), ((ggc_mirror, bdsm_mirror, hide_swsci), gtt_port, rules, redirects))| {
                DeviceSetup {
                    ggc,
                    ggc_high,
                    bdsm,
                    asls,
                    ggc_mirror,
                    bdsm_mirror,
                    hide_swsci,
                    redirects,
                    gtt_port,
                    rules,
                }
            },
        )
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Config { offset: u16, width: Width, value: u32 },
    Bar0 { offset: u64, len: usize, value: u64 },
    Bar4 { offset: u64, len: usize, value: u32 },
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    let width = prop_oneof![Just(Width::Byte), Just(Width::Word), Just(Width::Dword)];
    let near_bar0 = prop_oneof![0x10_8038_u64..0x10_80d0, any::<u64>()];
    prop_oneof![
        8 => (0x48_u16..0x100, width, any::<u32>()).prop_map(|(offset, width, value)| Op::Config { offset, width, value }),
        4 => (near_bar0, 0_usize..10, any::<u64>()).prop_map(|(offset, len, value)| Op::Bar0 { offset, len, value }),
        4 => (0_u64..12, 0_usize..6, any::<u32>()).prop_map(|(offset, len, value)| Op::Bar4 { offset, len, value }),
        1 => Just(Op::Reset),
    ]
}

/// What a guest sees in configuration space: the device's bytes where it has any, else those of the hardware.
fn view(igd: &IgdDevice, hardware: &[u8; 512]) -> [u8; 512] {
    core::array::from_fn(|offset| {
        let at = ConfigAccess::new(u16::try_from(offset).unwrap(), Width::Byte).unwrap();
        u8::try_from(igd.config_read(at, hardware[offset].into())).unwrap()
    })
}

proptest! {
    #[test]
    fn every_byte_is_the_devices_or_the_hardwares(
        setup in setup(),
        ops in proptest::collection::vec(op(), 1..40),
        fill in any::<u8>(),
    ) {
        let mut igd = IgdDevice::new(&setup);
        let mut hardware = [fill; 512];
        for op in ops {
            match op {
                Op::Config { offset, width, value } => {
                    let at = ConfigAccess::new(offset, width).unwrap();
                    let before = view(&igd, &hardware);
                    let write = igd.config_write(at, value);
                    let mut seen = 0;
                    for (at, value) in write.forwards() {
                        prop_assert!(usize::from(at.offset()).is_multiple_of(at.width().len()));
                        for (lane, byte) in value.to_le_bytes().into_iter().take(at.width().len()).enumerate() {
                            hardware[usize::from(at.offset()) + lane] = byte;
                            seen += 1;
                        }
                    }
                    let owned = igd.config_owns(at).count_ones() / 8;
                    if setup.rules == DeviceRules::Native {
                        prop_assert_eq!(seen + owned, u32::try_from(width.len()).unwrap());
                    }
                    prop_assert_eq!(write.event().is_some(), owned != 0);
                    let after = view(&igd, &hardware);
                    for (byte, (before, after)) in before.into_iter().zip(after).enumerate() {
                        let lane = byte.wrapping_sub(offset.into());
                        if lane >= width.len() {
                            prop_assert_eq!(before, after, "byte {:#x} was not written", byte);
                            continue;
                        }
                        let written = value.to_le_bytes()[lane];
                        let is_read_only = setup.ggc.is_some() && (0x50..0x52).contains(&byte)
                            || setup.ggc_high.is_some() && (0x52..0x54).contains(&byte)
                            || setup.hide_swsci && (0xe8..0xea).contains(&byte);
                        prop_assert_eq!(after, if is_read_only { before } else { written }, "byte {:#x}", byte);
                    }
                    // A wide read is its bytes.
                    let wide = hardware[usize::from(offset)..][..width.len()].iter().rev();
                    let wide = wide.fold(0, |value, byte| value << 8 | u32::from(*byte));
                    let bytes = igd.config_read(at, wide).to_le_bytes();
                    prop_assert_eq!(&bytes[..width.len()], &after[usize::from(offset)..][..width.len()]);
                }
                Op::Bar0 { offset, len, value } => {
                    let owns = igd.bar0_owns(offset, len);
                    let write = igd.bar0_write(offset, len, value);
                    let mut forwarded = 0;
                    for (at, part, value) in write.forwards() {
                        prop_assert!(at.is_multiple_of(part as u64) && at >= offset && value >> (4 * part) >> (4 * part) == 0);
                        forwarded += part;
                    }
                    let lanes = usize::try_from(owns.count_ones() / 8).unwrap();
                    let mut redirected = 0;
                    for ((first, at), (written_at, part)) in igd.bar0_redirects(offset, len).zip(write.redirects()) {
                        let ones = u64::from(at.width().ones());
                        prop_assert_eq!(at, written_at);
                        prop_assert!((offset + first as u64).is_multiple_of(at.width().len() as u64));
                        prop_assert_eq!(u64::from(part), value >> (8 * first) & ones);
                        prop_assert_eq!(owns >> (8 * first) & ones, 0);
                        redirected += at.width().len();
                    }
                    if offset.checked_add(8).is_some() {
                        prop_assert_eq!(forwarded + redirected + lanes, len.min(8));
                        let end = offset + len.min(8) as u64;
                        let touches = |trap: Span| trap.offset.max(offset) < end.min(trap.offset.saturating_add(trap.len));
                        let trapped = igd.bar0_traps().any(touches);
                        prop_assert!(trapped || lanes + redirected == 0, "an emulated byte that does not trap");
                    }
                    prop_assert_eq!(igd.bar0_read(offset, len, 0) & !owns, 0);
                }
                Op::Bar4 { offset, len, value } => {
                    if value % 3 == 0 {
                        igd.bar4_read(offset);
                    }
                    let _ = igd.bar4_write(offset, len, value);
                }
                Op::Reset => {
                    igd.reset();
                    if setup.rules == DeviceRules::Native {
                        prop_assert_eq!(&igd, &IgdDevice::new(&setup));
                    }
                }
            }
            let mut copy = IgdDevice::new(&setup);
            prop_assert_eq!(copy.restore(&igd.state()), Ok(()));
            prop_assert_eq!(&copy, &igd);
        }
    }

    #[test]
    fn a_state_of_another_setup_changes_nothing(one in setup(), other in setup()) {
        let mut igd = IgdDevice::new(&one);
        let before = igd.clone();
        let state = IgdDevice::new(&other).state();
        match igd.restore(&state) {
            Ok(()) => prop_assert_eq!(igd.state(), state),
            Err(_) => prop_assert_eq!(igd, before),
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_state_survives_its_bytes(setup in setup(), bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        use igd_quirks::device::IgdDeviceStateV1;

        let state = IgdDevice::new(&setup).state();
        let saved = postcard::to_allocvec(&state).unwrap();
        prop_assert_eq!(postcard::from_bytes::<IgdDeviceStateV1>(&saved).unwrap(), state);
        let text = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<IgdDeviceStateV1>(&text).unwrap(), state);
        if let Ok(hostile) = postcard::from_bytes::<IgdDeviceStateV1>(&bytes) {
            let _ = IgdDevice::new(&setup).restore(&hostile);
        }
    }
}

#[test]
fn refusals_name_the_value() {
    let state = |setup: &DeviceSetup| IgdDevice::new(setup).state();
    let plain = DeviceSetup::default();
    let ggc = DeviceSetup {
        ggc: Some(0x02c1),
        ..DeviceSetup::default()
    };
    let bdsm = DeviceSetup {
        bdsm: BdsmSetup::Qword(0x1234),
        ..DeviceSetup::default()
    };
    let asls = DeviceSetup {
        asls: Some(0xabc0),
        ..DeviceSetup::default()
    };
    let mut index = state(&plain);
    index.gtt_index = 0x41;
    for (state, text) in [
        (state(&ggc), "register GGC is None here and Some(2c1) in the state"),
        (
            state(&bdsm),
            "the base of stolen memory is Hardware here and Qword(1234) in the state",
        ),
        (
            state(&asls),
            "ASLS is Some(abc0) in the state, and is emulated in one of the two only",
        ),
        (index, "GTT index 0x41 in the state, but the ports are not emulated"),
    ] {
        let error = IgdDevice::new(&plain).restore(&state).unwrap_err();
        assert_eq!(error.to_string(), text);
    }
}
