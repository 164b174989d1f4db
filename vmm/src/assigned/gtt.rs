// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Entries of the translation table that the host left, cleared.

use igd_quirks::facts::Extent;
use igd_quirks::plan::GttClear;
use pci_model::spec::command;

use super::ApplyError;
use super::config::decoding;
use super::pieces::Pieces;
use crate::backend::{HostDevice, HostError, RegionKind};

/// Bytes that are cleared at once.
const CHUNK: usize = 4096;
/// Index and data port in BAR4.
const INDEX_PORT: u64 = 0;
const DATA_PORT: u64 = 4;
/// Bytes of the largest table there is, and so the end of the indices.
const LARGEST: u32 = 8 << 20;
/// From one entry's index to the next one's; the first is 1.
const STEP: usize = 4;

/// Clears the entries; the device decodes what it has to for that time.
///
/// This is not undone: the entries lead to memory that the host has taken back.
pub(super) fn clear(device: &dyn HostDevice, clear: GttClear, pieces: &Pieces) -> Result<(), ApplyError> {
    match clear {
        GttClear::Bar0(range) => decoding(device, command::MEMORY, || clear_range(device, range, pieces)),
        GttClear::Ports { index_end } if index_end > LARGEST => return Err(ApplyError::GttIndex(index_end)),
        GttClear::Ports { index_end } => decoding(device, command::IO, || clear_ports(device, index_end)),
    }
    .map_err(ApplyError::host("clearing the translation table"))
}

/// Clears through memory where there is some: a table of 8 MiB is a million accesses else. A range that leaves the BAR
/// ends with the error of the first write beyond.
fn clear_range(device: &dyn HostDevice, range: Extent, pieces: &Pieces) -> Result<(), HostError> {
    let mut offset = range.start;
    while offset < range.end() {
        if let Some(len) = pieces.clear(0, offset, range.end()).filter(|len| *len > 0) {
            offset += len;
            continue;
        }
        let page_end = (offset | (CHUNK as u64 - 1)).saturating_add(1);
        let len = usize::try_from(page_end.min(range.end()) - offset).map_or(CHUNK, |left| left.min(CHUNK));
        device.write(RegionKind::Bar(0), offset, [0; CHUNK].get(..len).unwrap_or(&[]))?;
        offset += len as u64;
    }
    Ok(())
}

fn clear_ports(device: &dyn HostDevice, index_end: u32) -> Result<(), HostError> {
    (1..index_end).step_by(STEP).try_for_each(|index| {
        device.write(RegionKind::Bar(4), INDEX_PORT, &index.to_le_bytes())?;
        device.write(RegionKind::Bar(4), DATA_PORT, &[0; 4])
    })
}
