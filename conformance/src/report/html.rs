// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The report as one HTML page that needs no network and works without scripts.

use super::bits::{Number, Piece, compare};
use super::summary::{
    Total, Verdict, details, groups, label, reasons, repeats, scope, to_u64, verdict, verdict_text, word,
};
use super::text::{COMMAND, count, date, duration, shorten, thousands};
use super::{Counts, Report, Status, Trial};

const STYLE: &str = include_str!("html/style.css");
const FILTER: &str = include_str!("html/filter.js");

/// Unexpected results shown above the list of all sections.
const RESULTS: usize = 200;
/// Reasons listed before they are only counted.
const REASONS: usize = 50;

/// Renders a report as a self-contained HTML page.
///
/// Everything the report holds is escaped. The only script filters the list of sections.
#[must_use]
pub fn to_string(report: &Report) -> String {
    let total = Total::of(&report.trials);
    let mut page = Page::default();
    page.head(report, &total);
    page.header(report, &total);
    page.raw("<main class=\"wrap\">\n");
    page.unexpected(report);
    page.all_reasons(report);
    if !report.trials.is_empty() {
        page.groups(report, &total);
        page.sections(report, &total.counts);
    }
    page.raw("</main>\n<footer class=\"wrap\">")
        .text(&report.schema)
        .raw("</footer>\n<script>")
        .raw(FILTER);
    page.raw("</script>\n</body>\n</html>\n");
    page.0
}

/// Statuses in the order of their importance to a reader.
const STATUSES: [Status; 7] = [
    Status::Fail,
    Status::Error,
    Status::Timeout,
    Status::Xpass,
    Status::Xfail,
    Status::Skip,
    Status::Pass,
];

const fn tally(counts: &Counts, status: Status) -> u64 {
    match status {
        Status::Pass => counts.pass,
        Status::Fail => counts.fail,
        Status::Skip => counts.skip,
        Status::Xfail => counts.xfail,
        Status::Xpass => counts.xpass,
        Status::Error => counts.error,
        Status::Timeout => counts.timeout,
    }
}

/// Markup under construction.
///
/// Markup is `&'static str`; whatever is made at run time goes through [`Page::text`] and is escaped.
#[derive(Default)]
struct Page(String);

impl Page {
    fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        for c in shorten(text, COMMAND).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.text(&number.to_string())
    }

    fn head(&mut self, report: &Report, total: &Total) {
        self.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ");
        self.raw("style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n");
        self.raw("<title>")
            .text(&verdict_text(verdict(&total.counts)))
            .raw(" · ");
        self.text(&report.subject.name)
            .raw(" ")
            .text(&report.subject.version)
            .raw("</title>\n<style>");
        self.raw(STYLE).raw("</style>\n</head>\n<body>\n");
    }

    fn header(&mut self, report: &Report, total: &Total) {
        let verdict = verdict(&total.counts);
        self.raw(match verdict {
            Verdict::AsExpected => "<header class=\"pass\">",
            Verdict::Unexpected(_) => "<header class=\"fail\">",
            Verdict::NothingRan => "<header class=\"xfail\">",
        });
        self.raw("<div class=\"wrap\">\n<p class=\"kicker\">Conformance of ")
            .text(&report.subject.name);
        self.raw(" ").text(&report.subject.version).raw("</p>\n<h1>");
        let mut words = verdict_text(verdict);
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        self.text(&words)
            .raw("</h1>\n<p class=\"scope\">")
            .text(&scope(report, total))
            .raw("</p>\n");
        self.bar(&total.counts);
        self.raw("<p class=\"legend\">");
        for status in STATUSES {
            let n = tally(&total.counts, status);
            if n > 0 {
                self.raw("<span class=\"")
                    .raw(word(status))
                    .raw("\"><b>")
                    .text(&thousands(n))
                    .raw("</b> ");
                self.raw(word(status)).raw("</span> ");
            }
        }
        self.raw("</p>\n<dl class=\"facts\">\n");
        let host = format!(
            "{} {}, {}",
            report.host.os,
            report.host.arch,
            count(to_u64(report.host.threads), "thread")
        );
        let subject = format!("{} {}", report.subject.name, report.subject.version);
        for (name, value) in [
            ("Subject", Some(subject.as_str())),
            ("Suite", Some(&report.suite)),
            ("Host", Some(&host)),
            ("Started", Some(&date(report.started))),
            ("Duration", Some(&duration(report.duration_us))),
            ("Accesses", Some(&thousands(total.accesses))),
            ("Shard", report.shard.as_deref()),
        ] {
            if let Some(value) = value {
                self.raw("<div><dt>")
                    .raw(name)
                    .raw("</dt><dd>")
                    .text(value)
                    .raw("</dd></div>\n");
            }
        }
        self.raw("</dl>\n</div></header>\n");
    }

    fn bar(&mut self, counts: &Counts) {
        self.raw("<div class=\"bar\" aria-hidden=\"true\">");
        for status in STATUSES {
            let n = tally(counts, status);
            if n > 0 {
                self.raw("<i class=\"")
                    .raw(word(status))
                    .raw("\" style=\"flex:")
                    .number(n)
                    .raw("\"></i>");
            }
        }
        self.raw("</div>\n");
    }

    fn chip(&mut self, status: Status) -> &mut Self {
        self.raw("<span class=\"chip ")
            .raw(word(status))
            .raw("\">")
            .raw(word(status))
            .raw("</span>")
    }

    fn unexpected(&mut self, report: &Report) {
        let unexpected = || numbered(report).filter(|(_, _, trial)| trial.status.is_unexpected());
        let n = unexpected().count();
        if n == 0 {
            return;
        }
        self.raw("<section id=\"unexpected\">\n<h2>Unexpected results <small>")
            .text(&thousands(to_u64(n)));
        self.raw("</small></h2>\n");
        for (trace, repeat, trial) in unexpected().take(RESULTS) {
            self.raw("<article class=\"card result ")
                .raw(word(trial.status))
                .raw("\">\n<h3>")
                .chip(trial.status);
            self.raw(" <a href=\"#t").number(trace).raw("\">").text(&trial.trace);
            self.raw("</a> <span class=\"section\">")
                .text(&label(&trial.section, repeat));
            self.raw("</span> <span class=\"time\">")
                .text(&duration(trial.duration_us))
                .raw("</span></h3>\n");
            self.details(trial);
            self.raw("</article>\n");
        }
        if n > RESULTS {
            self.raw("<p>")
                .text(&count(to_u64(n - RESULTS), "more unexpected result"))
                .raw(" below.</p>\n");
        }
        self.raw("</section>\n");
    }

    fn details(&mut self, trial: &Trial) {
        let rows = details(trial);
        if rows.is_empty() {
            return;
        }
        self.raw("<dl class=\"details\">\n");
        for (name, pieces) in rows {
            self.raw("<dt>").raw(name).raw("</dt><dd>");
            let (open, close) = match name {
                "at" | "line" | "expected" | "got" | "mask" => ("<code>", "</code></dd>\n"),
                "again" => ("<code class=\"again\">", "</code></dd>\n"),
                _ => ("<span class=\"text\">", "</span></dd>\n"),
            };
            self.raw(open).pieces(&pieces).raw(close);
        }
        self.raw("</dl>\n");
        if let Some(number) = trial.failure.as_ref().and_then(|failure| compare(failure).number) {
            self.bits(number);
        }
    }

    fn pieces(&mut self, pieces: &[Piece]) -> &mut Self {
        for piece in pieces {
            if piece.differs {
                self.raw("<b>").text(&piece.text).raw("</b>");
            } else {
                self.text(&piece.text);
            }
        }
        self
    }

    /// Both values bit by bit, four to a column.
    fn bits(&mut self, number: Number) {
        let columns = || (0..u32::try_from(number.digits).unwrap_or(16)).rev();
        self.raw("<div class=\"scroll\"><table class=\"bits\"><thead><tr><th>bit</th>");
        for column in columns() {
            self.raw("<th>").number(u64::from(column * 4 + 3)).raw("</th>");
        }
        self.raw("</tr></thead><tbody>\n");
        for (name, value) in [("expected", number.expected), ("got", number.got)] {
            self.raw("<tr><th>").raw(name).raw("</th>");
            for column in columns() {
                self.raw("<td>");
                for bit in (column * 4..column * 4 + 4).rev() {
                    let is_set = |value: u64| value >> bit & 1 == 1;
                    let digit = if is_set(value) { "1" } else { "0" };
                    match (is_set(number.differing()), is_set(number.mask)) {
                        (true, _) => self.raw("<b>").raw(digit).raw("</b>"),
                        (false, true) => self.raw(digit),
                        (false, false) => self.raw("<span class=\"off\">").raw(digit).raw("</span>"),
                    };
                }
                self.raw("</td>");
            }
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }

    fn all_reasons(&mut self, report: &Report) {
        let lists = [(Status::Skip, "Skipped"), (Status::Xfail, "Expected to fail")];
        if lists
            .iter()
            .all(|(status, _)| reasons(&report.trials, *status).is_empty())
        {
            return;
        }
        self.raw("<section class=\"columns\">\n");
        for (status, heading) in lists {
            let reasons = reasons(&report.trials, status);
            if reasons.is_empty() {
                continue;
            }
            let sections = reasons.iter().map(|reason| reason.sections).sum();
            self.raw("<div>\n<h2>")
                .raw(heading)
                .raw(" <small>")
                .text(&thousands(sections))
                .raw("</small></h2>\n");
            self.raw("<ul class=\"card reasons\">\n");
            for reason in reasons.iter().take(REASONS) {
                self.raw("<li><span class=\"text\">")
                    .text(reason.text)
                    .raw("</span><small>")
                    .text(&reason.place());
                self.raw("</small></li>\n");
            }
            if reasons.len() > REASONS {
                let rest = count(to_u64(reasons.len() - REASONS), "more reason");
                self.raw("<li>and ").text(&rest).raw("</li>\n");
            }
            self.raw("</ul>\n</div>\n");
        }
        self.raw("</section>\n");
    }

    fn groups(&mut self, report: &Report, all: &Total) {
        self.raw("<section id=\"groups\">\n<h2>Groups</h2>\n<div class=\"card scroll\"><table class=\"groups\">\n");
        self.raw("<thead><tr><th>group</th><th class=\"wide\">traces</th><th>sections</th><th class=\"bars\"></th>");
        for status in shown_columns(&all.counts) {
            self.raw("<th>").raw(word(status)).raw("</th>");
        }
        self.raw("<th class=\"wide\">accesses</th><th class=\"wide\">time</th></tr></thead>\n<tbody>\n");
        for (i, (name, trials)) in (0..).zip(groups(&report.trials)) {
            self.raw("<tr><th scope=\"row\"><a href=\"#g")
                .number(i)
                .raw("\">")
                .text(name)
                .raw("</a></th>");
            self.group_row(&Total::of(trials), all);
        }
        self.raw("</tbody>\n<tfoot><tr><th scope=\"row\">total</th>");
        self.group_row(all, all);
        self.raw("</tfoot>\n</table></div>\n</section>\n");
    }

    fn group_row(&mut self, total: &Total, all: &Total) {
        self.raw("<td class=\"wide\">")
            .text(&thousands(total.traces))
            .raw("</td><td>");
        self.text(&thousands(total.sections)).raw("</td><td class=\"bars\">");
        self.bar(&total.counts);
        self.raw("</td>");
        for status in shown_columns(&all.counts) {
            let n = tally(&total.counts, status);
            self.raw(if n > 0 {
                "<td class=\"some "
            } else {
                "<td class=\"none "
            })
            .raw(word(status))
            .raw("\">");
            self.text(&thousands(n)).raw("</td>");
        }
        self.raw("<td class=\"wide\">")
            .text(&thousands(total.accesses))
            .raw("</td><td class=\"wide\">");
        self.text(&duration(total.duration_us)).raw("</td></tr>\n");
    }

    fn sections(&mut self, report: &Report, counts: &Counts) {
        self.raw("<section id=\"sections\">\n<h2>All sections <small>")
            .text(&thousands(to_u64(report.trials.len())));
        self.raw("</small></h2>\n<div id=\"filter\" hidden>\n<input id=\"find\" type=\"search\" ");
        self.raw("placeholder=\"Filter by trace, section or reason\" aria-label=\"Filter sections\">\n");
        let occurring = || STATUSES.into_iter().filter(|&status| tally(counts, status) > 0);
        if occurring().count() > 1 {
            for status in occurring() {
                self.raw("<button type=\"button\" aria-pressed=\"false\" class=\"")
                    .raw(word(status));
                self.raw("\" data-status=\"")
                    .raw(word(status))
                    .raw("\">")
                    .raw(word(status))
                    .raw("</button>\n");
            }
        }
        self.raw("<output id=\"left\" for=\"find\"></output>\n</div>\n");
        let mut by_group: std::collections::BTreeMap<&str, Vec<(u64, u64, &Trial)>> = Default::default();
        for item in numbered(report) {
            by_group.entry(super::summary::group(item.2)).or_default().push(item);
        }
        for (i, (name, items)) in (0..).zip(by_group) {
            let traces = items.chunk_by(|a, b| a.0 == b.0);
            self.raw("<div class=\"group\" id=\"g")
                .number(i)
                .raw("\">\n<h3>")
                .text(name)
                .raw(" <small>");
            self.text(&count(to_u64(traces.clone().count()), "trace"))
                .raw("</small></h3>\n<div class=\"card\">\n");
            traces.for_each(|trace| self.trace(trace));
            self.raw("</div>\n</div>\n");
        }
        self.raw("</section>\n");
    }

    fn trace(&mut self, items: &[(u64, u64, &Trial)]) {
        let Some((number, _, first)) = items.first() else {
            return;
        };
        let total = Total::of(items.iter().map(|(_, _, trial)| *trial));
        self.raw("<details class=\"trace\" id=\"t")
            .number(*number)
            .raw("\" data-trace=\"")
            .text(&first.trace);
        self.raw("\"><summary><code>").text(&first.trace).raw("</code> ");
        self.bar(&total.counts);
        if let Some(setting) = &first.setting {
            self.raw("<span class=\"setting\">as ").text(setting).raw("</span> ");
        }
        for status in STATUSES {
            let n = tally(&total.counts, status);
            if n > 0 {
                self.raw("<span class=\"tally ")
                    .raw(word(status))
                    .raw("\">")
                    .text(&thousands(n))
                    .raw(" ");
                self.raw(word(status)).raw("</span> ");
            }
        }
        self.raw("<span class=\"time\">")
            .text(&duration(total.duration_us))
            .raw("</span></summary>\n<ul>\n");
        for (_, repeat, trial) in items {
            self.trial(*repeat, trial);
        }
        self.raw("</ul></details>\n");
    }

    fn trial(&mut self, repeat: u64, trial: &Trial) {
        self.raw("<li data-status=\"")
            .raw(word(trial.status))
            .raw("\">")
            .chip(trial.status)
            .raw(" <code>");
        self.text(&label(&trial.section, repeat)).raw("</code>");
        if trial.status != Status::Skip {
            self.raw(" <span class=\"numbers\">")
                .text(&format!("{} accesses", thousands(trial.accesses)));
            self.raw(", ")
                .text(&count(trial.checks, "check"))
                .raw("</span> <span class=\"time\">");
            self.text(&duration(trial.duration_us)).raw("</span>");
        }
        match (&trial.failure, &trial.reason) {
            (Some(_), reason) => {
                self.raw("<details class=\"more\"><summary>");
                self.text(reason.as_deref().unwrap_or("first difference"))
                    .raw("</summary>\n");
                self.details(trial);
                self.raw("</details>");
            }
            (None, Some(reason)) => {
                self.raw("<div class=\"more text\">").text(reason).raw("</div>");
            }
            (None, None) => {}
        }
        self.raw("</li>\n");
    }
}

/// Columns of the table of groups: those a reader expects, and the rare ones where they occur.
fn shown_columns(all: &Counts) -> impl Iterator<Item = Status> {
    [
        Status::Pass,
        Status::Fail,
        Status::Error,
        Status::Timeout,
        Status::Xpass,
        Status::Xfail,
        Status::Skip,
    ]
    .into_iter()
    .filter(|&status| matches!(status, Status::Pass | Status::Fail) || tally(all, status) > 0)
}

/// Each trial with the number of its trace and of its label's repetition.
fn numbered(report: &Report) -> impl Iterator<Item = (u64, u64, &Trial)> {
    let mut trace = 0;
    let mut last: Option<&str> = None;
    repeats(&report.trials).map(move |(repeat, trial)| {
        trace += u64::from(last.is_some_and(|last| last != trial.trace));
        last = Some(&trial.trace);
        (trace, repeat, trial)
    })
}
