// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What device ids stand for.

use igd_quirks::platform::{
    Identified, IsaBridge, PchDetection, PchFamily, QemuEra, detect_pch, identify, qemu_generation as generation,
};

use super::{Answers, CLASSES, Question};
use crate::subject::Refusal;
use crate::vectors::table::number;

const NONE: &str = "none";

/// What QEMU and what the list of ids make of a device.
pub(super) fn qemu_generation(question: &Question<'_>) -> Result<Answers, Refusal> {
    let device = question.number("device")?;
    let generation = generation(QemuEra::From10_1, device);
    let class = match identify(device) {
        Identified::Igd(platform) => platform.class(),
        _ => None,
    };
    let name = class.and_then(|class| CLASSES.iter().find(|(_, other)| *other == class));
    Ok(vec![
        ("qemu", generation.map_or("-1".to_owned(), |number| number.to_string())),
        ("class", name.map_or(NONE, |(name, _)| *name).to_owned()),
    ])
}

/// What a Linux guest concludes about its platform controller hub.
pub(super) fn pch(question: &Question<'_>) -> Result<Answers, Refusal> {
    let device = question.number("graphics")?;
    let Identified::Igd(platform) = identify(device) else {
        return Err(Refusal::Error(format!(
            "graphics {device:#06x}: no integrated graphics"
        )));
    };
    let bridges = match question.text("bridges")? {
        "none" => Vec::new(),
        list => list.split(',').map(bridge).collect::<Result<_, _>>()?,
    };
    let (conclusion, family) = match detect_pch(platform, device, &bridges) {
        PchDetection::Ignored => ("ignored", None),
        PchDetection::Found(family, _) => ("found", Some(family)),
        PchDetection::Guessed(family, _) => ("guessed", Some(family)),
        PchDetection::None => (NONE, None),
    };
    let id = family.map(|PchFamily(id)| format!("{id:#06x}"));
    let name = family.and_then(PchFamily::name).unwrap_or(NONE);
    Ok(vec![
        ("conclusion", conclusion.to_owned()),
        ("family", id.unwrap_or_else(|| NONE.to_owned())),
        ("name", name.to_owned()),
    ])
}

/// A bridge as `DEVICE` or `DEVICE:SUBSYSTEM_VENDOR:SUBSYSTEM`.
fn bridge(text: &str) -> Result<IsaBridge, Refusal> {
    let ids: Vec<u16> = text
        .split(':')
        .map(|id| number("bridges", id))
        .collect::<Result<_, _>>()?;
    let (device, subsystem_vendor, subsystem) = match *ids {
        [device] => (device, 0, 0),
        [device, vendor, subsystem] => (device, vendor, subsystem),
        _ => return Err(Refusal::Error(format!("bridges {text}: expected one id or three"))),
    };
    Ok(IsaBridge {
        device,
        subsystem_vendor,
        subsystem,
    })
}
