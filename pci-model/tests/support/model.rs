// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A configuration space as the tables of the specifications word it, a bit at a time.

use pci_model::{BarKind, BarMap, BarRange, BarSpace, ExpressKind};
use proptest::prelude::*;

use crate::shape::{Cap, Shape};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadOnly,
    Writable,
    Clearable,
    /// Changed by the device alone.
    Device,
}

fn kind() -> impl Strategy<Value = (BarKind, u64)> {
    prop_oneof![
        (any::<bool>(), 4_u32..32).prop_map(|(prefetchable, n)| (BarKind::Memory32 { prefetchable }, 1_u64 << n)),
        (any::<bool>(), 4_u32..64).prop_map(|(prefetchable, n)| (BarKind::Memory64 { prefetchable }, 1_u64 << n)),
        (2_u32..17).prop_map(|n| (BarKind::Io, 1_u64 << n)),
    ]
}

fn cap() -> impl Strategy<Value = Cap> {
    let express = prop_oneof![
        Just(ExpressKind::Endpoint),
        Just(ExpressKind::LegacyEndpoint),
        Just(ExpressKind::RootComplexIntegratedEndpoint)
    ];
    prop_oneof![
        (any::<u16>(), any::<bool>()).prop_map(|(pmc, no_soft_reset)| Cap::Power { pmc, no_soft_reset }),
        (0_u8..6, any::<bool>(), any::<bool>()).prop_map(|(log2, wide, maskable)| Cap::Msi { log2, wide, maskable }),
        (1_u16..=2048).prop_map(|vectors| Cap::Msix { vectors }),
        (express, any::<bool>()).prop_map(|(kind, flr)| Cap::Express { kind, flr }),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(Cap::Vendor),
    ]
}

/// Functions that can be built: BARs that do not fit are left out, and so is a second capability of a kind.
pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let bars = proptest::collection::vec(proptest::option::of(kind()), 6);
    let rom = proptest::option::of(11_u32..25);
    let caps = proptest::collection::vec(cap(), 0..6);
    (prop::bool::weighted(0.25), 0_u8..5, bars, rom, caps).prop_map(|(bridge, pin, slots, rom, all)| {
        let mut bars = Vec::new();
        let mut next = 0_u8;
        let registers = if bridge { 2 } else { 6 };
        for (index, slot) in (0_u8..registers).zip(slots) {
            let Some((kind, size)) = slot else { continue };
            let takes = if matches!(kind, BarKind::Memory64 { .. }) { 2 } else { 1 };
            if index < next || index + takes > registers {
                continue;
            }
            next = index + takes;
            bars.push((index, kind, size));
        }
        bars.extend(rom.map(|log2| (6, BarKind::Rom, 1_u64 << log2)));
        let mut caps: Vec<Cap> = Vec::new();
        for cap in all {
            if !caps
                .iter()
                .any(|c| std::mem::discriminant(c) == std::mem::discriminant(&cap))
            {
                caps.push(cap);
            }
        }
        Shape {
            bridge,
            pin,
            bars,
            caps,
        }
    })
}

pub(crate) struct Model {
    shape: Shape,
    access: Vec<[Access; 8]>,
    pub(crate) bytes: Vec<u8>,
    initial: Vec<u8>,
    power: Option<usize>,
    msi: Option<usize>,
    msix: Option<usize>,
    express: Option<usize>,
    intx: bool,
}

impl Model {
    pub(crate) fn new(shape: &Shape, size: usize) -> Self {
        let mut model = Self {
            shape: shape.clone(),
            access: vec![[Access::ReadOnly; 8]; size],
            bytes: vec![0; size],
            initial: Vec::new(),
            power: None,
            msi: None,
            msix: None,
            express: None,
            intx: false,
        };
        model.header();
        model.capabilities();
        model.initial = model.bytes.clone();
        model
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn mark(&mut self, at: usize, mask: u64, access: Access) {
        for bit in (0..64).filter(|bit| mask >> bit & 1 != 0) {
            self.access[at + bit / 8][bit % 8] = access;
        }
    }

    fn rom(&self) -> usize {
        if self.shape.bridge { 0x38 } else { 0x30 }
    }

    fn header(&mut self) {
        self.put(0x00, &[0x86, 0x80, 0x12, 0x19]);
        self.put(0x0b, &[0x03]);
        self.put(0x3d, &[self.shape.pin]);
        self.mark(0x04, 0x0507, Access::Writable);
        self.mark(0x06, 0xf900, Access::Clearable);
        self.mark(0x06, 0x0008, Access::Device);
        self.mark(0x0c, 0xff, Access::Writable);
        self.mark(0x3c, 0xff, Access::Writable);
        if self.shape.bridge {
            self.put(0x0e, &[1]);
            self.put(0x24, &[1, 0, 1, 0]);
            self.mark(0x18, 0xffff_ffff, Access::Writable);
            self.mark(0x1c, 0xf0f0, Access::Writable);
            self.mark(0x1e, 0xf900, Access::Clearable);
            self.mark(0x20, 0xfff0_fff0, Access::Writable);
            self.mark(0x24, 0xfff0_fff0, Access::Writable);
            self.mark(0x28, u64::MAX, Access::Writable);
            self.mark(0x3e, 0x0bff, Access::Writable);
            self.mark(0x3e, 0x0400, Access::Clearable);
        }
        for (index, kind, size) in self.shape.bars.clone() {
            let at = if index == 6 {
                self.rom()
            } else {
                0x10 + 4 * usize::from(index)
            };
            let address = (size - 1) ^ u64::MAX;
            let (flags, mask) = match kind {
                BarKind::Memory32 { prefetchable } => (u8::from(prefetchable) * 8, address & 0xffff_ffff),
                BarKind::Memory64 { prefetchable } => (u8::from(prefetchable) * 8 + 4, address),
                BarKind::Io => (1, address & 0xffff_ffff),
                BarKind::Rom => (0, address & 0xffff_ffff | 1),
            };
            self.put(at, &[flags]);
            self.mark(at, mask, Access::Writable);
        }
    }

    fn capabilities(&mut self) {
        let mut at = 0x40;
        let mut link = 0x34;
        for cap in self.shape.caps.clone() {
            self.put(link, &[u8::try_from(at).unwrap()]);
            self.bytes[0x06] |= 0x10;
            link = at + 1;
            let length = match cap {
                Cap::Power { pmc, no_soft_reset } => {
                    self.power = Some(at);
                    self.put(at, &[0x01]);
                    self.put(at + 2, &pmc.to_le_bytes());
                    self.put(at + 4, &[u8::from(no_soft_reset) * 8]);
                    self.mark(at + 4, 0x0003, Access::Writable);
                    if pmc >> 11 != 0 {
                        self.mark(at + 4, 0x1f00, Access::Writable);
                        self.mark(at + 4, 0x8000, Access::Clearable);
                    }
                    8
                }
                Cap::Msi { log2, wide, maskable } => {
                    self.msi = Some(at);
                    let vectors = (1_u64 << (1 << log2)) - 1;
                    self.put(at, &[0x05]);
                    self.put(at + 2, &[log2 << 1 | u8::from(wide) << 7, u8::from(maskable)]);
                    self.mark(at + 2, 0x71, Access::Writable);
                    self.mark(at + 4, 0xffff_fffc, Access::Writable);
                    let data = if wide {
                        self.mark(at + 8, 0xffff_ffff, Access::Writable);
                        at + 12
                    } else {
                        at + 8
                    };
                    self.mark(data, 0xffff, Access::Writable);
                    if maskable {
                        self.mark(data + 4, vectors, Access::Writable);
                        self.mark(data + 8, vectors, Access::Device);
                    }
                    [[10, 14], [20, 24]][usize::from(maskable)][usize::from(wide)]
                }
                Cap::Msix { vectors } => {
                    self.msix = Some(at);
                    self.put(at, &[0x11]);
                    self.put(at + 2, &(vectors - 1).to_le_bytes());
                    self.put(at + 8, &0x8001_u32.to_le_bytes());
                    self.mark(at + 2, 0xc000, Access::Writable);
                    12
                }
                Cap::Express { kind, flr } => {
                    self.express = Some(at);
                    let code = match kind {
                        ExpressKind::Endpoint => 0x02,
                        ExpressKind::LegacyEndpoint => 0x12,
                        ExpressKind::RootComplexIntegratedEndpoint => 0x92,
                    };
                    self.put(at, &[0x10]);
                    self.put(at + 2, &[code]);
                    self.put(at + 7, &[u8::from(flr) << 4]);
                    self.mark(at + 8, 0x7cff, Access::Writable);
                    self.mark(at + 10, 0x000f, Access::Clearable);
                    if code != 0x92 {
                        self.mark(at + 16, 0x01cb, Access::Writable);
                    }
                    0x3c
                }
                Cap::Vendor(body) => {
                    self.put(at, &[0x09]);
                    self.put(at + 2, &body);
                    body.len() + 2
                }
            };
            at = (at + length).next_multiple_of(4);
        }
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn dword(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn read(&self, offset: usize, len: usize) -> u32 {
        (0..len).fold(0, |value, lane| {
            value | u32::from(self.bytes.get(offset + lane).copied().unwrap_or(0xff)) << (8 * lane)
        })
    }

    /// Writes, and says whether that reset the function.
    pub(crate) fn write(&mut self, offset: usize, len: usize, value: u32) -> bool {
        let old = self.power_state();
        let mut flr = false;
        for (lane, byte) in value.to_le_bytes().into_iter().enumerate().take(len) {
            let at = offset + lane;
            if at >= self.bytes.len() {
                break;
            }
            for bit in 0..8 {
                let one = byte >> bit & 1 != 0;
                match self.access[at][bit] {
                    Access::Writable if one => self.bytes[at] |= 1 << bit,
                    Access::Writable => self.bytes[at] &= !(1 << bit),
                    Access::Clearable if one => self.bytes[at] &= !(1 << bit),
                    Access::Clearable | Access::ReadOnly | Access::Device => {}
                }
            }
            let capable = self.express.is_some_and(|e| self.bytes[e + 7] & 0x10 != 0);
            flr |= capable && self.express.map(|e| e + 9) == Some(at) && byte & 0x80 != 0;
        }
        if let Some(msi) = self.msi {
            let control = self.bytes[msi + 2];
            let capable = control >> 1 & 7;
            if control >> 4 & 7 > capable {
                self.bytes[msi + 2] = control & 0x8f | capable << 4;
            }
        }
        let mut reset = flr;
        if let Some(power) = self.power {
            let new = self.power_state();
            let pmc = self.word(power + 2);
            let exists = [true, pmc & 0x200 != 0, pmc & 0x400 != 0, true][usize::from(new)];
            if !exists || (new != 0 && new < old) {
                self.bytes[power + 4] = self.bytes[power + 4] & 0xfc | old;
            }
            reset |= old == 3 && self.power_state() == 0 && self.bytes[power + 4] & 8 == 0;
        }
        if reset {
            self.reset();
        }
        reset
    }

    pub(crate) fn reset(&mut self) {
        self.bytes = self.initial.clone();
        self.intx = false;
    }

    pub(crate) fn power_state(&self) -> u8 {
        self.power.map_or(0, |power| self.bytes[power + 4] & 3)
    }

    pub(crate) fn set_intx(&mut self, asserted: bool) {
        self.intx = asserted;
        self.bytes[0x06] = self.bytes[0x06] & 0xf7 | u8::from(asserted) << 3;
    }

    pub(crate) fn message_mode(&self) -> (bool, bool) {
        let msi = self.msi.is_some_and(|msi| self.bytes[msi + 2] & 1 != 0);
        let msix = self.msix.is_some_and(|msix| self.bytes[msix + 3] & 0x80 != 0);
        (msi, msix)
    }

    pub(crate) fn intx_level(&self) -> bool {
        self.intx && self.word(0x04) & 0x400 == 0 && self.message_mode() == (false, false)
    }

    pub(crate) fn bus_master(&self) -> bool {
        self.word(0x04) & 4 != 0
    }

    pub(crate) fn msi_bytes(&self) -> Option<&[u8]> {
        self.msi.map(|msi| {
            let length = match (self.bytes[msi + 2] & 0x80 != 0, self.bytes[msi + 3] & 1 != 0) {
                (false, false) => 10,
                (true, false) => 14,
                (false, true) => 20,
                (true, true) => 24,
            };
            &self.bytes[msi..msi + length]
        })
    }

    pub(crate) fn msix_control(&self) -> Option<u16> {
        self.msix.map(|msix| self.word(msix + 2))
    }

    pub(crate) fn bridge_bytes(&self) -> Option<(&[u8], &[u8], &[u8])> {
        let bytes = &self.bytes;
        self.shape
            .bridge
            .then(|| (&bytes[0x18..0x1e], &bytes[0x20..0x30], &bytes[0x3e..0x40]))
    }

    /// Offsets of mask and pending registers, if the MSI capability has them.
    fn msi_masks(&self) -> Option<(usize, usize)> {
        let msi = self.msi?;
        let wide = self.bytes[msi + 2] & 0x80 != 0;
        let mask = msi + if wide { 16 } else { 12 };
        (self.bytes[msi + 3] & 1 != 0).then_some((mask, mask + 4))
    }

    fn message(&self, vector: u8) -> (u64, u32) {
        let msi = self.msi.unwrap();
        let wide = self.bytes[msi + 2] & 0x80 != 0;
        let upper = if wide { u64::from(self.dword(msi + 8)) << 32 } else { 0 };
        let data = self.word(msi + if wide { 12 } else { 8 });
        let count = 1_u16 << (self.bytes[msi + 2] >> 4 & 7);
        let address = upper + u64::from(self.dword(msi + 4));
        (address, u32::from(data / count * count + u16::from(vector)))
    }

    fn msi_vectors(&self) -> u8 {
        self.msi.map_or(0, |msi| 1 << (self.bytes[msi + 2] >> 4 & 7))
    }

    /// The message that goes out, or whether the vector is held.
    pub(crate) fn fire_msi(&mut self, vector: u8) -> Result<(u64, u32), bool> {
        if !self.message_mode().0 || vector >= self.msi_vectors() {
            return Err(false);
        }
        if let Some((mask, pending)) = self.msi_masks()
            && self.bytes[mask + usize::from(vector / 8)] >> (vector % 8) & 1 != 0
        {
            self.bytes[pending + usize::from(vector / 8)] |= 1 << (vector % 8);
            return Err(true);
        }
        Ok(self.message(vector))
    }

    pub(crate) fn take_pending_msi(&mut self) -> Option<(u64, u32)> {
        let (mask, pending) = self.msi_masks().filter(|_| self.message_mode().0)?;
        let vector = (0..self.msi_vectors()).find(|v| {
            let bit = |at: usize| self.bytes[at + usize::from(v / 8)] >> (v % 8) & 1 != 0;
            bit(pending) && !bit(mask)
        })?;
        self.bytes[pending + usize::from(vector / 8)] &= !(1 << (vector % 8));
        Some(self.message(vector))
    }

    pub(crate) fn map(&self) -> BarMap {
        let mut ranges = [None; 7];
        let command = self.word(0x04);
        if self.power_state() != 0 {
            return BarMap::new(ranges);
        }
        for &(index, kind, size) in &self.shape.bars {
            let at = if index == 6 {
                self.rom()
            } else {
                0x10 + 4 * usize::from(index)
            };
            let low = u64::from(self.dword(at));
            let (space, on, address, limit) = match kind {
                BarKind::Io => (BarSpace::Io, command & 1 != 0, low & !3, 0xffff),
                BarKind::Memory32 { .. } => (BarSpace::Memory, command & 2 != 0, low & !15, 0xffff_fffe),
                BarKind::Memory64 { .. } => {
                    let address = u64::from(self.dword(at + 4)) << 32 | low & !15;
                    (BarSpace::Memory, command & 2 != 0, address, u64::MAX - 1)
                }
                BarKind::Rom => (
                    BarSpace::Memory,
                    command & 2 != 0 && low & 1 != 0,
                    low & !0x7ff,
                    0xffff_fffe,
                ),
            };
            let last = u128::from(address) + u128::from(size) - 1;
            if on && address != 0 && last <= u128::from(limit) {
                ranges[usize::from(index)] = BarRange::new(space, address, size);
            }
        }
        BarMap::new(ranges)
    }
}
