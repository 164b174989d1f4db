// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A run as a trace of format 1: every access to configuration space, fw_cfg, trapped BARs and VGA ranges.
//!
//! The format is the one of the conformance suite (`conformance/FORMAT.md`), so that a run can be replayed on models and
//! compared with others.

use std::fmt;
use std::io::{self, Write};

use fwcfg::spec::{DMA_READ, DMA_WRITE};
use pci_model::{BarKind, Bdf};
use vm_memory::{Bytes, GuestAddress};

use crate::machine::{BoardKind, FunctionInventory, Inventory, Observer, Seen};
use crate::memory::GuestRam;

/// Names of the items without a file, as in recorded traces.
const ITEMS: [(u16, &str); 9] = [
    (0x00, "signature"),
    (0x01, "id"),
    (0x02, "uuid"),
    (0x03, "ram-size"),
    (0x04, "nographic"),
    (0x05, "nb-cpus"),
    (0x0e, "boot-menu"),
    (0x0f, "max-cpus"),
    (0x19, "file-dir"),
];
/// Longest item that is written to the header. A line of a trace has 16 MiB at the most.
const ITEM: usize = 4 << 20;
/// Most bytes of all items. A header has 64 MiB at the most.
const ITEMS_LEN: usize = 16 << 20;

/// Most bytes of one DMA transfer that are written.
const TRANSFER: u32 = 1 << 20;
/// The halves of the address of a DMA descriptor. A write to the second starts the transfer.
const DMA_HIGH: u16 = 0x514;
const DMA_LOW: u16 = 0x518;

/// Writes a trace. A writer that fails is told of once, and left alone from then on.
pub struct TraceWriter<W: Write> {
    writer: Option<W>,
    ram: GuestRam,
    /// Guest memory on its way into a line.
    buffer: Vec<u8>,
    /// Address of the assigned function.
    device: String,
    dma_high: u32,
    dma: Option<Transfer>,
}

/// A DMA transfer of fw_cfg under way.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    descriptor: u64,
    control: u32,
    len: u32,
    gpa: u64,
}

impl<W: Write> fmt::Debug for TraceWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceWriter").finish_non_exhaustive()
    }
}

impl<W: Write> TraceWriter<W> {
    /// A trace of a machine that consists of this.
    pub fn new(writer: W, inventory: &Inventory, kind: BoardKind, ram: GuestRam) -> Self {
        let mut trace = Self {
            writer: Some(writer),
            ram,
            buffer: Vec::new(),
            device: address(inventory.assigned),
            dma_high: 0,
            dma: None,
        };
        trace.write(|writer| header(writer, inventory, kind));
        trace
    }

    fn write(&mut self, line: impl FnOnce(&mut W) -> io::Result<()>) {
        self.write_with(|writer, _| line(writer));
    }

    fn write_with(&mut self, line: impl FnOnce(&mut W, &str) -> io::Result<()>) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = line(writer, &self.device)
        {
            log::error!("the trace ends here: {error}");
            self.writer = None;
        }
    }
}

impl<W: Write> Drop for TraceWriter<W> {
    fn drop(&mut self) {
        // What a buffer still holds is lost without a word otherwise.
        self.write(Write::flush);
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
    for FunctionInventory { bdf, config, bars } in &inventory.functions {
        let bdf = address(*bdf);
        write!(writer, "@pci {bdf} ")?;
        hex(writer, config)?;
        writeln!(writer)?;
        for (index, bar) in bars {
            let (kind, is_prefetchable) = match bar.kind() {
                BarKind::Memory32 { prefetchable } => ("mem32", prefetchable),
                BarKind::Memory64 { prefetchable } => ("mem64", prefetchable),
                BarKind::Io => ("io", false),
                BarKind::Rom => ("rom", false),
            };
            let flag = if is_prefetchable { "pf" } else { "-" };
            writeln!(writer, "@bar {bdf} {index} {kind} {flag} {:#x}", bar.size())?;
        }
        writeln!(writer, "@function {bdf}")?;
    }
    let mut room = ITEMS_LEN;
    for (key, name, bytes) in &inventory.items {
        let known = ITEMS
            .iter()
            .find(|(of, _)| of == key)
            .map(|(_, name)| (*name).to_owned());
        let name = name.clone().or(known).unwrap_or_else(|| format!("key-{key:#06x}"));
        let name = name.replace(|c: char| !c.is_ascii_graphic(), "_");
        // Half of an item is none: a reader compares length and content.
        if bytes.len() > ITEM.min(room) {
            writeln!(writer, "# {key:#06x} {name}: {} bytes are not shown", bytes.len())?;
            continue;
        }
        room -= bytes.len();
        write!(writer, "@item {key:#06x} {} {name} ", bytes.len())?;
        hex(writer, bytes)?;
        writeln!(writer)?;
    }
    writeln!(writer, "section firmware.run accesses of a guest")
}

fn address(bdf: Bdf) -> String {
    format!("{:02x}:{:02x}.{}", bdf.bus(), bdf.device(), bdf.function())
}

/// Where an access goes to.
#[derive(Clone, Copy, Debug)]
enum Place {
    Port(u16),
    Memory(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "io {port:#06x}"),
            Self::Memory(addr) => write!(f, "mem {addr:#010x}"),
        }
    }
}

/// Writes one access. What a BAR answers is its own, and a replay without it checks who was asked.
fn access(
    writer: &mut impl Write,
    is_write: bool,
    place: Place,
    data: &[u8],
    seen: Seen,
    device: &str,
) -> io::Result<()> {
    let (len, width, value) = (data.len(), 2 + 2 * data.len(), value(data));
    let kind = match (is_write, seen) {
        (true, _) => "w",
        (false, Seen::Register) => "r",
        (false, Seen::Bar(..) | Seen::Vga) => "p",
    };
    write!(writer, "{kind} {place} {len} {value:#0width$x}")?;
    match seen {
        Seen::Bar(bar, offset) if !is_write => write!(writer, " {device} {bar}+{offset:#x}")?,
        Seen::Vga if !is_write => write!(writer, " {device} -")?,
        _ => {}
    }
    writeln!(writer)
}

/// Writes one access to memory. What is left of one that crosses a page can have any length, and is told in parts of
/// lengths that a processor has instructions for.
fn memory_access(
    writer: &mut impl Write,
    is_write: bool,
    mut addr: u64,
    mut data: &[u8],
    mut seen: Seen,
    device: &str,
) -> io::Result<()> {
    while let Some(width) = data.len().min(8).checked_ilog2().map(|bits| 1_usize << bits) {
        let (part, rest) = data.split_at(width);
        access(writer, is_write, Place::Memory(addr), part, seen, device)?;
        let step = 1_u64 << width.ilog2();
        addr = addr.wrapping_add(step);
        if let Seen::Bar(_, offset) = &mut seen {
            *offset = offset.wrapping_add(step);
        }
        data = rest;
    }
    Ok(())
}

impl<W: Write> TraceWriter<W> {
    fn memory_line(&mut self, kind: &str, gpa: u64, len: u32) {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        bytes.resize(usize::try_from(len.min(TRANSFER)).unwrap_or(0), 0);
        let is_shown = len <= TRANSFER && self.ram.memory().read_slice(&mut bytes, GuestAddress(gpa)).is_ok();
        self.write(|writer| {
            if !is_shown {
                return writeln!(writer, "# {len} bytes at {gpa:#x} are not shown");
            }
            write!(writer, "{kind} ram {gpa:#010x} {len} ")?;
            hex(writer, &bytes)?;
            writeln!(writer)
        });
        self.buffer = bytes;
    }

    /// Notes the transfer that a write to the DMA port is about to start.
    fn start_dma(&mut self, port: u16, data: &[u8]) {
        let Some(value) = data.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return;
        };
        if port == DMA_HIGH {
            self.dma_high = value;
            return;
        }
        let descriptor = u64::from(std::mem::take(&mut self.dma_high)) << 32 | u64::from(value);
        let mut bytes = [0; 16];
        if self
            .ram
            .memory()
            .read_slice(&mut bytes, GuestAddress(descriptor))
            .is_err()
        {
            return;
        }
        let fields = u128::from_be_bytes(bytes);
        let field = |shift: u32| u32::try_from(fields >> shift & u128::from(u32::MAX)).unwrap_or(0);
        let transfer = Transfer {
            descriptor,
            control: field(96),
            len: field(64),
            gpa: u64::from(field(32)) << 32 | u64::from(field(0)),
        };
        self.memory_line("wb", descriptor, 16);
        if transfer.control & DMA_WRITE != 0 && transfer.len != 0 {
            self.memory_line("wb", transfer.gpa, transfer.len);
        }
        self.dma = Some(transfer);
    }
}

impl<W: Write + Send> Observer for TraceWriter<W> {
    fn port(&mut self, is_write: bool, port: u16, size: usize, data: &[u8], seen: Seen) {
        if is_write && size == 4 && matches!(port, DMA_HIGH | DMA_LOW) {
            self.start_dma(port, data);
        }
        self.write_with(|writer, device| {
            if !is_write && data.len() > size && seen == Seen::Register {
                write!(writer, "rs io {port:#06x} {size} {} ", data.len() / size.max(1))?;
                hex(writer, data)?;
                return writeln!(writer);
            }
            let mut items = data.chunks(size.max(1));
            items.try_for_each(|item| access(writer, is_write, Place::Port(port), item, seen, device))
        });
    }

    fn memory(&mut self, is_write: bool, addr: u64, data: &[u8], seen: Seen) {
        self.write_with(|writer, device| memory_access(writer, is_write, addr, data, seen, device));
    }

    fn done(&mut self, _: u16) {
        if let Some(transfer) = self.dma.take() {
            self.memory_line("rb", transfer.descriptor, 16);
            if transfer.control & DMA_READ != 0 && transfer.len != 0 {
                self.memory_line("rb", transfer.gpa, transfer.len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use igd_quirks::facts::Extent;
    use pci_model::Bar;

    #[test]
    fn accesses_are_lines() {
        let inventory = Inventory {
            assigned: Bdf::from_bits(0x10),
            functions: vec![FunctionInventory {
                bdf: Bdf::from_bits(0x10),
                config: [0x86; 256],
                bars: vec![(0, Bar::new(BarKind::Memory64 { prefetchable: false }, 1 << 24).unwrap())],
            }],
            items: vec![(0x20, Some("etc/x".to_owned()), vec![1, 2])],
            ram: vec![Extent::new(0, 0x1000_0000)],
        };
        let mut text = Vec::new();
        let ram = GuestRam::new(&[Extent::new(0, 0x1_0000)]).unwrap();
        let memory = ram.memory().clone();
        let mut trace = TraceWriter::new(&mut text, &inventory, BoardKind::Q35, ram);
        let register = Seen::Register;
        trace.port(true, 0xcf8, 4, &[0, 0x10, 0, 0x80], register);
        trace.port(false, 0x511, 1, b"QEMU", register);
        trace.port(false, 0xcfc, 2, &[0x86, 0x80], register);
        trace.memory(true, 0xb000_0004, &[7, 0], register);
        trace.memory(false, 0xe000_0008, &[1, 2, 3, 4], Seen::Bar(0, 8));
        trace.memory(false, 0xe000_0ff9, &[1, 2, 3, 4, 5, 6, 7], Seen::Bar(0, 0xff9));
        trace.memory(true, 0xa_0000, &[1], Seen::Vga);
        let descriptor = [0, 0x20, 0, 0x0a, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0x20, 0];
        memory.write_slice(&descriptor, GuestAddress(0x1000)).unwrap();
        trace.port(true, 0x518, 4, &[0, 0, 0x10, 0], register);
        memory.write_slice(&[0; 4], GuestAddress(0x1000)).unwrap();
        memory.write_slice(&[1, 2], GuestAddress(0x2000)).unwrap();
        trace.done(0x518);
        drop(trace);
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            ["@trace 1", "@kind firmware", "@machine q35", "@ram 0x10000000"]
        );
        assert!(lines[4].starts_with("@pci 00:02.0 0x8686"));
        assert_eq!(lines[5], "@bar 00:02.0 0 mem64 - 0x1000000");
        let expected = [
            "@item 0x0020 2 etc/x 0x0102",
            "section firmware.run accesses of a guest",
            "w io 0x0cf8 4 0x80001000",
            "rs io 0x0511 1 4 0x51454d55",
            "r io 0x0cfc 2 0x8086",
            "w mem 0xb0000004 2 0x0007",
            "p mem 0xe0000008 4 0x04030201 00:02.0 0+0x8",
            "p mem 0xe0000ff9 4 0x04030201 00:02.0 0+0xff9",
            "p mem 0xe0000ffd 2 0x0605 00:02.0 0+0xffd",
            "p mem 0xe0000fff 1 0x07 00:02.0 0+0xfff",
            "w mem 0x000a0000 1 0x01",
            "wb ram 0x00001000 16 0x0020000a000000020000000000002000",
            "w io 0x0518 4 0x00100000",
            "rb ram 0x00001000 16 0x00000000000000020000000000002000",
            "rb ram 0x00002000 2 0x0102",
        ];
        assert_eq!(lines[7..], expected);
    }

    fn nothing() -> (Inventory, GuestRam) {
        let inventory = Inventory {
            assigned: Bdf::from_bits(0x10),
            functions: vec![],
            items: vec![],
            ram: vec![],
        };
        (inventory, GuestRam::new(&[Extent::new(0, 0x1000)]).unwrap())
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
        let (inventory, ram) = nothing();
        let mut trace = TraceWriter::new(Full, &inventory, BoardKind::Pc, ram);
        trace.port(true, 0xcf8, 4, &[0; 4], Seen::Register);
        assert!(trace.writer.is_none());
    }

    #[test]
    fn the_end_of_a_trace_leaves_the_buffer() {
        #[derive(Default)]
        struct Flushed(std::rc::Rc<std::cell::Cell<usize>>);
        impl Write for Flushed {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                self.0.set(self.0.get() + 1);
                Ok(())
            }
        }
        let (inventory, ram) = nothing();
        let count = std::rc::Rc::default();
        let writer = Flushed(std::rc::Rc::clone(&count));
        drop(TraceWriter::new(writer, &inventory, BoardKind::Pc, ram));
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn an_item_is_written_whole_or_not_at_all() {
        let (mut inventory, ram) = nothing();
        inventory.items = vec![
            (0x20, Some("etc/long".to_owned()), vec![0xab; 0x1_0001]),
            (0x21, Some("a name".to_owned()), vec![]),
            (0x22, Some("etc/huge".to_owned()), vec![0; ITEM + 1]),
        ];
        let mut text = Vec::new();
        drop(TraceWriter::new(&mut text, &inventory, BoardKind::Pc, ram));
        let text = String::from_utf8(text).unwrap();
        let long = format!("\n@item 0x0020 65537 etc/long 0x{}\n", "ab".repeat(0x1_0001));
        assert!(text.contains(&long));
        assert!(text.contains("\n@item 0x0021 0 a_name 0x\n"));
        assert!(text.contains("\n# 0x0022 etc/huge: 4194305 bytes are not shown\n"));
    }
}
