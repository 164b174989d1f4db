// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a machine is asked to be.

use std::fs::File;
use std::path::PathBuf;

use igd_quirks::facts::{Chipset, Extent, Firmware, MachineFacts, RamLayout, Slot};

use super::BoardKind;
use crate::backend::HostDevice;

const GIB_4: u64 = 1 << 32;

/// What a machine is asked to be.
#[derive(Debug)]
pub struct MachineOptions {
    /// Which board.
    pub kind: BoardKind,
    /// Guest RAM in bytes, a multiple of 1 MiB.
    pub memory: u64,
    /// Processors, 1 to 255.
    pub cpus: u8,
    /// What the guest starts with.
    pub boot: Boot,
    /// Where the serial port writes to.
    pub serial: Output,
    /// Where the debug console at port 402h writes to.
    pub debug_console: Output,
}

/// What a guest starts with.
#[derive(Clone, Debug)]
pub enum Boot {
    /// Firmware: a flat image that ends with the reset vector.
    Firmware {
        /// The image.
        image: Vec<u8>,
        /// What is known of it.
        kind: Firmware,
    },
    /// A Linux kernel.
    Linux {
        /// Its bzImage.
        kernel: PathBuf,
        /// Its initial RAM disk.
        initrd: Option<PathBuf>,
        /// Its command line.
        append: String,
    },
}

/// Where a device writes to.
#[derive(Debug, Default)]
pub enum Output {
    /// Nowhere.
    #[default]
    None,
    /// Standard output.
    Stdout,
    /// A file.
    File(File),
}

impl BoardKind {
    /// First address below 4 GiB that is not RAM at the most: PCI memory or ECAM starts there.
    #[must_use]
    pub const fn mmio_start(self) -> u64 {
        match self {
            Self::Pc => 0xc000_0000,
            Self::Q35 => 0xb000_0000,
        }
    }

    /// RAM below 4 GiB at the most, where some is above.
    const fn low_limit(self) -> u64 {
        match self {
            Self::Pc => 0xc000_0000,
            Self::Q35 => 0x8000_0000,
        }
    }

    /// Where `memory` bytes of RAM go.
    #[must_use]
    pub const fn ram_layout(self, memory: u64) -> RamLayout {
        if memory <= self.mmio_start() {
            return RamLayout {
                below_4g: memory,
                above_4g: 0,
            };
        }
        RamLayout {
            below_4g: self.low_limit(),
            above_4g: memory - self.low_limit(),
        }
    }
}

impl MachineOptions {
    /// The extents of RAM, lowest first, where no plan asks for others.
    #[must_use]
    pub fn ram(&self) -> Vec<Extent> {
        let layout = self.kind.ram_layout(self.memory);
        let both = [Extent::new(0, layout.below_4g), Extent::new(GIB_4, layout.above_4g)];
        both.into_iter().filter(|extent| extent.len != 0).collect()
    }

    /// What a plan has to know of the machine.
    #[must_use]
    pub fn facts(&self, device: &dyn HostDevice) -> MachineFacts {
        let (chipset, isa_bridge) = match self.kind {
            BoardKind::Pc => (Chipset::I440Fx, Slot::Empty),
            BoardKind::Q35 => (Chipset::Q35, Slot::Bridge),
        };
        MachineFacts {
            chipset,
            host_bridge: Slot::Bridge,
            isa_bridge,
            ram: self.kind.ram_layout(self.memory),
            mmio_start: self.kind.mmio_start(),
            firmware: match &self.boot {
                Boot::Firmware { kind, .. } => *kind,
                Boot::Linux { .. } => Firmware::DirectKernel,
            },
            hotplug: false,
            other_vga: false,
            iommu_bits: device.iommu_bits(),
            guest_phys_bits: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_leaves_room_for_pci() {
        for kind in [BoardKind::Pc, BoardKind::Q35] {
            for memory in [64 << 20, 2 << 30, 0xb000_0000, 0xc000_0000, 4 << 30, 64 << 30] {
                let layout = kind.ram_layout(memory);
                assert_eq!(layout.below_4g + layout.above_4g, memory);
                assert!(layout.below_4g <= kind.mmio_start());
            }
        }
    }
}
