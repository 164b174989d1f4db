// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of short buffers; an index outside is a broken oracle"
)]
//! The device done naively, byte by byte, with the directory written out anew whenever it is looked at.

use std::collections::BTreeMap;

use super::memory::Bytes;
use super::{Options, SLOTS, pattern};

/// Content of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    Source { len: u32, fails_from: u32 },
}

/// An item.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) name: Option<&'static str>,
    pub(crate) content: Content,
    pub(crate) writable: bool,
    pub(crate) pauses: bool,
    /// What a reset stores.
    pub(crate) reset: Option<Vec<u8>>,
}

/// What went wrong, without the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    Descriptor(u64),
    Buffer(u64, u32),
    WriteOutside(u16, u32, u32),
    ReadOnly(u16),
    Source(u16, u32, u32),
    Busy(u64),
    Dropped(u64, usize),
}

/// What a write caused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Done {
    pub(crate) selected: Option<u16>,
    pub(crate) written: Option<(u16, u32, u32)>,
    pub(crate) fault: Option<Fault>,
    pub(crate) status_lost: Option<u64>,
    pub(crate) paused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    pub(crate) descriptor: u64,
    pub(crate) control: u32,
    pub(crate) len: u32,
    pub(crate) buffer: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Register {
    /// Selector and data in one.
    Both,
    Data,
    Selector,
    Dma,
    Hole,
}

#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) options: Options,
    pub(crate) items: BTreeMap<u16, Held>,
    /// The selected key, unless its index is out of range.
    pub(crate) selected: Option<u16>,
    pub(crate) offset: u32,
    pub(crate) latch: u64,
    pub(crate) paused: Option<Command>,
}

impl Naive {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            items: super::held(),
            selected: Some(0),
            offset: 0,
            latch: 0,
            paused: None,
        }
    }

    fn directory(&self) -> Vec<u8> {
        let files: Vec<_> = self
            .items
            .iter()
            .filter_map(|(key, held)| Some((*key, held.name?, held)))
            .collect();
        let mut out = u32::try_from(files.len()).unwrap_or(0).to_be_bytes().to_vec();
        for (key, name, held) in files {
            out.extend(length(&held.content).to_be_bytes());
            out.extend(key.to_be_bytes());
            out.extend([0; 2]);
            let mut field = [0; 56];
            field[..name.len()].copy_from_slice(name.as_bytes());
            out.extend(field);
        }
        out.resize(4 + 64 * usize::from(SLOTS), 0);
        out
    }

    fn content(&self, key: u16) -> Content {
        match key {
            0x0000 => Content::Bytes(b"QEMU".to_vec()),
            0x0001 => Content::Bytes(vec![if self.options.dma { 3 } else { 1 }, 0, 0, 0]),
            0x0019 => Content::Bytes(self.directory()),
            _ => self
                .items
                .get(&key)
                .map_or(Content::Bytes(vec![]), |held| held.content.clone()),
        }
    }

    fn selected_content(&self) -> Content {
        self.selected.map_or(Content::Bytes(vec![]), |key| self.content(key))
    }

    pub(crate) fn selected_key(&self) -> u16 {
        self.selected.unwrap_or(0xffff)
    }

    fn select(&mut self, key: u16) -> u16 {
        self.offset = 0;
        let in_range = key & 0x3fff < 0x20 + SLOTS;
        self.selected = in_range.then_some(key & 0xbfff);
        self.selected_key()
    }

    /// Up to `len` bytes from the offset on, which moves; or what could not be read, when the bytes are zeros.
    fn take(&mut self, len: u32) -> (Vec<u8>, Option<Fault>) {
        let content = self.selected_content();
        let start = self.offset;
        let held = len.min(length(&content).saturating_sub(start));
        self.offset = start.saturating_add(held);
        match content {
            Content::Bytes(bytes) => (bytes.into_iter().skip(index(start)).take(index(held)).collect(), None),
            Content::Source { fails_from, .. } => {
                let range = start..start.saturating_add(held);
                let fails = held > 0 && range.end > fails_from;
                let bytes = range.map(|at| if fails { 0 } else { pattern(at) }).collect();
                let fault = fails.then(|| Fault::Source(self.selected_key(), start, held));
                (bytes, fault)
            }
        }
    }

    /// The data register read `len` times.
    pub(crate) fn read_string(&mut self, len: usize) -> (Vec<u8>, Option<Fault>) {
        let (mut bytes, fault) = self.take(u32::try_from(len).unwrap_or(u32::MAX));
        bytes.resize(len, 0);
        (bytes, fault)
    }

    /// Register at a place of the window, where it begins, and the widest piece that reaches it.
    fn locate(&self, at: u64) -> (Register, u64, usize) {
        let Options { dma, mmio, wide, .. } = self.options;
        let width = if wide { 8 } else { 1 };
        match (mmio, at) {
            (false, 0..2) => (Register::Both, 0, 4),
            (false, 4..12) if dma => (Register::Dma, 4, 4),
            (false, _) => (Register::Hole, 0, 4),
            (true, 0..8) if at < width => (Register::Data, 0, if wide { 8 } else { 1 }),
            (true, 8..10) => (Register::Selector, 8, 4),
            (true, 0x10..0x18) if dma => (Register::Dma, 0x10, 8),
            (true, _) => (Register::Hole, 0, 8),
        }
    }

    /// An access as the pieces that reach a register: how far into the access, how long, register, and where in it.
    /// None if the access is refused.
    fn pieces(&self, offset: u64, len: usize) -> Option<Vec<(usize, usize, Register, u64)>> {
        if !self.options.split {
            let natural = [1, 2, 4, 8].contains(&len) && offset.is_multiple_of(len as u64);
            let (register, first, _) = self.locate(offset);
            return natural.then(|| vec![(0, len, register, offset - first)]);
        }
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let (register, first, widest) = self.locate(at);
            let fits =
                |size: &usize| *size <= widest && done + size <= len && (at - first).is_multiple_of(*size as u64);
            let size = [8, 4, 2, 1].into_iter().find(fits).unwrap_or(1);
            pieces.push((done, size, register, at - first));
            done += size;
        }
        Some(pieces)
    }

    pub(crate) fn read(&mut self, offset: u64, len: usize) -> (Vec<u8>, Option<Fault>) {
        let (mut data, mut fault) = (vec![0; len], None);
        for (done, size, register, place) in self.pieces(offset, len).unwrap_or_default() {
            let is_data = match register {
                Register::Both => size == 1,
                Register::Data => place == 0 && size <= if self.options.wide { 8 } else { 1 },
                _ => false,
            };
            let bytes = match register {
                _ if is_data => {
                    let (bytes, failed) = self.read_string(size);
                    fault = fault.or(failed);
                    bytes
                }
                Register::Dma if place + size as u64 <= 8 => b"QEMU CFG"
                    .iter()
                    .copied()
                    .skip(usize::try_from(place).unwrap_or(8))
                    .take(size)
                    .collect(),
                Register::Hole => vec![0xff; size],
                _ => vec![0; size],
            };
            data[done..done + size].copy_from_slice(&bytes);
        }
        (data, fault)
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8], memory: &mut Bytes) -> Done {
        let fault = |fault| Done {
            fault: Some(fault),
            ..Done::default()
        };
        if self.paused.is_some() {
            return fault(Fault::Busy(offset));
        }
        let (mut stored, mut selected, mut starts) = (false, None, false);
        for (done, size, register, place) in self.pieces(offset, data.len()).unwrap_or_default() {
            let bytes = &data[done..done + size];
            let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            match (register, place, bytes) {
                (Register::Both, 0, [low, high]) => selected = Some(self.select(u16::from_le_bytes([*low, *high]))),
                (Register::Selector, 0, [high, low]) => selected = Some(self.select(u16::from_be_bytes([*high, *low]))),
                (Register::Dma, 0, [_, _, _, _]) => {
                    self.latch = value << 32;
                    stored = true;
                }
                (Register::Dma, 4, [_, _, _, _]) => {
                    self.latch |= value;
                    starts = true;
                }
                (Register::Dma, 0, [_, _, _, _, _, _, _, _]) => {
                    self.latch = value;
                    starts = true;
                }
                _ => {}
            }
        }
        match (starts, selected, stored) {
            (true, ..) => self.start(memory),
            (_, Some(_), _) => Done {
                selected,
                ..Done::default()
            },
            (_, None, true) => Done::default(),
            (_, None, false) => fault(Fault::Dropped(offset, data.len())),
        }
    }

    fn start(&mut self, memory: &mut Bytes) -> Done {
        let descriptor = self.latch;
        self.latch = 0;
        let raw: Option<Vec<u8>> = (0..16).map(|at| memory.get(descriptor.checked_add(at))).collect();
        let Some(raw) = raw else {
            return Done {
                fault: Some(Fault::Descriptor(descriptor)),
                status_lost: store_status(descriptor, 1, memory),
                ..Done::default()
            };
        };
        let field =
            |range: std::ops::Range<usize>| raw[range].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let command = Command {
            descriptor,
            control: u32::try_from(field(0..4)).unwrap_or(0),
            len: u32::try_from(field(4..8)).unwrap_or(0),
            buffer: field(8..16),
        };
        let [key_high, key_low, ..] = command.control.to_be_bytes();
        let selected = (command.control & 8 != 0).then(|| self.select(u16::from_be_bytes([key_high, key_low])));
        let transfers = command.len != 0 && command.control & 0x16 != 0;
        let pauses = self
            .selected
            .and_then(|key| self.items.get(&key))
            .is_some_and(|held| held.pauses);
        if selected.is_some() && transfers && pauses {
            self.paused = Some(command);
            return Done {
                selected,
                paused: true,
                ..Done::default()
            };
        }
        let done = self.transfer(command, memory);
        Done { selected, ..done }
    }

    pub(crate) fn resume(&mut self, memory: &mut Bytes) -> Done {
        self.paused
            .take()
            .map_or(Done::default(), |command| self.transfer(command, memory))
    }

    fn transfer(&mut self, command: Command, memory: &mut Bytes) -> Done {
        let mut done = Done::default();
        if command.len == 0 {
            // Nothing to transfer, whatever the command.
        } else if command.control & 2 != 0 {
            done.fault = self.copy_out(command, memory);
        } else if command.control & 0x10 != 0 {
            match self.copy_in(command, memory) {
                Ok(written) => done.written = Some(written),
                Err(fault) => done.fault = Some(fault),
            }
        } else if command.control & 4 != 0 {
            let len = length(&self.selected_content());
            self.offset = self
                .offset
                .saturating_add(command.len.min(len.saturating_sub(self.offset)));
        }
        done.status_lost = store_status(command.descriptor, u32::from(done.fault.is_some()), memory);
        done
    }

    fn copy_out(&mut self, command: Command, memory: &mut Bytes) -> Option<Fault> {
        let Command { len, buffer, .. } = command;
        let (bytes, failed) = self.take(len);
        if buffer.checked_add(len.into()).is_none() {
            return Some(Fault::Buffer(buffer, len));
        }
        if failed.is_some() {
            return failed;
        }
        // Up to 4 GiB of zeros follow; the memory ends earlier.
        let zeros = usize::try_from(len).unwrap_or(usize::MAX).saturating_sub(bytes.len());
        let all = bytes.into_iter().chain(std::iter::repeat_n(0, zeros));
        (!memory.set_all(buffer, all)).then_some(Fault::Buffer(buffer, len))
    }

    fn copy_in(&mut self, command: Command, memory: &Bytes) -> Result<(u16, u32, u32), Fault> {
        let Command { len, buffer, .. } = command;
        let (key, start) = (self.selected_key(), self.offset);
        let held = len.min(length(&self.selected_content()).saturating_sub(start));
        self.offset = start.saturating_add(held);
        if held == 0 {
            return Err(Fault::WriteOutside(key, start, len));
        }
        let Some(item) = self.items.get_mut(&key).filter(|item| item.writable) else {
            return Err(Fault::ReadOnly(key));
        };
        if held < len {
            return Err(Fault::WriteOutside(key, start, len));
        }
        let mut complete = buffer.checked_add(len.into()).is_some();
        if let Content::Bytes(bytes) = &mut item.content {
            for (byte, distance) in bytes.iter_mut().skip(index(start)).take(index(len)).zip(0..) {
                let found = memory.get(buffer.checked_add(distance));
                complete &= found.is_some();
                *byte = found.unwrap_or(0);
            }
        }
        if complete {
            Ok((key, start, len))
        } else {
            Err(Fault::Buffer(buffer, len))
        }
    }

    pub(crate) fn reset(&mut self) {
        self.latch = 0;
        self.paused = None;
        self.selected = Some(0);
        self.offset = 0;
        for held in self.items.values_mut() {
            if let (Content::Bytes(bytes), Some(reset)) = (&mut held.content, &held.reset) {
                bytes.clone_from(reset);
            }
        }
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(crate) fn length(content: &Content) -> u32 {
    match content {
        Content::Bytes(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        Content::Source { len, .. } => *len,
    }
}

fn store_status(descriptor: u64, status: u32, memory: &mut Bytes) -> Option<u64> {
    (!memory.set_all(descriptor, status.to_be_bytes())).then_some(descriptor)
}
