// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How processors are stopped and started together.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

use crate::devices::Request;

/// Why processors stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Event {
    /// A guest asked for it.
    Request(Request),
    /// A processor cannot go on.
    Failed(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    /// All are to wait.
    Pausing,
    Ending,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    waiting: usize,
    /// How often processors were started again.
    generation: u64,
    event: Option<Event>,
}

/// What the processors and the thread that leads them share.
#[derive(Debug)]
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
    happened: EventFd,
}

/// What a processor does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Run on.
    Run,
    /// Start again from the reset vector.
    Reset,
    /// End.
    End,
}

impl Control {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                phase: Phase::Running,
                waiting: 0,
                generation: 0,
                event: None,
            }),
            changed: Condvar::new(),
            happened: EventFd::new(vmm_sys_util::eventfd::EFD_NONBLOCK)?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes readable when there is an event.
    pub(super) const fn happened(&self) -> &EventFd {
        &self.happened
    }

    /// Tells of an event, the first of which counts, and lets all processors wait.
    pub(super) fn tell(&self, event: Event) {
        let mut state = self.lock();
        state.event.get_or_insert(event);
        if state.phase == Phase::Running {
            state.phase = Phase::Pausing;
        }
        if self.happened.write(1).is_err() {
            log::error!("an event could not be told");
        }
    }

    /// The event that was told.
    pub(super) fn take_event(&self) -> Option<Event> {
        // An eventfd that nobody wrote to is no error: the event is what counts.
        let _ = self.happened.read();
        self.lock().event.take()
    }

    /// What a processor of this generation does next; waits while all wait.
    pub(super) fn next(&self, generation: &mut u64) -> Next {
        let mut state = self.lock();
        while state.phase == Phase::Pausing {
            state.waiting += 1;
            self.changed.notify_all();
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
        if state.phase == Phase::Ending {
            return Next::End;
        }
        if *generation != state.generation {
            *generation = state.generation;
            return Next::Reset;
        }
        Next::Run
    }

    /// Whether a processor has to look at [`next`](Self::next).
    pub(super) fn is_running(&self) -> bool {
        self.lock().phase == Phase::Running
    }

    /// Waits up to `limit` until `count` processors wait.
    pub(super) fn all_wait(&self, count: usize, limit: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, limit, |state| state.waiting < count)
            .unwrap_or_else(PoisonError::into_inner);
        state.waiting >= count
    }

    /// Lets all processors wait.
    pub(super) fn pause(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Running {
            state.phase = Phase::Pausing;
        }
    }

    /// Lets all processors start again.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.phase = Phase::Running;
        self.changed.notify_all();
    }

    /// Lets all processors end.
    pub(super) fn end(&self) {
        self.lock().phase = Phase::Ending;
        self.changed.notify_all();
    }
}
