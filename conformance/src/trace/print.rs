// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! [`Line`] to its canonical text.

use std::fmt;

use super::line::{Line, Space, Width};

/// A number as `0x` and at least this many digits.
struct Padded(u64, usize);

impl fmt::Display for Padded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, digits) = *self;
        write!(f, "0x{value:0digits$x}")
    }
}

impl Space {
    /// The name in a trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Mem => "mem",
            Self::Ram => "ram",
            Self::Cfg => "cfg",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Io => 4,
            Self::Mem | Self::Ram => 8,
            Self::Cfg => 6,
        }
    }

    /// An address in this space as a trace writes it.
    pub fn print(self, addr: u64) -> impl fmt::Display {
        Padded(addr, self.digits())
    }
}

impl Width {
    /// A value of this width as a trace writes it.
    pub fn print(self, value: u64) -> impl fmt::Display {
        Padded(value, 2 * self.len())
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name, and a text after it unless it is empty.
fn with_text(f: &mut fmt::Formatter<'_>, head: &str, name: &str, text: &str) -> fmt::Result {
    let space = if text.is_empty() { "" } else { " " };
    write!(f, "{head}{name}{space}{text}")
}

fn with_mask(f: &mut fmt::Formatter<'_>, mask: Option<impl fmt::Display>) -> fmt::Result {
    mask.map_or(Ok(()), |mask| write!(f, " {mask}"))
}

/// The canonical form: lower-case digits, padded to the width of the value and of the address space.
impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Header { key, text } => with_text(f, "@", key, text),
            Self::Comment("") => Ok(()),
            Self::Comment(text) => write!(f, "# {text}"),
            Self::Section { label, text } => with_text(f, "section ", label, text),
            Self::Write {
                space,
                addr,
                width,
                value,
            } => {
                write!(
                    f,
                    "w {space} {} {} {}",
                    space.print(addr),
                    width.len(),
                    width.print(value)
                )
            }
            Self::Read {
                space,
                addr,
                width,
                value,
                mask,
            } => {
                write!(
                    f,
                    "r {space} {} {} {}",
                    space.print(addr),
                    width.len(),
                    width.print(value)
                )?;
                with_mask(f, mask.map(|mask| width.print(mask)))
            }
            Self::ReadString {
                port,
                width,
                count,
                bytes,
                mask,
            } => {
                write!(
                    f,
                    "rs io {} {} {count} {bytes}",
                    Space::Io.print(port.into()),
                    width.len()
                )?;
                with_mask(f, mask)
            }
            Self::RamWrite { addr, bytes } => {
                write!(f, "wb ram {} {} {bytes}", Space::Ram.print(addr), bytes.len())
            }
            Self::RamRead { addr, bytes, mask } => {
                write!(f, "rb ram {} {} {bytes}", Space::Ram.print(addr), bytes.len())?;
                with_mask(f, mask)
            }
            Self::RamFill { addr, len, byte } => {
                write!(f, "fb ram {} {len} 0x{byte:02x}", Space::Ram.print(addr))
            }
            Self::Map {
                bdf,
                bar,
                addr: Some(addr),
                size,
            } => write!(f, "map {bdf} {bar} {addr:#x} {size:#x}"),
            Self::Map {
                bdf,
                bar,
                addr: None,
                size,
            } => write!(f, "map {bdf} {bar} - {size:#x}"),
            Self::Probe {
                space,
                addr,
                width,
                value,
                bdf,
                at,
                mask,
            } => {
                write!(
                    f,
                    "p {space} {} {} {} {bdf}",
                    space.print(addr),
                    width.len(),
                    width.print(value)
                )?;
                match at {
                    Some((bar, offset)) => write!(f, " {bar}+{offset:#x}")?,
                    None => f.write_str(" -")?,
                }
                with_mask(f, mask.map(|mask| width.print(mask)))
            }
            Self::Reset => f.write_str("reset"),
            Self::Step { ns } => write!(f, "step {ns}"),
        }
    }
}
