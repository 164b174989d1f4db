// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bridge against a model of single bytes, saved and restored after every step.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use lpc_bridge::{Identity, LpcBridge};
use pci_model::{BarMap, ConfigAccess, ConfigSpace, Effects, Rules, Width};
use proptest::collection::vec;
use proptest::prelude::*;

/// The bytes of the bridge, with the rules of each written out.
struct Model {
    qemu: bool,
    bytes: [u8; 256],
}

impl Model {
    fn new(identity: Identity, qemu: bool) -> Self {
        let mut bytes = [0; 256];
        bytes[..2].copy_from_slice(&identity.vendor.to_le_bytes());
        bytes[2..4].copy_from_slice(&identity.device.to_le_bytes());
        bytes[8..12].copy_from_slice(&[identity.revision, identity.prog_if, 0x01, 0x06]);
        bytes[0x2c..0x2e].copy_from_slice(&identity.subsystem_vendor.to_le_bytes());
        bytes[0x2e..0x30].copy_from_slice(&identity.subsystem.to_le_bytes());
        Self { qemu, bytes }
    }

    fn writable(&self, offset: usize) -> u8 {
        match offset {
            0x04 => 0x07,
            0x05 => 0x05,
            0x0c | 0x3c => 0xff,
            0x40.. if self.qemu => 0xff,
            _ => 0,
        }
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let master = self.bytes[4] & 4;
        for (offset, new) in (usize::from(at.offset())..usize::from(at.end())).zip(value.to_le_bytes()) {
            let mask = self.writable(offset);
            if let Some(byte) = self.bytes.get_mut(offset) {
                *byte = *byte & !mask | new & mask;
            }
        }
        if self.bytes[4] & 4 == master {
            Effects::empty()
        } else {
            Effects::BUS_MASTER
        }
    }

    fn read(&self, at: ConfigAccess) -> u32 {
        let byte = |offset: u16| self.bytes.get(usize::from(offset)).copied().unwrap_or(0xff);
        let bytes = (at.offset()..at.end()).map(byte);
        bytes.rev().fold(0, |value, byte| value << 8 | u32::from(byte))
    }

    fn reset(&mut self) -> Effects {
        let master = self.bytes[4] & 4;
        for offset in [4, 5, 0x0c, 0x3c] {
            self.bytes[offset] = 0;
        }
        if master == 0 {
            Effects::empty()
        } else {
            Effects::BUS_MASTER
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(ConfigAccess, u32),
    Read(ConfigAccess),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let width = prop_oneof![Just(Width::Byte), Just(Width::Word), Just(Width::Dword)];
    let offset = prop_oneof![3 => 0..0x40_u16, 3 => 0x40..0x104_u16, 1 => 0..0xffd_u16];
    let access = (offset, width).prop_map(|(offset, width)| ConfigAccess::new(offset, width).unwrap());
    prop_oneof![
        6 => (access.clone(), any::<u32>()).prop_map(|(at, value)| Step::Write(at, value)),
        3 => access.prop_map(Step::Read),
        1 => Just(Step::Reset),
    ]
}

fn identity() -> impl Strategy<Value = Identity> {
    any::<([u16; 4], [u8; 2])>().prop_map(|([vendor, device, subsystem_vendor, subsystem], [revision, prog_if])| {
        Identity {
            vendor,
            device,
            revision,
            prog_if,
            subsystem_vendor,
            subsystem,
        }
    })
}

fn bridge(identity: Identity, rules: Rules) -> LpcBridge {
    let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, rules).unwrap();
    bridge.set_identity(identity);
    bridge
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_model(
        identity in identity(),
        rules in prop_oneof![Just(Rules::Specification), Just(Rules::Qemu7), Just(Rules::Qemu11)],
        steps in vec(step(), 1..60),
    ) {
        let mut model = Model::new(identity, rules != Rules::Specification);
        let mut device = bridge(identity, rules);
        for step in steps {
            match step {
                Step::Write(at, value) => prop_assert_eq!(device.config_write(at, value), model.write(at, value)),
                Step::Read(at) => prop_assert_eq!(device.config_read(at), model.read(at)),
                Step::Reset => prop_assert_eq!(device.reset(), model.reset()),
            }
            prop_assert_eq!(device.state().config, model.bytes);
            prop_assert_eq!(device.identity(), identity);
            prop_assert_eq!(device.bar_map(), BarMap::EMPTY);
            let mut restored = bridge(identity, rules);
            prop_assert!(restored.restore(&device.state()).is_ok());
            prop_assert_eq!(&restored, &device);
            device = restored;
        }
    }

    /// A state goes in whole, or the bridge stays as it was.
    #[test]
    fn hostile_states_are_taken_whole_or_refused(
        identity in identity(),
        changes in vec((0..256_usize, any::<u8>()), 0..4),
        rules in prop_oneof![Just(Rules::Specification), Just(Rules::Qemu11)],
    ) {
        let mut device = bridge(identity, rules);
        let before = device.clone();
        let model = Model::new(identity, rules != Rules::Specification);
        let mut state = device.state();
        for (offset, byte) in changes {
            state.config[offset] = byte;
        }
        let possible = (0..256).all(|at| (state.config[at] ^ model.bytes[at]) & !model.writable(at) == 0);
        match device.restore(&state) {
            Ok(_) => {
                prop_assert!(possible);
                prop_assert_eq!(device.state(), state);
            }
            Err(error) => {
                prop_assert!(!possible);
                prop_assert_eq!(state.config[usize::from(error.offset)], error.found);
                prop_assert_eq!(device, before);
            }
        }
    }
}
