// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR carving: which pages of a memory BAR a guest may reach directly, and which accesses the VMM must see.
//!
//! A [`Carving`] is computed from four facts: the size of the BAR, the page size of the host, the areas the host lets
//! us map, and the bytes that must be trapped (an MSI-X table, a register page that mirrors configuration space). Its
//! [pieces](Carving::pieces) are in order, disjoint, and cover the BAR exactly. A mapped piece consists of whole pages,
//! lies within one area and holds no trapped byte; every page for which that is possible is mapped.
//!
//! ```
//! use pci_model::carve::{Carving, Mappable, PageSize, Piece, Span};
//!
//! // A 64 KiB BAR with an MSI-X table of 16 vectors at 0x2000.
//! let trapped = [Span::new(0x2000, 16 * 16)];
//! let carving = Carving::new(0x1_0000, PageSize::new(0x1000)?, Mappable::Whole, &trapped)?;
//! assert!(carving.pieces().eq([
//!     Piece::Mapped(Span::new(0, 0x2000)),
//!     Piece::Trapped(Span::new(0x2000, 0x1000)),
//!     Piece::Mapped(Span::new(0x3000, 0xd000)),
//! ]));
//! # Ok::<(), pci_model::carve::CarveError>(())
//! ```

use core::fmt;
use core::iter::FusedIterator;

/// Most areas, and most trapped ranges, that a [`Carving`] accepts. The work grows with their square.
pub const MAX_SPANS: usize = 256;

/// A range of bytes: `len` bytes from `offset`. Prints as `0x2000+0x100`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Span {
    /// `len` bytes from `offset`.
    #[must_use]
    pub const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len }
    }

    /// The offset one past the last byte, or `None` if it does not fit 64 bits.
    #[must_use]
    pub const fn end(self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }

    /// Whether the two have a byte in common. An empty range has none; a range that would wrap ends at the last byte.
    const fn overlaps(self, other: Self) -> bool {
        self.len != 0
            && other.len != 0
            && self.offset <= other.offset.saturating_add(other.len - 1)
            && other.offset <= self.offset.saturating_add(self.len - 1)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}+{:#x}", self.offset, self.len)
    }
}

/// The page size of the host in bytes: a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageSize(u64);

impl PageSize {
    /// A page size of `bytes`.
    ///
    /// # Errors
    ///
    /// [`CarveError::PageSize`] unless `bytes` is a power of two.
    pub const fn new(bytes: u64) -> Result<Self, CarveError> {
        if bytes.is_power_of_two() {
            Ok(Self(bytes))
        } else {
            Err(CarveError::PageSize(bytes))
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    const fn floor(self, offset: u64) -> u64 {
        offset & !(self.0 - 1)
    }

    const fn ceil(self, offset: u64) -> Option<u64> {
        offset.checked_next_multiple_of(self.0)
    }
}

/// What the host lets us map of a BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mappable<'a> {
    /// Nothing; every access is trapped.
    Nothing,
    /// The whole BAR.
    Whole,
    /// Exactly these areas, in any order. VFIO reports them as the sparse mmap capability of the region.
    Areas(&'a [Span]),
}

/// A run of bytes that are all reached in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Piece {
    /// Whole pages of one mappable area; the guest reaches them without an exit.
    Mapped(Span),
    /// Bytes whose accesses come to the VMM.
    Trapped(Span),
}

impl Piece {
    /// The bytes of the piece, relative to the BAR.
    #[must_use]
    pub const fn span(self) -> Span {
        match self {
            Self::Mapped(span) | Self::Trapped(span) => span,
        }
    }
}

/// The facts given for a BAR contradict each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarveError {
    /// The page size is zero or no power of two.
    #[error("page size {0:#x} is not a power of two")]
    PageSize(u64),
    /// A mappable area does not lie within the BAR.
    #[error("mappable area {area} leaves the BAR of {size:#x} bytes")]
    Area {
        /// The area.
        area: Span,
        /// Size of the BAR in bytes.
        size: u64,
    },
    /// A trapped range does not lie within the BAR.
    #[error("trapped range {range} leaves the BAR of {size:#x} bytes")]
    Trap {
        /// The range.
        range: Span,
        /// Size of the BAR in bytes.
        size: u64,
    },
    /// One of the two lists is longer than [`MAX_SPANS`].
    #[error("{0} ranges for one BAR, at most {MAX_SPANS} are accepted")]
    TooMany(usize),
}

/// How a BAR divides into mapped and trapped pieces.
///
/// A copy of the facts, checked; the pieces are worked out as they are asked for, without allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carving<'a> {
    size: u64,
    page: PageSize,
    mappable: Mappable<'a>,
    trapped: &'a [Span],
}

impl<'a> Carving<'a> {
    /// Carves a BAR of `size` bytes.
    ///
    /// Areas and trapped ranges may be unsorted, overlap, touch or be empty. A page counts as mappable if one area
    /// holds it whole. If the host reports areas, it has left out what must not be mapped: an MSI-X table need not be
    /// among the trapped ranges then.
    ///
    /// # Errors
    ///
    /// [`CarveError::Area`] or [`CarveError::Trap`] if a range leaves the BAR, [`CarveError::TooMany`] if there are
    /// more than [`MAX_SPANS`] of a kind.
    pub fn new(size: u64, page: PageSize, mappable: Mappable<'a>, trapped: &'a [Span]) -> Result<Self, CarveError> {
        let areas = match mappable {
            Mappable::Areas(areas) => areas,
            Mappable::Nothing | Mappable::Whole => &[],
        };
        for list in [areas, trapped] {
            if list.len() > MAX_SPANS {
                return Err(CarveError::TooMany(list.len()));
            }
        }
        let leaves = |span: &&Span| span.end().is_none_or(|end| end > size);
        if let Some(&area) = areas.iter().find(leaves) {
            return Err(CarveError::Area { area, size });
        }
        if let Some(&range) = trapped.iter().find(leaves) {
            return Err(CarveError::Trap { range, size });
        }
        Ok(Self {
            size,
            page,
            mappable,
            trapped,
        })
    }

    /// The pieces from the lowest offset to the highest.
    ///
    /// Two mapped pieces touch only where no area holds both. A BAR of less than a page is one trapped piece, whatever
    /// is mappable; see [`page_slot`](Self::page_slot).
    #[must_use]
    pub const fn pieces(&self) -> Pieces<'a> {
        Pieces { carving: *self, at: 0 }
    }

    /// The guest-physical page that a BAR of less than a page may be mapped as, or `None` if it must be trapped.
    ///
    /// `gpa` is where the guest placed the BAR, `others` are the guest-physical ranges that anything else decodes. The
    /// page is granted if the BAR starts it, the host lets us map the whole BAR, no byte is to be trapped and nothing
    /// else decodes in the page: the rest of the page would be hidden from its owner, and a hypervisor maps pages only.
    #[must_use]
    pub fn page_slot(&self, gpa: u64, others: impl IntoIterator<Item = Span>) -> Option<Span> {
        let page = self.page.get();
        let fits = self.size != 0 && self.size < page && gpa.is_multiple_of(page);
        let mappable = self.areas().any(|area| area == Span::new(0, self.size));
        let untrapped = self.trapped.iter().all(|range| range.len == 0);
        let slot = Span::new(gpa, page);
        (fits && mappable && untrapped && !others.into_iter().any(|other| other.overlaps(slot))).then_some(slot)
    }

    fn areas(&self) -> impl Iterator<Item = Span> + use<'a> {
        let (whole, areas): (_, &[Span]) = match self.mappable {
            Mappable::Nothing => (None, &[]),
            Mappable::Whole => (Some(Span::new(0, self.size)), &[]),
            Mappable::Areas(areas) => (None, areas),
        };
        whole.into_iter().chain(areas.iter().copied())
    }

    /// First and end offset of the whole pages of each area.
    fn mappable_pages(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let page = self.page;
        self.areas()
            .filter_map(move |area| Some((page.ceil(area.offset)?, page.floor(area.end()?))))
    }

    /// First and end offset of the pages that each trapped range touches; the last may end beyond the BAR.
    fn trapped_pages(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let (page, size) = (self.page, self.size);
        self.trapped.iter().filter(|range| range.len != 0).map(move |range| {
            let end = range.end().and_then(|end| page.ceil(end));
            (page.floor(range.offset), end.unwrap_or(size))
        })
    }

    /// The end of the longest mapped piece that starts with the page at `at`, or `None` if that page is trapped.
    fn mapped_until(&self, at: u64) -> Option<u64> {
        let holds = |&(start, end): &(u64, u64)| start <= at && at < end;
        if self.trapped_pages().any(|pages| holds(&pages)) {
            return None;
        }
        let area = self.mappable_pages().filter(holds).map(|(_, end)| end).max()?;
        let trap = self
            .trapped_pages()
            .map(|(start, _)| start)
            .filter(|&start| start > at)
            .min();
        Some(trap.map_or(area, |trap| trap.min(area)))
    }

    /// The end of the trapped piece that holds the page at `at`: the next page that is mapped, or the end of the BAR.
    fn trapped_until(&self, mut at: u64) -> u64 {
        // A page can be the first mapped one only where an area starts or a trapped range ends.
        loop {
            let starts = self.mappable_pages().map(|(start, _)| start);
            let ends = self.trapped_pages().map(|(_, end)| end);
            match starts.chain(ends).filter(|&next| at < next).min() {
                None => return self.size,
                Some(next) if self.mapped_until(next).is_some() => return next,
                Some(next) => at = next,
            }
        }
    }
}

/// Iterator over the pieces of a [`Carving`].
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    carving: Carving<'a>,
    at: u64,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let start = self.at;
        if start >= self.carving.size {
            return None;
        }
        let mapped = self.carving.mapped_until(start);
        self.at = mapped.unwrap_or_else(|| self.carving.trapped_until(start));
        let span = Span::new(start, self.at - start);
        Some(if mapped.is_some() {
            Piece::Mapped(span)
        } else {
            Piece::Trapped(span)
        })
    }
}

impl FusedIterator for Pieces<'_> {}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::{String, ToString};

    const PAGE: PageSize = PageSize(0x1000);

    /// Pieces as text: `[` mapped, `!` trapped, in hexadecimal.
    fn carve(size: u64, page: PageSize, mappable: Mappable<'_>, trapped: &[Span]) -> String {
        let mut text = String::new();
        for piece in Carving::new(size, page, mappable, trapped).unwrap().pieces() {
            let Span { offset, len } = piece.span();
            let mark = if matches!(piece, Piece::Mapped(_)) { '[' } else { '!' };
            text += &format!("{mark}{offset:x},{:x}) ", offset + len);
        }
        text.trim_end().to_string()
    }

    fn msix(size: u64, table: u64) -> String {
        carve(size, PAGE, Mappable::Whole, &[Span::new(table, 16 * 16)])
    }

    #[test]
    fn msix_table_inside_at_the_front_at_the_end_and_everywhere() {
        assert_eq!(msix(0x1_0000, 0x2000), "[0,2000) !2000,3000) [3000,10000)");
        assert_eq!(msix(0x1_0000, 0), "!0,1000) [1000,10000)");
        assert_eq!(msix(0x1_0000, 0xf000), "[0,f000) !f000,10000)");
        assert_eq!(msix(0x1000, 0x200), "!0,1000)");
    }

    #[test]
    fn one_register_costs_one_page_of_the_host() {
        let register = [Span::new(0x10_8100, 4)];
        let whole = Mappable::Whole;
        assert_eq!(
            carve(0x100_0000, PAGE, whole, &register),
            "[0,108000) !108000,109000) [109000,1000000)"
        );
        assert_eq!(
            carve(0x100_0000, PageSize(0x1_0000), whole, &register),
            "[0,100000) !100000,110000) [110000,1000000)"
        );
    }

    #[test]
    fn a_range_across_two_pages_costs_both() {
        let range = [Span::new(0x1fff, 2)];
        assert_eq!(
            carve(0x4000, PAGE, Mappable::Whole, &range),
            "[0,1000) !1000,3000) [3000,4000)"
        );
    }

    #[test]
    fn traps_that_touch_or_overlap_become_one_piece() {
        let traps = [Span::new(0x3000, 8), Span::new(0x1000, 0x1001), Span::new(0x1800, 0x10)];
        assert_eq!(
            carve(0x8000, PAGE, Mappable::Whole, &traps),
            "[0,1000) !1000,4000) [4000,8000)"
        );
    }

    #[test]
    fn without_mmap_all_is_trapped() {
        assert_eq!(carve(0x4000, PAGE, Mappable::Nothing, &[]), "!0,4000)");
        assert_eq!(carve(0x4000, PAGE, Mappable::Areas(&[]), &[]), "!0,4000)");
    }

    #[test]
    fn sparse_areas_are_kept_apart_and_shrink_to_pages() {
        let areas = [
            Span::new(0x4000, 0x2000),
            Span::new(0x800, 0x27ff),
            Span::new(0x6000, 0x1000),
        ];
        assert_eq!(
            carve(0x8000, PAGE, Mappable::Areas(&areas), &[]),
            "!0,1000) [1000,2000) !2000,4000) [4000,6000) [6000,7000) !7000,8000)"
        );
    }

    #[test]
    fn of_areas_that_overlap_the_longer_is_taken() {
        let areas = [Span::new(0, 0x2000), Span::new(0, 0x5000), Span::new(0x4000, 0x4000)];
        assert_eq!(
            carve(0x8000, PAGE, Mappable::Areas(&areas), &[]),
            "[0,5000) [5000,8000)"
        );
    }

    #[test]
    fn tail_of_less_than_a_page_is_trapped() {
        assert_eq!(carve(0x1800, PAGE, Mappable::Whole, &[]), "[0,1000) !1000,1800)");
        assert_eq!(carve(0x400, PAGE, Mappable::Whole, &[]), "!0,400)");
        assert_eq!(carve(0, PAGE, Mappable::Whole, &[]), "");
    }

    #[test]
    fn small_bar_gets_a_page_of_its_own_or_none() {
        let others = [Span::new(0xe000_0000, 0x1000), Span::new(0xe000_2000, 0x10)];
        let carving = Carving::new(0x400, PAGE, Mappable::Whole, &[]).unwrap();
        assert_eq!(
            carving.page_slot(0xe000_1000, others),
            Some(Span::new(0xe000_1000, 0x1000))
        );
        assert_eq!(carving.page_slot(0xe000_1400, []), None, "the BAR must start the page");
        assert_eq!(carving.page_slot(0xe000_1000, [Span::new(0xe000_1c00, 0x10)]), None);
        assert_eq!(carving.page_slot(0xe000_1000, [Span::new(0xe000_0000, u64::MAX)]), None);
        assert_eq!(
            carving.page_slot(0xe000_1000, [Span::new(0xe000_1c00, 0)]),
            Some(Span::new(0xe000_1000, 0x1000))
        );
        let empty = [Span::new(0x10, 0)];
        let carving = Carving::new(0x400, PAGE, Mappable::Whole, &empty).unwrap();
        assert!(
            carving.page_slot(0xe000_1000, []).is_some(),
            "an empty range traps nothing"
        );
        let last = u64::MAX - 0xfff;
        assert_eq!(carving.page_slot(last, [Span::new(u64::MAX, 1)]), None);
        assert_eq!(
            carving.page_slot(last, [Span::new(last - 1, 1)]),
            Some(Span::new(last, 0x1000))
        );

        let trapped = [Span::new(0x3fc, 4)];
        for (size, mappable, trapped) in [
            (0x400, Mappable::Whole, &trapped[..]),
            (0x400, Mappable::Nothing, &[]),
            (0x400, Mappable::Areas(&[Span { offset: 0, len: 0x200 }]), &[]),
            (0x1000, Mappable::Whole, &[]),
            (0, Mappable::Whole, &[]),
        ] {
            let carving = Carving::new(size, PAGE, mappable, trapped).unwrap();
            assert_eq!(carving.page_slot(0xe000_1000, []), None, "{carving:?}");
        }
    }

    #[test]
    fn the_largest_bar_is_carved() {
        let top = [Span::new(u64::MAX - 1, 1)];
        let pieces = carve(u64::MAX, PAGE, Mappable::Whole, &top);
        assert_eq!(pieces, "[0,fffffffffffff000) !fffffffffffff000,ffffffffffffffff)");
    }

    #[test]
    fn refusals_name_the_value() {
        assert_eq!(
            PageSize::new(0).unwrap_err().to_string(),
            "page size 0x0 is not a power of two"
        );
        assert_eq!(
            PageSize::new(0x1800).unwrap_err().to_string(),
            "page size 0x1800 is not a power of two"
        );
        let area = [Span::new(0x800, 0x801)];
        let refusal = Carving::new(0x1000, PAGE, Mappable::Areas(&area), &[]).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "mappable area 0x800+0x801 leaves the BAR of 0x1000 bytes"
        );
        let wrapping = [Span::new(u64::MAX, 2)];
        let refusal = Carving::new(0x1000, PAGE, Mappable::Whole, &wrapping).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "trapped range 0xffffffffffffffff+0x2 leaves the BAR of 0x1000 bytes"
        );
        let many = [Span::new(0, 0); MAX_SPANS + 1];
        let refusal = Carving::new(0x1000, PAGE, Mappable::Whole, &many).unwrap_err();
        assert_eq!(refusal.to_string(), "257 ranges for one BAR, at most 256 are accepted");
        assert!(Carving::new(0x1000, PAGE, Mappable::Areas(&many[1..]), &many[1..]).is_ok());
    }
}
