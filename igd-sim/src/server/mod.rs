// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device over the vfio-user protocol, on a Unix socket.
//!
//! QEMU from 10.1 on reaches it with `-device vfio-user-pci`, a Rust VMM with the `vfio_user` crate. Regions 0 to 8 have
//! VFIO's indices; the OpRegion and the two bridges follow with a type, as the kernel's driver numbers them. BAR0 and
//! BAR2 are handed over as files if the device is made with [`Options::shared`](crate::Options::shared).
//!
//! Clients are not trusted: a message has at most 1 MiB and 8 descriptors, its memory grows with what arrives, it is
//! complete within a time, and what is wrong with it ends at most its own connection.

mod connection;
mod dma;
mod irq;
mod session;
mod wire;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::device::{AccessError, RegionKind, SimDevice};
use connection::Connection;
use session::Session;

/// A connection that did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The size in a header is less than a header, or more than the largest message.
    #[error("a message of {size} bytes: it must have 16 to {}", wire::MAX_MESSAGE)]
    MessageSize {
        /// The size announced.
        size: u32,
    },
    /// The client left in the middle of a message.
    #[error("the client left after {got} of {wanted} bytes of a message")]
    Truncated {
        /// Bytes that came.
        got: usize,
        /// Bytes announced.
        wanted: usize,
    },
    /// A message took too long.
    #[error("the client stalled after {got} of {wanted} bytes of a message")]
    Stalled {
        /// Bytes that came or went.
        got: usize,
        /// Bytes announced.
        wanted: usize,
    },
    /// The client replied to what nobody asked.
    #[error("a message with flags {flags:#x}, which is no command")]
    NotACommand {
        /// The flags.
        flags: u32,
    },
    /// The client did not begin with the version, or with one that is not spoken here.
    #[error("command {command} before an agreement on the version")]
    NoVersion {
        /// The command.
        command: u16,
    },
    /// A fault that was asked for.
    #[error("disconnected after {after} answers, as asked for")]
    Injected {
        /// Answers before that.
        after: u64,
    },
    /// The socket could not be prepared.
    #[error("the connection could not be prepared")]
    Prepare(#[source] io::Error),
    /// Receiving failed.
    #[error("receiving failed")]
    Receive(#[source] io::Error),
    /// Sending failed.
    #[error("sending failed")]
    Send(#[source] io::Error),
}

/// A socket that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another server answers there.
    #[error("{}: another server listens there", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else than a socket is there.
    #[error("{}: exists and is no socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket could not be made.
    #[error("{}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An access of a client to a region.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// Whether it writes.
    pub is_write: bool,
    /// The region.
    pub region: RegionKind,
    /// Offset of the first byte.
    pub offset: u64,
    /// What is written, or was read.
    pub data: &'a [u8],
}

/// Hears what a client does. Each method has an empty default.
pub trait Observer {
    /// A client named its version and capabilities.
    fn client(&mut self, _capabilities: &str) {}
    /// An access; a write has not happened yet.
    fn access(&mut self, _access: &Access<'_>) {}
    /// An access failed.
    fn failure(&mut self, _error: &AccessError) {}
}

impl Observer for () {}

/// What a client did while it was connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Messages.
    pub messages: u64,
    /// Reads of regions.
    pub reads: u64,
    /// Writes to regions.
    pub writes: u64,
    /// Mappings of memory for DMA.
    pub dma_maps: u64,
    /// Orders to remove such mappings.
    pub dma_unmaps: u64,
    /// Resets of the function, by message or by register.
    pub resets: u64,
    /// Messages that were answered with an error.
    pub refused: u64,
}

/// How long a client may take for one message, once begun.
pub const DEFAULT_STALL: Duration = Duration::from_secs(10);

/// Serves one client until it leaves, or until `stop` is set between two messages.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use std::sync::atomic::AtomicBool;
///
/// use igd_sim::server::{DEFAULT_STALL, serve};
/// use igd_sim::{Options, Profile, SimDevice};
///
/// let mut device = SimDevice::new(Profile::by_name("kbl").unwrap(), &Options::default())?;
/// let (ours, theirs) = UnixStream::pair()?;
/// drop(theirs);
/// let statistics = serve(ours, &mut device, &mut (), DEFAULT_STALL, &AtomicBool::new(false))?;
/// assert_eq!(statistics.messages, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The client broke the protocol, stalled, or left in the middle of a message.
pub fn serve(
    stream: UnixStream,
    device: &mut SimDevice,
    observer: &mut dyn Observer,
    stall: Duration,
    stop: &AtomicBool,
) -> Result<Statistics, ServeError> {
    let connection = Connection::new(stream, stall, stop).map_err(ServeError::Prepare)?;
    Session::new(device, observer).run(&connection)
}

/// A socket that clients connect to, one after another. The path is removed when it goes.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`. A socket that a server left behind there is replaced.
    ///
    /// # Errors
    ///
    /// Another server listens there, something else is there, or the kernel refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let io = |source| BindError::Io {
            path: path.to_owned(),
            source,
        };
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NotASocket { path: path.to_owned() });
            }
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(BindError::InUse { path: path.to_owned() }),
            Ok(_) => std::fs::remove_file(path).map_err(io)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(io)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Waits for the next client.
    ///
    /// # Errors
    ///
    /// The kernel has none to give.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
