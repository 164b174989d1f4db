// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Host bridges and ISA bridges: fixed functions of the machine.

use super::pci::{capability_headers, dump, fuzz, scan_bytes, scan_words};
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder};
use crate::trace::Width::{B1, B2, B4};

const ONES_AND_WALKING_ONES: [u64; 10] = [0xff, 0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80];
const WALKING_ZEROS: [u64; 10] = [0xfe, 0xfd, 0xfb, 0xf7, 0xef, 0xdf, 0xbf, 0x7f, 0x55, 0xaa];

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let bdf = opt.bdf;
    rec.describe(bdf)?;
    capability_headers(rec, bdf)?;
    rec.fresh()?;
    rec.section("bridge.dump", "whole config space in every width");
    dump(rec, bdf, &[B4, B2, B1])?;
    let (text, values) = if opt.held {
        ("walking zeros and 0x55/0xAA", WALKING_ZEROS)
    } else {
        (
            "0xFF, 0x00 and walking ones to every byte, then restore",
            ONES_AND_WALKING_ONES,
        )
    };
    rec.section("bridge.scan-bytes", text);
    scan_bytes(rec, bdf, &opt.skip, &values)?;
    rec.section("bridge.scan-words", "16-bit and 32-bit writes to every offset");
    scan_words(rec, bdf, &mut rng, &opt.skip)?;
    rec.section("bridge.random", "pseudo-random config accesses");
    fuzz(rec, bdf, &mut rng, opt.count, &opt.skip)?;
    rec.section("bridge.reset", "registers after a system reset");
    rec.reset()?;
    dump(rec, bdf, &[B4])
}
