// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The x86 layout: I/O ports 0x510 to 0x51B.

use crate::access::{Place, Register};
use crate::device::{FwCfg, index};
use crate::error::SourceError;
use crate::events::Effects;
use crate::memory::GuestMemory;
use crate::spec::{PORT_COUNT, PORT_COUNT_WITHOUT_DMA, PORT_DATA, PORT_DMA};

/// Widest port access of a CPU, in bytes.
const WIDEST: usize = 4;

impl FwCfg {
    /// Ports of the window, which starts at 0x510: 12, or 2 without DMA.
    #[must_use]
    pub fn port_count(&self) -> u16 {
        if self.dma { PORT_COUNT } else { PORT_COUNT_WITHOUT_DMA }
    }

    /// Reads `data.len()` bytes in one access at `offset` ports into the window.
    ///
    /// Ports of the window without a register, and those beyond it, read as ones.
    ///
    /// # Errors
    ///
    /// A source failed; its bytes read as zeros.
    #[inline]
    pub fn port_read(&mut self, offset: u16, data: &mut [u8]) -> Result<(), SourceError> {
        if let [byte] = data
            && offset <= PORT_DATA
            && let Some(bytes) = &self.window
        {
            *byte = match bytes.get(index(self.offset)) {
                Some(byte) => {
                    self.offset = self.offset.wrapping_add(1);
                    *byte
                }
                None => 0,
            };
            return Ok(());
        }
        self.port_read_other(offset, data)
    }

    /// Any other access than a byte of what is in memory.
    #[cold]
    fn port_read_other(&mut self, offset: u16, data: &mut [u8]) -> Result<(), SourceError> {
        self.read(locate, u64::from(offset), data)
    }

    /// Reads like [`port_read`](Self::port_read), except that a read of any length at the data port is that many reads
    /// of 8 bits.
    ///
    /// For hypervisor interfaces that hand over a `rep insb` as one buffer and do not say how wide each access was.
    ///
    /// # Errors
    ///
    /// A source failed; its bytes read as zeros.
    pub fn port_read_flattened(&mut self, offset: u16, data: &mut [u8]) -> Result<(), SourceError> {
        if offset == PORT_DATA {
            self.read_string(data)
        } else {
            self.port_read(offset, data)
        }
    }

    /// Writes `data` in one access at `offset` ports into the window.
    pub fn port_write<M: GuestMemory + ?Sized>(&mut self, offset: u16, data: &[u8], memory: &M) -> Effects {
        self.write(locate, u64::from(offset), data, memory)
    }
}

fn locate(device: &FwCfg, at: u64) -> Place {
    let dma = u64::from(PORT_DMA);
    let (register, first) = match at {
        0..=1 => (Register::Ports, 0),
        _ if device.dma && (dma..u64::from(PORT_COUNT)).contains(&at) => (Register::Dma, dma),
        _ => (Register::Hole, 0),
    };
    Place {
        register,
        offset: at.wrapping_sub(first),
        widest: WIDEST,
    }
}
