// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Offsets and fields of the PCI specifications. No vendor's constants live here.
//!
//! Sources: *PCI Local Bus Specification* 3.0 (section 6), *PCI-to-PCI Bridge Architecture Specification* 1.2
//! (section 3.2), *PCI Bus Power Management Interface Specification* 1.2 (section 3.2), *PCI Express Base
//! Specification* 5.0 (section 7.5).

/// Size of a conventional configuration space in bytes.
pub const CONFIG_SIZE: u16 = 256;

/// Vendor id, 2 bytes.
pub const VENDOR_ID: u16 = 0x00;
/// Device id, 2 bytes.
pub const DEVICE_ID: u16 = 0x02;
/// Command register, 2 bytes.
pub const COMMAND: u16 = 0x04;
/// Status register, 2 bytes.
pub const STATUS: u16 = 0x06;
/// Revision id, 1 byte.
pub const REVISION_ID: u16 = 0x08;
/// Class code, 3 bytes: programming interface, subclass, base class.
pub const CLASS_CODE: u16 = 0x09;
/// Cache line size, 1 byte.
pub const CACHE_LINE_SIZE: u16 = 0x0c;
/// Header type, 1 byte: layout in bits 6:0, multi-function in bit 7.
pub const HEADER_TYPE: u16 = 0x0e;
/// First base address register.
pub const BAR0: u16 = 0x10;
/// Subsystem vendor id (type 0), 2 bytes.
pub const SUBSYSTEM_VENDOR_ID: u16 = 0x2c;
/// Subsystem id (type 0), 2 bytes.
pub const SUBSYSTEM_ID: u16 = 0x2e;
/// Expansion ROM base address (type 0).
pub const ROM_BAR: u16 = 0x30;
/// Expansion ROM base address (type 1).
pub const ROM_BAR_TYPE1: u16 = 0x38;
/// Pointer to the first capability, 1 byte.
pub const CAPABILITIES_POINTER: u16 = 0x34;
/// Interrupt line, 1 byte.
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Interrupt pin, 1 byte: 0 none, 1 to 4 for INTA to INTD.
pub const INTERRUPT_PIN: u16 = 0x3d;
/// First byte that no header uses.
pub const DEVICE_SPECIFIC: u16 = 0x40;

/// Multi-function bit of [`HEADER_TYPE`].
pub const MULTI_FUNCTION: u8 = 0x80;

/// Bits of [`COMMAND`].
pub mod command {
    /// Responds to I/O space.
    pub const IO: u16 = 1 << 0;
    /// Responds to memory space.
    pub const MEMORY: u16 = 1 << 1;
    /// May act as a bus master.
    pub const BUS_MASTER: u16 = 1 << 2;
    /// SERR# enable.
    pub const SERR: u16 = 1 << 8;
    /// Disables the assertion of INTx.
    pub const INTX_DISABLE: u16 = 1 << 10;
    /// Bits that software can write.
    pub const WRITABLE: u16 = IO | MEMORY | BUS_MASTER | SERR | INTX_DISABLE;
}

/// Bits of [`STATUS`].
pub mod status {
    /// INTx is pending.
    pub const INTERRUPT: u16 = 1 << 3;
    /// There is a list of capabilities.
    pub const CAPABILITIES: u16 = 1 << 4;
    /// Errors, cleared by writing one.
    pub const W1C: u16 = 0xf900;
}

/// Registers of a type 1 header.
pub mod type1 {
    /// Primary, secondary, subordinate bus number and secondary latency timer, 1 byte each.
    pub const BUS_NUMBERS: u16 = 0x18;
    /// I/O base and limit, 1 byte each.
    pub const IO_WINDOW: u16 = 0x1c;
    /// Secondary status, 2 bytes.
    pub const SECONDARY_STATUS: u16 = 0x1e;
    /// Memory base and limit, 2 bytes each.
    pub const MEMORY_WINDOW: u16 = 0x20;
    /// Prefetchable base and limit, 2 bytes each.
    pub const PREFETCH_WINDOW: u16 = 0x24;
    /// Upper halves of the prefetchable base and limit, 4 bytes each.
    pub const PREFETCH_UPPER: u16 = 0x28;
    /// Bridge control, 2 bytes.
    pub const BRIDGE_CONTROL: u16 = 0x3e;
    /// Writable bits of [`BRIDGE_CONTROL`].
    pub const BRIDGE_CONTROL_WRITABLE: u16 = 0x0bff;
    /// Bit of [`BRIDGE_CONTROL`] that is cleared by writing one: discard timer status.
    pub const BRIDGE_CONTROL_W1C: u16 = 1 << 10;
    /// Bit of [`BRIDGE_CONTROL`] that resets the secondary bus.
    pub const SECONDARY_RESET: u16 = 1 << 6;
}

/// Capability ids.
pub mod capability {
    /// Power management.
    pub const POWER_MANAGEMENT: u8 = 0x01;
    /// Vital product data.
    pub const VPD: u8 = 0x03;
    /// Slot identification.
    pub const SLOT_ID: u8 = 0x04;
    /// Message signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// Vendor specific; the third byte is its length.
    pub const VENDOR: u8 = 0x09;
    /// Subsystem ids of a bridge.
    pub const BRIDGE_SUBSYSTEM: u8 = 0x0d;
    /// PCI Express.
    pub const EXPRESS: u8 = 0x10;
    /// MSI-X.
    pub const MSIX: u8 = 0x11;
    /// Serial ATA index and data pair.
    pub const SATA: u8 = 0x12;
    /// Advanced features of conventional functions.
    pub const ADVANCED_FEATURES: u8 = 0x13;
}

/// Start of the extended capabilities.
pub const EXTENDED_CAPABILITIES: u16 = 0x100;
