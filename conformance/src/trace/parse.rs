// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text of a line to [`Line`]: one pass over the bytes, nothing allocated unless the line is wrong.

use pci_model::Bdf;

use super::hex::{Hex, NO_DIGIT, digit};
use super::line::{Line, Space, Width};

/// Longest label of a section and longest key of a header, in bytes.
const MAX_NAME: usize = 128;
/// How much of a wrong value an error quotes, in bytes.
const MAX_QUOTE: usize = 40;

/// A line that is not of the format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("column {column}: {what}{}{value}", if .value.is_empty() { "" } else { ": " })]
pub struct ParseError {
    /// Where in the line, in bytes from 1.
    pub column: usize,
    /// What is wrong.
    pub what: &'static str,
    /// The offending text, shortened and escaped; empty at the end of the line.
    pub value: String,
}

/// What is left of a line.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    line: &'a [u8],
    rest: &'a [u8],
}

type Parsed<T> = Result<T, ParseError>;

/// Parses a line without its line end.
pub(super) fn line(line: &[u8]) -> Parsed<Line<'_>> {
    let at = |rest| Cursor { line, rest };
    match line {
        [b'r', b' ', rest @ ..] => at(rest).read(),
        [b'w', b' ', rest @ ..] => at(rest).write(),
        [b'r', b's', b' ', rest @ ..] => at(rest).read_string(),
        [b'r', b'b', b' ', rest @ ..] => at(rest).ram_read(),
        [b'w', b'b', b' ', rest @ ..] => at(rest).ram_write(),
        [b'f', b'b', b' ', rest @ ..] => at(rest).ram_fill(),
        [b'p', b' ', rest @ ..] => at(rest).probe(),
        [b'm', b'a', b'p', b' ', rest @ ..] => at(rest).map(),
        [b's', b'e', b'c', b't', b'i', b'o', b'n', b' ', rest @ ..] => at(rest).section(),
        [b'@', rest @ ..] => at(rest).header(),
        [b'#', b' ', rest @ ..] | [b'#', rest @ ..] => Ok(Line::Comment(at(rest).text()?)),
        [] => Ok(Line::Comment("")),
        b"reset" => Ok(Line::Reset),
        [b's', b't', b'e', b'p', b' ', rest @ ..] => at(rest).clock_step(),
        _ => Err(at(line).wrong("not a line of a register trace")),
    }
}

impl<'a> Cursor<'a> {
    /// A cursor behind the key of the header line `line`.
    pub(super) fn header_text(line: &'a [u8], key: &str) -> Self {
        let rest = line.get(key.len() + 2..).unwrap_or_default();
        Self { line, rest }
    }

    /// The field that starts here is wrong.
    #[cold]
    pub(super) fn wrong(&self, what: &'static str) -> ParseError {
        if self.line.ends_with(b"\r") {
            let what = "the line ends in CR LF; lines of a trace end in LF alone";
            return ParseError {
                column: self.line.len(),
                what,
                value: String::new(),
            };
        }
        let column = self.line.len() - self.rest.len() + 1;
        let behind_space = self.line.get(..column - 1).is_some_and(|before| before.ends_with(b" "));
        let (what, column, rest) = match self.rest {
            [b' '] => ("the line ends in a space", column, [].as_slice()),
            [b' ', ..] if behind_space => ("two spaces; fields are separated by exactly one", column, [].as_slice()),
            [b' ', rest @ ..] => (what, column + 1, rest),
            rest => (what, column, rest),
        };
        let field = rest.split(|c| *c == b' ').next().unwrap_or_default();
        let mut value = field.get(..MAX_QUOTE).unwrap_or(field).escape_ascii().to_string();
        if field.len() > MAX_QUOTE {
            value.push('\u{2026}');
        }
        ParseError { column, what, value }
    }

    /// Passes the space between two fields.
    #[inline]
    pub(super) fn space(&mut self, missing: &'static str) -> Parsed<()> {
        match self.rest {
            [b' ', rest @ ..] if !rest.is_empty() => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(self.wrong(missing)),
        }
    }

    #[inline]
    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.wrong("more than this line may hold"))
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the field ends here.
    #[inline]
    const fn is_between(&self) -> bool {
        matches!(self.rest, [] | [b' ', ..])
    }

    /// A number: `0x` and up to 16 hexadecimal digits, or up to 20 decimal ones.
    #[inline]
    pub(super) fn number(&mut self, what: &'static str) -> Parsed<u64> {
        let start = *self;
        let [b'0', b'x', digits @ ..] = self.rest else {
            return self.decimal(what);
        };
        let mut value = 0;
        let mut rest = digits;
        while let [c, tail @ ..] = rest {
            let digit = digit(*c);
            if digit == NO_DIGIT {
                break;
            }
            value = value << 4 | u64::from(digit);
            rest = tail;
        }
        let count = digits.len() - rest.len();
        self.rest = rest;
        if count == 0 || count > 16 || !self.is_between() {
            return Err(start.wrong(what));
        }
        Ok(value)
    }

    #[inline]
    fn decimal(&mut self, what: &'static str) -> Parsed<u64> {
        let start = *self;
        let mut value = Some(0_u64);
        let mut rest = self.rest;
        while let [c @ b'0'..=b'9', tail @ ..] = rest {
            value = value.and_then(|value| value.checked_mul(10)?.checked_add(u64::from(c - b'0')));
            rest = tail;
        }
        let count = start.rest.len() - rest.len();
        self.rest = rest;
        match value {
            Some(value) if (1..=20).contains(&count) && self.is_between() => Ok(value),
            _ => Err(start.wrong(what)),
        }
    }

    /// A number that fits into `T`.
    pub(super) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Parsed<T> {
        let start = *self;
        T::try_from(self.number(what)?).map_err(|_| start.wrong(what))
    }

    /// A field of text without spaces.
    pub(super) fn word(&mut self, what: &'static str) -> Parsed<&'a str> {
        let start = *self;
        let len = self.rest.iter().position(|c| *c == b' ').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        if word.is_empty() || !word.iter().all(u8::is_ascii_graphic) {
            return Err(start.wrong(what));
        }
        self.rest = rest;
        std::str::from_utf8(word).map_err(|_| start.wrong(what))
    }

    /// The rest of the line as text: ASCII without control characters.
    pub(super) fn text(self) -> Parsed<&'a str> {
        if let Some(at) = self.rest.iter().position(|c| !matches!(c, b' '..=b'~')) {
            let rest = self.rest.get(at..).unwrap_or_default();
            return Err(Self { rest, ..self }.wrong("only printable ASCII is allowed"));
        }
        std::str::from_utf8(self.rest).map_err(|_| self.wrong("only printable ASCII is allowed"))
    }

    /// `0x` and two digits for each byte.
    pub(super) fn hex(&mut self) -> Parsed<Hex<'a>> {
        const WHAT: &str = "expected a byte string, 0x and two digits for each byte";
        let start = *self;
        let [b'0', b'x', digits @ ..] = self.rest else {
            return Err(start.wrong(WHAT));
        };
        let len = digits.iter().position(|c| *c == b' ').unwrap_or(digits.len());
        let (digits, rest) = digits.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        Hex::new(digits).ok_or_else(|| start.wrong(WHAT))
    }

    pub(super) fn bdf(&mut self) -> Parsed<Bdf> {
        const WHAT: &str = "expected bus:device.function, such as 00:1f.0";
        let start = *self;
        let word = self.word(WHAT)?;
        // `0000:00:1f.0` is the same function, but not what the format calls it.
        if word.len() > 7 {
            return Err(start.wrong(WHAT));
        }
        word.parse().map_err(|_| start.wrong(WHAT))
    }

    pub(super) fn bar(&mut self) -> Parsed<u8> {
        let start = *self;
        match self.number("expected the number of a BAR, 0 to 6")? {
            bar @ 0..=6 => Ok(u8::try_from(bar).unwrap_or_default()),
            _ => Err(start.wrong("expected the number of a BAR, 0 to 6")),
        }
    }

    #[inline]
    fn width(&mut self) -> Parsed<Width> {
        const WHAT: &str = "expected a width of 1, 2, 4 or 8 bytes";
        let (width, rest) = match self.rest {
            [b'4', rest @ ..] => (Width::B4, rest),
            [b'1', rest @ ..] => (Width::B1, rest),
            [b'2', rest @ ..] => (Width::B2, rest),
            [b'8', rest @ ..] => (Width::B8, rest),
            _ => return Err(self.wrong(WHAT)),
        };
        let start = *self;
        self.rest = rest;
        if !self.is_between() {
            return Err(start.wrong(WHAT));
        }
        Ok(width)
    }

    /// `SPACE ADDR WIDTH `, checked against each other.
    #[inline]
    fn access(&mut self) -> Parsed<(Space, u64, Width)> {
        let (space, rest) = match self.rest {
            [b'c', b'f', b'g', b' ', rest @ ..] => (Space::Cfg, rest),
            [b'i', b'o', b' ', rest @ ..] => (Space::Io, rest),
            [b'm', b'e', b'm', b' ', rest @ ..] => (Space::Mem, rest),
            [b'r', b'a', b'm', b' ', rest @ ..] => (Space::Ram, rest),
            _ => return Err(self.wrong("expected an address space: io, mem, ram or cfg")),
        };
        self.rest = rest;
        let start = *self;
        let addr = self.number("expected an address")?;
        self.space("the width is missing")?;
        let width = self.width()?;
        self.space("the value is missing")?;
        let last = width.last();
        let problem = match space {
            Space::Cfg if addr > 0xff_ffff => "a configuration address has 24 bits",
            Space::Cfg if (addr & 3) + last > 3 => "an access by mechanism #1 stays within a dword",
            Space::Io if addr > 0xffff => "a port has 16 bits",
            Space::Mem | Space::Ram if addr.checked_add(last).is_none() => "the access wraps around",
            _ => return Ok((space, addr, width)),
        };
        Err(start.wrong(problem))
    }

    /// A value that fits into `width`.
    #[inline]
    fn value(&mut self, width: Width, what: &'static str) -> Parsed<u64> {
        let start = *self;
        let value = self.number(what)?;
        if value > width.ones() {
            return Err(start.wrong("wider than the access"));
        }
        Ok(value)
    }

    /// ` MASK` or the end.
    #[inline]
    fn mask(&mut self, width: Width) -> Parsed<Option<u64>> {
        if self.is_at_end() {
            return Ok(None);
        }
        self.space("expected a mask or the end of the line")?;
        let mask = self.value(width, "expected a mask")?;
        self.end()?;
        Ok(Some(mask))
    }

    #[inline]
    fn write(mut self) -> Parsed<Line<'a>> {
        let (space, addr, width) = self.access()?;
        let value = self.value(width, "expected a value")?;
        self.end()?;
        Ok(Line::Write {
            space,
            addr,
            width,
            value,
        })
    }

    #[inline]
    fn read(mut self) -> Parsed<Line<'a>> {
        let (space, addr, width) = self.access()?;
        let value = self.value(width, "expected a value")?;
        let mask = self.mask(width)?;
        Ok(Line::Read {
            space,
            addr,
            width,
            value,
            mask,
        })
    }

    fn probe(mut self) -> Parsed<Line<'a>> {
        let (space, addr, width) = self.access()?;
        let value = self.value(width, "expected a value")?;
        self.space("the function is missing")?;
        let bdf = self.bdf()?;
        self.space("BAR+0xOFFSET or - is missing")?;
        let at = if let [b'-', rest @ ..] = self.rest {
            self.rest = rest;
            None
        } else {
            Some(self.bar_offset()?)
        };
        let mask = self.mask(width)?;
        Ok(Line::Probe {
            space,
            addr,
            width,
            value,
            bdf,
            at,
            mask,
        })
    }

    fn bar_offset(&mut self) -> Parsed<(u8, u64)> {
        let [bar @ b'0'..=b'6', b'+', rest @ ..] = self.rest else {
            return Err(self.wrong("expected BAR+0xOFFSET or -"));
        };
        self.rest = rest;
        Ok((bar - b'0', self.number("expected an offset")?))
    }

    /// The byte string of `len` bytes, and a mask as long.
    fn bytes(&mut self, len: u64, masked: bool) -> Parsed<(Hex<'a>, Option<Hex<'a>>)> {
        const WHAT: &str = "another number of bytes than the line says";
        let fits = |hex: Hex<'_>| u64::try_from(hex.len()) == Ok(len);
        let start = *self;
        let bytes = self.hex()?;
        if !fits(bytes) {
            return Err(start.wrong(WHAT));
        }
        if self.is_at_end() || !masked {
            self.end()?;
            return Ok((bytes, None));
        }
        self.space("expected a mask or the end of the line")?;
        let start = *self;
        let mask = self.hex()?;
        if !fits(mask) {
            return Err(start.wrong(WHAT));
        }
        self.end()?;
        Ok((bytes, Some(mask)))
    }

    fn read_string(mut self) -> Parsed<Line<'a>> {
        let [b'i', b'o', b' ', rest @ ..] = self.rest else {
            return Err(self.wrong("only a port is read as a string: expected io"));
        };
        self.rest = rest;
        let port = self.small("expected a port, at most 0xffff")?;
        self.space("the width is missing")?;
        let width = self.width()?;
        self.space("the count is missing")?;
        let count: u32 = self.small("expected a count")?;
        self.space("the bytes are missing")?;
        let len = u64::from(count) * (width.last() + 1);
        let (bytes, mask) = self.bytes(len, true)?;
        Ok(Line::ReadString {
            port,
            width,
            count,
            bytes,
            mask,
        })
    }

    /// `ram ADDR LEN `
    fn ram_range(&mut self) -> Parsed<(u64, u64)> {
        let [b'r', b'a', b'm', b' ', rest @ ..] = self.rest else {
            return Err(self.wrong("byte strings are of RAM: expected ram"));
        };
        self.rest = rest;
        let addr = self.number("expected an address")?;
        self.space("the length is missing")?;
        let start = *self;
        let len = self.number("expected a length")?;
        if addr.checked_add(len).is_none() {
            return Err(start.wrong("the range wraps around"));
        }
        self.space("the bytes are missing")?;
        Ok((addr, len))
    }

    fn ram_write(mut self) -> Parsed<Line<'a>> {
        let (addr, len) = self.ram_range()?;
        let (bytes, _) = self.bytes(len, false)?;
        Ok(Line::RamWrite { addr, bytes })
    }

    fn ram_read(mut self) -> Parsed<Line<'a>> {
        let (addr, len) = self.ram_range()?;
        let (bytes, mask) = self.bytes(len, true)?;
        Ok(Line::RamRead { addr, bytes, mask })
    }

    fn ram_fill(mut self) -> Parsed<Line<'a>> {
        let (addr, len) = self.ram_range()?;
        let byte = self.small("expected a byte")?;
        self.end()?;
        Ok(Line::RamFill { addr, len, byte })
    }

    fn map(mut self) -> Parsed<Line<'a>> {
        let bdf = self.bdf()?;
        self.space("the BAR is missing")?;
        let bar = self.bar()?;
        self.space("the address is missing")?;
        let addr = if let [b'-', rest @ ..] = self.rest {
            self.rest = rest;
            None
        } else {
            Some(self.number("expected an address or -")?)
        };
        self.space("the size is missing")?;
        let size = self.number("expected a size")?;
        self.end()?;
        Ok(Line::Map { bdf, bar, addr, size })
    }

    fn clock_step(mut self) -> Parsed<Line<'a>> {
        let ns = self.number("expected nanoseconds")?;
        self.end()?;
        Ok(Line::Step { ns })
    }

    /// `NAME` or `NAME text`, with a name of at most 128 characters that `allowed` accepts.
    fn name_and_text(mut self, allowed: fn(&u8) -> bool, what: &'static str) -> Parsed<(&'a str, &'a str)> {
        let start = self;
        let name = self.word(what)?;
        if name.len() > MAX_NAME || !name.as_bytes().iter().all(allowed) {
            return Err(start.wrong(what));
        }
        if let [b' ', rest @ ..] = self.rest {
            self.rest = rest;
        }
        Ok((name, self.text()?))
    }

    fn section(self) -> Parsed<Line<'a>> {
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || b".-_".contains(c);
        let (label, text) = self.name_and_text(allowed, "expected a label of letters, digits, '.', '-' and '_'")?;
        Ok(Line::Section { label, text })
    }

    fn header(self) -> Parsed<Line<'a>> {
        let allowed = |c: &u8| c.is_ascii_alphanumeric() || b"-_".contains(c);
        let (key, text) = self.name_and_text(allowed, "expected a header key of letters, digits, '-' and '_'")?;
        Ok(Line::Header { key, text })
    }
}
