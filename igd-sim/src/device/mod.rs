// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device: regions to read and write, interrupts, reset.

mod bar0;
mod build;
mod interrupt;
mod options;
mod ports;
mod region;
mod vga;

pub use interrupt::{Interrupt, InterruptInfo, InterruptKind};
pub use options::{BuildFailure, Options};
pub use region::{AccessError, ParseRegionError, Region, RegionKind};

use pci_model::{ConfigAccess, ConfigSpace, Effects, Function, MsiDelivery, PowerState, Width};

use crate::fault::Fault;
use crate::memory::{MemoryError, SparseMemory};
use crate::profile::{CapabilityLayout, Profile};
use crate::spec::config::GGC;
use crate::test_page::{Asked, Dma};
use bar0::Bar0;
use ports::Ports;
use vga::Vga;

/// What a device asks for by itself: see [`test_page`](crate::test_page).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// It interrupts.
    Interrupt(Interrupt),
    /// It wants to reach memory; [`SimDevice::finish_dma`] says how that went.
    Dma(Dma),
}

/// A simulated integrated GPU with what belongs to it.
///
/// Nothing here locks, waits, or reads a clock. Accesses are exact or an error; a guest's mistakes are answered as
/// hardware does.
///
/// ```
/// use igd_sim::{Options, Profile, RegionKind, SimDevice};
///
/// let profile = Profile::by_name("tgl").unwrap();
/// let mut device = SimDevice::new(profile, &Options::default())?;
/// let mut ids = [0; 4];
/// device.read_exact(RegionKind::Config, 0, &mut ids)?;
/// assert_eq!(u32::from_le_bytes(ids), 0x9a49_8086);
/// let mut signature = [0; 16];
/// device.read_exact(RegionKind::OpRegion, 0, &mut signature)?;
/// assert_eq!(&signature, b"IntelGraphicsMem");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SimDevice {
    profile: Profile,
    faults: Vec<Fault>,
    regions: Vec<Region>,
    function: Function<256>,
    bar0: Bar0,
    aperture: SparseMemory,
    ports: Ports,
    vga: Vga,
    rom: Vec<u8>,
    opregion: Vec<u8>,
    host_bridge: [u8; 256],
    lpc_bridge: [u8; 256],
    signal: Option<Signal>,
    resets: u64,
}

impl SimDevice {
    /// The platform, with the options applied.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The graphics function: command register, BARs, capabilities.
    #[must_use]
    pub const fn function(&self) -> &Function<256> {
        &self.function
    }

    /// What goes wrong.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The regions that exist, in the order of VFIO's indices.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The region of this kind.
    #[must_use]
    pub fn find_region(&self, kind: RegionKind) -> Option<Region> {
        self.regions.iter().find(|region| region.kind == kind).copied()
    }

    /// The ways to interrupt, in the order of VFIO's indices.
    #[must_use]
    pub fn interrupts(&self) -> [InterruptInfo; 5] {
        InterruptInfo::list(self.profile.capabilities == CapabilityLayout::Express)
    }

    /// The parts of a BAR that may be mapped, as offset and length, by rising offset: all but the pages with registers
    /// that answer.
    #[must_use]
    pub fn mappable(&self, bar: u8) -> Vec<(u64, u64)> {
        match bar {
            0 => complement(&self.bar0.trapped_pages(), self.bar0.memory().size()),
            2 => vec![(0, self.aperture.size())],
            _ => Vec::new(),
        }
    }

    /// The file that holds a BAR, if it is shared.
    #[cfg(feature = "server")]
    #[must_use]
    pub const fn bar_file(&self, bar: u8) -> Option<&std::fs::File> {
        match bar {
            0 => self.bar0.memory().file(),
            2 => self.aperture.file(),
            _ => None,
        }
    }

    /// Reads up to `buf.len()` bytes and says how many: fewer at the end of a region, or by a fault.
    ///
    /// # Errors
    ///
    /// There is no such region, the access starts behind its end, or it fails.
    pub fn read(&mut self, kind: RegionKind, offset: u64, buf: &mut [u8]) -> Result<usize, AccessError> {
        let region = self.admit(kind, offset, buf.len())?;
        let rest = usize::try_from(region.size - offset).unwrap_or(usize::MAX);
        let mut len = buf.len().min(rest);
        if self.faults.contains(&Fault::Short(kind)) {
            len /= 2;
        }
        let buf = buf.get_mut(..len).unwrap_or(&mut []);
        let memory = |source| AccessError::Memory { region: kind, source };
        match kind {
            RegionKind::Config => config_pieces(offset, len, |at, range| {
                let value = self.function.config_read(at).to_le_bytes();
                if let Some(to) = buf.get_mut(range) {
                    crate::bytes::put(to, 0, &value);
                }
            }),
            RegionKind::Bar(0) => self.bar0.read(offset, buf).map_err(memory)?,
            RegionKind::Bar(2) => self.aperture.read(offset, buf).map_err(memory)?,
            RegionKind::Bar(_) => self
                .ports
                .read(self.profile.class, &self.bar0, offset, buf)
                .map_err(memory)?,
            RegionKind::Vga => {
                let not_there = AccessError::NotVga { address: offset, len };
                self.vga.read(offset, buf).ok_or(not_there)?.map_err(memory)?;
            }
            RegionKind::Rom => copy(&self.rom, offset, buf),
            RegionKind::OpRegion => copy(&self.opregion, offset, buf),
            RegionKind::HostBridge => copy(&self.host_bridge, offset, buf),
            RegionKind::LpcBridge => copy(&self.lpc_bridge, offset, buf),
        }
        Ok(len)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), or fewer bytes are there; `buf` may be partly filled then.
    pub fn read_exact(&mut self, kind: RegionKind, offset: u64, buf: &mut [u8]) -> Result<(), AccessError> {
        let wanted = buf.len();
        let got = self.read(kind, offset, buf)?;
        if got < wanted {
            return Err(AccessError::Short {
                region: kind,
                offset,
                wanted,
                got,
            });
        }
        Ok(())
    }

    /// Writes all of `data` at `offset`. A function level reset that it starts has happened when this returns.
    ///
    /// # Errors
    ///
    /// There is no such region, it cannot be written, the access leaves it, or it fails.
    pub fn write_all(&mut self, kind: RegionKind, offset: u64, data: &[u8]) -> Result<(), AccessError> {
        let region = self.admit(kind, offset, data.len())?;
        if !region.writable {
            return Err(AccessError::ReadOnly { region: kind, offset });
        }
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        if len > region.size - offset {
            return Err(out_of_bounds(region, offset, data.len()));
        }
        let memory = |source| AccessError::Memory { region: kind, source };
        match kind {
            RegionKind::Config => return self.write_config(offset, data).map_err(memory),
            RegionKind::Bar(0) => {
                let asked = self.bar0.write(offset, data).map_err(memory)?;
                self.answer(asked);
            }
            RegionKind::Bar(2) => self.aperture.write(offset, data).map_err(memory)?,
            RegionKind::Bar(_) => {
                self.ports
                    .write(self.profile.class, &mut self.bar0, offset, data)
                    .map_err(memory)?;
            }
            RegionKind::Vga => {
                let not_there = AccessError::NotVga {
                    address: offset,
                    len: data.len(),
                };
                self.vga.write(offset, data).ok_or(not_there)?.map_err(memory)?;
            }
            RegionKind::Rom | RegionKind::OpRegion | RegionKind::HostBridge | RegionKind::LpcBridge => {}
        }
        Ok(())
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let mut effects = Effects::empty();
        config_pieces(offset, data.len(), |at, range| {
            let mut value = [0; 4];
            crate::bytes::put(&mut value, 0, data.get(range).unwrap_or(&[]));
            effects |= self.function.config_write(at, u32::from_le_bytes(value));
        });
        if effects.contains(Effects::FUNCTION_RESET) {
            self.reset_behind_config()?;
        }
        Ok(())
    }

    fn reset_behind_config(&mut self) -> Result<(), MemoryError> {
        self.resets = self.resets.saturating_add(1);
        self.signal = None;
        self.ports = Ports::default();
        self.bar0.reset()
    }

    /// Resets the function: registers start again; the GTT, stolen memory and what firmware wrote to ASLS stay.
    ///
    /// # Errors
    ///
    /// The memory behind BAR0 failed.
    pub fn reset(&mut self) -> Result<(), AccessError> {
        // Whoever resets knows it; the effects tell nothing new.
        let _ = self.function.reset();
        self.reset_behind_config().map_err(|source| AccessError::Memory {
            region: RegionKind::Bar(0),
            source,
        })
    }

    /// How often the function was reset, by [`reset`](Self::reset) or by its own registers.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.resets
    }

    /// Raises the interrupt: by MSI if that is enabled, else on the INTx pin.
    pub fn raise_interrupt(&mut self) -> Interrupt {
        match self.function.fire_msi(0) {
            MsiDelivery::Send(message) => Interrupt::Message(message),
            MsiDelivery::Held => Interrupt::Held,
            MsiDelivery::Off => {
                let _ = self.function.set_intx(true);
                if self.function.intx_level() {
                    Interrupt::Line
                } else {
                    Interrupt::Silent
                }
            }
        }
    }

    /// Takes back what the device drives on its INTx pin.
    pub fn lower_interrupt(&mut self) {
        let _ = self.function.set_intx(false);
    }

    /// What the device asked for by itself since the last call; of several things the last.
    pub const fn take_signal(&mut self) -> Option<Signal> {
        self.signal.take()
    }

    /// Ends a transfer that [`take_signal`](Self::take_signal) gave.
    pub fn finish_dma(&mut self, done: bool) {
        self.bar0.finish_dma(done);
    }

    /// Whether BAR0 has a page with test registers.
    #[must_use]
    pub const fn has_test_page(&self) -> bool {
        self.bar0.has_test_page()
    }

    fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Nothing => {}
            Asked::Raise => self.signal = Some(Signal::Interrupt(self.raise_interrupt())),
            Asked::Lower => self.lower_interrupt(),
            Asked::Dma(dma) => self.signal = Some(Signal::Dma(dma)),
        }
    }

    /// The region, unless the access starts behind its end or is to fail.
    fn admit(&self, kind: RegionKind, offset: u64, len: usize) -> Result<Region, AccessError> {
        let region = self.find_region(kind).ok_or(AccessError::NoRegion { region: kind })?;
        if offset >= region.size {
            return Err(out_of_bounds(region, offset, len));
        }
        let end = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        for fault in &self.faults {
            match fault {
                Fault::Error { region, offset: at }
                    if *region == kind && at.is_none_or(|at| (offset..end).contains(&at)) =>
                {
                    return Err(AccessError::Injected { region: kind, offset });
                }
                Fault::DecodeGate if matches!(kind, RegionKind::Bar(0 | 2)) && !self.decodes_memory() => {
                    return Err(AccessError::NotDecoded { region: kind, offset });
                }
                _ => {}
            }
        }
        Ok(region)
    }

    fn decodes_memory(&self) -> bool {
        let command = self.function.registers().u16(pci_model::spec::COMMAND);
        command & pci_model::spec::command::MEMORY != 0 && self.function.power_state() == PowerState::D0
    }

    /// The graphics control register as the function holds it now.
    #[must_use]
    pub fn ggc(&self) -> u16 {
        self.function.registers().u16(GGC)
    }
}

fn out_of_bounds(region: Region, offset: u64, len: usize) -> AccessError {
    AccessError::OutOfBounds {
        region: region.kind,
        offset,
        len,
        size: region.size,
    }
}

/// Copies from an image; zeros follow its end.
fn copy(image: &[u8], offset: u64, buf: &mut [u8]) {
    buf.fill(0);
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    for (to, from) in buf.iter_mut().zip(image.iter().skip(from)) {
        *to = *from;
    }
}

/// Splits a range of configuration space into aligned accesses, each with its place in the buffer.
fn config_pieces(offset: u64, len: usize, mut each: impl FnMut(ConfigAccess, core::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let Ok(at) = u16::try_from(offset).map(|at| usize::from(at) + done) else {
            return;
        };
        let width = match (at % 4, len - done) {
            (0, 4..) => Width::Dword,
            (0 | 2, 2..) => Width::Word,
            _ => Width::Byte,
        };
        let access = u16::try_from(at).ok().and_then(|at| ConfigAccess::new(at, width));
        let Some(access) = access else { return };
        each(access, done..done + width.len());
        done += width.len();
    }
}

/// What lies between rising pages, as offset and length.
fn complement(pages: &[u64], size: u64) -> Vec<(u64, u64)> {
    let mut areas = Vec::new();
    let mut start = 0;
    for page in pages {
        if *page > start {
            areas.push((start, page - start));
        }
        start = page + 4096;
    }
    if start < size {
        areas.push((start, size - start));
    }
    areas
}
