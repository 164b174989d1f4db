// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A folder that goes away, and the header of a small machine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use igd_conformance::trace::Header;

/// A folder that goes away.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "igd-conformance-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn header() -> Header {
    Header {
        ram: 1 << 20,
        ..Header::default()
    }
}
