// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of the guest's view: one write, one read.

use igd_quirks::device::IgdDevice;
use pci_model::{ConfigAccess, Width};

use super::decision::{host, planned};
use super::{Answers, Question};
use crate::subject::Refusal;
use crate::vectors::table::number;

/// What the hardware answers everywhere. Most of its bits are set, so that a register of few bits shows.
const HARDWARE: u64 = 0xdead_beef_cafe_f00d;

/// A place that can be accessed.
#[derive(Clone, Copy)]
enum Place {
    Config(ConfigAccess),
    Bar0(u64, usize),
}

/// What is read after a write, and whether the hardware sees anything of the write.
pub(super) fn registers(question: &Question<'_>) -> Result<Answers, Refusal> {
    let facts = host(question.number("device")?, question.number("ggc")?)?;
    let gms = match question.text("gms")? {
        "unset" => String::new(),
        code => format!(",x-igd-gms={code}"),
    };
    let options = format!("addr=2,romfile=igd.rom,x-igd-opregion=on{gms}");
    let plan = planned(&facts, &options, question.text("policy")?)?;
    let plan = plan.map_err(|refusals| Refusal::Error(refusals.to_string()))?;
    let mut igd = IgdDevice::new(&plan.device);
    let forwarded = match question.text("write")? {
        "none" => "none",
        text => {
            let (place, value) = text
                .rsplit_once('=')
                .ok_or_else(|| Refusal::Error(format!("write {text}: expected a value")))?;
            if write(&mut igd, place, number("write", value)?)? {
                "yes"
            } else {
                "no"
            }
        }
    };
    Ok(vec![
        ("value", read(&igd, question.text("read")?)?),
        ("forwarded", forwarded.to_owned()),
    ])
}

/// A place as `config:OFFSET:WIDTH` or `bar0:OFFSET:WIDTH`.
fn place(text: &str) -> Result<Place, Refusal> {
    let wrong = || Refusal::Error(format!("{text}: expected config:OFFSET:WIDTH or bar0:OFFSET:WIDTH"));
    let mut parts = text.split(':');
    let (Some(space), Some(offset), Some(width), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let width = number("width", width)?;
    match space {
        "config" => Width::from_len(width)
            .and_then(|width| ConfigAccess::new(number("offset", offset).ok()?, width))
            .map(Place::Config)
            .ok_or_else(wrong),
        "bar0" if matches!(width, 1 | 2 | 4 | 8) => Ok(Place::Bar0(number("offset", offset)?, width)),
        _ => Err(wrong()),
    }
}

/// Whether the hardware sees anything of the write.
fn write(igd: &mut IgdDevice, at: &str, value: u64) -> Result<bool, Refusal> {
    Ok(match place(at)? {
        Place::Config(at) => {
            let value = u32::try_from(value).map_err(|_| Refusal::Error(format!("write {value:#x}: too large")))?;
            igd.config_write(at, value).forwards().next().is_some()
        }
        Place::Bar0(offset, len) => igd.bar0_write(offset, len, value).forwards().next().is_some(),
    })
}

fn read(igd: &IgdDevice, at: &str) -> Result<String, Refusal> {
    let (value, len) = match place(at)? {
        Place::Config(at) => {
            let hardware = u32::try_from(HARDWARE & u64::from(u32::MAX)).unwrap_or(0);
            (u64::from(igd.config_read(at, hardware)), at.width().len())
        }
        Place::Bar0(offset, len) => (igd.bar0_read(offset, len, HARDWARE), len),
    };
    let ones = if len >= 8 { u64::MAX } else { (1 << (8 * len)) - 1 };
    Ok(if value & ones == HARDWARE & ones {
        "hardware".to_owned()
    } else {
        format!("{:#0width$x}", value & ones, width = 2 + 2 * len)
    })
}
