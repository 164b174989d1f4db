// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Numbers of documents and of other implementations. Offsets of the header are in [`pci_model::spec`].

use pci_model::Bdf;

/// Address of the LPC controller: device 31, function 0 since the 82801AA. *Intel I/O Controller Hub 9 Family
/// Datasheet* (316972), section 9.1.
pub(crate) const LPC_ADDRESS: Bdf = Bdf::from_bits(0x1f << 3);

/// Base class and subclass of a host bridge. *PCI Code and ID Assignment Specification* 1.11, section 1.7.
pub(crate) const CLASS_HOST_BRIDGE: u16 = 0x0600;
/// Base class and subclass of an ISA bridge. The same section.
pub(crate) const CLASS_ISA_BRIDGE: u16 = 0x0601;

/// Vendor id of Intel.
pub(crate) const INTEL: u16 = 0x8086;
/// Subsystem vendor id and subsystem id of QEMU's own devices. QEMU, *PCI IDs for QEMU*.
pub(crate) const QEMU_SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);

/// What a read finds where no function answers. *PCI Local Bus Specification* 3.0, section 6.1.
pub(crate) const NO_VENDOR: u16 = 0xffff;
/// Vendor id that is never assigned; older firmware takes it for an absent function.
pub(crate) const NULL_VENDOR: u16 = 0x0000;

/// Bits of a device id that tell the families of ISA bridges apart; the rest is the model. Linux, i915 driver.
pub(crate) const PCH_FAMILY: u16 = 0xff80;
