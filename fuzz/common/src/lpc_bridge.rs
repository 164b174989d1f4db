// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of fixed arrays; an index outside is a broken oracle"
)]
//! The bridge at 00:1f.0 and the overlays of identities, against bytes.
//!
//! Input: a header of 16 bytes (rules, what of the host's configuration is changed, patches), then steps of eight bytes
//! that go to a bridge of its own, to a patched function and to an overlaid one.

use std::fmt;

use lpc_bridge::{ConfigError, Identity, LpcBridge, Overlaid, Overlay, PatchError};
use pci_model::host_bridge::I440Fx;
use pci_model::{Bdf, ConfigAccess, ConfigSpace, Effects, Rules, Width};

use crate::{Target, records};

/// The target.
pub const TARGET: Target = Target {
    name: "lpc_bridge",
    package: "lpc-bridge",
    summary: "the ISA bridge and identity overlays, against a model of bytes",
    run,
    describe,
    seeds,
};

const HEADER: usize = 16;
const STEP: usize = 8;
const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu11, Rules::Qemu7];

/// Configuration bytes of a host's bridge, before an input changes some.
fn host(subclass: u8) -> [u8; 256] {
    let mut config = [0; 256];
    for (at, byte) in (0_u8..=255).zip(&mut config) {
        *byte = at ^ 0xa5;
    }
    config[..4].copy_from_slice(&[0x86, 0x80, 0x84, 0x9d]);
    config[0x08..0x0c].copy_from_slice(&[0x21, 0x00, subclass, 0x06]);
    config[0x0e] = 0x80;
    config
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Read(ConfigAccess),
    Write(ConfigAccess, u32),
    Reset,
    SaveAndRestore,
    RestoreFlipped {
        offset: u8,
        bit: u8,
    },
    /// Gives the bridge another identity, whose bytes come from the value.
    Identity(u32),
    MultiFunction(bool),
    /// Asks for a bridge at another address.
    Address(u16),
}

impl Step {
    fn decode([what, width, low, high, value @ ..]: [u8; STEP]) -> Self {
        let value = u32::from_le_bytes(value);
        let [first, second, ..] = value.to_le_bytes();
        // Nearly all accesses are to the 256 bytes that there are.
        let high = if high < 0xe0 { 0 } else { high & 0xf };
        let width = [Width::Byte, Width::Word, Width::Dword][usize::from(width % 3)];
        let at = ConfigAccess::new(u16::from_le_bytes([low, high]), width);
        match (what % 16, at) {
            (0..4, Some(at)) => Self::Read(at),
            (4..10, Some(at)) => Self::Write(at, value),
            (10, _) => Self::Reset,
            (11, _) => Self::SaveAndRestore,
            (12, _) => Self::RestoreFlipped {
                offset: low,
                bit: first & 7,
            },
            (13, _) => Self::Identity(value),
            (14, _) => Self::MultiFunction(first & 1 != 0),
            _ => Self::Address(u16::from_le_bytes([first, second])),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Read(at) => write!(f, "r {:#05x} {}", at.offset(), at.width().len()),
            Self::Write(at, value) => {
                let value = value & at.width().ones();
                write!(f, "w {:#05x} {} {value:#x}", at.offset(), at.width().len())
            }
            Self::Reset => f.write_str("reset"),
            Self::SaveAndRestore => f.write_str("save, restore into a new one"),
            Self::RestoreFlipped { offset, bit } => write!(f, "restore with bit {bit} of byte {offset:#04x} flipped"),
            Self::Identity(value) => write!(f, "identity from {value:#010x}"),
            Self::MultiFunction(multi) => write!(f, "multi-function: {multi}"),
            Self::Address(bits) => write!(f, "a bridge at {}", Bdf::from_bits(bits)),
        }
    }
}

/// Bytes with masks. No function here has an effect but bus mastering, or a status bit to clear.
#[derive(Clone)]
struct Model {
    bytes: [u8; 256],
    writable: [u8; 256],
    initial: [u8; 256],
    /// Bits that a reset leaves alone.
    kept: [u8; 256],
}

impl Model {
    fn new(rules: Rules) -> Self {
        let mut model = Self {
            bytes: [0; 256],
            writable: [0; 256],
            initial: [0; 256],
            kept: [0; 256],
        };
        model.writable[0x04] = 0x07;
        model.writable[0x05] = 0x05;
        model.writable[0x0c] = 0xff;
        model.writable[0x3c] = 0xff;
        if rules != Rules::Specification {
            model.writable[0x40..].fill(0xff);
            model.kept[0x40..].fill(0xff);
        }
        model
    }

    fn bridge(rules: Rules) -> Self {
        let mut model = Self::new(rules);
        model.put(0x0a, &[0x01, 0x06]);
        model
    }

    /// The i440FX, as far as this target goes: no shadow RAM register is written.
    fn i440fx(rules: Rules) -> Self {
        let mut model = Self::new(rules);
        model.put(0x00, &[0x86, 0x80, 0x37, 0x12]);
        model.put(0x08, &[0x02, 0x00, 0x00, 0x06]);
        model.put(0x57, &[0x80]);
        model.put(0x72, &[0x02]);
        model
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.initial[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Read-only from now on.
    fn patch(&mut self, at: usize, bytes: &[u8]) {
        self.put(at, bytes);
        self.writable[at..at + bytes.len()].fill(0);
    }

    fn identity(&mut self, identity: Identity) {
        let [v0, v1] = identity.vendor.to_le_bytes();
        let [d0, d1] = identity.device.to_le_bytes();
        self.patch(0x00, &[v0, v1, d0, d1]);
        self.patch(0x08, &[identity.revision, identity.prog_if]);
        let [v0, v1] = identity.subsystem_vendor.to_le_bytes();
        let [d0, d1] = identity.subsystem.to_le_bytes();
        self.patch(0x2c, &[v0, v1, d0, d1]);
    }

    fn read(&self, at: ConfigAccess) -> u32 {
        let places = (at.offset()..at.end()).rev();
        places.fold(0, |value, at| {
            value << 8 | u32::from(self.bytes.get(usize::from(at)).copied().unwrap_or(0xff))
        })
    }

    /// Writes, and gives the effects.
    fn write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let master = self.bytes[4] & 4;
        for (at, new) in (usize::from(at.offset())..usize::from(at.end()).min(256)).zip(value.to_le_bytes()) {
            self.bytes[at] = self.bytes[at] & !self.writable[at] | new & self.writable[at];
        }
        self.mastering(master)
    }

    fn mastering(&self, before: u8) -> Effects {
        if self.bytes[4] & 4 == before {
            Effects::empty()
        } else {
            Effects::BUS_MASTER
        }
    }

    fn reset(&mut self) -> Effects {
        let master = self.bytes[4] & 4;
        for at in 0..256 {
            let volatile = self.writable[at] & !self.kept[at];
            self.bytes[at] = self.bytes[at] & !volatile | self.initial[at] & volatile;
        }
        self.mastering(master)
    }
}

/// Plain storage, for an overlay to lie over.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Storage([u8; 256]);

impl ConfigSpace for Storage {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        let places = (at.offset()..at.end()).rev();
        places.fold(0, |value, at| {
            value << 8 | u32::from(self.0.get(usize::from(at)).copied().unwrap_or(0xff))
        })
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        for (at, new) in (at.offset()..at.end()).zip(value.to_le_bytes()) {
            if let Some(byte) = self.0.get_mut(usize::from(at)) {
                *byte = new;
            }
        }
        Effects::INTX
    }

    fn reset(&mut self) -> Effects {
        self.0 = [0; 256];
        Effects::POWER
    }
}

/// What the header of an input asks for.
struct Case {
    rules: Rules,
    /// How the host's configuration differs from a good one.
    change: (u8, u8),
    len: usize,
    host_bridge: bool,
    xen: bool,
    patches: [(u16, [u8; 4], usize); 2],
}

impl Case {
    fn decode(header: [u8; HEADER]) -> Self {
        let [rules, flags, at, byte, len, a0, a1, a_len, b0, b1, b_len, value @ ..] = header;
        let [v0, v1, v2, v3, v4] = value;
        // Patches are mostly where they are allowed.
        let place = |low: u8, high: u8| u16::from_le_bytes([low, if high < 0xe0 { 0 } else { high & 1 }]);
        Self {
            rules: RULES[usize::from(rules) % 3],
            change: if flags & 4 == 0 { (0xff, byte) } else { (at, byte) },
            len: if flags & 8 == 0 { 256 } else { usize::from(len) },
            host_bridge: flags & 1 != 0,
            xen: flags & 2 != 0,
            patches: [
                (place(a0, a1), [v0, v1, v2, v3], usize::from(a_len % 5)),
                (place(b0, b1), [v4, v3, v2, v1], usize::from(b_len % 5)),
            ],
        }
    }

    fn config(&self) -> [u8; 256] {
        let mut config = host(u8::from(!self.host_bridge));
        config[usize::from(self.change.0)] = self.change.1;
        config
    }

    fn patches(&self) -> [(u16, &[u8]); 2] {
        let [a, b] = &self.patches;
        [(a.0, &a.1[..a.2]), (b.0, &b.1[..b.2])]
    }
}

/// What is wrong with the configuration of a host's bridge.
fn config_error(config: &[u8], subclass: u8, needed: usize) -> Option<ConfigError> {
    if config.len() < needed {
        return Some(ConfigError::TooShort {
            len: config.len(),
            needed,
        });
    }
    let vendor = u16::from_le_bytes([config[0], config[1]]);
    let class = u16::from_le_bytes([config[0x0a], config[0x0b]]);
    let expected = 0x0600 | u16::from(subclass);
    match (vendor, config[0x0e]) {
        (0xffff | 0, _) => Some(ConfigError::Absent { vendor }),
        _ if class != expected => Some(ConfigError::Class { found: class, expected }),
        (_, 0 | 0x80) => None,
        (_, header) => Some(ConfigError::HeaderType(header)),
    }
}

/// The overlay of some host's bytes, if they are good; compared with those bytes.
fn overlay_of(case: &Case) -> Option<([Option<u8>; 256], Overlay)> {
    let config = case.config();
    let config = &config[..case.len];
    let (fields, subclass, needed): (&[(usize, usize)], u8, usize) = match (case.host_bridge, case.xen) {
        (true, false) => (&[(0x08, 2), (0x2c, 4)], 0, 0x30),
        (true, true) => (&[(0x08, 2), (0x2c, 4), (0x50, 4), (0xa4, 8)], 0, 0xac),
        (false, _) => (&[(0x00, 4), (0x08, 2), (0x2c, 4)], 1, 0x30),
    };
    let made = match (case.host_bridge, case.xen) {
        (true, false) => Overlay::host_bridge(config),
        (true, true) => Overlay::xen_host_bridge(config),
        (false, _) => Identity::from_config(config).map(Overlay::from),
    };
    assert_eq!(
        made.as_ref().err().copied(),
        config_error(config, subclass, needed),
        "what is wrong with a host's bytes"
    );
    let overlay = made.ok()?;
    let mut bytes = [None; 256];
    for &(at, len) in fields {
        for place in at..at + len {
            bytes[place] = Some(config[place]);
        }
    }
    check_overlay(&overlay, &bytes);
    Some((bytes, overlay))
}

fn check_overlay(overlay: &Overlay, expected: &[Option<u8>; 256]) {
    let mut found = [None; 256];
    let mut after = 0;
    for (at, bytes) in overlay.patches() {
        let at = usize::from(at);
        assert!(
            at > after || (at == 0 && after == 0),
            "patch at {at:#x} adjoins the one before"
        );
        assert!(!bytes.is_empty(), "patch at {at:#x} is empty");
        after = at + bytes.len();
        for (place, byte) in (at..).zip(bytes) {
            found[place] = Some(*byte);
        }
    }
    assert_eq!(found, *expected, "bytes of an overlay");
}

/// The overlay of patches, or the first byte that cannot be patched.
fn patched(patches: &[(u16, &[u8])]) -> Result<[Option<u8>; 256], PatchError> {
    let mut bytes = [None; 256];
    for (at, patch) in patches {
        for (offset, byte) in (usize::from(*at)..).zip(*patch) {
            let is_identity = offset < 4 || (8..0xc).contains(&offset) || (0x2c..0x30).contains(&offset);
            if !is_identity && !(0x40..0x100).contains(&offset) {
                return Err(PatchError::Place { offset });
            }
            if bytes[offset].replace(*byte).is_some() {
                return Err(PatchError::Twice { offset });
            }
        }
    }
    Ok(bytes)
}

fn covered(at: ConfigAccess, below: u32, overlay: &[Option<u8>; 256]) -> u32 {
    let mut bytes = below.to_le_bytes();
    for (byte, place) in bytes.iter_mut().zip(at.offset()..at.end()) {
        if let Some(Some(patch)) = overlay.get(usize::from(place)) {
            *byte = *patch;
        }
    }
    u32::from_le_bytes(bytes)
}

/// Runs one input.
///
/// # Panics
///
/// A bridge or an overlay differs from its bytes.
pub fn run(data: &[u8]) {
    let (header, steps) = records::split::<HEADER, STEP>(data);
    let case = Case::decode(header);
    let patches = case.patches();
    let made = Overlay::from_patches(&patches);
    let expected = patched(&patches);
    assert_eq!(made.as_ref().err(), expected.as_ref().err(), "why patches are refused");
    if let (Ok(overlay), Ok(bytes)) = (&made, &expected) {
        check_overlay(overlay, bytes);
    }
    let from_host = overlay_of(&case);
    let (bytes, overlay) = match (from_host, made, expected) {
        (Some(pair), ..) => pair,
        (None, Ok(overlay), Ok(bytes)) => (bytes, overlay),
        _ => ([None; 256], Overlay::default()),
    };
    Bridges::new(case.rules, bytes, overlay).drive(steps.map(Step::decode));
}

/// A bridge of its own, a patched function and an overlaid one, each with its model.
struct Bridges {
    rules: Rules,
    lpc: (LpcBridge, Model),
    patched: (I440Fx, Model),
    overlaid: (Overlaid<Storage>, Storage),
    overlay: [Option<u8>; 256],
}

impl Bridges {
    fn new(rules: Rules, overlay: [Option<u8>; 256], patches: Overlay) -> Self {
        let lpc = new_lpc(rules);
        let mut model = Model::bridge(rules);
        model.identity(Identity::default());
        let mut host = I440Fx::new((0x1af4, 0x1100), 1 << 30, rules).unwrap_or_else(|error| panic!("{error}"));
        let mut host_model = Model::i440fx(rules);
        host_model.put(0x2c, &[0xf4, 0x1a, 0x00, 0x11]);
        patches.patch(host.function_mut());
        for (at, byte) in overlay.iter().enumerate() {
            if let Some(byte) = byte {
                host_model.patch(at, &[*byte]);
            }
        }
        let below = Storage([0x3c; 256]);
        Self {
            rules,
            lpc: (lpc, model),
            patched: (host, host_model),
            overlaid: (Overlaid::new(below.clone(), patches), below),
            overlay,
        }
    }

    fn drive(mut self, steps: impl Iterator<Item = Step>) {
        for step in steps {
            self.step(step);
            let (lpc, model) = &self.lpc;
            assert_eq!(lpc.state().config, model.bytes, "after {step}: bytes of the ISA bridge");
            assert_eq!(
                *self.patched.0.function().registers().bytes(),
                self.patched.1.bytes,
                "after {step}: patched"
            );
            assert_eq!(
                *self.overlaid.0.inner(),
                self.overlaid.1,
                "after {step}: bytes below the overlay"
            );
        }
    }

    fn step(&mut self, step: Step) {
        let (lpc, model) = &mut self.lpc;
        match step {
            Step::Read(at) => {
                assert_eq!(lpc.config_read(at), model.read(at), "{step} of the ISA bridge");
                assert_eq!(
                    self.patched.0.config_read(at),
                    self.patched.1.read(at),
                    "{step} of the patched function"
                );
                let below = self.overlaid.1.config_read(at);
                let expected = covered(at, below, &self.overlay);
                assert_eq!(self.overlaid.0.config_read(at), expected, "{step} through the overlay");
            }
            Step::Write(at, value) => {
                assert_eq!(
                    lpc.config_write(at, value),
                    model.write(at, value),
                    "{step}: effects on the ISA bridge"
                );
                // Shadow RAM and its kin are the business of another target.
                if !at.overlaps(0x59, 0x60) && !at.overlaps(0x72, 0x73) {
                    let effects = self.patched.0.config_write(at, value);
                    assert_eq!(
                        effects,
                        self.patched.1.write(at, value),
                        "{step}: effects on the patched function"
                    );
                }
                let effects = self.overlaid.0.config_write(at, value);
                assert_eq!(
                    effects,
                    self.overlaid.1.config_write(at, value),
                    "{step}: effects below the overlay"
                );
            }
            Step::Reset => {
                assert_eq!(lpc.reset(), model.reset(), "{step}: effects on the ISA bridge");
                assert_eq!(
                    self.patched.0.reset(),
                    self.patched.1.reset(),
                    "{step}: effects on the patched function"
                );
                assert_eq!(
                    self.overlaid.0.reset(),
                    self.overlaid.1.reset(),
                    "{step}: effects below the overlay"
                );
            }
            Step::SaveAndRestore => {
                let mut other = new_lpc(self.rules);
                other.set_identity(lpc.identity());
                other.set_multi_function(model.bytes[0x0e] != 0);
                let effects = other
                    .restore(&lpc.state())
                    .unwrap_or_else(|error| panic!("its own state: {error}"));
                assert_eq!(effects, model.mastering(0), "{step}: effects");
                assert_eq!(other, *lpc, "{step}: the restored bridge");
                *lpc = other;
            }
            Step::RestoreFlipped { offset, bit } => {
                let mut state = lpc.state();
                let at = usize::from(offset);
                state.config[at] ^= 1 << bit;
                let allowed = model.writable[at] >> bit & 1 != 0;
                let master = model.bytes[4] & 4;
                if allowed {
                    model.bytes = state.config;
                }
                let restored = lpc.restore(&state);
                assert_eq!(restored.is_ok(), allowed, "{step} is accepted");
                assert_eq!(restored.unwrap_or_default(), model.mastering(master), "{step}: effects");
            }
            Step::Identity(value) => {
                let [a, b, c, d] = value.to_le_bytes();
                let identity = Identity {
                    vendor: u16::from_le_bytes([a, b]),
                    device: u16::from_le_bytes([c, d]),
                    revision: b ^ c,
                    prog_if: a ^ d,
                    subsystem_vendor: u16::from_le_bytes([d, a]),
                    subsystem: u16::from_le_bytes([c, b]),
                };
                lpc.set_identity(identity);
                model.identity(identity);
                assert_eq!(lpc.identity(), identity, "{step}: the identity it shows");
            }
            Step::MultiFunction(multi) => {
                lpc.set_multi_function(multi);
                model.put(0x0e, &[u8::from(multi) << 7]);
            }
            Step::Address(bits) => {
                let made = LpcBridge::new(Bdf::from_bits(bits), self.rules);
                assert_eq!(made.is_ok(), bits == 0x00f8, "{step}");
            }
        }
    }
}

fn new_lpc(rules: Rules) -> LpcBridge {
    LpcBridge::new(LpcBridge::ADDRESS, rules).unwrap_or_else(|error| panic!("{error}"))
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let (header, steps) = records::split::<HEADER, STEP>(data);
    let case = Case::decode(header);
    let bridge = match (case.host_bridge, case.xen) {
        (true, true) => "host bridge on Xen",
        (true, false) => "host bridge",
        (false, _) => "ISA bridge",
    };
    let (at, byte) = case.change;
    let head = format!(
        "{:?}; the host's {bridge}, {:#x} bytes, byte {at:#04x} = {byte:#04x}; patches {:x?}",
        case.rules,
        case.len,
        case.patches()
    );
    records::lines(&head, steps.map(|step| Step::decode(step).to_string()))
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let steps: [[u8; STEP]; 12] = [
        [0, 2, 0x00, 0, 0, 0, 0, 0],
        [4, 2, 0x00, 0, 0xff, 0xff, 0xff, 0xff],
        [4, 2, 0x04, 0, 0xff, 0xff, 0xff, 0xff],
        [13, 0, 0, 0, 0x86, 0x80, 0x4e, 0x8c],
        [0, 2, 0x01, 0, 0, 0, 0, 0],
        [4, 1, 0x3c, 0, 0x0b, 0xff, 0, 0],
        [4, 2, 0x07, 0, 0x5a, 0x5a, 0x5a, 0x5a],
        [0, 2, 0x2b, 0, 0, 0, 0, 0],
        [14, 0, 0, 0, 1, 0, 0, 0],
        [11, 0, 0, 0, 0, 0, 0, 0],
        [12, 0, 0x04, 0, 2, 0, 0, 0],
        [10, 0, 0, 0, 0, 0, 0, 0],
    ];
    let mut header = [0; HEADER];
    header[5..].copy_from_slice(&[0x40, 0, 4, 0xfe, 0, 2, 1, 2, 3, 4, 5]);
    let mut seeds = Vec::new();
    for rules in 0..3 {
        for (name, flags) in [("isa", 0), ("host", 1), ("xen", 3), ("changed", 4), ("short", 8)] {
            (header[0], header[1], header[4]) = (rules, flags, 0x2f);
            seeds.push((format!("{name}-{rules}"), records::join(&header, &steps)));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_run_and_read_well() {
        let seeds = seeds();
        for (name, seed) in &seeds {
            println!("{name}");
            run(seed);
        }
        let text = describe(&seeds[0].1);
        let head = "Specification; the host's ISA bridge, 0x100 bytes, byte 0xff = 0x00; \
                    patches [(40, [1, 2, 3, 4]), (fe, [5, 4])]\n  0  r 0x000 4\n  1  w 0x000 4 0xffffffff\n";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 8000);
    }
}
