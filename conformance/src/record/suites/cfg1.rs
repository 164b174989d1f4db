// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration mechanism #1: the address port, the data port, absent functions.

use pci_model::Bdf;

use super::pci::len;
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{RecordError, Recorded, Recorder, cfg};
use crate::trace::Space::{Cfg, Io};
use crate::trace::Width::{self, B1, B2, B4};

const ADDRESS: u64 = 0xcf8;
const DATA: u64 = 0xcfc;
const RESET_CONTROL: u64 = 0xcf9;
/// Bit of the reset control register that resets the machine.
const RESET: u64 = 4;
const ENABLE: u64 = 1 << 31;

const PATTERNS: [u64; 9] = [
    0,
    0x8000_0000,
    0xffff_ffff,
    0x8000_0003,
    0x8000_f8fc,
    0x7f00_0000,
    0x80ff_0000,
    0x5555_5555,
    0xaaaa_aaaa,
];
const PARTS_OF_ADDRESS: [(u64, Width); 5] = [(0xcf8, B1), (0xcfa, B1), (0xcfb, B1), (0xcf8, B2), (0xcfa, B2)];
const UNALIGNED_DATA: [(u64, Width); 5] = [(0xcfd, B2), (0xcfd, B4), (0xcfe, B4), (0xcff, B2), (0xcff, B4)];
const ACROSS_PORTS: [(u64, Width); 3] = [(0xcfb, B2), (0xcfa, B4), (0xcfb, B4)];

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let functions = rec.functions()?;
    let (Some(first), Some(last)) = (functions.first().copied(), functions.last().copied()) else {
        return Err(RecordError::Machine("the machine has no PCI function".to_owned()));
    };
    for bdf in &functions {
        rec.describe(*bdf)?;
    }
    rec.fresh()?;
    address(rec, opt.held, &mut rng)?;
    disabled(rec, &functions)?;
    data(rec, &functions)?;
    unaligned(rec, &functions, [first, last])?;
    rec.section("cfg1.interrupt-line-widths", "byte write within a dword");
    for bdf in &functions {
        for value in [0x00, 0x5a, 0xff, 0x0b] {
            select(rec, cfg(*bdf, 0x3c))?;
            rec.w(Io, DATA, B1, value)?;
            rec.r(Io, DATA, B4)?;
        }
    }
    absent(rec, &functions, opt.held)?;
    random(rec, &functions, opt.held, &mut rng)?;
    rec.section("cfg1.reset", "CONFIG_ADDRESS after a system reset");
    select(rec, 0x10)?;
    rec.reset()?;
    rec.r(Io, ADDRESS, B4)?;
    Ok(())
}

fn select(rec: &mut Recorder<'_>, at: u64) -> Recorded {
    rec.w(Io, ADDRESS, B4, ENABLE | at)
}

fn address(rec: &mut Recorder<'_>, held: bool, rng: &mut Mt19937) -> Recorded {
    rec.section("cfg1.address-reset", "CONFIG_ADDRESS after reset");
    rec.r(Io, ADDRESS, B4)?;
    rec.r(Io, DATA, B4)?;
    rec.section("cfg1.address-readback", "32-bit writes to 0xCF8 read back");
    let mut patterns = PATTERNS.to_vec();
    patterns.extend((0..if held { 40 } else { 8 }).map(|_| u64::from(rng.bits(32))));
    for value in patterns {
        rec.w(Io, ADDRESS, B4, value)?;
        rec.r(Io, ADDRESS, B4)?;
    }
    rec.section("cfg1.address-partial-reads", "8-bit and 16-bit reads of 0xCF8");
    rec.w(Io, ADDRESS, B4, 0x8012_3456)?;
    for (port, width) in PARTS_OF_ADDRESS {
        rec.r(Io, port, width)?;
    }
    rec.section(
        "cfg1.address-partial-writes",
        "8-bit and 16-bit writes to 0xCF8 do not change it",
    );
    for (port, width) in PARTS_OF_ADDRESS {
        select(rec, 0)?;
        rec.w(Io, port, width, 0xa1a1)?;
        rec.r(Io, ADDRESS, B4)?;
        rec.r(Io, DATA, B4)?;
    }
    rec.section("cfg1.reset-control-port", "port 0xCF9 lies inside 0xCF8..0xCFB");
    select(rec, 0)?;
    rec.r(Io, RESET_CONTROL, B1)?;
    for value in [0x02, 0x00, 0xf9, 0x08] {
        rec.w(Io, RESET_CONTROL, B1, value & !RESET)?;
        rec.r(Io, RESET_CONTROL, B1)?;
        rec.r(Io, ADDRESS, B4)?;
    }
    rec.w(Io, RESET_CONTROL, B1, 0)
}

fn disabled(rec: &mut Recorder<'_>, functions: &[Bdf]) -> Recorded {
    rec.section("cfg1.enable-clear", "with bit 31 clear the data port is not PCI");
    for bdf in functions.iter().take(4) {
        rec.w(Io, ADDRESS, B4, cfg(*bdf, 0))?;
        for width in [B1, B2, B4] {
            rec.r(Io, DATA, width)?;
        }
        rec.w(Io, ADDRESS, B4, cfg(*bdf, 0x3c))?;
        rec.w(Io, DATA, B1, 0x99)?;
        rec.r(Io, DATA, B1)?;
        select(rec, cfg(*bdf, 0x3c))?;
        rec.r(Io, DATA, B1)?;
    }
    rec.section("cfg1.reserved-address-bits", "bits 24..30 and 1..0 of the address");
    for bits in [0x0100_0000, 0x0800_0000, 0x4000_0000, 0x7f00_0000, 1, 2, 3] {
        select(rec, bits)?;
        for port in DATA..DATA + 4 {
            rec.r(Io, port, B1)?;
        }
        rec.r(Io, DATA, B4)?;
    }
    Ok(())
}

fn data(rec: &mut Recorder<'_>, functions: &[Bdf]) -> Recorded {
    rec.section("cfg1.data-widths", "all aligned widths at 0xCFC..0xCFF");
    for bdf in functions {
        for register in [0, 4, 8, 0xc, 0x2c, 0x3c] {
            select(rec, cfg(*bdf, register))?;
            for width in [B4, B2, B1] {
                for port in (DATA..DATA + 4).step_by(width.len()) {
                    rec.r(Io, port, width)?;
                }
            }
        }
    }
    Ok(())
}

fn unaligned(rec: &mut Recorder<'_>, functions: &[Bdf], ends: [Bdf; 2]) -> Recorded {
    rec.section("cfg1.data-unaligned", "reads that are unaligned or leave the port");
    for bdf in functions.iter().take(3) {
        select(rec, cfg(*bdf, 0))?;
        for (port, width) in UNALIGNED_DATA.into_iter().chain(ACROSS_PORTS) {
            rec.r(Io, port, width)?;
        }
    }
    rec.section(
        "cfg1.data-unaligned-writes",
        "writes that are unaligned or leave the port",
    );
    for bdf in ends {
        for register in [0x0c, 0x3c] {
            for (port, width) in UNALIGNED_DATA {
                select(rec, cfg(bdf, register))?;
                rec.w(Io, port, width, 0x1122_3344)?;
                rec.r(Io, DATA, B4)?;
                select(rec, cfg(bdf, register + 4))?;
                rec.r(Io, DATA, B4)?;
                select(rec, cfg(bdf, register))?;
                rec.w(Io, DATA, B4, 0)?;
            }
        }
    }
    Ok(())
}

fn absent(rec: &mut Recorder<'_>, functions: &[Bdf], held: bool) -> Recorded {
    rec.section("cfg1.absent-device", "absent functions read as all ones");
    let missing = (0..0x100).map(Bdf::from_bits).filter(|bdf| !functions.contains(bdf));
    let chosen: Vec<Bdf> = missing.step_by(if held { 1 } else { 9 }).collect();
    for bdf in &chosen {
        for (register, width) in [(0, B4), (0, B2), (2, B2), (0xe, B1), (0xfc, B4)] {
            rec.r(Cfg, cfg(*bdf, register), width)?;
        }
    }
    for bdf in chosen.iter().take(6) {
        rec.w(Cfg, cfg(*bdf, 0x3c), B4, 0)?;
        rec.r(Cfg, cfg(*bdf, 0x3c), B4)?;
    }
    rec.section("cfg1.absent-bus", "buses that do not exist");
    for bus in [1, 2, 0x7f, 0xff] {
        rec.r(Cfg, bus << 16, B4)?;
        rec.r(Cfg, bus << 16 | 0x1f << 11, B4)?;
    }
    rec.section("cfg1.multifunction", "header type bit 7 and absent functions");
    let mut devices: Vec<u16> = functions.iter().map(|bdf| bdf.to_bits() >> 3).collect();
    devices.dedup();
    for bdf in devices
        .into_iter()
        .flat_map(|device| (0..8).map(move |function| device << 3 | function))
    {
        rec.r(Cfg, cfg(Bdf::from_bits(bdf), 0), B4)?;
        rec.r(Cfg, cfg(Bdf::from_bits(bdf), 0xe), B1)?;
    }
    Ok(())
}

fn random(rec: &mut Recorder<'_>, functions: &[Bdf], held: bool, rng: &mut Mt19937) -> Recorded {
    rec.section("cfg1.random", "pseudo-random accesses to 0xCF8..0xCFF");
    for _ in 0..if held { 5000 } else { 500 } {
        let what = rng.below(10);
        let bdf = if rng.below(4) > 0 {
            rng.choice(functions).unwrap_or_default()
        } else {
            Bdf::from_bits(u16::try_from(rng.bits(16)).unwrap_or_default())
        };
        match what {
            0..3 => {
                let at = cfg(bdf, rng.one_of([0, 2, 4, 8, 0xc, 0xe, 0x2c, 0x3c]));
                let enable = if rng.below(8) > 0 { ENABLE } else { 0 };
                rec.w(Io, ADDRESS, B4, at | enable)?;
            }
            3 => {
                rec.r(Io, ADDRESS, B4)?;
            }
            4..8 => {
                let width = rng.one_of([B1, B2, B4]);
                let lane = rng.multiple(4, u32::try_from(len(width)).unwrap_or(4));
                rec.r(Io, DATA + u64::from(lane), width)?;
            }
            8 => {
                let port = DATA + u64::from(rng.below(4));
                rec.r(Io, port, rng.one_of([B1, B2, B4]))?;
            }
            _ => {
                let bdf = rng.choice(functions).unwrap_or_default();
                select(rec, cfg(bdf, 0x3c))?;
                let width = rng.one_of([B1, B2, B4]);
                rec.w(Io, DATA, width, rng.bits(32).into())?;
                rec.r(Io, DATA, B4)?;
            }
        }
    }
    Ok(())
}
