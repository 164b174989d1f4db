// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory with holes, with pages that can only be read or only be written, and at the top of the address space.

use std::cell::RefCell;

use fwcfg::{GuestMemory, MemoryError};

/// First address, length, where it lies in the bytes, whether it can be read and written.
const REGIONS: [(u64, u64, usize, bool, bool); 6] = [
    (0x0000, 0x1000, 0x0000, true, true),
    (0x1800, 0x0800, 0x1000, true, true),
    (0x2000, 0x0100, 0x1800, true, false),
    (0x2100, 0x0100, 0x1900, false, true),
    (0x1_0000_0000, 0x0400, 0x1a00, true, true),
    (0xffff_ffff_ffff_ff00, 0x0100, 0x1e00, true, true),
];

const LEN: usize = 0x1f00;

/// Places in and beside the regions that an input chooses from.
pub(crate) const PLACES: [u64; 12] = [
    0x0000,
    0x0100,
    0x0fe0,
    0x0ffc,
    0x1800,
    0x1fc0,
    0x20f0,
    0x21f0,
    0x1_0000_0000,
    0x1_0000_03f0,
    0xffff_ffff_ffff_ff00,
    0xffff_ffff_ffff_fff0,
];

/// The bytes of all regions; none if there is no memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Bytes(Vec<u8>);

impl Bytes {
    pub(crate) fn new(present: bool) -> Self {
        Self(vec![0xee; if present { LEN } else { 0 }])
    }

    fn place(gpa: u64, write: bool) -> Option<usize> {
        let region = REGIONS
            .iter()
            .find(|(first, len, ..)| gpa >= *first && gpa - first < *len);
        let (first, _, at, readable, writable) = region?;
        let allowed = if write { *writable } else { *readable };
        allowed.then_some(at + usize::try_from(gpa - first).ok()?)
    }

    pub(crate) fn get(&self, gpa: Option<u64>) -> Option<u8> {
        self.0.get(Self::place(gpa?, false)?).copied()
    }

    /// Stores a byte, or says that it cannot.
    pub(crate) fn set(&mut self, gpa: Option<u64>, byte: u8) -> Option<()> {
        *self.0.get_mut(Self::place(gpa?, true)?)? = byte;
        Some(())
    }

    /// Address of the first byte that differs.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<u64> {
        let at = self.0.iter().zip(&other.0).position(|(a, b)| a != b)?;
        let (first, _, start, ..) = REGIONS.iter().rfind(|(_, _, start, ..)| *start <= at)?;
        Some(first + (at - start) as u64)
    }

    /// Stores bytes up to the first that cannot be stored, and says whether all could.
    pub(crate) fn set_all(&mut self, gpa: u64, bytes: impl IntoIterator<Item = u8>) -> bool {
        let mut at = Some(gpa);
        for byte in bytes {
            if self.set(at, byte).is_none() {
                return false;
            }
            at = at.and_then(|at| at.checked_add(1));
        }
        true
    }
}

/// The memory that the device is given.
#[derive(Debug)]
pub(crate) struct Ram(pub(crate) RefCell<Bytes>);

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let bytes = self.0.borrow();
        let mut result = Ok(());
        for (byte, distance) in buf.iter_mut().zip(0..) {
            match bytes.get(gpa.checked_add(distance)) {
                Some(held) => *byte = held,
                None => {
                    // What a refused read leaves is unspecified.
                    *byte = 0xdd;
                    result = Err(MemoryError);
                }
            }
        }
        result
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        if self.0.borrow_mut().set_all(gpa, buf.iter().copied()) {
            Ok(())
        } else {
            Err(MemoryError)
        }
    }
}
