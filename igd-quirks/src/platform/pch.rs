// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How a Linux guest finds its platform controller hub.

use super::Platform;

/// A kind of platform controller hub, as display drivers tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Pch {
    /// Ibex Peak.
    Ibx,
    /// Cougar Point and Panther Point.
    Cpt,
    /// Lynx Point and Wildcat Point.
    Lpt,
    /// Sunrise Point, Union Point and Comet Point-V.
    Spt,
    /// Cannon Point and Comet Point.
    Cnp,
    /// Ice Point and Jasper Point.
    Icp,
    /// Tiger Point and Mule Creek Canyon.
    Tgp,
    /// Alder Point and Raptor Point.
    Adp,
}

/// A family of ISA bridges: the device id with its low seven bits cleared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PchFamily(pub u16);

impl PchFamily {
    /// The family of a bridge with this device id.
    #[must_use]
    pub const fn of(device: u16) -> Self {
        Self(device & 0xff80)
    }

    /// Short name, such as `CNP-LP`, if the family is known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|(_, name, _)| *name)
    }

    /// Its kind, if the family is known.
    #[must_use]
    pub fn kind(self) -> Option<Pch> {
        self.row().map(|(_, _, kind)| *kind)
    }

    fn row(self) -> Option<&'static (Self, &'static str, Pch)> {
        PCH_IDS.iter().find(|(family, ..)| *family == self)
    }
}

/// Families of ISA bridges, their short names and their kind.
///
/// Linux i915 `intel_pch.c`.
#[rustfmt::skip]
pub const PCH_IDS: &[(PchFamily, &str, Pch)] = &[
    (PchFamily(0x3b00), "IBX",    Pch::Ibx),
    (PchFamily(0x1c00), "CPT",    Pch::Cpt),
    (PchFamily(0x1e00), "PPT",    Pch::Cpt),
    (PchFamily(0x8c00), "LPT-H",  Pch::Lpt),
    (PchFamily(0x8c80), "WPT-H",  Pch::Lpt),
    (PchFamily(0x9c00), "LPT-LP", Pch::Lpt),
    (PchFamily(0x9c80), "WPT-LP", Pch::Lpt),
    (PchFamily(0xa100), "SPT-H",  Pch::Spt),
    (PchFamily(0x9d00), "SPT-LP", Pch::Spt),
    (PchFamily(0xa280), "KBP",    Pch::Spt),
    (PchFamily(0xa300), "CNP-H",  Pch::Cnp),
    (PchFamily(0x9d80), "CNP-LP", Pch::Cnp),
    (PchFamily(0x0280), "CMP-LP", Pch::Cnp),
    (PchFamily(0x0680), "CMP-H",  Pch::Cnp),
    (PchFamily(0xa380), "CMP-V",  Pch::Spt),
    (PchFamily(0x3480), "ICP",    Pch::Icp),
    (PchFamily(0x3880), "ICP-N",  Pch::Icp),
    (PchFamily(0x4b00), "MCC",    Pch::Tgp),
    (PchFamily(0x4d80), "JSP",    Pch::Icp),
    (PchFamily(0xa080), "TGP-LP", Pch::Tgp),
    (PchFamily(0x4380), "TGP-H",  Pch::Tgp),
    (PchFamily(0x7a80), "ADP-S",  Pch::Adp),
    (PchFamily(0x5180), "ADP-P",  Pch::Adp),
    (PchFamily(0x7a00), "RPP-S",  Pch::Adp),
    (PchFamily(0x5480), "ADP-N",  Pch::Adp),
];

/// Families that stand for a virtual bridge: PIIX4 and PIIX3.
const VIRTUAL: [PchFamily; 2] = [PchFamily(0x7100), PchFamily(0x7000)];
/// Family, subsystem vendor and subsystem of QEMU's ICH9.
const VIRTUAL_ICH9: (PchFamily, u16, u16) = (PchFamily(0x2900), 0x1af4, 0x1100);
/// Display version from which on drivers do not look at the bridge.
const IGNORED_FROM: u8 = 14;

/// An ISA bridge (class 0601h) of vendor 8086h, as a guest finds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IsaBridge {
    /// Device id.
    pub device: u16,
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
}

/// What a Linux guest concludes about its platform controller hub.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PchDetection {
    /// The driver does not look at the bridge on this platform.
    Ignored,
    /// A bridge of this family was found.
    Found(PchFamily, Pch),
    /// A virtual bridge, or none at all in a virtual machine: the family is guessed from the platform.
    Guessed(PchFamily, Pch),
    /// The platform has none, or it was not found.
    None,
}

impl IsaBridge {
    fn is_virtual(self) -> bool {
        let family = PchFamily::of(self.device);
        VIRTUAL.contains(&family) || (family, self.subsystem_vendor, self.subsystem) == VIRTUAL_ICH9
    }
}

/// What a Linux guest concludes from its ISA bridges, in the order it finds them, for graphics `device` of `platform`.
#[must_use]
pub fn detect_pch(platform: Platform, device: u16, bridges: &[IsaBridge]) -> PchDetection {
    if platform.display_version() >= IGNORED_FROM {
        return PchDetection::Ignored;
    }
    for bridge in bridges {
        let family = PchFamily::of(bridge.device);
        if let Some(kind) = family.kind() {
            return PchDetection::Found(family, kind);
        }
        if bridge.is_virtual() {
            break;
        }
    }
    match guess(platform, device).map(|family| (family, family.kind())) {
        Some((family, Some(kind))) => PchDetection::Guessed(family, kind),
        _ => PchDetection::None,
    }
}

/// The family that a driver takes for granted in a virtual machine.
fn guess(platform: Platform, device: u16) -> Option<PchFamily> {
    use Platform as P;
    Some(PchFamily(match platform {
        P::AdlS | P::AdlP | P::AdlN | P::RplS | P::RplU | P::RplP => 0x7a80,
        P::Tgl | P::Rkl => 0xa080,
        P::Jsl | P::Ehl => 0x4b00,
        P::Icl => 0x3480,
        P::Cfl | P::Whl | P::Cml => 0xa300,
        P::Skl | P::Kbl => 0xa100,
        P::Hsw if device & 0xff00 == 0x0a00 => 0x9c00,
        P::Bdw if matches!(device & 0xf, 0x6 | 0xb | 0xe) => 0x9c00,
        P::Hsw | P::Bdw => 0x8c00,
        P::Snb | P::Ivb => 0x1c00,
        P::Ilk => 0x3b00,
        _ => return None,
    }))
}
