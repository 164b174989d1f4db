// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Nothing panics and nothing hangs, whatever a device's image holds and whatever the guest does.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

#[path = "support/display.rs"]
mod display;

use display::{bdf, display};
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::isa_bridge::{Ich9, Piix3, PirqRoute};
use pci_model::{
    Bar, BarKind, BuildError, Bus, Capability, ConfigAccess, ConfigMechanism, ConfigSpace, Ecam, Express, ExpressKind,
    Function, FunctionBuilder, Msi, MsixTable, PowerManagement, ResetControl, Rules, Width, capabilities,
    extended_capabilities, hide_capability, hide_extended_capability,
};
use proptest::collection::vec;
use proptest::prelude::*;

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];

type Access = (u16, usize, u32);

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let offset = prop_oneof![0_u16..0x110, 0_u16..0xffd, 0x40_u16..0x100];
    let value = prop_oneof![any::<u32>(), Just(u32::MAX), Just(0)];
    vec((offset, prop_oneof![Just(1_usize), Just(2), Just(4)], value), 0..40)
}

/// Bytes of anything, with capabilities likely: the list bit set, and ids that mean something.
fn image<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    let capability = (
        prop_oneof![0x40_u8..=0xff, Just(0xf8), Just(0xfc)],
        0_u8..0x16,
        any::<u8>(),
    );
    (vec(any::<u8>(), N), any::<bool>(), vec(capability, 0..8), 0_u8..3).prop_map(|(bytes, listed, list, header)| {
        let mut image = [0; N];
        image.copy_from_slice(&bytes);
        if listed {
            image[0x06] |= 0x10;
            image[0x0e] = image[0x0e] & 0x80 | header;
            let mut link = 0x34;
            for (at, id, next) in list {
                let at = at & 0xfc;
                image[link] = at;
                image[usize::from(at)] = id;
                image[usize::from(at) + 1] = next;
                link = usize::from(at) + 1;
            }
        }
        image
    })
}

fn at(offset: u16, len: usize) -> ConfigAccess {
    ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap()
}

fn is_route(route: PirqRoute) -> bool {
    !matches!(route, PirqRoute::Isa(16..))
}

fn storm(space: &mut impl ConfigSpace, accesses: &[Access]) {
    for &(offset, len, value) in accesses {
        let _ = space.config_write(at(offset, len), value);
        let read = space.config_read(at(offset, len));
        assert_eq!(read & !Width::from_len(len).unwrap().ones(), 0, "zero-extended");
        assert!(space.bar_map().iter().all(|(_, range)| range.start() != 0));
        if value % 17 == 0 {
            let _ = space.reset();
        }
    }
}

fn storm_function<const N: usize>(function: &mut Function<N>, accesses: &[Access]) {
    for chunk in accesses.chunks(4) {
        storm(function, chunk);
        for &(offset, _, value) in chunk {
            let _ = function.set_intx(value & 1 != 0);
            let _ = function.fire_msi(offset.to_le_bytes()[0]);
            // Each message that is taken clears a pending bit.
            assert!((0..33).any(|_| function.take_pending_msi().is_none()));
            assert!(function.msi().is_none_or(|msi| (1..=32).contains(&msi.vectors)));
            let _ = (
                function.msix(),
                function.power_state(),
                function.capability(offset.to_le_bytes()[0]),
            );
        }
    }
    let state = function.state();
    assert!(function.restore(&state).is_ok());
    assert_eq!(function.state(), state);
}

fn build<const N: usize>(image: &[u8; N], rules: Rules) -> Result<Function<N>, BuildError> {
    let mut builder = FunctionBuilder::from_image(image).rules(rules);
    for (index, kind, size) in [
        (0, BarKind::Memory32 { prefetchable: false }, 0x1000),
        (1, BarKind::Io, 0x40),
        (6, BarKind::Rom, 0x1_0000),
    ] {
        builder = builder.bar(index, Bar::new(kind, size)?)?;
    }
    builder.build()
}

fn check<const N: usize>(image: &[u8; N], rules: Rules, accesses: &[Access]) {
    match build(image, rules) {
        Ok(mut function) => {
            assert_eq!(
                function.bar_map(),
                pci_model::BarMap::EMPTY,
                "a function starts undecoded"
            );
            assert!(!function.intx_level());
            let power_on = function.state();
            let _ = function.reset();
            assert_eq!(function.state(), power_on, "it starts as a reset leaves it");
            storm_function(&mut function, accesses);
        }
        Err(error) => assert!(matches!(error, BuildError::HeaderType(_)), "{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_image_makes_a_function_or_an_error(image in image::<256>(), accesses in accesses()) {
        for rules in RULES {
            check(&image, rules, &accesses);
        }
    }

    #[test]
    fn any_extended_image_makes_a_function_or_an_error(image in image::<4096>(), accesses in accesses()) {
        for rules in RULES {
            check(&image, rules, &accesses);
        }
    }

    #[test]
    fn any_image_makes_a_bridge_or_an_error(image in image::<256>(), accesses in accesses()) {
        for rules in RULES {
            if let Ok(mut bridge) = I440Fx::from_image(&image, rules) {
                storm(&mut bridge, &accesses);
                prop_assert_eq!(bridge.pam().segments().count(), 13);
                let state = bridge.state();
                prop_assert!(bridge.restore(&state).is_ok());
            }
            if let Ok(mut hub) = Q35::from_image(&image, rules) {
                storm(&mut hub, &accesses);
                let _ = (hub.pam(), hub.smram());
                prop_assert!(hub.tseg().is_none_or(|size| size != 0));
                prop_assert!(hub.ecam().is_none_or(|window| window.base.checked_add(window.size).is_some()));
                let state = hub.state();
                prop_assert!(hub.restore(&state).is_ok());
            }
            if let Ok(mut bridge) = Piix3::from_image(&image, rules) {
                storm(&mut bridge, &accesses);
                prop_assert!((0..=u8::MAX).all(|line| is_route(bridge.route(line))));
                let state = bridge.state();
                prop_assert!(bridge.restore(&state).is_ok());
            }
            if let Ok(mut bridge) = Ich9::from_image(&image, rules) {
                storm(&mut bridge, &accesses);
                prop_assert!((0..=u8::MAX).all(|line| is_route(bridge.route(line))));
                let _ = (bridge.acpi(), bridge.rcba());
                let state = bridge.state();
                prop_assert!(bridge.restore(&state).is_ok());
            }
        }
    }

    /// Hiding ends and hides, in lists that loop as well.
    #[test]
    fn hiding_capabilities_ends(image in image::<4096>(), id in 0_u8..0x16, offset in any::<u16>()) {
        let hidden = FunctionBuilder::from_image(&image).hide_capability(id).build();
        if let Ok(function) = hidden {
            prop_assert_eq!(function.capability(id), None);
        }
        let mut config = image;
        let before: Vec<_> = capabilities(&config).collect();
        for found in &before {
            prop_assert!(hide_capability(&mut config, found.offset));
        }
        prop_assert_eq!(capabilities(&config).count(), 0);
        prop_assert!(!hide_capability(&mut config, offset.to_le_bytes()[0]));
        let extended = extended_capabilities(&config).map(|c| c.offset).find(|at| *at == offset & 0xffc);
        let was_there = extended.is_some();
        prop_assert_eq!(hide_extended_capability(&mut config, offset & 0xffc), was_there);
    }

    /// What is added to an image stands beside what is there.
    #[test]
    fn a_capability_never_lands_in_another(image in image::<256>(), place in any::<u16>()) {
        let msi = Capability::Msi(Msi::new(1, true, true).unwrap());
        let builder = FunctionBuilder::from_image(&image);
        let listed = capabilities(&image).count();
        let added = [builder.clone().capability(msi), builder.capability_at(place, msi)];
        for function in added.into_iter().flatten().filter_map(|builder| builder.build().ok()) {
            let bytes = function.registers().bytes();
            prop_assert_eq!(capabilities(bytes).count(), listed + 1);
        }
    }

    #[test]
    fn any_port_access_is_harmless(
        accesses in vec((any::<u16>(), 0_usize..=16, vec(any::<u8>(), 16)), 0..40),
        near in vec((0_u16..12, 0_usize..=8, vec(any::<u8>(), 16)), 0..40),
    ) {
        for rules in RULES {
            for chipset in [ResetControl::Piix3, ResetControl::Ich9] {
                let mut ports = ConfigMechanism::new(chipset, rules);
                let mut bus: Bus<Function<256>, 2> = Bus::new(0);
                bus.insert(bdf(2, 0), display(rules).build().unwrap()).unwrap();
                for (offset, len, data) in accesses.iter().chain(&near) {
                    let _ = ports.port_write(*offset, &data[..*len], &mut bus);
                    let mut read = [0x5a; 16];
                    ports.port_read(*offset, &mut read[..*len], &mut bus);
                    prop_assert!(read[*len..].iter().all(|b| *b == 0x5a));
                    let _ = ports.port_write(0, &[0, 0x10, 0, 0x80], &mut bus);
                }
            }
        }
    }

    #[test]
    fn any_window_access_is_harmless(
        accesses in vec((any::<u64>(), 0_usize..=16, vec(any::<u8>(), 16)), 0..20),
        near in vec((0xfff0_u64..0x1_2010, 0_usize..=16, vec(any::<u8>(), 16)), 0..60),
        last in vec((0xfff_fff0_u64..0x1000_0010, 0_usize..=16, vec(any::<u8>(), 16)), 0..8),
    ) {
        for rules in RULES {
            let ecam = Ecam::new(rules);
            let mut bus: Bus<Function<4096>, 2> = Bus::new(0);
            bus.insert(bdf(2, 0), display(rules).build().unwrap()).unwrap();
            bus.insert(bdf(2, 1), display(rules).build().unwrap()).unwrap();
            for (offset, len, data) in accesses.iter().chain(&near).chain(&last) {
                let maps = [0, 1].map(|f| bus.get(bdf(2, f)).unwrap().bar_map());
                let done = ecam.write(*offset, &data[..*len], &mut bus);
                for (function, before) in [0, 1].into_iter().zip(maps) {
                    let moved = bus.get(bdf(2, function)).unwrap().bar_map() != before;
                    prop_assert!(!moved || done.function == Some(bdf(2, function)), "effects name their function");
                }
                let mut read = [0x5a; 16];
                ecam.read(*offset, &mut read[..*len], &mut bus);
                prop_assert!(read[*len..].iter().all(|b| *b == 0x5a));
            }
        }
    }

    #[test]
    fn any_table_access_is_harmless(
        accesses in vec((any::<u64>(), 0_usize..=16, vec(any::<u8>(), 16), any::<u16>()), 0..20),
        near in vec((0_u64..0x60, 0_usize..=16, vec(any::<u8>(), 16), 0_u16..8), 0..60),
    ) {
        let mut table = MsixTable::<5>::new();
        for (offset, len, data, vector) in accesses.iter().chain(&near) {
            table.write(*offset, &data[..*len]);
            let mut read = [0x5a; 16];
            table.read(*offset, &mut read[..*len]);
            table.read_pending(*offset, &mut read[..*len]);
            let control = pci_model::MsixControl { enabled: true, function_mask: false, vectors: *vector };
            let _ = table.fire(*vector, control);
            prop_assert!((0..6).any(|_| table.take_pending(control).is_none()));
        }
    }

    #[test]
    fn any_bar_is_built_or_refused(index in any::<u8>(), kind in 0_usize..6, size in any::<u64>(), log2 in 0_u32..64) {
        let kinds = [
            BarKind::Memory32 { prefetchable: false },
            BarKind::Memory32 { prefetchable: true },
            BarKind::Memory64 { prefetchable: false },
            BarKind::Memory64 { prefetchable: true },
            BarKind::Io,
            BarKind::Rom,
        ];
        for (index, size) in [(index, size), (index % 8, 1 << log2)] {
            let Ok(bar) = Bar::new(kinds[kind], size) else { continue };
            let builder = FunctionBuilder::<256>::from_image(&[0; 256]).bar(index, bar);
            let Ok(mut function) = builder.and_then(FunctionBuilder::build) else { continue };
            storm(&mut function, &[(0x04, 2, 3), (0x10, 4, u32::MAX), (0x24, 4, 0xc001), (0x30, 4, 0x8000_0001)]);
        }
    }
}

#[test]
fn capabilities_at_the_edge_are_refused_or_inert() {
    let express = Capability::Express(Express {
        kind: ExpressKind::Endpoint,
        device_capabilities: u32::MAX,
        device_capabilities_2: u32::MAX,
    });
    let power = Capability::PowerManagement(PowerManagement::default());
    for capability in [express, power, Capability::Other(9, &[0; 300])] {
        for offset in [0, 0x3c, 0x41, 0xfc, 0x100, 0xfffc, u16::MAX] {
            let builder = FunctionBuilder::<256>::from_image(&[0; 256]);
            assert!(builder.capability_at(offset, capability).is_err(), "{offset:#x}");
        }
    }
    // Power management in the last dword: its state register would lie beyond the end.
    let mut image = [0; 256];
    image[0x06] = 0x10;
    image[0x34] = 0xfc;
    image[0xfc] = 0x01;
    let mut function = build(&image, Rules::Specification).unwrap();
    let _ = function.config_write(at(0x10, 4), 0xe000_0000);
    let _ = function.config_write(at(0x04, 2), 0x0002);
    assert!(function.bar_map().get(0).is_some(), "it is in D0");
}

#[test]
fn odd_sizes_of_configuration_space_are_refused() {
    let sizes = [
        FunctionBuilder::<0>::from_image(&[0; 0]).build().err(),
        FunctionBuilder::<64>::from_image(&[0; 64]).build().err(),
        FunctionBuilder::<257>::from_image(&[0; 257]).build().err(),
        FunctionBuilder::<70_000>::from_image(&[0; 70_000]).build().err(),
    ];
    let errors = [0, 64, 257, 70_000].map(|size| Some(BuildError::ConfigSize(size)));
    assert_eq!(sizes, errors);
}
