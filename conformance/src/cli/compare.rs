// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `compare`: what firmware did in two traces.

use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::output::print;
use super::{AS_EXPECTED, NOTHING_SELECTED, UNEXPECTED};
use crate::compare::{Difference, Rules, Streams, Verdict, compare, streams};
use crate::trace::Reader;

/// Arguments of `compare`.
#[derive(Args, Debug)]
pub(super) struct CompareArgs {
    /// A trace of firmware
    first: PathBuf,
    /// Another one
    second: PathBuf,
    /// A dword of configuration space into which other values may be written, such as 00:02.0/10
    #[arg(long, value_name = "FUNCTION/REGISTER")]
    any_value: Vec<String>,
    /// What is not compared: a sequence such as `00:01.1` or `fw_cfg etc/e820`, or a dword such as 00:00.0/9c
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    /// Says nothing of sequences that only one trace has, and does not count them
    #[arg(long)]
    common: bool,
}

/// Compares two traces; the exit code says whether they differ. Traces with nothing to compare are no success.
pub(super) fn run(args: &CompareArgs) -> Result<u8> {
    let rules = Rules {
        ignored: args.ignore.clone(),
        values: args.any_value.clone(),
    };
    let verdicts = compare(&read(&args.first, &rules)?, &read(&args.second, &rules)?);
    let mut text = String::new();
    let (mut same, mut different) = (0, 0);
    for (name, verdict) in &verdicts {
        let is_one_sided = matches!(verdict, Verdict::OnlyFirst(_) | Verdict::OnlySecond(_));
        if args.common && is_one_sided {
            continue;
        }
        let told = match verdict {
            Verdict::Same(len) => format!("same, {len} accesses"),
            Verdict::OnlyFirst(len) => format!("only in the first, {len} accesses"),
            Verdict::OnlySecond(len) => format!("only in the second, {len} accesses"),
            Verdict::Differs(difference) => around(difference),
        };
        if matches!(verdict, Verdict::Same(_)) {
            same += 1;
        } else {
            different += 1;
        }
        writeln!(text, "{name:<34} {told}")?;
    }
    writeln!(text, "{same} sequences are the same, {different} differ")?;
    print(&text)?;
    Ok(match (same, different) {
        (0, 0) => NOTHING_SELECTED,
        (_, 0) => AS_EXPECTED,
        _ => UNEXPECTED,
    })
}

/// A difference in one line, and the accesses around it below.
fn around(difference: &Difference) -> String {
    let Difference {
        at,
        before,
        first,
        second,
    } = difference;
    let next = |events: &[String]| events.first().map_or("nothing more", String::as_str).to_owned();
    let mut text = format!("differs at access {at}: {} · {}", next(first), next(second));
    for (name, events) in [("both", before), ("first", first), ("second", second)] {
        for event in events {
            text += &format!("\n    {name:<7} {event}");
        }
    }
    text
}

fn read(path: &Path, rules: &Rules) -> Result<Streams> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(streams(&mut Reader::new(file, path.display().to_string()), rules)?)
}
