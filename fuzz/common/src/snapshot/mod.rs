// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved states of every device: refused, or restored and saved again equal, whatever the bytes.

mod subjects;

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use fwcfg::FwCfg;
use igd_quirks::device::IgdDevice;
use lpc_bridge::LpcBridge;
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::isa_bridge::{Ich9, Piix3, Piix4Pm};
use pci_model::{ConfigAccess, Function, MsixTable, Width};

use crate::Target;
use crate::util::{Edit, apply, edits, show};
use subjects::{Access, Device, Ports};

/// The target.
pub const TARGET: Target = Target {
    name: "snapshot",
    package: "pci-model",
    summary: "saved states of every device: refused, or restored and saved again equal, whatever the bytes",
    run,
    describe,
    seeds,
};

/// A kind of device: its name, how an input is run on it, and the state at power-on.
type Kind = (&'static str, fn(&Input), fn() -> Vec<u8>);

const KINDS: [Kind; 12] = [
    ("function", check::<Function<256>>, fresh::<Function<256>>),
    ("express-function", check::<Function<4096>>, fresh::<Function<4096>>),
    ("config-ports", check::<Ports>, fresh::<Ports>),
    ("i440fx", check::<I440Fx>, fresh::<I440Fx>),
    ("q35", check::<Q35>, fresh::<Q35>),
    ("piix3", check::<Piix3>, fresh::<Piix3>),
    ("ich9", check::<Ich9>, fresh::<Ich9>),
    ("piix4-pm", check::<Piix4Pm>, fresh::<Piix4Pm>),
    ("lpc-bridge", check::<LpcBridge>, fresh::<LpcBridge>),
    ("msix-table", check::<MsixTable<8>>, fresh::<MsixTable<8>>),
    ("fw-cfg", check::<FwCfg>, fresh::<FwCfg>),
    ("igd-device", check::<IgdDevice>, fresh::<IgdDevice>),
];

/// The first byte's bit for bytes as they are.
const GIVEN: u8 = 0x80;

/// A device, a state for it, and what a guest does before and after.
struct Input {
    kind: Kind,
    /// A whole state, or `None` for that of the device after `before`.
    given: Option<Vec<u8>>,
    edits: Vec<Edit>,
    before: Vec<Access>,
    after: Vec<Access>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let first: u8 = u.arbitrary()?;
        let kind = usize::from(first & !GIVEN) % KINDS.len();
        let kind = KINDS.get(kind).copied().ok_or(arbitrary::Error::IncorrectFormat)?;
        if first & GIVEN != 0 {
            return Ok(Self {
                kind,
                given: Some(u.take_rest().to_vec()),
                edits: Vec::new(),
                before: Vec::new(),
                after: probes(),
            });
        }
        let len = kind.2().len();
        Ok(Self {
            kind,
            given: None,
            before: accesses(&mut u)?,
            edits: edits(&mut u, len)?,
            after: accesses(&mut u)?,
        })
    }
}

fn accesses(u: &mut Unstructured<'_>) -> Result<Vec<Access>> {
    let count = u.int_in_range(0..=12_u8)?;
    let access = |u: &mut Unstructured<'_>| {
        let width = *u.choose(&[Width::Dword, Width::Word, Width::Byte])?;
        let offset = u.int_in_range(0..=0xfff_u16)?;
        let offset = if u.arbitrary()? { offset & 0xff } else { offset };
        let offset = offset & !u16::try_from(width.len() - 1).unwrap_or(0);
        Ok(Access {
            at: ConfigAccess::new(offset, width).ok_or(arbitrary::Error::IncorrectFormat)?,
            value: u.arbitrary()?,
            is_write: u.arbitrary()?,
        })
    };
    (0..count).map(|_| access(u)).collect()
}

/// A read of every register, then a write and a read of some.
fn probes() -> Vec<Access> {
    let at = |offset| ConfigAccess::new(offset, Width::Dword);
    let access = |at, value, is_write| Access { at, value, is_write };
    let reads = (0..64).filter_map(|index| at(4 * index)).map(|at| access(at, 0, false));
    let writes = [0x04, 0x10, 0x14, 0x40, 0x50, 0x5c, 0x60, 0x80, 0x9c, 0xfc];
    let writes = writes.into_iter().filter_map(at);
    let writes = writes.flat_map(|at| [access(at, 0xffff_ffff, true), access(at, 0, false)]);
    reads.chain(writes).collect()
}

fn saved<D: Device>(device: &D) -> Vec<u8> {
    postcard::to_allocvec(&device.state()).unwrap_or_else(|error| panic!("a state is not written: {error}"))
}

fn fresh<D: Device>() -> Vec<u8> {
    made::<D>().map_or_else(Vec::new, |device| saved(&device))
}

fn made<D: Device>() -> Option<D> {
    let device = D::new();
    assert!(device.is_some(), "a device of the list cannot be made");
    device
}

fn check<D: Device>(input: &Input) {
    let Some(mut device) = made::<D>() else { return };
    for access in &input.before {
        device.access(*access);
    }
    let own = saved(&device);
    let back = postcard::from_bytes::<D::State>(&own);
    assert_eq!(back.as_ref(), Ok(&device.state()), "a state that was written and read");
    let mut bytes = input.given.clone().unwrap_or_else(|| own.clone());
    apply(&mut bytes, &input.edits);
    let Ok(state) = postcard::from_bytes::<D::State>(&bytes) else {
        return;
    };

    let Some(mut restored) = made::<D>() else { return };
    for access in &input.before {
        restored.access(*access);
    }
    if let Err(error) = restored.restore(&state) {
        assert!(!error.is_empty(), "refused without a reason");
        assert_eq!(saved(&restored), own, "refused ({error}), and changed nevertheless");
        assert!(bytes != own, "the state of a device built alike is refused: {error}");
        return;
    }
    let first = restored.state();
    if D::EXACT || bytes == own {
        assert_eq!(first, state, "restored and saved again");
    }
    // Into a device at power-on: all of it is in the state.
    let Some(mut copy) = made::<D>() else { return };
    if let Err(error) = copy.restore(&first) {
        panic!("what was saved after restoring is refused: {error}\n{first:?}");
    }
    assert_eq!(copy.state(), first, "saved, restored and saved again");
    for (number, access) in input.after.iter().enumerate() {
        let (one, other) = (restored.access(*access), copy.access(*access));
        assert_eq!(
            one, other,
            "answers to access {number}, {access:x?}, of two devices with the same state"
        );
    }
    assert_eq!(copy.state(), restored.state(), "states after the same accesses");
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    if let Ok(input) = Input::read(data) {
        let (_, check, _) = input.kind;
        check(&input);
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let (name, ..) = input.kind;
    let mut text = format!("device {name}\n");
    let list = |text: &mut String, accesses: &[Access]| {
        for Access { at, value, is_write } in accesses {
            let (offset, width) = (at.offset(), at.width());
            let _ = match is_write {
                true => writeln!(text, "write {offset:#05x} {width:?} {value:#x}"),
                false => writeln!(text, "read {offset:#05x} {width:?}"),
            };
        }
    };
    list(&mut text, &input.before);
    match &input.given {
        Some(bytes) => {
            let _ = writeln!(text, "restore the {} bytes {bytes:02x?}", bytes.len());
        }
        None => {
            text.push_str(&show(&input.edits));
            text.push_str("save, edit and restore\n");
        }
    }
    list(&mut text, &input.after);
    text
}

/// Inputs to start from: each device's state at power-on, and one that a guest has written to.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (kind, (name, _, fresh)) in (0_u8..).zip(KINDS) {
        seeds.push((format!("{name}-power-on"), [vec![kind | GIVEN], fresh()].concat()));
        // Two writes, command register and BAR0; no edit; two reads.
        let write = |offset: u8, value: u32| [&[0, 0, offset, 1][..], &value.to_le_bytes(), &[1]].concat();
        let mut bytes = vec![kind, 2];
        bytes.extend(write(0x04, 0x0107));
        bytes.extend(write(0x10, 0xe000_0000));
        bytes.extend([0, 2]);
        bytes.extend([0, 0, 0x04, 1, 0, 0, 0, 0, 0].repeat(2));
        seeds.push((format!("{name}-written"), bytes));
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 3000);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        let text = of("function-written");
        let expected =
            "device function\nwrite 0x004 Dword 0x107\nwrite 0x010 Dword 0xe0000000\nsave, edit and restore\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(
            of("igd-device-power-on").starts_with("device igd-device\nrestore the "),
            "{text}"
        );
    }
}
