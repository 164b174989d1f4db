// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! SMBIOS: what the machine calls itself.
//!
//! *System Management BIOS Reference Specification* 3.6 (DMTF DSP0134), entry point 5.2.1, structures in chapter 7.

use crate::machine::{BoardInfo, BoardKind};

/// The entry point, whose table address and checksums the firmware fills in, and the structures.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Smbios {
    /// The entry point.
    pub anchor: Vec<u8>,
    /// The structures.
    pub tables: Vec<u8>,
}

/// Structures in the making.
#[derive(Default)]
struct Structures {
    bytes: Vec<u8>,
    count: u16,
    longest: u16,
}

impl Structures {
    /// Adds a structure: type, handle, the rest of its formatted area, and its strings.
    fn add(&mut self, kind: u8, handle: u16, fields: &[u8], strings: &[&str]) {
        let before = self.bytes.len();
        let len = u8::try_from(fields.len() + 4).unwrap_or(u8::MAX);
        self.bytes.extend([kind, len]);
        self.bytes.extend(handle.to_le_bytes());
        self.bytes.extend(fields.iter().take(usize::from(len) - 4));
        for string in strings {
            self.bytes.extend(string.bytes());
            self.bytes.push(0);
        }
        self.bytes.push(0);
        if strings.is_empty() {
            self.bytes.push(0);
        }
        self.count += 1;
        let size = u16::try_from(self.bytes.len() - before).unwrap_or(u16::MAX);
        self.longest = self.longest.max(size);
    }
}

/// The tables of a board.
#[must_use]
pub fn tables(board: &BoardInfo) -> Smbios {
    let name = match board.kind {
        BoardKind::Pc => "i440FX + PIIX3",
        BoardKind::Q35 => "Q35 + ICH9",
    };
    let version = env!("CARGO_PKG_VERSION");
    let mut all = Structures::default();
    // System: manufacturer, product, version, no serial number, UUID, woken by the power switch, no SKU or family.
    let mut system = vec![1, 2, 3, 0];
    system.extend([0; 16]);
    system.extend([6, 0, 0]);
    all.add(1, 0x100, &system, &["igd-vmm", name, version]);
    // Enclosure: manufacturer, other, no version, serial or tag, all states safe, security unknown, no OEM, no height.
    let enclosure = [1, 1, 0, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    all.add(3, 0x300, &enclosure, &["igd-vmm"]);
    for cpu in 0..board.cpus {
        // Socket, central processor, other family, manufacturer; speeds unknown; enabled; no caches.
        let mut processor = vec![1, 3, 1, 2];
        processor.extend([0; 8]);
        processor.extend([3, 0, 0, 0, 0, 0, 0, 0, 0x41, 1]);
        processor.extend([0xff; 6]);
        processor.extend([0, 0, 0, 1, 1, 1, 2, 0, 1, 0]);
        all.add(4, 0x400 + u16::from(cpu), &processor, &["CPU", "igd-vmm"]);
    }
    let ram = board
        .ram
        .iter()
        .fold(0, |sum: u64, extent| sum.saturating_add(extent.len));
    // Array of memory: other location, system memory, no error correction, capacity in KiB, one device.
    let kib = u32::try_from(ram >> 10).unwrap_or(0x8000_0000);
    let mut array = vec![1, 3, 3];
    array.extend(kib.to_le_bytes());
    array.extend([0xfe, 0xff, 1, 0]);
    array.extend(if kib == 0x8000_0000 { ram } else { 0 }.to_le_bytes());
    all.add(16, 0x1000, &array, &[]);
    // Memory device: in that array, no error, width unknown, size in MiB, DIMM, RAM; speeds and voltages unknown.
    const EXTENDED: u16 = 0x7fff;
    let mib = ram >> 20;
    let size = u16::try_from(mib).unwrap_or(EXTENDED).min(EXTENDED);
    let mut memory = vec![0x00, 0x10, 0xfe, 0xff];
    memory.extend([0xff; 4]);
    memory.extend(size.to_le_bytes());
    memory.extend([9, 0, 1, 0, 7, 2, 0, 0, 0, 2, 0, 0, 0, 0]);
    let extended = if size == EXTENDED {
        u32::try_from(mib).unwrap_or(0x7fff_ffff)
    } else {
        0
    };
    memory.extend(extended.to_le_bytes());
    memory.extend([0; 8]);
    all.add(17, 0x1100, &memory, &["DIMM 0", "igd-vmm"]);
    for (index, extent) in (0_u16..16).zip(&board.ram) {
        // Range of addresses: 64-bit form.
        let mut range = vec![0xff; 8];
        range.extend([0x00, 0x10, 1]);
        range.extend(extent.start.to_le_bytes());
        range.extend((extent.end() - 1).to_le_bytes());
        all.add(19, 0x1300 + index, &range, &[]);
    }
    // No boot error.
    all.add(32, 0x2000, &[0, 0, 0, 0, 0, 0, 0], &[]);
    all.add(127, 0x7f00, &[], &[]);

    let mut anchor = b"_SM_\0\x1f\x02\x08".to_vec();
    anchor.extend(all.longest.to_le_bytes());
    anchor.extend([0; 6]);
    anchor.extend(b"_DMI_\0");
    anchor.extend(u16::try_from(all.bytes.len()).unwrap_or(u16::MAX).to_le_bytes());
    anchor.extend([0; 4]);
    anchor.extend(all.count.to_le_bytes());
    anchor.push(0x28);
    Smbios {
        anchor,
        tables: all.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use igd_quirks::facts::Extent;

    #[test]
    fn the_structures_can_be_walked() {
        let board = BoardInfo {
            kind: BoardKind::Q35,
            ram: vec![Extent::new(0, 2 << 30), Extent::new(4 << 30, 30 << 40)],
            cpus: 3,
        };
        let Smbios { anchor, tables } = super::tables(&board);
        assert_eq!(anchor.len(), 0x1f);
        assert_eq!(usize::from(anchor[0x16]) | usize::from(anchor[0x17]) << 8, tables.len());
        let mut kinds = Vec::new();
        let mut rest = &tables[..];
        while let [kind, len, ..] = rest {
            kinds.push(*kind);
            let strings = &rest[usize::from(*len)..];
            let end = strings.windows(2).position(|pair| pair == [0, 0]).unwrap() + 2;
            rest = &strings[end..];
        }
        assert_eq!(kinds, [1, 3, 4, 4, 4, 16, 17, 19, 19, 32, 127]);
        assert_eq!(usize::from(anchor[0x1c]), kinds.len());
    }
}
