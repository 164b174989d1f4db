// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A trace as a stream of lines, in memory bounded by the longest line.

use std::fmt;
use std::io::{self, Read};

use super::header::Header;
use super::line::Line;
use super::parse::ParseError;
use super::parse_header::Builder;

/// Longest line that is read, in bytes without the line end.
pub const MAX_LINE: usize = 16 << 20;
/// Most bytes of header lines in a trace.
const MAX_HEADER: usize = 64 << 20;
/// Size of the buffer at first; it grows only for a line that does not fit.
const BUFFER: usize = 64 << 10;

/// A trace that could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file could not be read.
    #[error("{name}: {source}")]
    Io {
        /// Name of the trace.
        name: String,
        /// What failed.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{name}:{line}:{column}: {what}")]
    Line {
        /// Name of the trace.
        name: String,
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong, with the value.
        what: String,
    },
}

/// One line and its place.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Number of the line, from 1.
    pub number: u64,
    /// The line as it stands in the trace, without the line end.
    pub text: &'a [u8],
    /// What it says.
    pub line: Line<'a>,
}

/// Reads the lines of a trace.
pub struct Reader<R> {
    input: R,
    name: String,
    buffer: Vec<u8>,
    /// The bytes read and not yet returned.
    start: usize,
    end: usize,
    /// Where the last line began, for [`Reader::unread`].
    previous: usize,
    number: u64,
}

impl<R: Read> Reader<R> {
    /// A reader of `input`, called `name` in errors.
    pub fn new(input: R, name: impl Into<String>) -> Self {
        Self {
            input,
            name: name.into(),
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            previous: 0,
            number: 0,
        }
    }

    /// Number of the line returned last, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Reads the header: every line before the first section or access.
    ///
    /// # Errors
    ///
    /// A line is wrong, contradicts an earlier one or is missing, or the file could not be read.
    pub fn header(&mut self) -> Result<Header, TraceError> {
        let mut builder = Builder::default();
        let mut budget = MAX_HEADER;
        while let Some(entry) = self.entry()? {
            let len = entry.text.len();
            let result = match entry.line {
                Line::Comment(_) => Ok(()),
                Line::Header { key, text } => builder.add(entry.text, key, text),
                _ => {
                    self.unread();
                    break;
                }
            };
            result.map_err(|error| self.wrong(&error))?;
            budget = budget
                .checked_sub(len)
                .ok_or_else(|| self.at(1, format!("the header is longer than {MAX_HEADER} bytes")))?;
        }
        builder.finish().map_err(|what| self.at(1, what))
    }

    /// The next line, parsed, or `None` at the end.
    ///
    /// # Errors
    ///
    /// The line is wrong or longer than [`MAX_LINE`], or the file could not be read.
    pub fn entry(&mut self) -> Result<Option<Entry<'_>>, TraceError> {
        let Some((from, to)) = self.advance()? else {
            return Ok(None);
        };
        let text = self.buffer.get(from..to).unwrap_or_default();
        match Line::parse(text) {
            Ok(line) => Ok(Some(Entry {
                number: self.number,
                text,
                line,
            })),
            Err(error) => Err(self.wrong(&error)),
        }
    }

    /// The next line as it stands in the trace, without the line end, or `None` at the end.
    ///
    /// # Errors
    ///
    /// The line is longer than [`MAX_LINE`], or the file could not be read.
    pub fn text(&mut self) -> Result<Option<&[u8]>, TraceError> {
        let range = self.advance()?;
        Ok(range.map(|(from, to)| self.buffer.get(from..to).unwrap_or_default()))
    }

    /// Makes the line returned last the next one again.
    fn unread(&mut self) {
        self.start = self.previous;
        self.number -= 1;
    }

    /// Moves to the next line and returns its place in the buffer.
    #[inline]
    fn advance(&mut self) -> Result<Option<(usize, usize)>, TraceError> {
        let mut searched = self.start;
        loop {
            let fresh = self.buffer.get(searched..self.end).unwrap_or_default();
            if let Some(len) = newline(fresh) {
                let (from, to) = (self.start, searched + len);
                if to - from > MAX_LINE {
                    return Err(self.too_long());
                }
                self.previous = from;
                self.start = to + 1;
                self.number += 1;
                return Ok(Some((from, to)));
            }
            searched = self.end - self.start;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Moves the unfinished line to the front and reads more behind it; false at the end of the trace.
    #[cold]
    fn fill(&mut self) -> Result<bool, TraceError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end > MAX_LINE {
            return Err(self.too_long());
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.end * 2).min(MAX_LINE + BUFFER), 0);
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = loop {
            match self.input.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(TraceError::Io {
                        name: self.name.clone(),
                        source,
                    });
                }
                Ok(count) => break count,
            }
        };
        if count == 0 && self.end > 0 {
            self.number += 1;
            let what = "the last line has no line end: the trace is truncated".to_owned();
            return Err(self.at(self.end + 1, what));
        }
        self.end += count;
        Ok(count > 0)
    }

    #[cold]
    fn too_long(&mut self) -> TraceError {
        self.number += 1;
        self.at(1, format!("the line is longer than {MAX_LINE} bytes"))
    }

    #[cold]
    fn wrong(&self, error: &ParseError) -> TraceError {
        let ParseError { column, what, value } = error;
        self.at(
            *column,
            if value.is_empty() {
                (*what).to_owned()
            } else {
                format!("{what}: `{value}`")
            },
        )
    }

    /// An error in the line returned last.
    #[cold]
    pub(crate) fn at(&self, column: usize, what: String) -> TraceError {
        TraceError::Line {
            name: self.name.clone(),
            line: self.number.max(1),
            column,
            what,
        }
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Place of the first line end: 16 bytes at a time, in a form that compilers turn into vector code.
#[inline]
fn newline(bytes: &[u8]) -> Option<usize> {
    let (chunks, _) = bytes.as_chunks::<16>();
    let skipped = 16
        * chunks
            .iter()
            .take_while(|chunk| !chunk.iter().fold(false, |any, c| any | (*c == b'\n')))
            .count();
    let rest = bytes.get(skipped..)?;
    rest.iter().position(|c| *c == b'\n').map(|at| skipped + at)
}
