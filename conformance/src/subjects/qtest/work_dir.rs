// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A directory that goes away with its owner.

use std::fs::{self, DirBuilder};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names that other programs may have taken before one is given up on.
const TRIES: u64 = 10_000;

/// A new directory that only this user can enter; removed with all it holds when dropped.
#[derive(Debug)]
pub(crate) struct WorkDir {
    path: PathBuf,
    root: Option<PathBuf>,
}

impl WorkDir {
    /// Creates a directory for temporary files, below `root` if there is one.
    pub(crate) fn new(root: Option<&Path>) -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let base = root.map_or_else(std::env::temp_dir, |root| root.join("tmp"));
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("igd-conformance-{}-{number}", process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        root: root.map(Path::to_owned),
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::new(error.kind(), format!("{}: {error}", path.display()))),
            }
        }
        Err(Error::new(
            ErrorKind::AlreadyExists,
            format!("{}: no name is free", base.display()),
        ))
    }

    /// Path of a file in the directory.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same path as a program below the root directory sees it.
    pub(crate) fn inside(&self, name: &str) -> String {
        let path = self.join(name);
        match self.root.as_ref().and_then(|root| path.strip_prefix(root).ok()) {
            Some(rest) => format!("/{}", rest.display()),
            None => path.display().to_string(),
        }
    }

    /// Writes a file and returns its path as a program below the root directory sees it.
    pub(crate) fn store(&self, name: &str, bytes: &[u8]) -> Result<String, Error> {
        fs::write(self.join(name), bytes)?;
        Ok(self.inside(name))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        // Nobody is left who could be told.
        let _ = fs::remove_dir_all(&self.path);
    }
}
