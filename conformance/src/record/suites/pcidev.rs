// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BARs, decode, capabilities and write masks of one function.

use super::pci::{capability_headers, dump, fuzz, scan_bytes, scan_words, windows};
use super::{pcidev_bars, pcidev_caps};
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::trace::Space::Cfg;
use crate::trace::Width::{B1, B2, B4};

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let bdf = opt.bdf;
    rec.describe(bdf)?;
    let skip = windows(rec, bdf)?;
    let caps = capability_headers(rec, bdf)?;
    rec.fresh()?;
    let regions = rec.regions(bdf)?;

    rec.section("dev.dump", "whole config space in every width");
    dump(rec, bdf, &[B4, B2, B1])?;
    rec.section("dev.capability-chain", "status bit 4, pointer and chain");
    rec.r(Cfg, cfg(bdf, 6), B2)?;
    rec.r(Cfg, cfg(bdf, 0x34), B1)?;
    for (_, at) in &caps {
        rec.r(Cfg, cfg(bdf, *at), B2)?;
    }
    header(rec, opt)?;
    pcidev_bars::run(rec, opt, &regions, &mut rng)?;
    for (id, at) in caps {
        pcidev_caps::run(rec, bdf, id, at)?;
    }

    rec.section("dev.reset", "registers after a system reset");
    rec.reset()?;
    dump(rec, bdf, &[B4])?;
    rec.map(bdf)?;
    rec.section("dev.scan-bytes", "0xFF and 0x00 to every byte, then restore");
    scan_bytes(rec, bdf, &skip, &[0xff, 0])?;
    rec.section("dev.scan-words", "16-bit and 32-bit writes to every offset");
    scan_words(rec, bdf, &mut rng, &skip)?;
    rec.section("dev.random", "pseudo-random config accesses");
    fuzz(rec, bdf, &mut rng, opt.count, &skip)?;
    rec.map(bdf)?;
    rec.section("dev.reset-again", "registers after a second system reset");
    rec.reset()?;
    dump(rec, bdf, &[B4])?;
    rec.map(bdf)?;
    Ok(())
}

fn header(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let at = |register| cfg(opt.bdf, register);
    rec.section("dev.read-only-ids", "identification registers ignore writes");
    for (register, width) in [(0, B4), (6, B2), (8, B4), (0x2c, B4)] {
        rec.w(Cfg, at(register), width, 0xffff_ffff)?;
        rec.r(Cfg, at(register & !3), B4)?;
    }
    for register in [0x0e, 0x0f, 0x3d, 0x34, 0x28] {
        rec.w(Cfg, at(register), B1, 0xff)?;
        rec.r(Cfg, at(register), B1)?;
    }
    rec.section("dev.command-mask", "writable bits of the command register");
    for value in [0xffff, 0, 0x0007, 0x0400, 0x0100, 0x0040, 0x0001, 0x0002, 4, 0] {
        rec.w(Cfg, at(4), B2, value)?;
        rec.r(Cfg, at(4), B4)?;
    }
    rec.section("dev.status-w1c", "ones written to the status register");
    for value in [0xffff, 0, 0xf900] {
        rec.w(Cfg, at(6), B2, value)?;
        rec.r(Cfg, at(4), B4)?;
    }
    rec.w(Cfg, at(4), B4, 0xffff_0000)?;
    rec.r(Cfg, at(4), B4)?;
    Ok(())
}
