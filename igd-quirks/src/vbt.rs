// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The video BIOS table (VBT): which displays a board has.
//!
//! Layout of Linux `intel_vbt_defs.h` (MIT).

use core::fmt;

use crate::bytes::{u16_at, u32_at};

const SIGNATURE: &[u8; 4] = b"$VBT";
const VERSION: usize = 20;
const HEADER_SIZE: usize = 22;
const TABLE_SIZE: usize = 24;
const BDB_OFFSET: usize = 28;
/// Bytes of the VBT header that are read.
const HEADER_LEN: usize = 48;
const BDB_SIGNATURE: &[u8; 15] = b"BIOS_DATA_BLOCK";
const BDB_VERSION: usize = 16;
const BDB_HEADER_SIZE: usize = 18;
const BDB_SIZE: usize = 20;
/// Bytes of the BDB header.
const BDB_HEADER_LEN: usize = 22;
/// Bytes before the data of a block: id (8 bits), size (16 bits).
const BLOCK_HEADER_LEN: usize = 3;
const BLOCK_GENERAL_DEFINITIONS: u8 = 2;
const BLOCK_MIPI_SEQUENCE: u8 = 53;
/// From this version of block 53 on its size is a 32-bit field after the version.
const MIPI_SEQUENCE_LONG: u8 = 3;
/// Offset in block 2 of the size of a child device.
const CHILD_SIZE: usize = 4;
/// Offset in block 2 of the first child device.
const CHILDREN: usize = 5;
const CHILD_TYPE: usize = 2;
const CHILD_PORT: usize = 16;
/// First version of the BDB whose port numbers have the names of [`ChildDevice::port_name`].
const NAMED_PORTS: u16 = 155;

/// Blocks by id, for people.
#[rustfmt::skip]
const BLOCK_NAMES: &[(u8, &str)] = &[
    (1,   "general features"),
    (2,   "general definitions"),
    (6,   "extended MMIO registers"),
    (7,   "software flags, I/O"),
    (8,   "software flags, MMIO"),
    (9,   "panel self refresh"),
    (12,  "driver features"),
    (13,  "driver persistence"),
    (18,  "driver rotation"),
    (20,  "OEM modes"),
    (26,  "TV options"),
    (27,  "eDP"),
    (40,  "panel options"),
    (41,  "panel data pointers"),
    (42,  "panel data"),
    (43,  "panel backlight"),
    (44,  "panel power"),
    (52,  "MIPI configuration"),
    (53,  "MIPI sequences"),
    (56,  "compression parameters"),
    (58,  "generic timings"),
    (254, "VBIOS private"),
];

/// Ports by number, from BDB version 155 on.
const PORT_NAMES: [&str; 25] = [
    "HDMI-A", "HDMI-B", "HDMI-C", "HDMI-D", "LVDS", "TV", "CRT", "DP-B", "DP-C", "DP-D", "DP-A", "DP-E", "HDMI-E",
    "DP-F", "HDMI-F", "DP-G", "HDMI-G", "DP-H", "HDMI-H", "DP-I", "HDMI-I", "MIPI-A", "MIPI-B", "MIPI-C", "MIPI-D",
];

/// A VBT whose header and data blocks lie within its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vbt<'a> {
    table: &'a [u8],
    bdb: &'a [u8],
}

/// Why bytes are no VBT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VbtError {
    /// Too few bytes for the header.
    #[error("VBT is {len} bytes, too few for its header of 48 bytes")]
    NoHeader {
        /// Bytes given.
        len: usize,
    },
    /// Another signature.
    #[error("VBT starts with \"{}\", not \"$VBT\"", found.escape_ascii())]
    Signature {
        /// The bytes in its place.
        found: [u8; 4],
    },
    /// The table is longer than the bytes, or shorter than its header.
    #[error("VBT is {len} bytes, its header says {told}")]
    TableSize {
        /// Bytes given.
        len: usize,
        /// Bytes by the header.
        told: usize,
    },
    /// The data blocks (BDB) start outside of the table.
    #[error("BDB at {offset:#x} does not fit a VBT of {len} bytes")]
    BdbOffset {
        /// Offset of the BDB.
        offset: u32,
        /// Bytes of the table.
        len: usize,
    },
    /// Another signature of the data blocks.
    #[error("BDB starts with \"{}\", not \"BIOS_DATA_BLOCK\"", found.escape_ascii())]
    BdbSignature {
        /// The bytes in its place.
        found: [u8; 15],
    },
    /// The data blocks are longer than the rest of the table, or shorter than their header.
    #[error("BDB has {len} bytes of the VBT, its header says {told} with a header of {header}")]
    BdbSize {
        /// Bytes from its start to the end of the table.
        len: usize,
        /// Bytes by the header.
        told: usize,
        /// Bytes of the header by the header.
        header: usize,
    },
}

/// A data block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block<'a> {
    /// Id.
    pub id: u8,
    /// Content.
    pub data: &'a [u8],
}

impl Block<'_> {
    /// What the block is about, where that is public.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        BLOCK_NAMES.iter().find(|(id, _)| *id == self.id).map(|(_, name)| *name)
    }
}

/// A display output of the board.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChildDevice {
    /// Handle.
    pub handle: u16,
    /// Bits that describe the output; 0 is an unused entry.
    pub device_type: u16,
    /// Number of the port.
    pub port: u8,
    bdb_version: u16,
}

impl ChildDevice {
    /// Name of the port, such as `DP-A`, where the version of the table defines one.
    #[must_use]
    pub fn port_name(&self) -> Option<&'static str> {
        let named = self.bdb_version >= NAMED_PORTS;
        PORT_NAMES.get(usize::from(self.port)).copied().filter(|_| named)
    }

    /// Whether the output is inside of the case: a panel.
    #[must_use]
    pub const fn internal(&self) -> bool {
        self.device_type & 1 << 12 != 0
    }
}

impl<'a> Vbt<'a> {
    /// Checks header and data blocks. Bytes after the table are ignored, and so is a wrong checksum: drivers do.
    ///
    /// # Errors
    ///
    /// [`VbtError`] where a signature is wrong or a size does not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, VbtError> {
        let len = bytes.len();
        let no_header = VbtError::NoHeader { len };
        let header = bytes.get(..HEADER_LEN).ok_or(no_header)?;
        let found = *header.first_chunk().ok_or(no_header)?;
        if &found != SIGNATURE {
            return Err(VbtError::Signature { found });
        }
        let told = usize::from(u16_at(header, TABLE_SIZE).ok_or(no_header)?);
        let table = bytes.get(..told).filter(|table| table.len() >= HEADER_LEN);
        let table = table.ok_or(VbtError::TableSize { len, told })?;

        let offset = u32_at(header, BDB_OFFSET).ok_or(no_header)?;
        let no_bdb = VbtError::BdbOffset {
            offset,
            len: table.len(),
        };
        let bdb = usize::try_from(offset)
            .ok()
            .and_then(|offset| table.get(offset..))
            .ok_or(no_bdb)?;
        let header = bdb.get(..BDB_HEADER_LEN).ok_or(no_bdb)?;
        let found = *header.first_chunk().ok_or(no_bdb)?;
        if &found != BDB_SIGNATURE {
            return Err(VbtError::BdbSignature { found });
        }
        let told = usize::from(u16_at(header, BDB_SIZE).ok_or(no_bdb)?);
        let header = usize::from(u16_at(header, BDB_HEADER_SIZE).ok_or(no_bdb)?);
        let size = VbtError::BdbSize {
            len: bdb.len(),
            told,
            header,
        };
        let bdb = bdb
            .get(..told)
            .filter(|bdb| (BDB_HEADER_LEN..=bdb.len()).contains(&header))
            .ok_or(size)?;
        Ok(Self { table, bdb })
    }

    /// The bytes of the table.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.table
    }

    /// Product string, such as `$VBT TIGERLAKE`, as far as it is printable.
    #[must_use]
    pub fn product(&self) -> &'a str {
        let field = self.table.get(..VERSION).unwrap_or_default();
        let len = field
            .iter()
            .position(|byte| !matches!(byte, b' '..=b'~'))
            .unwrap_or(field.len());
        field
            .get(..len)
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or_default()
            .trim_end()
    }

    /// Version of the header.
    #[must_use]
    pub fn version(&self) -> u16 {
        u16_at(self.table, VERSION).unwrap_or_default()
    }

    /// Length of the header in bytes, as the header says.
    #[must_use]
    pub fn header_size(&self) -> u16 {
        u16_at(self.table, HEADER_SIZE).unwrap_or_default()
    }

    /// Version of the data blocks (BDB).
    #[must_use]
    pub fn bdb_version(&self) -> u16 {
        u16_at(self.bdb, BDB_VERSION).unwrap_or_default()
    }

    /// Whether the bytes of the table add up to zero.
    #[must_use]
    pub fn checksum_ok(&self) -> bool {
        self.table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0
    }

    /// The data blocks in order, up to the first that leaves the table.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'a>> + use<'a> {
        let header = usize::from(u16_at(self.bdb, BDB_HEADER_SIZE).unwrap_or_default());
        let mut rest = self.bdb.get(header..).unwrap_or_default();
        core::iter::from_fn(move || {
            let (block, next) = split_block(rest)?;
            rest = next;
            Some(block)
        })
    }

    /// The outputs of the board: the used entries of block 2.
    pub fn child_devices(&self) -> impl Iterator<Item = ChildDevice> + use<'a> {
        let bdb_version = self.bdb_version();
        let data = self
            .blocks()
            .find(|block| block.id == BLOCK_GENERAL_DEFINITIONS)
            .map_or(&[][..], |block| block.data);
        let size = data.get(CHILD_SIZE).copied().map_or(0, usize::from);
        let entries = data.get(CHILDREN..).unwrap_or_default();
        entries.chunks_exact(size.max(1)).filter_map(move |entry| {
            let device = ChildDevice {
                handle: u16_at(entry, 0)?,
                device_type: u16_at(entry, CHILD_TYPE)?,
                port: *entry.get(CHILD_PORT)?,
                bdb_version,
            };
            (device.device_type != 0).then_some(device)
        })
    }
}

/// The first block of `rest` and what follows it.
fn split_block(rest: &[u8]) -> Option<(Block<'_>, &[u8])> {
    let id = *rest.first()?;
    let data = rest.get(BLOCK_HEADER_LEN..)?;
    let size = match (id, data.first()) {
        (BLOCK_MIPI_SEQUENCE, Some(version)) if *version >= MIPI_SEQUENCE_LONG => {
            usize::try_from(u32_at(data, 1)?).ok()?
        }
        _ => usize::from(u16_at(rest, 1)?),
    };
    Some((
        Block {
            id,
            data: data.get(..size)?,
        },
        data.get(size..)?,
    ))
}

impl fmt::Display for Vbt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = if self.checksum_ok() { "right" } else { "wrong" };
        writeln!(
            f,
            "{} version {}, {} bytes, checksum {sum}",
            self.product(),
            self.version(),
            self.table.len()
        )?;
        writeln!(f, "data blocks version {}", self.bdb_version())?;
        for block in self.blocks() {
            writeln!(
                f,
                "  block {:3} {:6} bytes  {}",
                block.id,
                block.data.len(),
                block.name().unwrap_or("unknown")
            )?;
        }
        for device in self.child_devices() {
            let place = if device.internal() { "internal" } else { "external" };
            write!(
                f,
                "  output {:#06x} type {:#06x} {place} port {}",
                device.handle, device.device_type, device.port
            )?;
            match device.port_name() {
                Some(name) => writeln!(f, " ({name})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
