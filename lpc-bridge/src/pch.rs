// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Families of ISA bridges, by device id.

use crate::identity::Identity;
use crate::spec;

/// A family of platform controller hubs, told by the device id of its ISA bridge.
///
/// In parentheses is the short name that drivers use. The processors are those the family was made for; boards exist
/// that combine others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Pch {
    /// Ibex Peak (IBX), 5 series: Clarkdale, Arrandale.
    IbexPeak,
    /// Cougar Point (CPT), 6 series: Sandy Bridge, Ivy Bridge.
    CougarPoint,
    /// Panther Point (PPT), 7 series: Sandy Bridge, Ivy Bridge.
    PantherPoint,
    /// Lynx Point-H (LPT), 8 series: Haswell, Broadwell, but not the ULT and ULX packages.
    LynxPointH,
    /// Lynx Point-LP (LPT-LP): Haswell ULT and ULX.
    LynxPointLp,
    /// Wildcat Point-H (WPT), 9 series: Haswell, Broadwell, but not the ULT and ULX packages.
    WildcatPointH,
    /// Wildcat Point-LP (WPT-LP): Broadwell ULT and ULX.
    WildcatPointLp,
    /// Sunrise Point-H (SPT), 100 series: Skylake, Kaby Lake.
    SunrisePointH,
    /// Sunrise Point-LP (SPT-LP): Skylake, Kaby Lake, Comet Lake.
    SunrisePointLp,
    /// Union Point (KBP), 200 series: Skylake, Kaby Lake, Coffee Lake, Comet Lake.
    UnionPoint,
    /// Cannon Point-H (CNP), 300 series: Coffee Lake, Comet Lake.
    CannonPointH,
    /// Cannon Point-LP (CNP-LP): Whiskey Lake and others of Coffee Lake, Comet Lake.
    CannonPointLp,
    /// Comet Point-LP (CMP): Comet Lake.
    CometPointLp,
    /// Comet Point-H (CMP), 400 series: Comet Lake, Rocket Lake.
    CometPointH,
    /// Comet Point-V (CMP-V), B460 and H410: Comet Lake.
    CometPointV,
    /// Ice Point-LP (ICP): Ice Lake.
    IcePointLp,
    /// Ice Point-N (ICP): Ice Lake.
    IcePointN,
    /// Mule Creek Canyon (MCC): Elkhart Lake.
    MuleCreekCanyon,
    /// Jasper Point (JSP): Jasper Lake.
    JasperPoint,
    /// Tiger Point-LP (TGP): Tiger Lake.
    TigerPointLp,
    /// Tiger Point-H (TGP), 500 series: Tiger Lake-H, Rocket Lake, Comet Lake.
    TigerPointH,
    /// Alder Point-S (ADP), 600 series: Alder Lake-S, Raptor Lake-S.
    AlderPointS,
    /// Alder Point-P (ADP): Alder Lake-P, Raptor Lake-P and -U.
    AlderPointP,
    /// Alder Point-N (ADP): Alder Lake-N.
    AlderPointN,
    /// Raptor Point-S (ADP), 700 series: Alder Lake-S, Raptor Lake-S.
    RaptorPointS,
}

/// A family, the bits that its device ids share, and the device id and revision shown for it.
struct Row(Pch, u16, u16, u8);

/// Families: Linux, i915 driver. Device ids: The PCI ID Repository. Revisions: Xen's bridge of graphics passthrough,
/// which has two of the families.
const ROWS: [Row; 25] = [
    Row(Pch::IbexPeak, 0x3b00, 0x3b07, 0),
    Row(Pch::CougarPoint, 0x1c00, 0x1c4e, 0),
    Row(Pch::PantherPoint, 0x1e00, 0x1e47, 0),
    Row(Pch::LynxPointH, 0x8c00, 0x8c4e, 4),
    Row(Pch::LynxPointLp, 0x9c00, 0x9c43, 0),
    Row(Pch::WildcatPointH, 0x8c80, 0x8cc4, 0),
    Row(Pch::WildcatPointLp, 0x9c80, 0x9cc3, 3),
    Row(Pch::SunrisePointH, 0xa100, 0xa146, 0),
    Row(Pch::SunrisePointLp, 0x9d00, 0x9d48, 0),
    Row(Pch::UnionPoint, 0xa280, 0xa2c6, 0),
    Row(Pch::CannonPointH, 0xa300, 0xa306, 0),
    Row(Pch::CannonPointLp, 0x9d80, 0x9d84, 0),
    Row(Pch::CometPointLp, 0x0280, 0x0284, 0),
    Row(Pch::CometPointH, 0x0680, 0x0687, 0),
    Row(Pch::CometPointV, 0xa380, 0xa3c8, 0),
    Row(Pch::IcePointLp, 0x3480, 0x3482, 0),
    Row(Pch::IcePointN, 0x3880, 0x3882, 0),
    Row(Pch::MuleCreekCanyon, 0x4b00, 0x4b00, 0),
    Row(Pch::JasperPoint, 0x4d80, 0x4d87, 0),
    Row(Pch::TigerPointLp, 0xa080, 0xa082, 0),
    Row(Pch::TigerPointH, 0x4380, 0x438b, 0),
    Row(Pch::AlderPointS, 0x7a80, 0x7a84, 0),
    Row(Pch::AlderPointP, 0x5180, 0x5182, 0),
    Row(Pch::AlderPointN, 0x5480, 0x5481, 0),
    Row(Pch::RaptorPointS, 0x7a00, 0x7a04, 0),
];

impl Pch {
    /// The family of an ISA bridge of Intel with this device id, or `None` if it is of no family known here.
    #[must_use]
    pub fn from_device_id(device: u16) -> Option<Self> {
        let family = device & spec::PCH_FAMILY;
        ROWS.iter()
            .find(|Row(_, of, ..)| *of == family)
            .map(|Row(pch, ..)| *pch)
    }

    /// The device id of a real bridge of the family.
    #[must_use]
    pub fn device_id(self) -> u16 {
        self.row().map_or(0, |Row(_, _, device, _)| *device)
    }

    pub(crate) fn revision(self) -> u8 {
        self.row().map_or(0, |Row(.., revision)| *revision)
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|Row(pch, ..)| *pch == self)
    }
}

/// An ISA bridge that only virtual machines have beside a newer processor. Drivers that find one stop looking at ids
/// and tell the platform by other means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum VirtualBridge {
    /// PIIX3, 8086:7000: QEMU's `pc` machine.
    Piix3,
    /// PIIX4, 8086:7110 and its neighbours.
    Piix4,
    /// ICH9, 8086:2918 with the subsystem 1af4:1100: QEMU's `q35` machine.
    Ich9,
}

/// A virtual bridge, the bits that its device ids share, and its subsystem where real bridges have the same ids.
struct VirtualRow(VirtualBridge, u16, Option<(u16, u16)>);

/// Linux, i915 driver.
const VIRTUAL_ROWS: [VirtualRow; 3] = [
    VirtualRow(VirtualBridge::Piix3, 0x7000, None),
    VirtualRow(VirtualBridge::Piix4, 0x7100, None),
    VirtualRow(VirtualBridge::Ich9, 0x2900, Some(spec::QEMU_SUBSYSTEM)),
];

impl VirtualBridge {
    /// The virtual bridge with this identity, or `None` if it may be a real one.
    #[must_use]
    pub fn from_identity(identity: &Identity) -> Option<Self> {
        if identity.vendor != spec::INTEL {
            return None;
        }
        let family = identity.device & spec::PCH_FAMILY;
        let shown = (identity.subsystem_vendor, identity.subsystem);
        let found = VIRTUAL_ROWS
            .iter()
            .find(|VirtualRow(_, of, subsystem)| *of == family && subsystem.is_none_or(|it| it == shown));
        found.map(|VirtualRow(bridge, ..)| *bridge)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_family_has_one_row_and_an_id_of_its_own() {
        let families: BTreeSet<u16> = ROWS.iter().map(|row| row.1).collect();
        assert_eq!(families.len(), ROWS.len());
        for (place, &Row(pch, family, device, _)) in ROWS.iter().enumerate() {
            assert_eq!(family & !spec::PCH_FAMILY, 0, "{pch:?}");
            assert_eq!(device & spec::PCH_FAMILY, family, "{pch:?}");
            assert_eq!(Pch::from_device_id(device), Some(pch));
            assert_eq!(ROWS.iter().position(|other| other.0 == pch), Some(place));
            assert_eq!(pch.device_id(), device);
        }
    }

    /// No `_` arm: a variant without a row does not get past this.
    #[test]
    fn each_variant_has_a_row() {
        const fn next(pch: Pch) -> Option<Pch> {
            Some(match pch {
                Pch::IbexPeak => Pch::CougarPoint,
                Pch::CougarPoint => Pch::PantherPoint,
                Pch::PantherPoint => Pch::LynxPointH,
                Pch::LynxPointH => Pch::LynxPointLp,
                Pch::LynxPointLp => Pch::WildcatPointH,
                Pch::WildcatPointH => Pch::WildcatPointLp,
                Pch::WildcatPointLp => Pch::SunrisePointH,
                Pch::SunrisePointH => Pch::SunrisePointLp,
                Pch::SunrisePointLp => Pch::UnionPoint,
                Pch::UnionPoint => Pch::CannonPointH,
                Pch::CannonPointH => Pch::CannonPointLp,
                Pch::CannonPointLp => Pch::CometPointLp,
                Pch::CometPointLp => Pch::CometPointH,
                Pch::CometPointH => Pch::CometPointV,
                Pch::CometPointV => Pch::IcePointLp,
                Pch::IcePointLp => Pch::IcePointN,
                Pch::IcePointN => Pch::MuleCreekCanyon,
                Pch::MuleCreekCanyon => Pch::JasperPoint,
                Pch::JasperPoint => Pch::TigerPointLp,
                Pch::TigerPointLp => Pch::TigerPointH,
                Pch::TigerPointH => Pch::AlderPointS,
                Pch::AlderPointS => Pch::AlderPointP,
                Pch::AlderPointP => Pch::AlderPointN,
                Pch::AlderPointN => Pch::RaptorPointS,
                Pch::RaptorPointS => return None,
            })
        }
        let mut pch = Some(Pch::IbexPeak);
        let mut count = 0;
        while let Some(this) = pch {
            assert!(this.row().is_some(), "{this:?}");
            count += 1;
            pch = next(this);
        }
        assert_eq!(count, ROWS.len());
    }

    #[test]
    fn device_ids_seen_on_machines_have_their_family() {
        let seen = [
            (0x9d84, Some(Pch::CannonPointLp)),
            (0xa382, Some(Pch::CometPointV)),
            (0xa305, Some(Pch::CannonPointH)),
            (0x7a86, Some(Pch::AlderPointS)),
            (0x8cc3, Some(Pch::WildcatPointH)),
            (0x1e59, Some(Pch::PantherPoint)),
            (0x2918, None),
            (0x7000, None),
            (0x0000, None),
            (0xffff, None),
        ];
        for (device, pch) in seen {
            assert_eq!(Pch::from_device_id(device), pch, "{device:04x}");
        }
    }

    #[test]
    fn ich9_is_virtual_by_its_subsystem_alone() {
        let identity = |device| Identity {
            vendor: 0x8086,
            device,
            ..Identity::default()
        };
        assert_eq!(
            VirtualBridge::from_identity(&identity(0x2918)),
            Some(VirtualBridge::Ich9)
        );
        let real = Identity {
            subsystem: 0x1101,
            ..identity(0x2918)
        };
        assert_eq!(VirtualBridge::from_identity(&real), None);
        let real = Identity {
            subsystem_vendor: 0x8086,
            ..identity(0x7000)
        };
        assert_eq!(VirtualBridge::from_identity(&real), Some(VirtualBridge::Piix3));
        assert_eq!(
            VirtualBridge::from_identity(&identity(0x7110)),
            Some(VirtualBridge::Piix4)
        );
        assert_eq!(VirtualBridge::from_identity(&identity(0x9d84)), None);
        let other = Identity {
            vendor: 0x1022,
            ..identity(0x7000)
        };
        assert_eq!(VirtualBridge::from_identity(&other), None);
    }
}
