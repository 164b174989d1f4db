// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Parts of an access that go to the hardware.

/// The set lanes of an access of at most 8 bytes at `offset`, as naturally aligned parts: first lane and length.
pub(super) fn parts(offset: u64, lanes: u8) -> impl Iterator<Item = (usize, usize)> {
    let mut lane = 0_u32;
    core::iter::from_fn(move || {
        lane += u32::from(lanes).checked_shr(lane)?.trailing_zeros();
        if lane >= u8::BITS {
            return None;
        }
        let run = (u32::from(lanes) >> lane).trailing_ones();
        let aligned = offset.wrapping_add(u64::from(lane)).trailing_zeros().min(3);
        let len = 1 << aligned.min(run.ilog2());
        let first = lane;
        lane += len;
        Some((first as usize, len as usize))
    })
}

/// All lanes of an access of `len` bytes.
pub(super) const fn all(len: usize) -> u8 {
    match len {
        0..8 => (1 << len) - 1,
        _ => u8::MAX,
    }
}

/// One bit for each bit of the first `len` lanes, at most 8.
pub(super) const fn bytes(len: usize) -> u64 {
    match len {
        0..8 => (1 << (8 * len)) - 1,
        _ => u64::MAX,
    }
}

/// One bit for each bit of the lanes.
pub(super) fn mask(lanes: u8) -> u64 {
    u64::from_le_bytes(core::array::from_fn(
        |lane| if lanes >> lane & 1 == 1 { 0xff } else { 0 },
    ))
}

/// The value of `len` lanes from `first` on.
pub(super) fn part(value: u64, first: usize, len: usize) -> u64 {
    u32::try_from(8 * first).map_or(0, |shift| value.checked_shr(shift).unwrap_or(0)) & bytes(len)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn of(offset: u64, lanes: u8) -> Vec<(usize, usize)> {
        parts(offset, lanes).collect()
    }

    #[test]
    fn parts_are_aligned_and_complete() {
        assert_eq!(of(0, 0xff), [(0, 8)]);
        assert_eq!(of(4, 0xff), [(0, 4), (4, 4)]);
        assert_eq!(of(0x50, 0b1100), [(2, 2)]);
        assert_eq!(of(0x5a, 0b0011), [(0, 2)]);
        assert_eq!(of(1, 0b1111), [(0, 1), (1, 2), (3, 1)]);
        assert_eq!(of(0, 0b1111_0101), [(0, 1), (2, 1), (4, 4)]);
        assert_eq!(of(u64::MAX, 0b11), [(0, 1), (1, 1)]);
        assert_eq!(of(0, 0), []);
        assert_eq!(of(0, 0x80), [(7, 1)]);
    }

    #[test]
    fn lanes_become_masks_and_values() {
        assert_eq!((all(0), all(2), all(8), all(9)), (0, 3, 0xff, 0xff));
        assert_eq!(mask(0b1000_0101), 0xff00_0000_00ff_00ff);
        assert!((0..10).all(|len| bytes(len) == mask(all(len))));
        assert_eq!(part(0x8877_6655_4433_2211, 2, 4), 0x6655_4433);
        assert_eq!(part(u64::MAX, 8, 1), 0);
    }
}
