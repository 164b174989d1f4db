// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A plan in the making: what is decided so far, and what speaks against it.

use alloc::string::ToString;
use alloc::vec::Vec;
use alloc::{format, vec};

use super::mode::Reach;
use super::subject::{Kind, RomSource, Subject};
use super::{
    BDSM_SIZE_FILE, Code, Finding, FirmwareFile, IsaBridgePlan, MemoryPlan, Mode, OPREGION_FILE, Patch, Plan,
    Provisioning, Refusals, RomPlan, VgaRange, steps,
};
use crate::bridges::{self, Field};
use crate::device::{DeviceRules, DeviceSetup};
use crate::facts::{Extent, OpRegionBytes, Slot};
use crate::opregion::{GuestCopy, GuestCopyOptions, OpRegion};
use crate::policy::{AslsRule, HotplugRule, Policy, Requirement};
use crate::vga;

/// Fewest bytes of configuration space from which anything is decided.
const CONFIG_LEN: usize = 256;

pub(super) struct Draft<'s, 'a> {
    pub(super) subject: &'s Subject<'a>,
    pub(super) plan: Plan,
    /// The OpRegion for the guest, wherever it goes.
    pub(super) opregion: Option<OpRegionBytes>,
    /// Whether the guest gets the OpRegion whatever the options say.
    pub(super) needs_opregion: bool,
    pub(super) refusals: Vec<Finding>,
}

impl<'s, 'a> Draft<'s, 'a> {
    pub(super) fn new(subject: &'s Subject<'a>, provisioning: Provisioning) -> Self {
        let plan = Plan {
            name: subject.name.clone(),
            address: subject.options.addr,
            policy: subject.policy,
            provisioning,
            mode: Mode::Untouched,
            steps: Vec::new(),
            memory: MemoryPlan::default(),
            files: Vec::new(),
            host_bridge: Vec::new(),
            isa_bridge: IsaBridgePlan::Keep,
            device: DeviceSetup {
                rules: device_rules(subject.policy),
                ..DeviceSetup::default()
            },
            traps: Vec::new(),
            vga: Vec::new(),
            rom: match &subject.rom {
                RomSource::Host => RomPlan::Host,
                RomSource::Repaired(bytes) => RomPlan::Repaired(bytes.clone()),
                RomSource::File(name) => RomPlan::File(name.clone()),
                RomSource::Absent(_) => RomPlan::Hidden,
            },
            clear_gtt: None,
            warnings: Vec::new(),
        };
        Self {
            subject,
            plan,
            opregion: None,
            needs_opregion: false,
            refusals: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, finding: Finding) {
        self.refusals.push(finding);
    }

    pub(super) fn warn(&mut self, finding: Finding) {
        self.plan.warnings.push(finding);
    }

    /// Refuses under a policy that looks for what cannot work, and warns under one that reproduces.
    pub(super) fn object(&mut self, finding: Finding) {
        if self.subject.rules.strict {
            self.refuse(finding);
        } else {
            self.warn(finding);
        }
    }

    pub(super) fn run(&mut self) {
        self.check_strategy();
        self.check_options();
        self.check_memory();
        match self.subject.kind {
            Kind::Foreign(reason) => self.leave_alone(reason),
            Kind::Igd(_) | Kind::Unknown => self.assign(),
        }
        self.redirect_mirrors();
        self.route_vga();
        self.plan.steps = steps::steps(&self.plan);
    }

    pub(super) fn finish(mut self) -> Result<Plan, Refusals> {
        remove_repeated(&mut self.refusals);
        remove_repeated(&mut self.plan.warnings);
        let mut refusals = self.refusals.into_iter();
        match refusals.next() {
            Some(first) => Err(Refusals::new(first, refusals)),
            None => Ok(self.plan),
        }
    }

    fn check_strategy(&mut self) {
        let provisioning = self.plan.provisioning;
        if !self.subject.rules.provisioning.contains(&provisioning) {
            self.refuse(Finding::new(
                Code::Provisioning,
                format!(
                    "Policy {} has no provisioning {provisioning}: only fw-cfg.",
                    self.plan.policy
                ),
                "Choose provisioning fw-cfg, or the policy native.",
            ));
        }
    }

    fn check_options(&mut self) {
        if self.subject.rules.separate_options {
            return;
        }
        let options = self.subject.options;
        let given = [
            ("x-igd-lpc", options.lpc.is_some()),
            (
                "x-igd-legacy-mode",
                options.legacy_mode != crate::options::OnOffAuto::Auto,
            ),
        ];
        for (name, _) in given.into_iter().filter(|(_, given)| *given) {
            self.refuse(Finding::new(
                Code::Option,
                format!(
                    "Policy {} has no option {name}: it came with QEMU 10.0.",
                    self.plan.policy
                ),
                "Leave the option out, or choose a later policy.",
            ));
        }
    }

    /// A device that is none of ours: nothing to do, unless something was asked for.
    fn leave_alone(&mut self, reason: &str) {
        let options = self.subject.options;
        let asked = options.legacy_mode == crate::options::OnOffAuto::On
            || options.lpc == Some(true)
            || options.opregion == Some(true)
            || options.gms != 0;
        let fact = format!("{} is left as it is: {reason}.", self.subject.name);
        if asked && self.subject.rules.strict {
            self.refuse(Finding::new(
                Code::Device,
                fact,
                "Leave out the options that start with x-igd.",
            ));
        } else if self.subject.facts.device.is_display() {
            self.warn(Finding::new(
                Code::Device,
                fact,
                "Nothing has to be done; for integrated graphics, look at the device's id and class and at the host's \
                 kernel.",
            ));
        }
    }

    fn assign(&mut self) {
        let len = self.subject.facts.device.config.len();
        if len < CONFIG_LEN {
            self.refuse(Finding::new(
                Code::Config,
                format!("Only {len} bytes of the device's configuration space were read, not {CONFIG_LEN}."),
                "Read the facts as root, or through VFIO.",
            ));
        }
        if let Some(finding) = self.subject.hotplugged() {
            match self.subject.rules.hotplug {
                HotplugRule::Refuse => self.refuse(finding),
                HotplugRule::RefuseFiles => {}
                HotplugRule::DoNothing => return self.warn(finding),
            }
        }
        let decision = self.decide_mode();
        self.plan.mode = decision.mode;
        self.needs_opregion = decision.mode == Mode::Legacy || decision.reach == Reach::OpRegion;
        if decision.reach == Reach::Nothing {
            return;
        }
        self.hand_over_opregion();
        if decision.reach == Reach::Everything {
            self.show_identities();
            self.set_registers();
            self.set_traps();
        } else if self.subject.rules.asls == AslsRule::WithOpRegion {
            self.plan.device.asls = Some(0);
        }
        self.place();
        self.advise();
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.plan.mode == Mode::Legacy
    }

    /// Whether the guest gets the OpRegion.
    pub(super) fn wants_opregion(&self) -> bool {
        self.needs_opregion
            || self
                .subject
                .options
                .opregion
                .unwrap_or(self.subject.rules.opregion_default)
    }

    fn hand_over_opregion(&mut self) {
        let subject = self.subject;
        if self.needs_opregion && subject.options.opregion == Some(false) {
            self.warn(Finding::new(
                Code::OpRegion,
                "x-igd-opregion=off is overruled: legacy mode needs the OpRegion.",
                "Add x-igd-legacy-mode=off to keep the OpRegion from the guest.",
            ));
        }
        if !self.wants_opregion() {
            return;
        }
        if subject.rules.hotplug == HotplugRule::RefuseFiles {
            self.refusals.extend(subject.hotplugged());
        }
        let Some(host) = &subject.facts.device.opregion else {
            // In legacy mode its requirements say so.
            if !self.needs_opregion {
                self.refusals.extend(subject.opregion_missing());
            }
            return;
        };
        if !subject.rules.strict {
            self.opregion = Some(host.clone());
            return;
        }
        let copy = OpRegion::parse(host).map(|parsed| {
            let vbt = parsed.vbt().map(|_| ()).map_err(|error| error.to_string());
            (
                GuestCopy::new(
                    &parsed,
                    GuestCopyOptions {
                        hide_swsci: subject.rules.hide_swsci,
                        pad: false,
                    },
                ),
                vbt,
            )
        });
        match copy {
            Err(error) => self.refuse(Finding::new(
                Code::OpRegion,
                format!("The host's OpRegion cannot be used: {error}."),
                "Update the host's firmware or kernel, or set x-igd-opregion=off with x-igd-legacy-mode=off.",
            )),
            Ok((copy, vbt)) => {
                self.opregion = OpRegionBytes::new(copy.bytes).ok();
                if let Err(error) = vbt {
                    self.warn(Finding::new(
                        Code::OpRegion,
                        format!("The OpRegion has no valid VBT: {error}. Drivers guess the outputs."),
                        "Update the host's firmware, or give the guest's driver a VBT of its own.",
                    ));
                }
            }
        }
    }

    /// Host's ids at 00:00.0 and 00:1f.0.
    fn show_identities(&mut self) {
        let subject = self.subject;
        let asked = subject.options.lpc == Some(true);
        if self.is_legacy() && subject.options.lpc == Some(false) {
            self.warn(Finding::new(
                Code::LpcRegion,
                "x-igd-lpc=off is overruled: legacy mode needs the host's ids at 00:1f.0.",
                "Add x-igd-legacy-mode=off to keep the machine's own ids.",
            ));
        }
        let in_upt = asked && subject.rules.separate_options;
        if !self.is_legacy() && !in_upt {
            return;
        }
        if !self.is_legacy() {
            let slot = subject
                .rules
                .legacy
                .iter()
                .map(|(requirement, _)| *requirement)
                .filter(|requirement| matches!(requirement, Requirement::IsaSlotFree | Requirement::IsaSlotUsable));
            let provisioning = self.plan.provisioning;
            self.refusals
                .extend(slot.filter_map(|requirement| subject.unmet(requirement, provisioning)));
            self.refusals.extend(subject.host_bridge_slot());
            self.refusals.extend(subject.host_bridge_region());
            self.refusals.extend(subject.lpc_region());
            if subject.rules.hotplug == HotplugRule::RefuseFiles {
                self.refusals.extend(subject.hotplugged());
            }
        }
        let device = &subject.facts.device;
        self.plan.host_bridge = patches(device.host_bridge.as_deref(), bridges::HOST_BRIDGE);
        let bytes = patches(device.lpc_bridge.as_deref(), bridges::LPC_BRIDGE);
        self.plan.isa_bridge = match subject.facts.machine.isa_bridge {
            Slot::Empty => IsaBridgePlan::Create(bytes),
            _ => IsaBridgePlan::Patch(bytes),
        };
    }

    fn route_vga(&mut self) {
        let subject = self.subject;
        let asked = subject.options.vga == Some(true);
        if asked {
            self.refusals.extend(subject.vga_region());
        }
        let in_legacy = self.is_legacy() && !subject.vga_disabled();
        if asked || in_legacy {
            let ports = |range: core::ops::RangeInclusive<u16>| {
                let start = u64::from(*range.start());
                VgaRange::Ports(Extent::new(start, u64::from(*range.end()) - start + 1))
            };
            let (first, last) = (*vga::MEMORY.start(), *vga::MEMORY.end());
            self.plan.vga = vec![
                VgaRange::Memory(Extent::new(first, last - first + 1)),
                ports(vga::PORTS_MONO),
                ports(vga::PORTS_COLOUR),
            ];
        }
    }

    /// Adds the firmware's files.
    pub(super) fn add_files(&mut self, bdsm_size: Option<u64>) {
        let mut add = |name: &str, bytes: OpRegionBytes| {
            self.plan.files.push(FirmwareFile {
                name: name.to_string(),
                bytes,
            });
        };
        if let Some(bytes) = &self.opregion {
            add(OPREGION_FILE, bytes.clone());
        }
        if let Some(Ok(bytes)) = bdsm_size.map(|size| OpRegionBytes::new(size.to_le_bytes())) {
            add(BDSM_SIZE_FILE, bytes);
        }
    }
}

/// One fact can stand in the way of several parts of a plan.
fn remove_repeated(findings: &mut Vec<Finding>) {
    let mut seen = Vec::new();
    findings.retain(|finding| {
        let is_new = !seen.contains(finding);
        if is_new {
            seen.push(finding.clone());
        }
        is_new
    });
}

fn device_rules(policy: Policy) -> DeviceRules {
    match policy {
        Policy::Native => DeviceRules::Native,
        Policy::Document2016 | Policy::Qemu(_) => DeviceRules::Qemu,
    }
}

fn patches(config: Option<&[u8]>, fields: &[Field]) -> Vec<Patch> {
    let bytes = |field: &Field| {
        let start = usize::from(field.offset);
        let bytes = config?.get(start..)?.get(..usize::from(field.len))?;
        Some(Patch {
            offset: field.offset,
            bytes: bytes.to_vec(),
        })
    };
    fields.iter().filter_map(bytes).collect()
}
