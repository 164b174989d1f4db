// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Whose decisions a plan takes, as data: one table a policy, one field a difference.

mod tables;

use core::fmt;
use core::str::FromStr;

#[cfg(feature = "serde")]
use crate::facts::form;
use crate::plan::Provisioning;
use crate::platform::QemuEra;

/// Whose decisions a plan takes.
///
/// Parses from `native`, `document-2016`, and `qemu-` with a version such as `qemu-7.2` or `qemu-11.1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Policy {
    /// What we think is right: legacy mode by address 00:02.0, for every generation and chipset that can have it.
    #[default]
    Native,
    /// The requirements of QEMU's `docs/igd-assign.txt` of 2016, taken by the letter: what is not met is refused.
    Document2016,
    /// What these versions of QEMU do, mistakes included.
    Qemu(QemuEra),
}

/// Text that names no policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a policy: expected native, document-2016, or qemu- with a version from 2.7 on, such as qemu-10.1")]
pub struct ParsePolicyError;

impl FromStr for Policy {
    type Err = ParsePolicyError;

    fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
        match text {
            "native" => return Ok(Self::Native),
            "document-2016" => return Ok(Self::Document2016),
            _ => {}
        }
        let version = text.strip_prefix("qemu-").ok_or(ParsePolicyError)?;
        let mut numbers = version
            .split('.')
            .map(|number| match number.bytes().all(|digit| digit.is_ascii_digit()) {
                true => number.parse::<u8>().map_err(|_| ParsePolicyError),
                false => Err(ParsePolicyError),
            });
        let major = numbers.next().ok_or(ParsePolicyError)??;
        let minor = numbers.next().ok_or(ParsePolicyError)??;
        if numbers.count() > 1 {
            return Err(ParsePolicyError);
        }
        match (major, minor) {
            (0..=1, _) | (2, 0..=6) => Err(ParsePolicyError),
            (2..=8, _) | (9, 0..=1) => Ok(Self::Qemu(QemuEra::UpTo9_1)),
            (9, _) => Ok(Self::Qemu(QemuEra::V9_2)),
            (10, 0) => Ok(Self::Qemu(QemuEra::V10_0)),
            _ => Ok(Self::Qemu(QemuEra::From10_1)),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Document2016 => "document-2016",
            Self::Qemu(QemuEra::UpTo9_1) => "qemu-9.1",
            Self::Qemu(QemuEra::V9_2) => "qemu-9.2",
            Self::Qemu(QemuEra::V10_0) => "qemu-10.0",
            Self::Qemu(QemuEra::From10_1) => "qemu-10.1",
        })
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Policy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        form::text::serialize(self, serializer)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Policy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        form::text::deserialize(deserializer)
    }
}

/// How a device id becomes a generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum IdRule {
    /// By the exact id, see [`identify`](crate::platform::identify).
    Exact,
    /// By prefix, as QEMU of that time.
    Qemu(QemuEra),
}

/// Something that legacy mode asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Requirement {
    /// The guest finds the device at 00:02.0 of its root bus.
    Address,
    /// The class is 0300h.
    VgaClass,
    /// The generation is known, and within these bounds.
    Generation {
        /// First.
        from: u8,
        /// Last.
        to: u8,
    },
    /// The host's GGC does not have VGA disabled (IVD).
    VgaClaimed,
    /// The chipset is an i440FX.
    I440Fx,
    /// 00:1f.0 is empty, or has a bridge made for graphics.
    IsaSlotFree,
    /// 00:1f.0 is empty, or has a bridge whose ids can be patched.
    IsaSlotUsable,
    /// A host bridge stands at 00:00.0.
    HostBridge,
    /// There is an expansion ROM, and the guest sees it.
    Rom,
    /// The host shows a ROM or a file is named, whatever the guest sees of it.
    RomRegion,
    /// The host has a VGA region that is complete and writable.
    VgaRegion,
    /// The same, but only if GGC does not have VGA disabled.
    VgaRegionIfClaimed,
    /// No other device of the machine claims VGA.
    SoleVga,
    /// The machine is not running yet.
    ColdPlug,
    /// The host shows an OpRegion.
    OpRegion,
    /// The host shows its host bridge.
    HostBridgeRegion,
    /// The host shows its LPC bridge.
    LpcRegion,
    /// The firmware acts on the files, or is not needed.
    FirmwareFiles,
}

/// What an unmet requirement leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Miss {
    /// Legacy mode is not chosen.
    NotChosen,
    /// Legacy mode was chosen and fails.
    Fails,
    /// The same, when the OpRegion has been handed over already.
    FailsAfterOpRegion,
}

/// What follows where legacy mode was chosen by itself and fails. If it was asked for, that is always a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LegacyFailure {
    /// A refusal.
    Refuse,
    /// The device is assigned without legacy mode.
    WithoutLegacy,
    /// What has not been done by then is left undone: the guest sees the host's registers.
    Abandon,
}

/// What happens to a device that is plugged into a running machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HotplugRule {
    /// It is refused.
    Refuse,
    /// OpRegion and bridges are refused, the rest goes on.
    RefuseFiles,
    /// A warning, and nothing is done for it.
    DoNothing,
}

/// When ASLS is emulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AslsRule {
    /// For every integrated device.
    Always,
    /// If the guest gets the OpRegion.
    WithOpRegion,
}

/// When GGC is emulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GgcRule {
    /// With stolen memory.
    Always,
    /// Only with another GMS code than the host's.
    IfOverridden,
}

/// How entries that the host left in the translation table are removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum GttRule {
    /// They stay.
    Keep,
    /// Through the index and data ports in BAR4.
    ClearByPorts,
    /// In the upper half of BAR0.
    ClearInBar0,
}

/// Classes of devices that something is done for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ClassRule {
    /// 0300h alone.
    Vga,
    /// All display controllers, 03xxh.
    Display,
    /// All get the OpRegion; what is beyond that is for 0300h.
    Any,
}

/// The decisions of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PolicyRules {
    /// How a device id becomes a generation.
    pub ids: IdRule,
    /// Classes of devices that count.
    pub classes: ClassRule,
    /// Whether nothing is done for a device without an OpRegion region.
    pub needs_opregion_region: bool,
    /// Whether a device of unknown generation gets the OpRegion.
    pub opregion_for_unknown: bool,
    /// Whether the OpRegion is handed over if the options do not say.
    pub opregion_default: bool,
    /// Whether `x-igd-lpc` and `x-igd-legacy-mode` exist.
    pub separate_options: bool,
    /// Requirements of legacy mode, in the order they are looked at.
    pub legacy: &'static [(Requirement, Miss)],
    /// What follows where legacy mode was chosen by itself and fails.
    pub legacy_failure: LegacyFailure,
    /// What happens to a device that is plugged in.
    pub hotplug: HotplugRule,
    /// Whether stolen memory is emulated outside of legacy mode too.
    pub stolen_in_upt: bool,
    /// Whether a device without a known base of stolen memory gets a file that says 0.
    pub size_file_for_unknown: bool,
    /// When GGC is emulated.
    pub ggc: GgcRule,
    /// Whether GGC is taken for a register of 32 bits.
    pub ggc_is_dword: bool,
    /// Whether an emulated GGC is mirrored in BAR0.
    pub ggc_mirror: bool,
    /// First generation for which BDSM is mirrored in BAR0, or `None` for none.
    pub bdsm_mirror_from: Option<u8>,
    /// Whether the mirrors trap and lead to configuration space where the register is not emulated, for devices that the
    /// policy otherwise leaves alone too.
    pub redirect_mirrors: bool,
    /// First generation whose BDSM is taken to be at C0h, or `None` for none.
    pub bdsm_qword_from: Option<u8>,
    /// When ASLS is emulated.
    pub asls: AslsRule,
    /// Whether SWSCI is hidden.
    pub hide_swsci: bool,
    /// Whether the ports in BAR4 translate from the host's stolen memory to the guest's.
    pub translate_gtt_ports: bool,
    /// How entries that the host left in the translation table are removed.
    pub gtt: GttRule,
    /// Whether what cannot work is refused, and the OpRegion checked and cleaned before the guest gets it.
    pub strict: bool,
    /// The strategies that exist.
    pub provisioning: &'static [Provisioning],
}

impl Policy {
    /// The decisions of the policy.
    #[must_use]
    pub const fn rules(self) -> &'static PolicyRules {
        match self {
            Self::Native => &tables::NATIVE,
            Self::Document2016 => &tables::DOCUMENT_2016,
            Self::Qemu(QemuEra::UpTo9_1) => &tables::QEMU_9_1,
            Self::Qemu(QemuEra::V9_2) => &tables::QEMU_9_2,
            Self::Qemu(QemuEra::V10_0) => &tables::QEMU_10_0,
            Self::Qemu(QemuEra::From10_1) => &tables::QEMU_10_1,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn versions_find_their_era() {
        let qemu = |era| Ok(Policy::Qemu(era));
        for (text, policy) in [
            ("native", Ok(Policy::Native)),
            ("document-2016", Ok(Policy::Document2016)),
            ("qemu-2.7", qemu(QemuEra::UpTo9_1)),
            ("qemu-7.2.22", qemu(QemuEra::UpTo9_1)),
            ("qemu-9.1", qemu(QemuEra::UpTo9_1)),
            ("qemu-9.2", qemu(QemuEra::V9_2)),
            ("qemu-10.0", qemu(QemuEra::V10_0)),
            ("qemu-10.1", qemu(QemuEra::From10_1)),
            ("qemu-11.1.2", qemu(QemuEra::From10_1)),
        ] {
            assert_eq!(text.parse(), policy, "{text}");
        }
        for text in [
            "",
            "qemu",
            "qemu-",
            "qemu-2.6",
            "qemu-10",
            "qemu-10.x",
            "qemu-+9.1",
            "qemu-9.1.2.3",
            "QEMU-9.1",
        ] {
            assert_eq!(text.parse::<Policy>(), Err(ParsePolicyError), "{text}");
        }
    }

    #[test]
    fn every_policy_survives_text() {
        use QemuEra::{From10_1, UpTo9_1, V9_2, V10_0};
        let eras = [UpTo9_1, V9_2, V10_0, From10_1].map(Policy::Qemu);
        for policy in [Policy::Native, Policy::Document2016].into_iter().chain(eras) {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
    }
}
