// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The file of expected counts: read, compare, write.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// How far a count may lie above the recorded one, in percent, unless its row says otherwise. Compilers differ.
const SLACK: u32 = 15;
/// And in instructions, which is what counts for the short paths.
const SLACK_LEAST: f64 = 3.0;

const HEADER: &str = "\
# Instructions an operation, as `cargo xtask bench --counts` counts them; --save writes this file again.
#
# bound   what CI lets a count be: the recorded count and its slack
# goal    what it should be at most; a count above it is reported, and is no failure
# slack   percent, where it is not 15: the copy of a C library differs with the processor
";

/// What is expected of one path.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Row {
    pub(super) instructions: f64,
    pub(super) bound: f64,
    pub(super) goal: Option<f64>,
    slack: Option<u32>,
}

impl Row {
    /// The row for a new count; goal and slack are those of the old one.
    fn recorded(self, instructions: f64) -> Self {
        let slack = instructions * f64::from(self.slack.unwrap_or(SLACK)) / 100.0;
        Self {
            instructions,
            bound: (instructions + slack.max(SLACK_LEAST)).ceil(),
            ..self
        }
    }
}

/// All rows, and what they were counted with.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Baseline {
    /// Versions of the compiler and of valgrind.
    pub(super) counted_with: String,
    pub(super) rows: BTreeMap<String, Row>,
}

impl Baseline {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It is no TOML, or a row has no bound.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse().context("not TOML")?;
        let counted_with = table.get("counted-with").and_then(Value::as_str).unwrap_or_default();
        let Some(cases) = table.get("case").and_then(Value::as_table) else {
            bail!("no table `case`");
        };
        let row = |(name, value): (&String, &Value)| {
            let number = |key: &str| value.get(key).and_then(number);
            let row = Row {
                instructions: number("instructions").with_context(|| format!("{name} has no `instructions`"))?,
                bound: number("bound").with_context(|| format!("{name} has no `bound`"))?,
                goal: number("goal"),
                slack: value
                    .get("slack")
                    .and_then(Value::as_integer)
                    .and_then(|slack| slack.try_into().ok()),
            };
            Ok((name.clone(), row))
        };
        Ok(Self {
            counted_with: counted_with.to_owned(),
            rows: cases.iter().map(row).collect::<Result<_>>()?,
        })
    }

    /// The file for new counts.
    pub(super) fn recorded(&self, counts: &[(String, f64)], counted_with: String) -> Self {
        let row = |(name, count): &(String, f64)| {
            let old = self.rows.get(name).copied().unwrap_or_default();
            (name.clone(), old.recorded(*count))
        };
        Self {
            counted_with,
            rows: counts.iter().map(row).collect(),
        }
    }

    /// The text of the file.
    pub(super) fn print(&self) -> String {
        let mut text = format!("{HEADER}\ncounted-with = \"{}\"\n\n[case]\n", self.counted_with);
        let width = self.rows.keys().map(String::len).max().unwrap_or(0) + 2;
        for (name, row) in &self.rows {
            let Row {
                instructions,
                bound,
                goal,
                slack,
            } = row;
            let name = format!("\"{name}\"");
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{name:<width$} = {{ instructions = {instructions:.2}, bound = {bound:.0}"
            );
            if let Some(goal) = goal {
                let _ = write!(text, ", goal = {goal}");
            }
            if let Some(slack) = slack {
                let _ = write!(text, ", slack = {slack}");
            }
            text += " }\n";
        }
        text
    }

    /// A line for each count, and what is wrong.
    pub(super) fn compare(&self, counts: &[(String, f64)]) -> (String, Vec<String>) {
        let width = counts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = format!(
            "{:<width$} {:>12} {:>12} {:>8} {:>8}\n",
            "case", "instructions", "recorded", "bound", "goal"
        );
        let mut wrong = Vec::new();
        for (name, count) in counts {
            let Some(row) = self.rows.get(name) else {
                wrong.push(format!("{name} has no row: record it with --save"));
                continue;
            };
            let goal = row.goal.map_or_else(String::new, |goal| goal.to_string());
            let mark = match row {
                Row { bound, .. } if count > bound => {
                    wrong.push(format!(
                        "{name} takes {count:.2} instructions, at most {bound} are expected"
                    ));
                    "  TOO MANY"
                }
                Row { goal: Some(goal), .. } if count > goal => "  above the goal",
                _ => "",
            };
            let line = format!(
                "{name:<width$} {count:>12.2} {:>12.2} {:>8} {goal:>8}{mark}",
                row.instructions, row.bound
            );
            text += line.trim_end();
            text.push('\n');
        }
        (text, wrong)
    }
}

/// A whole or a decimal number.
fn number(value: &Value) -> Option<f64> {
    let whole = value.as_integer().and_then(|whole| i32::try_from(whole).ok());
    value.as_float().or(whole.map(f64::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let old = Baseline::parse(
            "[case]\n\"a/b\" = { instructions = 1, bound = 2, goal = 20 }\nc = { instructions = 9, bound = 9, slack = 50 }",
        );
        let new = old.unwrap().recorded(
            &counts(&[("a/b", 10.0), ("c", 100.0), ("new", 1000.0)]),
            "rustc 1, valgrind 2".into(),
        );
        let bounds: Vec<f64> = new.rows.values().map(|row| row.bound).collect();
        assert_eq!(bounds, [13.0, 150.0, 1150.0]);
        assert_eq!(new.rows["a/b"].goal, Some(20.0));
        assert_eq!(Baseline::parse(&new.print()).unwrap(), new);
    }

    #[test]
    fn a_count_beyond_its_bound_is_found() {
        let baseline = Baseline::default().recorded(&counts(&[("a", 10.0), ("b", 10.0)]), String::new());
        assert_eq!(baseline.compare(&counts(&[("a", 13.0), ("b", 2.0)])).1, [] as [&str; 0]);
        let (text, wrong) = baseline.compare(&counts(&[("a", 13.01), ("c", 1.0)]));
        assert!(text.contains("TOO MANY"), "{text}");
        assert_eq!(
            wrong,
            [
                "a takes 13.01 instructions, at most 13 are expected",
                "c has no row: record it with --save"
            ]
        );
    }

    #[test]
    fn columns_are_below_their_heads() {
        let long = counts(&[("a/name-of-more-than-twenty", 1.0), ("short", 123.4)]);
        let (text, _) = Baseline::default().recorded(&long, String::new()).compare(&long);
        assert_eq!(text.lines().count(), 3);
        let column = text.lines().next().and_then(|head| head.find("instructions")).unwrap() + "instructions".len();
        for line in text.lines().skip(1) {
            assert_eq!(line.as_bytes().get(column), Some(&b' '), "{text}");
            assert_ne!(line.as_bytes().get(column - 1), Some(&b' '), "{text}");
        }
    }

    #[test]
    fn a_goal_that_is_missed_is_no_failure() {
        let baseline = Baseline::parse("[case]\na = { instructions = 10, bound = 13, goal = 9.5 }").unwrap();
        let (text, wrong) = baseline.compare(&counts(&[("a", 10.0)]));
        assert!(text.contains("above the goal") && wrong.is_empty(), "{text}");
    }

    #[test]
    fn broken_files_are_refused() {
        for text in ["", "case", "[case]\na = 1", "[case]\na = { instructions = 1 }"] {
            assert!(Baseline::parse(text).is_err(), "{text}");
        }
    }
}
