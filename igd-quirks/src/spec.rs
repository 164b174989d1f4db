// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers and layouts of integrated graphics.
//!
//! Names and offsets are those of Intel's processor datasheets, volume 2 ("Processor Graphics Registers", device 2
//! function 0), and of the Intel's "Integrated Graphics Device OpRegion Specification", as Linux (`i915`, `vfio-pci`),
//! `VfioIgdPkg` and QEMU use them.

/// Vendor id of Intel.
pub const VENDOR_INTEL: u16 = 0x8086;
/// Base class of display controllers.
pub const BASE_CLASS_DISPLAY: u8 = 0x03;
/// Class and subclass of a VGA-compatible controller.
pub const CLASS_VGA: u16 = 0x0300;
/// Class and subclass of a display controller without VGA.
pub const CLASS_DISPLAY_OTHER: u16 = 0x0380;

/// GGC, graphics control: 16 bits.
pub const GGC: u16 = 0x50;
/// GGC bit 1, IVD: the device does not claim VGA cycles.
pub const GGC_IVD: u16 = 1 << 1;
/// BDSM, base of data stolen memory, before generation 11: 32 bits.
pub const BDSM: u16 = 0x5c;
/// BDSM from generation 11: 64 bits.
pub const BDSM64: u16 = 0xc0;
/// ASLE, request of the BIOS to the driver: 32 bits.
pub const ASLE: u16 = 0xe4;
/// SWSCI, request of the driver to the BIOS: 16 bits, bit 0 triggers.
pub const SWSCI: u16 = 0xe8;
/// BGSM, base of the translation table in stolen memory, generation 12: 64 bits.
pub const BGSM: u16 = 0xf0;
/// ASLS, physical address of the OpRegion: 32 bits.
pub const ASLS: u16 = 0xfc;
/// ASLS values that stand for no OpRegion.
pub const ASLS_NONE: [u32; 2] = [0, u32::MAX];

/// BAR with registers and the translation table.
pub const GTTMMADR_BAR: u8 = 0;
/// BAR with the index and data ports.
pub const IO_BAR: u8 = 4;

/// Mirror of GGC in BAR0: 16 bits.
pub const MIRROR_GGC: u64 = 0x10_8040;
/// Mirror of BDSM in BAR0: 32 bits, from generation 11 on 64.
pub const MIRROR_BDSM: u64 = 0x10_80c0;

/// Flags below the base in BDSM: its low 20 bits. Bit 0 locks the register.
pub const BDSM_FLAGS: u64 = 0xf_ffff;
/// Alignment of stolen memory in bytes.
pub const STOLEN_ALIGN: u64 = 1 << 20;

/// MMIO window of the translation table's base, generation 12: 64 bits.
pub const GSMBASE: u64 = 0x10_8100;
/// `STOLEN_RESERVED`, the reserved part of stolen memory (WOPCM): 32 bits, from generation 11 on 64.
pub const STOLEN_RESERVED: u64 = 0x10_82c0;
/// `RC6_CTX_BASE`, where the render engine saves its state: 32 bits.
pub const RC6_CTX_BASE: u64 = 0x0d48;
/// Pointer to another reserved part of stolen memory: 32 bits.
pub const RESERVED_POINTER: u64 = 0x0dc8;
/// `DBUF_CTL` of the display buffer slices S1 to S4: 32 bits each, bit 31 request, bit 30 state.
pub const DBUF_CTL: [u64; 4] = [0x4_5008, 0x4_4fe8, 0x4_4300, 0x4_4304];

/// Type of the vfio regions with the OpRegion and the bridges: a vendor's own (bit 31), of Intel.
pub const VFIO_REGION_TYPE: u32 = 0x8000_8086;
/// Subtype of the vfio region with the OpRegion.
pub const VFIO_SUBTYPE_OPREGION: u32 = 1;
/// Subtype of the vfio region with the configuration space of 00:00.0.
pub const VFIO_SUBTYPE_HOST_BRIDGE: u32 = 2;
/// Subtype of the vfio region with the configuration space of 00:1f.0.
pub const VFIO_SUBTYPE_LPC_BRIDGE: u32 = 3;
