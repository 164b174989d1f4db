// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the interrupt pins of PCI functions lead.
//!
//! On PIIX3 each PIRQ line leads to an ISA interrupt that a register at 60h of the ISA bridge selects: link devices.
//! On ICH9 a line leads to the same kind of register until that is disconnected, and to an input of the I/O APIC of its
//! own from then on: the choice of `_PIC`.

use acpi_tables::Aml;
use acpi_tables::aml::{Arg, Or};
use acpi_tables::aml::{
    CreateDWordField, Device, EISAName, Field, FieldAccessType, FieldEntry, FieldLockRule, FieldUpdateRule, If,
    Interrupt, LessThan, Method, Name, OpRegion, OpRegionSpace, Package, PackageBuilder, Path, ResourceTemplate,
    Return, Store, ZERO,
};
use pci_model::isa_bridge::{Ich9, Piix3};

use super::SCI;
use super::dsdt::Code;
use crate::machine::BoardKind;

/// Bit of a routing register that disconnects its line.
const DISCONNECTED: u8 = 0x80;
/// The ISA interrupts that SeaBIOS gives to the lines A to D, and again to E to H.
const ISA: [u8; 4] = [10, 10, 11, 11];
/// Where the number stands in a resource with one interrupt.
const NUMBER: u8 = 5;
const LINES: [char; 8] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'];

fn register(line: char) -> Path {
    Path::new(&format!("\\_SB_.PCI0.ISA_.PRQ{line}"))
}

/// The objects at the root: on Q35 the choice between 8259 and I/O APIC.
pub(super) fn root(kind: BoardKind, code: &mut Vec<u8>) {
    if kind == BoardKind::Pc {
        return;
    }
    Name::new(Path::new("\\PICF"), &ZERO).to_aml_bytes(code);
    let note = Path::new("\\PICF");
    let note = Store::new(&note, &Arg(0));
    let registers = LINES.map(register);
    let writes = registers.each_ref().map(|register| Store::new(register, &DISCONNECTED));
    let disconnect = If::new(&Arg(0), writes.iter().map(|write| write as &dyn Aml).collect());
    Method::new(Path::new("\\_PIC"), 1, false, vec![&note, &disconnect]).to_aml_bytes(code);
}

/// The objects of the host bridge: the ISA bridge with the routing registers, the links, and the table of routes.
pub(super) fn bridge(kind: BoardKind, body: &mut Vec<u8>) {
    let named = |line: char| {
        let mut name = *b"PRQ_";
        name[3] = u8::try_from(line).unwrap_or(b'_');
        FieldEntry::Named(name, 8)
    };
    let (at, fields) = match kind {
        BoardKind::Pc => (0x0001_0000_u32, LINES.into_iter().take(4).map(named).collect()),
        BoardKind::Q35 => {
            let mut fields: Vec<FieldEntry> = LINES.map(named).into();
            // 64h to 67h lie between the groups.
            fields.insert(4, FieldEntry::Reserved(32));
            (0x001f_0000, fields)
        }
    };
    let address = Name::new(Path::new("_ADR"), &at);
    let region = OpRegion::new(Path::new("PIRQ"), OpRegionSpace::PCIConfig, &0x60_u8, &0x0c_u8);
    let field = Field::new(
        Path::new("PIRQ"),
        FieldAccessType::Byte,
        FieldLockRule::NoLock,
        FieldUpdateRule::Preserve,
        fields,
    );
    Device::new(Path::new("ISA_"), vec![&address, &region, &field]).to_aml_bytes(body);
    match kind {
        BoardKind::Pc => {
            for (uid, line) in (0..).zip(LINES).take(4) {
                link(uid, line, body);
            }
            sci_link(body);
            let all = table(|slot, pin| Target::Link(pc_link(slot, pin)));
            Name::new(Path::new("_PRT"), &all).to_aml_bytes(body);
        }
        BoardKind::Q35 => {
            let line = |slot, pin| usize::from(Ich9::line(slot, pin));
            let isa = table(|slot, pin| Target::Gsi(ISA.iter().copied().cycle().nth(line(slot, pin)).unwrap_or(0)));
            let own = table(|slot, pin| Target::Gsi(Ich9::gsi(Ich9::line(slot, pin))));
            Name::new(Path::new("PRTP"), &isa).to_aml_bytes(body);
            Name::new(Path::new("PRTA"), &own).to_aml_bytes(body);
            let (flag, isa, own) = (Path::new("\\PICF"), Path::new("PRTP"), Path::new("PRTA"));
            let (isa, own) = (Return::new(&isa), Return::new(&own));
            let choice = If::new(&flag, vec![&own]);
            Method::new(Path::new("_PRT"), 0, false, vec![&choice, &isa]).to_aml_bytes(body);
        }
    }
}

/// Where a pin leads.
enum Target {
    Link(&'static str),
    Gsi(u8),
}

/// The link of a pin (1 to 4). The only pin of device 1 is that of the power management function, which is the SCI.
fn pc_link(slot: u8, pin: u8) -> &'static str {
    const LINKS: [&str; 4] = ["LNKA", "LNKB", "LNKC", "LNKD"];
    if (slot, pin) == (1, 1) {
        return "LNKS";
    }
    LINKS
        .get(usize::from(Piix3::line(slot, pin)))
        .copied()
        .unwrap_or("LNKA")
}

/// The routes of the four pins of all devices of bus 0.
fn table(target: impl Fn(u8, u8) -> Target) -> PackageBuilder {
    let mut all = PackageBuilder::new();
    for slot in 0..32_u8 {
        for pin in 1..=4_u8 {
            let address = u32::from(slot) << 16 | 0xffff;
            let index = pin - 1;
            match target(slot, pin) {
                Target::Link(name) => {
                    all.add_element(&Package::new(vec![&address, &index, &Path::new(name), &ZERO]));
                }
                Target::Gsi(gsi) => all.add_element(&Package::new(vec![&address, &index, &ZERO, &gsi])),
            }
        }
    }
    all
}

/// A level-triggered, shared interrupt that is active high, one of `choices`.
fn interrupts(choices: &[u32]) -> Code {
    let count = u8::try_from(choices.len()).unwrap_or(0);
    let mut bytes = vec![0x89, 2 + 4 * count, 0, 0x09, count];
    for choice in choices.iter().take(count.into()) {
        bytes.extend(choice.to_le_bytes());
    }
    Code(bytes)
}

/// A link over the routing register of a line.
fn link(uid: u8, line: char, body: &mut Vec<u8>) {
    let id = EISAName::new("PNP0C0F");
    let hid = Name::new(Path::new("_HID"), &id);
    let uid = Name::new(Path::new("_UID"), &uid);
    let choices = interrupts(&[10, 11]);
    let choices = ResourceTemplate::new(vec![&choices]);
    let possible = Name::new(Path::new("_PRS"), &choices);
    let register = register(line);

    let is_connected = LessThan::new(&register, &DISCONNECTED);
    let (enabled, disabled) = (Return::new(&0x0b_u8), Return::new(&0x09_u8));
    let if_enabled = If::new(&is_connected, vec![&enabled]);
    let status = Method::new(Path::new("_STA"), 0, false, vec![&if_enabled, &disabled]);

    let disconnect = Or::new(&register, &register, &DISCONNECTED);
    let disable = Method::new(Path::new("_DIS"), 0, false, vec![&disconnect]);

    let none = Interrupt::new(true, false, false, true, 0);
    let none = ResourceTemplate::new(vec![&none]);
    let (buffer, number) = (Path::new("BUF_"), Path::new("IRQ_"));
    let buffer_is = Name::new(Path::new("BUF_"), &none);
    let number_is = CreateDWordField::new(&number, &buffer, &NUMBER);
    let put = Store::new(&number, &register);
    let put = If::new(&is_connected, vec![&put]);
    let answer = Return::new(&buffer);
    let current = Method::new(Path::new("_CRS"), 0, true, vec![&buffer_is, &number_is, &put, &answer]);

    let number_is = CreateDWordField::new(&number, &Arg(0), &NUMBER);
    let set = Store::new(&register, &number);
    let set = Method::new(Path::new("_SRS"), 1, true, vec![&number_is, &set]);

    let name = Path::new(&format!("LNK{line}"));
    Device::new(name, vec![&hid, &uid, &possible, &status, &disable, &current, &set]).to_aml_bytes(body);
}

/// The link of the SCI, which nothing moves.
fn sci_link(body: &mut Vec<u8>) {
    let id = EISAName::new("PNP0C0F");
    let hid = Name::new(Path::new("_HID"), &id);
    let uid = Name::new(Path::new("_UID"), &4_u8);
    let fixed = interrupts(&[SCI.into()]);
    let fixed = ResourceTemplate::new(vec![&fixed]);
    let possible = Name::new(Path::new("_PRS"), &fixed);
    let current = Name::new(Path::new("_CRS"), &fixed);
    let status = Name::new(Path::new("_STA"), &0x0b_u8);
    let disable = Method::new(Path::new("_DIS"), 0, false, vec![]);
    let set = Method::new(Path::new("_SRS"), 1, false, vec![]);
    Device::new(
        Path::new("LNKS"),
        vec![&hid, &uid, &possible, &current, &status, &disable, &set],
    )
    .to_aml_bytes(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        build(&mut bytes);
        bytes
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    /// The package of the route of 00:02.0 INTA with this target.
    fn route(target: &[u8]) -> Vec<u8> {
        let mut fields = vec![4, 0x0c, 0xff, 0xff, 0x02, 0x00, 0x00];
        fields.extend(target);
        let len = u8::try_from(fields.len() + 1).unwrap();
        [vec![0x12, len], fields].concat()
    }

    #[test]
    fn a_graphics_function_leads_to_line_b_or_g() {
        let pc = bytes(|body| bridge(BoardKind::Pc, body));
        assert!(holds(&pc, &route(b"LNKB\0")));
        let q35 = bytes(|body| bridge(BoardKind::Q35, body));
        assert!(holds(&q35, &route(&[0, 0x0a, 22])), "I/O APIC");
        assert!(holds(&q35, &route(&[0, 0x0a, 11])), "8259");
    }

    #[test]
    fn all_devices_have_all_pins() {
        let package = bytes(|body| table(|_, _| Target::Gsi(2)).to_aml_bytes(body));
        let at = package.iter().position(|byte| *byte == 128).unwrap();
        assert!(at <= 4, "number of elements after the length");
        assert_eq!(
            package[at..].iter().filter(|byte| **byte == 0x12).count(),
            128 + 4,
            "and address 12h"
        );
    }

    #[test]
    fn the_io_apic_disconnects_the_lines_of_ich9_only() {
        let root_of = |kind| bytes(|code| root(kind, code));
        assert!(root_of(BoardKind::Pc).is_empty());
        let q35 = root_of(BoardKind::Q35);
        for line in LINES {
            let mut store = vec![0x70, 0x0a, 0x80];
            register(line).to_aml_bytes(&mut store);
            assert!(holds(&q35, &store), "{line}");
        }
    }
}
