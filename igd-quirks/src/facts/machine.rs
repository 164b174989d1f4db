// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What is known of the guest's machine.

use core::fmt;

use super::Extent;
#[cfg(feature = "serde")]
use super::form;

/// The guest's machine, before the device is part of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct MachineFacts {
    /// Chipset.
    pub chipset: Chipset,
    /// What stands at 00:00.0.
    pub host_bridge: Slot,
    /// What stands at 00:1f.0.
    pub isa_bridge: Slot,
    /// Guest RAM.
    pub ram: RamLayout,
    /// First address below 4 GiB that cannot be RAM: where PCI memory or ECAM starts.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub mmio_start: u64,
    /// What the guest boots through.
    pub firmware: Firmware,
    /// Whether the machine is already running, so that the device would be plugged in.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hotplug: bool,
    /// Whether another device of the machine claims the legacy VGA ranges.
    #[cfg_attr(feature = "serde", serde(default))]
    pub other_vga: bool,
    /// Bits of an address that the IOMMU translates (MGAW), or `None` if not known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub iommu_bits: Option<u8>,
    /// Bits of a physical address that the guest believes to have, or `None` if not known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub guest_phys_bits: Option<u8>,
}

impl Default for MachineFacts {
    /// An i440FX with SeaBIOS, 2 GiB of RAM and nothing at 00:1f.0.
    fn default() -> Self {
        Self {
            chipset: Chipset::I440Fx,
            host_bridge: Slot::Bridge,
            isa_bridge: Slot::Empty,
            ram: RamLayout {
                below_4g: 2 << 30,
                above_4g: 0,
            },
            mmio_start: 0xc000_0000,
            firmware: Firmware::SeaBios,
            hotplug: false,
            other_vga: false,
            iommu_bits: None,
            guest_phys_bits: None,
        }
    }
}

/// The chipset that a machine models.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Chipset {
    /// Intel 440FX with PIIX3, QEMU's `pc`.
    #[cfg_attr(feature = "serde", serde(rename = "i440fx"))]
    I440Fx,
    /// Intel Q35 with ICH9, QEMU's `q35`.
    Q35,
    /// None in particular.
    #[default]
    Bare,
}

impl fmt::Display for Chipset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I440Fx => "i440FX",
            Self::Q35 => "Q35",
            Self::Bare => "no particular chipset",
        })
    }
}

/// What stands at an address where graphics software looks for a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Slot {
    /// Nothing.
    #[default]
    Empty,
    /// The chipset's own bridge of the right kind, whose ids can be patched.
    Bridge,
    /// A bridge made for an assigned graphics device.
    MadeForGraphics,
    /// Something else.
    Other,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing",
            Self::Bridge => "the chipset's own bridge",
            Self::MadeForGraphics => "a bridge made for graphics",
            Self::Other => "a device that is no such bridge",
        })
    }
}

/// Guest RAM: from 0 up, and from 4 GiB up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct RamLayout {
    /// Bytes below 4 GiB.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub below_4g: u64,
    /// Bytes above 4 GiB.
    #[cfg_attr(feature = "serde", serde(with = "form::hex"))]
    pub above_4g: u64,
}

impl RamLayout {
    /// RAM below 4 GiB.
    #[must_use]
    pub const fn low(self) -> Extent {
        Extent::new(0, self.below_4g)
    }

    /// RAM above 4 GiB.
    #[must_use]
    pub const fn high(self) -> Extent {
        Extent::new(1 << 32, self.above_4g)
    }
}

/// What a guest boots through, as far as graphics is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Firmware {
    /// `SeaBIOS`: acts on the files for class 0300h, writes BDSM at 5Ch only.
    #[cfg_attr(feature = "serde", serde(rename = "seabios"))]
    SeaBios,
    /// OVMF as built from edk2: does not know the files.
    Ovmf,
    /// OVMF with the driver of `VfioIgdPkg`: acts on the files for all generations.
    OvmfWithIgdDriver,
    /// None: the VMM starts a kernel.
    DirectKernel,
    /// Not known.
    #[default]
    Unknown,
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SeaBios => "SeaBIOS",
            Self::Ovmf => "OVMF without an IGD driver",
            Self::OvmfWithIgdDriver => "OVMF with an IGD driver",
            Self::DirectKernel => "no firmware (a kernel is started directly)",
            Self::Unknown => "unknown firmware",
        })
    }
}
