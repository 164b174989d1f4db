// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a plan advises: once, where it applies, and in words that fit the policy.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

mod common;

use common::{host, options, put};
use igd_quirks::facts::{Bytes, Firmware, RomFacts};
use igd_quirks::plan::{Code, Finding, Mode, Plan, Provisioning, Refusals, plan};
use igd_quirks::platform::QemuEra;
use igd_quirks::policy::Policy;

const KBL: u16 = 0x5912;
const TGL: u16 = 0x9a49;
const QEMU: Policy = Policy::Qemu(QemuEra::From10_1);

fn findings(result: &Result<Plan, Refusals>) -> Vec<Finding> {
    match result {
        Ok(plan) => plan.warnings.clone(),
        Err(refusals) => refusals.into_iter().cloned().collect(),
    }
}

fn of(result: &Result<Plan, Refusals>, code: Code) -> Vec<String> {
    let findings = findings(result);
    let there = findings.iter().filter(|finding| finding.code == code);
    there.map(ToString::to_string).collect()
}

#[test]
fn words_fit_the_policy() {
    let mut facts = host(KBL);
    facts.machine.firmware = Firmware::DirectKernel;
    for (policy, is_native) in [(Policy::Native, true), (QEMU, false)] {
        let text = "addr=2,x-igd-legacy-mode=off,x-igd-opregion=on";
        let result = plan(&facts, &options(text), policy, Provisioning::FwCfg);
        let [advice] = &of(&result, Code::Firmware)[..] else {
            panic!("{result:?}")
        };
        assert!(advice.contains("Use provisioning direct"), "{advice}");
        assert_eq!(advice.contains("with the policy native"), !is_native, "{advice}");
    }
}

#[test]
fn each_cause_is_named_once() {
    let mut facts = host(KBL);
    facts.machine.firmware = Firmware::DirectKernel;
    // Legacy mode is not possible for that reason already.
    let result = plan(&facts, &options("addr=2"), Policy::Native, Provisioning::FwCfg);
    assert_eq!(of(&result, Code::Firmware).len(), 1, "{result:?}");

    let mut facts = host(TGL);
    facts.device.opregion = None;
    for (class, text) in [
        (0x03_0000, "addr=2,romfile=r"),
        (0x03_8000, "addr=2,x-igd-legacy-mode=off"),
    ] {
        facts.device.class = class;
        let result = plan(&facts, &options(text), Policy::Native, Provisioning::FwCfg);
        assert_eq!(of(&result, Code::OpRegion).len(), 1, "{result:?}");
        assert!(findings(&result).len() > 1, "there are others: {result:?}");
    }
}

#[test]
fn an_unknown_device_is_to_be_reported_where_the_policy_is_ours() {
    for (policy, count) in [(Policy::Native, 1), (QEMU, 0)] {
        let result = plan(&host(0x1234), &options("addr=2"), policy, Provisioning::FwCfg);
        assert_eq!(of(&result, Code::Device).len(), count, "{result:?}");
    }
}

#[test]
fn registers_with_the_hosts_addresses_are_named_unless_the_guest_has_the_same() {
    for (provisioning, count) in [
        (Provisioning::FwCfg, 1),
        (Provisioning::Direct, 1),
        (Provisioning::Identity, 0),
    ] {
        let options = options("addr=2,x-igd-legacy-mode=off");
        let result = plan(&host(KBL), &options, Policy::Native, provisioning);
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(of(&result, Code::HostAddress).len(), count, "{result:?}");
    }
}

/// A ROM with one image, for a PC's BIOS.
fn legacy_rom(device: u16) -> RomFacts {
    let mut rom = vec![0; 512];
    put(&mut rom, 0, &[0x55, 0xaa, 1]);
    put(&mut rom, 0x18, &[0x20, 0]);
    put(&mut rom, 0x20, b"PCIR");
    put(&mut rom, 0x24, &0x8086_u16.to_le_bytes());
    put(&mut rom, 0x26, &device.to_le_bytes());
    put(&mut rom, 0x2a, &[0x18, 0]);
    put(&mut rom, 0x2d, &[0, 0, 3]);
    put(&mut rom, 0x30, &[1, 0, 0, 0, 0, 0x80]);
    let sum = rom.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    put(&mut rom, 511, &[0_u8.wrapping_sub(sum)]);
    RomFacts::Image(Bytes::new(rom).unwrap())
}

#[test]
fn a_rom_is_spoken_of_if_the_guests_firmware_would_run_it() {
    let mut facts = host(KBL);
    facts.device.rom = legacy_rom(KBL);
    for (firmware, text, mode, is_told) in [
        (Firmware::OvmfWithIgdDriver, "addr=2", Mode::Legacy, true),
        (Firmware::SeaBios, "addr=2", Mode::Legacy, false),
        (Firmware::OvmfWithIgdDriver, "addr=2,romfile=r", Mode::Legacy, false),
        (
            Firmware::OvmfWithIgdDriver,
            "addr=2,x-igd-legacy-mode=off",
            Mode::Upt,
            false,
        ),
    ] {
        facts.machine.firmware = firmware;
        let result = plan(&facts, &options(text), Policy::Native, Provisioning::FwCfg);
        assert_eq!(result.as_ref().map(|plan| plan.mode), Ok(mode), "{result:?}");
        let told = of(&result, Code::Rom);
        assert_eq!(told.len(), usize::from(is_told), "{text}: {told:?}");
    }
}

/// Ports that do not fit into BAR4 are not emulated, nor is the table cleared through them.
#[test]
fn ports_that_are_not_there_are_not_used() {
    let mut facts = host(KBL);
    for (size, expected) in [(64, true), (8, true), (4, false)] {
        for bar in &mut facts.device.bars {
            bar.size = if bar.index == 4 { size } else { bar.size };
        }
        let policy = Policy::Qemu(QemuEra::UpTo9_1);
        let result = plan(&facts, &options("addr=2,romfile=r"), policy, Provisioning::FwCfg);
        assert_eq!(of(&result, Code::Bar).is_empty(), expected, "{result:?}");
        let plan = result.unwrap();
        assert_eq!(plan.device.gtt_port.is_some(), expected, "{size}");
        assert_eq!(plan.clear_gtt.is_some(), expected, "{size}");
    }
}
