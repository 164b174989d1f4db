// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Inputs as a header and records of fixed sizes, so that a mutation of one access leaves the others as they were.

use arbitrary::Unstructured;

/// Most records of an input that are looked at: enough for any sequence that matters, little enough to be fast.
pub const MAX_RECORDS: usize = 64;

/// Splits an input into a header of `H` bytes, with zeros for what is missing, and its whole records of `R` bytes.
pub fn split<const H: usize, const R: usize>(data: &[u8]) -> ([u8; H], impl Iterator<Item = [u8; R]> + '_) {
    let mut bytes = Unstructured::new(data);
    let mut header = [0; H];
    for byte in &mut header {
        *byte = bytes.arbitrary().unwrap_or(0);
    }
    let records = std::iter::from_fn(move || bytes.bytes(R).ok()?.try_into().ok());
    (header, records.take(MAX_RECORDS))
}

/// Puts an input together, the inverse of [`split`].
#[must_use]
pub fn join<const R: usize>(header: &[u8], records: &[[u8; R]]) -> Vec<u8> {
    let mut bytes = header.to_vec();
    bytes.extend(records.iter().take(MAX_RECORDS).flatten());
    bytes
}

/// Text with one line for the header and one for each record, numbered.
pub fn lines(head: &str, records: impl Iterator<Item = String>) -> String {
    let mut text = format!("{head}\n");
    for (number, record) in records.enumerate() {
        text.push_str(&format!("{number:3}  {record}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_is_the_inverse_of_join() {
        let bytes = join(&[1, 2], &[[3, 4, 5], [6, 7, 8]]);
        let (header, records) = split::<2, 3>(&bytes);
        assert_eq!(header, [1, 2]);
        assert!(records.eq([[3, 4, 5], [6, 7, 8]]));
        let (header, mut records) = split::<4, 3>(&[9]);
        assert_eq!((header, records.next()), ([9, 0, 0, 0], None));
        assert_eq!(split::<0, 1>(&[0; 100]).1.count(), MAX_RECORDS);
    }
}
