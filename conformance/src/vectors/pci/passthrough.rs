// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A host function under emulated bits.

use std::convert::Infallible;

use pci_model::{Bar, BarKind, BarMap, BarStep, ConfigAccess, ConfigBackend, Passthrough};

use super::{Answers, Question, word};
use crate::subject::Refusal;
use crate::vectors::steps::joined;

const COMMAND: u16 = 0x04;
const BAR0: u16 = 0x10;
const BAR0_SIZE: u64 = 0x1000;
/// A register that no standard knows.
const OWN: u16 = 0x50;

/// A device that keeps what is written to it, and a record of that.
struct Device {
    config: [u8; 256],
    written: Vec<String>,
}

impl Device {
    fn new(at: u16, value: u16) -> Self {
        let mut config = [0; 256];
        let ids = [0x86, 0x80, 0x12, 0x19];
        for (to, from) in config.iter_mut().zip(ids) {
            *to = from;
        }
        for (to, from) in config.iter_mut().skip(usize::from(at)).zip(value.to_le_bytes()) {
            *to = from;
        }
        Self {
            config,
            written: Vec::new(),
        }
    }
}

impl ConfigBackend for Device {
    type Error = Infallible;

    fn read(&mut self, at: ConfigAccess) -> Result<u32, Infallible> {
        let bytes = self.config.iter().skip(usize::from(at.offset())).take(at.width().len());
        Ok(bytes.rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Infallible> {
        self.written.push(format!("write:{:#x}={value:#x}", at.offset()));
        let bytes = self.config.iter_mut().skip(usize::from(at.offset()));
        for (to, from) in bytes.zip(value.to_le_bytes()).take(at.width().len()) {
            *to = from;
        }
        Ok(())
    }
}

fn passed(device: Device) -> Result<Passthrough<Device, 256>, Refusal> {
    let refused = |error: String| Refusal::Error(error);
    let bar =
        Bar::new(BarKind::Memory32 { prefetchable: false }, BAR0_SIZE).map_err(|error| refused(error.to_string()))?;
    Passthrough::new(device, |builder| builder.bar(0, bar)).map_err(|error| refused(error.to_string()))
}

/// What the guest reads of a word that is emulated in part.
pub(super) fn read(question: &Question<'_>) -> Result<Answers, Refusal> {
    let mut function = passed(Device::new(OWN, question.number("device")?))?;
    let shadow = question.number::<u16>("shadow")?.to_le_bytes();
    function.emulate(OWN, &question.number::<u16>("emulated")?.to_le_bytes());
    function.shadow_mut().registers_mut().set(OWN, &shadow);
    let Ok(read) = function.read(word(OWN)?);
    Ok(vec![("read", format!("{read:#06x}"))])
}

/// The order in which a write to Command reaches the map and the device.
pub(super) fn command(question: &Question<'_>) -> Result<Answers, Refusal> {
    let mut function = passed(Device::new(COMMAND, 0))?;
    let address: u32 = question.number("bar0")?;
    let low = u32::from(u16::try_from(address & 0xffff).unwrap_or_default());
    for (at, value) in [
        (BAR0, low),
        (BAR0 + 2, address >> 16),
        (COMMAND, question.number("before")?),
    ] {
        let (_, forward) = function.write(word(at)?, value);
        if let Some(forward) = forward {
            let Ok(()) = function.forward(forward);
        }
    }
    function.backend_mut().written.clear();

    let applied: BarMap = function.bar_map();
    let (_, forward) = function.write(word(COMMAND)?, question.number("command")?);
    let mut order = std::mem::take(&mut function.backend_mut().written);
    order.extend(applied.unmaps_to(&function.bar_map()).map(step));
    if let Some(forward) = forward {
        let Ok(()) = function.forward(forward);
    }
    order.append(&mut function.backend_mut().written);
    order.extend(applied.maps_to(&function.bar_map()).map(step));
    Ok(vec![("order", joined(&order))])
}

fn step(step: BarStep) -> String {
    let (name, bar, range) = match step {
        BarStep::Unmap { bar, range } => ("unmap", bar, range),
        BarStep::Map { bar, range } => ("map", bar, range),
    };
    format!("{name}:{bar}:{:#x}+{:#x}", range.start(), range.size())
}
