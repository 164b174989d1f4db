// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Overlays against a model of single bytes.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use lpc_bridge::{HOST_BRIDGE, Identity, Overlaid, Overlay, XEN_HOST_BRIDGE};
use pci_model::host_bridge::Q35;
use pci_model::isa_bridge::Ich9;
use pci_model::{BarMap, BarRange, BarSpace, ConfigAccess, ConfigSpace, Effects, FunctionBuilder, Rules, Width};
use proptest::collection::vec;
use proptest::prelude::*;

/// A function of some other make: 4096 bytes of storage. It notes what reaches it.
#[derive(Clone)]
struct Storage {
    bytes: Vec<u8>,
    writes: Vec<(ConfigAccess, u32)>,
    resets: usize,
}

impl Storage {
    fn byte(&self, offset: usize) -> u8 {
        self.bytes.get(offset).copied().unwrap_or(0xff)
    }
}

impl ConfigSpace for Storage {
    fn config_size(&self) -> u16 {
        u16::try_from(self.bytes.len()).unwrap()
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        let start = usize::from(at.offset());
        let lanes = 0..at.width().len();
        lanes.fold(0, |value, lane| {
            value | u32::from(self.byte(start + lane)) << (8 * lane)
        })
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.writes.push((at, value));
        let start = usize::from(at.offset());
        for (offset, byte) in (start..usize::from(at.end())).zip(value.to_le_bytes()) {
            if let Some(to) = self.bytes.get_mut(offset) {
                *to = byte;
            }
        }
        Effects::BAR_MAP
    }

    fn bar_map(&self) -> BarMap {
        let mut ranges = [None; 7];
        ranges[0] = BarRange::new(BarSpace::Memory, 0x1000 * (1 + self.writes.len() as u64), 0x1000);
        BarMap::new(ranges)
    }

    fn reset(&mut self) -> Effects {
        self.resets += 1;
        Effects::POWER
    }
}

fn access() -> impl Strategy<Value = ConfigAccess> {
    let width = prop_oneof![Just(Width::Byte), Just(Width::Word), Just(Width::Dword)];
    let offset = prop_oneof![4 => 0..0x110_u16, 1 => 0..0xffd_u16];
    (offset, width).prop_map(|(offset, width)| ConfigAccess::new(offset, width).unwrap())
}

/// Disjoint patches in places that can be patched, by the byte.
fn patches() -> impl Strategy<Value = Vec<(u16, u8)>> {
    let places: Vec<u16> = (0..4).chain(8..0xc).chain(0x2c..0x30).chain(0x40..0x100).collect();
    (0..places.len())
        .prop_flat_map(move |count| proptest::sample::subsequence(places.clone(), count))
        .prop_shuffle()
        .prop_flat_map(|places| {
            let count = places.len();
            (Just(places), vec(any::<u8>(), count))
        })
        .prop_map(|(places, bytes)| places.into_iter().zip(bytes).collect())
}

fn overlay(patches: &[(u16, u8)]) -> Overlay {
    let bytes: Vec<(u16, [u8; 1])> = patches.iter().map(|(at, byte)| (*at, [*byte])).collect();
    let slices: Vec<(u16, &[u8])> = bytes.iter().map(|(at, byte)| (*at, &byte[..])).collect();
    Overlay::from_patches(&slices).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_are_merged_and_writes_passed_on(
        patches in patches(),
        size in prop_oneof![Just(256_usize), Just(4096)],
        fill in any::<u8>(),
        steps in vec((access(), any::<Option<u32>>()), 1..80),
    ) {
        let inner = Storage { bytes: vec![fill; size], writes: Vec::new(), resets: 0 };
        let mut plain = inner.clone();
        let mut overlaid = Overlaid::new(inner, overlay(&patches));
        prop_assert_eq!(usize::from(overlaid.config_size()), size);
        for (at, write) in steps {
            if let Some(value) = write {
                prop_assert_eq!(overlaid.config_write(at, value), plain.config_write(at, value));
            }
            let mut expected = 0;
            for (lane, offset) in (at.offset()..at.end()).enumerate() {
                let patched = patches.iter().find(|(place, _)| *place == offset).map(|(_, byte)| *byte);
                let byte = patched.unwrap_or_else(|| plain.byte(usize::from(offset)));
                expected |= u32::from(byte) << (8 * lane);
            }
            prop_assert_eq!(overlaid.config_read(at), expected);
            prop_assert_eq!(overlaid.bar_map(), plain.bar_map());
        }
        prop_assert_eq!(overlaid.reset(), plain.reset());
        prop_assert_eq!(&overlaid.inner().bytes, &plain.bytes);
        prop_assert_eq!(&overlaid.inner_mut().writes, &plain.writes);
        prop_assert_eq!(overlaid.inner().resets, 1);
    }

    #[test]
    fn a_patched_function_reads_as_an_overlaid_one(
        patches in patches(),
        steps in vec((access(), any::<Option<u32>>()), 1..80),
        rules in prop_oneof![Just(Rules::Specification), Just(Rules::Qemu7), Just(Rules::Qemu11)],
    ) {
        let plain = FunctionBuilder::<256>::new(pci_model::Identity::default()).rules(rules).build().unwrap();
        let overlay = overlay(&patches);
        let mut patched = plain.clone();
        overlay.patch(&mut patched);
        let mut overlaid = Overlaid::new(plain, overlay);
        for (at, write) in steps {
            if let Some(value) = write {
                prop_assert_eq!(patched.config_write(at, value), overlaid.config_write(at, value));
            }
            prop_assert_eq!(patched.config_read(at), overlaid.config_read(at));
        }
        let saved = patched.state();
        prop_assert_eq!(patched.reset(), overlaid.reset());
        for offset in 0..0x40 {
            let at = ConfigAccess::new(offset * 4, Width::Dword).unwrap();
            prop_assert_eq!(patched.config_read(at), overlaid.config_read(at));
        }
        prop_assert!(patched.restore(&saved).is_ok());
        prop_assert_eq!(patched.state(), saved);
    }

    #[test]
    fn patches_make_the_same_overlay_again(patches in patches()) {
        let overlay = overlay(&patches);
        let runs: Vec<(u16, &[u8])> = overlay.patches().collect();
        prop_assert_eq!(&Overlay::from_patches(&runs).unwrap(), &overlay);
        prop_assert_eq!(runs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), patches.len());
        prop_assert!(runs.windows(2).all(|pair| usize::from(pair[0].0) + pair[0].1.len() < usize::from(pair[1].0)));
    }

    #[test]
    fn hostile_bytes_are_taken_or_refused(config in vec(any::<u8>(), 0..300), class in any::<Option<bool>>()) {
        let mut config = config;
        if let (Some(isa), Some(header)) = (class, config.get_mut(0x0a..0x0f)) {
            header.copy_from_slice(&[u8::from(isa), 0x06, 0, 0, 0x80]);
        }
        if let Ok(identity) = Identity::from_config(&config) {
            let overlay = Overlay::from(identity);
            let taken: Vec<u8> = overlay.patches().flat_map(|(_, bytes)| bytes.to_vec()).collect();
            let expected = [&config[..4], &config[8..0xa], &config[0x2c..0x30]].concat();
            prop_assert_eq!(taken, expected);
        }
        for (fields, overlay) in [
            (&HOST_BRIDGE[..], Overlay::host_bridge(&config)),
            (&XEN_HOST_BRIDGE[..], Overlay::xen_host_bridge(&config)),
        ] {
            let expected: Vec<u8> = fields
                .iter()
                .flat_map(|field| config.get(usize::from(field.offset())..usize::from(field.end())))
                .flatten()
                .copied()
                .collect();
            if let Ok(overlay) = overlay {
                let taken: Vec<u8> = overlay.patches().flat_map(|(_, bytes)| bytes.to_vec()).collect();
                prop_assert_eq!(taken, expected);
            }
        }
    }

    /// The machine's registers work below an overlay as they do without one.
    #[test]
    fn chipset_registers_stay_the_machines_own(
        ids in any::<[u16; 4]>(),
        steps in vec((access(), any::<u32>()), 1..80),
        rules in prop_oneof![Just(Rules::Specification), Just(Rules::Qemu11)],
    ) {
        let [vendor, device, subsystem_vendor, subsystem] = ids;
        let identity = Identity { vendor, device, subsystem_vendor, subsystem, ..Identity::default() };
        let mut plain = Ich9::new((0x1af4, 0x1100), rules).unwrap();
        let mut patched = plain.clone();
        Overlay::from(identity).patch(patched.function_mut());
        let mut host = Q35::new((0x1af4, 0x1100), 0, rules).unwrap();
        let mut patched_host = host.clone();
        let subsystem = subsystem.to_le_bytes();
        Overlay::from_patches(&[(0x2e, &subsystem)]).unwrap().patch(patched_host.function_mut());
        for (at, value) in steps {
            prop_assert_eq!(patched.config_write(at, value), plain.config_write(at, value));
            prop_assert_eq!(patched.rcba(), plain.rcba());
            prop_assert_eq!(patched.acpi(), plain.acpi());
            prop_assert_eq!((0..8).map(|line| patched.route(line)).collect::<Vec<_>>(),
                (0..8).map(|line| plain.route(line)).collect::<Vec<_>>());
            prop_assert_eq!(patched_host.config_write(at, value), host.config_write(at, value));
            prop_assert_eq!(patched_host.ecam(), host.ecam());
        }
    }
}
