// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! An assigned Intel graphics function: facts of the made-up host, the plan for them, and the machine as planned.
//!
//! Nothing of what the trace says about the function, its bridges and its files is taken over: they come from the plan.

mod facts;
mod function;
mod host;

use igd_quirks::plan::{IsaBridgePlan, Patch, Plan, Provisioning, RomPlan, plan};
use lpc_bridge::{Identity, LpcBridge, Overlay};
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::{Bdf, Bus, Rules};

use super::board::BoardFunction;
use super::setting::Setting;
use crate::trace::{Header, Item};

use host::Host;

pub(super) use function::AssignedFunction;

const HOST_BRIDGE: Bdf = Bdf::from_bits(0);

/// Subsystem ids of the functions of QEMU's machines.
const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);

/// Size of QEMU's extended TSEG in MiB.
const TSEG_MIB: u16 = 16;

/// Names of the files that a plan gives.
const FILES: &str = "etc/igd-";

/// What a plan makes of a machine.
#[derive(Debug)]
pub(super) struct Assigned {
    address: Bdf,
    function: AssignedFunction,
    is_q35: bool,
    host_bridge: Overlay,
    isa_bridge: IsaBridge,
    files: Vec<(String, Vec<u8>)>,
}

#[derive(Debug)]
enum IsaBridge {
    Keep,
    Create(Identity),
    Patch(Box<Overlay>),
}

fn overlay(patches: &[Patch]) -> Result<Overlay, String> {
    let patches: Vec<_> = patches.iter().map(|patch| (patch.offset, &*patch.bytes)).collect();
    Overlay::from_patches(&patches).map_err(|error| error.to_string())
}

/// The identity of a new bridge with these bytes.
fn identity(patches: &[Patch], rules: Rules) -> Result<Identity, String> {
    let bridge = LpcBridge::new(LpcBridge::ADDRESS, rules).map_err(|error| error.to_string())?;
    let mut config = bridge.state().config;
    for Patch { offset, bytes } in patches {
        for (to, from) in config.iter_mut().skip(usize::from(*offset)).zip(bytes) {
            *to = *from;
        }
    }
    Identity::from_config(&config).map_err(|error| error.to_string())
}

impl Assigned {
    /// The plan for a header's assigned function, if there is one.
    pub(super) fn of(header: &Header, setting: Setting) -> Result<Option<Self>, String> {
        let Some(device) = header.devices.iter().find(|device| device.starts_with("vfio-pci,")) else {
            return Ok(None);
        };
        let host = Host::new(&header.igd_host)?;
        let facts = facts::facts(&host, header)?;
        let options = facts::options(device)?;
        let policy = facts::policy(header, setting)?;
        let plan = plan(&facts, &options, policy, Provisioning::FwCfg).map_err(|refusals| refusals.to_string())?;
        Self::new(header, &host, plan, setting).map(Some)
    }

    fn new(header: &Header, host: &Host, plan: Plan, setting: Setting) -> Result<Self, String> {
        let address = plan
            .address
            .ok_or("@device: a function without addr= is at no known place")?;
        let rom = match plan.rom {
            RomPlan::Hidden => None,
            // How long the file is only the recording knows.
            RomPlan::Host | RomPlan::Repaired(_) | RomPlan::File(_) => {
                let mut bars = header.bars.iter().filter(|bar| bar.bdf == address);
                bars.find(|bar| bar.bar == pci_model::ROM).map(|bar| bar.size)
            }
        };
        let rules = setting.rules();
        Ok(Self {
            address,
            function: AssignedFunction::new(host, &plan.device, rom, rules)?,
            is_q35: facts::is_q35(header),
            host_bridge: overlay(&plan.host_bridge)?,
            isa_bridge: match &plan.isa_bridge {
                IsaBridgePlan::Keep => IsaBridge::Keep,
                IsaBridgePlan::Create(patches) => IsaBridge::Create(identity(patches, rules)?),
                IsaBridgePlan::Patch(patches) => IsaBridge::Patch(Box::new(overlay(patches)?)),
            },
            files: plan
                .files
                .into_iter()
                .map(|file| (file.name, file.bytes.to_vec()))
                .collect(),
        })
    }

    /// Whether the plan decides what stands at an address.
    pub(super) fn provides(&self, bdf: Bdf) -> bool {
        let is_free_for_isa = bdf == LpcBridge::ADDRESS && !self.is_q35;
        bdf == self.address || bdf == HOST_BRIDGE || is_free_for_isa
    }

    /// Puts the function on a machine's bus, and patches its bridges.
    pub(super) fn install(self, bus: &mut Bus<BoardFunction, 256>, ram: u64, rules: Rules) -> Result<(), String> {
        let build = |error: pci_model::BuildError| error.to_string();
        let host_bridge = if self.is_q35 {
            let mut bridge = Q35::new(SUBSYSTEM, TSEG_MIB, rules).map_err(build)?;
            self.host_bridge.patch(bridge.function_mut());
            BoardFunction::Q35(Box::new(bridge))
        } else {
            let mut bridge = I440Fx::new(SUBSYSTEM, ram, rules).map_err(build)?;
            self.host_bridge.patch(bridge.function_mut());
            BoardFunction::I440Fx(Box::new(bridge))
        };
        let mut insert = |bdf, function| {
            bus.insert(bdf, function)
                .map_err(|error| format!("{bdf} of the plan: {error}"))
        };
        insert(HOST_BRIDGE, host_bridge)?;
        insert(self.address, BoardFunction::Assigned(Box::new(self.function)))?;
        match self.isa_bridge {
            IsaBridge::Keep => {}
            IsaBridge::Create(identity) => {
                let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, rules).map_err(|error| error.to_string())?;
                bridge.set_identity(identity);
                insert(LpcBridge::ADDRESS, BoardFunction::Lpc(Box::new(bridge)))?;
            }
            IsaBridge::Patch(overlay) => match bus.get_mut(LpcBridge::ADDRESS) {
                Some(BoardFunction::Ich9(bridge)) => overlay.patch(bridge.function_mut()),
                _ => {
                    return Err(format!(
                        "the plan patches {}, where there is no bridge",
                        LpcBridge::ADDRESS
                    ));
                }
            },
        }
        Ok(())
    }

    /// The header's items with the plan's contents under the recorded keys.
    pub(super) fn items(&self, header: &Header) -> Result<Vec<Item>, String> {
        let (recorded, others): (Vec<_>, Vec<_>) = header.items.iter().partition(|item| item.name.starts_with(FILES));
        let is_recorded = |name: &String| recorded.iter().any(|item| item.name == *name);
        if let Some((name, _)) = self.files.iter().find(|(name, _)| !is_recorded(name)) {
            return Err(format!("the plan gives the file {name}, which was not recorded"));
        }
        let planned = recorded.into_iter().map(|item| {
            let file = self.files.iter().find(|(name, _)| *name == item.name);
            let (_, bytes) = file.ok_or_else(|| format!("the plan does not give the recorded file {}", item.name))?;
            Ok(Item {
                bytes: bytes.clone(),
                ..item.clone()
            })
        });
        others.into_iter().cloned().map(Ok).chain(planned).collect()
    }
}
