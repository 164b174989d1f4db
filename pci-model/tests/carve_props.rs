// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR carving against a model that looks at every page.

use pci_model::carve::{CarveError, Carving, Mappable, PageSize, Piece, Span};
use proptest::collection::vec;
use proptest::prelude::*;

const PAGE: u64 = 0x1000;
const PAGES: u64 = 48;

#[derive(Clone, Debug)]
enum Host {
    Nothing,
    Whole,
    Areas(Vec<Span>),
}

impl Host {
    fn mappable(&self) -> Mappable<'_> {
        match self {
            Self::Nothing => Mappable::Nothing,
            Self::Whole => Mappable::Whole,
            Self::Areas(areas) => Mappable::Areas(areas),
        }
    }

    fn areas(&self, size: u64) -> Vec<Span> {
        match self {
            Self::Nothing => vec![],
            Self::Whole => vec![Span::new(0, size)],
            Self::Areas(areas) => areas.clone(),
        }
    }
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

/// The rule for one page, as the documentation words it.
fn page_is_mapped(page: Span, size: u64, areas: &[Span], trapped: &[Span]) -> bool {
    end(page) <= u128::from(size)
        && areas.iter().any(|&area| holds(area, page))
        && !trapped.iter().any(|&range| meets(range, page))
}

/// Ranges of a BAR of `size` bytes, many of them starting or ending at, or one byte beside, a page boundary.
fn span_within(size: u64) -> impl Strategy<Value = Span> {
    let point = (0..=PAGES, prop_oneof![Just(-1i64), Just(0), Just(1), -2000..2000i64])
        .prop_map(move |(page, shift)| (page * PAGE).saturating_add_signed(shift).min(size));
    (point.clone(), point).prop_map(|(a, b)| Span::new(a.min(b), a.abs_diff(b)))
}

fn bar() -> impl Strategy<Value = (u64, Host, Vec<Span>)> {
    let size = prop_oneof![(0..=PAGES).prop_map(|pages| pages * PAGE), 0..=PAGES * PAGE];
    size.prop_flat_map(|size| {
        let host = prop_oneof![
            1 => Just(Host::Nothing),
            3 => Just(Host::Whole),
            5 => vec(span_within(size), 0..6).prop_map(Host::Areas),
        ];
        (Just(size), host, vec(span_within(size), 0..5))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_are_those_of_the_page_model((size, host, trapped) in bar()) {
        let areas = host.areas(size);
        let pieces: Vec<_> =
            Carving::new(size, PageSize::new(PAGE).unwrap(), host.mappable(), &trapped).unwrap().pieces().collect();

        let mut at = 0;
        for piece in &pieces {
            let span = piece.span();
            prop_assert_eq!(span.offset, at, "pieces follow each other: {:x?}", pieces);
            prop_assert_ne!(span.len, 0);
            at = span.end().unwrap();
            if let Piece::Mapped(span) = *piece {
                prop_assert_eq!((span.offset % PAGE, span.len % PAGE), (0, 0));
                prop_assert!(areas.iter().any(|&area| holds(area, span)), "{} lies in one area", span);
            }
        }
        prop_assert_eq!(at, size);

        for page in (0..size.div_ceil(PAGE)).map(|page| Span::new(page * PAGE, PAGE)) {
            let mapped = pieces.iter().any(|piece| matches!(piece, Piece::Mapped(span) if holds(*span, page)));
            prop_assert_eq!(mapped, page_is_mapped(page, size, &areas, &trapped), "page {}", page);
        }

        for pair in pieces.windows(2) {
            match *pair {
                [Piece::Trapped(a), Piece::Trapped(b)] => prop_assert!(false, "{a} and {b} are one piece"),
                [Piece::Mapped(a), Piece::Mapped(b)] => {
                    let longer = Span::new(a.offset, a.len + b.len.min(PAGE));
                    prop_assert!(!areas.iter().any(|&area| holds(area, longer)), "{} could be longer", a);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn any_number_is_carved_or_refused(
        (size, host, trapped) in wild_bar(),
        page in prop_oneof![7 => (0..64u32).prop_map(|bit| 1 << bit), 1 => any::<u64>()],
        gpa in wild(),
        others in vec(wild_span(), 0..4),
    ) {
        let Ok(page) = PageSize::new(page) else {
            prop_assert!(!page.is_power_of_two());
            return Ok(());
        };
        let leaves = |span: &Span| end(*span) > u128::from(size);
        let areas = host.areas(size);
        let carving = match Carving::new(size, page, host.mappable(), &trapped) {
            Ok(carving) => carving,
            Err(CarveError::Area { area, .. }) => {
                prop_assert!(leaves(&area));
                return Ok(());
            }
            Err(CarveError::Trap { range, .. }) => {
                prop_assert!(leaves(&range));
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(format!("{other}"))),
        };
        prop_assert!(!areas.iter().chain(&trapped).any(leaves));

        let mut at = 0;
        for (count, piece) in carving.pieces().enumerate() {
            prop_assert!(count < 64, "no more pieces than the ranges can cause");
            prop_assert_eq!(piece.span().offset, at);
            at = piece.span().end().unwrap();
            if let Piece::Mapped(span) = piece {
                prop_assert!(!trapped.iter().any(|&range| meets(range, span)));
                prop_assert!(areas.iter().any(|&area| holds(area, span)));
            }
        }
        prop_assert_eq!(at, size);

        if let Some(slot) = carving.page_slot(gpa, others.iter().copied()) {
            prop_assert_eq!((slot.offset, slot.len), (gpa, page.get()));
            prop_assert!(!others.iter().any(|&other| meets(other, slot)));
            prop_assert!(size < page.get() && gpa % page.get() == 0);
        }
    }
}

/// Numbers of every magnitude, and those around the powers of two.
fn wild() -> impl Strategy<Value = u64> {
    let magnitude = (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift);
    let edge = (0..64u32, -1..=1i64).prop_map(|(bit, shift)| (1u64 << bit).saturating_add_signed(shift));
    prop_oneof![magnitude, edge, Just(0), Just(u64::MAX)]
}

fn wild_span() -> impl Strategy<Value = Span> {
    (wild(), wild()).prop_map(|(offset, len)| Span::new(offset, len))
}

/// A BAR of any size; one range in sixteen may leave it.
fn wild_bar() -> impl Strategy<Value = (u64, Host, Vec<Span>)> {
    wild().prop_flat_map(|size| {
        let within = (wild(), wild()).prop_map(move |(a, b)| {
            let (a, b) = (a.min(size), b.min(size));
            Span::new(a.min(b), a.abs_diff(b))
        });
        let span = prop_oneof![15 => within, 1 => wild_span()].boxed();
        let host = prop_oneof![Just(Host::Whole), vec(span.clone(), 0..8).prop_map(Host::Areas)];
        (Just(size), host, vec(span, 0..4))
    })
}
