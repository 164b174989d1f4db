// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One step of an input, 14 bytes: an access of the guest, a DMA command as a whole, or something the VMM does.

use std::fmt;

use super::ITEMS;
use super::memory::PLACES;

/// Bytes of a step.
pub(crate) const LEN: usize = 14;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Read {
        offset: u64,
        len: usize,
    },
    /// As a hypervisor hands over `rep insb`.
    ReadString {
        offset: u64,
        len: usize,
    },
    Write {
        offset: u64,
        len: usize,
        value: u64,
    },
    Select(u16),
    /// Half of the DMA address; the low one starts a command.
    Latch {
        high: bool,
        value: u32,
    },
    /// Writes a descriptor, then its address.
    Dma {
        descriptor: u64,
        control: u32,
        len: u32,
        buffer: u64,
    },
    /// The guest writes to its memory.
    RamWrite {
        gpa: u64,
        value: u64,
    },
    Resume,
    /// The VMM replaces an item.
    Modify {
        key: u16,
        len: u32,
        writable: bool,
    },
    Reset,
    SaveAndRestore,
    /// The VMM restores a state with this offset and DMA address.
    RestoreOther {
        selector: u16,
        offset: u32,
        latch: u64,
    },
}

/// Keys that an input chooses from: items, the device's own, and some without an item or out of range.
fn key([low, high]: [u8; 2]) -> u16 {
    const OTHERS: [u16; 8] = [0x0000, 0x0001, 0x0019, 0x4026, 0x0003, 0x002f, 0x0030, 0x8000];
    let items = ITEMS.iter().map(|(key, ..)| *key).chain(OTHERS);
    items
        .clone()
        .nth(low.into())
        .filter(|_| high < 0xc0)
        .unwrap_or(u16::from_le_bytes([low, high]))
}

fn place(choice: u8, shift: u8) -> u64 {
    let base = PLACES.get(usize::from(choice) % PLACES.len()).copied().unwrap_or(0);
    base.wrapping_add_signed(i8::from_le_bytes([shift]).into())
}

impl Step {
    pub(crate) fn decode([what, x, a, b, c, d, value @ ..]: [u8; LEN]) -> Self {
        let [v0, v1, v2, v3, v4, v5, v6, v7] = value;
        let value = u64::from_le_bytes(value);
        let low = u32::from_le_bytes([v0, v1, v2, v3]);
        let len = usize::from(b % 16);
        let len = match len {
            13 => 1,
            14 => 2,
            15 => 4,
            len => len,
        };
        let offset = u64::from(a % 0x1a);
        match what % 24 {
            0..3 => Self::Read { offset, len },
            3 => Self::ReadString {
                offset: u64::from(a % 2),
                len: b.into(),
            },
            4 => Self::ReadString {
                offset: 1,
                len: usize::from(u16::from_le_bytes([b, c & 7])),
            },
            5..8 => Self::Write { offset, len, value },
            8..10 => Self::Select(key([a, b])),
            10 => Self::Latch {
                high: a & 1 != 0,
                value: low,
            },
            11..18 => {
                let [k0, k1] = key([v2, v3]).to_le_bytes();
                // One command has a length beyond all memory now and then.
                let huge = if v6 == 0xff { 0xff } else { 0 };
                Self::Dma {
                    descriptor: place(x, a),
                    // Bits 0 to 4 have a meaning; the others are given a chance.
                    control: u32::from_le_bytes([if v1 < 0xf0 { v0 & 0x1f } else { v0 }, 0, k0, k1]),
                    len: u32::from_le_bytes([v4, v5 & 0x1f, huge, v7 & huge]),
                    buffer: place(b, c).wrapping_add_signed(i64::from(d) * 16),
                }
            }
            18 => Self::RamWrite {
                gpa: place(x, a),
                value,
            },
            19 => Self::Resume,
            20 => Self::Modify {
                key: key([a, b]),
                len: u32::from(c % 64),
                writable: d & 1 != 0,
            },
            21 => Self::Reset,
            22 => Self::SaveAndRestore,
            _ => Self::RestoreOther {
                selector: key([a, b]),
                offset: if c & 1 == 0 { low & 0xff } else { low },
                latch: if c & 2 == 0 { 0 } else { value },
            },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Read { offset, len } => write!(f, "r {offset:#04x} {len}"),
            Self::ReadString { offset, len } => write!(f, "rs {offset:#04x} 1 {len}"),
            Self::Write { offset, len, value } => {
                write!(
                    f,
                    "w {offset:#04x} {len} {:02x?}",
                    bytes_of(value).get(..len).unwrap_or(&[])
                )
            }
            Self::Select(key) => write!(f, "select {key:#06x}"),
            Self::Latch { high, value } => {
                write!(
                    f,
                    "DMA address, {} half: {value:#010x}",
                    if high { "high" } else { "low" }
                )
            }
            Self::Dma {
                descriptor,
                control,
                len,
                buffer,
            } => {
                let names = [(1, "error"), (2, "read"), (4, "skip"), (8, "select"), (16, "write")];
                let set = names
                    .into_iter()
                    .filter(|(bit, _)| control & bit != 0)
                    .map(|(_, name)| name);
                let set = set.collect::<Vec<_>>().join("+");
                let key = control >> 16;
                write!(
                    f,
                    "DMA {set} {control:#010x} key {key:#06x} len {len:#x} buffer {buffer:#x} at {descriptor:#x}"
                )
            }
            Self::RamWrite { gpa, value } => write!(f, "w ram {gpa:#x} 8 {value:#018x}"),
            Self::Resume => f.write_str("resume"),
            Self::Modify { key, len, writable } => {
                write!(
                    f,
                    "item {key:#06x} becomes {len} bytes{}",
                    if writable { ", writable" } else { "" }
                )
            }
            Self::Reset => f.write_str("reset"),
            Self::SaveAndRestore => f.write_str("save, restore"),
            Self::RestoreOther {
                selector,
                offset,
                latch,
            } => {
                write!(
                    f,
                    "restore selector {selector:#06x}, offset {offset:#x}, DMA address {latch:#x}"
                )
            }
        }
    }
}

/// The bytes of a write of up to 12.
pub(crate) fn bytes_of(value: u64) -> [u8; 12] {
    let mut bytes = [0x5a; 12];
    for (byte, from) in bytes.iter_mut().zip(value.to_le_bytes()) {
        *byte = from;
    }
    bytes
}
