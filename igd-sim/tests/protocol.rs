// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The server against clients, well-behaved and not.
#![cfg(feature = "server")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails is a test that fails"
)]

mod common;

use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{
    Client, DMA_MAP, DMA_UNMAP, GET_INFO, GET_IRQ_INFO, GET_REGION_INFO, REGION_READ, RESET, SET_IRQS, VERSION, word,
    words,
};
use igd_sim::server::{BindError, Listener, ServeError};
use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

const EINVAL: u32 = 22;
const CONFIG: u32 = 7;

fn region_info(client: &mut Client, index: u32, argsz: u32) -> common::Answer {
    client.call(GET_REGION_INFO, &words(&[argsz, 0, index, 0, 0, 0, 0, 0]))
}

#[test]
fn the_older_of_two_versions_is_spoken() {
    for (theirs, spoken) in [(0, 0), (1, 1), (7, 1)] {
        let mut client = Client::connect("kbl", Duration::from_secs(5), |_| {});
        let answer = client.call(VERSION, &[0, 0, theirs, 0]);
        assert_eq!((answer.error, &answer.body[..4]), (0, &[0, 0, spoken, 0][..]));
        let text = std::str::from_utf8(&answer.body[4..]).unwrap().trim_end_matches('\0');
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(value["capabilities"]["max_msg_fds"], 8);
        assert_eq!(client.leave().unwrap().messages, 1);
    }
}

#[test]
fn nothing_comes_before_the_version() {
    let mut client = Client::connect("kbl", Duration::from_secs(5), |_| {});
    assert_eq!(client.call(GET_INFO, &words(&[16, 0, 0, 0])).error, EINVAL);
    assert!(matches!(client.outlast(), Err(ServeError::NoVersion { command: 4 })));
    let mut client = Client::connect("kbl", Duration::from_secs(5), |_| {});
    assert_eq!(client.call(VERSION, &[1, 0, 0, 0]).error, EINVAL);
    assert!(matches!(client.outlast(), Err(ServeError::NoVersion { command: 1 })));
    let mut client = Client::greeted("kbl", |_| {});
    assert_eq!(client.call(VERSION, &[0, 0, 0, 0]).error, EINVAL, "once");
    client.leave().unwrap();
}

#[test]
fn regions_are_those_of_vfio() {
    let mut client = Client::greeted("kbl", |_| {});
    let info = client.call(GET_INFO, &words(&[16, 0, 0, 0])).body;
    assert_eq!([0, 1, 2, 3].map(|at| word(&info, at)), [16, 3, 12, 5]);
    let sizes: [u32; 12] = [
        16 << 20,
        0,
        256 << 20,
        0,
        64,
        0,
        0x2_0000,
        256,
        0xc_0000,
        0x4000,
        256,
        256,
    ];
    for (index, size) in (0..).zip(sizes) {
        let body = region_info(&mut client, index, 32).body;
        assert_eq!(
            (body.len(), word(&body, 2), word(&body, 4), word(&body, 5)),
            (32, index, size, 0),
            "{index}"
        );
        let expected = match index {
            0 | 2 => 0b1111,
            4 | 7 | 8 => 0b0011,
            6 => 0b0001,
            9.. => 0b1001,
            _ => 0,
        };
        assert_eq!(word(&body, 1), expected, "{index}");
    }
    for (index, subtype) in [(9, 1), (10, 2), (11, 3)] {
        let short = region_info(&mut client, index, 32).body;
        assert_eq!(
            (word(&short, 0), word(&short, 3)),
            (48, 32),
            "where the list will be is said at once"
        );
        let whole = region_info(&mut client, index, 48).body;
        assert_eq!(
            [8, 9, 10, 11].map(|at| word(&whole, at)),
            [0x1_0002, 0, 0x8000_8086, subtype]
        );
    }
    assert_eq!(region_info(&mut client, 12, 32).error, EINVAL);
    assert_eq!(region_info(&mut client, u32::MAX, 32).error, EINVAL);
    client.leave().unwrap();
}

#[test]
fn bars_are_mapped_except_what_answers() {
    let mut client = Client::greeted("kbl", |_| {});
    let need = word(&region_info(&mut client, 0, 32).body, 0);
    let answer = region_info(&mut client, 0, need);
    let registers = answer.file.unwrap();
    let count = usize::try_from(word(&answer.body, 10)).unwrap();
    assert_eq!(word(&answer.body, 8), 0x1_0001);
    let areas: Vec<(u32, u32)> = (0..count)
        .map(|area| (word(&answer.body, 12 + 4 * area), word(&answer.body, 14 + 4 * area)))
        .collect();
    assert!(
        areas
            .iter()
            .all(|(start, len)| !(*start..start + len).contains(&0x10_8040))
    );
    assert!(
        areas
            .iter()
            .any(|(start, len)| (*start..start + len).contains(&0x80_0000))
    );
    let aperture = region_info(&mut client, 2, 64).file.unwrap();
    assert_eq!(aperture.metadata().unwrap().len(), 256 << 20);
    aperture.write_all_at(&[1, 2, 3, 4], 0x0abc_def0).unwrap();
    assert_eq!(
        client.read(2, 0x0abc_def0, 4),
        Ok(vec![1, 2, 3, 4]),
        "one memory, two ways"
    );
    client.write32(0, 0x80_0000, 0x1234_5001);
    let mut entry = [0; 4];
    registers.read_exact_at(&mut entry, 0x80_0000).unwrap();
    assert_eq!(entry, 0x1234_5001_u32.to_le_bytes());
    for file in [&registers, &aperture] {
        assert!(file.set_len(0).is_err() && file.set_len(1 << 40).is_err(), "sealed");
    }
    client.leave().unwrap();
    let mut client = Client::greeted("kbl", |options| options.shared = false);
    let answer = region_info(&mut client, 0, 4096);
    assert!(answer.file.is_none() && word(&answer.body, 1) == 3);
    client.leave().unwrap();
}

#[test]
fn accesses_are_exact_or_an_error() {
    let mut client = Client::greeted("tgl", |_| {});
    assert_eq!(client.read(CONFIG, 0, 4), Ok(vec![0x86, 0x80, 0x49, 0x9a]));
    assert_eq!(client.read(CONFIG, 0, 256).unwrap().len(), 256);
    assert_eq!(client.read(9, 0, 16), Ok(b"IntelGraphicsMem".to_vec()));
    assert_eq!(client.read(CONFIG, 0, 0), Ok(vec![]));
    assert_eq!(client.read(CONFIG, 256, 4), Err(EINVAL));
    assert_eq!(client.read(CONFIG, u64::MAX, 4), Err(EINVAL));
    assert_eq!(
        client.read(CONFIG, 0, u32::MAX),
        Err(EINVAL),
        "no memory for what is only announced"
    );
    assert_eq!(client.read(1, 0, 4), Err(EINVAL));
    assert_eq!(client.read(12, 0, 4), Err(EINVAL));
    assert_eq!(client.write(9, 0, &[0]), EINVAL, "read-only");
    assert_eq!(client.write(CONFIG, 254, &[0; 4]), EINVAL);
    assert_eq!(
        client.call(10, &words(&[0, 0, CONFIG, 8, 1])).error,
        EINVAL,
        "four bytes announced as eight"
    );
    for command in [
        REGION_READ,
        10,
        DMA_MAP,
        DMA_UNMAP,
        GET_INFO + 1,
        GET_IRQ_INFO,
        SET_IRQS,
    ] {
        assert_eq!(client.call(command, &[0; 3]).error, EINVAL, "command {command}");
    }
    for command in [0, 6, 11, 12, 15, 16, 999] {
        assert_eq!(client.call(command, &[0; 64]).error, 95, "command {command}");
    }
    let statistics = client.leave().unwrap();
    assert_eq!(statistics.messages, 1 + 12 + 7 + 7);
    assert_eq!(statistics.refused, 8 + 7 + 7);
}

#[test]
fn a_message_that_wants_no_reply_gets_none() {
    let mut client = Client::greeted("kbl", |_| {});
    let mut body = 0xfc_u64.to_le_bytes().to_vec();
    body.extend_from_slice(&words(&[CONFIG, 4, 0x1fff_c000]));
    client.send(10, 0x10, &body, &[]);
    client.send(999, 0x10, &[], &[]);
    assert_eq!(client.read(CONFIG, 0xfc, 4), Ok(0x1fff_c000_u32.to_le_bytes().to_vec()));
    client.leave().unwrap();
}

#[test]
fn memory_for_dma_is_counted_and_never_overlaps() {
    let mut client = Client::greeted("kbl", |_| {});
    let map = |address: u64, size: u64| {
        let mut body = words(&[32, 3]);
        for value in [0, address, size] {
            body.extend_from_slice(&value.to_le_bytes());
        }
        body
    };
    let unmap = |flags: u32, address: u64, size: u64| {
        let mut body = words(&[24, flags]);
        body.extend_from_slice(&address.to_le_bytes());
        body.extend_from_slice(&size.to_le_bytes());
        body
    };
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(client.call_with(DMA_MAP, &map(0, 0xa_0000), &[file.as_fd()]).error, 0);
    assert_eq!(client.call(DMA_MAP, &map(0x10_0000, 0x1000)).error, 0);
    assert_eq!(client.call(DMA_MAP, &map(0x9_f000, 0x2000)).error, 17);
    assert_eq!(client.call(DMA_MAP, &map(u64::MAX, 0x2000)).error, EINVAL);
    assert_eq!(
        client
            .call_with(DMA_MAP, &map(0x20_0000, 0x1000), &[file.as_fd(), file.as_fd()])
            .error,
        EINVAL
    );
    let answer = client.call(DMA_UNMAP, &unmap(0, 0, 0xa_0000));
    assert_eq!((answer.error, answer.body.len()), (0, 24));
    assert_eq!(
        client.call(DMA_UNMAP, &unmap(0, 0, 0xa_0000)).error,
        0,
        "nothing there is nothing wrong"
    );
    assert_eq!(client.call(DMA_UNMAP, &unmap(1, 0x10_0000, 0x1000)).error, EINVAL);
    assert_eq!(client.call(DMA_UNMAP, &unmap(2, 0, 0)).error, 0);
    assert_eq!(client.call(RESET, &[]).error, 0);
    let statistics = client.leave().unwrap();
    assert_eq!(
        (statistics.dma_maps, statistics.dma_unmaps, statistics.resets),
        (2, 3, 1)
    );
}

/// Raises the interrupt of the test page, and gives what the eventfd counted.
fn ring(client: &mut Client, file: &std::fs::File) -> u64 {
    client.write32(0, 0x7f_f000, 1);
    count(file)
}

fn count(mut file: &std::fs::File) -> u64 {
    let mut value = [0; 8];
    match std::io::Read::read(&mut file, &mut value) {
        Ok(_) => u64::from_ne_bytes(value),
        Err(_) => 0,
    }
}

#[test]
fn interrupts_reach_the_eventfd_they_belong_to() {
    let mut client = Client::greeted("kbl", |options| options.test_page = true);
    for (index, flags, number) in [(0, 7, 1), (1, 9, 1), (2, 9, 0), (3, 9, 1), (4, 9, 1)] {
        let body = client.call(GET_IRQ_INFO, &words(&[16, 0, index, 0])).body;
        assert_eq!([1, 2, 3].map(|at| word(&body, at)), [flags, index, number]);
    }
    assert_eq!(client.call(GET_IRQ_INFO, &words(&[16, 0, 5, 0])).error, EINVAL);
    let [pin, message] =
        [(); 2].map(|()| std::fs::File::from(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()));
    let set = |flags: u32, index: u32, count: u32| words(&[20, flags, index, 0, count]);
    assert_eq!(client.call_with(SET_IRQS, &set(0x24, 0, 1), &[pin.as_fd()]).error, 0);
    assert_eq!(
        client.call_with(SET_IRQS, &set(0x24, 1, 1), &[message.as_fd()]).error,
        0
    );
    assert_eq!((ring(&mut client, &pin), count(&message)), (1, 0));
    assert_eq!(ring(&mut client, &pin), 0, "masked by firing");
    assert_eq!(client.call(SET_IRQS, &set(0x11, 0, 1)).error, 0);
    assert_eq!(count(&pin), 1, "still asserted when unmasked");
    client.write32(0, 0x7f_f004, 0);
    assert_eq!(client.call(SET_IRQS, &set(0x11, 0, 1)).error, 0);
    assert_eq!(count(&pin), 0);
    assert_eq!(client.write(CONFIG, 4, &[0, 4]), 0);
    assert_eq!(ring(&mut client, &pin), 0, "disabled");
    assert_eq!(client.write(CONFIG, 4, &[0, 0]), 0);
    assert_eq!(count(&pin), 1, "rises when it is enabled");
    client.write32(0, 0x7f_f004, 0);
    assert_eq!(client.write(CONFIG, 0xae, &[1, 0]), 0);
    assert_eq!((ring(&mut client, &message), count(&pin)), (1, 0));
    assert_eq!(ring(&mut client, &message), 1, "messages mask nothing");
    assert_eq!(client.call(SET_IRQS, &set(0x21, 1, 1)).error, 0);
    assert_eq!(count(&message), 1, "a client may ring by itself");
    assert_eq!(client.call(SET_IRQS, &set(0x21, 1, 0)).error, 0);
    assert_eq!(ring(&mut client, &message), 0, "taken away");
    for (flags, index, number) in [
        (0x25, 1, 1),
        (0x24, 2, 1),
        (0x24, 9, 1),
        (0x24, 1, 2),
        (0x20, 1, 1),
        (0x09, 1, 1),
        (0x11, 0, 0),
        (0x24, 1, u32::MAX),
    ] {
        assert_eq!(
            client.call(SET_IRQS, &set(flags, index, number)).error,
            EINVAL,
            "{flags:#x} {index} {number}"
        );
    }
    client.leave().unwrap();
}

#[test]
fn an_eventfd_that_takes_no_more_does_not_stop_the_server() {
    let mut client = Client::greeted("kbl", |options| options.test_page = true);
    let (_reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while std::io::Write::write(&mut &writer, &[0; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    assert_eq!(
        client
            .call_with(SET_IRQS, &words(&[20, 0x24, 0, 0, 1]), &[writer.as_fd()])
            .error,
        0
    );
    client.write32(0, 0x7f_f000, 1);
    client.leave().unwrap();
}

#[test]
fn the_test_page_reaches_the_memory_it_was_given() {
    let mut client = Client::greeted("kbl", |options| options.test_page = true);
    let path = std::env::temp_dir().join(format!("igd-sim-dma-{}", std::process::id()));
    let ram = std::fs::File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    ram.set_len(0x4000).unwrap();
    let mut body = words(&[32, 3]);
    for value in [0x1000_u64, 0x10_0000, 0x3000] {
        body.extend_from_slice(&value.to_le_bytes());
    }
    assert_eq!(client.call_with(DMA_MAP, &body, &[ram.as_fd()]).error, 0);
    let mut transfer = |address: u32, len: u32, order: u32| {
        client.write32(0, 0x7f_f008, address);
        client.write32(0, 0x7f_f010, len);
        client.write32(0, 0x7f_f014, order);
        word(&client.read(0, 0x7f_f018, 4).unwrap(), 0)
    };
    assert_eq!(transfer(0x10_0ffe, 0x1004, 1), 0);
    let mut bytes = [0; 0x1006];
    ram.read_exact_at(&mut bytes, 0x1ffd).unwrap();
    assert_eq!(
        (bytes[0], bytes[1], bytes[2], bytes[0x1004], bytes[0x1005]),
        (0, 0, 1, 3, 0)
    );
    assert_eq!(transfer(0x10_0ffe, 0x1004, 2), 0);
    for (address, len) in [(0xf_ffff, 1), (0x10_2fff, 2), (0x10_0000, u32::MAX), (0, 4)] {
        assert_eq!(transfer(address, len, 1), 1, "{address:#x}");
    }
    assert_eq!(client.read(2, 0, 4), Ok(vec![0, 1, 2, 3]));
    assert_eq!(client.read(0, 0x7f_f01c, 4), Ok(0x1abf_ee1d_u32.to_le_bytes().to_vec()));
    client.leave().unwrap();
}

#[test]
fn sizes_that_cannot_be_end_the_connection() {
    for size in [0, 15, (1 << 20) + 33, u32::MAX] {
        let mut client = Client::greeted("kbl", |_| {});
        let message = client.header(REGION_READ, size, 0);
        client.raw(&message);
        assert!(matches!(client.outlast(), Err(ServeError::MessageSize { size: found }) if found == size));
    }
    let mut client = Client::greeted("kbl", |_| {});
    assert_eq!(client.write(2, 0, &vec![7; 1 << 20]), 0, "the largest there is");
    client.leave().unwrap();
}

#[test]
fn leaving_in_a_message_is_told_from_leaving_between_two() {
    for cut in [1, 15, 16, 31] {
        let mut client = Client::greeted("kbl", |_| {});
        let mut message = client.header(REGION_READ, 32, 0);
        message.extend_from_slice(&[0; 16]);
        client.raw(&message[..cut]);
        assert!(
            matches!(client.leave(), Err(ServeError::Truncated { got, .. }) if got == cut),
            "{cut}"
        );
    }
    assert_eq!(Client::greeted("kbl", |_| {}).leave().unwrap().messages, 1);
}

#[test]
fn a_stall_ends_and_silence_between_messages_does_not() {
    let mut client = Client::connect("kbl", Duration::from_millis(150), |_| {});
    assert_eq!(client.call(VERSION, &[0; 4]).error, 0);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.read(CONFIG, 0, 2), Ok(vec![0x86, 0x80]));
    let message = client.header(REGION_READ, 32, 0);
    client.raw(&message);
    let began = Instant::now();
    // A byte now and then does not count as progress.
    for _ in 0..10 {
        client.raw(&[0]);
        std::thread::sleep(Duration::from_millis(30));
    }
    assert!(matches!(client.outlast(), Err(ServeError::Stalled { wanted: 32, .. })));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_client_that_never_reads_is_left() {
    let mut client = Client::connect("kbl", Duration::from_millis(200), |_| {});
    assert_eq!(client.call(VERSION, &[0; 4]).error, 0);
    for _ in 0..4 {
        let mut body = 0_u64.to_le_bytes().to_vec();
        body.extend_from_slice(&words(&[2, 1 << 20]));
        let mut message = client.header(REGION_READ, 32, 0);
        message.extend_from_slice(&body);
        client.raw(&message);
    }
    assert!(matches!(client.outlast(), Err(ServeError::Stalled { .. })));
}

#[test]
fn replies_and_descriptors_nobody_asked_for_are_refused() {
    let mut client = Client::greeted("kbl", |_| {});
    client.send(REGION_READ, 1, &[0; 16], &[]);
    assert!(matches!(client.outlast(), Err(ServeError::NotACommand { flags: 1 })));
    let mut client = Client::greeted("kbl", |_| {});
    let file = std::fs::File::open("/dev/null").unwrap();
    let many = [file.as_fd(); 20];
    assert_eq!(client.call_with(RESET, &[], &many).error, EINVAL);
    assert_eq!(
        client.call_with(RESET, &[], &many[..8]).error,
        0,
        "not needed, and closed"
    );
    client.leave().unwrap();
}

#[test]
fn a_server_stops_between_messages_when_told() {
    let client = Client::greeted("kbl", |_| {});
    client.stop.store(true, Ordering::Relaxed);
    assert_eq!(client.outlast().unwrap().messages, 1);
}

#[test]
fn faults_reach_the_wire() {
    let fault = |text: &str| Client::greeted("kbl", |options| options.faults.push(text.parse().unwrap()));
    let mut short = fault("short=opregion");
    assert_eq!(short.read(9, 0, 16).unwrap().len(), 8);
    short.leave().unwrap();
    let mut error = fault("error=config@0x50");
    assert_eq!(error.read(CONFIG, 0x50, 4), Err(5));
    error.leave().unwrap();
    let mut missing = fault("missing=host-bridge");
    assert_eq!(word(&missing.call(GET_INFO, &words(&[16, 0, 0, 0])).body, 2), 11);
    let whole = region_info(&mut missing, 10, 48).body;
    assert_eq!(word(&whole, 11), 3, "the ISA bridge takes its index");
    missing.leave().unwrap();
    let mut slow = fault("slow=30");
    let began = Instant::now();
    slow.read(CONFIG, 0, 4).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(30));
    slow.leave().unwrap();
    let mut gone = fault("disconnect=2");
    gone.read(CONFIG, 0, 4).unwrap();
    gone.send(REGION_READ, 0, &[0; 16], &[]);
    assert!(matches!(gone.outlast(), Err(ServeError::Injected { after: 2 })));
}

#[test]
fn a_socket_is_replaced_only_if_nobody_listens() {
    let path = std::env::temp_dir().join(format!("igd-sim-bind-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    drop(UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&path).unwrap();
    assert!(matches!(Listener::bind(&path), Err(BindError::InUse { .. })));
    let _client = UnixStream::connect(&path).unwrap();
    drop(listener);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(Listener::bind(&path), Err(BindError::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bytes that are no messages, and messages with bodies that are none.
    #[test]
    fn garbage_ends_at_most_its_connection(
        greet in any::<bool>(),
        messages in proptest::collection::vec(
            (0_u16..18, proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(0xff), any::<u8>()], 0..64)), 0..12),
        tail in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut client = Client::connect("tgl", Duration::from_millis(500), |options| options.test_page = true);
        if greet {
            assert_eq!(client.call(VERSION, &[0; 4]).error, 0);
        }
        for (command, body) in messages {
            let mut message = client.header(command, u32::try_from(body.len() + 16).unwrap(), 0x10);
            message.extend_from_slice(&body);
            client.raw(&message);
        }
        client.raw(&tail);
        // Ends without a panic, whatever it says.
        let _ = client.leave();
    }
}
