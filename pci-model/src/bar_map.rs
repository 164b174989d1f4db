// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where BARs are decoded, and the steps from one such map to another.

use core::fmt;

use crate::bar::BAR_COUNT;

/// Address space of a decoded BAR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BarSpace {
    /// Physical memory addresses.
    Memory,
    /// I/O ports.
    Io,
}

/// A decoded range. Never empty, and never past the end of the address space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BarRange {
    space: BarSpace,
    start: u64,
    size: u64,
}

impl BarRange {
    /// The range of `size` bytes at `start`, or `None` if it is empty or wraps.
    #[must_use]
    #[inline]
    pub const fn new(space: BarSpace, start: u64, size: u64) -> Option<Self> {
        if size == 0 || start.checked_add(size - 1).is_none() {
            return None;
        }
        Some(Self { space, start, size })
    }

    /// Address space.
    #[must_use]
    pub const fn space(self) -> BarSpace {
        self.space
    }

    /// First address.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Length in bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Last address.
    #[must_use]
    pub const fn last(self) -> u64 {
        self.start + (self.size - 1)
    }

    /// The offset of `addr` in the range, or `None` if it lies outside.
    #[must_use]
    pub const fn offset_of(self, addr: u64) -> Option<u64> {
        match addr.checked_sub(self.start) {
            Some(offset) if offset < self.size => Some(offset),
            _ => None,
        }
    }

    /// Whether both cover a common address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.space == other.space && self.start <= other.last() && other.start <= self.last()
    }
}

impl fmt::Display for BarRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = match self.space {
            BarSpace::Memory => "memory",
            BarSpace::Io => "I/O",
        };
        write!(f, "{space} {:#x}..={:#x}", self.start, self.last())
    }
}

/// Where each BAR of a function is decoded; index 6 is the expansion ROM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct BarMap {
    ranges: [Option<BarRange>; BAR_COUNT],
    /// Which of them there are, as bits.
    decoded: u8,
}

impl BarMap {
    /// Nothing is decoded.
    pub const EMPTY: Self = Self {
        ranges: [None; BAR_COUNT],
        decoded: 0,
    };

    /// The map with these ranges.
    #[must_use]
    pub fn new(ranges: [Option<BarRange>; BAR_COUNT]) -> Self {
        let bits = (0_u8..)
            .zip(&ranges)
            .map(|(bar, range)| u8::from(range.is_some()) << bar);
        let decoded = bits.sum();
        Self { ranges, decoded }
    }

    /// Decodes BAR `index` at `range`, or no longer, and says whether that is a change.
    #[inline]
    pub(crate) fn set(&mut self, index: u8, range: Option<BarRange>) -> bool {
        match self.ranges.get_mut(usize::from(index)) {
            Some(slot) if *slot != range => {
                *slot = range;
                self.decoded = self.decoded & !(1 << index) | u8::from(range.is_some()) << index;
                true
            }
            _ => false,
        }
    }

    /// Where BAR `index` is decoded.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u8) -> Option<BarRange> {
        self.ranges.get(usize::from(index)).copied().flatten()
    }

    /// Index and range of the decoded BARs, in rising order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u8, BarRange)> + '_ {
        Bits(self.decoded).filter_map(|index| Some((index, self.get(index)?)))
    }

    /// The BAR that answers at `addr`, and the offset in it. Where BARs overlap the lowest wins.
    #[must_use]
    pub fn claim(&self, space: BarSpace, addr: u64) -> Option<(u8, u64)> {
        self.iter()
            .filter(|(_, range)| range.space == space)
            .find_map(|(i, range)| Some((i, range.offset_of(addr)?)))
    }

    /// The steps that lead from this map to `next`: first every unmap, then every map, each in rising order of BARs.
    ///
    /// A BAR that moves is unmapped and mapped. No step is left out and none is superfluous, so that doing them all to
    /// this map gives `next`.
    ///
    /// ```
    /// use pci_model::{BarMap, BarRange, BarSpace, BarStep};
    ///
    /// let range = |start| BarRange::new(BarSpace::Memory, start, 0x1000);
    /// let old = BarMap::new([range(0xe000_0000), None, None, None, None, None, None]);
    /// let new = BarMap::new([range(0xe100_0000), None, None, None, None, None, None]);
    /// let steps: Vec<BarStep> = old.steps_to(&new).collect();
    /// assert_eq!(
    ///     steps,
    ///     [
    ///         BarStep::Unmap { bar: 0, range: range(0xe000_0000).unwrap() },
    ///         BarStep::Map { bar: 0, range: range(0xe100_0000).unwrap() },
    ///     ]
    /// );
    /// ```
    #[inline]
    pub fn steps_to(&self, next: &Self) -> impl Iterator<Item = BarStep> + use<> {
        Steps::new(self, next)
    }

    /// The unmap steps of [`steps_to`](Self::steps_to): to be done before a disable is forwarded to a device.
    pub fn unmaps_to(&self, next: &Self) -> impl Iterator<Item = BarStep> + use<> {
        Steps {
            maps: Bits(0),
            ..Steps::new(self, next)
        }
    }

    /// What both maps decode at the same place: what is left of this map after its unmap steps to `other`.
    ///
    /// ```
    /// use pci_model::{BarMap, BarRange, BarSpace};
    ///
    /// let range = |start| BarRange::new(BarSpace::Memory, start, 0x1000);
    /// let old = BarMap::new([range(0x1000), range(0x3000), None, None, None, None, None]);
    /// let new = BarMap::new([range(0x1000), range(0x5000), None, None, None, None, None]);
    /// let left = BarMap::new([range(0x1000), None, None, None, None, None, None]);
    /// assert_eq!(old.common(&new), left);
    /// ```
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let mut ranges = self.ranges;
        for (range, other) in ranges.iter_mut().zip(&other.ranges) {
            *range = range.filter(|range| *other == Some(*range));
        }
        Self::new(ranges)
    }

    /// The map steps of [`steps_to`](Self::steps_to): to be done after an enable was forwarded to a device.
    pub fn maps_to(&self, next: &Self) -> impl Iterator<Item = BarStep> + use<> {
        Steps {
            unmaps: Bits(0),
            ..Steps::new(self, next)
        }
    }
}

/// The numbers of the bits that are set, in rising order.
pub(crate) struct Bits(pub(crate) u8);

impl Iterator for Bits {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let [lowest, ..] = self.0.trailing_zeros().to_le_bytes();
        self.0 &= self.0.checked_sub(1)?;
        Some(lowest)
    }
}

/// The steps between two maps that are left to take.
struct Steps {
    old: BarMap,
    new: BarMap,
    unmaps: Bits,
    maps: Bits,
}

impl Steps {
    #[inline]
    fn new(old: &BarMap, new: &BarMap) -> Self {
        let changed = Bits(old.decoded | new.decoded)
            .filter(|bar| old.get(*bar) != new.get(*bar))
            .fold(0, |bits, bar| bits | 1 << bar);
        Self {
            old: *old,
            new: *new,
            unmaps: Bits(changed & old.decoded),
            maps: Bits(changed & new.decoded),
        }
    }
}

impl Iterator for Steps {
    type Item = BarStep;

    #[inline]
    fn next(&mut self) -> Option<BarStep> {
        if let Some(bar) = self.unmaps.next() {
            return self.old.get(bar).map(|range| BarStep::Unmap { bar, range });
        }
        let bar = self.maps.next()?;
        self.new.get(bar).map(|range| BarStep::Map { bar, range })
    }
}

/// One step from a BAR map to the next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BarStep {
    /// The BAR is no longer decoded at `range`.
    Unmap {
        /// 0 to 5, or 6 for the ROM.
        bar: u8,
        /// Where it was decoded.
        range: BarRange,
    },
    /// The BAR is decoded at `range` now.
    Map {
        /// 0 to 5, or 6 for the ROM.
        bar: u8,
        /// Where it is decoded.
        range: BarRange,
    },
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn map() -> impl Strategy<Value = BarMap> {
        let range = proptest::option::of((0_u64..4, any::<bool>()).prop_map(|(start, io)| {
            let space = if io { BarSpace::Io } else { BarSpace::Memory };
            BarRange::new(space, start << 12, 0x1000).unwrap()
        }));
        proptest::array::uniform7(range).prop_map(BarMap::new)
    }

    proptest! {
        #[test]
        fn steps_lead_from_one_map_to_the_next(old in map(), new in map()) {
            let mut now = old.ranges;
            let mut mapped = false;
            for step in old.steps_to(&new) {
                match step {
                    BarStep::Unmap { bar, range } => {
                        prop_assert!(!mapped, "an unmap after a map");
                        prop_assert_eq!(now[usize::from(bar)].take(), Some(range));
                    }
                    BarStep::Map { bar, range } => {
                        mapped = true;
                        prop_assert_eq!(now[usize::from(bar)].replace(range), None);
                    }
                }
            }
            prop_assert_eq!(BarMap::new(now), new);
            prop_assert_eq!(old.steps_to(&old).count(), 0);
            let parts: Vec<_> = old.unmaps_to(&new).chain(old.maps_to(&new)).collect();
            prop_assert_eq!(parts, old.steps_to(&new).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_lowest_bar_wins_an_overlap() {
        let range = |start, size| BarRange::new(BarSpace::Memory, start, size);
        let map = BarMap::new([
            None,
            range(0x1000, 0x1000),
            range(0x1800, 0x1000),
            None,
            None,
            None,
            None,
        ]);
        assert_eq!(map.claim(BarSpace::Memory, 0x1900), Some((1, 0x900)));
        assert_eq!(map.claim(BarSpace::Memory, 0x2000), Some((2, 0x800)));
        assert_eq!(map.claim(BarSpace::Io, 0x1900), None);
    }

    #[test]
    fn no_range_is_empty_or_wraps() {
        assert_eq!(BarRange::new(BarSpace::Memory, 0, 0), None);
        assert_eq!(BarRange::new(BarSpace::Memory, u64::MAX, 2), None);
        assert_eq!(BarRange::new(BarSpace::Memory, u64::MAX, 1).unwrap().last(), u64::MAX);
    }
}
