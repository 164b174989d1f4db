// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod bridge;
mod identity;
mod overlay;
mod pch;
mod spec;
mod state;

pub use bridge::{LpcBridge, LpcBridgeError};
pub use identity::{ConfigError, Identity, IdentityWarning};
pub use overlay::{HOST_BRIDGE, ISA_BRIDGE, Overlaid, Overlay, PatchError, XEN_HOST_BRIDGE};
pub use pch::{Pch, VirtualBridge};
pub use state::LpcBridgeStateV1;
