// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DMA against sources, holes in memory and the VMM's own changes.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[expect(dead_code, reason = "the other test programs use the rest")]
mod common;

use std::cell::RefCell;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{D, Guest, RAM, fixture};
use fwcfg::{Fault, FwCfgBuilder, GuestMemory, InsertError, Item, MemoryError, ModifyError, Source, Written};

const BUF: u64 = 0x2000;

/// A source whose byte at any offset is known, with a part that cannot be read.
#[derive(Debug)]
struct Pattern {
    bad_from: u32,
}

fn pattern(offset: u32) -> u8 {
    let [_, high, middle, low] = offset.to_be_bytes();
    low ^ middle ^ high
}

impl Source for Pattern {
    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = offset + u32::try_from(buf.len()).unwrap();
        if end > self.bad_from {
            return Err(format!("no bytes from {:#x}", self.bad_from).into());
        }
        for (byte, at) in buf.iter_mut().zip(offset..) {
            *byte = pattern(at);
        }
        Ok(())
    }
}

fn with_source(len: u32, bad_from: u32) -> Guest {
    let mut builder = FwCfgBuilder::new();
    let source = Box::new(Pattern { bad_from });
    builder.add_item(0x0011, Item::from_source(source, len)).unwrap();
    Guest::with(builder)
}

/// RAM that counts accesses and the longest of them, and can refuse to store.
struct Watched {
    ram: RefCell<Vec<u8>>,
    longest: AtomicUsize,
    read_only: bool,
}

impl GuestMemory for Watched {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.longest.fetch_max(buf.len(), Ordering::Relaxed);
        self.ram.read(gpa, buf)
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        self.longest.fetch_max(buf.len(), Ordering::Relaxed);
        if self.read_only {
            return Err(MemoryError);
        }
        self.ram.write(gpa, buf)
    }
}

/// RAM that takes down what is asked to be zeros.
struct Zeros<'a> {
    ram: &'a RefCell<Vec<u8>>,
    asked: RefCell<Vec<(u64, u32)>>,
}

impl GuestMemory for Zeros<'_> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.ram.read(gpa, buf)
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        self.ram.write(gpa, buf)
    }

    fn write_zeros(&self, gpa: u64, len: u32) -> Result<(), MemoryError> {
        self.asked.borrow_mut().push((gpa, len));
        self.ram.write_zeros(gpa, len)
    }
}

#[test]
fn long_transfers_go_in_bounded_pieces() {
    let mut builder = FwCfgBuilder::new();
    let bytes: Vec<u8> = (0..300_000).map(pattern).collect();
    builder.add_file("read", bytes.clone()).unwrap();
    builder.add_file("write", Item::writable(vec![0; 300_000])).unwrap();
    let mut guest = Guest::with(builder);
    let memory = Watched {
        ram: guest.ram.replace(Vec::new()).into(),
        longest: AtomicUsize::new(0),
        read_only: false,
    };
    for control in [0x0020_000a_u32, 0x0021_0018] {
        memory.write(D, &control.to_be_bytes()).unwrap();
        memory
            .write(D + 4, &400_000_u32.min(300_000 + (control & 2) * 50_000).to_be_bytes())
            .unwrap();
        memory.write(D + 8, &0x10_0001_u64.to_be_bytes()).unwrap();
        let effects = guest.device.port_write(8, &0x1000_u32.to_be_bytes(), &memory);
        assert!(effects.fault.is_none(), "{:?}", effects.fault);
    }
    assert_eq!(guest.device.item(0x21).and_then(Item::bytes), Some(bytes.as_slice()));
    assert!(memory.longest.into_inner() <= 64 << 10);
    let ram = memory.ram.into_inner();
    assert_eq!(ram[0x10_0001..][..300_000], bytes);
    assert!(ram[0x10_0001 + 300_000..][..100_000].iter().all(|&byte| byte == 0));
}

#[test]
fn a_source_is_read_by_position() {
    let mut guest = with_source(u32::MAX - 1, u32::MAX);
    assert_eq!(guest.dma(0x0011_000c, 0x1234_5678, 0).0, 0);
    assert_eq!(guest.dma(0x0000_0002, 10_000, BUF).0, 0);
    let expected: Vec<u8> = (0x1234_5678..).take(10_000).map(pattern).collect();
    assert_eq!(guest.mem(BUF, 10_000), expected);
    assert_eq!(guest.inb(0x511), pattern(0x1234_5678 + 10_000));
    assert_eq!(guest.dma(0x0000_0004, u32::MAX, 0).0, 0);
    assert_eq!((guest.data(2), guest.device.state().offset), (vec![0, 0], u32::MAX - 1));
}

#[test]
fn a_source_that_fails_is_reported() {
    let mut guest = with_source(100, 8);
    guest.select(0x11);
    guest.data(8);
    let error = guest.device.port_read(1, &mut [0]).unwrap_err();
    assert_eq!(error.to_string(), "item 0x0011: cannot read 1 bytes at 0x8");
    assert_eq!(error.source.to_string(), "no bytes from 0x8");
    let mut rest = [0xcc; 4];
    let error = guest.device.port_read_flattened(1, &mut rest).unwrap_err();
    assert_eq!((error.key, error.offset, error.len, rest), (0x11, 9, 4, [0; 4]));
    let (control, effects) = guest.dma(0x0011_000a, 16, BUF);
    assert_eq!(control, 1);
    assert!(matches!(effects.fault, Some(Fault::Source(error)) if error.offset == 0 && error.len == 16));
    assert_eq!(guest.device.state().offset, 16);
}

#[test]
fn a_write_from_outside_ram_stores_zeros_there() {
    let mut guest = Guest::new();
    let at = RAM as u64 - 4;
    for (gpa, stored) in [
        (at, [1, 2, 3, 4, 0, 0, 0, 0]),
        (RAM as u64, [0; 8]),
        (u64::MAX - 3, [0; 8]),
        (u64::MAX, [0; 8]),
    ] {
        guest.poke(BUF, &[0xee; 8]);
        assert_eq!(guest.dma(0x0022_0018, 8, BUF).0, 0);
        guest.poke(at, &[1, 2, 3, 4]);
        let (control, effects) = guest.dma(0x0022_0018, 8, gpa);
        assert_eq!((control, effects.written), (1, None), "{gpa:#x}");
        assert!(matches!(effects.fault, Some(Fault::Buffer { len: 8, .. })));
        assert_eq!(guest.read(0x22, 8), stored, "{gpa:#x}");
    }
}

#[test]
fn a_buffer_beyond_the_address_space_is_refused() {
    let mut guest = Guest::new();
    guest.poke(0, &[0xee; 8]);
    for len in [1, 2, 8, u32::MAX] {
        assert_eq!(guest.dma(0x0022_000a, len, u64::MAX).0, 1);
        assert_eq!(guest.dma(0x003f_000a, len, u64::MAX).0, 1);
    }
    assert_eq!(guest.mem(0, 8), [0xee; 8]);
}

#[test]
fn a_status_that_cannot_be_stored_is_reported() {
    let mut guest = Guest::new();
    guest.descriptor(D, 0x0023_000c, 1, 0);
    let memory = Watched {
        ram: guest.ram.replace(Vec::new()).into(),
        longest: AtomicUsize::new(0),
        read_only: true,
    };
    let effects = guest.device.port_write(8, &0x1000_u32.to_be_bytes(), &memory);
    assert_eq!((effects.status_lost, effects.selected), (Some(D), Some(0x23)));
    assert!(effects.fault.is_none());
    assert_eq!(guest.inb(0x511), b'B');
}

#[test]
fn a_write_needs_an_item_at_the_offset() {
    let mut guest = Guest::new();
    for (skip, control) in [(0x003f_000c, 0x10), (0x0022_000c, 0x10), (0x8000_000c, 0x10)] {
        assert_eq!(guest.dma(skip, 8, 0).0, 0);
        let (left, effects) = guest.dma(control, 1, BUF);
        assert_eq!(left, 1, "{skip:#x}");
        assert!(matches!(effects.fault, Some(Fault::WriteOutside { len: 1, .. })));
    }
}

#[test]
fn a_write_behind_the_end_is_outside_before_it_is_read_only() {
    let mut guest = Guest::new();
    assert_eq!(guest.dma(0x0005_000c, 2, 0).0, 0, "skipped to the end");
    let (control, effects) = guest.dma(0x10, 1, BUF);
    assert_eq!(control, 1);
    assert!(
        matches!(
            effects.fault,
            Some(Fault::WriteOutside {
                key: 5,
                offset: 2,
                len: 1
            })
        ),
        "{:?}",
        effects.fault
    );
}

#[test]
fn only_what_an_item_has_not_reads_as_zeros() {
    let mut guest = Guest::new();
    for (len, expected) in [(8, vec![]), (10, vec![(BUF + 8, 2)])] {
        guest.descriptor(D, 0x0022_000a, len, BUF);
        let memory = Zeros {
            ram: &guest.ram,
            asked: RefCell::default(),
        };
        let address = u32::try_from(D).unwrap().to_be_bytes();
        let effects = guest.device.port_write(8, &address, &memory);
        assert!(effects.fault.is_none(), "{:?}", effects.fault);
        assert_eq!(*memory.asked.borrow(), expected);
    }
}

#[test]
fn the_directory_and_numbered_items_are_read_only() {
    for key in [0x00, 0x01, 0x03, 0x19, 0x8002] {
        let mut guest = Guest::new();
        let (control, effects) = guest.dma(key << 16 | 0x18, 1, BUF);
        assert_eq!(control, 1);
        assert!(matches!(effects.fault, Some(Fault::ReadOnly { key: at }) if u32::from(at) == key));
    }
}

#[test]
fn a_paused_command_reads_what_the_vmm_put_there() {
    let mut builder = fixture();
    let tables = Item::from(b"old").paused_on_select();
    builder.add_file("etc/acpi/tables", tables).unwrap();
    let mut guest = Guest::with(builder);
    let (control, effects) = guest.dma(0x0020_000a, 8, BUF);
    assert_eq!(
        (effects.selected, effects.paused, control),
        (Some(0x20), true, 0x0020_000a)
    );
    assert!(guest.device.is_paused());

    let busy = guest.outw(0x510, 0);
    assert!(busy.selected.is_none() && matches!(busy.fault, Some(Fault::Busy { offset: 0 })));
    let mut other = Guest::with({
        let mut builder = fixture();
        builder.add_file("etc/acpi/tables", b"old").unwrap();
        builder
    });
    other.device.restore(&guest.device.state()).unwrap();
    assert!(other.device.is_paused());

    let item = Item::from(b"newer").paused_on_select();
    let old = guest.device.modify_file("etc/acpi/tables", item).unwrap();
    assert_eq!(old.bytes(), Some(b"old".as_slice()));
    let effects = guest.device.resume(&guest.ram);
    assert!(effects.fault.is_none() && !effects.paused && effects.selected.is_none());
    assert_eq!((guest.control(D), guest.mem(BUF, 8)), (0, b"newer\0\0\0".to_vec()));
    assert!(guest.device.resume(&guest.ram).status_lost.is_none());
    assert!(!guest.device.is_paused());

    let effects = guest.device.port_write(0, &[0x20, 0], &guest.ram);
    assert!(effects.selected == Some(0x20) && !effects.paused);
    assert!(!guest.dma(0x0000_0002, 1, BUF).1.paused);
    assert!(!guest.dma(0x0020_0008, 1, BUF).1.paused);
    assert!(!guest.dma(0x0020_000a, 0, BUF).1.paused);
    assert!(guest.dma(0x0020_000c, 1, BUF).1.paused);
    guest.device.reset();
    assert!(!guest.device.is_paused());
    assert_eq!(guest.control(D), 0x0020_000c);
}

#[test]
fn modified_items_keep_key_and_cursor() {
    let mut guest = Guest::new();
    guest.select(0x23);
    guest.data(1);
    guest.device.modify(0x23, b"xyzw").unwrap();
    assert_eq!(guest.data(4), *b"yzw\0");
    guest.select(0x19);
    guest.data(4 + 3 * 64);
    assert_eq!(guest.data(8), [0, 0, 0, 4, 0, 0x23, 0, 0]);
    guest.device.modify(0x22, [7; 8]).unwrap();
    assert_eq!(guest.dma(0x0022_0018, 8, BUF).0, 1);
    guest.device.modify(0x0005, 9u16.to_le_bytes()).unwrap();
    assert_eq!(guest.read(5, 2), [9, 0]);
}

#[test]
fn modify_refuses_what_the_device_cannot_hold() {
    let mut device = fixture().build();
    for key in [0x0006, 0x0024, 0x003f, 0x0040, 0x4023, 0x8000, 0xffff] {
        assert_eq!(device.modify(key, [0]).unwrap_err(), ModifyError::NoItem { key });
    }
    for key in [0x0000, 0x0001, 0x0019] {
        let reserved = ModifyError::Item(InsertError::ReservedKey { key });
        assert_eq!(device.modify(key, [0]).unwrap_err(), reserved);
    }
    let name = String::from("opt/y");
    assert_eq!(
        device.modify_file("opt/y", [0]).unwrap_err(),
        ModifyError::NoFile { name }
    );
    let item = Item::writable(vec![0; 2]).with_reset_value(vec![0; 1]);
    assert!(device.modify(0x23, item).is_err());
    assert_eq!(device.item(0x23).and_then(Item::bytes), Some(b"ABC".as_slice()));
}

#[test]
fn reset_restores_what_each_item_says() {
    let mut builder = FwCfgBuilder::new();
    builder.add_file("a", Item::writable(vec![1; 2])).unwrap();
    builder
        .add_file("b", Item::writable(vec![2; 2]).kept_on_reset())
        .unwrap();
    builder
        .add_file("c", Item::writable(vec![3; 2]).with_reset_value([4, 5]))
        .unwrap();
    builder
        .add_file("d", Item::from([6; 2]).with_reset_value([7; 2]))
        .unwrap();
    let mut guest = Guest::with(builder);
    guest.poke(BUF, &[9, 9]);
    for key in 0x20..0x23 {
        let (control, effects) = guest.dma(key << 16 | 0x18, 2, BUF);
        let key = u16::try_from(key).unwrap();
        let (offset, len) = (0, 2);
        assert_eq!((control, effects.written), (0, Some(Written { key, offset, len })));
    }
    let _ = guest.outl(0x514, u32::MAX);
    guest.select(0x22);
    guest.data(1);
    guest.device.reset();
    assert_eq!(guest.data(4), *b"QEMU");
    guest.device.reset();
    assert_eq!(guest.data(4), *b"QEMU");
    assert_eq!(guest.device.state().dma_latch, 0);
    for (key, content) in [(0x20, [1, 1]), (0x21, [9, 9]), (0x22, [4, 5]), (0x23, [6, 6])] {
        assert_eq!(guest.read(key, 2), content);
    }
}

#[test]
fn no_memory_means_no_dma() {
    let mut device = fixture().build();
    let effects = device.port_write(8, &[0; 4], &());
    assert!(matches!(effects.fault, Some(Fault::Descriptor { gpa: 0 })));
    assert_eq!(effects.status_lost, Some(0));
    let memory: &dyn GuestMemory = &RefCell::new(vec![0; 16]);
    assert!(device.port_write(8, &[0; 4], memory).fault.is_none());
}
