// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of fixed arrays; an index outside is a broken oracle"
)]
//! Configuration space done naively: bytes, masks and what follows from them, worked out anew each time.

use pci_model::Rules;

use super::chipset::Chipset;
use super::kinds::{Cap, Kind, Shape};

/// Where the BARs are decoded: whether I/O, first address, size.
pub(super) type Map = [Option<(bool, u64, u64)>; 7];

#[derive(Clone)]
pub(super) struct Model<const N: usize> {
    pub(super) shape: Shape,
    pub(super) rules: Rules,
    pub(super) chipset: Chipset,
    pub(super) bytes: [u8; N],
    pub(super) writable: [u8; N],
    pub(super) clearable: [u8; N],
    /// Bits that a reset sets to `initial`.
    pub(super) volatile: [u8; N],
    pub(super) initial: [u8; N],
    pub(super) power: Option<usize>,
    pub(super) msi: Option<usize>,
    pub(super) msix: Option<usize>,
    express: Option<usize>,
    advanced: Option<usize>,
    pub(super) intx: bool,
    /// The configuration window that PCIEXBAR last led to.
    pub(super) window: Option<(u64, u64)>,
}

/// All that effects are told from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Derived {
    pub(super) map: Map,
    pub(super) bus_master: bool,
    pub(super) power: u8,
    /// Enabled, vectors, address, data, masked, pending.
    pub(super) msi: Option<(bool, u8, u64, u16, u32, u32)>,
    pub(super) msix: Option<u16>,
    pub(super) bridge: [u8; 24],
    pub(super) level: bool,
    pub(super) pam: [u8; 13],
    pub(super) smram: (u8, Option<u64>, u8),
    pub(super) window: Option<(u64, u64)>,
}

impl<const N: usize> Model<N> {
    pub(super) fn new(shape: Shape, rules: Rules, chipset: Chipset) -> Self {
        let mut model = Self {
            shape,
            rules,
            chipset,
            bytes: [0; N],
            writable: [0; N],
            clearable: [0; N],
            volatile: [0; N],
            initial: [0; N],
            power: None,
            msi: None,
            msix: None,
            express: None,
            advanced: None,
            intx: false,
            window: None,
        };
        if model.is_qemu() {
            model.writable[0x40..].fill(0xff);
        }
        model.header();
        model.bars();
        model.capabilities();
        model.install_chipset();
        model
    }

    pub(super) fn is_qemu(&self) -> bool {
        self.rules != Rules::Specification
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.initial[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes bits writable until a reset.
    pub(super) fn writable(&mut self, at: usize, mask: &[u8]) {
        self.writable[at..at + mask.len()].copy_from_slice(mask);
        self.volatile[at..at + mask.len()].copy_from_slice(mask);
    }

    fn clearable(&mut self, at: usize, mask: &[u8]) {
        for (at, mask) in (at..).zip(mask) {
            self.clearable[at] = *mask;
            self.writable[at] &= !mask;
            self.volatile[at] |= mask;
        }
    }

    fn header(&mut self) {
        self.put(0x00, &[0x86, 0x80, 0x12, 0x19]);
        self.put(0x08, &[6, 0x00, 0x80, 0x03]);
        self.put(0x3d, &[self.shape.pin]);
        self.put(0x2c, &[0xf4, 0x1a, 0x00, 0x11]);
        self.writable(0x04, &[0x07, 0x05]);
        self.clearable(0x06, &[0x00, 0xf9]);
        self.volatile[0x06] = 0x08;
        self.writable(0x0c, &[0xff]);
        self.writable(0x3c, &[0xff]);
        if self.shape.bridge {
            self.put(0x0e, &[1]);
            self.put(0x24, &[1, 0, 1, 0]);
            self.writable(0x18, &[0xff; 4]);
            self.writable(0x1c, &[0xf0; 2]);
            self.clearable(0x1e, &[0x00, 0xf9]);
            self.writable(0x20, &[0xf0, 0xff, 0xf0, 0xff, 0xf0, 0xff, 0xf0, 0xff]);
            self.put(0x28, &[0; 8]);
            self.writable(0x28, &[0xff; 8]);
            self.writable(0x3e, &[0xff, 0x0b]);
            self.clearable(0x3f, &[0x04]);
        }
    }

    fn bar_place(&self, index: u8) -> usize {
        match (index, self.shape.bridge) {
            (6, false) => 0x30,
            (6, true) => 0x38,
            _ => 0x10 + 4 * usize::from(index),
        }
    }

    fn bars(&mut self) {
        for &(index, kind, size) in self.shape.bars {
            let at = self.bar_place(index);
            let flags = match kind {
                Kind::Mem32 | Kind::Rom => 0,
                Kind::Mem32Pref => 8,
                Kind::Mem64 => 4,
                Kind::Mem64Pref => 12,
                Kind::Io => 1,
            };
            self.put(at, &[flags]);
            let [a, b, c, d, e, f, g, h] = (0_u64.wrapping_sub(size)).to_le_bytes();
            if kind.is_wide() {
                self.writable(at, &[a, b, c, d, e, f, g, h]);
            } else {
                self.writable(at, &[a | u8::from(kind == Kind::Rom), b, c, d]);
            }
        }
    }

    fn capabilities(&mut self) {
        let mut link = 0x34;
        for &(at, cap) in self.shape.caps {
            let [place, _] = at.to_le_bytes();
            let at = usize::from(at);
            self.put(link, &[place]);
            self.put(0x06, &[0x10]);
            link = at + 1;
            match cap {
                Cap::Power { pmc, no_soft_reset } => self.power_management(at, pmc, no_soft_reset),
                Cap::Msi { log2, wide, maskable } => self.install_msi(at, log2, wide, maskable),
                Cap::Msix { vectors } => {
                    self.msix = Some(at);
                    self.occupy(at, 12, 0x11);
                    self.put(at + 2, &(vectors - 1).to_le_bytes());
                    self.put(at + 8, &[0, 0x08]);
                    self.writable(at + 3, &[0xc0]);
                }
                Cap::Express { code, caps, caps2 } => self.install_express(at, code, caps, caps2),
                Cap::Advanced { flr } => {
                    self.advanced = Some(at);
                    self.occupy(at, 6, 0x13);
                    self.put(at + 2, &[6, if flr { 3 } else { 1 }]);
                }
                Cap::Other { id, body } => {
                    let length = match id {
                        0x09 => usize::from(body[0]),
                        0x0d => 8,
                        _ => 2,
                    };
                    self.occupy(at, length, id);
                    self.put(at + 2, body);
                }
            }
        }
    }

    fn occupy(&mut self, at: usize, length: usize, id: u8) {
        self.writable[at..at + length].fill(0);
        self.put(at, &[id]);
    }

    fn power_management(&mut self, at: usize, pmc: u16, no_soft_reset: bool) {
        self.power = Some(at);
        self.occupy(at, 8, 0x01);
        self.put(at + 2, &pmc.to_le_bytes());
        self.put(at + 4, &[u8::from(no_soft_reset) << 3]);
        self.writable(at + 4, &[0x03]);
        if pmc >> 11 != 0 {
            self.writable(at + 5, &[0x1f]);
            self.clearable(at + 5, &[0x80]);
        }
    }

    fn install_msi(&mut self, at: usize, log2: u8, wide: bool, maskable: bool) {
        self.msi = Some(at);
        let length = [[10, 14], [20, 24]][usize::from(maskable)][usize::from(wide)];
        self.occupy(at, length, 0x05);
        self.put(at + 2, &[log2 << 1 | u8::from(wide) << 7, u8::from(maskable)]);
        self.writable(at + 2, &[0x71]);
        self.writable(at + 4, &[0xfc, 0xff, 0xff, 0xff]);
        let data = if wide { at + 12 } else { at + 8 };
        if wide {
            self.writable(at + 8, &[0xff; 4]);
        }
        self.writable(data, &[0xff; 2]);
        if maskable {
            let vectors = u32::MAX >> (32 - (1_u32 << log2));
            self.writable(data + 4, &vectors.to_le_bytes());
            // Pending bits are the device's.
            self.volatile[data + 8..data + 12].copy_from_slice(&vectors.to_le_bytes());
        }
    }

    fn install_express(&mut self, at: usize, code: u8, caps: u32, caps2: u32) {
        self.express = Some(at);
        self.occupy(at, 0x3c, 0x10);
        self.put(at + 2, &[2 | code << 4]);
        self.put(at + 4, &caps.to_le_bytes());
        self.put(at + 0x24, &caps2.to_le_bytes());
        if self.is_qemu() {
            self.writable[at + 0x29] = 0x80;
            return;
        }
        let tags = u8::from(caps & 0x20 != 0) | u8::from(caps & 0x18 != 0) << 1;
        self.writable(at + 8, &[0xff, 0x7c | tags]);
        self.clearable(at + 10, &[0x0f]);
        if code != 9 {
            self.writable(at + 0x10, &[0xcb, 0x01]);
        }
        let mut control = 0;
        for (capable, bits) in [
            (0x0000_000f, 0x000f_u16),
            (0x0000_0010, 0x0010),
            (0x0000_0020, 0x0020),
            (0x0000_0800, 0x0400),
            (0x0002_0000, 0x1000),
            (0x000c_0000, 0x6000),
            (0x0020_0000, 0x8000),
        ] {
            control |= if caps2 & capable != 0 { bits } else { 0 };
        }
        self.writable(at + 0x28, &control.to_le_bytes());
    }

    pub(super) fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub(super) fn dword(&self, at: usize) -> u32 {
        u32::from(self.word(at)) | u32::from(self.word(at + 2)) << 16
    }

    pub(super) fn read(&self, offset: usize, len: usize) -> u32 {
        let mut value = 0;
        for lane in (0..len).rev() {
            value = value << 8 | u32::from(self.bytes.get(offset + lane).copied().unwrap_or(0xff));
        }
        value
    }

    /// Writes, and says whether that reset the function.
    pub(super) fn write(&mut self, offset: usize, len: usize, value: u32) -> bool {
        let old_power = self.power_state();
        let mut reset = false;
        for (at, new) in (offset..(offset + len).min(N)).zip(value.to_le_bytes()) {
            let (old, writable, clearable) = (self.bytes[at], self.writable[at], self.clearable[at]);
            self.bytes[at] = (old & !writable | new & writable) & !(new & clearable);
            let express = self
                .express
                .is_some_and(|e| at == e + 9 && self.bytes[e + 7] & 0x10 != 0);
            let advanced = self.advanced.is_some_and(|a| at == a + 4 && self.bytes[a + 3] & 2 != 0);
            reset |= express && new & 0x80 != 0 || advanced && new & 1 != 0;
        }
        self.limit_vectors();
        if let Some(power) = self.power {
            let new_power = self.power_state();
            let pmc = self.word(power + 2);
            let exists = match new_power {
                1 => pmc & 0x200 != 0,
                2 => pmc & 0x400 != 0,
                _ => true,
            };
            let sinks = new_power == 0 || new_power >= old_power;
            if self.rules != Rules::Qemu7 && !(exists && sinks) {
                self.bytes[power + 4] = self.bytes[power + 4] & 0xfc | old_power;
            }
            let woke = old_power == 3 && self.power_state() == 0;
            reset |= woke && self.rules == Rules::Specification && self.bytes[power + 4] & 8 == 0;
        }
        if reset {
            self.reset();
        } else {
            self.chipset_written(offset, len);
        }
        reset
    }

    pub(super) fn limit_vectors(&mut self) {
        if let Some(msi) = self.msi {
            let control = self.bytes[msi + 2];
            let (enabled, capable) = (control >> 4 & 7, control >> 1 & 7);
            if enabled > capable && (control & 1 != 0 || !self.is_qemu()) {
                self.bytes[msi + 2] = control & 0x8f | capable << 4;
            }
        }
    }

    pub(super) fn reset(&mut self) {
        for at in 0..N {
            self.bytes[at] = self.bytes[at] & !self.volatile[at] | self.initial[at] & self.volatile[at];
        }
        self.intx = false;
        self.chipset_reset();
    }

    pub(super) fn set_intx(&mut self, asserted: bool) {
        self.intx = asserted;
        self.bytes[6] = self.bytes[6] & 0xf7 | u8::from(asserted) << 3;
    }

    pub(super) fn power_state(&self) -> u8 {
        self.power.map_or(0, |power| self.bytes[power + 4] & 3)
    }

    /// Bits of a byte that a saved state may have otherwise than this function.
    pub(super) fn may_differ(&self, at: usize) -> u8 {
        let pending = self
            .msi_masks()
            .is_some_and(|(_, pending)| (pending..pending + 4).contains(&at));
        let device = if at == 6 || pending { self.volatile[at] } else { 0 };
        self.writable[at] | self.clearable[at] | device
    }

    /// Offsets of mask and pending registers, if the MSI capability has them.
    fn msi_masks(&self) -> Option<(usize, usize)> {
        let msi = self.msi?;
        let mask = if self.bytes[msi + 2] & 0x80 != 0 {
            msi + 16
        } else {
            msi + 12
        };
        (self.bytes[msi + 3] & 1 != 0).then_some((mask, mask + 4))
    }

    fn msi_state(&self) -> Option<(bool, u8, u64, u16, u32, u32)> {
        let msi = self.msi?;
        let wide = self.bytes[msi + 2] & 0x80 != 0;
        let upper = if wide { u64::from(self.dword(msi + 8)) << 32 } else { 0 };
        let (masked, pending) = match self.msi_masks() {
            Some((mask, pending)) => (self.dword(mask), self.dword(pending)),
            None => (0, 0),
        };
        Some((
            self.bytes[msi + 2] & 1 != 0,
            1 << (self.bytes[msi + 2] >> 4 & 7).min(5),
            upper | u64::from(self.dword(msi + 4)),
            self.word(if wide { msi + 12 } else { msi + 8 }),
            masked,
            pending,
        ))
    }

    fn message(&self, vector: u8) -> (u64, u32) {
        let (_, vectors, address, data, ..) = self.msi_state().unwrap_or_default();
        let count = u16::from(vectors.max(1));
        (address, u32::from(data / count * count + u16::from(vector)))
    }

    /// The message that goes out, or whether the vector is held.
    pub(super) fn fire_msi(&mut self, vector: u8) -> Result<(u64, u32), bool> {
        let Some((true, vectors, ..)) = self.msi_state() else {
            return Err(false);
        };
        if vector >= vectors {
            return Err(false);
        }
        let (at, bit) = (usize::from(vector / 8), 1 << (vector % 8));
        if let Some((mask, pending)) = self.msi_masks()
            && self.bytes[mask + at] & bit != 0
        {
            self.bytes[pending + at] |= bit;
            return Err(true);
        }
        Ok(self.message(vector))
    }

    pub(super) fn take_pending_msi(&mut self) -> Option<(u64, u32)> {
        let (true, vectors, ..) = self.msi_state()? else {
            return None;
        };
        let (mask, pending) = self.msi_masks()?;
        for vector in 0..vectors {
            let (at, bit) = (usize::from(vector / 8), 1 << (vector % 8));
            if self.bytes[pending + at] & bit != 0 && self.bytes[mask + at] & bit == 0 {
                self.bytes[pending + at] &= !bit;
                return Some(self.message(vector));
            }
        }
        None
    }

    fn map(&self) -> Map {
        let mut map = [None; 7];
        let command = self.bytes[4];
        let asleep = self.power_state() != 0 && self.rules != Rules::Qemu7;
        for &(index, kind, size) in self.shape.bars {
            let at = self.bar_place(index);
            let low = u64::from(self.dword(at));
            let is_io = kind == Kind::Io;
            let space_last = match kind {
                Kind::Io if self.is_qemu() => 0xffff_fffe,
                Kind::Io => 0xffff,
                Kind::Mem64 | Kind::Mem64Pref => u64::MAX - 1,
                Kind::Mem32 | Kind::Mem32Pref | Kind::Rom => 0xffff_fffe,
            };
            let last = match self.shape.memory_last {
                Some(limit) if !is_io => limit.min(space_last),
                _ => space_last,
            };
            let address = if kind.is_wide() {
                u64::from(self.dword(at + 4)) << 32 | low
            } else {
                low
            } & 0_u64.wrapping_sub(size);
            let on = if is_io { command & 1 != 0 } else { command & 2 != 0 };
            let on = on && !asleep && (kind != Kind::Rom || low & 1 != 0);
            if on && address != 0 && u128::from(address) + u128::from(size) - 1 <= u128::from(last) {
                map[usize::from(index)] = Some((is_io, address, size));
            }
        }
        map
    }

    pub(super) fn derived(&self) -> Derived {
        let mut bridge = [0; 24];
        if self.shape.bridge {
            bridge[..6].copy_from_slice(&self.bytes[0x18..0x1e]);
            bridge[6..22].copy_from_slice(&self.bytes[0x20..0x30]);
            bridge[22..].copy_from_slice(&self.bytes[0x3e..0x40]);
        }
        let msi = self.msi_state();
        let msix = self.msix.map(|msix| self.word(msix + 2));
        let messages = msi.is_some_and(|msi| msi.0) || msix.is_some_and(|msix| msix & 0x8000 != 0);
        Derived {
            map: self.map(),
            bus_master: self.bytes[4] & 4 != 0,
            power: self.power_state(),
            msi,
            msix,
            bridge,
            level: self.intx && self.bytes[5] & 4 == 0 && !messages,
            pam: self.pam(),
            smram: self.smram(),
            window: self.window,
        }
    }
}
