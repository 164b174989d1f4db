// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A vfio-user client that can do everything wrong.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

use igd_sim::server::{ServeError, Statistics, serve};
use igd_sim::{Options, Profile, SimDevice};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

pub(crate) const VERSION: u16 = 1;
pub(crate) const DMA_MAP: u16 = 2;
pub(crate) const DMA_UNMAP: u16 = 3;
pub(crate) const GET_INFO: u16 = 4;
pub(crate) const GET_REGION_INFO: u16 = 5;
pub(crate) const GET_IRQ_INFO: u16 = 7;
pub(crate) const SET_IRQS: u16 = 8;
pub(crate) const REGION_READ: u16 = 9;
pub(crate) const REGION_WRITE: u16 = 10;
pub(crate) const RESET: u16 = 13;

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) stop: Arc<AtomicBool>,
    server: Option<JoinHandle<Result<Statistics, ServeError>>>,
    next: u16,
}

pub(crate) struct Answer {
    pub(crate) error: u32,
    pub(crate) body: Vec<u8>,
    pub(crate) file: Option<File>,
}

pub(crate) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(crate) fn word(body: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(body[4 * index..4 * index + 4].try_into().unwrap())
}

impl Client {
    /// A server on a thread of its own, and a client that has not said anything yet.
    pub(crate) fn connect(name: &str, stall: Duration, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.shared = true;
        change(&mut options);
        let mut device = SimDevice::new(Profile::by_name(name).unwrap(), &options).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let server = std::thread::spawn(move || serve(theirs, &mut device, &mut (), stall, &flag));
        ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self {
            stream: ours,
            stop,
            server: Some(server),
            next: 0,
        }
    }

    /// The same with the version agreed on.
    pub(crate) fn greeted(name: &str, change: impl FnOnce(&mut Options)) -> Self {
        let mut client = Self::connect(name, Duration::from_secs(5), change);
        assert_eq!(client.call(VERSION, b"\0\0\0\0{}\0").error, 0);
        client
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        // The server may have hung up already.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn header(&mut self, command: u16, size: u32, flags: u32) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        let mut message = self.next.to_le_bytes().to_vec();
        message.extend_from_slice(&command.to_le_bytes());
        message.extend_from_slice(&words(&[size, flags, 0]));
        message
    }

    pub(crate) fn send(&mut self, command: u16, flags: u32, body: &[u8], fds: &[BorrowedFd<'_>]) {
        let mut message = self.header(command, u32::try_from(body.len() + 16).unwrap(), flags);
        message.extend_from_slice(body);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(&message)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
        .unwrap();
        assert_eq!(sent, message.len());
    }

    pub(crate) fn receive(&mut self) -> Answer {
        let mut head = [0; 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(
            &self.stream,
            &mut [IoSliceMut::new(&mut head)],
            &mut control,
            RecvFlags::WAITALL,
        )
        .unwrap();
        assert_eq!(got.bytes, 16, "the server hung up");
        let mut fds: Vec<OwnedFd> = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                fds.extend(more);
            }
        }
        assert_eq!(
            u16::from_le_bytes([head[0], head[1]]),
            self.next,
            "a reply to another message"
        );
        let mut body = vec![0; usize::try_from(word(&head, 1)).unwrap() - 16];
        std::io::Read::read_exact(&mut self.stream, &mut body).unwrap();
        let error = word(&head, 3);
        assert_eq!(word(&head, 2), if error == 0 { 1 } else { 0x21 });
        Answer {
            error,
            body,
            file: fds.pop().map(File::from),
        }
    }

    pub(crate) fn call(&mut self, command: u16, body: &[u8]) -> Answer {
        self.send(command, 0, body, &[]);
        self.receive()
    }

    pub(crate) fn call_with(&mut self, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) -> Answer {
        self.send(command, 0, body, fds);
        self.receive()
    }

    fn place(region: u32, offset: u64, len: u32) -> Vec<u8> {
        let mut body = offset.to_le_bytes().to_vec();
        body.extend_from_slice(&words(&[region, len]));
        body
    }

    pub(crate) fn read(&mut self, region: u32, offset: u64, len: u32) -> Result<Vec<u8>, u32> {
        let answer = self.call(REGION_READ, &Self::place(region, offset, len));
        if answer.error != 0 {
            return Err(answer.error);
        }
        assert_eq!(usize::try_from(word(&answer.body, 3)).unwrap(), answer.body.len() - 16);
        Ok(answer.body[16..].to_vec())
    }

    pub(crate) fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> u32 {
        let mut body = Self::place(region, offset, u32::try_from(data.len()).unwrap());
        body.extend_from_slice(data);
        self.call(REGION_WRITE, &body).error
    }

    pub(crate) fn write32(&mut self, region: u32, offset: u64, value: u32) {
        assert_eq!(self.write(region, offset, &value.to_le_bytes()), 0);
    }

    /// Leaves, and gives what the server says about it.
    pub(crate) fn leave(mut self) -> Result<Statistics, ServeError> {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
        self.server.take().unwrap().join().unwrap()
    }

    /// Waits until the server gives up, without leaving.
    pub(crate) fn outlast(mut self) -> Result<Statistics, ServeError> {
        self.server.take().unwrap().join().unwrap()
    }
}
