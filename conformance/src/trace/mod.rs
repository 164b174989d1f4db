// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The trace format: parser, printer and header.

mod line;

pub use line::{Hex, Line, Space, Width};

/// The header of a trace.
#[derive(Clone, Debug, Default)]
pub struct Header {}
