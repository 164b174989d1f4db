// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How another VMM runs the corpus on its own devices, and what a mistake in one looks like.
//!
//! The device here is a `fw_cfg` with one mistake: selecting the same item again does not rewind it.
//! `cargo run --example wrong_device` prints the report and ends with exit code 100, as a test run would.

use std::process::ExitCode;
use std::sync::Arc;

use igd_conformance::corpus::{self, Corpus};
use igd_conformance::pattern::Pattern;
use igd_conformance::report::{Counts, table};
use igd_conformance::runner::{self, Options, SharedSubject, Storage};
use igd_conformance::subject::{Machine, MachineError, Probe, Refusal, Subject};
use igd_conformance::trace::{Header, Item, Space, Width};
use pci_model::Bdf;

/// The selector register.
const SELECTOR: u64 = 0x510;
/// The data register.
const DATA: u64 = 0x511;

/// Our VMM as a subject.
struct OurVmm;

impl Subject for OurVmm {
    fn name(&self) -> &'static str {
        "our-vmm"
    }

    fn version(&self) -> String {
        "0.1.0".to_owned()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        if header.suite != "fwcfg" {
            return Err(Refusal::Skip("our VMM has nothing but fw_cfg".to_owned()));
        }
        // A real VMM brings its own RAM and buses; plain storage stands in for them.
        let rest = Storage.machine(header)?;
        Ok(Box::new(OurMachine {
            items: header.items.clone(),
            selected: 0,
            offset: 0,
            rest,
        }))
    }
}

/// The two registers of `fw_cfg`, and the rest of a machine.
struct OurMachine<'a> {
    items: Vec<Item>,
    selected: u64,
    offset: usize,
    rest: Box<dyn Machine + 'a>,
}

impl Machine for OurMachine<'_> {
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError> {
        if (space, addr, width) != (Space::Io, DATA, Width::B1) {
            return self.rest.read(space, addr, width);
        }
        let item = self.items.iter().find(|item| u64::from(item.key) == self.selected);
        let byte = item.and_then(|item| item.bytes.get(self.offset)).copied();
        self.offset += 1;
        Ok(byte.unwrap_or(0).into())
    }

    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError> {
        if (space, addr, width) != (Space::Io, SELECTOR, Width::B2) {
            return self.rest.write(space, addr, width, value);
        }
        if self.selected != value {
            self.offset = 0;
        }
        self.selected = value;
        Ok(())
    }

    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError> {
        self.rest.ram_read(addr, out)
    }

    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.rest.ram_write(addr, bytes)
    }

    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError> {
        self.rest.ram_fill(addr, len, byte)
    }

    fn bar(&mut self, bdf: Bdf, bar: u8) -> Result<Option<u64>, MachineError> {
        self.rest.bar(bdf, bar)
    }

    fn probe(&mut self, space: Space, addr: u64, width: Width, bdf: Bdf) -> Result<Probe, MachineError> {
        self.rest.probe(space, addr, width, bdf)
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        (self.selected, self.offset) = (0, 0);
        self.rest.reset()
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let corpus = Corpus::locate(None)?;
    let traces = corpus::find(Some(&corpus), &["fwcfg/basic".into()])?;
    let subject: SharedSubject = Arc::new(OurVmm);
    // `re` as in `fwcfg.reset-state` and `fwcfg.reselect-rewinds`.
    let section = Some(Pattern::glob("fwcfg.re*"));
    let options = Options {
        section,
        ..Options::default()
    };
    let outcome = runner::run(&subject, traces, &options, &mut |_, _| {})?;
    print!("{}", table::render(&outcome.report, false, None));
    let unexpected = Counts::of(&outcome.report.trials).unexpected();
    Ok(ExitCode::from(if unexpected == 0 { 0 } else { 100 }))
}
