// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is known of the host's device and of the guest's machine before anything is decided.
//!
//! Facts are plain data. Whoever reads them from a host fills the structures; with the feature `serde` they are a file
//! that reproduces one machine on another. Every value may be wrong, and a plan says so.

mod bytes;
#[cfg(feature = "serde")]
pub(crate) mod form;
mod machine;
mod redact;

pub use bytes::{Bytes, BytesError};
pub use machine::{Chipset, Firmware, MachineFacts, RamLayout, Slot};

use alloc::string::String;
use alloc::vec::Vec;

use crate::spec;

/// Most elements of a list in a facts file.
pub const MAX_LIST: usize = 256;

/// Configuration space: 256 or 4096 bytes, or what the host let us read of it.
pub type ConfigBytes = Bytes<4096>;
/// An OpRegion with its extended VBT.
pub type OpRegionBytes = Bytes<{ 1 << 20 }>;
/// An expansion ROM.
pub type RomBytes = Bytes<{ 16 << 20 }>;

/// The version of the facts' format: 1, and nothing else is read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FactsVersion;

impl FactsVersion {
    /// The number it is written as.
    pub const NUMBER: u32 = 1;
}

/// Everything a plan is computed from, but for the options.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct HostFacts {
    /// Version of the format.
    #[cfg_attr(feature = "serde", serde(rename = "facts"))]
    pub version: FactsVersion,
    /// The device and what the host shows with it.
    pub device: DeviceFacts,
    /// The guest's machine.
    #[cfg_attr(feature = "serde", serde(default))]
    pub machine: MachineFacts,
}

/// The host's device as VFIO shows it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct DeviceFacts {
    /// Vendor id.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub vendor: u16,
    /// Device id.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub device: u16,
    /// Class code: base class in bits 23:16, subclass in 15:8, programming interface in 7:0.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub class: u32,
    /// Revision id.
    #[cfg_attr(feature = "serde", serde(default, with = "form::hex"))]
    pub revision: u8,
    /// Subsystem vendor id.
    #[cfg_attr(feature = "serde", serde(default, with = "form::hex"))]
    pub subsystem_vendor: u16,
    /// Subsystem id.
    #[cfg_attr(feature = "serde", serde(default, with = "form::hex"))]
    pub subsystem: u16,
    /// Whether this is an SR-IOV virtual function.
    #[cfg_attr(feature = "serde", serde(default))]
    pub is_virtfn: bool,
    /// Configuration space.
    pub config: ConfigBytes,
    /// Memory and I/O regions.
    #[cfg_attr(feature = "serde", serde(default, with = "form::list"))]
    pub bars: Vec<BarFacts>,
    /// Contents of the OpRegion region (VFIO vendor region, subtype 1), or `None` if there is none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub opregion: Option<OpRegionBytes>,
    /// Configuration space of the host bridge (subtype 2), or `None` if there is none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub host_bridge: Option<ConfigBytes>,
    /// Configuration space of the LPC bridge (subtype 3), or `None` if there is none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub lpc_bridge: Option<ConfigBytes>,
    /// The expansion ROM.
    #[cfg_attr(feature = "serde", serde(default))]
    pub rom: RomFacts,
    /// The VGA region (VFIO region 8), or `None` if there is none.
    #[cfg_attr(feature = "serde", serde(default))]
    pub vga: Option<VgaFacts>,
}

impl DeviceFacts {
    /// Class and subclass, without the programming interface.
    #[must_use]
    pub fn subclass(&self) -> u16 {
        let [_, base, sub, _] = self.class.to_be_bytes();
        u16::from_be_bytes([base, sub])
    }

    /// Whether the base class is that of display controllers.
    #[must_use]
    pub fn is_display(&self) -> bool {
        self.subclass().to_be_bytes().first() == Some(&spec::BASE_CLASS_DISPLAY)
    }

    /// The host's GGC, or `None` if configuration space was not read that far.
    #[must_use]
    pub fn ggc(&self) -> Option<u16> {
        self.config_bytes(spec::GGC).map(u16::from_le_bytes)
    }

    /// The BAR with this index.
    #[must_use]
    pub fn bar(&self, index: u8) -> Option<&BarFacts> {
        self.bars.iter().find(|bar| bar.index == index)
    }

    /// `N` bytes of configuration space, or `None` if it was not read that far.
    pub(crate) fn config_bytes<const N: usize>(&self, offset: u16) -> Option<[u8; N]> {
        self.config.get(usize::from(offset)..)?.first_chunk().copied()
    }
}

/// A memory or I/O region of the device.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct BarFacts {
    /// Index, 0 to 5.
    pub index: u8,
    /// Size in bytes.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub size: u64,
    /// The areas that the host lets us map.
    #[cfg_attr(feature = "serde", serde(default, with = "form::list"))]
    pub mmap: Vec<Extent>,
}

/// A range of bytes in a BAR, in guest memory, or in ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct Extent {
    /// First byte.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub start: u64,
    /// Length in bytes.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub len: u64,
}

impl Extent {
    /// `len` bytes from `start`.
    #[must_use]
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len }
    }

    /// The address one past the last byte, at most `u64::MAX`.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether the two have a byte in common.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.len != 0 && other.len != 0 && self.start < other.end() && other.start < self.end()
    }
}

impl core::fmt::Display for Extent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.len {
            0 => write!(f, "{:#x}, empty", self.start),
            _ => write!(f, "{:#x}-{:#x}", self.start, self.end() - 1),
        }
    }
}

/// The expansion ROM as the host shows it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum RomFacts {
    /// Its bytes.
    Image(RomBytes),
    /// There is none, and why, as far as is known.
    Absent(String),
}

impl Default for RomFacts {
    fn default() -> Self {
        Self::Absent(String::from("not read"))
    }
}

/// The VGA region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct VgaFacts {
    /// Size in bytes.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub size: u64,
    /// Whether it can be read and written.
    pub writable: bool,
}
