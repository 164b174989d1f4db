// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `igd-vmm probe` and `igd-vmm plan`: nothing is changed.

use std::fmt::Write;

use igd_quirks::facts::{HostFacts, RomFacts};

use super::args::{PlanArgs, ProbeArgs};
use super::{Failure, files, print, source};
use crate::probe;

/// Most of a facts file.
const FACTS: u64 = 64 << 20;

/// Prints the facts.
pub(super) fn probe(args: &ProbeArgs) -> Result<u8, Failure> {
    let device = source::open(&args.device, None)?;
    let machine = source::machine(&args.machine, 1, false)?;
    let mut facts = probe::probe(&*device, machine.facts(&*device)).map_err(Failure::failed)?;
    if args.redact {
        facts.redact();
    }
    let text = if args.json {
        serde_json::to_string_pretty(&facts).map_err(Failure::failed)? + "\n"
    } else {
        summary(device.name(), &facts)
    };
    print(&text)?;
    Ok(0)
}

/// The facts as a person wants them.
fn summary(name: &str, facts: &HostFacts) -> String {
    let device = &facts.device;
    let mut text = format!(
        "{name}\n\n  id          {:04x}:{:04x}, class {:06x}\n",
        device.vendor, device.device, device.class
    );
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    for bar in &device.bars {
        let mapped: u64 = bar.mmap.iter().map(|area| area.len).sum();
        let mapped = match mapped {
            0 => "each access is trapped".to_owned(),
            _ => format!("{mapped:#x} of them can be mapped"),
        };
        line(&format!("BAR{}", bar.index), format!("{:#x} bytes, {mapped}", bar.size));
    }
    line(
        "ROM",
        match &device.rom {
            RomFacts::Image(bytes) => format!("{:#x} bytes", bytes.len()),
            RomFacts::Absent(reason) => format!("none: {reason}"),
        },
    );
    let bytes = |len: Option<usize>| len.map_or("none".to_owned(), |len| format!("{len:#x} bytes"));
    line("OpRegion", bytes(device.opregion.as_ref().map(|bytes| bytes.len())));
    line("VGA", if device.vga.is_some() { "yes" } else { "no" }.to_owned());
    line("00:00.0", bytes(device.host_bridge.as_ref().map(|bytes| bytes.len())));
    line("00:1f.0", bytes(device.lpc_bridge.as_ref().map(|bytes| bytes.len())));
    text
}

/// Prints the plan.
pub(super) fn plan(args: &PlanArgs) -> Result<u8, Failure> {
    let facts = match &args.facts {
        Some(path) => {
            let bytes = files::read(path, FACTS)?;
            serde_json::from_slice(&bytes).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?
        }
        None => {
            let device = source::open(&args.device, None)?;
            let machine = source::machine(&args.machine, 1, false)?;
            probe::probe(&*device, machine.facts(&*device)).map_err(Failure::failed)?
        }
    };
    let plan = source::decide(&facts, &args.device, &args.policy).map_err(|refusals| source::refused(&refusals))?;
    let text = if args.json {
        serde_json::to_string_pretty(&plan).map_err(Failure::failed)? + "\n"
    } else {
        plan.to_string()
    };
    print(&text)?;
    Ok(0)
}
