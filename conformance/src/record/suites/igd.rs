// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU's quirks for an assigned Intel graphics function.
//!
//! The VFIO device is one of the host, or of the library that makes one up.

use pci_model::Bdf;

use super::fwcfg::{directory, item_headers, select};
use super::igd_random;
use super::pci::dump;
use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::trace::Space::{Cfg, Io, Mem};
use crate::trace::Width::{B1, B2, B4, B8};

pub(super) const GGC: u64 = 0x50;
pub(super) const BDSM: u64 = 0x5c;
pub(super) const BDSM_GEN11: u64 = 0xc0;
pub(super) const ASLS: u64 = 0xfc;
/// Where the suite puts the BARs.
pub(super) const REGISTERS: u64 = 0xe000_0000;
pub(super) const APERTURE: u64 = 0xc000_0000;
pub(super) const PORTS: u64 = 0xc000;
/// Registers behind BAR 0: the mirrors of GGC and BDSM, and two without a meaning.
const MIRRORS: [u64; 5] = [0x10_8040, 0x10_80c0, 0x10_80c4, 0x10_8100, 0x10_9040];
const IDENTITY: [u64; 3] = [0, 8, 0x2c];
/// 00:1f.0
const LPC_BRIDGE: Bdf = Bdf::from_bits(0x1f << 3);

pub(super) fn run(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let igd = opt.bdf;
    for bdf in rec.functions()? {
        rec.describe(bdf)?;
    }
    rec.header("function", &igd.to_string());
    let mut files = directory(rec.qtest())?;
    files.retain(|file| file.name.contains("igd"));
    item_headers(rec, &files)?;
    rec.fresh()?;
    rec.section("igd.config", "config space that the guest sees at first");
    dump(rec, igd, &[B4, B1])?;
    rec.section("igd.host-bridge", "ids of 00:00.0");
    for register in IDENTITY {
        rec.r(Cfg, register, B4)?;
    }
    rec.section("igd.lpc-bridge", "ids of 00:1f.0");
    dump(rec, LPC_BRIDGE, &[B4])?;
    for file in &files {
        rec.section("igd.fwcfg", &file.name);
        select(rec, file.key)?;
        rec.rs(super::fwcfg::DATA, file.size)?;
    }
    registers(rec, igd, &mut rng)?;
    mirrors(rec, igd)?;
    gtt_ports(rec, igd)?;
    if opt.held {
        igd_random::run(rec, igd, &mut rng)?;
    }
    rec.section("igd.reset", "registers after a system reset");
    rec.reset()?;
    dump(rec, igd, &[B4])?;
    for register in IDENTITY {
        rec.r(Cfg, cfg(LPC_BRIDGE, register), B4)?;
    }
    Ok(())
}

fn registers(rec: &mut Recorder<'_>, igd: Bdf, rng: &mut Mt19937) -> Recorded {
    rec.section("igd.gms", "GGC register at 0x50");
    for value in [0xffff, 0, u64::from(rng.bits(16))] {
        rec.w(Cfg, cfg(igd, GGC), B2, value)?;
        rec.r(Cfg, cfg(igd, GGC), B4)?;
    }
    for register in [BDSM, BDSM_GEN11, BDSM_GEN11 + 4, ASLS] {
        let at = cfg(igd, register);
        rec.section(&format!("igd.register-0x{register:02x}"), "guest writes, all widths");
        rec.r(Cfg, at, B4)?;
        for value in [0x0af0_0000, 0xffff_ffff, 0, u64::from(rng.bits(32))] {
            rec.w(Cfg, at, B4, value)?;
            rec.r(Cfg, at, B4)?;
        }
        for byte in 0..4 {
            rec.w(Cfg, at + byte, B1, 0x11 * (byte + 1))?;
            rec.r(Cfg, at, B4)?;
        }
        rec.w(Cfg, at + 2, B2, 0xbeef)?;
        rec.r(Cfg, at, B4)?;
        rec.r(Cfg, at + 2, B2)?;
    }
    Ok(())
}

fn mirrors(rec: &mut Recorder<'_>, igd: Bdf) -> Recorded {
    rec.section("igd.bar0-mirror", "GGC and BDSM mirrors in the registers");
    igd_random::place(rec, igd)?;
    for offset in MIRRORS {
        let at = REGISTERS + offset;
        rec.r(Mem, at, B4)?;
        rec.r(Mem, at, B2)?;
        rec.r(Mem, at, B1)?;
        if offset.is_multiple_of(8) {
            rec.r(Mem, at, B8)?;
        }
        rec.w(Mem, at, B4, 0x7770_0001)?;
        rec.r(Mem, at, B4)?;
        for register in [GGC, BDSM, BDSM_GEN11] {
            rec.r(Cfg, cfg(igd, register), B4)?;
        }
    }
    Ok(())
}

fn gtt_ports(rec: &mut Recorder<'_>, igd: Bdf) -> Recorded {
    rec.section("igd.bar4", "GTT index and data ports");
    rec.w(Cfg, cfg(igd, BDSM), B4, 0x0af0_0000)?;
    for index in [0, 1, 4, 5, 8, 0x1001, 0x3ffc, 0x1_fffd] {
        rec.w(Io, PORTS, B4, index)?;
        rec.r(Io, PORTS, B4)?;
        for entry in [0x7c00_1001, 0x7c12_3001, 0x7fff_0001, 0x0000_1001] {
            rec.w(Io, PORTS + 4, B4, entry)?;
            rec.r(Io, PORTS + 4, B4)?;
            rec.w(Io, PORTS, B4, index)?;
        }
    }
    Ok(())
}
