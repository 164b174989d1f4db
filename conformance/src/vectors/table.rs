// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A table in memory, and its cases as questions.

use std::fs::File;
use std::path::Path;

use crate::subject::Refusal;
use crate::trace::TraceError;

/// A table of vectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// `@about`: what is decided, such as `ggc`.
    pub about: String,
    /// `@source`: the documents and drivers that the answers are from.
    pub sources: Vec<String>,
    /// Columns before the `=`: what is given.
    pub inputs: Vec<String>,
    /// Columns behind the `=`: what is asked for.
    pub outputs: Vec<String>,
    /// The sections, in order.
    pub sections: Vec<Section>,
}

/// The cases that check one rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Label.
    pub label: String,
    /// The rule in words.
    pub text: String,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One line: what is given, and the answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Number of the line, from 1.
    pub line: u64,
    /// The line.
    pub text: String,
    /// A value for each input.
    pub inputs: Vec<String>,
    /// An answer for each output, or [`ANY`](super::ANY).
    pub outputs: Vec<String>,
}

impl Table {
    /// Reads the table at `path`.
    ///
    /// # Errors
    ///
    /// The file could not be read, or a line of it is wrong.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(file, name),
            Err(source) => Err(TraceError::Io { name, source }),
        }
    }
}

/// What a case gives to a subject.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    table: &'a Table,
    case: &'a Case,
}

impl<'a> Question<'a> {
    /// The question of a case of `table`.
    #[must_use]
    pub const fn new(table: &'a Table, case: &'a Case) -> Self {
        Self { table, case }
    }

    /// What is decided: `@about` of the table.
    #[must_use]
    pub fn about(&self) -> &'a str {
        &self.table.about
    }

    /// The value in an input column.
    ///
    /// # Errors
    ///
    /// [`Refusal::Error`] if the table has no such input.
    pub fn text(&self, column: &str) -> Result<&'a str, Refusal> {
        let mut columns = self.table.inputs.iter().zip(&self.case.inputs);
        let value = columns.find(|(name, _)| *name == column);
        let (_, value) = value.ok_or_else(|| Refusal::Error(format!("the table has no input {column}")))?;
        Ok(value)
    }

    /// The number in an input column: decimal, or with `0x` hexadecimal.
    ///
    /// # Errors
    ///
    /// [`Refusal::Error`] if the table has no such input, or the value is no number that fits.
    pub fn number<T: TryFrom<u64>>(&self, column: &str) -> Result<T, Refusal> {
        self.text(column).and_then(|text| number(column, text))
    }

    /// Whether an input column says `yes`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Error`] if the table has no such input, or the value is neither `yes` nor `no`.
    pub fn flag(&self, column: &str) -> Result<bool, Refusal> {
        self.name(column, &[("yes", true), ("no", false)])
    }

    /// What the name in an input column stands for.
    ///
    /// # Errors
    ///
    /// [`Refusal::Error`] if the table has no such input, or none of `names` is there.
    pub fn name<T: Copy>(&self, column: &str, names: &[(&str, T)]) -> Result<T, Refusal> {
        let text = self.text(column)?;
        let found = names.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| Refusal::Error(format!("{column} {text}: not one that is known")))
    }
}

/// The number `text`, called `what` in errors.
pub(super) fn number<T: TryFrom<u64>>(what: &str, text: &str) -> Result<T, Refusal> {
    let value = match text.strip_prefix("0x") {
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.bytes().all(|digit| digit.is_ascii_digit()) => text.parse().ok(),
        None => None,
    };
    value
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| Refusal::Error(format!("{what} {text}: no number, or too large")))
}
