// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Byte lanes: an access as naturally aligned pieces.

use crate::access::Width;
use crate::rules::Unaligned;

/// Bytes at an offset, for reading into or writing from.
pub(crate) trait Bytes: Sized {
    fn len(&self) -> usize;
    /// The first `at` bytes, or what there is, and the rest.
    fn split(self, at: usize) -> (Self, Self);
}

impl Bytes for &[u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn split(self, at: usize) -> (Self, Self) {
        self.split_at_checked(at).unwrap_or((self, &[]))
    }
}

impl Bytes for &mut [u8] {
    fn len(&self) -> usize {
        <[u8]>::len(self)
    }

    fn split(self, at: usize) -> (Self, Self) {
        let at = at.min(self.len());
        // `at` lies within the slice, so that the checked form has no other branch to take.
        self.split_at_mut(at)
    }
}

/// A part of an access that is 1, 2 or 4 bytes long and naturally aligned.
#[derive(Debug)]
pub(crate) struct Piece<B> {
    pub(crate) offset: u16,
    pub(crate) bytes: B,
}

/// Whether an access is not naturally aligned and such are refused. Eight bytes count as two dwords.
pub(crate) fn refused(offset: u64, len: usize, unaligned: Unaligned) -> bool {
    let unit = len.min(4) as u64;
    unaligned == Unaligned::Refuse && (!len.is_power_of_two() || !offset.is_multiple_of(unit))
}

/// The width of an access that is one naturally aligned piece.
pub(crate) const fn aligned(offset: u16, len: usize) -> Option<Width> {
    match Width::from_len(len) {
        Some(width) if offset as usize & (len - 1) == 0 => Some(width),
        _ => None,
    }
}

/// The pieces of an access at any alignment.
pub(crate) fn whole<B: Bytes + Default>(offset: u16, data: B) -> impl Iterator<Item = Piece<B>> {
    let mut next = offset;
    let mut left = data;
    core::iter::from_fn(move || {
        let rest = core::mem::take(&mut left);
        let len = rest.len();
        if len == 0 {
            return None;
        }
        let aligned = 1_usize << next.trailing_zeros().min(2);
        let step = if len < 4 { aligned.min(2) } else { aligned };
        let (bytes, rest) = rest.split(step);
        let piece = Piece { offset: next, bytes };
        left = rest;
        next = next.wrapping_add(u16::try_from(step).unwrap_or(1));
        Some(piece)
    })
}

/// Stores the low bytes of `value`.
#[inline]
pub(crate) fn store(to: &mut [u8], value: u32) {
    match to {
        [a] => [*a, ..] = value.to_le_bytes(),
        [a, b] => [*a, *b, ..] = value.to_le_bytes(),
        [a, b, c] => [*a, *b, *c, _] = value.to_le_bytes(),
        [a, b, c, d, ..] => [*a, *b, *c, *d] = value.to_le_bytes(),
        [] => {}
    }
}

/// Loads up to four bytes, zero-extended.
#[inline]
pub(crate) fn load(from: &[u8]) -> u32 {
    match *from {
        [a] => u32::from(a),
        [a, b] => u32::from_le_bytes([a, b, 0, 0]),
        [a, b, c] => u32::from_le_bytes([a, b, c, 0]),
        [a, b, c, d, ..] => u32::from_le_bytes([a, b, c, d]),
        [] => 0,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn split(offset: u16, len: usize) -> Vec<(u16, usize)> {
        whole(offset, &[0_u8; 8][..len])
            .map(|p| (p.offset, p.bytes.len()))
            .collect()
    }

    #[test]
    fn pieces_are_aligned_and_complete() {
        assert_eq!(split(0, 4), [(0, 4)]);
        assert_eq!(split(0, 8), [(0, 4), (4, 4)]);
        assert_eq!(split(1, 4), [(1, 1), (2, 2), (4, 1)]);
        assert_eq!(split(2, 4), [(2, 2), (4, 2)]);
        assert_eq!(split(3, 2), [(3, 1), (4, 1)]);
        assert_eq!(split(0, 3), [(0, 2), (2, 1)]);
        assert_eq!(split(0xffff, 2), [(0xffff, 1), (0, 1)]);
    }

    #[test]
    fn an_access_that_is_one_piece_has_a_width() {
        for (offset, expected) in [
            (0, [Some(Width::Byte), Some(Width::Word), Some(Width::Dword)]),
            (1, [Some(Width::Byte), None, None]),
            (2, [Some(Width::Byte), Some(Width::Word), None]),
            (3, [Some(Width::Byte), None, None]),
        ] {
            assert_eq!([1, 2, 4].map(|len| aligned(offset, len)), expected, "{offset}");
            assert_eq!([0, 3, 8].map(|len| aligned(offset, len)), [None; 3], "{offset}");
        }
    }

    #[test]
    fn refusal_is_for_unaligned_accesses() {
        let refuse = |offset, len| refused(offset, len, Unaligned::Refuse);
        assert!(refuse(1, 2) && refuse(2, 4) && refuse(4, 3) && refuse(2, 8) && refuse(0, 0));
        assert!(!refuse(2, 2) && !refuse(4, 4) && !refuse(4, 8) && !refuse(3, 1));
        assert!(!refused(1, 2, Unaligned::Split));
    }
}
