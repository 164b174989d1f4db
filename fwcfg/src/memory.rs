// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory as the DMA engine sees it.

use alloc::vec::Vec;
use core::cell::RefCell;

/// Guest-physical memory that DMA may read and write.
///
/// Only RAM belongs here. An implementation that forwarded an access to a device's registers would let a guest aim the
/// engine at another device, or at this one while it is busy.
pub trait GuestMemory {
    /// Fills `buf` from guest memory at `gpa`.
    ///
    /// # Errors
    ///
    /// A byte of the range is not RAM. The content of `buf` is unspecified then.
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError>;

    /// Copies `buf` to guest memory at `gpa`.
    ///
    /// # Errors
    ///
    /// A byte of the range is not RAM. Other bytes of the range may have been written.
    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError>;

    /// Fills `len` bytes of guest memory at `gpa` with zeros.
    ///
    /// # Errors
    ///
    /// A byte of the range is not RAM. Other bytes of the range may have been written.
    fn write_zeros(&self, gpa: u64, len: u32) -> Result<(), MemoryError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let end = gpa.checked_add(u64::from(len)).ok_or(MemoryError)?;
        let mut at = gpa;
        while at < end {
            let piece = usize::try_from(end - at)
                .ok()
                .and_then(|left| ZEROS.get(..left))
                .unwrap_or(&ZEROS);
            self.write(at, piece)?;
            at = at.saturating_add(piece.len() as u64);
        }
        Ok(())
    }
}

/// A range of guest-physical addresses that is not RAM throughout.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not guest RAM")]
pub struct MemoryError;

impl<M: GuestMemory + ?Sized> GuestMemory for &M {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        M::read(self, gpa, buf)
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        M::write(self, gpa, buf)
    }

    fn write_zeros(&self, gpa: u64, len: u32) -> Result<(), MemoryError> {
        M::write_zeros(self, gpa, len)
    }
}

/// No memory at all: every transfer fails.
impl GuestMemory for () {
    fn read(&self, _gpa: u64, _buf: &mut [u8]) -> Result<(), MemoryError> {
        Err(MemoryError)
    }

    fn write(&self, _gpa: u64, _buf: &[u8]) -> Result<(), MemoryError> {
        Err(MemoryError)
    }
}

/// RAM from address 0, for tests and examples.
impl GuestMemory for RefCell<Vec<u8>> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let ram = self.try_borrow().map_err(|_| MemoryError)?;
        let start = usize::try_from(gpa).map_err(|_| MemoryError)?;
        let range = start..start.checked_add(buf.len()).ok_or(MemoryError)?;
        buf.copy_from_slice(ram.get(range).ok_or(MemoryError)?);
        Ok(())
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        let mut ram = self.try_borrow_mut().map_err(|_| MemoryError)?;
        let start = usize::try_from(gpa).map_err(|_| MemoryError)?;
        let range = start..start.checked_add(buf.len()).ok_or(MemoryError)?;
        ram.get_mut(range).ok_or(MemoryError)?.copy_from_slice(buf);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn zeros_are_written_in_bounded_pieces() {
        let ram = RefCell::new(vec![0xee; 10_000]);
        ram.write_zeros(1, 9_998).unwrap();
        let ram = ram.into_inner();
        assert_eq!((ram[0], ram[9_999]), (0xee, 0xee));
        assert!(ram[1..9_999].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn zeros_beyond_the_address_space_are_refused() {
        assert_eq!(().write_zeros(u64::MAX, 1), Err(MemoryError));
        assert_eq!(().write_zeros(u64::MAX, 0), Ok(()));
    }

    #[test]
    fn ranges_that_leave_ram_or_wrap_are_refused() {
        let ram = RefCell::new(vec![0; 16]);
        assert_eq!(ram.read(12, &mut [0; 4]), Ok(()));
        assert_eq!(ram.read(13, &mut [0; 4]), Err(MemoryError));
        assert_eq!(ram.write(u64::MAX, &[0; 4]), Err(MemoryError));
    }
}
