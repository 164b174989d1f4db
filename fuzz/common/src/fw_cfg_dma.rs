// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! DMA of `fw_cfg`: any descriptor, length and address, over guest memory with holes and pages that refuse.
//!
//! Input: a byte for the options, then steps of 14 bytes.

use crate::fw_cfg::step::LEN;
use crate::fw_cfg::{Options, drive};
use crate::{Target, records};

/// The target.
pub const TARGET: Target = Target {
    name: "fw_cfg_dma",
    package: "fwcfg",
    summary: "fw_cfg DMA over sparse guest memory, against a naive model",
    run,
    describe,
    seeds,
};

fn options([bits]: [u8; 1]) -> Options {
    Options {
        split: bits & 1 != 0,
        dma: true,
        mmio: bits & 4 != 0,
        wide: bits & 8 != 0,
        memory: true,
    }
}

/// Runs one input.
///
/// # Panics
///
/// Device or memory differ from the model.
pub fn run(data: &[u8]) {
    drive::run(data, options);
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    drive::describe(data, options)
}

const READ: u8 = 2;
const SKIP: u8 = 4;
const SELECT: u8 = 8;
const WRITE: u8 = 16;

/// A DMA command: control bits, number of the key among those that are chosen from, length, and the numbers of the
/// places of buffer and descriptor.
fn command(control: u8, key: u8, len: u16, buffer: u8, descriptor: u8) -> [u8; LEN] {
    let [low, high] = len.to_le_bytes();
    [11, descriptor, 0, buffer, 0, 0, control, 0, key, 0, low, high, 0, 0]
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let step = |bytes: &[u8]| {
        let mut record = [0; LEN];
        for (to, from) in record.iter_mut().zip(bytes) {
            *to = *from;
        }
        record
    };
    let plans: [(&str, Vec<[u8; LEN]>); 7] = [
        (
            "read-file",
            vec![command(SELECT | READ, 8, 200, 1, 0), command(READ, 0, 8, 4, 0)],
        ),
        (
            "directory",
            vec![command(SELECT | READ, 14, 4, 1, 0), command(READ, 0, 64 * 9, 4, 0)],
        ),
        (
            "write-and-read-back",
            vec![
                step(&[18, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
                command(SELECT | WRITE, 11, 16, 1, 0),
                command(SELECT | SKIP, 11, 4, 0, 0),
                command(READ, 0, 12, 4, 0),
                step(&[22]),
                command(SELECT | WRITE, 11, 17, 1, 0),
                command(SELECT | WRITE, 8, 4, 1, 0),
                step(&[21]),
            ],
        ),
        (
            "holes",
            vec![
                command(SELECT | READ, 8, 200, 2, 0),
                command(SELECT | READ, 10, 0x1388, 5, 0),
                command(SELECT | WRITE, 11, 16, 3, 0),
                command(SELECT | WRITE, 11, 16, 10, 0),
                command(SELECT | READ, 11, 16, 11, 0),
                command(SELECT | READ, 11, 16, 0, 6),
                command(SELECT | READ, 11, 16, 0, 7),
                command(SELECT | READ, 11, 16, 0, 11),
            ],
        ),
        (
            "paused",
            vec![
                command(SELECT | READ, 5, 40, 1, 0),
                step(&[22]),
                step(&[20, 0, 5, 0, 50, 0]),
                step(&[8, 0, 1]),
                step(&[19]),
                step(&[19]),
            ],
        ),
        (
            "failing-source",
            vec![command(SELECT | READ, 7, 100, 1, 0), command(READ, 0, 50, 4, 0)],
        ),
        (
            "latch",
            vec![
                step(&[10, 0, 1, 0, 0, 0, 1]),
                step(&[10, 0, 1, 0, 0, 0, 0]),
                step(&[18, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0, 0, 0, 4]),
                step(&[10, 0, 0]),
                step(&[10, 0, 0]),
                step(&[22]),
            ],
        ),
    ];
    let mut seeds = Vec::new();
    for (name, steps) in plans {
        for bits in [0, 1, 4, 13] {
            seeds.push((format!("{name}-{bits:x}"), records::join(&[bits], &steps)));
        }
    }
    seeds
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
        let line = "\n  0  DMA read+select 0x0024000a key 0x0024 len 0xc8 buffer 0x100 at 0x0\n";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn random_inputs_run() {
        crate::util::exercise(&TARGET, 4000);
    }
}
