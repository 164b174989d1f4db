// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One table of vectors, case by case.

use std::time::Instant;

use super::replay::{Control, End, Tally};
use super::select::is_selected;
use super::{Observed, Options, panics, words};
use crate::corpus::Trace;
use crate::report::Failure;
use crate::subject::{Refusal, Subject};
use crate::vectors::{ANY, Case, Question, Table};

/// Asks `subject` every case of the table `trace`. Each case is an access, each answer asked for a check.
pub(super) fn decide(subject: &dyn Subject, trace: &Trace, options: &Options, control: &Control) -> End {
    let table = match Table::open(&trace.path) {
        Ok(table) => table,
        Err(error) => return End::Unreadable(error.to_string()),
    };
    let labels = table.sections.iter().map(|section| &section.label);
    if !labels.eq(trace.sections.iter().map(|section| &section.label)) {
        return End::Unreadable(format!("{}: changed while it was run", trace.path.display()));
    }
    control.update(|board| board.tallies = vec![Tally::default(); table.sections.len()]);
    for (place, (section, known)) in table.sections.iter().zip(&trace.sections).enumerate() {
        control.update(|board| board.current = Some(place));
        if !is_selected(options.section.as_ref(), known) {
            continue;
        }
        let since = Instant::now();
        let mut tally = Tally {
            visits: 1,
            ..Tally::default()
        };
        let mut end = None;
        for case in &section.cases {
            if control.is_expired() {
                end = Some(End::Timeout);
                break;
            }
            let asked = Asked {
                trace,
                options,
                table: &table,
                case,
                label: &section.label,
                rule: &section.text,
            };
            if let Err(stop) = asked.ask(subject, &mut tally) {
                end = Some(stop);
                break;
            }
        }
        tally.time = since.elapsed();
        control.update(|board| {
            if let Some(total) = board.tallies.get_mut(place) {
                *total = tally;
            }
        });
        if let Some(end) = end {
            return end;
        }
    }
    End::Complete
}

/// One case in its section.
struct Asked<'a> {
    trace: &'a Trace,
    options: &'a Options,
    table: &'a Table,
    case: &'a Case,
    label: &'a str,
    rule: &'a str,
}

impl Asked<'_> {
    fn ask(&self, subject: &dyn Subject, tally: &mut Tally) -> Result<(), End> {
        let question = Question::new(self.table, self.case);
        let place = || format!("{}:{}", self.trace.path.display(), self.case.line);
        let answers = match panics::catch(|| subject.decide(&question)) {
            Ok(Ok(answers)) => answers,
            Ok(Err(Refusal::Skip(reason))) => return Err(End::Refused(reason)),
            Ok(Err(Refusal::Error(reason))) => return Err(End::Broken(format!("{}: {reason}", place()))),
            Err(panic) => return Err(End::Broken(format!("{}: {panic}", place()))),
        };
        tally.accesses += 1;
        let mut differs = false;
        let mut all = Vec::new();
        for (column, expected) in self.table.outputs.iter().zip(&self.case.outputs) {
            let Some((_, got)) = answers.iter().find(|(name, _)| name == column) else {
                return Err(End::Broken(format!("{}: the subject has no answer {column}", place())));
            };
            all.push(format!("{column} {got}"));
            if expected == ANY {
                continue;
            }
            tally.checks += 1;
            if got != expected {
                differs = true;
                tally.differences += 1;
                tally.failure.get_or_insert_with(|| self.failure(column, expected, got));
            }
        }
        if let Some(tap) = &self.options.tap {
            tap(&Observed {
                trace: &self.trace.name,
                section: self.label,
                number: self.case.line,
                text: self.case.text.as_bytes(),
                answer: Some(all.join(", ")),
                differs,
            });
        }
        Ok(())
    }

    fn failure(&self, column: &str, expected: &str, got: &str) -> Failure {
        let given = self.table.inputs.iter().zip(&self.case.inputs);
        let given: Vec<_> = given.map(|(name, value)| format!("{name} {value}")).collect();
        Failure {
            path: self.trace.path.display().to_string(),
            line: self.case.line,
            text: words::shortened(self.case.text.as_bytes()),
            rule: self.rule.to_owned(),
            access: format!("{column} for {}", given.join(", ")),
            expected: expected.to_owned(),
            got: got.to_owned(),
            mask: None,
            again: words::again(&self.options.again, self.trace, self.label),
        }
    }
}
