// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![doc = include_str!("../README.md")]

pub mod assigned;
pub mod backend;
pub mod boot;
pub mod devices;
pub mod fault;
pub mod irq;
pub mod machine;
pub mod memory;
pub mod probe;
pub mod trace;
mod wait;

#[cfg(feature = "cli")]
pub mod cli;
