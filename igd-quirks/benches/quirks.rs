// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Cost of knowing the device, and of its emulated registers.
//!
//! - `parse/*`: GGC, OpRegion and option ROM of a facts file
//! - `plan/*`: facts to plan, for the facts files of the examples that have one
//! - `config/*`: a dword of configuration space that is emulated, and one that is not
//! - `mirror/*`: a trapped access to BAR0 without the hardware's part: an emulated register, and one beside it
//! - `redirect/*`: a trapped access that leads to configuration space, with 1 and with 64 such ranges
//! - `gtt/write`: an entry through the index and data ports
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use igd_quirks::device::{BdsmSetup, DeviceSetup, GttPortSetup, IgdDevice, Redirect};
use igd_quirks::facts::{HostFacts, RomFacts};
use igd_quirks::ggc::{Ggc, Strictness};
use igd_quirks::opregion::OpRegion;
use igd_quirks::options::Options;
use igd_quirks::plan::{Provisioning, plan};
use igd_quirks::platform::Class;
use igd_quirks::policy::Policy;
use igd_quirks::rom::OptionRom;
use pci_model::{ConfigAccess, Width};

const GGC: u16 = 0x02c1;
const MIRROR_GGC: u64 = 0x10_8040;

fn facts(name: &str) -> HostFacts {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/facts");
    serde_json::from_str(&fs::read_to_string(folder.join(name).with_extension("json")).unwrap()).unwrap()
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let facts = facts("kbl-laptop");
    group.bench_function("ggc", |bench| {
        bench.iter(|| Ggc::new(Class::G9, black_box(GGC)).sizes(Strictness::Native));
    });
    let opregion = facts.device.opregion.unwrap();
    group.bench_function("opregion", |bench| {
        bench.iter(|| OpRegion::parse(black_box(&opregion)).is_ok());
    });
    let RomFacts::Image(rom) = facts.device.rom else {
        panic!("the facts have no ROM");
    };
    group.bench_function("rom", |bench| {
        bench.iter(|| OptionRom::parse(black_box(&rom)).is_ok());
    });
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    let options: Options = "vfio-pci,host=0000:00:02.0,addr=0x2".parse().unwrap();
    for name in ["kbl-laptop", "tgl-laptop", "rpl-q35"] {
        let facts = facts(name);
        let make = || {
            plan(
                black_box(&facts),
                black_box(&options),
                Policy::Native,
                Provisioning::FwCfg,
            )
        };
        assert!(make().is_ok(), "{name}");
        group.bench_function(BenchmarkId::from_parameter(name), |bench| bench.iter(|| make().is_ok()));
    }
    group.finish();
}

fn device() -> IgdDevice {
    IgdDevice::new(&DeviceSetup {
        ggc: Some(GGC),
        bdsm: BdsmSetup::Dword(0),
        asls: Some(0),
        ggc_mirror: true,
        bdsm_mirror: true,
        hide_swsci: true,
        ..DeviceSetup::default()
    })
}

fn config(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    let mut igd = device();
    for (name, offset) in [("asls", 0xfc), ("hardware", 0x10)] {
        let at = ConfigAccess::new(offset, Width::Dword).unwrap();
        group.bench_function(BenchmarkId::new("read", name), |bench| {
            bench.iter(|| igd.config_read(black_box(at), black_box(1)));
        });
        group.bench_function(BenchmarkId::new("write", name), |bench| {
            bench.iter(|| igd.config_write(black_box(at), black_box(0x7bff_0018)));
        });
    }
    group.finish();
}

fn mirror(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mirror");
    let mut igd = device();
    for (name, offset) in [("ggc", MIRROR_GGC), ("beside", MIRROR_GGC - 0x40)] {
        group.bench_function(BenchmarkId::new("read", name), |bench| {
            bench.iter(|| {
                let offset = black_box(offset);
                igd.bar0_owns(offset, 4) | igd.bar0_read(offset, 4, black_box(0x1234))
            });
        });
        group.bench_function(BenchmarkId::new("write", name), |bench| {
            bench.iter(|| {
                igd.bar0_write(black_box(offset), 4, black_box(0x1234))
                    .forwards()
                    .count()
            });
        });
    }
    group.finish();
}

fn redirect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redirect");
    for count in [1_u64, 64] {
        let redirects = (0..count).map(|place| Redirect {
            bar0: MIRROR_GGC + 16 * place,
            config: 0x50,
            len: 4,
        });
        let igd = IgdDevice::new(&DeviceSetup {
            redirects: redirects.collect(),
            ..DeviceSetup::default()
        });
        let last = MIRROR_GGC + 16 * (count - 1);
        assert_eq!(igd.bar0_redirects(last, 4).count(), 1);
        group.bench_function(BenchmarkId::new("find", count), |bench| {
            bench.iter(|| igd.bar0_redirects(black_box(last), 4).next());
        });
    }
    group.finish();
}

fn gtt(criterion: &mut Criterion) {
    let mut igd = IgdDevice::new(&DeviceSetup {
        bdsm: BdsmSetup::Dword(0x7c00_0000),
        gtt_port: Some(GttPortSetup {
            host_bdsm: 0x8a00_0000,
            entry_size: 8,
            index_end: 0x10_0000,
        }),
        ..DeviceSetup::default()
    });
    criterion.bench_function("gtt/write", |bench| {
        bench.iter(|| {
            let _ = igd.bar4_write(black_box(0), 4, black_box(1));
            igd.bar4_write(black_box(4), 4, black_box(0x8a00_1001)).value
        });
    });
}

criterion_group!(benches, parse, plans, config, mirror, redirect, gtt);
criterion_main!(benches);
