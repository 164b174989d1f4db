// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "BARs are numbered 0 to 6; an index outside is a broken oracle"
)]
//! Does each step to a function and to its naive model, and compares them.

use std::fmt::Display;

use pci_model::host_bridge::{I440Fx, Pam, Q35, Smram};
use pci_model::{BarMap, BarSpace, BarStep, ConfigAccess, ConfigSpace, Effects, Function, MsiDelivery, PowerState};

use super::access::Step;
use super::chipset::Chipset;
use super::model::{Derived, Map, Model};

/// A function under test.
pub(super) trait Subject<const N: usize>: ConfigSpace + Clone + PartialEq {
    fn function(&self) -> &Function<N>;
    fn function_mut(&mut self) -> &mut Function<N>;
    /// Puts the state of `from` in place.
    fn take_over(&mut self, from: &Self) -> Effects;
    /// Compares what the chipset derives from its registers.
    fn check_chipset(&self, _expected: &Derived) {}
}

impl<const N: usize> Subject<N> for Function<N> {
    fn function(&self) -> &Function<N> {
        self
    }

    fn function_mut(&mut self) -> &mut Function<N> {
        self
    }

    fn take_over(&mut self, from: &Self) -> Effects {
        self.restore(&from.state())
            .unwrap_or_else(|error| panic!("its own state is refused: {error}"))
    }
}

impl Subject<256> for I440Fx {
    fn function(&self) -> &Function<256> {
        self.function()
    }

    fn function_mut(&mut self) -> &mut Function<256> {
        self.function_mut()
    }

    fn take_over(&mut self, from: &Self) -> Effects {
        self.restore(&from.state())
            .unwrap_or_else(|error| panic!("its own state is refused: {error}"))
    }

    fn check_chipset(&self, expected: &Derived) {
        check_pam(&self.pam(), expected);
        check_smram(self.smram(), expected);
    }
}

impl Subject<256> for Q35 {
    fn function(&self) -> &Function<256> {
        self.function()
    }

    fn function_mut(&mut self) -> &mut Function<256> {
        self.function_mut()
    }

    fn take_over(&mut self, from: &Self) -> Effects {
        self.restore(&from.state())
            .unwrap_or_else(|error| panic!("its own state is refused: {error}"))
    }

    fn check_chipset(&self, expected: &Derived) {
        check_pam(&self.pam(), expected);
        check_smram(self.smram(), expected);
        assert_eq!(self.tseg(), expected.smram.1, "size of TSEG");
        let window = self.ecam().map(|window| (window.base, window.size));
        assert_eq!(window, expected.window, "configuration window: base and size");
    }
}

fn check_pam(pam: &Pam, expected: &Derived) {
    let mut segments = pam.segments();
    for (index, bits) in expected.pam.into_iter().enumerate() {
        let attribute = segments
            .next()
            .unwrap_or_else(|| panic!("shadow RAM has no segment {index}"))
            .attribute;
        let found = u8::from(attribute.reads_ram) | u8::from(attribute.writes_ram) << 1;
        assert_eq!(
            found, bits,
            "shadow RAM segment {index}: bit 0 reads from RAM, bit 1 writes to RAM"
        );
    }
}

fn check_smram(smram: Smram, expected: &Derived) {
    let Smram {
        open,
        closed,
        locked,
        enabled,
    } = smram;
    let bits = u8::from(open) << 6 | u8::from(closed) << 5 | u8::from(locked) << 4 | u8::from(enabled) << 3;
    assert_eq!(
        bits, expected.smram.0,
        "SMRAM: open, closed, locked, enabled in bits 6:3"
    );
}

/// The effects that lead from one state to another.
pub(super) fn difference(before: &Derived, after: &Derived, reset: bool) -> Effects {
    [
        (Effects::FUNCTION_RESET, reset),
        (Effects::BAR_MAP, before.map != after.map),
        (Effects::INTX, before.level != after.level),
        (Effects::MSI, before.msi != after.msi),
        (Effects::MSIX, before.msix != after.msix),
        (Effects::POWER, before.power != after.power),
        (Effects::BUS_MASTER, before.bus_master != after.bus_master),
        (Effects::BRIDGE, before.bridge != after.bridge),
        (Effects::PAM, before.pam != after.pam),
        (Effects::SMRAM, before.smram != after.smram),
        (Effects::ECAM, before.window != after.window),
    ]
    .into_iter()
    .filter_map(|(effect, differs)| differs.then_some(effect))
    .fold(Effects::empty(), |all, effect| all | effect)
}

/// Compares all that can be read of a function with the model.
pub(super) fn check<const N: usize>(function: &Function<N>, model: &Model<N>, derived: &Derived, at: &dyn Display) {
    let bytes = function.registers().bytes();
    if *bytes != model.bytes {
        let differs = bytes.iter().zip(&model.bytes).position(|(a, b)| a != b).unwrap_or(0);
        panic!(
            "after {at}: byte {differs:#05x} is {:#04x}, expected {:#04x}",
            bytes[differs], model.bytes[differs]
        );
    }
    assert_eq!(
        map_of(&function.bar_map()),
        derived.map,
        "after {at}: where BARs are decoded"
    );
    assert_eq!(function.intx_level(), derived.level, "after {at}: level of INTx");
    let power = match function.power_state() {
        PowerState::D0 => 0,
        PowerState::D1 => 1,
        PowerState::D2 => 2,
        PowerState::D3Hot => 3,
    };
    assert_eq!(power, derived.power, "after {at}: power state");
    let msi = function.msi();
    let msi = msi.map(|m| (m.enabled, m.vectors, m.address, m.data, m.masked, m.pending));
    assert_eq!(
        msi, derived.msi,
        "after {at}: MSI enabled, vectors, address, data, masked, pending"
    );
    let msix = function.msix().map(|m| (m.enabled, m.function_mask, m.vectors));
    let expected = derived
        .msix
        .map(|word| (word & 0x8000 != 0, word & 0x4000 != 0, (word & 0x7ff) + 1));
    assert_eq!(msix, expected, "after {at}: MSI-X enabled, masked, vectors");
}

pub(super) fn map_of(map: &BarMap) -> Map {
    let mut ranges = [None; 7];
    for (index, range) in (0_u8..).zip(&mut ranges) {
        *range = map
            .get(index)
            .map(|range| (range.space() == BarSpace::Io, range.start(), range.size()));
    }
    ranges
}

/// Follows the steps from one map to another, as a VMM does.
pub(super) fn check_steps(from: &BarMap, to: &BarMap, at: &dyn Display) {
    if from == to {
        assert_eq!(
            from.steps_to(to).next(),
            None,
            "after {at}: a step from a map to itself"
        );
        return;
    }
    let mut applied = map_of(from);
    let mut maps = false;
    for step in from.steps_to(to) {
        let (BarStep::Unmap { bar, range } | BarStep::Map { bar, range }) = step;
        let held = &mut applied[usize::from(bar)];
        let range = Some((range.space() == BarSpace::Io, range.start(), range.size()));
        if matches!(step, BarStep::Unmap { .. }) {
            assert!(!maps, "after {at}: BAR{bar} is unmapped after another was mapped");
            assert_eq!(*held, range, "after {at}: BAR{bar} is unmapped where it is not");
            *held = None;
        } else {
            maps = true;
            assert_eq!(*held, None, "after {at}: BAR{bar} is mapped twice");
            *held = range;
        }
    }
    assert_eq!(applied, map_of(to), "after {at}: the steps lead elsewhere");
    let common = map_of(&from.common(to));
    for (bar, (old, new)) in map_of(from).into_iter().zip(map_of(to)).enumerate() {
        assert_eq!(
            common[bar],
            old.filter(|_| old == new),
            "after {at}: what is common of BAR{bar}"
        );
    }
}

/// The lowest BAR that holds an address, and the offset in it.
fn claim(map: &Map, is_io: bool, address: u64) -> Option<(u8, u64)> {
    (0_u8..).zip(map).find_map(|(bar, range)| {
        let (io, start, size) = (*range)?;
        (io == is_io && address >= start && address - start < size).then(|| (bar, address - start))
    })
}

pub(super) fn check_claim(map: &BarMap, expected: &Map, bar: u8, distance: i16) {
    let Some((is_io, start, _)) = expected[usize::from(bar)] else {
        return;
    };
    let address = start.wrapping_add_signed(distance.into());
    let space = if is_io { BarSpace::Io } else { BarSpace::Memory };
    assert_eq!(
        map.claim(space, address),
        claim(expected, is_io, address),
        "BAR and offset at {address:#x} of {space:?}"
    );
}

pub(super) fn check_fire(found: MsiDelivery, expected: Result<(u64, u32), bool>, vector: u8) {
    let found = match found {
        MsiDelivery::Send(message) => Ok((message.address, message.data)),
        MsiDelivery::Held => Err(true),
        MsiDelivery::Off => Err(false),
    };
    assert_eq!(found, expected, "MSI vector {vector}: message, or whether it is held");
}

pub(super) fn check_refused(offset: u16, width: pci_model::Width) {
    let fits = usize::from(offset) + width.len() <= 4096;
    let access = ConfigAccess::new(offset, width);
    assert_eq!(access.is_some(), fits, "access of {} bytes at {offset:#x}", width.len());
}

/// Takes a state with one flipped bit; the model says whether that can be. An accepted state is the function's new one.
pub(super) fn restore_flipped<const N: usize>(
    function: &mut Function<N>,
    model: &mut Model<N>,
    (offset, bit): (usize, u8),
) -> Option<Effects> {
    let mut state = function.state();
    state.config[offset] ^= 1 << bit;
    let allowed = model.may_differ(offset) >> bit & 1 != 0;
    let restored = function.restore(&state);
    assert_eq!(
        restored.is_ok(),
        allowed,
        "a state with bit {bit} of {offset:#05x} flipped is accepted"
    );
    if allowed {
        model.bytes[offset] ^= 1 << bit;
        model.limit_vectors();
        model.set_intx(model.intx);
    }
    restored.ok()
}

/// Does all steps.
pub(super) fn drive<S: Subject<N>, const N: usize>(
    fresh: &S,
    fresh_model: &Model<N>,
    steps: impl Iterator<Item = Step>,
) {
    let (mut subject, mut model) = (fresh.clone(), fresh_model.clone());
    let mut before = model.derived();
    check(subject.function(), &model, &before, &"building it");
    for step in steps {
        let (map, bytes, intx) = (subject.bar_map(), model.bytes, model.intx);
        let mut reset = false;
        let effects = match step {
            Step::Read(at) => {
                let expected = model.read(at.offset().into(), at.width().len());
                let found = subject.config_read(at);
                assert_eq!(found, expected, "{step}: got {found:#x}, expected {expected:#x}");
                continue;
            }
            Step::Write(at, value) => {
                reset = model.write(at.offset().into(), at.width().len(), value);
                Some(subject.config_write(at, value))
            }
            Step::Refused { offset, width } => {
                check_refused(offset, width);
                continue;
            }
            Step::Intx(level) => {
                model.set_intx(level);
                Some(subject.function_mut().set_intx(level))
            }
            Step::FireMsi(vector) => {
                let expected = model.fire_msi(vector);
                check_fire(subject.function_mut().fire_msi(vector), expected, vector);
                None
            }
            Step::TakePending => {
                let message = subject.function_mut().take_pending_msi().map(|m| (m.address, m.data));
                assert_eq!(message, model.take_pending_msi(), "{step}: address and data");
                None
            }
            Step::Reset => {
                model.reset();
                Some(subject.reset())
            }
            Step::SaveAndRestore => {
                let mut other = fresh.clone();
                let effects = other.take_over(&subject);
                let expected = difference(&fresh_model.derived(), &before, false);
                assert_eq!(effects, expected, "{step}: effects from the state of a new one");
                let again = subject.take_over(&other);
                assert_eq!(again, Effects::empty(), "{step}: effects of its own state");
                assert!(
                    other == subject,
                    "{step}: a restored function differs from the saved one"
                );
                subject = other;
                None
            }
            Step::RestoreFlipped { offset, bit } => {
                let place = (usize::from(offset) % N, bit);
                // What a bridge with locks accepts depends on the locks of the state.
                if model.chipset == Chipset::None {
                    restore_flipped(subject.function_mut(), &mut model, place)
                } else {
                    None
                }
            }
            Step::Claim { bar, distance } => {
                check_claim(&map, &before.map, bar, distance);
                continue;
            }
            Step::HostRefuses(_) => continue,
        };
        // Everything follows from the bytes and the pin, but for a window that a reserved length leaves open.
        let same = bytes == model.bytes && intx == model.intx && before.window == model.window;
        let after = if same { before } else { model.derived() };
        check(subject.function(), &model, &after, &step);
        if !same {
            subject.check_chipset(&after);
        }
        if let Some(effects) = effects {
            assert_eq!(effects, difference(&before, &after, reset), "{step}: effects");
            check_steps(&map, &subject.bar_map(), &step);
        }
        before = after;
    }
    check(subject.function(), &model, &before, &"the last access");
    subject.check_chipset(&before);
}
