// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What holds for every plan.

use std::collections::BTreeSet;

use igd_quirks::device::{BdsmSetup, DeviceRules, IgdDevice};
use igd_quirks::facts::{Extent, HostFacts};
use igd_quirks::ggc::{Ggc, Strictness, qemu};
use igd_quirks::plan::{
    GttClear, IsaBridgePlan, Mode, Plan, Provisioning, Refusals, ReservationKind, StepKind, TrapOwner,
};
use igd_quirks::platform::{Identified, QemuEra, identify, qemu_generation};
use igd_quirks::policy::Policy;
use pci_model::{Bdf, ConfigAccess, Width};

/// What the firmware is told is what GGC says and what is reserved.
pub(super) fn sizes(facts: &HostFacts, plan: &Plan) {
    let told = plan.file("etc/igd-bdsm-size").map(|bytes| match bytes.first_chunk() {
        Some(size) if bytes.len() == 8 => u64::from_le_bytes(*size),
        _ => panic!("etc/igd-bdsm-size has {} bytes", bytes.len()),
    });
    let planned = plan.memory.stolen.map(|stolen| stolen.size);
    let filed = planned.filter(|_| plan.provisioning == Provisioning::FwCfg);
    assert_eq!(told, filed, "etc/igd-bdsm-size and the plan for stolen memory");
    let Some(size) = planned else { return };
    let Some(shown) = plan.device.ggc.or(facts.device.ggc()) else {
        panic!("stolen memory of {size:#x} bytes without a GGC")
    };
    let by_qemu = |era| qemu::bdsm_size(era, qemu_generation(era, facts.device.device), shown);
    let says = match plan.policy {
        Policy::Native => {
            let Identified::Igd(platform) = identify(facts.device.device) else {
                panic!("stolen memory for {:04x}, which is no known IGD", facts.device.device)
            };
            let sizes = platform
                .class()
                .map(|class| Ggc::new(class, shown).sizes(Strictness::Native));
            match sizes {
                Some(Ok(sizes)) => sizes.stolen,
                other => panic!("stolen memory of {size:#x} bytes with GGC {shown:#06x} of {platform}: {other:?}"),
            }
        }
        Policy::Qemu(era) => by_qemu(era),
        _ => by_qemu(QemuEra::UpTo9_1),
    };
    assert_eq!(size, says, "stolen memory and GGC {shown:#06x}");
    let reserved = plan.memory.reserved.iter();
    let stolen = reserved.filter(|entry| entry.kind == ReservationKind::Reserved);
    let placed = if plan.provisioning == Provisioning::FwCfg {
        0
    } else {
        size
    };
    assert_eq!(
        stolen.map(|entry| entry.range.len).sum::<u64>(),
        placed,
        "bytes reserved for stolen memory"
    );
}

/// The device that the plan describes traps exactly the plan's ranges, and natively forwards nothing of what it owns.
pub(super) fn owners(facts: &HostFacts, plan: &Plan) {
    let mut igd = IgdDevice::new(&plan.device);
    let bytes = |spans: &[(u64, u64)]| -> BTreeSet<u64> {
        assert!(
            spans.iter().all(|(_, len)| *len <= 4096),
            "a trap longer than 4 KiB: {spans:x?}"
        );
        spans.iter().flat_map(|(start, len)| *start..start + len).collect()
    };
    let of_bar = |bar| -> Vec<(u64, u64)> {
        let traps = plan.traps.iter().filter(|trap| trap.bar == bar);
        traps.map(|trap| (trap.range.start, trap.range.len)).collect()
    };
    let bar0: Vec<_> = igd.bar0_traps().map(|span| (span.offset, span.len)).collect();
    assert_eq!(bytes(&bar0), bytes(&of_bar(0)), "bytes of BAR0 that trap");
    let bar4: Vec<_> = igd.bar4_trap().iter().map(|span| (span.offset, span.len)).collect();
    assert_eq!(bytes(&bar4), bytes(&of_bar(4)), "bytes of BAR4 that trap");
    for trap in &plan.traps {
        let size = facts.device.bar(trap.bar).map(|bar| bar.size);
        assert!(size >= Some(trap.range.end()), "{trap:?} in a BAR of {size:x?}");
        let is_owned = match trap.owner {
            TrapOwner::GgcMirror => plan.device.ggc_mirror && plan.device.ggc.is_some(),
            TrapOwner::BdsmMirror => plan.device.bdsm_mirror && plan.device.bdsm != BdsmSetup::Hardware,
            TrapOwner::GttPorts => plan.device.gtt_port.is_some(),
            TrapOwner::ConfigSpace => {
                let range = (trap.range.start, trap.range.len);
                let mut redirects = plan.device.redirects.iter();
                plan.policy != Policy::Native && redirects.any(|redirect| (redirect.bar0, redirect.len.into()) == range)
            }
            _ => false,
        };
        assert!(is_owned, "{trap:?} has no owner in {:?}", plan.device);
    }
    let is_native = plan.policy == Policy::Native;
    assert_eq!(
        plan.device.rules == DeviceRules::Native,
        is_native,
        "{:?}",
        plan.device.rules
    );
    if is_native {
        for at in (0..256).filter_map(|offset| ConfigAccess::new(offset, Width::Byte)) {
            let forwarded = igd.config_write(at, 0xa5).forwards().count();
            assert_eq!(
                forwarded == 0,
                igd.config_owns(at) != 0,
                "a byte at {at:?} has two owners or none"
            );
        }
    }
}

/// Reserved ranges lie in RAM, apart from each other, and the registers name them.
pub(super) fn memory(facts: &HostFacts, plan: &Plan) {
    let machine = &facts.machine;
    let ram = match plan.memory.ram.is_empty() {
        true => vec![machine.ram.low(), machine.ram.high()],
        false => plan.memory.ram.clone(),
    };
    for pair in ram.windows(2) {
        if let [one, next] = pair {
            assert!(
                !one.overlaps(*next) && one.start < next.start,
                "RAM at {one} and {next}"
            );
        }
    }
    for range in &ram {
        assert!(
            range.end() <= machine.mmio_start || range.start == 1 << 32,
            "RAM at {range}"
        );
    }
    if let Some(first) = plan.memory.ram.first() {
        // Stolen memory at the host's address is added where RAM does not reach.
        let asked = u128::from(machine.ram.below_4g) + u128::from(machine.ram.above_4g);
        let total: u128 = ram.iter().map(|range| u128::from(range.len)).sum();
        let added = plan.memory.stolen.map_or(0, |stolen| u128::from(stolen.size));
        let is_kept = first.start == 0 && first.len >= machine.ram.below_4g;
        assert!(
            is_kept && (asked..=asked + added).contains(&total),
            "RAM laid out as {ram:x?}, {:x?} asked for",
            machine.ram
        );
    }
    let mut seen: Vec<Extent> = Vec::new();
    for entry in &plan.memory.reserved {
        let range = entry.range;
        let is_aligned = range.start.is_multiple_of(4096) && range.len.is_multiple_of(4096);
        assert!(
            range.start >= 16 << 20 && is_aligned && range.len > 0,
            "reserved {range}"
        );
        assert!(
            ram.iter()
                .any(|ram| ram.start <= range.start && range.end() <= ram.end()),
            "reserved {range} is not in RAM at {ram:x?}"
        );
        assert!(
            !seen.iter().any(|other| other.overlaps(range)),
            "reserved {range} overlaps {seen:x?}"
        );
        seen.push(range);
    }
    let base = match plan.device.bdsm {
        BdsmSetup::Hardware => None,
        BdsmSetup::Dword(value) => Some(u64::from(value) >> 20 << 20),
        BdsmSetup::Qword(value) => Some(value >> 20 << 20),
    };
    if let Some(stolen) = plan.memory.stolen {
        let placed = stolen.base.map(|start| Extent::new(start, stolen.size));
        assert_eq!(
            base.unwrap_or_default(),
            stolen.base.unwrap_or_default(),
            "BDSM and the place of stolen memory"
        );
        let mut reserved = plan.memory.reserved.iter();
        let reserved = reserved.find(|entry| entry.kind == ReservationKind::Reserved);
        assert_eq!(
            placed,
            reserved.map(|entry| entry.range),
            "stolen memory and its reservation"
        );
        assert!(
            stolen.base.is_none_or(|base| base.is_multiple_of(1 << 20)),
            "{stolen:x?}"
        );
    }
    if let Some(image) = &plan.memory.opregion {
        assert_eq!(
            plan.device.asls.map(u64::from),
            Some(image.gpa),
            "ASLS and the place of the OpRegion"
        );
        let range = Extent::new(image.gpa, u64::try_from(image.bytes.len()).unwrap_or(u64::MAX));
        let mut reserved = plan.memory.reserved.iter().map(|entry| entry.range);
        assert!(
            reserved.any(|entry| entry.start <= range.start && range.end() <= entry.end()),
            "the OpRegion at {range} is not reserved"
        );
    }
    if let Some(GttClear::Bar0(range)) = plan.clear_gtt {
        let size = facts.device.bar(0).map(|bar| bar.size);
        assert!(
            size >= Some(range.end()) && range.start >= range.len,
            "clears {range} of a BAR0 of {size:x?}"
        );
    }
}

/// Steps are in order, once each, and there is one for each part that asks for something.
pub(super) fn steps(plan: &Plan) {
    let device = &plan.device;
    let emulated = device.ggc.is_some() || device.bdsm != BdsmSetup::Hardware || device.asls.is_some();
    let parts = [
        (StepKind::LimitBars, plan.memory.bar_limit.is_some()),
        (StepKind::LayOutRam, !plan.memory.ram.is_empty()),
        (StepKind::ReserveMemory, !plan.memory.reserved.is_empty()),
        (StepKind::WriteOpRegion, plan.memory.opregion.is_some()),
        (StepKind::AddFiles, !plan.files.is_empty()),
        (StepKind::PatchHostBridge, !plan.host_bridge.is_empty()),
        (StepKind::PlaceIsaBridge, !plan.isa_bridge.patches().is_empty()),
        (StepKind::EmulateConfig, emulated || device.hide_swsci),
        (StepKind::TrapBars, !plan.traps.is_empty()),
        (StepKind::RouteVga, !plan.vga.is_empty()),
        (StepKind::ShowRom, plan.rom != igd_quirks::plan::RomPlan::Hidden),
        (StepKind::ClearGtt, plan.clear_gtt.is_some()),
    ];
    let expected: Vec<_> = parts
        .into_iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(kind, _)| kind)
        .collect();
    let found: Vec<_> = plan.steps.iter().map(|step| step.kind).collect();
    assert_eq!(found, expected, "steps");
    for step in &plan.steps {
        assert!(!step.action.is_empty() && !step.reason.is_empty(), "{step:?}");
    }
}

pub(super) fn mode(plan: &Plan) {
    match plan.mode {
        Mode::Legacy => {
            assert_eq!(plan.address, Bdf::new(0, 2, 0), "address in legacy mode");
            let patches = (plan.host_bridge.len(), plan.isa_bridge.patches().len());
            assert_eq!(patches, (3, 5), "patches of the bridges in legacy mode");
            assert!(plan.device.asls.is_some(), "the host's ASLS in legacy mode");
            let has_opregion = plan.memory.opregion.is_some() || plan.file("etc/igd-opregion").is_some();
            assert!(has_opregion, "legacy mode without an OpRegion");
        }
        Mode::Upt => assert!(
            plan.policy != Policy::Native || plan.device.asls.is_some(),
            "the host's ASLS in a native plan"
        ),
        Mode::Untouched => {
            let only_redirects = plan.traps.iter().all(|trap| trap.owner == TrapOwner::ConfigSpace);
            assert!(
                plan.files.is_empty() && only_redirects && plan.clear_gtt.is_none(),
                "something is done: {plan}"
            );
            assert_eq!(plan.isa_bridge, IsaBridgePlan::Keep);
            let registers = (plan.device.ggc, plan.device.bdsm, plan.device.asls);
            assert_eq!(
                registers,
                (None, BdsmSetup::Hardware, None),
                "registers of an untouched device"
            );
        }
    }
    let text = plan.to_string();
    assert!(
        !text.lines().any(|line| line.ends_with(' ')),
        "a line ends in a space:\n{text}"
    );
    for finding in &plan.warnings {
        assert!(
            finding.fact.ends_with('.') && finding.remedy.ends_with('.'),
            "{finding:?}"
        );
    }
}

/// Each refusal is a fact and a remedy, said once.
pub(super) fn refusals(refusals: &Refusals) {
    let mut seen: Vec<_> = Vec::new();
    for finding in refusals {
        assert!(
            finding.fact.ends_with('.') && finding.remedy.ends_with('.'),
            "no sentences: {finding:?}"
        );
        assert!(!seen.contains(&finding), "said twice: {finding:?}");
        seen.push(finding);
    }
    assert!(!seen.is_empty(), "refused without a reason");
}
