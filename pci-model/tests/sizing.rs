// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How operating systems and firmware find the size of a BAR: each way finds it, and leaves the BAR where it was.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use pci_model::{
    Bar, BarKind, BarMap, ConfigAccess, ConfigSpace, DecodeLimits, Effects, Function, FunctionBuilder, Identity, ROM,
    Rules, Width,
};

const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];

/// Each kind with each size it can have, and the register it stands in.
fn every_bar() -> Vec<(u8, Bar)> {
    let mut bars = Vec::new();
    for log2 in 0..64 {
        for (index, kind) in [
            (0, BarKind::Memory32 { prefetchable: false }),
            (5, BarKind::Memory32 { prefetchable: true }),
            (2, BarKind::Memory64 { prefetchable: false }),
            (4, BarKind::Memory64 { prefetchable: true }),
            (1, BarKind::Io),
            (ROM, BarKind::Rom),
        ] {
            bars.extend(Bar::new(kind, 1 << log2).map(|bar| (index, bar)));
        }
    }
    assert_eq!(bars.len(), 28 + 28 + 60 + 60 + 15 + 14);
    bars
}

fn function(rules: Rules, index: u8, bar: Bar) -> Function<256> {
    let identity = Identity {
        vendor: 0x1234,
        ..Identity::default()
    };
    FunctionBuilder::new(identity)
        .rules(rules)
        .bar(index, bar)
        .unwrap()
        .build()
        .unwrap()
}

fn register(index: u8) -> u16 {
    if index == ROM {
        0x30
    } else {
        0x10 + 4 * u16::from(index)
    }
}

fn at(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

fn read(function: &mut Function<256>, offset: u16) -> u32 {
    function.config_read(at(offset, Width::Dword))
}

fn write(function: &mut Function<256>, offset: u16, value: u32) {
    let _ = function.config_write(at(offset, Width::Dword), value);
}

/// The size that the bits of a mask say, within the bits a register has.
fn size_of(mask: u64, ones: u64) -> u64 {
    (!mask & ones).wrapping_add(1)
}

/// Writes `probe` to the register, reads it back and restores it.
fn probe(function: &mut Function<256>, offset: u16, probe: u32) -> u32 {
    let old = read(function, offset);
    write(function, offset, probe);
    let found = read(function, offset);
    write(function, offset, old);
    assert_eq!(read(function, offset), old);
    found
}

/// Linux: decoding off, ones into the low half (for a ROM the address bits only), then ones into the high half.
fn linux(function: &mut Function<256>, index: u8) -> u64 {
    let command = read(function, 4) & 0xffff;
    write(function, 4, command & !3);
    let offset = register(index);
    let ones = if index == ROM { 0xffff_f800 } else { 0xffff_ffff };
    let low = probe(function, offset, ones);
    let found = if index == ROM {
        size_of((low & 0xffff_f800).into(), 0xffff_ffff)
    } else if low & 1 != 0 {
        size_of((low & !3).into(), 0xffff_ffff)
    } else if low & 6 == 4 {
        let high = probe(function, offset + 4, 0xffff_ffff);
        size_of(u64::from(high) << 32 | u64::from(low & !15), u64::MAX)
    } else {
        size_of((low & !15).into(), 0xffff_ffff)
    };
    write(function, 4, command);
    found
}

/// SeaBIOS: ones into each half, decoding as it is; a ROM with all bits but the enable bit.
fn seabios(function: &mut Function<256>, index: u8) -> u64 {
    let offset = register(index);
    let old = read(function, offset);
    let (mask, ones) = match (index == ROM, old & 1 != 0) {
        (true, _) => (0xffff_f800_u32, 0xffff_f800),
        (_, true) => (0xffff_fffc, 0xffff_ffff),
        _ => (0xffff_fff0, 0xffff_ffff),
    };
    let low = probe(function, offset, ones);
    if index != ROM && old & 7 == 4 {
        let high = probe(function, offset + 4, 0xffff_ffff);
        return size_of(u64::from(high) << 32 | u64::from(low & mask), u64::MAX);
    }
    size_of((low & mask).into(), 0xffff_ffff)
}

/// OVMF: ones into the low half; if that is wide and its mask is empty or not, ones into the high half.
fn ovmf(function: &mut Function<256>, index: u8) -> u64 {
    let offset = register(index);
    if index == ROM {
        let found = probe(function, offset, 0xffff_fffe);
        return size_of((found & 0xffff_f800).into(), 0xffff_ffff);
    }
    let low = probe(function, offset, 0xffff_ffff);
    if low & 7 == 4 {
        let high = probe(function, offset + 4, 0xffff_ffff);
        let mask = u64::from(high) << 32 | u64::from(low & !15);
        return 1 << mask.trailing_zeros();
    }
    let mask = if low & 1 != 0 { low & !3 } else { low & !15 };
    1 << mask.trailing_zeros()
}

/// OpenBSD: ones into the address bits only.
fn openbsd(function: &mut Function<256>, index: u8) -> u64 {
    let offset = register(index);
    if index == ROM {
        return size_of((probe(function, offset, 0xffff_fffe) & 0xffff_f800).into(), 0xffff_ffff);
    }
    let flags = read(function, offset);
    if flags & 1 != 0 {
        return size_of((probe(function, offset, 0xffff_fffc) & !3).into(), 0xffff_ffff);
    }
    let low = probe(function, offset, 0xffff_fff0);
    assert_eq!(low & 15, flags & 15, "the flags are read-only");
    if flags & 6 == 4 {
        let high = probe(function, offset + 4, 0xffff_ffff);
        return size_of(u64::from(high) << 32 | u64::from(low & !15), u64::MAX);
    }
    size_of((low & !15).into(), 0xffff_ffff)
}

/// A byte at a time, from the highest to the lowest.
fn bytewise(function: &mut Function<256>, index: u8) -> u64 {
    let offset = register(index);
    let wide = index != ROM && read(function, offset) & 7 == 4;
    let length = if wide { 8 } else { 4 };
    let mut mask = 0_u64;
    for lane in (0..length).rev() {
        let byte = at(offset + lane, Width::Byte);
        let old = function.config_read(byte);
        let _ = function.config_write(byte, 0xff);
        mask |= u64::from(function.config_read(byte)) << (8 * lane);
        let _ = function.config_write(byte, old);
        assert_eq!(function.config_read(byte), old);
    }
    let flags = match (index == ROM, mask & 1 != 0) {
        (true, _) => 0x7ff,
        (_, true) => 3,
        _ => 15,
    };
    size_of(mask & !flags, if wide { u64::MAX } else { 0xffff_ffff })
}

type Probe = fn(&mut Function<256>, u8) -> u64;

const PROBES: [(&str, Probe); 5] = [
    ("Linux", linux),
    ("SeaBIOS", seabios),
    ("OVMF", ovmf),
    ("OpenBSD", openbsd),
    ("bytes", bytewise),
];

#[test]
fn each_way_finds_each_size() {
    for rules in RULES {
        for (index, bar) in every_bar() {
            for (name, probe) in PROBES {
                let mut function = function(rules, index, bar);
                let before = function.clone();
                assert_eq!(probe(&mut function, index), bar.size(), "{name} {rules:?} {bar:?}");
                assert!(function == before, "{name} left something behind: {bar:?}");
            }
        }
    }
}

/// Probing a live BAR lets it pass through other addresses, and it ends where it began.
#[test]
fn a_live_bar_comes_back() {
    for rules in RULES {
        for (index, bar) in every_bar() {
            let address = match bar.kind() {
                BarKind::Io => 0x8000,
                BarKind::Memory64 { .. } if bar.size() > 1 << 30 => bar.size(),
                BarKind::Memory64 { .. } => 0x40_4000_0000,
                BarKind::Memory32 { .. } | BarKind::Rom => 0x4000_0000,
            };
            let mut function = function(rules, index, bar);
            let enable = u64::from(index == ROM);
            let [low, high] = [address | enable, address >> 32].map(|half| u32::try_from(half & 0xffff_ffff).unwrap());
            write(&mut function, register(index), low);
            if bar.is_64bit() {
                write(&mut function, register(index) + 4, high);
            }
            write(&mut function, 4, 3);
            let value = address & bar.writable();
            let decoded = bar.decode(value, &DecodeLimits::new(rules));
            let start = function.bar_map().get(index).map(|range| (range.start(), range.size()));
            assert_eq!(start, decoded.map(|start| (start, bar.size())));
            for (name, probe) in PROBES {
                let before = function.clone();
                assert_eq!(probe(&mut function, index), bar.size(), "{name} {rules:?} {bar:?}");
                assert!(function == before, "{name} left something behind: {bar:?}");
            }
        }
    }
}

#[test]
fn a_probe_with_decoding_on_never_maps_the_end_of_the_space() {
    let bar = Bar::new(BarKind::Memory32 { prefetchable: false }, 0x10_0000).unwrap();
    let mut function = function(Rules::Specification, 0, bar);
    write(&mut function, 0x10, 0xe000_0000);
    write(&mut function, 4, 2);
    let effects = function.config_write(at(0x10, Width::Dword), 0xffff_ffff);
    assert_eq!((effects, function.bar_map()), (Effects::BAR_MAP, BarMap::EMPTY));
    let effects = function.config_write(at(0x10, Width::Dword), 0xe000_0000);
    assert_eq!(effects, Effects::BAR_MAP);
    assert_eq!(function.bar_map().get(0).unwrap().start(), 0xe000_0000);
}

#[test]
fn a_register_without_a_bar_has_no_size() {
    for rules in RULES {
        let bar = Bar::new(BarKind::Memory64 { prefetchable: false }, 1 << 33).unwrap();
        let mut function = function(rules, 2, bar);
        for index in [0, 1, 4, 5, ROM] {
            write(&mut function, register(index), 0xffff_ffff);
            assert_eq!(read(&mut function, register(index)), 0, "BAR{index}");
        }
        write(&mut function, 0x18, 0xffff_ffff);
        assert_eq!(read(&mut function, 0x18), 0x0000_0004, "8 GiB: no bit of the low half");
        write(&mut function, 0x1c, 0xffff_ffff);
        assert_eq!(read(&mut function, 0x1c), 0xffff_fffe);
    }
}

#[test]
fn a_move_by_any_way_is_told() {
    let narrow = |size| Bar::new(BarKind::Memory32 { prefetchable: false }, size).unwrap();
    let mut function = FunctionBuilder::<256>::new(Identity::default())
        .bar(0, narrow(0x1000))
        .and_then(|builder| builder.bar(1, narrow(0x1000)))
        .and_then(FunctionBuilder::build)
        .unwrap();
    write(&mut function, 0x10, 0xe000_0000);
    write(&mut function, 0x14, 0xe001_0000);
    write(&mut function, 0x04, 2);
    let before = function.state();
    let map = function.bar_map();
    let over_both = at(0x12, Width::Dword);
    assert_eq!(function.config_write(over_both, 0x0000_e100), Effects::BAR_MAP);
    assert_eq!(function.bar_map().get(0).unwrap().start(), 0xe100_0000);
    assert_eq!(function.restore(&before), Ok(Effects::BAR_MAP));
    assert_eq!(function.bar_map(), map);
    assert_eq!(function.restore(&before), Ok(Effects::empty()));
}
