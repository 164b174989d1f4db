// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers and layouts of the vfio-user protocol, version 0.
//!
//! ```text
//! header   0 message id, 2 | 2 command, 2 | 4 size with header, 4 | 8 flags, 4 | 12 error, 4
//! flags    3:0 kind: 0 command, 1 reply | 4 no reply wanted | 5 error
//! ```
//!
//! *vfio-user Protocol Specification*; Linux, `include/uapi/linux/vfio.h`.

use crate::bytes::get;

/// Size of a message header.
pub(crate) const HEADER: usize = 16;
/// Most bytes of a region in one message.
pub(crate) const MAX_TRANSFER: usize = 1 << 20;
/// Largest message: a region write with its offset, region and count.
pub(crate) const MAX_MESSAGE: usize = HEADER + 16 + MAX_TRANSFER;
/// Most file descriptors in one message.
pub(crate) const MAX_FDS: usize = 8;
/// Most DMA mappings at a time.
pub(crate) const MAX_DMA_MAPS: usize = 65_535;

pub(crate) const VERSION: u16 = 1;
pub(crate) const DMA_MAP: u16 = 2;
pub(crate) const DMA_UNMAP: u16 = 3;
pub(crate) const DEVICE_GET_INFO: u16 = 4;
pub(crate) const DEVICE_GET_REGION_INFO: u16 = 5;
pub(crate) const DEVICE_GET_IRQ_INFO: u16 = 7;
pub(crate) const DEVICE_SET_IRQS: u16 = 8;
pub(crate) const REGION_READ: u16 = 9;
pub(crate) const REGION_WRITE: u16 = 10;
pub(crate) const DEVICE_RESET: u16 = 13;

pub(crate) const FLAG_KIND: u32 = 0xf;
pub(crate) const FLAG_REPLY: u32 = 1;
pub(crate) const FLAG_NO_REPLY: u32 = 1 << 4;
pub(crate) const FLAG_ERROR: u32 = 1 << 5;

/// Minor version that is answered to newer clients.
pub(crate) const MINOR: u16 = 1;

/// `VFIO_DEVICE_FLAGS_RESET` and `VFIO_DEVICE_FLAGS_PCI`.
pub(crate) const DEVICE_FLAGS: u32 = 0b11;
pub(crate) const REGION_READABLE: u32 = 1 << 0;
pub(crate) const REGION_WRITABLE: u32 = 1 << 1;
pub(crate) const REGION_MAPPABLE: u32 = 1 << 2;
pub(crate) const REGION_CAPS: u32 = 1 << 3;
/// Size of `vfio_region_info`.
pub(crate) const REGION_INFO: u32 = 32;
pub(crate) const CAP_SPARSE_MMAP: u16 = 1;
pub(crate) const CAP_TYPE: u16 = 2;
/// `VFIO_REGION_TYPE_PCI_VENDOR_TYPE` with Intel's vendor id.
pub(crate) const REGION_TYPE_INTEL: u32 = 0x8000_8086;

/// Regions with fixed indices; those with a type follow.
pub(crate) const FIXED_REGIONS: u32 = 9;
pub(crate) const ROM_INDEX: u32 = 6;
pub(crate) const CONFIG_INDEX: u32 = 7;
pub(crate) const VGA_INDEX: u32 = 8;

pub(crate) const IRQ_EVENTFD: u32 = 1 << 0;
pub(crate) const IRQ_MASKABLE: u32 = 1 << 1;
pub(crate) const IRQ_AUTOMASKED: u32 = 1 << 2;
pub(crate) const IRQ_NO_RESIZE: u32 = 1 << 3;
pub(crate) const IRQ_SET_NONE: u32 = 1 << 0;
pub(crate) const IRQ_SET_BOOL: u32 = 1 << 1;
pub(crate) const IRQ_SET_EVENTFD: u32 = 1 << 2;
pub(crate) const IRQ_SET_MASK: u32 = 1 << 3;
pub(crate) const IRQ_SET_UNMASK: u32 = 1 << 4;
pub(crate) const IRQ_SET_TRIGGER: u32 = 1 << 5;

pub(crate) const DMA_UNMAP_ALL: u32 = 1 << 1;

/// Error numbers of Linux, as they stand in a reply.
pub(crate) const EIO: u32 = 5;
pub(crate) const E2BIG: u32 = 7;
pub(crate) const EEXIST: u32 = 17;
pub(crate) const EINVAL: u32 = 22;
pub(crate) const EOPNOTSUPP: u32 = 95;

/// The header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) command: u16,
    pub(crate) size: u32,
    pub(crate) flags: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Self {
        Self {
            id: u16_at(bytes, 0).unwrap_or(0),
            command: u16_at(bytes, 2).unwrap_or(0),
            size: u32_at(bytes, 4).unwrap_or(0),
            flags: u32_at(bytes, 8).unwrap_or(0),
        }
    }

    /// A reply to this message.
    pub(crate) fn reply(&self, body: &[u8]) -> Vec<u8> {
        self.answer(body, FLAG_REPLY, 0)
    }

    /// A reply that says why not.
    pub(crate) fn refuse(&self, error: u32) -> Vec<u8> {
        self.answer(&[], FLAG_REPLY | FLAG_ERROR, error)
    }

    fn answer(&self, body: &[u8], flags: u32, error: u32) -> Vec<u8> {
        let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&self.id.to_le_bytes());
        message.extend_from_slice(&self.command.to_le_bytes());
        message.extend_from_slice(&size.to_le_bytes());
        message.extend_from_slice(&flags.to_le_bytes());
        message.extend_from_slice(&error.to_le_bytes());
        message.extend_from_slice(body);
        message
    }
}

pub(crate) fn u16_at(body: &[u8], offset: usize) -> Option<u16> {
    get(body, offset).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(body: &[u8], offset: usize) -> Option<u32> {
    get(body, offset).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(body: &[u8], offset: usize) -> Option<u64> {
    get(body, offset).map(u64::from_le_bytes)
}
