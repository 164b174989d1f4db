// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What of a device differs from its profile.

use pci_model::{BuildError, MsiError};

use crate::fault::Fault;
use crate::ggc::GgcError;
use crate::opregion::{OpRegionError, VbtPlacement};
use crate::profile::OpRegionVersion;

/// How a device differs from its profile. The default differs in nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Stolen memory in MiB.
    pub stolen_mib: Option<u32>,
    /// Host address of stolen memory, a multiple of 1 MiB.
    pub stolen_base: Option<u64>,
    /// Class code, 24 bits: 0x038000 for a function without a display.
    pub class: Option<u32>,
    /// Address that ASLS holds; 0 for a host without an OpRegion.
    pub asls: Option<u32>,
    /// Version of the OpRegion.
    pub opregion_version: Option<OpRegionVersion>,
    /// Where the VBT is.
    pub vbt: Option<VbtPlacement>,
    /// Shows the OpRegion as it lies in the host's memory, instead of as VFIO shows it.
    pub host_opregion: bool,
    /// Lets software write GGC and BDSM, as before firmware locks them.
    pub unlocked: bool,
    /// Gives BAR0 a page with test registers: see [`test_page`](crate::test_page).
    pub test_page: bool,
    /// Keeps BAR0 and BAR2 in files that another process can map.
    #[cfg(feature = "server")]
    pub shared: bool,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// A device that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildFailure {
    /// The sizes have no code.
    #[error(transparent)]
    Ggc(#[from] GgcError),
    /// The OpRegion cannot be.
    #[error(transparent)]
    OpRegion(#[from] OpRegionError),
    /// The function cannot be.
    #[error(transparent)]
    Function(#[from] BuildError),
    /// The MSI capability cannot be.
    #[error(transparent)]
    Msi(#[from] MsiError),
    /// Stolen memory cannot be there.
    #[error("stolen memory of {mib} MiB at {base:#x}: the base must be a multiple of 1 MiB, the end within {limit:#x}")]
    StolenBase {
        /// The base asked for.
        base: u64,
        /// The size in MiB.
        mib: u32,
        /// One past the last address that the registers can say.
        limit: u64,
    },
    /// The class code has more than 24 bits.
    #[error("class code {0:#x}: it has 24 bits")]
    Class(u32),
    /// The memory of a BAR could not be had.
    #[cfg(feature = "server")]
    #[error("no memory for BAR{bar}")]
    Memory {
        /// Which BAR.
        bar: u8,
        /// Why.
        source: std::io::Error,
    },
    /// The registers of BAR0 could not be set.
    #[error("the registers of BAR0 could not be set")]
    Registers(#[source] crate::memory::MemoryError),
}
