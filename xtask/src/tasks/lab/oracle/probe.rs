// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the probe looks at, as data: the image is made from it, and what the image writes is read by it.

use anyhow::{Context, Result, bail};

use super::asm::{ABSENT, Asm, MAX_FILES, MAX_ITEM, PAGE, Width};

/// Where the probe puts the device's BARs, and its ROM.
const BAR0: u32 = 0xe000_0000;
const BAR2: u32 = 0xd000_0000;
const BAR4: u16 = 0xc000;
const ROM: u32 = 0xcf00_0000;
/// Copies of GGC and BDSM in BAR0.
const GGC_MIRROR: u32 = 0x10_8040;
const BDSM_MIRROR: u32 = 0x10_80c0;

const HOST_BRIDGE: u8 = 0;
const ISA_BRIDGE: u8 = 0x1f << 3;

/// One thing to do, and to write down if there is an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    /// Ids of function 0 of each device.
    Devices,
    /// Configuration space of a function.
    Space(u8),
    Config(u8, u8, Width),
    SetConfig(u8, u8, Width, u32),
    Memory(u32, Width),
    SetMemory(u32, Width, u32),
    /// So many dwords.
    Block(u32, u32),
    Port(u16, Width),
    SetPort(u16, Width, u32),
    /// An item of fw_cfg that has no name: its key and bytes.
    Item(u16, u32),
    Directory,
    File(&'static str),
    Flush,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Found {
    Bytes(Vec<u8>),
    /// Names and sizes, in the order of the directory.
    Files(Vec<(String, u32)>),
    /// Size of a file, and hashes of its pages.
    Pages(u32, Vec<u32>),
    NoFile,
}

/// A step with an answer has a name.
type Step = (String, Op);

/// Items of fw_cfg that have a number.
const ITEMS: &[(&str, u16, u32)] = &[
    ("signature", 0, 4),
    ("features", 1, 4),
    ("uuid", 2, 16),
    ("ram size", 3, 8),
    ("nographic", 4, 2),
    ("processors", 5, 2),
    ("boot menu", 0x0e, 2),
    ("most processors", 0x0f, 2),
    ("irq0 override", 0x8002, 4),
];

/// Files that firmware acts on and that do not describe the board's own devices.
const FILES: &[&str] = &[
    "etc/igd-opregion",
    "etc/igd-bdsm-size",
    "etc/e820",
    "etc/system-states",
    "etc/boot-fail-wait",
    "bootorder",
    "bios-geometry",
    "etc/tpm/log",
];

/// Entries of 20 bytes, with the kind in the last four; 1 is RAM.
const E820: Op = Op::File("etc/e820");

const BARS: &[u8] = &[0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30];

/// A register of the device, what is written to it, and how wide.
const WRITES: &[(u8, Width, u32)] = &[
    (0x50, Width::Word, 0xffff),
    (0x50, Width::Dword, 0),
    (0x52, Width::Word, 0xffff),
    (0x54, Width::Dword, u32::MAX),
    (0x5c, Width::Dword, u32::MAX),
    (0x5c, Width::Dword, 0x7c00_0000),
    (0x5d, Width::Byte, 0x5a),
    (0x5e, Width::Word, 0x1234),
    (0xc0, Width::Dword, 0x8000_0000),
    (0xc2, Width::Word, 0x4321),
    (0xc4, Width::Dword, 0x1),
    (0xc4, Width::Dword, 0),
    (0xfc, Width::Dword, u32::MAX),
    (0xfc, Width::Dword, 0x7ff0_1000),
    (0xfd, Width::Byte, 0x20),
    (0xfe, Width::Word, 0x0666),
    (0x04, Width::Word, 0xffff),
    (0x04, Width::Word, 0x0107),
    (0x0c, Width::Byte, 0x10),
    (0x0d, Width::Byte, 0x40),
    (0x2c, Width::Dword, 0),
    (0x3c, Width::Byte, 0x0b),
    (0x3d, Width::Byte, 0x04),
];

/// The same for the bridges; a board's registers from 40h on are its own.
const BRIDGE_WRITES: &[(u8, Width, u32)] = &[
    (0x00, Width::Dword, 0),
    (0x04, Width::Word, 0xffff),
    (0x08, Width::Dword, 0),
    (0x2c, Width::Dword, 0),
    (0x3c, Width::Byte, 0x0b),
];

/// All there is to look at for a device at this slot, whose translation table is here in BAR0.
fn steps(slot: u8, table: u32) -> Vec<Step> {
    let mut steps = Steps::default();
    let device = slot << 3;
    steps.files();
    steps.ask("functions".to_owned(), Op::Devices);
    for (name, function) in [("00:00.0", HOST_BRIDGE), ("device", device), ("00:1f.0", ISA_BRIDGE)] {
        steps.ask(format!("{name} config"), Op::Space(function));
    }
    steps.act(Op::Flush);
    steps.bars(device, BAR0 + table);
    steps.legacy_vga();
    steps.registers(device);
    for (name, function) in [("00:00.0", HOST_BRIDGE), ("00:1f.0", ISA_BRIDGE)] {
        for (register, width, value) in BRIDGE_WRITES {
            steps.write(name, function, (*register, *width, *value));
        }
    }
    steps.ask("device config at the end".to_owned(), Op::Space(device));
    steps.act(Op::Flush);
    steps.0
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn act(&mut self, op: Op) {
        self.0.push((String::new(), op));
    }

    fn ask(&mut self, name: String, op: Op) {
        self.0.push((name, op));
    }

    fn files(&mut self) {
        self.ask("fw_cfg directory".to_owned(), Op::Directory);
        for (name, key, bytes) in ITEMS {
            self.ask(format!("fw_cfg {name}"), Op::Item(*key, *bytes));
        }
        for name in FILES {
            self.ask(format!("fw_cfg {name}"), Op::File(name));
        }
    }

    fn write(&mut self, name: &str, function: u8, (register, width, value): (u8, Width, u32)) {
        self.act(Op::SetConfig(function, register, width, value));
        let after = format!("{name} {register:02x} after {width:?} {value:x}");
        self.ask(after, Op::Config(function, register & 0xfc, Width::Dword));
    }

    /// Sizes of the BARs, their addresses, and what is at them.
    fn bars(&mut self, device: u8, table: u32) {
        self.act(Op::SetConfig(device, 0x04, Width::Word, 0));
        for bar in BARS {
            self.write("device BAR", device, (*bar, Width::Dword, u32::MAX));
            self.write("device BAR", device, (*bar, Width::Dword, 0));
        }
        let places = [(0x10, BAR0), (0x18, BAR2), (0x20, BAR4.into()), (0x30, ROM | 1)];
        for (bar, address) in places {
            self.write("device BAR", device, (bar, Width::Dword, address));
        }
        self.act(Op::SetConfig(device, 0x04, Width::Word, 0x0107));
        self.mirrors("at first");
        self.ask("GTT entry 0".to_owned(), Op::Memory(table, Width::Dword));
        self.act(Op::SetMemory(BAR2 + 0x1000, Width::Dword, 0x1234_5678));
        self.ask("aperture".to_owned(), Op::Memory(BAR2 + 0x1000, Width::Dword));
        self.act(Op::SetPort(BAR4, Width::Dword, 5));
        self.ask("BAR4 index".to_owned(), Op::Port(BAR4, Width::Dword));
        self.act(Op::SetPort(BAR4 + 4, Width::Dword, 0x7c00_0001));
        self.ask("BAR4 data".to_owned(), Op::Port(BAR4 + 4, Width::Dword));
        self.ask("GTT entry 1".to_owned(), Op::Memory(table + 4, Width::Dword));
        self.ask("ROM header".to_owned(), Op::Block(ROM, 32));
        self.act(Op::Flush);
    }

    /// GGC and BDSM as BAR0 shows them, in several widths.
    fn mirrors(&mut self, when: &str) {
        let places = [
            (GGC_MIRROR, Width::Word),
            (GGC_MIRROR, Width::Dword),
            (BDSM_MIRROR, Width::Dword),
            (BDSM_MIRROR + 2, Width::Word),
            (BDSM_MIRROR + 4, Width::Dword),
        ];
        for (offset, width) in places {
            let name = format!("BAR0 {offset:x} {width:?} {when}");
            self.ask(name, Op::Memory(BAR0 + offset, width));
        }
    }

    fn legacy_vga(&mut self) {
        self.act(Op::SetMemory(0xb_8000, Width::Word, 0x0741));
        self.ask("VGA memory".to_owned(), Op::Memory(0xb_8000, Width::Word));
        self.act(Op::SetPort(0x3c4, Width::Byte, 2));
        for port in [0x3c4, 0x3c5, 0x3cc, 0x3d4, 0x3ba] {
            self.ask(format!("VGA port {port:x}"), Op::Port(port, Width::Byte));
        }
    }

    /// What registers keep, and that the mirrors are the same registers.
    fn registers(&mut self, device: u8) {
        for write in WRITES {
            self.write("device", device, *write);
        }
        self.mirrors("after writes to configuration space");
        let writes = [
            (GGC_MIRROR, Width::Word, 0xffff),
            (BDSM_MIRROR, Width::Dword, 0xabc0_0000),
            (BDSM_MIRROR + 4, Width::Dword, 2),
        ];
        for (offset, width, value) in writes {
            self.act(Op::SetMemory(BAR0 + offset, width, value));
        }
        self.mirrors("after writes to BAR0");
        for register in [0x50, 0x5c, 0xc0, 0xc4] {
            let name = format!("device {register:02x} after writes to BAR0");
            self.ask(name, Op::Config(device, register, Width::Dword));
        }
        self.act(Op::Flush);
    }
}

/// The image for a device at this slot, whose translation table is here in BAR0.
pub(super) fn image(slot: u8, table: u32) -> Result<Vec<u8>> {
    let mut asm = Asm::new();
    for (_, op) in steps(slot, table) {
        match op {
            Op::Devices => asm.devices(),
            Op::Space(function) => asm.config_space(function),
            Op::Config(function, register, width) => asm.config_read(function, register, width),
            Op::SetConfig(function, register, width, value) => asm.config_write(function, register, width, value),
            Op::Memory(address, width) => asm.memory_read(address, width),
            Op::SetMemory(address, width, value) => asm.memory_write(address, width, value),
            Op::Block(address, dwords) => asm.memory(address, dwords),
            Op::Port(port, width) => asm.port_read(port, width),
            Op::SetPort(port, width, value) => asm.port_write(port, width, value),
            Op::Item(key, bytes) => asm.item(key, bytes),
            Op::Directory => asm.directory(),
            Op::File(name) => asm.file(name),
            Op::Flush => asm.flush(),
        };
    }
    asm.build()
}

/// What the image wrote.
///
/// # Errors
///
/// It is not what the image writes.
pub(super) fn read(slot: u8, written: &[u8]) -> Result<Vec<(String, Found)>> {
    let mut rest = written;
    let mut found = Vec::new();
    // Where the table is changes no answer's name or size.
    for (name, op) in steps(slot, 0) {
        let answer = match op {
            Op::Devices => Found::Bytes(take(&mut rest, 32 * 4, &name)?),
            Op::Space(_) => Found::Bytes(take(&mut rest, 256, &name)?),
            Op::Config(..) | Op::Memory(..) | Op::Port(..) => Found::Bytes(take(&mut rest, 4, &name)?),
            Op::Block(_, dwords) => Found::Bytes(take(&mut rest, dwords.saturating_mul(4), &name)?),
            Op::Item(_, bytes) => Found::Bytes(take(&mut rest, bytes, &name)?),
            Op::Directory => directory(&mut rest, &name)?,
            Op::File(_) => file(&mut rest, &name)?,
            Op::SetConfig(..) | Op::SetMemory(..) | Op::SetPort(..) | Op::Flush => continue,
        };
        if let (E820, Found::Bytes(map)) = (op, &answer) {
            let ram = map.chunks(20).filter(|entry| entry.get(16) == Some(&1));
            found.push((format!("{name}: RAM"), Found::Bytes(ram.flatten().copied().collect())));
        }
        found.push((name, answer));
    }
    if !rest.is_empty() {
        bail!("{} bytes more than the probe writes", rest.len());
    }
    Ok(found)
}

fn take(rest: &mut &[u8], bytes: u32, name: &str) -> Result<Vec<u8>> {
    let split = usize::try_from(bytes)
        .ok()
        .and_then(|bytes| rest.split_at_checked(bytes));
    let (taken, after) = split.with_context(|| format!("the probe ended at `{name}`"))?;
    *rest = after;
    Ok(taken.to_vec())
}

fn number(rest: &mut &[u8], name: &str) -> Result<u32> {
    let bytes = take(rest, 4, name)?;
    Ok(bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn directory(rest: &mut &[u8], name: &str) -> Result<Found> {
    let count = number(rest, name)?;
    if count > MAX_FILES {
        bail!("a directory of {count} files");
    }
    let mut files = Vec::new();
    for _ in 0..count {
        let size = number(rest, name)?.swap_bytes();
        // Key and reserved bytes, of which QEMU chooses the first by the number of files.
        take(rest, 4, name)?;
        let text = take(rest, 56, name)?;
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        files.push((String::from_utf8_lossy(text).into_owned(), size));
    }
    Ok(Found::Files(files))
}

fn file(rest: &mut &[u8], name: &str) -> Result<Found> {
    match number(rest, name)? {
        ABSENT => Ok(Found::NoFile),
        size @ 0..=PAGE => Ok(Found::Bytes(take(rest, size, name)?)),
        size if size > MAX_ITEM => Ok(Found::Pages(size, Vec::new())),
        size => {
            let pages = (0..size.div_ceil(PAGE)).map(|_| number(rest, name));
            Ok(Found::Pages(size, pages.collect::<Result<_>>()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_names_of_their_own() {
        let mut names: Vec<String> = steps(2, 0).into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !name.is_empty());
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(image(2, 0).unwrap() != image(3, 0).unwrap(), "the slot matters");
    }

    #[test]
    fn a_file_is_absent_short_or_long() {
        let read = |bytes: &[u8]| file(&mut &bytes[..], "f");
        assert_eq!(read(&[0xff; 4]).unwrap(), Found::NoFile);
        assert_eq!(read(&[2, 0, 0, 0, 7, 8]).unwrap(), Found::Bytes(vec![7, 8]));
        let long = [1, 1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(read(&long).unwrap(), Found::Pages(0x101, vec![1, 2]));
        assert!(read(&long[..11]).is_err());
        assert_eq!(read(&[0, 0, 0, 0x10]).unwrap(), Found::Pages(0x1000_0000, vec![]));
    }

    #[test]
    fn a_directory_is_bounded() {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 9, 0, 0x20, 0, 0];
        bytes.extend(b"etc/a\0");
        bytes.resize(68, b'?');
        let files = directory(&mut &bytes[..], "d").unwrap();
        assert_eq!(files, Found::Files(vec![("etc/a".to_owned(), 9)]));
        assert!(directory(&mut &[0xff; 80][..], "d").is_err());
    }

    #[test]
    fn too_little_and_too_much_are_seen() {
        let missing = read(2, &[0; 4]).unwrap_err().to_string();
        assert!(missing.contains("`fw_cfg signature`"), "{missing}");
        let too_much = read(2, &vec![0; 1 << 16]).unwrap_err().to_string();
        assert!(too_much.contains("more than the probe writes"), "{too_much}");
    }
}
