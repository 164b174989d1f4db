// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory that takes space only where it was written.

use std::collections::BTreeMap;

/// Size of a page in bytes.
pub const PAGE: usize = 4096;
const PAGE_U64: u64 = 4096;

/// An access to memory that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// It leaves the memory.
    #[error("{len} bytes at {offset:#x}: the memory has {size:#x}")]
    OutOfBounds {
        /// Offset of the first byte.
        offset: u64,
        /// Length in bytes.
        len: usize,
        /// Size of the memory in bytes.
        size: u64,
    },
    /// Another page would be one too many.
    #[error("all {limit} pages are in use")]
    Exhausted {
        /// How many pages there may be.
        limit: usize,
    },
    /// The file that holds the memory failed.
    #[cfg(feature = "server")]
    #[error("the memory's file failed")]
    File(#[from] std::io::Error),
}

/// Zeros until written: pages on demand, or a file without a name that another process may map.
///
/// ```
/// use igd_sim::memory::SparseMemory;
///
/// let mut aperture = SparseMemory::new(256 << 20, 1024);
/// aperture.write(0x0fff_fffe, &[1, 2])?;
/// assert_eq!(aperture.pages(), 1);
/// # Ok::<(), igd_sim::memory::MemoryError>(())
/// ```
#[derive(Debug)]
pub struct SparseMemory {
    size: u64,
    backing: Backing,
}

#[derive(Debug)]
enum Backing {
    Pages {
        limit: usize,
        pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    },
    #[cfg(feature = "server")]
    File(std::fs::File),
}

impl SparseMemory {
    /// Memory of `size` bytes of which at most `limit` pages can differ from zero.
    #[must_use]
    pub const fn new(size: u64, limit: usize) -> Self {
        Self {
            size,
            backing: Backing::Pages {
                limit,
                pages: BTreeMap::new(),
            },
        }
    }

    /// Memory of `size` bytes in a sealed anonymous file, which [`file`](Self::file) lends.
    ///
    /// # Errors
    ///
    /// The kernel gives no such file.
    #[cfg(feature = "server")]
    pub fn shared(name: &str, size: u64) -> std::io::Result<Self> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let file = std::fs::File::from(fd);
        file.set_len(size)?;
        // Whoever holds the file may write it, but not make our accesses end behind it.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self {
            size,
            backing: Backing::File(file),
        })
    }

    /// The file that holds the memory, if it is shared.
    #[cfg(feature = "server")]
    #[must_use]
    pub const fn file(&self) -> Option<&std::fs::File> {
        match &self.backing {
            Backing::File(file) => Some(file),
            Backing::Pages { .. } => None,
        }
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// How many pages are held here; none if a file holds them.
    #[must_use]
    pub fn pages(&self) -> usize {
        match &self.backing {
            Backing::Pages { pages, .. } => pages.len(),
            #[cfg(feature = "server")]
            Backing::File(_) => 0,
        }
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), MemoryError> {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        match end {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(MemoryError::OutOfBounds {
                offset,
                len,
                size: self.size,
            }),
        }
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// The range leaves the memory, or its file failed; `buf` may be partly filled then.
    pub fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.check(offset, buf.len())?;
        match &self.backing {
            Backing::Pages { pages, .. } => {
                let mut rest = buf;
                let mut at = offset;
                while !rest.is_empty() {
                    let (page, start, len) = place(at, rest.len());
                    let (now, later) = rest.split_at_mut(len);
                    match pages.get(&page).and_then(|bytes| bytes.get(start..start + len)) {
                        Some(bytes) => now.copy_from_slice(bytes),
                        None => now.fill(0),
                    }
                    at = at.saturating_add(widen(len));
                    rest = later;
                }
                Ok(())
            }
            #[cfg(feature = "server")]
            Backing::File(file) => Ok(std::os::unix::fs::FileExt::read_exact_at(file, buf, offset)?),
        }
    }

    /// Stores `data` at `offset`. Zeros take no page.
    ///
    /// # Errors
    ///
    /// The range leaves the memory, its pages are used up, or its file failed. Whole pages before the failing one have
    /// been written then.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        self.check(offset, data.len())?;
        match &mut self.backing {
            Backing::Pages { limit, pages } => {
                let mut rest = data;
                let mut at = offset;
                while !rest.is_empty() {
                    let (page, start, len) = place(at, rest.len());
                    let (now, later) = rest.split_at(len);
                    let is_new = !pages.contains_key(&page);
                    if !(is_new && now.iter().all(|byte| *byte == 0)) {
                        if is_new && pages.len() >= *limit {
                            return Err(MemoryError::Exhausted { limit: *limit });
                        }
                        let bytes = pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
                        crate::bytes::put(bytes.as_mut_slice(), start, now);
                    }
                    at = at.saturating_add(widen(len));
                    rest = later;
                }
                Ok(())
            }
            #[cfg(feature = "server")]
            Backing::File(file) => Ok(std::os::unix::fs::FileExt::write_all_at(file, data, offset)?),
        }
    }

    /// Makes the first `len` bytes zero; whole pages of them take no space any more.
    ///
    /// # Errors
    ///
    /// The range leaves the memory, or its file failed.
    pub fn clear(&mut self, len: u64) -> Result<(), MemoryError> {
        if len > self.size {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            return Err(MemoryError::OutOfBounds {
                offset: 0,
                len,
                size: self.size,
            });
        }
        match &mut self.backing {
            Backing::Pages { pages, .. } => {
                *pages = pages.split_off(&(len / PAGE_U64));
                let rest = usize::try_from(len % PAGE_U64).unwrap_or(0);
                if let Some(bytes) = pages.get_mut(&(len / PAGE_U64)) {
                    bytes.iter_mut().take(rest).for_each(|byte| *byte = 0);
                }
            }
            #[cfg(feature = "server")]
            Backing::File(file) => {
                use rustix::fs::{FallocateFlags, fallocate};
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                if len > 0 {
                    fallocate(file, flags, 0, len).map_err(std::io::Error::from)?;
                }
            }
        }
        Ok(())
    }
}

/// The page of `offset`, where in it, and how many of `len` bytes lie in it.
fn place(offset: u64, len: usize) -> (u64, usize, usize) {
    let start = usize::try_from(offset % PAGE_U64).unwrap_or(0);
    (offset / PAGE_U64, start, len.min(PAGE - start))
}

fn widen(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reading_and_zeros_cost_nothing() {
        let mut memory = SparseMemory::new(1 << 40, 2);
        let mut buf = vec![0xff; 1 << 20];
        memory.read((1 << 40) - (1 << 20), &mut buf).unwrap();
        assert!(buf.iter().all(|byte| *byte == 0));
        memory.write(0, &buf).unwrap();
        assert_eq!(memory.pages(), 0);
    }

    #[test]
    fn pages_are_bounded() {
        let mut memory = SparseMemory::new(1 << 30, 2);
        memory.write(0xfff, &[1, 2]).unwrap();
        assert!(matches!(
            memory.write(0x5000, &[1]),
            Err(MemoryError::Exhausted { limit: 2 })
        ));
        memory.write(0x1800, &[3]).unwrap();
        memory.clear(0x1000).unwrap();
        memory.write(0x5000, &[1]).unwrap();
        assert_eq!(memory.pages(), 2);
    }

    #[test]
    fn the_end_is_exact() {
        let mut memory = SparseMemory::new(0x1000, 4);
        assert!(memory.write(0xfff, &[1]).is_ok());
        assert!(memory.write(0xfff, &[1, 2]).is_err());
        assert!(memory.read(u64::MAX, &mut [0; 2]).is_err());
        assert!(memory.read(0x1000, &mut []).is_ok());
        assert!(memory.clear(0x1001).is_err());
    }

    fn memories() -> Vec<SparseMemory> {
        vec![
            SparseMemory::new(0x4000, 4),
            #[cfg(feature = "server")]
            SparseMemory::shared("test", 0x4000).unwrap(),
        ]
    }

    proptest! {
        #[test]
        fn equals_plain_bytes(
            writes in proptest::collection::vec((0_usize..0x4000, proptest::collection::vec(any::<u8>(), 0..0x1800)), 0..20),
            clear in 0_usize..0x4000,
        ) {
            for mut memory in memories() {
                let mut plain = vec![0_u8; 0x4000];
                for (offset, data) in &writes {
                    let fits = offset + data.len() <= plain.len();
                    prop_assert_eq!(memory.write(*offset as u64, data).is_ok(), fits);
                    if fits {
                        plain[*offset..offset + data.len()].copy_from_slice(data);
                    }
                }
                memory.clear(clear as u64).unwrap();
                plain[..clear].fill(0);
                let mut read = vec![0xff; 0x4000];
                memory.read(0, &mut read).unwrap();
                prop_assert_eq!(read, plain);
            }
        }
    }
}
