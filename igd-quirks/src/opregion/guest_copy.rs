// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The OpRegion as a guest gets it.

use alloc::vec::Vec;
use core::fmt;

use super::{ExtendedVbt, OpRegion, Version, layout};

/// What to change in a copy beyond what makes it consistent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GuestCopyOptions {
    /// Clears the bit of mailbox 2, so that a driver does not ask firmware that is not there.
    pub hide_swsci: bool,
    /// Pads with zeros to a multiple of 4 KiB.
    pub pad: bool,
}

/// A change that [`GuestCopy::new`] made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum GuestCopyChange {
    /// The version became 2.1, since RVDA became relative.
    Version {
        /// Version of the host.
        from: Version,
    },
    /// RVDA points at the extended VBT behind the 8 KiB.
    Rvda {
        /// RVDA of the host.
        from: u64,
    },
    /// RVDA is zero: no extended VBT is there.
    RvdaCleared {
        /// RVDA of the host.
        from: u64,
    },
    /// RVDS is zero, since the extended VBT is at a host address that was not copied.
    RvdsCleared {
        /// RVDS of the host.
        from: u32,
    },
    /// The bit of mailbox 2 was cleared.
    SwsciHidden,
}

impl fmt::Display for GuestCopyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { from } => write!(f, "version {from} becomes {}", Version::V2_1),
            Self::Rvda { from } => write!(f, "RVDA {from:#x} becomes {:#x}", layout::SIZE),
            Self::RvdaCleared { from } => write!(f, "RVDA {from:#x} becomes 0: no extended VBT"),
            Self::RvdsCleared { from } => write!(f, "RVDS {from:#x} becomes 0: the extended VBT is out of reach"),
            Self::SwsciHidden => f.write_str("mailbox 2 (SWSCI) is hidden"),
        }
    }
}

/// A copy of an OpRegion that is valid at any address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GuestCopy {
    /// The bytes: 8 KiB, the extended VBT, padding.
    pub bytes: Vec<u8>,
    /// What differs from the host's.
    pub changes: Vec<GuestCopyChange>,
}

impl GuestCopy {
    /// A copy of `host` with a relative RVDA and the extended VBT right behind the 8 KiB, as Linux presents it from
    /// 5.16 on.
    #[must_use]
    pub fn new(host: &OpRegion<'_>, options: GuestCopyOptions) -> Self {
        let (version, rvda, rvds) = (host.version(), host.rvda(), host.rvds());
        let extended = match host.extended_vbt() {
            ExtendedVbt::Present(vbt) => vbt,
            ExtendedVbt::None | ExtendedVbt::Unreachable { .. } => &[],
        };
        let mut bytes = Vec::with_capacity(layout::SIZE + extended.len());
        bytes.extend_from_slice(host.bytes().get(..layout::SIZE).unwrap_or_default());
        bytes.extend_from_slice(extended);
        let mut changes = Vec::new();

        let view = if extended.is_empty() {
            KernelView {
                version,
                rvda: 0,
                ..kernel_view(version, 0, 0)
            }
        } else {
            kernel_view(version, rvda, rvds)
        };
        if view.version != version {
            put(&mut bytes, layout::VERSION, &view.version.0.to_le_bytes());
            changes.push(GuestCopyChange::Version { from: version });
        }
        if view.rvda != rvda {
            put(&mut bytes, layout::RVDA, &view.rvda.to_le_bytes());
            changes.push(match view.rvda {
                0 => GuestCopyChange::RvdaCleared { from: rvda },
                _ => GuestCopyChange::Rvda { from: rvda },
            });
        }
        if let ExtendedVbt::Unreachable { .. } = host.extended_vbt() {
            put(&mut bytes, layout::RVDS, &[0; 4]);
            changes.push(GuestCopyChange::RvdsCleared { from: rvds });
        }
        if options.hide_swsci && host.mailboxes().swsci() {
            let mailboxes = host.mailboxes().0 & !layout::MBOX_SWSCI;
            put(&mut bytes, layout::MBOX, &mailboxes.to_le_bytes());
            changes.push(GuestCopyChange::SwsciHidden);
        }
        if options.pad {
            let page = usize::try_from(layout::PAGE).unwrap_or(layout::SIZE);
            bytes.resize(bytes.len().next_multiple_of(page), 0);
        }
        Self { bytes, changes }
    }
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    if let Some(field) = bytes.get_mut(offset..).and_then(|rest| rest.get_mut(..value.len())) {
        field.copy_from_slice(value);
    }
}

/// What `vfio-pci` of Linux 5.16 and later shows of a host's OpRegion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct KernelView {
    /// Bytes of the region.
    pub size: u64,
    /// Version shown.
    pub version: Version,
    /// RVDA shown.
    pub rvda: u64,
}

/// What `vfio-pci` shows of a valid OpRegion of 8 KiB with these fields.
#[must_use]
pub const fn kernel_view(version: Version, rvda: u64, rvds: u32) -> KernelView {
    let size = layout::SIZE as u64;
    if version.0 < Version::V2_0.0 || rvda == 0 || rvds == 0 {
        return KernelView { size, version, rvda: 0 };
    }
    let version = if version.0 == Version::V2_0.0 {
        Version::V2_1
    } else {
        version
    };
    KernelView {
        size: size + rvds as u64,
        version,
        rvda: size,
    }
}
