// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The longer variant of the suite `igd`: pseudo-random accesses in all widths.

use pci_model::Bdf;

use super::igd::{APERTURE, ASLS, BDSM, BDSM_GEN11, GGC, PORTS, REGISTERS};
use super::pci::{bits, len, set_bar};
use crate::record::mt19937::Mt19937;
use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::subjects::qtest::RegionKind;
use crate::trace::Space::{Cfg, Io, Mem};
use crate::trace::Width::{self, B1, B2, B4, B8};

/// Registers around and between those that are emulated.
const CONFIG: [u64; 11] = [GGC, 0x54, 0x58, BDSM, 0x60, BDSM_GEN11, 0xc4, 0xe4, 0xe8, 0xf0, ASLS];
/// Offsets around and between the mirrors in BAR0.
const MIRRORS: [u64; 9] = [
    0x10_803c, 0x10_8040, 0x10_8044, 0x10_80bc, 0x10_80c0, 0x10_80c4, 0x10_80c8, 0x10_8100, 0x10_9040,
];
/// Indexes of entries, of none, and around the end of tables.
const INDEXES: [u64; 12] = [1, 5, 9, 0xd, 0x11, 2, 4, 0x3ffd, 0x4001, 0x7ffd, 0x1_fffd, 0xffff_ffff];

pub(super) fn run(rec: &mut Recorder<'_>, igd: Bdf, rng: &mut Mt19937) -> Recorded {
    rec.section("igd.random-config", "pseudo-random config accesses");
    for _ in 0..400 {
        let register = rng.one_of(CONFIG);
        let width = rng.one_of([B1, B2, B4]);
        let at = cfg(igd, register + lane(rng, 4, width));
        if rng.below(5) < 3 {
            rec.w(Cfg, at, width, value(rng, width))?;
        }
        rec.r(Cfg, cfg(igd, register), B4)?;
        rec.r(Cfg, at, width)?;
    }
    rec.section("igd.random-mirror", "pseudo-random accesses to BAR0, aligned");
    for _ in 0..400 {
        let register = rng.one_of(MIRRORS);
        let width = rng.one_of([B1, B2, B4, B8]);
        let at = (register + lane(rng, 8, width)) & !(len(width) - 1);
        mirror(rec, igd, rng, REGISTERS + at, width)?;
    }
    rec.section("igd.random-unaligned", "pseudo-random accesses to BAR0 at any address");
    for _ in 0..300 {
        let register = rng.one_of(MIRRORS);
        let width = rng.one_of([B2, B4, B8]);
        let at = register + u64::from(rng.below(8));
        mirror(rec, igd, rng, REGISTERS + at, width)?;
    }
    ports(rec, igd, rng)?;
    rec.section("igd.random-reset", "a system reset while an index is selected");
    rec.w(Io, PORTS, B4, 1)?;
    rec.reset()?;
    for register in CONFIG {
        rec.r(Cfg, cfg(igd, register), B4)?;
    }
    place(rec, igd)?;
    rec.w(Io, PORTS + 4, B4, 0x8a12_3001)?;
    rec.r(Io, PORTS + 4, B4)?;
    rec.r(Io, PORTS, B4)?;
    Ok(())
}

/// Puts the BARs where the suite expects them.
pub(super) fn place(rec: &mut Recorder<'_>, igd: Bdf) -> Recorded {
    set_bar(rec, igd, 0, RegionKind::Mem64, REGISTERS)?;
    set_bar(rec, igd, 2, RegionKind::Mem64, APERTURE)?;
    set_bar(rec, igd, 4, RegionKind::Io, PORTS)?;
    rec.w(Cfg, cfg(igd, 4), B2, 7)?;
    rec.map(igd)?;
    Ok(())
}

fn lane(rng: &mut Mt19937, end: u32, width: Width) -> u64 {
    let step = bits(width) / 8;
    u64::from(rng.multiple(end.max(step), step))
}

fn value(rng: &mut Mt19937, width: Width) -> u64 {
    let [high, low] = [rng.next_u32(), rng.next_u32()].map(u64::from);
    (high << 32 | low) & width.ones()
}

fn mirror(rec: &mut Recorder<'_>, igd: Bdf, rng: &mut Mt19937, at: u64, width: Width) -> Recorded {
    if rng.below(5) < 3 {
        rec.w(Mem, at, width, value(rng, width))?;
    }
    rec.r(Mem, at, width)?;
    for register in [GGC, BDSM, BDSM_GEN11, BDSM_GEN11 + 4] {
        rec.r(Cfg, cfg(igd, register), B4)?;
    }
    Ok(())
}

fn ports(rec: &mut Recorder<'_>, igd: Bdf, rng: &mut Mt19937) -> Recorded {
    for (label, widths) in [("igd.random-ports", [B4, B4]), ("igd.random-narrow-ports", [B1, B2])] {
        rec.section(label, "pseudo-random accesses to BAR4");
        for register in [BDSM, BDSM_GEN11] {
            rec.w(Cfg, cfg(igd, register), B4, 0x0af0_0000)?;
        }
        for _ in 0..200 {
            rec.w(Io, PORTS, B4, rng.one_of(INDEXES))?;
            let width = rng.one_of(widths);
            match rng.below(10) {
                0 => drop(rec.r(Io, PORTS, B4)?),
                1 => drop(rec.r(Io, PORTS + 4, B4)?),
                2 => drop(rec.r(Io, PORTS + 8, B4)?),
                3 => rec.w(Io, PORTS + 8 + lane(rng, 4, width), width, value(rng, width))?,
                _ => {}
            }
            rec.w(Io, PORTS + 4 + lane(rng, 4, width), width, value(rng, width))?;
            rec.r(Io, PORTS + 4, B4)?;
        }
    }
    Ok(())
}
