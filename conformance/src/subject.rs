// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an implementation provides to be tested.

use std::fmt;

use pci_model::Bdf;

use crate::trace::{Header, Space, Width};
use crate::vectors::Question;

/// Makes a fresh machine for each trace.
pub trait Subject: Sync {
    /// Short name for reports, such as `igd` or `qtest`.
    fn name(&self) -> &str;

    /// Version of the implementation, for reports.
    fn version(&self) -> String;

    /// Builds the machine that a trace describes, in its state at power-on.
    ///
    /// # Errors
    ///
    /// [`Refusal::Skip`] if the implementation lacks what the trace is about, [`Refusal::Error`] if it should be able
    /// to and failed.
    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal>;

    /// Decides a case of a table of vectors: a value for each output column, by its name.
    ///
    /// # Errors
    ///
    /// [`Refusal::Skip`] if the implementation decides nothing of the kind, as by default; [`Refusal::Error`] if it should
    /// be able to and failed.
    fn decide(&self, question: &Question<'_>) -> Result<Vec<(&'static str, String)>, Refusal> {
        let about = question.about();
        Err(Refusal::Skip(format!("the subject decides nothing about {about}")))
    }

    /// How many machines may exist at the same time, or `None` for any number.
    fn machines_at_once(&self) -> Option<usize> {
        None
    }
}

/// Why there is no machine for a trace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The subject does not do this; the trials are skipped with this reason.
    #[error("{0}")]
    Skip(String),
    /// The subject failed; the trials end as errors.
    #[error("{0}")]
    Error(String),
}

/// An access that could not be carried out at all: a lost connection, say. Never a guest's mistake.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct MachineError(pub String);

/// What stands at a probed address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Function, BAR and offset that answer there, if it is a BAR of the function asked for.
    pub at: Option<(u8, u64)>,
    /// The value read, or `None` if the machine does not model what lies behind the BAR.
    pub value: Option<u64>,
}

/// A machine that accesses can be performed on.
///
/// Addresses and values are those of the trace format: values as a CPU register holds them, zero-extended.
pub trait Machine {
    /// Reads `width` bytes.
    ///
    /// # Errors
    ///
    /// The access could not be carried out.
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError>;

    /// Writes `width` bytes.
    ///
    /// # Errors
    ///
    /// The access could not be carried out.
    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError>;

    /// Reads a port `out.len() / width` times; each answer is stored little-endian.
    ///
    /// # Errors
    ///
    /// An access could not be carried out.
    fn read_string(&mut self, port: u16, width: Width, out: &mut [u8]) -> Result<(), MachineError> {
        for item in out.chunks_mut(width.len()) {
            let value = self.read(Space::Io, u64::from(port), width)?.to_le_bytes();
            for (to, from) in item.iter_mut().zip(value) {
                *to = from;
            }
        }
        Ok(())
    }

    /// Reads guest RAM.
    ///
    /// # Errors
    ///
    /// The range is not RAM, or the access could not be carried out.
    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError>;

    /// Writes guest RAM.
    ///
    /// # Errors
    ///
    /// The range is not RAM, or the access could not be carried out.
    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError>;

    /// Fills `len` bytes of guest RAM.
    ///
    /// # Errors
    ///
    /// The range is not RAM, or the access could not be carried out.
    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError>;

    /// Where a BAR (6 = ROM) is decoded now, or `None`.
    ///
    /// # Errors
    ///
    /// There is no such BAR, or the machine could not be asked.
    fn bar(&mut self, bdf: Bdf, bar: u8) -> Result<Option<u64>, MachineError>;

    /// Reads an address and says which BAR of `bdf` answers there.
    ///
    /// # Errors
    ///
    /// The access could not be carried out.
    fn probe(&mut self, space: Space, addr: u64, width: Width, bdf: Bdf) -> Result<Probe, MachineError>;

    /// System reset, not a power cycle.
    ///
    /// # Errors
    ///
    /// The reset could not be carried out.
    fn reset(&mut self) -> Result<(), MachineError>;

    /// Advances the virtual clock.
    ///
    /// # Errors
    ///
    /// The machine has no virtual clock.
    fn step(&mut self, ns: u64) -> Result<(), MachineError> {
        Err(MachineError(format!("no virtual clock to advance by {ns} ns")))
    }

    /// The compatibility setting under which this machine answers, such as `qemu-11.1`, or `None` if it has only one.
    fn setting(&self) -> Option<&str> {
        None
    }
}

impl fmt::Debug for dyn Machine + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Machine")
    }
}
