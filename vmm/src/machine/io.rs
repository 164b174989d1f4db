// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What becomes of an access that left the guest: one look-up, then its owner.

use std::fmt;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use fwcfg::{FwCfg, VmMemory};
use pci_model::CONFIG_PORT;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::chipset::{Chipset, Followup};
use super::space::{MemoryOwner, PortOwner, Space, VGA_MEMORY};
use crate::assigned::AssignedBars;
use crate::devices::{Device, Request};

/// First port of the fw_cfg device.
pub(super) const FW_CFG_PORT: u16 = 0x510;

/// Sees accesses in the order in which they are answered. Reads are told with their answer, writes before they are done.
pub trait Observer: Send + fmt::Debug {
    /// `data.len() / size` accesses of `size` bytes to a port.
    fn port(&mut self, is_write: bool, port: u16, size: usize, data: &[u8], seen: Seen);

    /// One access to memory.
    fn memory(&mut self, is_write: bool, addr: u64, data: &[u8], seen: Seen);

    /// A write to a port has been done, with what it did to memory.
    fn done(&mut self, port: u16);
}

/// Who answered an access that an [`Observer`] sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Configuration space or fw_cfg.
    Register,
    /// A BAR of the assigned function, at this offset.
    Bar(u8, u64),
    /// A legacy VGA range of the assigned function.
    Vga,
}

/// Accesses that left the guest, by owner.
#[derive(Debug, Default)]
pub struct Counters {
    /// Ports of configuration mechanism #1.
    pub config_ports: AtomicU64,
    /// The fw_cfg device; a string access counts once.
    pub fw_cfg: AtomicU64,
    /// The ECAM window.
    pub ecam: AtomicU64,
    /// BARs of the assigned device, memory and I/O.
    pub bars: AtomicU64,
    /// Legacy VGA ranges of the assigned device.
    pub vga: AtomicU64,
    /// Other devices of the board.
    pub devices: AtomicU64,
    /// Nobody's.
    pub unclaimed: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A device of the board with the port that its window starts at.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) base: AtomicU16,
    pub(super) device: Mutex<Box<dyn Device>>,
}

/// Everything that answers accesses.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) space: Arc<Space>,
    pub(super) chipset: Mutex<Chipset>,
    pub(super) fw_cfg: Mutex<FwCfg>,
    pub(super) memory: Arc<GuestMemoryMmap>,
    pub(super) assigned: Arc<AssignedBars>,
    pub(super) devices: Vec<Attached>,
    /// Index of the device whose ports follow the ACPI base.
    pub(super) acpi: usize,
    /// Index of the serial port, if there is one.
    pub(super) serial: Option<usize>,
    pub(super) rcba: Mutex<Box<dyn Device>>,
    pub(super) counters: Counters,
    pub(super) observer: OnceLock<Mutex<Box<dyn Observer>>>,
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Io {
    /// What an observer is told of a port, if anything.
    fn seen(&self, owner: PortOwner, port: u16) -> Option<Seen> {
        match owner {
            PortOwner::Config | PortOwner::FwCfg => Some(Seen::Register),
            PortOwner::Bar(bar) => Some(Seen::Bar(bar, self.space.bar_offset(bar, port))),
            PortOwner::Vga => Some(Seen::Vga),
            PortOwner::Device(_) | PortOwner::Nobody => None,
        }
    }

    /// Answers `data.len() / size` reads of a port.
    pub(super) fn port_read(&self, port: u16, size: usize, data: &mut [u8]) {
        let owner = self.space.port_owner(port);
        // Nearly all are single accesses that nobody sees.
        if data.len() == size && self.observer.get().is_none() {
            self.port_read_one(owner, port, data);
        } else {
            self.port_read_many(owner, port, size, data);
        }
    }

    #[inline(never)]
    fn port_read_many(&self, owner: PortOwner, port: u16, size: usize, data: &mut [u8]) {
        if owner == PortOwner::FwCfg && size == 1 {
            self.fw_cfg_read(port, data);
        } else {
            for item in data.chunks_mut(size.max(1)) {
                self.port_read_one(owner, port, item);
            }
        }
        if let Some((observer, seen)) = self.observer.get().zip(self.seen(owner, port)) {
            lock(observer).port(false, port, size, data, seen);
        }
    }

    /// Takes `data.len() / size` writes of a port.
    pub(super) fn port_write(&self, port: u16, size: usize, data: &[u8]) -> Option<Request> {
        let owner = self.space.port_owner(port);
        if data.len() == size && self.observer.get().is_none() {
            self.port_write_one(owner, port, data)
        } else {
            self.port_write_many(owner, port, size, data)
        }
    }

    #[inline(never)]
    fn port_write_many(&self, owner: PortOwner, port: u16, size: usize, data: &[u8]) -> Option<Request> {
        let observer = self.observer.get().zip(self.seen(owner, port));
        if let Some((observer, seen)) = observer {
            lock(observer).port(true, port, size, data, seen);
        }
        let items = data.chunks(size.max(1));
        let request = items.fold(None, |request, item| self.port_write_one(owner, port, item).or(request));
        if let Some((observer, _)) = observer {
            lock(observer).done(port);
        }
        request
    }

    fn fw_cfg_read(&self, port: u16, data: &mut [u8]) {
        count(&self.counters.fw_cfg);
        let mut device = lock(&self.fw_cfg);
        if let Err(error) = device.port_read_flattened(port - FW_CFG_PORT, data) {
            log::error!("fw_cfg: {error}");
        }
    }

    fn port_read_one(&self, owner: PortOwner, port: u16, data: &mut [u8]) {
        match owner {
            PortOwner::Config => {
                count(&self.counters.config_ports);
                lock(&self.chipset).port_read(port - CONFIG_PORT, data);
            }
            PortOwner::FwCfg => self.fw_cfg_read_wide(port, data),
            PortOwner::Bar(bar) => {
                count(&self.counters.bars);
                self.assigned.bar_read(bar, self.space.bar_offset(bar, port), data);
            }
            PortOwner::Vga => {
                count(&self.counters.vga);
                self.assigned.vga_read(port.into(), data);
            }
            PortOwner::Device(index) => {
                count(&self.counters.devices);
                match self.devices.get(usize::from(index)) {
                    Some(attached) => {
                        let offset = port.wrapping_sub(attached.base.load(Ordering::Relaxed));
                        lock(&attached.device).read(offset.into(), data);
                    }
                    None => data.fill(0xff),
                }
            }
            PortOwner::Nobody => {
                count(&self.counters.unclaimed);
                data.fill(0xff);
            }
        }
    }

    fn fw_cfg_read_wide(&self, port: u16, data: &mut [u8]) {
        count(&self.counters.fw_cfg);
        if let Err(error) = lock(&self.fw_cfg).port_read(port - FW_CFG_PORT, data) {
            log::error!("fw_cfg: {error}");
        }
    }

    fn port_write_one(&self, owner: PortOwner, port: u16, data: &[u8]) -> Option<Request> {
        match owner {
            PortOwner::Config => {
                count(&self.counters.config_ports);
                let mut chipset = lock(&self.chipset);
                let followup = chipset.port_write(port - CONFIG_PORT, data);
                self.follow(&chipset, followup)
            }
            PortOwner::FwCfg => {
                count(&self.counters.fw_cfg);
                let memory = VmMemory(&*self.memory);
                let mut device = lock(&self.fw_cfg);
                let mut effects = device.port_write(port - FW_CFG_PORT, data, &memory);
                if effects.paused {
                    effects = device.resume(&memory);
                }
                if let Some(gpa) = effects.status_lost {
                    log::warn!("fw_cfg: the status at {gpa:#x} could not be stored; the guest waits for it");
                }
                if let Some(fault) = effects.fault {
                    log::debug!("fw_cfg: {fault}");
                }
                None
            }
            PortOwner::Bar(bar) => {
                count(&self.counters.bars);
                self.assigned.bar_write(bar, self.space.bar_offset(bar, port), data);
                None
            }
            PortOwner::Vga => {
                count(&self.counters.vga);
                self.assigned.vga_write(port.into(), data);
                None
            }
            PortOwner::Device(index) => {
                count(&self.counters.devices);
                let attached = self.devices.get(usize::from(index))?;
                let offset = port.wrapping_sub(attached.base.load(Ordering::Relaxed));
                lock(&attached.device).write(offset.into(), data)
            }
            PortOwner::Nobody => {
                count(&self.counters.unclaimed);
                None
            }
        }
    }

    /// Answers a read of memory that nothing backs.
    pub(super) fn memory_read(&self, addr: u64, data: &mut [u8]) {
        let owner = self.space.memory_owner(addr);
        match owner {
            Some((MemoryOwner::Ecam, offset)) => {
                count(&self.counters.ecam);
                lock(&self.chipset).ecam_read(offset, data);
            }
            Some((MemoryOwner::Bar(bar), offset)) => {
                count(&self.counters.bars);
                self.assigned.bar_read(bar, offset, data);
            }
            Some((MemoryOwner::Vga, offset)) => {
                count(&self.counters.vga);
                self.assigned.vga_read(VGA_MEMORY.start + offset, data);
            }
            Some((MemoryOwner::Rcba, offset)) => {
                count(&self.counters.devices);
                lock(&self.rcba).read(offset, data);
            }
            Some((MemoryOwner::Shadow, _)) | None => {
                count(&self.counters.unclaimed);
                data.fill(0xff);
            }
        }
        if let Some((observer, seen)) = self.observer.get().zip(seen_in_memory(owner)) {
            lock(observer).memory(false, addr, data, seen);
        }
    }

    /// Takes a write to memory that nothing backs, or that is read-only.
    pub(super) fn memory_write(&self, addr: u64, data: &[u8]) -> Option<Request> {
        let owner = self.space.memory_owner(addr);
        if let Some((observer, seen)) = self.observer.get().zip(seen_in_memory(owner)) {
            lock(observer).memory(true, addr, data, seen);
        }
        match owner {
            Some((MemoryOwner::Ecam, offset)) => {
                count(&self.counters.ecam);
                let mut chipset = lock(&self.chipset);
                let followup = chipset.ecam_write(offset, data);
                return self.follow(&chipset, followup);
            }
            Some((MemoryOwner::Bar(bar), offset)) => {
                count(&self.counters.bars);
                self.assigned.bar_write(bar, offset, data);
            }
            Some((MemoryOwner::Vga, offset)) => {
                count(&self.counters.vga);
                self.assigned.vga_write(VGA_MEMORY.start + offset, data);
            }
            Some((MemoryOwner::Rcba, offset)) => {
                count(&self.counters.devices);
                let _ = lock(&self.rcba).write(offset, data);
            }
            Some((MemoryOwner::Shadow, _)) => {
                count(&self.counters.unclaimed);
                // A write to a segment without RAM behind it has nowhere to go.
                if self.space.is_shadow_writable(addr) {
                    let _ = self.memory.write_slice(data, GuestAddress(addr));
                }
            }
            None => count(&self.counters.unclaimed),
        }
        None
    }

    fn follow(&self, chipset: &Chipset, followup: Followup) -> Option<Request> {
        if followup.acpi {
            self.move_acpi(chipset.acpi_base());
        }
        followup.reset.then_some(Request::Reset)
    }

    /// Puts the ACPI registers where the chipset decodes them.
    pub(super) fn move_acpi(&self, base: Option<u16>) {
        let Some((index, attached)) = u8::try_from(self.acpi).ok().zip(self.devices.get(self.acpi)) else {
            return;
        };
        self.space.release_ports(PortOwner::Device(index));
        if let Some(base) = base {
            attached.base.store(base, Ordering::Relaxed);
            self.space.claim_ports(base, ACPI_PORTS, PortOwner::Device(index));
        }
    }

    /// Resets everything but the processors.
    pub(super) fn reset(&self) {
        let mut chipset = lock(&self.chipset);
        chipset.reset();
        self.move_acpi(chipset.acpi_base());
        for attached in &self.devices {
            lock(&attached.device).reset();
        }
        lock(&self.rcba).reset();
        lock(&self.fw_cfg).reset();
    }
}

/// Ports of the ACPI registers.
const ACPI_PORTS: u16 = 0x40;

/// What an observer is told of memory, if anything.
const fn seen_in_memory(owner: Option<(MemoryOwner, u64)>) -> Option<Seen> {
    match owner {
        Some((MemoryOwner::Ecam, _)) => Some(Seen::Register),
        Some((MemoryOwner::Bar(bar), offset)) => Some(Seen::Bar(bar, offset)),
        Some((MemoryOwner::Vga, _)) => Some(Seen::Vga),
        Some((MemoryOwner::Rcba | MemoryOwner::Shadow, _)) | None => None,
    }
}
