// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The steps of a plan, in the order in which they are carried out.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{borrow::ToOwned, format};

use super::display::Size;
use super::{
    BDSM_SIZE_FILE, GttClear, IsaBridgePlan, OPREGION_FILE, Patch, Plan, Provisioning, ReservationKind, RomPlan, Step,
    StepKind,
};
use crate::bridges::{self, Field};
use crate::device::BdsmSetup;

/// The steps that carry out the rest of `plan`. A part that asks for nothing has no step.
pub(super) fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut add = |kind, action: Option<String>, reason: &str| {
        if let Some(action) = action {
            steps.push(Step {
                kind,
                action,
                reason: reason.to_owned(),
            });
        }
    };
    let memory = &plan.memory;
    add(
        StepKind::LimitBars,
        memory.bar_limit.map(|limit| format!("no BAR at or above {limit:#x}")),
        "the IOMMU does not translate addresses beyond",
    );
    add(
        StepKind::LayOutRam,
        listed(&memory.ram).map(|ram| format!("RAM at {ram}")),
        "stolen memory has to be RAM of the guest, at the address that the host's registers hold",
    );
    add(
        StepKind::ReserveMemory,
        joined(memory.reserved.iter().map(|entry| match entry.kind {
            ReservationKind::Reserved => format!("{} for stolen memory, {}", entry.range, Size(entry.range.len)),
            ReservationKind::AcpiNvs => format!("{} (ACPI NVS) for the OpRegion", entry.range),
        })),
        "the guest's memory map must keep its kernel away",
    );
    add(
        StepKind::WriteOpRegion,
        memory
            .opregion
            .as_ref()
            .map(|image| format!("{} at {:#x}", Size::of(&image.bytes), image.gpa)),
        "drivers find outputs and panel data (VBT) there",
    );
    add(
        StepKind::AddFiles,
        files(plan),
        "the firmware allocates the memory and writes ASLS and BDSM",
    );
    add(
        StepKind::PatchHostBridge,
        patches(&plan.host_bridge, bridges::HOST_BRIDGE),
        bridges::HOST_BRIDGE_REASON,
    );
    let isa = match &plan.isa_bridge {
        IsaBridgePlan::Keep => None,
        IsaBridgePlan::Create(bytes) => {
            patches(bytes, bridges::LPC_BRIDGE).map(|bytes| format!("a new ISA bridge with {bytes}"))
        }
        IsaBridgePlan::Patch(bytes) => {
            patches(bytes, bridges::LPC_BRIDGE).map(|bytes| format!("the bridge there, with {bytes}"))
        }
    };
    add(StepKind::PlaceIsaBridge, isa, bridges::LPC_BRIDGE_REASON);
    add(StepKind::EmulateConfig, registers(plan), emulation_reason(plan));
    add(
        StepKind::TrapBars,
        joined(
            plan.traps
                .iter()
                .map(|trap| format!("BAR{} {} ({})", trap.bar, trap.range, trap.owner)),
        ),
        match plan.device.gtt_port {
            None => "drivers read the same registers through the BAR",
            Some(_) => "the VBIOS fills the translation table through the ports, with addresses of the host",
        },
    );
    add(
        StepKind::RouteVga,
        (!plan.vga.is_empty()).then(|| "0xa0000-0xbffff, ports 0x3b0-0x3bb and 0x3c0-0x3df to the device".to_owned()),
        "text mode, VBIOS and the first picture use them before a driver is loaded",
    );
    let (rom, reason) = rom(plan);
    add(StepKind::ShowRom, rom, reason);
    let clear = plan.clear_gtt.map(|clear| match clear {
        GttClear::Bar0(range) => format!("zeros to BAR0 {range}"),
        GttClear::Ports { index_end } => format!("zeros through BAR4 to each index 1, 5, 9.. below {index_end:#x}"),
    });
    add(
        StepKind::ClearGtt,
        clear,
        "entries that the host left point at its memory and fault in the IOMMU",
    );
    steps
}

fn joined(parts: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn listed<T: core::fmt::Display>(list: &[T]) -> Option<String> {
    joined(list.iter().map(|item| format!("{item}")))
}

fn files(plan: &Plan) -> Option<String> {
    joined(
        plan.files
            .iter()
            .map(|file| match (file.name.as_str(), file.bytes.first_chunk()) {
                (BDSM_SIZE_FILE, Some(bytes)) => format!("{BDSM_SIZE_FILE}: {}", Size(u64::from_le_bytes(*bytes))),
                (OPREGION_FILE, _) => format!("{OPREGION_FILE}: {}", Size::of(&file.bytes)),
                (name, _) => format!("{name}: {}", Size::of(&file.bytes)),
            }),
    )
}

/// Names and values; a word is written as it is read.
fn patches(patches: &[Patch], fields: &[Field]) -> Option<String> {
    joined(patches.iter().map(|patch| {
        let name = fields
            .iter()
            .find(|field| field.offset == patch.offset)
            .map_or("bytes", |field| field.name);
        let mut text = format!("{name} ");
        for byte in patch.bytes.iter().rev() {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }))
}

fn registers(plan: &Plan) -> Option<String> {
    let device = &plan.device;
    let bdsm = match device.bdsm {
        BdsmSetup::Hardware => None,
        BdsmSetup::Dword(value) => Some(format!("BDSM at 5Ch = {value:#x}")),
        BdsmSetup::Qword(value) => Some(format!("BDSM at C0h = {value:#x}")),
    };
    let parts = [
        device.ggc.map(|value| format!("GGC = {value:#06x}, read-only")),
        bdsm,
        device.asls.map(|value| format!("ASLS = {value:#x}")),
        device.hide_swsci.then(|| "SWSCI hidden".to_owned()),
    ];
    joined(parts.into_iter().flatten())
}

fn emulation_reason(plan: &Plan) -> &'static str {
    match plan.provisioning {
        Provisioning::FwCfg => "they hold addresses of the host; the firmware writes the guest's",
        Provisioning::Direct | Provisioning::Identity => "they tell the driver where things are in the guest",
    }
}

fn rom(plan: &Plan) -> (Option<String>, &'static str) {
    match &plan.rom {
        RomPlan::Hidden => (None, ""),
        RomPlan::Host => (
            Some("the host's ROM".to_owned()),
            "firmware gets a picture from its code",
        ),
        RomPlan::Repaired(_) => (
            Some("the host's ROM, with this device's id and checksums made right".to_owned()),
            "firmware runs an image only if its id is the device's",
        ),
        RomPlan::File(name) => (Some(format!("file {name}")), "firmware gets a picture from its code"),
    }
}
