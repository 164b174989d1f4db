// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a plan consists of.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use pci_model::Bdf;

use super::Finding;
use crate::device::DeviceSetup;
#[cfg(feature = "serde")]
use crate::facts::form;
use crate::facts::{Extent, OpRegionBytes, RomBytes};
use crate::policy::Policy;

/// Name of the file with the OpRegion.
pub const OPREGION_FILE: &str = "etc/igd-opregion";
/// Name of the file with the size of stolen memory: 64 bits, little-endian.
pub const BDSM_SIZE_FILE: &str = "etc/igd-bdsm-size";

/// What to do to hand one device to one machine, in order and with reasons.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Plan {
    /// The device, for people.
    pub name: String,
    /// Its address in the guest, if one was given.
    #[cfg_attr(feature = "serde", serde(with = "form::optional_text"))]
    pub address: Option<Bdf>,
    /// Whose decisions these are.
    pub policy: Policy,
    /// Who places OpRegion and stolen memory.
    pub provisioning: Provisioning,
    /// How the guest gets the device.
    pub mode: Mode,
    /// What to do, in order. A step says which of the following fields it is about.
    pub steps: Vec<Step>,
    /// Where in guest memory things are.
    pub memory: MemoryPlan,
    /// Files for the firmware.
    pub files: Vec<FirmwareFile>,
    /// Bytes that the bridge at 00:00.0 shows in place of its own.
    pub host_bridge: Vec<Patch>,
    /// What becomes of 00:1f.0.
    pub isa_bridge: IsaBridgePlan,
    /// The guest's view of the device.
    pub device: DeviceSetup,
    /// Accesses to BARs that do not reach the hardware.
    pub traps: Vec<Trap>,
    /// Legacy VGA ranges that reach the device.
    pub vga: Vec<VgaRange>,
    /// The expansion ROM that the guest sees.
    pub rom: RomPlan,
    /// Entries of the translation table to clear before the guest starts.
    pub clear_gtt: Option<GttClear>,
    /// What the plan cannot make good.
    pub warnings: Vec<Finding>,
}

impl Plan {
    /// The contents of a firmware file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files
            .iter()
            .find(|file| file.name == name)
            .map(|file| &file.bytes[..])
    }
}

/// Who places OpRegion and stolen memory in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Provisioning {
    /// The firmware, told by files.
    #[default]
    FwCfg,
    /// The VMM, at addresses of its choice.
    Direct,
    /// The VMM, with stolen memory at the host's address.
    Identity,
}

impl fmt::Display for Provisioning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FwCfg => "fw-cfg",
            Self::Direct => "direct",
            Self::Identity => "identity",
        })
    }
}

/// Text that names no strategy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a provisioning strategy: expected fw-cfg, direct or identity")]
pub struct ParseProvisioningError;

impl FromStr for Provisioning {
    type Err = ParseProvisioningError;

    fn from_str(text: &str) -> Result<Self, ParseProvisioningError> {
        match text {
            "fw-cfg" => Ok(Self::FwCfg),
            "direct" => Ok(Self::Direct),
            "identity" => Ok(Self::Identity),
            _ => Err(ParseProvisioningError),
        }
    }
}

/// How the guest gets the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Mode {
    /// As its primary display, with OpRegion, VGA, and the host's ids at 00:00.0 and 00:1f.0.
    Legacy,
    /// As a device that its driver alone sets up ("universal pass-through").
    Upt,
    /// As any other PCI device: nothing of this crate applies, or is done.
    Untouched,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Upt => "upt",
            Self::Untouched => "untouched",
        })
    }
}

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Step {
    /// Which part of the plan it carries out.
    pub kind: StepKind,
    /// What is done.
    pub action: String,
    /// Why.
    pub reason: String,
}

/// Which part of a plan a step carries out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum StepKind {
    /// [`MemoryPlan::bar_limit`].
    LimitBars,
    /// [`MemoryPlan::ram`].
    LayOutRam,
    /// [`MemoryPlan::reserved`].
    ReserveMemory,
    /// [`MemoryPlan::opregion`].
    WriteOpRegion,
    /// [`Plan::files`].
    AddFiles,
    /// [`Plan::host_bridge`].
    PatchHostBridge,
    /// [`Plan::isa_bridge`].
    PlaceIsaBridge,
    /// [`Plan::device`].
    EmulateConfig,
    /// [`Plan::traps`].
    TrapBars,
    /// [`Plan::vga`].
    RouteVga,
    /// [`Plan::rom`].
    ShowRom,
    /// [`Plan::clear_gtt`].
    ClearGtt,
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LimitBars => "limit BARs",
            Self::LayOutRam => "lay out RAM",
            Self::ReserveMemory => "reserve",
            Self::WriteOpRegion => "OpRegion",
            Self::AddFiles => "files",
            Self::PatchHostBridge => "00:00.0",
            Self::PlaceIsaBridge => "00:1f.0",
            Self::EmulateConfig => "config",
            Self::TrapBars => "trap",
            Self::RouteVga => "VGA",
            Self::ShowRom => "ROM",
            Self::ClearGtt => "clear GTT",
        })
    }
}

/// A file for the firmware.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FirmwareFile {
    /// Name.
    pub name: String,
    /// Contents.
    pub bytes: OpRegionBytes,
}

/// Where in guest memory things are.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MemoryPlan {
    /// RAM, lowest first, disjoint. Empty if the machine's own layout serves.
    pub ram: Vec<Extent>,
    /// Address from which on no BAR may lie, since the IOMMU does not reach it.
    pub bar_limit: Option<u64>,
    /// Stolen memory.
    pub stolen: Option<StolenPlan>,
    /// An OpRegion that the VMM writes.
    pub opregion: Option<Image>,
    /// Ranges of RAM that the guest's memory map keeps from the guest.
    pub reserved: Vec<Reservation>,
}

/// Stolen memory of the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StolenPlan {
    /// Address, or `None` if the firmware chooses it.
    pub base: Option<u64>,
    /// Length in bytes.
    pub size: u64,
}

/// Bytes to write to guest memory.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Image {
    /// Guest-physical address.
    pub gpa: u64,
    /// The bytes.
    pub bytes: OpRegionBytes,
}

/// A range that the guest's memory map keeps from the guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reservation {
    /// The range.
    pub range: Extent,
    /// How it is marked.
    pub kind: ReservationKind,
}

/// How a range is marked in the guest's memory map.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum ReservationKind {
    /// Reserved: e820 type 2. Stolen memory.
    Reserved,
    /// ACPI non-volatile: e820 type 4. The OpRegion.
    AcpiNvs,
}

impl ReservationKind {
    /// Type of the e820 entry.
    #[must_use]
    pub const fn e820_type(self) -> u32 {
        match self {
            Self::Reserved => 2,
            Self::AcpiNvs => 4,
        }
    }
}

/// Bytes of configuration space that are shown in place of a function's own, read-only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Patch {
    /// First byte.
    pub offset: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What becomes of 00:1f.0.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum IsaBridgePlan {
    /// Nothing.
    #[default]
    Keep,
    /// A bridge of class 0601h with these bytes is put there.
    Create(Vec<Patch>),
    /// The bridge that stands there shows these bytes.
    Patch(Vec<Patch>),
}

impl IsaBridgePlan {
    /// The bytes that the bridge shows.
    #[must_use]
    pub fn patches(&self) -> &[Patch] {
        match self {
            Self::Keep => &[],
            Self::Create(patches) | Self::Patch(patches) => patches,
        }
    }
}

/// A range of a BAR whose accesses do not reach the hardware.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Trap {
    /// Index of the BAR.
    pub bar: u8,
    /// The range.
    pub range: Extent,
    /// Who answers.
    pub owner: TrapOwner,
}

/// Who answers a trapped access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum TrapOwner {
    /// The mirror of GGC.
    GgcMirror,
    /// The mirror of BDSM.
    BdsmMirror,
    /// The register in configuration space, which the hardware answers.
    ConfigSpace,
    /// The index and data ports of the translation table.
    GttPorts,
}

impl fmt::Display for TrapOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GgcMirror => "mirror of GGC",
            Self::BdsmMirror => "mirror of BDSM",
            Self::ConfigSpace => "configuration space",
            Self::GttPorts => "GTT ports",
        })
    }
}

/// A legacy range that reaches the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum VgaRange {
    /// Memory.
    Memory(Extent),
    /// Ports.
    Ports(Extent),
}

/// The expansion ROM that the guest sees.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum RomPlan {
    /// None.
    Hidden,
    /// The host's.
    Host,
    /// The host's with its device id and checksums made right.
    Repaired(RomBytes),
    /// The contents of this file.
    File(String),
}

/// Entries of the translation table to clear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum GttClear {
    /// Zeros to this range of BAR0.
    Bar0(Extent),
    /// Zeros through the ports in BAR4: 0 to the data port for each index 1, 5, 9 and so on below this one.
    Ports {
        /// The first index that is no entry.
        index_end: u32,
    },
}
