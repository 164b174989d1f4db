// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses to BARs and VGA ranges that left the guest, and the parts of BARs for which they need not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igd_quirks::device::{Event, IgdDevice};
use igd_quirks::plan::VgaRange;
use pci_model::{ConfigAccess, ROM, Width};

use super::msix::Msix;
use super::pieces::{Piece, Pieces};
use crate::backend::{HostDevice, HostError, RegionKind};

/// Longest access to a memory BAR, and to ports.
const WIDEST: usize = 8;
const WIDEST_PORT: usize = 4;
/// BARs whose accesses concern emulated registers.
const REGISTERS: u8 = 0;
const PORTS: u8 = 4;

/// BARs and VGA ranges, shared by all processors. No lock is held while the device is accessed.
///
/// What the device refuses reads as all ones, and is counted.
#[derive(Debug)]
pub struct AssignedBars {
    /// Dropped first: a device that is still mapped somewhere cannot be given back.
    pieces: Pieces,
    device: Arc<dyn HostDevice>,
    igd: Mutex<IgdDevice>,
    rom: Vec<u8>,
    vga: Vec<VgaRange>,
    msix: Option<Arc<Msix>>,
    failures: AtomicU64,
}

impl AssignedBars {
    pub(super) fn new(
        device: Arc<dyn HostDevice>,
        igd: IgdDevice,
        pieces: Pieces,
        rom: Vec<u8>,
        vga: Vec<VgaRange>,
        msix: Option<Arc<Msix>>,
    ) -> Self {
        Self {
            device,
            igd: Mutex::new(igd),
            pieces,
            rom,
            vga,
            msix,
            failures: AtomicU64::new(0),
        }
    }

    /// The emulated registers. Not to be held across an access to the device.
    pub(super) fn igd(&self) -> MutexGuard<'_, IgdDevice> {
        self.igd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parts of a BAR to back with memory slots, in rising order.
    #[must_use]
    pub fn pieces(&self, bar: u8) -> &[Piece] {
        self.pieces.of(bar)
    }

    /// Whether legacy VGA ranges are the device's.
    #[must_use]
    pub const fn has_vga(&self) -> bool {
        !self.vga.is_empty()
    }

    /// How many accesses the device refused.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a refusal, and tells of the first one.
    pub(super) fn refused(&self, error: &HostError) {
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            let name = self.device.name();
            log::warn!("{name}: {error}; the guest reads ones there, and further refusals are only counted");
        }
    }

    /// Reads a BAR; 6 is the ROM.
    pub fn bar_read(&self, bar: u8, offset: u64, data: &mut [u8]) {
        let widest = if bar == PORTS { WIDEST_PORT } else { WIDEST };
        if bar == ROM {
            return self.rom_read(offset, data);
        }
        for (part, at) in data.chunks_mut(widest).zip((0_u64..).step_by(widest)) {
            let offset = offset.saturating_add(at);
            if self.msix.as_ref().is_some_and(|msix| msix.read(bar, offset, part)) {
                continue;
            }
            match bar {
                REGISTERS => self.registers_read(offset, part),
                _ => self.read(RegionKind::Bar(bar), offset, part),
            }
            if bar == PORTS {
                self.igd().bar4_read(offset);
            }
        }
    }

    /// Writes a BAR. What the device refuses is lost; a ROM takes nothing.
    pub fn bar_write(&self, bar: u8, offset: u64, data: &[u8]) {
        let widest = if bar == PORTS { WIDEST_PORT } else { WIDEST };
        if bar == ROM {
            return;
        }
        for (part, at) in data.chunks(widest).zip((0_u64..).step_by(widest)) {
            let offset = offset.saturating_add(at);
            if self.msix.as_ref().is_some_and(|msix| msix.write(bar, offset, part)) {
                continue;
            }
            match bar {
                REGISTERS => self.registers_write(offset, part),
                PORTS => self.ports_write(offset, part),
                _ => self.write(RegionKind::Bar(bar), offset, part),
            }
        }
    }

    /// Reads the VGA memory or port at `address`.
    pub fn vga_read(&self, address: u64, data: &mut [u8]) {
        if self.is_vga(address, data.len()) {
            self.read(RegionKind::Vga, address, data);
        } else {
            data.fill(0xff);
        }
    }

    /// Writes the VGA memory or port at `address`.
    pub fn vga_write(&self, address: u64, data: &[u8]) {
        if self.is_vga(address, data.len()) {
            self.write(RegionKind::Vga, address, data);
        }
    }

    fn is_vga(&self, address: u64, len: usize) -> bool {
        self.vga
            .iter()
            .any(|(VgaRange::Memory(range) | VgaRange::Ports(range))| {
                address >= range.start && address.saturating_add(len as u64) <= range.end()
            })
    }

    fn rom_read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let image = usize::try_from(offset).ok().and_then(|offset| self.rom.get(offset..));
        data.iter_mut()
            .zip(image.unwrap_or(&[]))
            .for_each(|(to, from)| *to = *from);
    }

    fn registers_read(&self, offset: u64, data: &mut [u8]) {
        let len = data.len();
        let mut elsewhere: [Option<(usize, ConfigAccess)>; WIDEST] = [None; WIDEST];
        let mut answered = {
            let igd = self.igd();
            let owned = igd.bar0_owns(offset, len);
            if owned == ones(len) {
                let value = igd.bar0_read(offset, len, 0);
                drop(igd);
                return put(data, value);
            }
            let redirects = igd.bar0_redirects(offset, len);
            elsewhere
                .iter_mut()
                .zip(redirects)
                .for_each(|(to, from)| *to = Some(from));
            owned
        };
        for (first, at) in elsewhere.iter().flatten() {
            answered |= ones(at.width().len())
                .checked_shl(8 * u32::try_from(*first).unwrap_or(0))
                .unwrap_or(0);
        }
        if answered != ones(len) {
            self.read(RegionKind::Bar(REGISTERS), offset, data);
        }
        for (first, at) in elsewhere.into_iter().flatten() {
            let read = self.config_read(at).to_le_bytes();
            let to = data.iter_mut().skip(first).take(at.width().len());
            to.zip(read).for_each(|(to, from)| *to = from);
        }
        if answered != 0 {
            put(data, self.igd().bar0_read(offset, len, value(data)));
        }
    }

    fn registers_write(&self, offset: u64, data: &[u8]) {
        let taken = self.igd().bar0_write(offset, data.len(), value(data));
        tell(taken.event());
        for (offset, len, value) in taken.forwards() {
            let bytes = value.to_le_bytes();
            self.write(RegionKind::Bar(REGISTERS), offset, bytes.get(..len).unwrap_or(&[]));
        }
        for (at, value) in taken.redirects() {
            let taken = self.igd().config_write(at, value);
            tell(taken.event());
            for (at, value) in taken.forwards() {
                let bytes = value.to_le_bytes();
                let bytes = bytes.get(..at.width().len()).unwrap_or(&[]);
                self.write(RegionKind::Config, at.offset().into(), bytes);
            }
        }
    }

    fn ports_write(&self, offset: u64, data: &[u8]) {
        let asked = u32::try_from(value(data)).unwrap_or(0);
        let taken = self.igd().bar4_write(offset, data.len(), asked);
        tell(taken.event);
        let bytes = taken.value.to_le_bytes();
        self.write(RegionKind::Bar(PORTS), offset, bytes.get(..data.len()).unwrap_or(&[]));
    }

    /// A register in BAR0 that is one of configuration space.
    fn config_read(&self, at: ConfigAccess) -> u32 {
        let mut bytes = [0; WIDEST_PORT];
        let len = Width::len(at.width());
        self.read(
            RegionKind::Config,
            at.offset().into(),
            bytes.get_mut(..len).unwrap_or(&mut []),
        );
        self.igd().config_read(at, u32::from_le_bytes(bytes))
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) {
        if let Err(error) = self.device.read(region, offset, data) {
            self.refused(&error);
            data.fill(0xff);
        }
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) {
        if let Err(error) = self.device.write(region, offset, data) {
            self.refused(&error);
        }
    }
}

/// Says what happened to an emulated register.
pub(super) fn tell(event: Option<Event>) {
    if let Some(event) = event {
        log::debug!("{event:x?}");
    }
}

/// Up to 8 bytes as a number.
fn value(data: &[u8]) -> u64 {
    let mut bytes = [0; WIDEST];
    bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

/// Up to 8 bytes of a number.
fn put(data: &mut [u8], value: u64) {
    data.iter_mut()
        .zip(value.to_le_bytes())
        .for_each(|(to, from)| *to = from);
}

/// All bits of `len` bytes.
const fn ones(len: usize) -> u64 {
    match len {
        0 => 0,
        1..WIDEST => (1 << (8 * len)) - 1,
        _ => u64::MAX,
    }
}
