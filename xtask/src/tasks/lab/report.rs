// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The results as a table, as JSON and as `JUnit` XML.

use serde_json::{Value, json};

/// How a scenario ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// As expected, if nothing is said.
    Ran(Vec<String>),
    /// It could not run.
    Skipped(String),
}

/// A scenario's result.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) kernel: String,
    pub(super) verdict: Verdict,
    pub(super) seconds: f32,
}

impl Line {
    fn word(&self) -> &'static str {
        match &self.verdict {
            Verdict::Ran(failures) if failures.is_empty() => "ok",
            Verdict::Ran(_) => "WRONG",
            Verdict::Skipped(_) => "skipped",
        }
    }

    pub(super) fn is_wrong(&self) -> bool {
        self.word() == "WRONG"
    }
}

/// The table, with what is wrong below its line.
pub(super) fn table(lines: &[Line]) -> String {
    let mut table = format!("{:<18} {:<73} {:<7} seconds\n", "scenario", "expected", "got");
    for line in lines {
        let (name, text, word) = (line.name, line.text, line.word());
        table += &format!("{name:<18} {text:<73} {word:<7} {:7.1}\n", line.seconds);
        match &line.verdict {
            Verdict::Ran(failures) => table.extend(failures.iter().map(|failure| format!("    {failure}\n"))),
            Verdict::Skipped(reason) => table += &format!("    skipped: {reason}\n"),
        }
    }
    table
}

/// The results for programs.
pub(super) fn to_json(lines: &[Line]) -> Value {
    let scenarios = lines.iter().map(|line| {
        let (failures, reason) = match &line.verdict {
            Verdict::Ran(failures) => (failures.clone(), None),
            Verdict::Skipped(reason) => (Vec::new(), Some(reason)),
        };
        json!({
            "name": line.name,
            "expected": line.text,
            "kernel": line.kernel,
            "got": line.word(),
            "failures": failures,
            "skipped": reason,
            "seconds": (f64::from(line.seconds) * 10.0).round() / 10.0,
        })
    });
    json!({ "lab": 1, "scenarios": scenarios.collect::<Vec<Value>>() })
}

/// The results for CI.
pub(super) fn to_junit(lines: &[Line]) -> String {
    let count = |word| lines.iter().filter(|line| line.word() == word).count();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"lab\">\n");
    text += &format!(
        "  <testsuite name=\"lab\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\">\n",
        lines.len(),
        count("WRONG"),
        count("skipped")
    );
    for line in lines {
        text += &format!(
            "    <testcase name=\"{}\" classname=\"{}\" time=\"{:.1}\">",
            escaped(line.name),
            escaped(&line.kernel),
            line.seconds
        );
        match &line.verdict {
            Verdict::Ran(failures) if failures.is_empty() => {}
            Verdict::Ran(failures) => text += &format!("<failure>{}</failure>", escaped(&failures.join("\n"))),
            Verdict::Skipped(reason) => text += &format!("<skipped message=\"{}\"/>", escaped(reason)),
        }
        text += "</testcase>\n";
    }
    text + "  </testsuite>\n</testsuites>\n"
}

/// Text that XML takes: control characters, which it cannot say at all, become spaces.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped.push('\n'),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let line = |name, verdict| Line {
            name,
            text: "something",
            kernel: "stock".to_owned(),
            verdict,
            seconds: 1.25,
        };
        vec![
            line("good", Verdict::Ran(Vec::new())),
            line("bad", Verdict::Ran(vec!["a < b & \"c\"\u{1b}".to_owned()])),
            line("none", Verdict::Skipped("no archive".to_owned())),
        ]
    }

    #[test]
    fn a_table_shows_what_is_wrong_and_why_not() {
        let table = table(&lines());
        let rows: Vec<&str> = table.lines().collect();
        assert!(rows[1].starts_with("good ") && rows[1].contains(" ok "));
        assert!(rows[2].contains(" WRONG ") && rows[3].starts_with("    a < b"));
        assert_eq!(rows[5], "    skipped: no archive");
    }

    #[test]
    fn programs_get_the_same() {
        let json = to_json(&lines());
        assert_eq!(json["scenarios"][1]["got"], "WRONG");
        assert_eq!(json["scenarios"][2]["skipped"], "no archive");
        let junit = to_junit(&lines());
        assert!(junit.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"1\""));
        assert!(
            junit.contains("<failure>a &lt; b &amp; &quot;c&quot; </failure>"),
            "{junit}"
        );
        assert_eq!(junit.matches("<testcase").count(), junit.matches("</testcase>").count());
    }
}
