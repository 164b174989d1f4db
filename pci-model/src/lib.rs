// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_std]
#![forbid(unsafe_code)]
//! PCI configuration space for VMMs, as bytes with masks.

mod access;
mod bdf;
mod window;

pub use access::{ConfigAccess, EXTENDED_CONFIG_SIZE, Width};
pub use bdf::{Bdf, ParseBdfError};
pub use window::{Mmio, PortIo};
