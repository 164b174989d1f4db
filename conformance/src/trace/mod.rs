// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The trace format: parser, printer, header and streaming reader. `FORMAT.md` is its contract.

mod header;
mod hex;
mod line;
mod parse;
mod parse_header;
mod print;
mod reader;

pub use header::{BarKind, BarSpec, CapSpec, Header, Item, Kind, PciImage, Rom};
pub use hex::Hex;
pub use line::{Line, Space, Width};
pub use parse::ParseError;
pub use reader::{Entry, MAX_LINE, Reader, TraceError};

/// The version of the trace format that this crate reads and writes.
pub const VERSION: u64 = 1;
