// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why the VMM was refused, or failed to deliver.

use alloc::boxed::Box;
use alloc::string::String;
use core::error::Error;

use crate::spec::{FILE_NAME_MAX, FILE_SLOTS_MAX, FILE_SLOTS_MIN, ITEM_LEN_MAX};

/// Why an item cannot be part of a device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The number of file slots is out of range.
    #[error("{slots:#x} file slots, a device has {FILE_SLOTS_MIN:#x} to {FILE_SLOTS_MAX:#x}")]
    FileSlots {
        /// The number asked for.
        slots: u16,
    },
    /// All file slots are taken.
    #[error("no slot is left for file {name:?}: all {slots} are taken")]
    NoSlots {
        /// The file.
        name: String,
        /// File slots of the device.
        slots: u16,
    },
    /// A file has no name.
    #[error("a file needs a name")]
    EmptyName,
    /// A file name does not fit into the directory.
    #[error("file name {name:?} has {} characters, at most {FILE_NAME_MAX} fit", .name.len())]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// A file name holds something else than printable ASCII.
    #[error("file name {name:?} has {found:?} at {position}, only printable ASCII is allowed")]
    NameCharacter {
        /// The name.
        name: String,
        /// The first character that is not allowed.
        found: char,
        /// Its byte offset.
        position: usize,
    },
    /// There is a file of this name.
    #[error("there is a file {name:?}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// There is an item of this key.
    #[error("there is an item of key {key:#06x}")]
    DuplicateKey {
        /// The key.
        key: u16,
    },
    /// The device makes the item of this key itself: the signature, the revision, the directory.
    #[error("the item of key {key:#06x} is the device's own")]
    ReservedKey {
        /// The key.
        key: u16,
    },
    /// No numbered item can have this key.
    #[error("key {key:#06x} is not that of a numbered item")]
    KeyOutOfRange {
        /// The key.
        key: u16,
    },
    /// The item is longer than a length field can say.
    #[error("{len} bytes, an item has at most {ITEM_LEN_MAX}")]
    TooLong {
        /// Length of the item in bytes.
        len: u64,
    },
    /// The reset value has another length than the item.
    #[error("the reset value has {reset} bytes, the item {len}")]
    ResetLength {
        /// Length of the item in bytes.
        len: u64,
        /// Length of the reset value in bytes.
        reset: u64,
    },
}

/// Why the content of a key cannot be replaced.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModifyError {
    /// No item has this key.
    #[error("no item has key {key:#06x}")]
    NoItem {
        /// The key.
        key: u16,
    },
    /// No file has this name.
    #[error("no file is named {name:?}")]
    NoFile {
        /// The name.
        name: String,
    },
    /// The new item cannot be part of a device.
    #[error(transparent)]
    Item(#[from] InsertError),
}

/// Why a saved state does not fit a device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The state has another version than this type.
    #[error("state version {version}, expected 1")]
    Version {
        /// The version found.
        version: u16,
    },
    /// Only one of state and device has the DMA interface.
    #[error("DMA is {state} in the state and {device} in the device")]
    Dma {
        /// Whether the state has DMA.
        state: bool,
        /// Whether the device has DMA.
        device: bool,
    },
    /// State and device have different numbers of file slots.
    #[error("{state:#x} file slots in the state, {device:#x} in the device")]
    FileSlots {
        /// File slots of the state.
        state: u16,
        /// File slots of the device.
        device: u16,
    },
    /// A state without DMA holds a DMA address or command.
    #[error("DMA address {latch:#x} or a waiting command in a state without DMA")]
    DmaState {
        /// The DMA address.
        latch: u64,
    },
    /// The state has an item that the device lacks.
    #[error("the device has no item of key {key:#06x}")]
    UnknownItem {
        /// The key.
        key: u16,
    },
    /// The state has an item twice.
    #[error("the state has the item of key {key:#06x} twice")]
    DuplicateItem {
        /// The key.
        key: u16,
    },
    /// The device has an item that the state lacks.
    #[error("the state has no item of key {key:#06x}")]
    MissingItem {
        /// The key.
        key: u16,
    },
    /// A key belongs to different files.
    #[error("key {key:#06x} is {state:?} in the state and {device:?} in the device")]
    Name {
        /// The key.
        key: u16,
        /// Name in the state; a numbered item has none.
        state: Option<String>,
        /// Name in the device; a numbered item has none.
        device: Option<String>,
    },
    /// An item is writable on one side only.
    #[error("item {key:#06x}: writable is {state} in the state and {device} in the device")]
    Writable {
        /// The key.
        key: u16,
        /// Whether it is writable in the state.
        state: bool,
        /// Whether it is writable in the device.
        device: bool,
    },
    /// An item whose length may not change has another one.
    #[error("item {key:#06x} has {state} bytes in the state and {device} in the device")]
    Length {
        /// The key.
        key: u16,
        /// Bytes in the state.
        state: u64,
        /// Bytes in the device.
        device: u64,
    },
    /// An item is in memory on one side and in a source on the other.
    #[error("item {key:#06x}: only one of state and device reads it from a source")]
    Kind {
        /// The key.
        key: u16,
    },
}

/// Content that its source could not deliver. The guest read zeros.
#[derive(Debug, thiserror::Error)]
#[error("item {key:#06x}: cannot read {len} bytes at {offset:#x}")]
pub struct SourceError {
    /// Key of the item.
    pub key: u16,
    /// Offset of the first byte asked for.
    pub offset: u32,
    /// Bytes asked for.
    pub len: u32,
    /// What the source said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}
