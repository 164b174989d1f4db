// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The VMM's vfio-user client against a peer that lies: every call ends, and a value is exactly what was said.

use core::fmt::Write as _;
use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arbitrary::{Result, Unstructured};
use igd_vmm::backend::vfio_user::VfioUserHost;
use igd_vmm::backend::{HostDevice, HostError, InterruptKind, RegionKind};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use vmm_sys_util::tempdir::TempDir;

use crate::Target;
use crate::util::{Edit, apply, edits, field, put, show};

/// The target.
pub const TARGET: Target = Target {
    name: "vfio_user_client",
    package: "igd-vmm",
    summary: "the VMM's vfio-user client against a peer that lies: every call ends, and a value is exactly what was said",
    run,
    describe,
    seeds,
};

const HEADER: usize = 16;
/// The place of an access, before its data.
const PLACE: usize = 16;
/// How long an answer may take. Those that come at all come at once.
const TIMEOUT: Duration = Duration::from_millis(250);
/// What a call may take, with a busy machine around it.
const PATIENCE: Duration = Duration::from_secs(20);
const BAR: u64 = 0x4000;

const GET_REGION_INFO: u16 = 5;
const READ: u16 = 9;
const WRITE: u16 = 10;

/// What becomes of an answer.
#[derive(Clone, Debug)]
enum Lie {
    Edited(Vec<Edit>),
    Errno(u32),
    /// So many bytes fewer were moved, and the answer says so.
    Short(u32),
    /// A size in the header that is another than that of the message.
    Size(u32),
    Descriptors(usize),
    Close(usize),
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Read(RegionKind, u64, usize),
    Write(RegionKind, u64, usize),
    Reset,
    Enable(InterruptKind, usize),
    Disable(InterruptKind),
    Mask,
    Unmap(u64, u64),
}

struct Input {
    /// Answers by number; all others are honest.
    lies: Vec<(usize, Lie)>,
    calls: Vec<Call>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let mut lies = Vec::new();
        for _ in 0..u.int_in_range(0..=4_u8)? {
            lies.push((u.int_in_range(0..=24)?, lie(&mut u)?));
        }
        let calls = (0..u.int_in_range(0..=8_u8)?)
            .map(|_| call(&mut u))
            .collect::<Result<_>>()?;
        Ok(Self { lies, calls })
    }
}

fn lie(u: &mut Unstructured<'_>) -> Result<Lie> {
    Ok(match u.int_in_range(0..=7_u8)? {
        0..3 => Lie::Edited(edits(u, 64)?),
        3 => Lie::Errno(u.arbitrary()?),
        4 => Lie::Short(u.int_in_range(1..=8)?),
        5 => Lie::Size(u.arbitrary()?),
        6 => Lie::Descriptors(u.int_in_range(0..=3)?),
        _ => Lie::Close(u.int_in_range(0..=40)?),
    })
}

fn call(u: &mut Unstructured<'_>) -> Result<Call> {
    let regions = [
        RegionKind::Config,
        RegionKind::Bar(0),
        RegionKind::OpRegion,
        RegionKind::Rom,
        RegionKind::Bar(3),
    ];
    let region = *u.choose(&regions)?;
    let offset = match u.int_in_range(0..=3_u8)? {
        0..3 => u.int_in_range(0..=0x200)?,
        _ => u.arbitrary()?,
    };
    let len = *u.choose(&[4, 8, 1, 3, 64, 5000, 0])?;
    let kind = *u.choose(&[InterruptKind::Msi, InterruptKind::Intx, InterruptKind::Msix])?;
    Ok(match u.int_in_range(0..=9_u8)? {
        0..4 => Call::Read(region, offset, len),
        4 | 5 => Call::Write(region, offset, len),
        6 => Call::Enable(kind, u.int_in_range(0..=3)?),
        7 => *u.choose(&[Call::Disable(kind), Call::Mask])?,
        8 => Call::Unmap(offset, u.arbitrary()?),
        _ => Call::Reset,
    })
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn message(id: u16, command: u16, flags: u32, errno: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    [
        [id.to_le_bytes(), command.to_le_bytes()].concat(),
        words(&[size, flags, errno]),
        body.to_vec(),
    ]
    .concat()
}

/// What a small device answers that is as it should be: BAR0, configuration space and an OpRegion.
fn honest(command: u16, asked: &[u8]) -> Vec<u8> {
    let word = |at| u32::from_le_bytes(field(asked, at));
    let info = |index: u32, flags: u32, size: u64, caps: &[u32]| {
        let needed = 32 + 4 * u32::try_from(caps.len()).unwrap_or(0);
        let (has_caps, first) = if caps.is_empty() { (0, 0) } else { (8, 32) };
        let head = words(&[needed, flags | has_caps, index, first]);
        [head, size.to_le_bytes().to_vec(), vec![0; 8], words(caps)].concat()
    };
    match command {
        1 => b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}\0".to_vec(),
        4 => words(&[16, 0b11, 10, 3]),
        GET_REGION_INFO => match word(8) {
            0 => info(0, 0b011, BAR, &[]),
            7 => info(7, 0b11, 256, &[]),
            9 => info(9, 0b01, 0x2000, &[2 | 1 << 16, 0, 0x8000_8086, 1]),
            index => info(index, 0, 0, &[]),
        },
        7 => words(&[16, 1, word(8), if word(8) < 2 { 1 } else { 4 }]),
        READ => {
            let len = usize::try_from(word(12)).unwrap_or(0).min(1 << 20);
            let place = asked.get(..PLACE).unwrap_or_default();
            let data = (0..=u8::MAX).cycle().map(|byte| byte.wrapping_mul(31) ^ 0x5a).take(len);
            place.iter().copied().chain(data).collect()
        }
        WRITE => asked.get(..PLACE).unwrap_or_default().to_vec(),
        _ => Vec::new(),
    }
}

/// What was said to the client, as far as it keeps to the protocol.
#[derive(Debug, Default)]
struct Said {
    /// Bytes of regions, in the order they were read.
    data: Vec<u8>,
    /// Bytes that were moved by writes.
    written: usize,
    /// Orders that were carried out.
    orders: usize,
    /// An answer was longer than it said, so that the rest is taken for the next.
    is_astray: bool,
}

type Shared = Arc<Mutex<Said>>;

fn lock(said: &Shared) -> MutexGuard<'_, Said> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One peer, until the client or the script ends it.
fn serve(mut stream: UnixStream, lies: &[(usize, Lie)], said: &Shared) -> std::io::Result<()> {
    let null = File::open("/dev/null")?;
    for number in 0.. {
        let mut head = [0; HEADER];
        stream.read_exact(&mut head)?;
        let size = usize::try_from(u32::from_le_bytes(field(&head, 4))).unwrap_or(0);
        let mut asked = vec![0; size.saturating_sub(HEADER).min(1 << 20)];
        stream.read_exact(&mut asked)?;
        let (id, command) = (u16::from_le_bytes(field(&head, 0)), u16::from_le_bytes(field(&head, 2)));
        let truth = message(id, command, 1, 0, &honest(command, &asked));
        let mut answer = truth.clone();
        let (mut fds, mut end) = (Vec::new(), usize::MAX);
        for (_, lie) in lies.iter().filter(|(at, _)| *at == number) {
            match lie {
                Lie::Edited(edits) => apply(&mut answer, edits),
                Lie::Errno(errno) => answer = message(id, command, 0x21, *errno, &[]),
                Lie::Short(less) => {
                    let less = usize::try_from(*less).unwrap_or(0);
                    let data = answer.len().saturating_sub(HEADER + PLACE).saturating_sub(less);
                    answer.truncate(HEADER + PLACE + data);
                    let count = u32::try_from(data).unwrap_or(0).to_le_bytes();
                    put(&mut answer, HEADER + 12, &count);
                    let size = u32::try_from(answer.len()).unwrap_or(0).to_le_bytes();
                    put(&mut answer, 4, &size);
                }
                Lie::Size(size) => put(&mut answer, 4, &size.to_le_bytes()),
                Lie::Descriptors(count) => fds = vec![null.as_raw_fd(); *count],
                Lie::Close(after) => end = *after,
            }
        }
        answer.truncate(end);
        note(&mut lock(said), command, &truth, &answer);
        if !fds.is_empty() && !answer.is_empty() {
            stream
                .send_with_fds(&[answer.as_slice()], &fds)
                .map_err(std::io::Error::from)?;
        } else {
            stream.write_all(&answer)?;
        }
        let told = usize::try_from(u32::from_le_bytes(field(&answer, 4))).unwrap_or(usize::MAX);
        if end != usize::MAX || answer.len() < told.max(HEADER) {
            // The rest would be waited for.
            return Ok(());
        }
    }
    Ok(())
}

/// Keeps what an answer says, if it is one that the protocol allows for the question.
fn note(said: &mut Said, command: u16, truth: &[u8], answer: &[u8]) {
    let told = usize::try_from(u32::from_le_bytes(field(answer, 4))).unwrap_or(usize::MAX);
    said.is_astray |= answer.len() > told;
    let flags = u32::from_le_bytes(field(answer, 8));
    let is_reply = flags & 0xf == 1 && flags & 0x20 == 0 && told == answer.len();
    if !is_reply || answer.get(..4) != truth.get(..4) {
        return;
    }
    let (ours, theirs) = (
        answer.get(HEADER..).unwrap_or_default(),
        truth.get(HEADER..).unwrap_or_default(),
    );
    match command {
        READ if ours.len() == theirs.len() && ours.get(..PLACE) == theirs.get(..PLACE) => {
            said.data.extend(ours.get(PLACE..).unwrap_or_default());
        }
        WRITE if ours == theirs => {
            said.written += usize::try_from(u32::from_le_bytes(field(ours, 12))).unwrap_or(0);
        }
        READ | WRITE => {}
        _ => said.orders += 1,
    }
}

/// A socket of its own for each input.
struct Peer {
    path: PathBuf,
    said: Shared,
    thread: JoinHandle<()>,
}

impl Peer {
    fn new(lies: Vec<(usize, Lie)>) -> Option<Self> {
        thread_local! {
            static FOLDER: RefCell<Option<(TempDir, u64)>> = const { RefCell::new(None) };
        }
        let path = FOLDER.with_borrow_mut(|folder| {
            if folder.is_none() {
                *folder = Some((TempDir::new().ok()?, 0));
            }
            let (folder, next) = folder.as_mut()?;
            *next += 1;
            Some(folder.as_path().join(next.to_string()))
        })?;
        let listener = UnixListener::bind(&path).ok()?;
        let said = Shared::default();
        let ours = Arc::clone(&said);
        let thread = std::thread::spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                // It ends with an error where the client has enough.
                let _ = serve(stream, &lies, &ours);
            }
        });
        Some(Self { path, said, thread })
    }

    fn end(self) {
        // Where the client did not come as far as a connection, this is the one that is waited for.
        drop(UnixStream::connect(&self.path));
        drop(std::fs::remove_file(&self.path));
        assert!(self.thread.join().is_ok(), "the lying peer failed");
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(Input { lies, calls }) = Input::read(data) else {
        return;
    };
    let Some(peer) = Peer::new(lies) else { return };
    let start = Instant::now();
    match VfioUserHost::connect(&peer.path, TIMEOUT) {
        Ok(host) => {
            regions(&host);
            for call in calls {
                perform(&host, &peer.said, call);
            }
        }
        Err(error) => {
            assert!(
                matches!(error, HostError::Open { .. }),
                "connecting ends with {error:?}"
            );
        }
    }
    assert!(start.elapsed() < PATIENCE, "all calls took {:?}", start.elapsed());
    peer.end();
}

/// Regions are those that can be, each once, and what can be mapped lies within.
fn regions(host: &VfioUserHost) {
    let regions = host.regions();
    let mut kinds: Vec<_> = Vec::new();
    for region in regions {
        assert!(!kinds.contains(&region.kind), "{} twice", region.kind);
        kinds.push(region.kind);
        assert!(region.size > 0, "{} without bytes", region.kind);
        let mut end = 0;
        for area in &region.mappable {
            let is_inside = area.start.checked_add(area.len).is_some_and(|end| end <= region.size);
            assert!(
                is_inside && area.len > 0 && area.start >= end,
                "{area} of {}",
                region.kind
            );
            end = area.end();
        }
    }
    assert!(
        kinds.contains(&RegionKind::Config),
        "no configuration space among {kinds:?}"
    );
}

fn perform(host: &VfioUserHost, said: &Shared, call: Call) {
    let (data, written, orders) = {
        let said = lock(said);
        (said.data.len(), said.written, said.orders)
    };
    let was_lost = host.lost().is_some_and(|event| {
        let is_lost = event.read().is_ok();
        assert!(!is_lost || event.write(1).is_ok(), "the signal of a loss");
        is_lost
    });
    let mut bytes = Vec::new();
    let result = match call {
        Call::Read(region, offset, len) => {
            bytes.resize(len, 0xcc);
            host.read(region, offset, &mut bytes)
        }
        Call::Write(region, offset, len) => host.write(region, offset, &vec![0xa5; len]),
        Call::Reset => host.reset(),
        Call::Enable(kind, count) => {
            let events: Vec<EventFd> = (0..count).filter_map(|_| EventFd::new(EFD_NONBLOCK).ok()).collect();
            host.enable_interrupt(kind, &events.iter().collect::<Vec<_>>())
        }
        Call::Disable(kind) => host.disable_interrupt(kind),
        Call::Mask => host.mask_intx(),
        Call::Unmap(iova, len) => host.unmap_dma(iova, len),
    };
    let said = lock(said);
    assert!(!was_lost || result.is_err(), "{call:x?} of a lost device succeeds");
    if said.is_astray {
        return;
    }
    match (call, result) {
        (Call::Read(..), Ok(())) => {
            let told = said.data.get(data..).unwrap_or_default();
            assert!(
                told == bytes,
                "{call:x?} is {bytes:02x?}, but the peer said {told:02x?}"
            );
        }
        (Call::Write(_, _, len), Ok(())) => assert_eq!(said.written - written, len, "bytes moved by {call:x?}"),
        (Call::Enable(_, count), Ok(())) => assert!(said.orders > orders && count > 0, "{call:x?} was not confirmed"),
        (_, Ok(())) => assert!(said.orders > orders, "{call:x?} was not confirmed"),
        (_, Err(error)) => assert!(!error.to_string().is_empty(), "{call:x?} fails without a reason"),
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let Input { lies, calls } = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    for (number, lie) in lies {
        let _ = match lie {
            Lie::Edited(edits) => write!(text, "answer {number} edited:\n{}", show(&edits)),
            other => writeln!(text, "answer {number}: {other:x?}"),
        };
    }
    for call in calls {
        let _ = writeln!(text, "call {call:x?}");
    }
    text.push_str("end\n");
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Region, offset, length, kind of interrupt, call.
    let read = |region: u8, len: u8| vec![region, 0, 0, 4, len, 0, 0];
    let write = vec![1, 0, 0, 8, 0, 0, 4];
    let calls = [
        vec![5],
        read(0, 0),
        read(1, 4),
        write,
        vec![0, 0, 0, 0, 0, 0, 6, 1],
        vec![0, 0, 0, 0, 0, 0, 9],
    ]
    .concat();
    let with = |name: &str, lies: &[u8]| (name.to_owned(), [lies, &calls].concat());
    vec![
        with("honest", &[0]),
        with("error", &[1, 15, 3, 22, 0, 0, 0]),
        with("short", &[1, 15, 4, 2]),
        with("closed", &[1, 16, 7, 20]),
        with("size", &[1, 2, 5, 0xff, 0xff, 0xff, 0x7f]),
        with("descriptors", &[1, 3, 6, 2]),
        with("edited", &[1, 15, 0, 1, 0, 16, 4, 1, 2, 3, 4]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 600);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        assert!(
            of("short").starts_with("answer 15: Short(3)\ncall Read(Config, 4, 4)\n"),
            "{}",
            of("short")
        );
        assert!(
            of("edited").contains("answer 15 edited:\nset 0x10 to \\x01\\x02\\x03\\x04\n"),
            "{}",
            of("edited")
        );
    }

    #[test]
    fn an_honest_peer_is_believed() {
        let peer = Peer::new(Vec::new()).unwrap();
        let host = VfioUserHost::connect(&peer.path, TIMEOUT).unwrap();
        assert_eq!(host.regions().len(), 3);
        perform(&host, &peer.said, Call::Read(RegionKind::Config, 0, 64));
        assert_eq!(lock(&peer.said).data.len(), 64);
        drop(host);
        peer.end();
    }
}
