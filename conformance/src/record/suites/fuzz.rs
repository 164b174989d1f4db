// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Only the pseudo-random accesses, for many seeds.

use super::pci::{capability_headers, dump, fuzz, windows};
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder};
use crate::trace::Width::B4;

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let bdf = opt.bdf;
    rec.describe(bdf)?;
    capability_headers(rec, bdf)?;
    let mut skip = windows(rec, bdf)?;
    skip.extend(&opt.skip);
    rec.fresh()?;
    rec.section("dev.random", "pseudo-random config accesses");
    fuzz(rec, bdf, &mut rng, opt.count, &skip)?;
    rec.map(bdf)?;
    rec.section("dev.reset", "registers after a system reset");
    rec.reset()?;
    dump(rec, bdf, &[B4])
}
