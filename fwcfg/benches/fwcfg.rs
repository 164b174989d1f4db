// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of what a firmware reads.
//!
//! - `port/byte`: a byte through the data port
//! - `port/rep-insb`: 4 KiB of a string access that a hypervisor hands over at once
//! - `dma/*`: a DMA command that selects a file and reads all of it
//! - `limit/*`: the same bytes copied, and nothing else
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fwcfg::spec::{DMA_KEY_SHIFT, DMA_READ, DMA_SELECT, KEY_FILE_FIRST, PORT_DATA, PORT_DMA, PORT_SELECTOR};
use fwcfg::{FwCfg, FwCfgBuilder, VmMemory};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const DESCRIPTOR: GuestAddress = GuestAddress(0x1000);
const BUFFER: u32 = 0x10_0000;
/// An OpRegion, and a kernel.
const SIZES: [(&str, usize); 2] = [("8-kib", 8 * KIB), ("16-mib", 16 * MIB)];

/// A device whose one file has `len` bytes, and is selected.
fn device(len: usize) -> FwCfg {
    let mut builder = FwCfgBuilder::new();
    builder.add_file("opt/bench", vec![0x5a; len]).unwrap();
    let mut device = builder.build();
    select(&mut device);
    device
}

fn select(device: &mut FwCfg) {
    let effects = device.port_write(PORT_SELECTOR, &KEY_FILE_FIRST.to_le_bytes(), &());
    assert_eq!(effects.selected, Some(KEY_FILE_FIRST));
}

fn port(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("port");
    let mut device = device(MIB);
    group.throughput(Throughput::Bytes(1));
    group.bench_function("byte", |bench| {
        bench.iter(|| {
            let mut data = [0];
            device.port_read(black_box(PORT_DATA), black_box(&mut data)).unwrap();
            data
        });
    });
    let mut buffer = vec![0; 4 * KIB];
    group.throughput(Throughput::Bytes(4 << 10));
    group.bench_function("rep-insb", |bench| {
        bench.iter(|| {
            select(&mut device);
            device
                .port_read_flattened(black_box(PORT_DATA), black_box(&mut buffer))
                .unwrap();
        });
    });
    group.finish();
}

fn dma(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dma");
    for (name, len) in SIZES {
        let mut device = device(len);
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 32 * MIB)]).unwrap();
        let control = u32::from(KEY_FILE_FIRST) << DMA_KEY_SHIFT | DMA_SELECT | DMA_READ;
        let length = u32::try_from(len).unwrap();
        let descriptor = [control, length, 0, BUFFER].map(u32::to_be_bytes).concat();
        let start = u32::try_from(DESCRIPTOR.0).unwrap().to_be_bytes();
        group.throughput(Throughput::Bytes(length.into()));
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| {
                memory.write_slice(&descriptor, DESCRIPTOR).unwrap();
                let effects = device.port_write(PORT_DMA + 4, black_box(&start), &VmMemory(&memory));
                assert!(effects.fault.is_none());
            });
        });
    }
    group.finish();
}

fn limit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit");
    for (name, len) in SIZES {
        let from = vec![0x5a_u8; len];
        let mut to = vec![0; len];
        group.throughput(Throughput::Bytes(u64::try_from(len).unwrap()));
        group.bench_function(BenchmarkId::new("copy", name), |bench| {
            bench.iter(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        });
    }
    group.finish();
}

criterion_group!(benches, port, dma, limit);
criterion_main!(benches);
