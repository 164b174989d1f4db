// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `igd-vmm` does with an access that left the guest, from the exit's arguments to the answer.

use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use igd_quirks::facts::{Firmware, HostFacts};
use igd_quirks::options::Options;
use igd_quirks::plan::{Provisioning, plan};
use igd_quirks::policy::Policy;
use igd_sim::Profile;
use igd_vmm::backend::HostDevice;
use igd_vmm::backend::sim::SimHost;
use igd_vmm::irq::{IrqBackend, IrqRouter};
use igd_vmm::machine::{BoardKind, Boot, MachineOptions, Output, Part, Platform, SlotBackend};
use igd_vmm::probe::probe;
use pci_model::{Bdf, MsiMessage};
use vmm_sys_util::eventfd::EventFd;

use super::Case;

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// Configuration address of 00:00.0, and of 00:02.0.
const BRIDGE: u32 = 0x8000_0000;
const DISPLAY: u32 = 0x8000_1000;
const FW_CFG: u16 = 0x510;
const FW_CFG_DATA: u16 = 0x511;
const DIRECTORY: u16 = 0x19;
const STRING: usize = 4096;
/// Where BAR0 is put, and GGC's mirror in it.
const BAR0: u32 = 0xe000_0000;
const MIRROR_GGC: u64 = BAR0 as u64 + 0x10_8040;
const WINDOW: u32 = 0xb000_0000;

pub(super) fn cases() -> Vec<Case> {
    let pc = Rc::new(platform(BoardKind::Pc));
    let q35 = Rc::new(platform(BoardKind::Q35));
    place(&pc);
    set(&q35, BRIDGE | 0x64, 0);
    set(&q35, BRIDGE | 0x60, WINDOW | 1);
    vec![
        config("dispatch/config-bridge", Rc::clone(&pc), BRIDGE, 0x1237_8086),
        config("dispatch/config-display", Rc::clone(&pc), DISPLAY, 0x5912_8086),
        memory("dispatch/ecam-read", q35, WINDOW.into(), 0x29c0_8086),
        memory("dispatch/mirror-read", Rc::clone(&pc), MIRROR_GGC, 0x01c0),
        port("dispatch/cmos", Rc::clone(&pc), 0x71),
        fw_cfg_byte(Rc::clone(&pc)),
        fw_cfg_string(pc),
    ]
}

/// What is counted, as the loop of a processor calls it.
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn config_pair(platform: &Platform, address: u32, data: &mut [u8; 4]) {
        platform.port_write(ADDRESS, 4, &address.to_le_bytes());
        platform.port_read(DATA, 4, data);
    }

    #[inline(never)]
    pub(super) fn port_read(platform: &Platform, port: u16, size: usize, data: &mut [u8]) {
        platform.port_read(port, size, data);
    }

    #[inline(never)]
    pub(super) fn memory_read(platform: &Platform, addr: u64, data: &mut [u8]) {
        platform.memory_read(addr, data);
    }
}

/// Slots and interrupts that go nowhere: what leaves the guest is not theirs.
#[derive(Debug)]
struct Nowhere;

impl SlotBackend for Nowhere {
    fn set(&self, _: u32, _: Part) -> io::Result<()> {
        Ok(())
    }
}

impl IrqBackend for Nowhere {
    fn set_messages(&self, _: &[(u32, MsiMessage)]) -> io::Result<()> {
        Ok(())
    }

    fn connect(&self, _: u32, _: &EventFd, _: Option<&EventFd>) -> io::Result<()> {
        Ok(())
    }

    fn disconnect(&self, _: u32, _: &EventFd) -> io::Result<()> {
        Ok(())
    }
}

/// A machine of this kind with a simulated Kaby Lake, as it is after power-on.
fn platform(kind: BoardKind) -> Platform {
    let profile = *Profile::by_name("kbl").unwrap();
    let device: Arc<dyn HostDevice> = Arc::new(SimHost::new(profile, &igd_sim::Options::default()).unwrap());
    let options = MachineOptions {
        kind,
        memory: 128 << 20,
        cpus: 1,
        boot: Boot::Firmware {
            image: vec![0xf4; 0x1_0000],
            kind: Firmware::SeaBios,
        },
        serial: Output::None,
        debug_console: Output::None,
    };
    let facts: HostFacts = probe(&*device, options.facts(&*device)).unwrap();
    let wishes = Options {
        addr: Bdf::new(0, 2, 0),
        ..Options::default()
    };
    let plan = plan(&facts, &wishes, Policy::Native, Provisioning::FwCfg).unwrap();
    let irq = Arc::new(IrqRouter::with_backend(Box::new(Nowhere)).unwrap());
    Platform::new(options, &plan, &facts, device, None, irq, Box::new(Nowhere)).unwrap()
}

/// Writes a dword of configuration space.
fn set(platform: &Platform, address: u32, value: u32) {
    platform.port_write(ADDRESS, 4, &address.to_le_bytes());
    platform.port_write(DATA, 4, &value.to_le_bytes());
}

/// Lets the display decode BAR0.
fn place(platform: &Platform) {
    set(platform, DISPLAY | 0x10, BAR0);
    set(platform, DISPLAY | 0x14, 0);
    set(platform, DISPLAY | 0x04, 2);
}

/// Address and data of mechanism #1.
fn config(name: &'static str, platform: Rc<Platform>, address: u32, id: u32) -> Case {
    let access = move || {
        let mut data = [0; 4];
        counted::config_pair(&platform, black_box(address), black_box(&mut data));
        u32::from_le_bytes(data)
    };
    assert_eq!(access(), id, "{name}");
    Case::new(name, move || {
        black_box(access());
    })
}

fn memory(name: &'static str, platform: Rc<Platform>, addr: u64, answer: u32) -> Case {
    let access = move || {
        let mut data = [0; 4];
        counted::memory_read(&platform, black_box(addr), black_box(&mut data));
        u32::from_le_bytes(data)
    };
    assert_eq!(access(), answer, "{name}");
    Case::new(name, move || {
        black_box(access());
    })
}

fn port(name: &'static str, platform: Rc<Platform>, port: u16) -> Case {
    Case::new(name, move || {
        let mut data = [0];
        counted::port_read(&platform, black_box(port), 1, black_box(&mut data));
        black_box(data);
    })
}

/// A byte of the largest file.
fn fw_cfg_byte(platform: Rc<Platform>) -> Case {
    select_largest(&platform);
    port("dispatch/fw-cfg-byte", platform, FW_CFG_DATA)
}

/// The bytes of a `rep insb`.
fn fw_cfg_string(platform: Rc<Platform>) -> Case {
    let mut data = vec![0; STRING];
    let mut access = move || {
        select_largest(&platform);
        counted::port_read(&platform, black_box(FW_CFG_DATA), 1, black_box(&mut data));
        data.starts_with(b"IntelGraphicsMem")
    };
    assert!(access());
    Case::new("dispatch/fw-cfg-string-byte", move || {
        black_box(access());
    })
    .bulk(50, 4096)
}

/// Selects the largest file, which is the OpRegion.
fn select_largest(platform: &Platform) {
    let select = |key: u16| platform.port_write(FW_CFG, 2, &key.to_le_bytes());
    select(DIRECTORY);
    let mut count = [0; 4];
    platform.port_read(FW_CFG_DATA, 1, &mut count);
    let mut files = Vec::new();
    for _ in 0..u32::from_be_bytes(count) {
        let mut entry = [0; 64];
        platform.port_read(FW_CFG_DATA, 1, &mut entry);
        let [size @ .., high, low] = *entry.first_chunk::<6>().unwrap();
        files.push((u32::from_be_bytes(size), u16::from_be_bytes([high, low])));
    }
    select(files.iter().max().unwrap().1);
}
