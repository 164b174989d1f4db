// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The table at the end, and the same as JSON and as a page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::campaign::Row;
use super::coverage::Lines;
use super::crash::Crash;
use super::progress::rate;

/// The page around the table; `{{...}}` is filled in.
const PAGE: &str = include_str!("report.html");

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Time for each target, in seconds.
    pub(crate) seconds: u64,
    /// How the targets were built.
    pub(crate) build: String,
    /// Processes at a time.
    pub(crate) jobs: usize,
    /// Whether it was ended early.
    pub(crate) interrupted: bool,
    /// Targets that were selected.
    pub(crate) selected: usize,
    /// Those that ran, and their coverage or why there is none.
    pub(crate) rows: Vec<(Row, Result<Lines, String>)>,
    /// What was found.
    pub(crate) crashes: Vec<Crash>,
}

/// Headings of the columns; the first is left-aligned.
const HEADINGS: [&str; 8] = [
    "target",
    "executions",
    "per second",
    "edges",
    "of package",
    "coverage",
    "new inputs",
    "crashes",
];

impl Report {
    /// The cells of each row.
    fn cells(&self) -> Vec<[String; 8]> {
        let row = |(row, coverage): &(Row, Result<Lines, String>)| {
            [
                row.target.name().to_owned(),
                grouped(row.executions),
                grouped(rate(row.executions, row.time)),
                grouped(row.edges),
                row.target.package.clone(),
                coverage.as_ref().map_or("-".to_owned(), |lines| lines.percent()),
                row.new_inputs.to_string(),
                if row.failure.is_some() {
                    "FAILED".to_owned()
                } else {
                    row.findings.len().to_string()
                },
            ]
        };
        self.rows.iter().map(row).collect()
    }

    /// The table, and what is to be said about it.
    pub(crate) fn table(&self) -> String {
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        rows.extend(self.cells());
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..HEADINGS.len())
            .map(|column| width(column).unwrap_or_default())
            .collect();
        let mut text = String::new();
        for row in &rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 | 4 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        self.notes().iter().for_each(|note| text += &format!("{note}\n"));
        text + &self.summary()
    }

    /// What the numbers do not say.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for (row, coverage) in &self.rows {
            if let Some(failure) = &row.failure {
                notes.push(format!("{}: {failure}", row.target.name()));
            }
            if let Err(reason) = coverage {
                let note = format!("no coverage: {reason}");
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        if self.interrupted {
            notes.push(format!(
                "interrupted: {} of {} targets were begun",
                self.rows.len(),
                self.selected
            ));
        }
        notes
    }

    fn summary(&self) -> String {
        let executions = self.rows.iter().map(|(row, _)| row.executions).sum();
        let found = match self.crashes.len() {
            0 => "nothing found".to_owned(),
            count => format!("{count} FOUND"),
        };
        format!(
            "{found} · {} targets, {} executions, {} s each on {} jobs, {}",
            self.rows.len(),
            grouped(executions),
            self.seconds,
            self.jobs,
            self.build
        )
    }

    /// Writes both files; says where.
    pub(crate) fn write(&self, folder: &Path) -> Result<[PathBuf; 2]> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(path)
        };
        let json = serde_json::to_string_pretty(&self.json()).context("cannot write JSON")? + "\n";
        Ok([write("report.json", &json)?, write("report.html", &self.page())?])
    }

    fn json(&self) -> Value {
        let target = |(row, coverage): &(Row, Result<Lines, String>)| {
            json!({
                "name": row.target.name(),
                "package": row.target.package,
                "summary": row.target.summary,
                "executions": row.executions,
                "executions_per_second": rate(row.executions, row.time),
                "milliseconds": u64::try_from(row.time.as_millis()).unwrap_or(u64::MAX),
                "edges": row.edges,
                "peak_mib": row.peak_mib,
                "new_inputs": row.new_inputs,
                "crashes": row.findings.len(),
                "failure": row.failure,
                "lines_covered": coverage.as_ref().ok().map(|lines| lines.covered),
                "lines": coverage.as_ref().ok().map(|lines| lines.count),
                "no_coverage_because": coverage.as_ref().err(),
            })
        };
        let crash = |crash: &Crash| {
            json!({
                "target": crash.target,
                "kind": crash.kind,
                "cause": crash.cause,
                "message": crash.message,
                "file": crash.file,
                "bytes": crash.bytes,
                "description": crash.description,
                "replay": crash.replay(),
            })
        };
        json!({
            "version": 1,
            "seconds": self.seconds,
            "jobs": self.jobs,
            "build": self.build,
            "interrupted": self.interrupted,
            "targets_selected": self.selected,
            "targets": self.rows.iter().map(target).collect::<Vec<_>>(),
            "crashes": self.crashes.iter().map(crash).collect::<Vec<_>>(),
        })
    }

    fn page(&self) -> String {
        let mut head = String::new();
        for heading in HEADINGS {
            head += &format!("<th>{heading}</th>");
        }
        let mut body = String::new();
        for (cells, (row, coverage)) in self.cells().iter().zip(&self.rows) {
            let is_bad = row.failure.is_some() || !row.findings.is_empty();
            body += if is_bad { "<tr class=\"bad\">" } else { "<tr>" };
            for (column, cell) in cells.iter().enumerate() {
                let cell = escaped(cell);
                body += &match (column, coverage) {
                    (0, _) => format!("<td>{cell}<small>{}</small></td>", escaped(&row.target.summary)),
                    (5, Ok(lines)) => format!(
                        "<td title=\"{} of {} lines\">{cell}<meter max=\"1000\" value=\"{}\"></meter></td>",
                        lines.covered,
                        lines.count,
                        lines.permille()
                    ),
                    _ => format!("<td>{cell}</td>"),
                };
            }
            body += "</tr>\n";
        }
        let notes: String = self
            .notes()
            .iter()
            .map(|note| format!("<p>{}</p>", escaped(note)))
            .collect();
        let crashes: String = self.crashes.iter().map(section).collect();
        let verdict = if self.crashes.is_empty() { "good" } else { "bad" };
        [
            ("verdict", verdict),
            ("summary", &escaped(&self.summary())),
            ("head", &head),
            ("body", &body),
            ("notes", &notes),
            ("crashes", &crashes),
        ]
        .iter()
        .fold(PAGE.to_owned(), |page, (name, text)| {
            page.replace(&format!("{{{{{name}}}}}"), text)
        })
    }
}

fn section(crash: &Crash) -> String {
    let part = |name: &str, text: &str| format!("<dt>{name}</dt><dd><pre>{}</pre></dd>", escaped(text));
    format!(
        "<section><h2>{} in {}</h2><dl>{}{}{}{}{}</dl></section>\n",
        escaped(crash.kind),
        escaped(&crash.target),
        part("cause", &crash.cause),
        part("message", &crash.message),
        part("stands for", &crash.description),
        part("bytes", &crash.bytes),
        part("again", &crash.replay()),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('{', "&#123;")
}

/// With a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index != 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::fuzz::output::Output;
    use crate::tasks::fuzz::targets::Target;
    use std::time::Duration;

    fn report() -> Report {
        let row = |name: &str, findings: usize| Row {
            target: Target::for_test(name, "igd-quirks"),
            executions: 1_234_567,
            time: Duration::from_secs(10),
            edges: 321,
            peak_mib: 60,
            new_inputs: 12,
            findings: vec![Output::default(); findings],
            failure: None,
        };
        Report {
            seconds: 10,
            build: "stable".to_owned(),
            jobs: 2,
            interrupted: true,
            selected: 3,
            rows: vec![
                (row("vbt", 1), Ok(Lines { covered: 1, count: 8 })),
                (row("ggc", 0), Err("no llvm-cov".into())),
            ],
            crashes: vec![Crash {
                target: "vbt".into(),
                kind: "crash",
                file: "crash-1".into(),
                bytes: "00".into(),
                description: "one < two".into(),
                cause: "a.rs:1:2: {{body}}".into(),
                message: "wrong".into(),
            }],
        }
    }

    #[test]
    fn the_table_is_aligned_and_says_what_is_missing() {
        assert_eq!(
            report().table(),
            "target  executions  per second  edges  of package  coverage  new inputs  crashes\n\
             vbt      1,234,567     123,456    321  igd-quirks    12.5 %          12        1\n\
             ggc      1,234,567     123,456    321  igd-quirks         -          12        0\n\
             no coverage: no llvm-cov\n\
             interrupted: 2 of 3 targets were begun\n\
             1 FOUND · 2 targets, 2,469,134 executions, 10 s each on 2 jobs, stable"
        );
    }

    #[test]
    fn the_page_is_filled_and_shows_hostile_text_as_text() {
        let page = report().page();
        assert!(!page.contains("{{"), "{page}");
        assert!(page.contains("one &lt; two") && page.contains("&#123;&#123;body}}"));
        assert!(page.contains("value=\"125\"") && page.contains("1 of 8 lines"));
        assert!(page.contains("class=\"bad\""));
    }

    #[test]
    fn json_has_no_figure_that_was_not_measured() {
        let json = report().json();
        assert_eq!(json["targets"][0]["lines_covered"], 1);
        assert_eq!(json["targets"][1]["lines_covered"], Value::Null);
        assert_eq!(json["targets"][1]["no_coverage_because"], "no llvm-cov");
        assert_eq!(json["crashes"][0]["replay"], "cargo xtask fuzz vbt --replay crash-1");
    }

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
