// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Headers, unfinished marks, paths of one machine, stray white space, licence texts.

use anyhow::Result;

use crate::metadata::packages;
use crate::tools::root;
use crate::tree::{TextFile, text_files};

const HEADER: &str = "// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause";

/// Marks of unfinished work. Cut in two, so that this file holds none.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("HA", "CK"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("#[ig", "nore"),
];

/// First folders of absolute paths that exist on one machine only.
const PRIVATE: &[&str] = &["home", "root", "Users", "work", "workspace", "builds"];

/// Texts that a published crate carries.
const LICENCES: &[&str] = &["LICENSE-APACHE", "LICENSE-BSD-3-Clause"];

/// Checks every text file.
pub(super) fn check() -> Result<()> {
    let found: Vec<_> = text_files(root()?)?.iter().flat_map(complaints).collect();
    super::found(&found)
}

/// Checks that every published crate carries the licence texts.
pub(super) fn check_licences() -> Result<()> {
    let mut found = Vec::new();
    for package in packages()?.iter().filter(|package| package.published) {
        for name in LICENCES.iter().filter(|name| !package.folder.join(name).is_file()) {
            found.push(format!("{} has no {name}: ln -s ../{name} there", package.name));
        }
    }
    super::found(&found)
}

fn complaints(file: &TextFile) -> Vec<String> {
    let mut found = Vec::new();
    if file.is_rust() && file.text.lines().next() != Some(HEADER) {
        found.push(format!("{}:1: the first line is not `{HEADER}`", file.path));
    }
    for (number, line) in file.text.split('\n').enumerate() {
        let mut complain = |what: &str| found.push(format!("{}:{}: {what}", file.path, number + 1));
        if line.trim_end() != line {
            complain("white space at the end of the line");
        }
        if file.is_rust() {
            for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
                complain(&format!("unfinished mark `{mark}`"));
            }
        }
        if let Some(folder) = PRIVATE.iter().find(|folder| has_private_path(line, folder)) {
            complain(&format!("absolute path below `/{folder}`"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        found.push(format!("{}: no line feed at the end", file.path));
    }
    found
}

/// Whether `word` stands in `line` with no letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let after = rest.get(word.len()..).unwrap_or_default();
        !before.ends_with(part_of_word) && !after.starts_with(part_of_word)
    })
}

/// Whether an absolute path below `/folder/` stands in `line`; `target/folder/` and `//host/folder/` are none.
fn has_private_path(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}/");
    line.match_indices(&path).any(|(at, _)| {
        let before = line.split_at(at).0.chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/._-*}>".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> String {
        let file = TextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        complaints(&file).join("\n")
    }

    #[test]
    fn clean_files_pass() {
        assert_eq!(of("a.rs", &format!("{HEADER}\n//! Doc.\n")), "");
        assert_eq!(of("a.md", "text\n"), "");
        assert_eq!(of("a.md", ""), "");
    }

    #[test]
    fn each_rule_is_found_at_its_line() {
        assert!(of("a.rs", "fn main() {}\n").starts_with("a.rs:1: the first line"));
        assert_eq!(of("a.md", "one\ntwo \n"), "a.md:2: white space at the end of the line");
        assert_eq!(of("a.md", "one\r\n"), "a.md:1: white space at the end of the line");
        assert_eq!(of("a.md", "one"), "a.md: no line feed at the end");
        for mark in UNFINISHED {
            let text = format!("{HEADER}\n// {mark} later\n");
            assert_eq!(of("a.rs", &text), format!("a.rs:2: unfinished mark `{mark}`"));
        }
        for folder in PRIVATE {
            let text = format!("see `/{folder}/x`\n");
            assert_eq!(of("a.md", &text), format!("a.md:1: absolute path below `/{folder}`"));
        }
    }

    #[test]
    fn words_and_paths_that_only_look_alike_pass() {
        let word = concat!("my_TO", "DO_list MASTO", "DON");
        assert_eq!(of("a.rs", &format!("{HEADER}\n// {word}\n")), "");
        for folder in PRIVATE {
            let text = format!("target/{folder}/x, ../{folder}/x, https://example.org/{folder}/x\n");
            assert_eq!(of("a.md", &text), "");
        }
    }
}
