// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `fwcfg` does beyond the ports of a machine: its memory-mapped form, its directory, its saved state.

mod device;
mod files;

use super::{Answers, Decision, Question};

/// What the crate decides, by `@about`.
pub(super) const TABLES: [(&str, Decision); 2] = [("fwcfg", device::device), ("fwcfg-files", files::files)];
