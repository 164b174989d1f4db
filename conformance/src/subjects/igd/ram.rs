// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest RAM that costs what is written to it.

use std::cell::RefCell;
use std::collections::HashMap;

use fwcfg::{GuestMemory, MemoryError};

const PAGE: usize = 4096;

/// How many pages may hold something else than zeros: 1 GiB.
const PAGES_MAX: usize = 1 << 18;

/// RAM from address 0.
#[derive(Debug)]
pub(crate) struct Ram {
    size: u64,
    pages: RefCell<HashMap<u64, Box<[u8; PAGE]>>>,
}

impl Ram {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size,
            pages: RefCell::new(HashMap::new()),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether the range is RAM throughout.
    pub(crate) fn holds(&self, addr: u64, len: u64) -> bool {
        addr.checked_add(len).is_some_and(|end| end <= self.size)
    }

    pub(crate) fn fill(&self, addr: u64, len: u64, byte: u8) -> Result<(), MemoryError> {
        if !self.holds(addr, len) {
            return Err(MemoryError);
        }
        let end = addr + len;
        let (first, last) = (addr.div_ceil(PAGE as u64), end / PAGE as u64);
        if byte == 0 && first < last {
            self.pages.borrow_mut().retain(|page, _| !(first..last).contains(page));
            self.fill_bytes(addr, first * PAGE as u64, byte)?;
            return self.fill_bytes(last * PAGE as u64, end, byte);
        }
        self.fill_bytes(addr, end, byte)
    }

    /// Ends early when the pages run out.
    fn fill_bytes(&self, start: u64, end: u64, byte: u8) -> Result<(), MemoryError> {
        let pattern = [byte; PAGE];
        let mut at = start;
        while at < end {
            let step = (PAGE as u64 - at % PAGE as u64).min(end - at);
            let bytes = usize::try_from(step).ok().and_then(|step| pattern.get(..step));
            self.write(at, bytes.ok_or(MemoryError)?)?;
            at += step;
        }
        Ok(())
    }
}

/// Splits a range of RAM at page boundaries: page number, offset in the page and length of each part.
fn parts(addr: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = addr;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let offset = usize::try_from(at % PAGE as u64).ok()?;
        let step = left.min(PAGE - offset);
        let part = (at / PAGE as u64, offset, step);
        at += step as u64;
        left -= step;
        Some(part)
    })
}

impl GuestMemory for Ram {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        if !self.holds(gpa, buf.len() as u64) {
            return Err(MemoryError);
        }
        let pages = self.pages.borrow();
        let mut left = buf;
        for (page, offset, step) in parts(gpa, left.len()) {
            let (here, rest) = left.split_at_mut_checked(step).ok_or(MemoryError)?;
            match pages.get(&page).and_then(|bytes| bytes.get(offset..offset + step)) {
                Some(bytes) => here.copy_from_slice(bytes),
                None => here.fill(0),
            }
            left = rest;
        }
        Ok(())
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        if !self.holds(gpa, buf.len() as u64) {
            return Err(MemoryError);
        }
        let mut pages = self.pages.borrow_mut();
        let mut left = buf;
        for (page, offset, step) in parts(gpa, left.len()) {
            let (here, rest) = left.split_at_checked(step).ok_or(MemoryError)?;
            if pages.len() >= PAGES_MAX && !pages.contains_key(&page) {
                return Err(MemoryError);
            }
            let bytes = pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
            bytes
                .get_mut(offset..offset + step)
                .ok_or(MemoryError)?
                .copy_from_slice(here);
            left = rest;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_pages_and_end_with_ram() {
        let ram = Ram::new(0x3000);
        let mut bytes = [0; 4];
        ram.write(0xffe, &[1, 2, 3, 4]).unwrap();
        ram.read(0xffe, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert_eq!(ram.write(0x2ffe, &[0; 4]), Err(MemoryError));
        assert_eq!(ram.read(u64::MAX, &mut bytes), Err(MemoryError));
        assert_eq!(ram.fill(0, u64::MAX, 1), Err(MemoryError));
    }

    #[test]
    fn filling_with_zeros_costs_nothing() {
        let ram = Ram::new(u64::MAX);
        ram.write(0x1800, &[9]).unwrap();
        ram.fill(0x0800, 1 << 60, 0).unwrap();
        assert_eq!(ram.pages.borrow().len(), 2, "the two pages that are filled in part");
        let mut byte = [7];
        ram.read(0x1800, &mut byte).unwrap();
        assert_eq!(byte, [0]);
    }
}
