// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Programmable attribute map: which reads and writes of 0xC0000 to 0xFFFFF reach RAM.
//!
//! ```text
//! PAM0      5:4 F0000..FFFFF
//! PAM1..6   1:0 and 5:4, 16 KiB each from C0000: bit 0 reads come from RAM, bit 1 writes go to RAM
//! ```
//!
//! *Intel 440FX PCIset* (290549), section 3.2.16; *Intel 4 Series Chipset Family* (319970), sections 5.1.19 to 5.1.25.

use crate::registers::Registers;
use crate::rules::Rules;

/// How many PAM registers there are.
pub(crate) const PAM_REGISTERS: u16 = 7;

/// Writable bits of each register.
pub(crate) const PAM_WRITABLE: [u8; 7] = [0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33];

const SEGMENTS: usize = 13;

/// Where reads and writes of a segment go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PamAttribute {
    /// Reads come from RAM, otherwise from PCI.
    pub reads_ram: bool,
    /// Writes go to RAM, otherwise to PCI.
    pub writes_ram: bool,
}

/// One segment of shadow RAM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PamSegment {
    /// First physical address.
    pub start: u32,
    /// Length in bytes: 16 KiB, or 64 KiB for the last.
    pub size: u32,
    /// Where its reads and writes go.
    pub attribute: PamAttribute,
}

/// What the seven PAM registers say. Two are equal if every address is reached alike, whatever reserved bits hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pam {
    attributes: [PamAttribute; SEGMENTS],
}

impl Pam {
    pub(crate) fn read<const N: usize>(registers: &Registers<N>, first: u16, rules: Rules) -> Self {
        let mut pam = Self::default();
        for (index, attribute) in (0..).zip(&mut pam.attributes) {
            let (register, shift) = if index == 12 {
                (0, 4)
            } else {
                (1 + index / 2, 4 * (index % 2))
            };
            *attribute = match registers.u8(first + register) >> shift & 3 {
                // QEMU has no memory that is read from one place and written to another.
                2 if rules.is_qemu() => PamAttribute {
                    reads_ram: true,
                    writes_ram: true,
                },
                bits => PamAttribute {
                    reads_ram: bits & 1 != 0,
                    writes_ram: bits & 2 != 0,
                },
            };
        }
        pam
    }

    /// The 13 segments in rising order of their addresses.
    pub fn segments(&self) -> impl Iterator<Item = PamSegment> + '_ {
        (0_u32..).zip(self.attributes).map(|(index, attribute)| PamSegment {
            start: 0xc_0000 + 0x4000 * index,
            size: if index == 12 { 0x1_0000 } else { 0x4000 },
            attribute,
        })
    }

    /// The attribute at a physical address, or `None` outside of 0xC0000 to 0xFFFFF.
    #[must_use]
    pub fn attribute_at(&self, addr: u64) -> Option<PamAttribute> {
        let offset = addr.checked_sub(0xc_0000).filter(|offset| *offset < 0x4_0000)?;
        let index = usize::try_from(offset >> 14).ok()?.min(SEGMENTS - 1);
        self.attributes.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn pam(registers: [u8; 7]) -> Pam {
        let mut held = Registers::<256>::new();
        held.set(0x59, &registers);
        Pam::read(&held, 0x59, Rules::Specification)
    }

    #[test]
    fn segments_cover_the_range_once() {
        let segments: Vec<_> = pam([0; 7]).segments().collect();
        let mut next = 0xc_0000;
        for segment in &segments {
            assert_eq!(segment.start, next);
            next += segment.size;
        }
        assert_eq!((segments.len(), next), (13, 0x10_0000));
    }

    #[test]
    fn each_field_rules_its_segment_alone() {
        for index in 0..13_usize {
            let (register, shift) = if index == 12 {
                (0, 4)
            } else {
                (1 + index / 2, 4 * (index % 2))
            };
            for bits in 0..4_u8 {
                let mut registers = [0; 7];
                registers[register] = bits << shift;
                let pam = pam(registers);
                for (other, segment) in pam.segments().enumerate() {
                    let bits = if other == index { bits } else { 0 };
                    let expected = PamAttribute {
                        reads_ram: bits & 1 != 0,
                        writes_ram: bits & 2 != 0,
                    };
                    assert_eq!(segment.attribute, expected);
                    for addr in [segment.start, segment.start + segment.size - 1] {
                        assert_eq!(pam.attribute_at(addr.into()), Some(expected));
                    }
                }
            }
        }
        assert_eq!(pam([0; 7]).attribute_at(0xb_ffff), None);
        assert_eq!(pam([0; 7]).attribute_at(0x10_0000), None);
    }
}
