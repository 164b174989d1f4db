// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The decisions of `igd-quirks`, table by table.

mod decision;
mod identity;
mod opregion;
mod ports;
mod registers;
mod sizes;

use igd_quirks::platform::Class;

use super::Question;
use crate::subject::Refusal;

/// Answers by column.
type Answers = Vec<(&'static str, String)>;

/// Decides a case of a table.
type Decision = fn(&Question<'_>) -> Result<Answers, Refusal>;

/// What the crate decides, by `@about`.
const TABLES: [(&str, Decision); 8] = [
    ("ggc", sizes::ggc),
    ("gms-override", sizes::gms_override),
    ("qemu-generation", identity::qemu_generation),
    ("pch", identity::pch),
    ("opregion", opregion::presented),
    ("legacy-decision", decision::legacy),
    ("registers", registers::registers),
    ("bar4", ports::bar4),
];

/// What is refused, whatever the reason.
const REFUSED: &str = "refused";

const CLASSES: [(&str, Class); 8] = [
    ("G6", Class::G6),
    ("G7", Class::G7),
    ("G8", Class::G8),
    ("CHV", Class::Chv),
    ("G9", Class::G9),
    ("G11", Class::G11),
    ("G12", Class::G12),
    ("LMEMBAR", Class::LmemBar),
];

/// The answers to a question, by column.
pub(crate) fn answer(question: &Question<'_>) -> Result<Answers, Refusal> {
    let about = question.about();
    let (_, table) = TABLES
        .iter()
        .find(|(name, _)| *name == about)
        .ok_or_else(|| Refusal::Error(format!("@about {about}: not one that is known")))?;
    table(question)
}
