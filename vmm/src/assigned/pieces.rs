// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The BARs of a device, and the parts of them that the guest may reach without an exit.

use igd_quirks::facts::Extent;
use igd_quirks::plan::Trap;
use pci_model::carve::{self, Carving, Mappable, PageSize, Span};
use pci_model::{Bar, BarKind, spec};

use super::ApplyError;
use super::config;
use super::msix::MsixPlace;
use crate::backend::{HostDevice, Mapping, RegionKind};

/// Size of a page in bytes.
const PAGE: u64 = 4096;
/// BARs of a function, without the ROM.
pub(super) const BARS: u8 = 6;

/// A part of a BAR that memory of this process stands for: whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// First byte in the BAR.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
    /// Address in this process.
    pub hva: u64,
}

/// The pieces of each BAR in rising order, with the mappings that they lie in.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    bars: [Vec<Piece>; BARS as usize],
    mappings: Vec<Mapping>,
}

impl Pieces {
    /// Writes zeros from `offset` up to `end`, as far as one piece goes, and says how many bytes that were.
    pub(super) fn clear(&self, bar: u8, offset: u64, end: u64) -> Option<u64> {
        let covers = |piece: &&Piece| piece.offset <= offset && offset < piece.offset + piece.len;
        let piece = self.of(bar).iter().find(covers)?;
        let mapping = self.mappings.iter().find(|mapping| mapping.hva() == piece.hva)?;
        let len = end.min(piece.offset + piece.len).checked_sub(offset)?;
        mapping.clear(offset - piece.offset, len).then_some(len)
    }

    pub(super) fn of(&self, bar: u8) -> &[Piece] {
        self.bars.get(usize::from(bar)).map_or(&[], |pieces| pieces)
    }
}

/// The BARs, with kinds from the registers of the device and sizes from its regions.
pub(super) fn bars(device: &dyn HostDevice) -> Result<Vec<(u8, Bar)>, ApplyError> {
    let mut bars = Vec::new();
    for bar in 0..BARS {
        let Some(region) = device.region(RegionKind::Bar(bar)) else {
            continue;
        };
        let register = config::read_u32(device, spec::BAR0 + 4 * u16::from(bar));
        let register = register.map_err(ApplyError::host("reading a BAR"))?;
        let prefetchable = register & 8 != 0;
        let kind = match (register & 1, register >> 1 & 3) {
            (1, _) => BarKind::Io,
            (_, 2) => BarKind::Memory64 { prefetchable },
            _ => BarKind::Memory32 { prefetchable },
        };
        let size = region.size;
        let found = Bar::new(kind, size).map_err(|source| ApplyError::Bar { bar, size, source })?;
        bars.push((bar, found));
    }
    Ok(bars)
}

/// Maps all pages that hold no trapped byte.
pub(super) fn map(
    device: &dyn HostDevice,
    bars: &[(u8, Bar)],
    traps: &[Trap],
    msix: Option<&MsixPlace>,
) -> Result<Pieces, ApplyError> {
    let mut all = Pieces::default();
    for (bar, pieces) in (0_u8..).zip(&mut all.bars) {
        let (Some(region), Some((_, found))) = (
            device.region(RegionKind::Bar(bar)),
            bars.iter().find(|(of, _)| *of == bar),
        ) else {
            continue;
        };
        let areas: Vec<Span> = region.mappable.iter().map(span).collect();
        let planned = traps.iter().filter(|trap| trap.bar == bar).map(|trap| trap.range);
        let messages = msix.into_iter().flat_map(|msix| msix.traps(bar));
        let traps: Vec<Span> = planned.chain(messages).map(|range| span(&range)).collect();
        let carving = PageSize::new(PAGE)
            .and_then(|page| Carving::new(found.size(), page, Mappable::Areas(&areas), &traps))
            .map_err(|source| ApplyError::Carve { bar, source })?;
        for piece in carving.pieces() {
            let carve::Piece::Mapped(Span { offset, len }) = piece else {
                continue;
            };
            let mapping = device
                .map(region.kind, Extent::new(offset, len))
                .map_err(ApplyError::host("mapping a BAR"))?;
            let hva = mapping.hva();
            pieces.push(Piece { offset, len, hva });
            all.mappings.push(mapping);
        }
    }
    Ok(all)
}

fn span(extent: &Extent) -> Span {
    Span::new(extent.start, extent.len)
}
