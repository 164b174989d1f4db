// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The registers of `fw_cfg`: selector, data and DMA address, at every width and place, in both layouts.
//!
//! Input: a byte for the options, then steps of 14 bytes.

use igd_conformance::trace::{Line, Reader, Space};

use crate::fw_cfg::step::LEN;
use crate::fw_cfg::{Options, drive};
use crate::{Target, records};

/// The target.
pub const TARGET: Target = Target {
    name: "fw_cfg_ports",
    package: "fwcfg",
    summary: "fw_cfg registers and items, against a naive model",
    run,
    describe,
    seeds,
};

fn options([bits]: [u8; 1]) -> Options {
    Options {
        split: bits & 1 != 0,
        dma: bits & 2 == 0,
        mmio: bits & 4 != 0,
        wide: bits & 8 != 0,
        memory: false,
    }
}

/// Runs one input.
///
/// # Panics
///
/// The device differs from its model.
pub fn run(data: &[u8]) {
    drive::run(data, options);
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    drive::describe(data, options)
}

/// Inputs to start from: what firmware does first, edges of the registers, and the accesses of recorded firmware.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    const SELECT: u8 = 8;
    const STRING: u8 = 4;
    let step = |bytes: &[u8]| {
        let mut record = [0; LEN];
        for (to, from) in record.iter_mut().zip(bytes) {
            *to = *from;
        }
        record
    };
    let directory = [
        step(&[SELECT, 0, 12]),
        step(&[STRING, 0, 0, 4]),
        step(&[SELECT, 0, 13]),
        step(&[STRING, 0, 0, 4]),
        step(&[SELECT, 0, 14]),
        step(&[STRING, 0, 0, 4]),
        step(&[STRING, 0, 0, 0, 2]),
        step(&[SELECT, 0, 8]),
        step(&[STRING, 0, 0, 255]),
        step(&[SELECT, 0, 7]),
        step(&[STRING, 0, 0, 99]),
        step(&[0, 0, 1, 1]),
        step(&[0, 0, 1, 1]),
    ];
    let edges = [
        step(&[0, 0, 4, 4]),
        step(&[0, 0, 8, 4]),
        step(&[0, 0, 1, 2]),
        step(&[0, 0, 0, 8]),
        step(&[0, 0, 0x10, 8]),
        step(&[5, 0, 0, 2, 0, 0, 0x19, 0]),
        step(&[5, 0, 8, 2, 0, 0, 0, 0x19]),
        step(&[5, 0, 4, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        step(&[5, 0, 0x10, 8, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
        step(&[5, 0, 3, 3, 0, 0, 1, 2, 3]),
        step(&[10, 0, 1, 0, 0, 0, 1]),
        step(&[22]),
        step(&[10, 0, 0, 0, 0, 0, 2]),
        step(&[20, 0, 0, 0, 9, 1]),
        step(&[23, 0, 9, 0, 1, 0, 0xff, 0xff, 0xff, 0xff]),
        step(&[4, 0, 0, 4]),
        step(&[21]),
    ];
    let mut seeds = Vec::new();
    for bits in [0_u8, 1, 2, 4, 5, 12, 13, 14] {
        seeds.push((format!("directory-{bits:x}"), records::join(&[bits], &directory)));
        seeds.push((format!("edges-{bits:x}"), records::join(&[bits], &edges)));
    }
    for (part, steps) in (0_u8..).zip(recorded().chunks(records::MAX_RECORDS).take(8)) {
        seeds.push((format!("firmware-{part}"), records::join(&[0], steps)));
    }
    seeds
}

/// What SeaBIOS did to the ports.
fn recorded() -> Vec<[u8; LEN]> {
    let text: &[u8] = include_bytes!("../../../conformance/traces/firmware/q72-pc-novga-pio.trace");
    let mut reader = Reader::new(text, "q72-pc-novga-pio");
    let mut steps = Vec::new();
    while let Ok(Some(entry)) = reader.entry() {
        let mut record = [0; LEN];
        let (what, port, len, value) = match entry.line {
            Line::Write {
                space: Space::Io,
                addr,
                width,
                value,
            } => (5, addr, width.len(), value),
            Line::Read {
                space: Space::Io,
                addr,
                width,
                ..
            } => (0, addr, width.len(), 0),
            Line::ReadString { port, count, .. } => (3, port.into(), usize::try_from(count).unwrap_or(0), 0),
            _ => continue,
        };
        let Some(offset) = port
            .checked_sub(0x510)
            .and_then(|offset| u8::try_from(offset).ok())
            .filter(|at| *at < 12)
        else {
            continue;
        };
        let head = [what, 0, offset, u8::try_from(len).unwrap_or(u8::MAX), 0, 0];
        for (to, from) in record.iter_mut().zip(head.into_iter().chain(value.to_le_bytes())) {
            *to = from;
        }
        steps.push(record);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_run_and_read_well() {
        let seeds = seeds();
        for (name, seed) in &seeds {
            println!("{name}");
            run(seed);
        }
        let text = describe(&seeds[0].1);
        assert!(text.contains("\n  4  select 0x0019\n  5  rs 0x01 1 4\n"), "{text}");
        let (_, firmware) = seeds.iter().find(|(name, _)| name == "firmware-0").unwrap();
        assert!(
            describe(firmware).contains("w 0x00 2 [00, 00]"),
            "{}",
            describe(firmware)
        );
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 4000);
    }
}
