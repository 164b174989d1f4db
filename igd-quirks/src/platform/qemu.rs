// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! How QEMU maps device ids to generations: by prefix, differently over time.

use core::fmt;

/// A span of QEMU versions whose IGD code decides alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum QemuEra {
    /// Up to 9.1.
    UpTo9_1,
    /// 9.2.
    V9_2,
    /// 10.0.
    V10_0,
    /// From 10.1.
    From10_1,
}

impl fmt::Display for QemuEra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UpTo9_1 => "QEMU up to 9.1",
            Self::V9_2 => "QEMU 9.2",
            Self::V10_0 => "QEMU 10.0",
            Self::From10_1 => "QEMU from 10.1",
        })
    }
}

/// A map from ids to generations.
struct Map {
    /// Bits of an id that are compared, what they are on Broxton, its generation. Looked at first.
    broxton: (u16, u16, u8),
    /// Generation, or none, by the high byte of an id.
    prefixes: &'static [(Option<u8>, &'static [u8])],
    /// Generation of all others.
    other: Option<u8>,
}

const UP_TO_9_1: Map = Map {
    broxton: (0x0fff, 0x0a84, 8),
    prefixes: &[
        (None, &[0x00, 0x25, 0x27, 0x29, 0x2a, 0x2e, 0x35, 0xa0]),
        (Some(6), &[0x01, 0x04, 0x0a, 0x0c, 0x0d, 0x0f]),
    ],
    other: Some(8),
};

const V9_2: Map = Map {
    broxton: (0x0fff, 0x0a84, 8),
    prefixes: &[
        (Some(6), &[0x01, 0x04, 0x0a, 0x0c, 0x0d, 0x0f]),
        (Some(8), &[0x16, 0x19, 0x22, 0x59]),
        (Some(9), &[0x3e]),
        (Some(11), &[0x45]),
        (Some(12), &[0x9a]),
    ],
    other: None,
};

const FROM_10_0: Map = Map {
    broxton: (0x0ffe, 0x0a84, 9),
    prefixes: &[
        (Some(6), &[0x01]),
        (Some(7), &[0x04, 0x0a, 0x0c, 0x0d, 0x0f]),
        (Some(8), &[0x16, 0x22]),
        (Some(9), &[0x19, 0x31, 0x59, 0x3e, 0x9b]),
        (Some(11), &[0x8a, 0x45, 0x4e]),
        (Some(12), &[0x9a, 0x4c, 0x46, 0xa7]),
    ],
    other: None,
};

/// The generation QEMU takes `device` for, or `None` where it answers -1.
///
/// Cherryview is 8 to QEMU, and so is all that it does not know up to 9.1.
#[must_use]
pub fn qemu_generation(era: QemuEra, device: u16) -> Option<u8> {
    let map = match era {
        QemuEra::UpTo9_1 => &UP_TO_9_1,
        QemuEra::V9_2 => &V9_2,
        QemuEra::V10_0 | QemuEra::From10_1 => &FROM_10_0,
    };
    let (mask, broxton, generation) = map.broxton;
    if device & mask == broxton {
        return Some(generation);
    }
    let [prefix, _] = device.to_be_bytes();
    let row = map.prefixes.iter().find(|(_, prefixes)| prefixes.contains(&prefix));
    row.map_or(map.other, |(generation, _)| *generation)
}
