// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Legacy mode or not, by the plan for a made-up host.

use igd_quirks::facts::{BarFacts, Chipset, ConfigBytes, HostFacts, MachineFacts, OpRegionBytes, Slot, VgaFacts};
use igd_quirks::opregion::layout;
use igd_quirks::options::Options;
use igd_quirks::plan::{Mode, Plan, Provisioning, Refusals, plan};
use igd_quirks::policy::Policy;
use igd_quirks::spec;

use super::{Answers, Question};
use crate::subject::Refusal;

const INTEL: u16 = 0x8086;
const CONFIG: usize = 256;
const VGA_REGION: u64 = 0xc_0000;

/// The mode that a policy chooses.
pub(super) fn legacy(question: &Question<'_>) -> Result<Answers, Refusal> {
    let ivd = if question.flag("ivd")? { spec::GGC_IVD } else { 0 };
    let mut facts = host(question.number("device")?, 0x01c1 | ivd)?;
    facts.device.class = u32::from(question.number::<u16>("class")?) << 8;
    let (chipset, isa_bridge) = question.name(
        "machine",
        &[
            ("pc", (Chipset::I440Fx, Slot::Empty)),
            ("q35", (Chipset::Q35, Slot::Bridge)),
        ],
    )?;
    facts.machine = MachineFacts {
        chipset,
        isa_bridge,
        hotplug: question.flag("hotplug")?,
        ..MachineFacts::default()
    };
    let rom = if question.flag("rom")? { ",romfile=igd.rom" } else { "" };
    let lpc = question.name(
        "lpc",
        &[("unset", ""), ("on", ",x-igd-lpc=on"), ("off", ",x-igd-lpc=off")],
    )?;
    let (address, mode) = (question.text("address")?, question.text("mode")?);
    let options = format!("addr={address},x-igd-legacy-mode={mode}{rom}{lpc}");
    let outcome = match planned(&facts, &options, question.text("policy")?)? {
        Err(_) => "fatal",
        Ok(plan) => match plan.mode {
            Mode::Legacy => "legacy",
            Mode::Untouched => "untouched",
            Mode::Upt if plan.device.asls.is_none() => "abandoned",
            Mode::Upt => "upt",
        },
    };
    Ok(vec![("outcome", outcome.to_owned())])
}

/// The plan for options and policy by name, with files for the firmware.
pub(super) fn planned(facts: &HostFacts, options: &str, policy: &str) -> Result<Result<Plan, Refusals>, Refusal> {
    let parsed: Options = options
        .parse()
        .map_err(|error| Refusal::Error(format!("options {options}: {error}")))?;
    let policy: Policy = policy
        .parse()
        .map_err(|error| Refusal::Error(format!("policy {policy}: {error}")))?;
    Ok(plan(facts, &parsed, policy, Provisioning::FwCfg))
}

/// A host with this device and GGC on an i440FX. It has everything that legacy mode asks for but a ROM.
pub(super) fn host(device: u16, ggc: u16) -> Result<HostFacts, Refusal> {
    let failed = |error: igd_quirks::facts::BytesError| Refusal::Error(error.to_string());
    let mut facts = HostFacts::default();
    let [v0, v1] = INTEL.to_le_bytes();
    let [d0, d1] = device.to_le_bytes();
    let mut config = vec![0; CONFIG];
    put(&mut config, 0x00, &[v0, v1, d0, d1]);
    put(&mut config, 0x08, &[2, 0, 0, 3]);
    put(&mut config, spec::GGC.into(), &ggc.to_le_bytes());
    put(&mut config, spec::BDSM.into(), &0x7c00_0001_u32.to_le_bytes());
    put(&mut config, spec::BDSM64.into(), &0x7c00_0001_u64.to_le_bytes());
    put(&mut config, spec::ASLS.into(), &0x7bff_0018_u32.to_le_bytes());
    let mut opregion = vec![0; layout::SIZE];
    put(&mut opregion, 0, layout::SIGNATURE);
    put(&mut opregion, layout::SIZE_KIB, &layout::SIZE_IN_KIB.to_le_bytes());
    put(&mut opregion, layout::VERSION, &[0, 2]);
    let bars = [(0, 16 << 20), (2, 256 << 20), (4, 64)];

    (facts.device.vendor, facts.device.device, facts.device.class) = (INTEL, device, 0x03_0000);
    facts.device.config = ConfigBytes::new(config).map_err(failed)?;
    facts.device.bars = bars
        .map(|(index, size)| BarFacts {
            index,
            size,
            mmap: Vec::new(),
        })
        .into();
    facts.device.opregion = Some(OpRegionBytes::new(opregion).map_err(failed)?);
    facts.device.host_bridge = Some(bridge(0x3ec2, 0x00).map_err(failed)?);
    facts.device.lpc_bridge = Some(bridge(0xa305, 0x01).map_err(failed)?);
    facts.device.vga = Some(VgaFacts {
        size: VGA_REGION,
        writable: true,
    });
    Ok(facts)
}

fn bridge(device: u16, subclass: u8) -> Result<ConfigBytes, igd_quirks::facts::BytesError> {
    let [v0, v1] = INTEL.to_le_bytes();
    let [d0, d1] = device.to_le_bytes();
    let mut config = vec![0; CONFIG];
    put(&mut config, 0x00, &[v0, v1, d0, d1]);
    put(&mut config, 0x08, &[0x10, 0, subclass, 6]);
    ConfigBytes::new(config)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}
