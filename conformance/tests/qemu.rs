// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
//! The qtest client against hostile peers.

#[path = "qemu/folder.rs"]
mod folder;
#[path = "qemu/peers.rs"]
mod peers;
