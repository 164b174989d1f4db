// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `pci-model` tells a VMM, table by table.

mod carving;
mod function;
mod msix;
mod passthrough;

use pci_model::{ConfigAccess, Width};

use super::steps::{Step, wrong};
use super::{Answers, Decision, Question, REFUSED};
use crate::subject::Refusal;

/// What the crate decides, by `@about`.
pub(super) const TABLES: [(&str, Decision); 6] = [
    ("carve", carving::pieces),
    ("page-slot", carving::page_slot),
    ("function", function::function),
    ("msix-table", msix::table),
    ("passthrough-read", passthrough::read),
    ("passthrough-command", passthrough::command),
];

/// The access to configuration space of a step.
fn access(step: &Step<'_>) -> Result<ConfigAccess, Refusal> {
    Width::from_len(step.count()?)
        .and_then(|width| step.at().map(|at| ConfigAccess::new(at, width)).transpose())
        .ok_or_else(|| wrong(step.text, "no access to configuration space"))?
}

/// The word at `offset`, a constant of the caller.
fn word(offset: u16) -> Result<ConfigAccess, Refusal> {
    ConfigAccess::new(offset, Width::Word).ok_or_else(|| Refusal::Error(format!("no word at {offset:#x}")))
}
