// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the plan cannot make good: warnings about firmware, outputs and drivers.

use alloc::format;
use alloc::string::String;

use super::draft::Draft;
use super::subject::{Kind, Layout, RomSource, code_types};
use super::{Code, Finding, Provisioning};
use crate::device::BdsmSetup;
use crate::facts::Firmware;
use crate::platform::Class;
use crate::rom::CodeType;
use crate::stolen::{AnchorPlace, anchors};
use crate::{spec, stolen};

impl Draft<'_, '_> {
    pub(super) fn advise(&mut self) {
        if self.plan.provisioning == Provisioning::FwCfg {
            self.advise_on_files();
        }
        self.advise_on_rom();
        self.advise_on_device();
        self.advise_on_host_addresses();
    }

    /// ` with the policy native`, unless this policy has all strategies.
    fn if_native(&self) -> &'static str {
        match self.subject.rules.provisioning.contains(&Provisioning::Direct) {
            true => "",
            false => " with the policy native",
        }
    }

    fn use_direct(&self) -> String {
        format!(
            "Use provisioning direct{}, which needs no firmware support.",
            self.if_native()
        )
    }

    fn has_stolen(&self) -> bool {
        self.plan.device.bdsm != BdsmSetup::Hardware && self.plan.memory.stolen.is_some_and(|stolen| stolen.size > 0)
    }

    /// Which files the guest's firmware acts on.
    fn advise_on_files(&mut self) {
        let machine = &self.subject.facts.machine;
        let firmware = machine.firmware;
        let class = self.subject.facts.device.subclass();
        let has_stolen = self.has_stolen();
        // Requirements of legacy mode may have said so.
        let known = self
            .refusals
            .iter()
            .chain(&self.plan.warnings)
            .any(|finding| finding.code == Code::Firmware);
        if known || self.opregion.is_none() && !has_stolen {
            return;
        }
        let acts = match firmware {
            Firmware::SeaBios | Firmware::OvmfWithIgdDriver => true,
            Firmware::DirectKernel => {
                return self.object(Finding::new(
                    Code::Firmware,
                    "The guest starts a kernel without firmware: nobody reads the files for OpRegion and stolen memory.",
                    self.use_direct(),
                ));
            }
            Firmware::Ovmf | Firmware::Unknown => false,
        };
        if !acts {
            return self.warn(Finding::new(
                Code::Firmware,
                format!("The guest boots through {firmware}: it may leave ASLS and BDSM at 0."),
                format!(
                    "Use provisioning direct{}, or for OVMF the driver of VfioIgdPkg as romfile.",
                    self.if_native()
                ),
            ));
        }
        if firmware == Firmware::SeaBios && class != spec::CLASS_VGA {
            return self.warn(Finding::new(
                Code::Firmware,
                format!("SeaBIOS does nothing for class {class:04x}h: ASLS and BDSM stay 0."),
                self.use_direct(),
            ));
        }
        if firmware == Firmware::OvmfWithIgdDriver && self.opregion.is_none() {
            self.warn(Finding::new(
                Code::Firmware,
                "The IGD driver of OVMF does nothing without etc/igd-opregion: BDSM stays 0.",
                "Set x-igd-opregion=on.",
            ));
        }
        if !has_stolen {
            return;
        }
        if firmware == Firmware::SeaBios && matches!(self.plan.device.bdsm, BdsmSetup::Qword(_)) {
            self.warn(Finding::new(
                Code::Firmware,
                format!(
                    "SeaBIOS writes BDSM at 5Ch only; {} has it at C0h, so the guest is left without stolen memory.",
                    self.subject.name
                ),
                self.use_direct(),
            ));
        }
        if !self.subject.options.is_at_igd_address() {
            self.warn(Finding::new(
                Code::Address,
                "Firmware sets up stolen memory for 00:02.0 only: BDSM stays 0 at another address.",
                format!("Set addr=0x2, or use provisioning direct{}.", self.if_native()),
            ));
        }
    }

    /// Whether the guest's firmware can run the ROM.
    fn advise_on_rom(&mut self) {
        let firmware = self.subject.facts.machine.firmware;
        let wanted = match firmware {
            Firmware::SeaBios => CodeType::Legacy,
            Firmware::Ovmf | Firmware::OvmfWithIgdDriver => CodeType::Efi,
            Firmware::DirectKernel | Firmware::Unknown => return,
        };
        if !self.is_legacy() || !matches!(self.subject.rom, RomSource::Host | RomSource::Repaired(_)) {
            return;
        }
        if code_types(self.subject.facts).is_some_and(|types| !types.contains(&wanted)) {
            self.warn(Finding::new(
                Code::Rom,
                format!(
                    "The host's ROM has no image for {wanted}, which {firmware} needs: no picture before the driver."
                ),
                "Give a ROM with such an image as romfile, or boot the guest with the other firmware.",
            ));
        }
    }

    fn advise_on_device(&mut self) {
        let name = &self.subject.name;
        let finding = match self.subject.kind {
            Kind::Unknown if self.subject.rules.strict => Some(Finding::new(
                Code::Device,
                format!("{name} is not known: only its OpRegion is handled, stolen memory is left as the host has it."),
                "Report the id together with the facts file.",
            )),
            Kind::Igd(_) if self.plan.memory.stolen.is_some_and(|stolen| stolen.size == 0) => Some(Finding::new(
                Code::Stolen,
                "GGC says 0 MiB of stolen memory: drivers for Windows do not start (code 43).",
                "Set the pre-allocated graphics memory (DVMT) of the host to 32 or 64 MiB, or x-igd-gms=0x2.",
            )),
            _ => None,
        };
        self.plan.warnings.extend(finding);
        if self.opregion.is_none() && self.subject.facts.device.opregion.is_some() {
            self.warn(Finding::new(
                Code::OpRegion,
                "The guest gets no OpRegion: drivers do not learn the display outputs.",
                "Set x-igd-opregion=on if a monitor is to be used.",
            ));
        } else if matches!(self.subject.kind, Kind::Igd(_)) {
            // Legacy mode that was not possible has said so.
            if self.plan.warnings.iter().all(|warning| warning.code != Code::OpRegion) {
                self.plan.warnings.extend(self.subject.opregion_missing());
            }
        }
    }

    /// Registers that firmware of the host left pointing into its stolen memory.
    fn advise_on_host_addresses(&mut self) {
        let Kind::Igd(layout) = self.subject.kind else { return };
        let class = match layout {
            Layout::Class(class) => class,
            Layout::Qemu(_, ..=6) => Class::G6,
            Layout::Qemu(_, 7) => Class::G7,
            Layout::Qemu(_, 8) => Class::G8,
            Layout::Qemu(_, 9..=10) => Class::G9,
            Layout::Qemu(_, 11) => Class::G11,
            Layout::Qemu(_, _) => Class::G12,
        };
        let base = self.plan.memory.stolen.and_then(|stolen| stolen.base);
        let host = self.subject.host_bdsm().map(stolen::base);
        if !self.has_stolen() || (base.is_some() && base == host) {
            return;
        }
        let mut registers = String::new();
        for anchor in anchors(class) {
            let place = match anchor.place {
                AnchorPlace::Config(offset) => format!("config {offset:#x}"),
                AnchorPlace::Bar0(offset) => format!("BAR0+{offset:#x}"),
            };
            if !registers.is_empty() {
                registers.push_str(", ");
            }
            registers.push_str(&format!("{} ({place})", anchor.name));
        }
        let remedy = match self.plan.provisioning {
            Provisioning::Identity => "Correct the facts: the host's base of stolen memory is not known.".into(),
            Provisioning::FwCfg | Provisioning::Direct => {
                format!(
                    "Use provisioning identity{} where the machine's memory layout allows it.",
                    self.if_native()
                )
            }
        };
        if !registers.is_empty() {
            self.warn(Finding::new(
                Code::HostAddress,
                format!(
                    "These registers keep addresses in the host's stolen memory: {registers}. Linux then does without \
                     stolen memory or, on generations 8 and 9, takes it for larger than it is; drivers for Windows may \
                     fail (code 43)."
                ),
                remedy,
            ));
        }
    }
}
