// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Performs accesses and appends them to a trace.

use pci_model::Bdf;

use crate::subjects::qtest::{Client, ConnectionError, Launcher, Link, Region, RegionKind, hex};
use crate::trace::{Hex, Line, Space, Width};

/// Accesses at or above these addresses would end QEMU.
const PORTS_END: u64 = 1 << 16;
const PHYSICAL_END: u64 = 1 << 52;

/// Why a recording ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// QEMU did not start.
    #[error("{0}")]
    Start(String),
    /// An access failed.
    #[error(transparent)]
    Access(#[from] ConnectionError),
    /// The machine lacks what the suite is about.
    #[error("{0}")]
    Machine(String),
}

pub(super) type Recorded<T = ()> = Result<T, RecordError>;

/// Address in configuration space.
pub(super) fn cfg(bdf: Bdf, register: u64) -> u64 {
    u64::from(bdf.to_bits()) << 8 | register
}

/// Performs accesses on a QEMU; methods with the name of a trace line append that line.
#[derive(Debug)]
pub(super) struct Recorder<'a> {
    launcher: &'a Launcher,
    args: &'a [String],
    link: Link,
    head: Vec<String>,
    body: Vec<String>,
}

impl<'a> Recorder<'a> {
    /// Starts QEMU.
    pub(super) fn new(launcher: &'a Launcher, args: &'a [String]) -> Recorded<Self> {
        let link = launcher.start(args).map_err(RecordError::Start)?;
        Ok(Self {
            launcher,
            args,
            link,
            head: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Goes on with a new QEMU that nothing has accessed yet.
    pub(super) fn fresh(&mut self) -> Recorded {
        self.link = self.launcher.start(self.args).map_err(RecordError::Start)?;
        Ok(())
    }

    /// The trace.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for line in self.head.iter().chain(&self.body) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// How far the recording came, and what QEMU printed, for an error message.
    pub(super) fn progress(&self) -> String {
        let last: String = self.body.last().map_or("", String::as_str).chars().take(80).collect();
        format!(
            "after {} lines, the last is {last:?}{}",
            self.body.len(),
            self.link.last_words()
        )
    }

    pub(super) fn header(&mut self, key: &str, text: &str) {
        self.head.push(Line::Header { key, text }.to_string());
    }

    pub(super) fn section(&mut self, label: &str, text: &str) {
        self.push(Line::Section { label, text });
    }

    pub(super) fn note(&mut self, text: &str) {
        self.push(Line::Comment(text));
    }

    fn push(&mut self, line: Line<'_>) {
        self.body.push(line.to_string());
    }

    /// The connection, for accesses that leave no line.
    pub(super) fn qtest(&mut self) -> &mut Client {
        &mut self.link.qtest
    }

    pub(super) fn peek(&mut self, space: Space, addr: u64, width: Width) -> Recorded<u64> {
        Ok(self.qtest().read(space, addr, width)?)
    }

    pub(super) fn r(&mut self, space: Space, addr: u64, width: Width) -> Recorded<u64> {
        let value = self.peek(space, addr, width)?;
        self.push(Line::Read {
            space,
            addr,
            width,
            value,
            mask: None,
        });
        Ok(value)
    }

    pub(super) fn w(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Recorded {
        let value = value & width.ones();
        self.qtest().write(space, addr, width, value)?;
        self.push(Line::Write {
            space,
            addr,
            width,
            value,
        });
        Ok(())
    }

    /// Reads a port `count` times, one byte each; no line if `count` is 0.
    pub(super) fn rs(&mut self, port: u16, count: u32) -> Recorded<Vec<u8>> {
        let mut data = vec![0; usize::try_from(count).unwrap_or_default()];
        if count > 0 {
            self.qtest().read_string(port, Width::B1, &mut data)?;
            let digits = hex(&data);
            let bytes = Hex::new(digits.as_bytes()).unwrap_or_default();
            self.push(Line::ReadString {
                port,
                width: Width::B1,
                count,
                bytes,
                mask: None,
            });
        }
        Ok(data)
    }

    pub(super) fn rb(&mut self, addr: u64, len: usize) -> Recorded {
        let mut data = vec![0; len];
        self.qtest().read_bytes(addr, &mut data)?;
        let digits = hex(&data);
        self.push(Line::RamRead {
            addr,
            bytes: Hex::new(digits.as_bytes()).unwrap_or_default(),
            mask: None,
        });
        Ok(())
    }

    pub(super) fn wb(&mut self, addr: u64, data: &[u8]) -> Recorded {
        self.qtest().write_bytes(addr, data)?;
        let digits = hex(data);
        self.push(Line::RamWrite {
            addr,
            bytes: Hex::new(digits.as_bytes()).unwrap_or_default(),
        });
        Ok(())
    }

    pub(super) fn fb(&mut self, addr: u64, len: u64, byte: u8) -> Recorded {
        self.qtest().fill(addr, len, byte)?;
        self.push(Line::RamFill { addr, len, byte });
        Ok(())
    }

    pub(super) fn reset(&mut self) -> Recorded {
        self.link.qmp("a system reset")?.system_reset()?;
        self.push(Line::Reset);
        Ok(())
    }

    /// The functions on the root buses.
    pub(super) fn functions(&mut self) -> Recorded<Vec<Bdf>> {
        Ok(self.link.qmp("the functions")?.functions()?)
    }

    /// The BARs of a function; none if there is no such function.
    pub(super) fn regions(&mut self, bdf: Bdf) -> Recorded<Vec<Region>> {
        Ok(self.link.qmp("the place of a BAR")?.regions(bdf)?.unwrap_or_default())
    }

    pub(super) fn map(&mut self, bdf: Bdf) -> Recorded<Vec<Region>> {
        let regions = self.regions(bdf)?;
        for Region { bar, size, addr, .. } in regions.iter().copied() {
            self.push(Line::Map { bdf, bar, addr, size });
        }
        Ok(regions)
    }

    /// Reads an address and says which BAR answers there; does nothing at an address that would end QEMU.
    pub(super) fn p(&mut self, bdf: Bdf, space: Space, addr: u64, width: Width) -> Recorded {
        let io = space == Space::Io;
        if addr >= if io { PORTS_END } else { PHYSICAL_END } {
            return Ok(());
        }
        let regions = self.regions(bdf)?;
        let at = regions
            .iter()
            .rev()
            .find_map(|region| region.offset_of(io, addr).map(|offset| (region.bar, offset)));
        let value = self.peek(space, addr, width)?;
        self.push(Line::Probe {
            space,
            addr,
            width,
            value,
            bdf,
            at,
            mask: None,
        });
        Ok(())
    }

    /// Puts the state of a function at reset into the header.
    pub(super) fn describe(&mut self, bdf: Bdf) -> Recorded {
        let mut config = Vec::new();
        for register in (0..256).step_by(4) {
            let value = self.peek(Space::Cfg, cfg(bdf, register), Width::B4)?;
            config.extend(value.to_le_bytes().into_iter().take(4));
        }
        self.header("pci", &format!("{bdf} 0x{}", hex(&config)));
        for region in self.regions(bdf)? {
            let kind = match (region.bar, region.kind) {
                (6, _) => "rom",
                (_, RegionKind::Io) => "io",
                (_, RegionKind::Mem32) => "mem32",
                (_, RegionKind::Mem64) => "mem64",
            };
            let prefetchable = if region.prefetchable { "pf" } else { "-" };
            self.header(
                "bar",
                &format!("{bdf} {} {kind} {prefetchable} {:#x}", region.bar, region.size),
            );
        }
        Ok(())
    }
}
