// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The emulated registers, and which byte of which window each answers for.

use super::setup::{BdsmSetup, DeviceSetup};
use super::{Event, lanes};
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
    pub(super) windows: [Window; 2],
}

/// The registers that a window shows. Which they are is fixed when the device is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    /// Each with first byte and length.
    places: [(Field, u64, u64); FIELDS.len()],
    /// How many there are.
    count: usize,
    /// All of them lie in these bytes.
    first: u64,
    end: u64,
}

impl Window {
    const EMPTY: Self = Self {
        places: [(Field::Ggc, 0, 0); FIELDS.len()],
        count: 0,
        first: u64::MAX,
        end: 0,
    };

    fn new(registers: &Registers, view: View) -> Self {
        let mut window = Self::EMPTY;
        for field in FIELDS {
            if let Some((start, len)) = registers.place(view, field)
                && let Some(slot) = window.places.get_mut(window.count)
            {
                *slot = (field, start, len);
                window.count += 1;
                window.first = window.first.min(start);
                window.end = window.end.max(start + len);
            }
        }
        window
    }

    /// The registers that an access may touch.
    #[inline]
    fn near(&self, offset: u64, len: usize) -> &[(Field, u64, u64)] {
        // Most accesses are to other registers. One that would wrap touches none of the last bytes.
        let touches = offset < self.end && self.first < offset.saturating_add(len as u64);
        let count = if touches { self.count } else { 0 };
        self.places.get(..count).unwrap_or(&[])
    }
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
        let mut registers = Self {
            ggc,
            ggc_high,
            bdsm,
            asls,
            hide_swsci,
            ggc_mirror,
            bdsm_mirror,
            windows: [Window::EMPTY; 2],
        };
        registers.windows = [View::Config, View::Bar0].map(|view| Window::new(&registers, view));
        registers
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

    /// Which of the `len` bytes at `offset` are emulated, one bit each. An access has at most 8 bytes.
    pub(super) fn lanes(&self, view: View, offset: u64, len: usize) -> u8 {
        let owned = self.owned(view, offset, len).to_le_bytes();
        (0..8)
            .zip(owned)
            .fold(0, |lanes, (lane, byte)| lanes | (byte & 1) << lane)
    }

    /// Which bits of the `len` bytes at `offset` are emulated.
    #[inline]
    pub(super) fn owned(&self, view: View, offset: u64, len: usize) -> u64 {
        self.parts(view, offset, len).fold(0, |owned, part| owned | part.mask)
    }

    /// Puts the emulated bytes into what the hardware answered.
    #[inline]
    pub(super) fn read(&self, view: View, offset: u64, len: usize, hardware: u64) -> u64 {
        self.parts(view, offset, len).fold(hardware, |value, part| {
            value & !part.mask | part.to_access(self.value(part.field)) & part.mask
        })
    }

    pub(super) fn write(&mut self, view: View, offset: u64, len: usize, value: u64) -> Taken {
        let lanes = self.lanes(view, offset, len);
        let (mut bdsm, mut asls) = (self.value(Field::Bdsm), self.value(Field::Asls));
        let mut touched: Option<Part> = None;
        for part in self.parts(view, offset, len) {
            // Only GGC and its high half are neighbours, and give the same event.
            touched = Some(part);
            let register = match part.field {
                Field::Bdsm => &mut bdsm,
                Field::Asls => &mut asls,
                Field::Ggc | Field::GgcHigh | Field::Swsci => continue,
            };
            *register = *register & !part.to_register(part.mask) | part.to_register(value & part.mask);
        }
        let event = touched.map(|part| match part.field {
            Field::Ggc | Field::GgcHigh => Event::GgcWriteIgnored,
            Field::Swsci => Event::SwsciWriteDropped,
            Field::Bdsm => {
                self.set_bdsm(bdsm);
                Event::BdsmWritten(bdsm)
            }
            Field::Asls => {
                let asls = u32::try_from(asls).unwrap_or(0);
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

    /// The parts of an access that are emulated: at most one for each register.
    #[inline]
    fn parts(&self, view: View, offset: u64, len: usize) -> impl Iterator<Item = Part> {
        let [config, bar0] = &self.windows;
        let window = match view {
            View::Config => config,
            View::Bar0 => bar0,
        };
        let len = len.min(8);
        window
            .near(offset, len)
            .iter()
            .filter_map(move |(field, start, field_len)| {
                let part = Part::new(*field, *start, *field_len, offset, len)?;
                let is_seen = view == View::Config || *field != Field::GgcHigh || covers(offset, len);
                is_seen.then_some(part)
            })
    }
}

/// The part of an access that one register answers.
#[derive(Clone, Copy, Debug)]
struct Part {
    field: Field,
    /// First byte in the access.
    lane: u64,
    /// First byte in the register; one of the two is 0.
    in_field: u64,
    /// The bits of the access.
    mask: u64,
}

impl Part {
    /// What an access of `len` bytes, at most 8, has in common with a register, if anything.
    #[inline]
    fn new(field: Field, start: u64, field_len: u64, offset: u64, len: usize) -> Option<Self> {
        let lane = start.saturating_sub(offset);
        let in_field = offset.saturating_sub(start);
        if lane >= len as u64 || in_field >= field_len {
            return None;
        }
        let shown = usize::try_from(field_len - in_field).map_or(0, lanes::bytes);
        Some(Self {
            field,
            lane,
            in_field,
            mask: shown << (8 * lane) & lanes::bytes(len),
        })
    }

    /// The register's bits in their place in the access.
    #[inline]
    const fn to_access(self, register: u64) -> u64 {
        register >> (8 * self.in_field) << (8 * self.lane)
    }

    /// The access's bits in their place in the register.
    #[inline]
    const fn to_register(self, access: u64) -> u64 {
        access >> (8 * self.lane) << (8 * self.in_field)
    }
}

/// Whether an access to BAR0 covers GGC and what is behind it. The mirror is one of GGC alone, but QEMU lets an access of 4
/// bytes that starts there see all of them.
fn covers(offset: u64, len: usize) -> bool {
    let end = offset.saturating_add(len as u64);
    offset <= spec::MIRROR_GGC && spec::MIRROR_GGC + 2 * GGC_LEN <= end
}
