// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's view of GGC, BDSM, ASLS and what mirrors them.

use alloc::format;

use super::draft::Draft;
use super::subject::{Kind, Layout};
use super::{Code, Finding, GttClear, StolenPlan};
use crate::device::{BdsmSetup, GttPortSetup};
use crate::facts::Extent;
use crate::ggc::{Ggc, Strictness, qemu};
use crate::platform::{BdsmKind, Class, QemuEra};
use crate::policy::{AslsRule, GgcRule, GttRule};
use crate::{spec, stolen};

/// What the guest's GGC says.
struct Sizes {
    ggc: u16,
    /// Bytes that the guest sets aside.
    stolen: u64,
    /// Bytes of the translation table.
    gtt: u64,
}

impl Draft<'_, '_> {
    pub(super) fn set_registers(&mut self) {
        let rules = self.subject.rules;
        self.plan.device.asls = match rules.asls {
            AslsRule::Always => Some(0),
            AslsRule::WithOpRegion => self.wants_opregion().then_some(0),
        };
        self.plan.device.hide_swsci = rules.hide_swsci;
        if self.is_legacy() || rules.stolen_in_upt {
            self.set_stolen();
        } else if rules.separate_options && self.subject.options.gms != 0 {
            self.warn(Finding::new(
                Code::Ggc,
                format!(
                    "x-igd-gms={:#x} has no effect outside of legacy mode.",
                    self.subject.options.gms
                ),
                "Leave the option out.",
            ));
        }
        self.set_gtt();
    }

    fn set_stolen(&mut self) {
        let kind = self.subject.bdsm();
        let sizes = match self.subject.kind {
            Kind::Igd(Layout::Class(class)) if kind != BdsmKind::None => self.sizes_of_class(class),
            Kind::Igd(Layout::Qemu(era, generation)) => self.sizes_of_qemu(era, Some(generation)),
            _ => {
                self.refuse_gms_without_register();
                self.plan.memory.stolen = self
                    .subject
                    .rules
                    .size_file_for_unknown
                    .then_some(StolenPlan { base: None, size: 0 });
                return;
            }
        };
        let Some(sizes) = sizes else { return };
        let device = &mut self.plan.device;
        if self.subject.rules.ggc == GgcRule::Always || self.subject.options.gms != 0 {
            device.ggc = Some(sizes.ggc);
            if self.subject.rules.ggc_is_dword {
                device.ggc_high = self
                    .subject
                    .facts
                    .device
                    .config_bytes(spec::GGC + 2)
                    .map(u16::from_le_bytes);
            }
        }
        device.bdsm = match kind {
            BdsmKind::Dword => BdsmSetup::Dword(0),
            BdsmKind::Qword => BdsmSetup::Qword(0),
            BdsmKind::None => BdsmSetup::Hardware,
        };
        self.plan.memory.stolen = Some(StolenPlan {
            base: None,
            size: sizes.stolen,
        });
        self.plan.clear_gtt = match self.subject.rules.gtt {
            GttRule::Keep | GttRule::ClearInBar0 => None,
            GttRule::ClearByPorts => Some(GttClear::Ports {
                index_end: self.index_end(sizes.gtt),
            }),
        };
        // Ports translate to a base of 32 bits.
        if self.subject.rules.translate_gtt_ports && kind == BdsmKind::Dword {
            let base = stolen::base(self.subject.host_bdsm().unwrap_or_default());
            self.plan.device.gtt_port = Some(GttPortSetup {
                host_bdsm: u32::try_from(base).unwrap_or_default(),
                entry_size: self.entry_size(),
                index_end: self.index_end(sizes.gtt),
            });
        }
    }

    /// 4 bytes before generation 8, else 8.
    fn entry_size(&self) -> u8 {
        if self.subject.generation.is_some_and(|generation| generation < 8) {
            4
        } else {
            8
        }
    }

    /// An index for each dword of a table of `gtt` bytes, four apart; twice as many where entries have two dwords.
    fn index_end(&self, gtt: u64) -> u32 {
        u32::try_from((gtt >> 20) * 256 * u64::from(self.entry_size())).unwrap_or(u32::MAX)
    }

    fn sizes_of_class(&mut self, class: Class) -> Option<Sizes> {
        let host = self.subject.facts.device.ggc()?;
        let gms = self.subject.options.gms;
        let remedy = "Set the pre-allocated graphics memory (DVMT) in the host's firmware setup to 32 or 64 MiB, or \
                      set x-igd-gms to a code that is defined.";
        let sizes = Ggc::new(class, host)
            .with_gms(gms)
            .and_then(|guest| Ok((guest, guest.sizes(Strictness::Native)?)));
        match sizes {
            Ok((guest, sizes)) => Some(Sizes {
                ggc: guest.bits(),
                stolen: sizes.stolen,
                gtt: sizes.gtt,
            }),
            Err(error) => {
                let source = if gms == 0 { "the host's GGC" } else { "x-igd-gms" };
                self.refuse(Finding::new(
                    Code::Ggc,
                    format!("Stolen memory by {source}: {error}."),
                    remedy,
                ));
                None
            }
        }
    }

    fn sizes_of_qemu(&mut self, era: QemuEra, generation: Option<u8>) -> Option<Sizes> {
        let host = self.subject.facts.device.ggc()?;
        let ggc = match qemu::guest_ggc(era, generation, host, self.subject.options.gms.into()) {
            Ok(ggc) => ggc,
            Err(error) => {
                let finding = Finding::new(
                    Code::Ggc,
                    format!("{error}."),
                    "Choose an allowed code, or leave it out.",
                );
                match error.continues_with {
                    Some(_) => self.warn(finding),
                    None => self.refuse(finding),
                }
                error.continues_with?
            }
        };
        // With GMS 0 the size of a version up to 9.2 is that of the table alone.
        let without_gms = qemu::guest_ggc(QemuEra::UpTo9_1, generation, ggc, 0).unwrap_or(ggc);
        Some(Sizes {
            ggc,
            stolen: qemu::bdsm_size(era, generation, ggc),
            gtt: if era <= QemuEra::V9_2 {
                qemu::bdsm_size(era, generation, without_gms)
            } else {
                0
            },
        })
    }

    fn refuse_gms_without_register(&mut self) {
        let gms = self.subject.options.gms;
        if gms != 0 {
            self.refuse(Finding::new(
                Code::Ggc,
                format!(
                    "x-igd-gms={gms:#x} has no meaning for {}: it has no BDSM.",
                    self.subject.name
                ),
                "Leave the option out.",
            ));
        }
    }

    /// Clears the upper half of BAR0, as far as the table reaches.
    fn set_gtt(&mut self) {
        if self.subject.rules.gtt != GttRule::ClearInBar0 {
            return;
        }
        let Kind::Igd(Layout::Class(class)) = self.subject.kind else {
            return;
        };
        let device = &self.subject.facts.device;
        let half = device.bar(spec::GTTMMADR_BAR).map_or(0, |bar| bar.size / 2);
        let table = device
            .ggc()
            .and_then(|ggc| Ggc::new(class, ggc).sizes(Strictness::Compatible).ok());
        let len = match (class, table) {
            (Class::LmemBar, _) | (_, None) => half,
            (_, Some(sizes)) => sizes.gtt.min(half),
        };
        if len > 0 {
            self.plan.clear_gtt = Some(GttClear::Bar0(Extent::new(half, len)));
        }
    }
}
