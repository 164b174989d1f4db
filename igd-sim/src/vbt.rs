// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The video BIOS table (VBT): what firmware tells a driver about displays.
//!
//! ```text
//!  0 product, 20 bytes, "$VBT .."    20 version   22 header size   24 table size   26 checksum   28 BDB offset
//! 48 "BIOS_DATA_BLOCK ", 16 bytes    64 version   66 header size   68 size
//! 70 blocks: id, 1 byte; length, 2 bytes; data
//! ```

use crate::bytes::{checksum, put};
use crate::spec::vbt;

/// Version of the table.
const VERSION: u16 = 100;
/// Version of the BIOS data block.
const BDB_VERSION: u16 = 228;
const SMALLEST: u16 = 70;

/// A VBT for the platform `product`, of `len` bytes, with the right checksum and no display.
///
/// Bytes that the headers do not need lie in a block that no driver reads. Shorter tables than the two headers are made
/// as long as those; a product longer than 15 bytes is cut.
///
/// ```
/// let table = igd_sim::vbt::build("KABYLAKE", 0x1800);
/// assert_eq!(&table[..13], b"$VBT KABYLAKE");
/// assert_eq!(table.len(), 0x1800);
/// assert_eq!(table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
/// ```
#[must_use]
pub fn build(product: &str, len: u16) -> Vec<u8> {
    let len = len.max(SMALLEST);
    let mut table = vec![0; usize::from(len)];
    put(&mut table, 0, &[b' '; 20]);
    put(&mut table, 0, vbt::SIGNATURE);
    put(
        &mut table,
        5,
        product.as_bytes().get(..15).unwrap_or(product.as_bytes()),
    );
    put(&mut table, vbt::VERSION, &VERSION.to_le_bytes());
    put(&mut table, vbt::HEADER_SIZE, &[48, 0]);
    put(&mut table, vbt::TABLE_SIZE, &len.to_le_bytes());
    put(&mut table, vbt::BDB_OFFSET, &[48, 0, 0, 0]);
    let bdb_len = len - 48;
    put(&mut table, vbt::HEADER, vbt::BDB_SIGNATURE);
    put(&mut table, vbt::HEADER + 16, &BDB_VERSION.to_le_bytes());
    put(&mut table, vbt::HEADER + 18, &[22, 0]);
    put(&mut table, vbt::HEADER + 20, &bdb_len.to_le_bytes());
    let block = vbt::HEADER + vbt::BDB_HEADER;
    if let Some(data_len) = len.checked_sub(SMALLEST + 3) {
        put(&mut table, block, &[vbt::BLOCK_PRIVATE]);
        put(&mut table, block + 1, &data_len.to_le_bytes());
        // Not all the same, so that a copy that is shifted or cut shows.
        for (place, byte) in table.iter_mut().enumerate().skip(block + 3) {
            let [low, high, ..] = place.to_le_bytes();
            *byte = low ^ high;
        }
    }
    seal(&mut table);
    table
}

/// Makes the checksum right.
pub fn seal(table: &mut [u8]) {
    let sum = checksum(table, vbt::CHECKSUM);
    put(table, vbt::CHECKSUM, &[sum]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_a_right_checksum_and_fits_itself() {
        for len in [0, 69, 70, 71, 72, 73, 74, 100, 0x1800, 0x2400, u16::MAX] {
            let table = build("PLATFORM WITH A LONG NAME", len);
            assert_eq!(table.len(), usize::from(len.max(70)));
            assert_eq!(table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0, "{len}");
            assert_eq!(usize::from(u16::from_le_bytes([table[24], table[25]])), table.len());
            assert_eq!(&table[48..64], vbt::BDB_SIGNATURE);
            assert_eq!(
                usize::from(u16::from_le_bytes([table[68], table[69]])) + 48,
                table.len()
            );
            if table.len() >= 73 {
                assert_eq!(
                    usize::from(u16::from_le_bytes([table[71], table[72]])) + 73,
                    table.len()
                );
            }
        }
    }
}
