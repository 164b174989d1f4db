// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which files a directory takes, and under which keys.

use fwcfg::{FwCfgBuilder, InsertError};

use super::{Answers, Question};
use crate::subject::Refusal;
use crate::vectors::steps::{joined, list};

/// The files that were refused, with the reason, and the keys of the others.
pub(super) fn files(question: &Question<'_>) -> Result<Answers, Refusal> {
    let builder = FwCfgBuilder::with_file_slots(question.number("slots")?);
    let mut builder = builder.map_err(|error| Refusal::Error(error.to_string()))?;
    let mut refused = Vec::new();
    for name in list(question, "names")? {
        if let Err(error) = builder.add_file(name, [0]) {
            refused.push(format!("{}:{name}", reason(&error)));
        }
    }
    let device = builder.build();
    let keys: Vec<_> = device.files().map(|(key, name)| format!("{key:#x}:{name}")).collect();
    Ok(vec![("refused", joined(&refused)), ("keys", joined(&keys))])
}

const fn reason(error: &InsertError) -> &'static str {
    match error {
        InsertError::NoSlots { .. } => "no-slots",
        InsertError::EmptyName => "empty",
        InsertError::NameTooLong { .. } => "too-long",
        InsertError::NameCharacter { .. } => "character",
        InsertError::DuplicateName { .. } => "duplicate",
        _ => "other",
    }
}
