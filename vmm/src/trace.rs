// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A run as a trace of format 1: every access to configuration space, fw_cfg, trapped BARs and VGA ranges.
//!
//! The format is the one of the conformance suite (`conformance/FORMAT.md`), so that a run can be replayed on models and
//! compared with others.

use std::fmt;
use std::io::{self, Write};

use pci_model::Bdf;

use crate::machine::{BoardKind, Inventory, Observer};

/// Content of an item that is written to the header at the most.
const ITEM: usize = 1 << 16;

/// Writes a trace. A writer that fails is told of once, and left alone from then on.
pub struct TraceWriter<W> {
    writer: Option<W>,
}

impl<W> fmt::Debug for TraceWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceWriter").finish_non_exhaustive()
    }
}

impl<W: Write> TraceWriter<W> {
    /// A trace of a machine that consists of this.
    pub fn new(writer: W, inventory: &Inventory, kind: BoardKind) -> Self {
        let mut trace = Self { writer: Some(writer) };
        trace.write(|writer| header(writer, inventory, kind));
        trace
    }

    fn write(&mut self, line: impl FnOnce(&mut W) -> io::Result<()>) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = line(writer)
        {
            log::error!("the trace ends here: {error}");
            self.writer = None;
        }
    }
}

fn hex(writer: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    writer.write_all(b"0x")?;
    bytes.iter().try_for_each(|byte| write!(writer, "{byte:02x}"))
}

/// A value as a register holds it.
fn value(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn header(writer: &mut impl Write, inventory: &Inventory, kind: BoardKind) -> io::Result<()> {
    let board = match kind {
        BoardKind::Pc => "pc",
        BoardKind::Q35 => "q35",
    };
    let low = inventory.ram.iter().find(|extent| extent.start == 0);
    writeln!(writer, "@trace 1\n@kind firmware\n@machine {board}")?;
    writeln!(writer, "@ram {:#x}", low.map_or(0, |extent| extent.len))?;
    for (bdf, config) in &inventory.functions {
        write!(writer, "@pci {} ", address(*bdf))?;
        hex(writer, config)?;
        writeln!(writer, "\n@function {}", address(*bdf))?;
    }
    for (key, name, bytes) in &inventory.items {
        let name = match (key, name) {
            (_, Some(name)) => name.clone(),
            (0x19, None) => "file-dir".to_owned(),
            (key, None) => format!("key-{key:#06x}"),
        };
        write!(writer, "@item {key:#06x} {} {name} ", bytes.len())?;
        hex(writer, bytes.get(..bytes.len().min(ITEM)).unwrap_or(&[]))?;
        writeln!(writer)?;
    }
    writeln!(writer, "section firmware.run accesses of a guest")
}

fn address(bdf: Bdf) -> String {
    format!("{:02x}:{:02x}.{}", bdf.bus(), bdf.device(), bdf.function())
}

impl<W: Write + Send> Observer for TraceWriter<W> {
    fn port(&mut self, is_write: bool, port: u16, size: usize, data: &[u8]) {
        self.write(|writer| {
            if !is_write && data.len() > size {
                write!(writer, "rs io {port:#06x} {size} {} ", data.len() / size.max(1))?;
                hex(writer, data)?;
                return writeln!(writer);
            }
            let kind = if is_write { 'w' } else { 'r' };
            data.chunks(size.max(1)).try_for_each(|item| {
                let width = 2 * item.len();
                writeln!(
                    writer,
                    "{kind} io {port:#06x} {} 0x{:0width$x}",
                    item.len(),
                    value(item)
                )
            })
        });
    }

    fn memory(&mut self, is_write: bool, addr: u64, data: &[u8]) {
        let kind = if is_write { 'w' } else { 'r' };
        let width = 2 * data.len();
        self.write(|writer| writeln!(writer, "{kind} mem {addr:#x} {} 0x{:0width$x}", data.len(), value(data)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_lines() {
        let inventory = Inventory {
            functions: vec![(Bdf::from_bits(0x10), [0x86; 256])],
            items: vec![(0x20, Some("etc/x".to_owned()), vec![1, 2])],
            ram: vec![igd_quirks::facts::Extent::new(0, 0x1000_0000)],
        };
        let mut text = Vec::new();
        let mut trace = TraceWriter::new(&mut text, &inventory, BoardKind::Q35);
        trace.port(true, 0xcf8, 4, &[0, 0x10, 0, 0x80]);
        trace.port(false, 0x511, 1, b"QEMU");
        trace.port(false, 0xcfc, 2, &[0x86, 0x80]);
        trace.memory(true, 0xb000_0004, &[7, 0]);
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            ["@trace 1", "@kind firmware", "@machine q35", "@ram 0x10000000"]
        );
        assert!(lines[4].starts_with("@pci 00:02.0 0x8686"));
        assert_eq!(
            lines[6..],
            [
                "@item 0x0020 2 etc/x 0x0102",
                "section firmware.run accesses of a guest",
                "w io 0x0cf8 4 0x80001000",
                "rs io 0x0511 1 4 0x51454d55",
                "r io 0x0cfc 2 0x8086",
                "w mem 0xb0000004 2 0x0007",
            ]
        );
    }

    #[test]
    fn a_full_disk_ends_the_trace_and_nothing_else() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let inventory = Inventory {
            functions: vec![],
            items: vec![],
            ram: vec![],
        };
        let mut trace = TraceWriter::new(Full, &inventory, BoardKind::Pc);
        trace.port(true, 0xcf8, 4, &[0; 4]);
        assert!(trace.writer.is_none());
    }
}
