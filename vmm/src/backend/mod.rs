// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a device comes from: the one seam to VFIO, to a vfio-user peer, and to a simulated device.

mod mapping;
#[cfg(feature = "sim")]
pub mod sim;
pub mod vfio;
pub mod vfio_user;

use std::fmt;

use igd_quirks::facts::Extent;
use vmm_sys_util::eventfd::EventFd;

pub use mapping::Mapping;

/// What a region of a device holds. Found by its type, never by a fixed index beyond those of PCI.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum RegionKind {
    /// Memory or ports of a base address register, 0 to 5.
    Bar(u8),
    /// Expansion ROM.
    Rom,
    /// Configuration space.
    Config,
    /// Legacy VGA ranges; an offset is an address or a port.
    Vga,
    /// OpRegion with what belongs to it.
    OpRegion,
    /// Configuration space of the host's 00:00.0.
    HostBridge,
    /// Configuration space of the host's 00:1f.0.
    LpcBridge,
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(index) => write!(f, "BAR{index}"),
            Self::Rom => f.write_str("ROM"),
            Self::Config => f.write_str("configuration space"),
            Self::Vga => f.write_str("VGA"),
            Self::OpRegion => f.write_str("OpRegion"),
            Self::HostBridge => f.write_str("host bridge"),
            Self::LpcBridge => f.write_str("LPC bridge"),
        }
    }
}

/// A region of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// What it holds.
    pub kind: RegionKind,
    /// Size in bytes, not 0.
    pub size: u64,
    /// Whether it can be written.
    pub writable: bool,
    /// The areas that can be mapped: page-aligned, disjoint, rising, within the region.
    pub mappable: Vec<Extent>,
}

/// A way to interrupt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum InterruptKind {
    /// The INTx pin.
    Intx,
    /// MSI.
    Msi,
    /// MSI-X.
    Msix,
}

impl fmt::Display for InterruptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intx => "INTx",
            Self::Msi => "MSI",
            Self::Msix => "MSI-X",
        })
    }
}

/// Guest memory that the device may reach.
#[derive(Clone, Copy, Debug)]
pub struct DmaMemory<'a> {
    /// Address on the device's side, which is the guest-physical one.
    pub iova: u64,
    /// Length in bytes.
    pub len: u64,
    /// Where it is mapped in this process.
    pub hva: u64,
    /// The file behind it, for a peer in another process.
    pub file: &'a std::fs::File,
    /// Offset in the file.
    pub offset: u64,
}

/// A host's device. Accesses are exact or an error; a device that is gone says so and never blocks for ever.
///
/// Methods take `&self`: a device does its own locking, and none is held across a call that may block for long.
pub trait HostDevice: Send + Sync + fmt::Debug {
    /// What it is called, for messages: `vfio 0000:00:02.0`.
    fn name(&self) -> &str;

    /// The regions that exist.
    fn regions(&self) -> &[Region];

    /// The region of this kind.
    fn region(&self, kind: RegionKind) -> Option<&Region> {
        self.regions().iter().find(|region| region.kind == kind)
    }

    /// Fills `data` from `offset`, in naturally aligned accesses of up to 8 bytes where the region is a BAR, up to 4 elsewhere.
    ///
    /// # Errors
    ///
    /// Not every byte was delivered; the content of `data` is undefined then.
    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError>;

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    ///
    /// Not every byte was taken.
    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError>;

    /// Maps one of the mappable areas.
    ///
    /// # Errors
    ///
    /// The area is not mappable, or the host refuses.
    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError>;

    /// How many interrupts of this kind there are, 0 if none.
    fn interrupt_count(&self, kind: InterruptKind) -> u32;

    /// Lets interrupts of this kind go to these eventfds, one each. Others of the kind are replaced.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError>;

    /// Ends the interrupts of this kind.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError>;

    /// Masks the INTx pin.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn mask_intx(&self) -> Result<(), HostError>;

    /// Unmasks the INTx pin; a level that is still asserted triggers again.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn unmask_intx(&self) -> Result<(), HostError>;

    /// Unmasks the INTx pin whenever this eventfd is signalled.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn set_intx_resample(&self, resample: &EventFd) -> Result<(), HostError>;

    /// Resets the function.
    ///
    /// # Errors
    ///
    /// The device cannot be reset, or the host refuses.
    fn reset(&self) -> Result<(), HostError>;

    /// Lets the device reach guest memory.
    ///
    /// # Errors
    ///
    /// The host refuses; the message names address and size.
    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError>;

    /// Takes guest memory back.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError>;

    /// Bits of an address that the IOMMU translates, if known.
    fn iommu_bits(&self) -> Option<u8> {
        None
    }

    /// Becomes readable when the device is gone.
    fn lost(&self) -> Option<&EventFd> {
        None
    }
}

/// What a host said no to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The device cannot be opened.
    #[error("{device} cannot be opened: {reason}")]
    Open {
        /// Which.
        device: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The device has no such region, or the access leaves it.
    #[error("{len} bytes at {offset:#x} of {region}: no such region, or beyond its end")]
    OutOfRange {
        /// The region.
        region: RegionKind,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: usize,
    },
    /// An access failed.
    #[error("{access} of {len} bytes at {offset:#x} of {region}: {reason}")]
    Access {
        /// `read` or `write`.
        access: &'static str,
        /// The region.
        region: RegionKind,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len: usize,
        /// Why.
        reason: String,
    },
    /// An area cannot be mapped.
    #[error("mapping {area} of {region}: {reason}")]
    Map {
        /// The region.
        region: RegionKind,
        /// The area.
        area: Extent,
        /// Why.
        reason: String,
    },
    /// An interrupt cannot be set up.
    #[error("{action} {kind}: {reason}")]
    Interrupt {
        /// What was asked.
        action: &'static str,
        /// Of which kind.
        kind: InterruptKind,
        /// Why.
        reason: String,
    },
    /// The device cannot be reset.
    #[error("reset: {reason}")]
    Reset {
        /// Why.
        reason: String,
    },
    /// Guest memory cannot be mapped or unmapped for the device.
    #[error("{action} guest memory {range} for the device: {reason}")]
    Dma {
        /// `map` or `unmap`.
        action: &'static str,
        /// The range.
        range: Extent,
        /// Why, and what to do.
        reason: String,
    },
    /// The device is gone.
    #[error("{device} is gone: {reason}")]
    Lost {
        /// Which.
        device: String,
        /// Why.
        reason: String,
    },
}
