// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's view of an assigned function: mirrors, hidden addresses of the host, and states saved midway.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_quirks::device::{BdsmSetup, DeviceRules, DeviceSetup, Event, GttPortSetup, IgdDevice, Redirect};
use pci_model::{ConfigAccess, Width};

use crate::Target;
use crate::util::rarely;

/// The target.
pub const TARGET: Target = Target {
    name: "igd_device",
    package: "igd-quirks",
    summary: "the guest's view of an assigned function: mirrors, hidden addresses of the host, states saved midway",
    run,
    describe,
    seeds,
};

/// What every byte of the host's GGC, BDSM, ASLS and SWSCI is. A guest that sees it where a register is emulated saw the
/// hardware.
const HOST: u8 = 0xd7;
const GGC: u64 = 0x10_8040;
const BDSM: u64 = 0x10_80c0;

/// What a guest does.
#[derive(Clone, Copy, Debug)]
enum Action {
    ConfigRead(ConfigAccess),
    ConfigWrite(ConfigAccess, u32),
    Bar0Read(u64, usize),
    Bar0Write(u64, usize, u64),
    Bar4Read(u64),
    Bar4Write(u64, usize, u32),
    Reset,
    /// Saved, and restored into a device made alike.
    Migrate,
}

struct Input {
    setup: DeviceSetup,
    actions: Vec<Action>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let flags: u8 = u.arbitrary()?;
        let more: u8 = u.arbitrary()?;
        let has = |bit: u8| flags >> bit & 1 != 0;
        let mut redirects = Vec::new();
        while redirects.len() < 2 && rarely(&mut u, 4)? {
            redirects.push(Redirect {
                bar0: GGC - 8 + u.int_in_range(0..=0x90)?,
                config: u.int_in_range(0..=0xff)?,
                len: u.int_in_range(0..=16)?,
            });
        }
        let setup = DeviceSetup {
            ggc: has(0).then(|| u.arbitrary()).transpose()?,
            ggc_high: has(1).then(|| u.arbitrary()).transpose()?,
            bdsm: match more & 3 {
                0 => BdsmSetup::Hardware,
                1 | 2 => BdsmSetup::Dword(u.arbitrary()?),
                _ => BdsmSetup::Qword(u.arbitrary()?),
            },
            asls: has(2).then(|| u.arbitrary()).transpose()?,
            ggc_mirror: has(3),
            bdsm_mirror: has(4),
            redirects,
            hide_swsci: has(5),
            gtt_port: has(6).then(|| gtt_port(&mut u)).transpose()?,
            rules: if has(7) { DeviceRules::Qemu } else { DeviceRules::Native },
        };
        let mut actions = Vec::new();
        while !u.is_empty() && actions.len() < 64 {
            actions.push(Action::read(&mut u)?);
        }
        Ok(Self { setup, actions })
    }
}

fn gtt_port(u: &mut Unstructured<'_>) -> Result<GttPortSetup> {
    Ok(GttPortSetup {
        host_bdsm: u.arbitrary()?,
        entry_size: *u.choose(&[4, 8])?,
        index_end: *u.choose(&[0x20_0000, 0x80_0000, 0x40])?,
    })
}

impl Action {
    fn read(u: &mut Unstructured<'_>) -> Result<Self> {
        let width = *u.choose(&[Width::Dword, Width::Word, Width::Byte])?;
        let near = *u.choose(&[0x50, 0x5c, 0xc0, 0xe8, 0xfc, 0x04])?;
        let offset = if rarely(u, 4)? {
            u.int_in_range(0..=0xff)?
        } else {
            near + u.int_in_range(0..=3)?
        };
        let at = ConfigAccess::new(offset, width).ok_or(arbitrary::Error::IncorrectFormat)?;
        let bar0 = match u.int_in_range(0..=4_u8)? {
            0..2 => GGC - 7 + u.int_in_range(0..=14)?,
            2..4 => BDSM - 7 + u.int_in_range(0..=20)?,
            _ => u.arbitrary()?,
        };
        let len = *u.choose(&[4, 8, 2, 1, 3, 0])?;
        let bar4 = u.int_in_range(0..=9)?;
        Ok(match u.int_in_range(0..=9_u8)? {
            0 | 1 => Self::ConfigWrite(at, u.arbitrary()?),
            2 => Self::ConfigRead(at),
            3 => Self::Bar0Write(bar0, len, u.arbitrary()?),
            4 => Self::Bar0Read(bar0, len),
            5 | 6 => Self::Bar4Write(bar4, len.min(4), u.arbitrary()?),
            7 => Self::Bar4Read(bar4),
            8 => Self::Migrate,
            _ => Self::Reset,
        })
    }
}

/// The device, a twin that is never migrated, and the hardware's bytes below both.
struct Guest<'a> {
    setup: &'a DeviceSetup,
    igd: IgdDevice,
    twin: IgdDevice,
}

impl Guest<'_> {
    /// A byte of configuration space as the guest sees it.
    fn config_byte(&self, offset: u16) -> u8 {
        let at = ConfigAccess::new(offset, Width::Byte);
        let byte = at.map_or(HOST.into(), |at| self.igd.config_read(at, HOST.into()));
        u8::try_from(byte).unwrap_or_else(|_| panic!("byte {offset:#x} of configuration space is {byte:#x}"))
    }

    fn config<const N: usize>(&self, offset: u16) -> [u8; N] {
        let mut at = offset..;
        core::array::from_fn(|_| at.next().map_or(HOST, |offset| self.config_byte(offset)))
    }

    /// The emulated registers read as what the guest wrote there, and nowhere as the hardware.
    fn registers(&self, expected: &Model) {
        let DeviceSetup {
            ggc,
            ggc_high,
            hide_swsci,
            ..
        } = *self.setup;
        let hardware = [HOST; 8];
        assert_eq!(self.config(0x50), ggc.map_or([HOST; 2], u16::to_le_bytes), "GGC");
        assert_eq!(self.config(0x52), ggc_high.map_or([HOST; 2], u16::to_le_bytes), "52h");
        let swsci = if hide_swsci { [0; 2] } else { [HOST; 2] };
        assert_eq!(self.config(0xe8), swsci, "SWSCI");
        assert_eq!(
            self.config(0xfc),
            expected.asls.map_or([HOST; 4], u32::to_le_bytes),
            "ASLS"
        );
        let (dword, qword) = match expected.bdsm {
            BdsmSetup::Hardware => ([HOST; 4], hardware),
            BdsmSetup::Dword(base) => (base.to_le_bytes(), hardware),
            BdsmSetup::Qword(base) => ([HOST; 4], base.to_le_bytes()),
        };
        assert_eq!(self.config(0x5c), dword, "BDSM at 5Ch");
        assert_eq!(self.config(0xc0), qword, "BDSM at C0h");
        assert_eq!(
            (self.igd.bdsm(), self.igd.asls()),
            (expected.bdsm, expected.asls),
            "what the device says it has"
        );
        self.mirrors();
    }

    /// BAR0 shows what configuration space shows.
    fn mirrors(&self) {
        let bytes = |offset| u64::from_le_bytes([HOST; 8]) & self.igd.bar0_owns(offset, 8);
        let read = |offset, len| self.igd.bar0_read(offset, len, u64::from_le_bytes([HOST; 8]));
        if self.setup.ggc_mirror && self.setup.ggc.is_some() {
            let shown = read(GGC, 2).to_le_bytes();
            assert_eq!(shown.first_chunk(), Some(&self.config::<2>(0x50)), "mirror of GGC");
        } else {
            assert_eq!(bytes(GGC) & 0xffff, 0, "a mirror of GGC that is none");
        }
        let (offset, len) = match self.setup.bdsm {
            BdsmSetup::Hardware => (0x5c, 0),
            BdsmSetup::Dword(_) => (0x5c, 4),
            BdsmSetup::Qword(_) => (0xc0, 8),
        };
        if self.setup.bdsm_mirror && len > 0 {
            let shown = read(BDSM, len).to_le_bytes();
            let config = self.config::<8>(offset);
            assert_eq!(shown.get(..len), config.get(..len), "mirror of BDSM");
        } else {
            assert_eq!(bytes(BDSM), 0, "a mirror of BDSM that is none");
        }
    }
}

/// What the guest has written, as plain values.
#[derive(Clone, Copy)]
struct Model {
    bdsm: BdsmSetup,
    asls: Option<u32>,
    /// `MMIO_Index`, or none after anything but a write of it.
    index: Option<u32>,
}

impl Model {
    const fn new(setup: &DeviceSetup) -> Self {
        Self {
            bdsm: setup.bdsm,
            asls: setup.asls,
            index: None,
        }
    }

    /// A byte written to configuration space.
    fn write(&mut self, offset: u16, byte: u8) {
        let put = |register: &mut [u8], first: u16| {
            let lane = offset.checked_sub(first).map(usize::from);
            if let Some(to) = lane.and_then(|lane| register.get_mut(lane)) {
                *to = byte;
            }
        };
        match &mut self.bdsm {
            BdsmSetup::Hardware => {}
            BdsmSetup::Dword(base) => {
                let mut bytes = base.to_le_bytes();
                put(&mut bytes, 0x5c);
                *base = u32::from_le_bytes(bytes);
            }
            BdsmSetup::Qword(base) => {
                let mut bytes = base.to_le_bytes();
                put(&mut bytes, 0xc0);
                *base = u64::from_le_bytes(bytes);
            }
        }
        if let Some(asls) = &mut self.asls {
            let mut bytes = asls.to_le_bytes();
            put(&mut bytes, 0xfc);
            *asls = u32::from_le_bytes(bytes);
        }
    }

    /// The byte of configuration space that a byte of BAR0 is, if the base of stolen memory is mirrored there.
    fn mirrored(&self, setup: &DeviceSetup, byte: u64) -> Option<u16> {
        let (first, len) = match self.bdsm {
            BdsmSetup::Hardware => return None,
            BdsmSetup::Dword(_) => (0x5c, 4),
            BdsmSetup::Qword(_) => (0xc0, 8),
        };
        let lane = byte.checked_sub(BDSM).filter(|lane| setup.bdsm_mirror && *lane < len)?;
        u16::try_from(lane).ok().map(|lane| first + lane)
    }

    /// What the hardware is to see of a write to the data port.
    fn entry(&self, port: GttPortSetup, guest: u32, data: u32) -> u32 {
        let Some(index) = self.index.filter(|index| index % 4 == 1 && *index < port.index_end) else {
            return data;
        };
        let is_upper = port.entry_size == 8 && index % 8 == 5;
        if is_upper || guest == 0 {
            return 0;
        }
        data.wrapping_sub(port.host_bdsm).wrapping_add(guest)
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(Input { setup, actions }) = Input::read(data) else {
        return;
    };
    let igd = IgdDevice::new(&setup);
    let mut guest = Guest {
        setup: &setup,
        twin: igd.clone(),
        igd,
    };
    let mut model = Model::new(&setup);
    guest.registers(&model);
    for action in actions {
        step(&mut guest, &mut model, action);
        guest.registers(&model);
        assert_eq!(
            guest.igd, guest.twin,
            "a device that was migrated, and one that was not, after {action:x?}"
        );
    }
}

fn step(guest: &mut Guest<'_>, model: &mut Model, action: Action) {
    let Guest { setup, igd, twin } = guest;
    match action {
        Action::ConfigRead(at) => {
            let hardware = u32::from_le_bytes([HOST; 4]);
            assert_eq!(
                igd.config_read(at, hardware),
                twin.config_read(at, hardware),
                "{action:x?}"
            );
            let owned = igd.config_owns(at);
            let shown = igd.config_read(at, hardware) & !owned;
            assert_eq!(
                shown,
                hardware & at.width().ones() & !owned,
                "bits of the hardware in {action:x?}"
            );
            let ours = igd.config_read(at, hardware) ^ igd.config_read(at, !hardware);
            assert_eq!(
                ours & owned,
                0,
                "bits of the hardware in a register that is emulated, {action:x?}"
            );
        }
        Action::ConfigWrite(at, value) => {
            let write = igd.config_write(at, value);
            assert_eq!(write, twin.config_write(at, value), "{action:x?}");
            for (offset, byte) in (at.offset()..).zip(value.to_le_bytes()).take(at.width().len()) {
                model.write(offset, byte);
            }
            let owned = igd.config_owns(at);
            for (part, _) in write.forwards() {
                let is_ours = igd.config_owns(part) != 0;
                let is_native = setup.rules == DeviceRules::Native;
                assert!(
                    !(is_native && is_ours),
                    "{part:x?} of {action:x?} goes to the hardware's register"
                );
            }
            assert_eq!(
                write.event().is_some(),
                owned != 0,
                "{:?} of {action:x?}",
                write.event()
            );
        }
        Action::Bar0Read(offset, len) => {
            let (some, other) = (u64::from_le_bytes([HOST; 8]), !u64::from_le_bytes([HOST; 8]));
            let read = igd.bar0_read(offset, len, some);
            assert_eq!(read, twin.bar0_read(offset, len, some), "{action:x?}");
            let owned = igd.bar0_owns(offset, len);
            let leaked = (read ^ igd.bar0_read(offset, len, other)) & owned;
            assert_eq!(leaked, 0, "bits of the hardware in a mirror, {action:x?}");
        }
        Action::Bar0Write(offset, len, value) => {
            let write = igd.bar0_write(offset, len, value);
            assert_eq!(write, twin.bar0_write(offset, len, value), "{action:x?}");
            for (lane, byte) in value.to_le_bytes().into_iter().take(len).enumerate() {
                let at = u64::try_from(lane).ok().and_then(|lane| offset.checked_add(lane));
                if let Some(at) = at.and_then(|at| model.mirrored(setup, at)) {
                    model.write(at, byte);
                }
            }
            for (at, len, _) in write.forwards() {
                assert_eq!(
                    igd.bar0_owns(at, len),
                    0,
                    "{len} bytes at {at:#x} of {action:x?} reach the hardware"
                );
            }
            if let Some(Event::BdsmWritten(base)) = write.event() {
                let shown = match igd.bdsm() {
                    BdsmSetup::Hardware => None,
                    BdsmSetup::Dword(base) => Some(base.into()),
                    BdsmSetup::Qword(base) => Some(base),
                };
                assert_eq!(Some(base), shown, "{action:x?}");
            }
        }
        Action::Bar4Read(offset) => {
            igd.bar4_read(offset);
            twin.bar4_read(offset);
            if offset < 8 {
                model.index = None;
            }
        }
        Action::Bar4Write(offset, len, value) => {
            let write = igd.bar4_write(offset, len, value);
            assert_eq!(write, twin.bar4_write(offset, len, value), "{action:x?}");
            let (Some(port), BdsmSetup::Dword(base)) = (setup.gtt_port, model.bdsm) else {
                assert_eq!(
                    (write.value, write.event),
                    (value, None),
                    "{action:x?} without ports to translate"
                );
                return;
            };
            match offset {
                0..4 => {
                    assert_eq!(write.value, value, "{action:x?} to the index port");
                    model.index = Some(value);
                }
                4..8 => {
                    let ones = u32::MAX
                        .checked_shr(32 - 8 * u32::try_from(len).unwrap_or(4))
                        .unwrap_or(0);
                    assert_eq!(
                        write.value,
                        model.entry(port, base, value) & ones,
                        "{action:x?} to the data port"
                    );
                    model.index = None;
                }
                _ => assert_eq!(write.value, value, "{action:x?} behind the ports"),
            }
        }
        Action::Reset => {
            igd.reset();
            twin.reset();
            if setup.rules == DeviceRules::Native {
                *model = Model::new(setup);
            }
        }
        Action::Migrate => {
            let state = igd.state();
            *igd = IgdDevice::new(setup);
            let restored = igd.restore(&state);
            assert!(restored.is_ok(), "{restored:?} from a device made alike");
            assert_eq!(igd.state(), state, "restored and saved again");
        }
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let Input { setup, actions } = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!("{setup:#x?}\n");
    for action in actions {
        let _ = match action {
            Action::ConfigRead(at) => writeln!(text, "read config {:#04x} {:?}", at.offset(), at.width()),
            Action::ConfigWrite(at, value) => {
                writeln!(text, "write config {:#04x} {:?} {value:#x}", at.offset(), at.width())
            }
            Action::Bar0Read(offset, len) => writeln!(text, "read BAR0 {offset:#x} {len}"),
            Action::Bar0Write(offset, len, value) => writeln!(text, "write BAR0 {offset:#x} {len} {value:#x}"),
            Action::Bar4Read(offset) => writeln!(text, "read BAR4 {offset:#x}"),
            Action::Bar4Write(offset, len, value) => writeln!(text, "write BAR4 {offset:#x} {len} {value:#x}"),
            Action::Reset => writeln!(text, "reset"),
            Action::Migrate => writeln!(text, "save and restore"),
        };
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Width, register, rarely, offset; place and offset in BAR0; length; offset in BAR4; kind; value.
    let write = |register: u8| vec![0, register, 0, 0, 0, 7, 0, 0, 0, 0x00, 0x00, 0x00, 0x7c];
    let migrate = vec![0, 0, 0, 0, 0, 0, 0, 0, 8];
    let bar0 = vec![0, 0, 0, 0, 2, 7, 1, 0, 3, 0, 0, 0xc0, 0x12, 1, 0, 0, 0];
    let port = |at: u8, value: u8| vec![0, 0, 0, 0, 0, 0, 0, at, 5, value, 0, 0, 0x80];
    let actions = [
        write(1),
        migrate.clone(),
        write(4),
        bar0,
        port(0, 1),
        migrate,
        port(4, 7),
        write(2),
    ]
    .concat();
    // GGC, ASLS, mirrors and SWSCI; then as well the ports; then QEMU's rules.
    let setups: [(&str, &[u8]); 4] = [
        ("dword", &[0x3d, 1, 0, 0xc1, 2, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("qword", &[0x3d, 3, 0, 0xc1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (
            "ports",
            &[0x7d, 1, 0, 0xc1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 1, 1],
        ),
        (
            "qemu",
            &[
                0xff, 1, 0, 0xc1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x8b, 1, 1,
            ],
        ),
    ];
    let seed = |(name, setup): (&str, &[u8])| (name.to_owned(), [setup, &actions].concat());
    setups.into_iter().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 6000);
    }

    #[test]
    fn inputs_are_readable() {
        let text = describe(&seeds()[0].1);
        assert!(
            text.contains("write config 0x5c Dword 0x7c000000\nsave and restore\n"),
            "{text}"
        );
        assert!(text.contains("write BAR0 0x1080c0 8 "), "{text}");
    }
}
