// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses to BARs and VGA ranges that left the guest, and the parts of BARs for which they need not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igd_quirks::device::IgdDevice;
use pci_model::ConfigAccess;

use crate::backend::{HostDevice, HostError, Mapping, RegionKind};

/// Index of the expansion ROM.
const ROM: u8 = 6;
/// Longest access.
const WIDEST: usize = 8;

/// A part of a BAR that memory of this process stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First byte in the BAR.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Address in this process.
    pub hva: u64,
}

/// BARs and VGA ranges, shared by all processors. No lock is held while the device is accessed.
#[derive(Debug)]
pub struct AssignedBars {
    device: Arc<dyn HostDevice>,
    igd: Arc<Mutex<IgdDevice>>,
    pieces: [Vec<Piece>; 6],
    rom: Vec<u8>,
    has_vga: bool,
    failures: AtomicU64,
    /// What the pieces point into.
    _mappings: Vec<Mapping>,
}

pub(super) fn lock(igd: &Mutex<IgdDevice>) -> MutexGuard<'_, IgdDevice> {
    igd.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AssignedBars {
    pub(super) fn new(
        device: Arc<dyn HostDevice>,
        igd: Arc<Mutex<IgdDevice>>,
        (pieces, mappings): ([Vec<Piece>; 6], Vec<Mapping>),
        rom: Vec<u8>,
        has_vga: bool,
    ) -> Self {
        Self {
            device,
            igd,
            pieces,
            rom,
            has_vga,
            failures: AtomicU64::new(0),
            _mappings: mappings,
        }
    }

    /// The parts of a BAR to back, in rising order.
    #[must_use]
    pub fn pieces(&self, bar: u8) -> &[Piece] {
        self.pieces.get(usize::from(bar)).map_or(&[], |pieces| pieces)
    }

    /// Whether the legacy VGA ranges are the device's.
    #[must_use]
    pub const fn has_vga(&self) -> bool {
        self.has_vga
    }

    /// Accesses that the device refused.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a refusal, and tells of the first one.
    pub(super) fn refused(&self, error: &HostError) {
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            log::warn!(
                "{}: {error}; the guest reads ones, and this is said once",
                self.device.name()
            );
        } else {
            log::debug!("{error}");
        }
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

    /// Reads up to 8 bytes of a BAR; ones where the device refuses.
    pub fn bar_read(&self, bar: u8, offset: u64, data: &mut [u8]) {
        match bar {
            ROM => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = self.rom.iter().skip(from).copied().chain(std::iter::repeat(0xff));
                data.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            }
            0 if data.len() <= WIDEST => self.bar0_read(offset, data),
            4 => {
                self.read(RegionKind::Bar(bar), offset, data);
                lock(&self.igd).bar4_read(offset);
            }
            _ => self.read(RegionKind::Bar(bar), offset, data),
        }
    }

    fn bar0_read(&self, offset: u64, data: &mut [u8]) {
        let len = data.len();
        let mask = ones(len);
        let (owned, redirects) = {
            let igd = lock(&self.igd);
            let redirects: Vec<(usize, ConfigAccess)> = igd.bar0_redirects(offset, len).collect();
            (igd.bar0_owns(offset, len), redirects)
        };
        let mut hardware = [0; WIDEST];
        if owned & mask != mask
            && let Some(bytes) = hardware.get_mut(..len)
        {
            self.read(RegionKind::Bar(0), offset, bytes);
            for (first, at) in redirects {
                let len = at.width().len();
                if let Some(bytes) = bytes.get_mut(first..first + len) {
                    self.read(RegionKind::Config, at.offset().into(), bytes);
                }
            }
        }
        let value = match owned {
            0 => u64::from_le_bytes(hardware),
            _ => lock(&self.igd).bar0_read(offset, len, u64::from_le_bytes(hardware)),
        };
        data.iter_mut()
            .zip(value.to_le_bytes())
            .for_each(|(to, from)| *to = from);
    }

    /// Writes up to 8 bytes of a BAR.
    pub fn bar_write(&self, bar: u8, offset: u64, data: &[u8]) {
        match bar {
            ROM => {}
            0 if data.len() <= WIDEST => {
                let taken = lock(&self.igd).bar0_write(offset, data.len(), value(data));
                for (offset, len, value) in taken.forwards() {
                    self.write(
                        RegionKind::Bar(0),
                        offset,
                        value.to_le_bytes().get(..len).unwrap_or(&[]),
                    );
                }
                for (at, value) in taken.redirects() {
                    let bytes = value.to_le_bytes();
                    let bytes = bytes.get(..at.width().len()).unwrap_or(&[]);
                    self.write(RegionKind::Config, at.offset().into(), bytes);
                }
            }
            4 if data.len() <= 4 => {
                let asked = u32::try_from(value(data)).unwrap_or(0);
                let sent = lock(&self.igd).bar4_write(offset, data.len(), asked).value;
                let bytes = sent.to_le_bytes();
                self.write(RegionKind::Bar(4), offset, bytes.get(..data.len()).unwrap_or(&[]));
            }
            _ => self.write(RegionKind::Bar(bar), offset, data),
        }
    }

    /// Reads the VGA memory or port at `address`.
    pub fn vga_read(&self, address: u64, data: &mut [u8]) {
        self.read(RegionKind::Vga, address, data);
    }

    /// Writes the VGA memory or port at `address`.
    pub fn vga_write(&self, address: u64, data: &[u8]) {
        self.write(RegionKind::Vga, address, data);
    }
}

fn value(data: &[u8]) -> u64 {
    let mut bytes = [0; WIDEST];
    bytes.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

fn ones(len: usize) -> u64 {
    match len {
        0 => 0,
        1..WIDEST => (1 << (8 * len)) - 1,
        _ => u64::MAX,
    }
}
