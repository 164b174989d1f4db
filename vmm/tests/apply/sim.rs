// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Plans of every simulated platform, carried out on its device.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use igd_quirks::device::BdsmSetup;
use igd_quirks::facts::Extent;
use igd_quirks::plan::{GttClear, Provisioning, plan};
use igd_quirks::policy::Policy;
use igd_sim::{Fault, Options, Profile};
use igd_vmm::assigned::{Applied, AssignedBars, apply};
use igd_vmm::backend::sim::SimHost;
use igd_vmm::backend::{HostDevice, RegionKind};
use igd_vmm::irq::{IrqBackend, IrqRouter};
use igd_vmm::machine::{BoardKind, Boot, MachineOptions, Output};
use igd_vmm::memory::GuestRam;
use igd_vmm::probe::probe;
use pci_model::{ConfigSpace, MsiMessage};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::fake::COMMAND;
use super::{read, write};

const MIRROR_BDSM: u64 = 0x10_80c0;
const MSI_ID: u32 = 5;

/// Where interrupts arrive, by GSI.
#[derive(Clone, Debug, Default)]
struct Wires(Arc<Mutex<BTreeMap<u32, EventFd>>>);

impl Wires {
    /// Whether something arrived since the last time.
    fn arrived(&self, gsi: u32) -> bool {
        self.0.lock().unwrap()[&gsi].read().is_ok()
    }
}

impl IrqBackend for Wires {
    fn set_messages(&self, _: &[(u32, MsiMessage)]) -> io::Result<()> {
        Ok(())
    }

    fn connect(&self, gsi: u32, trigger: &EventFd, _: Option<&EventFd>) -> io::Result<()> {
        self.0.lock().unwrap().insert(gsi, trigger.try_clone()?);
        Ok(())
    }

    fn disconnect(&self, gsi: u32, _: &EventFd) -> io::Result<()> {
        self.0.lock().unwrap().remove(&gsi);
        Ok(())
    }
}

/// The page of test registers: the last before the table in the upper half of BAR0.
fn set(bars: &AssignedBars, page: u64, register: u64, value: u32) {
    bars.bar_write(0, page + register, &value.to_le_bytes());
}

/// Lets the device fill guest memory, and says whether it could.
fn fills(bars: &AssignedBars, page: u64, ram: &GuestRam) -> bool {
    ram.memory().write_slice(&[0; 16], GuestAddress(0x3000)).unwrap();
    for (register, value) in [(0x08, 0x3000), (0x0c, 0), (0x10, 16), (0x14, 1)] {
        set(bars, page, register, value);
    }
    let mut status = [0; 4];
    bars.bar_read(0, page + 0x18, &mut status);
    let mut bytes = [0; 16];
    ram.memory().read_slice(&mut bytes, GuestAddress(0x3000)).unwrap();
    let is_filled = bytes[15] == 15;
    assert_eq!(status == [0; 4], is_filled);
    is_filled
}

/// What a driver would do, on a device that refuses what a kernel refuses.
fn drive(profile: &Profile) {
    let mut options = Options::default();
    options.test_page = true;
    options.faults = vec![Fault::DecodeGate];
    let device: Arc<dyn HostDevice> = Arc::new(SimHost::new(*profile, &options).unwrap());
    let board = MachineOptions {
        kind: BoardKind::Pc,
        memory: 1 << 30,
        cpus: 1,
        boot: Boot::Firmware {
            image: Vec::new(),
            kind: igd_quirks::facts::Firmware::SeaBios,
        },
        serial: Output::None,
        debug_console: Output::None,
    };
    let facts = probe(&*device, board.facts(&*device)).unwrap();
    let wishes = "vfio-pci,host=00:02.0,addr=0x2".parse().unwrap();
    let mut plan = plan(&facts, &wishes, Policy::Native, Provisioning::FwCfg).unwrap();
    // Millions of accesses otherwise, all alike.
    if let Some(GttClear::Bar0(range)) = &mut plan.clear_gtt {
        range.len = range.len.min(0x2_0000);
    }
    let ram = GuestRam::new(&[Extent::new(0, 64 << 20)]).unwrap();
    let wires = Wires::default();
    let irq = Arc::new(IrqRouter::with_backend(Box::new(wires.clone())).unwrap());
    let found = config(&*device);
    let Applied { mut function, bars } = apply(&plan, &facts, Arc::clone(&device), &ram, irq, None).unwrap();
    assert!(!bars.pieces(0).is_empty() && !bars.pieces(2).is_empty());

    let _ = write(&mut function, 0x10, 4, 0xe000_0000);
    let _ = write(&mut function, COMMAND, 2, 6);
    assert!(function.bar_map().get(0).is_some());
    let page = profile.class.registers_len() / 2 - 0x1000;
    let mut magic = [0; 4];
    bars.bar_read(0, page + 0x1c, &mut magic);
    assert_eq!(u32::from_le_bytes(magic), 0x1abf_ee1d);
    assert!(fills(&bars, page, &ram));

    let bdsm = match function.bdsm() {
        BdsmSetup::Hardware => None,
        BdsmSetup::Dword(_) => Some(0x5c),
        BdsmSetup::Qword(_) => Some(0xc0),
    };
    if let Some(at) = bdsm {
        let _ = write(&mut function, at, 4, 0x0300_0000);
        assert_eq!(read(&mut function, at, 4), 0x0300_0000);
        if plan.device.bdsm_mirror {
            let mut mirror = [0; 4];
            bars.bar_read(0, MIRROR_BDSM, &mut mirror);
            assert_eq!(mirror, 0x0300_0000_u32.to_le_bytes());
        }
    }

    function.set_intx_gsi(Some(10));
    set(&bars, page, 0, 1);
    assert!(wires.arrived(10));
    set(&bars, page, 4, 1);
    let mut at = 0x34;
    let msi = loop {
        at = u16::try_from(read(&mut function, at, 1)).unwrap();
        assert_ne!(at, 0, "no MSI");
        if read(&mut function, at, 1) == MSI_ID {
            break at;
        }
        at += 1;
    };
    let _ = write(&mut function, msi + 2, 2, 1);
    set(&bars, page, 0, 1);
    assert!(wires.arrived(24));
    let _ = write(&mut function, msi + 2, 2, 0);
    set(&bars, page, 0, 1);
    assert!(wires.arrived(10));
    set(&bars, page, 4, 1);

    let _ = write(&mut function, COMMAND, 2, 0);
    assert_eq!(bars.failures(), 0);
    bars.bar_read(0, page + 0x1c, &mut magic);
    assert_eq!((magic, bars.failures()), ([0xff; 4], 1), "it decodes nothing");

    assert!(function.detach().is_empty());
    assert_eq!(config(&*device), found);
    assert!(wires.0.lock().unwrap().is_empty());
    device.write(RegionKind::Config, 4, &6_u16.to_le_bytes()).unwrap();
    assert!(!fills(&bars, page, &ram), "guest memory is out of reach");
}

fn config(device: &dyn HostDevice) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    device.read(RegionKind::Config, 0, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_platform_serves_its_driver() {
    for profile in Profile::all() {
        println!("{}", profile.name);
        drive(profile);
    }
    assert!(Profile::all().len() > 10);
}
