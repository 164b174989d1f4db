// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Legacy VGA: the fixed ranges, and whether the device claims them.

use core::ops::RangeInclusive;

use crate::spec;

/// Frame buffer of VGA.
pub const MEMORY: RangeInclusive<u64> = 0xa_0000..=0xb_ffff;
/// Ports of monochrome adapters.
pub const PORTS_MONO: RangeInclusive<u16> = 0x3b0..=0x3bb;
/// Ports of colour adapters.
pub const PORTS_COLOUR: RangeInclusive<u16> = 0x3c0..=0x3df;
/// Index of the VGA region of `vfio-pci`.
pub const VFIO_REGION: u32 = 8;
/// Fewest bytes of that region: memory and ports are at their own addresses in it.
pub const VFIO_REGION_SIZE: u64 = 0xc_0000;

/// What the device does with VGA cycles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum VgaClaim {
    /// It claims them.
    Claimed,
    /// IVD of GGC is set: it does not, though its class is VGA.
    Disabled,
    /// Its class is not VGA.
    NotVga,
}

impl VgaClaim {
    /// The claim by `class` (base class and subclass) and IVD.
    #[must_use]
    pub const fn new(class: u16, vga_disabled: bool) -> Self {
        match (class, vga_disabled) {
            (spec::CLASS_VGA, false) => Self::Claimed,
            (spec::CLASS_VGA, true) => Self::Disabled,
            _ => Self::NotVga,
        }
    }

    /// What follows for the guest, as a sentence.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Claimed => {
                "The device claims legacy VGA: the guest can have text mode and a VBIOS, and no other VGA device."
            }
            Self::Disabled => {
                "IVD of GGC is set, so the device ignores VGA cycles: another device was primary when the host \
                 started, or its driver turned VGA off. No text mode, no VBIOS, no legacy mode."
            }
            Self::NotVga => {
                "The device is no VGA controller, since the firmware of the host did not make it primary: no VBIOS, \
                 no UEFI driver, no legacy mode; SeaBIOS sets up neither OpRegion nor stolen memory."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_ivd_decide() {
        assert_eq!(VgaClaim::new(0x0300, false), VgaClaim::Claimed);
        assert_eq!(VgaClaim::new(0x0300, true), VgaClaim::Disabled);
        assert_eq!(VgaClaim::new(0x0380, false), VgaClaim::NotVga);
        assert_eq!(VgaClaim::new(0x0200, true), VgaClaim::NotVga);
    }

    #[test]
    fn ranges_are_those_of_vga() {
        assert_eq!((MEMORY.count(), *MEMORY.start()), (0x2_0000, 0xa_0000));
        assert_eq!((PORTS_MONO.count(), *PORTS_MONO.end()), (12, 0x3bb));
        assert_eq!((PORTS_COLOUR.count(), *PORTS_COLOUR.start()), (32, 0x3c0));
        assert!(*MEMORY.end() < VFIO_REGION_SIZE);
    }
}
