// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The legacy VGA ranges, as storage: nothing is drawn.

use crate::bytes::put;
use crate::memory::{MemoryError, SparseMemory};
use crate::spec::vga;

const PORTS_FIRST: u64 = 0x3b0;
const PORTS_LEN: usize = 0x30;

/// Which part of the window an access lies in.
enum Place {
    Memory(u64),
    Ports(usize),
}

#[derive(Debug)]
pub(crate) struct Vga {
    memory: SparseMemory,
    ports: [u8; PORTS_LEN],
}

impl Vga {
    pub(crate) const fn new() -> Self {
        Self {
            memory: SparseMemory::new(vga::MEMORY_LEN, 32),
            ports: [0; PORTS_LEN],
        }
    }

    /// Where an access goes that lies wholly in one of the ranges.
    fn place(address: u64, len: usize) -> Option<Place> {
        let end = address.checked_add(u64::try_from(len).ok()?)?;
        if address >= vga::MEMORY && end <= vga::MEMORY + vga::MEMORY_LEN {
            return Some(Place::Memory(address - vga::MEMORY));
        }
        let in_ports = vga::PORTS.iter().any(|(start, stop)| address >= *start && end <= *stop);
        if !in_ports {
            return None;
        }
        usize::try_from(address - PORTS_FIRST).ok().map(Place::Ports)
    }

    /// `None`: nothing is there.
    pub(crate) fn read(&self, address: u64, buf: &mut [u8]) -> Option<Result<(), MemoryError>> {
        match Self::place(address, buf.len())? {
            Place::Memory(offset) => Some(self.memory.read(offset, buf)),
            Place::Ports(at) => {
                for (to, from) in buf.iter_mut().zip(self.ports.iter().skip(at)) {
                    *to = *from;
                }
                Some(Ok(()))
            }
        }
    }

    /// `None`: nothing is there.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) -> Option<Result<(), MemoryError>> {
        match Self::place(address, data.len())? {
            Place::Memory(offset) => Some(self.memory.write(offset, data)),
            Place::Ports(at) => {
                put(&mut self.ports, at, data);
                Some(Ok(()))
            }
        }
    }
}
