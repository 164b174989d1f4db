// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables of vectors: what a subject decides from given facts, one case a line.
//!
//! Registers are the matter of traces; what a size, a mode or an identity follows from is not, and stands in tables.
//! `FORMAT.md` is the contract of the files.

pub(crate) mod igd;
mod parse;
mod table;

pub use table::{Case, Question, Section, Table};

/// The version of the vectors format that this crate reads.
pub const VERSION: u64 = 1;
/// Extension of the files.
pub const EXTENSION: &str = "vectors";
/// An expected answer that is not compared.
pub const ANY: &str = "*";
