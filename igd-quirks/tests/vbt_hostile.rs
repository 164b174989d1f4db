// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Video BIOS tables: read, and damaged.

mod firmware;

use firmware::{put, vbt};
use igd_quirks::vbt::{Vbt, VbtError};
use proptest::prelude::*;

#[test]
fn a_vbt_lists_blocks_and_outputs() {
    let bytes = vbt("$VBT EXAMPLE        ", 0x200);
    let vbt = Vbt::parse(&bytes).unwrap();
    assert!(vbt.checksum_ok());
    assert_eq!((vbt.version(), vbt.header_size()), (100, 48));
    let blocks: Vec<_> = vbt.blocks().map(|block| (block.id, block.data.len())).collect();
    assert_eq!(blocks, [(1, 5), (2, 122), (53, 6)]);
    let outputs: Vec<_> = vbt
        .child_devices()
        .map(|device| (device.handle, device.port_name()))
        .collect();
    assert_eq!(outputs, [(0x0008, Some("DP-A")), (0x0004, Some("HDMI-B"))]);
    assert_eq!(
        vbt.to_string(),
        "$VBT EXAMPLE version 100, 512 bytes, checksum right\n\
         data blocks version 229\n\
         \x20 block   1      5 bytes  general features\n\
         \x20 block   2    122 bytes  general definitions\n\
         \x20 block  53      6 bytes  MIPI sequences\n\
         \x20 output 0x0008 type 0x1806 internal port 10 (DP-A)\n\
         \x20 output 0x0004 type 0x60d6 external port 1 (HDMI-B)\n"
    );
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    assert!(!Vbt::parse(&damaged).unwrap().checksum_ok());
}

#[test]
fn ports_have_no_names_before_version_155() {
    let mut bytes = vbt("$VBT", 0x200);
    put(&mut bytes, 64, &154_u16.to_le_bytes());
    assert!(
        Vbt::parse(&bytes)
            .unwrap()
            .child_devices()
            .all(|device| device.port_name().is_none())
    );
}

#[test]
fn refusals_of_a_vbt_name_the_values() {
    let good = vbt("$VBT", 0x200);
    let with = |offset: usize, value: &[u8]| {
        let mut bytes = good.clone();
        put(&mut bytes, offset, value);
        Vbt::parse(&bytes).unwrap_err()
    };
    assert_eq!(Vbt::parse(&good[..47]).unwrap_err(), VbtError::NoHeader { len: 47 });
    assert_eq!(with(0, b"ABCD").to_string(), "VBT starts with \"ABCD\", not \"$VBT\"");
    assert_eq!(with(24, &[1, 2]).to_string(), "VBT is 512 bytes, its header says 513");
    assert_eq!(with(24, &[47, 0]), VbtError::TableSize { len: 512, told: 47 });
    assert_eq!(
        with(28, &[0xff; 4]).to_string(),
        "BDB at 0xffffffff does not fit a VBT of 512 bytes"
    );
    assert_eq!(
        with(28, &[0xeb, 1]),
        VbtError::BdbOffset {
            offset: 0x1eb,
            len: 512
        }
    );
    assert_eq!(
        with(48, b"X").to_string(),
        "BDB starts with \"XIOS_DATA_BLOCK\", not \"BIOS_DATA_BLOCK\""
    );
    assert_eq!(
        with(68, &[0xd1, 1]),
        VbtError::BdbSize {
            len: 464,
            told: 465,
            header: 22
        }
    );
    assert_eq!(
        with(66, &[21, 0]),
        VbtError::BdbSize {
            len: 464,
            told: 164,
            header: 21
        }
    );
}

#[test]
fn blocks_end_with_the_first_that_leaves_the_table() {
    let mut bytes = vbt("$VBT", 0x200);
    // Block 2 says it is longer than all that follows.
    put(&mut bytes, 79, &0xffff_u16.to_le_bytes());
    let vbt = Vbt::parse(&bytes).unwrap();
    assert_eq!(vbt.blocks().map(|block| block.id).collect::<Vec<_>>(), [1]);
    assert_eq!(vbt.child_devices().count(), 0);
}

/// Before its version 3, block 53 has its size where all blocks have it.
#[test]
fn mipi_sequences_of_old_have_a_short_size() {
    let mut bytes = vbt("$VBT", 0x200);
    let block = Vbt::parse(&bytes).unwrap().blocks().last().unwrap();
    assert_eq!((block.id, block.data.len()), (53, 6));
    let at = bytes.windows(6).position(|data| data == block.data).unwrap();
    bytes[at] = 2;
    put(&mut bytes, at - 2, &4_u16.to_le_bytes());
    let block = Vbt::parse(&bytes).unwrap().blocks().last().unwrap();
    assert_eq!((block.id, block.data.len()), (53, 4));
}

#[test]
fn child_devices_of_a_wrong_size_are_none() {
    for size in [0, 1, 16] {
        let mut bytes = vbt("$VBT", 0x200);
        bytes[78 + 3 + 4] = size;
        assert_eq!(Vbt::parse(&bytes).unwrap().child_devices().count(), 0, "{size}");
    }
}

proptest! {
    #[test]
    fn a_damaged_vbt_is_read_within_its_bytes(
        edits in prop::collection::vec((20_usize..0x110, any::<u8>()), 0..12),
        len in 0_usize..0x200,
    ) {
        let mut bytes = vbt("$VBT", 0x200);
        for (offset, value) in edits {
            bytes[offset] = value;
        }
        for bytes in [&bytes[..], &bytes[..len]] {
            if let Ok(vbt) = Vbt::parse(bytes) {
                prop_assert!(vbt.bytes().len() <= bytes.len());
                let read: usize = vbt.blocks().map(|block| block.data.len() + 3).sum();
                prop_assert!(read <= bytes.len());
                prop_assert!(vbt.child_devices().count() <= bytes.len() / 17);
                prop_assert!(!vbt.to_string().is_empty());
            }
        }
    }
}
