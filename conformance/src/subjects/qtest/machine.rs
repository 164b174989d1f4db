// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine behind a qtest connection.

use pci_model::Bdf;

use super::client::Client;
use super::connection::ConnectionError;
use super::process::Guard;
use super::qmp::{Qmp, Region};
use super::work_dir::WorkDir;
use crate::subject::{Machine, MachineError, Probe};
use crate::trace::{Space, Width};

/// The connections to one machine, and the program behind them if it is ours.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) qtest: Client,
    pub(crate) qmp: Option<Qmp>,
    pub(super) guard: Option<Guard>,
}

impl Link {
    /// The QMP connection.
    ///
    /// # Errors
    ///
    /// There is none; `wish` says what it was needed for.
    pub(crate) fn qmp(&mut self, wish: &str) -> Result<&mut Qmp, ConnectionError> {
        self.qmp.as_mut().ok_or_else(|| {
            ConnectionError::Unsupported(format!(
                "qtest has no command for {wish}; give the program's QMP socket as well: qtest:SOCKET,qmp:SOCKET"
            ))
        })
    }

    /// The BARs of a function that must exist.
    pub(crate) fn regions(&mut self, bdf: Bdf) -> Result<Vec<Region>, ConnectionError> {
        let regions = self.qmp("the place of a BAR")?.regions(bdf)?;
        regions.ok_or_else(|| ConnectionError::Unsupported(format!("there is no function {bdf}")))
    }

    /// What the program printed last.
    pub(crate) fn last_words(&self) -> String {
        self.guard.as_ref().map(Guard::last_words).unwrap_or_default()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // A wrapper may stand between the signal and the program.
        if let (Some(_), Some(qmp)) = (&self.guard, &mut self.qmp) {
            qmp.quit();
        }
    }
}

/// A machine for the replay of one trace.
#[derive(Debug)]
pub(super) struct QtestMachine {
    pub(super) link: Link,
    /// Bytes of guest RAM from address 0.
    pub(super) ram: u64,
    /// Files that the program was started with.
    pub(super) _files: Option<WorkDir>,
}

impl QtestMachine {
    fn check_ram(&self, addr: u64, len: u64) -> Result<(), MachineError> {
        match addr.checked_add(len) {
            Some(end) if end <= self.ram => Ok(()),
            _ => Err(MachineError(format!(
                "{len} bytes at {addr:#x} are not within {:#x} bytes of RAM",
                self.ram
            ))),
        }
    }

    fn failed(&self, error: &ConnectionError) -> MachineError {
        MachineError(format!("{error}{}", self.link.last_words()))
    }
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Machine for QtestMachine {
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError> {
        if space == Space::Ram {
            self.check_ram(addr, width.len() as u64)?;
        }
        self.link
            .qtest
            .read(space, addr, width)
            .map_err(|error| self.failed(&error))
    }

    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError> {
        if space == Space::Ram {
            self.check_ram(addr, width.len() as u64)?;
        }
        self.link
            .qtest
            .write(space, addr, width, value)
            .map_err(|error| self.failed(&error))
    }

    fn read_string(&mut self, port: u16, width: Width, out: &mut [u8]) -> Result<(), MachineError> {
        self.link
            .qtest
            .read_string(port, width, out)
            .map_err(|error| self.failed(&error))
    }

    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError> {
        self.check_ram(addr, len_of(out))?;
        self.link
            .qtest
            .read_bytes(addr, out)
            .map_err(|error| self.failed(&error))
    }

    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.check_ram(addr, len_of(bytes))?;
        self.link
            .qtest
            .write_bytes(addr, bytes)
            .map_err(|error| self.failed(&error))
    }

    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError> {
        self.check_ram(addr, len)?;
        self.link
            .qtest
            .fill(addr, len, byte)
            .map_err(|error| self.failed(&error))
    }

    fn bar(&mut self, bdf: Bdf, bar: u8) -> Result<Option<u64>, MachineError> {
        let regions = self.link.regions(bdf).map_err(|error| self.failed(&error))?;
        let region = regions.iter().find(|region| region.bar == bar);
        region
            .map(|region| region.addr)
            .ok_or_else(|| MachineError(format!("function {bdf} has no BAR {bar}")))
    }

    fn probe(&mut self, space: Space, addr: u64, width: Width, bdf: Bdf) -> Result<Probe, MachineError> {
        let regions = self.link.regions(bdf).map_err(|error| self.failed(&error))?;
        let at = regions.iter().rev().find_map(|region| {
            region
                .offset_of(space == Space::Io, addr)
                .map(|offset| (region.bar, offset))
        });
        let value = self.read(space, addr, width)?;
        Ok(Probe { at, value: Some(value) })
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        let reset = self.link.qmp("a system reset").and_then(Qmp::system_reset);
        reset.map_err(|error| self.failed(&error))
    }

    fn step(&mut self, ns: u64) -> Result<(), MachineError> {
        self.link.qtest.clock_step(ns).map_err(|error| self.failed(&error))
    }
}
