// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod access;
mod attached;
mod builder;
mod device;
mod directory;
mod dma;
mod error;
mod events;
mod item;
mod memory;
mod mmio;
mod ports;
pub mod spec;
mod state;
#[cfg(feature = "vm-device")]
mod vm_device;
#[cfg(feature = "vm-memory")]
mod vm_memory;

pub use access::{AccessRule, DataWidth};
pub use attached::Attached;
pub use builder::FwCfgBuilder;
pub use device::FwCfg;
pub use error::{InsertError, ModifyError, RestoreError, SourceError};
pub use events::{Effects, Events, Fault, Written};
pub use item::{Item, Source};
pub use memory::{GuestMemory, MemoryError};
pub use state::{ContentStateV1, FwCfgStateV1, ItemStateV1, PausedDmaV1};
#[cfg(feature = "vm-memory")]
pub use vm_memory::VmMemory;
