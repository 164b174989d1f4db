// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What holds for every plan, whatever the facts, options and policy.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

mod common;

use std::collections::BTreeSet;

use common::{host, options, put};
use igd_quirks::device::{BdsmSetup, DeviceRules, IgdDevice, Redirect};
use igd_quirks::facts::{
    BarFacts, Bytes, Chipset, ConfigBytes, Extent, Firmware, HostFacts, MachineFacts, OpRegionBytes, RamLayout,
    RomBytes, RomFacts, Slot, VgaFacts,
};
use igd_quirks::ggc::{Ggc, Strictness, qemu};
use igd_quirks::options::{OnOffAuto, Options};
use igd_quirks::plan::{
    GttClear, IsaBridgePlan, Mode, Plan, Provisioning, Refusals, ReservationKind, StepKind, Trap, TrapOwner, plan,
};
use igd_quirks::platform::{DISCRETE_IDS, Identified, PLATFORM_IDS, QemuEra, identify, qemu_generation};
use igd_quirks::policy::Policy;
use pci_model::{Bdf, ConfigAccess, Width};
use proptest::prelude::*;
use proptest::sample::select;

const POLICIES: [Policy; 6] = [
    Policy::Native,
    Policy::Document2016,
    Policy::Qemu(QemuEra::UpTo9_1),
    Policy::Qemu(QemuEra::V9_2),
    Policy::Qemu(QemuEra::V10_0),
    Policy::Qemu(QemuEra::From10_1),
];
const STRATEGIES: [Provisioning; 3] = [Provisioning::FwCfg, Provisioning::Direct, Provisioning::Identity];
const SLOTS: [Slot; 4] = [Slot::Empty, Slot::Bridge, Slot::MadeForGraphics, Slot::Other];
const FIRMWARE: [Firmware; 5] = [
    Firmware::SeaBios,
    Firmware::Ovmf,
    Firmware::OvmfWithIgdDriver,
    Firmware::DirectKernel,
    Firmware::Unknown,
];

fn ids() -> impl Strategy<Value = u16> {
    let known: Vec<u16> = PLATFORM_IDS.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
    let discrete: Vec<u16> = DISCRETE_IDS.iter().map(|(_, first, _)| *first).collect();
    prop_oneof![8 => select(known), 1 => select(discrete), 1 => any::<u16>()]
}

/// GGC that means something, or any.
fn ggc() -> impl Strategy<Value = u16> {
    prop_oneof![
        select(vec![0x01c1, 0x02c1, 0x0208, 0x0211, 0xf0c1, 0x10c0, 0x00c0]),
        any::<u16>()
    ]
}

fn opregion() -> impl Strategy<Value = Option<OpRegionBytes>> {
    let valid = common::host(0x5916).device.opregion;
    let wrong = proptest::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| Bytes::new(bytes).ok());
    prop_oneof![8 => Just(valid), 1 => Just(None), 1 => wrong]
}

prop_compose! {
    fn device()(
        id in ids(),
        ggc in ggc(),
        (base, flags) in (0_u64..0x1000, 0_u64..16),
        class in prop_oneof![6 => Just(0x03_0000), 2 => Just(0x03_8000), 1 => any::<u32>()],
        vendor in prop_oneof![15 => Just(0x8086), 1 => any::<u16>()],
        len in prop_oneof![15 => Just(256_usize), 1 => 0..256_usize],
        is_virtfn in prop::bool::weighted(0.05),
        opregion in opregion(),
        sizes in prop_oneof![6 => Just([16_u64 << 20, 256 << 20, 64]), 1 => any::<[u64; 3]>()],
        bridges in any::<[bool; 2]>(),
        rom in prop_oneof![Just(None), proptest::collection::vec(any::<u8>(), 0..600).prop_map(Some)],
        vga in prop_oneof![4 => Just(Some((0xc_0000, true))), 1 => any::<Option<(u64, bool)>>()],
    ) -> HostFacts {
        let mut facts = host(id);
        let device = &mut facts.device;
        (device.vendor, device.class, device.is_virtfn) = (vendor, class, is_virtfn);
        let mut config = device.config.to_vec();
        put(&mut config, 0x50, &ggc.to_le_bytes());
        let bdsm = base << 20 | flags;
        put(&mut config, 0x5c, &u32::try_from(bdsm).unwrap().to_le_bytes());
        put(&mut config, 0xc0, &bdsm.to_le_bytes());
        config.truncate(len);
        device.config = ConfigBytes::new(config).unwrap();
        device.opregion = opregion;
        device.bars = [0, 2, 4].into_iter().zip(sizes).map(|(index, size)| BarFacts { index, size, mmap: vec![] }).collect();
        if bridges == [true, true] {
            device.host_bridge = None;
        }
        if bridges == [false, false] {
            device.lpc_bridge = None;
        }
        device.rom = rom.map_or_else(RomFacts::default, |bytes| RomFacts::Image(RomBytes::new(bytes).unwrap()));
        device.vga = vga.map(|(size, writable)| VgaFacts { size, writable });
        facts
    }
}

prop_compose! {
    fn machine()(
        chipset in select(vec![Chipset::I440Fx, Chipset::Q35, Chipset::Bare]),
        host_bridge in prop_oneof![9 => Just(Slot::Bridge), 1 => select(SLOTS.to_vec())],
        isa_bridge in prop_oneof![3 => Just(Slot::Empty), 1 => select(SLOTS.to_vec())],
        below_4g in prop_oneof![9 => select(vec![1_u64 << 30, 2 << 30, 0xb000_0000]), 1 => 0..1_u64 << 32, 1 => any::<u64>()],
        above_4g in prop_oneof![20 => select(vec![0_u64, 4096, 60 << 30]), 1 => any::<u64>()],
        mmio_start in prop_oneof![20 => select(vec![0xb000_0000_u64, 0xc000_0000, 1 << 32]), 1 => any::<u64>()],
        firmware in select(FIRMWARE.to_vec()),
        hotplug in prop::bool::weighted(0.05),
        other_vga in prop::bool::weighted(0.1),
        iommu_bits in prop_oneof![3 => Just(None), 3 => Just(Some(39)), 1 => any::<Option<u8>>()],
        guest_phys_bits in prop_oneof![Just(None), Just(Some(39)), Just(Some(46)), any::<Option<u8>>()],
    ) -> MachineFacts {
        let ram = RamLayout { below_4g, above_4g };
        MachineFacts {
            chipset, host_bridge, isa_bridge, ram, mmio_start, firmware, hotplug, other_vga, iommu_bits, guest_phys_bits,
        }
    }
}

prop_compose! {
    fn wishes()(
        addr in prop_oneof![4 => Just(Bdf::new(0, 2, 0)), 1 => any::<u16>().prop_map(|bits| Some(Bdf::from_bits(bits & 0xff)))],
        behind_bridge in prop::bool::weighted(0.1),
        opregion in any::<Option<bool>>(),
        lpc in prop_oneof![6 => Just(None), 1 => any::<Option<bool>>()],
        legacy_mode in prop_oneof![6 => Just(OnOffAuto::Auto), 1 => Just(OnOffAuto::On), 1 => Just(OnOffAuto::Off)],
        gms in prop_oneof![4 => Just(0), 1 => select(vec![1, 2, 0xf1]), 1 => any::<u8>()],
        vga in prop_oneof![4 => Just(None), 1 => any::<Option<bool>>()],
        romfile in select(vec![None, Some(String::new()), Some("a.rom".to_owned())]),
        rombar in prop_oneof![4 => Just(None), 1 => any::<Option<bool>>()],
    ) -> Options {
        Options { host: None, addr, behind_bridge, opregion, lpc, legacy_mode, gms, vga, romfile, rombar }
    }
}

fn inputs() -> impl Strategy<Value = (HostFacts, Options, Policy, Provisioning)> {
    let native = (Just(Policy::Native), select(STRATEGIES.to_vec()));
    let other = (select(POLICIES.to_vec()), Just(Provisioning::FwCfg));
    let any = (select(POLICIES.to_vec()), select(STRATEGIES.to_vec()));
    let policy = prop_oneof![8 => native, 4 => other, 1 => any];
    (device(), machine(), wishes(), policy).prop_map(|(mut facts, machine, options, (policy, provisioning))| {
        facts.machine = machine;
        (facts, options, policy, provisioning)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn every_plan_keeps_its_promises((facts, options, policy, provisioning) in inputs()) {
        let result = plan(&facts, &options, policy, provisioning);
        prop_assert_eq!(&result, &plan(&facts, &options, policy, provisioning));
        match result {
            Ok(plan) => {
                sizes_agree(&facts, &plan)?;
                registers_have_owners(&facts, &plan)?;
                memory_is_disjoint(&facts, &plan)?;
                steps_match_parts(&plan)?;
                modes_are_complete(&plan)?;
            }
            Err(refusals) => refusals_are_sentences(&refusals)?,
        }
    }

    /// What two facts refuse alone, they refuse together.
    #[test]
    fn refusals_are_complete(picked in proptest::collection::vec(0..VIOLATIONS.len(), 1..6)) {
        let mut together = (host(0x5916), wishes_for_legacy());
        let mut expected = BTreeSet::new();
        for index in picked {
            let mut alone = (host(0x5916), wishes_for_legacy());
            VIOLATIONS[index](&mut alone.0, &mut alone.1);
            VIOLATIONS[index](&mut together.0, &mut together.1);
            let refusals = plan(&alone.0, &alone.1, Policy::Native, Provisioning::FwCfg).unwrap_err();
            expected.extend(refusals.iter().map(ToString::to_string));
        }
        let refusals = plan(&together.0, &together.1, Policy::Native, Provisioning::FwCfg).unwrap_err();
        let found: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
        prop_assert_eq!(found, expected);
    }
}

/// Every known id, with 256 values of GGC, under one policy after the other.
#[test]
fn every_id_with_any_ggc_is_decided() {
    let ids = PLATFORM_IDS.iter().flat_map(|(_, ids)| ids.iter().copied());
    let wishes = options("addr=2,romfile=r");
    let mut plans = 0;
    for (index, id) in (0..=0xff_u8).cycle().zip(ids.chain([0, 0xffff, 0x56a0])) {
        let mut facts = host(id);
        for high in 0..=0xff_u8 {
            let mut config = facts.device.config.to_vec();
            put(&mut config, 0x50, &[high.wrapping_mul(37) ^ index, high]);
            facts.device.config = ConfigBytes::new(config).unwrap();
            let policy = POLICIES[usize::from(high ^ index) % POLICIES.len()];
            match plan(&facts, &wishes, policy, Provisioning::FwCfg) {
                Ok(plan) => {
                    plans += 1;
                    sizes_agree(&facts, &plan).unwrap();
                }
                Err(refusals) => refusals_are_sentences(&refusals).unwrap(),
            }
        }
    }
    assert!(plans > 40_000, "{plans}");
}

/// Each refuses legacy mode by itself, and none hides another.
const VIOLATIONS: [fn(&mut HostFacts, &mut Options); 12] = [
    |_, options| options.addr = Bdf::new(0, 3, 0),
    |facts, _| facts.device.host_bridge = None,
    |facts, _| facts.device.lpc_bridge = None,
    |facts, _| facts.device.opregion = None,
    |facts, _| facts.device.vga = None,
    |facts, _| facts.machine.isa_bridge = Slot::Other,
    |facts, _| facts.machine.host_bridge = Slot::Empty,
    |facts, _| facts.machine.hotplug = true,
    |facts, _| facts.machine.other_vga = true,
    |facts, _| facts.machine.firmware = Firmware::Unknown,
    |facts, _| facts.machine.iommu_bits = Some(30),
    |_, options| options.gms = 0xff,
];

fn wishes_for_legacy() -> Options {
    options("addr=2,romfile=r,x-igd-legacy-mode=on")
}

/// What the firmware is told is what GGC says and what is reserved.
fn sizes_agree(facts: &HostFacts, plan: &Plan) -> Result<(), TestCaseError> {
    let told = plan
        .file("etc/igd-bdsm-size")
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    let planned = plan.memory.stolen.map(|stolen| stolen.size);
    prop_assert_eq!(told, planned.filter(|_| plan.provisioning == Provisioning::FwCfg));
    let Some(size) = planned else { return Ok(()) };
    let shown = plan.device.ggc.or(facts.device.ggc()).unwrap();
    let says = match plan.policy {
        Policy::Native => {
            let Identified::Igd(platform) = identify(facts.device.device) else {
                panic!("stolen memory of no IGD")
            };
            Ggc::new(platform.class().unwrap(), shown)
                .sizes(Strictness::Native)
                .unwrap()
                .stolen
        }
        Policy::Qemu(era) => qemu::bdsm_size(era, qemu_generation(era, facts.device.device), shown),
        _ => qemu::bdsm_size(
            QemuEra::UpTo9_1,
            qemu_generation(QemuEra::UpTo9_1, facts.device.device),
            shown,
        ),
    };
    prop_assert_eq!(size, says);
    let is_stolen = |kind| kind == ReservationKind::Reserved;
    let reserved: u64 = plan
        .memory
        .reserved
        .iter()
        .filter(|entry| is_stolen(entry.kind))
        .map(|entry| entry.range.len)
        .sum();
    prop_assert_eq!(
        reserved,
        if plan.provisioning == Provisioning::FwCfg {
            0
        } else {
            size
        }
    );
    Ok(())
}

/// The device that the plan describes traps exactly the plan's ranges, and natively forwards nothing of what it owns.
fn registers_have_owners(facts: &HostFacts, plan: &Plan) -> Result<(), TestCaseError> {
    let mut igd = IgdDevice::new(&plan.device);
    let bytes =
        |spans: &[(u64, u64)]| -> BTreeSet<u64> { spans.iter().flat_map(|(start, len)| *start..start + len).collect() };
    let of_bar = |bar| -> Vec<(u64, u64)> {
        plan.traps
            .iter()
            .filter(|trap| trap.bar == bar)
            .map(|trap| (trap.range.start, trap.range.len))
            .collect()
    };
    let bar0: Vec<_> = igd.bar0_traps().map(|span| (span.offset, span.len)).collect();
    prop_assert_eq!(bytes(&bar0), bytes(&of_bar(0)));
    let bar4: Vec<_> = igd
        .bar4_trap()
        .map(|span| (span.offset, span.len))
        .into_iter()
        .collect();
    prop_assert_eq!(bytes(&bar4), bytes(&of_bar(4)));
    for trap in &plan.traps {
        prop_assert!(facts.device.bar(trap.bar).unwrap().size >= trap.range.end());
        let owner = match trap.owner {
            TrapOwner::GgcMirror => plan.device.ggc_mirror && plan.device.ggc.is_some(),
            TrapOwner::BdsmMirror => plan.device.bdsm_mirror && plan.device.bdsm != BdsmSetup::Hardware,
            TrapOwner::GttPorts => plan.device.gtt_port.is_some(),
            TrapOwner::ConfigSpace => {
                let place = |redirect: &Redirect| (redirect.bar0, u64::from(redirect.len));
                let is_redirected = |redirect: &Redirect| place(redirect) == (trap.range.start, trap.range.len);
                plan.policy != Policy::Native && plan.device.redirects.iter().any(is_redirected)
            }
            _ => false,
        };
        prop_assert!(owner, "{:?}", trap);
    }
    prop_assert_eq!(plan.device.rules == DeviceRules::Native, plan.policy == Policy::Native);
    if plan.policy == Policy::Native {
        for offset in 0..256 {
            let at = ConfigAccess::new(offset, Width::Byte).unwrap();
            let forwarded = igd.config_write(at, 0xa5).forwards().count();
            prop_assert_eq!(forwarded == 0, igd.config_owns(at) != 0, "{:#x}", offset);
        }
    }
    Ok(())
}

/// Reserved ranges lie in RAM, apart from each other, and the registers name them.
fn memory_is_disjoint(facts: &HostFacts, plan: &Plan) -> Result<(), TestCaseError> {
    let machine = &facts.machine;
    let ram = match plan.memory.ram.is_empty() {
        true => vec![machine.ram.low(), machine.ram.high()],
        false => plan.memory.ram.clone(),
    };
    for (index, range) in ram.iter().enumerate() {
        prop_assert!(
            ram[..index]
                .iter()
                .all(|other| !other.overlaps(*range) && other.start < range.start)
        );
        prop_assert!(range.end() <= machine.mmio_start || range.start == 1 << 32, "{}", range);
    }
    for (index, entry) in plan.memory.reserved.iter().enumerate() {
        let range = entry.range;
        prop_assert!(range.start >= 16 << 20 && range.start.is_multiple_of(4096) && range.len.is_multiple_of(4096));
        prop_assert!(
            ram.iter()
                .any(|ram| ram.start <= range.start && range.end() <= ram.end()),
            "{}",
            range
        );
        prop_assert!(
            plan.memory.reserved[..index]
                .iter()
                .all(|other| !other.range.overlaps(range))
        );
    }
    let base = match plan.device.bdsm {
        BdsmSetup::Hardware => None,
        BdsmSetup::Dword(value) => Some(u64::from(value) >> 20 << 20),
        BdsmSetup::Qword(value) => Some(value >> 20 << 20),
    };
    if let Some(stolen) = plan.memory.stolen {
        let placed = stolen.base.map(|start| Extent::new(start, stolen.size));
        prop_assert_eq!(base.unwrap_or_default(), stolen.base.unwrap_or_default());
        let reserved = plan
            .memory
            .reserved
            .iter()
            .find(|entry| entry.kind == ReservationKind::Reserved);
        prop_assert_eq!(placed, reserved.map(|entry| entry.range));
        prop_assert!(stolen.base.is_none_or(|base| base.is_multiple_of(1 << 20)));
    }
    if let Some(image) = &plan.memory.opregion {
        prop_assert_eq!(plan.device.asls.map(u64::from), Some(image.gpa));
    }
    if let Some(GttClear::Bar0(range)) = plan.clear_gtt {
        prop_assert!(range.end() <= facts.device.bar(0).unwrap().size && range.start >= range.len);
    }
    Ok(())
}

/// Steps are in order, once each, and there is one for each part that asks for something.
fn steps_match_parts(plan: &Plan) -> Result<(), TestCaseError> {
    let found: Vec<StepKind> = plan.steps.iter().map(|step| step.kind).collect();
    prop_assert!(found.is_sorted_by(|a, b| a < b), "{:?}", found);
    let device = &plan.device;
    let parts = [
        (StepKind::LimitBars, plan.memory.bar_limit.is_some()),
        (StepKind::LayOutRam, !plan.memory.ram.is_empty()),
        (StepKind::ReserveMemory, !plan.memory.reserved.is_empty()),
        (StepKind::WriteOpRegion, plan.memory.opregion.is_some()),
        (StepKind::AddFiles, !plan.files.is_empty()),
        (StepKind::PatchHostBridge, !plan.host_bridge.is_empty()),
        (StepKind::PlaceIsaBridge, !plan.isa_bridge.patches().is_empty()),
        (
            StepKind::EmulateConfig,
            device.ggc.is_some() || device.bdsm != BdsmSetup::Hardware || device.asls.is_some() || device.hide_swsci,
        ),
        (StepKind::TrapBars, !plan.traps.is_empty()),
        (StepKind::RouteVga, !plan.vga.is_empty()),
        (StepKind::ShowRom, plan.rom != igd_quirks::plan::RomPlan::Hidden),
        (StepKind::ClearGtt, plan.clear_gtt.is_some()),
    ];
    let expected: Vec<StepKind> = parts
        .into_iter()
        .filter(|(_, present)| *present)
        .map(|(kind, _)| kind)
        .collect();
    prop_assert_eq!(found, expected);
    prop_assert!(
        plan.steps
            .iter()
            .all(|step| !step.action.is_empty() && !step.reason.is_empty())
    );
    Ok(())
}

fn modes_are_complete(plan: &Plan) -> Result<(), TestCaseError> {
    match plan.mode {
        Mode::Legacy => {
            prop_assert_eq!(plan.address, Bdf::new(0, 2, 0));
            prop_assert_eq!((plan.host_bridge.len(), plan.isa_bridge.patches().len()), (3, 5));
            prop_assert_eq!(plan.device.asls.is_some(), true);
            prop_assert!(plan.memory.opregion.is_some() || plan.file("etc/igd-opregion").is_some());
        }
        Mode::Upt => prop_assert!(plan.policy != Policy::Native || plan.device.asls.is_some()),
        Mode::Untouched => {
            let is_redirect = |trap: &Trap| trap.owner == TrapOwner::ConfigSpace;
            prop_assert!(plan.files.is_empty() && plan.traps.iter().all(is_redirect) && plan.clear_gtt.is_none());
            prop_assert_eq!(&plan.isa_bridge, &IsaBridgePlan::Keep);
            prop_assert_eq!(
                (plan.device.ggc, plan.device.bdsm, plan.device.asls),
                (None, BdsmSetup::Hardware, None)
            );
        }
    }
    for line in plan.to_string().lines() {
        prop_assert!(!line.ends_with(' '), "{}", line);
    }
    Ok(())
}

fn refusals_are_sentences(refusals: &Refusals) -> Result<(), TestCaseError> {
    let all: Vec<_> = refusals.iter().collect();
    prop_assert!(!all.is_empty());
    for (index, finding) in all.iter().enumerate() {
        prop_assert!(
            finding.fact.ends_with('.') && finding.remedy.ends_with('.'),
            "{}",
            finding
        );
        prop_assert!(!all[..index].contains(finding), "{}", finding);
    }
    Ok(())
}
