// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Text to tables.

use std::collections::HashSet;
use std::io::Read;

use super::VERSION;
use super::table::number;
use super::table::{Case, Section, Table};
use crate::trace::{Line, Reader, TraceError};

/// Longest line, in bytes.
const MAX_LINE: usize = 4096;
/// Most columns.
const MAX_COLUMNS: usize = 32;
/// Most lines.
const MAX_LINES: u64 = 65536;

/// Between what is given and what is asked for, in the columns and in every case.
const SEPARATOR: &str = "=";

/// What is wrong in a line, and at which column from 1.
type Wrong = (usize, String);

#[derive(Default)]
struct Builder {
    version: bool,
    about: Option<String>,
    sources: Vec<String>,
    columns: Option<(Vec<String>, Vec<String>)>,
    labels: HashSet<String>,
    sections: Vec<Section>,
}

impl Table {
    /// Reads a table, called `name` in errors.
    ///
    /// # Errors
    ///
    /// `input` could not be read, or a line of it is wrong.
    pub fn read(input: impl Read, name: impl Into<String>) -> Result<Self, TraceError> {
        let mut reader = Reader::new(input, name);
        let mut builder = Builder::default();
        while let Some(line) = reader.text()? {
            let text = match line.iter().position(|byte| !(0x20..=0x7e).contains(byte)) {
                _ if line.len() > MAX_LINE => Err((1, format!("the line is longer than {MAX_LINE} bytes"))),
                Some(at) => Err((at + 1, "a byte that is not printable ASCII".to_owned())),
                None => Ok(String::from_utf8_lossy(line).into_owned()),
            };
            let number = reader.number();
            let taken = text.and_then(|text| {
                if number > MAX_LINES {
                    return Err((1, format!("more than {MAX_LINES} lines")));
                }
                builder.line(number, &text)
            });
            taken.map_err(|(column, what)| reader.at(column, what))?;
        }
        builder.finish().map_err(|what| reader.at(1, what))
    }
}

impl Builder {
    fn line(&mut self, number: u64, text: &str) -> Result<(), Wrong> {
        if text.is_empty() || text == "#" || text.starts_with("# ") {
            return Ok(());
        }
        if let Some(header) = text.strip_prefix('@') {
            return self.header(header);
        }
        if !self.version {
            return Err((1, format!("expected `@vectors {VERSION}`")));
        }
        if text.starts_with("section ") {
            return self.section(text);
        }
        self.case(number, text)
    }

    fn header(&mut self, header: &str) -> Result<(), Wrong> {
        let (key, text) = header.split_once(' ').unwrap_or((header, ""));
        // Behind the `@`, the key and a space.
        let column = key.len() + 3;
        if !self.sections.is_empty() {
            return Err((1, "a header stands after the first section".to_owned()));
        }
        if self.version == (key == "vectors") {
            return Err((1, format!("expected `@vectors {VERSION}`, once and first")));
        }
        if text.is_empty() {
            return Err((column, format!("@{key} says nothing")));
        }
        match key {
            "vectors" if number::<u64>(key, text) == Ok(VERSION) => self.version = true,
            "vectors" => return Err((column, format!("this version is not known: `{text}`"))),
            "source" => self.sources.push(text.to_owned()),
            "about" if self.about.is_none() => self.about = Some(text.to_owned()),
            "columns" if self.columns.is_none() => self.columns = Some(columns(text, column)?),
            "about" | "columns" => return Err((1, format!("@{key} stands twice"))),
            _ => return Err((2, format!("expected about, source or columns: `{key}`"))),
        }
        Ok(())
    }

    fn section(&mut self, line: &str) -> Result<(), Wrong> {
        let (label, text) = match Line::parse(line.as_bytes()) {
            Ok(Line::Section { label, text }) => (label.to_owned(), text.to_owned()),
            Ok(_) => return Err((1, "expected a section".to_owned())),
            Err(error) => return Err((error.column, error.what.to_owned())),
        };
        if !self.labels.insert(label.clone()) {
            return Err((9, format!("this section stands twice: `{label}`")));
        }
        self.sections.push(Section {
            label,
            text,
            cases: Vec::new(),
        });
        Ok(())
    }

    fn case(&mut self, line: u64, text: &str) -> Result<(), Wrong> {
        let Some((inputs, outputs)) = &self.columns else {
            return Err((1, "a case stands before @columns".to_owned()));
        };
        let section = self.sections.last_mut();
        let section = section.ok_or_else(|| (1, "a case stands before the first section".to_owned()))?;
        let (given, asked) = halves(text, 1)?;
        for (half, columns, column) in [
            (&given, inputs, 1),
            (&asked, outputs, text.find(" = ").map_or(1, |at| at + 4)),
        ] {
            if half.len() != columns.len() {
                let what = format!("expected {} values ({})", columns.len(), columns.join(" "));
                return Err((column, what));
            }
        }
        section.cases.push(Case {
            line,
            text: text.to_owned(),
            inputs: given,
            outputs: asked,
        });
        Ok(())
    }

    fn finish(self) -> Result<Table, String> {
        let missing = |key: &str| format!("there is no @{key}");
        if self.sources.is_empty() {
            return Err(missing("source"));
        }
        let (inputs, outputs) = self.columns.ok_or_else(|| missing("columns"))?;
        if let Some(section) = self.sections.iter().find(|section| section.cases.is_empty()) {
            return Err(format!("section {} has no cases", section.label));
        }
        if self.sections.is_empty() {
            return Err("there are no cases".to_owned());
        }
        Ok(Table {
            about: self.about.ok_or_else(|| missing("about"))?,
            sources: self.sources,
            inputs,
            outputs,
            sections: self.sections,
        })
    }
}

/// The columns, each with a name of its own.
fn columns(text: &str, column: usize) -> Result<(Vec<String>, Vec<String>), Wrong> {
    let (inputs, outputs) = halves(text, column)?;
    let mut names = HashSet::new();
    match inputs.iter().chain(&outputs).find(|name| !names.insert(*name)) {
        Some(name) => Err((column, format!("this column stands twice: `{name}`"))),
        None => Ok((inputs, outputs)),
    }
}

/// Fields before and behind the separator. `column` is where `text` starts in its line.
fn halves(text: &str, column: usize) -> Result<(Vec<String>, Vec<String>), Wrong> {
    let (mut before, mut behind) = (Vec::new(), None);
    let mut at = column;
    for (count, field) in text.split(' ').enumerate() {
        if field.is_empty() {
            return Err((at, "expected one space between fields, and none at the end".to_owned()));
        }
        if count > MAX_COLUMNS {
            return Err((at, format!("more than {MAX_COLUMNS} columns")));
        }
        match (&mut behind, field) {
            (Some(_), SEPARATOR) => return Err((at, format!("a second `{SEPARATOR}`"))),
            (behind, SEPARATOR) => *behind = Some(Vec::new()),
            (Some(behind), _) => behind.push(field.to_owned()),
            (None, _) => before.push(field.to_owned()),
        }
        at += field.len() + 1;
    }
    match behind {
        Some(behind) if !before.is_empty() && !behind.is_empty() => Ok((before, behind)),
        _ => Err((at - 1, format!("expected values on both sides of a `{SEPARATOR}`"))),
    }
}
