// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The client against peers that stall, leave, or talk nonsense.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use igd_conformance::subject::{MachineError, Refusal, Subject};
use igd_conformance::subjects::qtest::Qtest;
use igd_conformance::trace::{Space, Width};

use super::folder::{Folder, header};

/// Serves one connection; `answer` gets each line and the stream to answer on.
fn serve(path: &Path, mut answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        let mut seen = Vec::new();
        for line in BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            answer(&line, &mut stream);
            seen.push(line);
        }
        seen
    })
}

fn subject(text: &str) -> Qtest {
    text.parse::<Qtest>().unwrap().with_timeout(Duration::from_millis(300))
}

/// What a read of a port gives when the peer answers like this.
fn read_with(answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) -> (Result<u64, MachineError>, Vec<String>) {
    let folder = Folder::new();
    let socket = folder.path("qtest");
    let server = serve(&socket, answer);
    let subject = subject(socket.to_str().unwrap());
    let mut machine = subject.machine(&header()).unwrap();
    let result = machine.read(Space::Io, 0x510, Width::B2);
    drop(machine);
    (result, server.join().unwrap())
}

fn error_with(answer: impl FnMut(&str, &mut UnixStream) + Send + 'static) -> String {
    let started = Instant::now();
    let error = read_with(answer).0.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5), "{error}");
    error.0
}

#[test]
fn an_answer_is_read_past_interrupt_notices() {
    let (result, seen) = read_with(|_, stream| stream.write_all(b"IRQ raise 5\nIRQ lower 5\nOK 0x1234\n").unwrap());
    assert_eq!(result, Ok(0x1234));
    assert_eq!(seen, ["inw 0x510"]);
}

#[test]
fn a_peer_that_stalls_runs_into_the_deadline() {
    assert!(error_with(|_, _| {}).contains("no answer within"));
    // Bytes that trickle in do not extend it.
    let error = error_with(|_, stream| {
        for _ in 0..100 {
            if stream.write_all(b"O").is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(error.contains("no answer within"), "{error}");
    let error = error_with(|_, stream| while stream.write_all(b"IRQ raise 1\n").is_ok() {});
    assert!(error.contains("no answer within"), "{error}");
}

#[test]
fn a_peer_that_leaves_is_told_from_one_that_stalls() {
    let error = error_with(|_, stream| stream.shutdown(std::net::Shutdown::Both).unwrap());
    assert!(error.contains("closed the connection"), "{error}");
}

#[test]
fn a_line_has_a_greatest_length() {
    let error = error_with(|_, stream| while stream.write_all(&[b'O'; 4096]).is_ok() {});
    assert!(error.contains("line of more than"), "{error}");
    let error = error_with(|_, stream| {
        let _ = stream.write_all(&[&[b'O'; 100_000][..], b"\n"].concat());
    });
    assert!(error.contains("line of more than"), "{error}");
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for (answer, part) in [
        (
            "FAIL Unknown command 'inw'\n",
            "refused \"inw 0x510\": FAIL Unknown command",
        ),
        ("OK\n", "not with a number"),
        ("OK 0x12345\n", "not with a number"),
        ("OK 0x+1\n", "not with a number"),
        ("OK 12\n", "not with a number"),
        ("OK 0x12 0x34\n", "not with a number"),
        ("hello\n", "not with OK or FAIL"),
        ("\n", "not with OK or FAIL"),
        ("\u{fffd}\u{0}\n", "not with OK or FAIL"),
    ] {
        let error = error_with(move |_, stream| stream.write_all(answer.as_bytes()).unwrap());
        assert!(error.contains(part), "{answer:?}: {error}");
    }
}

#[test]
fn a_refusal_does_not_end_the_connection_but_silence_does() {
    let folder = Folder::new();
    let socket = folder.path("qtest");
    let server = serve(&socket, |line, stream| match line {
        "inb 0x1" => stream.write_all(b"FAIL\n").unwrap(),
        "inb 0x2" => stream.write_all(b"OK 0x22\n").unwrap(),
        _ => {}
    });
    let subject = subject(socket.to_str().unwrap());
    let mut machine = subject.machine(&header()).unwrap();
    assert!(machine.read(Space::Io, 1, Width::B1).is_err());
    assert_eq!(machine.read(Space::Io, 2, Width::B1), Ok(0x22));
    assert!(
        machine
            .read(Space::Io, 3, Width::B1)
            .unwrap_err()
            .0
            .contains("no answer")
    );
    assert!(
        machine
            .read(Space::Io, 2, Width::B1)
            .unwrap_err()
            .0
            .contains("out of step")
    );
    drop(machine);
    assert_eq!(server.join().unwrap(), ["inb 0x1", "inb 0x2", "inb 0x3"]);
}

#[test]
fn commands_are_those_of_the_protocol() {
    let folder = Folder::new();
    let socket = folder.path("qtest");
    let server = serve(&socket, |line, stream| {
        let answer = match line.split(' ').next().unwrap() {
            "inl" | "readq" => "OK 0x11223344\n".to_owned(),
            "read" if line.ends_with("0x2") => "OK 0xabCD\n".to_owned(),
            "read" => format!("OK 0x{}\n", "5a".repeat(4096)),
            "inb" => "OK 0x7f\n".to_owned(),
            _ => "OK\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let subject = subject(socket.to_str().unwrap());
    let mut machine = subject.machine(&header()).unwrap();
    assert_eq!(machine.read(Space::Cfg, 0xf8_40, Width::B4), Ok(0x1122_3344));
    machine.write(Space::Cfg, 0xf8_42, Width::B2, 0xffff_1234).unwrap();
    assert_eq!(machine.read(Space::Mem, 0xe000_0000, Width::B8), Ok(0x1122_3344));
    machine.write(Space::Mem, 0xe000_0000, Width::B8, 1).unwrap();
    let mut many = [0; 600];
    machine.read_string(0x511, Width::B1, &mut many).unwrap();
    assert_eq!(many, [0x7f; 600]);
    let mut bytes = vec![0; 4098];
    machine.ram_read(0x1000, &mut bytes).unwrap();
    assert_eq!((bytes[4095], &bytes[4096..]), (0x5a, &[0xab, 0xcd][..]));
    machine.ram_write(0x2000, &[1, 2, 3]).unwrap();
    machine.ram_fill(0x3000, 0x10, 0xee).unwrap();
    machine.step(1000).unwrap();

    // What would end QEMU, or what the protocol cannot say, is never sent.
    machine.read(Space::Io, 0x1_0000, Width::B1).unwrap_err();
    machine.read(Space::Io, 0x10, Width::B8).unwrap_err();
    machine.read(Space::Mem, u64::MAX, Width::B1).unwrap_err();
    machine.read(Space::Mem, (1 << 52) - 1, Width::B2).unwrap_err();
    machine.read(Space::Ram, 1 << 20, Width::B1).unwrap_err();
    machine.ram_read((1 << 20) - 1, &mut [0; 2]).unwrap_err();
    machine.ram_fill(0, u64::MAX, 0).unwrap_err();
    machine.write(Space::Cfg, 0x0100_0000, Width::B1, 0).unwrap_err();
    machine.write(Space::Cfg, 3, Width::B2, 0).unwrap_err();
    let error = machine.reset().unwrap_err().0;
    assert!(error.contains("qmp:SOCKET"), "{error}");
    assert!(
        machine
            .bar(pci_model::Bdf::default(), 0)
            .unwrap_err()
            .0
            .contains("qmp:SOCKET")
    );

    drop(machine);
    let seen = server.join().unwrap();
    let (batch, rest): (Vec<String>, Vec<String>) = seen.into_iter().partition(|line| line == "inb 0x511");
    assert_eq!(batch.len(), 600);
    assert_eq!(
        rest,
        [
            "outl 0xcf8 0x8000f840",
            "inl 0xcfc",
            "outl 0xcf8 0x8000f840",
            "outw 0xcfe 0x1234",
            "readq 0xe0000000",
            "writeq 0xe0000000 0x1",
            "read 0x1000 0x1000",
            "read 0x2000 0x2",
            "write 0x2000 0x3 0x010203",
            "memset 0x3000 0x10 0xee",
            "clock_step 1000",
        ]
    );
}

/// QMP of a machine with one function behind a bridge.
fn qmp(line: &str, stream: &mut UnixStream) {
    let answer = if line.contains("query-pci") {
        r#"{"event":"X"}
{"return":[{"bus":0,"devices":[{"bus":0,"slot":1,"function":0,"regions":[],"pci_bridge":{"devices":[
{"bus":1,"slot":2,"function":3,"regions":[
{"bar":0,"type":"memory","size":4096,"address":-1,"mem_type_64":true,"prefetch":false},
{"bar":2,"type":"memory","size":4096,"address":-4096,"mem_type_64":true,"prefetch":true},
{"bar":4,"type":"io","size":64,"address":49152}]}]}}]}]}"#
            .replace(",\"devices\":[\n", ",\"devices\":[")
            .replace("[\n", "[")
            .replace(",\n", ",")
            + "\n"
    } else if line.contains("system_reset") {
        "{\"return\":{}}\n{\"event\":\"STOP\"}\n{\"event\":\"RESET\"}\n".to_owned()
    } else {
        "{\"return\":{}}\n".to_owned()
    };
    stream.write_all(answer.as_bytes()).unwrap();
}

/// A QMP server: greeting, then answers.
fn serve_qmp(path: &Path, greeting: &'static str) -> JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let mut seen = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(greeting.as_bytes()).unwrap();
        for line in BufReader::new(stream.try_clone().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            qmp(&line, &mut stream);
            seen.push(line);
        }
        seen
    })
}

#[test]
fn qmp_tells_where_bars_are_and_resets() {
    let folder = Folder::new();
    let (socket, monitor) = (folder.path("qtest"), folder.path("qmp"));
    let server = serve(&socket, |_, stream| stream.write_all(b"OK 0x44\n").unwrap());
    let qmp_server = serve_qmp(&monitor, "{\"QMP\":{}}\n");
    let subject = subject(&format!("{},qmp:{}", socket.display(), monitor.display()));
    let mut machine = subject.machine(&header()).unwrap();
    let bdf = "01:02.3".parse().unwrap();
    assert_eq!(machine.bar(bdf, 0), Ok(None));
    assert_eq!(machine.bar(bdf, 2), Ok(Some(0xffff_ffff_ffff_f000)));
    assert_eq!(machine.bar(bdf, 4), Ok(Some(0xc000)));
    assert!(machine.bar(bdf, 5).unwrap_err().0.contains("has no BAR 5"));
    assert!(
        machine
            .bar("01:02.4".parse().unwrap(), 0)
            .unwrap_err()
            .0
            .contains("no function 01:02.4")
    );
    let probe = machine.probe(Space::Io, 0xc03f, Width::B1, bdf).unwrap();
    assert_eq!((probe.at, probe.value), (Some((4, 0x3f)), Some(0x44)));
    assert_eq!(machine.probe(Space::Io, 0xc040, Width::B1, bdf).unwrap().at, None);
    assert_eq!(machine.probe(Space::Mem, 0xc000, Width::B1, bdf).unwrap().at, None);
    machine.reset().unwrap();
    drop(machine);
    server.join().unwrap();
    let seen = qmp_server.join().unwrap();
    assert_eq!(seen.first().unwrap(), "{\"execute\":\"qmp_capabilities\"}");
    assert_eq!(seen.last().unwrap(), "{\"execute\":\"system_reset\"}");
}

#[test]
fn a_monitor_that_is_none_is_refused() {
    for greeting in ["hello\n", "{}\n", "[1]\n", ""] {
        let folder = Folder::new();
        let (socket, monitor) = (folder.path("qtest"), folder.path("qmp"));
        let server = serve(&socket, |_, _| {});
        let qmp_server = serve_qmp(&monitor, greeting);
        let subject = subject(&format!("{},qmp:{}", socket.display(), monitor.display()));
        assert!(
            matches!(subject.machine(&header()), Err(Refusal::Error(_))),
            "{greeting:?}"
        );
        server.join().unwrap();
        qmp_server.join().unwrap();
    }
}

#[test]
fn a_program_is_used_for_one_trace() {
    let folder = Folder::new();
    let socket = folder.path("qtest");
    let listener = UnixListener::bind(&socket).unwrap();
    let subject = subject(socket.to_str().unwrap());
    drop(subject.machine(&header()).unwrap());
    let Err(Refusal::Skip(reason)) = subject.machine(&header()) else {
        panic!("used twice")
    };
    assert!(reason.contains("was not restarted"), "{reason}");

    // A restarted program has made its socket anew.
    std::fs::remove_file(&socket).unwrap();
    let _again = UnixListener::bind(&socket).unwrap();
    drop(subject.machine(&header()).unwrap());
    drop(listener);

    let fresh = format!("{},fresh", socket.display()).parse::<Qtest>().unwrap();
    drop(fresh.machine(&header()).unwrap());
    drop(fresh.machine(&header()).unwrap());

    std::fs::remove_file(&socket).unwrap();
    assert!(matches!(fresh.machine(&header()), Err(Refusal::Error(_))));
}
