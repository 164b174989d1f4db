// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A subject that is nothing but storage.

use pci_model::Bdf;

use crate::subject::{Machine, MachineError, Probe, Refusal, Subject};
use crate::trace::{Header, Space, Width};

/// Bytes of each address space; addresses are taken modulo this.
const SIZE: usize = 1 << 20;

/// A subject whose every register holds what was written last, and zero at first.
///
/// It knows no device, so that it measures the runner alone and shows the smallest implementation of the traits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Storage;

impl Subject for Storage {
    fn name(&self) -> &'static str {
        "storage"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn machine(&self, _header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        let space = || vec![0; SIZE];
        Ok(Box::new(Arrays {
            io: vec![0; 1 << 16],
            mem: space(),
            ram: space(),
            cfg: space(),
        }))
    }
}

struct Arrays {
    io: Vec<u8>,
    mem: Vec<u8>,
    ram: Vec<u8>,
    cfg: Vec<u8>,
}

impl Arrays {
    /// The bytes at `addr`; none if they would wrap around.
    fn at(&mut self, space: Space, addr: u64, len: usize) -> &mut [u8] {
        let bytes = match space {
            Space::Io => &mut self.io,
            Space::Mem => &mut self.mem,
            Space::Ram => &mut self.ram,
            Space::Cfg => &mut self.cfg,
        };
        let start = usize::try_from(addr).unwrap_or_default() % bytes.len();
        bytes
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..len))
            .unwrap_or_default()
    }
}

impl Machine for Arrays {
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError> {
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(self.at(space, addr, width.len())) {
            *to = *from;
        }
        Ok(u64::from_le_bytes(value))
    }

    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError> {
        for (to, from) in self.at(space, addr, width.len()).iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }

    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError> {
        let bytes = self.at(Space::Ram, addr, out.len());
        out.fill(0);
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
        for (to, from) in self.at(Space::Ram, addr, bytes.len()).iter_mut().zip(bytes) {
            *to = *from;
        }
        Ok(())
    }

    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError> {
        self.at(Space::Ram, addr, usize::try_from(len).unwrap_or(usize::MAX))
            .fill(byte);
        Ok(())
    }

    fn bar(&mut self, _bdf: Bdf, _bar: u8) -> Result<Option<u64>, MachineError> {
        Ok(None)
    }

    fn probe(&mut self, space: Space, addr: u64, width: Width, _bdf: Bdf) -> Result<Probe, MachineError> {
        Ok(Probe {
            at: None,
            value: Some(self.read(space, addr, width)?),
        })
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn step(&mut self, _ns: u64) -> Result<(), MachineError> {
        Ok(())
    }
}
