// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X and MSI from the driver's and the device's side, against a naive model of the table.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

use pci_model::{
    Capability, ConfigAccess, ConfigSpace, Effects, Function, FunctionBuilder, Identity, Msi, MsiDelivery, MsiMessage,
    Msix, MsixControl, MsixDelivery, MsixError, MsixTable, Rules, Width,
};
use proptest::prelude::*;

fn function(capability: Capability<'_>) -> Function<256> {
    let identity = Identity {
        vendor: 0x8086,
        interrupt_pin: 1,
        ..Identity::default()
    };
    FunctionBuilder::new(identity)
        .capability(capability)
        .and_then(FunctionBuilder::build)
        .unwrap()
}

fn write(function: &mut Function<256>, offset: u16, len: usize, value: u32) -> Effects {
    function.config_write(ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap(), value)
}

fn read(function: &mut Function<256>, offset: u16, len: usize) -> u32 {
    function.config_read(ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap())
}

#[test]
fn the_capability_says_where_the_structures_are() {
    let mut f = function(Capability::Msix(Msix::new(2048, (2, 0x2000), (4, 0x1_0008)).unwrap()));
    assert_eq!(read(&mut f, 0x42, 2), 0x07ff);
    assert_eq!((read(&mut f, 0x44, 4), read(&mut f, 0x48, 4)), (0x2002, 0x1_000c));
    for offset in [0x44, 0x48] {
        let before = read(&mut f, offset, 4);
        let _ = write(&mut f, offset, 4, !before);
        assert_eq!(read(&mut f, offset, 4), before);
    }
    assert_eq!(Msix::new(0, (0, 0), (0, 0)), Err(MsixError::Vectors(0)));
    assert_eq!(Msix::new(2049, (0, 0), (0, 0)), Err(MsixError::Vectors(2049)));
    let place = Err(MsixError::Place { bar: 6, offset: 0 });
    assert_eq!(Msix::new(1, (6, 0), (0, 0)), place);
    let place = Err(MsixError::Place { bar: 0, offset: 4 });
    assert_eq!(Msix::new(1, (0, 0), (0, 4)), place);
}

#[test]
fn each_change_of_control_is_an_effect_and_no_other() {
    let mut f = function(Capability::Msix(Msix::new(4, (0, 0), (0, 0x800)).unwrap()));
    assert_eq!(f.set_intx(true), Effects::INTX);
    assert_eq!(write(&mut f, 0x42, 2, 0x8000), Effects::MSIX | Effects::INTX);
    assert!(!f.intx_level());
    assert_eq!(write(&mut f, 0x43, 1, 0x80), Effects::empty());
    assert_eq!(write(&mut f, 0x43, 1, 0xc0), Effects::MSIX);
    assert_eq!(write(&mut f, 0x40, 4, 0x8000_0000), Effects::MSIX);
    assert_eq!(write(&mut f, 0x42, 1, 0xff), Effects::empty(), "the count is read-only");
    assert_eq!(f.reset(), Effects::MSIX);
    assert_eq!(
        f.msix(),
        Some(MsixControl {
            enabled: false,
            function_mask: false,
            vectors: 4
        })
    );
    assert!(!f.intx_level());
}

#[test]
fn a_masked_msi_vector_waits() {
    let mut f = function(Capability::Msi(Msi::new(8, true, true).unwrap()));
    assert_eq!(f.fire_msi(0), MsiDelivery::Off);
    let _ = write(&mut f, 0x44, 4, 0xfee0_1000);
    let _ = write(&mut f, 0x48, 4, 0x0000_0001);
    let _ = write(&mut f, 0x4c, 2, 0x40ff);
    assert_eq!(write(&mut f, 0x42, 2, 0x0021), Effects::MSI, "4 vectors of 8");
    let message = |vector: u32| MsiMessage {
        address: 0x1_fee0_1000,
        data: 0x40fc | vector,
    };
    assert_eq!(f.fire_msi(3), MsiDelivery::Send(message(3)));
    assert_eq!(f.fire_msi(4), MsiDelivery::Off);
    assert_eq!(write(&mut f, 0x50, 4, 0xffff_ffff), Effects::MSI);
    assert_eq!(read(&mut f, 0x50, 4), 0xff, "one mask bit for each vector there is");
    assert_eq!((f.fire_msi(1), f.fire_msi(3)), (MsiDelivery::Held, MsiDelivery::Held));
    assert_eq!(read(&mut f, 0x54, 4), 0b1010);
    assert_eq!(
        write(&mut f, 0x54, 4, 0xffff_ffff),
        Effects::empty(),
        "pending is read-only"
    );
    assert_eq!(f.take_pending_msi(), None);
    assert_eq!(write(&mut f, 0x50, 4, 0b0111), Effects::MSI);
    assert_eq!((f.take_pending_msi(), f.take_pending_msi()), (Some(message(3)), None));
    // Vector 1 is unmasked, but software enables vector 0 alone now: it waits on.
    assert_eq!(write(&mut f, 0x42, 2, 0x0001), Effects::MSI);
    assert_eq!(write(&mut f, 0x50, 4, 0), Effects::MSI);
    assert_eq!((f.take_pending_msi(), read(&mut f, 0x54, 4)), (None, 0b0010));
    assert_eq!(write(&mut f, 0x42, 2, 0x0021), Effects::MSI);
    assert_eq!(f.take_pending_msi(), Some(message(1)));
    assert_eq!(read(&mut f, 0x54, 4), 0);
}

#[test]
fn a_vector_is_told_with_its_mask() {
    let mut table = MsixTable::<2>::new();
    for (offset, value) in [(0x10, 0xfee0_1000_u32), (0x14, 1), (0x18, 0x4123), (0x1c, 0)] {
        table.write(offset, &value.to_le_bytes());
    }
    let message = MsiMessage {
        address: 0x1_fee0_1000,
        data: 0x4123,
    };
    assert_eq!(table.vector(1), Some((message, false)));
    let nothing = MsiMessage { address: 0, data: 0 };
    assert_eq!((table.vector(0), table.vector(2)), (Some((nothing, true)), None));
}

#[test]
fn pending_bits_are_read_by_dwords_and_quadwords_within_their_array() {
    let control = MsixControl {
        enabled: true,
        function_mask: true,
        vectors: 72,
    };
    let mut table = MsixTable::<72>::new();
    for vector in [0, 9, 33, 71] {
        assert_eq!(table.fire(vector, control), MsixDelivery::Held);
    }
    let read = |offset, len: usize| {
        let mut data = [0x5a; 8];
        table.read_pending(offset, &mut data[..len]);
        data
    };
    assert_eq!(read(0, 8), [0x01, 0x02, 0, 0, 0x02, 0, 0, 0]);
    assert_eq!(read(4, 4), [0x02, 0, 0, 0, 0x5a, 0x5a, 0x5a, 0x5a]);
    assert_eq!(read(8, 8), [0x80, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((read(16, 8), read(2, 4)[..4] == [0xff; 4]), ([0xff; 8], true));
    let mut beyond = [0; 8];
    table.read(72 * 16, &mut beyond);
    assert_eq!(beyond, [0xff; 8]);
}

#[test]
fn a_vector_that_is_raised_again_is_pending_once() {
    for (wide, mask, pending) in [(false, 0x4c, 0x50), (true, 0x50, 0x54)] {
        let mut f = function(Capability::Msi(Msi::new(2, wide, true).unwrap()));
        let _ = write(&mut f, 0x42, 2, 0x0011);
        let _ = write(&mut f, mask, 4, 2);
        for _ in 0..2 {
            assert_eq!(f.fire_msi(1), MsiDelivery::Held);
            assert_eq!(read(&mut f, pending, 4), 2);
        }
        assert_eq!(f.reset(), Effects::MSI);
        assert_eq!(read(&mut f, pending, 4), 0, "a reset forgets it");
    }
}

#[test]
fn pending_vectors_are_restored_if_there_are_such() {
    for (wide, pending) in [(false, 0x50), (true, 0x54)] {
        let mut f = function(Capability::Msi(Msi::new(4, wide, true).unwrap()));
        let fresh = f.state();
        for (offset, bits, is_possible) in [
            (pending, 0x0f_u8, true),
            (pending, 0x10, false),
            (pending + 1, 0x01, false),
            (pending + 3, 0x80, false),
            (pending + 4, 0x01, false),
        ] {
            let mut state = fresh.clone();
            state.config[offset] = bits;
            let expected = is_possible.then_some(Effects::MSI);
            assert_eq!(f.restore(&state).ok(), expected, "{bits:#x} at {offset:#x}");
            assert!(f.restore(&fresh).is_ok());
        }
    }
    let mut f = function(Capability::Msi(Msi::new(4, true, false).unwrap()));
    let mut state = f.state();
    state.config[0x54] = 1;
    assert!(f.restore(&state).is_err(), "nothing can be pending without masks");
}

#[test]
fn qemu_limits_vectors_only_while_msi_is_enabled() {
    for (rules, control, expected) in [
        (Rules::Specification, 0x0000, 0x0002),
        (Rules::Specification, 0x0010, 0x0012),
        (Rules::Specification, 0x0020, 0x0012),
        (Rules::Specification, 0x0070, 0x0012),
        (Rules::Specification, 0x0071, 0x0013),
        (Rules::Qemu11, 0x0000, 0x0002),
        (Rules::Qemu11, 0x0011, 0x0013),
        (Rules::Qemu11, 0x0021, 0x0013),
        (Rules::Qemu11, 0x0071, 0x0013),
        (Rules::Qemu11, 0x0020, 0x0022),
        (Rules::Qemu11, 0x0070, 0x0072),
    ] {
        let mut f = FunctionBuilder::<256>::new(Identity::default())
            .rules(rules)
            .capability(Capability::Msi(Msi::new(2, false, false).unwrap()))
            .and_then(FunctionBuilder::build)
            .unwrap();
        let _ = write(&mut f, 0x42, 2, control);
        assert_eq!(read(&mut f, 0x42, 2), expected, "{rules:?} {control:#x}");
    }
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, Vec<u8>),
    Read(u64, usize),
    Fire(u16),
    Control(bool, bool),
    Reset,
}

fn op() -> impl Strategy<Value = Op> {
    let offset = || (0_u64..0x60).prop_map(|n| if n % 3 == 0 { n } else { n & !3 });
    let bytes = (
        prop_oneof![4 => Just(4_usize), 3 => Just(8), 1 => 0_usize..17],
        any::<u64>(),
        any::<bool>(),
    );
    prop_oneof![
        8 => (offset(), bytes).prop_map(|(offset, (len, value, clear))| {
            let value = if clear { 0 } else { value };
            Op::Write(offset, value.to_le_bytes().iter().cycle().take(len).copied().collect())
        }),
        3 => (offset(), prop_oneof![Just(4_usize), Just(8), 0_usize..17]).prop_map(|(offset, len)| Op::Read(offset, len)),
        6 => (0_u16..7).prop_map(Op::Fire),
        3 => (prop::bool::weighted(0.8), prop::bool::weighted(0.2)).prop_map(|(on, mask)| Op::Control(on, mask)),
        1 => Just(Op::Reset),
    ]
}

const VECTORS: usize = 5;

/// 16 bytes a vector, and a flag.
struct Naive {
    bytes: [u8; 16 * VECTORS],
    pending: [bool; VECTORS],
}

impl Naive {
    fn new() -> Self {
        let mut bytes = [0; 16 * VECTORS];
        for vector in 0..VECTORS {
            bytes[16 * vector + 12] = 1;
        }
        Self {
            bytes,
            pending: [false; VECTORS],
        }
    }

    fn is_masked(&self, vector: usize) -> bool {
        self.bytes[16 * vector + 12] != 0
    }

    fn message(&self, vector: usize) -> MsiMessage {
        let entry = &self.bytes[16 * vector..];
        MsiMessage {
            address: u64::from_le_bytes(entry[..8].try_into().unwrap()),
            data: u32::from_le_bytes(entry[8..12].try_into().unwrap()),
        }
    }

    fn serves(offset: u64, len: usize) -> Option<usize> {
        let at = usize::try_from(offset).unwrap();
        ((len == 4 || len == 8) && at.is_multiple_of(len) && at + len <= 16 * VECTORS).then_some(at)
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let Some(at) = Self::serves(offset, data.len()) else {
            return;
        };
        for (lane, byte) in data.iter().enumerate() {
            let mask = match (at + lane) % 16 {
                0 => 0xfc,
                12 => 0x01,
                13..=15 => 0x00,
                _ => 0xff,
            };
            self.bytes[at + lane] = byte & mask;
        }
    }

    fn pending_bytes(&self) -> [u8; 8] {
        let bits = (0..VECTORS).map(|v| u64::from(self.pending[v]) << v).sum::<u64>();
        bits.to_le_bytes()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_table_equals_the_model(ops in proptest::collection::vec(op(), 1..80)) {
        let mut table = MsixTable::<VECTORS>::new();
        let mut naive = Naive::new();
        let mut control = MsixControl { enabled: true, function_mask: false, vectors: 5 };
        for op in ops {
            match op {
                Op::Write(offset, data) => {
                    table.write(offset, &data);
                    naive.write(offset, &data);
                }
                Op::Read(offset, len) => {
                    let mut read = [0x5a; 16];
                    table.read(offset, &mut read[..len]);
                    let expected = Naive::serves(offset, len).map_or(vec![0xff; len], |at| naive.bytes[at..at + len].to_vec());
                    prop_assert_eq!(&read[..len], &expected[..]);
                }
                Op::Fire(vector) => {
                    let v = usize::from(vector);
                    let expected = if v >= VECTORS || !control.enabled {
                        MsixDelivery::Off
                    } else if control.function_mask || naive.is_masked(v) {
                        naive.pending[v] = true;
                        MsixDelivery::Held
                    } else {
                        MsixDelivery::Send(naive.message(v))
                    };
                    prop_assert_eq!(table.fire(vector, control), expected);
                }
                Op::Control(enabled, function_mask) => {
                    control = MsixControl { enabled, function_mask, ..control };
                }
                Op::Reset => {
                    table.reset();
                    naive = Naive::new();
                }
            }
            while let Some(message) = table.take_pending(control) {
                prop_assert!(control.enabled && !control.function_mask);
                let vector = (0..VECTORS).find(|v| naive.pending[*v] && !naive.is_masked(*v));
                prop_assert_eq!(vector.map(|v| naive.message(v)), Some(message));
                naive.pending[vector.unwrap()] = false;
            }
            let mut pending = [0; 8];
            table.read_pending(0, &mut pending);
            prop_assert_eq!(pending, naive.pending_bytes());
            for vector in 0..VECTORS {
                let held = naive.pending[vector] && !naive.is_masked(vector);
                prop_assert!(!held || !control.enabled || control.function_mask, "nothing ready is left");
            }
        }
    }
}
