// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A host device that writes down who calls it, refuses what a kernel refuses, and fails when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::{env, fs, io, process};

use igd_quirks::facts::Extent;
use igd_vmm::assigned::BarHost;
use igd_vmm::backend::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind};
use igd_vmm::irq::IrqBackend;
use pci_model::{BarRange, MsiMessage};
use vmm_sys_util::eventfd::EventFd;

pub(crate) const BAR0_SIZE: u64 = 16 << 20;
/// Where what can be mapped of BAR0 ends: in the midst of the translation table.
pub(crate) const MAPPABLE: u64 = 0x80_1000;
pub(crate) const ROM_SIZE: u64 = 0x1_0800;
/// Offsets of the capabilities.
pub(crate) const EXPRESS: u16 = 0x70;
pub(crate) const MSI: u16 = 0xac;
pub(crate) const PM: u16 = 0xd0;
pub(crate) const MSIX: u16 = 0xe0;
pub(crate) const COMMAND: u16 = 4;
/// What the host leaves in the command register.
pub(crate) const FOUND_COMMAND: u16 = 3;

/// What happened, in order; shared by the device, the machine and the hypervisor.
pub(crate) type Log = Arc<Mutex<Vec<String>>>;

/// What must be again as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct State {
    pub(crate) config: [u8; 256],
    pub(crate) dma: BTreeSet<(u64, u64)>,
    pub(crate) interrupts: BTreeMap<InterruptKind, usize>,
    pub(crate) is_masked: bool,
}

#[derive(Debug)]
pub(crate) struct Fake {
    regions: Vec<Region>,
    state: Mutex<State>,
    triggers: Mutex<Vec<EventFd>>,
    pub(crate) log: Log,
    /// Interrupts behind MSI-X.
    messages: u32,
    memory: File,
    name: String,
    calls: AtomicU64,
    fail_at: AtomicU64,
}

fn region(kind: RegionKind, size: u64, mappable: &[Extent]) -> Region {
    Region {
        kind,
        size,
        writable: kind != RegionKind::Rom,
        mappable: mappable.to_vec(),
    }
}

fn put(config: &mut [u8], at: u16, bytes: &[u8]) {
    config[usize::from(at)..][..bytes.len()].copy_from_slice(bytes);
}

impl Fake {
    /// A device with BAR0 (64-bit, mappable in part), BAR2 (not mappable), BAR4 (ports), ROM and VGA; MSI with 4 vectors and masks.
    /// It has an MSI-X capability, and nothing behind it.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::build())
    }

    /// The same with interrupts behind MSI-X, whose registers are these.
    pub(crate) fn with_msix(messages: u32, control: u16, table: u32, pending: u32) -> Arc<Self> {
        let mut device = Self::build();
        device.messages = messages;
        let config = &mut device.state.get_mut().unwrap().config;
        put(config, MSIX + 2, &control.to_le_bytes());
        put(config, MSIX + 4, &table.to_le_bytes());
        put(config, MSIX + 8, &pending.to_le_bytes());
        Arc::new(device)
    }

    fn build() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "fake-device-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = env::temp_dir().join(&name);
        let memory = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        fs::remove_file(&path).unwrap();
        memory.set_len(BAR0_SIZE).unwrap();
        let mut config = [0; 256];
        put(&mut config, 0, &[0x86, 0x80, 0x12, 0x19, 3, 0, 0x10, 0, 6, 0, 0, 3]);
        put(&mut config, 0x10, &[0x04, 0, 0, 0xde]);
        put(&mut config, 0x18, &[0x08, 0, 0, 0xc0]);
        put(&mut config, 0x20, &[0x01, 0xf0]);
        put(&mut config, 0x34, &[0x70]);
        put(&mut config, 0x3c, &[0xff, 1]);
        put(&mut config, 0x50, &[0x08, 0x02]);
        put(&mut config, 0x5c, &[0x01, 0, 0, 0x8a]);
        put(&mut config, EXPRESS, &[0x10, 0xac, 0x92, 0, 0, 0, 0, 0x10]);
        put(&mut config, MSI, &[0x05, 0xd0, 0x84, 0x01]);
        put(&mut config, PM, &[0x01, 0xe0, 0x22, 0]);
        put(&mut config, MSIX, &[0x11, 0, 3, 0]);
        put(&mut config, 0xfc, &[0, 0x10, 0, 0x7c]);
        let regions = vec![
            region(RegionKind::Bar(0), BAR0_SIZE, &[Extent::new(0, MAPPABLE)]),
            region(RegionKind::Bar(2), 0x100_0000, &[]),
            region(RegionKind::Bar(4), 64, &[]),
            region(RegionKind::Rom, ROM_SIZE, &[]),
            region(RegionKind::Config, 256, &[]),
            region(RegionKind::Vga, 0xc_0000, &[]),
        ];
        let state = State {
            config,
            dma: BTreeSet::new(),
            interrupts: BTreeMap::new(),
            is_masked: false,
        };
        Self {
            regions,
            messages: 0,
            state: Mutex::new(state),
            triggers: Mutex::default(),
            log: Log::default(),
            memory,
            name,
            calls: AtomicU64::new(0),
            fail_at: AtomicU64::new(u64::MAX),
        }
    }

    /// Lets the call after `n` more fail.
    pub(crate) fn fail_after(&self, n: u64) {
        let now = self.calls.load(Ordering::Relaxed);
        self.fail_at.store(now.saturating_add(n), Ordering::Relaxed);
    }

    /// Whether the call that was to fail has been made.
    pub(crate) fn has_failed(&self) -> bool {
        self.calls.load(Ordering::Relaxed) > self.fail_at.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    pub(crate) fn config_u16(&self, at: u16) -> u16 {
        let config = self.lock().config;
        u16::from_le_bytes([config[usize::from(at)], config[usize::from(at) + 1]])
    }

    /// How many mappings of the device's memory this process has.
    pub(crate) fn mappings(&self) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines()
            .filter(|line| line.contains(&format!("{} ", self.name)))
            .count()
    }

    /// Puts bytes where BAR0 is.
    pub(crate) fn fill(&self, offset: u64, bytes: &[u8]) {
        self.memory.write_all_at(bytes, offset).unwrap();
    }

    pub(crate) fn peek(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Signals an interrupt.
    pub(crate) fn fire(&self, vector: usize) {
        self.triggers.lock().unwrap()[vector].write(1).unwrap();
    }

    /// Takes what was written down.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    /// Counts a call, and says whether it is to fail.
    fn fails(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed) == self.fail_at.load(Ordering::Relaxed)
    }

    fn check(&self, access: &'static str, region: RegionKind, offset: u64, len: usize) -> Result<(), HostError> {
        let of = self.region(region).filter(|of| offset + len as u64 <= of.size);
        if of.is_none() {
            return Err(HostError::OutOfRange { region, offset, len });
        }
        let decodes = |bit: u16| self.config_u16(COMMAND) & bit != 0 && self.config_u16(PM + 4) & 3 == 0;
        let is_decoded = match region {
            RegionKind::Bar(4) => decodes(1),
            RegionKind::Bar(_) | RegionKind::Rom => decodes(2),
            _ => true,
        };
        let reason = if self.fails() { "told to" } else { "not decoded" };
        if reason == "told to" || !is_decoded {
            let reason = reason.to_owned();
            return Err(HostError::Access {
                access,
                region,
                offset,
                len,
                reason,
            });
        }
        Ok(())
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        let mut state = self.lock();
        for (at, byte) in (u16::try_from(offset).unwrap()..).zip(data) {
            let is_msi = state.interrupts.contains_key(&InterruptKind::Msi);
            let is_msix = state.interrupts.contains_key(&InterruptKind::Msix);
            let mask: u8 = match at {
                0x04 => 0x07,
                0x05 => 0x04,
                0x3c | 0x50..0x54 | 0x5c..0x60 | 0xc0..0xc8 | 0xfc..0x100 => 0xff,
                at if at == PM + 4 => 3,
                // A kernel takes no enable before it has eventfds.
                at if at == MSI + 2 => {
                    if is_msi {
                        0x71
                    } else {
                        0x70
                    }
                }
                at if at == MSIX + 3 && is_msix => 0x80,
                _ => 0,
            };
            let to = &mut state.config[usize::from(at)];
            *to = *to & !mask | byte & mask;
        }
    }

    fn interrupt(&self, action: &'static str, kind: InterruptKind) -> Result<(), HostError> {
        if self.fails() {
            let reason = "told to".to_owned();
            return Err(HostError::Interrupt { action, kind, reason });
        }
        self.note(format!("{action} {kind}"));
        Ok(())
    }
}

impl HostDevice for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        self.check("read", region, offset, data.len())?;
        if region != RegionKind::Config {
            self.note(format!("read {region} {offset:x}+{:x}", data.len()));
        }
        match region {
            RegionKind::Config => {
                data.copy_from_slice(&self.lock().config[usize::try_from(offset).unwrap()..][..data.len()]);
            }
            RegionKind::Bar(0) => self.memory.read_exact_at(data, offset).unwrap(),
            RegionKind::Rom => data.fill(0x55),
            _ => data.fill(0x44),
        }
        Ok(())
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError> {
        self.check("write", region, offset, data.len())?;
        let value = data
            .iter()
            .take(8)
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        self.note(format!("write {region} {offset:x}+{:x} {value:x}", data.len()));
        match region {
            RegionKind::Config => self.write_config(offset, data),
            RegionKind::Bar(0) => self.memory.write_all_at(data, offset).unwrap(),
            _ => {}
        }
        Ok(())
    }

    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError> {
        let refused = |reason: String| HostError::Map { region, area, reason };
        if self.fails() {
            return Err(refused("told to".to_owned()));
        }
        self.note(format!("map {region} {:x}+{:x}", area.start, area.len));
        Mapping::new(self.memory.as_fd(), area.start, area.len).map_err(|error| refused(error.to_string()))
    }

    fn interrupt_count(&self, kind: InterruptKind) -> u32 {
        match kind {
            InterruptKind::Intx => 1,
            InterruptKind::Msi => 2,
            InterruptKind::Msix => self.messages,
        }
    }

    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError> {
        let others = self.lock().interrupts.keys().any(|other| *other != kind);
        if others {
            let (action, reason) = ("enable", "another kind is enabled".to_owned());
            return Err(HostError::Interrupt { action, kind, reason });
        }
        self.interrupt("enable", kind)?;
        self.lock().interrupts.insert(kind, triggers.len());
        *self.triggers.lock().unwrap() = triggers.iter().map(|trigger| trigger.try_clone().unwrap()).collect();
        Ok(())
    }

    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError> {
        self.interrupt("disable", kind)?;
        self.lock().interrupts.remove(&kind);
        self.lock().is_masked = false;
        self.triggers.lock().unwrap().clear();
        Ok(())
    }

    fn mask_intx(&self) -> Result<(), HostError> {
        self.interrupt("mask", InterruptKind::Intx)?;
        self.lock().is_masked = true;
        Ok(())
    }

    fn unmask_intx(&self) -> Result<(), HostError> {
        self.interrupt("unmask", InterruptKind::Intx)?;
        self.lock().is_masked = false;
        Ok(())
    }

    fn set_intx_resample(&self, _: &EventFd) -> Result<(), HostError> {
        self.interrupt("resample", InterruptKind::Intx)
    }

    /// As a kernel does it: what configuration space holds is restored afterwards.
    fn reset(&self) -> Result<(), HostError> {
        if self.fails() {
            return Err(HostError::Reset {
                reason: "told to".to_owned(),
            });
        }
        self.note("reset".to_owned());
        Ok(())
    }

    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError> {
        let (action, range) = ("map", Extent::new(memory.iova, memory.len));
        if self.fails() {
            let reason = "told to".to_owned();
            return Err(HostError::Dma { action, range, reason });
        }
        self.note(format!("map DMA {:x}+{:x}", memory.iova, memory.len));
        assert!(self.lock().dma.insert((memory.iova, memory.len)));
        Ok(())
    }

    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError> {
        let (action, range) = ("unmap", Extent::new(iova, len));
        if self.fails() {
            let reason = "told to".to_owned();
            return Err(HostError::Dma { action, range, reason });
        }
        self.note(format!("unmap DMA {iova:x}+{len:x}"));
        assert!(self.lock().dma.remove(&(iova, len)));
        Ok(())
    }
}

/// A machine that writes down what it is told, in the device's log.
#[derive(Debug)]
pub(crate) struct FakeMachine(pub(crate) Arc<Fake>);

impl FakeMachine {
    fn assert_decoded(&self, bar: u8) {
        let bit = if bar == 4 { 1 } else { 2 };
        assert!(self.0.config_u16(COMMAND) & bit != 0, "BAR{bar} is not decoded");
        assert_eq!(self.0.config_u16(PM + 4) & 3, 0, "BAR{bar} sleeps");
    }
}

impl BarHost for FakeMachine {
    fn unmap(&self, bar: u8, range: BarRange) {
        self.assert_decoded(bar);
        self.0.note(format!("slots - {bar} {:x}", range.start()));
    }

    fn map(&self, bar: u8, range: BarRange) {
        self.assert_decoded(bar);
        self.0.note(format!("slots + {bar} {:x}", range.start()));
    }
}

/// GSIs with triggers, and messages.
pub(crate) type Connected = Arc<Mutex<(BTreeSet<u32>, BTreeMap<u32, MsiMessage>)>>;

/// A hypervisor that writes down what it is told.
#[derive(Debug)]
pub(crate) struct FakeHypervisor {
    pub(crate) log: Log,
    pub(crate) connected: Connected,
}

impl IrqBackend for FakeHypervisor {
    fn set_messages(&self, messages: &[(u32, MsiMessage)]) -> io::Result<()> {
        self.connected.lock().unwrap().1 = messages.iter().copied().collect();
        Ok(())
    }

    fn connect(&self, gsi: u32, _: &EventFd, resample: Option<&EventFd>) -> io::Result<()> {
        let kind = if resample.is_some() { "level" } else { "trigger" };
        self.log.lock().unwrap().push(format!("connect {kind} {gsi}"));
        assert!(self.connected.lock().unwrap().0.insert(gsi));
        Ok(())
    }

    fn disconnect(&self, gsi: u32, _: &EventFd) -> io::Result<()> {
        self.log.lock().unwrap().push(format!("disconnect {gsi}"));
        assert!(self.connected.lock().unwrap().0.remove(&gsi));
        Ok(())
    }
}
