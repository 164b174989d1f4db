// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Patterns for names of traces and sections.

/// A pattern in which `*` stands for any characters, `/` included, and `?` for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern that matches whole names.
    #[must_use]
    pub fn glob(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// A pattern that matches any part of a name, unless it has a `*` or `?`.
    #[must_use]
    pub fn part(pattern: &str) -> Self {
        if pattern.contains(['*', '?']) {
            Self::glob(pattern)
        } else {
            Self(format!("*{pattern}*"))
        }
    }

    /// Whether `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // Only the last `*` is ever tried again, which bounds the work by the product of both lengths.
        let (mut pattern, mut name) = (self.0.as_bytes(), name.as_bytes());
        let mut again = None;
        loop {
            match (pattern, name) {
                ([b'*', rest @ ..], _) => {
                    again = Some((rest, name));
                    pattern = rest;
                }
                ([], []) => return true,
                ([want, rest @ ..], [have, tail @ ..]) if *want == b'?' || want == have => {
                    (pattern, name) = (rest, tail);
                }
                _ => match again {
                    Some((rest, [_, tail @ ..])) => {
                        again = Some((rest, tail));
                        (pattern, name) = (rest, tail);
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, matches) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "fwcfg/basic", true),
            ("fwcfg/*", "fwcfg/basic", true),
            ("fwcfg/*", "igd/fwcfg/", false),
            ("*.dma-*", "fwcfg.dma-skip", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*aab", "aaaaab", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "aba", false),
            ("a*", "b", false),
        ] {
            assert_eq!(Pattern::glob(pattern).matches(name), matches, "{pattern} {name}");
        }
        let long = "a".repeat(20_000);
        assert!(!Pattern::glob("*a*a*a*a*a*a*a*b").matches(&long));
    }

    #[test]
    fn plain_text_matches_anywhere() {
        assert!(Pattern::part("basic").matches("fwcfg/basic-2"));
        assert!(!Pattern::part("*basic").matches("fwcfg/basic-2"));
    }
}
