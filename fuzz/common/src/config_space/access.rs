// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One step of an input, eight bytes: what is done, how wide, where, and a value.

use std::fmt;

use pci_model::{ConfigAccess, Width};

/// Bytes of a step.
pub(super) const LEN: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Read(ConfigAccess),
    Write(ConfigAccess, u32),
    /// An access that leaves the 4096 bytes, which the crate must refuse to name.
    Refused {
        offset: u16,
        width: Width,
    },
    Intx(bool),
    FireMsi(u8),
    TakePending,
    Reset,
    /// Save, and restore into a function that has seen nothing.
    SaveAndRestore,
    /// Restore a state with one bit flipped.
    RestoreFlipped {
        offset: u16,
        bit: u8,
    },
    /// Which BAR answers at this distance from the start of a BAR.
    Claim {
        bar: u8,
        distance: i16,
    },
    /// From now on the host refuses accesses, or serves them again; without meaning but for passed-through functions.
    HostRefuses(bool),
}

const WRITE: u8 = 4;

impl Step {
    pub(super) fn decode(record: [u8; LEN]) -> Self {
        let [what, width, low, high, value @ ..] = record;
        // Half of the page numbers mean the first 256 bytes, where most registers are.
        let high = if high < 0x80 { 0 } else { high & 0x1f };
        let offset = u16::from_le_bytes([low, high]);
        let value = u32::from_le_bytes(value);
        let [first, second, ..] = value.to_le_bytes();
        // Saved states cost as much as twenty accesses: most of their numbers mean a write.
        let what = match what % 20 {
            16 | 17 if what >= 60 => WRITE,
            what => what,
        };
        match what {
            read_or_write @ 0..12 => {
                let width = match width % 3 {
                    0 => Width::Byte,
                    1 => Width::Word,
                    _ => Width::Dword,
                };
                match ConfigAccess::new(offset, width) {
                    None => Self::Refused { offset, width },
                    Some(at) if read_or_write < WRITE => Self::Read(at),
                    Some(at) => Self::Write(at, value),
                }
            }
            12 => Self::Intx(first & 1 != 0),
            13 => Self::FireMsi(first & 0x3f),
            14 => Self::TakePending,
            15 => Self::Reset,
            16 => Self::SaveAndRestore,
            17 => Self::RestoreFlipped { offset, bit: first & 7 },
            18 => Self::Claim {
                bar: width % 7,
                distance: i16::from_le_bytes([first, second]),
            },
            _ => Self::HostRefuses(first & 1 != 0),
        }
    }

    /// The bytes of a write; for seeds.
    pub(super) fn write(offset: u16, width: usize, value: u32) -> [u8; LEN] {
        Self::access(WRITE, offset, width, value)
    }

    /// The bytes of a read; for seeds.
    pub(super) fn read(offset: u16, width: usize) -> [u8; LEN] {
        Self::access(0, offset, width, 0)
    }

    /// The bytes of a step that is no access; for seeds.
    pub(super) fn other(what: u8, argument: u8) -> [u8; LEN] {
        [what, 0, 0, 0, argument, 0, 0, 0]
    }

    fn access(what: u8, offset: u16, width: usize, value: u32) -> [u8; LEN] {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = value.to_le_bytes();
        let high = if high == 0 { 0 } else { high | 0x80 };
        let width = match width {
            1 => 0,
            2 => 1,
            _ => 2,
        };
        [what, width, low, high, a, b, c, d]
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Read(at) => write!(f, "r {:#05x} {}", at.offset(), at.width().len()),
            Self::Write(at, value) => {
                let digits = 2 + 2 * at.width().len();
                let value = value & at.width().ones();
                write!(f, "w {:#05x} {} {value:#0digits$x}", at.offset(), at.width().len())
            }
            Self::Refused { offset, width } => write!(f, "refused: {offset:#06x} {}", width.len()),
            Self::Intx(level) => write!(f, "INTx {}", u8::from(level)),
            Self::FireMsi(vector) => write!(f, "fire MSI {vector}"),
            Self::TakePending => f.write_str("take pending MSI"),
            Self::Reset => f.write_str("reset"),
            Self::SaveAndRestore => f.write_str("save, restore into a new one"),
            Self::RestoreFlipped { offset, bit } => write!(f, "restore with bit {bit} of byte {offset:#05x} flipped"),
            Self::Claim { bar, distance } => write!(f, "who answers {distance} bytes from BAR{bar}"),
            Self::HostRefuses(refuses) => write!(f, "host refuses: {refuses}"),
        }
    }
}
