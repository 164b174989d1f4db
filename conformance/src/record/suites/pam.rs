// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Shadow RAM and SMRAM control of a host bridge, seen through memory.

use pci_model::Bdf;

use crate::record::mt19937::Mt19937;
use crate::record::options::Options;
use crate::record::recorder::{Recorded, Recorder};
use crate::trace::Space::{Cfg, Mem};
use crate::trace::Width::{B1, B4};

/// First PAM register and the SMRAM register.
struct Registers {
    pam: u64,
    smram: u64,
}

/// Intel 440FX PCIset data sheet, 82441FX configuration registers.
const I440FX: Registers = Registers { pam: 0x59, smram: 0x72 };
/// Intel Q35 Express chipset data sheet, host bridge registers.
const Q35: Registers = Registers { pam: 0x90, smram: 0x9d };

/// Segment of shadow RAM: its register, the place of its bits, its memory.
#[derive(Clone, Copy)]
struct Segment {
    register: u64,
    shift: u32,
    addr: u64,
    size: u64,
}

pub(super) fn i440fx(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    run(rec, opt, &I440FX)
}

pub(super) fn q35(rec: &mut Recorder<'_>, opt: &Options) -> Recorded {
    run(rec, opt, &Q35)
}

fn segments(pam: u64) -> Vec<Segment> {
    let mut list = vec![Segment {
        register: pam,
        shift: 4,
        addr: 0xf0000,
        size: 0x10000,
    }];
    list.extend((0..12).map(|index| Segment {
        register: pam + 1 + index / 2,
        shift: if index % 2 == 0 { 0 } else { 4 },
        addr: 0xc0000 + 0x4000 * index,
        size: 0x4000,
    }));
    list
}

fn run(rec: &mut Recorder<'_>, opt: &Options, registers: &Registers) -> Recorded {
    let mut rng = Mt19937::new(opt.seed);
    let host_bridge = Bdf::default();
    rec.describe(host_bridge)?;
    rec.header("function", &host_bridge.to_string());
    rec.fresh()?;
    rec.section("pam.reset-state", "attribute registers after reset");
    for register in registers.pam..registers.pam + 7 {
        rec.r(Cfg, register, B1)?;
    }
    let mut order = segments(registers.pam);
    if opt.held {
        rng.shuffle(&mut order);
    }
    attributes(rec, &order, &mut rng)?;
    neighbours(rec, &order)?;
    smram(rec, registers.smram, &mut rng)
}

fn attributes(rec: &mut Recorder<'_>, order: &[Segment], rng: &mut Mt19937) -> Recorded {
    rec.section(
        "pam.attributes",
        "bit 0 read enable, bit 1 write enable, of each segment",
    );
    for Segment {
        register,
        shift,
        addr,
        size,
    } in order.iter().copied()
    {
        rec.note(&format!("register 0x{register:02x} shift {shift} segment {addr:#x}"));
        let last = addr + size - 8;
        for attribute in [0, 3, 1, 3, 2, 1, 0, 3, 1] {
            rec.w(Cfg, register, B1, attribute << shift)?;
            rec.r(Cfg, register, B1)?;
            rec.w(Mem, last, B4, rng.bits(32).into())?;
            rec.r(Mem, last, B4)?;
        }
        rec.w(Cfg, register, B1, 0)?;
    }
    Ok(())
}

fn neighbours(rec: &mut Recorder<'_>, order: &[Segment]) -> Recorded {
    rec.section("pam.neighbours", "a segment ends at its boundary");
    for Segment {
        register,
        shift,
        addr,
        size,
    } in order.iter().copied().take(6)
    {
        rec.w(Cfg, register, B1, 3 << shift)?;
        for (at, value) in [(addr + size - 4, 0xcafe_0001), (addr, 0xcafe_0002)] {
            rec.w(Mem, at, B4, value)?;
            rec.r(Mem, at, B4)?;
        }
        rec.w(Cfg, register, B1, 0)?;
        rec.r(Mem, addr, B4)?;
    }
    Ok(())
}

fn smram(rec: &mut Recorder<'_>, register: u64, rng: &mut Mt19937) -> Recorded {
    let control = |rec: &mut Recorder<'_>, values: &[u64]| -> Recorded {
        for value in values {
            rec.w(Cfg, register, B1, *value)?;
            rec.r(Cfg, register, B1)?;
        }
        Ok(())
    };
    rec.section("smram.register", "SMRAM control, open, close and lock bits");
    control(
        rec,
        &[
            0x00, 0x02, 0x0a, 0x4a, 0x2a, 0x6a, 0x08, 0x1a, 0x4a, 0x0a, 0xef, 0x4a, 0x00,
        ],
    )?;
    rec.section("smram.lock-survives", "the register after a system reset");
    rec.reset()?;
    rec.r(Cfg, register, B1)?;
    rec.section("smram.open", "0xA0000 with the open bit");
    rec.w(Mem, 0xa8000, B4, 0x1234_5678)?;
    for value in [0x0a, 0x4a, 0x0a, 0x4a, 0x02] {
        control(rec, &[value])?;
        rec.r(Mem, 0xa8000, B4)?;
        rec.w(Mem, 0xa8000, B4, rng.bits(32).into())?;
        rec.r(Mem, 0xa8000, B4)?;
    }
    rec.section("smram.lock", "the lock bit freezes the register until reset");
    control(rec, &[0x1a, 0x4a, 0x00, 0x0a, 0xff])?;
    rec.reset()?;
    rec.r(Cfg, register, B1)?;
    Ok(())
}
