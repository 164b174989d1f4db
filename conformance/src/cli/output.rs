// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Standard output and standard error. A reader that has gone is not an error.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::ValueEnum;

/// When to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether standard output gets colours.
    pub(super) fn is_on(self) -> bool {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
            }
        }
    }
}

/// Columns of the terminal that standard output is, if it is one.
pub(super) fn width() -> Option<u16> {
    terminal_size::terminal_size_of(io::stdout()).map(|(columns, _)| columns.0)
}

/// Standard output; what its reader does not wait for is dropped.
pub(super) struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match io::stdout().write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match io::stdout().flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let written = Out.write_all(text.as_bytes()).and_then(|()| Out.flush());
    written.context("cannot write to standard output")
}

/// Writes a line to standard error.
pub(super) fn note(text: &str) {
    // There is nowhere to say that standard error is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error to standard error.
pub(super) fn error(text: &str) {
    note(&format!("error: {text}"));
}

/// Writes a warning to standard error.
pub(super) fn warning(text: &str) {
    note(&format!("warning: {text}"));
}
