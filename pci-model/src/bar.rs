// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Base address registers: kinds, sizes, masks and the rules of decoding.

use crate::bar_map::{BarSpace, Bits};
use crate::registers::Registers;
use crate::rules::Rules;
use crate::spec;

/// Index of the expansion ROM among the BARs of a function.
pub const ROM: u8 = 6;

/// How many BARs a function can have, the expansion ROM included.
pub const BAR_COUNT: usize = 7;

/// Kind of a base address register.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BarKind {
    /// 32-bit memory.
    Memory32 {
        /// Whether reads have no side effects.
        prefetchable: bool,
    },
    /// 64-bit memory: takes this register and the next.
    Memory64 {
        /// Whether reads have no side effects.
        prefetchable: bool,
    },
    /// I/O ports.
    Io,
    /// Expansion ROM, with an enable bit of its own.
    Rom,
}

/// A base address register: kind and size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Bar {
    kind: BarKind,
    size: u64,
}

/// A base address register that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BarError {
    /// The size is no power of two.
    #[error("a BAR of {size:#x} bytes: the size must be a power of two")]
    NotPowerOfTwo {
        /// The size asked for.
        size: u64,
    },
    /// The size is outside of what the kind can have.
    #[error("a BAR of {size:#x} bytes: its kind takes {min:#x} to {max:#x}")]
    Size {
        /// The size asked for.
        size: u64,
        /// Smallest size of the kind.
        min: u64,
        /// Largest size of the kind.
        max: u64,
    },
    /// The register does not exist, or not for this kind.
    #[error("BAR{index} cannot be of kind {kind:?}")]
    Index {
        /// The register asked for.
        index: u8,
        /// The kind asked for.
        kind: BarKind,
    },
    /// The register is taken, perhaps as the upper half of the one before.
    #[error("BAR{index} is already taken")]
    Taken {
        /// The register asked for.
        index: u8,
    },
}

impl Bar {
    /// A BAR of `size` bytes.
    ///
    /// # Errors
    ///
    /// The size is no power of two, or not between 16 bytes and 2 GiB (32-bit memory), 16 bytes and 2^63 (64-bit
    /// memory), 4 bytes and 64 KiB (I/O), 2 KiB and 16 MiB (ROM).
    pub const fn new(kind: BarKind, size: u64) -> Result<Self, BarError> {
        let (min, max) = match kind {
            BarKind::Memory32 { .. } => (16, 1 << 31),
            BarKind::Memory64 { .. } => (16, 1 << 63),
            BarKind::Io => (4, 1 << 16),
            BarKind::Rom => (2 << 10, 16 << 20),
        };
        if !size.is_power_of_two() {
            return Err(BarError::NotPowerOfTwo { size });
        }
        if size < min || size > max {
            return Err(BarError::Size { size, min, max });
        }
        Ok(Self { kind, size })
    }

    /// Kind of the register.
    #[must_use]
    pub const fn kind(self) -> BarKind {
        self.kind
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.size
    }

    /// The read-only type bits.
    #[must_use]
    pub const fn flags(self) -> u8 {
        match self.kind {
            BarKind::Memory32 { prefetchable } => (prefetchable as u8) << 3,
            BarKind::Memory64 { prefetchable } => (prefetchable as u8) << 3 | 0b100,
            BarKind::Io => 1,
            BarKind::Rom => 0,
        }
    }

    /// The bits that software writes: the address above the size, and the enable bit of a ROM.
    #[must_use]
    pub const fn writable(self) -> u64 {
        let address = !(self.size - 1);
        match self.kind {
            BarKind::Memory64 { .. } => address,
            BarKind::Memory32 { .. } | BarKind::Io => address & 0xffff_ffff,
            BarKind::Rom => address & 0xffff_ffff | 1,
        }
    }

    /// The address space it is decoded in.
    #[must_use]
    pub(crate) const fn space(self) -> BarSpace {
        match self.kind {
            BarKind::Io => BarSpace::Io,
            BarKind::Memory32 { .. } | BarKind::Memory64 { .. } | BarKind::Rom => BarSpace::Memory,
        }
    }

    /// Whether it takes two registers.
    #[must_use]
    pub const fn is_64bit(self) -> bool {
        matches!(self.kind, BarKind::Memory64 { .. })
    }
}

/// The BARs of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bars {
    bars: [Option<Bar>; BAR_COUNT],
    /// Which of them there are, as bits.
    present: u8,
}

impl Bars {
    /// No BAR.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bars: [None; BAR_COUNT],
            present: 0,
        }
    }

    /// Adds a BAR: `index` is 0 to 5, or 6 for the ROM.
    ///
    /// # Errors
    ///
    /// The register does not exist, is of the wrong kind, or is taken.
    pub fn insert(&mut self, index: u8, bar: Bar) -> Result<(), BarError> {
        let is_rom = bar.kind == BarKind::Rom;
        let last = if bar.is_64bit() { 4 } else { 5 };
        if is_rom != (index == ROM) || (!is_rom && index > last) {
            return Err(BarError::Index { index, kind: bar.kind });
        }
        let upper_taken = bar.is_64bit() && self.get(index + 1).is_some();
        let is_upper = index != ROM && index > 0 && self.get(index - 1).is_some_and(Bar::is_64bit);
        match self.bars.get_mut(usize::from(index)) {
            Some(slot @ None) if !upper_taken && !is_upper => {
                *slot = Some(bar);
                self.present |= 1 << index;
                Ok(())
            }
            _ => Err(BarError::Taken { index }),
        }
    }

    /// The BAR in register `index`, if there is one that starts there.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u8) -> Option<Bar> {
        self.bars.get(usize::from(index)).copied().flatten()
    }

    /// Index and BAR, in rising order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u8, Bar)> + '_ {
        Bits(self.present).filter_map(|index| Some((index, self.get(index)?)))
    }
}

/// Which part of the address space a machine lets BARs be decoded in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DecodeLimits {
    /// The last physical address.
    pub memory_last: u64,
    /// The last I/O port.
    pub io_last: u32,
}

impl DecodeLimits {
    /// What a machine without particular limits decodes under `rules`: all but the last byte of the 64-bit space, and
    /// ports up to `0xFFFF` (QEMU: up to `0xFFFF_FFFE`).
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            memory_last: u64::MAX - 1,
            io_last: if rules.is_qemu() { u32::MAX - 1 } else { 0xffff },
        }
    }
}

impl Bar {
    /// Where the BAR is decoded if its registers hold `value` and decoding is on, or `None`.
    ///
    /// Address 0 is not decoded, nor a range that wraps, ends at the last address of its space, or leaves `limits`.
    #[must_use]
    #[inline]
    pub const fn decode(self, value: u64, limits: &DecodeLimits) -> Option<u64> {
        let start = value & !(self.size - 1);
        let Some(last) = start.checked_add(self.size - 1) else {
            return None;
        };
        if start == 0 || last > self.limit(limits) {
            None
        } else {
            Some(start)
        }
    }

    /// The last address that a range of its kind may have.
    const fn limit(self, limits: &DecodeLimits) -> u64 {
        match self.kind {
            BarKind::Memory64 { .. } => limits.memory_last,
            BarKind::Io => limits.io_last as u64,
            BarKind::Memory32 { .. } | BarKind::Rom => {
                if limits.memory_last < 0xffff_fffe {
                    limits.memory_last
                } else {
                    0xffff_fffe
                }
            }
        }
    }
}

/// Offset of the register of a BAR in a header.
#[must_use]
pub(crate) const fn register_offset(index: u8, rom_offset: u16) -> u16 {
    if index == ROM {
        rom_offset
    } else {
        spec::BAR0 + 4 * index as u16
    }
}

/// A BAR as its decoder sees it: what of [`Bar::decode`] does not depend on the registers is done once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Decoder {
    /// The address in the eight bytes from the register on.
    address: u64,
    /// The highest address at which the range ends within the limits; 0, which is never decoded, if there is none.
    last_start: u64,
    /// Offset of the register.
    at: u16,
    /// Bits that must be set: the enable bit of a ROM.
    enable: u8,
}

impl Decoder {
    /// The decoder of a BAR whose register is at offset `at`.
    pub(crate) const fn new(bar: Bar, at: u16, limits: &DecodeLimits) -> Self {
        let is_rom = matches!(bar.kind, BarKind::Rom);
        Self {
            address: bar.writable() & !(bar.size - 1),
            last_start: bar.limit(limits).saturating_sub(bar.size - 1),
            at,
            enable: is_rom as u8,
        }
    }

    /// Where the registers place the BAR, or `None` if they hold no address at which it is decoded.
    #[inline]
    pub(crate) fn place<const N: usize>(&self, registers: &Registers<N>) -> Option<u64> {
        let value = registers.u64(self.at);
        let start = value & self.address;
        let [flags, ..] = value.to_le_bytes();
        let is_decoded = start != 0 && start <= self.last_start && !flags & self.enable == 0;
        is_decoded.then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEM32: BarKind = BarKind::Memory32 { prefetchable: false };
    const MEM64: BarKind = BarKind::Memory64 { prefetchable: true };

    #[test]
    fn sizes_outside_of_the_kind_are_refused() {
        assert_eq!(
            Bar::new(MEM32, 8),
            Err(BarError::Size {
                size: 8,
                min: 16,
                max: 1 << 31
            })
        );
        assert_eq!(Bar::new(MEM32, 0), Err(BarError::NotPowerOfTwo { size: 0 }));
        assert_eq!(Bar::new(MEM32, 0x1800), Err(BarError::NotPowerOfTwo { size: 0x1800 }));
        assert!(Bar::new(MEM32, 1 << 32).is_err());
        assert!(Bar::new(BarKind::Io, 2).is_err());
        assert!(Bar::new(BarKind::Rom, 1024).is_err());
        assert!(Bar::new(MEM64, 1 << 63).is_ok());
    }

    #[test]
    fn a_64_bit_bar_takes_two_registers() {
        let mut bars = Bars::new();
        let wide = Bar::new(MEM64, 0x1000).unwrap();
        let narrow = Bar::new(MEM32, 0x1000).unwrap();
        let rom = Bar::new(BarKind::Rom, 0x1000).unwrap();
        assert_eq!(bars.insert(5, wide), Err(BarError::Index { index: 5, kind: MEM64 }));
        bars.insert(2, wide).unwrap();
        assert_eq!(bars.insert(3, narrow), Err(BarError::Taken { index: 3 }));
        assert_eq!(bars.insert(1, wide), Err(BarError::Taken { index: 1 }));
        assert_eq!(bars.insert(6, narrow), Err(BarError::Index { index: 6, kind: MEM32 }));
        assert_eq!(
            bars.insert(0, rom),
            Err(BarError::Index {
                index: 0,
                kind: BarKind::Rom
            })
        );
        assert_eq!(bars.insert(9, narrow), Err(BarError::Index { index: 9, kind: MEM32 }));
        bars.insert(4, wide).unwrap();
        bars.insert(6, rom).unwrap();
        assert!(bars.iter().map(|(i, _)| i).eq([2, 4, 6]));
    }

    proptest! {
        #[test]
        fn a_decoder_decodes_as_its_bar(
            kind in prop_oneof![Just(MEM32), Just(MEM64), Just(BarKind::Io), Just(BarKind::Rom)],
            size in 0_u32..64,
            value in prop_oneof![any::<u64>(), any::<u32>().prop_map(u64::from), (0_u32..64).prop_map(|bit| !0 << bit)],
            memory_last in prop_oneof![Just(u64::MAX - 1), any::<u32>().prop_map(u64::from), any::<u64>()],
            rules in prop_oneof![Just(Rules::Specification), Just(Rules::Qemu11)],
        ) {
            let limits = DecodeLimits { memory_last, ..DecodeLimits::new(rules) };
            let Ok(bar) = Bar::new(kind, 1 << size) else { return Ok(()) };
            let mut registers = Registers::<256>::new();
            registers.set(spec::BAR0, &value.to_le_bytes());
            let expected = match bar.is_64bit() {
                true => bar.decode(value, &limits),
                false => bar.decode(value & 0xffff_ffff, &limits),
            };
            let expected = expected.filter(|_| kind != BarKind::Rom || value & 1 != 0);
            prop_assert_eq!(Decoder::new(bar, spec::BAR0, &limits).place(&registers), expected);
        }
    }

    #[test]
    fn decode_follows_the_rules() {
        let limits = DecodeLimits::new(Rules::Specification);
        let narrow = Bar::new(MEM32, 0x1000).unwrap();
        assert_eq!(narrow.decode(0, &limits), None);
        assert_eq!(narrow.decode(0xffff_f000, &limits), None);
        assert_eq!(narrow.decode(0xffff_e000, &limits), Some(0xffff_e000));
        let wide = Bar::new(MEM64, 0x4000).unwrap();
        assert_eq!(wide.decode(0xffff_c000, &limits), Some(0xffff_c000));
        assert_eq!(wide.decode(u64::MAX, &limits), None);
        assert_eq!(wide.decode(1 << 63, &limits), Some(1 << 63));
        let narrow_machine = DecodeLimits {
            memory_last: (1 << 39) - 1,
            ..limits
        };
        assert_eq!(wide.decode(1 << 39, &narrow_machine), None);
        assert_eq!(
            wide.decode((1 << 39) - 0x4000, &narrow_machine),
            Some((1 << 39) - 0x4000)
        );
        let small_machine = DecodeLimits {
            memory_last: 0x7fff_ffff,
            ..limits
        };
        assert_eq!(narrow.decode(0x8000_0000, &small_machine), None);
        assert_eq!(narrow.decode(0x7fff_f000, &small_machine), Some(0x7fff_f000));
        let io = Bar::new(BarKind::Io, 0x40).unwrap();
        assert_eq!(io.decode(0xffc1, &limits), Some(0xffc0));
        assert_eq!(io.decode(0x1_0001, &limits), None);
        assert_eq!(io.decode(0x1_0001, &DecodeLimits::new(Rules::Qemu11)), Some(0x1_0000));
        assert_eq!(io.decode(0xffff_ffc1, &DecodeLimits::new(Rules::Qemu11)), None);
    }
}
