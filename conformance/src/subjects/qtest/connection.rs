// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A connection that carries lines, with a deadline for each answer and a limit on each line.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Why an access could not be carried out over a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The socket failed.
    #[error("{peer}: {source}")]
    Socket {
        /// Who answers.
        peer: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The peer ended the connection.
    #[error("{0} closed the connection")]
    Closed(&'static str),
    /// No complete answer in time.
    #[error("{peer} gave no answer within {seconds} s")]
    Timeout {
        /// Who should have answered.
        peer: &'static str,
        /// Seconds waited.
        seconds: u64,
    },
    /// A line longer than any answer.
    #[error("{peer} sent a line of more than {limit} bytes")]
    LongLine {
        /// Who sent it.
        peer: &'static str,
        /// Greatest length.
        limit: usize,
    },
    /// The peer refused the command.
    #[error("{peer} refused {command:?}: {answer}")]
    Refused {
        /// Who answered.
        peer: &'static str,
        /// The command.
        command: String,
        /// The answer.
        answer: String,
    },
    /// The answer does not have the form that the command calls for.
    #[error("{peer} answered {command:?} with {answer:?}, not with {wanted}")]
    Malformed {
        /// Who answered.
        peer: &'static str,
        /// The command.
        command: String,
        /// The answer, shortened.
        answer: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// An access that would end the peer, or that no command of the protocol can express.
    #[error("{0}")]
    Unsupported(String),
    /// An earlier error left questions without answers.
    #[error("the connection is out of step after an earlier error: {0}")]
    OutOfStep(String),
}

/// The first 80 characters of hostile text.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// A line-oriented connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    peer: &'static str,
    timeout: Duration,
    limit: usize,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that earlier lines used up.
    used: usize,
    broken: Option<String>,
}

impl Connection {
    pub(super) fn new(
        stream: UnixStream,
        peer: &'static str,
        timeout: Duration,
        limit: usize,
    ) -> Result<Self, ConnectionError> {
        let socket = |source| ConnectionError::Socket { peer, source };
        stream.set_nonblocking(false).map_err(socket)?;
        stream.set_write_timeout(Some(timeout)).map_err(socket)?;
        Ok(Self {
            stream,
            peer,
            timeout,
            limit,
            buffer: Vec::new(),
            used: 0,
            broken: None,
        })
    }

    pub(super) fn peer(&self) -> &'static str {
        self.peer
    }

    /// When an answer that is asked for now is overdue.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.in_step()?;
        let result = self.stream.write_all(bytes).map_err(|source| self.error_of(source));
        self.note(result)
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self, deadline: Instant) -> Result<String, ConnectionError> {
        self.in_step()?;
        let result = self.next_line(deadline);
        self.note(result)
    }

    fn next_line(&mut self, deadline: Instant) -> Result<String, ConnectionError> {
        let mut searched = self.used;
        loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                let end = searched + at;
                let line = self.buffer.get(self.used..end).unwrap_or_default();
                if line.len() > self.limit {
                    return Err(ConnectionError::LongLine {
                        peer: self.peer,
                        limit: self.limit,
                    });
                }
                let text = String::from_utf8_lossy(line).into_owned();
                self.used = end + 1;
                return Ok(text);
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.buffer.len() > self.limit {
                return Err(ConnectionError::LongLine {
                    peer: self.peer,
                    limit: self.limit,
                });
            }
            searched = self.buffer.len();
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), ConnectionError> {
        let mut chunk = [0; 16 << 10];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.overdue());
            }
            self.stream
                .set_read_timeout(Some(left))
                .map_err(|source| self.error_of(source))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ConnectionError::Closed(self.peer)),
                Ok(len) => {
                    self.buffer.extend_from_slice(chunk.get(..len).unwrap_or_default());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error_of(error)),
            }
        }
    }

    fn overdue(&self) -> ConnectionError {
        ConnectionError::Timeout {
            peer: self.peer,
            seconds: self.timeout.as_secs(),
        }
    }

    fn error_of(&self, source: std::io::Error) -> ConnectionError {
        match source.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.overdue(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => ConnectionError::Closed(self.peer),
            _ => ConnectionError::Socket {
                peer: self.peer,
                source,
            },
        }
    }

    fn in_step(&self) -> Result<(), ConnectionError> {
        match &self.broken {
            Some(first) => Err(ConnectionError::OutOfStep(first.clone())),
            None => Ok(()),
        }
    }

    /// Remembers an error of the connection itself: a late answer would pass for that of the next command.
    fn note<T>(&mut self, result: Result<T, ConnectionError>) -> Result<T, ConnectionError> {
        if let Err(error) = &result {
            self.broken = Some(error.to_string());
        }
        result
    }
}
