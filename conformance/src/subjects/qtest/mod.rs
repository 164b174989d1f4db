// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Programs that answer register accesses over QEMU's qtest protocol.
//!
//! [`Qtest`] talks to a program that is already running, [`Qemu`] starts a QEMU for each trace. Both expect the worst
//! of the peer: every answer has a deadline, every line a greatest length, and what does not parse is an error.

mod client;
mod command_line;
mod connection;
mod machine;
mod process;
mod qemu;
mod qmp;
mod remote;
mod shim;
mod work_dir;

pub(crate) use client::{Client, hex};
pub(crate) use command_line::{check_machine, device, is_made_up, launcher_for, on_made_up_host};
pub use connection::ConnectionError;
pub(crate) use machine::Link;
pub(crate) use process::escape_commas;
pub use process::{Launcher, PACKAGE};
pub use qemu::Qemu;
pub(crate) use qemu::{answers_for, rom_image};
pub(crate) use qmp::{Region, RegionKind};
pub use remote::Qtest;
pub(crate) use work_dir::WorkDir;
