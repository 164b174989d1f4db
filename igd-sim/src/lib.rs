// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod bytes;
mod config;
mod device;
mod fault;
mod ggc;
mod gt;
pub mod memory;
mod named;
pub mod opregion;
mod profile;
pub mod rom;
#[cfg(feature = "server")]
pub mod server;
pub mod spec;
pub mod test_page;
pub mod vbt;

pub use device::{
    AccessError, BuildFailure, Interrupt, InterruptInfo, InterruptKind, Options, ParseRegionError, Region, RegionKind,
    Signal, SimDevice,
};
pub use fault::{Fault, ParseFaultError};
pub use ggc::{GgcError, encode as encode_ggc};
pub use profile::{CapabilityLayout, Class, OpRegionVersion, ParseVersionError, Profile, RomKind};
