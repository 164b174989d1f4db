// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The fw_cfg device of a machine, from the items of a header.

use std::error::Error;
use std::ops::Range;

use fwcfg::{FwCfg, FwCfgBuilder, Item, Source};

use super::setting::Setting;
use crate::trace::Item as Recorded;

const KEY_SIGNATURE: u16 = 0x0000;
const KEY_ID: u16 = 0x0001;
const KEY_DIRECTORY: u16 = 0x0019;
const FILE_KEYS: Range<u16> = 0x20..0x4000;
const SLOTS_DEFAULT: u16 = 0x20;

/// Files that QEMU lets the guest write, whatever `@writable` lists.
const QEMU_WRITABLE: [&str; 5] = [
    "etc/hardware_errors_addr",
    "etc/ramfb",
    "etc/smi/requested-features",
    "etc/vmcoreinfo",
    "etc/vmgenid_addr",
];

/// The fw_cfg device of a header's items, if there are any. The directory is built, not copied, so that reading it tells
/// whether both agree. Files with a key in `writable` may be written.
pub(super) fn build(items: &[Recorded], writable: &[u16], setting: Setting) -> Result<Option<FwCfg>, String> {
    if items.is_empty() {
        return Ok(None);
    }
    let is_file = |key| FILE_KEYS.contains(&key);
    let unrecorded = unrecorded(items);
    let keys = items
        .iter()
        .map(|item| item.key)
        .chain(unrecorded.iter().map(|file| file.key));
    let last = keys.filter(|key| is_file(*key)).max();
    let slots = last.map_or(0, |key| key - FILE_KEYS.start + 1).max(SLOTS_DEFAULT);
    let has_dma = items
        .iter()
        .any(|item| item.key == KEY_ID && item.bytes.first().is_some_and(|bits| bits & 2 != 0));
    let mut builder = FwCfgBuilder::with_file_slots(slots)
        .map_err(|error| error.to_string())?
        .dma(has_dma)
        .access_rule(setting.fwcfg());
    for item in items {
        let is_qemu_writable = setting != Setting::Specification && QEMU_WRITABLE.contains(&item.name.as_str());
        let content = if is_qemu_writable || writable.contains(&item.key) {
            Item::writable(item.bytes.clone())
        } else {
            Item::from(item.bytes.clone())
        };
        match item.key {
            KEY_SIGNATURE | KEY_ID | KEY_DIRECTORY => Ok(()),
            key if is_file(key) => builder.add_file(&item.name, content),
            key => builder.add_item(key, content),
        }
        .map_err(|error| format!("@item {:#06x} {}: {error}", item.key, item.name))?;
    }
    for file in &unrecorded {
        let content = Item::from_source(Box::new(Unrecorded), file.size);
        builder
            .add_file(&file.name, content)
            .map_err(|error| format!("@item file-dir: {error}"))?;
    }
    let device = builder.build();
    for item in items.iter().filter(|item| is_file(item.key)) {
        if device.file_key(&item.name) != Some(item.key) {
            return Err(format!(
                "@item {:#06x} {}: the directory gives this file {}",
                item.key,
                item.name,
                device
                    .file_key(&item.name)
                    .map_or("no key".to_owned(), |key| format!("key {key:#06x}"))
            ));
        }
    }
    Ok(Some(device))
}

/// A file of the machine, but whose content the trace does not have.
struct UnrecordedFile {
    key: u16,
    size: u32,
    name: String,
}

/// The files that a recorded directory lists without an item; without a directory, as many as stand before the items.
fn unrecorded(items: &[Recorded]) -> Vec<UnrecordedFile> {
    let Some(directory) = items.iter().find(|item| item.key == KEY_DIRECTORY) else {
        let first = items
            .iter()
            .map(|item| item.key)
            .filter(|key| FILE_KEYS.contains(key))
            .min();
        let before = FILE_KEYS.start..first.unwrap_or(FILE_KEYS.start);
        return before.map(UnrecordedFile::unnamed).collect();
    };
    let entries = directory.bytes.get(4..).unwrap_or_default().as_chunks::<64>().0;
    let files = entries.iter().filter_map(|entry| {
        let (size, rest) = entry.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let name = rest.get(2..)?.split(|byte| *byte == 0).next()?;
        Some(UnrecordedFile {
            key: u16::from_be_bytes(*key),
            size: u32::from_be_bytes(*size),
            name: std::str::from_utf8(name).ok()?.to_owned(),
        })
    });
    files
        .filter(|file| !file.name.is_empty() && items.iter().all(|item| item.key != file.key))
        .collect()
}

impl UnrecordedFile {
    /// A file of which only the key is known. Its name sorts before all others, as keys follow names.
    fn unnamed(key: u16) -> Self {
        Self {
            key,
            size: 0,
            name: format!(" {key:#06x}"),
        }
    }
}

/// The content of a file that nobody recorded.
#[derive(Debug)]
struct Unrecorded;

impl Source for Unrecorded {
    fn read_at(&self, _offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        buf.fill(0);
        Ok(())
    }
}
