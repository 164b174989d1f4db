// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Byte strings as pairs of hexadecimal digits.

use std::fmt;

/// Marks a character that is no hexadecimal digit in [`digit`]'s answer.
pub(super) const NO_DIGIT: u8 = 0xff;

#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let upper = if value < 10 { b'0' + value } else { b'A' + value - 10 };
        let lower = if value < 10 { upper } else { upper + 0x20 };
        table[upper as usize] = value;
        table[lower as usize] = value;
        value += 1;
    }
    table
};

/// Value of a hexadecimal digit, or [`NO_DIGIT`].
#[inline(always)]
#[expect(clippy::indexing_slicing, reason = "the table has an entry for every byte")]
pub(super) fn digit(c: u8) -> u8 {
    DIGITS[usize::from(c)]
}

/// A byte string in address order, borrowed from the hexadecimal digits of a line.
///
/// Two are equal if their bytes are, whatever the case of the digits.
#[derive(Clone, Copy, Default)]
pub struct Hex<'a>(&'a [[u8; 2]]);

impl<'a> Hex<'a> {
    /// The byte string with these digits, without `0x`, or `None` if they are not pairs of hexadecimal digits.
    #[must_use]
    pub fn new(digits: &'a [u8]) -> Option<Self> {
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        // Or-ing the answers and testing once keeps the loop free of branches.
        let all = digits.iter().fold(0, |all, c| all | digit(*c));
        (all != NO_DIGIT).then_some(Self(pairs))
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The bytes.
    pub fn bytes(self) -> impl ExactSizeIterator<Item = u8> + Clone + 'a {
        self.0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low))
    }

    /// Up to `len` bytes from `start` on; fewer at the end.
    #[must_use]
    pub fn part(self, start: usize, len: usize) -> Self {
        let rest = self.0.get(start..).unwrap_or_default();
        Self(rest.get(..len).unwrap_or(rest))
    }

    /// Copies the first bytes into `out`, as many as both have, and returns how many.
    pub fn copy_to(self, out: &mut [u8]) -> usize {
        for (to, from) in out.iter_mut().zip(self.bytes()) {
            *to = from;
        }
        out.len().min(self.len())
    }
}

impl PartialEq for Hex<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().eq(other.bytes())
    }
}

impl Eq for Hex<'_> {}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_of_digits() {
        assert_eq!(
            Hex::new(b"00fFA9").unwrap().bytes().collect::<Vec<_>>(),
            [0, 0xff, 0xa9]
        );
        assert!(Hex::new(b"").unwrap().is_empty());
        for wrong in ["0", "0g", "g0", " 0", "0x", "\u{e9}"] {
            assert_eq!(Hex::new(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn parts_stay_within_the_string() {
        let hex = Hex::new(b"00112233").unwrap();
        assert_eq!(hex.part(1, 2).to_string(), "0x1122");
        assert_eq!(hex.part(3, 9).to_string(), "0x33");
        assert_eq!(hex.part(9, 9).to_string(), "0x");
        let mut out = [0xee; 6];
        assert_eq!(hex.copy_to(&mut out), 4);
        assert_eq!(out, [0, 0x11, 0x22, 0x33, 0xee, 0xee]);
    }
}
