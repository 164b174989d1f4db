// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What an access caused outside the device.

use crate::device::FwCfg;
use crate::error::SourceError;

/// What a guest's write caused, for the VMM to act on after the call.
///
/// One write selects, transfers and fails at most once each.
#[derive(Debug, Default)]
#[must_use = "a lost status or a paused command leaves the guest waiting"]
#[non_exhaustive]
pub struct Effects {
    /// The key that the guest selected, without [`KEY_WRITE_CHANNEL`](crate::spec::KEY_WRITE_CHANNEL), or
    /// [`KEY_INVALID`](crate::spec::KEY_INVALID) if its index is out of range. There need not be an item.
    pub selected: Option<u16>,
    /// Bytes that the guest stored in an item.
    pub written: Option<Written>,
    /// What went wrong.
    pub fault: Option<Fault>,
    /// Guest-physical address of a descriptor whose status could not be stored. The guest polls it for ever.
    pub status_lost: Option<u64>,
    /// Whether a DMA command waits between selection and transfer, because its item is
    /// [`paused_on_select`](crate::Item::paused_on_select).
    ///
    /// The VMM replaces the content with [`FwCfg::modify`] if it wants to, then calls [`FwCfg::resume`], before any
    /// other guest access.
    pub paused: bool,
}

/// Bytes that a guest stored in an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// Key of the item.
    pub key: u16,
    /// Offset of the first byte.
    pub offset: u32,
    /// How many bytes.
    pub len: u32,
}

/// Why a guest's write failed, or had no effect.
///
/// Guests cause all of them at will except [`Source`](Self::Source), so a VMM that logs them limits the rate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The descriptor of a DMA command is not in guest RAM.
    #[error("DMA descriptor at {gpa:#x} is not in guest RAM")]
    Descriptor {
        /// Guest-physical address of the descriptor.
        gpa: u64,
    },
    /// The buffer of a DMA command is not in guest RAM throughout. A write has stored zeros for what is not.
    #[error("DMA buffer of {len:#x} bytes at {gpa:#x} is not in guest RAM")]
    Buffer {
        /// Guest-physical address of the buffer.
        gpa: u64,
        /// Bytes of the buffer.
        len: u32,
    },
    /// A DMA command writes where there is no item, or past its end.
    #[error("DMA write of {len:#x} bytes at {offset:#x} of key {key:#06x} stores nothing there")]
    WriteOutside {
        /// Selected key.
        key: u16,
        /// Offset of the first byte.
        offset: u32,
        /// Bytes to write.
        len: u32,
    },
    /// A DMA command writes to an item that is read-only.
    #[error("DMA write to the read-only item {key:#06x}")]
    ReadOnly {
        /// Key of the item.
        key: u16,
    },
    /// The content of an item could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The guest wrote while a DMA command was paused; the write is dropped.
    #[error("write at {offset:#x} while a DMA command is paused")]
    Busy {
        /// Offset in the window.
        offset: u64,
    },
    /// No register takes this write; it is dropped.
    #[error("no register takes a write of {len} bytes at {offset:#x}")]
    Dropped {
        /// Offset in the window.
        offset: u64,
        /// Bytes of the write.
        len: usize,
    },
}

/// Takes what [`Attached`](crate::Attached) has nobody to return to: all effects and failures of one device.
///
/// `()` ignores them.
pub trait Events {
    /// Takes the effects of a write.
    ///
    /// May modify items of `device`. A paused command goes on when this returns.
    fn effects(&mut self, device: &mut FwCfg, effects: Effects) {
        let _ = (device, effects);
    }

    /// Takes the error of a read for which the guest saw zeros.
    fn source_failed(&mut self, error: SourceError) {
        drop(error);
    }
}

impl Events for () {}
