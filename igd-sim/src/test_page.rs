// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A page of test registers in BAR0, which no GPU has: makes the device interrupt and reach memory by itself.
//!
//! It is the last page before the GTT, 0x7ff000 where BAR0 has 16 MiB. All registers are dwords:
//!
//! | offset | access | effect |
//! |---|---|---|
//! | 0x00 | write | raises the interrupt: MSI if enabled, else INTx |
//! | 0x04 | write | takes the interrupt back, needed after INTx |
//! | 0x08, 0x0c | read, write | DMA address, low and high |
//! | 0x10 | read, write | DMA length in bytes, at most 1 MiB |
//! | 0x14 | write | 1 fills that memory with bytes 0, 1, 2 ..; 2 copies it to the start of BAR2 |
//! | 0x18 | read | status of the last DMA: 0 done, 1 failed |
//! | 0x1c | read | 0x1abfee1d |

use crate::bytes::{get, put};

const RAISE: usize = 0x00;
const LOWER: usize = 0x04;
const ADDRESS: usize = 0x08;
const LENGTH: usize = 0x10;
const START: usize = 0x14;
const STATUS: usize = 0x18;
const MAGIC_AT: usize = 0x1c;
const MAGIC: u32 = 0x1abf_ee1d;
const LEN: usize = 0x20;

/// Longest transfer in bytes.
pub const LONGEST_DMA: u32 = 1 << 20;

/// Which way a transfer goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DmaKind {
    /// Fills memory with a pattern.
    Fill,
    /// Copies memory to the start of BAR2.
    Fetch,
}

/// A transfer that the device wants to make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dma {
    /// Which way.
    pub kind: DmaKind,
    /// Address as the device sees memory.
    pub address: u64,
    /// Length in bytes.
    pub len: u32,
}

/// What a write to the page asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    Nothing,
    Raise,
    Lower,
    Dma(Dma),
}

#[derive(Debug)]
pub(crate) struct TestPage {
    registers: [u8; LEN],
}

impl TestPage {
    pub(crate) fn new() -> Self {
        let mut registers = [0; LEN];
        put(&mut registers, MAGIC_AT, &MAGIC.to_le_bytes());
        Self { registers }
    }

    pub(crate) fn read(&self, offset: usize, buf: &mut [u8]) {
        for (place, byte) in (offset..).zip(buf) {
            *byte = self.registers.get(place).copied().unwrap_or(0);
        }
    }

    fn dword(&self, offset: usize) -> u32 {
        u32::from_le_bytes(get(&self.registers, offset).unwrap_or_default())
    }

    /// Stores what can be stored and says what else is asked for. Only whole dwords ask.
    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) -> Asked {
        if (ADDRESS..START).contains(&offset) {
            let room = START - offset;
            put(&mut self.registers, offset, data.get(..room).unwrap_or(data));
            return Asked::Nothing;
        }
        let Some(value) = data.first_chunk().copied().map(u32::from_le_bytes) else {
            return Asked::Nothing;
        };
        match (offset, value) {
            (RAISE, _) => Asked::Raise,
            (LOWER, _) => Asked::Lower,
            (START, 1 | 2) => {
                let address = u64::from(self.dword(ADDRESS + 4)) << 32 | u64::from(self.dword(ADDRESS));
                let kind = if value == 1 { DmaKind::Fill } else { DmaKind::Fetch };
                let len = self.dword(LENGTH);
                if len > LONGEST_DMA {
                    self.finish(false);
                    return Asked::Nothing;
                }
                Asked::Dma(Dma { kind, address, len })
            }
            _ => Asked::Nothing,
        }
    }

    pub(crate) fn finish(&mut self, done: bool) {
        put(&mut self.registers, STATUS, &u32::from(!done).to_le_bytes());
    }
}
