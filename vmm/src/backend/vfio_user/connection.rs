// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Questions and answers over a socket, each within a time, none believed.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::wire::{self, Command, HEADER, MAX_BODY, u16_at, u32_at};

/// A question without the answer hoped for.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The peer answered that it did not do it, or not all of it; it can be asked on.
    #[error("{0}")]
    Refused(String),
    /// Nothing that comes after this can be trusted, or nothing comes.
    #[error("{0}")]
    Broken(String),
}

/// A socket on which one question at a time is asked.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    timeout: Duration,
    next: u16,
    outgoing: Vec<u8>,
    incoming: Box<[u8; MAX_BODY]>,
}

impl Connection {
    /// Connects to the socket at `path`. Each answer may take `timeout`.
    pub(super) fn open(path: &Path, timeout: Duration) -> io::Result<Self> {
        let timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(3600));
        Ok(Self {
            stream: connect(path, timeout)?,
            timeout,
            next: 0,
            outgoing: Vec::with_capacity(HEADER + MAX_BODY),
            incoming: Box::new([0; MAX_BODY]),
        })
    }

    pub(super) const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Asks, and gives the answer's bytes, at most `most` of them, and a descriptor that came along.
    pub(super) fn call(
        &mut self,
        command: Command,
        body: &[&[u8]],
        fds: &[RawFd],
        most: usize,
    ) -> Result<(&[u8], Option<File>), CallError> {
        let clock = Clock {
            deadline: Instant::now() + self.timeout,
            timeout: self.timeout,
            command,
        };
        self.next = self.next.wrapping_add(1);
        self.send(&clock, body, fds)?;

        let mut head = [0; HEADER];
        let mut file = None;
        clock.fill(&self.stream, &mut head, &mut file)?;
        let size = u32_at(&head, 4).and_then(|size| usize::try_from(size).ok());
        let len = size.and_then(|size| size.checked_sub(HEADER));
        let len = len.filter(|len| *len <= most.min(MAX_BODY)).ok_or_else(|| {
            clock.broken(format_args!(
                "a message of {} bytes, {HEADER} to {} are possible",
                size.unwrap_or(usize::MAX),
                HEADER + most.min(MAX_BODY)
            ))
        })?;
        let (id, code) = (u16_at(&head, 0).unwrap_or(0), u16_at(&head, 2).unwrap_or(0));
        let (flags, error) = (u32_at(&head, 8).unwrap_or(0), u32_at(&head, 12).unwrap_or(0));
        if flags & wire::FLAG_KIND != wire::FLAG_REPLY {
            return Err(clock.broken(format_args!("a message with flags {flags:#x}, which is no reply")));
        }
        if id != self.next || code != command as u16 {
            let (next, expected) = (self.next, command as u16);
            return Err(clock.broken(format_args!(
                "a reply to message {id} with command {code}, asked was {next} with {expected}"
            )));
        }
        let answer = self.incoming.get_mut(..len).unwrap_or(&mut []);
        clock.fill(&self.stream, answer, &mut file)?;
        if flags & wire::FLAG_ERROR != 0 {
            let error = io::Error::from_raw_os_error(i32::try_from(error).unwrap_or(i32::MAX));
            return Err(CallError::Refused(format!("the peer refused: {error}")));
        }
        Ok((answer, file))
    }

    fn send(&mut self, clock: &Clock, body: &[&[u8]], fds: &[RawFd]) -> Result<(), CallError> {
        let size = body.iter().fold(HEADER, |size, part| size.saturating_add(part.len()));
        let size = u32::try_from(size).map_err(|_| clock.broken(format_args!("a question of {size} bytes")))?;
        self.outgoing.clear();
        self.outgoing.extend_from_slice(&self.next.to_le_bytes());
        self.outgoing.extend_from_slice(&(clock.command as u16).to_le_bytes());
        for word in [size, 0, 0] {
            self.outgoing.extend_from_slice(&word.to_le_bytes());
        }
        for part in body {
            self.outgoing.extend_from_slice(part);
        }
        let mut rest = self.outgoing.as_slice();
        let mut fds = fds;
        while !rest.is_empty() {
            let left = clock.left()?;
            self.stream
                .set_write_timeout(Some(left))
                .map_err(|error| clock.failed(&error))?;
            match self.stream.send_with_fds(&[rest], fds) {
                Ok(0) => return Err(clock.broken(format_args!("nothing can be sent"))),
                Ok(sent) => {
                    rest = rest.get(sent..).unwrap_or(&[]);
                    fds = &[];
                }
                Err(error) => clock.tolerate(error.errno())?,
            }
        }
        Ok(())
    }
}

/// The time that one question with its answer has, and what to say of it.
struct Clock {
    deadline: Instant,
    timeout: Duration,
    command: Command,
}

impl Clock {
    fn broken(&self, what: std::fmt::Arguments<'_>) -> CallError {
        CallError::Broken(format!("{}: {what}", self.command.name()))
    }

    fn failed(&self, error: &io::Error) -> CallError {
        self.broken(format_args!("{error}"))
    }

    /// What is left of the time, not 0.
    fn left(&self) -> Result<Duration, CallError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.broken(format_args!("no whole answer within {:?}", self.timeout)));
        }
        // The kernel's clock of sockets has ticks; 0 would wait for ever.
        Ok(left.max(Duration::from_micros(1)))
    }

    /// Lets a call be repeated that was interrupted or ran out of time; [`left`](Self::left) says whether there is any.
    fn tolerate(&self, errno: i32) -> Result<(), CallError> {
        match errno {
            libc::EINTR | libc::EAGAIN => Ok(()),
            libc::EPIPE | libc::ECONNRESET => Err(self.broken(format_args!("the peer closed the connection"))),
            libc::ENOBUFS => Err(self.broken(format_args!("more than one descriptor with a message"))),
            _ => Err(self.failed(&io::Error::from_raw_os_error(errno))),
        }
    }

    /// Fills `buf`. A descriptor that comes along is kept, a second one is a breach.
    fn fill(&self, stream: &UnixStream, buf: &mut [u8], file: &mut Option<File>) -> Result<(), CallError> {
        let mut done = 0;
        while done < buf.len() {
            let left = self.left()?;
            stream
                .set_read_timeout(Some(left))
                .map_err(|error| self.failed(&error))?;
            match stream.recv_with_fd(buf.get_mut(done..).unwrap_or(&mut [])) {
                Ok((0, _)) => return Err(self.broken(format_args!("the peer closed the connection"))),
                Ok((count, None)) => done += count,
                Ok((_, Some(_))) if file.is_some() => {
                    return Err(self.broken(format_args!("more than one descriptor with a message")));
                }
                Ok((count, received)) => {
                    done += count;
                    *file = received;
                }
                Err(error) => self.tolerate(error.errno())?,
            }
        }
        Ok(())
    }
}

/// Connects, which a listener that accepts nobody can delay, but not beyond `timeout`.
fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    // SAFETY: a sockaddr_un of zeros is valid; the descriptor is checked before it is owned.
    #[expect(unsafe_code, reason = "the standard library connects without a time limit only")]
    let (mut address, stream) = unsafe {
        let fd = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let stream = UnixStream::from(OwnedFd::from_raw_fd(fd));
        (std::mem::zeroed::<libc::sockaddr_un>(), stream)
    };
    let name = path.as_os_str().as_bytes();
    // The last byte stays 0.
    if name.is_empty() || name.len() >= address.sun_path.len() || name.contains(&0) {
        return Err(invalid("a socket's path has 1 to 107 bytes, none of them 0"));
    }
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).map_err(io::Error::other)?;
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // How long connect waits for a place in the listener's queue.
        stream.set_write_timeout(Some(left.max(Duration::from_micros(1))))?;
        // SAFETY: the address is initialised, lives until the call returns, and `size` is its size.
        #[expect(unsafe_code, reason = "the standard library connects without a time limit only")]
        let result = unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), size) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            _ if result == 0 => return Ok(stream),
            Some(libc::EINTR | libc::EAGAIN) => {}
            _ => return Err(error),
        }
    }
}
