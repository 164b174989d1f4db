// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! vfio-user peers that lie, stall and leave: each ends in an error that names the cause, within its time.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use igd_quirks::facts::{Extent, MachineFacts};
use igd_vmm::backend::vfio_user::VfioUserHost;
use igd_vmm::backend::{DmaMemory, HostDevice, HostError, InterruptKind, RegionKind};
use igd_vmm::probe::probe;
use proptest::prelude::*;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;
use vmm_sys_util::tempdir::TempDir;

const DEADLINE: Duration = Duration::from_millis(200);
/// A deadline, and what a busy machine may add to it.
const SLACK: Duration = Duration::from_millis(800);

const VERSION: u16 = 1;
const DEVICE_INFO: u16 = 4;
const REGION_INFO: u16 = 5;
const IRQ_INFO: u16 = 7;
const SET_IRQS: u16 = 8;
const READ: u16 = 9;
const WRITE: u16 = 10;

const BAR_LEN: u64 = 0x4000;

struct Question {
    id: u16,
    command: u16,
    body: Vec<u8>,
}

impl Question {
    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.body[at..at + 4].try_into().unwrap())
    }

    /// Whether it asks for this region's information.
    fn is_region(&self, index: u32) -> bool {
        self.command == REGION_INFO && self.word(8) == index
    }
}

enum Answer {
    Reply(Vec<u8>),
    With(Vec<u8>, Vec<RawFd>),
    Error(u32),
    /// A header of these fields besides id and command, then bytes.
    Raw {
        id: u16,
        command: u16,
        size: u32,
        flags: u32,
        body: Vec<u8>,
    },
    Trickle(Vec<u8>),
    /// Only so many bytes of a whole message, then the end.
    Cut(Vec<u8>, usize),
    Silence,
    Close,
}

use Answer::{Close, Cut, Error, Raw, Reply, Silence, Trickle, With};

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn raw(question: &Question, size: u32, flags: u32, body: Vec<u8>) -> Answer {
    Raw {
        id: question.id,
        command: question.command,
        size,
        flags,
        body,
    }
}

fn region_info(index: u32, flags: u32, size: u64, caps: &[u32]) -> Vec<u8> {
    let needed = 32 + 4 * u32::try_from(caps.len()).unwrap();
    let (has_caps, first) = if caps.is_empty() { (0, 0) } else { (1 << 3, 32) };
    let mut body = words(&[needed, flags | has_caps, index, first]);
    body.extend_from_slice(&size.to_le_bytes());
    body.extend_from_slice(&[0; 8]);
    body.extend(words(caps));
    body
}

/// Information about BAR0 with these mappable areas.
fn bar(areas: &[(u64, u64)]) -> Vec<u8> {
    let mut caps = vec![1 | 1 << 16, 0, u32::try_from(areas.len()).unwrap(), 0];
    for value in areas.iter().flat_map(|(start, len)| [*start, *len]) {
        caps.extend([
            u32::try_from(value & 0xffff_ffff).unwrap(),
            u32::try_from(value >> 32).unwrap(),
        ]);
    }
    region_info(0, 0b111, BAR_LEN, &caps)
}

/// What a small device answers that is as it should be: BAR0, configuration space, an OpRegion.
fn honest(question: &Question, memory: &File) -> Answer {
    match question.command {
        VERSION => Reply(b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}\0".to_vec()),
        DEVICE_INFO => Reply(words(&[16, 0b11, 10, 3])),
        REGION_INFO => match question.word(8) {
            0 => With(bar(&[(0, 0x1000), (0x2000, 0x2000)]), vec![memory.as_raw_fd()]),
            7 => Reply(region_info(7, 0b11, 256, &[])),
            9 => Reply(region_info(9, 0b01, 0x2000, &[2 | 1 << 16, 0, 0x8000_8086, 1])),
            index => Reply(region_info(index, 0, 0, &[])),
        },
        IRQ_INFO => Reply(words(&[16, 1, question.word(8), u32::from(question.word(8) < 2)])),
        READ => {
            let mut body = question.body.clone();
            body.resize(16 + usize::try_from(question.word(12)).unwrap(), 0x11);
            Reply(body)
        }
        WRITE => Reply(question.body[..16].to_vec()),
        _ => Reply(Vec::new()),
    }
}

fn receive(stream: &mut UnixStream) -> Option<Question> {
    let mut head = [0; 16];
    let (first, _file) = stream.recv_with_fd(&mut head).ok()?;
    stream.read_exact(head.get_mut(first..).filter(|_| first > 0)?).ok()?;
    let size = u32::from_le_bytes(head[4..8].try_into().unwrap());
    let mut body = vec![0; usize::try_from(size).unwrap() - 16];
    stream.read_exact(&mut body).ok()?;
    Some(Question {
        id: u16::from_le_bytes([head[0], head[1]]),
        command: u16::from_le_bytes([head[2], head[3]]),
        body,
    })
}

fn send(stream: &mut UnixStream, question: &Question, answer: Answer) -> std::io::Result<()> {
    let header = |id: u16, command: u16, rest: &[u32]| {
        let ids = [id.to_le_bytes(), command.to_le_bytes()].concat();
        [ids, words(rest)].concat()
    };
    let whole = |body: Vec<u8>| {
        let size = u32::try_from(16 + body.len()).unwrap();
        [header(question.id, question.command, &[size, 1, 0]), body].concat()
    };
    match answer {
        Reply(body) => stream.write_all(&whole(body)),
        With(body, fds) => {
            let message = whole(body);
            let sent = stream.send_with_fds(&[message.as_slice()], &fds);
            assert_eq!(sent.unwrap(), message.len());
            Ok(())
        }
        Error(errno) => stream.write_all(&header(question.id, question.command, &[16, 0x21, errno])),
        Raw {
            id,
            command,
            size,
            flags,
            body,
        } => stream.write_all(&[header(id, command, &[size, flags, 0]), body].concat()),
        Trickle(body) => whole(body).chunks(1).try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(40));
            stream.write_all(byte)
        }),
        Cut(body, len) => {
            stream.write_all(&whole(body)[..len])?;
            Err(std::io::ErrorKind::ConnectionAborted.into())
        }
        Silence => Ok(()),
        Close => Err(std::io::ErrorKind::ConnectionAborted.into()),
    }
}

fn memory(len: u64) -> File {
    // SAFETY: the name ends with 0, and the descriptor is checked before it is owned.
    #[expect(unsafe_code, reason = "no safe wrapper")]
    let file = unsafe {
        let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    };
    file.set_len(len).unwrap();
    file
}

/// A server on a thread that ends with its client; `script` answers what it does not want answered honestly.
struct Peer {
    path: PathBuf,
    memory: File,
    _folder: TempDir,
}

impl Peer {
    fn new(script: impl Fn(&Question) -> Option<Answer> + Send + 'static) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.as_path().join("peer.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let memory = memory(BAR_LEN);
        let ours = memory.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while let Some(question) = receive(&mut stream) {
                let answer = script(&question).unwrap_or_else(|| honest(&question, &ours));
                if send(&mut stream, &question, answer).is_err() {
                    return;
                }
            }
        });
        Self {
            path,
            memory,
            _folder: folder,
        }
    }

    fn connect(&self) -> Result<VfioUserHost, HostError> {
        VfioUserHost::connect(&self.path, DEADLINE)
    }
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = act();
    assert!(start.elapsed() < DEADLINE + SLACK, "{what} took {:?}", start.elapsed());
    value
}

/// Connects to a peer that does not get that far, and looks for the cause in what is said of it.
fn refused(cause: &str, script: impl Fn(&Question) -> Option<Answer> + Send + 'static) {
    let peer = Peer::new(script);
    let error = timed(cause, || peer.connect()).map(|host| format!("{:?}", host.regions()));
    let error = error.expect_err(cause);
    assert!(matches!(error, HostError::Open { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(cause), "`{cause}` is not in: {text}");
    assert!(
        text.starts_with(&format!("vfio-user {} cannot be opened", peer.path.display())),
        "{text}"
    );
}

/// On this command, and in all other cases honest.
fn on(
    command: u16,
    answer: impl Fn(&Question) -> Answer + Send + 'static,
) -> impl Fn(&Question) -> Option<Answer> + Send {
    move |question| (question.command == command).then(|| answer(question))
}

fn on_region(index: u32, answer: impl Fn() -> Answer + Send + 'static) -> impl Fn(&Question) -> Option<Answer> + Send {
    move |question| question.is_region(index).then(&answer)
}

#[test]
fn an_honest_peer_is_a_device() {
    let peer = Peer::new(|_| None);
    let host = peer.connect().unwrap();
    let kinds: Vec<_> = host.regions().iter().map(|region| (region.kind, region.size)).collect();
    let expected = [
        (RegionKind::Bar(0), BAR_LEN),
        (RegionKind::Config, 256),
        (RegionKind::OpRegion, 0x2000),
    ];
    assert_eq!(kinds, expected);
    let areas = &host.region(RegionKind::Bar(0)).unwrap().mappable;
    assert_eq!(*areas, [Extent::new(0, 0x1000), Extent::new(0x2000, 0x2000)]);
    assert_eq!(host.interrupt_count(InterruptKind::Msi), 1);
    let mut data = [0; 12];
    host.read(RegionKind::Bar(0), 4, &mut data).unwrap();
    assert_eq!(data, [0x11; 12]);
    host.write(RegionKind::Config, 4, &[6, 0]).unwrap();
    host.reset().unwrap();
    assert!(host.lost().unwrap().read().is_err());
    assert_eq!(probe(&host, MachineFacts::default()).unwrap().device.vendor, 0x1111);
}

#[test]
fn nobody_listens() {
    let folder = TempDir::new().unwrap();
    let path = folder.as_path().join("nobody.sock");
    let error = VfioUserHost::connect(&path, DEADLINE).unwrap_err().to_string();
    assert!(
        error.contains("No such file") && error.contains("is a vfio-user server listening"),
        "{error}"
    );
    drop(UnixListener::bind(&path).unwrap());
    let error = VfioUserHost::connect(&path, DEADLINE).unwrap_err().to_string();
    assert!(error.contains("refused"), "{error}");
    let long = folder.as_path().join("x".repeat(200));
    let error = VfioUserHost::connect(&long, DEADLINE).unwrap_err().to_string();
    assert!(error.contains("1 to 107 bytes"), "{error}");
}

#[test]
fn a_listener_that_accepts_nobody_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.as_path().join("full.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // SAFETY: listen on a listening socket only changes the length of its queue.
    #[expect(unsafe_code, reason = "the standard library does not let the queue be chosen")]
    let result = unsafe { libc::listen(listener.as_raw_fd(), 0) };
    assert_eq!(result, 0);
    // In the queue: its question has no answer. Behind the queue: not even connected.
    let first = timed("version", || VfioUserHost::connect(&path, DEADLINE))
        .unwrap_err()
        .to_string();
    assert!(first.contains("VERSION: no whole answer within 200ms"), "{first}");
    let second = timed("connect", || VfioUserHost::connect(&path, DEADLINE))
        .unwrap_err()
        .to_string();
    assert!(second.contains("timed out"), "{second}");
}

#[test]
fn peers_that_end_at_the_version() {
    refused("VERSION: the peer closed the connection", on(VERSION, |_| Close));
    refused("VERSION: no whole answer within 200ms", on(VERSION, |_| Silence));
    refused(
        "VERSION: no whole answer within 200ms",
        on(VERSION, |_| Trickle(vec![0; 100])),
    );
    refused(
        "VERSION: the peer refused: Invalid argument",
        on(VERSION, |_| Error(22)),
    );
    refused("7.1 is not spoken", on(VERSION, |_| Reply(vec![7, 0, 1, 0])));
    refused("0.9 is not spoken", on(VERSION, |_| Reply(vec![0, 0, 9, 0])));
    refused("an answer of 3 bytes", on(VERSION, |_| Reply(vec![0; 3])));
    refused("no JSON", on(VERSION, |_| Reply(b"\0\0\0\0{\0".to_vec())));
    refused(
        "no JSON",
        on(VERSION, |_| Reply([&[0; 4], "[".repeat(4000).as_bytes()].concat())),
    );
    let small = b"\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":4}}\0";
    refused("max_data_xfer_size", on(VERSION, |_| Reply(small.to_vec())));
    // After it.
    refused(
        "DEVICE_GET_INFO: the peer closed the connection",
        on(DEVICE_INFO, |_| Close),
    );
}

#[test]
fn messages_that_break_the_protocol() {
    for command in [VERSION, DEVICE_INFO, REGION_INFO, IRQ_INFO] {
        refused(
            "a message of 4294967295 bytes",
            on(command, |asked| raw(asked, u32::MAX, 1, vec![0; 64])),
        );
        refused("a message of", on(command, |asked| raw(asked, 15, 1, Vec::new())));
        refused("which is no reply", on(command, |asked| raw(asked, 16, 0, Vec::new())));
        refused(
            "a reply to message",
            on(command, |asked| Raw {
                id: asked.id.wrapping_add(1),
                command: asked.command,
                size: 16,
                flags: 1,
                body: Vec::new(),
            }),
        );
        refused(
            "with command 99",
            on(command, |asked| Raw {
                id: asked.id,
                command: 99,
                size: 16,
                flags: 1,
                body: Vec::new(),
            }),
        );
        refused("are needed", on(command, |_| Reply(Vec::new())));
    }
}

#[test]
fn devices_that_cannot_be() {
    refused("no PCI device", on(DEVICE_INFO, |_| Reply(words(&[16, 0b1, 9, 3]))));
    refused(
        "4294967295 regions",
        on(DEVICE_INFO, |_| Reply(words(&[16, 0b11, u32::MAX, 3]))),
    );
    refused(
        "4294967295 kinds of interrupts",
        on(DEVICE_INFO, |_| Reply(words(&[16, 0b11, 9, u32::MAX]))),
    );
    refused("DEVICE_GET_INFO: the peer refused", on(DEVICE_INFO, |_| Error(5)));
    refused(
        "4294967295 interrupts by INTx",
        on(IRQ_INFO, |asked| Reply(words(&[16, 1, asked.word(8), u32::MAX]))),
    );
    refused("no configuration space", on(REGION_INFO, |_| Error(22)));
    refused("no whole answer within 200ms", on_region(8, || Silence));
    refused(
        "region 3: DEVICE_GET_REGION_INFO: the peer closed the connection",
        on_region(3, || Close),
    );
}

#[test]
fn regions_that_lie() {
    let info = |index, size| move || Reply(region_info(index, 0b11, size, &[]));
    refused("region 0: BAR0 of 0x1001 bytes", on_region(0, info(0, 0x1001)));
    refused("BAR0 of 0x8000000000000000 bytes", on_region(0, info(0, 1 << 63)));
    refused(
        "configuration space of 0xffffffffffffffff bytes",
        on_region(7, info(7, u64::MAX)),
    );
    refused("ROM of 0x40000000 bytes", on_region(6, info(6, 1 << 30)));
    refused("an answer for region 3", on_region(2, info(3, 0x1000)));
    refused(
        "region 9: OpRegion of 0x10000000 bytes",
        on_region(9, || {
            Reply(region_info(9, 1, 1 << 28, &[2 | 1 << 16, 0, 0x8000_8086, 1]))
        }),
    );
    refused("region 10: a second OpRegion", |asked| match asked.command {
        DEVICE_INFO => Some(Reply(words(&[16, 0b11, 11, 3]))),
        REGION_INFO if asked.word(8) == 10 => Some(Reply(region_info(10, 1, 256, &[2 | 1 << 16, 0, 0x8000_8086, 1]))),
        _ => None,
    });
    refused(
        "more than 16 capabilities",
        on_region(7, || {
            let caps: Vec<u32> = (1..40).flat_map(|place| [99, 32 + 16 * place, 0, 0]).collect();
            Reply(region_info(7, 0b11, 256, &caps))
        }),
    );
    refused(
        "a capability at 0x20",
        on_region(7, || Reply(region_info(7, 0b11, 256, &[99, 32, 0, 0]))),
    );
    refused(
        "a capability at 0xfffffff0",
        on_region(7, || Reply(region_info(7, 0b11, 256, &[99, 0xffff_fff0, 0, 0]))),
    );
}

#[test]
fn areas_that_lie() {
    let lies: [(&str, &[(u64, u64)]); 7] = [
        ("overlaps", &[(0, 0x2000), (0x1000, 0x1000)]),
        ("overlaps", &[(0x1000, 0x1000), (0x1000, 0x1000)]),
        ("beyond the region's 0x4000 bytes", &[(0x4000, 0x1000)]),
        ("beyond the region's 0x4000 bytes", &[(0, 0x5000)]),
        ("beyond the region's 0x4000 bytes", &[(0x1000, 0xffff_ffff_ffff_f000)]),
        ("not made of whole pages", &[(0x800, 0x1000)]),
        ("not made of whole pages", &[(0, 0)]),
    ];
    for (cause, areas) in lies {
        let file = memory(BAR_LEN);
        refused(cause, on_region(0, move || With(bar(areas), vec![file.as_raw_fd()])));
    }
    let file = memory(BAR_LEN);
    refused(
        "4294967295 mappable areas",
        on_region(0, move || {
            let caps = [1 | 1 << 16, 0, u32::MAX, 0];
            With(region_info(0, 0b111, BAR_LEN, &caps), vec![file.as_raw_fd()])
        }),
    );
}

#[test]
fn descriptors_that_are_not_what_was_promised() {
    refused("no descriptor came along", on_region(0, || Reply(bar(&[(0, 0x1000)]))));
    refused(
        "no descriptor came along",
        on_region(0, || Reply(region_info(0, 0b111, BAR_LEN, &[]))),
    );
    let short = memory(0x3000);
    refused(
        "a file of 0x3000 bytes",
        on_region(0, move || With(bar(&[(0, 0x4000)]), vec![short.as_raw_fd()])),
    );
    let file = memory(BAR_LEN);
    refused(
        "more than one descriptor",
        on_region(0, move || With(bar(&[(0, 0x4000)]), vec![file.as_raw_fd(); 3])),
    );
    let file = memory(BAR_LEN);
    refused(
        "offset 0x123",
        on_region(0, move || {
            let mut info = bar(&[(0, 0x1000)]);
            info[24..32].copy_from_slice(&0x123_u64.to_le_bytes());
            With(info, vec![file.as_raw_fd()])
        }),
    );
}

#[test]
fn what_is_not_memory_is_not_mapped() {
    let (pipe, _other) = std::io::pipe().unwrap();
    let peer = Peer::new(on_region(0, move || With(bar(&[(0, 0x1000)]), vec![pipe.as_raw_fd()])));
    let host = peer.connect().unwrap();
    assert!(host.region(RegionKind::Bar(0)).unwrap().mappable.is_empty());
    assert!(host.map(RegionKind::Bar(0), Extent::new(0, 0x1000)).is_err());
}

/// Reads from a peer that breaks the protocol by it: lost for good, at once, for everybody.
fn lost(cause: &str, command: u16, answer: impl Fn(&Question) -> Answer + Send + 'static) {
    let peer = Peer::new(on(command, answer));
    let host = peer.connect().unwrap();
    let lost = host.lost().unwrap();
    assert!(lost.read().is_err());
    let mut data = [0; 4];
    let error = timed(cause, || match command {
        READ => host.read(RegionKind::Config, 0, &mut data),
        _ => host.write(RegionKind::Config, 0, &data),
    });
    let error = error.expect_err(cause);
    assert!(matches!(error, HostError::Lost { .. }), "{error}");
    assert!(error.to_string().contains(cause), "`{cause}` is not in: {error}");
    assert_eq!(lost.read().unwrap(), 1);
    // From now on without waiting for anybody.
    let start = Instant::now();
    let trigger = EventFd::new(EFD_NONBLOCK).unwrap();
    let dma = DmaMemory {
        iova: 0,
        len: 0x1000,
        hva: 0,
        file: &peer.memory,
        offset: 0,
    };
    let outcomes = [
        host.read(RegionKind::Bar(0), 0, &mut data),
        host.write(RegionKind::Bar(0), 0, &data),
        host.map(RegionKind::Bar(0), Extent::new(0, 0x1000)).map(drop),
        host.enable_interrupt(InterruptKind::Msi, &[&trigger]),
        host.disable_interrupt(InterruptKind::Msi),
        host.mask_intx(),
        host.unmask_intx(),
        host.set_intx_resample(&trigger),
        host.reset(),
        host.map_dma(&dma),
        host.unmap_dma(0, 0x1000),
        probe(&host, MachineFacts::default())
            .map(drop)
            .map_err(|_| HostError::Lost {
                device: String::new(),
                reason: cause.into(),
            }),
    ];
    for outcome in outcomes {
        let again = outcome.expect_err(cause);
        assert!(
            matches!(again, HostError::Lost { .. }) && again.to_string().contains(cause),
            "{again}"
        );
    }
    assert!(
        start.elapsed() < Duration::from_millis(100),
        "{cause}: {:?}",
        start.elapsed()
    );
}

#[test]
fn one_breach_ends_it() {
    lost("no whole answer within 200ms", READ, |_| Silence);
    lost("no whole answer within 200ms", WRITE, |_| Silence);
    lost("no whole answer within 200ms", READ, |_| Trickle(vec![0; 20]));
    lost("closed the connection", READ, |_| Close);
    lost("closed the connection", WRITE, |_| Close);
    lost("a message of 4294967295 bytes", READ, |asked| {
        raw(asked, u32::MAX, 1, vec![0; 64])
    });
    lost("a message of 37 bytes", READ, |asked| raw(asked, 37, 1, vec![0; 21]));
    lost("a reply to message", READ, |asked| Raw {
        id: asked.id ^ 0x8000,
        command: READ,
        size: 36,
        flags: 1,
        body: vec![0; 20],
    });
    lost("which is no reply", READ, |asked| raw(asked, 36, 0, vec![0; 20]));
    lost("an answer for another place", READ, |asked| {
        let mut body = asked.body.clone();
        body[0] = 8;
        Reply([body, vec![0; 4]].concat())
    });
    lost("an answer for 4 of 4 bytes, with 2", READ, |asked| {
        Reply([asked.body.clone(), vec![0; 2]].concat())
    });
    lost("an answer for 9 of 4 bytes", READ, |asked| {
        let mut body = asked.body.clone();
        body[12] = 9;
        Reply([body, vec![0; 4]].concat())
    });
    lost("an answer of 0 bytes", READ, |_| Reply(Vec::new()));
    lost("a message of 36 bytes, 16 to 32 are possible", WRITE, |asked| {
        Reply(asked.body.clone())
    });
}

#[test]
fn an_answer_that_ends_in_its_middle_is_none() {
    for len in [1, 15, 16, 31, 35] {
        lost("the peer closed the connection", READ, move |asked| {
            Cut([asked.body.clone(), vec![0; 4]].concat(), len)
        });
    }
    // The peer stays, but the rest does not come.
    lost("REGION_READ: no whole answer", READ, |asked| {
        raw(asked, 36, 1, vec![0; 10])
    });
    for len in [1, 16, 40] {
        refused(
            "region 7: DEVICE_GET_REGION_INFO: the peer closed the connection",
            on_region(7, move || Cut(region_info(7, 0b11, 256, &[]), len)),
        );
    }
    // In the middle of a read that takes several messages.
    let peer = Peer::new(|asked| (asked.command == READ && asked.body[0] == 0x20).then_some(Close));
    let host = peer.connect().unwrap();
    let error = host.read(RegionKind::Bar(0), 0, &mut [0; 64]).unwrap_err();
    assert!(matches!(error, HostError::Lost { .. }), "{error}");
}

#[test]
fn a_refusal_is_an_error_and_not_the_end() {
    let peer = Peer::new(|asked| match asked.command {
        READ if asked.word(8) == 0 => Some(Error(5)),
        READ if asked.word(8) == 9 => {
            let mut body = asked.body.clone();
            body[12..16].copy_from_slice(&100_u32.to_le_bytes());
            Some(Reply([body, vec![0; 100]].concat()))
        }
        WRITE => Some(Error(0)),
        SET_IRQS => Some(Error(95)),
        _ => None,
    });
    let host = peer.connect().unwrap();
    for _ in 0..3 {
        let error = timed("error reply", || host.read(RegionKind::Bar(0), 0x10, &mut [0; 4])).unwrap_err();
        assert!(matches!(error, HostError::Access { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("0x10 of BAR0: the peer refused: Input/output error"),
            "{error}"
        );
    }
    let error = host.read(RegionKind::OpRegion, 0, &mut [0; 0x2000]).unwrap_err();
    assert!(error.to_string().contains("moved 100 of 4096 bytes"), "{error}");
    assert!(matches!(
        host.write(RegionKind::Config, 0, &[0]),
        Err(HostError::Access { .. })
    ));
    let error = host.mask_intx().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("masking INTx: the peer refused: Operation not supported"),
        "{error}"
    );
    host.read(RegionKind::Config, 0, &mut [0; 4]).unwrap();
    assert!(host.lost().unwrap().read().is_err());
}

#[test]
fn a_peer_that_leaves_is_noticed_without_asking() {
    let peer = Peer::new(on(SET_IRQS, |_| Close));
    let host = peer.connect().unwrap();
    let _ = host.mask_intx();
    let end = Instant::now() + SLACK;
    while host.lost().unwrap().read().is_err() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }

    let folder = TempDir::new().unwrap();
    let path = folder.as_path().join("peer.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let memory = memory(BAR_LEN);
        // VERSION, DEVICE_GET_INFO, 10 regions, 3 kinds of interrupts.
        for _ in 0..15 {
            let question = receive(&mut stream).unwrap();
            let answer = honest(&question, &memory);
            send(&mut stream, &question, answer).unwrap();
        }
    });
    let host = VfioUserHost::connect(&path, DEADLINE).unwrap();
    server.join().unwrap();
    let end = Instant::now() + SLACK;
    while host.lost().unwrap().read().is_err() {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    let error = host.read(RegionKind::Config, 0, &mut [0; 4]).unwrap_err();
    assert!(matches!(&error, HostError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("closed the connection"), "{error}");
}

#[test]
fn waiters_for_one_answer_are_told_together() {
    let peer = Peer::new(on(READ, |_| Silence));
    let host = peer.connect().unwrap();
    timed("four readers", || {
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| host.read(RegionKind::Config, 0, &mut [0; 4])))
                .collect();
            for reader in readers {
                assert!(matches!(reader.join().unwrap(), Err(HostError::Lost { .. })));
            }
        });
    });
}

#[test]
fn a_truncated_file_behind_a_mapping_is_survived() {
    let peer = Peer::new(|_| None);
    let host = peer.connect().unwrap();
    let mapping = host.map(RegionKind::Bar(0), Extent::new(0x2000, 0x2000)).unwrap();
    let at = |offset: u64| std::ptr::without_provenance_mut::<u8>(usize::try_from(mapping.hva() + offset).unwrap());
    let before = igd_vmm::fault::count();
    // SAFETY: within a mapping that is alive and under guard.
    #[expect(unsafe_code, reason = "touches what a guest would")]
    let seen = unsafe {
        at(0).write_volatile(7);
        let first = at(0).read_volatile();
        peer.memory.set_len(0).unwrap();
        at(0x1001).write_volatile(1);
        [
            first,
            at(0).read_volatile(),
            at(0x1000).read_volatile(),
            at(0x1001).read_volatile(),
        ]
    };
    assert_eq!(seen, [7, 0xff, 0xff, 1]);
    assert!(igd_vmm::fault::count() >= before + 2);
    // The file stays empty, and new mappings are of nothing.
    assert_eq!(peer.memory.metadata().unwrap().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Any bytes for an answer, of a size that fits their header: an error or a device, never a wait.
    #[test]
    fn garbage_never_hangs(
        victim in prop::sample::select(vec![VERSION, DEVICE_INFO, REGION_INFO, IRQ_INFO, READ, WRITE]),
        body in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..120),
        flags in prop_oneof![9 => Just(1_u32), 1 => any::<u32>()],
    ) {
        let peer = Peer::new(on(victim, move |asked| {
            raw(asked, u32::try_from(16 + body.len()).unwrap(), flags, body.clone())
        }));
        timed("garbage", || {
            if let Ok(host) = peer.connect() {
                let mut data = [0; 64];
                let _ = host.read(RegionKind::Config, 0, &mut data);
                let _ = host.write(RegionKind::Config, 0, &data);
            }
        });
    }
}
