// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Table, `JUnit` and HTML.

use std::collections::BTreeSet;

use igd_conformance::diff;
use igd_conformance::report::{Counts, Report, Status, html, junit, sample, table};

use crate::samples::{STATUSES, complete, hostile, many_failures, snapshot};

#[test]
fn samples_show_every_status_and_field() {
    let mixed = sample::mixed();
    let seen: BTreeSet<Status> = mixed.trials.iter().map(|trial| trial.status).collect();
    assert_eq!(seen, STATUSES.into_iter().collect());
    assert!(mixed.trials.iter().any(|trial| trial.setting.is_some()));
    assert!(
        mixed
            .trials
            .iter()
            .any(|trial| trial.failure.as_ref().is_some_and(|failure| failure.mask.is_some()))
    );
    let green = sample::green();
    assert_eq!(
        Counts::of(&green.trials).pass,
        u64::try_from(green.trials.len()).unwrap()
    );
}

#[test]
fn table_snapshots() {
    snapshot("table-mixed", &table::render(&sample::mixed(), false, None));
    snapshot("table-mixed-color", &table::render(&sample::mixed(), true, Some(120)));
    snapshot("table-green", &table::render(&sample::green(), false, None));
    snapshot("table-green-narrow", &table::render(&sample::green(), false, Some(50)));
    snapshot("slowest", &table::render_slowest(&sample::mixed(), 5, false));
}

#[test]
fn table_fits_the_terminal_and_counts_what_it_leaves_out() {
    for width in [1, 20, 40, 60, 79, 80, 100, 120] {
        let text = table::render(&sample::mixed(), false, Some(width));
        let drawn = text.lines().filter(|line| line.starts_with(['┌', '│', '╞', '└']));
        let widest = drawn.map(|line| line.chars().count()).max().unwrap();
        assert!(
            widest <= usize::from(width).max(40),
            "{widest} columns of {width}\n{text}"
        );
    }
    let text = table::render(&many_failures(25), false, None);
    assert_eq!(text.matches("FAIL ").count(), 20);
    assert!(text.contains("and 5 more unexpected results"), "{text}");
    assert!(
        text.ends_with("on 1 thread\n") && text.contains("25 unexpected results · 25 sections of 1 trace"),
        "{text}"
    );
}

#[test]
fn a_run_of_nothing_is_not_a_success() {
    let mut report = sample::green();
    for trial in &mut report.trials {
        trial.status = Status::Skip;
        trial.reason = Some("not here".to_owned());
    }
    assert!(table::render(&report, false, None).contains("\nnothing ran · "));
    assert!(html::to_string(&report).contains("<h1>Nothing ran</h1>"));
    report.trials.clear();
    assert!(table::render(&report, false, None).contains("\nnothing ran · 0 sections"));
    assert!(html::to_string(&report).contains("<h1>Nothing ran</h1>"));
}

#[test]
fn text_obeys_no_control_character() {
    let shown = [
        table::render(&hostile(), false, None),
        table::render(&hostile(), false, Some(80)),
        table::render_slowest(&hostile(), 9, false),
        diff::diff(&sample::mixed(), &hostile()).render(false),
    ];
    for text in shown {
        let acting = text
            .chars()
            .find(|&c| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{ffff}".contains(c)));
        assert_eq!(acting, None, "{text}");
        assert!(text.contains("\\u{1b}[31m"));
    }
}

#[test]
fn junit_snapshots() {
    snapshot("junit-mixed", &junit::to_string(&sample::mixed()).unwrap());
}

#[test]
fn junit_is_well_formed_and_has_every_trial() {
    for report in [sample::mixed(), sample::green(), hostile()] {
        let xml = junit::to_string(&report).unwrap();
        let read = quick_junit::Report::deserialize_from_str(&xml).unwrap();
        let counts = Counts::of(&report.trials);
        assert_eq!(
            u64::try_from(read.tests).unwrap(),
            u64::try_from(report.trials.len()).unwrap()
        );
        assert_eq!(u64::try_from(read.failures).unwrap(), counts.fail + counts.xpass);
        assert_eq!(u64::try_from(read.errors).unwrap(), counts.error + counts.timeout);
        let skipped: usize = read.test_suites.iter().map(|suite| suite.skipped).sum();
        assert_eq!(u64::try_from(skipped).unwrap(), counts.skip + counts.xfail);
        // XML 1.0 allows no other control characters and no U+FFFE and U+FFFF, not even escaped.
        let forbidden = xml
            .chars()
            .find(|&c| (c.is_control() && !"\n\t\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c));
        assert_eq!(forbidden, None);
        assert!(!xml.contains("<script"));
        for suite in &read.test_suites {
            let names: BTreeSet<_> = suite.test_cases.iter().map(|case| case.name.as_str()).collect();
            assert_eq!(
                names.len(),
                suite.test_cases.len(),
                "names in {} are not unique",
                suite.name.as_str()
            );
        }
    }
}

/// The page without its style and script, which are files of their own.
pub(crate) fn markup(page: &str) -> String {
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (body, rest) = rest.rsplit_once("<script>").unwrap();
    let (_, after) = rest.split_once("</script>").unwrap();
    format!("{before}<style></style>{body}<script></script>{after}")
}

#[test]
fn html_snapshots() {
    snapshot("html-mixed", &markup(&html::to_string(&sample::mixed())));
    snapshot("html-green", &markup(&html::to_string(&sample::green())));
}

#[test]
fn html_escapes_everything() {
    let page = html::to_string(&hostile());
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("</script").count(), 1);
    let body = markup(&page);
    let acting = body
        .chars()
        .find(|&c| c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{ffff}".contains(c)));
    assert_eq!(acting, None);
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39; onload=&#39;x&#39; &amp; &amp;amp;"));
    assert!(body.contains("\\u{202e}שלום"));
    // A stray `<` or quote of the report would open a tag or an attribute that the page does not have.
    for tag in body.split('<').skip(1) {
        let (inside, text) = tag.split_once('>').unwrap();
        assert!(!text.contains(['"', '\'']), "{tag}");
        assert_eq!(inside.matches('"').count() % 2, 0, "{tag}");
        assert!(
            !inside.split('"').step_by(2).any(|markup| markup.contains("onload")),
            "{tag}"
        );
    }
}

#[test]
fn html_is_balanced_and_loads_nothing() {
    for report in [
        sample::mixed(),
        sample::green(),
        hostile(),
        many_failures(300),
        Report {
            trials: vec![],
            ..complete()
        },
    ] {
        let body = markup(&html::to_string(&report));
        let mut open: Vec<&str> = Vec::new();
        for tag in body.split('<').skip(1) {
            let name = tag.split(['>', ' ', '\n']).next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name)),
                None if ["meta", "input", "!doctype"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        let page = html::to_string(&report);
        for asset in ["src=", "url(", "@import", "<link", "://"] {
            assert!(!page.contains(asset), "{asset}");
        }
        let mut ids = BTreeSet::new();
        for id in body.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(ids.insert(id), "two elements with id {id}");
        }
        for target in body
            .split("href=\"#")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
        {
            assert!(ids.contains(target), "nothing at #{target}");
        }
        assert_eq!(body.matches("<li data-status=").count(), report.trials.len());
    }
}
