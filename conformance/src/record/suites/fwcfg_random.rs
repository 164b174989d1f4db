// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A pseudo-random mix of port and DMA accesses to `fw_cfg`.

use super::fwcfg::{DATA, Files, SELECTOR, SMALL, select};
use super::fwcfg_dma::{DESCRIPTOR, Dma, READ, SKIP, item};
use crate::record::mt19937::Mt19937;
use crate::record::recorder::{Recorded, Recorder};
use crate::trace::Space::Io;
use crate::trace::Width::B1;

/// Keys beside those of files: three that exist and one that does not.
const OTHER_KEYS: [u16; 4] = [0, 1, 2, 0x3ffe];
/// All bits of a control word that mean something.
const COMMANDS: u32 = 0x1f;

pub(super) fn run(rec: &mut Recorder<'_>, held: bool, files: &Files, rng: &mut Mt19937, buffer: u64) -> Recorded {
    rec.section("fwcfg.random", "pseudo-random mix of port and DMA accesses");
    let small = files.list.iter().filter(|file| file.size <= SMALL);
    let keys: Vec<u16> = small.map(|file| file.key).chain(OTHER_KEYS).collect();
    for _ in 0..if held { 1500 } else { 150 } {
        let what = rng.below(8);
        let key = rng.choice(&keys).unwrap_or_default();
        match what {
            0 => select(rec, key)?,
            1 => {
                rec.rs(DATA, rng.range(1, 24))?;
            }
            2 => {
                rec.r(Io, rng.one_of([SELECTOR, DATA]).into(), B1)?;
            }
            3 => Dma::new(SKIP, rng.below(64), 0).run(rec)?,
            4 => Dma::new(item(key, SKIP), rng.below(300), 0).run(rec)?,
            5 => {
                rec.fb(buffer, 40, 0xdd)?;
                let at = buffer + u64::from(rng.below(8));
                Dma::new(READ, rng.below(32), at).back(buffer, 40).run(rec)?;
            }
            6 => {
                rec.fb(buffer, 40, 0xcc)?;
                let dma = Dma::new(item(key, READ), rng.below(32), buffer);
                dma.at(DESCRIPTOR + u64::from(rng.below(4096)))
                    .back(buffer, 40)
                    .run(rec)?;
            }
            _ => {
                let control = rng.bits(16) & COMMANDS | u32::from(key) << 16;
                Dma::new(control, rng.below(16), buffer).back(buffer, 16).run(rec)?;
            }
        }
    }
    Ok(())
}
