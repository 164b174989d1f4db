// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whole messages over a socket, with the file descriptors that come along.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::ServeError;
use super::wire::{HEADER, Header, MAX_FDS, MAX_MESSAGE};

/// How often a wait looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);
/// Memory grows with what arrives, not with what was announced.
const CHUNK: usize = 64 << 10;

/// A message that a peer sent.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
    /// Whether more descriptors came along than a message may have; the rest is closed.
    pub(crate) too_many_fds: bool,
}

/// One peer.
#[derive(Debug)]
pub(crate) struct Connection<'a> {
    stream: UnixStream,
    stall: Duration,
    stop: &'a AtomicBool,
}

impl<'a> Connection<'a> {
    /// A peer that may take `stall` for a message once it has begun.
    pub(crate) fn new(stream: UnixStream, stall: Duration, stop: &'a AtomicBool) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(TICK.min(stall.max(Duration::from_millis(1)))))?;
        stream.set_write_timeout(Some(TICK.min(stall.max(Duration::from_millis(1)))))?;
        Ok(Self { stream, stall, stop })
    }

    /// The next message; `None` once the peer is gone between two messages, or the server is to stop.
    pub(crate) fn receive(&self) -> Result<Option<Request>, ServeError> {
        let mut incoming = Incoming::default();
        let mut head = [0; HEADER];
        if !self.fill(&mut head, &mut incoming, 0, HEADER)? {
            return Ok(None);
        }
        let header = Header::parse(&head);
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if !(HEADER..=MAX_MESSAGE).contains(&size) {
            return Err(ServeError::MessageSize { size: header.size });
        }
        let mut body = Vec::new();
        while body.len() < size - HEADER {
            let start = body.len();
            body.resize((start + CHUNK).min(size - HEADER), 0);
            let part = body.get_mut(start..).unwrap_or(&mut []);
            self.fill(part, &mut incoming, HEADER + start, size)?;
        }
        let Incoming { fds, too_many, .. } = incoming;
        Ok(Some(Request {
            header,
            body,
            fds,
            too_many_fds: too_many,
        }))
    }

    /// Fills `buf`; `false` if nothing came before the end of the stream or of the server.
    fn fill(&self, buf: &mut [u8], incoming: &mut Incoming, before: usize, wanted: usize) -> Result<bool, ServeError> {
        let mut done = 0;
        while done < buf.len() {
            let got = before + done;
            let rest = buf.get_mut(done..).unwrap_or(&mut []);
            match self.receive_some(rest, incoming) {
                Ok(0) if got == 0 => return Ok(false),
                Ok(0) => return Err(ServeError::Truncated { got, wanted }),
                Ok(count) => {
                    done += count;
                    incoming.began.get_or_insert_with(Instant::now);
                }
                Err(error) if is_wait(&error) => {
                    if got == 0 && self.stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(ServeError::Receive(error)),
            }
            if incoming.began.is_some_and(|began| began.elapsed() > self.stall) && before + done < wanted {
                return Err(ServeError::Stalled {
                    got: before + done,
                    wanted,
                });
            }
        }
        Ok(true)
    }

    fn receive_some(&self, buf: &mut [u8], incoming: &mut Incoming) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buf)];
        let message = recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for ancillary in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = ancillary {
                for fd in fds {
                    if incoming.fds.len() < MAX_FDS {
                        incoming.fds.push(fd);
                    } else {
                        incoming.too_many = true;
                    }
                }
            }
        }
        incoming.too_many |= message.flags.contains(ReturnFlags::CTRUNC);
        Ok(message.bytes)
    }

    /// Sends a whole message, with at most one file descriptor.
    pub(crate) fn send(&self, message: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<(), ServeError> {
        let began = Instant::now();
        let mut done = 0;
        let mut fd = fd;
        while done < message.len() {
            let rest = message.get(done..).unwrap_or(&[]);
            match self.send_some(rest, fd) {
                Ok(0) => {
                    return Err(ServeError::Truncated {
                        got: done,
                        wanted: message.len(),
                    });
                }
                Ok(count) => {
                    done += count;
                    fd = None;
                }
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(ServeError::Send(error)),
            }
            if began.elapsed() > self.stall && done < message.len() {
                return Err(ServeError::Stalled {
                    got: done,
                    wanted: message.len(),
                });
            }
        }
        Ok(())
    }

    fn send_some(&self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<usize> {
        let fds = fd.map(|fd| [fd]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(fds) = &fds
            && !control.push(SendAncillaryMessage::ScmRights(fds))
        {
            return Err(io::Error::other("no room for a file descriptor"));
        }
        Ok(sendmsg(
            self.stream.as_fd(),
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?)
    }
}

/// What has come of a message besides its bytes.
#[derive(Default)]
struct Incoming {
    fds: Vec<OwnedFd>,
    too_many: bool,
    began: Option<Instant>,
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
