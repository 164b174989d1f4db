// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One trace on one machine.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::compare::{Comparison, PIECE};
use super::{Observed, Options, panics, vectors, words};
use crate::corpus::{Trace, UNNAMED};
use crate::expect::Expected;
use crate::report::Failure;
use crate::runner::select::is_selected;
use crate::subject::{Machine, MachineError, Refusal, Subject};
use crate::trace::{Entry, Hex, Line, Reader, TraceError, Width};

/// What the threads that replay and watch a trace share.
#[derive(Default)]
pub(super) struct Control {
    /// The trace has used up its time.
    pub(super) expired: AtomicBool,
    /// Somebody speaks for the trace: the thread that finished it or the one that gave it up.
    claimed: AtomicBool,
    board: Mutex<Board>,
}

impl Control {
    /// What has been finished so far.
    pub(super) fn board(&self) -> Board {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Board)) {
        change(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether the caller is the first to speak for the trace.
    pub(super) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

/// How far a trace has come.
#[derive(Clone, Default)]
pub(super) struct Board {
    /// One for each section of the trace, as far as they were reached.
    pub(super) tallies: Vec<Tally>,
    /// The section being replayed.
    pub(super) current: Option<usize>,
    /// The machine's compatibility setting.
    pub(super) setting: Option<String>,
}

/// What happened in the visits to a section.
#[derive(Clone, Default)]
pub(super) struct Tally {
    /// Visits finished or begun.
    pub(super) visits: u64,
    pub(super) accesses: u64,
    pub(super) checks: u64,
    pub(super) differences: u64,
    pub(super) time: Duration,
    pub(super) failure: Option<Failure>,
}

/// How the replay of a trace ended.
pub(super) enum End {
    /// Every line was performed.
    Complete,
    /// The subject does not do this.
    Refused(String),
    /// All that is reported of the trace is expected to be left out.
    Unwanted,
    /// The subject failed.
    Broken(String),
    /// The trace could not be read.
    Unreadable(String),
    /// It took too long.
    Timeout,
}

/// Replays `trace` on a new machine of `subject`.
pub(super) fn replay(subject: &dyn Subject, trace: &Trace, options: &Options, control: &Control) -> End {
    if let Some(problem) = &trace.problem {
        return End::Unreadable(problem.clone());
    }
    let is_wanted = |label: &str| {
        let expected = options.expectations.find(subject.name(), &trace.name, label);
        expected.is_none_or(|entry| entry.status != Expected::Skip)
    };
    let mut reported = trace
        .sections
        .iter()
        .filter(|section| is_selected(options.section.as_ref(), section));
    if !reported.any(|section| is_wanted(&section.label)) {
        return End::Unwanted;
    }
    if trace.is_vectors() {
        return vectors::decide(subject, trace, options, control);
    }
    let unreadable = |error: TraceError| End::Unreadable(error.to_string());
    let (mut reader, header) = match trace.open().and_then(|mut reader| Ok((reader.header()?, reader))) {
        Ok((header, reader)) => (reader, header),
        Err(error) => return unreadable(error),
    };
    let mut machine = match panics::catch(|| subject.machine(&header)) {
        Ok(Ok(machine)) => machine,
        Ok(Err(Refusal::Skip(reason))) => return End::Refused(reason),
        Ok(Err(Refusal::Error(reason))) => return End::Broken(format!("no machine: {reason}")),
        Err(panic) => return End::Broken(panic),
    };
    let mut session = Session::new(trace, options, control);
    let end = match panics::catch(|| session.run(&mut reader, machine.as_mut())) {
        Ok(end) => end,
        Err(panic) => End::Broken(panic),
    };
    session.leave();
    match panics::catch(|| drop(machine)) {
        Err(panic) if matches!(end, End::Complete) => End::Broken(panic),
        _ => end,
    }
}

/// A replay under way.
struct Session<'a> {
    trace: &'a Trace,
    options: &'a Options,
    control: &'a Control,
    places: HashMap<&'a str, usize>,
    /// Place, label and rule of the current section.
    place: Option<usize>,
    label: &'a str,
    rule: String,
    reported: bool,
    tally: Tally,
    since: Instant,
}

enum Stop {
    Machine(MachineError),
    Timeout,
}

impl From<MachineError> for Stop {
    fn from(error: MachineError) -> Self {
        Self::Machine(error)
    }
}

impl<'a> Session<'a> {
    fn new(trace: &'a Trace, options: &'a Options, control: &'a Control) -> Self {
        let labels = trace.sections.iter().map(|section| section.label.as_str());
        control.update(|board| board.tallies = vec![Tally::default(); trace.sections.len()]);
        Self {
            trace,
            options,
            control,
            places: labels.enumerate().map(|(place, label)| (label, place)).collect(),
            place: None,
            label: UNNAMED,
            rule: String::new(),
            reported: false,
            tally: Tally::default(),
            since: Instant::now(),
        }
    }

    fn run(&mut self, reader: &mut Reader<impl Read>, machine: &mut dyn Machine) -> End {
        if let Some(setting) = machine.setting() {
            self.control.update(|board| board.setting = Some(setting.to_owned()));
        }
        loop {
            let entry = match reader.entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => return End::Complete,
                Err(error) => return End::Unreadable(error.to_string()),
            };
            match entry.line {
                Line::Comment(_) => continue,
                Line::Section { label, text } => {
                    if !self.enter(label, text) {
                        return End::Unreadable(format!(
                            "{}: changed while it was replayed",
                            self.trace.path.display()
                        ));
                    }
                    continue;
                }
                Line::Header { .. } => {
                    let what = "a header stands after the first section or access".to_owned();
                    return End::Unreadable(reader.at(1, what).to_string());
                }
                _ => {}
            }
            if self.place.is_none() && !self.enter(UNNAMED, "") {
                return End::Unreadable(format!("{}: changed while it was replayed", self.trace.path.display()));
            }
            if self.control.is_expired() {
                return End::Timeout;
            }
            match self.perform(&entry, machine) {
                Ok(()) => {}
                Err(Stop::Timeout) => return End::Timeout,
                Err(Stop::Machine(MachineError(message))) => {
                    let path = self.trace.path.display();
                    return End::Broken(format!(
                        "{path}:{}: {}: {message}",
                        entry.number,
                        words::access(&entry.line)
                    ));
                }
            }
        }
    }

    /// Begins a section; false if the trace had no such section before.
    fn enter(&mut self, label: &str, text: &str) -> bool {
        let Some((label, place)) = self.places.get_key_value(label) else {
            return false;
        };
        let (label, place) = (*label, *place);
        self.leave();
        self.place = Some(place);
        self.label = label;
        text.clone_into(&mut self.rule);
        self.reported = self
            .options
            .section
            .as_ref()
            .is_none_or(|pattern| pattern.matches(label));
        self.tally.visits = 1;
        self.control.update(|board| board.current = Some(place));
        true
    }

    /// Enters what happened in the current section on the board.
    fn leave(&mut self) {
        let now = Instant::now();
        let tally = std::mem::take(&mut self.tally);
        let time = now.duration_since(self.since);
        self.since = now;
        let Some(place) = self.place else { return };
        self.control.update(|board| {
            if let Some(total) = board.tallies.get_mut(place) {
                total.visits += tally.visits;
                total.accesses += tally.accesses;
                total.checks += tally.checks;
                total.differences += tally.differences;
                total.time += time;
                total.failure = total.failure.take().or(tally.failure);
            }
        });
    }

    #[inline]
    fn perform(&mut self, entry: &Entry<'_>, machine: &mut dyn Machine) -> Result<(), Stop> {
        self.tally.accesses += 1;
        match entry.line {
            Line::Read {
                space,
                addr,
                width,
                value,
                mask,
            } => {
                let got = machine.read(space, addr, width)?;
                self.check(1);
                // Without a mask, bits beyond the width are compared too: no answer has them.
                if (got ^ value) & mask.unwrap_or(u64::MAX) != 0 {
                    let mask = mask.map(|mask| width.print(mask).to_string());
                    self.differ(
                        entry,
                        1,
                        width.print(value).to_string(),
                        width.print(got).to_string(),
                        mask,
                    );
                } else if self.taps() {
                    self.observe(entry, Some(width.print(got).to_string()), false);
                }
                return Ok(());
            }
            Line::Write {
                space,
                addr,
                width,
                value,
            } => machine.write(space, addr, width, value)?,
            Line::ReadString {
                port,
                width,
                count,
                bytes,
                mask,
            } => {
                self.tally.accesses += u64::from(count).saturating_sub(1);
                self.check(count.into());
                let all = Comparison::new(bytes, mask, width.len());
                return self.compare(entry, all, count.into(), |_, piece| {
                    machine.read_string(port, width, piece)
                });
            }
            Line::RamRead { addr, bytes, mask } => {
                self.check(1);
                let all = Comparison::new(bytes, mask, bytes.len().max(1));
                return self.compare(entry, all, 1, |at, piece| {
                    machine.ram_read(addr.saturating_add(at), piece)
                });
            }
            Line::RamWrite { addr, bytes } => self.ram_write(addr, bytes, machine)?,
            Line::RamFill { addr, len, byte } => machine.ram_fill(addr, len, byte)?,
            Line::Map { bdf, bar, addr, .. } => {
                let got = machine.bar(bdf, bar)?;
                self.check(1);
                self.judge(entry, got == addr, words::decoded(addr), words::decoded(got), None);
                return Ok(());
            }
            Line::Probe {
                space,
                addr,
                width,
                value,
                bdf,
                at,
                mask,
            } => {
                let got = machine.probe(space, addr, width, bdf)?;
                self.check(1);
                self.judge_probe(entry, got, at, width, value, mask);
                return Ok(());
            }
            Line::Reset => machine.reset()?,
            Line::Step { ns } => machine.step(ns)?,
            Line::Header { .. } | Line::Comment(_) | Line::Section { .. } => {}
        }
        if self.taps() {
            self.observe(entry, None, false);
        }
        Ok(())
    }

    fn judge_probe(
        &mut self,
        entry: &Entry<'_>,
        got: crate::subject::Probe,
        at: Option<(u8, u64)>,
        width: Width,
        value: u64,
        mask: Option<u64>,
    ) {
        match got.value {
            Some(answer) if got.at == at => {
                let same = (answer ^ value) & mask.unwrap_or(u64::MAX) == 0;
                let mask = mask.map(|mask| width.print(mask).to_string());
                self.judge(
                    entry,
                    same,
                    width.print(value).to_string(),
                    width.print(answer).to_string(),
                    mask,
                );
            }
            _ => self.judge(entry, got.at == at, words::routed(at), words::routed(got.at), None),
        }
    }

    fn judge(&mut self, entry: &Entry<'_>, same: bool, expected: String, got: String, mask: Option<String>) {
        if !same {
            self.differ(entry, 1, expected, got, mask);
        } else if self.taps() {
            self.observe(entry, Some(got), false);
        }
    }

    /// Reads the answers piece by piece and compares all of them, whatever differs.
    fn compare(
        &mut self,
        entry: &Entry<'_>,
        mut all: Comparison<'_>,
        answers: u64,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), MachineError>,
    ) -> Result<(), Stop> {
        let mut buffer = [0; PIECE];
        let mut at = 0;
        while let Some(piece @ [_, ..]) = buffer.get_mut(..all.next_len()) {
            if self.control.is_expired() {
                return Err(Stop::Timeout);
            }
            // What a machine leaves out reads as it would on an empty bus, not as the piece before.
            piece.fill(0xff);
            read(at, piece)?;
            at += u64::try_from(piece.len()).unwrap_or_default();
            all.piece(piece);
        }
        if all.differences > 0 {
            let (expected, got, mask) = all.shown();
            // A long answer is compared in pieces, and is one answer nevertheless.
            self.differ(entry, all.differences.min(answers), expected, got, mask);
        } else if self.taps() {
            self.observe(entry, Some("as recorded".to_owned()), false);
        }
        Ok(())
    }

    fn ram_write(&mut self, addr: u64, bytes: Hex<'_>, machine: &mut dyn Machine) -> Result<(), Stop> {
        let mut buffer = [0; PIECE];
        let mut done = 0;
        while done < bytes.len() {
            if self.control.is_expired() {
                return Err(Stop::Timeout);
            }
            let len = bytes.part(done, PIECE).copy_to(&mut buffer);
            let at = addr.saturating_add(u64::try_from(done).unwrap_or_default());
            machine.ram_write(at, buffer.get(..len).unwrap_or_default())?;
            done += len;
        }
        Ok(())
    }

    const fn check(&mut self, count: u64) {
        self.tally.checks += count;
    }

    const fn taps(&self) -> bool {
        self.options.tap.is_some() && self.reported
    }

    /// Keeps the first difference of a section.
    #[cold]
    fn differ(&mut self, entry: &Entry<'_>, count: u64, expected: String, got: String, mask: Option<String>) {
        self.tally.differences += count;
        self.observe(entry, Some(got.clone()), true);
        if self.tally.failure.is_some() || !self.reported {
            return;
        }
        self.tally.failure = Some(Failure {
            path: self.trace.path.display().to_string(),
            line: entry.number,
            text: words::shortened(entry.text),
            rule: self.rule.clone(),
            access: words::access(&entry.line),
            expected,
            got,
            mask,
            again: words::again(&self.options.again, self.trace, self.label),
        });
    }

    fn observe(&self, entry: &Entry<'_>, answer: Option<String>, differs: bool) {
        if let Some(tap) = &self.options.tap
            && self.reported
        {
            let Entry { number, text, .. } = *entry;
            tap(&Observed {
                trace: &self.trace.name,
                section: self.label,
                number,
                text,
                answer,
                differs,
            });
        }
    }
}
