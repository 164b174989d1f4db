// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Functions against a model that was written from the tables of the specifications, for any sequence of accesses.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

#[path = "support/model.rs"]
mod model;
#[path = "support/shape.rs"]
mod shape;

use model::Model;
use pci_model::{
    BarMap, BarStep, ConfigAccess, ConfigSpace, Effects, Function, MsiDelivery, MsiMessage, PowerState, Rules, Width,
};
use proptest::prelude::*;
use shape::{Cap, Shape};

#[derive(Clone, Debug)]
enum Op {
    Write(u16, Width, u32),
    /// Writes a byte into the capability with this id.
    WriteCapability(u8, u16, u8),
    Read(u16, Width),
    SetIntx(bool),
    FireMsi(u8),
    TakePendingMsi,
    /// The device reports errors: status bits, which software clears.
    Errors(u8),
    Reset,
}

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![Just(Width::Byte), Just(Width::Word), Just(Width::Dword)]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => any::<u32>(),
        2 => Just(u32::MAX),
        1 => Just(0),
        2 => (0_u32..8).prop_map(|n| n),
        2 => (0x10_u32..0x100).prop_map(|n| n << 24),
        1 => (0_u32..8).prop_map(|n| n << 13 | 0x8000_0001),
        1 => (0_u32..0x100).prop_map(|n| n << 16 | n),
    ]
}

/// Power state, MSI and MSI-X control, MSI mask bits, and the byte of device control that starts a reset.
fn in_capability() -> impl Strategy<Value = (u8, u16)> {
    prop_oneof![
        3 => Just((0x01, 4)),
        1 => Just((0x01, 5)),
        2 => Just((0x05, 2)),
        2 => prop::sample::select(vec![(0x05, 0x0c), (0x05, 0x10)]),
        1 => Just((0x11, 3)),
        1 => Just((0x10, 9)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let offset = || {
        prop_oneof![
            6 => 0_u16..0x40,
            3 => Just(0x04),
            2 => (0_u16..6).prop_map(|bar| 0x10 + 4 * bar),
            5 => 0x40_u16..0xc0,
            1 => 0x100_u16..0xffd,
            1 => 0xf8_u16..0x104,
        ]
    };
    prop_oneof![
        20 => (offset(), width(), value()).prop_map(|(offset, width, value)| Op::Write(offset, width, value)),
        8 => (in_capability(), any::<u8>()).prop_map(|((id, offset), value)| Op::WriteCapability(id, offset, value)),
        3 => (offset(), width()).prop_map(|(offset, width)| Op::Read(offset, width)),
        2 => any::<bool>().prop_map(Op::SetIntx),
        2 => (0_u8..34).prop_map(Op::FireMsi),
        1 => Just(Op::TakePendingMsi),
        1 => any::<u8>().prop_map(Op::Errors),
        1 => Just(Op::Reset),
    ]
}

fn at(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

/// What the VMM has applied, brought forward by steps alone.
struct Applied(BarMap);

impl Applied {
    fn follow(&mut self, now: BarMap) {
        let mut ranges: [_; 7] = std::array::from_fn(|bar| self.0.get(u8::try_from(bar).unwrap()));
        for step in self.0.steps_to(&now) {
            match step {
                BarStep::Unmap { bar, range } => assert_eq!(ranges[usize::from(bar)].take(), Some(range)),
                BarStep::Map { bar, range } => assert_eq!(ranges[usize::from(bar)].replace(range), None),
            }
        }
        self.0 = BarMap::new(ranges);
        assert_eq!(self.0, now);
    }
}

/// What effects are told from, seen from outside.
#[derive(PartialEq)]
struct Seen {
    map: BarMap,
    intx: bool,
    bus_master: bool,
    power: u8,
    msi: Option<Vec<u8>>,
    msix: Option<u16>,
    bridge: Option<(Vec<u8>, Vec<u8>, Vec<u8>)>,
}

impl Seen {
    fn new(model: &Model) -> Self {
        let bridge = model.bridge_bytes();
        Self {
            map: model.map(),
            intx: model.intx_level(),
            bus_master: model.bus_master(),
            power: model.power_state(),
            msi: model.msi_bytes().map(<[u8]>::to_vec),
            msix: model.msix_control(),
            bridge: bridge.map(|(a, b, c)| (a.to_vec(), b.to_vec(), c.to_vec())),
        }
    }

    fn effects_to(&self, next: &Self) -> Effects {
        let mut effects = Effects::empty();
        effects.set(Effects::BAR_MAP, self.map != next.map);
        effects.set(Effects::INTX, self.intx != next.intx);
        effects.set(Effects::BUS_MASTER, self.bus_master != next.bus_master);
        effects.set(Effects::POWER, self.power != next.power);
        effects.set(Effects::MSI, self.msi != next.msi);
        effects.set(Effects::MSIX, self.msix != next.msix);
        effects.set(Effects::BRIDGE, self.bridge != next.bridge);
        effects
    }
}

fn message((address, data): (u64, u32)) -> MsiMessage {
    MsiMessage { address, data }
}

fn run<const N: usize>(shape: &Shape, ops: &[Op]) {
    let mut function: Function<N> = shape.build(Rules::Specification).unwrap();
    let mut model = Model::new(shape, N);
    let mut applied = Applied(BarMap::EMPTY);
    assert_eq!(function.registers().bytes()[..], model.bytes, "at power-on");
    for op in ops {
        let before = Seen::new(&model);
        let mut effects = Effects::empty();
        let mut expected = Effects::empty();
        let op = match *op {
            Op::WriteCapability(id, offset, value) => function.capability(id).map_or(Op::Reset, |at| {
                Op::Write(u16::from(at) + offset, Width::Byte, value.into())
            }),
            ref op => op.clone(),
        };
        match op {
            Op::WriteCapability(..) => unreachable!("resolved above"),
            Op::Write(offset, width, value) => {
                effects = function.config_write(at(offset, width), value);
                expected.set(Effects::FUNCTION_RESET, model.write(offset.into(), width.len(), value));
            }
            Op::Read(offset, width) => {
                let read = function.config_read(at(offset, width));
                assert_eq!(read, model.read(offset.into(), width.len()));
            }
            Op::SetIntx(asserted) => {
                effects = function.set_intx(asserted);
                model.set_intx(asserted);
            }
            Op::FireMsi(vector) => {
                let delivery = match model.fire_msi(vector) {
                    Ok(sent) => MsiDelivery::Send(message(sent)),
                    Err(true) => MsiDelivery::Held,
                    Err(false) => MsiDelivery::Off,
                };
                assert_eq!(function.fire_msi(vector), delivery);
            }
            Op::TakePendingMsi => {
                assert_eq!(function.take_pending_msi(), model.take_pending_msi().map(message));
            }
            Op::Errors(bits) => {
                let status = bits & 0xf9;
                function.registers_mut().set_now(0x07, &[status]);
                model.bytes[0x07] = status;
            }
            Op::Reset => {
                effects = function.reset();
                model.reset();
                assert_eq!(function.power_state(), PowerState::D0);
            }
        }
        if !matches!(op, Op::FireMsi(_) | Op::TakePendingMsi) {
            expected |= before.effects_to(&Seen::new(&model));
        }
        assert_eq!(function.registers().bytes()[..], model.bytes, "after {op:?}");
        assert_eq!(function.bar_map(), model.map(), "after {op:?}");
        assert_eq!(function.intx_level(), model.intx_level(), "after {op:?}");
        assert_eq!(effects, expected, "after {op:?}");
        if effects.contains(Effects::BAR_MAP) {
            applied.follow(function.bar_map());
        }
        assert_eq!(applied.0, function.bar_map());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_conventional_function_equals_the_model(shape in model::shape(), ops in proptest::collection::vec(op(), 1..60)) {
        run::<256>(&shape, &ops);
    }

    #[test]
    fn an_express_function_equals_the_model(shape in model::shape(), ops in proptest::collection::vec(op(), 1..40)) {
        run::<4096>(&shape, &ops);
    }

    /// Narrow writes in rising order leave what one wide write leaves, where no byte starts something.
    #[test]
    fn width_makes_no_difference(mut shape in model::shape(), offset in 0x10_u16..0x40, value in any::<u32>()) {
        // A byte of it starts a reset. Leaving it out of the shape rejects no case, of which there may be too many.
        shape.caps.retain(|capability| !matches!(capability, Cap::Express { .. }));
        let mut wide: Function<256> = shape.build(Rules::Specification).unwrap();
        let mut narrow = wide.clone();
        let _ = wide.config_write(at(offset, Width::Dword), value);
        for (lane, byte) in (0_u16..).zip(value.to_le_bytes()) {
            let _ = narrow.config_write(at(offset + lane, Width::Byte), byte.into());
        }
        prop_assert_eq!(wide, narrow);
    }
}
