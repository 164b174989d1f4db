// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! igd-sim's vfio-user server against malformed messages: each has its reply, and the end is the one to expect.

use core::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use igd_sim::server::{ServeError, Statistics, serve};
use igd_sim::{Options, Profile, SimDevice};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use crate::Target;
use crate::util::{field, rarely};

/// The target.
pub const TARGET: Target = Target {
    name: "vfio_user_server",
    package: "igd-sim",
    summary: "igd-sim's vfio-user server against malformed messages: each has its reply, the end is the one to expect",
    run,
    describe,
    seeds,
};

const HEADER: usize = 16;
/// Largest message of the protocol as the server speaks it.
const MAX_MESSAGE: usize = HEADER + 16 + (1 << 20);
/// Bytes to a server at the most: what a socket takes before anybody reads.
const MAX_STREAM: usize = 32 << 10;
const VERSION: u16 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;
/// The server waits for nobody: all is sent before it starts.
const STALL: Duration = Duration::from_secs(5);

/// Bytes that are sent in one piece, with so many descriptors.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Vec<u8>,
    fds: usize,
}

struct Input {
    profile: &'static Profile,
    shared: bool,
    pieces: Vec<Piece>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let profile = u.choose(Profile::all())?;
        let flags: u8 = u.arbitrary()?;
        let mut pieces = Vec::new();
        if flags & 1 == 0 {
            pieces.push(message(0, VERSION, 0, b"\0\0\x01\0{}\0"));
        }
        let mut len = 0;
        while !u.is_empty() && pieces.len() < 64 && len < MAX_STREAM {
            let piece = piece(&mut u, u16::try_from(pieces.len()).unwrap_or(0))?;
            len += piece.bytes.len();
            pieces.push(piece);
        }
        Ok(Self {
            profile,
            shared: flags & 2 != 0,
            pieces,
        })
    }
}

fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Piece {
    let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = [id.to_le_bytes(), command.to_le_bytes()].concat();
    bytes.extend([size.to_le_bytes(), flags.to_le_bytes(), [0; 4]].concat());
    bytes.extend(body);
    Piece { bytes, fds: 0 }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A number that is small, at an edge, or any.
fn number(u: &mut Unstructured<'_>) -> Result<u32> {
    Ok(match u.int_in_range(0..=3_u8)? {
        0 => u.int_in_range(0..=16)?,
        1 => 1 << u.int_in_range(0..=31)?,
        2 => u32::MAX - u.int_in_range(0..=16)?,
        _ => u.arbitrary()?,
    })
}

fn piece(u: &mut Unstructured<'_>, id: u16) -> Result<Piece> {
    let kind = u.int_in_range(0..=12_u8)?;
    let flags = if rarely(u, 12)? { u.arbitrary()? } else { 0 };
    let region = u.int_in_range(0..=12_u32)?;
    let (low, high) = (number(u)?, if rarely(u, 6)? { u.arbitrary()? } else { 0 });
    let count = if rarely(u, 4)? {
        number(u)?
    } else {
        *u.choose(&[1, 2, 4, 8, 64])?
    };
    let (command, mut body) = match kind {
        0 => (4, words(&[low, 0, 0, 0])),
        1 => (5, words(&[number(u)?, 0, region, 0, 0, 0, 0, 0])),
        2 => (7, words(&[16, 0, region, 0])),
        3 => {
            let data = u.int_in_range(0..=8)?;
            let mut body = words(&[20, number(u)?, region & 3, low, count]);
            body.extend(u.bytes(data.min(u.len()))?);
            (8, body)
        }
        4 | 5 => (9, words(&[low, high, region, count])),
        6 | 7 => {
            let len = usize::try_from(count).unwrap_or(0).min(256).min(u.len());
            let mut body = words(&[low, high, region, count]);
            body.extend(u.bytes(len)?);
            (10, body)
        }
        8 => (2, words(&[32, 3, 0, 0, low & !0xfff, high, count << 12, 0])),
        9 => (
            3,
            words(&[24, u.int_in_range(0..=3)?, low & !0xfff, high, count << 12, 0]),
        ),
        10 => (13, Vec::new()),
        11 => (u.arbitrary()?, words(&[low, high, region, count])),
        _ => {
            let len = u.int_in_range(0..=40)?;
            let bytes = u.bytes(len.min(u.len()))?.to_vec();
            return Ok(Piece { bytes, fds: 0 });
        }
    };
    if rarely(u, 10)? {
        body.truncate(u.int_in_range(0..=body.len())?);
    }
    let mut piece = message(id, command, flags, &body);
    if rarely(u, 16)? {
        let size = number(u)?;
        crate::util::put(&mut piece.bytes, 4, &size.to_le_bytes());
    }
    if rarely(u, 3)? {
        piece.fds = u.int_in_range(0..=12)?;
    }
    Ok(piece)
}

/// How a conversation is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Left,
    Truncated,
    Size,
    NotACommand,
    NoVersion,
    /// Only the server knows whether the version was agreed on: it was not to say.
    Unknown,
}

/// A reply as it came.
struct Reply<'a> {
    id: u16,
    command: u16,
    error: u32,
    body: &'a [u8],
}

/// The next reply of what came from the server; its header accounts for its bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Reply<'a>> {
    if rest.is_empty() {
        return None;
    }
    let size = usize::try_from(u32::from_le_bytes(field(rest, 4))).unwrap_or(usize::MAX);
    let flags = u32::from_le_bytes(field(rest, 8));
    let error = u32::from_le_bytes(field(rest, 12));
    let Some((whole, next)) = rest.split_at_checked(size).filter(|(whole, _)| whole.len() >= HEADER) else {
        panic!("a reply of {size} bytes where {} came", rest.len())
    };
    let body = whole.get(HEADER..).unwrap_or_default();
    let expected = if error == 0 { 1 } else { 1 | ERROR };
    assert_eq!(flags, expected, "flags of a reply with error {error}");
    assert!(error == 0 || body.is_empty(), "{} bytes with error {error}", body.len());
    let reply = Reply {
        id: u16::from_le_bytes(field(rest, 0)),
        command: u16::from_le_bytes(field(rest, 2)),
        error,
        body,
    };
    *rest = next;
    Some(reply)
}

/// Walks what was sent, and takes a reply for each message that wants one.
fn converse(sent: &[u8], mut replies: &[u8]) -> (End, u64) {
    let mut rest = sent;
    let mut messages = 0;
    let end = loop {
        if rest.is_empty() {
            break End::Left;
        }
        if rest.len() < HEADER {
            break End::Truncated;
        }
        let size = usize::try_from(u32::from_le_bytes(field(rest, 4))).unwrap_or(usize::MAX);
        if !(HEADER..=MAX_MESSAGE).contains(&size) {
            break End::Size;
        }
        let Some((message, next)) = rest.split_at_checked(size) else {
            break End::Truncated;
        };
        rest = next;
        messages += 1;
        let (id, command) = (
            u16::from_le_bytes(field(message, 0)),
            u16::from_le_bytes(field(message, 2)),
        );
        let flags = u32::from_le_bytes(field(message, 8));
        if flags & 0xf != 0 {
            break End::NotACommand;
        }
        if flags & NO_REPLY != 0 {
            if messages == 1 {
                break End::Unknown;
            }
            continue;
        }
        let Some(reply) = take(&mut replies) else {
            panic!("no reply to message {messages}, command {command}")
        };
        assert_eq!((reply.id, reply.command), (id, command), "reply to message {messages}");
        if reply.error == 0 {
            shape(command, message.get(HEADER..).unwrap_or_default(), reply.body);
        }
        if messages == 1 && (command != VERSION || reply.error != 0) {
            break End::NoVersion;
        }
    };
    if end != End::Unknown {
        assert!(replies.is_empty(), "{} bytes after the last reply", replies.len());
    }
    (end, messages)
}

/// What a reply without an error holds.
fn shape(command: u16, asked: &[u8], body: &[u8]) {
    let word = |bytes: &[u8], at| u32::from_le_bytes(field(bytes, at));
    let len = body.len();
    let fits = match command {
        VERSION => len > 4 && body.ends_with(b"\0"),
        4 | 7 => len == 16,
        5 => {
            let needed = usize::try_from(word(body, 0)).unwrap_or(usize::MAX);
            let is_whole = usize::try_from(word(asked, 0)).is_ok_and(|room| room >= needed);
            needed >= 32 && len == if is_whole { needed } else { 32 }
        }
        9 => {
            let count = word(body, 12);
            count <= word(asked, 12) && u32::try_from(len) == Ok(count + 16) && body.get(..12) == asked.get(..12)
        }
        10 => asked.get(..16) == Some(body),
        3 => asked.get(..24) == Some(body),
        2 | 8 | 13 => len == 0,
        _ => false,
    };
    assert!(
        fits,
        "command {command} with {asked:02x?} is answered with {len} bytes, {:02x?}",
        body.get(..64)
    );
}

/// Sends everything, and leaves.
fn send(stream: &UnixStream, pieces: &[Piece]) -> std::io::Result<()> {
    let event = EventFd::new(EFD_NONBLOCK)?;
    let file = File::open("/dev/null")?;
    for Piece { bytes, fds } in pieces.iter().filter(|piece| !piece.bytes.is_empty()) {
        let fds: Vec<_> = [event.as_raw_fd(), file.as_raw_fd()]
            .into_iter()
            .cycle()
            .take(*fds)
            .collect();
        let count = stream
            .send_with_fds(&[bytes.as_slice()], &fds)
            .map_err(std::io::Error::from)?;
        assert_eq!(count, bytes.len(), "a socket that takes less than {MAX_STREAM} bytes");
    }
    stream.shutdown(Shutdown::Write)
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let mut options = Options::default();
    options.shared = input.shared;
    let Ok(mut device) = SimDevice::new(input.profile, &options) else {
        panic!("no device of profile {}", input.profile.name)
    };
    let Ok((mut ours, theirs)) = UnixStream::pair() else {
        return;
    };
    if send(&ours, &input.pieces).is_err() {
        return;
    }
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Where the server leaves something unread, the stream ends with an error, behind the replies.
        let _ = ours.read_to_end(&mut bytes);
        bytes
    });
    let result = serve(theirs, &mut device, &mut (), STALL, &AtomicBool::new(false));
    let Ok(replies) = reader.join() else {
        panic!("the reader of replies failed")
    };
    let sent: Vec<u8> = input
        .pieces
        .iter()
        .flat_map(|piece| piece.bytes.iter().copied())
        .collect();
    let (end, messages) = converse(&sent, &replies);
    ended(end, messages, &result);
}

fn ended(end: End, messages: u64, result: &core::result::Result<Statistics, ServeError>) {
    let found = match result {
        Ok(statistics) => {
            assert!(
                end == End::Unknown || statistics.messages == messages,
                "{statistics:?} of {messages} messages"
            );
            assert!(statistics.refused <= statistics.messages, "{statistics:?}");
            End::Left
        }
        Err(ServeError::Truncated { .. }) => End::Truncated,
        Err(ServeError::MessageSize { .. }) => End::Size,
        Err(ServeError::NotACommand { .. }) => End::NotACommand,
        Err(ServeError::NoVersion { .. }) => End::NoVersion,
        Err(error) => panic!("ended with {error} after {messages} messages"),
    };
    assert!(
        end == End::Unknown || found == end,
        "ended as {found:?}, {end:?} was to be expected: {result:?}"
    );
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!("profile {}, shared {}\n", input.profile.name, input.shared);
    for Piece { bytes, fds } in &input.pieces {
        let (command, size) = (u16::from_le_bytes(field(bytes, 2)), u32::from_le_bytes(field(bytes, 4)));
        let flags = u32::from_le_bytes(field(bytes, 8));
        let body = bytes.get(HEADER..).unwrap_or_default();
        let _ = writeln!(
            text,
            "command {command} size {size:#x} flags {flags:#x} fds {fds} body {body:02x?}"
        );
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Kind, flags, region, two numbers' choice and value, how many bytes; then what the kind takes.
    let ask = |kind: u8, region: u8| vec![kind, 0, region, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
    let all: Vec<u8> = (0..=10).flat_map(|kind| ask(kind, 7)).collect();
    vec![
        ("every-command".to_owned(), [vec![9, 0], all.clone()].concat()),
        (
            "shared".to_owned(),
            [vec![15, 2], ask(1, 0), ask(4, 0), ask(6, 2)].concat(),
        ),
        ("no-version".to_owned(), [vec![9, 1], ask(0, 0)].concat()),
        (
            "regions".to_owned(),
            [vec![9, 0], (0..12).flat_map(|region| ask(4, region)).collect()].concat(),
        ),
        (
            "raw".to_owned(),
            vec![9, 1, 12, 0, 0, 0, 0, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 1000);
    }

    #[test]
    fn inputs_are_readable() {
        let text = describe(&seeds()[0].1);
        assert!(
            text.starts_with("profile kbl, shared false\ncommand 1 size 0x17 flags 0x0 fds 0 body "),
            "{text}"
        );
        assert!(text.contains("command 9 size 0x20 "), "{text}");
    }
}
