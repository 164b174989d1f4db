// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Tables of vectors: what a subject decides from given facts, one case a line.
//!
//! Registers are the matter of traces; what a size, a mode or an identity follows from is not, and stands in tables.
//! `FORMAT.md` is the contract of the files.

mod fwcfg;
mod igd;
mod parse;
mod pci;
mod steps;
mod table;

use crate::subject::Refusal;

pub use table::{Case, Question, Section, Table};

/// The version of the vectors format that this crate reads.
pub const VERSION: u64 = 1;
/// Extension of the files.
pub const EXTENSION: &str = "vectors";
/// An expected answer that is not compared.
pub const ANY: &str = "*";

/// Answers by column.
type Answers = Vec<(&'static str, String)>;

/// Decides a case of a table.
type Decision = fn(&Question<'_>) -> Result<Answers, Refusal>;

/// What is refused, whatever the reason.
const REFUSED: &str = "refused";

/// What the crates of this repository answer to a question, by column.
pub(crate) fn answer(question: &Question<'_>) -> Result<Answers, Refusal> {
    let about = question.about();
    let (_, decide) = igd::TABLES
        .iter()
        .chain(&pci::TABLES)
        .chain(&fwcfg::TABLES)
        .find(|(name, _)| *name == about)
        .ok_or_else(|| Refusal::Error(format!("@about {about}: not one that is known")))?;
    decide(question)
}
