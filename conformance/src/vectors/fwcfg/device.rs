// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device with items and files of a case, step by step.

use std::cell::RefCell;

use fwcfg::{DataWidth, FwCfg, FwCfgBuilder, GuestMemory};

use super::{Answers, Question};
use crate::subject::Refusal;
use crate::vectors::steps::{Step, bytes, hex, joined, list, wrong};
use crate::vectors::table::number;

const RAM_SIZE: usize = 0x1_0000;
const FIRST_PORT: u16 = 0x510;

/// Answers of the steps that have one.
pub(super) fn device(question: &Question<'_>) -> Result<Answers, Refusal> {
    let mut device = built(question)?;
    let ram = RefCell::new(vec![0; RAM_SIZE]);
    let mut saved = None;
    let mut answers = Vec::new();
    for step in Step::all(question)? {
        let failed = |error: &dyn std::error::Error| wrong(step.text, &error.to_string());
        let nothing_saved = || wrong(step.text, "nothing was saved");
        let mut data = match step.verb {
            "r" | "in" | "ram" => vec![0; step.count()?],
            "w" | "out" | "poke" => step.bytes()?,
            _ => Vec::new(),
        };
        match step.verb {
            "r" => device
                .mmio_read(step.at()?, &mut data)
                .map_err(|error| failed(&error))?,
            "in" => device
                .port_read(port(&step)?, &mut data)
                .map_err(|error| failed(&error))?,
            "ram" => ram.read(step.at()?, &mut data).map_err(|error| failed(&error))?,
            "w" => {
                let _ = device.mmio_write(step.at()?, &data, &ram);
            }
            "out" => {
                let _ = device.port_write(port(&step)?, &data, &ram);
            }
            "poke" => ram.write(step.at()?, &data).map_err(|error| failed(&error))?,
            "save" => saved = Some(device.state()),
            "selector" => saved.as_mut().ok_or_else(nothing_saved)?.selector = step.value()?,
            "offset" => saved.as_mut().ok_or_else(nothing_saved)?.offset = step.value()?,
            "restore" => {
                device = built(question)?;
                let state = saved.as_ref().ok_or_else(nothing_saved)?;
                device.restore(state).map_err(|error| failed(&error))?;
            }
            _ => return Err(step.unknown()),
        }
        if matches!(step.verb, "r" | "in" | "ram") {
            answers.push(hex(&data));
        }
    }
    Ok(vec![("answers", joined(&answers))])
}

fn built(question: &Question<'_>) -> Result<FwCfg, Refusal> {
    let width = question.name("data-width", &[("1", DataWidth::One), ("8", DataWidth::Eight)])?;
    let mut builder = FwCfgBuilder::new().data_width(width);
    for text in list(question, "contents")? {
        let (name, content) = text
            .split_once(':')
            .ok_or_else(|| wrong(text, "expected NAME:BYTES or KEY:BYTES"))?;
        let content = bytes(content)?;
        let added = if name.starts_with("0x") {
            builder.add_item(number(text, name)?, content)
        } else {
            builder.add_file(name, content)
        };
        added.map_err(|error| wrong(text, &error.to_string()))?;
    }
    Ok(builder.build())
}

fn port(step: &Step<'_>) -> Result<u16, Refusal> {
    let port: u16 = step.at()?;
    port.checked_sub(FIRST_PORT)
        .ok_or_else(|| wrong(step.text, "a port below those of the device"))
}
