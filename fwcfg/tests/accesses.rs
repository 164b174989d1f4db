// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Every port and width under both rules, as QEMU answers.

#![expect(clippy::indexing_slicing, reason = "a helper that fails fails the test")]

#[expect(dead_code, reason = "the other test programs use the rest")]
mod common;

use common::Guest;
use fwcfg::{AccessRule, DataWidth};

/// What reads of 8, 16 and 32 bits answer at a port while the signature is selected, and how far the offset moves.
type Row = [(u32, usize); 3];

/// QEMU 7.2.22.
const SPLIT: [Row; 12] = [
    [(0x51, 1), (0x0000, 0), (0x0000_0000, 0)],
    [(0x51, 1), (0xff51, 1), (0x51ff_ff51, 1)],
    [(0xff, 0), (0xffff, 0), (0x4551_ffff, 0)],
    [(0xff, 0), (0x51ff, 0), (0x4d45_51ff, 0)],
    [(0x51, 0), (0x4551, 0), (0x554d_4551, 0)],
    [(0x45, 0), (0x4d45, 0), (0x2055_4d45, 0)],
    [(0x4d, 0), (0x554d, 0), (0x4320_554d, 0)],
    [(0x55, 0), (0x2055, 0), (0x4643_2055, 0)],
    [(0x20, 0), (0x4320, 0), (0x4746_4320, 0)],
    [(0x43, 0), (0x4643, 0), (0xff47_4643, 0)],
    [(0x46, 0), (0x4746, 0), (0xffff_4746, 0)],
    [(0x47, 0), (0xff47, 0), (0xffff_ff47, 0)],
];

/// QEMU 11.1.2.
const REFUSE: [Row; 12] = [
    [(0x51, 1), (0x0000, 0), (0x0000_0000, 0)],
    [(0x51, 1), (0x0000, 0), (0x0000_0000, 0)],
    [(0xff, 0), (0xffff, 0), (0x0000_0000, 0)],
    [(0xff, 0), (0x0000, 0), (0x0000_0000, 0)],
    [(0x51, 0), (0x4551, 0), (0x554d_4551, 0)],
    [(0x45, 0), (0x0000, 0), (0x0000_0000, 0)],
    [(0x4d, 0), (0x554d, 0), (0x0000_0000, 0)],
    [(0x55, 0), (0x0000, 0), (0x0000_0000, 0)],
    [(0x20, 0), (0x4320, 0), (0x4746_4320, 0)],
    [(0x43, 0), (0x0000, 0), (0x0000_0000, 0)],
    [(0x46, 0), (0x4746, 0), (0x0000_0000, 0)],
    [(0x47, 0), (0x0000, 0), (0x0000_0000, 0)],
];

fn check_reads(mut guest: Guest, table: &[Row; 12]) {
    for (port, row) in (0x510..).zip(table) {
        let [byte, word, dword] = row.map(|(_, moved)| b"QEMU"[moved]);
        let [(a, _), (b, _), (c, _)] = *row;
        guest.select(0);
        assert_eq!((u32::from(guest.inb(port)), guest.inb(0x511)), (a, byte), "{port:#x}");
        guest.select(0);
        assert_eq!((u32::from(guest.inw(port)), guest.inb(0x511)), (b, word), "{port:#x}");
        guest.select(0);
        assert_eq!((guest.inl(port), guest.inb(0x511)), (c, dword), "{port:#x}");
    }
}

#[test]
fn split_reads() {
    check_reads(Guest::split(), &SPLIT);
}

#[test]
fn refused_reads() {
    check_reads(Guest::new(), &REFUSE);
}

#[test]
fn only_three_writes_do_anything() {
    for rule in [AccessRule::Refuse, AccessRule::Split] {
        for port in 0x510..0x51c {
            for len in [1, 2, 4] {
                let mut guest = Guest::with(common::fixture().access_rule(rule));
                guest.select(0x23);
                let effects = guest.out(port, &[0; 4][..len]);
                let takes = matches!((port, len), (0x510, 2) | (0x514 | 0x518, 4));
                assert_eq!(effects.fault.is_none(), takes, "{rule:?} {port:#x} {len}");
                assert_eq!(effects.selected, (port == 0x510 && len == 2).then_some(0));
                let kept = effects.selected.is_none();
                assert_eq!(guest.inb(0x511), if kept { b'A' } else { b'Q' });
            }
        }
    }
}

#[test]
fn refused_writes_leave_the_dma_address() {
    for (port, len) in [(0x514, 2), (0x516, 2), (0x517, 1), (0x515, 4), (0x513, 4), (0x512, 4)] {
        for mut guest in [Guest::new(), Guest::split()] {
            let _ = guest.out(port, &[0x7f; 4][..len]);
            assert_eq!(guest.device.state().dma_latch, 0, "{port:#x} {len}");
        }
    }
}

#[test]
fn without_dma_there_are_two_ports() {
    let mut guest = Guest::with(common::fixture().dma(false));
    assert_eq!((guest.device.port_count(), guest.device.mmio_size()), (2, 10));
    assert_eq!((guest.inl(0x514), guest.inw(0x51a)), (u32::MAX, u16::MAX));
    assert!(guest.outl(0x518, 0).fault.is_some());
    assert_eq!(guest.device.state().dma_latch, 0);
    let mut register = [0; 8];
    guest.device.mmio_read(0x10, &mut register).unwrap();
    assert_eq!(register, [0xff; 8]);
}

#[test]
fn odd_lengths_are_harmless() {
    for mut guest in [Guest::new(), Guest::split()] {
        for offset in [0, 1, 3, 9, 12, 0x7fff, u16::MAX] {
            for len in [0, 3, 5, 8, 100] {
                guest.device.port_read(offset, &mut vec![0; len]).unwrap();
                let _ = guest.device.port_write(offset, &vec![0; len], &guest.ram);
                guest
                    .device
                    .mmio_read(u64::MAX - u64::from(offset), &mut vec![0; len])
                    .unwrap();
                let _ = guest
                    .device
                    .mmio_write(u64::MAX - u64::from(offset), &vec![0; len], &guest.ram);
            }
        }
    }
}

#[test]
fn flattened_string_input_is_bytes() {
    for len in [1, 2, 4, 56, 9000] {
        let mut guest = Guest::new();
        guest.select(0x21);
        let mut flat = vec![0xcc; len];
        guest.device.port_read_flattened(1, &mut flat).unwrap();
        let mut expected = common::opregion();
        expected.resize(9000, 0);
        assert_eq!(flat, expected[..len]);
        assert_eq!(guest.device.state().offset, u32::try_from(len.min(8192)).unwrap());
        let mut signature = [0; 4];
        guest.device.port_read_flattened(4, &mut signature).unwrap();
        assert_eq!(signature, *b"QEMU");
    }
}

#[test]
fn flattening_is_for_the_data_port_alone() {
    let mut guest = Guest::new();
    let mut data = [0xcc; 2];
    guest.device.port_read_flattened(0, &mut data).unwrap();
    assert_eq!((data, guest.inb(0x511)), ([0; 2], b'Q'));
}

#[test]
fn memory_mapped_data_follows_the_configured_width() {
    let read = |guest: &mut Guest, offset: u64, len: usize| {
        let mut data = vec![0xcc; len];
        guest.device.mmio_read(offset, &mut data).unwrap();
        data
    };
    let mut narrow = Guest::new();
    assert_eq!(read(&mut narrow, 0, 4), [0; 4]);
    assert_eq!(read(&mut narrow, 0, 1), *b"Q");
    let mut split = Guest::with(common::fixture().access_rule(AccessRule::Split));
    assert_eq!(read(&mut split, 0, 4), *b"Q\xff\xff\xff");
    let mut wide = Guest::with(common::fixture().data_width(DataWidth::Eight));
    assert_eq!(read(&mut wide, 0, 2), *b"QE");
    assert_eq!(read(&mut wide, 4, 4), [0; 4]);
    assert_eq!(read(&mut wide, 8, 2), [0; 2]);
    assert_eq!(read(&mut wide, 10, 2), [0xff; 2]);
    assert_eq!(read(&mut wide, 0x10, 8), *b"QEMU CFG");
    assert_eq!(read(&mut wide, 0x14, 4), *b" CFG");
    assert_eq!(read(&mut wide, 0x18, 8), [0xff; 8]);
    assert_eq!(read(&mut wide, 0, 2), *b"MU");
}

#[test]
fn memory_mapped_selector_takes_a_word() {
    for (data, selects) in [
        ([0x00, 0x23].as_slice(), true),
        (&[0x23], false),
        (&[0, 0x23, 0, 0], false),
        (&[0, 0x23, 0, 0, 0, 0, 0, 0], false),
    ] {
        for rule in [AccessRule::Refuse, AccessRule::Split] {
            let mut guest = Guest::with(common::fixture().access_rule(rule));
            let effects = guest.device.mmio_write(8, data, &guest.ram);
            assert_eq!(effects.selected, selects.then_some(0x23), "{rule:?} {data:?}");
            assert_eq!(effects.fault.is_some(), !selects);
        }
    }
}
