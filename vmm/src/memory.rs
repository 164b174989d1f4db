// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest RAM: one file in memory, mapped once, shared with those who reach it by descriptor.

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::sync::Arc;

use igd_quirks::facts::Extent;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap, MmapRegion,
};

use crate::backend::DmaMemory;

/// Guest RAM.
#[derive(Clone, Debug)]
pub struct GuestRam {
    memory: Arc<GuestMemoryMmap>,
    file: Arc<File>,
    extents: Vec<Extent>,
}

/// RAM that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RamError {
    /// An extent is empty, not made of pages, or not above the one before it.
    #[error("RAM at {0}: not made of whole pages, empty, or not above the RAM before it")]
    Extent(Extent),
    /// The host has not got it.
    #[error("{size:#x} bytes of guest RAM: {source}")]
    Host {
        /// Size in bytes.
        size: u64,
        /// Why.
        source: io::Error,
    },
}

impl GuestRam {
    /// RAM at these addresses, lowest first, filled with zeros.
    ///
    /// # Errors
    ///
    /// The extents overlap or are not made of pages, or the host refuses.
    pub fn new(extents: &[Extent]) -> Result<Self, RamError> {
        let mut end = 0;
        for extent in extents {
            let is_page = |value: u64| value.is_multiple_of(4096);
            if extent.len == 0 || extent.start < end || !is_page(extent.start) || !is_page(extent.len) {
                return Err(RamError::Extent(*extent));
            }
            end = extent.start.checked_add(extent.len).ok_or(RamError::Extent(*extent))?;
        }
        let size = extents.iter().fold(0_u64, |sum, extent| sum.saturating_add(extent.len));
        Self::map(extents, size).map_err(|source| RamError::Host { size, source })
    }

    fn map(extents: &[Extent], size: u64) -> io::Result<Self> {
        // SAFETY: the name is a string that ends with 0; the result is checked before it is used.
        #[expect(unsafe_code, reason = "memfd_create has no safe wrapper among the dependencies")]
        let file = unsafe {
            let fd = libc::memfd_create(c"guest-ram".as_ptr(), libc::MFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(fd)
        };
        file.set_len(size)?;
        let file = Arc::new(file);
        let mut regions = Vec::with_capacity(extents.len());
        let mut offset = 0;
        for extent in extents {
            let len = usize::try_from(extent.len).map_err(io::Error::other)?;
            let backing = FileOffset::from_arc(Arc::clone(&file), offset);
            let region = MmapRegion::from_file(backing, len).map_err(io::Error::other)?;
            let region = GuestRegionMmap::new(region, GuestAddress(extent.start));
            regions.push(region.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?);
            offset += extent.len;
        }
        let memory = GuestMemoryMmap::from_regions(regions).map_err(io::Error::other)?;
        Ok(Self {
            memory: Arc::new(memory),
            file,
            extents: extents.to_vec(),
        })
    }

    /// The memory, to read and write.
    #[must_use]
    pub const fn memory(&self) -> &Arc<GuestMemoryMmap> {
        &self.memory
    }

    /// Where RAM is, lowest first.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Address in this process of a byte of guest RAM.
    #[must_use]
    pub fn hva(&self, gpa: u64) -> Option<u64> {
        let pointer = self.memory.get_host_address(GuestAddress(gpa)).ok()?;
        Some(pointer.addr() as u64)
    }

    /// What a device is given of it.
    pub fn dma(&self) -> impl Iterator<Item = DmaMemory<'_>> {
        self.memory.iter().map(|region| DmaMemory {
            iova: region.start_addr().0,
            len: region.len(),
            hva: region.as_ptr().addr() as u64,
            file: &self.file,
            offset: region.file_offset().map_or(0, FileOffset::start),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::Bytes;

    #[test]
    fn ram_is_where_it_was_asked_for() {
        let ram = GuestRam::new(&[Extent::new(0, 0x2000), Extent::new(1 << 32, 0x1000)]).unwrap();
        ram.memory().write_obj(7_u8, GuestAddress((1 << 32) + 0xfff)).unwrap();
        assert!(ram.memory().write_obj(7_u8, GuestAddress(0x2000)).is_err());
        let dma: Vec<_> = ram.dma().map(|part| (part.iova, part.len, part.offset)).collect();
        assert_eq!(dma, [(0, 0x2000, 0), (1 << 32, 0x1000, 0x2000)]);
        assert_eq!(ram.hva(0x2000), None);
    }

    #[test]
    fn wrong_extents_are_named() {
        for wrong in [
            Extent::new(0, 0),
            Extent::new(0, 0x800),
            Extent::new(0x10, 0x1000),
            Extent::new(0xffff_ffff_ffff_f000, 0x1000),
        ] {
            assert!(matches!(GuestRam::new(&[wrong]), Err(RamError::Extent(at)) if at == wrong));
        }
        let both = [Extent::new(0, 0x2000), Extent::new(0x1000, 0x1000)];
        assert!(matches!(GuestRam::new(&both), Err(RamError::Extent(at)) if at == both[1]));
    }
}
