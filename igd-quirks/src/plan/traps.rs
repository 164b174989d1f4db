// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses to BARs that do not reach the hardware.

use alloc::format;
use alloc::string::ToString;

use super::draft::Draft;
use super::{Code, Finding, Trap, TrapOwner};
use crate::device::{BdsmSetup, Redirect};
use crate::facts::Extent;
use crate::policy::GgcRule;
use crate::spec;

/// First generation with registers that mirror GGC and BDSM.
const FIRST_MIRRORED: u8 = 6;
/// Bytes of GGC, and of what a policy takes for a register of 32 bits.
const GGC_LEN: u16 = 2;
const GGC_DWORD_LEN: u16 = 4;
/// Bytes of the index and data ports.
const GTT_PORTS: Extent = Extent::new(0, 8);

impl Draft<'_, '_> {
    /// Traps what the emulated registers are mirrored at.
    pub(super) fn set_traps(&mut self) {
        let rules = self.subject.rules;
        let generation = self.subject.generation.unwrap_or_default();
        let device = &self.plan.device;
        let ggc_len = if device.ggc_high.is_some() {
            GGC_DWORD_LEN
        } else {
            GGC_LEN
        };
        let bdsm = rules.bdsm_mirror_from.is_some_and(|from| generation >= from);
        let traps = [
            (rules.ggc_mirror && device.ggc.is_some()).then(|| bar0(spec::MIRROR_GGC, ggc_len, TrapOwner::GgcMirror)),
            bdsm_len(device.bdsm)
                .filter(|_| bdsm)
                .map(|len| bar0(spec::MIRROR_BDSM, len, TrapOwner::BdsmMirror)),
            device.gtt_port.is_some().then_some(Trap {
                bar: spec::IO_BAR,
                range: GTT_PORTS,
                owner: TrapOwner::GttPorts,
            }),
        ];
        for trap in traps.into_iter().flatten() {
            let fits = self.fits(trap);
            match trap.owner {
                TrapOwner::GgcMirror => self.plan.device.ggc_mirror = fits,
                TrapOwner::BdsmMirror => self.plan.device.bdsm_mirror = fits,
                TrapOwner::GttPorts if !fits => {
                    self.plan.device.gtt_port = None;
                    self.plan.clear_gtt = None;
                }
                TrapOwner::GttPorts | TrapOwner::ConfigSpace => {}
            }
            if fits {
                self.plan.traps.push(trap);
            }
        }
    }

    /// Traps the mirrors of registers that are the hardware's, under a policy that makes no difference.
    pub(super) fn redirect_mirrors(&mut self) {
        let rules = self.subject.rules;
        let Some(generation) = self.subject.redirected_generation() else {
            return;
        };
        let is_qword = rules.bdsm_qword_from.is_some_and(|from| generation >= from);
        let (config, len) = if is_qword { (spec::BDSM64, 8) } else { (spec::BDSM, 4) };
        let asked = rules.ggc == GgcRule::Always || self.subject.options.gms != 0;
        let ggc = rules.ggc_mirror && generation >= FIRST_MIRRORED && asked && self.plan.device.ggc.is_none();
        let bdsm = rules.bdsm_mirror_from.is_some_and(|from| generation >= from)
            && self.plan.device.bdsm == BdsmSetup::Hardware;
        let redirects = [
            ggc.then_some(Redirect {
                bar0: spec::MIRROR_GGC,
                config: spec::GGC,
                // What starts behind GGC is the hardware's BAR, whatever the policy takes GGC for.
                len: GGC_LEN,
            }),
            bdsm.then_some(Redirect {
                bar0: spec::MIRROR_BDSM,
                config,
                len,
            }),
        ];
        for redirect in redirects.into_iter().flatten() {
            let trap = bar0(redirect.bar0, redirect.len, TrapOwner::ConfigSpace);
            if self.fits(trap) {
                self.plan.device.redirects.push(redirect);
                self.plan.traps.push(trap);
            }
        }
        self.plan.traps.sort_unstable_by_key(|trap| (trap.bar, trap.range));
    }

    /// Whether the BAR is large enough; objects if not.
    fn fits(&mut self, trap: Trap) -> bool {
        let bar = self.subject.facts.device.bar(trap.bar);
        if bar.is_some_and(|bar| bar.size >= trap.range.end()) {
            return true;
        }
        let size = bar.map_or("is not there".to_string(), |bar| format!("has {:#x} bytes", bar.size));
        self.object(Finding::new(
            Code::Bar,
            format!(
                "BAR{} {size}: the {} at {} does not fit.",
                trap.bar, trap.owner, trap.range
            ),
            "Read the facts again with the device bound to vfio-pci.",
        ));
        false
    }
}

fn bar0(start: u64, len: u16, owner: TrapOwner) -> Trap {
    Trap {
        bar: spec::GTTMMADR_BAR,
        range: Extent::new(start, len.into()),
        owner,
    }
}

fn bdsm_len(bdsm: BdsmSetup) -> Option<u16> {
    match bdsm {
        BdsmSetup::Hardware => None,
        BdsmSetup::Dword(_) => Some(4),
        BdsmSetup::Qword(_) => Some(8),
    }
}
