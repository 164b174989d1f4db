// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The parser and the printer of the trace format: exact on the corpus, inverse to each other on anything.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use std::path::{Path, PathBuf};

use igd_conformance::trace::{Hex, Line, Reader, Space, Width};
use pci_model::Bdf;
use proptest::prelude::*;

fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let mut traces = Vec::new();
    for folder in std::fs::read_dir(root).unwrap() {
        let folder = folder.unwrap().path();
        if folder.is_dir() {
            traces.extend(std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()));
        }
    }
    traces.retain(|path| path.extension().is_some_and(|extension| extension == "trace"));
    assert!(!traces.is_empty());
    traces
}

#[test]
fn every_line_of_the_corpus_round_trips() {
    for path in corpus() {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let parsed = Line::parse(line).unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), number + 1));
            assert_eq!(parsed.to_string(), line, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn the_reader_sees_every_line_of_the_corpus() {
    for path in corpus() {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.display().to_string();
        // One byte at a time is the hardest way to be handed a file.
        struct Drip<'a>(&'a [u8]);
        impl std::io::Read for Drip<'_> {
            fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
                let len = out.len().min(if self.0.len() > 1_000_000 { 4096 } else { 7 });
                std::io::Read::read(&mut self.0, &mut out[..len])
            }
        }
        let mut reader = Reader::new(Drip(&bytes), name);
        let header = reader.header().unwrap();
        // Answers are those of recorded versions, or of a setting that is named.
        assert!((!header.qemu.is_empty() || header.compat().is_some()) && header.ram > 0);
        let head = usize::try_from(reader.number()).unwrap();
        let mut expected = bytes.split(|c| *c == b'\n').skip(head);
        while let Some(entry) = reader.entry().unwrap() {
            assert_eq!(entry.text, expected.next().unwrap());
        }
        assert_eq!(expected.collect::<Vec<_>>(), [b""]);
    }
}

#[derive(Clone, Debug)]
enum Owned {
    Text(u8, String, String),
    Write(Space, u64, Width, u64),
    Read(Space, u64, Width, u64, Option<u64>),
    ReadString(u16, Width, Vec<u8>, bool),
    Ram(u64, Vec<u8>, Option<bool>),
    Fill(u64, u64, u8),
    Map(u16, u8, Option<u64>, u64),
    Probe(Space, u64, Width, u64, u16, Option<(u8, u64)>, Option<u64>),
    Step(Option<u64>),
}

fn access() -> impl Strategy<Value = (Space, u64, Width)> {
    let space = prop::sample::select(vec![Space::Io, Space::Mem, Space::Ram, Space::Cfg]);
    let width = prop::sample::select(vec![Width::B1, Width::B2, Width::B4, Width::B8]);
    (space, any::<u64>(), width).prop_map(|(space, addr, width)| {
        let len = width.len() as u64;
        match space {
            Space::Io => (space, addr & 0xffff, width),
            Space::Mem | Space::Ram => (space, addr.min(u64::MAX - 7), width),
            Space::Cfg if len == 8 => (space, addr & 0xff_fffc, Width::B4),
            Space::Cfg => (space, addr & 0xff_ffff & !(len - 1), width),
        }
    })
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (0..3_u8, "[a-z][a-z0-9-]{0,20}", "([!-~]([ -~]{0,30}))?")
            .prop_map(|(kind, name, text)| Owned::Text(kind, name, text)),
        (access(), any::<u64>()).prop_map(|((space, addr, width), value)| Owned::Write(
            space,
            addr,
            width,
            value & width.ones()
        )),
        (access(), any::<u64>(), any::<Option<u64>>()).prop_map(|((space, addr, width), value, mask)| {
            Owned::Read(
                space,
                addr,
                width,
                value & width.ones(),
                mask.map(|mask| mask & width.ones()),
            )
        }),
        (any::<u16>(), access(), bytes(), any::<bool>()).prop_map(|(port, (_, _, width), bytes, masked)| {
            let len = bytes.len() / width.len() * width.len();
            Owned::ReadString(port, width, bytes[..len].to_vec(), masked)
        }),
        (any::<u32>(), bytes(), any::<Option<bool>>()).prop_map(|(addr, bytes, kind)| Owned::Ram(
            addr.into(),
            bytes,
            kind
        )),
        (any::<u32>(), any::<u32>(), any::<u8>()).prop_map(|(addr, len, byte)| Owned::Fill(
            addr.into(),
            len.into(),
            byte
        )),
        (any::<u16>(), 0..7_u8, any::<Option<u64>>(), any::<u64>())
            .prop_map(|(bdf, bar, addr, size)| Owned::Map(bdf, bar, addr, size)),
        (
            access(),
            any::<u64>(),
            any::<u16>(),
            prop::option::of((0..7_u8, any::<u64>())),
            any::<Option<u64>>()
        )
            .prop_map(|((space, addr, width), value, bdf, at, mask)| {
                Owned::Probe(
                    space,
                    addr,
                    width,
                    value & width.ones(),
                    bdf,
                    at,
                    mask.map(|mask| mask & width.ones()),
                )
            }),
        any::<Option<u64>>().prop_map(Owned::Step),
    ]
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Borrows an owned line and hands it to `check`.
fn with_line(owned: &Owned, check: impl FnOnce(Line<'_>)) {
    match owned {
        Owned::Text(0, key, text) => check(Line::Header { key, text }),
        Owned::Text(1, label, text) => check(Line::Section { label, text }),
        Owned::Text(_, _, text) => check(Line::Comment(text)),
        &Owned::Write(space, addr, width, value) => check(Line::Write {
            space,
            addr,
            width,
            value,
        }),
        &Owned::Read(space, addr, width, value, mask) => check(Line::Read {
            space,
            addr,
            width,
            value,
            mask,
        }),
        Owned::ReadString(port, width, bytes, masked) => {
            let text = digits(bytes);
            let bytes = Hex::new(text.as_bytes()).unwrap();
            let count = u32::try_from(bytes.len() / width.len()).unwrap();
            check(Line::ReadString {
                port: *port,
                width: *width,
                count,
                bytes,
                mask: masked.then_some(bytes),
            });
        }
        Owned::Ram(addr, bytes, kind) => {
            let text = digits(bytes);
            let bytes = Hex::new(text.as_bytes()).unwrap();
            check(match kind {
                None => Line::RamWrite { addr: *addr, bytes },
                Some(masked) => Line::RamRead {
                    addr: *addr,
                    bytes,
                    mask: masked.then_some(bytes),
                },
            });
        }
        &Owned::Fill(addr, len, byte) => check(Line::RamFill { addr, len, byte }),
        &Owned::Map(bdf, bar, addr, size) => check(Line::Map {
            bdf: Bdf::from_bits(bdf),
            bar,
            addr,
            size,
        }),
        &Owned::Probe(space, addr, width, value, bdf, at, mask) => {
            check(Line::Probe {
                space,
                addr,
                width,
                value,
                bdf: Bdf::from_bits(bdf),
                at,
                mask,
            });
        }
        Owned::Step(None) => check(Line::Reset),
        &Owned::Step(Some(ns)) => check(Line::Step { ns }),
    }
}

/// Text that resembles a line closely enough to reach every corner of the parser.
fn nearly_a_line() -> impl Strategy<Value = Vec<u8>> {
    let mutation = (
        any::<prop::sample::Index>(),
        prop::sample::select(b" \r\n\t0x@#+-:.fFgG9\xff\x00".to_vec()),
        0..3_u8,
    );
    (owned(), prop::collection::vec(mutation, 0..6)).prop_map(|(owned, mutations)| {
        let mut text = Vec::new();
        with_line(&owned, |line| text = line.to_string().into_bytes());
        for (at, byte, how) in mutations {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_printed_parses_to_itself(owned in owned()) {
        with_line(&owned, |line| {
            let text = line.to_string();
            assert_eq!(Line::parse(&text), Ok(line), "{text}");
        });
    }

    #[test]
    fn what_parses_prints_to_something_equal(text in nearly_a_line()) {
        match Line::parse(&text) {
            Ok(line) => {
                let printed = line.to_string();
                prop_assert_eq!(Line::parse(&printed), Ok(line));
            }
            Err(error) => prop_assert!(error.column >= 1 && error.column <= text.len() + 1, "{}", error),
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Line::parse(&text);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(head in any::<bool>(), text in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut trace = if head { b"@trace 1\n".to_vec() } else { Vec::new() };
        trace.extend(text);
        let mut reader = Reader::new(trace.as_slice(), "t");
        if reader.header().is_ok() {
            while let Ok(Some(_)) = reader.entry() {}
        }
    }
}

fn read_all(trace: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(trace, "t.trace");
    reader.header().map_err(|error| error.to_string())?;
    while reader.entry().map_err(|error| error.to_string())?.is_some() {}
    Ok(())
}

#[test]
fn errors_name_line_column_and_value() {
    let pci = format!("@trace 1\n@pci 00:02.0 0x{}\n", "00".repeat(255));
    let cases: &[(&str, &str)] = &[
        (
            "",
            "t.trace:1:1: not a register trace: it does not begin with `@trace 1`",
        ),
        ("\u{7f}ELF\n", "t.trace:1:1: not a line of a register trace: `\\x7fELF`"),
        (
            "@kind qtest\n",
            "t.trace:1:7: not a register trace: its first header is not `@trace 1`: `qtest`",
        ),
        (
            "@trace 2\n",
            "t.trace:1:8: this version of the trace format is not known, only version 1: `2`",
        ),
        ("@trace 1\n@trace 1\n", "t.trace:2:8: the header stands twice: `1`"),
        (
            "@trace 1\n@kind other\n",
            "t.trace:2:7: expected qtest or firmware: `other`",
        ),
        (
            "@trace 1\n@ram 1\n@ram 1\n",
            "t.trace:3:6: the header stands twice: `1`",
        ),
        (
            "@trace 1\n@bar 00:02.0 6 io - 0x40\n",
            "t.trace:2:14: no BAR of this kind has this number: `6`",
        ),
        (
            "@trace 1\n@bar 00:02.0 0 io - 0x41\n",
            "t.trace:2:21: the size of a BAR is a power of two: `0x41`",
        ),
        (
            "@trace 1\n@item 0x19 3 a 0x00\n",
            "t.trace:2:12: another number of bytes than the line says: `3`",
        ),
        (
            "@trace 1\n@item 0x10000 0 a 0x\n",
            "t.trace:2:7: expected a fw_cfg key of 16 bits: `0x10000`",
        ),
        (
            "@trace 1\n\nr io 0x0510 2 0x0000",
            "t.trace:3:21: the last line has no line end: the trace is truncated",
        ),
        (
            "@trace 1\r\n",
            "t.trace:1:9: the line ends in CR LF; lines of a trace end in LF alone",
        ),
        (
            "@trace 1\nr io 0x0510 2 0x0000\r\n",
            "t.trace:2:21: the line ends in CR LF; lines of a trace end in LF alone",
        ),
        (
            "@trace 1\nr  io 0x0510 2 0x0000\n",
            "t.trace:2:3: two spaces; fields are separated by exactly one",
        ),
        (
            "@trace 1\nr io 0x0510 2 0x0000 \n",
            "t.trace:2:21: the line ends in a space",
        ),
        ("@trace 1\nr io 0x0510 2\n", "t.trace:2:14: the value is missing"),
        (
            "@trace 1\nr io 0x0510 2 0x10000\n",
            "t.trace:2:15: wider than the access: `0x10000`",
        ),
        (
            "@trace 1\nr io 0x10000 1 0x00\n",
            "t.trace:2:6: a port has 16 bits: `0x10000`",
        ),
        (
            "@trace 1\nr io 0x0510 3 0x00\n",
            "t.trace:2:13: expected a width of 1, 2, 4 or 8 bytes: `3`",
        ),
        (
            "@trace 1\nr cfg 0x1000000 1 0x00\n",
            "t.trace:2:7: a configuration address has 24 bits: `0x1000000`",
        ),
        (
            "@trace 1\nr cfg 0x3 2 0x00\n",
            "t.trace:2:7: an access by mechanism #1 stays within a dword: `0x3`",
        ),
        (
            "@trace 1\nr mem 0xffffffffffffffff 2 0x00\n",
            "t.trace:2:7: the access wraps around: `0xffffffffffffffff`",
        ),
        (
            "@trace 1\nr mem 0x10000000000000000 1 0x00\n",
            "t.trace:2:7: expected an address: `0x10000000000000000`",
        ),
        (
            "@trace 1\nr mem 99999999999999999999 1 0\n",
            "t.trace:2:7: expected an address: `99999999999999999999`",
        ),
        (
            "@trace 1\nwb ram 0x0 2 0x00\n",
            "t.trace:2:14: another number of bytes than the line says: `0x00`",
        ),
        (
            "@trace 1\nwb ram 0x0 1 0x0\n",
            "t.trace:2:14: expected a byte string, 0x and two digits for each byte: `0x0`",
        ),
        (
            "@trace 1\nfb ram 0x1 0xffffffffffffffff 0\n",
            "t.trace:2:12: the range wraps around: `0xffffffffffffffff`",
        ),
        (
            "@trace 1\nmap 00:02.0 7 - 0x10\n",
            "t.trace:2:13: expected the number of a BAR, 0 to 6: `7`",
        ),
        (
            "@trace 1\nmap 0:40.0 0 - 0x10\n",
            "t.trace:2:5: expected bus:device.function, such as 00:1f.0: `0:40.0`",
        ),
        (
            "@trace 1\n# caf\u{e9}\n",
            "t.trace:2:6: only printable ASCII is allowed: `\\xc3\\xa9`",
        ),
        (
            "@trace 1\nR io 0x0510 2 0x0000\n",
            "t.trace:2:1: not a line of a register trace: `R`",
        ),
        (
            &pci,
            "t.trace:2:14: expected 256 bytes of configuration space: `0x00000000000000000000000000000000000000\u{2026}`",
        ),
    ];
    for (trace, message) in cases {
        assert_eq!(read_all(trace.as_bytes()), Err((*message).to_owned()));
    }
}

#[test]
fn a_header_ends_at_the_first_section() {
    let mut reader = Reader::new(
        b"@trace 1\n# why\n\n@ram 4096\n@x-new a b\nsection a.b c\n@ram 1\n".as_slice(),
        "t",
    );
    let header = reader.header().unwrap();
    assert_eq!(
        (header.ram, header.other("x-new"), header.compat()),
        (4096, Some("a b"), None)
    );
    assert_eq!(reader.entry().unwrap().unwrap().number, 6);
    assert!(matches!(
        reader.entry().unwrap().unwrap().line,
        Line::Header { key: "ram", .. }
    ));
}

/// A stream of `x` without an end.
struct Endless;

impl std::io::Read for Endless {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        out.fill(b'x');
        Ok(out.len())
    }
}

#[test]
fn a_line_without_an_end_is_refused() {
    let error = Reader::new(Endless, "t").header().unwrap_err();
    assert_eq!(error.to_string(), "t:1:1: the line is longer than 16777216 bytes");
}
