// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! PCI Express, capability 10h.
//!
//! ```text
//! +02 capabilities     13:9 interrupt message | 8 slot | 7:4 kind | 3:0 version
//! +04 device caps      28 function level reset
//! +08 device control   15 initiate function level reset   +0A device status  3:0 errors (w1c)
//! +0C +10 +12 link     +14 +18 +1A slot   +1C +1E +20 root
//! +24 device caps 2    +28 device control 2   +2C link caps 2   +30 +32 link control and status 2
//! ```
//!
//! *PCI Express Base Specification* 5.0, section 7.5.3.

use crate::registers::Registers;
use crate::rules::Rules;

const CAPABILITIES: u16 = 0x02;
const DEVICE_CAPABILITIES: u16 = 0x04;
/// Offset of the device control register in the capability.
pub(crate) const DEVICE_CONTROL: u16 = 0x08;
const DEVICE_STATUS: u16 = 0x0a;
const LINK_CONTROL: u16 = 0x10;
const DEVICE_CAPABILITIES_2: u16 = 0x24;
const DEVICE_CONTROL_2: u16 = 0x28;
const FLR_CAPABLE: u32 = 1 << 28;

/// Initiate function level reset: a bit of the upper byte of device control, reads as zero.
pub(crate) const INITIATE_FLR: u8 = 0x80;

/// Error reporting, relaxed ordering, payload size, auxiliary power, no snoop and read request size: what every endpoint
/// has.
const DEVICE_CONTROL_BASE: u16 = 0x7cff;
/// Bits of device control that are there with any of these device capabilities.
const DEVICE_CONTROL_GROUPS: [(u32, u16); 2] = [
    // Extended tags.
    (1 << 5, 1 << 8),
    // Phantom functions.
    (0b11 << 3, 1 << 9),
];
/// The same of device control 2. What has no capability, as atomic operations and ID-based ordering of a requester, may
/// be read-only.
const DEVICE_CONTROL_2_GROUPS: [(u32, u16); 7] = [
    // Completion timeout.
    (0xf, 0xf),
    (1 << 4, 1 << 4),
    // ARI forwarding.
    (1 << 5, 1 << 5),
    // Latency tolerance reporting.
    (1 << 11, 1 << 10),
    // 10-bit tags of a requester.
    (1 << 17, 1 << 12),
    // Optimized buffer flush and fill.
    (0b11 << 18, 0b11 << 13),
    // Blocking of end-end TLP prefixes.
    (1 << 21, 1 << 15),
];
const DEVICE_STATUS_W1C: u16 = 0x000f;
/// ASPM, read completion boundary, common clock, extended sync, clock power management.
const LINK_CONTROL_WRITABLE: u16 = 0x01cb;

/// Kind of a PCI Express function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExpressKind {
    /// An endpoint behind a port.
    Endpoint,
    /// A legacy endpoint behind a port.
    LegacyEndpoint,
    /// An endpoint inside the root complex: has no link.
    RootComplexIntegratedEndpoint,
}

impl ExpressKind {
    const fn code(self) -> u16 {
        match self {
            Self::Endpoint => 0,
            Self::LegacyEndpoint => 1,
            Self::RootComplexIntegratedEndpoint => 9,
        }
    }
}

/// The PCI Express capability of a new function, version 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Express {
    /// Kind of the function.
    pub kind: ExpressKind,
    /// Device capabilities, read-only; bit 28 makes function level reset available.
    pub device_capabilities: u32,
    /// Device capabilities 2, read-only.
    pub device_capabilities_2: u32,
}

impl Express {
    pub(crate) fn body(self) -> [u8; 0x3a] {
        let mut body = [0; 0x3a];
        let capabilities = 2 | self.kind.code() << 4;
        let fields: [(u16, &[u8]); 3] = [
            (CAPABILITIES, &capabilities.to_le_bytes()),
            (DEVICE_CAPABILITIES, &self.device_capabilities.to_le_bytes()),
            (DEVICE_CAPABILITIES_2, &self.device_capabilities_2.to_le_bytes()),
        ];
        for (at, bytes) in fields {
            for (to, from) in body.iter_mut().skip(usize::from(at) - 2).zip(bytes) {
                *to = *from;
            }
        }
        body
    }
}

/// Length of a capability with this capabilities word, in bytes.
pub(crate) const fn length(capabilities: u16) -> u16 {
    if capabilities & 0xf >= 2 { 0x3c } else { 0x14 }
}

pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, at: u16, rules: Rules) {
    let capabilities = registers.u16(at + CAPABILITIES);
    let version_2 = capabilities & 0xf >= 2;
    if rules.is_qemu() {
        // QEMU leaves the rest to each device. This bit it makes writable for all of version 2, and no reset clears it.
        if version_2 {
            registers.set_storage(at + DEVICE_CONTROL_2, &0x8000_u16.to_le_bytes());
        }
        return;
    }
    let control = DEVICE_CONTROL_BASE | controls(registers.u32(at + DEVICE_CAPABILITIES), &DEVICE_CONTROL_GROUPS);
    registers.set_writable(at + DEVICE_CONTROL, &control.to_le_bytes());
    registers.set_w1c(at + DEVICE_STATUS, &DEVICE_STATUS_W1C.to_le_bytes());
    registers.clear_volatile(at + DEVICE_STATUS, 2);
    let has_link = matches!(capabilities >> 4 & 0xf, 0 | 1);
    if has_link {
        registers.set_writable(at + LINK_CONTROL, &LINK_CONTROL_WRITABLE.to_le_bytes());
    }
    if version_2 {
        let control = controls(registers.u32(at + DEVICE_CAPABILITIES_2), &DEVICE_CONTROL_2_GROUPS);
        registers.set_writable(at + DEVICE_CONTROL_2, &control.to_le_bytes());
    }
}

/// The control bits that are there with these capabilities.
fn controls(capabilities: u32, groups: &[(u32, u16)]) -> u16 {
    let there = groups.iter().filter(|(capability, _)| capabilities & capability != 0);
    there.fold(0, |all, (_, control)| all | control)
}

/// Whether the function can be reset by its device control register.
pub(crate) fn has_flr<const N: usize>(registers: &Registers<N>, at: u16) -> bool {
    registers.u32(at + DEVICE_CAPABILITIES) & FLR_CAPABLE != 0
}
