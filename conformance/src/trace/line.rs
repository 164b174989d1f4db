// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One line of a trace, borrowed from its text.

use pci_model::Bdf;

use super::hex::Hex;
use super::parse::{self, ParseError};

/// Where an access goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Space {
    /// I/O ports; the address is the port number.
    Io,
    /// Physical addresses that are, or may be, something else than RAM.
    Mem,
    /// Guest RAM.
    Ram,
    /// Configuration space by mechanism #1; the address is `bus<<16 | device<<11 | function<<8 | register`.
    Cfg,
}

/// Width of an access in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Width {
    /// 8 bits.
    B1,
    /// 16 bits.
    B2,
    /// 32 bits.
    B4,
    /// 64 bits.
    B8,
}

impl Width {
    /// The width of `len` bytes, or `None` unless it is 1, 2, 4 or 8.
    #[must_use]
    pub const fn from_len(len: u64) -> Option<Self> {
        match len {
            1 => Some(Self::B1),
            2 => Some(Self::B2),
            4 => Some(Self::B4),
            8 => Some(Self::B8),
            _ => None,
        }
    }

    /// Length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a width is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::B1 => 1,
            Self::B2 => 2,
            Self::B4 => 4,
            Self::B8 => 8,
        }
    }

    /// Offset of the last byte.
    pub(super) const fn last(self) -> u64 {
        match self {
            Self::B1 => 0,
            Self::B2 => 1,
            Self::B4 => 3,
            Self::B8 => 7,
        }
    }

    /// All bits that fit.
    #[must_use]
    pub const fn ones(self) -> u64 {
        u64::MAX >> (64 - 8 * self.len())
    }
}

/// One line of a trace.
///
/// Values are what a CPU register would hold. A read holds if `(got & mask) == (value & mask)`; no mask means all bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// `@key text`
    Header {
        /// Name of the header.
        key: &'a str,
        /// The rest of the line.
        text: &'a str,
    },
    /// `# text`, or an empty line if the text is empty.
    Comment(&'a str),
    /// `section LABEL text`
    Section {
        /// The rule that the following accesses check, as `area.rule`.
        label: &'a str,
        /// The rule in words.
        text: &'a str,
    },
    /// `w SPACE ADDR WIDTH VALUE`
    Write {
        /// Where.
        space: Space,
        /// Address in `space`.
        addr: u64,
        /// How wide.
        width: Width,
        /// What is written.
        value: u64,
    },
    /// `r SPACE ADDR WIDTH VALUE [MASK]`
    Read {
        /// Where.
        space: Space,
        /// Address in `space`.
        addr: u64,
        /// How wide.
        width: Width,
        /// What the recorded device answered.
        value: u64,
        /// Bits that must hold.
        mask: Option<u64>,
    },
    /// `rs io ADDR WIDTH COUNT BYTES [MASK]`
    ReadString {
        /// Port.
        port: u16,
        /// Width of each access.
        width: Width,
        /// How many accesses.
        count: u32,
        /// The answers one after the other, each little-endian.
        bytes: Hex<'a>,
        /// Bits that must hold, as long as `bytes`.
        mask: Option<Hex<'a>>,
    },
    /// `wb ram ADDR LEN BYTES`
    RamWrite {
        /// Physical address.
        addr: u64,
        /// What is written.
        bytes: Hex<'a>,
    },
    /// `rb ram ADDR LEN BYTES [MASK]`
    RamRead {
        /// Physical address.
        addr: u64,
        /// What RAM must hold.
        bytes: Hex<'a>,
        /// Bits that must hold, as long as `bytes`.
        mask: Option<Hex<'a>>,
    },
    /// `fb ram ADDR LEN BYTE`
    RamFill {
        /// Physical address.
        addr: u64,
        /// How many bytes.
        len: u64,
        /// The byte.
        byte: u8,
    },
    /// `map BDF BAR ADDR SIZE`
    Map {
        /// The function.
        bdf: Bdf,
        /// 0 to 5, or 6 for the ROM.
        bar: u8,
        /// Where the BAR is decoded, or `None` if it is not.
        addr: Option<u64>,
        /// Size in bytes.
        size: u64,
    },
    /// `p SPACE ADDR WIDTH VALUE BDF WHERE [MASK]`
    Probe {
        /// Where.
        space: Space,
        /// Address in `space`.
        addr: u64,
        /// How wide.
        width: Width,
        /// What the recorded device answered.
        value: u64,
        /// The function whose BARs are meant.
        bdf: Bdf,
        /// BAR and offset within it, or `None` if no BAR of the function answers.
        at: Option<(u8, u64)>,
        /// Bits that must hold.
        mask: Option<u64>,
    },
    /// `reset`
    Reset,
    /// `step NS`
    Step {
        /// Nanoseconds by which the virtual clock advances.
        ns: u64,
    },
}

impl<'a> Line<'a> {
    /// Parses one line, without its line end.
    ///
    /// ```
    /// use igd_conformance::trace::{Line, Space, Width};
    ///
    /// let line = Line::parse("w cfg 0x0010fc 4 0x0fffe000")?;
    /// assert_eq!(
    ///     line,
    ///     Line::Write { space: Space::Cfg, addr: 0x10fc, width: Width::B4, value: 0x0fff_e000 }
    /// );
    /// assert_eq!(line.to_string(), "w cfg 0x0010fc 4 0x0fffe000");
    /// # Ok::<(), igd_conformance::trace::ParseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The line is not of the format; the error names the column and the value.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(line: &'a T) -> Result<Self, ParseError> {
        parse::line(line.as_ref())
    }
}
