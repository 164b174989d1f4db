// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The trace format: parser, printer and header.

mod header;
mod line;

pub use header::{BarKind, BarSpec, CapSpec, Header, Item, Kind, PciImage, Rom};
pub use line::{Hex, Line, Space, Width};
