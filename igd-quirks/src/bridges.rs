// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bridges at 00:00.0 and 00:1f.0, whose ids firmware and drivers look at.

/// Bytes of a bridge's configuration space that the guest sees as on the host.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Field {
    /// Offset of the first byte.
    pub offset: u16,
    /// Length in bytes.
    pub len: u16,
    /// Name of the register.
    pub name: &'static str,
}

const fn field(offset: u16, len: u16, name: &'static str) -> Field {
    Field { offset, len, name }
}

/// Fields of 00:00.0 that legacy mode copies: not its vendor and device id, which the machine's firmware needs.
pub const HOST_BRIDGE: &[Field] = &[
    field(0x08, 2, "revision and programming interface"),
    field(0x2c, 2, "subsystem vendor id"),
    field(0x2e, 2, "subsystem id"),
];

/// Fields of 00:1f.0 that legacy mode copies.
pub const LPC_BRIDGE: &[Field] = &[
    field(0x00, 2, "vendor id"),
    field(0x02, 2, "device id"),
    field(0x08, 2, "revision and programming interface"),
    field(0x2c, 2, "subsystem vendor id"),
    field(0x2e, 2, "subsystem id"),
];

/// Fields of 00:00.0 that Xen copies.
pub const XEN_HOST_BRIDGE: &[Field] = &[
    field(0x08, 2, "revision and programming interface"),
    field(0x2c, 2, "subsystem vendor id"),
    field(0x2e, 2, "subsystem id"),
    field(0x50, 2, "GGC"),
    field(0x52, 2, "the word after GGC"),
    field(0xa4, 4, "the dword at A4h"),
    field(0xa8, 4, "the dword at A8h"),
];

/// Why 00:00.0 shows the host's fields.
pub const HOST_BRIDGE_REASON: &str =
    "VBIOS and UEFI driver read revision and subsystem of the host bridge to know the stepping and the board";
/// Why 00:1f.0 shows the host's ids.
pub const LPC_BRIDGE_REASON: &str =
    "VBIOS and UEFI driver refuse to run, or choose wrong outputs, unless the ISA bridge at 00:1f.0 has the host's ids";

/// A machine, by what stands at its bridge addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MachineKind {
    /// ISA bridge in slot 1, nothing at 00:1f.0.
    I440fxLike,
    /// ISA bridge (ICH9) at 00:1f.0.
    Q35Like,
    /// No bridges but a host bridge.
    Bare,
}

/// What stands in the way of the host's ids at 00:1f.0, and what to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LpcPlacement {
    /// The address is free: a bridge of our own with the host's ids goes there.
    Free,
    /// The machine's own bridge is there, with functions that its firmware needs.
    Occupied(&'static [WayOut]),
}

/// A way out of the conflict at 00:1f.0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WayOut {
    /// The machine's bridge stays as it is.
    Keep,
    /// The machine's bridge stays and shows the host's ids.
    Overlay,
    /// Another machine: i440FX-like or bare.
    OtherMachine,
}

impl WayOut {
    /// What to do.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Keep => "leave the machine's bridge at 00:1f.0 as it is",
            Self::Overlay => "lay the host's ids over the machine's bridge at 00:1f.0",
            Self::OtherMachine => "use a machine with nothing at 00:1f.0: i440FX-like, or bare with a kernel",
        }
    }

    /// What it brings and costs.
    #[must_use]
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Keep => {
                "Linux knows the virtual bridge and guesses the right family; VBIOS and proprietary UEFI drivers do \
                 not run"
            }
            Self::Overlay => {
                "UEFI drivers find their bridge; guest firmware that looks for ICH9 by its id no longer finds it, and \
                 a Windows driver was seen to fail on Raptor Lake-P without a UEFI driver"
            }
            Self::OtherMachine => "everything can run; the guest has no PCI Express root ports of Q35",
        }
    }
}

impl MachineKind {
    /// What stands in the way of the host's ids at 00:1f.0.
    #[must_use]
    pub const fn lpc_placement(self) -> LpcPlacement {
        match self {
            Self::I440fxLike | Self::Bare => LpcPlacement::Free,
            Self::Q35Like => LpcPlacement::Occupied(&[WayOut::Keep, WayOut::Overlay, WayOut::OtherMachine]),
        }
    }

    /// What a machine without any change at 00:1f.0 means for a Linux guest.
    #[must_use]
    pub const fn linux_without_lpc(self) -> &'static str {
        match self {
            Self::I440fxLike => "Linux knows the PIIX bridge as virtual and guesses the family from the graphics id",
            Self::Q35Like => {
                "Linux knows the ICH9 bridge with subsystem 1af4:1100 as virtual and guesses the family from the \
                 graphics id"
            }
            Self::Bare => "Linux finds no bridge and, as a guest, guesses the family from the graphics id",
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn spans(fields: &[Field]) -> Vec<(u16, u16)> {
        fields.iter().map(|field| (field.offset, field.len)).collect()
    }

    #[test]
    fn fields_are_those_that_legacy_mode_copies() {
        assert_eq!(spans(HOST_BRIDGE), [(0x08, 2), (0x2c, 2), (0x2e, 2)]);
        assert_eq!(
            spans(LPC_BRIDGE),
            [(0x00, 2), (0x02, 2), (0x08, 2), (0x2c, 2), (0x2e, 2)]
        );
        let xen = [
            (0x08, 2),
            (0x2c, 2),
            (0x2e, 2),
            (0x50, 2),
            (0x52, 2),
            (0xa4, 4),
            (0xa8, 4),
        ];
        assert_eq!(spans(XEN_HOST_BRIDGE), xen);
    }

    #[test]
    fn only_q35_has_a_conflict_and_it_has_three_ways_out() {
        assert_eq!(MachineKind::I440fxLike.lpc_placement(), LpcPlacement::Free);
        assert_eq!(MachineKind::Bare.lpc_placement(), LpcPlacement::Free);
        let LpcPlacement::Occupied(ways) = MachineKind::Q35Like.lpc_placement() else {
            panic!()
        };
        assert_eq!(ways, [WayOut::Keep, WayOut::Overlay, WayOut::OtherMachine]);
    }
}
