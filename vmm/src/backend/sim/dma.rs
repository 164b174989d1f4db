// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest memory that a simulated device may reach, by its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use igd_sim::test_page::{Dma, DmaKind};
use igd_sim::{RegionKind, SimDevice};

use crate::backend::DmaMemory;

/// Most mappings at a time.
const MAX_MAPS: usize = 4096;
/// Bytes moved at a time.
const CHUNK: usize = 4096;

#[derive(Debug)]
struct Area {
    len: u64,
    file: File,
    offset: u64,
}

/// Mappings by address. They never overlap, and none reaches the last address.
#[derive(Debug, Default)]
pub(super) struct DmaTable {
    areas: BTreeMap<u64, Area>,
}

impl DmaTable {
    /// Adds a mapping; the reason of a refusal says what is wrong with it.
    pub(super) fn map(&mut self, memory: &DmaMemory<'_>) -> Result<(), String> {
        let end = memory.iova.checked_add(memory.len).filter(|_| memory.len > 0);
        let end = end.ok_or("it is empty or wraps")?;
        if self.areas.len() >= MAX_MAPS {
            return Err(format!("{MAX_MAPS} ranges are mapped already: unmap some"));
        }
        let before = self.areas.range(..end).next_back();
        if let Some((start, area)) = before
            && start + area.len > memory.iova
        {
            return Err(format!("{:#x} bytes at {start:#x} are mapped already", area.len));
        }
        let file_end = memory.offset.checked_add(memory.len);
        let size = memory.file.metadata().map_err(|error| error.to_string())?.len();
        if file_end.is_none_or(|end| end > size) {
            return Err(format!(
                "its file ends at {size:#x}, before offset {:#x} and the length",
                memory.offset
            ));
        }
        let area = Area {
            len: memory.len,
            file: memory.file.try_clone().map_err(|error| error.to_string())?,
            offset: memory.offset,
        };
        self.areas.insert(memory.iova, area);
        Ok(())
    }

    /// Removes the mappings in a range, which must not cut one. There may be none.
    pub(super) fn unmap(&mut self, iova: u64, len: u64) -> Result<(), String> {
        let end = iova
            .checked_add(len)
            .filter(|_| len > 0)
            .ok_or("it is empty or wraps")?;
        let first = self.areas.range(..iova).next_back();
        let last = self.areas.range(iova..end).next_back();
        let limits = [(first, iova), (last, end)];
        for (start, area, limit) in limits
            .into_iter()
            .filter_map(|(found, limit)| found.map(|(s, a)| (s, a, limit)))
        {
            if start + area.len > limit {
                return Err(format!(
                    "it cuts the {:#x} bytes that are mapped at {start:#x}",
                    area.len
                ));
            }
        }
        self.areas.retain(|start, _| !(iova..end).contains(start));
        Ok(())
    }

    /// The file behind a range, and where in it.
    fn find(&self, address: u64, len: u64) -> Option<(&File, u64)> {
        let (start, area) = self.areas.range(..=address).next_back()?;
        let within = address - start;
        let fits = within.checked_add(len)? <= area.len;
        fits.then_some((&area.file, area.offset + within))
    }

    /// Carries out a transfer and says whether all of it could be.
    pub(super) fn transfer(&self, device: &mut SimDevice, dma: Dma) -> bool {
        let Some((file, start)) = self.find(dma.address, dma.len.into()) else {
            return false;
        };
        let mut chunk = [0; CHUNK];
        for (place, byte) in (0_u8..=255).cycle().zip(&mut chunk) {
            *byte = place;
        }
        let len = u64::from(dma.len);
        (0..len).step_by(CHUNK).all(|done| {
            let size = usize::try_from(len - done).unwrap_or(CHUNK).min(CHUNK);
            let Some(bytes) = chunk.get_mut(..size) else {
                return false;
            };
            match dma.kind {
                DmaKind::Fill => file.write_all_at(bytes, start + done).is_ok(),
                DmaKind::Fetch => {
                    file.read_exact_at(bytes, start + done).is_ok()
                        && device.write_all(RegionKind::Bar(2), done, bytes).is_ok()
                }
            }
        })
    }
}
