// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BARs of one function: sizing, decode, moves, ROM.

use pci_model::Bdf;

use super::pci::{bar_register, set_bar};
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::subjects::qtest::{Region, RegionKind};
use crate::trace::Space::{Cfg, Io, Mem};
use crate::trace::Width::{self, B1, B2, B4};

const ROM: u8 = 6;
/// Below this, memory BARs that are moved would hide guest RAM.
const MEMORY_HOLE: u64 = 0xd000_0000;

/// Driver, BAR, offset and width of a constant answer, which makes a good probe; elsewhere it is the first dword.
const PROBES: [(&str, u8, u64, Width); 3] = [
    ("edu", 0, 0, B4),
    ("VGA", 2, 0x500, B2),
    ("bochs-display", 2, 0x500, B2),
];

/// The function under test.
struct Target<'a> {
    bdf: Bdf,
    driver: &'a str,
}

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options, regions: &[Region], rng: &mut Mt19937) -> Recorded {
    let target = Target {
        bdf: opt.bdf,
        driver: opt.driver(),
    };
    target.sizing(rec)?;
    target.decode(rec, regions, rng)?;
    target.moves(rec)?;
    target.sizing_while_enabled(rec)?;
    match regions.iter().find(|region| region.bar == ROM) {
        Some(rom) => target.rom(rec, rom.size),
        None => Ok(()),
    }
}

/// `addr` at or below which a power of two divides it.
fn align_down(addr: u64, size: u64) -> u64 {
    addr & !size.wrapping_sub(1)
}

impl Target<'_> {
    fn at(&self, register: u64) -> u64 {
        cfg(self.bdf, register)
    }

    fn command(&self, rec: &mut Recorder<'_>, value: u64) -> Recorded {
        rec.w(Cfg, self.at(4), B2, value)
    }

    /// Reads each BAR that is decoded, but not the ROM.
    fn probe(&self, rec: &mut Recorder<'_>, regions: &[Region], only: Option<u8>) -> Recorded {
        for region in regions
            .iter()
            .filter(|region| only.is_none_or(|bar| bar == region.bar) && region.bar != ROM)
        {
            let Some(addr) = region.addr else { continue };
            let (offset, width) = PROBES
                .iter()
                .find(|(driver, bar, ..)| *driver == self.driver && *bar == region.bar)
                .map_or((0, B4), |(_, _, offset, width)| (*offset, *width));
            let space = if region.kind == RegionKind::Io { Io } else { Mem };
            rec.p(self.bdf, space, addr.saturating_add(offset), width)?;
        }
        Ok(())
    }

    fn sizing(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("bar.sizing", "all ones written to each BAR, decode disabled");
        self.command(rec, 0)?;
        for bar in 0..=ROM {
            let at = self.at(bar_register(bar));
            for value in [0xffff_ffff, 0xffff_fffe, 0xffff_fff0, 0xffff_f800, 0] {
                rec.w(Cfg, at, B4, value)?;
                rec.r(Cfg, at, B4)?;
            }
        }
        rec.section("bar.byte-writes", "BARs written with 8-bit and 16-bit accesses");
        for bar in 0..=ROM {
            let at = self.at(bar_register(bar));
            for byte in 0..4 {
                rec.w(Cfg, at + byte, B1, 0xff)?;
                rec.r(Cfg, at, B4)?;
            }
            for (half, value) in [(2, 0x1234), (0, 0xabcd)] {
                rec.w(Cfg, at + half, B2, value)?;
                rec.r(Cfg, at, B4)?;
            }
            rec.w(Cfg, at, B4, 0)?;
        }
        Ok(())
    }

    /// Assigns naturally aligned addresses from `memory` and `ports` upwards.
    fn place(&self, rec: &mut Recorder<'_>, regions: &[Region], mut memory: u64, mut ports: u64) -> Recorded {
        for Region { bar, kind, size, .. } in regions.iter().copied() {
            if kind == RegionKind::Io {
                set_bar(rec, self.bdf, bar, kind, ports)?;
                ports = ports.wrapping_add(size.max(0x100));
            } else if bar != ROM {
                memory = align_down(memory.wrapping_add(size.wrapping_sub(1)), size);
                set_bar(rec, self.bdf, bar, kind, memory)?;
                memory = memory.wrapping_add(size);
            }
        }
        Ok(())
    }

    fn decode(&self, rec: &mut Recorder<'_>, regions: &[Region], rng: &mut Mt19937) -> Recorded {
        rec.section("bar.decode-enable", "command bits 0 and 1 switch decoding");
        let memory = 0xe000_0000 + (u64::from(rng.below(4)) << 26);
        let ports = 0xc000 + 0x100 * u64::from(rng.below(8));
        self.place(rec, regions, memory, ports)?;
        for value in [0, 1, 2, 3, 2, 0, 7, 3] {
            self.command(rec, value)?;
            let now = rec.map(self.bdf)?;
            self.probe(rec, &now, None)?;
        }
        rec.section("bar.unmapped-reads", "the same addresses with decoding off");
        let before = rec.regions(self.bdf)?;
        self.command(rec, 0)?;
        self.probe(rec, &before, None)
    }

    fn moves(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("bar.move", "a BAR moved while decoding is on");
        self.command(rec, 3)?;
        for Region {
            bar, kind, size, addr, ..
        } in rec.regions(self.bdf)?
        {
            let Some(addr) = addr.filter(|_| bar != ROM) else {
                continue;
            };
            let at = self.at(bar_register(bar));
            if kind == RegionKind::Io {
                let end = 0x1_0000_u64.wrapping_sub(size);
                for new in [0xd000, 0xd000 + size / 2, end, 0, 0x10000, 0xffff_d000, addr] {
                    set_bar(rec, self.bdf, bar, kind, new)?;
                    rec.r(Cfg, at, B4)?;
                    let now = rec.map(self.bdf)?;
                    self.probe(rec, &now, Some(bar))?;
                }
                continue;
            }
            for new in memory_places(kind, size).into_iter().chain([addr]) {
                set_bar(rec, self.bdf, bar, kind, new)?;
                rec.r(Cfg, at, B4)?;
                if kind == RegionKind::Mem64 {
                    rec.r(Cfg, at + 4, B4)?;
                }
                let now = rec.map(self.bdf)?;
                if new >= MEMORY_HOLE {
                    self.probe(rec, &now, Some(bar))?;
                }
            }
        }
        Ok(())
    }

    fn sizing_while_enabled(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("bar.sizing-while-enabled", "all ones with decoding on");
        for Region { bar, kind, addr, .. } in rec.regions(self.bdf)? {
            let Some(addr) = addr.filter(|_| bar != ROM) else {
                continue;
            };
            let at = self.at(bar_register(bar));
            let halves: &[u64] = if kind == RegionKind::Mem64 { &[0, 4] } else { &[0] };
            for half in halves {
                rec.w(Cfg, at + half, B4, 0xffff_ffff)?;
                rec.r(Cfg, at + half, B4)?;
                rec.map(self.bdf)?;
            }
            set_bar(rec, self.bdf, bar, kind, addr)?;
            rec.map(self.bdf)?;
        }
        Ok(())
    }

    fn rom(&self, rec: &mut Recorder<'_>, size: u64) -> Recorded {
        rec.section("bar.rom", "expansion ROM needs its own enable bit");
        let addr = align_down(0xd400_0000, size);
        let at = self.at(bar_register(ROM));
        for command in [0, 2] {
            self.command(rec, command)?;
            for value in [addr, addr | 1, addr | 0x7ff, addr] {
                rec.w(Cfg, at, B4, value)?;
                rec.r(Cfg, at, B4)?;
                rec.map(self.bdf)?;
                rec.p(self.bdf, Mem, addr, B2)?;
            }
        }
        Ok(())
    }
}

/// Addresses for a memory BAR: aligned, zero, unaligned, at the end, and beyond what processors reach.
fn memory_places(kind: RegionKind, size: u64) -> Vec<u64> {
    let mut places = vec![
        align_down(0xd000_0000, size),
        0,
        0xd000_0000 + size / 2,
        (1_u64 << 32).wrapping_sub(size),
        align_down(0xd800_0000, size),
    ];
    if kind == RegionKind::Mem64 {
        let far = (1_u64 << 36).wrapping_add(size.wrapping_mul(4));
        places.extend([1 << 32, far, 1 << 39, 1 << 46, 1 << 63, size.wrapping_neg()]);
    }
    places
}
