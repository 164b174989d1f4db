// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

extern crate alloc;

pub mod bridges;
mod bytes;
pub mod device;
pub mod facts;
pub mod ggc;
pub mod opregion;
pub mod options;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod rom;
pub mod spec;
pub mod stolen;
pub mod vbt;
pub mod vga;
