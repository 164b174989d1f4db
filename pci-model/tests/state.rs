// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saving and restoring: indistinguishable at any moment, and harmless whoever wrote the state.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

#[path = "support/shape.rs"]
mod shape;

use std::fmt::Debug;

use pci_model::host_bridge::{I440Fx, Q35, Q35StateError, Q35StateV1};
use pci_model::isa_bridge::{Ich9, Piix3};
use pci_model::{
    BarKind, Bdf, ConfigAccess, ConfigMechanism, ConfigMechanismStateV1, ConfigRouter, ConfigSpace, EcamWindow,
    Effects, ExpressKind, Function, FunctionStateV1, MsixControl, MsixTable, MsixTableStateV1, ResetControl, Rules,
    Width,
};
use proptest::prelude::*;
use shape::{Cap, Shape};

#[derive(Clone, Debug)]
enum Act {
    Write { offset: u16, len: usize, value: u64 },
    Read { offset: u16, len: usize },
    Interrupt(u8),
    TakePending,
    Reset,
}

/// Changes to a state: bytes that are replaced, and a number for whatever else it has.
#[derive(Clone, Debug)]
struct Forgery {
    bytes: Vec<(usize, u8)>,
    other: u64,
}

/// A device as far as saving and restoring goes.
trait Device: Clone + PartialEq + Debug {
    type State: Clone + PartialEq + Debug;
    /// Acts, and gives what the guest and the VMM see of it.
    fn act(&mut self, act: &Act) -> Vec<u64>;
    fn save(&self) -> Self::State;
    fn load(&mut self, state: &Self::State) -> Result<(), String>;
    fn forge(state: &mut Self::State, forgery: &Forgery);
    /// Bytes that nothing changes.
    fn fixed(&self) -> Vec<u8>;
}

fn act_on(space: &mut impl ConfigSpace, act: &Act) -> Vec<u64> {
    match *act {
        Act::Write { offset, len, value } => {
            let at = ConfigAccess::new(offset, Width::from_len(len.min(4)).unwrap()).unwrap();
            let value = u32::try_from(value & 0xffff_ffff).unwrap();
            vec![space.config_write(at, value).bits().into()]
        }
        Act::Read { offset, len } => {
            let at = ConfigAccess::new(offset, Width::from_len(len.min(4)).unwrap()).unwrap();
            vec![space.config_read(at).into()]
        }
        Act::Reset => vec![space.reset().bits().into()],
        Act::Interrupt(_) | Act::TakePending => vec![],
    }
}

fn forge_bytes(config: &mut [u8], forgery: &Forgery) {
    for (at, byte) in &forgery.bytes {
        let at = at % config.len();
        config[at] = *byte;
    }
}

fn restored<E: std::error::Error>(result: Result<Effects, E>) -> Result<(), String> {
    result.map(|_| ()).map_err(|e| e.to_string())
}

impl<const N: usize> Device for Function<N> {
    type State = FunctionStateV1<N>;

    fn act(&mut self, act: &Act) -> Vec<u64> {
        match *act {
            Act::Interrupt(0) => vec![self.set_intx(true).bits().into()],
            Act::Interrupt(1) => vec![self.set_intx(false).bits().into()],
            Act::Interrupt(vector) => {
                let sent = format!("{:?}", self.fire_msi(vector - 2));
                vec![sent.len() as u64, sent.bytes().map(u64::from).sum()]
            }
            Act::TakePending => self
                .take_pending_msi()
                .map_or(vec![], |message| vec![message.address, message.data.into()]),
            _ => act_on(self, act),
        }
    }

    fn save(&self) -> Self::State {
        self.state()
    }

    fn load(&mut self, state: &Self::State) -> Result<(), String> {
        restored(self.restore(state))
    }

    fn forge(state: &mut Self::State, forgery: &Forgery) {
        forge_bytes(&mut state.config, forgery);
        state.intx_asserted ^= forgery.other & 1 != 0;
    }

    fn fixed(&self) -> Vec<u8> {
        self.registers().bytes()[..4].to_vec()
    }
}

macro_rules! chipset {
    ($device:ty) => {
        impl Device for $device {
            type State = FunctionStateV1<256>;

            fn act(&mut self, act: &Act) -> Vec<u64> {
                act_on(self, act)
            }

            fn save(&self) -> Self::State {
                self.state()
            }

            fn load(&mut self, state: &Self::State) -> Result<(), String> {
                restored(self.restore(state))
            }

            fn forge(state: &mut Self::State, forgery: &Forgery) {
                Function::<256>::forge(state, forgery);
            }

            fn fixed(&self) -> Vec<u8> {
                self.function().fixed()
            }
        }
    };
}

chipset!(I440Fx);
chipset!(Piix3);
chipset!(Ich9);

impl Device for Q35 {
    type State = Q35StateV1;

    fn act(&mut self, act: &Act) -> Vec<u64> {
        let mut seen = act_on(self, act);
        seen.extend(self.ecam().map_or([0; 2], |window| [window.base, window.size]));
        seen
    }

    fn save(&self) -> Self::State {
        self.state()
    }

    fn load(&mut self, state: &Self::State) -> Result<(), String> {
        restored(self.restore(state))
    }

    fn forge(state: &mut Self::State, forgery: &Forgery) {
        Function::<256>::forge(&mut state.function, forgery);
        match forgery.other % 4 {
            0 => {
                state.ecam = Some(EcamWindow {
                    base: forgery.other,
                    size: forgery.other.rotate_left(17),
                });
            }
            1 => state.ecam = None,
            _ => {}
        }
    }

    fn fixed(&self) -> Vec<u8> {
        self.function().fixed()
    }
}

/// Answers with where it was asked.
struct Echo;

impl ConfigRouter for Echo {
    fn config_size(&mut self, bdf: Bdf) -> Option<u16> {
        (bdf.device() < 16).then_some(256)
    }

    fn config_read(&mut self, bdf: Bdf, at: ConfigAccess) -> Option<u32> {
        (bdf.device() < 16).then(|| u32::from(bdf.to_bits()) << 16 | u32::from(at.offset()))
    }

    fn config_write(&mut self, bdf: Bdf, _: ConfigAccess, value: u32) -> Option<Effects> {
        (bdf.device() < 16).then(|| Effects::from_bits_truncate(value))
    }
}

impl Device for ConfigMechanism {
    type State = ConfigMechanismStateV1;

    fn act(&mut self, act: &Act) -> Vec<u64> {
        match *act {
            Act::Write { offset, len, value } => {
                // Every other write selects a register.
                let offset = if value & 1 == 0 { 0 } else { offset % 10 };
                let done = self.port_write(offset, &value.to_le_bytes()[..len.min(4)], &mut Echo);
                vec![
                    done.function.map_or(u64::MAX, |f| f.to_bits().into()),
                    done.effects.bits().into(),
                ]
            }
            Act::Read { offset, len } => {
                let mut data = [0; 8];
                self.port_read(offset % 10, &mut data[..len], &mut Echo);
                vec![u64::from_le_bytes(data)]
            }
            Act::Reset => {
                self.reset();
                vec![]
            }
            Act::Interrupt(_) | Act::TakePending => vec![],
        }
    }

    fn save(&self) -> Self::State {
        self.state()
    }

    fn load(&mut self, state: &Self::State) -> Result<(), String> {
        self.restore(state);
        Ok(())
    }

    fn forge(state: &mut Self::State, forgery: &Forgery) {
        let [a, b, c, d, reset_control, ..] = forgery.other.to_le_bytes();
        *state = ConfigMechanismStateV1 {
            address: u32::from_le_bytes([a, b, c, d]),
            reset_control,
        };
    }

    fn fixed(&self) -> Vec<u8> {
        vec![]
    }
}

impl<const V: usize> Device for MsixTable<V> {
    type State = MsixTableStateV1<V>;

    fn act(&mut self, act: &Act) -> Vec<u64> {
        let control = |bits: u16| MsixControl {
            enabled: bits & 3 != 0,
            function_mask: bits & 4 != 0,
            vectors: u16::try_from(V).unwrap(),
        };
        match *act {
            Act::Write { offset, len, value } => {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(&value.to_le_bytes());
                self.write((offset & 0xfffc).into(), &bytes[..len]);
                vec![]
            }
            Act::Read { offset, len } => {
                let mut data = [[0; 8]; 2];
                self.read((offset & 0xfffc).into(), &mut data[0][..len]);
                self.read_pending((offset & 8).into(), &mut data[1]);
                data.map(u64::from_le_bytes).to_vec()
            }
            Act::Interrupt(vector) => {
                let sent = format!("{:?}", self.fire(vector.into(), control(vector.into())));
                vec![sent.len() as u64, sent.bytes().map(u64::from).sum()]
            }
            Act::TakePending => self
                .take_pending(control(1))
                .map_or(vec![], |message| vec![message.address, message.data.into()]),
            Act::Reset => {
                self.reset();
                vec![]
            }
        }
    }

    fn save(&self) -> Self::State {
        self.state()
    }

    fn load(&mut self, state: &Self::State) -> Result<(), String> {
        *self = Self::from_state(state).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn forge(state: &mut Self::State, forgery: &Forgery) {
        for (at, byte) in &forgery.bytes {
            let entry = &mut state.entries[at % V];
            let field = &mut entry[at / V % 4];
            *field = field.rotate_left(8) ^ u32::from(*byte);
            state.pending[at % V] ^= byte & 1 != 0;
        }
    }

    fn fixed(&self) -> Vec<u8> {
        vec![]
    }
}

fn act() -> impl Strategy<Value = Act> {
    let len = || prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)];
    let offset = || {
        prop_oneof![
            4 => 0_u16..0x100,
            1 => Just(0x04_u16),
            2 => 0x40_u16..0xb0,
            2 => 0x9c_u16..0x9f,
            1 => 0x60_u16..0x68,
            1 => Just(0xa0_u16),
            1 => Just(0x72_u16),
        ]
    };
    let value = prop_oneof![
        3 => any::<u64>(),
        1 => Just(0_u64),
        1 => Just(u64::MAX),
        1 => (0_u64..256).prop_map(|n| n << 24 | n),
        1 => (0_u32..32).prop_map(|n| 1 << n),
        1 => (0_u64..8).prop_map(|n| 0xb000_0000 | n),
    ];
    prop_oneof![
        12 => (offset(), len(), value).prop_map(|(offset, len, value)| Act::Write { offset, len, value }),
        4 => (offset(), len()).prop_map(|(offset, len)| Act::Read { offset, len }),
        2 => (0_u8..8).prop_map(Act::Interrupt),
        1 => Just(Act::TakePending),
        1 => Just(Act::Reset),
    ]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    proptest::collection::vec(act(), 1..50)
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let bytes = prop_oneof![
        3 => proptest::collection::vec((0_usize..0x100, any::<u8>()), 0..6),
        1 => proptest::collection::vec((any::<usize>(), any::<u8>()), 256..300),
        1 => proptest::collection::vec((prop_oneof![4_usize..6, 0x10_usize..0x28, 0x60_usize..0x68], any::<u8>()), 1..8),
    ];
    (bytes, any::<u64>()).prop_map(|(bytes, other)| Forgery { bytes, other })
}

/// A twin that is saved and restored into a fresh device after every step cannot be told from the device.
fn is_indistinguishable<D: Device>(fresh: &D, acts: &[Act]) {
    let mut device = fresh.clone();
    let mut twin = fresh.clone();
    for act in acts {
        assert_eq!(device.act(act), twin.act(act), "{act:?}");
        let state = twin.save();
        assert_eq!(device.save(), state, "{act:?}");
        twin = fresh.clone();
        assert_eq!(twin.load(&state), Ok(()), "{act:?}");
        assert!(twin == device, "after {act:?}");
        // Into a device that lives, too.
        assert_eq!(device.load(&state), Ok(()), "{act:?}");
        assert!(twin == device, "after {act:?}");
    }
}

/// A forged state is refused, and the device is as before; or it is a state as good as any.
fn is_harmless<D: Device>(fresh: &D, before: &[Act], forgery: &Forgery, after: &[Act]) {
    let mut device = fresh.clone();
    for act in before {
        device.act(act);
    }
    let untouched = device.clone();
    let mut state = device.save();
    D::forge(&mut state, forgery);
    if let Err(message) = device.load(&state) {
        assert!(!message.is_empty());
        assert!(device == untouched, "changed by a refused state");
        return;
    }
    assert_eq!(device.fixed(), fresh.fixed());
    let accepted = device.save();
    let mut twin = fresh.clone();
    assert_eq!(twin.load(&accepted), Ok(()));
    assert!(twin == device);
    is_indistinguishable(&device, after);
    device.act(&Act::Reset);
    assert_eq!(device.fixed(), fresh.fixed());
}

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];

fn rules() -> impl Strategy<Value = Rules> {
    proptest::sample::select(&RULES[..])
}

/// A function with a BAR of each kind and the capabilities that have state.
fn function<const N: usize>(rules: Rules) -> Function<N> {
    let shape = Shape {
        bridge: false,
        pin: 1,
        bars: vec![
            (0, BarKind::Memory64 { prefetchable: true }, 0x1000),
            (2, BarKind::Memory32 { prefetchable: false }, 0x4000),
            (3, BarKind::Io, 8),
            (6, BarKind::Rom, 0x800),
        ],
        caps: vec![
            Cap::Power {
                pmc: 0x0a03,
                no_soft_reset: false,
            },
            Cap::Msi {
                log2: 3,
                wide: true,
                maskable: true,
            },
            Cap::Msix { vectors: 16 },
            Cap::Express {
                kind: ExpressKind::Endpoint,
                flr: true,
            },
        ],
    };
    shape.build(rules).unwrap()
}

fn bridge(rules: Rules) -> Function<256> {
    let shape = Shape {
        bridge: true,
        pin: 0,
        bars: vec![
            (0, BarKind::Memory32 { prefetchable: false }, 0x1000),
            (6, BarKind::Rom, 0x1000),
        ],
        caps: vec![Cap::Vendor(vec![4, 0xaa])],
    };
    shape.build(rules).unwrap()
}

macro_rules! every_device {
    ($($name:ident: |$rules:ident| $fresh:expr;)*) => { $(
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn a_restored_one_is_indistinguishable($rules in rules(), acts in acts()) {
                    let _ = $rules;
                    is_indistinguishable(&$fresh, &acts);
                }

                #[test]
                fn a_forged_state_is_harmless(
                    $rules in rules(), before in acts(), forgery in forgery(), after in acts(),
                ) {
                    let _ = $rules;
                    is_harmless(&$fresh, &before, &forgery, &after);
                }
            }
        }
    )* };
}

every_device! {
    conventional_function: |rules| function::<256>(rules);
    express_function: |rules| function::<4096>(rules);
    bridge_function: |rules| bridge(rules);
    i440fx: |rules| I440Fx::new((0x1af4, 0x1100), 1 << 30, rules).unwrap();
    q35: |rules| Q35::new((0x1af4, 0x1100), 16, rules).unwrap();
    q35_without_tseg: |rules| Q35::new((0x1af4, 0x1100), 0, rules).unwrap();
    piix3: |rules| Piix3::new((0x1af4, 0x1100), rules).unwrap();
    ich9: |rules| Ich9::new((0x1af4, 0x1100), rules).unwrap();
    mechanism_piix3: |rules| ConfigMechanism::new(ResetControl::Piix3, rules);
    mechanism_ich9: |rules| ConfigMechanism::new(ResetControl::Ich9, rules);
    msix_table: |rules| MsixTable::<16>::new();
}

#[test]
fn a_window_that_pciexbar_does_not_lead_to_is_refused() {
    for rules in RULES {
        let mut hub = Q35::new((0, 0), 0, rules).unwrap();
        let untouched = hub.clone();
        let mut state = hub.state();
        let window = Some(EcamWindow {
            base: 0xe000_0000,
            size: 256 << 20,
        });
        state.ecam = window;
        let error = Q35StateError::Window {
            pciexbar: 0xb000_0000,
            window,
        };
        assert_eq!(hub.restore(&state), Err(error));
        assert!(hub == untouched);
        // A reserved length keeps the window that was there before: each that there can be.
        state.function.config[0x60] = 6;
        assert_eq!(hub.restore(&state), Ok(Effects::ECAM));
        assert_eq!(hub.ecam(), window);
        state.ecam = Some(EcamWindow {
            base: u64::MAX - 0xfff,
            size: 256 << 20,
        });
        assert!(hub.restore(&state).is_err());
        state.ecam = Some(EcamWindow {
            base: 0xe000_0000,
            size: u64::MAX,
        });
        assert!(hub.restore(&state).is_err());
    }
}

#[test]
fn more_msi_vectors_than_there_are_are_limited() {
    let mut function = function::<256>(Rules::Specification);
    let at = usize::from(function.capability(0x05).unwrap());
    let mut state = function.state();
    state.config[at + 2] |= 0x71;
    assert_eq!(function.restore(&state), Ok(Effects::MSI));
    assert_eq!(function.msi().unwrap().vectors, 8);
}

#[cfg(feature = "serde")]
mod golden {
    //! Bytes that version 1 of each state had from the start.

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        let pairs = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
        pairs.map(|byte| u8::try_from(byte).unwrap()).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        let lines = bytes
            .chunks(32)
            .map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n");
        lines.collect()
    }

    /// The state is written as in the file, and the file loads into a fresh device.
    fn holds<D: Device>(name: &str, file: &str, fresh: &D, device: &D)
    where
        D::State: serde::Serialize + serde::de::DeserializeOwned,
    {
        let written = postcard::to_allocvec(&device.save()).unwrap();
        assert_eq!(hex(&written), file, "{name}");
        let state = postcard::from_bytes(&bytes(file)).unwrap();
        let mut loaded = fresh.clone();
        assert_eq!(loaded.load(&state), Ok(()), "{name}");
        assert!(loaded == *device, "{name}");
    }

    fn with<D: Device>(fresh: &D, acts: &[Act]) -> D {
        let mut device = fresh.clone();
        for act in acts {
            device.act(act);
        }
        device
    }

    fn write(offset: u16, len: usize, value: u64) -> Act {
        Act::Write { offset, len, value }
    }

    #[test]
    fn functions() {
        let acts = [
            write(0x04, 2, 0x0007),
            write(0x10, 4, 0xe000_0000),
            write(0x14, 4, 0x1),
            write(0x18, 4, 0xd000_0000),
            write(0x1c, 4, 0xc000),
            write(0x30, 4, 0xf000_0001),
            write(0x3c, 1, 0x0b),
            Act::Interrupt(0),
        ];
        let fresh = function::<256>(Rules::Specification);
        let file = include_str!("golden/function-256-v1.hex");
        holds("function-256", file, &fresh, &with(&fresh, &acts));
        let fresh = function::<4096>(Rules::Specification);
        let file = include_str!("golden/function-4096-v1.hex");
        holds("function-4096", file, &fresh, &with(&fresh, &acts));
    }

    #[test]
    fn host_bridges() {
        let fresh = I440Fx::new((0x1af4, 0x1100), 1 << 30, Rules::Specification).unwrap();
        let device = with(&fresh, &[write(0x59, 4, 0x3333_3330), write(0x72, 1, 0x1a)]);
        holds("i440fx", include_str!("golden/i440fx-v1.hex"), &fresh, &device);
        let fresh = Q35::new((0x1af4, 0x1100), 16, Rules::Specification).unwrap();
        let device = with(
            &fresh,
            &[
                write(0x60, 4, 0xe000_0001),
                write(0x60, 4, 0xd000_0007),
                write(0x9d, 1, 0x1a),
                write(0x90, 1, 0x30),
            ],
        );
        holds("q35", include_str!("golden/q35-v1.hex"), &fresh, &device);
    }

    #[test]
    fn isa_bridges() {
        let fresh = Piix3::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let device = with(&fresh, &[write(0x60, 4, 0x0b0b_0a0a)]);
        holds("piix3", include_str!("golden/piix3-v1.hex"), &fresh, &device);
        let fresh = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let acts = [
            write(0x40, 4, 0x600),
            write(0x44, 1, 0x80),
            write(0xa0, 1, 0x10),
            write(0xf0, 4, 0xfed1_c001),
        ];
        holds("ich9", include_str!("golden/ich9-v1.hex"), &fresh, &with(&fresh, &acts));
    }

    #[test]
    fn ports_and_tables() {
        let fresh = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
        let device = with(&fresh, &[write(0, 4, 0x8000_1010), write(1, 1, 0x03)]);
        holds(
            "mechanism",
            include_str!("golden/config-mechanism-v1.hex"),
            &fresh,
            &device,
        );
        let fresh = MsixTable::<4>::new();
        let acts = [
            write(0x10, 8, 0x1_fee0_1000),
            write(0x18, 4, 0x4123),
            write(0x1c, 4, 0),
            Act::Interrupt(2),
        ];
        holds(
            "msix-table",
            include_str!("golden/msix-table-v1.hex"),
            &fresh,
            &with(&fresh, &acts),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// A file of anything is refused or harmless.
        #[test]
        fn any_file_is_refused_or_harmless(
            name in 0_usize..4,
            noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            keep in any::<prop::sample::Index>(),
        ) {
            let file = [
                include_str!("golden/function-256-v1.hex"),
                include_str!("golden/q35-v1.hex"),
                include_str!("golden/config-mechanism-v1.hex"),
                include_str!("golden/msix-table-v1.hex"),
            ][name];
            let mut file = bytes(file);
            for (at, byte) in noise {
                let at = at.index(file.len());
                file[at] = byte;
            }
            if keep.index(4) == 0 {
                file.truncate(keep.index(file.len() + 1));
            }
            let _ = postcard::from_bytes(&file).map(|state| function::<256>(Rules::Specification).restore(&state));
            let mut hub = Q35::new((0x1af4, 0x1100), 16, Rules::Specification).unwrap();
            let _ = postcard::from_bytes(&file).map(|state| hub.restore(&state));
            let mut ports = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
            let _ = postcard::from_bytes(&file).map(|state| ports.restore(&state));
            let _ = postcard::from_bytes(&file).map(|state| MsixTable::<4>::from_state(&state));
        }
    }
}
