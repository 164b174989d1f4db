// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One access to configuration space: where and how wide.

/// Width of a configuration access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Width {
    /// 8 bits.
    Byte = 0,
    /// 16 bits.
    Word,
    /// 32 bits.
    Dword,
}

impl Width {
    /// The width of an access of `len` bytes, or `None` unless it is 1, 2 or 4.
    #[must_use]
    pub const fn from_len(len: usize) -> Option<Self> {
        match len {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            _ => None,
        }
    }

    /// Length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a width is never empty")]
    pub const fn len(self) -> usize {
        1 << self as u8
    }

    /// All bits that fit: `0xFF`, `0xFFFF` or `0xFFFF_FFFF`.
    #[must_use]
    pub const fn ones(self) -> u32 {
        match self {
            Self::Byte => 0xff,
            Self::Word => 0xffff,
            Self::Dword => 0xffff_ffff,
        }
    }
}

/// Size of the largest configuration space of a function, in bytes.
pub const EXTENDED_CONFIG_SIZE: u16 = 4096;

/// One access to the configuration space of a function.
///
/// Every alignment is allowed; the access lies within 4096 bytes. A function with a smaller space answers ones beyond
/// its end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConfigAccess {
    offset: u16,
    width: Width,
}

impl ConfigAccess {
    /// An access of `width` at `offset`, or `None` if it leaves the 4096 bytes of configuration space.
    #[must_use]
    pub const fn new(offset: u16, width: Width) -> Option<Self> {
        if offset as usize + width.len() > EXTENDED_CONFIG_SIZE as usize {
            return None;
        }
        Some(Self { offset, width })
    }

    /// First byte of the access.
    #[must_use]
    pub const fn offset(self) -> u16 {
        self.offset
    }

    /// Width of the access.
    #[must_use]
    pub const fn width(self) -> Width {
        self.width
    }

    /// The offset one past the last byte.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "`new` keeps the end within 4096")]
    pub const fn end(self) -> u16 {
        self.offset + self.width.len() as u16
    }

    /// Whether the access is aligned to its own width, and so lies within one dword.
    #[inline]
    pub(crate) const fn is_aligned(self) -> bool {
        self.offset as usize & (self.width.len() - 1) == 0
    }

    /// Whether the access touches any byte of `start..end`.
    #[must_use]
    pub const fn overlaps(self, start: u16, end: u16) -> bool {
        self.offset < end && start < self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_overlap() {
        let word = ConfigAccess::new(0x10, Width::Word).unwrap();
        for (start, end, expected) in [
            (0x0f, 0x10, false),
            (0x0f, 0x11, true),
            (0x11, 0x12, true),
            (0x12, 0x14, false),
            (0x00, 0x40, true),
        ] {
            assert_eq!(word.overlaps(start, end), expected, "{start:#x}..{end:#x}");
        }
    }

    #[test]
    fn an_aligned_access_lies_within_one_dword() {
        for (width, aligned) in [
            (Width::Byte, [true; 4]),
            (Width::Word, [true, false, true, false]),
            (Width::Dword, [true, false, false, false]),
        ] {
            let found = [0x40, 0x41, 0x42, 0x43].map(|offset| ConfigAccess::new(offset, width).unwrap().is_aligned());
            assert_eq!(found, aligned, "{width:?}");
        }
    }
}
