// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The requirements of legacy mode in QEMU's `docs/igd-assign.txt` of 2016: one test a bullet, each violating it alone.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

mod common;

use common::{host, options};
use igd_quirks::facts::{Chipset, ConfigBytes, Firmware, HostFacts, RomBytes, RomFacts, Slot};
use igd_quirks::options::Options;
use igd_quirks::plan::{Code, Finding, IsaBridgePlan, Mode, Plan, Provisioning, Refusals, plan};
use igd_quirks::policy::Policy;

fn document(facts: &HostFacts, options: &Options) -> Result<Plan, Refusals> {
    plan(facts, options, Policy::Document2016, Provisioning::FwCfg)
}

/// A machine that has everything the document asks for: a Kaby Lake on an i440FX.
fn complete() -> (HostFacts, Options) {
    (host(0x5916), options("addr=2,romfile=vbios.rom"))
}

/// The only refusal after `violate` has changed one thing.
fn refusal(violate: impl Fn(&mut HostFacts, &mut Options)) -> Finding {
    let (mut facts, mut options) = complete();
    violate(&mut facts, &mut options);
    let refusals = document(&facts, &options).unwrap_err();
    let findings: Vec<&Finding> = refusals.iter().collect();
    let [finding] = findings[..] else {
        panic!("not one refusal: {refusals}")
    };
    assert!(
        finding.fact.ends_with('.') && finding.remedy.ends_with('.'),
        "no sentences: {finding}"
    );
    finding.clone()
}

#[test]
fn everything_together_gives_legacy_mode() {
    let (facts, options) = complete();
    let plan = document(&facts, &options).unwrap();
    assert_eq!(plan.mode, Mode::Legacy);
    assert!(matches!(plan.isa_bridge, IsaBridgePlan::Create(_)));
    assert_eq!(plan.vga.len(), 3);
    let files: Vec<&str> = plan.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["etc/igd-opregion", "etc/igd-bdsm-size"]);
}

/// The address in the guest is 02.0 on the root bus.
#[test]
fn address() {
    for text in ["addr=3,romfile=r", "addr=2.1,romfile=r", "addr=2,bus=rp0,romfile=r"] {
        let (facts, _) = complete();
        assert_eq!(document(&facts, &options(text)).unwrap().mode, Mode::Upt, "{text}");
        let asked = format!("{text},x-igd-legacy-mode=on");
        let finding = refusal(|_, wishes| *wishes = options(&asked));
        assert_eq!(finding.code, Code::Address);
        assert!(
            finding.fact.contains("00:02.0") && finding.remedy.contains("addr=0x2"),
            "{finding}"
        );
    }
}

/// The host's kernel has the extensions of VFIO for Intel graphics: 4.6 or later.
#[test]
fn host_kernel() {
    let opregion = refusal(|facts, _| facts.device.opregion = None);
    assert_eq!(opregion.code, Code::OpRegion);
    assert!(opregion.remedy.contains("CONFIG_VFIO_PCI_IGD=y"), "{opregion}");
    let bridge = refusal(|facts, _| facts.device.host_bridge = None);
    assert_eq!(bridge.code, Code::HostBridge);
    let lpc = refusal(|facts, _| facts.device.lpc_bridge = None);
    assert_eq!(lpc.code, Code::LpcRegion);
}

/// What is no graphics at all is left alone.
#[test]
fn class() {
    let (mut facts, options) = complete();
    facts.device.class = 0x04_0300;
    assert_eq!(document(&facts, &options).unwrap().mode, Mode::Untouched);
}

/// Of the host's bridge, the bytes up to the subsystem ids are needed.
#[test]
fn host_bridge_bytes() {
    let cut = |facts: &mut HostFacts, len: usize| {
        let bytes = facts.device.lpc_bridge.as_ref().unwrap()[..len].to_vec();
        facts.device.lpc_bridge = Some(ConfigBytes::new(bytes).unwrap());
    };
    let finding = refusal(|facts, _| cut(facts, 0x2f));
    assert_eq!(finding.code, Code::LpcRegion);
    assert!(finding.fact.contains("only 47 of its bytes"), "{finding}");
    let finding = refusal(|facts, _| cut(facts, 0x10));
    assert!(finding.fact.contains("only 16 of its bytes"), "{finding}");
    let (mut facts, options) = complete();
    cut(&mut facts, 0x30);
    assert!(document(&facts, &options).is_ok());
}

/// The host's kernel has VGA support in VFIO.
#[test]
fn host_vga() {
    for vga in [
        None,
        Some(igd_quirks::facts::VgaFacts {
            size: 0xc_0000,
            writable: false,
        }),
        Some(igd_quirks::facts::VgaFacts {
            size: 0xb_ffff,
            writable: true,
        }),
    ] {
        let finding = refusal(|facts, _| facts.device.vga = vga);
        assert_eq!(finding.code, Code::Vga);
        assert!(finding.remedy.contains("CONFIG_VFIO_PCI_VGA=y"), "{finding}");
    }
}

/// The firmware of the guest acts on the `fw_cfg` files for Intel graphics.
#[test]
fn firmware() {
    for firmware in [Firmware::Ovmf, Firmware::DirectKernel, Firmware::Unknown] {
        let finding = refusal(|facts, _| facts.machine.firmware = firmware);
        assert_eq!(finding.code, Code::Firmware);
        assert!(finding.fact.contains(&firmware.to_string()), "{finding}");
    }
}

/// The machine has a host bridge at 00.0.
#[test]
fn host_bridge() {
    for slot in [Slot::Empty, Slot::Other] {
        let finding = refusal(|facts, _| {
            facts.machine.chipset = Chipset::Bare;
            facts.machine.host_bridge = slot;
        });
        assert_eq!(finding.code, Code::HostBridge);
        assert!(finding.fact.contains("00:00.0"), "{finding}");
    }
}

/// The machine has the bridge made for graphics at 1f.0, or lets one be put there.
#[test]
fn isa_bridge() {
    for slot in [Slot::Bridge, Slot::Other] {
        let finding = refusal(|facts, _| facts.machine.isa_bridge = slot);
        assert_eq!(finding.code, Code::IsaBridge);
        assert!(
            finding.fact.contains("00:1f.0") && finding.remedy.contains("i440FX"),
            "{finding}"
        );
    }
    let (mut facts, options) = complete();
    facts.machine.isa_bridge = Slot::MadeForGraphics;
    assert!(matches!(
        document(&facts, &options).unwrap().isa_bridge,
        IsaBridgePlan::Patch(_)
    ));
}

/// There is a VGA ROM, of the host or of a file, and it is not turned off with rombar=0.
#[test]
fn rom() {
    let finding = refusal(|_, wishes| *wishes = options("addr=2"));
    assert_eq!(finding.code, Code::Rom);
    assert!(finding.remedy.contains("romfile"), "{finding}");
    let finding = refusal(|_, options| options.rombar = Some(false));
    assert_eq!(finding.code, Code::Rom);
    assert!(finding.fact.contains("rombar=0"), "{finding}");
    let finding = refusal(|facts, wishes| {
        *wishes = options("addr=2");
        facts.device.rom = RomFacts::Image(RomBytes::new([0xff; 512]).unwrap());
    });
    assert_eq!(finding.code, Code::Rom);
}

/// The device is not plugged into a running machine.
#[test]
fn hotplug() {
    let finding = refusal(|facts, _| facts.machine.hotplug = true);
    assert_eq!(finding.code, Code::Hotplug);
    assert!(finding.remedy.contains("before the machine starts"), "{finding}");
}

/// The device is a Sandy Bridge or later.
#[test]
fn generation() {
    let finding = refusal(|facts, _| facts.device.device = 0x0046);
    assert_eq!(finding.code, Code::Generation);
    assert!(finding.fact.contains("Sandy Bridge or newer"), "{finding}");
}

#[test]
fn refusals_come_all_at_once() {
    let (mut facts, mut options) = complete();
    facts.device.lpc_bridge = None;
    facts.device.vga = None;
    facts.machine.host_bridge = Slot::Empty;
    facts.machine.isa_bridge = Slot::Bridge;
    options.romfile = None;
    let codes: Vec<Code> = document(&facts, &options)
        .unwrap_err()
        .iter()
        .map(|finding| finding.code)
        .collect();
    assert_eq!(
        codes,
        [Code::LpcRegion, Code::Vga, Code::HostBridge, Code::IsaBridge, Code::Rom]
    );
}

/// The policy native asks for the same, but takes every generation, a Q35 and other ways to provision.
#[test]
fn native_is_wider() {
    for id in [0x0116, 0x0416, 0x1616, 0x22b0, 0x5916, 0x8a56, 0x9a49, 0xa780, 0x7d55] {
        let mut facts = host(id);
        facts.device.config = common::host(0x5916).device.config;
        let mut config = facts.device.config.to_vec();
        // A value that every layout can read: 32 MiB by bits 15:8, and by bits 7:3 for the older ones.
        let ggc: u16 = if matches!(id, 0x0116 | 0x0416 | 0x22b0) {
            0x0208
        } else {
            0x01c1
        };
        common::put(&mut config, 0x50, &ggc.to_le_bytes());
        facts.device.config = igd_quirks::facts::ConfigBytes::new(config).unwrap();
        facts.machine.chipset = Chipset::Q35;
        facts.machine.isa_bridge = Slot::Bridge;
        facts.machine.firmware = Firmware::Ovmf;
        let options = options("addr=2,romfile=gop.rom");
        let plan = plan(&facts, &options, Policy::Native, Provisioning::Direct).unwrap();
        assert_eq!(plan.mode, Mode::Legacy, "{id:04x}: {plan}");
        assert!(matches!(plan.isa_bridge, IsaBridgePlan::Patch(_)));
    }
}
