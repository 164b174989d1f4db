// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Worker threads and the watchdog over them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::replay::{Control, End, replay};
use super::{Options, Outcome, SharedSubject, TraceOutcome, panics, trials};
use crate::corpus::Trace;
use crate::report::{HostInfo, Report, SCHEMA, SubjectInfo};

/// How long a subject that has used up its time may take to return from an access.
const GRACE: Duration = Duration::from_millis(250);

/// Replays `traces` and calls `finished` with each trace and its trials, in the order in which they finish.
///
/// A trace that takes longer than allowed ends with the access under way; if that does not return, its thread is left
/// behind.
///
/// # Errors
///
/// No worker thread could be started.
pub fn run(
    subject: &SharedSubject,
    traces: Vec<Trace>,
    options: &Options,
    finished: &mut dyn FnMut(&Trace, &TraceOutcome),
) -> io::Result<Outcome> {
    panics::quiet();
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let clock = Instant::now();
    let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let at_once = subject
        .machines_at_once()
        .unwrap_or(usize::MAX)
        .min(traces.len())
        .max(1);
    let threads = options.jobs.unwrap_or(cores).get().min(at_once);

    let mut order = traces;
    // The largest first, so that no thread begins a long trace when the others are done.
    order.sort_by(|a, b| (Reverse(a.size), &a.name).cmp(&(Reverse(b.size), &b.name)));
    let shared = Arc::new(Shared {
        subject: Arc::clone(subject),
        traces: order,
        options: options.clone(),
        next: AtomicUsize::new(0),
    });
    let mut outcomes = Pool::start(&shared, threads)?.collect(finished);
    outcomes.sort_by(|(a, _), (b, _)| shared.name(*a).cmp(shared.name(*b)));

    let mut report = Report {
        schema: SCHEMA.to_owned(),
        suite: env!("CARGO_PKG_VERSION").to_owned(),
        subject: SubjectInfo {
            name: subject.name().to_owned(),
            version: subject.version(),
        },
        host: HostInfo {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            threads,
        },
        started,
        duration_us: 0,
        shard: options.shard.clone(),
        trials: Vec::new(),
    };
    let mut unreadable = Vec::new();
    for (_, outcome) in outcomes {
        report.trials.extend(outcome.trials);
        unreadable.extend(outcome.unreadable);
    }
    report.duration_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Outcome { report, unreadable })
}

/// What all workers use.
struct Shared {
    subject: SharedSubject,
    traces: Vec<Trace>,
    options: Options,
    next: AtomicUsize,
}

impl Shared {
    fn name(&self, trace: usize) -> &str {
        self.traces.get(trace).map_or("", |trace| trace.name.as_str())
    }
}

/// What a worker tells.
enum News {
    Started {
        worker: usize,
        trace: usize,
        control: Arc<Control>,
    },
    Finished {
        worker: usize,
        trace: usize,
        outcome: TraceOutcome,
    },
    Gone,
}

/// A trace being replayed.
struct Work {
    trace: usize,
    control: Arc<Control>,
    deadline: Instant,
}

struct Pool<'a> {
    shared: &'a Arc<Shared>,
    news: Receiver<News>,
    sender: Sender<News>,
    workers: Vec<Option<JoinHandle<()>>>,
    /// Workers that have not gone and were not left behind.
    alive: usize,
    work: HashMap<usize, Work>,
    outcomes: Vec<(usize, TraceOutcome)>,
}

impl<'a> Pool<'a> {
    fn start(shared: &'a Arc<Shared>, threads: usize) -> io::Result<Self> {
        let (sender, news) = mpsc::channel();
        let (work, outcomes) = (HashMap::new(), Vec::new());
        let mut pool = Self {
            shared,
            news,
            sender,
            workers: Vec::new(),
            alive: 0,
            work,
            outcomes,
        };
        for _ in 0..threads {
            match pool.spawn() {
                Err(error) if pool.alive == 0 => return Err(error),
                // Fewer threads than wished for do the same work.
                _ => {}
            }
        }
        Ok(pool)
    }

    fn spawn(&mut self) -> io::Result<()> {
        let worker = self.workers.len();
        let (shared, sender) = (Arc::clone(self.shared), self.sender.clone());
        let thread = thread::Builder::new().name(format!("replay-{worker}"));
        let thread = thread.spawn(move || work_off(worker, &shared, &sender))?;
        self.workers.push(Some(thread));
        self.alive += 1;
        Ok(())
    }

    /// Waits for every trace, or for its time to run out.
    fn collect(mut self, finished: &mut dyn FnMut(&Trace, &TraceOutcome)) -> Vec<(usize, TraceOutcome)> {
        while self.alive > 0 {
            let next = self.work.values().map(|work| work.deadline).min();
            let wait = next.map_or(Duration::from_secs(1), |at| {
                at.saturating_duration_since(Instant::now())
            });
            match self.news.recv_timeout(wait) {
                Ok(News::Started { worker, trace, control }) => {
                    let deadline = Instant::now() + self.shared.options.timeout;
                    self.work.insert(
                        worker,
                        Work {
                            trace,
                            control,
                            deadline,
                        },
                    );
                }
                Ok(News::Finished { worker, trace, outcome }) => {
                    self.work.remove(&worker);
                    self.keep(trace, outcome, finished);
                }
                Ok(News::Gone) => self.alive -= 1,
                Err(RecvTimeoutError::Timeout) => self.watch(finished),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for worker in self.workers.into_iter().flatten() {
            // A worker ends by itself and catches what its subject does.
            let _ = worker.join();
        }
        self.outcomes
    }

    fn keep(&mut self, trace: usize, outcome: TraceOutcome, finished: &mut dyn FnMut(&Trace, &TraceOutcome)) {
        if let Some(trace) = self.shared.traces.get(trace) {
            finished(trace, &outcome);
        }
        self.outcomes.push((trace, outcome));
    }

    /// Tells workers whose time is up; leaves those behind that were told and did not return.
    fn watch(&mut self, finished: &mut dyn FnMut(&Trace, &TraceOutcome)) {
        let now = Instant::now();
        let late = self.work.iter_mut().filter(|(_, work)| work.deadline <= now);
        let mut lost = Vec::new();
        for (worker, work) in late {
            if work.control.expired.swap(true, Ordering::Relaxed) && work.control.claim() {
                lost.push(*worker);
            } else {
                work.deadline = now + GRACE;
            }
        }
        for worker in lost {
            let Some(Work { trace, control, .. }) = self.work.remove(&worker) else {
                continue;
            };
            // Dropping the handle detaches the thread.
            drop(self.workers.get_mut(worker).and_then(Option::take));
            self.alive -= 1;
            if let Some(of) = self.shared.traces.get(trace) {
                let name = self.shared.subject.name();
                let outcome = trials::outcome(name, of, &self.shared.options, &control.board(), &End::Timeout);
                self.keep(trace, outcome, finished);
            }
            if self.spawn().is_err() && self.alive == 0 {
                self.give_up(finished);
            }
        }
    }

    /// Ends the traces that no thread is left for.
    fn give_up(&mut self, finished: &mut dyn FnMut(&Trace, &TraceOutcome)) {
        loop {
            let trace = self.shared.next.fetch_add(1, Ordering::Relaxed);
            let Some(of) = self.shared.traces.get(trace) else { break };
            let end = End::Broken("no thread could be started".to_owned());
            let name = self.shared.subject.name();
            let outcome = trials::outcome(name, of, &self.shared.options, &Control::default().board(), &end);
            self.keep(trace, outcome, finished);
        }
    }
}

/// Replays one trace after the other.
fn work_off(worker: usize, shared: &Shared, sender: &Sender<News>) {
    loop {
        let trace = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(of) = shared.traces.get(trace) else { break };
        let control = Arc::new(Control::default());
        let started = News::Started {
            worker,
            trace,
            control: Arc::clone(&control),
        };
        if sender.send(started).is_err() {
            return;
        }
        let end = replay(shared.subject.as_ref(), of, &shared.options, &control);
        if !control.claim() {
            return;
        }
        let outcome = trials::outcome(shared.subject.name(), of, &shared.options, &control.board(), &end);
        if sender.send(News::Finished { worker, trace, outcome }).is_err() {
            return;
        }
    }
    // Nobody listens any more only if the run has ended.
    let _ = sender.send(News::Gone);
}
