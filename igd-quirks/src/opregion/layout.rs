// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Offsets and bits of the OpRegion.
//!
//! Intel "Integrated Graphics Device OpRegion Specification", as Linux `intel_opregion.c` and `VfioIgdPkg`'s
//! `IgdOpRegion.h` use it.

/// First bytes, without a final NUL.
pub const SIGNATURE: &[u8; 16] = b"IntelGraphicsMem";
/// Size field, in KiB: 32 bits.
pub const SIZE_KIB: usize = 0x10;
/// The only value of the size field that layouts exist for.
pub const SIZE_IN_KIB: u32 = 8;
/// Bytes of signature and size field.
pub const HEADER_LEN: usize = 0x14;
/// Bytes of the OpRegion without an extended VBT.
pub const SIZE: usize = 0x2000;
/// Minor version, then major: 16 bits.
pub const VERSION: usize = 0x16;
/// Mailboxes: 32 bits.
pub const MBOX: usize = 0x58;
/// MBOX bit of mailbox 1.
pub const MBOX_ACPI: u32 = 1 << 0;
/// MBOX bit of mailbox 2. Obsolete in 2.x, to be ignored in 3.x.
pub const MBOX_SWSCI: u32 = 1 << 1;
/// MBOX bit of mailbox 3.
pub const MBOX_ASLE: u32 = 1 << 2;
/// MBOX bit of mailbox 4.
pub const MBOX_VBT: u32 = 1 << 3;
/// MBOX bit of mailbox 5.
pub const MBOX_ASLE_EXT: u32 = 1 << 4;
/// Platform configuration: 32 bits.
pub const PCON: usize = 0x60;
/// PCON bit: the platform has no display.
pub const PCON_HEADLESS: u32 = 1 << 13;
/// RVDA, where the extended VBT lies: 64 bits, unaligned.
pub const RVDA: usize = 0x3ba;
/// RVDS, bytes of the extended VBT: 32 bits, unaligned.
pub const RVDS: usize = 0x3c2;
/// Start of mailbox 4.
pub const MAILBOX4: usize = 0x400;
/// Start of mailbox 5.
pub const MAILBOX5: usize = 0x1c00;
/// Bytes of a page, to which a copy may be padded.
pub const PAGE: u64 = 0x1000;
