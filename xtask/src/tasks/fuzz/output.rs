// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What libFuzzer prints, line by line.

use std::path::PathBuf;

/// What has been learnt from the output of one process so far.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    /// Inputs that were run.
    pub(crate) executions: u64,
    /// Edges of the program that were reached.
    pub(crate) edges: u64,
    /// The largest resident set, in MiB.
    pub(crate) peak_mib: u64,
    /// The input that ended the process, if one did.
    pub(crate) artifact: Option<PathBuf>,
    /// Where it panicked: file, line and column.
    pub(crate) location: Option<String>,
    /// What the panic or the sanitizer says.
    pub(crate) message: Option<String>,
    /// Whether the lines of a panic's message are still coming.
    pub(crate) in_message: bool,
}

impl Output {
    /// Takes the next line.
    pub(crate) fn line(&mut self, line: &str) {
        if self.in_message {
            // A message may have several lines; what follows it is a note, an empty line or a report.
            if line.is_empty() || line.starts_with("note: ") || line.starts_with("==") || line.starts_with("stack ") {
                self.in_message = false;
            } else {
                let message = self.message.get_or_insert_default();
                if !message.is_empty() {
                    message.push('\n');
                }
                message.push_str(line);
                return;
            }
        }
        if let Some((_, at)) = line.split_once(" panicked at ") {
            // The first panic is the cause; one while unwinding is not.
            if self.location.is_none() {
                self.location = Some(at.trim_end_matches(':').to_owned());
                self.in_message = true;
            }
        } else if let Some(path) = after(line, "Test unit written to ") {
            let path = PathBuf::from(path);
            // A slow input ends nothing.
            if kind(&path) != "slow-unit" {
                self.artifact = Some(path);
            }
        } else if let Some(summary) = line.strip_prefix("SUMMARY: ") {
            let is_own = self.message.is_none() && !summary.contains("libFuzzer: deadly signal");
            if is_own {
                self.message = Some(summary.to_owned());
            }
        } else if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.executions = number(rest).unwrap_or(self.executions);
        } else if let Some(rest) = line.strip_prefix("stat::peak_rss_mb:") {
            self.peak_mib = number(rest).unwrap_or(self.peak_mib);
        } else if let Some(rest) = line.strip_prefix('#') {
            self.status(rest);
        }
    }

    /// `1024  pulse  cov: 4 ft: 5 corp: 2/3b lim: 4096 exec/s: 262144 rss: 40Mb`
    fn status(&mut self, rest: &str) {
        let Some(executions) = number(rest) else { return };
        let Some(edges) = after(rest, " cov: ").and_then(number) else {
            return;
        };
        self.executions = self.executions.max(executions);
        self.edges = self.edges.max(edges);
    }

    /// Whether there is anything to report.
    pub(crate) fn is_finding(&self) -> bool {
        self.artifact.is_some()
    }

    /// What two findings of one cause have in common: the place, or the message where there is no place. A message
    /// with a place has values of the input in it.
    pub(crate) fn key(&self) -> &str {
        self.location.as_deref().unwrap_or_else(|| self.first_line())
    }

    /// Place and first line of the message.
    pub(crate) fn cause(&self) -> String {
        match &self.location {
            Some(location) => format!("{location}: {}", self.first_line()),
            None => self.first_line().to_owned(),
        }
    }

    fn first_line(&self) -> &str {
        let message = self.message.as_deref().unwrap_or("no message");
        message.lines().next().unwrap_or_default()
    }
}

/// What kind of input libFuzzer takes it for: `crash`, `timeout`, `oom`, `leak`, `slow-unit`.
pub(crate) fn kind(artifact: &std::path::Path) -> &'static str {
    let name = artifact.file_name().unwrap_or_default().to_string_lossy();
    let kinds = ["crash", "timeout", "oom", "leak", "slow-unit"];
    let name = name.strip_prefix("minimized-").unwrap_or(&name);
    kinds.into_iter().find(|kind| name.starts_with(kind)).unwrap_or("crash")
}

fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split_once(word).map(|(_, rest)| rest)
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
INFO: Seed: 1855231546
#2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 32Mb
#512\tNEW    cov: 118 ft: 131 corp: 2/9b lim: 8 exec/s: 0 rss: 33Mb L: 8/8 MS: 1 InsertByte-
#65536\tpulse  cov: 120 ft: 135 corp: 5/30b lim: 652 exec/s: 32768 rss: 61Mb
Slowest unit: 11 s:
artifact_prefix='fuzz/artifacts/vbt/'; Test unit written to fuzz/artifacts/vbt/slow-unit-0a

thread '<unnamed>' (4711) panicked at fuzz/common/src/vbt.rs:17:9:
assertion `left == right` failed: block 2
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==3771== ERROR: libFuzzer: deadly signal
SUMMARY: libFuzzer: deadly signal
MS: 1 CopyPart-; base unit: adc8
artifact_prefix='fuzz/artifacts/vbt/'; Test unit written to fuzz/artifacts/vbt/crash-0eb8
stat::number_of_executed_units: 70001
stat::peak_rss_mb:              62
";

    fn read(text: &str) -> Output {
        let mut output = Output::default();
        text.lines().for_each(|line| output.line(line));
        output
    }

    #[test]
    fn a_crash_is_read() {
        let output = read(CRASH);
        assert_eq!(
            (output.executions, output.edges, output.peak_mib),
            (70001, 120, 62),
            "{output:?}"
        );
        assert_eq!(output.artifact, Some("fuzz/artifacts/vbt/crash-0eb8".into()));
        assert_eq!(output.location.as_deref(), Some("fuzz/common/src/vbt.rs:17:9"));
        assert_eq!(
            output.message.as_deref(),
            Some("assertion `left == right` failed: block 2\n  left: 1\n right: 2")
        );
        assert_eq!(output.key(), "fuzz/common/src/vbt.rs:17:9");
        assert_eq!(
            output.cause(),
            "fuzz/common/src/vbt.rs:17:9: assertion `left == right` failed: block 2"
        );
    }

    #[test]
    fn a_run_that_finds_nothing_is_read() {
        let until = CRASH.split("Slowest").next().unwrap();
        let output = read(until);
        assert_eq!((output.executions, output.edges), (65536, 120));
        assert!(!output.is_finding());
    }

    #[test]
    fn a_slow_input_is_no_finding() {
        let until = CRASH.split("\nthread").next().unwrap();
        assert!(!read(until).is_finding());
    }

    #[test]
    fn sanitizers_and_limits_have_a_message_without_a_place() {
        for (text, artifact, message) in [
            (
                "==9==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x6\nSUMMARY: AddressSanitizer: heap-buffer-overflow a.rs:3 in f\n",
                "crash-1",
                "AddressSanitizer: heap-buffer-overflow a.rs:3 in f",
            ),
            (
                "ALARM: working on the last Unit for 10 seconds\n==9== ERROR: libFuzzer: timeout after 10 seconds\nSUMMARY: libFuzzer: timeout\n",
                "timeout-1",
                "libFuzzer: timeout",
            ),
            (
                "==9== ERROR: libFuzzer: out-of-memory (used: 2100Mb; limit: 2048Mb)\nSUMMARY: libFuzzer: out-of-memory\n",
                "oom-1",
                "libFuzzer: out-of-memory",
            ),
        ] {
            let output = read(&format!(
                "{text}artifact_prefix='./'; Test unit written to ./{artifact}\n"
            ));
            assert_eq!((output.cause().as_str(), output.key()), (message, message));
            assert_eq!(
                kind(output.artifact.as_deref().unwrap()),
                artifact.split('-').next().unwrap()
            );
        }
    }

    #[test]
    fn the_first_panic_is_the_cause() {
        let twice = format!("{CRASH}\nthread 'main' panicked at other.rs:1:1:\nsecond\n");
        assert_eq!(read(&twice), read(CRASH));
    }

    #[test]
    fn lines_that_only_look_alike_change_nothing() {
        for line in [
            "#",
            "#x",
            "#12 in main a.rs:3",
            "stat::number_of_executed_units: many",
            "",
        ] {
            assert_eq!(read(line), Output::default(), "{line}");
        }
    }
}
