// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A thread that waits for a descriptor and acts on it.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsRawFd;
use std::thread::{Builder, JoinHandle};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::poll::{EpollContext, EpollEvents, WatchingEvents};

const STOP: u32 = 0;
const EVENT: u32 = 1;

/// A thread that ends when this is dropped.
#[derive(Debug)]
pub(in crate::backend) struct Watch {
    stop: EventFd,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `act` whenever one of `events` (`EPOLLIN` ..) happens on `fd`, until it breaks.
    pub(in crate::backend) fn new(
        name: &str,
        fd: impl AsRawFd + Send + 'static,
        events: i32,
        mut act: impl FnMut() -> ControlFlow<()> + Send + 'static,
    ) -> io::Result<Self> {
        let system = |error: vmm_sys_util::errno::Error| io::Error::from_raw_os_error(error.errno());
        let stop = EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC)?;
        let context = EpollContext::<u32>::new().map_err(system)?;
        context.add(&stop, STOP).map_err(system)?;
        let events = WatchingEvents::new(events.cast_unsigned());
        context.add_fd_with_events(&fd, events, EVENT).map_err(system)?;
        let thread = Builder::new().name(name.into()).spawn(move || {
            let _open = fd;
            let space = EpollEvents::new();
            while let Ok(found) = context.wait(&space) {
                let is_over = |token| token == STOP || act().is_break();
                if found.iter().map(|event| event.token()).any(is_over) {
                    return;
                }
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Calls `act` whenever `eventfd` is signalled. Nobody else may read it.
    pub(in crate::backend) fn eventfd(
        name: &str,
        eventfd: &EventFd,
        mut act: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let ours = eventfd.try_clone()?;
        Self::new(name, eventfd.try_clone()?, libc::EPOLLIN, move || match ours.read() {
            Ok(_) => {
                act();
                ControlFlow::Continue(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let stopped = self.stop.write(1);
        if let (Ok(()), Some(thread)) = (stopped, self.thread.take()) {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}
