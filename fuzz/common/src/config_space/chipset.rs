// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of fixed arrays; an index outside is a broken oracle"
)]
//! What the host bridges add to the naive model: shadow RAM, system management RAM, the configuration window.

use pci_model::Rules;

use super::model::Model;

/// Which bridge a function is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chipset {
    None,
    I440Fx { ram_units: u8 },
    Q35 { ext_tseg_mib: u16 },
}

impl<const N: usize> Model<N> {
    fn pam_place(&self) -> Option<usize> {
        match self.chipset {
            Chipset::None => None,
            Chipset::I440Fx { .. } => Some(0x59),
            Chipset::Q35 { .. } => Some(0x90),
        }
    }

    pub(super) fn install_chipset(&mut self) {
        let Some(pam) = self.pam_place() else { return };
        let ids = if pam == 0x59 { [0x37, 0x12] } else { [0xc0, 0x29] };
        self.put(2, &ids);
        self.put(8, &[if pam == 0x59 { 2 } else { 0 }, 0, 0, 6]);
        if !self.is_qemu() {
            self.writable(pam, &[0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
        }
        match self.chipset {
            Chipset::None => {}
            Chipset::I440Fx { ram_units } => {
                self.put(0x57, &[ram_units]);
                self.put(0x72, &[0x02]);
            }
            Chipset::Q35 { ext_tseg_mib } => {
                self.put(0x50, &ext_tseg_mib.to_le_bytes());
                self.put(0x60, &[0, 0, 0, 0xb0, 0, 0, 0, 0]);
                let mask = if self.is_qemu() {
                    [0xff; 8]
                } else {
                    [0x07, 0, 0, 0xfc, 0x0f, 0, 0, 0]
                };
                self.writable(0x60, &mask);
                self.put(0x9c, &[0x00, 0x02, 0x38]);
            }
        }
        self.unlock();
    }

    /// The masks of registers that lock themselves, as after a reset.
    pub(super) fn unlock(&mut self) {
        match self.chipset {
            Chipset::None => {}
            Chipset::I440Fx { .. } => {
                if !self.is_qemu() {
                    self.writable(0x72, &[0x78]);
                }
            }
            Chipset::Q35 { ext_tseg_mib } => {
                let answers = if self.is_qemu() || ext_tseg_mib != 0 { 0xff } else { 0 };
                self.writable(0x50, &[answers; 2]);
                self.writable(0x9c, &[answers, 0x78, 0x87]);
                self.volatile[0x50..0x52].fill(0xff);
                self.volatile[0x9c] = 0xff;
            }
        }
    }

    /// What a write to `len` bytes at `offset` does beyond storing them.
    pub(super) fn chipset_written(&mut self, offset: usize, len: usize) {
        let reached = |first: usize, last: usize| offset <= last && offset + len > first;
        match self.chipset {
            Chipset::None => {}
            Chipset::I440Fx { .. } => {
                if !self.is_qemu() && self.bytes[0x72] & 0x10 != 0 {
                    self.bytes[0x72] &= !0x40;
                    self.writable[0x72] = 0;
                }
            }
            Chipset::Q35 { ext_tseg_mib } => {
                if reached(0x60, 0x67) {
                    self.move_window();
                }
                if reached(0x50, 0x51) && self.word(0x50) == 0xffff {
                    self.bytes[0x50..0x52].copy_from_slice(&ext_tseg_mib.to_le_bytes());
                }
                if reached(0x9c, 0x9c) {
                    self.answer_smbase();
                }
                self.lock_q35();
            }
        }
    }

    fn lock_q35(&mut self) {
        if self.bytes[0x9d] & 0x10 != 0 {
            self.bytes[0x9d] &= !0x40;
            self.writable[0x9d] = 0x20;
            self.writable[0x9e] = 0;
        }
    }

    fn answer_smbase(&mut self) {
        let unqueried = self.writable[0x9c] == 0xff;
        let byte = &mut self.bytes[0x9c];
        if unqueried && *byte == 0xff {
            *byte = 0x01;
        } else if unqueried && self.rules == Rules::Qemu7 {
            *byte = 0;
        } else if *byte & 2 != 0 {
            *byte = 2;
        }
        match *byte {
            1 => self.writable[0x9c] = 2,
            2 => self.writable[0x9c] = 0,
            _ => {}
        }
    }

    fn move_window(&mut self) {
        let value = u64::from(self.dword(0x64)) << 32 | u64::from(self.dword(0x60));
        let mut base_bits = bits_of(28..36);
        let more: &[u32] = match (value >> 1 & 3, self.is_qemu()) {
            (1, false) => &[27],
            (2, false) => &[26, 27],
            (1, true) => &[25, 26],
            (2, true) => &[25],
            _ => &[],
        };
        for bit in more {
            base_bits |= 1 << bit;
        }
        let size = match value >> 1 & 3 {
            0 => 256 << 20,
            1 => 128 << 20,
            2 => 64 << 20,
            _ => return,
        };
        self.window = (value & 1 != 0).then_some((value & base_bits, size));
    }

    pub(super) fn chipset_reset(&mut self) {
        self.unlock();
        if matches!(self.chipset, Chipset::Q35 { .. }) {
            self.window = None;
        }
    }

    /// Two bits for each of the 13 segments: reads from RAM, writes to RAM.
    pub(super) fn pam(&self) -> [u8; 13] {
        let mut segments = [0; 13];
        let Some(pam) = self.pam_place() else {
            return segments;
        };
        for (index, segment) in segments.iter_mut().enumerate() {
            let bits = match index {
                12 => self.bytes[pam] >> 4,
                even if even % 2 == 0 => self.bytes[pam + 1 + index / 2],
                _ => self.bytes[pam + 1 + index / 2] >> 4,
            };
            *segment = match bits & 3 {
                2 if self.is_qemu() => 3,
                bits => bits,
            };
        }
        segments
    }

    /// SMRAM's four bits, the size of TSEG in bytes, and what SMBASE answers.
    pub(super) fn smram(&self) -> (u8, Option<u64>, u8) {
        match self.chipset {
            Chipset::None => (0, None, 0),
            Chipset::I440Fx { .. } => (self.bytes[0x72] & 0x78, None, 0),
            Chipset::Q35 { ext_tseg_mib } => {
                let mib = [1, 2, 8, u64::from(ext_tseg_mib)][usize::from(self.bytes[0x9e] >> 1 & 3)];
                let on = self.bytes[0x9e] & 1 != 0 && mib != 0;
                (self.bytes[0x9d] & 0x78, on.then_some(mib << 20), self.bytes[0x9c])
            }
        }
    }
}

fn bits_of(bits: std::ops::Range<u32>) -> u64 {
    bits.fold(0, |all, bit| all | 1 << bit)
}
