// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Records traces: performs a scripted sequence of accesses on QEMU and writes down every answer.
//!
//! `RECORDING.md` says how to use it. The same options and the same QEMU give the same trace, byte for byte, and a
//! recorded trace holds what is needed to record it again.

mod args;
mod merge;
mod mt19937;
mod options;
mod recorder;
mod suites;
mod verify;

pub use args::{RecordArgs, RecordOutcome, run, run_to};
