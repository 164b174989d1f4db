// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! ACPI tables, as blobs that firmware links together, or linked at an address.
//!
//! *Advanced Configuration and Power Interface* 6.5, chapters 5 and 6. The script for the firmware is QEMU's
//! (`etc/table-loader`): records of 128 bytes.

mod dsdt;
mod routes;

use acpi_tables::sdt::Sdt;

use crate::devices::{ACPI_DISABLE, ACPI_ENABLE};
use crate::machine::{BoardInfo, BoardKind};

const OEM: [u8; 6] = *b"IGDVMM";
const TABLE: [u8; 8] = *b"IGDVMM  ";
/// Where SeaBIOS and OVMF put the ACPI registers.
const PM_BASE: u32 = 0x600;
const SMI_COMMAND: u32 = 0xb2;
const SCI: u8 = 9;
const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
/// Where firmware puts ECAM.
const ECAM: u64 = 0xb000_0000;
const ECAM_LEN: u64 = 256 << 20;
const FACS_LEN: usize = 64;

const RSDP_FILE: &str = "etc/acpi/rsdp";
const TABLES_FILE: &str = "etc/acpi/tables";

/// A pointer from one table to another: where it stands and what it points to, as offsets in the blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pointer {
    at: usize,
    to: usize,
}

/// Tables and what links them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tables {
    /// All tables but the first pointer. Pointers hold offsets, checksums are those of the unlinked tables.
    pub tables: Vec<u8>,
    /// The root pointer (RSDP, revision 0).
    pub rsdp: Vec<u8>,
    /// The script that links them.
    pub loader: Vec<u8>,
    pointers: Vec<Pointer>,
    /// Start and length of each table with a checksum.
    sums: Vec<(usize, usize)>,
}

/// A root pointer and the tables behind it, linked at an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linked {
    /// Address of the root pointer.
    pub rsdp: u64,
    /// Bytes to put at [`rsdp`](Self::rsdp).
    pub bytes: Vec<u8>,
}

/// The tables of a board.
#[must_use]
pub fn tables(board: &BoardInfo) -> Tables {
    let mut all = Tables {
        tables: vec![0; FACS_LEN],
        rsdp: Vec::new(),
        loader: Vec::new(),
        pointers: Vec::new(),
        sums: Vec::new(),
    };
    put(&mut all.tables, 0, b"FACS");
    put(&mut all.tables, 4, &64_u32.to_le_bytes());
    let dsdt = all.add(&dsdt::table(board));
    let fadt = all.add(&fadt());
    all.point(fadt + 36, 0);
    all.point(fadt + 40, dsdt);
    let mut listed = vec![fadt, all.add(&madt(board))];
    if board.kind == BoardKind::Q35 {
        listed.push(all.add(&mcfg()));
    }
    let mut rsdt = header(*b"RSDT", 1);
    for _ in &listed {
        rsdt.append_slice(&[0; 4]);
    }
    let rsdt = all.add(&rsdt);
    for (at, to) in (rsdt + 36..).step_by(4).zip(listed) {
        all.point(at, to);
    }
    all.rsdp = b"RSD PTR \0IGDVMM\0".to_vec();
    all.rsdp.extend(u32::try_from(rsdt).unwrap_or(0).to_le_bytes());
    all.loader = all.script();
    all
}

fn header(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, 36, revision, OEM, TABLE, 1)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(to) = bytes.get_mut(at..).and_then(|bytes| bytes.get_mut(..value.len())) {
        to.copy_from_slice(value);
    }
}

fn fadt() -> Sdt {
    let mut table = header(*b"FACP", 3);
    table.append_slice(&[0; 244 - 36]);
    let dwords = [
        (48, SMI_COMMAND),
        (56, PM_BASE),
        (64, PM_BASE + 4),
        (76, PM_BASE + 8),
        // WBINVD works, C1 is there; no power button, no sleep button, no wake-up by the RTC; there is a reset register.
        (112, 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10),
    ];
    for (at, value) in dwords {
        table.write_u32(at, value);
    }
    table.write_u16(46, SCI.into());
    // C2 and C3 take longer than anybody would wait: they are not there.
    table.write_u16(96, 0xfff);
    table.write_u16(98, 0xfff);
    // A keyboard controller, and devices on ISA.
    table.write_u16(109, 3);
    let bytes = [
        (52, ACPI_ENABLE),
        (53, ACPI_DISABLE),
        (88, 4),     // PM1 event
        (89, 2),     // PM1 control
        (91, 4),     // PM timer, of 24 bits
        (108, 0x32), // century
    ];
    for (at, value) in bytes {
        table.write_u8(at, value);
    }
    // Reset: 6 to port CF9h.
    put_gas(&mut table, 116, 0xcf9);
    table.write_u8(128, 6);
    table
}

/// A generic address of one byte of I/O space.
fn put_gas(table: &mut Sdt, at: usize, port: u64) {
    table.write_bytes(at, &[1, 8, 0, 1]);
    table.write_u64(at + 4, port);
}

fn madt(board: &BoardInfo) -> Sdt {
    let mut table = header(*b"APIC", 1);
    table.append_slice(&LOCAL_APIC.to_le_bytes());
    // There are 8259s too.
    table.append_slice(&1_u32.to_le_bytes());
    for cpu in 0..board.cpus {
        table.append_slice(&[0, 8, cpu, cpu, 1, 0, 0, 0]);
    }
    table.append_slice(&[1, 12, 0, 0]);
    table.append_slice(&IO_APIC.to_le_bytes());
    table.append_slice(&[0; 4]);
    // The timer comes in at input 2; what is level-triggered, active high.
    for (irq, gsi, flags) in [(0, 2, 0_u16), (SCI, SCI, 0xd), (10, 10, 0xd), (11, 11, 0xd)] {
        table.append_slice(&[2, 10, 0, irq, gsi, 0, 0, 0]);
        table.append_slice(&flags.to_le_bytes());
    }
    // NMI at LINT1 of every processor.
    table.append_slice(&[4, 6, 0xff, 0, 0, 1]);
    table
}

fn mcfg() -> Sdt {
    let mut table = header(*b"MCFG", 1);
    table.append_slice(&[0; 8]);
    table.append_slice(&ECAM.to_le_bytes());
    table.append_slice(&[0, 0, 0, 0xff, 0, 0, 0, 0]);
    table
}

impl Tables {
    /// Adds a table at a multiple of 8 and gives its offset.
    fn add(&mut self, table: &Sdt) -> usize {
        let at = self.tables.len().next_multiple_of(8);
        self.tables.resize(at, 0);
        self.tables.extend(table.as_slice());
        self.sums.push((at, table.len()));
        at
    }

    /// Notes a pointer of 32 bits, and puts the offset there.
    fn point(&mut self, at: usize, to: usize) {
        put(&mut self.tables, at, &u32::try_from(to).unwrap_or(0).to_le_bytes());
        self.pointers.push(Pointer { at, to });
    }

    fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        // Zone 2 is the F segment, 1 high memory.
        script.extend(record(1, &[name(RSDP_FILE), vec![16, 0, 0, 0, 2]]));
        script.extend(record(1, &[name(TABLES_FILE), vec![64, 0, 0, 0, 1]]));
        let offset = |value: usize| u32::try_from(value).unwrap_or(0).to_le_bytes().to_vec();
        for pointer in &self.pointers {
            script.extend(record(
                2,
                &[name(TABLES_FILE), name(TABLES_FILE), offset(pointer.at), vec![4]],
            ));
        }
        for (at, len) in &self.sums {
            script.extend(record(
                3,
                &[name(TABLES_FILE), offset(at + 9), offset(*at), offset(*len)],
            ));
        }
        script.extend(record(2, &[name(RSDP_FILE), name(TABLES_FILE), offset(16), vec![4]]));
        script.extend(record(3, &[name(RSDP_FILE), offset(8), offset(0), offset(20)]));
        script
    }

    /// The tables linked at `gpa`, a multiple of 64, with the root pointer first; `None` beyond 4 GiB.
    #[must_use]
    pub fn link(&self, gpa: u32) -> Option<Linked> {
        let base = gpa.checked_add(64)?;
        base.checked_add(u32::try_from(self.tables.len()).ok()?)?;
        let mut bytes = self.rsdp.clone();
        bytes.resize(64, 0);
        bytes.extend(&self.tables);
        for Pointer { at, to } in &self.pointers {
            let to = base + u32::try_from(*to).ok()?;
            put(&mut bytes, 64 + at, &to.to_le_bytes());
        }
        for (at, len) in &self.sums {
            sum(&mut bytes, 64 + at, *len, 9);
        }
        let rsdt = self.rsdp.get(16..20)?.try_into().map(u32::from_le_bytes).ok()?;
        put(&mut bytes, 16, &base.checked_add(rsdt)?.to_le_bytes());
        sum(&mut bytes, 0, 20, 8);
        Some(Linked {
            rsdp: gpa.into(),
            bytes,
        })
    }
}

/// Makes the bytes of a table add up to 0.
fn sum(bytes: &mut [u8], start: usize, len: usize, at: usize) {
    put(bytes, start + at, &[0]);
    let table = bytes.get(start..start + len).unwrap_or(&[]);
    let total = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    put(bytes, start + at, &[total.wrapping_neg()]);
}

fn name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(56, 0);
    bytes
}

fn record(command: u32, fields: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = command.to_le_bytes().to_vec();
    bytes.extend(fields.concat());
    bytes.resize(128, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use igd_quirks::facts::Extent;

    fn board(kind: BoardKind) -> BoardInfo {
        BoardInfo {
            kind,
            ram: vec![Extent::new(0, 1 << 30)],
            cpus: 2,
        }
    }

    fn dword(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    fn adds_up(bytes: &[u8]) -> bool {
        bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
    }

    /// Follows the pointers from the root, and gives the signatures.
    fn walk(bytes: &[u8], base: usize) -> Vec<[u8; 4]> {
        assert!(adds_up(&bytes[..20]));
        let rsdt = dword(bytes, 16) - base;
        let len = dword(bytes, rsdt + 4);
        assert!(adds_up(&bytes[rsdt..rsdt + len]));
        let mut found = Vec::new();
        for at in (rsdt + 36..rsdt + len).step_by(4) {
            let table = dword(bytes, at) - base;
            let len = dword(bytes, table + 4);
            assert!(adds_up(&bytes[table..table + len]));
            found.push(bytes[table..table + 4].try_into().unwrap());
            if bytes[table..].starts_with(b"FACP") {
                let facs = dword(bytes, table + 36) - base;
                assert!(bytes[facs..].starts_with(b"FACS") && facs.is_multiple_of(64));
                let dsdt = dword(bytes, table + 40) - base;
                assert!(bytes[dsdt..].starts_with(b"DSDT"));
                assert!(adds_up(&bytes[dsdt..dsdt + dword(bytes, dsdt + 4)]));
            }
        }
        found
    }

    /// Does what firmware does with the script, with both files at addresses of its choice.
    fn run(tables: &Tables, base: u32) -> Vec<u8> {
        let mut rsdp = tables.rsdp.clone();
        let mut blob = tables.tables.clone();
        for record in tables.loader.chunks(128) {
            let is_rsdp = record[4..].starts_with(b"etc/acpi/rsdp\0");
            let file = if is_rsdp { &mut rsdp } else { &mut blob };
            match dword(record, 0) {
                1 => {}
                2 => {
                    assert!(record[60..].starts_with(b"etc/acpi/tables\0"));
                    let at = dword(record, 116);
                    let value = u32::try_from(dword(file, at)).unwrap() + base;
                    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
                }
                3 => sum(
                    file,
                    dword(record, 64),
                    dword(record, 68),
                    dword(record, 60) - dword(record, 64),
                ),
                other => panic!("command {other}"),
            }
        }
        rsdp.resize(64, 0);
        rsdp.extend(blob);
        rsdp
    }

    #[test]
    fn the_script_and_the_linker_agree() {
        for (kind, expected) in [
            (BoardKind::Pc, vec![*b"FACP", *b"APIC"]),
            (BoardKind::Q35, vec![*b"FACP", *b"APIC", *b"MCFG"]),
        ] {
            let tables = tables(&board(kind));
            let linked = tables.link(0xe_0000).unwrap();
            assert_eq!(walk(&linked.bytes, 0xe_0000), expected);
            assert_eq!(run(&tables, 0xe_0040), linked.bytes);
        }
        assert_eq!(tables(&board(BoardKind::Pc)).link(u32::MAX - 63), None);
    }

    #[test]
    fn the_power_registers_are_where_firmware_puts_them() {
        let table = fadt();
        let at = |at| dword(table.as_slice(), at);
        assert_eq!((table.len(), at(56), at(64), at(76)), (244, 0x600, 0x604, 0x608));
        assert_eq!((at(80), table.as_slice()[92]), (0, 0), "no general-purpose events");
        assert_eq!(table.as_slice()[46..48], [9, 0]);
        assert_eq!(table.as_slice()[52..54], [0xf1, 0xf0]);
        assert_eq!(
            table.as_slice()[116..129],
            [1, 8, 0, 1, 0xf9, 0x0c, 0, 0, 0, 0, 0, 0, 6]
        );
        assert!(adds_up(table.as_slice()));
    }

    #[test]
    fn processors_and_interrupts_are_listed() {
        let table = madt(&board(BoardKind::Pc));
        let mut at = 44;
        let mut kinds = Vec::new();
        while at < table.len() {
            kinds.push(table.as_slice()[at]);
            at += usize::from(table.as_slice()[at + 1]);
        }
        assert_eq!(kinds, [0, 0, 1, 2, 2, 2, 2, 4]);
        assert_eq!(at, table.len());
    }
}
