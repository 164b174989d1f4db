// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The targets, as `igd-fuzz-input` lists them, and the selection of some by name.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::build::Place;

/// A target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    name: String,
    /// The package whose coverage is counted.
    pub(crate) package: String,
    /// What it does.
    pub(crate) summary: String,
}

impl Target {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cfg(test)]
    pub(crate) fn for_test(name: &str, package: &str) -> Self {
        Self {
            name: name.into(),
            package: package.into(),
            summary: "what it does".into(),
        }
    }
}

/// Every target.
pub(crate) fn all(place: &Place) -> Result<Vec<Target>> {
    let output = Command::new(&place.input).arg("list").output();
    let output = output.with_context(|| format!("cannot start {}", place.input.display()))?;
    let targets = parse(&String::from_utf8_lossy(&output.stdout));
    if targets.is_empty() {
        bail!("{} lists no target", place.input.display());
    }
    Ok(targets)
}

fn parse(list: &str) -> Vec<Target> {
    let target = |line: &str| {
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        Some(Target {
            name: fields.next()?,
            package: fields.next()?,
            summary: fields.next()?,
        })
    };
    list.lines().filter_map(target).collect()
}

/// The targets of these names, or why not; no name selects all.
pub(crate) fn select(all: &[Target], names: &[String]) -> Result<Vec<Target>, String> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|target| target.name == **name))
    {
        let near = near(unknown, all);
        return Err(if near.is_empty() {
            format!("no target `{unknown}`; `cargo xtask fuzz --list` names them")
        } else {
            format!("no target `{unknown}`; did you mean `{}`?", near.join("` or `"))
        });
    }
    let is_selected = |target: &&Target| names.is_empty() || names.contains(&target.name);
    Ok(all.iter().filter(is_selected).cloned().collect())
}

/// Names that contain this one, or differ from it in few letters.
fn near<'a>(name: &str, all: &'a [Target]) -> Vec<&'a str> {
    let name = name.replace('-', "_").to_lowercase();
    let allowed = (name.len() / 3).max(1);
    let is_near = |known: &&str| (name.len() > 2 && known.contains(&name)) || distance(&name, known) <= allowed;
    all.iter().map(Target::name).filter(is_near).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((above, corner), to) in row.iter().skip(1).zip(&row).zip(b.chars()) {
            left = (left + 1).min(above + 1).min(corner + usize::from(from != to));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Target> {
        parse("fw_cfg_dma\tfwcfg\tDMA\nfw_cfg_ports\tfwcfg\tports\nvbt\tigd-quirks\tVBT, with a\ttab\nnonsense\n")
    }

    #[test]
    fn the_list_is_read() {
        let some = some();
        assert_eq!(some.len(), 3);
        assert_eq!((some[2].name(), some[2].summary.as_str()), ("vbt", "VBT, with a\ttab"));
    }

    #[test]
    fn no_name_selects_all_and_a_name_one() {
        assert_eq!(select(&some(), &[]).unwrap().len(), 3);
        assert_eq!(select(&some(), &["vbt".into()]).unwrap()[0].name(), "vbt");
    }

    #[test]
    fn near_names_are_offered() {
        for (typed, offered) in [
            ("fw_cfg", "; did you mean `fw_cfg_dma` or `fw_cfg_ports`?"),
            ("fw-cfg-dam", "; did you mean `fw_cfg_dma`?"),
            ("vtb", "; `cargo xtask fuzz --list` names them"),
            ("vbtt", "; did you mean `vbt`?"),
        ] {
            let error = select(&some(), &[typed.into()]).unwrap_err();
            assert_eq!(error, format!("no target `{typed}`{offered}"));
        }
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("vbt", "vbt", 0),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
