// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What becomes of an access that no register takes as it is.

/// What happens to an access that is not aligned to its own width.
///
/// The two rules differ in nothing that a firmware does, and agree on aligned accesses: a register that does not take
/// the width answers zeros and nothing happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AccessRule {
    /// The access reads zeros and has no effect: QEMU 11.1.
    ///
    /// The default: it is what current QEMU does, and no access takes effect in part.
    #[default]
    Refuse,
    /// The access is split into the largest pieces that are aligned within their register, and each is served or
    /// refused by itself: QEMU 7.2. A 16-bit read of the data port is a data byte and 0xFF from port 0x512.
    Split,
}

/// Width of the data register in the memory-mapped layout.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum DataWidth {
    /// 8 bits; wider reads are not served.
    #[default]
    One,
    /// Up to 64 bits, as on QEMU's Arm, RISC-V and `LoongArch` machines.
    Eight,
}

impl DataWidth {
    /// Width in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a width is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::One => 1,
            Self::Eight => 8,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Register {
    /// Ports 0x510 and 0x511: one register for both the selector and data.
    Ports,
    /// Data register of the memory-mapped layout.
    Data,
    /// Selector of the memory-mapped layout.
    Selector,
    /// DMA address.
    Dma,
    /// Nothing.
    Hole,
}

/// A byte of a window: its register and where in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) register: Register,
    pub(crate) offset: u64,
    /// Widest access that reaches the register in one piece, in bytes.
    pub(crate) widest: usize,
}

impl Place {
    /// Bytes of the first piece of an access of `len` bytes that starts here, under [`AccessRule::Split`].
    pub(crate) fn piece(self, len: usize) -> usize {
        let aligned = match self.offset {
            0 => self.widest,
            offset => 1usize
                .checked_shl(offset.trailing_zeros())
                .map_or(self.widest, |align| align.min(self.widest)),
        };
        let fits = len.min(aligned).max(1);
        (1 << fits.ilog2()).min(len)
    }
}

/// Whether [`AccessRule::Refuse`] lets an access of `len` bytes at `offset` reach a register.
pub(crate) fn is_natural(offset: u64, len: usize) -> bool {
    matches!(len, 1 | 2 | 4 | 8) && offset.trailing_zeros() >= len.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_within_their_register() {
        let at = |offset| Place {
            register: Register::Dma,
            offset,
            widest: 4,
        };
        for (offset, len, piece) in [
            (0, 4, 4),
            (0, 3, 2),
            (0, 9, 4),
            (1, 4, 1),
            (2, 4, 2),
            (4, 1, 1),
            (6, 4, 2),
        ] {
            assert_eq!(at(offset).piece(len), piece, "offset {offset} len {len}");
        }
        assert_eq!(at(1 << 63).piece(4), 4);
    }

    #[test]
    fn natural_alignment() {
        for (offset, len, natural) in [(0, 8, true), (4, 4, true), (2, 4, false), (1, 1, true), (3, 2, false)] {
            assert_eq!(is_natural(offset, len), natural, "offset {offset} len {len}");
        }
        assert!(!is_natural(0, 0) && !is_natural(0, 3) && !is_natural(0, 16));
    }
}
