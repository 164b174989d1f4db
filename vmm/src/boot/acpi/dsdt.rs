// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The differentiated system description: the devices that are not found by probing.

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Name, Package, Path, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

use super::{ECAM, header};
use crate::machine::{BoardInfo, BoardKind};

/// Where the I/O APIC and what follows it starts: no PCI memory from here to 4 GiB.
const PCI_END: u32 = 0xfebf_ffff;
const GIB_4: u64 = 1 << 32;
/// Length of the window above RAM.
const HIGH_WINDOW: u64 = 64 << 30;
/// The ISA interrupts to which firmware leads PIRQ A to D and E to H.
const PIRQ: [u8; 4] = [10, 10, 11, 11];

/// Code in the making. A table would add itself up for every byte.
#[derive(Default)]
struct Code(Vec<u8>);

impl AmlSink for Code {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn vec(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
}

impl Aml for Code {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

/// The table of a board.
pub(super) fn table(board: &BoardInfo) -> Sdt {
    let mut sink = Code::default();
    let zero = 0_u8;
    let off = Package::new(vec![&zero, &zero, &zero, &zero]);
    Name::new(Path::new("\\_S5_"), &off).to_aml_bytes(&mut sink);
    root(board, &mut sink);
    legacy(&mut sink);
    let mut table = header(*b"DSDT", 1);
    table.append_slice(&sink.0);
    table
}

fn root(board: &BoardInfo, sink: &mut Code) {
    let (kind, compatible) = match board.kind {
        BoardKind::Pc => (EISAName::new("PNP0A03"), None),
        BoardKind::Q35 => (EISAName::new("PNP0A08"), Some(EISAName::new("PNP0A03"))),
    };
    let hid = Name::new(Path::new("_HID"), &kind);
    let cid = compatible.as_ref().map(|id| Name::new(Path::new("_CID"), id));
    let (zero, one) = (0_u8, 1_u8);
    let uid = Name::new(Path::new("_UID"), &one);
    let address = Name::new(Path::new("_ADR"), &zero);

    let low_end = board
        .ram
        .iter()
        .map(|extent| extent.end())
        .filter(|end| *end <= GIB_4)
        .max();
    let low_end = u32::try_from(low_end.unwrap_or(0)).unwrap_or(0xc000_0000);
    let window = match board.kind {
        BoardKind::Pc => low_end.max(board_start(board)),
        // ECAM has 256 MiB.
        BoardKind::Q35 => u32::try_from(ECAM).unwrap_or(0) + (256 << 20),
    };
    let high = board
        .ram
        .iter()
        .map(|extent| extent.end())
        .max()
        .unwrap_or(0)
        .max(GIB_4);
    let high = high.next_multiple_of(1 << 30);
    let buses = AddressSpace::<u16>::new_bus_number(0, 0xff);
    let config = IO::new(0xcf8, 0xcf8, 1, 8);
    let ports = AddressSpace::<u16>::new_io(0, 0xcf7, None);
    let more_ports = AddressSpace::<u16>::new_io(0xd00, 0xffff, None);
    let not_cacheable = || AddressSpaceCacheable::NotCacheable;
    let vga = AddressSpace::<u32>::new_memory(AddressSpaceCacheable::Cacheable, true, 0xa_0000, 0xb_ffff, None);
    let memory = AddressSpace::<u32>::new_memory(not_cacheable(), true, window, PCI_END, None);
    let above = AddressSpace::<u64>::new_memory(not_cacheable(), true, high, high + (HIGH_WINDOW - 1), None);
    let resources = ResourceTemplate::new(vec![&buses, &config, &ports, &more_ports, &vga, &memory, &above]);
    let crs = Name::new(Path::new("_CRS"), &resources);

    let routes: Vec<[u32; 4]> = (0..32_u32)
        .flat_map(|slot| (0..4).map(move |pin| (slot, pin)))
        .map(|(slot, pin)| {
            let line = match board.kind {
                BoardKind::Pc => (slot + pin + 3) & 3,
                BoardKind::Q35 => (slot + pin) & 3,
            };
            let gsi = PIRQ.iter().cycle().nth(line as usize).copied().unwrap_or(0);
            [slot << 16 | 0xffff, pin, 0, gsi.into()]
        })
        .collect();
    let packages: Vec<Package<'_>> = routes
        .iter()
        .map(|route| Package::new(route.iter().map(|field| field as &dyn Aml).collect()))
        .collect();
    let all = Package::new(packages.iter().map(|package| package as &dyn Aml).collect());
    let prt = Name::new(Path::new("_PRT"), &all);

    let mut children: Vec<&dyn Aml> = vec![&hid];
    children.extend(cid.iter().map(|cid| cid as &dyn Aml));
    children.extend([&uid as &dyn Aml, &address, &crs, &prt]);
    let device = Device::new(Path::new("PCI0"), children);
    Scope::new(Path::new("\\_SB_"), vec![&device]).to_aml_bytes(sink);
}

fn board_start(board: &BoardInfo) -> u32 {
    u32::try_from(board.kind.mmio_start()).unwrap_or(0xc000_0000)
}

/// A device of the board with its ports and interrupt.
fn device(name: &str, id: &dyn Aml, ports: &[(u16, u8)], irq: Option<u32>, sink: &mut Code) {
    let hid = Name::new(Path::new("_HID"), id);
    let present = 0x0f_u8;
    let status = Name::new(Path::new("_STA"), &present);
    let ports: Vec<IO> = ports.iter().map(|(base, len)| IO::new(*base, *base, 1, *len)).collect();
    let interrupt = irq.map(|irq| Interrupt::new(true, true, false, false, irq));
    let mut resources: Vec<&dyn Aml> = ports.iter().map(|port| port as &dyn Aml).collect();
    resources.extend(interrupt.iter().map(|interrupt| interrupt as &dyn Aml));
    let resources = ResourceTemplate::new(resources);
    let crs = Name::new(Path::new("_CRS"), &resources);
    Device::new(Path::new(name), vec![&hid, &status, &crs]).to_aml_bytes(sink);
}

fn legacy(sink: &mut Code) {
    let mut inner = Code::default();
    device("COM1", &EISAName::new("PNP0501"), &[(0x3f8, 8)], Some(4), &mut inner);
    device("RTC_", &EISAName::new("PNP0B00"), &[(0x70, 2)], Some(8), &mut inner);
    device(
        "KBD_",
        &EISAName::new("PNP0303"),
        &[(0x60, 1), (0x64, 1)],
        Some(1),
        &mut inner,
    );
    device("FWCF", &"QEMU0002", &[(0x510, 12)], None, &mut inner);
    Scope::new(Path::new("\\_SB_.PCI0"), vec![&inner]).to_aml_bytes(sink);
}
