// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Little-endian fields in byte images.

/// Writes `bytes` at `offset`; what lies beyond the end is dropped.
pub(crate) fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    for (to, from) in image.iter_mut().skip(offset).zip(bytes) {
        *to = *from;
    }
}

/// The `N` bytes at `offset`, or `None` beyond the end.
pub(crate) fn get<const N: usize>(image: &[u8], offset: usize) -> Option<[u8; N]> {
    image.get(offset..)?.first_chunk().copied()
}

/// The byte that makes the sum of all bytes zero if the byte at `offset` is replaced by it.
pub(crate) fn checksum(image: &[u8], offset: usize) -> u8 {
    let sum = image.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    image.get(offset).copied().unwrap_or(0).wrapping_sub(sum)
}
