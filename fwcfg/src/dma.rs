// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DMA commands: one descriptor against guest memory.

use alloc::sync::Arc;

use crate::device::{FwCfg, index};
use crate::events::{Effects, Fault, Written};
use crate::item::Content;
use crate::memory::GuestMemory;
use crate::spec::{
    DMA_DESCRIPTOR_LEN, DMA_ERROR, DMA_KEY_SHIFT, DMA_READ, DMA_SELECT, DMA_SKIP, DMA_WRITE, KEY_INVALID,
};

/// Most bytes handed to guest memory at once.
const CHUNK: usize = 64 << 10;
/// Bytes read from a source at once; they lie on the stack.
const SOURCE_CHUNK: usize = 4 << 10;

/// A command as the guest gave it, read once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Command {
    /// Guest-physical address of the descriptor.
    pub(crate) descriptor: u64,
    pub(crate) control: u32,
    pub(crate) len: u32,
    /// Guest-physical address of the buffer.
    pub(crate) buffer: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    None,
    Read,
    Write,
    Skip,
}

impl Command {
    fn parse(descriptor: u64, raw: u128) -> Self {
        let field = |shift: u32| u32::try_from(raw >> shift & u128::from(u32::MAX)).unwrap_or_default();
        Self {
            descriptor,
            control: field(96),
            len: field(64),
            buffer: u64::from(field(32)) << 32 | u64::from(field(0)),
        }
    }

    /// The key to select first, if any.
    fn key(self) -> Option<u16> {
        let key = u16::try_from(self.control >> DMA_KEY_SHIFT).unwrap_or(KEY_INVALID);
        (self.control & DMA_SELECT != 0).then_some(key)
    }

    /// What to do with `len` bytes; of several the first of read, write, skip.
    fn operation(self) -> Operation {
        match self.control {
            _ if self.len == 0 => Operation::None,
            control if control & DMA_READ != 0 => Operation::Read,
            control if control & DMA_WRITE != 0 => Operation::Write,
            control if control & DMA_SKIP != 0 => Operation::Skip,
            _ => Operation::None,
        }
    }

    fn buffer_fault(self) -> Fault {
        Fault::Buffer {
            gpa: self.buffer,
            len: self.len,
        }
    }
}

impl FwCfg {
    /// Carries out the transfer of a paused command.
    ///
    /// Returns no effects if there is none.
    pub fn resume<M: GuestMemory + ?Sized>(&mut self, memory: &M) -> Effects {
        match self.paused.take() {
            Some(command) => self.finish(command, None, memory),
            None => Effects::default(),
        }
    }

    /// Carries out the command whose descriptor the latch points to.
    pub(crate) fn start_dma<M: GuestMemory + ?Sized>(&mut self, memory: &M) -> Effects {
        let descriptor = core::mem::take(&mut self.latch);
        let mut raw = [0; DMA_DESCRIPTOR_LEN];
        if memory.read(descriptor, &mut raw).is_err() {
            return Effects {
                fault: Some(Fault::Descriptor { gpa: descriptor }),
                status_lost: store_status(descriptor, DMA_ERROR, memory),
                ..Effects::default()
            };
        }
        let command = Command::parse(descriptor, u128::from_be_bytes(raw));
        let selected = command.key().map(|key| self.select(key));
        let paused = selected.is_some()
            && command.operation() != Operation::None
            && self.selected_item().is_some_and(|item| item.pauses);
        if paused {
            self.paused = Some(command);
            return Effects {
                selected,
                paused,
                ..Effects::default()
            };
        }
        self.finish(command, selected, memory)
    }

    fn finish<M: GuestMemory + ?Sized>(&mut self, command: Command, selected: Option<u16>, memory: &M) -> Effects {
        let mut written = None;
        let result = match command.operation() {
            Operation::None => Ok(()),
            Operation::Read => self.dma_read(command, memory),
            Operation::Write => self.dma_write(command, memory).map(|stored| written = Some(stored)),
            Operation::Skip => {
                self.advance(command.len);
                Ok(())
            }
        };
        let status = if result.is_ok() { 0 } else { DMA_ERROR };
        Effects {
            selected,
            written,
            fault: result.err(),
            status_lost: store_status(command.descriptor, status, memory),
            paused: false,
        }
    }

    /// Moves the offset by `len` bytes, but not past the end, and returns by how many.
    fn advance(&mut self, len: u32) -> u32 {
        let moved = len.min(self.selected_len().saturating_sub(self.offset));
        self.offset = self.offset.saturating_add(moved);
        moved
    }

    fn dma_read<M: GuestMemory + ?Sized>(&mut self, command: Command, memory: &M) -> Result<(), Fault> {
        let start = self.offset;
        let held = self.advance(command.len);
        let zeros = command.len.saturating_sub(held);
        let fault = || command.buffer_fault();
        let tail = command.buffer.checked_add(u64::from(held)).ok_or_else(fault)?;
        tail.checked_add(u64::from(zeros)).ok_or_else(fault)?;
        match &self.window {
            Some(bytes) => {
                let range = index(start)..index(start).saturating_add(index(held));
                let mut at = command.buffer;
                for chunk in bytes.get(range).unwrap_or_default().chunks(CHUNK) {
                    memory.write(at, chunk).map_err(|_| fault())?;
                    at = at.saturating_add(chunk.len() as u64);
                }
            }
            None => self.dma_read_source(command, start, held, memory)?,
        }
        if zeros > 0 {
            memory.write_zeros(tail, zeros).map_err(|_| fault())?;
        }
        Ok(())
    }

    /// Copies `len` bytes of the selected source to the buffer of a command. Apart, for the sake of its stack frame.
    #[inline(never)]
    fn dma_read_source<M: GuestMemory + ?Sized>(
        &self,
        command: Command,
        start: u32,
        len: u32,
        memory: &M,
    ) -> Result<(), Fault> {
        let mut buffer = [0; SOURCE_CHUNK];
        let (mut at, mut from, mut left) = (command.buffer, start, index(len));
        while left > 0 {
            let (chunk, _) = buffer.split_at_mut(left.min(SOURCE_CHUNK));
            self.read_source(from, chunk)?;
            memory.write(at, chunk).map_err(|_| command.buffer_fault())?;
            at = at.saturating_add(chunk.len() as u64);
            from = from.saturating_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
            left = left.saturating_sub(chunk.len());
        }
        Ok(())
    }

    fn dma_write<M: GuestMemory + ?Sized>(&mut self, command: Command, memory: &M) -> Result<Written, Fault> {
        let (key, offset, len) = (self.selected(), self.offset, command.len);
        let held = self.advance(len);
        let outside = Fault::WriteOutside { key, offset, len };
        let item = self.selected.and_then(|at| self.items.get_mut(at)?.as_mut());
        let Some(item) = item.filter(|_| held > 0) else {
            return Err(outside);
        };
        if !item.writable {
            return Err(Fault::ReadOnly { key });
        }
        if held != len {
            return Err(outside);
        }
        let Content::Bytes(bytes) = &mut item.content else {
            return Err(Fault::ReadOnly { key });
        };
        // The window would keep the content from being written in place.
        self.window = None;
        let range = index(offset)..index(offset).saturating_add(index(len));
        let target = Arc::make_mut(bytes).get_mut(range).unwrap_or_default();
        let result = copy_in(target, command, memory);
        self.window = Some(Arc::clone(bytes));
        result?;
        Ok(Written { key, offset, len })
    }
}

/// Copies the buffer of a command to a part of an item.
///
/// Where the buffer is not RAM, zeros are stored, as QEMU does.
fn copy_in<M: GuestMemory + ?Sized>(target: &mut [u8], command: Command, memory: &M) -> Result<(), Fault> {
    let mut result = Ok(());
    let mut at = Some(command.buffer);
    for chunk in target.chunks_mut(CHUNK) {
        let next = at.and_then(|at| at.checked_add(chunk.len() as u64));
        let whole = at.filter(|_| next.is_some()).map(|at| memory.read(at, chunk));
        if !matches!(whole, Some(Ok(()))) {
            result = Err(command.buffer_fault());
            for (byte, distance) in chunk.chunks_mut(1).zip(0..) {
                let gpa = at.and_then(|at| at.checked_add(distance));
                if !matches!(gpa.map(|gpa| memory.read(gpa, byte)), Some(Ok(()))) {
                    byte.fill(0);
                }
            }
        }
        at = next;
    }
    result
}

/// Stores the result of a command in the control field of its descriptor. Returns the descriptor if that fails.
fn store_status<M: GuestMemory + ?Sized>(descriptor: u64, status: u32, memory: &M) -> Option<u64> {
    memory
        .write(descriptor, &status.to_be_bytes())
        .err()
        .map(|_| descriptor)
}
