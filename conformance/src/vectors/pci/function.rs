// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a VMM learns from a function, step by step.

use pci_model::{
    Bar, BarKind, BuildError, Capability, ConfigSpace, Effects, Express, ExpressKind, Function, FunctionBuilder,
    Identity, Msi, PowerManagement,
};

use super::{Answers, Question, access};
use crate::subject::Refusal;
use crate::vectors::steps::{Step, joined, list, wrong};
use crate::vectors::table::number;

/// Bit of device capabilities: function level reset.
const FUNCTION_LEVEL_RESET: u32 = 1 << 28;

const KINDS: [(&str, BarKind); 6] = [
    ("mem32", BarKind::Memory32 { prefetchable: false }),
    ("mem32-pf", BarKind::Memory32 { prefetchable: true }),
    ("mem64", BarKind::Memory64 { prefetchable: false }),
    ("mem64-pf", BarKind::Memory64 { prefetchable: true }),
    ("io", BarKind::Io),
    ("rom", BarKind::Rom),
];

/// Answers of the steps that have one.
pub(super) fn function(question: &Question<'_>) -> Result<Answers, Refusal> {
    let mut function = built(question)?;
    let mut saved = None;
    let mut answers = Vec::new();
    for step in Step::all(question)? {
        match step.verb {
            "r" => {
                let at = access(&step)?;
                let width = 2 + 2 * at.width().len();
                answers.push(format!("{:#0width$x}", function.config_read(at)));
            }
            "w" => answers.push(names(function.config_write(access(&step)?, step.value()?))),
            // The device itself changes a register.
            "set" => {
                let bytes = step.value::<u32>()?.to_le_bytes();
                let at = access(&step)?;
                let bytes = bytes.get(..at.width().len()).unwrap_or(&bytes);
                function.registers_mut().set_now(at.offset(), bytes);
            }
            "intx" => answers.push(names(function.set_intx(step.value::<u8>()? != 0))),
            "level" => answers.push(u8::from(function.intx_level()).to_string()),
            "map" => answers.push(map(&function)),
            "save" => saved = Some(function.state()),
            "restore" => {
                let state = saved.as_ref().ok_or_else(|| wrong(step.text, "nothing was saved"))?;
                function = built(question)?;
                let restored = function.restore(state);
                answers.push(names(restored.map_err(|error| wrong(step.text, &error.to_string()))?));
            }
            _ => return Err(step.unknown()),
        }
    }
    Ok(vec![("answers", joined(&answers))])
}

/// A display function with the BARs and capabilities of a case.
fn built(question: &Question<'_>) -> Result<Function<256>, Refusal> {
    let mut builder = FunctionBuilder::new(Identity {
        vendor: 0x8086,
        device: 0x1912,
        class: 0x03_0000,
        interrupt_pin: 1,
        ..Identity::default()
    });
    let refused = |error: BuildError| Refusal::Error(error.to_string());
    for text in list(question, "bars")? {
        let (index, bar) = bar(text)?;
        builder = builder.bar(index, bar).map_err(refused)?;
    }
    for text in list(question, "capabilities")? {
        let (name, at) = text
            .split_once('@')
            .ok_or_else(|| wrong(text, "expected CAPABILITY@OFFSET"))?;
        let capability = capability(name).ok_or_else(|| wrong(text, "not one that is known"))?;
        builder = builder.capability_at(number(text, at)?, capability).map_err(refused)?;
    }
    builder.build().map_err(refused)
}

fn bar(text: &str) -> Result<(u8, Bar), Refusal> {
    let mut parts = text.splitn(3, ':');
    let (Some(index), Some(kind), Some(size)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong(text, "expected INDEX:KIND:SIZE"));
    };
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    let (_, kind) = found.ok_or_else(|| wrong(text, "no kind that is known"))?;
    let bar = Bar::new(*kind, number(text, size)?).map_err(|error| wrong(text, &error.to_string()))?;
    Ok((number(text, index)?, bar))
}

fn capability(name: &str) -> Option<Capability<'static>> {
    let express = |device_capabilities| {
        Capability::Express(Express {
            kind: ExpressKind::RootComplexIntegratedEndpoint,
            device_capabilities,
            device_capabilities_2: 0,
        })
    };
    let power = |no_soft_reset| Capability::PowerManagement(PowerManagement { pmc: 3, no_soft_reset });
    Some(match name {
        "msi" => Capability::Msi(Msi::new(1, true, false).ok()?),
        "power" => power(false),
        "power-no-soft-reset" => power(true),
        "express" => express(0),
        "express-flr" => express(FUNCTION_LEVEL_RESET),
        _ => return None,
    })
}

/// Effects by their names, `-` for none.
fn names(effects: Effects) -> String {
    let names: Vec<_> = effects
        .iter_names()
        .map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"))
        .collect();
    if names.is_empty() {
        "-".to_owned()
    } else {
        names.join("+")
    }
}

/// Where BARs are decoded: `BAR:START+LENGTH`, `-` for nowhere.
fn map(function: &Function<256>) -> String {
    let ranges: Vec<_> = function
        .bar_map()
        .iter()
        .map(|(bar, range)| format!("{bar}:{:#x}+{:#x}", range.start(), range.size()))
        .collect();
    if ranges.is_empty() {
        "-".to_owned()
    } else {
        ranges.join("/")
    }
}
