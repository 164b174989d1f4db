// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A connection that is used until it fails once, and says so to everybody from then on.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};

use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::connection::{CallError, Connection};
use super::wire::Command;

/// What is shared by those who ask the peer, and the thread that watches for its end.
#[derive(Debug)]
pub(super) struct Link {
    connection: Mutex<Connection>,
    /// The same socket, to end it while a question is under way.
    socket: UnixStream,
    lost: EventFd,
    reason: OnceLock<String>,
}

impl Link {
    pub(super) fn new(connection: Connection) -> io::Result<Self> {
        Ok(Self {
            socket: connection.stream().try_clone()?,
            connection: Mutex::new(connection),
            lost: EventFd::new(EFD_NONBLOCK | libc::EFD_CLOEXEC)?,
            reason: OnceLock::new(),
        })
    }

    pub(super) const fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Readable once the peer is lost.
    pub(super) const fn lost(&self) -> &EventFd {
        &self.lost
    }

    /// Why the peer is lost, if it is.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Gives the peer up. The first reason counts.
    pub(super) fn lose(&self, reason: &str) {
        if self.reason.set(reason.to_owned()).is_ok() {
            // Nothing is left to do for a socket that is closed already.
            let _ = self.socket.shutdown(Shutdown::Both);
            if let Err(error) = self.lost.write(1) {
                log::error!("the loss of a vfio-user peer cannot be signalled: {error}");
            }
        }
    }

    /// Asks, and hands the answer to `take`, whose complaint is a breach of the protocol.
    pub(super) fn call<T>(
        &self,
        command: Command,
        body: &[&[u8]],
        fds: &[RawFd],
        most: usize,
        take: impl FnOnce(&[u8], Option<File>) -> Result<T, String>,
    ) -> Result<T, CallError> {
        self.check()?;
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever held the lock may have lost it.
        self.check()?;
        let outcome = match connection.call(command, body, fds, most) {
            Ok((answer, file)) => {
                take(answer, file).map_err(|what| CallError::Broken(format!("{}: {what}", command.name())))
            }
            Err(error) => Err(error),
        };
        if let Err(CallError::Broken(reason)) = &outcome {
            self.lose(reason);
        }
        outcome
    }

    fn check(&self) -> Result<(), CallError> {
        self.reason()
            .map_or(Ok(()), |reason| Err(CallError::Broken(reason.to_owned())))
    }
}
