// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Items: what a guest reads and writes, and where the bytes come from.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use crate::spec::ITEM_LEN_MAX;

/// Content that stays where it is and is read by position, such as a kernel in a file.
pub trait Source: fmt::Debug + Send + Sync {
    /// Fills `buf` from `offset` bytes into the content.
    ///
    /// `offset + buf.len()` is never more than the length given to [`Item::from_source`].
    ///
    /// # Errors
    ///
    /// The bytes could not be read. The guest reads zeros then and the VMM is told.
    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>>;
}

#[cfg(all(feature = "std", unix))]
impl Source for std::fs::File {
    fn read_at(&self, offset: u32, buf: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(std::os::unix::fs::FileExt::read_exact_at(self, buf, u64::from(offset))?)
    }
}

/// The content of a key.
///
/// Made from bytes, read-only at first: `Vec<u8>`, `[u8; N]`, `&[u8]`, or `Arc<[u8]>`, which is not copied. What should
/// not be in memory at all comes from a [`Source`].
///
/// ```
/// use fwcfg::Item;
///
/// let cpus = Item::from(2u16.to_le_bytes());
/// assert_eq!((cpus.len(), cpus.is_writable()), (2, false));
/// let vmcoreinfo = Item::writable(vec![0; 16]);
/// assert!(vmcoreinfo.is_writable());
/// ```
#[derive(Debug)]
pub struct Item {
    pub(crate) content: Content,
    pub(crate) writable: bool,
    pub(crate) pauses: bool,
    pub(crate) reset: Option<Vec<u8>>,
}

/// In memory there is one form only, so that reading a byte needs no decision. A clone of it is the device's window on
/// the selected item.
#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Arc<[u8]>),
    Source(Box<dyn Source>, u32),
}

impl Item {
    fn read_only(content: Content) -> Self {
        Self {
            content,
            writable: false,
            pauses: false,
            reset: None,
        }
    }

    /// An item that a guest may write by DMA.
    ///
    /// A reset of the device restores `initial`; see [`kept_on_reset`](Self::kept_on_reset) and
    /// [`with_reset_value`](Self::with_reset_value).
    #[must_use]
    pub fn writable(initial: impl Into<Vec<u8>>) -> Self {
        let initial = initial.into();
        Self {
            content: Content::Bytes(Arc::from(initial.as_slice())),
            writable: true,
            pauses: false,
            reset: Some(initial),
        }
    }

    /// `len` bytes of a source, read when a guest asks for them.
    #[must_use]
    pub fn from_source(source: Box<dyn Source>, len: u32) -> Self {
        Self::read_only(Content::Source(source, len))
    }

    /// A file, read when a guest asks for it. Its length is taken now.
    ///
    /// # Errors
    ///
    /// The length cannot be read, or is more than [`ITEM_LEN_MAX`].
    #[cfg(all(feature = "std", unix))]
    pub fn from_file(file: std::fs::File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        match u32::try_from(len) {
            Ok(short) if short <= ITEM_LEN_MAX => Ok(Self::from_source(Box::new(file), short)),
            _ => Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                std::format!("file is {len} bytes, an item has at most {ITEM_LEN_MAX}"),
            )),
        }
    }

    /// Makes a reset leave what the guest wrote.
    #[must_use]
    pub fn kept_on_reset(mut self) -> Self {
        self.reset = None;
        self
    }

    /// Makes a reset of the device store `value`, which has the length of the item.
    ///
    /// An item that is not writable ignores it.
    #[must_use]
    pub fn with_reset_value(mut self, value: impl Into<Vec<u8>>) -> Self {
        if self.writable {
            self.reset = Some(value.into());
        }
        self
    }

    /// Makes a DMA command that selects the item and transfers at once wait between the two.
    ///
    /// The VMM can replace the content there, as [`Effects::paused`](crate::Effects::paused) describes. A selection
    /// without transfer needs no such pause: it is reported before the guest can read.
    #[must_use]
    pub fn paused_on_select(mut self) -> Self {
        self.pauses = true;
        self
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Source(_, len) => u64::from(*len),
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a guest may write the item by DMA.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The bytes, or `None` if they stay in a [`Source`].
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Source(..) => None,
        }
    }

    /// Length in bytes; a device holds no item longer than [`ITEM_LEN_MAX`].
    pub(crate) fn len32(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(ITEM_LEN_MAX)
    }

    /// Stores the reset value, if there is one.
    pub(crate) fn reset(&mut self) {
        if let (Content::Bytes(bytes), Some(value)) = (&mut self.content, &self.reset)
            && bytes.len() == value.len()
        {
            Arc::make_mut(bytes).copy_from_slice(value);
        }
    }
}

impl From<Arc<[u8]>> for Item {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::read_only(Content::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Item {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Arc::<[u8]>::from(bytes))
    }
}

impl From<&[u8]> for Item {
    fn from(bytes: &[u8]) -> Self {
        Self::from(Arc::<[u8]>::from(bytes))
    }
}

impl<const N: usize> From<[u8; N]> for Item {
    fn from(bytes: [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl<const N: usize> From<&[u8; N]> for Item {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}
