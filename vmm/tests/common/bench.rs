// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What it takes to carry out a plan on a fake device: facts, a plan, memory, a hypervisor.

use std::sync::Arc;

use igd_quirks::device::{BdsmSetup, DeviceSetup};
use igd_quirks::facts::{Extent, HostFacts, OpRegionBytes};
use igd_quirks::plan::{
    GttClear, Image, IsaBridgePlan, MemoryPlan, Mode, Plan, Provisioning, RomPlan, Trap, TrapOwner, VgaRange,
};
use igd_quirks::policy::Policy;
use igd_vmm::assigned::{Applied, ApplyError, AssignedFunction, apply};
use igd_vmm::backend::HostDevice;
use igd_vmm::irq::IrqRouter;
use igd_vmm::memory::GuestRam;
use pci_model::{ConfigAccess, ConfigSpace, Effects, Width};

use super::fake::{COMMAND, Connected, Fake, FakeHypervisor, FakeMachine};

pub(crate) const MIRROR: u64 = 0x10_8000;
pub(crate) const OPREGION: u64 = 0x8000;
pub(crate) const GTT: Extent = Extent::new(0x80_0000, 0x2800);

pub(crate) struct Bench {
    pub(crate) device: Arc<Fake>,
    pub(crate) facts: HostFacts,
    pub(crate) plan: Plan,
    pub(crate) ram: GuestRam,
    pub(crate) irq: Arc<IrqRouter>,
    pub(crate) connected: Connected,
    pub(crate) romfile: Option<Vec<u8>>,
}

fn plan() -> Plan {
    let mirror = |start, len, owner| Trap {
        bar: 0,
        range: Extent::new(start, len),
        owner,
    };
    Plan {
        name: "test".to_owned(),
        address: "00:02.0".parse().ok(),
        policy: Policy::Native,
        provisioning: Provisioning::Direct,
        mode: Mode::Legacy,
        steps: Vec::new(),
        memory: MemoryPlan {
            opregion: Some(Image {
                gpa: OPREGION,
                bytes: OpRegionBytes::new([7; 0x2000]).unwrap(),
            }),
            ..MemoryPlan::default()
        },
        files: Vec::new(),
        host_bridge: Vec::new(),
        isa_bridge: IsaBridgePlan::Keep,
        device: DeviceSetup {
            ggc: Some(0x01c1),
            bdsm: BdsmSetup::Dword(0x7c00_0000),
            asls: Some(0x8000),
            ggc_mirror: true,
            bdsm_mirror: true,
            ..DeviceSetup::default()
        },
        traps: vec![
            mirror(MIRROR + 0x40, 2, TrapOwner::GgcMirror),
            mirror(MIRROR + 0xc0, 4, TrapOwner::BdsmMirror),
        ],
        vga: vec![
            VgaRange::Memory(Extent::new(0xa_0000, 0x2_0000)),
            VgaRange::Ports(Extent::new(0x3b0, 12)),
            VgaRange::Ports(Extent::new(0x3c0, 32)),
        ],
        rom: RomPlan::Host,
        clear_gtt: Some(GttClear::Bar0(GTT)),
        warnings: Vec::new(),
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::on(Fake::new())
    }

    pub(crate) fn on(device: Arc<Fake>) -> Self {
        let connected = Connected::default();
        let hypervisor = FakeHypervisor {
            log: Arc::clone(&device.log),
            connected: Arc::clone(&connected),
        };
        let mut facts = HostFacts::default();
        (facts.device.vendor, facts.device.device) = (0x8086, 0x1912);
        Self {
            device,
            facts,
            plan: plan(),
            ram: GuestRam::new(&[Extent::new(0, 0x1_0000), Extent::new(0x10_0000, 0x1000)]).unwrap(),
            irq: Arc::new(IrqRouter::with_backend(Box::new(hypervisor)).unwrap()),
            connected,
            romfile: None,
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Plan)) -> Self {
        let mut bench = Self::new();
        change(&mut bench.plan);
        bench
    }

    pub(crate) fn apply(&self) -> Result<Applied, ApplyError> {
        let device: Arc<dyn HostDevice> = Arc::clone(&self.device) as _;
        let irq = Arc::clone(&self.irq);
        apply(&self.plan, &self.facts, device, &self.ram, irq, self.romfile.clone())
    }

    /// Applied, connected to a machine, with an empty log.
    pub(crate) fn start(&self) -> Applied {
        let mut applied = self.apply().unwrap();
        applied.function.attach(Arc::new(FakeMachine(Arc::clone(&self.device))));
        self.device.take_log();
        applied
    }

    pub(crate) fn log(&self) -> Vec<String> {
        self.device.take_log()
    }
}

fn at(offset: u16, len: usize) -> ConfigAccess {
    ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap()
}

pub(crate) fn write(function: &mut AssignedFunction, offset: u16, len: usize, value: u32) -> Effects {
    function.config_write(at(offset, len), value)
}

pub(crate) fn read(function: &mut AssignedFunction, offset: u16, len: usize) -> u32 {
    function.config_read(at(offset, len))
}

/// BARs placed, memory and ports decoded.
pub(crate) fn place(function: &mut AssignedFunction) {
    for (offset, value) in [
        (0x10, 0xe000_0000),
        (0x14, 0),
        (0x18, 0xd000_0000),
        (0x20, 0xc000),
        (0x30, 0xf000_0001),
    ] {
        let _ = write(function, offset, 4, value);
    }
    let _ = write(function, COMMAND, 2, 7);
}
