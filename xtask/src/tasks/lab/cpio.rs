// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An initial RAM disk: a cpio archive of the kind `newc`.

use std::collections::BTreeSet;

/// Kinds of files, and modes.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
const CONSOLE: u32 = 0o020_600;
/// Major and minor number of the console.
const CONSOLE_NUMBER: (u32, u32) = (5, 1);

/// An archive being made. A path that is there already is not put in again: the first wins.
#[derive(Default, Debug)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    paths: BTreeSet<String>,
}

impl Archive {
    /// One with the folders that the kernel and init need.
    pub(super) fn new() -> Self {
        let mut archive = Self::default();
        for folder in ["proc", "sys", "dev", "tmp", "run", "etc"] {
            archive.folders(&format!("{folder}/x"));
        }
        archive.entry("dev/console", CONSOLE, &[], CONSOLE_NUMBER);
        archive
    }

    /// A program or script.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.put(path, FILE | 0o755, content);
    }

    /// A file.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) {
        self.put(path, FILE | 0o644, content);
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.put(path, LINK, target.as_bytes());
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[], (0, 0));
        self.bytes
    }

    fn put(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.folders(path);
        if self.paths.insert(path.to_owned()) {
            self.entry(path, mode, content, (0, 0));
        }
    }

    fn folders(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..at).unwrap_or_default();
            if self.paths.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, &[], (0, 0));
            }
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8], device: (u32, u32)) {
        self.inode += 1;
        // A file of 4 GiB does not fit; those here are kernels and programs.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name, 0];
        let mut header = String::from("070701");
        for field in fields {
            header += &format!("{field:08X}");
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    #[test]
    fn entries_are_aligned_and_say_their_sizes() {
        let mut archive = Archive::default();
        archive.file("a/b", b"hello");
        archive.file("a/b", b"another");
        archive.link("a/c", "b");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(text.matches("070701").count(), 4, "a folder, a file, a link, the end");
        assert!(!text.contains("another"), "the first wins");
        let file = text.find("a/b\0").unwrap() - 110;
        assert_eq!(&text[file..file + 6], "070701");
        assert_eq!(&text[file + 14..file + 22], "000081A4", "a regular file, 0644");
        assert_eq!(&text[file + 54..file + 62], "00000005", "size");
        assert_eq!(
            &text[file + 94..file + 102],
            "00000004",
            "length of the name with its end"
        );
        assert_eq!((file + 110 + 4) % 4, 2, "padding follows the name");
        assert_eq!(&text[file + 116..file + 121], "hello");
    }

    #[test]
    fn the_systems_cpio_reads_it() {
        let mut archive = Archive::new();
        archive.program("lab/steps/one.sh", b"#!/bin/sh\n");
        let bytes = archive.finish();
        let cpio = Command::new("cpio")
            .args(["--quiet", "-t"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut cpio) = cpio else {
            eprintln!("skipped: cpio is not installed");
            return;
        };
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = cpio.wait_with_output().unwrap();
        let list = String::from_utf8(output.stdout).unwrap();
        assert!(
            list.contains("dev/console\n") && list.ends_with("lab/steps/one.sh\n"),
            "{list}"
        );
    }
}
