// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU's decisions: those of its newest code as a table, and what was recorded of 7.2.22 and 11.1.2.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

mod common;

use common::{HOST_ASLS, HOST_BDSM, host, options, put};
use igd_quirks::device::{BdsmSetup, Redirect};
use igd_quirks::facts::{Chipset, ConfigBytes, HostFacts, MachineFacts, RamLayout, RomBytes, RomFacts, Slot};
use igd_quirks::ggc::qemu;
use igd_quirks::plan::{Code, GttClear, IsaBridgePlan, Mode, Plan, Provisioning, Refusals, TrapOwner, plan};
use igd_quirks::platform::QemuEra;
use igd_quirks::policy::Policy;

const OLD: Policy = Policy::Qemu(QemuEra::UpTo9_1);
const NEW: Policy = Policy::Qemu(QemuEra::From10_1);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Legacy,
    Upt,
    /// Started without legacy mode, ASLS and BDSM are the host's.
    Abandoned,
    /// A warning and nothing else.
    Nothing,
    Fatal(Code),
}

fn outcome(facts: &HostFacts, text: &str, policy: Policy) -> Outcome {
    let result = plan(facts, &options(text), policy, Provisioning::FwCfg);
    let plan = match result {
        Err(_) => return Outcome::Fatal(codes(&result)[0]),
        Ok(plan) => plan,
    };
    match plan.mode {
        Mode::Legacy => Outcome::Legacy,
        Mode::Untouched => Outcome::Nothing,
        Mode::Upt if plan.device.asls.is_none() => {
            assert!(plan.files.is_empty() && !plan.warnings.is_empty(), "{plan}");
            Outcome::Abandoned
        }
        Mode::Upt => Outcome::Upt,
    }
}

/// Generation 9 is Coffee Lake 3E92, generation 12 Tiger Lake 9A49.
#[test]
fn qemu_10_1_decides_by_this_table() {
    use Outcome::{Abandoned, Fatal, Legacy, Nothing, Upt};
    let pc = MachineFacts::default;
    let hot = || MachineFacts { hotplug: true, ..pc() };
    let at2 = "addr=2,romfile=igd.rom";
    let (no_rom, on, off) = (
        "addr=2",
        "addr=2,romfile=r,x-igd-legacy-mode=on",
        "addr=2,romfile=r,x-igd-legacy-mode=off",
    );
    let rows = [
        // device, class, IVD, machine, options, outcome
        (0x3e92, 0x03_0000, 0, pc(), at2, Legacy),
        (0x3e92, 0x03_0000, 0, pc(), no_rom, Abandoned),
        // A file that is named will do, whether or not the guest sees a ROM.
        (0x3e92, 0x03_0000, 0, pc(), "addr=2,rombar=0,romfile=r", Legacy),
        (0x3e92, 0x03_0000, 0, pc(), "addr=2,romfile=", Legacy),
        (
            0x3e92,
            0x03_0000,
            0,
            pc(),
            "addr=2,x-igd-legacy-mode=on",
            Fatal(Code::Rom),
        ),
        (0x3e92, 0x03_0000, 2, pc(), at2, Upt),
        (0x3e92, 0x03_0000, 2, pc(), on, Fatal(Code::Vga)),
        (0x3e92, 0x03_8000, 0, pc(), at2, Upt),
        (0x9a49, 0x03_0000, 0, pc(), at2, Upt),
        (0x9a49, 0x03_0000, 0, pc(), on, Fatal(Code::Generation)),
        (0x3e92, 0x03_0000, 0, q35(), at2, Upt),
        (0x3e92, 0x03_0000, 0, q35(), on, Fatal(Code::Chipset)),
        (0x3e92, 0x03_0000, 0, pc(), "addr=5,romfile=r", Upt),
        (0x3e92, 0x03_0000, 0, pc(), off, Upt),
        (
            0x3e92,
            0x03_0000,
            0,
            q35(),
            "addr=2,romfile=r,x-igd-lpc=on",
            Fatal(Code::IsaBridge),
        ),
        (
            0x9a49,
            0x03_8000,
            2,
            q35(),
            "addr=5,x-igd-lpc=on",
            Fatal(Code::IsaBridge),
        ),
        (0x3e92, 0x03_0000, 0, hot(), at2, Nothing),
        // A root port has a bus of its own.
        (0x3e92, 0x03_0000, 0, pc(), "bus=rp0,addr=2,romfile=r", Upt),
    ];
    for (id, class, ivd, machine, text, expected) in rows {
        let mut facts = with_config(host(id), 0x50, &[0xc1 | ivd, 0x01]);
        facts.device.class = class;
        facts.machine = machine;
        assert_eq!(
            outcome(&facts, text, NEW),
            expected,
            "{id:04x} {class:06x} {ivd} {text}"
        );
    }
}

/// QEMU 11.1.3 on the kernel's vfio-pci, with `rombar=0` and with an empty `romfile`.
#[test]
fn a_rom_that_the_guest_does_not_see_counts_for_qemu() {
    let mut facts = with_config(host(0x3e92), 0x50, &[0xc1, 0x01]);
    facts.device.rom = RomFacts::Image(RomBytes::new([0x55, 0xaa]).unwrap());
    for text in ["addr=2,rombar=0", "addr=2,romfile=", "addr=2"] {
        assert_eq!(outcome(&facts, text, NEW), Outcome::Legacy, "{text}");
        assert_eq!(outcome(&facts, text, OLD), Outcome::Legacy, "{text}");
        let document = outcome(&facts, text, Policy::Document2016);
        assert_eq!(document, Outcome::Fatal(Code::Rom), "{text}: no image to run");
    }
}

/// QEMU 10.0 wants the VGA region only of a device that claims VGA.
#[test]
fn a_vga_region_that_is_missing_counts_if_vga_is_claimed() {
    for (ivd, expected) in [(0, Outcome::Abandoned), (2, Outcome::Legacy)] {
        let mut facts = with_config(host(0x3e92), 0x50, &[0xc1 | ivd, 0x01]);
        facts.device.vga = None;
        let found = outcome(&facts, "addr=2,romfile=r", Policy::Qemu(QemuEra::V10_0));
        assert_eq!(found, expected, "IVD {ivd}");
    }
}

/// What a guest was seen to find.
struct Recorded {
    name: &'static str,
    id: u16,
    options: &'static str,
    policy: Policy,
    /// Whether 00:1f.0 and 00:00.0 have the host's ids.
    bridges: bool,
    ggc: u32,
    bdsm: u32,
    bdsm64: u64,
    asls: u32,
    size: Option<u64>,
    opregion: bool,
    /// Who answers in the BARs instead of the hardware.
    traps: &'static [TrapOwner],
}

const MIB: u64 = 1 << 20;
const HOST64: u64 = HOST_BDSM as u64;
const MIRROR: &[TrapOwner] = &[TrapOwner::BdsmMirror];
const MIRRORS: &[TrapOwner] = &[TrapOwner::GgcMirror, TrapOwner::BdsmMirror];
const PORTS: &[TrapOwner] = &[TrapOwner::GttPorts];

#[rustfmt::skip]
fn recorded() -> [Recorded; 19] {
    let row = |name, id, options, policy, bridges, ggc, bdsm, bdsm64, asls, size: Option<u64>, opregion, traps| Recorded {
        name, id, options, policy, bridges, ggc, bdsm, bdsm64, asls, size, opregion, traps,
    };
    let on = "addr=2.0,romfile=igd.rom,x-igd-opregion=on";
    [
        row("0166 auto",    0x0166, on, NEW, true,  0x01c1, 0, HOST64, 0, Some(768 * MIB), true, MIRROR),
        row("0166 auto",    0x0166, on, OLD, true,  0x0101, 0, HOST64, 0, Some(MIB),       true, PORTS),
        row("1616 auto",    0x1616, on, NEW, true,  0x01c1, 0, HOST64, 0, Some(32 * MIB),  true, MIRROR),
        row("1616 auto",    0x1616, on, OLD, true,  0x00c1, 0, HOST64, 0, Some(8 * MIB),   true, PORTS),
        row("3e92 auto",    0x3e92, on, NEW, true,  0x01c1, 0, HOST64, 0, Some(32 * MIB),  true, MIRROR),
        row("3e92 auto",    0x3e92, on, OLD, true,  0x00c1, 0, HOST64, 0, Some(8 * MIB),   true, PORTS),
        row("3e92 gms",     0x3e92, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-gms=2", NEW,
                                         true,  0x02c1, 0, HOST64, 0, Some(64 * MIB),  true, MIRRORS),
        row("3e92 gms",     0x3e92, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-gms=2", OLD,
                                         true,  0x02c1, 0, HOST64, 0, Some(72 * MIB),  true, PORTS),
        row("3e92 off",     0x3e92, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-legacy-mode=off", NEW,
                                         false, 0x01c1, 0, HOST64, 0, Some(32 * MIB),  true, MIRROR),
        row("3e92 on",      0x3e92, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-legacy-mode=on", NEW,
                                         true,  0x01c1, 0, HOST64, 0, Some(32 * MIB),  true, MIRROR),
        row("3e92 no LPC",  0x3e92, on, OLD, false, 0x01c1, HOST_BDSM, HOST64, 0, None, true, &[]),
        row("3e92 default", 0x3e92, "addr=2.0,romfile=r", NEW, true, 0x01c1, 0, HOST64, 0, Some(32 * MIB), true, MIRROR),
        row("3e92 default", 0x3e92, "addr=2.0,romfile=r", OLD, true, 0x00c1, 0, HOST64, 0, Some(8 * MIB),  true, PORTS),
        row("3e92 slot 3",  0x3e92, "addr=3.0,romfile=r,x-igd-opregion=on", NEW,
                                         false, 0x01c1, 0, HOST64, 0, Some(32 * MIB),  true, MIRROR),
        row("3e92 slot 3",  0x3e92, "addr=3.0,romfile=r,x-igd-opregion=on", OLD,
                                         false, 0x01c1, HOST_BDSM, HOST64, 0, None,    true, &[]),
        row("9a49 auto",    0x9a49, on, NEW, false, 0x01c1, HOST_BDSM, 0, 0, Some(32 * MIB), true, MIRROR),
        row("9a49 auto",    0x9a49, on, OLD, true,  0x00c1, 0, HOST64, 0, Some(8 * MIB),   true, PORTS),
        row("9a49 gms",     0x9a49, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-gms=3", NEW,
                                         false, 0x03c1, HOST_BDSM, 0, 0, Some(96 * MIB), true, MIRRORS),
        row("9a49 gms",     0x9a49, "addr=2.0,romfile=r,x-igd-opregion=on,x-igd-gms=3", OLD,
                                         true,  0x03c1, 0, HOST64, 0, Some(104 * MIB), true, PORTS),
    ]
}

#[test]
fn recordings_are_reproduced() {
    for row in recorded() {
        let context = format!("{} {}", row.name, row.policy);
        let mut facts = host(row.id);
        if row.name.ends_with("no LPC") {
            facts.device.lpc_bridge = None;
        }
        let plan = plan(&facts, &options(row.options), row.policy, Provisioning::FwCfg).expect(&context);
        let config = guest_config(&facts, &plan);
        let dword = |at: usize| u32::from_le_bytes(config[at..at + 4].try_into().unwrap());
        assert_eq!(dword(0x50), row.ggc, "{context}");
        assert_eq!(dword(0x5c), row.bdsm, "{context}");
        assert_eq!(
            u64::from_le_bytes(config[0xc0..0xc8].try_into().unwrap()),
            row.bdsm64,
            "{context}"
        );
        assert_eq!(dword(0xfc), row.asls, "{context}");
        assert_eq!(bdsm_size(&plan), row.size, "{context}");
        let opregion = facts.device.opregion.as_ref().map(|bytes| &bytes[..]);
        assert_eq!(
            plan.file("etc/igd-opregion"),
            opregion.filter(|_| row.opregion),
            "{context}"
        );
        assert!(
            plan.traps.iter().map(|trap| trap.owner).eq(row.traps.iter().copied()),
            "{context}: {:?}",
            plan.traps
        );
        check_bridges(&plan, row.bridges, &context);
    }
}

fn check_bridges(plan: &Plan, host_ids: bool, context: &str) {
    assert_eq!(plan.mode == Mode::Legacy, host_ids, "{context}");
    if !host_ids {
        assert_eq!(plan.isa_bridge, IsaBridgePlan::Keep, "{context}");
        assert!(plan.host_bridge.is_empty(), "{context}");
        return;
    }
    let image = |patches: &[igd_quirks::plan::Patch]| {
        let mut bytes = vec![0; 0x30];
        for patch in patches {
            put(&mut bytes, patch.offset.into(), &patch.bytes);
        }
        bytes
    };
    assert!(matches!(plan.isa_bridge, IsaBridgePlan::Create(_)), "{context}");
    let lpc = image(plan.isa_bridge.patches());
    assert_eq!(
        (&lpc[..4], lpc[8], &lpc[0x2c..]),
        (&[0x86, 0x80, 0x05, 0xa3][..], 0x10, &[0x43, 0x10, 0x35, 0x85][..])
    );
    let bridge = image(&plan.host_bridge);
    assert_eq!(
        (&bridge[..4], bridge[8], &bridge[0x2c..]),
        (&[0; 4][..], 0x07, &[0x43, 0x10, 0x34, 0x85][..])
    );
}

#[test]
fn an_id_without_generation_gets_its_opregion() {
    let facts = host(0xfff0);
    let plan = plan(&facts, &options("addr=2,romfile=r"), NEW, Provisioning::FwCfg).unwrap();
    assert_eq!((plan.mode, bdsm_size(&plan)), (Mode::Upt, Some(0)));
    assert!(plan.file("etc/igd-opregion").is_some());
    assert_eq!(guest_config(&facts, &plan)[0x5c..0x60], HOST_BDSM.to_le_bytes());
    assert_eq!(
        outcome(&facts, "addr=2,romfile=r", Policy::Qemu(QemuEra::V10_0)),
        Outcome::Nothing,
        "10.0 leaves it alone"
    );
}

#[test]
fn without_an_opregion_new_versions_do_nothing_and_old_ones_refuse() {
    let mut facts = host(0x3e92);
    facts.device.opregion = None;
    let text = "addr=2,romfile=r,x-igd-opregion=on";
    let untouched = plan(&facts, &options(text), NEW, Provisioning::FwCfg).unwrap();
    assert_eq!((untouched.mode, untouched.files.len()), (Mode::Untouched, 0));
    assert_eq!(guest_config(&facts, &untouched), facts.device.config[..]);
    assert_eq!(outcome(&facts, text, OLD), Outcome::Fatal(Code::OpRegion));
    assert_eq!(outcome(&facts, text, Policy::Qemu(QemuEra::V10_0)), Outcome::Abandoned);
}

#[test]
fn a_failure_after_the_opregion_leaves_the_file_behind() {
    let mut facts = host(0x3e92);
    facts.device.lpc_bridge = None;
    for (era, asls) in [(QemuEra::V10_0, 0), (QemuEra::From10_1, HOST_ASLS)] {
        let plan = plan(
            &facts,
            &options("addr=2,romfile=r"),
            Policy::Qemu(era),
            Provisioning::FwCfg,
        )
        .unwrap();
        assert!(plan.file("etc/igd-opregion").is_some(), "{plan}");
        assert_eq!(bdsm_size(&plan), None, "{plan}");
        let config = guest_config(&facts, &plan);
        assert_eq!(config[0xfc..], asls.to_le_bytes(), "{plan}");
        assert_eq!(config[0x5c..0x60], HOST_BDSM.to_le_bytes(), "{plan}");
    }
}

#[test]
fn sizes_and_mirrors_differ_by_version() {
    let host = host(0x9a49);
    let plan = |version: &str| {
        let policy = version.parse().unwrap();
        plan(
            &host,
            &options("addr=2,romfile=r,x-igd-gms=2"),
            policy,
            Provisioning::FwCfg,
        )
        .unwrap()
    };
    // 9.2 adds the table and ignores the option.
    assert_eq!(bdsm_size(&plan("qemu-9.2")), Some(40 * MIB));
    assert_eq!(plan("qemu-9.2").device.ggc, Some(0x01c1));
    assert!(plan("qemu-9.2").device.bdsm_mirror && !plan("qemu-9.2").device.ggc_mirror);
    assert_eq!(bdsm_size(&plan("qemu-10.0")), Some(64 * MIB));
    assert!(plan("qemu-10.0").device.ggc_mirror);
    assert_eq!(plan("qemu-10.0").clear_gtt, None);
    assert_eq!(plan("qemu-9.1").mode, Mode::Legacy);
    assert_eq!(plan("qemu-10.1").mode, Mode::Upt);
}

/// Up to 9.2 the table is cleared through BAR4, whose ports translate from then on; the size is that of GGMS.
#[test]
fn old_versions_translate_and_clear_the_table() {
    for (id, entry_size, index_end) in [(0x0166, 4, 0x400), (0x1616, 8, 0x4000), (0x9a49, 8, 0x4000)] {
        let plan = plan(&host(id), &options("addr=2,romfile=r"), OLD, Provisioning::FwCfg).unwrap();
        assert_eq!(plan.clear_gtt, Some(GttClear::Ports { index_end }), "{id:04x}");
        let port = plan.device.gtt_port.unwrap();
        assert_eq!(
            (port.host_bdsm, port.entry_size, port.index_end),
            (0x7c00_0000, entry_size, index_end)
        );
    }
    let plan = plan(
        &host(0x3e92),
        &options("addr=3,x-igd-opregion=on"),
        OLD,
        Provisioning::FwCfg,
    )
    .unwrap();
    assert_eq!((plan.clear_gtt, plan.device.gtt_port), (None, None));
}

#[test]
fn a_plugged_device_is_treated_by_version() {
    let mut facts = host(0x3e92);
    facts.machine.hotplug = true;
    let ten = Policy::Qemu(QemuEra::V10_0);
    for (policy, text, expected) in [
        (OLD, "addr=2,romfile=r", Outcome::Abandoned),
        (OLD, "addr=2,romfile=r,x-igd-opregion=on", Outcome::Fatal(Code::Hotplug)),
        (ten, "addr=2,romfile=r", Outcome::Abandoned),
        (ten, "addr=5,romfile=r,x-igd-opregion=on", Outcome::Fatal(Code::Hotplug)),
        (ten, "addr=5,romfile=r,x-igd-lpc=on", Outcome::Fatal(Code::Hotplug)),
        (NEW, "addr=2,romfile=r,x-igd-opregion=on", Outcome::Nothing),
        (Policy::Native, "addr=5", Outcome::Fatal(Code::Hotplug)),
    ] {
        assert_eq!(outcome(&facts, text, policy), expected, "{policy} {text}");
    }
}

/// Versions before 10.0 hand over the OpRegion without a look at the class.
#[test]
fn the_opregion_of_another_class_is_handed_over_by_version() {
    for (policy, class, is_given) in [
        ("qemu-9.1", 0x04_0000, true),
        ("qemu-9.2", 0x04_0000, true),
        ("qemu-10.0", 0x03_8000, false),
        ("qemu-10.1", 0x03_8000, true),
        ("qemu-10.1", 0x04_0000, false),
    ] {
        let mut facts = host(0x3e92);
        facts.device.class = class;
        let options = options("addr=2,romfile=r,x-igd-opregion=on");
        let plan = plan(&facts, &options, policy.parse().unwrap(), Provisioning::FwCfg).unwrap();
        assert_eq!(
            plan.file("etc/igd-opregion").is_some(),
            is_given,
            "{policy} {class:06x}"
        );
        assert_ne!(plan.mode, Mode::Legacy);
    }
}

/// From 9.2 on the mirrors lead to configuration space, whether anything is emulated there or not.
#[test]
fn mirrors_are_trapped_without_emulation() {
    let bdsm = |config, len| {
        vec![Redirect {
            bar0: 0x10_80c0,
            config,
            len,
        }]
    };
    let ggc = Redirect {
        bar0: 0x10_8040,
        config: 0x50,
        len: 2,
    };
    for (policy, id, text, redirects) in [
        ("qemu-9.1", 0x9a49, "addr=3", vec![]),
        ("qemu-9.2", 0x3e92, "addr=3", vec![]),
        ("qemu-9.2", 0x9a49, "addr=3", bdsm(0xc0, 8)),
        ("qemu-10.0", 0x3e92, "addr=2", [vec![ggc], bdsm(0x5c, 4)].concat()),
        ("qemu-10.1", 0x3e92, "addr=2", bdsm(0x5c, 4)),
        ("qemu-10.1", 0x3e92, "addr=2,romfile=r", vec![]),
        ("native", 0x7d55, "addr=2", vec![]),
    ] {
        let plan = plan(&host(id), &options(text), policy.parse().unwrap(), Provisioning::FwCfg).unwrap();
        assert_eq!(plan.device.redirects, redirects, "{policy} {id:04x} {text}");
    }
    let redirects = |change: fn(&mut HostFacts), policy: &str| {
        let mut facts = host(0x3e92);
        change(&mut facts);
        let plan = plan(&facts, &options("addr=2"), policy.parse().unwrap(), Provisioning::FwCfg);
        plan.unwrap().device.redirects.len()
    };
    assert_eq!(redirects(|_| (), "qemu-10.1"), 1);
    assert_eq!(redirects(|facts| facts.device.vendor = 0x1002, "qemu-10.1"), 0);
    assert_eq!(redirects(|facts| facts.device.class = 0x04_0000, "qemu-10.1"), 0);
    assert_eq!(redirects(|facts| facts.device.class = 0x03_8000, "qemu-10.0"), 0);
}

/// A code out of range stops new versions; old ones go on without it.
#[test]
fn codes_out_of_range_are_treated_by_version() {
    for (policy, id, gms, expected) in [
        (OLD, 0x3e92, "0x11", Ok(0x00c1)),
        (NEW, 0x3e92, "0x41", Err(Code::Ggc)),
        (NEW, 0x3e92, "0xff", Err(Code::Ggc)),
        (NEW, 0x3e92, "0xf0", Ok(0xf0c1)),
        (NEW, 0x1616, "0xf0", Err(Code::Ggc)),
        (NEW, 0x0166, "0x11", Err(Code::Ggc)),
        (NEW, 0x7d55, "2", Err(Code::Ggc)),
    ] {
        let options = options(&format!("addr=2,romfile=r,x-igd-gms={gms}"));
        let result = plan(&host(id), &options, policy, Provisioning::FwCfg);
        match expected {
            Ok(ggc) => assert_eq!(result.unwrap().device.ggc, Some(ggc), "{id:04x} {gms}"),
            Err(code) => assert_eq!(codes(&result), [code], "{id:04x} {gms}"),
        }
    }
}

/// Up to 9.2, before generation 9; the translation table is counted, too.
#[test]
fn codes_above_512_mib_counted_nothing() {
    for (generation, code, mib) in [
        (7, 0x10, 512),
        (7, 0x11, 0),
        (8, 0x10, 512),
        (8, 0x11, 0),
        (9, 0x11, 544),
    ] {
        let ggc = if generation < 8 {
            code << 3 | 1 << 8
        } else {
            code << 8 | 1 << 6
        };
        let table = if generation < 8 { 1 } else { 2 };
        let size = |era| qemu::bdsm_size(era, Some(generation), ggc);
        assert_eq!(size(QemuEra::V9_2), (mib + table) << 20, "{generation} {code:#x}");
        assert_eq!(
            size(QemuEra::V10_0),
            (u64::from(code) * 32) << 20,
            "{generation} {code:#x}"
        );
    }
}

/// Up to 10.0 the bytes behind GGC are emulated with it, as they are.
#[test]
fn what_follows_ggc_is_the_hosts() {
    let facts = with_config(host(0x3e92), 0x52, &[0x34, 0x12]);
    for (policy, expected) in [(OLD, Some(0x1234)), (NEW, None)] {
        let plan = plan(&facts, &options("addr=2,romfile=r"), policy, Provisioning::FwCfg).unwrap();
        assert_eq!(plan.device.ggc_high, expected, "{policy}");
    }
}

#[test]
fn a_generation_without_legacy_mode_is_told() {
    let text = "addr=2,romfile=r,x-igd-legacy-mode=on";
    let refusal = plan(&host(0x9a49), &options(text), NEW, Provisioning::FwCfg)
        .unwrap_err()
        .to_string();
    assert!(
        refusal.contains("is generation 12: legacy mode ends with generation 9"),
        "{refusal}"
    );
}

#[test]
fn options_that_a_version_lacks_are_refused() {
    for text in ["addr=2,x-igd-lpc=on", "addr=2,x-igd-legacy-mode=off"] {
        assert_eq!(
            outcome(&host(0x3e92), text, OLD),
            Outcome::Fatal(Code::Option),
            "{text}"
        );
    }
    let result = plan(&host(0x3e92), &options("addr=2"), NEW, Provisioning::Direct);
    assert_eq!(codes(&result), [Code::Provisioning]);
}

/// Where the option has no effect and the version knows that, it says so.
#[test]
fn a_size_without_effect_is_told() {
    for (policy, text, expected) in [
        (OLD, "addr=3,x-igd-opregion=on,x-igd-gms=2", 0),
        (Policy::Document2016, "addr=3,x-igd-opregion=on", 0),
        (Policy::Document2016, "addr=3,x-igd-opregion=on,x-igd-gms=2", 1),
    ] {
        let plan = plan(&host(0x3e92), &options(text), policy, Provisioning::FwCfg).unwrap();
        let told = plan.warnings.iter().filter(|warning| warning.code == Code::Ggc);
        assert_eq!(told.count(), expected, "{policy} {text}");
    }
}

/// The same machine with a Q35.
fn q35() -> MachineFacts {
    MachineFacts {
        chipset: Chipset::Q35,
        isa_bridge: Slot::Bridge,
        ram: RamLayout {
            below_4g: 2 << 30,
            above_4g: 2 << 30,
        },
        mmio_start: 0xb000_0000,
        ..MachineFacts::default()
    }
}

/// The host with these bytes of configuration space changed.
fn with_config(mut facts: HostFacts, at: usize, value: &[u8]) -> HostFacts {
    let mut config = facts.device.config.to_vec();
    put(&mut config, at, value);
    facts.device.config = ConfigBytes::new(config).unwrap();
    facts
}

/// Configuration space as the guest sees it at first, as far as the plan says.
fn guest_config(facts: &HostFacts, plan: &Plan) -> Vec<u8> {
    let mut config = facts.device.config.to_vec();
    let device = &plan.device;
    if let Some(ggc) = device.ggc {
        put(&mut config, 0x50, &ggc.to_le_bytes());
    }
    if let Some(high) = device.ggc_high {
        put(&mut config, 0x52, &high.to_le_bytes());
    }
    match device.bdsm {
        BdsmSetup::Hardware => {}
        BdsmSetup::Dword(value) => put(&mut config, 0x5c, &value.to_le_bytes()),
        BdsmSetup::Qword(value) => put(&mut config, 0xc0, &value.to_le_bytes()),
    }
    if let Some(asls) = device.asls {
        put(&mut config, 0xfc, &asls.to_le_bytes());
    }
    config
}

/// The size that the firmware is told.
fn bdsm_size(plan: &Plan) -> Option<u64> {
    plan.file("etc/igd-bdsm-size")
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn codes(result: &Result<Plan, Refusals>) -> Vec<Code> {
    match result {
        Ok(_) => vec![],
        Err(refusals) => refusals.iter().map(|finding| finding.code).collect(),
    }
}
