// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bytes with masks: the storage of a configuration space.

use crate::access::ConfigAccess;

/// `N` bytes of registers, each bit of which is writable, cleared by writing one, or read-only.
///
/// Sizing a BAR, reading back a masked field or clearing a status bit are consequences of the masks, at every width and
/// alignment.
///
/// ```
/// use pci_model::{ConfigAccess, Registers, Width};
///
/// let mut registers = Registers::<256>::new();
/// registers.set_writable(0x10, &0xffff_f000_u32.to_le_bytes());
/// let bar0 = ConfigAccess::new(0x10, Width::Dword).unwrap();
/// registers.write(bar0, 0xffff_ffff);
/// assert_eq!(registers.read(bar0), 0xffff_f000);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registers<const N: usize> {
    value: [u8; N],
    writable: [u8; N],
    w1c: [u8; N],
    /// Bits that a reset sets to `initial`.
    volatile: [u8; N],
    initial: [u8; N],
}

impl<const N: usize> Default for Registers<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Registers<N> {
    /// Read-only zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            value: [0; N],
            writable: [0; N],
            w1c: [0; N],
            volatile: [0; N],
            initial: [0; N],
        }
    }

    /// Read-only registers with these values.
    #[must_use]
    pub const fn from_image(image: &[u8; N]) -> Self {
        Self {
            value: *image,
            writable: [0; N],
            w1c: [0; N],
            volatile: [0; N],
            initial: *image,
        }
    }

    /// The values.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; N] {
        &self.value
    }

    /// The byte at `offset`, or ones beyond the end.
    #[must_use]
    #[inline]
    pub fn u8(&self, offset: u16) -> u8 {
        self.value.get(usize::from(offset)).copied().unwrap_or(0xff)
    }

    /// The little-endian word at `offset`; bytes beyond the end are ones.
    #[must_use]
    #[inline]
    pub fn u16(&self, offset: u16) -> u16 {
        match self.chunk::<2>(offset) {
            Some(bytes) => u16::from_le_bytes(bytes),
            None => u16::from_le_bytes([self.u8(offset), self.u8(offset.saturating_add(1))]),
        }
    }

    /// The little-endian dword at `offset`; bytes beyond the end are ones.
    #[must_use]
    #[inline]
    pub fn u32(&self, offset: u16) -> u32 {
        match self.chunk::<4>(offset) {
            Some(bytes) => u32::from_le_bytes(bytes),
            None => u32::from_le_bytes([0_u16, 1, 2, 3].map(|i| self.u8(offset.saturating_add(i)))),
        }
    }

    /// The eight bytes at `offset`; zero if they end beyond the end.
    #[inline]
    pub(crate) fn u64(&self, offset: u16) -> u64 {
        self.chunk::<8>(offset).map_or(0, u64::from_le_bytes)
    }

    #[inline]
    fn chunk<const L: usize>(&self, offset: u16) -> Option<[u8; L]> {
        self.value.get(usize::from(offset)..)?.first_chunk().copied()
    }

    /// Sets values, at power-on and now. Bytes beyond the end are dropped.
    pub fn set(&mut self, offset: u16, bytes: &[u8]) {
        put(&mut self.value, offset, bytes);
        put(&mut self.initial, offset, bytes);
    }

    /// Sets current values only; a reset brings the initial ones back where they are volatile.
    pub fn set_now(&mut self, offset: u16, bytes: &[u8]) {
        put(&mut self.value, offset, bytes);
    }

    /// Sets which bits software writes; a reset restores them.
    pub fn set_writable(&mut self, offset: u16, mask: &[u8]) {
        put(&mut self.writable, offset, mask);
        put(&mut self.volatile, offset, mask);
    }

    /// Sets which bits software writes and no reset touches.
    pub fn set_storage(&mut self, offset: u16, mask: &[u8]) {
        put(&mut self.writable, offset, mask);
        for (i, byte) in mask.iter().enumerate() {
            if let Some(volatile) = self.volatile.get_mut(usize::from(offset) + i) {
                *volatile &= !byte;
            }
        }
    }

    /// Sets which bits software clears by writing one; a reset restores them.
    pub fn set_w1c(&mut self, offset: u16, mask: &[u8]) {
        put(&mut self.w1c, offset, mask);
        for (i, byte) in mask.iter().enumerate() {
            let at = usize::from(offset) + i;
            if let Some(volatile) = self.volatile.get_mut(at) {
                *volatile |= byte;
            }
            if let Some(writable) = self.writable.get_mut(at) {
                *writable &= !byte;
            }
        }
    }

    /// Sets which bits a reset restores, whoever changes them.
    pub fn set_volatile(&mut self, offset: u16, mask: &[u8]) {
        put(&mut self.volatile, offset, mask);
    }

    /// Clears what a reset restores, at power-on and now.
    pub(crate) fn clear_volatile(&mut self, offset: u16, len: usize) {
        let rows = self.value.iter_mut().zip(&mut self.initial).zip(&self.volatile);
        for ((value, initial), volatile) in rows.skip(usize::from(offset)).take(len) {
            *value &= !volatile;
            *initial &= !volatile;
        }
    }

    /// The bits of the byte at `offset` that software can change, by writing or clearing.
    #[must_use]
    pub fn changeable(&self, offset: u16) -> u8 {
        let at = usize::from(offset);
        self.writable.get(at).copied().unwrap_or(0) | self.w1c.get(at).copied().unwrap_or(0)
    }

    /// The bits of an access that writing one clears.
    #[must_use]
    pub fn w1c(&self, at: ConfigAccess) -> u32 {
        let masks = self.w1c.iter().skip(usize::from(at.offset())).take(at.width().len());
        masks
            .zip(0_u32..)
            .fold(0, |bits, (byte, lane)| bits | u32::from(*byte) << (8 * lane))
    }

    /// Reads one access; bytes beyond the end are ones.
    #[must_use]
    #[inline]
    pub fn read(&self, at: ConfigAccess) -> u32 {
        match at.width() {
            crate::Width::Byte => u32::from(self.u8(at.offset())),
            crate::Width::Word => u32::from(self.u16(at.offset())),
            crate::Width::Dword => self.u32(at.offset()),
        }
    }

    /// Writes one access under the masks; bytes beyond the end are dropped.
    #[inline]
    pub fn write(&mut self, at: ConfigAccess, value: u32) {
        let start = usize::from(at.offset());
        let rest = self.value.get_mut(start..).and_then(<[u8]>::first_chunk_mut::<4>);
        let writable = self.writable.get(start..).and_then(<[u8]>::first_chunk::<4>);
        let w1c = self.w1c.get(start..).and_then(<[u8]>::first_chunk::<4>);
        if let (Some(rest), Some(writable), Some(w1c)) = (rest, writable, w1c) {
            let lanes = at.width().ones();
            let writable = u32::from_le_bytes(*writable) & lanes;
            let cleared = u32::from_le_bytes(*w1c) & lanes & value;
            *rest = masked(u32::from_le_bytes(*rest), writable, cleared, value).to_le_bytes();
        } else {
            self.write_end(at, value);
        }
    }

    /// Writes to the last bytes, one at a time.
    #[cold]
    fn write_end(&mut self, at: ConfigAccess, value: u32) {
        let rows = self.value.iter_mut().zip(&self.writable).zip(&self.w1c);
        let rows = rows.skip(at.offset().into()).take(at.width().len());
        for (((byte, writable), w1c), new) in rows.zip(value.to_le_bytes()) {
            let masked = masked((*byte).into(), (*writable).into(), (w1c & new).into(), new.into());
            [*byte, ..] = masked.to_le_bytes();
        }
    }

    /// Restores the volatile bits.
    pub fn reset(&mut self) {
        for ((value, volatile), initial) in self.value.iter_mut().zip(&self.volatile).zip(&self.initial) {
            *value = (*value & !volatile) | (initial & volatile);
        }
    }

    /// Replaces the values if they differ from the present ones only in bits that can change.
    ///
    /// # Errors
    ///
    /// The first byte that could never have these values.
    pub fn restore(&mut self, image: &[u8; N], changeable: impl Fn(u16) -> u8) -> Result<(), ImmutableByte> {
        let lines = self.value.chunks(LINE).zip(image.chunks(LINE));
        let differing = (0_u16..).step_by(LINE).zip(lines).filter(|(_, (old, new))| old != new);
        let bytes = differing.flat_map(|(start, (old, new))| (start..).zip(old.iter().zip(new)));
        for (offset, (old, new)) in bytes {
            let fixed = !(self.changeable(offset) | changeable(offset));
            if (old ^ new) & fixed != 0 {
                return Err(ImmutableByte {
                    offset,
                    fixed,
                    expected: *old,
                    found: *new,
                });
            }
        }
        self.value = *image;
        Ok(())
    }
}

/// Bytes that are compared at once: most of a state is as it was.
const LINE: usize = 64;

/// What becomes of `old` when `new` is written where bits are writable, and others are cleared.
const fn masked(old: u32, writable: u32, cleared: u32, new: u32) -> u32 {
    (old & !writable | new & writable) & !cleared
}

fn put<const N: usize>(to: &mut [u8; N], offset: u16, from: &[u8]) {
    for (to, from) in to.iter_mut().skip(usize::from(offset)).zip(from) {
        *to = *from;
    }
}

/// A saved byte has bits that this function can never have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("byte {offset:#05x} is {found:#04x}, but its fixed bits {fixed:#04x} are those of {expected:#04x}")]
pub struct ImmutableByte {
    /// Offset in configuration space.
    pub offset: u16,
    /// Bits that no write changes.
    pub fixed: u8,
    /// The byte of this function.
    pub expected: u8,
    /// The byte that was to be restored.
    pub found: u8,
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::Width;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn access() -> impl Strategy<Value = (u16, Width, u32)> {
        (
            0_u16..300,
            prop_oneof![Just(Width::Byte), Just(Width::Word), Just(Width::Dword)],
            any::<u32>(),
        )
    }

    proptest! {
        /// One byte at a time, written as the rule stands in the specification.
        #[test]
        fn equals_a_naive_model(
            masks in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 256),
            accesses in proptest::collection::vec(access(), 1..60),
        ) {
            let mut registers = Registers::<256>::new();
            let mut model: Vec<(u8, u8, u8)> = Vec::new();
            for (i, (value, writable, w1c)) in masks.iter().enumerate() {
                let at = u16::try_from(i).unwrap();
                let writable = writable & !w1c;
                registers.set(at, &[*value]);
                registers.set_writable(at, &[writable]);
                registers.set_w1c(at, &[*w1c]);
                model.push((*value, writable, *w1c));
            }
            for (offset, width, value) in accesses {
                let at = ConfigAccess::new(offset, width).unwrap();
                registers.write(at, value);
                let mut expected = 0_u32;
                for lane in 0..width.len() {
                    let new = value.to_le_bytes()[lane];
                    let mut read = 0xff;
                    if let Some((byte, writable, w1c)) = model.get_mut(usize::from(offset) + lane) {
                        for bit in (0..8).map(|i| 1_u8 << i) {
                            if *writable & bit != 0 {
                                *byte = (*byte & !bit) | (new & bit);
                            }
                            if *w1c & bit != 0 && new & bit != 0 {
                                *byte &= !bit;
                            }
                        }
                        read = *byte;
                    }
                    expected |= u32::from(read) << (8 * lane);
                }
                prop_assert_eq!(registers.read(at), expected);
            }
            registers.reset();
            for (i, (value, _, _)) in masks.iter().enumerate() {
                prop_assert_eq!(registers.u8(u16::try_from(i).unwrap()), *value);
            }
        }
    }

    #[test]
    fn storage_survives_a_reset_and_writable_bits_do_not() {
        let mut registers = Registers::<256>::new();
        registers.set_writable(0x40, &[0xff]);
        registers.set_storage(0x41, &[0xff]);
        registers.write(ConfigAccess::new(0x40, Width::Word).unwrap(), 0x5aa5);
        registers.reset();
        assert_eq!(registers.u16(0x40), 0x5a00);
    }

    #[test]
    fn bits_that_become_storage_are_no_longer_reset() {
        let mut registers = Registers::<256>::new();
        registers.set_writable(0x40, &[0xff; 2]);
        registers.set_storage(0x40, &[0x0f, 0xf0]);
        registers.write(ConfigAccess::new(0x40, Width::Word).unwrap(), 0xffff);
        registers.reset();
        assert_eq!(registers.u16(0x40), 0xf00f);
    }

    #[test]
    fn bits_that_one_clears_are_told_by_access() {
        let mut registers = Registers::<256>::new();
        registers.set_w1c(0x40, &[0x81, 0x00, 0x18, 0xff]);
        let told = |offset, width| registers.w1c(ConfigAccess::new(offset, width).unwrap());
        assert_eq!(told(0x40, Width::Dword), 0xff18_0081);
        assert_eq!(told(0x42, Width::Word), 0xff18);
        assert_eq!(told(0x43, Width::Dword), 0xff);
        assert_eq!((told(0x40, Width::Byte), told(0x41, Width::Byte)), (0x81, 0));
        assert_eq!(told(0xfe, Width::Dword), 0, "beyond the end there is nothing");
    }

    #[test]
    fn what_a_reset_restores_can_be_cleared_for_good() {
        let mut registers = Registers::<256>::from_image(&[0xff; 256]);
        registers.set_writable(0x40, &[0x0f; 4]);
        registers.clear_volatile(0x41, 2);
        assert_eq!(registers.u32(0x40), 0xfff0_f0ff);
        registers.reset();
        assert_eq!(registers.u32(0x40), 0xfff0_f0ff);
    }

    #[test]
    fn restoring_names_the_byte_that_cannot_be() {
        let mut registers = Registers::<256>::new();
        registers.set_writable(0x40, &[0x0f]);
        let mut image = *registers.bytes();
        image[0x40] = 0x1f;
        let error = registers.restore(&image, |_| 0).unwrap_err();
        assert_eq!(
            error,
            ImmutableByte {
                offset: 0x40,
                fixed: 0xf0,
                expected: 0,
                found: 0x1f
            }
        );
        image[0x40] = 0x0f;
        assert_eq!(registers.restore(&image, |_| 0), Ok(()));
        assert_eq!(registers.u8(0x40), 0x0f);
    }
}
