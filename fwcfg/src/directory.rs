// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The file directory: names in byte order, keys dense from 0x20.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::InsertError;
use crate::spec::{DIR_RECORD_LEN, FILE_NAME_FIELD, FILE_NAME_MAX, KEY_FILE_FIRST};

/// Refuses a name that the directory cannot hold.
pub(crate) fn check_name(name: &str) -> Result<(), InsertError> {
    if name.is_empty() {
        return Err(InsertError::EmptyName);
    }
    if let Some((position, found)) = name.char_indices().find(|(_, c)| !matches!(c, ' '..='~')) {
        return Err(InsertError::NameCharacter {
            name: String::from(name),
            found,
            position,
        });
    }
    if name.len() > FILE_NAME_MAX {
        return Err(InsertError::NameTooLong {
            name: String::from(name),
        });
    }
    Ok(())
}

/// The names of all files, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory(Vec<Box<str>>);

impl Directory {
    /// A directory of names in byte order.
    pub(crate) fn new(sorted: Vec<Box<str>>) -> Self {
        Self(sorted)
    }

    /// Key of a file.
    pub(crate) fn key(&self, name: &str) -> Option<u16> {
        let position = self.0.binary_search_by(|held| held.as_ref().cmp(name)).ok()?;
        KEY_FILE_FIRST.checked_add(u16::try_from(position).ok()?)
    }

    /// Name of the file of a key.
    pub(crate) fn name(&self, key: u16) -> Option<&str> {
        let position = usize::from(key.checked_sub(KEY_FILE_FIRST)?);
        self.0.get(position).map(AsRef::as_ref)
    }

    /// Keys and names, in order of keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        (KEY_FILE_FIRST..).zip(self.0.iter().map(AsRef::as_ref))
    }

    /// The item that a guest reads, with zeros for unused slots.
    pub(crate) fn render(&self, slots: u16, len_of: impl Fn(u16) -> u32) -> Vec<u8> {
        let capacity = 4 + DIR_RECORD_LEN * usize::from(slots);
        let mut out = Vec::with_capacity(capacity);
        let count = u32::try_from(self.0.len()).unwrap_or(u32::from(slots));
        out.extend_from_slice(&count.to_be_bytes());
        for (key, name) in self.iter() {
            out.extend_from_slice(&len_of(key).to_be_bytes());
            out.extend_from_slice(&key.to_be_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(name.as_bytes());
            let padded = out.len() + FILE_NAME_FIELD.saturating_sub(name.len());
            out.resize(padded, 0);
        }
        out.resize(capacity, 0);
        out
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn names_are_printable_ascii_of_55_characters() {
        assert_eq!(check_name(""), Err(InsertError::EmptyName));
        assert_eq!(check_name(&"n".repeat(55)), Ok(()));
        let name = "n".repeat(56);
        assert_eq!(check_name(&name), Err(InsertError::NameTooLong { name }));
        for (name, found, position) in [
            ("a\0b", '\0', 1),
            ("opt/é", 'é', 4),
            ("\n", '\n', 0),
            ("x\x7f", '\x7f', 1),
        ] {
            let name = String::from(name);
            assert_eq!(
                check_name(&name),
                Err(InsertError::NameCharacter { name, found, position })
            );
        }
    }

    #[test]
    fn records_are_64_bytes_and_unused_slots_are_zeros() {
        let directory = Directory::new(vec!["a".into(), "b".into()]);
        let item = directory.render(16, |key| u32::from(key) << 8);
        assert_eq!(item.len(), 4 + 64 * 16);
        assert_eq!(item[..4], [0, 0, 0, 2]);
        assert_eq!(item[4..14], [0, 0, 0x20, 0, 0, 0x20, 0, 0, b'a', 0]);
        assert_eq!(item[68..78], [0, 0, 0x21, 0, 0, 0x21, 0, 0, b'b', 0]);
        assert!(item[78..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn keys_and_names_answer_each_other() {
        let directory = Directory::new(vec!["C".into(), "a".into(), "b".into()]);
        assert_eq!(directory.key("a"), Some(0x21));
        assert_eq!(directory.name(0x21), Some("a"));
        assert_eq!(directory.key("d"), None);
        assert_eq!((directory.name(0x1f), directory.name(0x23)), (None, None));
    }
}
