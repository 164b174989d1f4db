// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![forbid(unsafe_code)]
//! Replays recorded register traces on device models.
//!
//! A trace ([`trace`], `FORMAT.md`) holds what a program or real firmware did to registers and what QEMU's devices
//! answered. An implementation under test is a [`subject::Subject`]; [`runner`] replays traces on it, [`report`] says
//! what came of it. The program `igd-conformance` does this for the device models of this repository and for QEMU
//! itself; another VMM implements two traits and calls [`runner::run`], as `examples/wrong_device.rs` shows:
//!
//! ```
//! use std::sync::Arc;
//!
//! use igd_conformance::corpus::{self, Corpus};
//! use igd_conformance::report::Counts;
//! use igd_conformance::runner::{self, Options, SharedSubject, Storage};
//!
//! let corpus = Corpus::locate(None)?;
//! let traces = corpus::find(Some(&corpus), &["cfg1".into()])?;
//! let subject: SharedSubject = Arc::new(Storage);
//! let outcome = runner::run(&subject, traces, &Options::default(), &mut |_, _| {})?;
//! // Plain storage is no PCI host bridge.
//! assert!(Counts::of(&outcome.report.trials).unexpected() > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod cli;
pub mod compare;
pub mod corpus;
pub mod diff;
pub mod expect;
pub mod pattern;
pub mod record;
pub mod report;
pub mod runner;
pub mod shard;
pub mod subject;
pub mod subjects;
pub mod trace;
pub mod vectors;
