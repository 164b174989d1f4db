// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses and answers in words.

use super::Again;
use crate::corpus::Trace;
use crate::trace::{Line, Space};
use pci_model::Bdf;

/// Most characters of a line that a report quotes.
const MAX_TEXT: usize = 120;

/// The command that runs a section of a trace again.
pub(super) fn again(again: &Again, trace: &Trace, section: &str) -> String {
    let Again { program, options } = again;
    let trace = if trace.in_corpus {
        quoted(&trace.name)
    } else {
        quoted(&trace.path.to_string_lossy())
    };
    format!("{program} run {trace} --section {}{options}", quoted(section))
}

/// The access of a line: `port 0x511, 1 byte`.
pub(super) fn access(line: &Line<'_>) -> String {
    match *line {
        Line::Read { space, addr, width, .. } | Line::Write { space, addr, width, .. } => at(space, addr, width.len()),
        Line::Probe {
            space,
            addr,
            width,
            bdf,
            ..
        } => {
            format!("{} of {bdf}", at(space, addr, width.len()))
        }
        Line::ReadString { port, width, count, .. } => {
            format!("{}, {count} times", at(Space::Io, port.into(), width.len()))
        }
        Line::RamWrite { addr, bytes } | Line::RamRead { addr, bytes, .. } => at(Space::Ram, addr, bytes.len()),
        Line::RamFill { addr, len, .. } => format!("RAM {addr:#x}, {len} bytes"),
        Line::Map { bdf, bar, .. } => format!("where {} of {bdf} is decoded", bar_name(bar)),
        Line::Reset => "system reset".to_owned(),
        Line::Step { ns } => format!("clock step of {ns} ns"),
        Line::Header { .. } | Line::Comment(_) | Line::Section { .. } => String::new(),
    }
}

fn at(space: Space, addr: u64, len: usize) -> String {
    let plural = if len == 1 { "" } else { "s" };
    match space {
        Space::Io => format!("port {addr:#x}, {len} byte{plural}"),
        Space::Mem => format!("memory {addr:#x}, {len} byte{plural}"),
        Space::Ram => format!("RAM {addr:#x}, {len} byte{plural}"),
        Space::Cfg => {
            let function = Bdf::from_bits(u16::try_from(addr >> 8).unwrap_or_default());
            format!(
                "configuration {function} register {:#04x}, {len} byte{plural}",
                addr & 0xff
            )
        }
    }
}

fn bar_name(bar: u8) -> String {
    if bar == 6 {
        "the ROM".to_owned()
    } else {
        format!("BAR {bar}")
    }
}

/// Where a BAR is decoded.
pub(super) fn decoded(addr: Option<u64>) -> String {
    addr.map_or_else(|| "not decoded".to_owned(), |addr| format!("{addr:#x}"))
}

/// Which BAR answers.
pub(super) fn routed(at: Option<(u8, u64)>) -> String {
    at.map_or_else(
        || "no BAR".to_owned(),
        |(bar, offset)| format!("{} + {offset:#x}", bar_name(bar)),
    )
}

/// A line, shortened if it is long.
pub(super) fn shortened(text: &[u8]) -> String {
    let mut short = text.get(..MAX_TEXT).unwrap_or(text).escape_ascii().to_string();
    if text.len() > MAX_TEXT {
        short.push('\u{2026}');
    }
    short
}

/// `text` as one word of a shell command.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}
