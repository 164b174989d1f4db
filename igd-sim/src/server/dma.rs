// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The memory that a client lets the device reach.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use super::wire::{E2BIG, EEXIST, EINVAL, MAX_DMA_MAPS};
use crate::memory::PAGE;

/// Most descriptors that are kept; mappings beyond cannot be reached.
const MAX_FILES: usize = 256;

#[derive(Debug)]
struct Mapping {
    size: u64,
    offset: u64,
    file: Option<File>,
}

/// Mappings by address. They never overlap.
#[derive(Debug, Default)]
pub(crate) struct DmaTable {
    maps: BTreeMap<u64, Mapping>,
    files: usize,
}

impl DmaTable {
    /// Adds a mapping. Its descriptor is kept if `keeps_file`.
    pub(crate) fn map(
        &mut self,
        address: u64,
        size: u64,
        offset: u64,
        fd: Option<OwnedFd>,
        keeps_file: bool,
    ) -> Result<(), u32> {
        let last = size
            .checked_sub(1)
            .and_then(|rest| address.checked_add(rest))
            .ok_or(EINVAL)?;
        offset.checked_add(size).ok_or(EINVAL)?;
        if self.maps.len() >= MAX_DMA_MAPS {
            return Err(E2BIG);
        }
        if self
            .maps
            .range(..=last)
            .next_back()
            .is_some_and(|(start, map)| start + (map.size - 1) >= address)
        {
            return Err(EEXIST);
        }
        let file = fd.filter(|_| keeps_file && self.files < MAX_FILES).map(File::from);
        self.files += usize::from(file.is_some());
        self.maps.insert(address, Mapping { size, offset, file });
        Ok(())
    }

    /// Removes the mappings in a range, which must not cut one. There may be none: QEMU unmaps whole address spaces.
    pub(crate) fn unmap(&mut self, address: u64, size: u64) -> Result<(), u32> {
        let last = size
            .checked_sub(1)
            .and_then(|rest| address.checked_add(rest))
            .ok_or(EINVAL)?;
        let cuts_first = self
            .maps
            .range(..address)
            .next_back()
            .is_some_and(|(start, map)| start + (map.size - 1) >= address);
        let cuts_last = self
            .maps
            .range(address..=last)
            .next_back()
            .is_some_and(|(start, map)| start + (map.size - 1) > last);
        if cuts_first || cuts_last {
            return Err(EINVAL);
        }
        let found: Vec<u64> = self.maps.range(address..=last).map(|(start, _)| *start).collect();
        for start in found {
            let removed = self.maps.remove(&start);
            self.files -= usize::from(removed.is_some_and(|map| map.file.is_some()));
        }
        Ok(())
    }

    /// Removes all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The file behind a range, and where in it.
    fn find(&self, address: u64, len: u64) -> Option<(&File, u64)> {
        let (start, map) = self.maps.range(..=address).next_back()?;
        let within = address - start;
        let fits = within.checked_add(len)? <= map.size;
        fits.then_some((map.file.as_ref()?, map.offset.checked_add(within)?))
    }

    /// Writes bytes 0, 1, 2 .. to memory; `false` if it cannot be reached.
    pub(crate) fn fill(&self, address: u64, len: u32) -> bool {
        let Some((file, at)) = self.find(address, len.into()) else {
            return false;
        };
        let mut pattern = [0; PAGE];
        for (place, byte) in (0_u8..=255).cycle().zip(&mut pattern) {
            *byte = place;
        }
        // A file that the client holds must not grow by us.
        let is_inside = file
            .metadata()
            .is_ok_and(|file| at.saturating_add(len.into()) <= file.len());
        is_inside
            && chunks(len).all(|(done, len)| {
                let bytes = pattern.get(..len).unwrap_or(&pattern);
                file.write_all_at(bytes, at + done).is_ok()
            })
    }

    /// Reads memory piece by piece; `false` if it cannot be reached.
    pub(crate) fn fetch(&self, address: u64, len: u32, mut each: impl FnMut(u64, &[u8]) -> bool) -> bool {
        let Some((file, at)) = self.find(address, len.into()) else {
            return false;
        };
        let mut buf = [0; PAGE];
        chunks(len).all(|(done, len)| {
            let bytes = buf.get_mut(..len).unwrap_or(&mut []);
            file.read_exact_at(bytes, at + done).is_ok() && each(done, bytes)
        })
    }
}

/// Splits a length into pieces of at most a page: where each starts, and its length.
fn chunks(len: u32) -> impl Iterator<Item = (u64, usize)> {
    let len = u64::from(len);
    (0..len)
        .step_by(PAGE)
        .map(move |start| (start, usize::try_from(len - start).unwrap_or(PAGE).min(PAGE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(table: &mut DmaTable, address: u64, size: u64) -> Result<(), u32> {
        table.map(address, size, 0, None, false)
    }

    #[test]
    fn mappings_never_overlap_or_wrap() {
        let mut table = DmaTable::default();
        assert_eq!(add(&mut table, 0x1000, 0x1000), Ok(()));
        assert_eq!(add(&mut table, 0x3000, 0x1000), Ok(()));
        for (address, size) in [
            (0x1000, 1),
            (0x1fff, 1),
            (0x0, 0x1001),
            (0x0, 0x10000),
            (0x2000, 0x1001),
        ] {
            assert_eq!(add(&mut table, address, size), Err(EEXIST), "{address:#x}");
        }
        assert_eq!(add(&mut table, 0x2000, 0x1000), Ok(()));
        assert_eq!(add(&mut table, 0x9000, 0), Err(EINVAL));
        assert_eq!(add(&mut table, u64::MAX, 2), Err(EINVAL));
        assert_eq!(add(&mut table, u64::MAX, 1), Ok(()));
        assert_eq!(table.map(0x20_0000, 0x1000, u64::MAX, None, false), Err(EINVAL));
    }

    #[test]
    fn unmapping_never_cuts() {
        let mut table = DmaTable::default();
        for start in [0x1000, 0x3000, 0x5000] {
            add(&mut table, start, 0x1000).unwrap();
        }
        for (address, size) in [
            (0x1800, 0x800),
            (0x1000, 0x800),
            (0x2000, 0x1800),
            (0, 0),
            (u64::MAX, 2),
        ] {
            assert_eq!(table.unmap(address, size), Err(EINVAL), "{address:#x}");
        }
        assert_eq!(table.unmap(0x2000, 0x1000), Ok(()));
        assert_eq!(table.maps.len(), 3);
        assert_eq!(table.unmap(0x0, 0x4000), Ok(()));
        assert_eq!(table.maps.len(), 1);
        table.clear();
        assert!(table.maps.is_empty());
    }

    #[test]
    fn mapped_memory_is_reached_exactly() {
        let mut table = DmaTable::default();
        let shared = crate::memory::SparseMemory::shared("test", 0x3000).unwrap();
        let file = shared.file().unwrap().try_clone().unwrap();
        table.map(0x10_0000, 0x2000, 0x1000, Some(file.into()), true).unwrap();
        assert!(table.fill(0x10_0ff0, 0x20));
        let mut bytes = [0; 0x20];
        shared.read(0x1ff0, &mut bytes).unwrap();
        assert_eq!(bytes[..4], [0, 1, 2, 3]);
        let mut copy = Vec::new();
        assert!(table.fetch(0x10_0ff0, 0x20, |_, bytes| {
            copy.extend_from_slice(bytes);
            true
        }));
        assert_eq!(copy, bytes);
        for address in [0xf_ffff, 0x10_1ff0, 0x10_2000, 0] {
            assert!(!table.fill(address, 0x20), "{address:#x}");
        }
        table.unmap(0x10_0000, 0x2000).unwrap();
        assert!(!table.fill(0x10_0000, 1));
        assert_eq!(table.files, 0);
    }
}
