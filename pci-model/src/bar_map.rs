// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where BARs are decoded, and the steps from one such map to another.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::NonZero;

use crate::bar::BAR_COUNT;

/// Address space of a decoded BAR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum BarSpace {
    /// Physical memory addresses.
    Memory,
    /// I/O ports.
    Io,
}

/// A decoded range. Its size is a power of two, as that of every BAR, and it is never past the end of the address space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BarRange {
    space: BarSpace,
    start: u64,
    size: u64,
}

impl BarRange {
    /// The range of `size` bytes at `start`, or `None` if it wraps or `size` is no power of two.
    #[must_use]
    #[inline]
    pub const fn new(space: BarSpace, start: u64, size: u64) -> Option<Self> {
        if !size.is_power_of_two() || start.checked_add(size - 1).is_none() {
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

/// One more than there are BARs: three bits always name a place.
const PLACES: usize = BAR_COUNT + 1;

/// Where each BAR of a function is decoded; index 6 is the expansion ROM.
///
/// Small enough to be copied without a call. What is not decoded has no range, whatever the arrays hold.
#[derive(Clone, Copy, Default)]
pub struct BarMap {
    starts: [u64; PLACES],
    /// Sizes as powers of two.
    shifts: [u8; PLACES],
    /// BARs of I/O ports, as bits.
    io: u8,
    /// Decoded BARs, as bits.
    decoded: u8,
}

impl BarMap {
    /// Nothing is decoded.
    pub const EMPTY: Self = Self {
        starts: [0; PLACES],
        shifts: [0; PLACES],
        io: 0,
        decoded: 0,
    };

    /// The map with these ranges.
    #[must_use]
    pub fn new(ranges: [Option<BarRange>; BAR_COUNT]) -> Self {
        let mut map = Self::EMPTY;
        for (index, range) in (0_u8..).zip(ranges) {
            if let Some(range) = range {
                map.describe(index, range.space, range.size);
                map.place(index, range.start);
                map.decoded |= 1 << index;
            }
        }
        map
    }

    /// Says, once, what BAR `index` is, wherever it will be placed.
    pub(crate) fn describe(&mut self, index: u8, space: BarSpace, size: u64) {
        if let Some(slot) = self.shifts.get_mut(usize::from(index)) {
            [*slot, ..] = size.trailing_zeros().to_le_bytes();
            self.io |= u8::from(space == BarSpace::Io) << index;
        }
    }

    /// Places BAR `index`, decoded or not, and says whether it was elsewhere. The range must not wrap.
    #[inline]
    pub(crate) fn place(&mut self, index: u8, start: u64) -> bool {
        let slot = self.starts.get_mut(usize::from(index));
        slot.is_some_and(|slot| core::mem::replace(slot, start) != start)
    }

    /// Decodes these BARs, which have been placed, and no others.
    #[inline]
    pub(crate) fn set_decoded(&mut self, bars: u8) {
        self.decoded = bars;
    }

    /// The decoded BARs, as bits.
    #[inline]
    pub(crate) const fn decoded(&self) -> u8 {
        self.decoded
    }

    /// The BARs of I/O ports, as bits.
    #[inline]
    pub(crate) const fn io(&self) -> u8 {
        self.io
    }

    /// Where BAR `index` is decoded.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u8) -> Option<BarRange> {
        let is_decoded = usize::from(index) < BAR_COUNT && self.decoded >> index & 1 != 0;
        is_decoded.then(|| self.range(index))
    }

    #[inline]
    fn start(&self, index: u8) -> u64 {
        self.starts.get(usize::from(index & 7)).copied().unwrap_or(0)
    }

    #[inline]
    fn shift(&self, index: u8) -> u8 {
        self.shifts.get(usize::from(index & 7)).copied().unwrap_or(0)
    }

    /// Where BAR `index` would be decoded.
    #[inline]
    fn range(&self, index: u8) -> BarRange {
        let space = match self.io >> (index & 7) & 1 {
            0 => BarSpace::Memory,
            _ => BarSpace::Io,
        };
        BarRange {
            space,
            start: self.start(index),
            size: 1 << (self.shift(index) & 63),
        }
    }

    /// Index and range of the decoded BARs, in rising order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u8, BarRange)> + '_ {
        Bits(self.decoded).filter_map(|index| Some((index, self.get(index)?)))
    }

    /// The BARs that are not decoded at the same place in both maps, as bits.
    #[inline]
    fn changed(&self, other: &Self) -> u8 {
        let both = self.decoded & other.decoded;
        let mut changed = self.decoded ^ other.decoded | (self.io ^ other.io) & both;
        for bar in Bits(both) {
            let moved = self.start(bar) ^ other.start(bar);
            let resized = self.shift(bar) ^ other.shift(bar);
            changed |= u8::from(moved | u64::from(resized) != 0) << bar;
        }
        changed
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
    pub fn steps_to<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = BarStep> + use<'a> {
        Steps::new(self, next, u8::MAX, u8::MAX)
    }

    /// The unmap steps of [`steps_to`](Self::steps_to): to be done before a disable is forwarded to a device.
    #[inline]
    pub fn unmaps_to<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = BarStep> + use<'a> {
        Steps::new(self, next, u8::MAX, 0)
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
        Self {
            decoded: self.decoded & !self.changed(other),
            ..*self
        }
    }

    /// The map steps of [`steps_to`](Self::steps_to): to be done after an enable was forwarded to a device.
    #[inline]
    pub fn maps_to<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = BarStep> + use<'a> {
        Steps::new(self, next, 0, u8::MAX)
    }
}

impl PartialEq for BarMap {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.changed(other) == 0
    }
}

impl Eq for BarMap {}

impl Hash for BarMap {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.decoded.hash(state);
        self.iter().for_each(|(_, range)| range.hash(state));
    }
}

impl fmt::Debug for BarMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The numbers of the bits that are set, in rising order.
pub(crate) struct Bits(pub(crate) u8);

impl Iterator for Bits {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let bits = NonZero::new(self.0)?;
        let [lowest, ..] = bits.trailing_zeros().to_le_bytes();
        self.0 &= self.0 - 1;
        Some(lowest)
    }
}

/// The steps between two maps that are left to take.
struct Steps<'a> {
    old: &'a BarMap,
    new: &'a BarMap,
    /// BARs to unmap in the low byte, to map in the high byte.
    left: u16,
}

impl<'a> Steps<'a> {
    #[inline]
    fn new(old: &'a BarMap, new: &'a BarMap, unmaps: u8, maps: u8) -> Self {
        let changed = old.changed(new);
        let left = u16::from_le_bytes([changed & old.decoded & unmaps, changed & new.decoded & maps]);
        Self { old, new, left }
    }
}

impl Iterator for Steps<'_> {
    type Item = BarStep;

    #[inline]
    fn next(&mut self) -> Option<BarStep> {
        let [lowest, ..] = NonZero::new(self.left)?.trailing_zeros().to_le_bytes();
        self.left &= self.left - 1;
        let bar = lowest & 7;
        Some(if lowest < 8 {
            let range = self.old.range(bar);
            BarStep::Unmap { bar, range }
        } else {
            let range = self.new.range(bar);
            BarStep::Map { bar, range }
        })
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
    use std::format;
    use std::hash::DefaultHasher;
    use std::vec::Vec;

    fn map() -> impl Strategy<Value = BarMap> {
        let range = proptest::option::of((0_u64..4, any::<bool>(), any::<bool>()).prop_map(|(start, io, large)| {
            let space = if io { BarSpace::Io } else { BarSpace::Memory };
            BarRange::new(space, start << 12, if large { 0x4000 } else { 0x1000 }).unwrap()
        }));
        proptest::array::uniform7(range).prop_map(BarMap::new)
    }

    proptest! {
        #[test]
        fn steps_lead_from_one_map_to_the_next(old in map(), new in map()) {
            let mut now = [0, 1, 2, 3, 4, 5, 6].map(|bar| old.get(bar));
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
            // Not by equality, which is told from the same changes.
            prop_assert_eq!(now, [0, 1, 2, 3, 4, 5, 6].map(|bar| new.get(bar)));
            prop_assert_eq!(old.steps_to(&old).count(), 0);
            let parts: Vec<_> = old.unmaps_to(&new).chain(old.maps_to(&new)).collect();
            prop_assert_eq!(parts, old.steps_to(&new).collect::<Vec<_>>());
        }
    }

    #[test]
    fn only_what_is_decoded_counts() {
        let range = |start| BarRange::new(BarSpace::Memory, start, 0x1000);
        let mut hidden = BarMap::new([range(0x1000), range(0x3000), None, None, None, None, None]);
        hidden.set_decoded(1);
        let plain = BarMap::new([range(0x1000), None, None, None, None, None, None]);
        assert_eq!(hidden, plain);
        assert_eq!(format!("{hidden:?}"), format!("{plain:?}"));
        let hash = |map: BarMap| {
            let mut hasher = DefaultHasher::new();
            map.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(hidden), hash(plain));
        assert_eq!((hidden.get(1), hidden.get(7), hidden.get(255)), (None, None, None));
        hidden.set_decoded(3);
        assert_ne!(hidden, plain);
        assert_ne!(format!("{hidden:?}"), format!("{plain:?}"));
        assert_ne!(hash(hidden), hash(plain));
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
    fn a_move_and_another_size_do_not_cancel() {
        let map = |start, size| {
            let range = BarRange::new(BarSpace::Memory, start, size);
            BarMap::new([range, None, None, None, None, None, None])
        };
        // The numbers of the sizes differ in the bit in which the addresses differ.
        assert_ne!(map(0x1000, 1 << 12), map(0x1010, 1 << 28));
    }

    #[test]
    fn ranges_overlap_in_one_space_only() {
        let range = |start| BarRange::new(BarSpace::Memory, start, 0x100).unwrap();
        let here = range(0x1000);
        for start in [0xf01, 0x1000, 0x10ff] {
            assert!(here.overlaps(range(start)), "{start:#x}");
            let ports = BarRange::new(BarSpace::Io, start, 0x100).unwrap();
            assert!(!here.overlaps(ports), "{start:#x}");
        }
        for start in [0xf00, 0x1100] {
            assert!(!here.overlaps(range(start)), "{start:#x}");
        }
    }

    #[test]
    fn a_range_is_shown_with_its_space() {
        let show = |space| format!("{}", BarRange::new(space, 0xc000, 0x40).unwrap());
        assert_eq!(show(BarSpace::Memory), "memory 0xc000..=0xc03f");
        assert_eq!(show(BarSpace::Io), "I/O 0xc000..=0xc03f");
    }

    #[test]
    fn no_range_wraps_or_has_another_size() {
        assert_eq!(BarRange::new(BarSpace::Memory, 0, 0), None);
        assert_eq!(BarRange::new(BarSpace::Memory, 0, 3), None);
        assert_eq!(BarRange::new(BarSpace::Memory, u64::MAX, 2), None);
        assert_eq!(BarRange::new(BarSpace::Memory, u64::MAX, 1).unwrap().last(), u64::MAX);
    }
}
