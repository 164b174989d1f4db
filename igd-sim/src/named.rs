// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Values that have a name on the command line, as a table.

use std::fmt;

/// Prints the name of `value`.
pub(crate) fn show<T: PartialEq>(table: &[(&'static str, T)], value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.pad(
        table
            .iter()
            .find(|(_, named)| named == value)
            .map_or("", |(name, _)| name),
    )
}

/// The value of this name.
pub(crate) fn find<T: Copy>(table: &[(&'static str, T)], text: &str) -> Result<T, ()> {
    table
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, value)| *value)
        .ok_or(())
}
