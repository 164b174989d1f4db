// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The map of memory that a guest is given (e820).

use igd_quirks::facts::Extent;
use igd_quirks::plan::Reservation;

/// Usable RAM.
pub const RAM: u32 = 1;
/// Not to be used.
pub const RESERVED: u32 = 2;

/// An entry of the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The range.
    pub range: Extent,
    /// What it is.
    pub kind: u32,
}

/// RAM without what is reserved, and what is reserved, by rising address.
#[must_use]
pub fn entries(ram: &[Extent], reserved: &[Reservation]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = reserved
        .iter()
        .map(|reservation| Entry {
            range: reservation.range,
            kind: reservation.kind.e820_type(),
        })
        .collect();
    for extent in ram {
        let mut free = vec![*extent];
        for reservation in reserved {
            free = free
                .into_iter()
                .flat_map(|part| without(part, reservation.range))
                .collect();
        }
        entries.extend(free.into_iter().map(|range| Entry { range, kind: RAM }));
    }
    entries.sort_unstable_by_key(|entry| entry.range.start);
    entries
}

/// What is left of a range.
fn without(part: Extent, taken: Extent) -> impl Iterator<Item = Extent> {
    let below = part.end().min(taken.start).saturating_sub(part.start);
    let from = part.start.max(taken.end());
    let above = part.end().saturating_sub(from);
    let whole = (!part.overlaps(taken)).then_some(part);
    let parts = [Extent::new(part.start, below), Extent::new(from, above)];
    let parts = parts
        .into_iter()
        .filter(move |left| left.len != 0 && part.overlaps(taken));
    whole.into_iter().chain(parts)
}

/// The entries as firmware reads them: 64-bit address, 64-bit length, 32-bit type.
#[must_use]
pub fn to_bytes(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 20);
    for Entry { range, kind } in entries {
        bytes.extend(range.start.to_le_bytes());
        bytes.extend(range.len.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use igd_quirks::plan::ReservationKind;
    use proptest::prelude::*;

    fn reservation(start: u64, len: u64) -> Reservation {
        Reservation {
            range: Extent::new(start, len),
            kind: ReservationKind::Reserved,
        }
    }

    #[test]
    fn what_is_reserved_is_no_ram() {
        let map = entries(&[Extent::new(0, 0x8000)], &[reservation(0x2000, 0x1000)]);
        let map: Vec<_> = map
            .iter()
            .map(|entry| (entry.range.start, entry.range.len, entry.kind))
            .collect();
        assert_eq!(
            map,
            [(0, 0x2000, RAM), (0x2000, 0x1000, RESERVED), (0x3000, 0x5000, RAM)]
        );
        assert_eq!(to_bytes(&entries(&[Extent::new(0, 0x1_0000_0000)], &[])).len(), 20);
    }

    proptest! {
        #[test]
        fn every_byte_of_ram_is_in_one_entry(cuts in proptest::collection::vec((0..60_u64, 1..9_u64), 0..4)) {
            let reserved: Vec<_> = cuts.iter().map(|(start, len)| reservation(*start, *len)).collect();
            let map = entries(&[Extent::new(0, 64)], &reserved);
            for byte in 0..64 {
                let one = Extent::new(byte, 1);
                let is_reserved = reserved.iter().any(|cut| cut.range.overlaps(one));
                let ram = map.iter().filter(|entry| entry.kind == RAM && entry.range.overlaps(one)).count();
                prop_assert_eq!(ram, usize::from(!is_reserved));
            }
        }
    }
}
