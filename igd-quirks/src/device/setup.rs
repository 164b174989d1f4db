// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a plan says about the guest's view of the function.

use alloc::vec::Vec;

/// Whose answers the device gives where QEMU differs from what we think is right.
///
/// | Question | [`Native`](Self::Native) | [`Qemu`](Self::Qemu) |
/// |---|---|---|
/// | configuration writes to emulated registers | stay with us | reach the hardware too |
/// | a reset of the machine | brings back the values at power-on | keeps what the guest wrote |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DeviceRules {
    /// What we think is right.
    #[default]
    Native,
    /// What QEMU answers, of any version.
    Qemu,
}

/// Where the base of stolen memory is emulated, and with which value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BdsmSetup {
    /// Nowhere: the guest reads the hardware.
    #[default]
    Hardware,
    /// At 5Ch, 32 bits.
    Dword(u32),
    /// At C0h, 64 bits.
    Qword(u64),
}

/// The GTT index and data ports in BAR4, where a policy translates what goes through them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GttPortSetup {
    /// The host's base of stolen memory, without its flags.
    pub host_bdsm: u32,
    /// Size of an entry in bytes: 4 before generation 8, else 8.
    pub entry_size: u8,
    /// The first index that is no entry of the table.
    pub index_end: u32,
}

/// Bytes of BAR0 whose accesses are made to configuration space instead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Redirect {
    /// First byte in BAR0.
    pub bar0: u64,
    /// The byte of configuration space that stands for it.
    pub config: u16,
    /// Length in bytes.
    pub len: u16,
}

/// The guest's view of the function, as far as it differs from the hardware's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeviceSetup {
    /// The read-only value of GGC at 50h, or `None` if the guest reads the hardware.
    pub ggc: Option<u16>,
    /// The read-only value of 52h and 53h, for a policy that takes GGC for a register of 32 bits, or `None` if the guest
    /// reads the hardware.
    pub ggc_high: Option<u16>,
    /// Base of stolen memory at power-on.
    pub bdsm: BdsmSetup,
    /// ASLS, the address of the OpRegion: the value at power-on, or `None` if the guest reads the hardware.
    pub asls: Option<u32>,
    /// Whether GGC is mirrored in BAR0 at 108040h.
    pub ggc_mirror: bool,
    /// Whether the base of stolen memory is mirrored in BAR0 at 1080C0h.
    pub bdsm_mirror: bool,
    /// Bytes of BAR0 that lead to configuration space, for a policy that traps what it does not emulate. A mirror goes
    /// before them.
    pub redirects: Vec<Redirect>,
    /// Whether SWSCI at E8h is hidden: reads zero, writes are dropped.
    pub hide_swsci: bool,
    /// The ports in BAR4, if a policy translates them.
    pub gtt_port: Option<GttPortSetup>,
    /// Whose answers the device gives.
    pub rules: DeviceRules,
}
