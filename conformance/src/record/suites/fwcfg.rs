// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `fw_cfg` on x86 ports: selector, data port, directory. The DMA interface is in its own file.

use std::collections::BTreeMap;

use super::{fwcfg_dma, fwcfg_random};
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{RecordError, Recorded, Recorder};
use crate::subjects::qtest::{Client, hex};
use crate::trace::Space::Io;
use crate::trace::Width::{self, B1, B2, B4};

// QEMU docs/specs/fw_cfg, "x86, x86_64" and "File Directory".
pub(super) const SELECTOR: u16 = 0x510;
pub(super) const DATA: u16 = 0x511;
pub(super) const SIGNATURE: u16 = 0;
const ID: u16 = 1;
const DIRECTORY: u16 = 0x19;
const ENTRY: usize = 64;

/// Files that one directory may have, and bytes of one item, before the answers are taken for nonsense.
const FILE_LIMIT: u32 = 4096;
const ITEM_LIMIT: u32 = 16 << 20;
/// Longer files are not read byte by byte as a whole.
pub(super) const SMALL: u32 = 8192;

pub(super) const OPREGION: &str = "etc/igd-opregion";
pub(super) const STOLEN_SIZE: &str = "etc/igd-bdsm-size";
pub(super) const TEST: &str = "opt/test";
pub(super) const VMCOREINFO: &str = "etc/vmcoreinfo";

/// Items without a name, with their sizes in QEMU.
const LEGACY: [(u16, &str, u32); 8] = [
    (0x00, "signature", 4),
    (0x01, "id", 4),
    (0x02, "uuid", 16),
    (0x03, "ram-size", 8),
    (0x04, "nographic", 2),
    (0x05, "nb-cpus", 2),
    (0x0e, "boot-menu", 2),
    (0x0f, "max-cpus", 2),
];

/// An item: ordered by key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct File {
    pub(super) key: u16,
    pub(super) name: String,
    pub(super) size: u32,
}

/// Items with repeatable pseudo-random contents, in the order of QEMU's command line.
pub(crate) fn files(seed: u64, held: bool) -> Vec<(String, Vec<u8>)> {
    let mut rng = Mt19937::new(seed);
    let mut opregion = rng.bytes(8192);
    for (to, from) in opregion.iter_mut().zip(b"IntelGraphicsMem") {
        *to = *from;
    }
    let stolen_mib: u64 = if held { rng.one_of([64, 96, 512]) } else { 64 };
    let mut list = vec![
        (OPREGION.to_owned(), opregion),
        (STOLEN_SIZE.to_owned(), (stolen_mib << 20).to_le_bytes().to_vec()),
    ];
    if held {
        let len = usize::try_from(rng.range(1, 300)).unwrap_or_default();
        list.push((TEST.to_owned(), rng.bytes(len)));
        list.push((format!("opt/org.example/{}", "n".repeat(39)), rng.bytes(5000)));
        list.push(("opt/one".to_owned(), vec![0x5a]));
    } else {
        list.push((TEST.to_owned(), b"hello fw_cfg".to_vec()));
    }
    list
}

pub(super) fn select(rec: &mut Recorder<'_>, key: u16) -> Recorded {
    rec.w(Io, SELECTOR.into(), B2, key.into())
}

fn count(bytes: &[u8]) -> Recorded<u32> {
    let count = bytes.iter().fold(0, |count: u32, byte| count << 8 | u32::from(*byte));
    if count > FILE_LIMIT {
        return Err(RecordError::Machine(format!(
            "the fw_cfg directory claims {count} files"
        )));
    }
    Ok(count)
}

/// Parses a directory entry: size and key big-endian, 2 bytes reserved, 56 bytes of name.
fn entry(bytes: &[u8]) -> Recorded<File> {
    if let [s0, s1, s2, s3, k0, k1, _, _, name @ ..] = bytes {
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if name.iter().all(u8::is_ascii_graphic) {
            return Ok(File {
                key: u16::from_be_bytes([*k0, *k1]),
                name: String::from_utf8_lossy(name).into_owned(),
                size: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            });
        }
    }
    Err(RecordError::Machine(format!(
        "the fw_cfg directory has the entry 0x{}",
        hex(bytes)
    )))
}

fn take(qtest: &mut Client, len: usize) -> Recorded<Vec<u8>> {
    let mut data = vec![0; len];
    qtest.read_string(DATA, B1, &mut data)?;
    Ok(data)
}

/// The directory, read without a trace.
pub(super) fn directory(qtest: &mut Client) -> Recorded<Vec<File>> {
    qtest.write(Io, SELECTOR.into(), B2, DIRECTORY.into())?;
    let count = count(&take(qtest, 4)?)?;
    (0..count).map(|_| entry(&take(qtest, ENTRY)?)).collect()
}

/// Puts contents of items into the header, read without a trace.
pub(super) fn item_headers(rec: &mut Recorder<'_>, items: &[File]) -> Recorded {
    for File { key, name, size } in items {
        if *size > ITEM_LIMIT {
            return Err(RecordError::Machine(format!(
                "fw_cfg item {name:?} claims {size} bytes"
            )));
        }
        rec.qtest().write(Io, SELECTOR.into(), B2, (*key).into())?;
        let data = take(rec.qtest(), usize::try_from(*size).unwrap_or_default())?;
        rec.header("item", &format!("0x{key:04x} {size} {name} 0x{}", hex(&data)));
    }
    Ok(())
}

/// Keys and sizes by name, as recorded from the directory.
#[derive(Debug)]
pub(super) struct Files {
    /// In the order of the directory.
    pub(super) list: Vec<File>,
    by_name: BTreeMap<String, (u16, u32)>,
}

impl Files {
    fn read(rec: &mut Recorder<'_>) -> Recorded<Self> {
        select(rec, DIRECTORY)?;
        let count = count(&rec.rs(DATA, 4)?)?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(entry(&rec.rs(DATA, 64)?)?);
        }
        let by_name = list
            .iter()
            .map(|file| (file.name.clone(), (file.key, file.size)))
            .collect();
        Ok(Self { list, by_name })
    }

    pub(super) fn find(&self, name: &str) -> Option<(u16, u32)> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get(&self, name: &str) -> Recorded<(u16, u32)> {
        self.find(name)
            .ok_or_else(|| RecordError::Machine(format!("the fw_cfg directory lacks {name:?}")))
    }
}

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let mut listing = directory(rec.qtest())?;
    listing.sort();
    let directory_size = 4 + 64 * u32::try_from(listing.len()).unwrap_or_default();
    let mut items: Vec<File> = LEGACY
        .into_iter()
        .chain([(DIRECTORY, "file-dir", directory_size)])
        .map(|(key, name, size)| File {
            key,
            name: name.to_owned(),
            size,
        })
        .collect();
    items.extend_from_slice(&listing);
    item_headers(rec, &items)?;
    for file in listing.iter().filter(|file| file.name == VMCOREINFO) {
        rec.header("writable", &format!("0x{:04x}", file.key));
    }
    rec.fresh()?;

    keys(rec, &mut rng)?;
    widths(rec)?;
    rec.section("fwcfg.directory", "key 0x19, big-endian count and entries");
    let files = Files::read(rec)?;
    rec.rs(DATA, 8)?;
    contents(rec, &files)?;
    let buffer = fwcfg_dma::run(rec, opt.ram_bytes(), &files, &mut rng)?;
    rec.section("fwcfg.reset-selector", "select and offset after a system reset");
    select(rec, files.get(TEST)?.0)?;
    rec.rs(DATA, 3)?;
    rec.reset()?;
    rec.rs(DATA, 4)?;
    if let Some((key, size)) = files.find(VMCOREINFO) {
        select(rec, key)?;
        rec.rs(DATA, size)?;
    }
    fwcfg_random::run(rec, opt.held, &files, &mut rng, buffer)
}

fn keys(rec: &mut Recorder<'_>, rng: &mut Mt19937) -> Recorded {
    rec.section("fwcfg.reset-state", "data port before any select");
    rec.rs(DATA, 4)?;
    rec.section("fwcfg.signature", "key 0 is QEMU, then zeros past the end");
    select(rec, SIGNATURE)?;
    rec.rs(DATA, 4)?;
    rec.rs(DATA, 12)?;
    rec.section("fwcfg.id", "key 1, revision bits: bit 0 traditional, bit 1 DMA");
    select(rec, ID)?;
    rec.rs(DATA, 4)?;
    rec.rs(DATA, 4)?;
    rec.section("fwcfg.reselect-rewinds", "a select starts again at offset 0");
    for _ in 0..3 {
        select(rec, SIGNATURE)?;
        rec.rs(DATA, 2)?;
    }
    rec.section("fwcfg.legacy-items", "fixed keys below 0x20");
    for (key, _, size) in LEGACY {
        select(rec, key)?;
        rec.rs(DATA, size + 3)?;
    }
    rec.section("fwcfg.unknown-key", "an absent key reads as zeros");
    let reserved = 0x10 + u16::try_from(rng.below(6)).unwrap_or_default();
    for key in [0x1f, 0x3fff, 0x7fff, 0xbfff, 0xffff, reserved] {
        select(rec, key)?;
        rec.rs(DATA, 5)?;
    }
    rec.section("fwcfg.selector-bits", "bit 14 and bit 15 of the selector");
    for key in [0x4000, 0x4001, 0x4019, 0x8000, 0xc000, 0x8001, 0xc001] {
        select(rec, key)?;
        rec.rs(DATA, 6)?;
    }
    Ok(())
}

fn widths(rec: &mut Recorder<'_>) -> Recorded {
    const WRITES: [(u64, Width, u64); 8] = [
        (0x510, B1, 0),
        (0x510, B1, 1),
        (0x510, B4, 0),
        (0x510, B4, 0x0001_0000),
        (0x511, B2, 0),
        (0x50f, B2, 0),
        (0x50f, B4, 0),
        (0x511, B4, 0),
    ];
    rec.section("fwcfg.selector-widths", "writes to the selector of other widths");
    for (port, width, value) in WRITES {
        select(rec, ID)?;
        rec.rs(DATA, 1)?;
        rec.w(Io, port, width, value)?;
        rec.rs(DATA, 4)?;
    }
    rec.section("fwcfg.selector-read", "reads at the selector port");
    select(rec, SIGNATURE)?;
    for width in [B1, B2, B1, B4, B1] {
        rec.r(Io, SELECTOR.into(), width)?;
    }
    rec.rs(DATA, 4)?;
    rec.section("fwcfg.data-widths", "16-bit and 32-bit reads of the data port");
    for width in [B2, B4] {
        select(rec, SIGNATURE)?;
        for _ in 0..3 {
            rec.r(Io, DATA.into(), width)?;
        }
        rec.rs(DATA, 3)?;
    }
    rec.section("fwcfg.data-write-ignored", "writes to the data port do nothing");
    for width in [B1, B2, B4] {
        select(rec, SIGNATURE)?;
        rec.w(Io, DATA.into(), width, 0x4141_4141)?;
        rec.rs(DATA, 4)?;
    }
    select(rec, SIGNATURE)?;
    rec.rs(DATA, 4)?;
    rec.section("fwcfg.neighbours", "ports 0x512, 0x513 and 0x51c");
    for port in [0x512, 0x513, 0x51c, 0x51d, 0x51f] {
        rec.r(Io, port, B1)?;
    }
    Ok(())
}

fn contents(rec: &mut Recorder<'_>, files: &Files) -> Recorded {
    rec.section("fwcfg.file-pio", "files read byte by byte, and past the end");
    for (key, size) in files.by_name.values().copied() {
        select(rec, key)?;
        if size <= SMALL {
            rec.rs(DATA, size)?;
            rec.rs(DATA, 4)?;
        } else {
            rec.rs(DATA, 64)?;
        }
    }
    rec.section("fwcfg.file-absent-key", "keys after the last file");
    let last = files.by_name.values().map(|(key, _)| *key).max().unwrap_or_default();
    for after in [1, 2] {
        select(rec, last.wrapping_add(after))?;
        rec.rs(DATA, 4)?;
    }
    Ok(())
}
