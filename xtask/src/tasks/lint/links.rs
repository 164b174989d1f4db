// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whether the files that Markdown files link to exist.

use std::path::Path;

use anyhow::Result;

use crate::tools::root;
use crate::tree::text_files;

/// Checks the relative links of every Markdown file.
pub(super) fn check() -> Result<()> {
    let root = root()?;
    let mut found = Vec::new();
    for file in text_files(root)?.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (number, target) in links(&file.text) {
            if !root.join(folder).join(target).exists() {
                found.push(format!("{}:{number}: no such file: {target}", file.path));
            }
        }
    }
    super::found(&found)
}

/// Line number and path of each relative link outside of code blocks; the part after `#` is left away.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let path = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !path.is_empty() && !path.contains(':') {
                found.push((index + 1, path));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_found_and_others_are_not() {
        let text = "[a](a.md) and [b](../b/c.md#part)\n[web](https://example.org/x) [here](#part)\n\
                    ```text\nx[i](j)\n```\n[d](d)";
        assert_eq!(links(text), [(1, "a.md"), (1, "../b/c.md"), (6, "d")]);
    }
}
