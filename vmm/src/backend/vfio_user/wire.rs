// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers and layouts of the vfio-user protocol, version 0, little endian.
//!
//! ```text
//! header   0 message id, 2 | 2 command, 2 | 4 size with header, 4 | 8 flags, 4 | 12 error, 4
//! flags    3:0 kind: 0 command, 1 reply | 4 no reply wanted | 5 error
//! ```
//!
//! *vfio-user Protocol Specification*; Linux, `include/uapi/linux/vfio.h`.

/// Size of a message header.
pub(super) const HEADER: usize = 16;
/// Size of what precedes the bytes of a region's access: offset, region, count.
pub(super) const ACCESS: usize = 16;
/// Most bytes of a region in one message.
pub(super) const MAX_TRANSFER: usize = 4096;
/// Most bytes behind the header of a reply.
pub(super) const MAX_BODY: usize = ACCESS + MAX_TRANSFER;

/// What is asked of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub(super) enum Command {
    Version = 1,
    DmaMap = 2,
    DmaUnmap = 3,
    DeviceGetInfo = 4,
    RegionGetInfo = 5,
    IrqGetInfo = 7,
    SetIrqs = 8,
    RegionRead = 9,
    RegionWrite = 10,
    DeviceReset = 13,
}

impl Command {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Version => "VERSION",
            Self::DmaMap => "DMA_MAP",
            Self::DmaUnmap => "DMA_UNMAP",
            Self::DeviceGetInfo => "DEVICE_GET_INFO",
            Self::RegionGetInfo => "DEVICE_GET_REGION_INFO",
            Self::IrqGetInfo => "DEVICE_GET_IRQ_INFO",
            Self::SetIrqs => "DEVICE_SET_IRQS",
            Self::RegionRead => "REGION_READ",
            Self::RegionWrite => "REGION_WRITE",
            Self::DeviceReset => "DEVICE_RESET",
        }
    }
}

pub(super) const FLAG_KIND: u32 = 0xf;
pub(super) const FLAG_REPLY: u32 = 1;
pub(super) const FLAG_ERROR: u32 = 1 << 5;

/// Version 0.1 and what we take: one descriptor a message, no more bytes than above.
pub(super) const VERSION: &[u8] = b"\0\0\x01\0{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":4096}}\0";
pub(super) const MINOR: u16 = 1;
/// What a peer takes that does not say.
pub(super) const DEFAULT_FDS: u64 = 1;
/// As above, in bytes.
pub(super) const DEFAULT_TRANSFER: u64 = 1 << 20;

pub(super) const DEVICE_RESET: u32 = 1 << 0;
pub(super) const DEVICE_PCI: u32 = 1 << 1;

pub(super) const REGION_READABLE: u32 = 1 << 0;
pub(super) const REGION_WRITABLE: u32 = 1 << 1;
pub(super) const REGION_MAPPABLE: u32 = 1 << 2;
pub(super) const REGION_CAPS: u32 = 1 << 3;
/// Size of `vfio_region_info`.
pub(super) const REGION_INFO: usize = 32;
pub(super) const CAP_SPARSE_MMAP: u16 = 1;
pub(super) const CAP_TYPE: u16 = 2;

/// Regions with fixed indices; those with a type follow.
pub(super) const FIXED_REGIONS: u32 = 9;
pub(super) const ROM_INDEX: u32 = 6;
pub(super) const CONFIG_INDEX: u32 = 7;
pub(super) const VGA_INDEX: u32 = 8;

pub(super) const IRQ_SET_NONE: u32 = 1 << 0;
pub(super) const IRQ_SET_EVENTFD: u32 = 1 << 2;
pub(super) const IRQ_SET_MASK: u32 = 1 << 3;
pub(super) const IRQ_SET_UNMASK: u32 = 1 << 4;
pub(super) const IRQ_SET_TRIGGER: u32 = 1 << 5;

/// Readable and writable.
pub(super) const DMA_ACCESS: u32 = 0b11;

pub(super) fn u16_at(body: &[u8], offset: usize) -> Option<u16> {
    body.get(offset..)?.first_chunk().copied().map(u16::from_le_bytes)
}

pub(super) fn u32_at(body: &[u8], offset: usize) -> Option<u32> {
    body.get(offset..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(super) fn u64_at(body: &[u8], offset: usize) -> Option<u64> {
    body.get(offset..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Dwords one after the other.
pub(super) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Offset, region and count of an access.
pub(super) fn access(offset: u64, region: u32, count: u32) -> [u8; ACCESS] {
    let value = u128::from(offset) | u128::from(region) << 64 | u128::from(count) << 96;
    value.to_le_bytes()
}
