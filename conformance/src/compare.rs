// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Two traces of firmware, compared by what the firmware did: one sequence of accesses for each function and for each
//! item of `fw_cfg`.
//!
//! What devices answered is not compared, and what was written is not where [`Rules::values`] says so: addresses and
//! sizes follow from the machine.

use std::collections::BTreeMap;
use std::io::Read;

use pci_model::Bdf;

use crate::trace::{Header, Line, Reader, Space, TraceError};

/// Accesses of one trace that can be compared.
const MAX_EVENTS: usize = 1 << 20;
/// Accesses that are told on each side of a difference.
const CONTEXT: usize = 3;
const CONFIG_ADDRESS: u64 = 0xcf8;
const CONFIG_DATA: u64 = 0xcfc;
const SELECTOR: u64 = 0x510;
const DATA: u64 = 0x511;
const DMA: u64 = 0x518;
/// The dword of 00:00.0 that opens the window of a Q35, and its bits.
const PCIEXBAR: u64 = 0x60;
const WINDOW: u64 = 0xf000_0000;
const WINDOW_LEN: u64 = 256 << 20;

/// What a firmware did, by whom it was done to: `00:02.0`, or `fw_cfg etc/e820`.
pub type Streams = BTreeMap<String, Vec<String>>;

/// What is not compared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Whole sequences, by name, and dwords of functions, such as `00:00.0/9c`.
    pub ignored: Vec<String>,
    /// Dwords of functions into which other values may be written, such as `00:02.0/10`.
    pub values: Vec<String>,
}

/// Reads a trace and sorts its accesses.
///
/// # Errors
///
/// The trace cannot be read, or has more accesses than can be compared.
pub fn streams<R: Read>(reader: &mut Reader<R>, rules: &Rules) -> Result<Streams, TraceError> {
    let header = reader.header()?;
    let mut sorter = Sorter::new(&header, rules);
    while let Some(entry) = reader.entry()? {
        sorter.take(entry.line);
        // Sequences that agree as far as they were kept might differ behind that.
        if sorter.count > MAX_EVENTS {
            return Err(reader.at(1, format!("more than the {MAX_EVENTS} accesses that can be compared")));
        }
    }
    Ok(sorter.streams)
}

struct Sorter<'a> {
    rules: &'a Rules,
    names: BTreeMap<u16, String>,
    functions: Vec<Bdf>,
    streams: Streams,
    /// Accesses in all sequences.
    count: usize,
    address: u64,
    window: Option<u64>,
    item: u16,
    /// The descriptor that was last written to RAM.
    descriptor: Option<(u32, u32)>,
}

impl<'a> Sorter<'a> {
    fn new(header: &Header, rules: &'a Rules) -> Self {
        Self {
            rules,
            names: header.items.iter().map(|item| (item.key, item.name.clone())).collect(),
            functions: header.pci.iter().map(|image| image.bdf).collect(),
            streams: Streams::new(),
            count: 0,
            address: 0,
            window: None,
            item: 0,
            descriptor: None,
        }
    }

    fn add(&mut self, stream: String, event: String) {
        if self.rules.ignored.contains(&stream) {
            return;
        }
        let events = self.streams.entry(stream).or_default();
        // However many bytes are read at once, the firmware reads them one after the other.
        let read = |event: &str| event.strip_prefix("read ").and_then(|len| len.parse::<u64>().ok());
        if let (Some(last), Some(more)) = (events.last_mut(), read(&event))
            && let Some(len) = read(last)
        {
            *last = format!("read {}", len.saturating_add(more));
        } else {
            events.push(event);
            self.count += 1;
        }
    }

    fn config(&mut self, bdf: Bdf, register: u64, width: usize, written: Option<u64>) {
        if let Some(value) = written
            && bdf == Bdf::from_bits(0)
            && register == PCIEXBAR
        {
            self.window = (value & 1 != 0).then_some(value & WINDOW);
        }
        // Looking for a function that is not there is not about any function.
        if !self.functions.contains(&bdf) {
            return;
        }
        let place = format!("{bdf}/{:x}", register & !3);
        if self.rules.ignored.contains(&place) {
            return;
        }
        let event = match written {
            Some(_) if self.rules.values.contains(&place) => format!("w {register:02x} {width}"),
            Some(value) => format!("w {register:02x} {width} {value:#x}"),
            None => format!("r {register:02x} {width}"),
        };
        self.add(bdf.to_string(), event);
    }

    fn access(&mut self, space: Space, addr: u64, width: usize, written: Option<u64>) {
        let place = |bits: u64| u16::try_from(bits & 0xffff).map(Bdf::from_bits).ok();
        match (space, addr) {
            (Space::Io, CONFIG_ADDRESS) if width == 4 => self.address = written.unwrap_or(self.address),
            (Space::Io, CONFIG_DATA..=0xcff) if self.address >> 31 != 0 => {
                if let Some(bdf) = place(self.address >> 8) {
                    self.config(bdf, (self.address & 0xfc) | (addr & 3), width, written);
                }
            }
            (Space::Cfg, _) => {
                if let Some(bdf) = place(addr >> 8) {
                    self.config(bdf, addr & 0xff, width, written);
                }
            }
            (Space::Mem, _) => {
                let offset = self.window.and_then(|window| addr.checked_sub(window));
                let offset = offset.filter(|offset| *offset < WINDOW_LEN);
                if let Some((bdf, offset)) = offset.and_then(|offset| Some((place(offset >> 12)?, offset))) {
                    self.config(bdf, offset & 0xfff, width, written);
                }
            }
            (Space::Io, SELECTOR) => {
                if let Some(key) = written.and_then(|key| u16::try_from(key).ok()) {
                    self.select(key);
                }
            }
            (Space::Io, DATA) if written.is_none() => self.fw_cfg("read", 1),
            (Space::Io, DMA) if written.is_some() => self.transfer(),
            _ => {}
        }
    }

    fn select(&mut self, key: u16) {
        self.item = key;
        self.fw_cfg("select", 0);
    }

    fn fw_cfg(&mut self, what: &str, len: u64) {
        let name = self
            .names
            .get(&(self.item & 0xbfff))
            .cloned()
            .unwrap_or_else(|| format!("key {:#06x}", self.item));
        let event = match len {
            0 => what.to_owned(),
            _ => format!("{what} {len}"),
        };
        self.add(format!("fw_cfg {name}"), event);
    }

    fn transfer(&mut self) {
        let Some((control, len)) = self.descriptor.take() else {
            return;
        };
        if control & 8 != 0 {
            self.select(u16::try_from(control >> 16).unwrap_or(0));
        }
        let what = match control {
            _ if control & 2 != 0 => "read",
            _ if control & 16 != 0 => "write",
            _ if control & 4 != 0 => "skip",
            _ => return,
        };
        self.fw_cfg(what, len.into());
    }

    fn take(&mut self, line: Line<'_>) {
        match line {
            Line::Write {
                space,
                addr,
                width,
                value,
            } => self.access(space, addr, width.len(), Some(value)),
            Line::Read { space, addr, width, .. } => self.access(space, addr, width.len(), None),
            Line::ReadString { port, count, .. } if u64::from(port) == DATA => self.fw_cfg("read", count.into()),
            Line::RamWrite { bytes, .. } if bytes.bytes().len() == 16 => {
                let word = |from: usize| {
                    bytes
                        .part(from, 4)
                        .bytes()
                        .fold(0, |word, byte| word << 8 | u32::from(byte))
                };
                self.descriptor = Some((word(0), word(4)));
            }
            Line::Reset => (self.address, self.window, self.item, self.descriptor) = (0, None, 0, None),
            _ => {}
        }
    }
}

/// How two sequences differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They are the same, and this long.
    Same(usize),
    /// Only the first trace has it.
    OnlyFirst(usize),
    /// Only the second trace has it.
    OnlySecond(usize),
    /// They differ.
    Differs(Difference),
}

/// The first difference of two sequences, with a few accesses around it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Number of the access, from 0.
    pub at: usize,
    /// What comes before it in both.
    pub before: Vec<String>,
    /// What the first trace has from there on; nothing if it ends.
    pub first: Vec<String>,
    /// What the second trace has.
    pub second: Vec<String>,
}

/// Compares the sequences of two traces, by name.
#[must_use]
pub fn compare(first: &Streams, second: &Streams) -> BTreeMap<String, Verdict> {
    let names = first.keys().chain(second.keys());
    names
        .map(|name| {
            let verdict = match (first.get(name), second.get(name)) {
                (Some(a), Some(b)) => differ(a, b),
                (Some(a), None) => Verdict::OnlyFirst(a.len()),
                (None, b) => Verdict::OnlySecond(b.map_or(0, Vec::len)),
            };
            (name.clone(), verdict)
        })
        .collect()
}

fn differ(a: &[String], b: &[String]) -> Verdict {
    let at = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    if at == a.len() && at == b.len() {
        Verdict::Same(at)
    } else {
        let from = |events: &[String]| events.iter().skip(at).take(CONTEXT).cloned().collect();
        Verdict::Differs(Difference {
            at,
            before: a.iter().take(at).skip(at.saturating_sub(CONTEXT)).cloned().collect(),
            first: from(a),
            second: from(b),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(lines: &str, rules: &Rules) -> Streams {
        let zeros = "00".repeat(256);
        let text = format!(
            "@trace 1\n@kind firmware\n@machine q35\n@ram 0x1000000\n@pci 00:00.0 0x{zeros}\n@pci 00:02.0 0x{zeros}\n\
             @item 0x0020 4 etc/x 0x00000000\nsection a.b c\n{lines}"
        );
        streams(&mut Reader::new(text.as_bytes(), "test"), rules).unwrap()
    }

    #[test]
    fn accesses_are_sorted_by_whom_they_are_for() {
        let found = sorted(
            "w io 0x0cf8 4 0x80001010\nw io 0x0cfc 4 0xe0000000\nw io 0x0cf8 4 0x80001804\nr io 0x0cfc 2 0xffff\n\
             w io 0x0cf8 4 0x80000060\nw io 0x0cfc 4 0xb0000001\nr mem 0xb0010004 2 0x0007\n\
             w io 0x0510 2 0x0020\nrs io 0x0511 1 4 0x00000000\n\
             wb ram 0x00001000 16 0x0020000a000000020000000000002000\nw io 0x0518 4 0x00100000\n",
            &Rules::default(),
        );
        assert_eq!(found["00:02.0"], ["w 10 4 0xe0000000", "r 04 2"]);
        assert_eq!(found["fw_cfg etc/x"], ["select", "read 4", "select", "read 2"]);
        assert_eq!(found.len(), 3, "nothing is at 00:03.0");
    }

    #[test]
    fn values_and_sequences_are_left_out_on_request() {
        let rules = Rules {
            ignored: vec!["00:00.0".to_owned()],
            values: vec!["00:02.0/10".to_owned()],
        };
        let one = sorted("w io 0x0cf8 4 0x80001010\nw io 0x0cfc 4 0xe0000000\n", &rules);
        let two = sorted(
            "w io 0x0cf8 4 0x80000010\nw io 0x0cfc 4 1\nw io 0x0cf8 4 0x80001010\nw io 0x0cfc 4 0xd0000000\n",
            &rules,
        );
        assert_eq!(compare(&one, &two)["00:02.0"], Verdict::Same(1));
        assert_eq!(compare(&one, &two).len(), 1);
        let rules = Rules {
            ignored: vec!["00:02.0/10".to_owned()],
            ..Rules::default()
        };
        assert!(sorted("w io 0x0cf8 4 0x80001010\nw io 0x0cfc 4 0xe0000000\n", &rules).is_empty());
    }

    #[test]
    fn a_reset_closes_window_and_address() {
        let found = sorted(
            "w io 0x0cf8 4 0x80000060\nw io 0x0cfc 4 0xb0000001\nw io 0x0cf8 4 0x80001004\nreset\n\
             r mem 0xb0010004 2 0xffff\nr io 0x0cfc 2 0xffff\n",
            &Rules::default(),
        );
        assert_eq!(found.keys().collect::<Vec<_>>(), ["00:00.0"]);
    }

    #[test]
    fn a_trace_that_is_too_long_is_no_match() {
        let mut text = format!("@trace 1\n@pci 00:02.0 0x{}\n", "00".repeat(256)).into_bytes();
        for _ in 0..=MAX_EVENTS {
            text.extend_from_slice(b"r cfg 0x001000 4 0x00000000\n");
        }
        let read = |text: &[u8]| streams(&mut Reader::new(text, "long"), &Rules::default());
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains("1048576 accesses"), "{error}");
        let one_less = text.len() - b"r cfg 0x001000 4 0x00000000\n".len();
        assert_eq!(read(&text[..one_less]).unwrap()["00:02.0"].len(), MAX_EVENTS);
    }

    #[test]
    fn the_first_difference_is_told() {
        let events = |text: &str| -> Streams {
            let events = text.chars().map(String::from).collect();
            Streams::from([("x".to_owned(), events)])
        };
        assert_eq!(compare(&events("abc"), &events("abc"))["x"], Verdict::Same(3));
        let verdict = |a, b| match compare(&events(a), &events(b)).remove("x") {
            Some(Verdict::Differs(difference)) => {
                let Difference {
                    at,
                    before,
                    first,
                    second,
                } = difference;
                (at, before.concat(), first.concat(), second.concat())
            }
            other => panic!("{other:?}"),
        };
        let told = |at, before: &str, first: &str, second: &str| (at, before.into(), first.into(), second.into());
        assert_eq!(verdict("abc", "ab"), told(2, "ab", "c", ""));
        assert_eq!(verdict("abcdefgh", "abcdXfgh"), told(4, "bcd", "efg", "Xfg"));
        assert_eq!(verdict("a", "b"), told(0, "", "a", "b"));
        assert_eq!(compare(&events("a"), &Streams::new())["x"], Verdict::OnlyFirst(1));
        assert_eq!(compare(&Streams::new(), &events("a"))["x"], Verdict::OnlySecond(1));
    }
}
