// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `list`, `show` and `check`: traces without a subject.

use std::fmt::Write;

use clap::Args;

use super::output::{error, print};
use super::select::SelectArgs;
use super::{AS_EXPECTED, FAILED, NOTHING_SELECTED};
use crate::corpus::Trace;
use crate::trace::{Header, TraceError};

/// Arguments of `list`.
#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    select: SelectArgs,
}

/// Arguments of `show`.
#[derive(Args, Debug)]
#[command(mut_arg("paths", |arg| arg.required(true)))]
pub(super) struct ShowArgs {
    #[command(flatten)]
    select: SelectArgs,
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    select: SelectArgs,
}

/// A number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plural(number: u64, word: &str) -> String {
    let s = if number == 1 || word.ends_with('s') { "" } else { "s" };
    format!("{} {word}{s}", grouped(number))
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn accesses(trace: &Trace) -> u64 {
    trace.sections.iter().map(|section| section.accesses).sum()
}

/// Lists traces.
pub(super) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let traces = args.select.find()?;
    let longest = traces.iter().map(|trace| trace.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    let mut failed = false;
    for trace in &traces {
        if let Some(problem) = &trace.problem {
            error(problem);
            failed = true;
            continue;
        }
        let (kind, sections) = (trace.kind().name(), plural(count(trace.sections.len()), "section"));
        let (accesses, size) = (grouped(accesses(trace)), grouped(trace.size));
        writeln!(
            out,
            "{:longest$}  {kind:8}  {sections:>12}  {accesses:>8} accesses  {size:>9} bytes",
            trace.name
        )?;
    }
    let sections = traces.iter().map(|trace| count(trace.sections.len())).sum();
    let total = plural(traces.iter().map(accesses).sum(), "accesses");
    writeln!(
        out,
        "{} · {} · {total}",
        plural(count(traces.len()), "trace"),
        plural(sections, "section")
    )?;
    print(&out)?;
    Ok(if failed {
        FAILED
    } else if traces.is_empty() {
        NOTHING_SELECTED
    } else {
        AS_EXPECTED
    })
}

/// Shows what traces contain.
pub(super) fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let traces = args.select.find()?;
    let mut out = String::new();
    let mut failed = false;
    for trace in &traces {
        if let Some(problem) = &trace.problem {
            error(problem);
            failed = true;
            continue;
        }
        writeln!(out, "{}  {}", trace.name, trace.path.display())?;
        describe(&mut out, &trace.header)?;
        let section = args.select.selection().section;
        writeln!(out, "  sections")?;
        for one in &trace.sections {
            if section.as_ref().is_none_or(|pattern| pattern.matches(&one.label)) {
                writeln!(out, "    {:28} {:>7}  {}", one.label, grouped(one.accesses), one.text)?;
            }
        }
        let sections = plural(count(trace.sections.len()), "section");
        writeln!(out, "  {sections} · {}\n", plural(accesses(trace), "accesses"))?;
    }
    print(&out)?;
    Ok(if failed {
        FAILED
    } else if traces.is_empty() {
        NOTHING_SELECTED
    } else {
        AS_EXPECTED
    })
}

fn describe(out: &mut String, header: &Header) -> std::fmt::Result {
    let mut row = |name: &str, text: &str| {
        if text.is_empty() {
            Ok(())
        } else {
            writeln!(out, "  {name:10} {text}")
        }
    };
    row("kind", header.kind.name())?;
    row("qemu", &header.qemu.join(" and "))?;
    row("machine", &header.machine)?;
    for device in &header.devices {
        row("device", device)?;
    }
    row("suite", &header.suite)?;
    if header.ram > 0 {
        row("ram", &format!("{:#x} bytes", header.ram))?;
    }
    for image in &header.pci {
        let bars = header.bars.iter().filter(|bar| bar.bdf == image.bdf);
        let bars = bars
            .map(|bar| format!("  BAR {} {:#x}", bar.bar, bar.size))
            .collect::<String>();
        let [v0, v1, d0, d1, ..] = *image.config;
        let (vendor, device) = (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([d0, d1]));
        let about = if header.functions.contains(&image.bdf) {
            ""
        } else {
            "  (no accesses)"
        };
        row("pci", &format!("{} {vendor:04x}:{device:04x}{bars}{about}", image.bdf))?;
    }
    for item in &header.items {
        row(
            "item",
            &format!("{:#06x} {} {} bytes", item.key, item.name, item.bytes.len()),
        )?;
    }
    for (name, value) in header.igd_host.iter().chain(&header.other) {
        row(name, value)?;
    }
    Ok(())
}

/// Checks traces against the format.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let traces = args.select.find()?;
    let mut out = String::new();
    let mut wrong = 0;
    for trace in &traces {
        match lines(trace) {
            Ok(lines) => writeln!(out, "ok    {}  {}", trace.name, plural(lines, "line"))?,
            Err(problem) => {
                wrong += 1;
                error(&problem);
            }
        }
    }
    writeln!(out, "{} · {wrong} wrong", plural(count(traces.len()), "trace"))?;
    print(&out)?;
    Ok(match (wrong, traces.is_empty()) {
        (_, true) => NOTHING_SELECTED,
        (0, _) => AS_EXPECTED,
        _ => FAILED,
    })
}

/// Parses and prints every line; returns how many.
fn lines(trace: &Trace) -> Result<u64, String> {
    if let Some(problem) = &trace.problem {
        return Err(problem.clone());
    }
    if trace.is_vectors() {
        // Tables have one form, which reading them has checked.
        return Ok(accesses(trace));
    }
    let text = |error: TraceError| error.to_string();
    // The header once as a whole, for what its lines have to do with each other.
    trace.open().map_err(text)?.header().map_err(text)?;
    let mut reader = trace.open().map_err(text)?;
    let mut printed = String::new();
    while let Some(entry) = reader.entry().map_err(text)? {
        printed.clear();
        if write!(printed, "{}", entry.line).is_err() || printed.as_bytes() != entry.text {
            let place = format!("{}:{}", trace.path.display(), entry.number);
            let line: String = printed.chars().take(120).collect();
            return Err(format!("{place}:1: not in the canonical form, which is `{line}`"));
        }
    }
    Ok(reader.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            (plural(1, "trace"), plural(2, "trace")),
            ("1 trace".into(), "2 traces".into())
        );
    }
}
