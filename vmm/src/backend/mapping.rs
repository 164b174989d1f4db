// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Device memory in this process.

use std::os::fd::BorrowedFd;
use std::{io, ptr};

use igd_quirks::facts::Extent;

use super::{HostError, Region};
use crate::fault::{self, Guard};

/// Size of a page in bytes, of which mappings are made.
pub(super) const PAGE: u64 = 4096;

/// A shared mapping of a device's memory, or of a file that stands for it; unmapped when dropped.
///
/// This process does not touch it. KVM does, on behalf of the guest. What is lost of it meanwhile, because the device went
/// away or the file shrank, reads as all ones to whoever in this process touches it after all.
#[derive(Debug)]
pub struct Mapping {
    addr: *mut libc::c_void,
    len: usize,
    guard: Option<Guard>,
}

// SAFETY: the pointer is only ever handed out as a number and given back to munmap, by the one owner.
#[expect(unsafe_code, reason = "a raw pointer that nothing dereferences")]
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
#[expect(unsafe_code, reason = "a raw pointer that nothing dereferences")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset`.
    ///
    /// # Errors
    ///
    /// The kernel refuses, or too many mappings are [under guard](crate::fault).
    pub fn new(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let len = usize::try_from(len).map_err(too_large)?;
        let offset = libc::off_t::try_from(offset).map_err(too_large)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of this process.
        #[expect(unsafe_code, reason = "mmap of a descriptor that another process may own")]
        let addr = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                offset,
            )
        };
        if addr == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut mapping = Self { addr, len, guard: None };
        mapping.guard = Some(fault::guard(addr.addr(), len)?);
        Ok(mapping)
    }

    /// Writes zeros to `len` bytes from `offset`, both multiples of 8, and says whether they lie in the mapping.
    ///
    /// A device that does not answer any more is a fault that this process [survives](crate::fault).
    #[must_use]
    pub fn clear(&self, offset: u64, len: u64) -> bool {
        let end = offset
            .checked_add(len)
            .filter(|end| *end <= self.len() && (offset | len).is_multiple_of(8));
        let (Some(_), Ok(offset), Ok(len)) = (end, usize::try_from(offset), usize::try_from(len)) else {
            return false;
        };
        for at in (offset..offset + len).step_by(8) {
            // SAFETY: the eight bytes lie in the mapping, which is writable, and are aligned as mappings are; the
            // memory is a device's, so that no reference to it exists.
            #[expect(unsafe_code, reason = "a store to memory of a device")]
            unsafe {
                self.addr.cast::<u8>().add(at).cast::<u64>().write_volatile(0);
            }
        }
        true
    }

    /// Its address in this process.
    #[must_use]
    pub fn hva(&self) -> u64 {
        self.addr.addr() as u64
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len as u64
    }

    /// Whether it has no bytes, which never is the case.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Before the addresses can belong to somebody else.
        self.guard = None;
        // SAFETY: the range is the one mmap returned, and nothing refers to it after its owner is gone.
        #[expect(unsafe_code, reason = "munmap of what mmap returned")]
        let result = unsafe { libc::munmap(self.addr, self.len) };
        debug_assert_eq!(result, 0);
    }
}

/// Checks that `area` is made of pages and lies within a mappable area of the region.
pub(super) fn admit(region: &Region, area: Extent) -> Result<(), HostError> {
    let is_paged = area.len != 0 && area.start.is_multiple_of(PAGE) && area.len.is_multiple_of(PAGE);
    let end = area.start.checked_add(area.len);
    let fits = |whole: &Extent| area.start >= whole.start && end.is_some_and(|end| end <= whole.end());
    if is_paged && region.mappable.iter().any(fits) {
        return Ok(());
    }
    Err(HostError::Map {
        region: region.kind,
        area,
        reason: "not whole pages of one mappable area".into(),
    })
}
