// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The differentiated system description: the devices that are not found by probing.

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, Path,
    ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};
use igd_quirks::facts::Extent;

use super::{ECAM, ECAM_LEN, PM_BASE, SMI_COMMAND, header, routes};
use crate::devices::S5;
use crate::machine::{BoardInfo, BoardKind};

/// Where the I/O APIC and what follows it starts: no PCI memory from here to 4 GiB.
const PCI_END: u64 = 0xfec0_0000;
const GIB_4: u64 = 1 << 32;
/// End of the window above RAM: firmware may go as high as processors have address bits, systems cut off the rest.
const HIGH_END: u64 = 1 << 46;

/// Bytes that are code already.
pub(super) struct Code(pub(super) Vec<u8>);

impl Aml for Code {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

/// The table of a board.
pub(super) fn table(board: &BoardInfo) -> Sdt {
    let mut code = Vec::new();
    let (sleep, zero) = (u8::try_from(S5).unwrap_or(0), 0_u8);
    let off = Package::new(vec![&sleep, &sleep, &zero, &zero]);
    Name::new(Path::new("\\_S5_"), &off).to_aml_bytes(&mut code);
    let bridge = bridge(board);
    let processors = processors(board.cpus);
    Scope::new(Path::new("\\_SB_"), vec![&bridge, &processors]).to_aml_bytes(&mut code);
    routes::root(board.kind, &mut code);
    let mut table = header(*b"DSDT", 1);
    table.append_slice(&code);
    table
}

/// The host bridge with everything behind it.
fn bridge(board: &BoardInfo) -> Code {
    let (kind, compatible) = match board.kind {
        BoardKind::Pc => (EISAName::new("PNP0A03"), None),
        BoardKind::Q35 => (EISAName::new("PNP0A08"), Some(EISAName::new("PNP0A03"))),
    };
    let zero = 0_u8;
    let mut body = Vec::new();
    Name::new(Path::new("_HID"), &kind).to_aml_bytes(&mut body);
    if let Some(id) = compatible {
        Name::new(Path::new("_CID"), &id).to_aml_bytes(&mut body);
    }
    for name in ["_UID", "_BBN"] {
        Name::new(Path::new(name), &zero).to_aml_bytes(&mut body);
    }
    resources(board, &mut body);
    routes::bridge(board.kind, &mut body);
    legacy(board.kind, &mut body);
    let body = Code(body);
    let mut code = Vec::new();
    Device::new(Path::new("PCI0"), vec![&body]).to_aml_bytes(&mut code);
    Code(code)
}

/// The memory that RAM and ECAM leave to PCI.
#[derive(PartialEq, Eq, Debug)]
struct Windows {
    /// Below 4 GiB.
    low: Vec<Extent>,
    /// Above RAM.
    high: Option<Extent>,
}

fn windows(board: &BoardInfo) -> Windows {
    let ram_end = |is_low: bool| {
        let extents = board.ram.iter().filter(move |extent| (extent.start < GIB_4) == is_low);
        extents.map(|extent| extent.end()).max()
    };
    let between = |start: u64, end: u64| (start < end).then(|| Extent::new(start, end - start));
    let low_end = ram_end(true).unwrap_or(0).min(PCI_END).next_multiple_of(1 << 20);
    let low = match board.kind {
        BoardKind::Pc => [between(low_end, PCI_END), None],
        BoardKind::Q35 => [between(low_end, ECAM), between(low_end.max(ECAM + ECAM_LEN), PCI_END)],
    };
    let high = ram_end(false).unwrap_or(GIB_4).min(HIGH_END).next_multiple_of(1 << 30);
    Windows {
        low: low.into_iter().flatten().collect(),
        high: between(high, HIGH_END),
    }
}

fn resources(board: &BoardInfo, body: &mut Vec<u8>) {
    let Windows { low, high } = windows(board);
    let plain = || AddressSpaceCacheable::NotCacheable;
    let mut all: Vec<Box<dyn Aml>> = vec![
        Box::new(AddressSpace::<u16>::new_bus_number(0, 0xff)),
        Box::new(IO::new(0xcf8, 0xcf8, 1, 8)),
        Box::new(AddressSpace::<u16>::new_io(0, 0xcf7, None)),
        Box::new(AddressSpace::<u16>::new_io(0xd00, 0xffff, None)),
        Box::new(AddressSpace::<u32>::new_memory(
            AddressSpaceCacheable::Cacheable,
            true,
            0xa_0000,
            0xb_ffff,
            None,
        )),
    ];
    for window in low {
        if let (Ok(first), Ok(last)) = (u32::try_from(window.start), u32::try_from(window.end() - 1)) {
            all.push(Box::new(AddressSpace::<u32>::new_memory(
                plain(),
                true,
                first,
                last,
                None,
            )));
        }
    }
    if let Some(window) = high {
        let last = window.end() - 1;
        all.push(Box::new(AddressSpace::<u64>::new_memory(
            plain(),
            true,
            window.start,
            last,
            None,
        )));
    }
    let all = ResourceTemplate::new(all.iter().map(|one| &**one).collect());
    Name::new(Path::new("_CRS"), &all).to_aml_bytes(body);
}

/// A device of the board with its status and its resources.
fn device(name: &str, id: &dyn Aml, status: u8, resources: Vec<&dyn Aml>, body: &mut Vec<u8>) {
    let hid = Name::new(Path::new("_HID"), id);
    let status = Name::new(Path::new("_STA"), &status);
    let resources = ResourceTemplate::new(resources);
    let crs = Name::new(Path::new("_CRS"), &resources);
    Device::new(Path::new(name), vec![&hid, &status, &crs]).to_aml_bytes(body);
}

/// The devices on ISA, and what the board itself occupies.
fn legacy(kind: BoardKind, body: &mut Vec<u8>) {
    const WORKS: u8 = 0x0f;
    /// Works, and nobody needs to know.
    const HIDDEN: u8 = 0x0b;
    let port = |base, len| IO::new(base, base, 1, len);
    let line = |irq| Interrupt::new(true, true, false, false, irq);
    let id = EISAName::new;
    device("COM1", &id("PNP0501"), WORKS, vec![&port(0x3f8, 8), &line(4)], body);
    device("RTC_", &id("PNP0B00"), WORKS, vec![&port(0x70, 2), &line(8)], body);
    device(
        "KBD_",
        &id("PNP0303"),
        WORKS,
        vec![&port(0x60, 1), &port(0x64, 1), &line(1)],
        body,
    );
    device("FWCF", &"QEMU0002", HIDDEN, vec![&port(0x510, 12)], body);
    let word = |value: u32| u16::try_from(value).unwrap_or(0);
    let (power, command) = (port(word(PM_BASE), 0x80), port(word(SMI_COMMAND), 2));
    let ecam = Memory32Fixed::new(
        true,
        u32::try_from(ECAM).unwrap_or(0),
        u32::try_from(ECAM_LEN).unwrap_or(0),
    );
    let mut occupied: Vec<&dyn Aml> = vec![&power, &command];
    if kind == BoardKind::Q35 {
        occupied.push(&ecam);
    }
    device("MBRD", &id("PNP0C02"), WORKS, occupied, body);
}

fn processors(cpus: u8) -> Code {
    let mut code = Vec::new();
    for cpu in 0..cpus {
        let hid = Name::new(Path::new("_HID"), &"ACPI0007");
        let uid = Name::new(Path::new("_UID"), &cpu);
        Device::new(Path::new(&format!("C0{cpu:02X}")), vec![&hid, &uid]).to_aml_bytes(&mut code);
    }
    Code(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: BoardKind, ram: &[Extent]) -> Windows {
        windows(&BoardInfo {
            kind,
            ram: ram.to_vec(),
            cpus: 1,
        })
    }

    /// From one address up to another.
    fn range(start: u64, end: u64) -> Extent {
        Extent::new(start, end - start)
    }

    #[test]
    fn windows_are_what_ram_and_ecam_leave() {
        const END: u64 = 0xfec0_0000;
        let high = Some(range(1 << 32, 1 << 46));
        let pc = of(BoardKind::Pc, &[Extent::new(0, 256 << 20)]);
        assert_eq!((pc.low, pc.high), (vec![range(0x1000_0000, END)], high));
        let q35 = of(BoardKind::Q35, &[Extent::new(0, 2 << 30)]);
        let low = vec![range(0x8000_0000, ECAM), range(0xc000_0000, END)];
        assert_eq!((q35.low, q35.high), (low, high));
        let q35 = of(BoardKind::Q35, &[Extent::new(0, ECAM)]);
        assert_eq!(q35.low, [range(0xc000_0000, END)]);
        let above = [Extent::new(0, 0xc000_0000), Extent::new(1 << 32, 100 << 20)];
        assert_eq!(of(BoardKind::Pc, &above).high, Some(range(5 << 30, 1 << 46)));
        let full = of(BoardKind::Pc, &[Extent::new(0, 1 << 32), Extent::new(1 << 32, 1 << 60)]);
        assert_eq!((full.low, full.high), (vec![], None));
    }

    #[test]
    fn every_processor_is_a_device() {
        assert_eq!(
            processors(3)
                .0
                .windows(4)
                .filter(|name| name.starts_with(b"C0"))
                .count(),
            3
        );
        assert!(processors(255).0.windows(4).any(|name| name == b"C0FE"));
    }
}
