// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Splits an access into those that a device sees.

use std::ops::Range;

use crate::backend::RegionKind;

/// Naturally aligned pieces: where each is in the region, and where its bytes are in the buffer.
///
/// They have up to 8 bytes in a BAR and up to 4 in configuration space and VGA ranges. A ROM and an OpRegion are bytes
/// that have no registers among them; they are moved in pieces of up to `bulk` bytes.
pub(in crate::backend) fn pieces(
    kind: RegionKind,
    offset: u64,
    len: usize,
    bulk: usize,
) -> impl Iterator<Item = (u64, Range<usize>)> {
    let (most, is_aligned) = match kind {
        RegionKind::Bar(_) => (8, true),
        RegionKind::Rom | RegionKind::OpRegion => (bulk.max(1), false),
        _ => (4, true),
    };
    let mut done = 0;
    std::iter::from_fn(move || {
        let rest = len.checked_sub(done).filter(|rest| *rest > 0)?;
        let at = offset.checked_add(u64::try_from(done).ok()?)?;
        let mut size = rest.min(most);
        if is_aligned {
            // The largest power of two that fits and divides the address.
            let by_address = 1_usize.checked_shl(at.trailing_zeros()).unwrap_or(most);
            size = (1 << size.ilog2()).min(by_address);
        }
        let piece = (at, done..done + size);
        done += size;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sizes(kind: RegionKind, offset: u64, len: usize) -> Vec<usize> {
        pieces(kind, offset, len, 4096).map(|(_, range)| range.len()).collect()
    }

    #[test]
    fn pieces_are_as_wide_as_they_may_be() {
        assert_eq!(sizes(RegionKind::Bar(0), 0, 20), [8, 8, 4]);
        assert_eq!(sizes(RegionKind::Bar(0), 3, 8), [1, 4, 2, 1]);
        assert_eq!(sizes(RegionKind::Config, 0x50, 8), [4, 4]);
        assert_eq!(sizes(RegionKind::Config, 0x52, 1), [1]);
        assert_eq!(sizes(RegionKind::OpRegion, 0, 0x2001), [4096, 4096, 1]);
        assert!(sizes(RegionKind::Config, 0, 0).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_cover_an_access_once(bar in any::<bool>(), offset in 0_u64..1 << 40, len in 0_usize..300) {
            let kind = if bar { RegionKind::Bar(0) } else { RegionKind::Config };
            let most = if bar { 8 } else { 4 };
            let mut done = 0;
            for (at, range) in pieces(kind, offset, len, 64) {
                let size = range.len();
                prop_assert_eq!(range.start, done);
                prop_assert_eq!(at, offset + done as u64);
                prop_assert!(size.is_power_of_two() && size <= most);
                prop_assert!(at.is_multiple_of(size as u64));
                done = range.end;
            }
            prop_assert_eq!(done, len);
        }
    }
}
