// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The emulated registers, and which byte of which window each answers for.

use super::Event;
use super::setup::{BdsmSetup, DeviceSetup};
use crate::spec;

/// Bytes from GGC to what is behind it, in both windows.
const GGC_LEN: u64 = 2;

/// A window through which the guest sees registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    Config,
    Bar0,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Ggc,
    GgcHigh,
    Bdsm,
    Swsci,
    Asls,
}

pub(super) const FIELDS: [Field; 5] = [Field::Ggc, Field::GgcHigh, Field::Bdsm, Field::Swsci, Field::Asls];

/// Values of the registers that are emulated; the others are the hardware's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Registers {
    pub(super) ggc: Option<u16>,
    pub(super) ggc_high: Option<u16>,
    pub(super) bdsm: BdsmSetup,
    pub(super) asls: Option<u32>,
    pub(super) hide_swsci: bool,
    pub(super) ggc_mirror: bool,
    pub(super) bdsm_mirror: bool,
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    /// Lanes that a register took.
    pub(super) lanes: u8,
    pub(super) event: Option<Event>,
}

impl Registers {
    pub(super) fn new(setup: &DeviceSetup) -> Self {
        let DeviceSetup {
            ggc,
            ggc_high,
            bdsm,
            asls,
            ggc_mirror,
            bdsm_mirror,
            hide_swsci,
            redirects: _,
            gtt_port: _,
            rules: _,
        } = *setup;
        Self {
            ggc,
            ggc_high,
            bdsm,
            asls,
            hide_swsci,
            ggc_mirror,
            bdsm_mirror,
        }
    }

    /// First byte and length of a register in a window, or `None` if the window shows the hardware there.
    pub(super) fn place(&self, view: View, field: Field) -> Option<(u64, u64)> {
        let (is_there, config, mirror, len) = match field {
            Field::Ggc => {
                let mirror = self.ggc_mirror.then_some(spec::MIRROR_GGC);
                (self.ggc.is_some(), spec::GGC.into(), mirror, GGC_LEN)
            }
            Field::GgcHigh => {
                let mirror = self.ggc_mirror.then_some(spec::MIRROR_GGC + GGC_LEN);
                (self.ggc_high.is_some(), u64::from(spec::GGC) + GGC_LEN, mirror, GGC_LEN)
            }
            Field::Bdsm => {
                let mirror = self.bdsm_mirror.then_some(spec::MIRROR_BDSM);
                match self.bdsm {
                    BdsmSetup::Hardware => (false, spec::BDSM.into(), None, 0),
                    BdsmSetup::Dword(_) => (true, spec::BDSM.into(), mirror, 4),
                    BdsmSetup::Qword(_) => (true, spec::BDSM64.into(), mirror, 8),
                }
            }
            Field::Swsci => (self.hide_swsci, spec::SWSCI.into(), None, 2),
            Field::Asls => (self.asls.is_some(), spec::ASLS.into(), None, 4),
        };
        let start = match view {
            View::Config => config,
            View::Bar0 => mirror?,
        };
        is_there.then_some((start, len))
    }

    fn value(&self, field: Field) -> u64 {
        match field {
            Field::Ggc => self.ggc.unwrap_or(0).into(),
            Field::GgcHigh => self.ggc_high.unwrap_or(0).into(),
            Field::Bdsm => match self.bdsm {
                BdsmSetup::Hardware => 0,
                BdsmSetup::Dword(base) => base.into(),
                BdsmSetup::Qword(base) => base,
            },
            Field::Swsci => 0,
            Field::Asls => self.asls.unwrap_or(0).into(),
        }
    }

    /// The register that answers for a byte, and the lane of the byte in it.
    fn at(&self, view: View, byte: u64) -> Option<(Field, usize)> {
        FIELDS.into_iter().find_map(|field| {
            let (start, len) = self.place(view, field)?;
            let lane = byte.checked_sub(start).filter(|lane| *lane < len)?;
            Some((field, usize::try_from(lane).ok()?))
        })
    }

    /// Which of the `len` bytes at `offset` are emulated, one bit each. An access has at most 8 bytes.
    pub(super) fn lanes(&self, view: View, offset: u64, len: usize) -> u8 {
        self.bytes(view, offset, len)
            .fold(0, |lanes, (lane, ..)| lanes | 1 << lane)
    }

    /// Puts the emulated bytes into what the hardware answered.
    pub(super) fn read(&self, view: View, offset: u64, len: usize, hardware: u64) -> u64 {
        let mut bytes = hardware.to_le_bytes();
        for (lane, field, in_field) in self.bytes(view, offset, len) {
            let value = self.value(field).to_le_bytes();
            if let (Some(to), Some(from)) = (bytes.get_mut(lane), value.get(in_field)) {
                *to = *from;
            }
        }
        u64::from_le_bytes(bytes)
    }

    pub(super) fn write(&mut self, view: View, offset: u64, len: usize, value: u64) -> Taken {
        let lanes = self.lanes(view, offset, len);
        let mut bdsm = self.value(Field::Bdsm).to_le_bytes();
        let mut asls = self.value(Field::Asls).to_le_bytes();
        let mut touched = None;
        for (lane, field, in_field) in self.bytes(view, offset, len) {
            touched = touched.or(Some(field));
            let register = match field {
                Field::Bdsm => &mut bdsm,
                Field::Asls => &mut asls,
                Field::Ggc | Field::GgcHigh | Field::Swsci => continue,
            };
            if let (Some(to), Some(from)) = (register.get_mut(in_field), value.to_le_bytes().get(lane)) {
                *to = *from;
            }
        }
        let (bdsm, [a0, a1, a2, a3, ..]) = (u64::from_le_bytes(bdsm), asls);
        let event = touched.map(|field| match field {
            Field::Ggc | Field::GgcHigh => Event::GgcWriteIgnored,
            Field::Swsci => Event::SwsciWriteDropped,
            Field::Bdsm => {
                self.set_bdsm(bdsm);
                Event::BdsmWritten(bdsm)
            }
            Field::Asls => {
                let asls = u32::from_le_bytes([a0, a1, a2, a3]);
                self.asls = Some(asls);
                Event::AslsWritten(asls)
            }
        });
        Taken { lanes, event }
    }

    fn set_bdsm(&mut self, base: u64) {
        match &mut self.bdsm {
            BdsmSetup::Hardware => {}
            // The bytes written are those of a dword.
            BdsmSetup::Dword(to) => *to = u32::try_from(base).unwrap_or(*to),
            BdsmSetup::Qword(to) => *to = base,
        }
    }

    /// The emulated bytes of an access: lane of the access, register, lane of the register.
    fn bytes(&self, view: View, offset: u64, len: usize) -> impl Iterator<Item = (usize, Field, usize)> {
        let len = len.min(8);
        (0..len).filter_map(move |lane| {
            let (field, in_field) = self.at(view, offset.checked_add(lane as u64)?)?;
            let is_seen = view == View::Config || field != Field::GgcHigh || covers(offset, len);
            is_seen.then_some((lane, field, in_field))
        })
    }
}

/// Whether an access to BAR0 covers GGC and what is behind it. The mirror is one of GGC alone, but QEMU lets an access of 4
/// bytes that starts there see all of them.
fn covers(offset: u64, len: usize) -> bool {
    let end = offset.saturating_add(len as u64);
    offset <= spec::MIRROR_GGC && spec::MIRROR_GGC + 2 * GGC_LEN <= end
}
