// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the two `fw_cfg` targets share: a device with items of every kind, a naive model, guest memory with holes.

pub(crate) mod drive;
pub(crate) mod memory;
pub(crate) mod naive;
pub(crate) mod step;

use std::collections::BTreeMap;
use std::error::Error;

use fwcfg::{AccessRule, DataWidth, FwCfg, FwCfgBuilder, Item, Source};

use naive::{Content, Held};

/// File slots of the device: the fewest, so that the directory is short.
pub(crate) const SLOTS: u16 = 0x10;

/// How a device is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) split: bool,
    pub(crate) dma: bool,
    /// The memory-mapped layout instead of the ports.
    pub(crate) mmio: bool,
    /// A data register of 64 bits, in the memory-mapped layout.
    pub(crate) wide: bool,
    /// Whether there is any guest memory.
    pub(crate) memory: bool,
}

/// Content of a source: each byte follows from its place. From `fails_from` on it cannot be read.
#[derive(Debug)]
struct Pattern {
    fails_from: u32,
}

pub(crate) fn pattern(at: u32) -> u8 {
    let [a, b, ..] = at.wrapping_mul(0x9e37).to_le_bytes();
    a ^ b
}

impl Source for Pattern {
    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        for (byte, at) in buf.iter_mut().zip(offset..) {
            if at >= self.fails_from {
                return Err("the source fails".into());
            }
            *byte = pattern(at);
        }
        Ok(())
    }
}

/// Kind of an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Bytes,
    Writable,
    Kept,
    /// Waits between selection and transfer.
    Paused,
    Source,
    /// A source that cannot be read from here on.
    Fails(u32),
}

/// Key, name of a file, length and kind of each item. Keys of files follow the byte order of their names.
pub(crate) const ITEMS: [(u16, Option<&str>, u32, Kind); 12] = [
    (0x0002, None, 16, Kind::Bytes),
    (0x0005, None, 2, Kind::Bytes),
    (0x8003, None, 100, Kind::Bytes),
    (0x8005, None, 5, Kind::Writable),
    (0x0020, Some("bootorder"), 30, Kind::Bytes),
    (0x0021, Some("etc/acpi"), 40, Kind::Paused),
    (0x0022, Some("etc/empty"), 0, Kind::Writable),
    (0x0023, Some("etc/fails"), 150, Kind::Fails(100)),
    (0x0024, Some("etc/igd-opregion"), 200, Kind::Bytes),
    (0x0025, Some("etc/kept"), 8, Kind::Kept),
    (0x0026, Some("etc/source"), 5000, Kind::Source),
    (0x0027, Some("etc/vmcoreinfo"), 16, Kind::Writable),
];

/// Bytes that tell their item and place.
pub(crate) fn bytes_of(key: u16, len: u32) -> Vec<u8> {
    (0..len).map(|at| pattern(at) ^ pattern(key.into())).collect()
}

fn item(key: u16, len: u32, kind: Kind) -> Item {
    let bytes = || bytes_of(key, len);
    match kind {
        Kind::Bytes => Item::from(bytes()),
        Kind::Writable => Item::writable(bytes()),
        Kind::Kept => Item::writable(bytes()).kept_on_reset(),
        Kind::Paused => Item::from(bytes()).paused_on_select(),
        Kind::Source => Item::from_source(Box::new(Pattern { fails_from: u32::MAX }), len),
        Kind::Fails(fails_from) => Item::from_source(Box::new(Pattern { fails_from }), len),
    }
}

/// The device with its items.
pub(crate) fn device(options: Options) -> FwCfg {
    let rule = if options.split {
        AccessRule::Split
    } else {
        AccessRule::Refuse
    };
    let width = if options.wide { DataWidth::Eight } else { DataWidth::One };
    let builder = FwCfgBuilder::with_file_slots(SLOTS).unwrap_or_else(|error| panic!("{error}"));
    let mut builder = builder.dma(options.dma).access_rule(rule).data_width(width);
    for (key, name, len, kind) in ITEMS {
        let item = item(key, len, kind);
        let added = match name {
            Some(name) => builder.add_file(name, item),
            None => builder.add_item(key, item),
        };
        assert_eq!(added, Ok(()), "item {key:#06x}");
    }
    builder.build()
}

/// The same items for the model.
pub(crate) fn held() -> BTreeMap<u16, Held> {
    let held = ITEMS.map(|(key, name, len, kind)| {
        let bytes = bytes_of(key, len);
        let writable = matches!(kind, Kind::Writable | Kind::Kept);
        let held = Held {
            name,
            reset: (kind == Kind::Writable).then(|| bytes.clone()),
            content: match kind {
                Kind::Source => Content::Source {
                    len,
                    fails_from: u32::MAX,
                },
                Kind::Fails(fails_from) => Content::Source { len, fails_from },
                _ => Content::Bytes(bytes),
            },
            writable,
            pauses: kind == Kind::Paused,
        };
        (key, held)
    });
    held.into()
}
