// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The steps of a plan that concern the device, in order; undone in reverse where one fails.

use std::sync::{Arc, Mutex};

use igd_quirks::device::IgdDevice;
use igd_quirks::facts::{Extent, HostFacts};
use igd_quirks::plan::{GttClear, Plan};
use pci_model::carve::{self, CarveError, Carving, Mappable, PageSize, Span};
use pci_model::{Bar, BarError, BarKind, BuildError, FunctionBuilder, Passthrough, PassthroughError, spec};
use vm_memory::{Bytes, GuestAddress};

use super::bars::{AssignedBars, Piece};
use super::config::HostConfig;
use super::function::AssignedFunction;
use super::interrupts::Interrupts;
use super::rom;
use crate::backend::{HostDevice, HostError, Mapping, RegionKind};
use crate::irq::IrqRouter;
use crate::memory::GuestRam;

/// How many bytes are cleared at once.
const CHUNK: usize = 4096;
const PAGE: u64 = 4096;
/// Index and data port of the translation table in BAR4.
const GTT_INDEX: u64 = 0;
const GTT_DATA: u64 = 4;

/// A device as the machine has it.
#[derive(Debug)]
pub struct Applied {
    /// The function, for the bus.
    pub function: AssignedFunction,
    /// Its BARs, for the processors.
    pub bars: Arc<AssignedBars>,
}

/// A plan that cannot be carried out. What had been done is undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The host refuses.
    #[error("{step}: {source}")]
    Host {
        /// What was done.
        step: &'static str,
        /// Why.
        source: HostError,
    },
    /// Configuration space of the device cannot be read, or makes no function.
    #[error("configuration space: {0}")]
    Config(PassthroughError<HostError>),
    /// A BAR that cannot be.
    #[error("BAR{bar} of {size:#x} bytes: {source}")]
    Bar {
        /// Index.
        bar: u8,
        /// Size in bytes.
        size: u64,
        /// Why.
        source: BarError,
    },
    /// A BAR that cannot be carved.
    #[error("BAR{bar}: {source}")]
    Carve {
        /// Index.
        bar: u8,
        /// Why.
        source: CarveError,
    },
    /// The OpRegion does not fit guest RAM.
    #[error("the OpRegion, {len:#x} bytes at {gpa:#x}, is not in guest RAM")]
    OpRegion {
        /// Address.
        gpa: u64,
        /// Length in bytes.
        len: usize,
    },
    /// The expansion ROM cannot be shown.
    #[error("an expansion ROM of {0:#x} bytes: it must have 1 byte to 16 MiB")]
    RomSize(u64),
    /// The plan names a file for the ROM, which was not given.
    #[error("the expansion ROM is to come from {0:?}, which was not read")]
    NoRomFile(String),
}

fn host(step: &'static str) -> impl Fn(HostError) -> ApplyError {
    move |source| ApplyError::Host { step, source }
}

/// What has been done to the device, to be undone unless it is taken over.
#[derive(Debug)]
struct Undo {
    device: Arc<dyn HostDevice>,
    dma: Vec<Extent>,
    is_touched: bool,
}

impl Drop for Undo {
    fn drop(&mut self) {
        for part in self.dma.drain(..).rev() {
            if let Err(error) = self.device.unmap_dma(part.start, part.len) {
                log::warn!("undoing: {error}");
            }
        }
        if self.is_touched
            && let Err(error) = self.device.reset()
        {
            log::warn!("undoing: {error}");
        }
    }
}

/// Carries out the steps of `plan` that concern the device. `romfile` is the content of the file that the plan names.
///
/// # Errors
///
/// A step failed; the device is as before.
pub fn apply(
    plan: &Plan,
    facts: &HostFacts,
    device: Arc<dyn HostDevice>,
    ram: &GuestRam,
    irq: Arc<IrqRouter>,
    romfile: Option<Vec<u8>>,
) -> Result<Applied, ApplyError> {
    // What can fail without the device comes first.
    let rom = rom::image(plan, facts, romfile)?;
    let bars = bars(facts, &rom)?;
    let traps: [Vec<Span>; 6] = std::array::from_fn(|bar| traps(plan, bar));
    let mut undo = Undo {
        device: Arc::clone(&device),
        dma: Vec::new(),
        is_touched: true,
    };
    device.reset().map_err(host("reset before use"))?;
    for part in ram.dma() {
        device.map_dma(&part).map_err(host("guest memory"))?;
        undo.dma.push(Extent::new(part.iova, part.len));
    }
    if let Some(image) = &plan.memory.opregion {
        let written = ram.memory().write_slice(&image.bytes, GuestAddress(image.gpa));
        written.map_err(|_| ApplyError::OpRegion {
            gpa: image.gpa,
            len: image.bytes.len(),
        })?;
    }
    let below = Passthrough::new(HostConfig(Arc::clone(&device)), |builder| configure(builder, &bars))
        .map_err(ApplyError::Config)?;
    let pieces = pieces(&*device, &bars, &traps)?;
    if let Some(clear) = plan.clear_gtt {
        clear_gtt(&*device, clear).map_err(host("clearing the translation table"))?;
    }
    let igd = Arc::new(Mutex::new(IgdDevice::new(&plan.device)));
    let has_vga = !plan.vga.is_empty() && device.region(RegionKind::Vga).is_some();
    let shared = AssignedBars::new(Arc::clone(&device), Arc::clone(&igd), pieces, rom, has_vga);
    let shared = Arc::new(shared);
    let has_pin = below.shadow().registers().u8(spec::INTERRUPT_PIN) != 0;
    let interrupts = Interrupts::new(Arc::clone(&device), irq, has_pin);
    let dma = std::mem::take(&mut undo.dma);
    undo.is_touched = false;
    let function = AssignedFunction::new(device, below, igd, Arc::clone(&shared), interrupts, dma);
    Ok(Applied { function, bars: shared })
}

/// The BARs of the function with the ROM at index 6, from the host's registers and the sizes of the regions.
fn bars(facts: &HostFacts, rom: &[u8]) -> Result<Vec<(u8, Bar)>, ApplyError> {
    let mut bars = Vec::new();
    for found in &facts.device.bars {
        let register = usize::from(spec::BAR0) + 4 * usize::from(found.index);
        let low = facts.device.config.get(register).copied().unwrap_or(0);
        let prefetchable = low & 8 != 0;
        let kind = match (low & 1, low >> 1 & 3) {
            (1, _) => BarKind::Io,
            (_, 2) => BarKind::Memory64 { prefetchable },
            _ => BarKind::Memory32 { prefetchable },
        };
        bars.push(bar(found.index, kind, found.size)?);
    }
    if !rom.is_empty() {
        let size = u64::try_from(rom.len()).unwrap_or(u64::MAX);
        bars.push(bar(pci_model::ROM, BarKind::Rom, size)?);
    }
    Ok(bars)
}

fn bar(index: u8, kind: BarKind, size: u64) -> Result<(u8, Bar), ApplyError> {
    let bar = Bar::new(kind, size).map_err(|source| ApplyError::Bar {
        bar: index,
        size,
        source,
    })?;
    Ok((index, bar))
}

fn configure(builder: FunctionBuilder<256>, bars: &[(u8, Bar)]) -> Result<FunctionBuilder<256>, BuildError> {
    // Nobody would serve the table of MSI-X; no IGD has one.
    let builder = builder.hide_capability(spec::capability::MSIX);
    bars.iter()
        .try_fold(builder, |builder, (index, bar)| builder.bar(*index, *bar))
}

/// The bytes of a BAR that must not be mapped, bounded as carving wants it.
fn traps(plan: &Plan, bar: usize) -> Vec<Span> {
    let traps = plan.traps.iter().filter(|trap| usize::from(trap.bar) == bar);
    let spans = traps.map(|trap| Span::new(trap.range.start, trap.range.len));
    spans.take(carve::MAX_SPANS).collect()
}

type Pieces = ([Vec<Piece>; 6], Vec<Mapping>);

/// Maps what may be mapped, page by page.
fn pieces(device: &dyn HostDevice, bars: &[(u8, Bar)], traps: &[Vec<Span>; 6]) -> Result<Pieces, ApplyError> {
    let mut all: [Vec<Piece>; 6] = Default::default();
    let mut mappings = Vec::new();
    for (index, bar) in bars {
        let (Some(pieces), Some(traps)) = (all.get_mut(usize::from(*index)), traps.get(usize::from(*index))) else {
            continue;
        };
        let Some(region) = device
            .region(RegionKind::Bar(*index))
            .filter(|_| bar.kind() != BarKind::Io)
        else {
            continue;
        };
        if region.mappable.is_empty() {
            continue;
        }
        let carve = |source| ApplyError::Carve { bar: *index, source };
        let page = PageSize::new(PAGE).map_err(carve)?;
        let areas: Vec<Span> = region
            .mappable
            .iter()
            .map(|area| Span::new(area.start, area.len))
            .collect();
        let carving = Carving::new(region.size, page, Mappable::Areas(&areas), traps).map_err(carve)?;
        for area in &region.mappable {
            let mapping = device.map(region.kind, *area).map_err(host("mapping a BAR"))?;
            let inside = |span: &Span| area.start <= span.offset && span.end().is_some_and(|end| end <= area.end());
            let mapped = carving.pieces().filter_map(|piece| match piece {
                carve::Piece::Mapped(span) => Some(span).filter(inside),
                carve::Piece::Trapped(_) => None,
            });
            pieces.extend(mapped.map(|span| Piece {
                offset: span.offset,
                len: span.len,
                hva: mapping.hva() + (span.offset - area.start),
            }));
            mappings.push(mapping);
        }
        pieces.sort_unstable_by_key(|piece| piece.offset);
    }
    Ok((all, mappings))
}

/// Clears entries of the translation table that the host left. The device decodes its memory for that time.
fn clear_gtt(device: &dyn HostDevice, clear: GttClear) -> Result<(), HostError> {
    let command = u64::from(spec::COMMAND);
    let mut before = [0; 2];
    device.read(RegionKind::Config, command, &mut before)?;
    let decoding = u16::from_le_bytes(before) | spec::command::MEMORY | spec::command::IO;
    device.write(RegionKind::Config, command, &decoding.to_le_bytes())?;
    let cleared = match clear {
        GttClear::Bar0(range) => clear_range(device, range),
        GttClear::Ports { index_end } => (1..index_end).step_by(4).try_for_each(|index| {
            device.write(RegionKind::Bar(4), GTT_INDEX, &index.to_le_bytes())?;
            device.write(RegionKind::Bar(4), GTT_DATA, &[0; 4])
        }),
    };
    let restored = device.write(RegionKind::Config, command, &before);
    cleared.and(restored)
}

fn clear_range(device: &dyn HostDevice, range: Extent) -> Result<(), HostError> {
    let mut offset = range.start;
    while offset < range.end() {
        let len = usize::try_from(range.end() - offset).unwrap_or(CHUNK).min(CHUNK);
        device.write(RegionKind::Bar(0), offset, [0; CHUNK].get(..len).unwrap_or(&[]))?;
        offset += u64::try_from(len).unwrap_or(u64::MAX);
    }
    Ok(())
}
