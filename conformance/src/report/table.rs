// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The report on a terminal.

use std::fmt::Write;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, presets};

use super::summary::{
    Reason, Total, Verdict, details, groups, label, reasons, repeats, scope, settings, to_u64, verdict, verdict_text,
    word,
};
use super::text::{LONG, Paint, count, date, duration, shorten, thousands};
use super::{Report, Status, Trial};

/// Unexpected results shown in full.
const BLOCKS: usize = 20;
/// Reasons listed before they are only counted.
const REASONS: usize = 20;

/// Renders a report as text: unexpected results, reasons, a table with a row for each group, and the verdict.
///
/// The time in the table is that of the trials; on several threads it adds up to more than the run took. `width` is
/// that of the terminal in columns; without it nothing is wrapped.
#[must_use]
pub fn render(report: &Report, color: bool, width: Option<u16>) -> String {
    let paint = Paint(color);
    let total = Total::of(&report.trials);
    let mut out = paint.dim(&heading(report));
    out.push_str("\n\n");
    push_unexpected(&mut out, report, paint);
    push_reasons(&mut out, &reasons(&report.trials, Status::Skip), "skipped", paint);
    push_reasons(
        &mut out,
        &reasons(&report.trials, Status::Xfail),
        "expected to fail",
        paint,
    );
    push_reasons(&mut out, &settings(&report.trials), "compatibility setting", paint);
    if !report.trials.is_empty() {
        out.push_str(&group_table(report, &total, color, width));
        out.push('\n');
    }
    let verdict = verdict(&total.counts);
    let words = verdict_text(verdict);
    out.push_str(&match verdict {
        Verdict::AsExpected => paint.green(&words),
        Verdict::Unexpected(_) => paint.red(&words),
        Verdict::NothingRan => paint.yellow(&words),
    });
    out.push_str(" · ");
    out.push_str(&scope(report, &total));
    out.push('\n');
    out
}

/// Renders the `most` sections that took longest, a line each, the slowest first.
#[must_use]
pub fn render_slowest(report: &Report, most: usize, color: bool) -> String {
    let paint = Paint(color);
    let mut trials: Vec<_> = repeats(&report.trials)
        .filter(|(_, trial)| trial.status != Status::Skip)
        .collect();
    trials.sort_by_key(|(_, trial)| std::cmp::Reverse(trial.duration_us));
    let mut out = String::new();
    for (repeat, trial) in trials.into_iter().take(most) {
        out += &format!("{:>12}  {}\n", duration(trial.duration_us), title(trial, repeat, paint));
    }
    out
}

fn heading(report: &Report) -> String {
    let mut parts = vec![
        format!(
            "{} {}",
            shorten(&report.subject.name, LONG),
            shorten(&report.subject.version, LONG)
        ),
        format!("suite {}", shorten(&report.suite, LONG)),
        format!(
            "{} {}",
            shorten(&report.host.os, LONG),
            shorten(&report.host.arch, LONG)
        ),
        date(report.started),
    ];
    if let Some(shard) = &report.shard {
        parts.push(format!("shard {}", shorten(shard, LONG)));
    }
    parts.join(" · ")
}

fn title(trial: &Trial, repeat: u64, paint: Paint) -> String {
    format!(
        "{}  {}",
        paint.bold(&shorten(&trial.trace, LONG)),
        label(&trial.section, repeat)
    )
}

fn push_unexpected(out: &mut String, report: &Report, paint: Paint) {
    let unexpected = || repeats(&report.trials).filter(|(_, trial)| trial.status.is_unexpected());
    for (repeat, trial) in unexpected().take(BLOCKS) {
        let status = format!("{:<8}", word(trial.status).to_uppercase());
        *out += &format!(
            "{} {}  {}\n",
            paint.red(&status),
            title(trial, repeat, paint),
            paint.dim(&duration(trial.duration_us))
        );
        for line in block(trial, paint) {
            *out += &format!("         {line}\n");
        }
        out.push('\n');
    }
    let rest = unexpected().skip(BLOCKS).count();
    if rest > 0 {
        *out += &format!(
            "{}\n\n",
            paint.red(&format!("and {}", count(to_u64(rest), "more unexpected result")))
        );
    }
}

/// The details of a trial, a line each.
pub(super) fn block(trial: &Trial, paint: Paint) -> Vec<String> {
    let line = |(label, pieces): (&str, Vec<super::bits::Piece>)| {
        let text: String = pieces
            .iter()
            .map(|p| if p.differs { paint.red(&p.text) } else { p.text.clone() })
            .collect();
        format!("{} {text}", paint.dim(&format!("{label:<9}")))
    };
    details(trial).into_iter().map(line).collect()
}

fn push_reasons(out: &mut String, reasons: &[Reason<'_>], heading: &str, paint: Paint) {
    if reasons.is_empty() {
        return;
    }
    *out += &format!("{}\n", paint.yellow(heading));
    for reason in reasons.iter().take(REASONS) {
        *out += &format!("         {}: {}\n", reason.place(), shorten(reason.text, LONG));
    }
    let rest = reasons.len().saturating_sub(REASONS);
    if rest > 0 {
        *out += &format!("         and {} more\n", thousands(to_u64(rest)));
    }
    out.push('\n');
}

/// How much of the table is left out, so that it fits a narrow terminal.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Detail {
    Full,
    /// No columns of zeros.
    Some,
    /// Nor accesses, time and traces.
    Least,
}

/// The numbers of a row, each with its heading.
fn columns(total: &Total, all: &Total, detail: Detail) -> Vec<(&'static str, String, Option<Color>)> {
    let Total {
        traces,
        sections,
        counts,
        accesses,
        duration_us,
    } = total;
    let tinted = |n: u64, color| (thousands(n), (n > 0).then_some(color));
    let full = detail == Detail::Full;
    let not_least = detail < Detail::Least;
    [
        ("traces", (thousands(*traces), None), not_least),
        ("sections", (thousands(*sections), None), true),
        ("pass", tinted(counts.pass, Color::Green), true),
        ("fail", tinted(counts.fail, Color::Red), true),
        (
            "xfail",
            tinted(counts.xfail, Color::Yellow),
            full || all.counts.xfail > 0,
        ),
        ("xpass", tinted(counts.xpass, Color::Red), full || all.counts.xpass > 0),
        ("skip", tinted(counts.skip, Color::Yellow), full || all.counts.skip > 0),
        ("error", tinted(counts.error, Color::Red), all.counts.error > 0),
        ("timeout", tinted(counts.timeout, Color::Red), all.counts.timeout > 0),
        ("accesses", (thousands(*accesses), None), not_least),
        ("time", (duration(*duration_us), None), not_least),
    ]
    .into_iter()
    .filter_map(|(heading, (text, color), shown)| shown.then_some((heading, text, color)))
    .collect()
}

fn group_table(report: &Report, all: &Total, color: bool, width: Option<u16>) -> String {
    let groups = groups(&report.trials);
    let groups: Vec<_> = groups
        .iter()
        .map(|(name, trials)| (*name, Total::of(trials.iter().copied())))
        .collect();
    let draw = |detail| {
        let mut table = table(&groups, all, detail);
        if color {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        table
    };
    let Some(width) = width else {
        return set_off_total(&draw(Detail::Full).to_string(), groups.len());
    };
    let fits = |table: &mut Table| {
        let line = table.lines().next().unwrap_or_default();
        line.chars().count() <= usize::from(width)
    };
    for detail in [Detail::Full, Detail::Some] {
        let mut table = draw(detail);
        if fits(&mut table) {
            return set_off_total(&table.to_string(), groups.len());
        }
    }
    let mut table = draw(Detail::Least);
    table
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    set_off_total(&table.to_string(), groups.len())
}

fn table(groups: &[(&str, Total)], all: &Total, detail: Detail) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled);
    let right = |text: &str| Cell::new(text).set_alignment(CellAlignment::Right);
    let headings = columns(all, all, detail)
        .into_iter()
        .map(|(heading, ..)| right(heading));
    table.set_header(std::iter::once(Cell::new("group")).chain(headings));
    for (name, total) in groups
        .iter()
        .map(|(name, total)| (*name, total))
        .chain([("total", all)])
    {
        let bold = |cell: Cell| {
            if std::ptr::eq(total, all) {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        };
        let numbers = columns(total, all, detail)
            .into_iter()
            .map(|(_, text, color)| match color {
                Some(color) => right(&text).fg(color),
                None => right(&text),
            });
        table.add_row(std::iter::once(Cell::new(shorten(name, LONG))).chain(numbers).map(bold));
    }
    table
}

/// Draws the line below the heading once more above the last row, unless cells were wrapped.
fn set_off_total(table: &str, groups: usize) -> String {
    let lines: Vec<&str> = table.lines().collect();
    let mut out = String::with_capacity(table.len() + table.len() / 4);
    // Top, heading, line, groups, total, bottom.
    let rule = if lines.len() == groups + 5 { lines.get(2) } else { None };
    for (i, line) in lines.iter().enumerate() {
        if let (Some(rule), true) = (rule, i + 2 == lines.len()) {
            let _ = writeln!(out, "{rule}");
        }
        let _ = writeln!(out, "{line}");
    }
    out
}
