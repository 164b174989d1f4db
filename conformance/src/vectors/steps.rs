// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Lists in a column: plain values, ranges, and steps that a case takes one after the other.

use pci_model::carve::Span;

use super::table::{Question, number};
use crate::subject::Refusal;

/// A list of nothing.
pub(super) const NONE: &str = "none";
/// Most bytes of one access or of one run of RAM.
const MAX_COUNT: usize = 64;

/// An error about `text`.
pub(super) fn wrong(text: &str, what: &str) -> Refusal {
    Refusal::Error(format!("{text}: {what}"))
}

/// The values of a list, which commas separate.
pub(super) fn list<'a>(question: &Question<'a>, column: &str) -> Result<Vec<&'a str>, Refusal> {
    let text = question.text(column)?;
    Ok(if text == NONE {
        Vec::new()
    } else {
        text.split(',').collect()
    })
}

/// A list of values as text.
pub(super) fn joined(values: &[String]) -> String {
    if values.is_empty() {
        NONE.to_owned()
    } else {
        values.join(",")
    }
}

/// The range `START+LENGTH`.
pub(super) fn span(text: &str) -> Result<Span, Refusal> {
    let (offset, len) = text
        .split_once('+')
        .ok_or_else(|| wrong(text, "expected START+LENGTH"))?;
    Ok(Span::new(number("start", offset)?, number("length", len)?))
}

/// The ranges of a list.
pub(super) fn spans(question: &Question<'_>, column: &str) -> Result<Vec<Span>, Refusal> {
    list(question, column)?.into_iter().map(span).collect()
}

/// Bytes in their order, as `0x` and two digits each.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, Refusal> {
    let no_bytes = || wrong(text, "expected 0x and two digits for each byte");
    let digits = text.strip_prefix("0x").ok_or_else(no_bytes)?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else {
        return Err(no_bytes());
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()
        .ok_or_else(no_bytes)
}

/// Bytes in their order as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The first `len` bytes of a little-endian number, as a number of that width.
pub(super) fn value_of(bytes: &[u8]) -> String {
    let value = bytes
        .iter()
        .rev()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    format!("{value:#0width$x}", width = 2 + 2 * bytes.len())
}

/// A step: `VERB`, with a number of bytes as in `r4`, a place as in `r4@0x10`, and a value as in `w4@0x10=0x0`.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    /// The whole step, for errors.
    pub(super) text: &'a str,
    /// What is done.
    pub(super) verb: &'a str,
    count: &'a str,
    at: Option<&'a str>,
    value: Option<&'a str>,
}

impl<'a> Step<'a> {
    /// The steps in the column `steps`.
    pub(super) fn all(question: &Question<'a>) -> Result<Vec<Self>, Refusal> {
        Ok(list(question, "steps")?.into_iter().map(Self::parse).collect())
    }

    fn parse(text: &'a str) -> Self {
        let (what, value) = match text.split_once('=') {
            Some((what, value)) => (what, Some(value)),
            None => (text, None),
        };
        let (what, at) = match what.split_once('@') {
            Some((what, at)) => (what, Some(at)),
            None => (what, None),
        };
        let verb = what.trim_end_matches(|c: char| c.is_ascii_digit());
        let count = what.strip_prefix(verb).unwrap_or("");
        Self {
            text,
            verb,
            count,
            at,
            value,
        }
    }

    /// The number of bytes.
    pub(super) fn count(&self) -> Result<usize, Refusal> {
        match number(self.text, self.count)? {
            count if count <= MAX_COUNT => Ok(count),
            count => Err(wrong(
                self.text,
                &format!("{count} bytes, at most {MAX_COUNT} are taken at once"),
            )),
        }
    }

    /// The place.
    pub(super) fn at<T: TryFrom<u64>>(&self) -> Result<T, Refusal> {
        let at = self.at.ok_or_else(|| wrong(self.text, "expected @ and a place"))?;
        number(self.text, at)
    }

    /// The value.
    pub(super) fn value<T: TryFrom<u64>>(&self) -> Result<T, Refusal> {
        number(self.text, self.value_text()?)
    }

    /// The value as so many bytes, in their order.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Refusal> {
        let bytes = bytes(self.value_text()?)?;
        if bytes.len() == self.count()? {
            Ok(bytes)
        } else {
            Err(wrong(self.text, "another number of bytes than the step says"))
        }
    }

    fn value_text(&self) -> Result<&'a str, Refusal> {
        self.value.ok_or_else(|| wrong(self.text, "expected = and a value"))
    }

    /// The error for a step that a table does not have.
    pub(super) fn unknown(&self) -> Refusal {
        wrong(self.text, "no step that is known")
    }
}
