// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The qtest line protocol.

use std::fmt::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::connection::{Connection, ConnectionError, shorten};
use crate::trace::{Space, Width};

/// Bytes of guest RAM in one command.
const BLOCK: usize = 4096;
/// Longest answer: a block as hexadecimal digits after `OK 0x`, with room to spare.
const LINE_LIMIT: usize = 3 * BLOCK;
/// Commands that are sent before their answers are read; both fit into a socket's buffers.
const BATCH: usize = 256;
/// Bytes that one `memset` fills; QEMU holds as many in memory.
const FILL: u64 = 1 << 20;
/// QEMU ends itself when an access leaves the physical address space; no x86 processor has more than 52 bits.
const PHYSICAL_END: u64 = 1 << 52;

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u64 = 1 << 31;

/// A client of the qtest protocol.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
}

impl Client {
    pub(crate) fn new(stream: UnixStream, timeout: Duration) -> Result<Self, ConnectionError> {
        Ok(Self {
            connection: Connection::new(stream, "qtest", timeout, LINE_LIMIT)?,
        })
    }

    /// Reads `width` bytes.
    pub(crate) fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, ConnectionError> {
        match space {
            Space::Io => {
                let port = check_port(addr, width)?;
                self.number(&format!("in{} {port:#x}", letter(width)), width)
            }
            Space::Mem | Space::Ram => {
                check_physical(addr, width.len())?;
                self.number(&format!("read{} {addr:#x}", letter(width)), width)
            }
            Space::Cfg => {
                let (select, port) = config_ports(addr, width)?;
                let read = format!("in{} {port:#x}", letter(width));
                self.send([&select, &read])?;
                let selected = self.done(&select);
                let value = self
                    .answer(&read)
                    .and_then(|answer| parse_number(&read, &answer, width));
                selected.and(value)
            }
        }
    }

    /// Writes `width` bytes.
    pub(crate) fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), ConnectionError> {
        let value = value & width.ones();
        match space {
            Space::Io => {
                let port = check_port(addr, width)?;
                self.order(&format!("out{} {port:#x} {value:#x}", letter(width)))
            }
            Space::Mem | Space::Ram => {
                check_physical(addr, width.len())?;
                self.order(&format!("write{} {addr:#x} {value:#x}", letter(width)))
            }
            Space::Cfg => {
                let (select, port) = config_ports(addr, width)?;
                let write = format!("out{} {port:#x} {value:#x}", letter(width));
                self.send([&select, &write])?;
                let selected = self.done(&select);
                let written = self.done(&write);
                selected.and(written)
            }
        }
    }

    /// Reads a port `out.len() / width` times; each answer is stored little-endian.
    pub(crate) fn read_string(&mut self, port: u16, width: Width, out: &mut [u8]) -> Result<(), ConnectionError> {
        let port = check_port(u64::from(port), width)?;
        let command = format!("in{} {port:#x}", letter(width));
        for batch in out.chunks_mut(BATCH * width.len()) {
            let count = batch.len().div_ceil(width.len());
            self.send(std::iter::repeat_n(&command, count))?;
            let mut first = Ok(());
            for item in batch.chunks_mut(width.len()) {
                match self
                    .answer(&command)
                    .and_then(|answer| parse_number(&command, &answer, width))
                {
                    Ok(value) => {
                        for (to, from) in item.iter_mut().zip(value.to_le_bytes()) {
                            *to = from;
                        }
                    }
                    Err(error) => first = first.and(Err(error)),
                }
            }
            first?;
        }
        Ok(())
    }

    /// Reads memory.
    pub(crate) fn read_bytes(&mut self, addr: u64, out: &mut [u8]) -> Result<(), ConnectionError> {
        check_physical(addr, out.len())?;
        for (at, block) in (addr..).step_by(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let command = format!("read {at:#x} {:#x}", block.len());
            self.send([&command])?;
            let answer = self.answer(&command)?;
            parse_bytes(&answer, block).ok_or_else(|| malformed(&command, &answer, "that many bytes"))?;
        }
        Ok(())
    }

    /// Writes memory.
    pub(crate) fn write_bytes(&mut self, addr: u64, bytes: &[u8]) -> Result<(), ConnectionError> {
        check_physical(addr, bytes.len())?;
        for (at, block) in (addr..).step_by(BLOCK).zip(bytes.chunks(BLOCK)) {
            self.order(&format!("write {at:#x} {:#x} 0x{}", block.len(), hex(block)))?;
        }
        Ok(())
    }

    /// Fills memory with one byte.
    pub(crate) fn fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), ConnectionError> {
        check_physical(addr, usize::try_from(len).unwrap_or(usize::MAX))?;
        let (mut at, mut left) = (addr, len);
        while left > 0 {
            let size = left.min(FILL);
            self.order(&format!("memset {at:#x} {size:#x} {byte:#x}"))?;
            at += size;
            left -= size;
        }
        Ok(())
    }

    /// Advances the virtual clock.
    pub(crate) fn clock_step(&mut self, ns: u64) -> Result<(), ConnectionError> {
        self.order(&format!("clock_step {ns}"))
    }

    fn number(&mut self, command: &str, width: Width) -> Result<u64, ConnectionError> {
        self.send([command])?;
        let answer = self.answer(command)?;
        parse_number(command, &answer, width)
    }

    fn order(&mut self, command: &str) -> Result<(), ConnectionError> {
        self.send([command])?;
        self.done(command)
    }

    fn done(&mut self, command: &str) -> Result<(), ConnectionError> {
        self.answer(command).map(drop)
    }

    fn send<T: AsRef<str>>(&mut self, commands: impl IntoIterator<Item = T>) -> Result<(), ConnectionError> {
        let mut text = String::new();
        for command in commands {
            text.push_str(command.as_ref());
            text.push('\n');
        }
        self.connection.send(text.as_bytes())
    }

    /// The text after `OK`. Interrupt notices may come at any time.
    fn answer(&mut self, command: &str) -> Result<String, ConnectionError> {
        let deadline = self.connection.deadline();
        loop {
            let line = self.connection.line(deadline)?;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "OK" => return Ok(rest.trim().to_owned()),
                "IRQ" => {}
                "FAIL" | "ERR" => {
                    return Err(ConnectionError::Refused {
                        peer: self.connection.peer(),
                        command: shorten(command),
                        answer: shorten(line),
                    });
                }
                _ => return Err(malformed(command, line, "OK or FAIL")),
            }
        }
    }
}

fn letter(width: Width) -> char {
    match width {
        Width::B1 => 'b',
        Width::B2 => 'w',
        Width::B4 => 'l',
        Width::B8 => 'q',
    }
}

/// Lower-case digits of `bytes`, in address order.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn check_port(addr: u64, width: Width) -> Result<u16, ConnectionError> {
    let port = u16::try_from(addr)
        .map_err(|_| ConnectionError::Unsupported(format!("port {addr:#x} is above 0xffff, which would end QEMU")))?;
    if width == Width::B8 {
        return Err(ConnectionError::Unsupported(format!(
            "port {port:#x}: no port access is 8 bytes wide"
        )));
    }
    Ok(port)
}

fn check_physical(addr: u64, len: usize) -> Result<(), ConnectionError> {
    let end = u64::try_from(len).ok().and_then(|len| addr.checked_add(len));
    if end.is_none_or(|end| end > PHYSICAL_END) {
        return Err(ConnectionError::Unsupported(format!(
            "{len} bytes at {addr:#x} end above {PHYSICAL_END:#x}, which would end QEMU"
        )));
    }
    Ok(())
}

/// The command that selects a configuration register, and the data port of the access.
fn config_ports(addr: u64, width: Width) -> Result<(String, u16), ConnectionError> {
    let lane = u16::try_from(addr & 3).unwrap_or_default();
    if addr > 0xff_ffff || usize::from(lane) + width.len() > 4 {
        return Err(ConnectionError::Unsupported(format!(
            "configuration access of {} bytes at {addr:#x} does not fit mechanism #1",
            width.len()
        )));
    }
    Ok((
        format!("outl {CONFIG_ADDRESS:#x} {:#x}", CONFIG_ENABLE | (addr & !3)),
        CONFIG_DATA + lane,
    ))
}

fn malformed(command: &str, answer: &str, wanted: &'static str) -> ConnectionError {
    ConnectionError::Malformed {
        peer: "qtest",
        command: shorten(command),
        answer: shorten(answer),
        wanted,
    }
}

fn parse_number(command: &str, answer: &str, width: Width) -> Result<u64, ConnectionError> {
    answer
        .strip_prefix("0x")
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .filter(|value| value & !width.ones() == 0)
        .ok_or_else(|| malformed(command, answer, "a number of that width"))
}

fn parse_bytes(answer: &str, out: &mut [u8]) -> Option<()> {
    let digits = answer.strip_prefix("0x")?.as_bytes();
    if digits.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = pair.iter().try_fold(0, |value, &digit| {
            u8::try_from(char::from(digit).to_digit(16)?)
                .ok()
                .map(|digit| value << 4 | digit)
        })?;
    }
    Some(())
}
