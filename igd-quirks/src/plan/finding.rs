// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What speaks against a plan, or against hoping too much of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Code {
    /// The address in the guest.
    Address,
    /// A BAR that is missing or too small.
    Bar,
    /// The chipset.
    Chipset,
    /// The device class.
    Class,
    /// Configuration space that was not read far enough.
    Config,
    /// The device is no integrated GPU.
    Device,
    /// What the guest boots through.
    Firmware,
    /// The generation of the device.
    Generation,
    /// GGC, or the GMS code in its place.
    Ggc,
    /// Registers that keep addresses of the host.
    HostAddress,
    /// The host bridge at 00:00.0, or the host's own.
    HostBridge,
    /// A running machine.
    Hotplug,
    /// The width of addresses that the IOMMU translates.
    IommuWidth,
    /// What stands at 00:1f.0.
    IsaBridge,
    /// The host's LPC bridge.
    LpcRegion,
    /// Guest RAM.
    Memory,
    /// The OpRegion.
    OpRegion,
    /// An option that the policy does not have.
    Option,
    /// The provisioning strategy.
    Provisioning,
    /// The expansion ROM.
    Rom,
    /// Stolen memory.
    Stolen,
    /// VGA cycles or the VGA region.
    Vga,
}

/// A fact that stands in the way, and what to do about it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// The offending fact with its value and what follows, as a sentence.
    pub fact: String,
    /// What to do, as a sentence.
    pub remedy: String,
}

impl Finding {
    pub(super) fn new(code: Code, fact: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            fact: fact.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.fact, self.remedy)
    }
}

/// Everything for which there is no plan; never empty.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Refusals(Vec<Finding>);

impl Refusals {
    pub(super) fn new(first: Finding, rest: impl IntoIterator<Item = Finding>) -> Self {
        Self(core::iter::once(first).chain(rest).collect())
    }

    /// The refusals, in the order in which the facts were looked at.
    pub fn iter(&self) -> core::slice::Iter<'_, Finding> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Refusals {
    type Item = &'a Finding;
    type IntoIter = core::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl core::error::Error for Refusals {}
