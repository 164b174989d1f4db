// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bounded byte strings, and the text they are written as.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

/// Runs of at least this many equal bytes are written as one group with a count.
const RUN: usize = 16;

/// At most `MAX` bytes as the host gave them.
///
/// Written as groups of hexadecimal digits, separated by spaces; a group of one byte may have a count: `4d656d 00*8176`.
/// A count cannot make the string longer than `MAX`.
///
/// ```
/// use igd_quirks::facts::Bytes;
///
/// let bytes: Bytes<4096> = "4d65 6d ff*2".parse()?;
/// assert_eq!(&bytes[..], b"Mem\xff\xff");
/// assert!("00*5000".parse::<Bytes<4096>>().is_err());
/// # Ok::<(), igd_quirks::facts::BytesError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

/// A text or length that is no byte string of its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BytesError {
    /// More bytes than such a string can have.
    #[error("{len} bytes or more: at most {max} are allowed")]
    TooLong {
        /// Bytes up to where reading stopped.
        len: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// A group is not made of pairs of hexadecimal digits, or its count is not `*` and a decimal number.
    #[error("group {group} is not pairs of hexadecimal digits, or one pair with a count such as 00*256")]
    Group {
        /// Position of the group, from 0.
        group: usize,
    },
}

impl<const MAX: usize> Bytes<MAX> {
    /// These bytes.
    ///
    /// # Errors
    ///
    /// [`BytesError::TooLong`] for more than `MAX` bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BytesError> {
        let bytes = bytes.into();
        match bytes.len() {
            len if len > MAX => Err(BytesError::TooLong { len, max: MAX }),
            _ => Ok(Self(bytes)),
        }
    }

    /// Overwrites what exists of `len` bytes from `offset` with zeros.
    pub(super) fn clear(&mut self, offset: usize, len: usize) {
        let end = offset.saturating_add(len).min(self.0.len());
        if let Some(bytes) = self.0.get_mut(offset..end) {
            bytes.fill(0);
        }
    }
}

impl<const MAX: usize> Deref for Bytes<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({self})")
    }
}

impl<const MAX: usize> fmt::Display for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut in_group = false;
        for run in self.0.chunk_by(|a, b| a == b) {
            let Some(byte) = run.first() else { continue };
            if run.len() >= RUN {
                write!(f, "{separator}{byte:02x}*{}", run.len())?;
                in_group = false;
            } else {
                if !in_group {
                    f.write_str(separator)?;
                }
                for byte in run {
                    write!(f, "{byte:02x}")?;
                }
                in_group = true;
            }
            separator = " ";
        }
        Ok(())
    }
}

impl<const MAX: usize> FromStr for Bytes<MAX> {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let mut bytes = Vec::new();
        for (group, part) in text.split_ascii_whitespace().enumerate() {
            let wrong = BytesError::Group { group };
            let (digits, count) = match part.split_once('*') {
                Some((digits, count)) if digits.len() == 2 => (digits, decimal(count).ok_or(wrong)?),
                Some(_) => return Err(wrong),
                None => (part, 1),
            };
            let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
            if !rest.is_empty() {
                return Err(wrong);
            }
            let len = pairs.len().saturating_mul(count).saturating_add(bytes.len());
            if len > MAX {
                return Err(BytesError::TooLong { len, max: MAX });
            }
            for &[high, low] in pairs {
                let byte = nibble(high)
                    .zip(nibble(low))
                    .map(|(high, low)| high << 4 | low)
                    .ok_or(wrong)?;
                bytes.extend(core::iter::repeat_n(byte, count));
            }
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// A decimal number without a sign.
fn decimal(text: &str) -> Option<usize> {
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec;

    #[test]
    fn every_string_survives_text() {
        for (bytes, text) in [
            (vec![], ""),
            (vec![0; 15], "000000000000000000000000000000"),
            (vec![0; 16], "00*16"),
            ([&b"Mem"[..], &[0; 20], b"x"].concat(), "4d656d 00*20 78"),
            ([&[7; 16][..], &[8; 16]].concat(), "07*16 08*16"),
            (vec![1, 2, 2, 3], "01020203"),
        ] {
            let value = Bytes::<64>::new(bytes).unwrap();
            assert_eq!(value.to_string(), text);
            assert_eq!(std::format!("{value:?}"), std::format!("Bytes({text})"));
            assert_eq!(text.parse(), Ok(value));
        }
    }

    #[test]
    fn a_length_that_was_told_is_not_believed() {
        let too_long = |len| Err(BytesError::TooLong { len, max: 4 });
        assert_eq!("00*5".parse::<Bytes<4>>(), too_long(5));
        assert_eq!("0011 00*18446744073709551615".parse::<Bytes<4>>(), too_long(usize::MAX));
        assert_eq!("0011223344".parse::<Bytes<4>>(), too_long(5));
        assert_eq!(Bytes::<4>::new([0; 5]), too_long(5));
        assert_eq!("0011 00*2".parse(), Bytes::<4>::new([0, 0x11, 0, 0]));
    }

    #[test]
    fn wrong_groups_are_named() {
        for text in [
            "0",
            "00 0g",
            "00 *3",
            "00 00*",
            "00 00*-1",
            "00 00*+1",
            "00 0011*2",
            "00 00*99999999999999999999",
            "00 é",
        ] {
            let group = usize::from(text.len() > 1);
            assert_eq!(text.parse::<Bytes<4>>(), Err(BytesError::Group { group }), "{text}");
        }
    }
}
