// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The memory-mapped layout of QEMU's Arm, RISC-V and `LoongArch` machines.

use crate::access::{Place, Register};
use crate::device::FwCfg;
use crate::error::SourceError;
use crate::events::Effects;
use crate::memory::GuestMemory;
use crate::spec::{MMIO_DATA, MMIO_DMA, MMIO_SELECTOR, MMIO_SIZE, MMIO_SIZE_WITHOUT_DMA};

/// Widest access of a CPU, in bytes.
const WIDEST: usize = 8;
/// Widest access that reaches the selector in one piece, in bytes.
const SELECTOR_WIDEST: usize = 4;

impl FwCfg {
    /// Bytes of the memory-mapped window.
    #[must_use]
    pub fn mmio_size(&self) -> u64 {
        if self.dma { MMIO_SIZE } else { MMIO_SIZE_WITHOUT_DMA }
    }

    /// Reads `data.len()` bytes in one access at `offset` bytes into the memory-mapped window.
    ///
    /// A read of the data register is a copy of the next bytes in their order. The selector reads as zeros; bytes of
    /// the window without a register, and those beyond it, read as ones.
    ///
    /// # Errors
    ///
    /// A source failed; its bytes read as zeros.
    pub fn mmio_read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), SourceError> {
        self.read(locate, offset, data)
    }

    /// Writes `data` in one access at `offset` bytes into the memory-mapped window.
    pub fn mmio_write<M: GuestMemory + ?Sized>(&mut self, offset: u64, data: &[u8], memory: &M) -> Effects {
        self.write(locate, offset, data, memory)
    }
}

fn locate(device: &FwCfg, at: u64) -> Place {
    let width = device.data_width.len();
    let (register, first, widest) = match at {
        _ if at < MMIO_DATA + width as u64 => (Register::Data, MMIO_DATA, width),
        8..=9 => (Register::Selector, MMIO_SELECTOR, SELECTOR_WIDEST),
        _ if device.dma && (MMIO_DMA..MMIO_SIZE).contains(&at) => (Register::Dma, MMIO_DMA, WIDEST),
        _ => (Register::Hole, 0, WIDEST),
    };
    Place {
        register,
        offset: at.wrapping_sub(first),
        widest,
    }
}
