// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine put together from a plan.

use std::fmt;
use std::sync::{Arc, Mutex};

use fwcfg::FwCfg;
use igd_quirks::facts::{Extent, HostFacts};
use igd_quirks::plan::Plan;
use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, KVM_PIT_SPEAKER_DUMMY, kvm_pit_config};
use kvm_ioctls::{Kvm, VmFd};
use pci_model::{Bar, Bdf, ConfigAccess, ConfigSpace, Width};
use vm_memory::GuestMemoryMmap;

use super::board;
use super::console::Console;
use super::functions::BoardFunction;
use super::io::{Io, Observer, lock};
use super::platform::Platform;
use super::slots::KvmSlots;
use super::vcpu::Vcpu;
use super::{MachineError, MachineOptions};
use crate::backend::HostDevice;

use crate::irq::IrqRouter;
use crate::memory::GuestRam;

/// Pages that some processors need below the firmware image.
const IDENTITY_MAP: u64 = 0xfeff_c000;
const TASK_STATE: usize = 0xfeff_d000;
/// CPUID leaf with the number of address bits.
const ADDRESS_SIZES: u32 = 0x8000_0008;

/// A virtual machine without anything in it, as KVM makes it. A device is told of it when it is opened.
#[derive(Debug)]
pub struct Hypervisor {
    kvm: Kvm,
    vm: Arc<VmFd>,
}

impl Hypervisor {
    /// An empty virtual machine with interrupt controllers and timer.
    ///
    /// # Errors
    ///
    /// There is no KVM, or it refuses.
    pub fn new() -> Result<Self, MachineError> {
        let kvm = Kvm::new().map_err(MachineError::NoKvm)?;
        let vm = Arc::new(create_vm(&kvm)?);
        Ok(Self { kvm, vm })
    }

    /// The virtual machine.
    #[must_use]
    pub fn vm(&self) -> &VmFd {
        &self.vm
    }
}

/// A machine with its device, ready to run.
pub struct Machine {
    pub(super) io: Arc<Io>,
    pub(super) vcpus: Vec<Vcpu>,
    pub(super) ram: GuestRam,
    pub(super) device: Arc<dyn HostDevice>,
    /// Whether a reset finds something to start with: a kernel that was put into RAM is gone.
    pub(super) is_restartable: bool,
    /// The memory behind a slot.
    _flash: Option<Arc<GuestMemoryMmap>>,
    _kvm: Kvm,
}

/// What a machine consists of, as configuration space and fw_cfg show it before it runs.
#[derive(Debug)]
pub struct Inventory {
    /// The functions, by rising address.
    pub functions: Vec<FunctionInventory>,
    /// Items of fw_cfg: key, name of a file, content as far as it lies in memory.
    pub items: Vec<(u16, Option<String>, Vec<u8>)>,
    /// Address of the assigned function.
    pub assigned: Bdf,
    /// RAM.
    pub ram: Vec<Extent>,
}

/// A function before the machine runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FunctionInventory {
    /// Its address.
    pub bdf: Bdf,
    /// Its configuration space.
    pub config: [u8; 256],
    /// Its BARs by index, 6 for the ROM.
    pub bars: Vec<(u8, Bar)>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("io", &self.io)
            .field("vcpus", &self.vcpus.len())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// The machine that `plan` asks for, with `device` assigned. `romfile` is the content of the file that the plan
    /// names for the expansion ROM.
    ///
    /// # Errors
    ///
    /// The host refuses something; the device is then as it was.
    pub fn new(
        hypervisor: Hypervisor,
        options: MachineOptions,
        plan: &Plan,
        facts: &HostFacts,
        device: Arc<dyn HostDevice>,
        romfile: Option<Vec<u8>>,
    ) -> Result<Self, MachineError> {
        let Hypervisor { kvm, vm } = hypervisor;
        let cpus = options.cpus;
        let irq = Arc::new(IrqRouter::new(Arc::clone(&vm))?);
        let slots = Box::new(KvmSlots(Arc::clone(&vm)));
        let platform = Platform::new(options, plan, facts, device, romfile, irq, slots)?;
        let Platform {
            io,
            ram,
            device,
            entry,
            flash,
        } = platform;
        let is_restartable = flash.is_some();
        let cpuid = cpuid(&kvm, plan)?;
        let vcpus = (0..cpus).map(|id| {
            let fd = vm
                .create_vcpu(id.into())
                .map_err(MachineError::kvm("creating a processor"))?;
            Vcpu::new(fd, id, &cpuid, |regs, sregs| {
                if let Some(entry) = &entry {
                    board::enter(entry, regs, sregs);
                }
            })
            .map_err(MachineError::kvm("setting up a processor"))
        });
        let vcpus = vcpus.collect::<Result<_, _>>()?;
        Ok(Self {
            io,
            vcpus,
            ram,
            device,
            is_restartable,
            _flash: flash,
            _kvm: kvm,
        })
    }

    /// What the machine consists of.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let mut chipset = lock(&self.io.chipset);
        let addresses: Vec<Bdf> = chipset.bus_mut().iter().map(|(bdf, _)| bdf).collect();
        let mut functions = Vec::new();
        for bdf in addresses {
            let mut config = [0; 256];
            if let Some(function) = chipset.bus_mut().get_mut(bdf) {
                for (bytes, offset) in config.chunks_mut(4).zip((0_u16..).step_by(4)) {
                    if let Some(at) = ConfigAccess::new(offset, Width::Dword) {
                        bytes.copy_from_slice(&function.config_read(at).to_le_bytes());
                    }
                }
            }
            let bars = match chipset.bus_mut().get(bdf) {
                Some(BoardFunction::Assigned(function)) => (0..7)
                    .filter_map(|index| Some((index, function.bars().get(index)?)))
                    .collect(),
                _ => Vec::new(),
            };
            functions.push(FunctionInventory { bdf, config, bars });
        }
        Inventory {
            assigned: chipset.assigned_at(),
            functions,
            items: items(&lock(&self.io.fw_cfg)),
            ram: self.ram.extents().to_vec(),
        }
    }

    /// Guest RAM.
    #[must_use]
    pub const fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// The line into the serial port, if there is one.
    #[must_use]
    pub fn console(&self) -> Option<Console> {
        let index = self.io.serial?;
        Some(Console {
            io: Arc::downgrade(&self.io),
            index,
        })
    }

    /// Lets someone see the accesses that leave the guest: the first one who asks.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        if self.io.observer.set(Mutex::new(observer)).is_err() {
            log::error!("the accesses of this machine are seen already");
        }
    }
}

fn items(device: &FwCfg) -> Vec<(u16, Option<String>, Vec<u8>)> {
    let names: Vec<(u16, String)> = device.files().map(|(key, name)| (key, name.to_owned())).collect();
    let keys = (0..0x20).chain(names.iter().map(|(key, _)| *key)).chain(0x8000..0x8010);
    let item = |key| {
        let bytes = device.item(key)?.bytes()?.to_vec();
        let name = names.iter().find(|(of, _)| *of == key).map(|(_, name)| name.clone());
        Some((key, name, bytes))
    };
    keys.filter_map(item).collect()
}

fn create_vm(kvm: &Kvm) -> Result<VmFd, MachineError> {
    let vm = kvm
        .create_vm()
        .map_err(MachineError::kvm("creating a virtual machine"))?;
    vm.set_identity_map_address(IDENTITY_MAP)
        .map_err(MachineError::kvm("placing the identity map"))?;
    vm.set_tss_address(TASK_STATE)
        .map_err(MachineError::kvm("placing the task state"))?;
    vm.create_irq_chip()
        .map_err(MachineError::kvm("creating the interrupt controllers"))?;
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(pit).map_err(MachineError::kvm("creating the timer"))?;
    Ok(vm)
}

/// What CPUID says, with the address bits that the plan allows.
fn cpuid(kvm: &Kvm, plan: &Plan) -> Result<CpuId, MachineError> {
    let mut cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(MachineError::kvm("asking for CPUID"))?;
    if let Some(limit) = plan.memory.bar_limit {
        let bits = limit.max(1).ilog2();
        for entry in cpuid.as_mut_slice() {
            if entry.function == ADDRESS_SIZES {
                entry.eax = entry.eax & !0xff | bits.min(entry.eax & 0xff);
            }
        }
    }
    Ok(cpuid)
}
