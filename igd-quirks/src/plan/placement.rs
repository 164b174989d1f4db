// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where OpRegion and stolen memory are in guest memory.

use alloc::vec::Vec;
use alloc::{format, vec};

use super::display::Size;
use super::draft::Draft;
use super::{Code, Finding, Image, Provisioning, Reservation, ReservationKind, StolenPlan};
use crate::device::BdsmSetup;
use crate::facts::{Extent, RamLayout};
use crate::spec;
use crate::stolen::{self, StolenRange};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// Below this, kernels and firmware load themselves: nothing is placed there.
const FLOOR: u64 = 16 * MIB;
/// Widest address there is.
const ADDRESS_BITS: u8 = 64;

impl Draft<'_, '_> {
    /// Compares RAM with the address space and with the reach of the IOMMU.
    pub(super) fn check_memory(&mut self) {
        let machine = &self.subject.facts.machine;
        let RamLayout { below_4g, above_4g } = machine.ram;
        if machine.mmio_start > FOUR_GIB || below_4g > machine.mmio_start {
            self.refuse(Finding::new(
                Code::Memory,
                format!(
                    "The machine has {below_4g:#x} bytes of RAM below 4 GiB, and PCI memory from {:#x} on: they overlap.",
                    machine.mmio_start
                ),
                "Correct ram.below_4g or mmio_start of the facts.",
            ));
        }
        if above_4g.checked_add(FOUR_GIB).is_none() {
            self.refuse(Finding::new(
                Code::Memory,
                format!("{above_4g:#x} bytes of RAM above 4 GiB do not fit 64-bit addresses."),
                "Correct ram.above_4g of the facts.",
            ));
        }
        let Some(bits) = machine.iommu_bits.filter(|bits| *bits < ADDRESS_BITS) else {
            return;
        };
        let reach = 1_u64 << bits;
        let ram_end = if above_4g == 0 {
            below_4g
        } else {
            machine.ram.high().end()
        };
        if ram_end > reach {
            self.refuse(Finding::new(
                Code::IommuWidth,
                format!("Guest RAM ends at {ram_end:#x}, the IOMMU translates {bits} bits, up to {reach:#x}."),
                "Give the guest less memory.",
            ));
        }
        match machine.guest_phys_bits {
            Some(guest) if guest <= bits => {}
            guest => {
                self.plan.memory.bar_limit = Some(reach);
                if let Some(guest) = guest {
                    self.warn(Finding::new(
                        Code::IommuWidth,
                        format!(
                            "The guest believes in {guest} address bits, the IOMMU translates {bits}: firmware that \
                             places a BAR at the top makes mapping it fail."
                        ),
                        format!("Limit the guest to {bits} physical address bits (host-phys-bits-limit={bits})."),
                    ));
                }
            }
        }
    }

    pub(super) fn place(&mut self) {
        match self.plan.provisioning {
            Provisioning::FwCfg => self.leave_to_firmware(),
            Provisioning::Direct => self.place_top_down(),
            Provisioning::Identity => self.place_at_host_address(),
        }
    }

    fn opregion_len(&self) -> u64 {
        let len = self.opregion.as_ref().map_or(0, |bytes| bytes.len());
        u64::try_from(len).unwrap_or(u64::MAX).next_multiple_of(PAGE)
    }

    fn stolen_size(&self) -> u64 {
        self.plan.memory.stolen.map_or(0, |stolen| stolen.size)
    }

    fn low_ram(&self) -> u64 {
        self.subject.facts.machine.ram.below_4g & !(PAGE - 1)
    }

    fn leave_to_firmware(&mut self) {
        let size = self.plan.memory.stolen.map(|stolen| stolen.size);
        self.add_files(size);
        let wanted = self.stolen_size().saturating_add(self.opregion_len());
        if wanted.saturating_add(FLOOR) > self.low_ram() {
            let finding = self.too_little_memory(wanted);
            self.object(finding);
        }
    }

    fn too_little_memory(&self, wanted: u64) -> Finding {
        Finding::new(
            Code::Memory,
            format!(
                "Stolen memory and OpRegion take {} below 4 GiB, where the machine has {} of RAM and needs {} itself.",
                Size(wanted),
                Size(self.low_ram()),
                Size(FLOOR)
            ),
            "Give the guest more memory below 4 GiB, or make stolen memory smaller with x-igd-gms or the host's \
             firmware setup.",
        )
    }

    fn place_top_down(&mut self) {
        let (size, len) = (self.stolen_size(), self.opregion_len());
        let opregion = self.low_ram().checked_sub(len);
        let base = opregion
            .and_then(|top| top.checked_sub(size))
            .map(|base| base & !(spec::STOLEN_ALIGN - 1));
        match (opregion, base) {
            (Some(opregion), Some(base)) if base >= FLOOR => {
                if size > 0 {
                    self.place_stolen(base, size);
                }
                self.place_opregion(opregion);
            }
            _ => {
                let finding = self.too_little_memory(size.saturating_add(len));
                self.refuse(finding);
            }
        }
    }

    fn place_at_host_address(&mut self) {
        let size = self.stolen_size();
        if size == 0 {
            return self.place_top_down();
        }
        let base = stolen::base(self.subject.host_bdsm().unwrap_or_default());
        let range = match StolenRange::new(base, size, self.subject.bdsm()) {
            Ok(range) if range.base() >= FLOOR => range,
            Ok(_) => {
                return self.refuse(Finding::new(
                    Code::Stolen,
                    format!("The host's stolen memory is at {base:#x}, where guests load their firmware and kernel."),
                    "Use provisioning direct.",
                ));
            }
            Err(error) => {
                return self.refuse(Finding::new(
                    Code::Stolen,
                    format!("The host's address cannot be the guest's: {error}."),
                    "Use provisioning direct, or the host's own size of stolen memory.",
                ));
            }
        };
        let stolen = Extent::new(range.base(), range.size());
        let mmio_start = self.subject.facts.machine.mmio_start;
        if stolen.end() > mmio_start {
            return self.refuse(Finding::new(
                Code::Memory,
                format!(
                    "The host's stolen memory is at {stolen}, but the machine has PCI memory from {mmio_start:#x} on."
                ),
                format!(
                    "Move PCI memory and ECAM of the machine to {:#x} or higher, or use direct.",
                    stolen.end()
                ),
            ));
        }
        let len = self.opregion_len();
        let Some(opregion) = self.below(stolen, len) else {
            let finding = self.too_little_memory(size.saturating_add(len));
            return self.refuse(finding);
        };
        self.plan.memory.ram = self.ram_with(stolen);
        if self.subject.options.gms != 0 {
            self.warn(Finding::new(
                Code::Stolen,
                format!(
                    "x-igd-gms={:#x} gives stolen memory another size than the host's: its reserved part may lie \
                     outside.",
                    self.subject.options.gms
                ),
                "Leave x-igd-gms out with provisioning identity.",
            ));
        }
        let reach = self
            .subject
            .facts
            .machine
            .iommu_bits
            .filter(|bits| *bits < ADDRESS_BITS);
        if let Some(bits) = reach.filter(|bits| stolen.end() > 1 << bits) {
            self.refuse(Finding::new(
                Code::IommuWidth,
                format!("The host's stolen memory is at {stolen}, the IOMMU translates {bits} bits."),
                "Use provisioning direct.",
            ));
        }
        self.place_stolen(stolen.start, size);
        self.place_opregion(opregion);
    }

    /// The highest place in low RAM for `len` bytes apart from `taken`.
    fn below(&self, taken: Extent, len: u64) -> Option<u64> {
        let at = self.low_ram().checked_sub(len)?;
        let at = if Extent::new(at, len).overlaps(taken) {
            taken.start.checked_sub(len)?
        } else {
            at
        };
        (at >= FLOOR).then_some(at)
    }

    /// RAM that covers `stolen` too.
    fn ram_with(&self, stolen: Extent) -> Vec<Extent> {
        let RamLayout { below_4g, above_4g } = self.subject.facts.machine.ram;
        let mut ram = if stolen.start > below_4g {
            vec![Extent::new(0, below_4g), stolen]
        } else {
            vec![Extent::new(0, below_4g.max(stolen.end()))]
        };
        if above_4g > 0 {
            ram.push(Extent::new(FOUR_GIB, above_4g));
        }
        ram
    }

    fn place_stolen(&mut self, base: u64, size: u64) {
        self.plan.memory.stolen = Some(StolenPlan { base: Some(base), size });
        // Flags stay as on the host, where drivers may look at the lock.
        let value = base | stolen::flags(self.subject.host_bdsm().unwrap_or_default());
        self.plan.device.bdsm = match self.plan.device.bdsm {
            BdsmSetup::Hardware => BdsmSetup::Hardware,
            BdsmSetup::Dword(_) => BdsmSetup::Dword(u32::try_from(value).unwrap_or_default()),
            BdsmSetup::Qword(_) => BdsmSetup::Qword(value),
        };
        let range = Extent::new(base, size);
        self.plan.memory.reserved.push(Reservation {
            range,
            kind: ReservationKind::Reserved,
        });
    }

    fn place_opregion(&mut self, gpa: u64) {
        let Some(bytes) = self.opregion.clone() else { return };
        let range = Extent::new(gpa, self.opregion_len());
        self.plan.memory.reserved.push(Reservation {
            range,
            kind: ReservationKind::AcpiNvs,
        });
        self.plan.memory.opregion = Some(Image { gpa, bytes });
        self.plan.device.asls = u32::try_from(gpa).ok();
    }
}
