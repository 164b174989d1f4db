// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Running targets in turns, some at a time, and what came of each.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::build::Place;
use super::output::Output;
use super::progress::Progress;
use super::targets::Target;

/// How long one input may take, in seconds.
pub(crate) const INPUT_LIMIT: u64 = 10;
/// How large a process may become, in MiB.
const MEMORY_LIMIT: u64 = 2048;
/// How much longer than it was given a process may take: an input at its limit, and the end.
const GRACE: Duration = Duration::from_secs(3 * INPUT_LIMIT);
/// What libFuzzer exits with when it is interrupted.
const INTERRUPTED: i32 = 72;
/// How many crashes of one process are enough with `--keep-going`.
const ENOUGH: usize = 50;

/// How long and how many at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Time for each target.
    pub(crate) time: Duration,
    /// Processes at a time.
    pub(crate) jobs: usize,
    /// Whether a target goes on after a crash.
    pub(crate) keep_going: bool,
    /// Whether it matters how often an edge was taken.
    pub(crate) counts: bool,
}

impl Plan {
    /// What libFuzzer is told for a process of so many seconds.
    fn options(self, seconds: u64) -> [String; 4] {
        [
            format!("-max_total_time={seconds}"),
            format!("-use_counters={}", u8::from(self.counts)),
            "-print_final_stats=1".to_owned(),
            // Processes of one target share a corpus.
            "-reload=1".to_owned(),
        ]
    }
}

/// One process of a target, and how it stands.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// The target.
    pub(crate) target: usize,
    /// When it was started, and how long it ran if it has ended.
    pub(crate) run: Option<(Instant, Option<Duration>)>,
    /// Executions of processes before the present one.
    pub(crate) before: u64,
    /// What the present process printed.
    pub(crate) output: Output,
    /// Inputs that ended a process.
    pub(crate) findings: Vec<Output>,
    /// Why it could not run.
    pub(crate) failure: Option<String>,
}

/// What came of a target.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The target.
    pub(crate) target: Target,
    /// Inputs that were run, by all its processes.
    pub(crate) executions: u64,
    /// How long it ran.
    pub(crate) time: Duration,
    /// Edges reached.
    pub(crate) edges: u64,
    /// The largest resident set, in MiB.
    pub(crate) peak_mib: u64,
    /// Inputs that the corpus did not have before.
    pub(crate) new_inputs: usize,
    /// Inputs that ended a process.
    pub(crate) findings: Vec<Output>,
    /// Why it could not run.
    pub(crate) failure: Option<String>,
}

/// Tasks as the workers and the progress share them.
pub(crate) type Tasks = Arc<Mutex<Vec<Task>>>;

/// Locks; a worker that panicked leaves numbers that are still good.
pub(crate) fn lock(tasks: &Tasks) -> MutexGuard<'_, Vec<Task>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `targets`; those that were not begun when interrupted have no row. Says whether it was interrupted.
pub(crate) fn run(targets: &[Target], plan: Plan, place: &Place) -> Result<(Vec<Row>, bool)> {
    let before: Vec<BTreeSet<PathBuf>> = targets
        .iter()
        .map(|target| prepare(place, target.name()))
        .collect::<Result<_>>()?;
    let copies = (plan.jobs / targets.len().max(1)).max(1);
    let tasks: Vec<Task> = (0..targets.len())
        .flat_map(|target| std::iter::repeat_n(target, copies))
        .map(Task::new)
        .collect();
    let count = tasks.len();
    let tasks = Arc::new(Mutex::new(tasks));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut progress = Progress::new(plan);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs.min(count))
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let target = lock(&tasks).get(index).and_then(|task| targets.get(task.target));
                        let Some(target) = target.filter(|_| !stop.load(Ordering::Relaxed)) else {
                            break;
                        };
                        if let Err(error) = work(target, index, plan, place, &tasks, &stop) {
                            with(&tasks, index, |task| task.failure = Some(format!("{error:#}")));
                        }
                        with(&tasks, index, Task::end);
                    }
                })
            })
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(100));
            progress.show(targets, &lock(&tasks));
        }
    });
    progress.finish(targets, &lock(&tasks));
    let mut rows = Vec::new();
    for (index, (target, before)) in targets.iter().zip(&before).enumerate() {
        let new_inputs = files(&place.of("corpus", target.name())).difference(before).count();
        let tasks = lock(&tasks);
        let own: Vec<&Task> = tasks
            .iter()
            .filter(|task| task.target == index && task.run.is_some())
            .collect();
        if !own.is_empty() {
            rows.push(row(target, &own, new_inputs));
        }
    }
    Ok((rows, stop.load(Ordering::Relaxed)))
}

fn with(tasks: &Tasks, index: usize, change: impl FnOnce(&mut Task)) {
    if let Some(task) = lock(tasks).get_mut(index) {
        change(task);
    }
}

impl Task {
    fn new(target: usize) -> Self {
        Self {
            target,
            run: None,
            before: 0,
            output: Output::default(),
            findings: Vec::new(),
            failure: None,
        }
    }

    fn end(&mut self) {
        if let Some((start, time)) = &mut self.run {
            *time = Some(start.elapsed());
        }
    }

    /// How long it has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.run
            .map_or(Duration::ZERO, |(start, time)| time.unwrap_or_else(|| start.elapsed()))
    }

    /// Inputs that were run so far.
    pub(crate) fn executions(&self) -> u64 {
        self.before + self.output.executions
    }
}

/// Starts processes until the time is up, one of them found something, or none can be started.
fn work(target: &Target, index: usize, plan: Plan, place: &Place, tasks: &Tasks, stop: &AtomicBool) -> Result<()> {
    let start = Instant::now();
    with(tasks, index, |task| task.run = Some((start, None)));
    let logs = place.made.join("logs");
    let log = logs.join(format!("{}-{index}.log", target.name()));
    let mut log = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    loop {
        let left = plan.time.saturating_sub(start.elapsed()).as_secs().max(1);
        let code = process(target, index, left, plan, place, tasks, &mut log)?;
        let mut again = false;
        with(tasks, index, |task| {
            let is_finding = task.output.is_finding();
            if is_finding {
                task.findings.push(task.output.clone());
                task.before += task.output.executions;
                task.output = Output {
                    edges: task.output.edges,
                    peak_mib: task.output.peak_mib,
                    ..Output::default()
                };
            }
            again = is_finding && plan.keep_going && task.findings.len() < ENOUGH;
            if !is_finding && !matches!(code, Some(0 | INTERRUPTED)) {
                let code = code.map_or("a signal".to_owned(), |code| format!("exit code {code}"));
                task.failure = Some(format!("ended with {code} and no input; see {}", logs.display()));
            }
        });
        if code == Some(INTERRUPTED) {
            stop.store(true, Ordering::Relaxed);
        }
        if !again || stop.load(Ordering::Relaxed) || plan.time.saturating_sub(start.elapsed()) < Duration::from_secs(1)
        {
            return Ok(());
        }
    }
}

/// One process, to its end. One that does not end in time is killed and an error.
fn process(
    target: &Target,
    index: usize,
    seconds: u64,
    plan: Plan,
    place: &Place,
    tasks: &Tasks,
    log: &mut fs::File,
) -> Result<Option<i32>> {
    let mut command = libfuzzer(place, target.name());
    command.arg(place.of("corpus", target.name()));
    for kind in ["seeds", "regressions"] {
        command.args(Some(place.of(kind, target.name())).filter(|folder| folder.is_dir()));
    }
    command.args(plan.options(seconds));
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", target.name()))?;
    let stderr = child.stderr.take().context("the target has no output")?;
    let deadline = Instant::now() + Duration::from_secs(seconds) + GRACE;
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            for line in BufReader::new(stderr).split(b'\n').map_while(std::result::Result::ok) {
                let line = String::from_utf8_lossy(&line);
                let _ = writeln!(log, "{line}");
                with(tasks, index, |task| task.output.line(&line));
            }
        });
        let status = loop {
            if let Some(status) = child.try_wait().context("the target was lost")? {
                break status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("did not end {} s after its time and was killed", GRACE.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        };
        let _ = reader.join();
        Ok(status.code())
    })
}

/// A target's program with the options that always hold.
pub(crate) fn libfuzzer(place: &Place, target: &str) -> Command {
    let mut command = Command::new(place.programs.join(target));
    let artifacts = format!("{}/", place.of("artifacts", target).display());
    command.arg(format!("-artifact_prefix={artifacts}"));
    command.args([
        format!("-timeout={INPUT_LIMIT}"),
        format!("-rss_limit_mb={MEMORY_LIMIT}"),
    ]);
    let dictionary = place.fuzz.join("dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Makes the folders of a target; says what the corpus has.
fn prepare(place: &Place, target: &str) -> Result<BTreeSet<PathBuf>> {
    for folder in [
        place.of("corpus", target),
        place.of("artifacts", target),
        place.made.join("logs"),
    ] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    // A target without seeds of its own, or a program that knows none, leaves the corpus as it is.
    let mut seeds = Command::new(&place.input);
    seeds.args(["seeds", target]).arg(place.of("corpus", target));
    let _ = seeds.stdout(Stdio::null()).stderr(Stdio::null()).status();
    Ok(files(&place.of("corpus", target)))
}

/// The files directly in a folder.
pub(crate) fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

fn row(target: &Target, tasks: &[&Task], new_inputs: usize) -> Row {
    let most = |number: fn(&Task) -> u64| tasks.iter().map(|task| number(task)).max().unwrap_or_default();
    Row {
        target: target.clone(),
        executions: tasks.iter().map(|task| task.executions()).sum(),
        time: tasks.iter().map(|task| task.elapsed()).max().unwrap_or_default(),
        edges: most(|task| task.output.edges),
        peak_mib: most(|task| task.output.peak_mib),
        new_inputs,
        findings: tasks.iter().flat_map(|task| task.findings.clone()).collect(),
        failure: tasks.iter().find_map(|task| task.failure.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_told_to_libfuzzer() {
        let options = |counts| {
            let plan = Plan {
                time: Duration::from_secs(60),
                jobs: 1,
                keep_going: false,
                counts,
            };
            plan.options(7).join(" ")
        };
        assert!(options(true).starts_with("-max_total_time=7 -use_counters=1 "));
        assert!(options(false).starts_with("-max_total_time=7 -use_counters=0 "));
    }

    #[test]
    fn processes_of_one_target_add_up() {
        let second = Duration::from_secs(1);
        let task = |executions, edges, seconds| Task {
            run: Some((Instant::now(), Some(second * seconds))),
            before: 5,
            output: Output {
                executions,
                edges,
                ..Output::default()
            },
            ..Task::new(0)
        };
        let (one, mut two) = (task(10, 7, 3), task(20, 6, 4));
        two.findings.push(Output::default());
        two.failure = Some("lost".into());
        let row = row(&Target::for_test("vbt", "igd-quirks"), &[&one, &two], 9);
        assert_eq!((row.executions, row.edges, row.time), (40, 7, 4 * second));
        assert_eq!((row.new_inputs, row.findings.len()), (9, 1));
        assert_eq!(row.failure.as_deref(), Some("lost"));
    }
}
