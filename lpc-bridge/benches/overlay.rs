// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of a bridge that shows another's identity.
//!
//! - `overlay/without`: a dword of the bridge itself
//! - `overlay/read`: the same through an overlay that covers the register
//! - `overlay/beside`: the same of a register that it does not cover
//! - `overlay/write`: a byte through the overlay
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use lpc_bridge::{Identity, Overlaid, Overlay, Pch};
use pci_model::isa_bridge::Ich9;
use pci_model::{ConfigAccess, ConfigSpace, Rules, Width};

fn access(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

fn overlay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("overlay");
    let mut bridge = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
    let ids = access(0x00, Width::Dword);
    group.bench_function("without", |bench| {
        bench.iter(|| bridge.config_read(black_box(ids)));
    });
    let mut bridge = Overlaid::new(bridge, Overlay::from(Identity::from(Pch::LynxPointH)));
    assert_eq!(bridge.config_read(ids), 0x8c4e_8086);
    group.bench_function("read", |bench| {
        bench.iter(|| bridge.config_read(black_box(ids)));
    });
    let command = access(0x04, Width::Dword);
    group.bench_function("beside", |bench| {
        bench.iter(|| bridge.config_read(black_box(command)));
    });
    let pirq = access(0x60, Width::Byte);
    group.bench_function("write", |bench| {
        bench.iter(|| bridge.config_write(black_box(pirq), black_box(0x0b)));
    });
    group.finish();
}

criterion_group!(benches, overlay);
criterion_main!(benches);
