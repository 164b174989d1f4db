// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables as firmware writes them.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

/// Writes `value` at `offset`.
pub(crate) fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// A VBT of `len` bytes with general definitions of two outputs and one unused entry, and MIPI sequences.
pub(crate) fn vbt(product: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    put(&mut bytes, 0, product.as_bytes());
    put(&mut bytes, 20, &100_u16.to_le_bytes());
    put(&mut bytes, 22, &48_u16.to_le_bytes());
    put(&mut bytes, 24, &u16::try_from(len).unwrap().to_le_bytes());
    put(&mut bytes, 28, &48_u32.to_le_bytes());
    put(&mut bytes, 48, b"BIOS_DATA_BLOCK ");
    put(&mut bytes, 64, &229_u16.to_le_bytes());
    put(&mut bytes, 66, &22_u16.to_le_bytes());
    let mut at = 70;
    let mut block = |id: u8, data: &[u8]| {
        bytes[at] = id;
        put(&mut bytes, at + 1, &u16::try_from(data.len()).unwrap().to_le_bytes());
        put(&mut bytes, at + 3, data);
        at += 3 + data.len();
    };
    block(1, &[0; 5]);
    let mut definitions = vec![0; 5 + 3 * 39];
    definitions[4] = 39;
    put(&mut definitions, 5, &child(0x0008, 0x1806, 10));
    put(&mut definitions, 5 + 2 * 39, &child(0x0004, 0x60d6, 1));
    block(2, &definitions);
    // Block 53 from version 3 on has its size in 32 bits; the 16 bits before are not used.
    let mut sequences = vec![3];
    sequences.extend(6_u32.to_le_bytes());
    sequences.push(0);
    block(53, &sequences);
    put(&mut bytes, at - 8, &[0xff, 0xff]);
    let bdb = u16::try_from(at - 48).unwrap();
    put(&mut bytes, 68, &bdb.to_le_bytes());
    bytes[26] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

fn child(handle: u16, device_type: u16, port: u8) -> [u8; 39] {
    let mut entry = [0; 39];
    put(&mut entry, 0, &handle.to_le_bytes());
    put(&mut entry, 2, &device_type.to_le_bytes());
    entry[16] = port;
    entry
}
