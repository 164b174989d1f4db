// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved state.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::builder::is_reserved;
use crate::device::{FwCfg, position};
use crate::dma::Command;
use crate::error::RestoreError;
use crate::item::{Content, Item};
use crate::spec::ITEM_LEN_MAX;

/// Version of [`FwCfgStateV1`].
const VERSION: u16 = 1;

/// State of a device, with the contents that are in memory.
///
/// Contents travel, so that a guest reads on the other side what it would have read here. Those of a
/// [`Source`](crate::Source) do not: both sides are built with the same. The signature, the revision and the directory
/// follow from the rest.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FwCfgStateV1 {
    /// Version of the state: 1.
    pub version: u16,
    /// Whether the device has the DMA interface.
    pub dma: bool,
    /// File slots of the device.
    pub file_slots: u16,
    /// Selected key. One that is out of range is as good as [`KEY_INVALID`](crate::spec::KEY_INVALID).
    pub selector: u16,
    /// Offset of the next byte. Any value is legal: beyond the end of the item a guest reads zeros.
    pub offset: u32,
    /// The DMA address, as far as the guest has written it.
    pub dma_latch: u64,
    /// A DMA command that waits for [`FwCfg::resume`].
    pub paused: Option<PausedDmaV1>,
    /// All items but the device's own, by key.
    pub items: Vec<ItemStateV1>,
}

/// A DMA command that waits between selection and transfer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PausedDmaV1 {
    /// Guest-physical address of the descriptor.
    pub descriptor: u64,
    /// Control field of the descriptor.
    pub control: u32,
    /// Bytes to transfer.
    pub len: u32,
    /// Guest-physical address of the buffer.
    pub buffer: u64,
}

/// State of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ItemStateV1 {
    /// Key of the item.
    pub key: u16,
    /// Name of a file; a numbered item has none.
    pub name: Option<String>,
    /// Whether a guest may write the item.
    pub writable: bool,
    /// The content.
    pub content: ContentStateV1,
}

/// Content of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ContentStateV1 {
    /// Content in memory.
    Bytes(Vec<u8>),
    /// Content of a source.
    Source {
        /// Length in bytes.
        len: u32,
    },
}

impl ContentStateV1 {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source { len } => u64::from(*len),
        }
    }
}

impl FwCfg {
    /// The state of the device.
    #[must_use]
    pub fn state(&self) -> FwCfgStateV1 {
        let Self {
            rule: _,
            data_width: _,
            dma,
            slots,
            directory,
            items,
            selected: _,
            window: _,
            offset,
            latch,
            paused,
        } = self;
        let items = items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| Some((self.key_at(at), item.as_ref()?)))
            .filter(|(key, _)| !is_reserved(*key))
            .map(|(key, item)| {
                let Item {
                    content,
                    writable,
                    pauses: _,
                    reset: _,
                } = item;
                ItemStateV1 {
                    key,
                    name: directory.name(key).map(String::from),
                    writable: *writable,
                    content: match content {
                        Content::Bytes(bytes) => ContentStateV1::Bytes(bytes.to_vec()),
                        Content::Source(_, len) => ContentStateV1::Source { len: *len },
                    },
                }
            })
            .collect();
        FwCfgStateV1 {
            version: VERSION,
            dma: *dma,
            file_slots: *slots,
            selector: self.selected(),
            offset: *offset,
            dma_latch: *latch,
            paused: paused.map(|command| {
                let Command {
                    descriptor,
                    control,
                    len,
                    buffer,
                } = command;
                PausedDmaV1 {
                    descriptor,
                    control,
                    len,
                    buffer,
                }
            }),
            items,
        }
    }

    /// Takes over a state. Causes no effects; if the state [has a waiting command](Self::is_paused), it waits on.
    ///
    /// # Errors
    ///
    /// The state does not fit the device, which is then unchanged. Files, keys and writability have to be the same,
    /// and so have the lengths of writable items and sources.
    pub fn restore(&mut self, state: &FwCfgStateV1) -> Result<(), RestoreError> {
        self.check(state)?;
        let FwCfgStateV1 {
            version: _,
            dma: _,
            file_slots: _,
            selector,
            offset,
            dma_latch,
            paused,
            items,
        } = state;
        for saved in items {
            let ItemStateV1 {
                key,
                name: _,
                writable: _,
                content,
            } = saved;
            let held = position(self.slots, *key).and_then(|at| self.items.get_mut(at)?.as_mut());
            if let (Some(held), ContentStateV1::Bytes(bytes)) = (held, content)
                && held.bytes() != Some(bytes)
            {
                held.content = Content::Bytes(Arc::from(bytes.as_slice()));
            }
        }
        self.select(*selector);
        self.offset = *offset;
        self.latch = *dma_latch;
        self.paused = paused.map(|command| {
            let PausedDmaV1 {
                descriptor,
                control,
                len,
                buffer,
            } = command;
            Command {
                descriptor,
                control,
                len,
                buffer,
            }
        });
        self.render_directory();
        Ok(())
    }

    fn check(&self, state: &FwCfgStateV1) -> Result<(), RestoreError> {
        if state.version != VERSION {
            return Err(RestoreError::Version { version: state.version });
        }
        if state.dma != self.dma {
            return Err(RestoreError::Dma {
                state: state.dma,
                device: self.dma,
            });
        }
        if state.file_slots != self.slots {
            return Err(RestoreError::FileSlots {
                state: state.file_slots,
                device: self.slots,
            });
        }
        if !state.dma && (state.dma_latch != 0 || state.paused.is_some()) {
            return Err(RestoreError::DmaState { latch: state.dma_latch });
        }
        let mut missing: Vec<bool> = self.items.iter().map(Option::is_some).collect();
        for saved in &state.items {
            let key = saved.key;
            self.check_saved(saved)?;
            match self.exact_position(key).and_then(|at| missing.get_mut(at)) {
                Some(missing) if *missing => *missing = false,
                _ => return Err(RestoreError::DuplicateItem { key }),
            }
        }
        let left = missing.iter().enumerate().filter(|(_, missing)| **missing);
        match left.map(|(at, _)| self.key_at(at)).find(|key| !is_reserved(*key)) {
            Some(key) => Err(RestoreError::MissingItem { key }),
            None => Ok(()),
        }
    }

    fn check_saved(&self, saved: &ItemStateV1) -> Result<(), RestoreError> {
        let key = saved.key;
        let held = self.item(key).filter(|_| !is_reserved(key));
        let held = held.ok_or(RestoreError::UnknownItem { key })?;
        let name = self.directory.name(key);
        if saved.name.as_deref() != name {
            return Err(RestoreError::Name {
                key,
                state: saved.name.clone(),
                device: name.map(String::from),
            });
        }
        if saved.writable != held.writable {
            return Err(RestoreError::Writable {
                key,
                state: saved.writable,
                device: held.writable,
            });
        }
        let in_memory = matches!(saved.content, ContentStateV1::Bytes(_));
        if in_memory != held.bytes().is_some() {
            return Err(RestoreError::Kind { key });
        }
        let (state, device) = (saved.content.len(), held.len());
        let fixed = held.writable || !in_memory;
        if state > u64::from(ITEM_LEN_MAX) || fixed && state != device {
            return Err(RestoreError::Length { key, state, device });
        }
        Ok(())
    }
}
