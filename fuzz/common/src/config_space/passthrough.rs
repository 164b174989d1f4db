// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of fixed arrays; an index outside is a broken oracle"
)]
//! Passed-through functions: the shadow's model, a host device that is plain storage, and which bits are whose.

use pci_model::{
    BuildError, ConfigAccess, ConfigBackend, Effects, FunctionBuilder, Passthrough, PassthroughError, Rules,
};

use super::access::Step;
use super::chipset::Chipset;
use super::drive::{self, difference};
use super::kinds::{self, Cap, Shape};
use super::model::Model;

/// A host device that stores what it is given, or refuses.
#[derive(Clone, Debug)]
pub(super) struct Device<const N: usize> {
    bytes: [u8; N],
    refuses: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host refuses")
    }
}

impl std::error::Error for Refused {}

impl<const N: usize> ConfigBackend for Device<N> {
    type Error = Refused;

    fn read(&mut self, at: ConfigAccess) -> Result<u32, Refused> {
        let (offset, len) = (usize::from(at.offset()), at.width().len());
        assert_eq!(offset % len, 0, "the host is read unaligned: {offset:#x} {len}");
        assert!(offset + len <= N, "the host is read beyond its end: {offset:#x} {len}");
        if self.refuses {
            return Err(Refused);
        }
        Ok((0..len).fold(0, |value, lane| {
            value | u32::from(self.bytes[offset + lane]) << (8 * lane)
        }))
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Refused> {
        let (offset, len) = (usize::from(at.offset()), at.width().len());
        assert_eq!(offset % len, 0, "the host is written unaligned: {offset:#x} {len}");
        assert!(
            offset + len <= N,
            "the host is written beyond its end: {offset:#x} {len}"
        );
        if self.refuses {
            return Err(Refused);
        }
        self.bytes[offset..offset + len].copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }
}

/// A function and the model of it.
#[derive(Clone)]
pub(super) struct Pair<const N: usize> {
    function: Passthrough<Device<N>, N>,
    model: Model<N>,
    /// The model's idea of the host device.
    device: [u8; N],
    emulated: [u8; N],
}

impl<const N: usize> Pair<N> {
    pub(super) fn new(shape: &Shape, rules: Rules) -> Result<Self, Box<dyn std::error::Error>> {
        let model = Model::<N>::new(*shape, rules, Chipset::None);
        let mut device = model.bytes;
        // What the host left in its registers; a guest starts without.
        device[0x04] = 0x07;
        device[0x07] = 0xa0;
        device[0x12] = 0x5a;
        for at in [model.msi, model.msix, model.power].into_iter().flatten() {
            let control = at + 2 + usize::from(model.power == Some(at)) * 2 + usize::from(model.msix == Some(at));
            device[control] |= model.writable[control];
        }
        let host = Device {
            bytes: device,
            refuses: false,
        };
        let configure =
            |builder: FunctionBuilder<N>| -> Result<_, BuildError> { kinds::with_bars(builder, shape, rules) };
        let function = Passthrough::new(host, configure).map_err(|error| match error {
            PassthroughError::Read { offset, source } => format!("byte {offset:#x}: {source}"),
            PassthroughError::Build(error) => error.to_string(),
        })?;
        let mut pair = Self {
            function,
            model,
            device,
            emulated: [0; N],
        };
        pair.emulate_standard();
        if shape.bars.iter().all(|(index, ..)| *index != 0 && *index != 1) {
            // The host's address in a register that the guest has no BAR in is shown as it is.
            pair.model.put(0x12, &[0x5a]);
        }
        // Two bits that a VMM would emulate on top: one that is cleared by writing one, and one of no register.
        for (at, mask) in [(0x07, 0x80), (0x3c, 0xff)] {
            pair.function.emulate(u16::try_from(at)?, &[mask]);
            pair.emulated[at] |= mask;
        }
        Ok(pair)
    }

    fn emulate_standard(&mut self) {
        self.emulated[0x10..0x28].fill(0xff);
        self.emulated[0x30..0x34].fill(0xff);
        self.emulated[0x0e] = 0x80;
        self.emulated[0x34] = 0xff;
        self.emulated[0x06] = 0x10;
        for &(at, cap) in self.model.shape.caps {
            let at = usize::from(at);
            self.emulated[at + 1] = 0xff;
            match cap {
                Cap::Msi { wide, maskable, .. } => {
                    let length = 10 + 4 * usize::from(wide) + 10 * usize::from(maskable);
                    self.emulated[at..at + length].fill(0xff);
                }
                Cap::Msix { .. } => self.emulated[at..at + 12].fill(0xff),
                Cap::Express { .. } => {
                    self.emulated[at + 2] |= 0xf0;
                    self.emulated[at + 0x0c..at + 0x14].fill(0xff);
                    self.emulated[at + 0x2c..at + 0x34].fill(0xff);
                }
                Cap::Power { .. } | Cap::Advanced { .. } | Cap::Other { .. } => {}
            }
        }
    }

    fn emulates(&self, at: usize) -> u8 {
        self.emulated.get(at).copied().unwrap_or(0xff)
    }

    /// Whether any bit of an access is the device's.
    fn needs_device(&self, at: ConfigAccess) -> bool {
        (at.offset()..at.end()).any(|at| self.emulates(at.into()) != 0xff)
    }

    fn read(&self, at: ConfigAccess, refuses: bool) -> Result<u32, Refused> {
        if self.needs_device(at) && refuses {
            return Err(Refused);
        }
        let mut value = 0;
        for at in (at.offset()..at.end()).rev().map(usize::from) {
            let mask = self.emulates(at);
            let shadow = self.model.bytes.get(at).copied().unwrap_or(0xff);
            let device = self.device.get(at).copied().unwrap_or(0xff);
            value = value << 8 | u32::from(shadow & mask | device & !mask);
        }
        Ok(value)
    }

    /// Writes to the model's host, in naturally aligned pieces of which each is needed or not.
    fn write_device(&mut self, at: ConfigAccess, value: u32) {
        let bytes = value.to_le_bytes();
        let (start, len) = (usize::from(at.offset()), at.width().len());
        let mut done = 0;
        while done < len {
            let piece = [4, 2, 1]
                .into_iter()
                .find(|size| (start + done).is_multiple_of(*size) && done + size <= len)
                .unwrap_or(1);
            let places = start + done..start + done + piece;
            if places.clone().any(|at| self.emulates(at) != 0xff) {
                for (at, new) in places.zip(&bytes[done..]) {
                    let mask = self.emulates(at);
                    self.device[at] = new & !mask | self.device[at] & mask & !self.model.clearable[at];
                }
            }
            done += piece;
        }
    }
}

/// Does all steps.
pub(super) fn drive<const N: usize>(fresh: &Pair<N>, steps: impl Iterator<Item = Step>) {
    let mut pair = fresh.clone();
    let mut refuses = false;
    let mut before = pair.model.derived();
    drive::check(pair.function.shadow(), &pair.model, &before, &"building it");
    for step in steps {
        let map = pair.function.bar_map();
        let mut reset = false;
        let effects = match step {
            Step::Read(at) => {
                let expected = pair.read(at, refuses);
                let found = pair.function.read(at);
                assert_eq!(found, expected, "{step}: got {found:x?}, expected {expected:x?}");
                None
            }
            Step::Write(at, value) => {
                let old = pair.model.clone();
                reset = pair.model.write(at.offset().into(), at.width().len(), value);
                let (effects, forward) = pair.function.write(at, value);
                let middle = pair.model.derived();
                drive::check(pair.function.shadow(), &pair.model, &middle, &step);
                assert_eq!(effects, difference(&before, &middle, reset), "{step}: effects");
                drive::check_steps(&map, &pair.function.bar_map(), &step);
                let needed = pair.needs_device(at);
                assert_eq!(forward.is_some(), needed, "{step}: is for the device");
                if let Some(forward) = forward {
                    let sent = pair.function.forward(forward);
                    assert_eq!(sent.is_err(), refuses, "{step}: refused by the host");
                    if refuses {
                        pair.model = old;
                    } else {
                        pair.write_device(at, value);
                    }
                }
                None
            }
            Step::Refused { offset, width } => {
                drive::check_refused(offset, width);
                None
            }
            Step::Intx(level) => {
                pair.model.set_intx(level);
                Some(pair.function.shadow_mut().set_intx(level))
            }
            Step::FireMsi(vector) => {
                let expected = pair.model.fire_msi(vector);
                drive::check_fire(pair.function.shadow_mut().fire_msi(vector), expected, vector);
                None
            }
            Step::TakePending => {
                let message = pair
                    .function
                    .shadow_mut()
                    .take_pending_msi()
                    .map(|m| (m.address, m.data));
                assert_eq!(message, pair.model.take_pending_msi(), "{step}: address and data");
                None
            }
            Step::Reset => {
                pair.model.reset();
                Some(pair.function.reset_shadow())
            }
            Step::SaveAndRestore => {
                let state = pair.function.shadow().state();
                let restored = pair.function.shadow_mut().restore(&state);
                assert_eq!(restored, Ok(Effects::empty()), "{step}: its own state");
                None
            }
            Step::RestoreFlipped { offset, bit } => {
                let place = (usize::from(offset) % N, bit);
                drive::restore_flipped(pair.function.shadow_mut(), &mut pair.model, place)
            }
            Step::Claim { bar, distance } => {
                drive::check_claim(&map, &before.map, bar, distance);
                None
            }
            Step::HostRefuses(now) => {
                refuses = now;
                pair.function.backend_mut().refuses = now;
                None
            }
        };
        let after = pair.model.derived();
        drive::check(pair.function.shadow(), &pair.model, &after, &step);
        let host = &pair.function.backend_mut().bytes;
        if let Some(at) = host.iter().zip(&pair.device).position(|(a, b)| a != b) {
            panic!(
                "after {step}: the host's byte {at:#05x} is {:#04x}, expected {:#04x}",
                host[at], pair.device[at]
            );
        }
        if let Some(effects) = effects {
            assert_eq!(effects, difference(&before, &after, reset), "{step}: effects");
            drive::check_steps(&map, &pair.function.bar_map(), &step);
        }
        before = after;
    }
}
