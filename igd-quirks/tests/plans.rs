// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Facts files in, plans out; where Direct and Identity place things; facts files that lie.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use igd_quirks::device::BdsmSetup;
use igd_quirks::facts::{Extent, Firmware, HostFacts, Slot};
use igd_quirks::options::Options;
use igd_quirks::plan::{Code, GttClear, Mode, Plan, Provisioning, Refusals, ReservationKind, RomPlan, VgaRange, plan};
use igd_quirks::policy::Policy;

const KBL: &str = include_str!("../examples/facts/kbl-laptop.json");
const TGL: &str = include_str!("../examples/facts/tgl-laptop.json");
const RPL: &str = include_str!("../examples/facts/rpl-q35.json");
const MTL: &str = include_str!("../examples/facts/mtl-laptop.json");
const DISCRETE: &str = include_str!("../examples/facts/discrete-card.json");
const UNKNOWN: &str = include_str!("../examples/facts/unknown-id.json");

fn facts(json: &str) -> HostFacts {
    serde_json::from_str(json).unwrap()
}

fn native(facts: &HostFacts, text: &str, provisioning: Provisioning) -> Result<Plan, Refusals> {
    let options: Options = text.parse().unwrap();
    plan(facts, &options, Policy::Native, provisioning)
}

fn text(json: &str, options: &str, provisioning: Provisioning) -> String {
    native(&facts(json), options, provisioning).unwrap().to_string()
}

fn refusals(facts: &HostFacts, options: &str, provisioning: Provisioning) -> Vec<Code> {
    let refusals = native(facts, options, provisioning).err();
    let codes = refusals.map(|refusals| (&refusals).into_iter().map(|finding| finding.code).collect());
    codes.unwrap_or_default()
}

fn warned(plan: &Plan, code: Code) -> String {
    plan.warnings
        .iter()
        .filter(|warning| warning.code == code)
        .map(ToString::to_string)
        .collect()
}

#[test]
fn kaby_lake_laptop_in_legacy_mode() {
    insta::assert_snapshot!(text(KBL, "vfio-pci,host=0000:00:02.0,addr=0x2", Provisioning::FwCfg));
}

#[test]
fn tiger_lake_in_upt_with_opregion() {
    insta::assert_snapshot!(text(
        TGL,
        "addr=0x2,x-igd-legacy-mode=off,x-igd-opregion=on",
        Provisioning::FwCfg
    ));
}

#[test]
fn raptor_lake_on_q35() {
    insta::assert_snapshot!(text(RPL, "addr=0x2,romfile=gop.rom", Provisioning::Identity));
}

#[test]
fn meteor_lake_with_a_kernel_alone() {
    insta::assert_snapshot!(text(MTL, "addr=0x2", Provisioning::Direct));
}

#[test]
fn discrete_card() {
    insta::assert_snapshot!(text(DISCRETE, "addr=0x2", Provisioning::FwCfg));
}

#[test]
fn unknown_id() {
    insta::assert_snapshot!(text(UNKNOWN, "addr=0x5,x-igd-opregion=on", Provisioning::FwCfg));
}

#[test]
fn the_readme_shows_what_is_printed() {
    let readme = include_str!("../README.md");
    for (json, options, provisioning) in [
        (KBL, "addr=0x2", Provisioning::FwCfg),
        (
            TGL,
            "addr=0x2,x-igd-legacy-mode=off,x-igd-opregion=on",
            Provisioning::FwCfg,
        ),
        (RPL, "addr=0x2,romfile=gop.rom", Provisioning::Identity),
        (MTL, "addr=0x2", Provisioning::Direct),
        (DISCRETE, "addr=0x2", Provisioning::FwCfg),
        (UNKNOWN, "addr=0x5,x-igd-opregion=on", Provisioning::FwCfg),
    ] {
        let text = text(json, options, provisioning);
        assert!(readme.contains(&text), "{text}");
    }
}

#[test]
fn plans_and_facts_survive_json() {
    for json in [KBL, TGL, RPL, MTL, DISCRETE, UNKNOWN] {
        let facts = facts(json);
        assert_eq!(serde_json::to_string_pretty(&facts).unwrap() + "\n", json);
        let plan = native(&facts, "addr=2,x-igd-lpc=off,x-vga=on,romfile=a b", Provisioning::FwCfg);
        let Ok(plan) = plan else { continue };
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

#[test]
fn direct_places_top_down() {
    let plan = native(&facts(TGL), "addr=5,x-igd-opregion=on", Provisioning::Direct).unwrap();
    assert_eq!(plan.mode, Mode::Upt);
    assert!(plan.files.is_empty());
    let image = plan.memory.opregion.as_ref().unwrap();
    // 8 KiB and 8704 bytes of VBT take five pages below 2 GiB, 64 MiB lie below on the next MiB.
    assert_eq!((image.gpa, image.bytes.len()), (0x7fff_b000, 16896));
    assert_eq!(plan.device.asls, Some(0x7fff_b000));
    assert_eq!(plan.memory.stolen.unwrap().base, Some(0x7bf0_0000));
    // The lock of the host's register stays.
    assert_eq!(plan.device.bdsm, BdsmSetup::Qword(0x7bf0_0001));
    let reserved: Vec<_> = plan
        .memory
        .reserved
        .iter()
        .map(|entry| (entry.range, entry.kind.e820_type()))
        .collect();
    assert_eq!(
        reserved,
        [
            (Extent::new(0x7bf0_0000, 64 << 20), 2),
            (Extent::new(0x7fff_b000, 0x5000), 4)
        ]
    );
    assert_eq!(plan.memory.ram, []);
}

/// RAM ends below, within and above the host's stolen memory at 4C800000h to 50800000h.
#[test]
fn identity_lays_ram_around_the_hosts_address() {
    let stolen = Extent::new(0x4c80_0000, 64 << 20);
    let high = Extent::new(1 << 32, 6 << 30);
    for (below_4g, ram, opregion) in [
        (
            0x3000_0000,
            vec![Extent::new(0, 0x3000_0000), stolen, high],
            0x2fff_b000,
        ),
        (0x4c80_0000, vec![Extent::new(0, 0x5080_0000), high], 0x4c7f_b000),
        (0x4e00_0000, vec![Extent::new(0, 0x5080_0000), high], 0x4c7f_b000),
        (0x5080_0000, vec![Extent::new(0, 0x5080_0000), high], 0x4c7f_b000),
        (0x8000_0000, vec![Extent::new(0, 0x8000_0000), high], 0x7fff_b000),
    ] {
        let mut facts = facts(RPL);
        facts.machine.ram.below_4g = below_4g;
        let plan = native(&facts, "addr=2,romfile=r", Provisioning::Identity).unwrap();
        assert_eq!(plan.memory.ram, ram, "{below_4g:#x}");
        assert_eq!(plan.memory.opregion.as_ref().unwrap().gpa, opregion, "{below_4g:#x}");
        assert_eq!(plan.device.bdsm, BdsmSetup::Qword(0x4c80_0001));
        let reserved: Vec<_> = plan
            .memory
            .reserved
            .iter()
            .map(|entry| (entry.range, entry.kind))
            .collect();
        assert_eq!(reserved[0], (stolen, ReservationKind::Reserved));
        assert!(warned(&plan, Code::HostAddress).is_empty(), "{plan}");
    }
}

#[test]
fn a_machine_without_high_memory_gets_none() {
    let mut facts = facts(RPL);
    (facts.machine.ram.below_4g, facts.machine.ram.above_4g) = (0x8000_0000, 0);
    let plan = native(&facts, "addr=2,romfile=r", Provisioning::Identity).unwrap();
    assert_eq!(plan.memory.ram, [Extent::new(0, 0x8000_0000)]);
}

#[test]
fn identity_is_refused_where_the_address_is_taken() {
    let mut hole = facts(RPL);
    (hole.machine.ram.below_4g, hole.machine.mmio_start) = (0x4000_0000, 0x5000_0000);
    assert_eq!(
        refusals(&hole, "addr=2,romfile=r", Provisioning::Identity),
        [Code::Memory]
    );
    let refusal = native(&hole, "addr=2,romfile=r", Provisioning::Identity)
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("0x4c800000-0x507fffff") && refusal.contains("to 0x50800000 or higher"),
        "{refusal}"
    );
    // PCI memory may begin where stolen memory ends.
    (hole.machine.ram.below_4g, hole.machine.mmio_start) = (0x4000_0000, 0x5080_0000);
    assert_eq!(refusals(&hole, "addr=2,romfile=r", Provisioning::Identity), []);
    let mut zero = facts(RPL);
    let mut config = zero.device.config.to_vec();
    config[0xc0..0xc8].fill(0);
    zero.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
    assert_eq!(
        refusals(&zero, "addr=2,romfile=r", Provisioning::Identity),
        [Code::Stolen]
    );
}

#[test]
fn memory_below_4_gib_must_suffice() {
    let mut facts = facts(TGL);
    facts.machine.ram.below_4g = 80 << 20;
    for provisioning in [Provisioning::FwCfg, Provisioning::Direct] {
        assert_eq!(refusals(&facts, "addr=2,romfile=r", provisioning), [Code::Memory]);
        // 16 MiB for the guest, 60 MiB of stolen memory, and the OpRegion on the MiB above.
        let plan = native(&facts, "addr=2,romfile=r,x-igd-gms=0xfe", provisioning);
        assert_eq!(plan.unwrap().memory.stolen.unwrap().size, 60 << 20);
    }
    // To the page: 16 MiB, 64 MiB and five pages.
    for (below_4g, codes) in [(0x500_4fff, &[Code::Memory][..]), (0x500_5000, &[]), (0x500_5fff, &[])] {
        let mut facts = facts.clone();
        facts.machine.ram.below_4g = below_4g;
        assert_eq!(
            refusals(&facts, "addr=2,romfile=r", Provisioning::FwCfg),
            codes,
            "{below_4g:#x}"
        );
    }
    let refusal = native(&facts, "addr=2,romfile=r", Provisioning::Direct)
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("80 MiB") && refusal.contains("x-igd-gms"), "{refusal}");
}

#[test]
fn memory_of_the_facts_must_fit_their_addresses() {
    let outcome = |below_4g: u64, mmio_start: u64, above_4g: u64| {
        let mut facts = facts(TGL);
        (facts.machine.mmio_start, facts.machine.iommu_bits) = (mmio_start, None);
        (facts.machine.ram.below_4g, facts.machine.ram.above_4g) = (below_4g, above_4g);
        refusals(&facts, "addr=2,romfile=r", Provisioning::FwCfg)
    };
    assert_eq!(outcome(0xc000_0000, 0xc000_0000, 0), []);
    assert_eq!(outcome(0xc000_1000, 0xc000_0000, 0), [Code::Memory]);
    assert_eq!(outcome(0xc000_0000, 1 << 32, 0), []);
    assert_eq!(outcome(0xc000_0000, (1 << 32) + 1, 0), [Code::Memory]);
    assert_eq!(outcome(0xc000_0000, 0xc000_0000, u64::MAX - (1 << 32)), []);
    assert_eq!(
        outcome(0xc000_0000, 0xc000_0000, u64::MAX - (1 << 32) + 1),
        [Code::Memory]
    );
}

/// The host's stolen memory may end where the IOMMU does, not behind.
#[test]
fn the_iommu_must_reach_the_hosts_stolen_memory() {
    let mut facts = facts(RPL);
    (facts.machine.ram.below_4g, facts.machine.ram.above_4g) = (0x3000_0000, 0);
    let mut at = |base: u32| {
        facts.machine.iommu_bits = Some(31);
        let mut config = facts.device.config.to_vec();
        config[0xc0..0xc4].copy_from_slice(&base.to_le_bytes());
        facts.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
        refusals(&facts, "addr=2,romfile=r", Provisioning::Identity)
    };
    assert_eq!(at(0x7c00_0001), []);
    assert_eq!(at(0x7c10_0001), [Code::IommuWidth]);
    facts.machine.iommu_bits = Some(64);
    assert_eq!(refusals(&facts, "addr=2,romfile=r", Provisioning::Identity), []);
}

#[test]
fn the_iommu_must_reach_ram_and_bars() {
    let mut facts = facts(TGL);
    (facts.machine.iommu_bits, facts.machine.guest_phys_bits) = (Some(39), Some(46));
    let wide = native(&facts, "addr=2,romfile=r", Provisioning::FwCfg).unwrap();
    assert_eq!(wide.memory.bar_limit, Some(1 << 39));
    assert!(
        warned(&wide, Code::IommuWidth).contains("host-phys-bits-limit=39"),
        "{wide}"
    );
    facts.machine.guest_phys_bits = Some(39);
    let narrow = native(&facts, "addr=2,romfile=r", Provisioning::FwCfg).unwrap();
    assert_eq!(
        (narrow.memory.bar_limit, warned(&narrow, Code::IommuWidth)),
        (None, String::new())
    );
    facts.machine.ram.above_4g = (1 << 39) - (1 << 32);
    assert!(native(&facts, "addr=2,romfile=r", Provisioning::FwCfg).is_ok());
    facts.machine.ram.above_4g += 4096;
    assert_eq!(
        refusals(&facts, "addr=2,romfile=r", Provisioning::FwCfg),
        [Code::IommuWidth]
    );
}

#[test]
fn firmware_that_cannot_is_named() {
    let mut facts = facts(TGL);
    let plan = |facts: &HostFacts, text| native(facts, text, Provisioning::FwCfg).unwrap();
    facts.machine.firmware = Firmware::SeaBios;
    let text = "addr=2,x-igd-opregion=on,x-igd-legacy-mode=off";
    let warning = warned(&plan(&facts, text), Code::Firmware);
    assert!(
        warning.contains("5Ch only") && warning.contains("provisioning direct"),
        "{warning}"
    );
    let direct = native(&facts, text, Provisioning::Direct).unwrap();
    assert_eq!(warned(&direct, Code::Firmware), "");

    facts.device.class = 0x03_8000;
    assert!(warned(&plan(&facts, text), Code::Firmware).contains("SeaBIOS does nothing for class 0380h"));
    facts.device.class = 0x03_0000;
    facts.machine.firmware = Firmware::Ovmf;
    assert!(warned(&plan(&facts, text), Code::Firmware).contains("may leave ASLS and BDSM at 0"));
    facts.machine.firmware = Firmware::OvmfWithIgdDriver;
    assert_eq!(warned(&plan(&facts, text), Code::Firmware), "");
    let without = plan(&facts, "addr=2,x-igd-legacy-mode=off");
    assert!(warned(&without, Code::Firmware).contains("without etc/igd-opregion"));
    facts.machine.firmware = Firmware::DirectKernel;
    assert_eq!(refusals(&facts, text, Provisioning::FwCfg), [Code::Firmware]);
    // There is nothing to do for it where the guest gets neither.
    facts.machine.firmware = Firmware::Ovmf;
    let mut config = facts.device.config.to_vec();
    config[0x50..0x52].copy_from_slice(&0x00c0_u16.to_le_bytes());
    facts.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
    let neither = plan(&facts, "addr=2,x-igd-legacy-mode=off,x-igd-opregion=off");
    assert_eq!(warned(&neither, Code::Firmware), "");
    assert!(warned(&neither, Code::Stolen).contains("0 MiB"), "{neither}");
    assert!(
        warned(&neither, Code::OpRegion).contains("gets no OpRegion"),
        "{neither}"
    );
    // What older generations need, SeaBIOS does.
    let kaby_lake = plan(&self::facts(KBL), "addr=2");
    assert_eq!(warned(&kaby_lake, Code::Firmware), "");
    let elsewhere = plan(&self::facts(KBL), "addr=3,x-igd-opregion=on");
    assert!(warned(&elsewhere, Code::Address).contains("00:02.0 only"));
}

#[test]
fn what_has_no_quirks_refuses_wishes_for_them() {
    let mut virtual_function = facts(TGL);
    virtual_function.device.is_virtfn = true;
    let mut foreign = facts(KBL);
    foreign.device.vendor = 0x1002;
    let mut ironlake = facts(KBL);
    ironlake.device.device = 0x0046;
    let mut unknown = facts(UNKNOWN);
    unknown.device.opregion = None;
    for facts in [virtual_function, foreign, ironlake, unknown, facts(DISCRETE)] {
        let plan = native(&facts, "addr=2", Provisioning::FwCfg).unwrap();
        assert_eq!((plan.mode, plan.files.len(), plan.traps.len()), (Mode::Untouched, 0, 0));
        assert_eq!(
            refusals(&facts, "addr=2,x-igd-opregion=on", Provisioning::FwCfg),
            [Code::Device]
        );
        assert_eq!(
            refusals(&facts, "addr=2,x-igd-legacy-mode=on", Provisioning::FwCfg),
            [Code::Device]
        );
    }
}

#[test]
fn stolen_memory_that_makes_no_sense_is_refused() {
    let mut facts = facts(KBL);
    let mut config = facts.device.config.to_vec();
    // GMS 11h is no code of any document.
    config[0x51] = 0x11;
    facts.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
    let refusal = native(&facts, "addr=2", Provisioning::FwCfg).unwrap_err().to_string();
    assert!(refusal.contains("0x11") && refusal.contains("DVMT"), "{refusal}");
    assert!(refusal.contains("Stolen memory by the host's GGC"), "{refusal}");
    let refusal = native(&facts, "addr=2,x-igd-gms=0xff", Provisioning::FwCfg)
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("Stolen memory by x-igd-gms"), "{refusal}");
    assert!(native(&facts, "addr=2,x-igd-gms=2", Provisioning::FwCfg).is_ok());
    assert_eq!(
        refusals(&facts, "addr=2,x-igd-gms=0xff", Provisioning::FwCfg),
        [Code::Ggc]
    );
    assert_eq!(
        refusals(&self::facts(MTL), "addr=2,x-igd-gms=2", Provisioning::Direct),
        [Code::Ggc]
    );
}

#[test]
fn bridges_in_upt_only_if_asked_for() {
    let mut facts = facts(TGL);
    facts.machine.isa_bridge = Slot::Other;
    let text = "addr=2,x-igd-legacy-mode=off";
    assert_eq!(
        native(&facts, text, Provisioning::FwCfg).unwrap().isa_bridge.patches(),
        []
    );
    assert_eq!(
        refusals(&facts, "addr=2,x-igd-legacy-mode=off,x-igd-lpc=on", Provisioning::FwCfg),
        [Code::IsaBridge]
    );
    facts.machine.isa_bridge = Slot::Bridge;
    let plan = native(&facts, "addr=2,x-igd-legacy-mode=off,x-igd-lpc=on", Provisioning::FwCfg).unwrap();
    assert_eq!(plan.isa_bridge.patches().len(), 5);
}

#[test]
fn vga_goes_to_the_device_in_legacy_mode_or_if_asked_for() {
    let ranges = |facts: &HostFacts, text| native(facts, text, Provisioning::FwCfg).unwrap().vga;
    let expected = [
        VgaRange::Memory(Extent::new(0xa_0000, 0x2_0000)),
        VgaRange::Ports(Extent::new(0x3b0, 12)),
        VgaRange::Ports(Extent::new(0x3c0, 32)),
    ];
    let mut facts = facts(KBL);
    assert_eq!(ranges(&facts, "addr=2"), expected);
    assert_eq!(ranges(&facts, "addr=3"), []);
    assert_eq!(ranges(&facts, "addr=3,x-vga=on"), expected);
    facts.device.vga = None;
    assert_eq!(refusals(&facts, "addr=3,x-vga=on", Provisioning::FwCfg), [Code::Vga]);
}

#[test]
fn a_rom_for_another_device_is_made_right() {
    let plan = native(&facts(KBL), "addr=2", Provisioning::FwCfg).unwrap();
    let RomPlan::Repaired(rom) = &plan.rom else {
        panic!("{plan}")
    };
    assert_eq!(rom[0x22..0x24], 0x5916_u16.to_le_bytes());
    assert_eq!(rom.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    let mut right = facts(KBL);
    right.device.rom = igd_quirks::facts::RomFacts::Image(rom.clone());
    assert_eq!(
        native(&right, "addr=2", Provisioning::FwCfg).unwrap().rom,
        RomPlan::Host
    );
    let with_file = native(&facts(KBL), "addr=2,romfile=a.rom", Provisioning::FwCfg).unwrap();
    assert_eq!(with_file.rom, RomPlan::File("a.rom".into()));
    for hidden in ["addr=2,rombar=off", "addr=2,romfile="] {
        let plan = native(&facts(KBL), hidden, Provisioning::FwCfg).unwrap();
        assert_eq!((plan.mode, &plan.rom), (Mode::Upt, &RomPlan::Hidden), "{hidden}");
        assert!(!warned(&plan, Code::Rom).is_empty(), "{plan}");
    }
    let mut uefi = facts(KBL);
    uefi.machine.firmware = Firmware::OvmfWithIgdDriver;
    let plan = native(&uefi, "addr=2", Provisioning::FwCfg).unwrap();
    assert!(warned(&plan, Code::Rom).contains("no image for UEFI"), "{plan}");
}

#[test]
fn the_table_is_cleared_as_far_as_it_reaches() {
    let cleared = |facts: &HostFacts| native(facts, "addr=2", Provisioning::FwCfg).unwrap().clear_gtt;
    let mut facts = facts(KBL);
    assert_eq!(cleared(&facts), Some(GttClear::Bar0(Extent::new(8 << 20, 8 << 20))));
    let mut config = facts.device.config.to_vec();
    config[0x50] = 0x41;
    facts.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
    assert_eq!(cleared(&facts), Some(GttClear::Bar0(Extent::new(8 << 20, 2 << 20))));
    facts.device.bars.retain(|bar| bar.index != 0);
    assert_eq!(refusals(&facts, "addr=2", Provisioning::FwCfg), [Code::Bar, Code::Bar]);
    // Meteor Lake has no mirrors to trap.
    let mut facts = self::facts(MTL);
    facts.device.bars.retain(|bar| bar.index != 0);
    let without = native(&facts, "addr=2", Provisioning::Direct).unwrap();
    assert_eq!(without.clear_gtt, None);
}

#[test]
fn mailbox_2_is_hidden_from_the_guest() {
    let mut facts = facts(KBL);
    let mut opregion = facts.device.opregion.as_ref().unwrap().to_vec();
    opregion[0x58] |= 2;
    facts.device.opregion = Some(igd_quirks::facts::OpRegionBytes::new(opregion.clone()).unwrap());
    let plan = native(&facts, "addr=2", Provisioning::FwCfg).unwrap();
    opregion[0x58] &= !2;
    assert!(plan.device.hide_swsci);
    assert_eq!(plan.file("etc/igd-opregion"), Some(&opregion[..]));
}

#[test]
fn a_lying_opregion_is_refused_where_it_is_wanted() {
    let mut facts = facts(KBL);
    let mut opregion = facts.device.opregion.as_ref().unwrap().to_vec();
    opregion[0x10] = 9;
    facts.device.opregion = Some(igd_quirks::facts::OpRegionBytes::new(opregion).unwrap());
    assert_eq!(refusals(&facts, "addr=2", Provisioning::FwCfg), [Code::OpRegion]);
    assert!(native(&facts, "addr=2,x-igd-legacy-mode=off", Provisioning::FwCfg).is_ok());
}

#[test]
fn facts_files_that_lie_are_refused_with_the_place() {
    let refused = |from: &str, to: &str| {
        let json = KBL.replacen(from, to, 1);
        assert_ne!(json, KBL, "{from}");
        serde_json::from_str::<HostFacts>(&json).unwrap_err().to_string()
    };
    assert!(refused("\"facts\": 1", "\"facts\": 2").contains("facts of version 2: only version 1 is understood"));
    assert!(refused("\"0x5916\"", "\"0x15916\"").contains("`0x15916` is not a number such as 0x9a49"));
    assert!(refused("\"is_virtfn\"", "\"is_virtual\"").contains("unknown field `is_virtual`"));
    assert!(refused("00*7088", "00*7088000").contains("at most 1048576 are allowed"));
    let bars = "{\"index\": 0, \"size\": \"0x1000\"},".repeat(257);
    assert!(refused("\"bars\": [", "\"bars\": 5, \"x\": [").contains("expected a list of at most 256 elements"));
    assert!(refused("\"bars\": [", &format!("\"bars\": [{bars}")).contains("a list of more than 256 elements"));
}

#[test]
fn extents_that_touch_do_not_overlap() {
    let one = Extent::new(0x1000, 0x1000);
    for (start, len, overlaps) in [
        (0x0, 0x1000, false),
        (0x0, 0x1001, true),
        (0x1fff, 1, true),
        (0x2000, 1, false),
        (0x1800, 0, false),
    ] {
        let other = Extent::new(start, len);
        assert_eq!(
            (one.overlaps(other), other.overlaps(one)),
            (overlaps, overlaps),
            "{other}"
        );
    }
}

#[test]
fn a_host_that_shows_too_little_is_refused() {
    let mut facts = facts(KBL);
    let config = facts.device.config.to_vec();
    facts.device.config = igd_quirks::facts::ConfigBytes::new(config[..64].to_vec()).unwrap();
    let refusal = native(&facts, "addr=2", Provisioning::FwCfg).unwrap_err().to_string();
    assert!(
        refusal.contains("Only 64 bytes of the device's configuration space were read"),
        "{refusal}"
    );
}

#[test]
fn strategies_survive_text() {
    for provisioning in [Provisioning::FwCfg, Provisioning::Direct, Provisioning::Identity] {
        assert_eq!(provisioning.to_string().parse(), Ok(provisioning));
    }
    assert!("fwcfg".parse::<Provisioning>().is_err());
}
