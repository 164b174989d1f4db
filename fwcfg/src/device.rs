// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device: selection, data and the items.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use crate::access::{AccessRule, DataWidth, Place, Register, is_natural};
use crate::builder::{check_item, is_reserved};
use crate::directory::Directory;
use crate::dma::Command;
use crate::error::{ModifyError, SourceError};
use crate::events::{Effects, Fault};
use crate::item::{Content, Item};
use crate::memory::GuestMemory;
use crate::spec::{
    DMA_SIGNATURE, KEY_ARCH_LOCAL, KEY_FILE_DIR, KEY_FILE_FIRST, KEY_INDEX, KEY_INVALID, KEY_SIGNATURE,
    KEY_WRITE_CHANNEL,
};

/// A `fw_cfg` device.
///
/// Built by [`FwCfgBuilder`](crate::FwCfgBuilder). Each access takes the place in the window, not an address. Reads
/// always fill the whole buffer; writes return what they caused.
#[derive(Debug)]
pub struct FwCfg {
    // Fixed when built
    pub(crate) rule: AccessRule,
    pub(crate) data_width: DataWidth,
    pub(crate) dma: bool,
    pub(crate) slots: u16,
    pub(crate) directory: Directory,

    // Contents
    /// All items by position: the generic table, then that of the architecture.
    pub(crate) items: Box<[Option<Item>]>,

    // Volatile state
    /// Position of the selected item, or `None` if the selected index is out of range.
    pub(crate) selected: Option<usize>,
    /// The content of the selected item: empty if there is no item, `None` if it stays in a source.
    pub(crate) window: Option<Arc<[u8]>>,
    pub(crate) offset: u32,
    pub(crate) latch: u64,
    pub(crate) paused: Option<Command>,
}

/// A 32-bit length or offset as an index. Saturates where indices are shorter; no slice is that long there.
pub(crate) fn index(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Keys of one table.
pub(crate) fn table_len(slots: u16) -> u16 {
    KEY_FILE_FIRST.saturating_add(slots)
}

/// Position of the item that a selector finds, or `None` if the index is out of range.
pub(crate) fn position(slots: u16, selector: u16) -> Option<usize> {
    let (index, len) = (selector & KEY_INDEX, table_len(slots));
    let first = if selector & KEY_ARCH_LOCAL == 0 {
        0
    } else {
        usize::from(len)
    };
    (index < len).then(|| first + usize::from(index))
}

impl FwCfg {
    /// Whether the device has the DMA interface.
    #[must_use]
    pub fn has_dma(&self) -> bool {
        self.dma
    }

    /// The selected key, or [`KEY_INVALID`] if the guest selected an index that is out of range.
    #[must_use]
    pub fn selected(&self) -> u16 {
        self.selected.map_or(KEY_INVALID, |position| self.key_at(position))
    }

    /// Whether a DMA command waits for [`resume`](Self::resume).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// The item of a key.
    #[must_use]
    pub fn item(&self, key: u16) -> Option<&Item> {
        self.items.get(self.exact_position(key)?)?.as_ref()
    }

    /// Key of a file.
    #[must_use]
    pub fn file_key(&self, name: &str) -> Option<u16> {
        self.directory.key(name)
    }

    /// Keys and names of all files, in order of keys.
    pub fn files(&self) -> impl Iterator<Item = (u16, &str)> {
        self.directory.iter()
    }

    /// Replaces the item of a key and returns the old one. The key stays, and so do selection and offset.
    ///
    /// The new item says itself whether it is writable and pauses on selection; one made from plain bytes does neither.
    ///
    /// # Errors
    ///
    /// No item has the key, it is one of the device's own, or the new item cannot be part of a device.
    pub fn modify(&mut self, key: u16, item: impl Into<Item>) -> Result<Item, ModifyError> {
        let item = item.into();
        if is_reserved(key) {
            return Err(crate::InsertError::ReservedKey { key }.into());
        }
        check_item(&item)?;
        let position = self.exact_position(key).ok_or(ModifyError::NoItem { key })?;
        let held = self
            .items
            .get_mut(position)
            .and_then(Option::as_mut)
            .ok_or(ModifyError::NoItem { key })?;
        let old = core::mem::replace(held, item);
        self.render_directory();
        Ok(old)
    }

    /// Replaces a file and returns the old one, as [`modify`](Self::modify).
    ///
    /// # Errors
    ///
    /// No file has the name, or the new item cannot be part of a device.
    pub fn modify_file(&mut self, name: &str, item: impl Into<Item>) -> Result<Item, ModifyError> {
        let key = self.file_key(name).ok_or_else(|| ModifyError::NoFile {
            name: String::from(name),
        })?;
        self.modify(key, item)
    }

    /// Resets the device: the signature is selected, the DMA address is 0, no command waits, and writable items hold
    /// their reset values.
    pub fn reset(&mut self) {
        self.latch = 0;
        self.paused = None;
        // The window would keep the content from being written in place.
        self.window = None;
        for item in self.items.iter_mut().flatten() {
            item.reset();
        }
        self.open_window();
        self.select(KEY_SIGNATURE);
    }

    /// Reads the data register `out.len()` times, 8 bits each, as a guest's `rep insb` does.
    ///
    /// # Errors
    ///
    /// A source failed. The bytes it should have delivered are zeros and the offset has moved past them.
    pub fn read_string(&mut self, out: &mut [u8]) -> Result<(), SourceError> {
        let start = self.offset;
        let left = index(self.selected_len().saturating_sub(start));
        let (head, tail) = out.split_at_mut(left.min(out.len()));
        tail.fill(0);
        self.offset = start.saturating_add(u32::try_from(head.len()).unwrap_or(u32::MAX));
        match &self.window {
            Some(bytes) => {
                let range = index(start)..index(start).saturating_add(head.len());
                match bytes.get(range) {
                    Some(held) => head.copy_from_slice(held),
                    None => head.fill(0),
                }
                Ok(())
            }
            None => self.read_source(start, head),
        }
    }

    /// Selects a key, and returns it as [`Effects::selected`] reports it.
    pub(crate) fn select(&mut self, selector: u16) -> u16 {
        let selected = position(self.slots, selector);
        self.offset = 0;
        if self.selected != selected {
            self.selected = selected;
            self.open_window();
        }
        if self.selected.is_some() {
            selector & !KEY_WRITE_CHANNEL
        } else {
            KEY_INVALID
        }
    }

    /// The selected item.
    pub(crate) fn selected_item(&self) -> Option<&Item> {
        self.items.get(self.selected?)?.as_ref()
    }

    /// Length of the selected item in bytes, 0 if there is none.
    pub(crate) fn selected_len(&self) -> u32 {
        match &self.window {
            Some(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            None => self.selected_item().map_or(0, Item::len32),
        }
    }

    /// Makes the window show what is selected.
    pub(crate) fn open_window(&mut self) {
        self.window = match self.selected_item().map(|item| &item.content) {
            Some(Content::Bytes(bytes)) => Some(Arc::clone(bytes)),
            Some(Content::Source(..)) => None,
            None => Some(Arc::default()),
        };
    }

    /// Fills `out` from `start` bytes into the selected source, which is long enough.
    pub(crate) fn read_source(&self, start: u32, out: &mut [u8]) -> Result<(), SourceError> {
        let Some(Content::Source(source, _)) = self.selected_item().map(|item| &item.content) else {
            out.fill(0);
            return Ok(());
        };
        if out.is_empty() {
            return Ok(());
        }
        source.read_at(start, out).map_err(|error| {
            out.fill(0);
            SourceError {
                key: self.selected(),
                offset: start,
                len: u32::try_from(out.len()).unwrap_or(u32::MAX),
                source: error,
            }
        })
    }

    /// Position of the item that has exactly this key.
    pub(crate) fn exact_position(&self, key: u16) -> Option<usize> {
        if key & KEY_WRITE_CHANNEL != 0 {
            return None;
        }
        position(self.slots, key)
    }

    /// Key of the item at a position.
    pub(crate) fn key_at(&self, position: usize) -> u16 {
        let len = usize::from(table_len(self.slots));
        let (bit, index) = match position.checked_sub(len) {
            None => (0, position),
            Some(index) => (KEY_ARCH_LOCAL, index),
        };
        u16::try_from(index).map_or(KEY_INVALID, |index| bit | index)
    }

    /// Makes the directory say what the items are.
    pub(crate) fn render_directory(&mut self) {
        let bytes = self
            .directory
            .render(self.slots, |key| self.item(key).map_or(0, Item::len32));
        if let Some(item) = self.items.get_mut(usize::from(KEY_FILE_DIR)) {
            *item = Some(Item::from(bytes));
        }
        self.open_window();
    }

    /// Reads `data.len()` bytes of a window, in one access.
    pub(crate) fn read(
        &mut self,
        locate: fn(&Self, u64) -> Place,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), SourceError> {
        if self.rule == AccessRule::Refuse {
            if is_natural(offset, data.len()) {
                return self.register_read(locate(self, offset), data);
            }
            data.fill(0);
            return Ok(());
        }
        let (mut at, mut rest, mut result) = (offset, data, Ok(()));
        while !rest.is_empty() {
            let place = locate(self, at);
            let (piece, tail) = rest.split_at_mut(place.piece(rest.len()));
            at = at.wrapping_add(piece.len() as u64);
            result = result.and(self.register_read(place, piece));
            rest = tail;
        }
        result
    }

    /// Writes `data` to a window, in one access.
    pub(crate) fn write<M: GuestMemory + ?Sized>(
        &mut self,
        locate: fn(&Self, u64) -> Place,
        offset: u64,
        data: &[u8],
        memory: &M,
    ) -> Effects {
        let fault = match self.write_registers(locate, offset, data) {
            Outcome::Start => return self.start_dma(memory),
            Outcome::Selected(key) => {
                return Effects {
                    selected: Some(key),
                    ..Effects::default()
                };
            }
            Outcome::Stored => None,
            Outcome::Dropped if self.is_paused() => Some(Fault::Busy { offset }),
            Outcome::Dropped => Some(Fault::Dropped {
                offset,
                len: data.len(),
            }),
        };
        Effects {
            fault,
            ..Effects::default()
        }
    }

    fn write_registers(&mut self, locate: fn(&Self, u64) -> Place, offset: u64, data: &[u8]) -> Outcome {
        if self.is_paused() {
            return Outcome::Dropped;
        }
        if self.rule == AccessRule::Refuse {
            if is_natural(offset, data.len()) {
                return self.register_write(locate(self, offset), data);
            }
            return Outcome::Dropped;
        }
        let (mut at, mut rest, mut outcome) = (offset, data, Outcome::Dropped);
        while !rest.is_empty() {
            let place = locate(self, at);
            let (piece, tail) = rest.split_at(place.piece(rest.len()));
            at = at.wrapping_add(piece.len() as u64);
            match self.register_write(place, piece) {
                Outcome::Dropped => {}
                done => outcome = done,
            }
            rest = tail;
        }
        outcome
    }

    fn register_read(&mut self, place: Place, data: &mut [u8]) -> Result<(), SourceError> {
        match (place.register, data.len()) {
            (Register::Ports, 1) => return self.read_string(data),
            (Register::Data, len) if place.offset == 0 && len <= self.data_width.len() => {
                return self.read_string(data);
            }
            (Register::Dma, len) => {
                let start = usize::try_from(place.offset).unwrap_or(usize::MAX);
                match DMA_SIGNATURE.get(start..start.saturating_add(len)) {
                    Some(bytes) => data.copy_from_slice(bytes),
                    None => data.fill(0),
                }
            }
            (Register::Hole, _) => data.fill(0xff),
            (Register::Ports | Register::Data | Register::Selector, _) => data.fill(0),
        }
        Ok(())
    }

    fn register_write(&mut self, place: Place, data: &[u8]) -> Outcome {
        match (place.register, place.offset, data) {
            (Register::Ports, 0, &[low, high]) => Outcome::Selected(self.select(u16::from_le_bytes([low, high]))),
            (Register::Selector, 0, &[high, low]) => Outcome::Selected(self.select(u16::from_be_bytes([high, low]))),
            (Register::Dma, 0, &[a, b, c, d]) => {
                self.latch = u64::from(u32::from_be_bytes([a, b, c, d])) << 32;
                Outcome::Stored
            }
            (Register::Dma, 4, &[a, b, c, d]) => {
                self.latch |= u64::from(u32::from_be_bytes([a, b, c, d]));
                Outcome::Start
            }
            (Register::Dma, 0, &[a, b, c, d, e, f, g, h]) => {
                self.latch = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                Outcome::Start
            }
            _ => Outcome::Dropped,
        }
    }
}

/// What a write did to the registers. A split write does one thing at most; its other pieces are dropped, or store the
/// high half of the DMA address before the low half starts the command.
enum Outcome {
    Dropped,
    Stored,
    Selected(u16),
    Start,
}
