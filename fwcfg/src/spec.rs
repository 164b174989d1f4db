// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers, keys and wire formats.
//!
//! QEMU documentation, `docs/specs/fw_cfg.rst` ("QEMU Firmware Configuration Device"), and, where that page is
//! silent, the answers of QEMU 7.2 and 11.1.

/// First x86 I/O port of the device.
pub const PORT_BASE: u16 = 0x510;
/// I/O ports of a device with DMA: 0x510 to 0x51B.
pub const PORT_COUNT: u16 = 12;
/// I/O ports of a device without DMA: 0x510 and 0x511.
pub const PORT_COUNT_WITHOUT_DMA: u16 = 2;
/// Offset of the selector in the port window: 16 bits, little-endian, write-only.
pub const PORT_SELECTOR: u16 = 0;
/// Offset of the data port in the port window: 8 bits.
pub const PORT_DATA: u16 = 1;
/// Offset of the DMA address in the port window: 64 bits, big-endian.
pub const PORT_DMA: u16 = 4;

/// Bytes of the memory-mapped window of a device with DMA.
pub const MMIO_SIZE: u64 = 0x18;
/// Bytes of the memory-mapped window of a device without DMA.
pub const MMIO_SIZE_WITHOUT_DMA: u64 = 0x0a;
/// Offset of the data register in the memory-mapped window.
pub const MMIO_DATA: u64 = 0;
/// Offset of the selector in the memory-mapped window: 16 bits, big-endian, write-only.
pub const MMIO_SELECTOR: u64 = 8;
/// Offset of the DMA address in the memory-mapped window: 64 bits, big-endian.
pub const MMIO_DMA: u64 = 0x10;

/// Key of the signature, `QEMU`.
pub const KEY_SIGNATURE: u16 = 0x0000;
/// Key of the revision: [`ID_TRADITIONAL`] and [`ID_DMA`], 32 bits, little-endian.
pub const KEY_ID: u16 = 0x0001;
/// Key of the file directory.
pub const KEY_FILE_DIR: u16 = 0x0019;
/// Key of the first file; numbered items have smaller keys.
pub const KEY_FILE_FIRST: u16 = 0x0020;
/// Bit of a key that selects the table of the architecture's own items.
pub const KEY_ARCH_LOCAL: u16 = 0x8000;
/// Bit of a key that the device ignores: the write channel of QEMU before 2.4.
pub const KEY_WRITE_CHANNEL: u16 = 0x4000;
/// Bits of a key that number the item in its table.
pub const KEY_INDEX: u16 = 0x3fff;
/// What the selector becomes when a guest selects an index that is out of range.
pub const KEY_INVALID: u16 = 0xffff;

/// Content of the item [`KEY_SIGNATURE`].
pub const SIGNATURE: [u8; 4] = *b"QEMU";
/// Revision bit: the device has a selector and a data register.
pub const ID_TRADITIONAL: u32 = 1 << 0;
/// Revision bit: the device has the DMA interface.
pub const ID_DMA: u32 = 1 << 1;

/// File slots of QEMU's machines since 2.9.
pub const FILE_SLOTS_DEFAULT: u16 = 0x20;
/// Fewest file slots a device may have.
pub const FILE_SLOTS_MIN: u16 = 0x10;
/// Most file slots a device may have, so that [`KEY_INVALID`] stays out of range.
pub const FILE_SLOTS_MAX: u16 = KEY_INDEX - KEY_FILE_FIRST;

/// Bytes of one record of the file directory: size (u32), key (u16), reserved (u16), all big-endian, and the name.
pub const DIR_RECORD_LEN: usize = 64;
/// Bytes of the name field of a record, with the NUL that ends it.
pub const FILE_NAME_FIELD: usize = 56;
/// Most characters of a file name.
pub const FILE_NAME_MAX: usize = FILE_NAME_FIELD - 1;
/// Largest item in bytes.
pub const ITEM_LEN_MAX: u32 = u32::MAX - 1;

/// What the DMA address register reads as: `QEMU CFG`.
pub const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";
/// Bytes of a DMA descriptor: control (u32), length (u32), guest-physical address (u64), all big-endian.
pub const DMA_DESCRIPTOR_LEN: usize = 16;
/// Control bit that the device sets when a command failed.
pub const DMA_ERROR: u32 = 1 << 0;
/// Control bit: copy from the item to guest memory.
pub const DMA_READ: u32 = 1 << 1;
/// Control bit: move the offset only.
pub const DMA_SKIP: u32 = 1 << 2;
/// Control bit: select the key in bits 31:16 first.
pub const DMA_SELECT: u32 = 1 << 3;
/// Control bit: copy from guest memory to the item.
pub const DMA_WRITE: u32 = 1 << 4;
/// Where the key starts in the control field.
pub const DMA_KEY_SHIFT: u32 = 16;
