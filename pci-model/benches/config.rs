// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of what a guest's access makes a VMM do, below the exit itself.
//!
//! - `function/*`: a dword of configuration space on the function alone
//! - `ports/*`: an address and a data access through mechanism #1, on a bus of 4, 32 and 256 functions
//! - `ecam/*`: a dword through the memory-mapped window
//! - `decode/*`: memory decoding turned off and on again, and a BAR moved, each with its steps
//! - `carve/*`: the pieces of a BAR of 16 MiB with 1 and with 64 trapped ranges
//! - `msix/*`: a dword of the MSI-X table, and a raised vector
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pci_model::carve::{Carving, Mappable, PageSize, Span};
use pci_model::{
    Bar, BarKind, BarMap, BarStep, Bdf, Bus, Capability, ConfigAccess, ConfigMechanism, ConfigSpace, Ecam, Express,
    ExpressKind, Function, FunctionBuilder, Identity, Msi, MsixControl, MsixTable, PowerManagement, ResetControl,
    Rules, Width,
};

fn access(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

/// A display function with two memory BARs, MSI, PCI Express and power management.
fn display<const N: usize>() -> Function<N> {
    let identity = Identity {
        vendor: 0x8086,
        device: 0x1912,
        class: 0x03_0000,
        interrupt_pin: 1,
        ..Identity::default()
    };
    let express = Express {
        kind: ExpressKind::RootComplexIntegratedEndpoint,
        device_capabilities: 1 << 28,
        device_capabilities_2: 0,
    };
    let memory = |prefetchable, size| Bar::new(BarKind::Memory64 { prefetchable }, size).unwrap();
    let mut function = FunctionBuilder::new(identity)
        .bar(0, memory(false, 16 << 20))
        .and_then(|f| f.bar(2, memory(true, 256 << 20)))
        .and_then(|f| f.capability(Capability::Express(express)))
        .and_then(|f| f.capability(Capability::Msi(Msi::new(1, true, false).unwrap())))
        .and_then(|f| f.capability(Capability::PowerManagement(PowerManagement::default())))
        .and_then(FunctionBuilder::build)
        .unwrap();
    let _ = function.config_write(access(0x10, Width::Dword), 0xe000_0000);
    let _ = function.config_write(access(0x18, Width::Dword), 0xd000_0000);
    let _ = function.config_write(access(0x04, Width::Word), 0x0006);
    function
}

/// A bus with its first `functions` places taken; the last of them is asked.
fn bus<const N: usize, const SLOTS: usize>(functions: u16) -> (Box<Bus<Function<N>, SLOTS>>, Bdf) {
    let mut bus = Box::new(Bus::new(0));
    for devfn in 0..functions {
        bus.insert(Bdf::from_bits(devfn), display()).unwrap();
    }
    (bus, Bdf::from_bits(functions - 1))
}

fn function(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("function");
    let mut function = display::<256>();
    let id = access(0x00, Width::Dword);
    group.bench_function("read", |bench| {
        bench.iter(|| function.config_read(black_box(id)));
    });
    let line = access(0x3c, Width::Byte);
    group.bench_function("write", |bench| {
        bench.iter(|| function.config_write(black_box(line), black_box(0x0b)));
    });
    group.finish();
}

fn ports(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ports");
    for functions in [4, 32, 256] {
        let (mut bus, bdf) = bus::<256, 256>(functions);
        let mut ports = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
        let address = (0x8000_0000 | u32::from(bdf.to_bits()) << 8).to_le_bytes();
        group.bench_function(BenchmarkId::new("read", functions), |bench| {
            bench.iter(|| {
                let _ = ports.port_write(0, black_box(&address), &mut *bus);
                let mut data = [0; 4];
                ports.port_read(4, black_box(&mut data), &mut *bus);
                data
            });
        });
        let address = (0x8000_003c | u32::from(bdf.to_bits()) << 8).to_le_bytes();
        group.bench_function(BenchmarkId::new("write", functions), |bench| {
            bench.iter(|| {
                let _ = ports.port_write(0, black_box(&address), &mut *bus);
                ports.port_write(4, black_box(&[0x0b]), &mut *bus)
            });
        });
    }
    group.finish();
}

fn ecam(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ecam");
    for functions in [4, 32] {
        let (mut bus, bdf) = bus::<4096, 32>(functions);
        let ecam = Ecam::new(Rules::Specification);
        let offset = u64::from(bdf.to_bits()) << 12;
        group.bench_function(BenchmarkId::new("read", functions), |bench| {
            bench.iter(|| {
                let mut data = [0; 4];
                ecam.read(black_box(offset), black_box(&mut data), &mut *bus);
                data
            });
        });
        group.bench_function(BenchmarkId::new("write", functions), |bench| {
            bench.iter(|| ecam.write(black_box(offset | 0x3c), black_box(&[0x0b]), &mut *bus));
        });
    }
    group.finish();
}

/// What a VMM does with the effects of a write.
fn follow(applied: &mut BarMap, function: &Function<256>) -> u64 {
    let now = function.bar_map();
    let moved = applied.steps_to(&now).fold(0, |sum, step| match step {
        BarStep::Unmap { range, .. } => sum ^ range.start(),
        BarStep::Map { range, .. } => sum ^ range.last(),
    });
    *applied = now;
    moved
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut function = display::<256>();
    let mut applied = function.bar_map();
    let command = access(0x04, Width::Word);
    group.bench_function("toggle", |bench| {
        bench.iter(|| {
            let mut moved = 0;
            for value in [0x0004, 0x0006] {
                let effects = function.config_write(command, black_box(value));
                if !effects.is_empty() {
                    moved ^= follow(&mut applied, &function);
                }
            }
            moved
        });
    });
    let bar0 = access(0x10, Width::Dword);
    group.bench_function("move", |bench| {
        bench.iter(|| {
            let mut moved = 0;
            for value in [0xe100_0000, 0xe000_0000] {
                let effects = function.config_write(bar0, black_box(value));
                if !effects.is_empty() {
                    moved ^= follow(&mut applied, &function);
                }
            }
            moved
        });
    });
    group.finish();
}

fn carving(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("carve");
    for traps in [1_u64, 64] {
        let trapped: Vec<Span> = (0..traps).map(|trap| Span::new(0x10_8040 + 0x2000 * trap, 4)).collect();
        let page = PageSize::new(0x1000).unwrap();
        group.bench_function(BenchmarkId::new("pieces", traps), |bench| {
            bench.iter(|| {
                let carving = Carving::new(16 << 20, page, Mappable::Whole, black_box(&trapped)).unwrap();
                carving.pieces().count()
            });
        });
    }
    group.finish();
}

fn msix(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("msix");
    let mut table = MsixTable::<64>::new();
    let control = MsixControl {
        enabled: true,
        function_mask: false,
        vectors: 64,
    };
    table.write(63 * 16 + 12, &[0; 4]);
    group.bench_function("read", |bench| {
        bench.iter(|| {
            let mut data = [0; 4];
            table.read(black_box(63 * 16), black_box(&mut data));
            data
        });
    });
    group.bench_function("write", |bench| {
        bench.iter(|| table.write(black_box(63 * 16), black_box(&[0, 0x10, 0xe0, 0xfe])));
    });
    group.bench_function("fire", |bench| {
        bench.iter(|| table.fire(black_box(63), control));
    });
    group.finish();
}

criterion_group!(benches, function, ports, ecam, decode, carving, msix);
criterion_main!(benches);
