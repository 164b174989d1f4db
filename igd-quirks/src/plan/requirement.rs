// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What legacy mode asks for, and how each requirement reads when it is not met.

use alloc::format;
use alloc::string::{String, ToString};

use super::subject::{RomSource, Subject};
use super::{Code, Finding, Provisioning};
use crate::facts::{Chipset, Firmware, RomFacts, Slot};
use crate::policy::Requirement;
use crate::vga::{self, VgaClaim};

impl Subject<'_> {
    /// Why `requirement` is not met, or `None` if it is.
    pub(super) fn unmet(&self, requirement: Requirement, provisioning: Provisioning) -> Option<Finding> {
        match requirement {
            Requirement::Address => self.address(),
            Requirement::VgaClass => self.vga_class(),
            Requirement::Generation { from, to } => self.generation_within(from, to),
            Requirement::VgaClaimed => self.vga_claimed(),
            Requirement::I440Fx => self.i440fx(),
            Requirement::IsaSlotFree => self.isa_slot(&[Slot::Empty, Slot::MadeForGraphics]),
            Requirement::IsaSlotUsable => self.isa_slot(&[Slot::Empty, Slot::MadeForGraphics, Slot::Bridge]),
            Requirement::HostBridge => self.host_bridge_slot(),
            Requirement::Rom => self.rom_missing(),
            Requirement::RomRegion => self.rom_region(),
            Requirement::VgaRegion => self.vga_region(),
            Requirement::VgaRegionIfClaimed if self.vga_disabled() => None,
            Requirement::VgaRegionIfClaimed => self.vga_region(),
            Requirement::SoleVga => self.sole_vga(),
            Requirement::ColdPlug => self.hotplugged(),
            Requirement::OpRegion => self.opregion_missing(),
            Requirement::HostBridgeRegion => self.host_bridge_region(),
            Requirement::LpcRegion => self.lpc_region(),
            Requirement::FirmwareFiles => self.firmware_files(provisioning),
        }
    }

    fn address(&self) -> Option<Finding> {
        if self.options.is_at_igd_address() {
            return None;
        }
        let place = match (self.options.addr, self.options.behind_bridge) {
            (None, _) => "at no given address".to_string(),
            (Some(address), true) => format!("at {address} behind a bridge"),
            (Some(address), false) => format!("at {address}"),
        };
        Some(Finding::new(
            Code::Address,
            format!("The device is {place} in the guest: legacy mode needs 00:02.0 on the root bus."),
            "Set addr=0x2 and leave out bus, or do without legacy mode.",
        ))
    }

    fn vga_class(&self) -> Option<Finding> {
        let class = self.facts.device.subclass();
        (VgaClaim::new(class, false) == VgaClaim::NotVga).then(|| {
            Finding::new(
                Code::Class,
                format!("The device has class {class:04x}h, not 0300h: the host's firmware did not make it primary."),
                "Make the integrated GPU the primary display in the host's firmware setup.",
            )
        })
    }

    fn generation_within(&self, from: u8, to: u8) -> Option<Finding> {
        let (fact, remedy) = match self.generation {
            Some(generation) if (from..=to).contains(&generation) => return None,
            Some(generation) if generation > to => (
                format!(
                    "{} is generation {generation}: legacy mode ends with generation {to} here.",
                    self.name
                ),
                "Use UPT (x-igd-legacy-mode=off), or the policy native.",
            ),
            _ => (
                format!(
                    "{} is not known as Sandy Bridge or newer: legacy mode is not possible.",
                    self.name
                ),
                "Do without legacy mode: the device then gets its OpRegion only.",
            ),
        };
        Some(Finding::new(Code::Generation, fact, remedy))
    }

    fn vga_claimed(&self) -> Option<Finding> {
        self.vga_disabled().then(|| {
            Finding::new(
                Code::Vga,
                format!(
                    "GGC of the host is {:#06x}, with VGA disabled (bit 1): the device ignores VGA cycles.",
                    self.facts.device.ggc().unwrap_or_default()
                ),
                "Make the integrated GPU the primary display of the host, and keep i915 from turning VGA off.",
            )
        })
    }

    fn i440fx(&self) -> Option<Finding> {
        let chipset = self.facts.machine.chipset;
        (chipset != Chipset::I440Fx).then(|| {
            Finding::new(
                Code::Chipset,
                format!("The machine has {chipset}: legacy mode needs an i440FX here."),
                "Use the machine type pc, or the policy native.",
            )
        })
    }

    fn isa_slot(&self, allowed: &[Slot]) -> Option<Finding> {
        let slot = self.facts.machine.isa_bridge;
        (!allowed.contains(&slot)).then(|| {
            Finding::new(
                Code::IsaBridge,
                format!("{slot} stands at 00:1f.0, where the bridge with the host's ids must be."),
                "Use a machine with 00:1f.0 free, such as an i440FX, or do without x-igd-lpc and legacy mode.",
            )
        })
    }

    pub(super) fn host_bridge_slot(&self) -> Option<Finding> {
        let slot = self.facts.machine.host_bridge;
        (slot != Slot::Bridge).then(|| {
            Finding::new(
                Code::HostBridge,
                format!("{slot} stands at 00:00.0, where a host bridge must be."),
                "Use a machine with a PCI host bridge at 00:00.0.",
            )
        })
    }

    fn rom_missing(&self) -> Option<Finding> {
        let RomSource::Absent(reason) = &self.rom else {
            return None;
        };
        // Nobody would run it.
        if self.facts.machine.firmware == Firmware::DirectKernel && self.rules.strict {
            return None;
        }
        Some(Finding::new(
            Code::Rom,
            format!("The device has no expansion ROM: {reason}."),
            "Give a VBIOS or UEFI driver with romfile=, and leave rombar on.",
        ))
    }

    fn rom_region(&self) -> Option<Finding> {
        match &self.facts.device.rom {
            RomFacts::Absent(reason) if self.options.romfile.is_none() => Some(Finding::new(
                Code::Rom,
                format!("The device has no expansion ROM: {reason}."),
                "Give a VBIOS or UEFI driver with romfile=.",
            )),
            _ => None,
        }
    }

    pub(super) fn vga_region(&self) -> Option<Finding> {
        let fact = match self.facts.device.vga {
            None => "The host shows no VGA region.".to_string(),
            Some(region) if !region.writable => "The VGA region of the host cannot be written.".to_string(),
            Some(region) if region.size < vga::VFIO_REGION_SIZE => {
                format!(
                    "The VGA region of the host has {:#x} bytes, not {:#x}.",
                    region.size,
                    vga::VFIO_REGION_SIZE
                )
            }
            Some(_) => return None,
        };
        Some(Finding::new(
            Code::Vga,
            fact,
            "Use a host kernel with CONFIG_VFIO_PCI_VGA=y and without disable_vga=1, and a device of class 0300h.",
        ))
    }

    fn sole_vga(&self) -> Option<Finding> {
        self.facts.machine.other_vga.then(|| {
            Finding::new(
                Code::Vga,
                "Another device of the machine claims the legacy VGA ranges.",
                "Remove the emulated VGA device (-vga none), or use UPT.",
            )
        })
    }

    pub(super) fn hotplugged(&self) -> Option<Finding> {
        self.facts.machine.hotplug.then(|| {
            Finding::new(
                Code::Hotplug,
                "The machine is already running: its firmware has looked for graphics, and its memory map is fixed.",
                "Add the device before the machine starts.",
            )
        })
    }

    pub(super) fn opregion_missing(&self) -> Option<Finding> {
        if self.facts.device.opregion.is_some() {
            return None;
        }
        Some(Finding::new(
            Code::OpRegion,
            "The host shows no OpRegion: its kernel lacks the extensions for Intel graphics, or ASLS of the host is 0.",
            "Use a host kernel with CONFIG_VFIO_PCI_IGD=y (Linux 4.6, for class 0380h 6.15), and firmware with an \
             OpRegion.",
        ))
    }

    pub(super) fn host_bridge_region(&self) -> Option<Finding> {
        let reason = bridge_fault(self.facts.device.host_bridge.as_deref(), 0x0600)?;
        Some(Finding::new(
            Code::HostBridge,
            format!("The ids of the host's bridge at 00:00.0 cannot be copied: {reason}."),
            "Use a host kernel with CONFIG_VFIO_PCI_IGD=y, and a host with an Intel host bridge at 00:00.0.",
        ))
    }

    pub(super) fn lpc_region(&self) -> Option<Finding> {
        let reason = bridge_fault(self.facts.device.lpc_bridge.as_deref(), 0x0601)?;
        Some(Finding::new(
            Code::LpcRegion,
            format!("The ids of the host's bridge at 00:1f.0 cannot be copied: {reason}."),
            "Use a host kernel with CONFIG_VFIO_PCI_IGD=y, and a host with an Intel ISA bridge at 00:1f.0.",
        ))
    }

    fn firmware_files(&self, provisioning: Provisioning) -> Option<Finding> {
        let firmware = self.facts.machine.firmware;
        let acts = matches!(firmware, Firmware::SeaBios | Firmware::OvmfWithIgdDriver);
        (provisioning == Provisioning::FwCfg && !acts).then(|| {
            Finding::new(
                Code::Firmware,
                format!("The guest boots through {firmware}, which does not act on the files for graphics."),
                "Use SeaBIOS or OVMF with the driver of VfioIgdPkg, or provisioning direct.",
            )
        })
    }
}

/// Why these bytes are not those of a bridge of `class`.
fn bridge_fault(config: Option<&[u8]>, class: u16) -> Option<String> {
    let Some(config) = config else {
        return Some("the host does not show it".to_string());
    };
    if config.len() < 0x30 {
        return Some(format!("only {} of its bytes were read", config.len()));
    }
    let found = config
        .get(0x0a..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .map(u16::from_le_bytes);
    (found != Some(class)).then(|| format!("it has class {:04x}h, not {class:04x}h", found.unwrap_or_default()))
}
