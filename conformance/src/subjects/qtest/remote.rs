// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A program that is already running and listens on a socket.

use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::machine::{Link, QtestMachine};
use super::qmp::Qmp;
use crate::subject::{Machine, Refusal, Subject};
use crate::trace::Header;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a program that is being restarted.
const RESTART: Duration = Duration::from_secs(2);
/// How often it is looked for.
const POLL: Duration = Duration::from_millis(20);

/// A program that speaks qtest on a socket it listens on.
///
/// Written `SOCKET[,qmp:SOCKET][,fresh]`. A trace starts from power-on and nothing in the protocol goes back there, so
/// the next trace runs only if the program was restarted since (the socket is another file), if `fresh` says that each
/// connection starts a program of its own, or after a system reset by QMP.
#[derive(Debug)]
pub struct Qtest {
    socket: PathBuf,
    qmp: Option<PathBuf>,
    fresh: bool,
    timeout: Duration,
    used: Mutex<Used>,
}

/// What earlier traces did to the program.
#[derive(Debug, Default)]
struct Used {
    socket: Option<SocketId>,
    /// Nobody restarted it when there was a reason to; further traces do not wait for that.
    stays: bool,
}

/// Device, inode and time of creation of a socket's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct SocketId(u64, u64, i64, i64);

impl SocketId {
    fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self(data.dev(), data.ino(), data.mtime(), data.mtime_nsec()))
    }
}

impl FromStr for Qtest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let socket = parts.next().unwrap_or_default();
        if socket.is_empty() {
            return Err("qtest needs the path of a socket: qtest:SOCKET[,qmp:SOCKET][,fresh]".to_owned());
        }
        let mut subject = Self {
            socket: socket.into(),
            qmp: None,
            fresh: false,
            timeout: TIMEOUT,
            used: Mutex::default(),
        };
        for part in parts {
            match part.split_once(':') {
                Some(("qmp", path)) if !path.is_empty() => subject.qmp = Some(path.into()),
                None if part == "fresh" => subject.fresh = true,
                _ => return Err(format!("{part:?} is not a part of qtest:SOCKET[,qmp:SOCKET][,fresh]")),
            }
        }
        Ok(subject)
    }
}

impl Qtest {
    /// Replaces the time that the program has for each answer, 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to a program whose state is that of power-on, as far as can be told; otherwise to one that QMP resets.
    fn connect(&self) -> Result<(UnixStream, bool), Refusal> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = if used.stays { Duration::ZERO } else { RESTART };
        let deadline = Instant::now() + wait;
        loop {
            let id = SocketId::of(&self.socket);
            let again = !self.fresh && used.socket.is_some() && id == used.socket;
            let tried = if again && self.qmp.is_none() {
                None
            } else {
                Some(connect(&self.socket, self.timeout))
            };
            if let Some(Ok(stream)) = tried {
                used.socket = id;
                used.stays = false;
                return Ok((stream, again));
            }
            if Instant::now() < deadline {
                thread::sleep(POLL);
                continue;
            }
            return Err(match tried {
                Some(Err(error)) => Refusal::Error(format!("{}: {error}", self.socket.display())),
                _ => {
                    used.stays = true;
                    Refusal::Skip(format!(
                        "the program at {} ran an earlier trace and was not restarted; each trace starts from power-on",
                        self.socket.display()
                    ))
                }
            });
        }
    }
}

/// Connects to a socket. A listener that does not accept may block its clients for ever, so a thread of its own waits.
fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, Error> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_owned();
    thread::Builder::new().spawn(move || {
        // Nobody listens if it took too long.
        let _ = sender.send(UnixStream::connect(path));
    })?;
    receiver
        .recv_timeout(timeout)
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

impl Subject for Qtest {
    fn name(&self) -> &str {
        "qtest"
    }

    fn version(&self) -> String {
        self.socket.display().to_string()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        let failed = |error: &dyn std::fmt::Display| Refusal::Error(format!("{}: {error}", self.socket.display()));
        let (stream, again) = self.connect()?;
        let qtest = Client::new(stream, self.timeout).map_err(|error| failed(&error))?;
        let mut qmp = match &self.qmp {
            Some(path) => {
                let stream = connect(path, self.timeout)
                    .map_err(|error| Refusal::Error(format!("{}: {error}", path.display())))?;
                Some(Qmp::new(stream, self.timeout).map_err(|error| failed(&error))?)
            }
            None => None,
        };
        if let (true, Some(qmp)) = (again, &mut qmp) {
            qmp.system_reset().map_err(|error| failed(&error))?;
        }
        Ok(Box::new(QtestMachine {
            link: Link {
                qtest,
                qmp,
                guard: None,
            },
            ram: header.ram,
            _files: None,
        }))
    }

    fn machines_at_once(&self) -> Option<usize> {
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_name() {
        let plain: Qtest = "/run/vm.qtest".parse().unwrap();
        assert_eq!(
            (plain.socket, plain.qmp, plain.fresh),
            ("/run/vm.qtest".into(), None, false)
        );
        let full: Qtest = "a,qmp:b,fresh".parse().unwrap();
        assert_eq!(
            (full.socket, full.qmp, full.fresh),
            ("a".into(), Some("b".into()), true)
        );
        for text in ["", ",qmp:b", "a,qmp:", "a,b", "a,stale", "a,fresh:1"] {
            assert!(text.parse::<Qtest>().is_err(), "{text}");
        }
    }
}
