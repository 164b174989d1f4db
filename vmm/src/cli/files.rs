// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Files that are read and written.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::Failure;
use crate::machine::Output;

/// Reads a file of `limit` bytes at the most.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Failure> {
    let named = |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| named(&error))?;
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
        Ok(bytes)
    } else {
        Err(named(&format!("more than the {limit} bytes that such a file may have")))
    }
}

/// Creates a file.
pub(super) fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = create(path)?.write_all(bytes);
    written.map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
}

/// Where a device writes to: `stdio`, `none` or a file.
pub(super) fn output(text: &str) -> Result<Output, Failure> {
    Ok(match text {
        "none" => Output::None,
        "stdio" => Output::Stdout,
        path => Output::File(create(Path::new(path))?),
    })
}
