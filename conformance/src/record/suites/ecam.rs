// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! PCIEXBAR of the q35 host bridge and accesses through the window.

use pci_model::Bdf;

use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::trace::Space::{Cfg, Mem};
use crate::trace::Width::{B1, B2, B4, B8};

/// PCIEXBAR, its upper half, and the bit that opens the window. Intel Q35 Express chipset data sheet.
const PCIEXBAR: u64 = 0x60;
const PCIEXBAR_HIGH: u64 = 0x64;
const ENABLE: u64 = 1;
/// Length field and the last bus that the window reaches.
const LENGTHS: [(u64, u64); 3] = [(0, 0xff), (2, 0x7f), (4, 0x3f)];
/// Another place for the window.
const OTHER: u64 = 0xd000_0000;

fn window(base: u64, bdf: Bdf) -> u64 {
    base + (u64::from(bdf.to_bits()) << 12)
}

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let functions = rec.functions()?;
    for bdf in &functions {
        rec.describe(*bdf)?;
    }
    rec.fresh()?;
    let base = if opt.held {
        rng.one_of([0xc000_0000, 0xe000_0000])
    } else {
        0xb000_0000
    };
    open(rec, base)?;
    reads(rec, base, &functions)?;
    rec.section("ecam.same-registers", "writes seen by mechanism #1 and back");
    for bdf in &functions {
        let (memory, config) = (window(base, *bdf) + 0x3c, cfg(*bdf, 0x3c));
        for value in [0x5a, 0xa5, 0x00] {
            rec.w(Mem, memory, B1, value)?;
            rec.r(Cfg, config, B4)?;
            rec.w(Cfg, config, B1, value ^ 0xff)?;
            rec.r(Mem, memory, B4)?;
        }
    }
    absent(rec, base, &functions, opt.held)?;
    rec.section("ecam.extended-space", "offsets 0x100..0xFFF of each function");
    for bdf in &functions {
        for register in (0x100..0x1000).step_by(if opt.held { 4 } else { 0x40 }) {
            rec.r(Mem, window(base, *bdf) + register, B4)?;
        }
    }
    place(rec, base)
}

fn open(rec: &mut Recorder<'_>, base: u64) -> Recorded {
    rec.section("ecam.reset-state", "PCIEXBAR after reset, window closed");
    rec.r(Cfg, PCIEXBAR, B4)?;
    rec.r(Cfg, PCIEXBAR_HIGH, B4)?;
    rec.r(Mem, base, B4)?;
    rec.section("ecam.enable", "bit 0 opens the window");
    rec.w(Cfg, PCIEXBAR_HIGH, B4, 0)?;
    for value in [base, base | ENABLE] {
        rec.w(Cfg, PCIEXBAR, B4, value)?;
        rec.r(Cfg, PCIEXBAR, B4)?;
        rec.r(Mem, base, B4)?;
    }
    Ok(())
}

fn reads(rec: &mut Recorder<'_>, base: u64, functions: &[Bdf]) -> Recorded {
    rec.section("ecam.widths", "all aligned widths through the window");
    for bdf in functions {
        for register in [0, 4, 8, 0xc, 0x2c, 0x34, 0x3c, 0xfc, 0x100, 0xffc] {
            let at = window(base, *bdf) + register;
            rec.r(Mem, at, B4)?;
            rec.r(Mem, at, B2)?;
            rec.r(Mem, at + 2, B2)?;
            for byte in 0..4 {
                rec.r(Mem, at + byte, B1)?;
            }
        }
    }
    rec.section("ecam.unaligned", "unaligned and 64-bit accesses");
    for bdf in functions.iter().take(2) {
        for (register, width) in [
            (0, B8),
            (8, B8),
            (1, B2),
            (3, B2),
            (1, B4),
            (2, B4),
            (3, B4),
            (4, B8),
            (0xffc, B8),
            (0xffe, B4),
        ] {
            rec.r(Mem, window(base, *bdf) + register, width)?;
        }
    }
    Ok(())
}

fn absent(rec: &mut Recorder<'_>, base: u64, functions: &[Bdf], held: bool) -> Recorded {
    rec.section("ecam.absent", "absent functions and buses");
    let missing = (0..0x100).map(Bdf::from_bits).filter(|bdf| !functions.contains(bdf));
    for bdf in missing.step_by(if held { 1 } else { 11 }) {
        rec.r(Mem, window(base, bdf), B4)?;
        rec.r(Mem, window(base, bdf) + 0xe, B1)?;
    }
    for bus in [1, 0x3f, 0x7f, 0xff] {
        rec.r(Mem, base + (bus << 20), B4)?;
    }
    let at = base + (0x1e << 15) + 0x3c;
    rec.w(Mem, at, B4, 0)?;
    rec.r(Mem, at, B4)?;
    Ok(())
}

fn place(rec: &mut Recorder<'_>, base: u64) -> Recorded {
    rec.section("ecam.length", "length field: 256, 128 and 64 buses");
    for (bits, last) in LENGTHS {
        rec.w(Cfg, PCIEXBAR, B4, base | bits | ENABLE)?;
        rec.r(Cfg, PCIEXBAR, B4)?;
        rec.r(Mem, base, B4)?;
        rec.r(Mem, base + (last << 20), B4)?;
        rec.r(Mem, base + (0x3f << 20), B4)?;
    }
    rec.section("ecam.move", "the window at another address");
    rec.w(Cfg, PCIEXBAR, B4, OTHER | ENABLE)?;
    rec.r(Cfg, PCIEXBAR, B4)?;
    rec.r(Mem, OTHER, B4)?;
    rec.r(Mem, OTHER + (0x1f << 15), B4)?;
    rec.r(Mem, base, B4)?;
    rec.w(Cfg, PCIEXBAR_HIGH, B4, 1)?;
    rec.r(Cfg, PCIEXBAR_HIGH, B4)?;
    rec.r(Mem, (1 << 32) + OTHER, B4)?;
    rec.w(Cfg, PCIEXBAR_HIGH, B4, 0)?;
    rec.section("ecam.disable", "bit 0 clear closes the window");
    rec.w(Cfg, PCIEXBAR, B4, OTHER)?;
    rec.r(Mem, OTHER, B4)?;
    rec.section("ecam.reset", "PCIEXBAR after a system reset");
    rec.w(Cfg, PCIEXBAR, B4, base | ENABLE)?;
    rec.reset()?;
    rec.r(Cfg, PCIEXBAR, B4)?;
    rec.r(Mem, base, B4)?;
    Ok(())
}
