// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of an access to the simulated device, in the process.
//!
//! - `config/*`: a dword of configuration space
//! - `bar0/*`: a dword of a register, and an entry of the translation table
//! - `aperture/*`: a dword, and a page
//! - `opregion/read`: all of it
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use igd_sim::{Options, Profile, RegionKind, SimDevice};

/// A register without consequences, and the first entry of the translation table.
const REGISTER: u64 = 0x2358;
const GTT: u64 = 0x80_0000;

fn device() -> SimDevice {
    let mut options = Options::default();
    options.shared = true;
    let mut device = SimDevice::new(Profile::by_name("kbl").unwrap(), &options).unwrap();
    // Memory space and bus mastering.
    device.write_all(RegionKind::Config, 4, &[6, 0]).unwrap();
    device
}

fn dwords(criterion: &mut Criterion) {
    let mut device = device();
    for (group, name, kind, offset) in [
        ("config", "ids", RegionKind::Config, 0),
        ("bar0", "register", RegionKind::Bar(0), REGISTER),
        ("bar0", "gtt", RegionKind::Bar(0), GTT),
        ("aperture", "dword", RegionKind::Bar(2), 0x1000),
    ] {
        let mut group = criterion.benchmark_group(group);
        group.bench_function(BenchmarkId::new("read", name), |bench| {
            bench.iter(|| {
                let mut data = [0; 4];
                device.read_exact(kind, black_box(offset), &mut data).unwrap();
                data
            });
        });
        group.bench_function(BenchmarkId::new("write", name), |bench| {
            bench.iter(|| device.write_all(kind, black_box(offset), black_box(&[0; 4])).unwrap());
        });
        group.finish();
    }
}

fn blocks(criterion: &mut Criterion) {
    let mut device = device();
    for (group, kind, len) in [
        ("aperture", RegionKind::Bar(2), 4096),
        ("opregion", RegionKind::OpRegion, 8192),
    ] {
        let mut data = vec![0; len];
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Bytes(u64::try_from(len).unwrap()));
        group.bench_function(BenchmarkId::new("read", len), |bench| {
            bench.iter(|| device.read_exact(kind, 0, black_box(&mut data)).unwrap());
        });
        group.finish();
    }
}

criterion_group!(benches, dwords, blocks);
criterion_main!(benches);
