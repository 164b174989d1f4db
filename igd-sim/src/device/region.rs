// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Regions: what of a device is accessed, and how an access fails.

use core::fmt;
use core::str::FromStr;

use crate::memory::MemoryError;

/// What a region holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RegionKind {
    /// A base address register's memory or ports, 0 to 5.
    Bar(u8),
    /// The option ROM.
    Rom,
    /// Configuration space of the graphics function.
    Config,
    /// The legacy VGA ranges; an offset is an address or a port.
    Vga,
    /// The OpRegion with its VBT.
    OpRegion,
    /// Configuration space of the host bridge, 00:00.0.
    HostBridge,
    /// Configuration space of the ISA bridge, 00:1f.0.
    LpcBridge,
}

impl RegionKind {
    /// Whether nothing in it can be written.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        matches!(self, Self::Rom | Self::OpRegion | Self::HostBridge | Self::LpcBridge)
    }
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(index) => write!(f, "bar{index}"),
            Self::Rom => f.write_str("rom"),
            Self::Config => f.write_str("config"),
            Self::Vga => f.write_str("vga"),
            Self::OpRegion => f.write_str("opregion"),
            Self::HostBridge => f.write_str("host-bridge"),
            Self::LpcBridge => f.write_str("lpc-bridge"),
        }
    }
}

/// Text that names no region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no region of this name")]
pub struct ParseRegionError;

impl FromStr for RegionKind {
    type Err = ParseRegionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "bar0" => Self::Bar(0),
            "bar2" => Self::Bar(2),
            "bar4" => Self::Bar(4),
            "rom" => Self::Rom,
            "config" => Self::Config,
            "vga" => Self::Vga,
            "opregion" => Self::OpRegion,
            "host-bridge" => Self::HostBridge,
            "lpc-bridge" => Self::LpcBridge,
            _ => return Err(ParseRegionError),
        })
    }
}

/// A region of a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Region {
    /// What it holds.
    pub kind: RegionKind,
    /// Size in bytes.
    pub size: u64,
    /// Whether it can be written.
    pub writable: bool,
}

/// An access that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The device has no such region.
    #[error("the device has no region {region}")]
    NoRegion {
        /// The region.
        region: RegionKind,
    },
    /// The access lies outside of the region, or reaches its end.
    #[error("{len} bytes at {offset:#x} of {region}: the region has {size:#x}")]
    OutOfBounds {
        /// The region.
        region: RegionKind,
        /// Offset of the first byte.
        offset: u64,
        /// Length in bytes.
        len: usize,
        /// Size of the region in bytes.
        size: u64,
    },
    /// No VGA memory or port is there.
    #[error("{len} bytes at {address:#x} of vga: neither VGA memory nor one of its ports")]
    NotVga {
        /// Address or port of the first byte.
        address: u64,
        /// Length in bytes.
        len: usize,
    },
    /// Fewer bytes were delivered than asked for.
    #[error("{got} of {wanted} bytes at {offset:#x} of {region}")]
    Short {
        /// The region.
        region: RegionKind,
        /// Offset of the first byte.
        offset: u64,
        /// Bytes asked for.
        wanted: usize,
        /// Bytes delivered.
        got: usize,
    },
    /// The region cannot be written.
    #[error("a write at {offset:#x} of {region}, which is read-only")]
    ReadOnly {
        /// The region.
        region: RegionKind,
        /// Offset of the first byte.
        offset: u64,
    },
    /// The function does not decode its memory now.
    #[error("an access at {offset:#x} of {region} while memory decoding is off")]
    NotDecoded {
        /// The region.
        region: RegionKind,
        /// Offset of the first byte.
        offset: u64,
    },
    /// A fault that was asked for.
    #[error("an injected error at {offset:#x} of {region}")]
    Injected {
        /// The region.
        region: RegionKind,
        /// Offset of the first byte.
        offset: u64,
    },
    /// The memory behind a region failed.
    #[error("{region}: {source}")]
    Memory {
        /// The region.
        region: RegionKind,
        /// Why.
        source: MemoryError,
    },
}
