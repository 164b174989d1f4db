// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X: the guest's table in place of the device's, and vectors that follow it.

use igd_vmm::backend::InterruptKind;
use pci_model::{Effects, MsiMessage};

use super::bench::{Bench, place, read, write};
use super::fake::{Fake, MSI, MSIX};

/// Table at 4000h of BAR0, pending bits at 5000h, in pages that could be mapped.
const TABLE: u64 = 0x4000;
const PENDING: u64 = 0x5000;
const ENABLE: u32 = 1 << 15;
const FUNCTION_MASK: u32 = 1 << 14;

fn bench(vectors: u16) -> Bench {
    Bench::on(Fake::with_msix(vectors.into(), vectors - 1, 0x4000, 0x5000))
}

fn message(data: u32) -> MsiMessage {
    MsiMessage {
        address: 0xfee0_1000,
        data,
    }
}

fn entry(vector: u64, data: u32, masked: u32) -> [(u64, [u8; 4]); 4] {
    let at = TABLE + 16 * vector;
    [
        (at, 0xfee0_1000_u32.to_le_bytes()),
        (at + 4, [0; 4]),
        (at + 8, data.to_le_bytes()),
        (at + 12, masked.to_le_bytes()),
    ]
}

#[test]
fn the_table_is_the_guests_and_its_pages_are_never_mapped() {
    let bench = bench(4);
    let mut applied = bench.apply().unwrap();
    let maps: Vec<_> = bench
        .log()
        .into_iter()
        .filter(|line| line.starts_with("map BAR0"))
        .collect();
    assert_eq!(
        maps,
        ["map BAR0 0+4000", "map BAR0 6000+102000", "map BAR0 109000+6f8000"]
    );
    bench.device.fill(TABLE, &[0xab; 64]);
    place(&mut applied.function);
    bench.log();
    let mut data = [0; 8];
    applied.bars.bar_read(0, TABLE + 8, &mut data);
    assert_eq!(data, [0, 0, 0, 0, 1, 0, 0, 0], "masked at first");
    for (at, bytes) in entry(3, 0x4123, 0) {
        applied.bars.bar_write(0, at, &bytes);
    }
    applied.bars.bar_read(0, TABLE + 48, &mut data);
    assert_eq!(data, 0xfee0_1000_u64.to_le_bytes());
    // Of an access that leaves the table, nothing reaches the device; the registers behind it do.
    applied.bars.bar_read(0, TABLE + 60, &mut data);
    assert_eq!(data, [0xff; 8]);
    applied.bars.bar_write(0, TABLE - 4, &[0; 8]);
    applied.bars.bar_write(0, PENDING, &[0xff; 4]);
    assert!(bench.log().is_empty());
    assert_eq!(bench.device.peek(TABLE, 64), [0xab; 64]);
    applied.bars.bar_read(0, TABLE + 64, &mut data);
    assert_eq!(bench.log(), ["read BAR0 4040+8"]);
}

#[test]
fn vectors_follow_the_table() {
    let bench = bench(3);
    let mut applied = bench.start();
    applied.function.set_intx_gsi(Some(10));
    for (at, bytes) in entry(1, 0x41, 0) {
        applied.bars.bar_write(0, at, &bytes);
    }
    bench.log();
    let effects = write(&mut applied.function, MSIX + 2, 2, ENABLE);
    assert!(effects.contains(Effects::MSIX));
    let enable = [
        "disable INTx",
        "disconnect 10",
        "enable MSI-X",
        "write configuration space e2+2 8002",
        "connect trigger 24",
    ];
    assert_eq!(bench.log(), enable);
    assert_eq!(bench.device.state().interrupts, [(InterruptKind::Msix, 3)].into());
    assert_eq!(bench.connected.lock().unwrap().1, [(24, message(0x41))].into());
    assert_eq!(read(&mut applied.function, MSIX + 2, 2), ENABLE | 2);

    // A second vector, another message, a mask: each touches its own vector.
    for (at, bytes) in entry(0, 0x52, 0) {
        applied.bars.bar_write(0, at, &bytes);
    }
    assert_eq!(bench.log(), ["connect trigger 25"]);
    applied.bars.bar_write(0, TABLE + 24, &0x61_u32.to_le_bytes());
    assert!(bench.log().is_empty());
    let both = [(24, message(0x61)), (25, message(0x52))];
    assert_eq!(bench.connected.lock().unwrap().1, both.into());
    applied.bars.bar_write(0, TABLE + 12, &[1, 0, 0, 0]);
    assert_eq!(bench.log(), ["disconnect 25"]);

    // The function's mask is over all of them.
    let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE | FUNCTION_MASK);
    assert_eq!(bench.log(), ["disconnect 24"]);
    let mut pending = [0; 8];
    applied.bars.bar_read(0, PENDING, &mut pending);
    assert_eq!(pending, [0; 8]);
    bench.device.fire(1);
    bench.device.fire(2);
    applied.bars.bar_read(0, PENDING, &mut pending);
    assert_eq!(pending, [0b110, 0, 0, 0, 0, 0, 0, 0]);
    let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE);
    assert_eq!(bench.log(), ["connect trigger 24"]);
    applied.bars.bar_read(0, PENDING, &mut pending);
    assert_eq!(pending[0], 0b100, "one went out, the other is still masked");

    let _ = write(&mut applied.function, MSIX + 2, 2, 0);
    let disable = [
        "write configuration space e2+2 2",
        "disable MSI-X",
        "disconnect 24",
        "enable INTx",
        "mask INTx",
        "connect level 10",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), disable);
    assert!(bench.connected.lock().unwrap().1.is_empty());
}

#[test]
fn one_kind_at_a_time() {
    let bench = bench(1);
    let mut applied = bench.start();
    let _ = write(&mut applied.function, MSI + 2, 2, 1);
    let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE);
    assert_eq!(bench.device.state().interrupts, [(InterruptKind::Msix, 1)].into());
    let _ = write(&mut applied.function, MSIX + 2, 2, 0);
    assert_eq!(bench.device.state().interrupts, [(InterruptKind::Msi, 1)].into());
    assert!(applied.function.detach().is_empty());
    assert!(bench.device.state().interrupts.is_empty());
}

#[test]
fn a_reset_masks_all() {
    let bench = bench(2);
    let mut applied = bench.start();
    for (at, bytes) in entry(0, 0x41, 0) {
        applied.bars.bar_write(0, at, &bytes);
    }
    let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE);
    let _ = pci_model::ConfigSpace::reset(&mut applied.function);
    let mut data = [0; 4];
    applied.bars.bar_read(0, TABLE + 12, &mut data);
    assert_eq!(data, [1, 0, 0, 0]);
    assert!(bench.device.state().interrupts.is_empty());
    let (triggers, messages) = bench.connected.lock().unwrap().clone();
    assert!(triggers.is_empty() && messages.is_empty());
}

#[test]
fn what_cannot_be_set_up_leaves_nothing_behind() {
    for call in 0..3 {
        let bench = bench(2);
        let mut applied = bench.start();
        for (at, bytes) in entry(0, 0x41, 0) {
            applied.bars.bar_write(0, at, &bytes);
        }
        bench.device.fail_after(call);
        let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE);
        assert!(bench.device.has_failed());
        assert!(bench.device.state().interrupts.is_empty(), "call {call}");
        let (triggers, messages) = bench.connected.lock().unwrap().clone();
        assert!(triggers.is_empty() && messages.is_empty(), "call {call}");
    }
}

#[test]
fn structures_that_cannot_be_are_not_shown() {
    let places = [
        (0x00ff_fff0, 0x5000, "the table leaves BAR0"),
        (0x4000, 0x00ff_fff8 | 2, "the pending bits leave BAR2"),
        (0x4000 | 1, 0x5000, "there is no BAR1"),
        (0x4000, 0x5000 | 7, "nor a BAR7"),
        (4, 0x5000, "BAR4 has ports"),
    ];
    for (table, pending, why) in places {
        let bench = Bench::on(Fake::with_msix(2048, 2047, table, pending));
        let mut applied = bench.start();
        let mut next = u16::try_from(read(&mut applied.function, 0x34, 1)).unwrap();
        while next != 0 {
            assert_ne!(next, MSIX, "{why}");
            next = u16::try_from(read(&mut applied.function, next + 1, 1)).unwrap();
        }
    }
}

#[test]
fn more_vectors_than_the_host_has_stay_silent() {
    let bench = Bench::on(Fake::with_msix(2, 7, 0x4000, 0x5000));
    let mut applied = bench.start();
    for vector in 0..8 {
        for (at, bytes) in entry(vector, 0x41, 0) {
            applied.bars.bar_write(0, at, &bytes);
        }
    }
    let _ = write(&mut applied.function, MSIX + 2, 2, ENABLE);
    assert_eq!(bench.device.state().interrupts, [(InterruptKind::Msix, 2)].into());
    assert_eq!(bench.connected.lock().unwrap().0, [24, 25].into());
}
