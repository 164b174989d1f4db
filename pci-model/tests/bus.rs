// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Functions on a bus: finding, adding, removing, and who answers at an address.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

#[path = "support/display.rs"]
mod display;
#[path = "support/machine.rs"]
mod machine;

use std::collections::BTreeMap;

use display::{bar, bdf, display};
use machine::{CF8, CFC, Machine, display_machine};
use pci_model::{
    BarKind, BarMap, BarRange, BarSpace, Bdf, Bus, BusError, ConfigAccess, ConfigRouter, ConfigSpace, Ecam, Effects,
    Function, FunctionBuilder, Identity, Rules, Width,
};
use proptest::prelude::*;

fn numbered(number: u16) -> Function<256> {
    let identity = Identity {
        vendor: 0x1234,
        device: number,
        ..Identity::default()
    };
    FunctionBuilder::new(identity)
        .bar(0, bar(BarKind::Memory32 { prefetchable: false }, 0x1000))
        .and_then(|f| f.bar(1, bar(BarKind::Memory32 { prefetchable: false }, 0x1000)))
        .and_then(|f| f.bar(2, bar(BarKind::Io, 0x10)))
        .and_then(FunctionBuilder::build)
        .unwrap()
}

fn at(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

fn place<const S: usize>(bus: &mut Bus<Function<256>, S>, bdf: Bdf, offset: u16, value: u32) {
    let _ = bus.config_write(bdf, at(offset, Width::Dword), value);
}

#[test]
fn a_full_bus_has_256_functions_and_each_is_found() {
    let mut bus: Bus<Function<256>, 256> = Bus::new(7);
    for devfn in 0..256 {
        bus.insert(Bdf::from_bits(0x700 | devfn), numbered(devfn)).unwrap();
    }
    let ecam = Ecam::new(Rules::Specification);
    for devfn in 0..256_u16 {
        let bdf = Bdf::from_bits(0x700 | devfn);
        assert_eq!(bus.config_read(bdf, at(2, Width::Word)), Some(devfn.into()));
        let mut id = [0; 2];
        ecam.read(u64::from(bdf.to_bits()) << 12 | 2, &mut id, &mut bus);
        assert_eq!(id, devfn.to_le_bytes());
        let header = bus.config_read(bdf, at(0x0e, Width::Byte)).unwrap();
        assert_eq!(header, if bdf.function() == 0 { 0x80 } else { 0 });
        assert_eq!(
            bus.config_read(Bdf::from_bits(devfn), at(0, Width::Dword)),
            None,
            "bus 0"
        );
    }
    assert_eq!(bus.iter().count(), 256);
    assert!(bus.iter().map(|(bdf, _)| bdf).is_sorted());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut bus: Bus<Function<256>, 2> = Bus::new(0);
    bus.insert(bdf(1, 0), numbered(1)).unwrap();
    assert_eq!(bus.insert(bdf(1, 0), numbered(2)), Err(BusError::Occupied(bdf(1, 0))));
    let other = Bdf::new(1, 1, 0).unwrap();
    assert_eq!(
        bus.insert(other, numbered(2)),
        Err(BusError::OtherBus { bdf: other, number: 0 })
    );
    bus.insert(bdf(31, 7), numbered(3)).unwrap();
    let full = BusError::Full {
        bdf: bdf(2, 0),
        slots: 2,
    };
    assert_eq!(bus.insert(bdf(2, 0), numbered(4)), Err(full));
    assert!(bus.remove(bdf(2, 0)).is_none());
    assert!(bus.remove(other).is_none());
    assert!(bus.remove(bdf(1, 0)).is_some());
    assert!(bus.insert(bdf(2, 0), numbered(4)).is_ok(), "the place is free again");
    assert_eq!(bus.config_read(bdf(1, 0), at(0, Width::Dword)), None);
    assert!(Bus::<Function<256>, 0>::new(0).insert(bdf(0, 0), numbered(0)).is_err());
}

#[test]
fn the_multi_function_bit_at_each_width() {
    let mut m = display_machine(Rules::Specification);
    m.bus.insert(bdf(2, 7), numbered(7)).unwrap();
    let _ = m.outl(CF8, 0x8000_100c);
    assert_eq!(m.inl(CFC), 0x0080_0000);
    assert_eq!((m.inw(CFC + 2), m.inb(CFC + 2), m.inb(CFC + 3)), (0x0080, 0x80, 0));
    assert_eq!((m.inw(CFC), m.inw(CFC + 1)), (0, 0x8000));
    let _ = m.outl(CF8, 0x8000_170c);
    assert_eq!(m.inl(CFC), 0, "function 7 itself has none");
    let _ = m.outl(CF8, 0x8000_100c);
    let _ = m.outb(CFC + 2, 0);
    assert_eq!(m.inb(CFC + 2), 0x80, "it is read-only");
    assert!(m.bus.remove(bdf(2, 0)).is_some());
    assert_eq!(m.inl(CFC), 0xffff_ffff, "function 0 is gone, with the bit");
}

#[test]
fn a_function_may_have_the_multi_function_bit_itself() {
    let mut image = [0; 256];
    image[0x0e] = 0x80;
    let mut bus: Bus<Function<256>, 2> = Bus::new(0);
    let header = |bus: &mut Bus<_, 2>| bus.config_read(bdf(2, 0), at(0x0c, Width::Dword));
    bus.insert(bdf(2, 0), FunctionBuilder::from_image(&image).build().unwrap())
        .unwrap();
    assert_eq!(header(&mut bus), Some(0x80_0000), "as PIIX3 and ICH9 have it");
    bus.insert(bdf(2, 1), numbered(1)).unwrap();
    assert_eq!(header(&mut bus), Some(0x80_0000));
}

#[test]
fn the_lowest_function_and_bar_win_an_overlap() {
    let mut bus: Bus<Function<256>, 4> = Bus::new(0);
    // Inserted against their order.
    for device in [9, 5, 3] {
        bus.insert(bdf(device, 0), numbered(device.into())).unwrap();
        place(&mut bus, bdf(device, 0), 0x10, 0xe000_0000);
        place(&mut bus, bdf(device, 0), 0x14, 0xe000_0000);
        place(&mut bus, bdf(device, 0), 0x18, 0xe001);
        place(&mut bus, bdf(device, 0), 0x04, 3);
    }
    assert_eq!(bus.claim(BarSpace::Memory, 0xe000_0abc), Some((bdf(3, 0), 0, 0xabc)));
    assert_eq!(bus.claim(BarSpace::Io, 0xe00f), Some((bdf(3, 0), 2, 0xf)));
    assert_eq!(bus.claim(BarSpace::Io, 0xe010), None);
    assert_eq!(bus.claim(BarSpace::Memory, 0xe000_1000), None);
    assert_eq!(bus.claim(BarSpace::Memory, 0xe00f), None);

    let range = BarRange::new(BarSpace::Memory, 0xe000_0000, 0x1000).unwrap();
    assert_eq!(bus.conflict(bdf(3, 0), 0), None, "who wins has no conflict");
    assert_eq!(bus.conflict(bdf(3, 0), 1), Some((bdf(3, 0), 0, range)));
    assert_eq!(bus.conflict(bdf(9, 0), 0), Some((bdf(3, 0), 0, range)));
    assert_eq!(bus.conflict(bdf(9, 0), 3), None, "no such BAR");
    assert_eq!(bus.conflict(bdf(4, 0), 0), None, "no such function");

    place(&mut bus, bdf(3, 0), 0x04, 1);
    assert_eq!(bus.claim(BarSpace::Memory, 0xe000_0abc), Some((bdf(5, 0), 0, 0xabc)));
    assert_eq!(bus.conflict(bdf(9, 0), 0), Some((bdf(5, 0), 0, range)));
    assert!(bus.remove(bdf(5, 0)).is_some());
    assert_eq!(bus.conflict(bdf(9, 0), 0), None);
    assert_eq!(bus.claim(BarSpace::Memory, 0xe000_0abc), Some((bdf(9, 0), 0, 0xabc)));
}

#[test]
fn a_reset_of_the_bus_resets_every_function() {
    let mut bus: Bus<Function<256>, 4> = Bus::new(0);
    assert_eq!(bus.reset(), Effects::empty());
    for device in [1, 2] {
        bus.insert(bdf(device, 0), numbered(device.into())).unwrap();
        place(&mut bus, bdf(device, 0), 0x10, 0xe000_0000);
    }
    place(&mut bus, bdf(1, 0), 0x04, 6);
    place(&mut bus, bdf(2, 0), 0x04, 4);
    assert_eq!(bus.reset(), Effects::BAR_MAP | Effects::BUS_MASTER);
    assert!(
        bus.iter()
            .all(|(_, f)| f.registers().u32(0x10) == 0 && f.registers().u16(4) == 0)
    );
}

#[test]
fn an_access_belongs_to_the_function_in_which_it_begins() {
    let mut bus: Bus<Function<4096>, 2> = Bus::new(0);
    for function in [0, 1] {
        bus.insert(bdf(2, function), display(Rules::Specification).build().unwrap())
            .unwrap();
    }
    let ecam = Ecam::new(Rules::Specification);
    let mut data = [0; 8];
    ecam.read(0x1_0ffe, &mut data, &mut bus);
    assert_eq!(data, [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let done = ecam.write(0x1_0fff, &[0xff; 8], &mut bus);
    assert_eq!((done.function, done.effects), (Some(bdf(2, 0)), Effects::empty()));
    assert_eq!(
        bus.config_read(bdf(2, 1), at(4, Width::Word)),
        Some(0),
        "function 1 is untouched"
    );
}

#[test]
fn an_unaligned_write_has_the_effects_of_its_pieces() {
    let write = |rules, offset: u64, data: &[u8]| {
        let mut bus: Bus<Function<4096>, 2> = Bus::new(0);
        bus.insert(bdf(2, 0), display(rules).build().unwrap()).unwrap();
        let done = Ecam::new(rules).write(0x1_0000 + offset, data, &mut bus);
        (done.function, done.effects)
    };
    let display = Some(bdf(2, 0));
    for (offset, data, effects) in [
        (0x03, &[0x00, 0x04][..], Effects::BUS_MASTER),
        (0x03, &[0x00, 0x00], Effects::empty()),
        // Two pieces of an MSI address, each with the same effect.
        (0xb1, &[0x10, 0xe0], Effects::MSI),
        (0xaf, &[0x00, 0x00, 0x10, 0xe0], Effects::MSI),
    ] {
        assert_eq!(
            write(Rules::Specification, offset, data),
            (display, effects),
            "{offset:#x}"
        );
        assert_eq!(
            write(Rules::Qemu11, offset, data),
            (None, Effects::empty()),
            "{offset:#x}"
        );
    }
    assert_eq!(
        write(Rules::Specification, 0x10_0001, &[0; 2]),
        (None, Effects::empty()),
        "nobody"
    );
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u16),
    Remove(u16),
    Place(u16, u16, u32),
}

fn op() -> impl Strategy<Value = Op> {
    // Three devices, so that functions meet in slots.
    let devfn = || 0_u16..24;
    let value = (0_u32..6).prop_map(|n| 0xe000_0000 + 0x800 * n);
    prop_oneof![
        3 => devfn().prop_map(Op::Insert),
        1 => devfn().prop_map(Op::Remove),
        6 => (devfn(), prop_oneof![Just(0x10_u16), Just(0x14)], value).prop_map(|(f, at, v)| Op::Place(f, at, v)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The bus answers as a plain ordered map of functions does.
    #[test]
    fn a_bus_equals_an_ordered_map(ops in proptest::collection::vec(op(), 1..60)) {
        let mut bus: Bus<Function<256>, 8> = Bus::new(0);
        let mut model: BTreeMap<Bdf, Function<256>> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Insert(devfn) => {
                    let bdf = Bdf::from_bits(devfn);
                    let mut function = numbered(devfn);
                    let _ = function.config_write(at(4, Width::Word), 3);
                    let fits = model.len() < 8 && !model.contains_key(&bdf);
                    prop_assert_eq!(bus.insert(bdf, function.clone()).is_ok(), fits);
                    if fits {
                        model.insert(bdf, function);
                    }
                }
                Op::Remove(devfn) => {
                    let bdf = Bdf::from_bits(devfn);
                    prop_assert_eq!(bus.remove(bdf), model.remove(&bdf));
                }
                Op::Place(devfn, offset, value) => {
                    let bdf = Bdf::from_bits(devfn);
                    let effects = model.get_mut(&bdf).map(|f| f.config_write(at(offset, Width::Dword), value));
                    prop_assert_eq!(bus.config_write(bdf, at(offset, Width::Dword), value), effects);
                }
            }
            for devfn in 0..24 {
                let bdf = Bdf::from_bits(devfn);
                let expected = model.get(&bdf).map(|f| {
                    let others = model.keys().any(|o| o.device() == bdf.device() && o.function() != 0);
                    let bit = if bdf.function() == 0 && others { 0x80_0000 } else { 0 };
                    f.registers().u32(0x0c) | bit
                });
                prop_assert_eq!(bus.config_read(bdf, at(0x0c, Width::Dword)), expected);
                for bar in 0..3 {
                    let range = model.get(&bdf).and_then(|f| f.bar_map().get(bar));
                    let winner = range.and_then(|range| {
                        let all = model.iter().flat_map(|(o, f)| (0..7).map(move |i| (*o, i, f.bar_map().get(i))));
                        all.filter_map(|(o, i, r)| Some((o, i, r?)))
                            .find(|(o, i, r)| (*o, *i) < (bdf, bar) && r.overlaps(range))
                    });
                    prop_assert_eq!(bus.conflict(bdf, bar), winner);
                }
            }
            for addr in (0xe000_0000_u64..0xe000_4000).step_by(0x400) {
                let owner = model.iter().find_map(|(bdf, f)| {
                    let (bar, offset) = f.bar_map().claim(BarSpace::Memory, addr)?;
                    Some((*bdf, bar, offset))
                });
                prop_assert_eq!(bus.claim(BarSpace::Memory, addr), owner);
            }
        }
    }
}

/// The machine of the fixture takes any function, also behind a reference.
#[test]
fn a_bus_of_borrowed_functions() {
    let mut function = numbered(1);
    let mut m: Machine<&mut Function<256>> = Machine::with(Rules::Specification, [(bdf(3, 0), &mut function)]);
    let _ = m.outl(CF8, 0x8000_1804);
    assert_eq!(m.outw(CFC, 4).effects, Effects::BUS_MASTER);
    assert_eq!(function.registers().u16(4), 4);
}

/// What a function has to do at least.
struct Plain(u32);

impl ConfigSpace for Plain {
    fn config_read(&mut self, _: ConfigAccess) -> u32 {
        self.0
    }

    fn config_write(&mut self, _: ConfigAccess, value: u32) -> Effects {
        self.0 = value;
        Effects::empty()
    }

    fn reset(&mut self) -> Effects {
        self.0 = 0;
        Effects::PIRQ
    }
}

#[test]
fn a_function_is_conventional_and_without_bars_unless_it_says_so() {
    let plain = Plain(0);
    assert_eq!((plain.config_size(), plain.bar_map()), (256, BarMap::EMPTY));
    let mut express: Function<4096> = display(Rules::Specification).build().unwrap();
    let _ = express.config_write(at(0x10, Width::Dword), 0xe000_0000);
    let _ = express.config_write(at(0x04, Width::Word), 2);
    let map = express.bar_map();
    let mut borrowed = &mut express;
    assert_eq!((borrowed.config_size(), borrowed.bar_map()), (4096, map));
    assert!(map != BarMap::EMPTY);
    assert_eq!(ConfigSpace::reset(&mut borrowed), Effects::BAR_MAP);
    let mut plain = Plain(7);
    let mut bus: Bus<&mut Plain, 1> = Bus::new(0);
    bus.insert(bdf(3, 0), &mut plain).unwrap();
    assert_eq!(
        bus.config_write(bdf(3, 0), at(0, Width::Dword), 5),
        Some(Effects::empty())
    );
    assert_eq!(bus.config_read(bdf(3, 0), at(0, Width::Dword)), Some(5));
    assert_eq!(bus.reset(), Effects::PIRQ);
    assert_eq!(bus.config_read(bdf(3, 0), at(0, Width::Dword)), Some(0));
}
