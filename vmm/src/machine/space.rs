// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who owns which port and which address, and the memory slots that follow.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use igd_quirks::facts::Extent;
use pci_model::host_bridge::{Pam, Smram};
use pci_model::{BarRange, BarSpace, EcamWindow};

use super::slots::Slots;
use super::view::{self, PAGE, Part};
use crate::assigned::{AssignedBars, BarHost};
use crate::memory::GuestRam;

/// How many BARs there are, with the ROM.
const BARS: usize = 7;
/// Legacy VGA memory, where SMRAM lies underneath.
pub(super) const VGA_MEMORY: Extent = Extent::new(0xa_0000, 0x2_0000);
/// Shadow RAM.
const SHADOW: Extent = Extent::new(0xc_0000, 0x4_0000);
/// The part of the firmware image that shows through in shadow RAM.
const SHADOW_FLASH: u64 = 0x2_0000;
const GIB_4: u64 = 1 << 32;

/// Who answers at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PortOwner {
    Nobody,
    Config,
    FwCfg,
    Vga,
    Bar(u8),
    Device(u8),
}

impl PortOwner {
    const FIRST_BAR: u8 = 4;
    const FIRST_DEVICE: u8 = 16;

    const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Config,
            2 => Self::FwCfg,
            3 => Self::Vga,
            Self::FIRST_BAR..Self::FIRST_DEVICE => Self::Bar(code - Self::FIRST_BAR),
            Self::FIRST_DEVICE.. => Self::Device(code - Self::FIRST_DEVICE),
            0 => Self::Nobody,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Nobody => 0,
            Self::Config => 1,
            Self::FwCfg => 2,
            Self::Vga => 3,
            Self::Bar(bar) => Self::FIRST_BAR + bar,
            Self::Device(index) => Self::FIRST_DEVICE.saturating_add(index),
        }
    }
}

/// Who answers at an address without memory behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MemoryOwner {
    Ecam,
    Rcba,
    Bar(u8),
    Vga,
    /// Shadow RAM whose writes go to RAM while reads do not.
    Shadow,
}

/// The port that each owner's window starts at, and the address space of memory.
#[derive(Debug)]
pub(super) struct Space {
    ports: Box<[AtomicU8]>,
    bar_ports: [AtomicU32; BARS],
    memory: RwLock<Vec<(Extent, MemoryOwner)>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ram: GuestRam,
    /// The firmware image: address in this process and length.
    flash: Option<(u64, u64)>,
    pam: Pam,
    smram: Smram,
    ecam: Option<EcamWindow>,
    rcba: Option<u64>,
    bars: [Option<BarRange>; BARS],
    assigned: Option<Arc<AssignedBars>>,
    slots: Slots,
    /// Whether parts of BARs are backed. Not any more once backing them failed.
    is_fast: bool,
    fixed_ports: Vec<(u16, u16, PortOwner)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Space {
    /// The space of a machine with this RAM and firmware image, as at reset.
    pub(super) fn new(ram: GuestRam, flash: Option<(u64, u64)>, slots: Slots) -> Self {
        Self {
            ports: (0..=u16::MAX).map(|_| AtomicU8::new(0)).collect(),
            bar_ports: Default::default(),
            memory: RwLock::default(),
            state: Mutex::new(State {
                ram,
                flash,
                pam: Pam::default(),
                smram: Smram::default(),
                ecam: None,
                rcba: None,
                bars: [None; BARS],
                assigned: None,
                slots,
                is_fast: true,
                fixed_ports: Vec::new(),
            }),
        }
    }

    /// Gives `count` ports to a fixed owner.
    pub(super) fn claim_ports(&self, first: u16, count: u16, owner: PortOwner) {
        lock(&self.state).fixed_ports.push((first, count, owner));
        self.set_ports(first, count, owner);
    }

    /// Takes the ports of an owner back.
    pub(super) fn release_ports(&self, owner: PortOwner) {
        let mut state = lock(&self.state);
        let (gone, kept): (Vec<_>, Vec<_>) = state.fixed_ports.iter().partition(|(_, _, of)| *of == owner);
        state.fixed_ports = kept;
        for (first, count, _) in gone {
            self.set_ports(first, count, PortOwner::Nobody);
        }
        self.restore_ports(&state);
    }

    fn set_ports(&self, first: u16, count: u16, owner: PortOwner) {
        let from = usize::from(first);
        for port in self.ports.iter().skip(from).take(count.into()) {
            port.store(owner.code(), Ordering::Relaxed);
        }
    }

    /// Puts the I/O BARs in place again, and over them what is fixed.
    fn restore_ports(&self, state: &State) {
        for (index, range) in (0..).zip(&state.bars) {
            let Some(range) = range.filter(|range| range.space() == BarSpace::Io) else {
                continue;
            };
            let (Ok(first), Ok(count)) = (u16::try_from(range.start()), u16::try_from(range.size())) else {
                continue;
            };
            if let Some(base) = self.bar_ports.get(usize::from(index)) {
                base.store(first.into(), Ordering::Relaxed);
            }
            self.set_ports(first, count, PortOwner::Bar(index));
        }
        for (first, count, owner) in &state.fixed_ports {
            self.set_ports(*first, *count, *owner);
        }
    }

    /// Who answers at a port.
    pub(super) fn port_owner(&self, port: u16) -> PortOwner {
        let code = self
            .ports
            .get(usize::from(port))
            .map_or(0, |code| code.load(Ordering::Relaxed));
        PortOwner::from_code(code)
    }

    /// The offset of a port in an I/O BAR.
    pub(super) fn bar_offset(&self, bar: u8, port: u16) -> u64 {
        let base = self
            .bar_ports
            .get(usize::from(bar))
            .map_or(0, |base| base.load(Ordering::Relaxed));
        u64::from(u32::from(port).saturating_sub(base))
    }

    /// Who answers at an address, and at which offset.
    pub(super) fn memory_owner(&self, addr: u64) -> Option<(MemoryOwner, u64)> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        memory.iter().find_map(|(range, owner)| {
            let offset = addr.checked_sub(range.start).filter(|offset| *offset < range.len)?;
            Some((*owner, offset))
        })
    }

    /// Connects the assigned device.
    pub(super) fn attach(&self, assigned: Arc<AssignedBars>) {
        let mut state = lock(&self.state);
        state.assigned = Some(assigned);
        self.update(&mut state);
    }

    /// Follows PAM and SMRAM.
    pub(super) fn set_shadow(&self, pam: Pam, smram: Smram) {
        let mut state = lock(&self.state);
        if state.pam != pam || state.smram != smram {
            (state.pam, state.smram) = (pam, smram);
            self.update(&mut state);
        }
    }

    /// Follows the ECAM window.
    pub(super) fn set_ecam(&self, ecam: Option<EcamWindow>) {
        let mut state = lock(&self.state);
        state.ecam = ecam;
        self.update(&mut state);
    }

    /// Follows the root complex registers.
    pub(super) fn set_rcba(&self, rcba: Option<u64>) {
        let mut state = lock(&self.state);
        state.rcba = rcba;
        self.update(&mut state);
    }

    /// Backs no part of a BAR any more: accesses go to the device one by one. Says whether any was backed.
    pub(super) fn slow_down(&self) -> bool {
        let mut state = lock(&self.state);
        let was_fast = state.is_fast && state.bar_parts().next().is_some();
        state.is_fast = false;
        self.update(&mut state);
        was_fast
    }

    /// Calls to KVM for memory slots, and how many slots there are.
    pub(super) fn slot_counts(&self) -> (u64, usize) {
        let state = lock(&self.state);
        (state.slots.ioctls(), state.slots.len())
    }

    /// Where BARs are decoded, 6 for the ROM.
    pub(super) fn bars(&self) -> [Option<BarRange>; BARS] {
        lock(&self.state).bars
    }

    fn update(&self, state: &mut State) {
        let owners = state.owners();
        *self.memory.write().unwrap_or_else(PoisonError::into_inner) = owners;
        let parts = view::flatten(&state.layers());
        if let Err(error) = state.slots.apply(&parts) {
            log::error!("{error}: accesses there exit");
        }
    }

    fn set_bar(&self, bar: u8, range: Option<BarRange>) {
        let mut state = lock(&self.state);
        let Some(slot) = state.bars.get_mut(usize::from(bar)) else {
            return;
        };
        let old = std::mem::replace(slot, range);
        let is_io = |range: Option<BarRange>| range.is_some_and(|range| range.space() == BarSpace::Io);
        if is_io(old) || is_io(range) {
            if let Some(old) = old {
                let (Ok(first), Ok(count)) = (u16::try_from(old.start()), u16::try_from(old.size())) else {
                    return;
                };
                self.set_ports(first, count, PortOwner::Nobody);
            }
            self.restore_ports(&state);
        } else {
            self.update(&mut state);
        }
    }
}

impl BarHost for Space {
    fn unmap(&self, bar: u8, _: BarRange) {
        self.set_bar(bar, None);
    }

    fn map(&self, bar: u8, range: BarRange) {
        self.set_bar(bar, Some(range));
    }
}

impl State {
    /// Memory BARs with their ranges.
    fn memory_bars(&self) -> impl Iterator<Item = (u8, BarRange)> + '_ {
        let bars = (0_u8..).zip(&self.bars);
        bars.filter_map(|(bar, range)| Some((bar, (*range)?)))
            .filter(|(_, range)| range.space() == BarSpace::Memory)
    }

    /// The parts of BARs that are backed where the guest put them. A BAR that does not start on a page has none.
    fn bar_parts(&self) -> impl Iterator<Item = Part> + '_ {
        let assigned = self.assigned.iter().filter(|_| self.is_fast);
        assigned.flat_map(move |assigned| {
            self.memory_bars().flat_map(move |(bar, range)| {
                let pieces = assigned.pieces(bar).iter();
                pieces.filter_map(move |piece| {
                    let gpa = range.start().checked_add(piece.offset)?;
                    let is_inside = piece.offset.checked_add(piece.len)? <= range.size().next_multiple_of(PAGE);
                    (gpa.is_multiple_of(PAGE) && is_inside).then_some(Part {
                        gpa,
                        len: piece.len,
                        hva: piece.hva,
                        readonly: false,
                    })
                })
            })
        })
    }

    fn owners(&self) -> Vec<(Extent, MemoryOwner)> {
        let ecam = self
            .ecam
            .map(|window| (Extent::new(window.base, window.size), MemoryOwner::Ecam));
        let rcba = self.rcba.map(|base| (Extent::new(base, 0x4000), MemoryOwner::Rcba));
        let has_vga = self.assigned.as_ref().is_some_and(|assigned| assigned.has_vga());
        let vga = has_vga.then_some((VGA_MEMORY, MemoryOwner::Vga));
        let bars = self
            .memory_bars()
            .map(|(bar, range)| (Extent::new(range.start(), range.size()), MemoryOwner::Bar(bar)));
        let fixed = [ecam, rcba, vga, Some((SHADOW, MemoryOwner::Shadow))];
        fixed.into_iter().flatten().chain(bars).collect()
    }

    /// What may be seen at each address, what wins first.
    fn layers(&self) -> Vec<Part> {
        let mut layers = Vec::with_capacity(32);
        let ram = |start: u64, len: u64, readonly: bool| {
            let hva = self.ram.hva(start)?;
            Some(Part {
                gpa: start,
                len,
                hva,
                readonly,
            })
        };
        let flash_shadow = self.flash.map(|(hva, len)| {
            let shown = len.min(SHADOW_FLASH);
            Part {
                gpa: SHADOW.end() - shown,
                len: shown,
                hva: hva + (len - shown),
                readonly: true,
            }
        });
        for segment in self.pam.segments().filter(|segment| segment.attribute.reads_ram) {
            layers.extend(ram(
                segment.start.into(),
                segment.size.into(),
                !segment.attribute.writes_ram,
            ));
        }
        layers.extend(flash_shadow);
        if self.smram.open && self.smram.enabled {
            layers.extend(ram(VGA_MEMORY.start, VGA_MEMORY.len, false));
        }
        for extent in self.ram.extents() {
            // What the bridge decides about is not plain RAM.
            let below = extent.end().min(VGA_MEMORY.start).saturating_sub(extent.start);
            layers.extend(ram(extent.start, below, false));
            let start = extent.start.max(SHADOW.end());
            layers.extend(ram(start, extent.end().saturating_sub(start), false));
        }
        layers.extend(self.flash.map(|(hva, len)| Part {
            gpa: GIB_4 - len,
            len,
            hva,
            readonly: true,
        }));
        layers.extend(self.bar_parts());
        layers
    }

    /// Whether a write to shadow RAM reaches RAM.
    fn is_shadow_writable(&self, addr: u64) -> bool {
        self.pam
            .attribute_at(addr)
            .is_some_and(|attribute| attribute.writes_ram)
    }
}

impl Space {
    /// Whether a write to shadow RAM that exits reaches RAM.
    pub(super) fn is_shadow_writable(&self, addr: u64) -> bool {
        lock(&self.state).is_shadow_writable(addr)
    }
}
