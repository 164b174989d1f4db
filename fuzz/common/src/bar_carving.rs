// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR carving: any areas and traps, page sizes and BAR sizes, against a reckoning that looks at every page.
//!
//! Input: a header of eight bytes (page size, what is mappable, size of the BAR, where the guest placed it), then spans
//! of five bytes, each an area, a trapped range or a range that something else decodes.

use std::fmt;

use pci_model::carve::{CarveError, Carving, MAX_SPANS, Mappable, PageSize, Piece, Span};

use crate::{Target, records};

/// The target.
pub const TARGET: Target = Target {
    name: "bar_carving",
    package: "pci-model",
    summary: "BAR carving, against a reckoning page by page",
    run,
    describe,
    seeds,
};

const HEADER: usize = 8;
const SPAN: usize = 5;

/// Base two logarithms of page sizes: real ones, tiny ones, and ones with which 64 pages are the whole address space.
const PAGE_LOG2: [u32; 12] = [12, 14, 16, 12, 21, 30, 0, 1, 4, 40, 57, 58];

/// What an input stands for.
#[derive(Clone, Debug)]
struct Case {
    page: u64,
    size: u64,
    /// What the host lets us map: nothing, the whole BAR, or the areas.
    host: u8,
    /// Each list is repeated until it is longer than accepted.
    too_many: bool,
    gpa: u64,
    areas: Vec<Span>,
    trapped: Vec<Span>,
    others: Vec<Span>,
}

impl Case {
    fn decode(data: &[u8]) -> Self {
        let ([page, host, pages, shift, gpa, gpa_shift, flags, _], spans) = records::split::<HEADER, SPAN>(data);
        let log2 = PAGE_LOG2
            .get(usize::from(page) % PAGE_LOG2.len())
            .copied()
            .unwrap_or(12);
        let page = 1_u64 << log2;
        // 64 pages at most; a size, an offset and an address lie at a page boundary or some bytes beside it.
        let beside = |base: u64, pages: u8, shift: u8| {
            base.saturating_add(page.saturating_mul(u64::from(pages % 65)))
                .saturating_add_signed(signed(shift))
        };
        let top = if flags & 1 != 0 {
            0_u64.wrapping_sub(page.saturating_mul(2))
        } else {
            0
        };
        let mut case = Self {
            page,
            size: beside(0, pages, shift),
            host: host % 4,
            too_many: flags & 0xf0 == 0xf0,
            gpa: beside(top, gpa, gpa_shift),
            areas: Vec::new(),
            trapped: Vec::new(),
            others: Vec::new(),
        };
        for [what, start, start_shift, len, len_shift] in spans {
            let span = |base| Span::new(beside(base, start, start_shift), beside(0, len, len_shift));
            match what % 3 {
                0 => case.areas.push(span(0)),
                1 => case.trapped.push(span(0)),
                _ => case.others.push(span(case.gpa.saturating_sub(page.saturating_mul(2)))),
            }
        }
        case
    }
}

fn signed(byte: u8) -> i64 {
    i8::from_le_bytes([byte]).into()
}

fn end(span: Span) -> u128 {
    u128::from(span.offset) + u128::from(span.len)
}

fn holds(outer: Span, inner: Span) -> bool {
    outer.offset <= inner.offset && end(inner) <= end(outer)
}

fn meets(a: Span, b: Span) -> bool {
    a.len != 0 && b.len != 0 && u128::from(a.offset) < end(b) && u128::from(b.offset) < end(a)
}

/// What the documentation says of lists that cannot be.
fn refusal(size: u64, areas: &[Span], trapped: &[Span]) -> Option<CarveError> {
    let leaves = |span: &&Span| end(**span) > u128::from(size);
    if let Some(long) = [areas, trapped].into_iter().find(|list| list.len() > MAX_SPANS) {
        return Some(CarveError::TooMany(long.len()));
    }
    if let Some(area) = areas.iter().find(leaves) {
        return Some(CarveError::Area { area: *area, size });
    }
    let range = trapped.iter().find(leaves)?;
    Some(CarveError::Trap { range: *range, size })
}

/// Runs one input.
///
/// # Panics
///
/// The pieces are not those of the reckoning.
pub fn run(data: &[u8]) {
    let mut case = Case::decode(data);
    for list in [&mut case.areas, &mut case.trapped] {
        if case.too_many && !list.is_empty() {
            *list = list.iter().copied().cycle().take(MAX_SPANS + list.len()).collect();
        }
    }
    let odd = case.page | 1 << 63 | case.size;
    if !odd.is_power_of_two() {
        assert_eq!(PageSize::new(odd), Err(CarveError::PageSize(odd)), "page size {odd:#x}");
    }
    let page = PageSize::new(case.page).unwrap_or_else(|error| panic!("{error}"));
    let (mappable, areas) = match case.host {
        0 => (Mappable::Nothing, vec![]),
        1 => (Mappable::Whole, vec![Span::new(0, case.size)]),
        _ => (Mappable::Areas(&case.areas), case.areas.clone()),
    };
    let carving = Carving::new(case.size, page, mappable, &case.trapped);
    // Areas count only where they are handed over.
    let handed = if case.host < 2 { &[] } else { &*case.areas };
    assert_eq!(carving.err(), refusal(case.size, handed, &case.trapped), "refusal");
    if let Ok(carving) = carving {
        check_pieces(&case, &areas, &carving);
        let slot = carving.page_slot(case.gpa, case.others.iter().copied());
        assert_eq!(slot, page_slot(&case, &areas), "page of a small BAR at {:#x}", case.gpa);
    }
}

fn check_pieces(case: &Case, areas: &[Span], carving: &Carving<'_>) {
    let is_mapped = |page: Span| {
        end(page) <= u128::from(case.size)
            && areas.iter().any(|area| holds(*area, page))
            && !case.trapped.iter().any(|range| meets(*range, page))
    };
    let mut pieces = carving.pieces();
    let mut at = 0;
    let mut last: Option<Piece> = None;
    for piece in pieces.by_ref() {
        let span = piece.span();
        assert_eq!(span.offset, at, "{piece:x?} does not begin where the one before ends");
        assert_ne!(span.len, 0, "{piece:x?} is empty");
        assert!(end(span) <= u128::from(case.size), "{piece:x?} leaves the BAR");
        assert_eq!(span.offset % case.page, 0, "{piece:x?} begins within a page");
        let mapped = matches!(piece, Piece::Mapped(_));
        // Each step is a page; a BAR has 66 at most.
        let mut page = span.offset;
        while u128::from(page) < end(span) {
            let bytes = Span::new(page, case.page);
            assert_eq!(mapped, is_mapped(bytes), "page {page:#x} in {piece:x?}");
            let Some(next) = page.checked_add(case.page) else {
                break;
            };
            page = next;
        }
        if mapped {
            assert_eq!(span.len % case.page, 0, "{piece:x?} ends within a page");
            assert!(
                areas.iter().any(|area| holds(*area, span)),
                "{piece:x?} lies in no single area"
            );
        }
        if let Some(before) = last {
            let one = Span::new(before.span().offset, before.span().len + span.len);
            match (before, piece) {
                (Piece::Trapped(_), Piece::Trapped(_)) => panic!("{before:x?} and {piece:x?} are one piece"),
                (Piece::Mapped(_), Piece::Mapped(_)) => {
                    assert!(
                        !areas.iter().any(|area| holds(*area, one)),
                        "one area holds {before:x?} and {piece:x?}"
                    );
                }
                _ => {}
            }
        }
        at += span.len;
        last = Some(piece);
    }
    assert_eq!(at, case.size, "the pieces do not cover the BAR");
    assert_eq!(pieces.next(), None, "pieces go on after their end");
}

/// The page that a BAR of less than a page may have for itself.
fn page_slot(case: &Case, areas: &[Span]) -> Option<Span> {
    let slot = Span::new(case.gpa, case.page);
    let whole = Span::new(0, case.size);
    let granted = case.size > 0
        && case.size < case.page
        && case.gpa.is_multiple_of(case.page)
        && areas.contains(&whole)
        && case.trapped.iter().all(|range| range.len == 0)
        && !case.others.iter().any(|other| meets(*other, slot));
    granted.then_some(slot)
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match self.host {
            0 => "nothing mappable",
            1 => "all mappable",
            _ => "areas mappable",
        };
        let many = if self.too_many { ", lists too long" } else { "" };
        writeln!(
            f,
            "{:#x} bytes at {:#x}, pages of {:#x}, {host}{many}",
            self.size, self.gpa, self.page
        )?;
        for (name, list) in [("area", &self.areas), ("trap", &self.trapped), ("other", &self.others)] {
            for span in list {
                writeln!(f, "{name:5}  {span}")?;
            }
        }
        Ok(())
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    Case::decode(data).to_string()
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    const AREA: u8 = 0;
    const TRAP: u8 = 1;
    const OTHER: u8 = 2;
    type Plan<'a> = (&'a str, [u8; HEADER], &'a [[u8; SPAN]]);
    let plans: [Plan<'_>; 7] = [
        ("msix-table", [0, 1, 16, 0, 0, 0, 0, 0], &[[TRAP, 2, 0, 0, 127]]),
        ("two-pages", [0, 1, 4, 0, 0, 0, 0, 0], &[[TRAP, 2, 0xff, 0, 2]]),
        (
            "areas",
            [0, 2, 8, 0, 0, 0, 0, 0],
            &[
                [AREA, 4, 0, 2, 0],
                [AREA, 0, 127, 3, 0],
                [AREA, 6, 0, 1, 0],
                [TRAP, 5, 4, 0, 4],
            ],
        ),
        (
            "overlapping-areas",
            [2, 2, 8, 0, 0, 0, 0, 0],
            &[[AREA, 0, 0, 2, 0], [AREA, 0, 0, 5, 0], [AREA, 4, 0, 4, 0]],
        ),
        ("tail", [0, 1, 2, 0xf0, 0, 0, 0, 0], &[[TRAP, 0, 8, 0, 8]]),
        (
            "small",
            [0, 1, 0, 64, 3, 0, 0, 0],
            &[[OTHER, 1, 0, 1, 0], [OTHER, 3, 0, 0, 16]],
        ),
        (
            "whole-address-space",
            [11, 1, 64, 0xff, 1, 0, 1, 0],
            &[[TRAP, 63, 0, 0, 1]],
        ),
    ];
    plans
        .map(|(name, header, spans)| (name.to_owned(), records::join(&header, spans)))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_run_and_read_well() {
        let seeds = seeds();
        for (name, seed) in &seeds {
            println!("{name}");
            run(seed);
        }
        assert_eq!(
            describe(&seeds[0].1),
            "0x10000 bytes at 0x0, pages of 0x1000, all mappable\ntrap   0x2000+0x7f\n"
        );
        assert!(
            describe(&seeds[6].1).starts_with("0xfffffffffffffffe bytes"),
            "{}",
            describe(&seeds[6].1)
        );
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 8000);
    }
}
