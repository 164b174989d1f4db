// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Puts a device together.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::access::{AccessRule, DataWidth};
use crate::device::{FwCfg, position, table_len};
use crate::directory::{Directory, check_name};
use crate::error::InsertError;
use crate::item::Item;
use crate::spec::{
    FILE_SLOTS_DEFAULT, FILE_SLOTS_MAX, FILE_SLOTS_MIN, ID_DMA, ID_TRADITIONAL, ITEM_LEN_MAX, KEY_ARCH_LOCAL,
    KEY_FILE_DIR, KEY_FILE_FIRST, KEY_ID, KEY_INDEX, KEY_SIGNATURE, KEY_WRITE_CHANNEL, SIGNATURE,
};

/// Collects the items of a device.
///
/// Files get their keys from [`build`](Self::build), in byte order of their names, so the order of insertion does not
/// matter. The signature, the revision and the directory are made by the device.
///
/// ```
/// use fwcfg::FwCfgBuilder;
///
/// let mut builder = FwCfgBuilder::new();
/// builder.add_item(0x0005, 2u16.to_le_bytes())?;
/// builder.add_item(0x8002, 1u32.to_le_bytes())?;
/// builder.add_file("etc/system-states", [0x80, 0, 0, 0x81, 0x82, 0x80])?;
/// builder.add_file("bootorder", b"/pci@i0cf8/scsi@3/disk@0,0\0")?;
/// let device = builder.build();
/// assert_eq!(device.file_key("bootorder"), Some(0x20));
/// assert_eq!(device.file_key("etc/system-states"), Some(0x21));
/// # Ok::<(), fwcfg::InsertError>(())
/// ```
#[derive(Debug)]
pub struct FwCfgBuilder {
    rule: AccessRule,
    data_width: DataWidth,
    dma: bool,
    slots: u16,
    items: BTreeMap<u16, Item>,
    files: BTreeMap<Box<str>, Item>,
}

impl Default for FwCfgBuilder {
    fn default() -> Self {
        Self {
            rule: AccessRule::default(),
            data_width: DataWidth::default(),
            dma: true,
            slots: FILE_SLOTS_DEFAULT,
            items: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

impl FwCfgBuilder {
    /// A device with DMA, [`FILE_SLOTS_DEFAULT`] file slots, and nothing but its own items.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A device like that of [`new`](Self::new), with another number of file slots.
    ///
    /// # Errors
    ///
    /// [`InsertError::FileSlots`] unless it is [`FILE_SLOTS_MIN`] to [`FILE_SLOTS_MAX`].
    pub fn with_file_slots(slots: u16) -> Result<Self, InsertError> {
        if !(FILE_SLOTS_MIN..=FILE_SLOTS_MAX).contains(&slots) {
            return Err(InsertError::FileSlots { slots });
        }
        Ok(Self { slots, ..Self::new() })
    }

    /// Sets whether the device has the DMA interface.
    #[must_use]
    pub fn dma(mut self, dma: bool) -> Self {
        self.dma = dma;
        self
    }

    /// Sets what happens to accesses that no register takes as they are.
    #[must_use]
    pub fn access_rule(mut self, rule: AccessRule) -> Self {
        self.rule = rule;
        self
    }

    /// Sets the width of the data register in the memory-mapped layout.
    #[must_use]
    pub fn data_width(mut self, width: DataWidth) -> Self {
        self.data_width = width;
        self
    }

    /// Adds a numbered item: below 0x20, or one of the architecture's own at 0x8000 and up.
    ///
    /// # Errors
    ///
    /// The key is reserved, taken, or not that of a numbered item; or the item is too long.
    pub fn add_item(&mut self, key: u16, item: impl Into<Item>) -> Result<(), InsertError> {
        let item = item.into();
        let end = if key & KEY_ARCH_LOCAL == 0 {
            KEY_FILE_FIRST
        } else {
            table_len(self.slots)
        };
        if key & KEY_WRITE_CHANNEL != 0 || key & KEY_INDEX >= end {
            return Err(InsertError::KeyOutOfRange { key });
        }
        if is_reserved(key) {
            return Err(InsertError::ReservedKey { key });
        }
        if self.items.contains_key(&key) {
            return Err(InsertError::DuplicateKey { key });
        }
        check_item(&item)?;
        self.items.insert(key, item);
        Ok(())
    }

    /// Adds a file. A name that a user chose starts with `opt/`.
    ///
    /// # Errors
    ///
    /// The name does not fit into the directory or is taken, all slots are, or the item is too long.
    pub fn add_file(&mut self, name: &str, item: impl Into<Item>) -> Result<(), InsertError> {
        let item = item.into();
        check_name(name)?;
        if self.files.contains_key(name) {
            return Err(InsertError::DuplicateName {
                name: String::from(name),
            });
        }
        if self.files.len() >= usize::from(self.slots) {
            return Err(InsertError::NoSlots {
                name: String::from(name),
                slots: self.slots,
            });
        }
        check_item(&item)?;
        self.files.insert(Box::from(name), item);
        Ok(())
    }

    /// The device, in its state at power-on. Keys do not change from here on.
    #[must_use]
    pub fn build(self) -> FwCfg {
        let slots = self.slots;
        let id = ID_TRADITIONAL | if self.dma { ID_DMA } else { 0 };
        let own = [
            (KEY_SIGNATURE, Item::from(SIGNATURE)),
            (KEY_ID, Item::from(id.to_le_bytes())),
        ];
        let (names, contents): (Vec<_>, Vec<_>) = self.files.into_iter().unzip();
        let files = (KEY_FILE_FIRST..).zip(contents);
        let mut items: Box<[Option<Item>]> = (0..2 * usize::from(table_len(slots))).map(|_| None).collect();
        for (key, item) in own.into_iter().chain(self.items).chain(files) {
            if let Some(entry) = position(slots, key).and_then(|at| items.get_mut(at)) {
                *entry = Some(item);
            }
        }
        let mut device = FwCfg {
            rule: self.rule,
            data_width: self.data_width,
            dma: self.dma,
            slots,
            directory: Directory::new(names),
            items,
            selected: position(slots, KEY_SIGNATURE),
            window: None,
            offset: 0,
            latch: 0,
            paused: None,
        };
        device.render_directory();
        device
    }
}

/// Whether the device makes the item of this key.
pub(crate) fn is_reserved(key: u16) -> bool {
    matches!(key, KEY_SIGNATURE | KEY_ID | KEY_FILE_DIR)
}

/// Refuses an item that a device cannot hold.
pub(crate) fn check_item(item: &Item) -> Result<(), InsertError> {
    let len = item.len();
    if len > u64::from(ITEM_LEN_MAX) {
        return Err(InsertError::TooLong { len });
    }
    match &item.reset {
        Some(value) if value.len() as u64 != len => Err(InsertError::ResetLength {
            len,
            reset: value.len() as u64,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::item::Source;

    #[derive(Debug)]
    struct Zeros;

    impl Source for Zeros {
        fn read_at(&self, _offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
            buf.fill(0);
            Ok(())
        }
    }

    #[test]
    fn numbered_items_keep_to_their_tables() {
        let mut builder = FwCfgBuilder::new();
        for key in [0x0002, 0x0018, 0x001a, 0x001f, 0x8000, 0x8019, 0x803f] {
            assert_eq!(builder.add_item(key, [1]), Ok(()), "{key:#x}");
            assert_eq!(builder.add_item(key, [1]), Err(InsertError::DuplicateKey { key }));
        }
        for key in [0x0000, 0x0001, 0x0019] {
            assert_eq!(builder.add_item(key, [1]), Err(InsertError::ReservedKey { key }));
        }
        for key in [0x0020, 0x3fff, 0x4002, 0x8040, 0xc000, 0xffff] {
            assert_eq!(builder.add_item(key, [1]), Err(InsertError::KeyOutOfRange { key }));
        }
        let device = builder.build();
        assert_eq!(device.item(0x8019).and_then(Item::bytes), Some([1].as_slice()));
        assert!(device.item(0x4002).is_none());
    }

    #[test]
    fn lengths_are_checked() {
        let mut builder = FwCfgBuilder::new();
        let len = u64::from(u32::MAX);
        let item = Item::from_source(Box::new(Zeros), u32::MAX);
        assert_eq!(builder.add_file("a", item), Err(InsertError::TooLong { len }));
        let item = Item::from_source(Box::new(Zeros), ITEM_LEN_MAX);
        assert_eq!(builder.add_file("a", item), Ok(()));
        let item = Item::writable(vec![0; 4]).with_reset_value(vec![0; 3]);
        assert_eq!(
            builder.add_file("b", item),
            Err(InsertError::ResetLength { len: 4, reset: 3 })
        );
    }

    #[test]
    fn file_slots_have_limits() {
        for slots in [0, 0xf, 0x3fe0, u16::MAX] {
            let refused = FwCfgBuilder::with_file_slots(slots).map(|_| ());
            assert_eq!(refused, Err(InsertError::FileSlots { slots }));
        }
        let mut device = FwCfgBuilder::with_file_slots(FILE_SLOTS_MAX).unwrap().build();
        assert_eq!(device.select(0x3ffe), 0x3ffe);
        assert_eq!(device.select(0xffff), 0xffff);
        assert_eq!(device.selected(), 0xffff);
    }
}
