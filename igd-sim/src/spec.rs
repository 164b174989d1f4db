// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Offsets and fields of Intel's graphics function and of what belongs to it.
//!
//! Sources: *6th Generation Intel Core Processor Datasheet, Volume 2* (section "Processor Graphics Registers") and its
//! siblings; *Intel Integrated Graphics Device OpRegion Specification*; *PCI Firmware Specification* 3.0, section 5.1;
//! Linux, `drivers/gpu/drm/i915` and `drivers/vfio/pci/vfio_pci_igd.c`.

/// Vendor id of Intel.
pub const INTEL: u16 = 0x8086;

/// 1 KiB in bytes.
pub const KIB: u64 = 1 << 10;
/// 1 MiB in bytes.
pub const MIB: u64 = 1 << 20;

/// Registers in the configuration space of the graphics function.
pub mod config {
    /// Graphics control (GGC), 2 bytes: stolen memory, size of the GTT, VGA disable.
    pub const GGC: u16 = 0x50;
    /// Base of stolen memory (BDSM) before generation 11, 4 bytes: address in 31:20, lock in 0.
    pub const BDSM: u16 = 0x5c;
    /// Base of stolen memory of generations 11 and 12, 8 bytes: address in 63:20, lock in 0.
    pub const BDSM64: u16 = 0xc0;
    /// Driver notification (ASLE), 4 bytes.
    pub const ASLE: u16 = 0xe4;
    /// Software SCI, 2 bytes.
    pub const SWSCI: u16 = 0xe8;
    /// Address of the OpRegion (ASLS), 4 bytes.
    pub const ASLS: u16 = 0xfc;
    /// VGA disable (IVD) in [`GGC`].
    pub const GGC_VGA_DISABLE: u16 = 1 << 1;
    /// Lock bit of [`BDSM`] and [`BDSM64`].
    pub const BDSM_LOCK: u8 = 1;
}

/// Registers in the configuration space of the host bridge, 00:00.0.
pub mod host {
    /// Copy of the graphics control register, 2 bytes.
    pub const GGC: u16 = 0x50;
    /// Base of stolen memory, 4 bytes.
    pub const BDSM: u16 = 0xb0;
    /// Base of the stolen memory that holds the GTT, 4 bytes.
    pub const BGSM: u16 = 0xb4;
    /// Top of low usable memory (TOLUD), 4 bytes.
    pub const TOLUD: u16 = 0xbc;
}

/// Registers in BAR0.
pub mod mmio {
    /// Copy of the graphics control register, 4 bytes.
    pub const GGC: u64 = 0x10_8040;
    /// Copy of the base of stolen memory, 4 bytes, 8 from generation 11 on.
    pub const BDSM: u64 = 0x10_80c0;
    /// Base of the stolen memory that holds the GTT, 8 bytes.
    pub const GSMBASE: u64 = 0x10_8100;
    /// The part of stolen memory that the firmware keeps, 4 bytes: address, size, enable in 0.
    pub const STOLEN_RESERVED: u64 = 0x10_82c0;
    /// Fuse status: power gates whose fuses are distributed.
    pub const FUSE_STATUS: u64 = 0x4_2000;
    /// Whether the processor lets drivers reach stolen memory (Meteor Lake).
    pub const STOLEN_ACCESS: u64 = 0x13_8914;
}

/// Layout of the OpRegion.
pub mod opregion {
    /// The signature at offset 0.
    pub const SIGNATURE: &[u8; 16] = b"IntelGraphicsMem";
    /// Size in KiB, 4 bytes.
    pub const SIZE_KIB: usize = 0x10;
    /// Minor version; the major one follows.
    pub const MINOR: usize = 0x16;
    /// Version string of the system BIOS, 32 bytes.
    pub const BIOS_VERSION: usize = 0x18;
    /// Supported mailboxes, 4 bytes.
    pub const MAILBOXES: usize = 0x58;
    /// Displays that are attached (DIDL), 8 dwords of mailbox 1.
    pub const DISPLAYS: usize = 0x120;
    /// Time to sleep between polls of mailbox 2, in milliseconds.
    pub const SLEEP: usize = 0x208;
    /// Address or offset of an extended VBT (RVDA), 8 bytes, not aligned.
    pub const RVDA: usize = 0x3ba;
    /// Size of an extended VBT (RVDS), 4 bytes, not aligned.
    pub const RVDS: usize = 0x3c2;
    /// Mailbox 4, with the VBT.
    pub const VBT: usize = 0x400;
    /// Size of mailbox 4.
    pub const VBT_LEN: usize = 0x1800;
    /// Size of the OpRegion without an extended VBT.
    pub const LEN: usize = 0x2000;
    /// Mailbox 1, ACPI.
    pub const MAILBOX_ACPI: u32 = 1 << 0;
    /// Mailbox 2, software SCI.
    pub const MAILBOX_SWSCI: u32 = 1 << 1;
    /// Mailbox 3, BIOS to driver.
    pub const MAILBOX_ASLE: u32 = 1 << 2;
    /// Mailbox 4, VBT.
    pub const MAILBOX_VBT: u32 = 1 << 3;
}

/// Layout of the VBT and of the BIOS data block in it.
pub mod vbt {
    /// First bytes of the product string.
    pub const SIGNATURE: &[u8; 4] = b"$VBT";
    /// Size of the header.
    pub const HEADER: usize = 48;
    /// Version, 2 bytes.
    pub const VERSION: usize = 20;
    /// Size of the header, 2 bytes.
    pub const HEADER_SIZE: usize = 22;
    /// Size of the table, 2 bytes.
    pub const TABLE_SIZE: usize = 24;
    /// The byte that makes the sum of all zero.
    pub const CHECKSUM: usize = 26;
    /// Offset of the BIOS data block, 4 bytes.
    pub const BDB_OFFSET: usize = 28;
    /// First bytes of the BIOS data block.
    pub const BDB_SIGNATURE: &[u8; 16] = b"BIOS_DATA_BLOCK ";
    /// Size of the header of the BIOS data block.
    pub const BDB_HEADER: usize = 22;
    /// A block that no driver reads.
    pub const BLOCK_PRIVATE: u8 = 0xfe;
}

/// Layout of an option ROM image.
pub mod rom {
    /// First bytes of each image.
    pub const SIGNATURE: [u8; 2] = [0x55, 0xaa];
    /// Pointer to the PCI data structure, 2 bytes.
    pub const PCIR_POINTER: usize = 0x18;
    /// First bytes of the PCI data structure.
    pub const PCIR: &[u8; 4] = b"PCIR";
    /// Size of the PCI data structure, revision 3.
    pub const PCIR_LEN: u16 = 0x1c;
    /// Unit of image lengths.
    pub const UNIT: usize = 512;
    /// Code type of an image for PC-AT compatible firmware.
    pub const LEGACY: u8 = 0;
    /// Code type of an image for EFI.
    pub const EFI: u8 = 3;
    /// Size of the window that a kernel shows in place of the ROM: 0xC0000 to 0xDFFFF.
    pub const WINDOW: u64 = 0x2_0000;
}

/// The legacy VGA ranges.
pub mod vga {
    /// First address of VGA memory.
    pub const MEMORY: u64 = 0xa_0000;
    /// Size of VGA memory.
    pub const MEMORY_LEN: u64 = 0x2_0000;
    /// Size of a window whose offsets are addresses.
    pub const WINDOW: u64 = 0xc_0000;
    /// VGA ports: first, and one past the last.
    pub const PORTS: [(u64, u64); 2] = [(0x3b0, 0x3bc), (0x3c0, 0x3e0)];
}
