// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an access of a guest to a BAR costs on the host, by its way, without the exit.
//!
//! - `mapped/*`: through a mapping of the device, which is what the guest has for all but trapped pages
//! - `in-process/*`: as one call on a device in this process, which is what is left of a trapped access
//! - `vfio-user/*`: as one message to a device in another thread, and its answer
//! - `vfio/*`, `vfio-mapped/*`: as a system call on the kernel's vfio-pci, and through its mapping, for the device that
//!   `IGD_VFIO` names: `IGD_VFIO=0000:00:02.0 cargo bench -p igd-vmm --bench bar vfio`
//! - `limit/*`: the same on plain memory
//!
//! A dword of the aperture each, and 4 KiB of it.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at what should not happen")]

use std::hint::black_box;
use std::ptr::{self, with_exposed_provenance};
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use igd_quirks::facts::Extent;
use igd_sim::server::{DEFAULT_STALL, Listener, serve};
use igd_sim::{Options, Profile, SimDevice};
use igd_vmm::backend::sim::SimHost;
use igd_vmm::backend::vfio::{Mode, VfioDevice};
use igd_vmm::backend::vfio_user::{DEFAULT_TIMEOUT, VfioUserHost};
use igd_vmm::backend::{HostDevice, Mapping, RegionKind};
use vmm_sys_util::tempdir::TempDir;

const APERTURE: RegionKind = RegionKind::Bar(2);
const PAGE: u64 = 4096;

fn profile() -> Profile {
    *Profile::by_name("kbl").unwrap()
}

/// Lets the device decode memory.
fn enable(device: &dyn HostDevice) {
    device.write(RegionKind::Config, 4, &6_u16.to_le_bytes()).unwrap();
}

/// A dword and a page, by calls on a device.
fn calls(criterion: &mut Criterion, name: &str, device: &dyn HostDevice) {
    enable(device);
    let mut group = criterion.benchmark_group(name);
    group.bench_function("read-dword", |bench| {
        bench.iter(|| {
            let mut data = [0; 4];
            device.read(APERTURE, black_box(PAGE), &mut data).unwrap();
            data
        });
    });
    group.bench_function("write-dword", |bench| {
        bench.iter(|| device.write(APERTURE, black_box(PAGE), black_box(&[0x5a; 4])).unwrap());
    });
    let mut page = vec![0; 4096];
    group.throughput(Throughput::Bytes(PAGE));
    group.bench_function("read-page", |bench| {
        bench.iter(|| device.read(APERTURE, black_box(PAGE), black_box(&mut page)).unwrap());
    });
    group.finish();
}

/// A dword and a page, by loads and stores.
fn memory(criterion: &mut Criterion, name: &str, at: *mut u32) {
    let mut group = criterion.benchmark_group(name);
    group.bench_function("read-dword", |bench| {
        // SAFETY: the caller's pointer leads to a page of memory that outlives this call and that nothing refers to.
        #[expect(unsafe_code, reason = "a load as a guest does it")]
        bench.iter(|| unsafe { black_box(at).read_volatile() });
    });
    group.bench_function("write-dword", |bench| {
        // SAFETY: as above, and the page is writable.
        #[expect(unsafe_code, reason = "a store as a guest does it")]
        bench.iter(|| unsafe { black_box(at).write_volatile(0x5a) });
    });
    let mut page = vec![0_u32; 1024];
    group.throughput(Throughput::Bytes(PAGE));
    group.bench_function("read-page", |bench| {
        // SAFETY: as above; both pages have 1024 dwords, and are different memory.
        #[expect(unsafe_code, reason = "a copy as a guest does it")]
        bench.iter(|| unsafe { ptr::copy_nonoverlapping(black_box(at), black_box(page.as_mut_ptr()), 1024) });
    });
    group.finish();
}

/// A page of the aperture, mapped, after a look at whether it is the device's.
fn map(device: &dyn HostDevice) -> (Mapping, *mut u32) {
    enable(device);
    let mapping = device.map(APERTURE, Extent::new(PAGE, PAGE)).unwrap();
    let at = with_exposed_provenance::<u32>(usize::try_from(mapping.hva()).unwrap()).cast_mut();
    device.write(APERTURE, PAGE, &0x1abf_ee1d_u32.to_le_bytes()).unwrap();
    // SAFETY: the page is mapped as long as the mapping lives.
    #[expect(unsafe_code, reason = "whether the mapping is the device's memory")]
    let found = unsafe { at.read_volatile() };
    assert_eq!(found, 0x1abf_ee1d);
    (mapping, at)
}

fn mapped(criterion: &mut Criterion) {
    let device = SimHost::new(profile(), &Options::default()).unwrap();
    let (_mapping, at) = map(&device);
    memory(criterion, "mapped", at);
}

fn vfio(criterion: &mut Criterion) {
    let Ok(address) = std::env::var("IGD_VFIO") else { return };
    let device = VfioDevice::open(address.parse().unwrap(), Mode::Auto, None).unwrap();
    calls(criterion, "vfio", &device);
    let (_mapping, at) = map(&device);
    memory(criterion, "vfio-mapped", at);
}

fn limit(criterion: &mut Criterion) {
    let mut page = vec![0_u32; 1024];
    memory(criterion, "limit", page.as_mut_ptr());
}

fn in_process(criterion: &mut Criterion) {
    calls(
        criterion,
        "in-process",
        &SimHost::new(profile(), &Options::default()).unwrap(),
    );
}

fn vfio_user(criterion: &mut Criterion) {
    let folder = TempDir::new().unwrap();
    let path = folder.as_path().join("igd.sock");
    let listener = Listener::bind(&path).unwrap();
    let server: JoinHandle<_> = std::thread::spawn(move || {
        let mut options = Options::default();
        options.shared = true;
        let mut device = SimDevice::new(&profile(), &options).unwrap();
        let stop = AtomicBool::new(false);
        serve(listener.accept().unwrap(), &mut device, &mut (), DEFAULT_STALL, &stop)
    });
    let device = VfioUserHost::connect(&path, DEFAULT_TIMEOUT).unwrap();
    calls(criterion, "vfio-user", &device);
    drop(device);
    server.join().unwrap().unwrap();
}

criterion_group!(benches, limit, mapped, in_process, vfio_user, vfio);
criterion_main!(benches);
