// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine but for its processors: everything that answers an access which left the guest.

use std::fmt;
use std::sync::atomic::AtomicU16;
use std::sync::{Arc, Mutex, OnceLock};

use igd_quirks::facts::HostFacts;
use igd_quirks::plan::Plan;
use pci_model::{BarRange, Bdf, CONFIG_PORT, CONFIG_PORTS, ConfigAccess, ConfigSpace};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::board;
use super::chipset::Chipset;
use super::io::{Attached, FW_CFG_PORT, Io, lock};
use super::slots::{SlotBackend, Slots};
use super::space::{PortOwner, Space};
use super::{BoardInfo, Boot, MachineError, MachineOptions};
use crate::assigned::{self, Applied};
use crate::backend::HostDevice;
use crate::boot::linux::EntryState;
use crate::devices::Request;
use crate::irq::IrqRouter;
use crate::memory::GuestRam;

/// A machine but for its processors. [`Machine`](super::Machine) adds those of KVM; another hypervisor, or none, brings
/// its own slots and interrupts.
#[derive(Debug)]
pub struct Platform {
    pub(super) io: Arc<Io>,
    pub(super) ram: GuestRam,
    pub(super) device: Arc<dyn HostDevice>,
    /// Where the first processor starts if not at the reset vector.
    pub(super) entry: Option<EntryState>,
    /// The memory behind a slot.
    pub(super) flash: Option<Arc<GuestMemoryMmap>>,
}

impl Platform {
    /// The machine that `plan` asks for, with `device` assigned. `romfile` is the content of the file that the plan
    /// names for the expansion ROM.
    ///
    /// # Errors
    ///
    /// The host refuses something; the device is then as it was.
    pub fn new(
        options: MachineOptions,
        plan: &Plan,
        facts: &HostFacts,
        device: Arc<dyn HostDevice>,
        romfile: Option<Vec<u8>>,
        irq: Arc<IrqRouter>,
        slots: Box<dyn SlotBackend>,
    ) -> Result<Self, MachineError> {
        let address = plan.address.ok_or(MachineError::NoAddress)?;
        let extents = if plan.memory.ram.is_empty() {
            options.ram()
        } else {
            plan.memory.ram.clone()
        };
        let ram = GuestRam::new(&extents)?;
        let board = BoardInfo {
            kind: options.kind,
            ram: extents,
            cpus: options.cpus,
        };
        let flash = match &options.boot {
            Boot::Firmware { image, .. } => Some(Arc::new(flash(image)?)),
            Boot::Linux { .. } => None,
        };
        let place = flash.as_deref().and_then(place);
        let (fw_cfg, entry) = board::boot(&board, plan, &options.boot, &ram)?;
        let devices = board::devices(&board, options.serial, options.debug_console, &irq)?;

        let Applied { mut function, bars } = assigned::apply(plan, facts, Arc::clone(&device), &ram, irq, romfile)?;
        let space = Arc::new(Space::new(ram.clone(), place, Slots::new(slots)));
        space.attach(Arc::clone(&bars));
        let host: Arc<dyn assigned::BarHost> = Arc::clone(&space) as _;
        function.attach(host);
        let chipset = Chipset::new(&board, plan, address, function, Arc::clone(&space), flash.is_some())?;
        space.claim_ports(CONFIG_PORT, CONFIG_PORTS, PortOwner::Config);
        space.claim_ports(FW_CFG_PORT, fw_cfg.port_count(), PortOwner::FwCfg);
        if bars.has_vga() {
            space.claim_ports(0x3b0, 0x0c, PortOwner::Vga);
            space.claim_ports(0x3c0, 0x20, PortOwner::Vga);
        }
        for (index, (_, windows)) in (0_u8..).zip(&devices.ports) {
            for (first, count) in windows {
                space.claim_ports(*first, *count, PortOwner::Device(index));
            }
        }
        let attached = devices.ports.into_iter().map(|(device, windows)| Attached {
            base: AtomicU16::new(windows.first().map_or(0, |(first, _)| *first)),
            device: Mutex::new(device),
        });
        let io = Arc::new(Io {
            space,
            chipset: Mutex::new(chipset),
            fw_cfg: Mutex::new(fw_cfg),
            memory: Arc::clone(ram.memory()),
            assigned: bars,
            devices: attached.collect(),
            acpi: devices.acpi,
            serial: devices.serial,
            rcba: Mutex::new(devices.rcba),
            counters: super::Counters::default(),
            observer: OnceLock::new(),
        });
        io.move_acpi(lock(&io.chipset).acpi_base());
        Ok(Self {
            io,
            ram,
            device,
            entry,
            flash,
        })
    }

    /// Answers `data.len() / size` reads of a port.
    pub fn port_read(&self, port: u16, size: usize, data: &mut [u8]) {
        self.io.port_read(port, size, data);
    }

    /// Takes `data.len() / size` writes of a port, and says what they ask of the machine.
    pub fn port_write(&self, port: u16, size: usize, data: &[u8]) -> Option<Request> {
        self.io.port_write(port, size, data)
    }

    /// Answers a read of memory that no slot shows.
    pub fn memory_read(&self, addr: u64, data: &mut [u8]) {
        self.io.memory_read(addr, data);
    }

    /// Takes a write to memory that no slot shows, or that is read-only, and says what it asks of the machine.
    pub fn memory_write(&self, addr: u64, data: &[u8]) -> Option<Request> {
        self.io.memory_write(addr, data)
    }

    /// Resets everything but the processors.
    pub fn reset(&self) {
        self.io.reset();
    }

    /// Guest RAM.
    #[must_use]
    pub const fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Address of the assigned function.
    #[must_use]
    pub fn assigned_at(&self) -> Bdf {
        lock(&self.io.chipset).assigned_at()
    }

    /// What the assigned function answers, whatever leads to it.
    #[must_use]
    pub fn assigned_config(&self, at: ConfigAccess) -> Option<u32> {
        let mut chipset = lock(&self.io.chipset);
        chipset.assigned_mut().map(|function| function.config_read(at))
    }

    /// Where the BARs of the assigned function are decoded, 6 for the ROM.
    #[must_use]
    pub fn bars(&self) -> [Option<BarRange>; 7] {
        self.io.space.bars()
    }
}

/// The image in memory of its own, which a slot can show.
fn flash(image: &[u8]) -> Result<GuestMemoryMmap, MachineError> {
    let refused = |error: &dyn fmt::Display| MachineError::Boot(format!("memory for the firmware image: {error}"));
    let memory: GuestMemoryMmap =
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), image.len())]).map_err(|error| refused(&error))?;
    memory
        .write_slice(image, GuestAddress(0))
        .map_err(|error| refused(&error))?;
    Ok(memory)
}

/// Where the image lies in this process, and its length.
fn place(memory: &GuestMemoryMmap) -> Option<(u64, u64)> {
    use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};
    let region = memory.iter().next()?;
    Some((region.as_ptr().addr() as u64, region.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_placed_whole() {
        let image: Vec<u8> = (0..=255_u8).cycle().take(0x1_0000).collect();
        let memory = flash(&image).unwrap();
        assert_eq!(place(&memory).unwrap().1, 0x1_0000);
        let mut copy = vec![0; image.len()];
        memory.read_slice(&mut copy, GuestAddress(0)).unwrap();
        assert_eq!(copy, image);
    }
}
