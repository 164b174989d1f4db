// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What differs between a recorded answer and the subject's.

use super::Failure;
use super::text::{count, shorten};

/// Hexadecimal digits shown of a byte string.
const WINDOW: usize = 64;
/// Digits of it that stand before the first difference.
const LEAD: usize = 16;
/// Ranges of bits listed before they are only counted.
const RANGES: usize = 12;

/// A piece of an answer, and whether it differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) differs: bool,
}

/// A value that fits a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Number {
    pub(super) expected: u64,
    pub(super) got: u64,
    pub(super) mask: u64,
    /// Hexadecimal digits of the wider of the two.
    pub(super) digits: usize,
}

impl Number {
    pub(super) const fn differing(self) -> u64 {
        (self.expected ^ self.got) & self.mask
    }
}

/// Both answers, piece by piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Comparison {
    pub(super) expected: Vec<Piece>,
    pub(super) got: Vec<Piece>,
    /// The difference in words, if it has any.
    pub(super) note: Option<String>,
    pub(super) number: Option<Number>,
}

/// Compares the two answers of a failure.
pub(super) fn compare(failure: &Failure) -> Comparison {
    let is_bytes = matches!(failure.text.split(' ').next(), Some("rb" | "rs"));
    let numbers = if is_bytes { None } else { number(failure) };
    if let Some(number) = numbers {
        let spell = |value: u64| format!("{value:0width$x}", width = number.digits);
        let marks = spell(number.differing());
        return Comparison {
            expected: pieces(&spell(number.expected), &marks),
            got: pieces(&spell(number.got), &marks),
            note: (number.differing() != 0).then(|| bit_ranges(number.differing())),
            number: Some(number),
        };
    }
    // An excerpt says where it is from: `0x0102 at byte 64 of 128`.
    let (expected, place) = failure.expected.split_once(' ').unwrap_or((&failure.expected, ""));
    let (got, same_place) = failure.got.split_once(' ').unwrap_or((&failure.got, ""));
    match (digits(expected), digits(got)) {
        (Some(expected), Some(got)) if expected.len() == got.len() && place == same_place => {
            bytes(expected, got, failure.mask.as_deref().and_then(digits), place)
        }
        _ => {
            let whole = |text: &str| {
                vec![Piece {
                    text: shorten(text, WINDOW * 2).into_owned(),
                    differs: true,
                }]
            };
            Comparison {
                expected: whole(&failure.expected),
                got: whole(&failure.got),
                note: None,
                number: None,
            }
        }
    }
}

fn digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x")
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn number(failure: &Failure) -> Option<Number> {
    let parse = |text: &str| {
        let digits = digits(text)?;
        Some((u64::from_str_radix(digits, 16).ok()?, digits.len()))
    };
    let (expected, expected_digits) = parse(&failure.expected)?;
    let (got, got_digits) = parse(&failure.got)?;
    let mask = match &failure.mask {
        Some(mask) => parse(mask)?.0,
        None => u64::MAX,
    };
    // Sixteen digits hold any value; more are leading zeros.
    Some(Number {
        expected,
        got,
        mask,
        digits: expected_digits.max(got_digits).min(16),
    })
}

/// Splits digits where `marks` changes between zero and not zero.
fn pieces(digits: &str, marks: &str) -> Vec<Piece> {
    let mut out = vec![Piece {
        text: "0x".to_owned(),
        differs: false,
    }];
    for (digit, mark) in digits.chars().zip(marks.chars()) {
        let differs = mark != '0';
        match out.last_mut() {
            Some(last) if last.differs == differs => last.text.push(digit),
            _ => out.push(Piece {
                text: digit.to_string(),
                differs,
            }),
        }
    }
    out
}

fn bytes(expected: &str, got: &str, mask: Option<&str>, place: &str) -> Comparison {
    let value = |c: char| c.to_digit(16).unwrap_or(0);
    let masks = mask
        .unwrap_or_default()
        .chars()
        .map(value)
        .chain(std::iter::repeat(0xf));
    let marks: String = expected
        .chars()
        .zip(got.chars())
        .zip(masks)
        .map(|((e, g), m)| if (value(e) ^ value(g)) & m == 0 { '0' } else { '1' })
        .collect();
    let first = marks.find('1').unwrap_or(0);
    let total = marks.len().div_ceil(2);
    let differing = marks.as_bytes().chunks(2).filter(|byte| byte.contains(&b'1')).count();

    let start = if marks.len() <= WINDOW {
        0
    } else {
        first.saturating_sub(LEAD) & !1
    };
    let end = marks.len().min(start + WINDOW);
    let view = |digits: &str| {
        let mut shown = pieces(
            digits.get(start..end).unwrap_or_default(),
            marks.get(start..end).unwrap_or_default(),
        );
        if start > 0 {
            shown.insert(
                0,
                Piece {
                    text: format!("[0x{:x}] ", start / 2),
                    differs: false,
                },
            );
        }
        if end < marks.len() {
            shown.push(Piece {
                text: "…".to_owned(),
                differs: false,
            });
        }
        if !place.is_empty() {
            shown.push(Piece {
                text: format!(" {}", shorten(place, WINDOW)),
                differs: false,
            });
        }
        shown
    };
    let total = count(u64::try_from(total).unwrap_or(u64::MAX), "byte");
    let note = match (differing, place) {
        (0, _) => None,
        (_, "") => Some(format!("{differing} of {total}, first at offset 0x{:x}", first / 2)),
        (_, _) => Some(format!("{differing} of the {total} shown")),
    };
    Comparison {
        expected: view(expected),
        got: view(got),
        note,
        number: None,
    }
}

/// Names of the bits of a value, highest first: `bits 31:24, 8, 1:0`.
fn bit_ranges(value: u64) -> String {
    let is_set = |bit: u32| bit < 64 && value >> bit & 1 == 1;
    let tops = (0..64).rev().filter(|&bit| is_set(bit) && !is_set(bit + 1));
    let ranges: Vec<String> = tops
        .map(|top| {
            let low = (0..top).rev().find(|&bit| !is_set(bit)).map_or(0, |clear| clear + 1);
            if low == top {
                top.to_string()
            } else {
                format!("{top}:{low}")
            }
        })
        .collect();
    let noun = if value.count_ones() == 1 { "bit" } else { "bits" };
    let rest = ranges.len().saturating_sub(RANGES);
    let shown = ranges.into_iter().take(RANGES).collect::<Vec<_>>().join(", ");
    if rest == 0 {
        format!("{noun} {shown}")
    } else {
        format!(
            "{noun} {shown} and {}",
            count(rest.try_into().unwrap_or(0), "more range")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(text: &str, expected: &str, got: &str, mask: Option<&str>) -> Failure {
        Failure {
            path: String::new(),
            line: 1,
            text: text.to_owned(),
            rule: String::new(),
            access: String::new(),
            expected: expected.to_owned(),
            got: got.to_owned(),
            mask: mask.map(str::to_owned),
            again: String::new(),
        }
    }

    fn marked(pieces: &[Piece]) -> String {
        pieces
            .iter()
            .map(|p| {
                if p.differs {
                    format!("<{}>", p.text)
                } else {
                    p.text.clone()
                }
            })
            .collect()
    }

    #[test]
    fn numbers() {
        let c = compare(&failure("r cfg 0x001050 2 0x0101", "0x0101", "0x0201", None));
        assert_eq!(
            (marked(&c.expected), marked(&c.got)),
            ("0x0<1>01".into(), "0x0<2>01".into())
        );
        assert_eq!(c.note.as_deref(), Some("bits 9:8"));

        let c = compare(&failure("r io 0x0511 1 0x51 0x0f", "0x51", "0x40", Some("0x0f")));
        assert_eq!(
            (marked(&c.expected), marked(&c.got)),
            ("0x5<1>".into(), "0x4<0>".into())
        );
        assert_eq!(c.note.as_deref(), Some("bit 0"));

        let c = compare(&failure("r", "0x1", "0xffffffffffffffff", None));
        assert_eq!(
            marked(&c.expected),
            "0x<000000000000000>1".replace("<000000000000000>1", "<0000000000000001>")
        );
        assert_eq!(c.note.as_deref(), Some("bits 63:1"));
        assert_eq!(
            bit_ranges(0x5555_5555_5555_5555),
            "bits 62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40 and 20 more ranges"
        );
        assert_eq!(bit_ranges(u64::MAX), "bits 63:0");
    }

    #[test]
    fn byte_strings() {
        let c = compare(&failure(
            "rs io 0x0511 1 4 0x51454d55",
            "0x51454d55",
            "0x51444d00",
            None,
        ));
        assert_eq!(
            (marked(&c.expected), marked(&c.got)),
            ("0x514<5>4d<55>".into(), "0x514<4>4d<00>".into())
        );
        assert_eq!(c.note.as_deref(), Some("2 of 4 bytes, first at offset 0x1"));
        assert_eq!(c.number, None);

        let mut got = "00".repeat(300);
        got.replace_range(400..402, "80");
        let c = compare(&failure(
            "rb ram",
            &format!("0x{}", "00".repeat(300)),
            &format!("0x{got}"),
            None,
        ));
        assert_eq!(
            marked(&c.got),
            format!("[0xc0] 0x{}<8>{}…", "0".repeat(16), "0".repeat(47))
        );
        assert_eq!(c.note.as_deref(), Some("1 of 300 bytes, first at offset 0xc8"));

        let c = compare(&failure(
            "rb ram",
            "0x00ff at byte 64 of 128",
            "0x01ff at byte 64 of 128",
            None,
        ));
        assert_eq!(marked(&c.got), "0x0<1>ff at byte 64 of 128");
        assert_eq!(c.note.as_deref(), Some("1 of the 2 bytes shown"));
        let c = compare(&failure(
            "rb ram",
            "0x00ff at byte 64 of 128",
            "0x01ff at byte 65 of 128",
            None,
        ));
        assert_eq!((marked(&c.got), c.note), ("<0x01ff at byte 65 of 128>".into(), None));

        let c = compare(&failure("rb ram 0 2 0x0000 0x00ff", "0x0000", "0x1001", Some("0x00ff")));
        assert_eq!(marked(&c.got), "0x100<1>");
    }

    #[test]
    fn anything_else_differs_as_a_whole() {
        let c = compare(&failure("map 00:02.0 0 0xe0000000 0x1000", "0xe0000000", "-", None));
        assert_eq!(
            (marked(&c.expected), marked(&c.got)),
            ("<0xe0000000>".into(), "<->".into())
        );
        for (e, g) in [
            ("", ""),
            ("0x", "0x"),
            ("0xzz", "0x00"),
            ("0x00", "0x0000000000000000000"),
            ("0xé", "\u{0}"),
        ] {
            let _ = compare(&failure("rb", e, g, Some("0x")));
            let _ = compare(&failure("r", e, g, Some("é")));
        }
    }
}
