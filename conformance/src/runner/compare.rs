// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Comparison of byte strings, in pieces of bounded size.

use crate::trace::Hex;

/// Bytes of a piece; every width divides it.
pub(super) const PIECE: usize = 4096;
/// Bytes shown from the first difference on.
const SHOWN: usize = 16;

/// The outcome of comparing a byte string.
pub(super) struct Comparison<'a> {
    expected: Hex<'a>,
    mask: Option<Hex<'a>>,
    /// Size of an answer in bytes.
    unit: usize,
    done: usize,
    /// Answers that differ.
    pub(super) differences: u64,
    first: Option<(usize, Vec<u8>)>,
}

impl<'a> Comparison<'a> {
    /// A comparison with `expected`, of answers of `unit` bytes.
    pub(super) const fn new(expected: Hex<'a>, mask: Option<Hex<'a>>, unit: usize) -> Self {
        Self {
            expected,
            mask,
            unit,
            done: 0,
            differences: 0,
            first: None,
        }
    }

    /// Bytes of the next piece; 0 at the end.
    pub(super) fn next_len(&self) -> usize {
        (self.expected.len() - self.done).min(PIECE)
    }

    /// Compares the next piece.
    pub(super) fn piece(&mut self, got: &[u8]) {
        let start = self.done;
        self.done += got.len();
        let expected = self.expected.part(start, got.len()).bytes();
        let differing = |(got, expected): (&u8, u8)| got ^ expected;
        let mut differ: Vec<u8> = got.iter().zip(expected).map(differing).collect();
        if let Some(mask) = self.mask {
            let masks = mask.part(start, got.len()).bytes();
            differ.iter_mut().zip(masks).for_each(|(differ, mask)| *differ &= mask);
        }
        let is_wrong = |answer: &&[u8]| answer.iter().any(|bits| *bits != 0);
        let wrong = differ.chunks(self.unit).filter(is_wrong).count();
        self.differences += u64::try_from(wrong).unwrap_or(u64::MAX);
        if wrong > 0 && self.first.is_none() {
            let answer = differ
                .chunks(self.unit)
                .position(|answer| is_wrong(&answer))
                .unwrap_or_default();
            // A short string is shown whole.
            let at = if self.expected.len() <= SHOWN {
                0
            } else {
                answer * self.unit
            };
            self.first = Some((start + at, got.iter().skip(at).take(SHOWN).copied().collect()));
        }
    }

    /// What was expected, got and masked where the first difference is.
    pub(super) fn shown(&self) -> (String, String, Option<String>) {
        let Some((at, got)) = &self.first else {
            return Default::default();
        };
        let place = match self.expected.len() {
            len if len <= SHOWN => String::new(),
            len => format!(" at byte {at} of {len}"),
        };
        let digits: String = got.iter().map(|byte| format!("{byte:02x}")).collect();
        let mask = self.mask.map(|mask| mask.part(*at, got.len()).to_string());
        (
            format!("{}{place}", self.expected.part(*at, got.len())),
            format!("0x{digits}{place}"),
            mask,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_the_first_is_shown() {
        let text = "00".repeat(PIECE + 8);
        let mut all = Comparison::new(Hex::new(text.as_bytes()).unwrap(), None, 2);
        let mut got = vec![0; PIECE];
        assert_eq!(all.next_len(), PIECE);
        got[4091] = 1;
        got[4093] = 1;
        all.piece(&got);
        assert_eq!(all.next_len(), 8);
        all.piece(&[1, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!((all.next_len(), all.differences), (0, 4));
        let (expected, shown, mask) = all.shown();
        assert_eq!(expected, "0x000000000000 at byte 4090 of 4104");
        assert_eq!(shown, "0x000100010000 at byte 4090 of 4104");
        assert_eq!(mask, None);
    }

    #[test]
    fn masked_bits_do_not_count() {
        let hex = |text: &'static str| Hex::new(text.as_bytes()).unwrap();
        let mut masked = Comparison::new(hex("1234"), Some(hex("ff0f")), 1);
        masked.piece(&[0x12, 0xf4]);
        assert_eq!(masked.differences, 0);
        let mut masked = Comparison::new(hex("1234"), Some(hex("ff0f")), 1);
        masked.piece(&[0x12, 0xf5]);
        assert_eq!(masked.differences, 1);
        assert_eq!(
            masked.shown(),
            ("0x1234".into(), "0x12f5".into(), Some("0xff0f".into()))
        );
    }
}
