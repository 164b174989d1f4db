// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses to the configuration space of a function that several suites share.

use std::collections::BTreeSet;

use pci_model::Bdf;

use crate::record::mt19937::Mt19937;
use crate::record::recorder::{RecordError, Recorded, Recorder, cfg};
use crate::subjects::qtest::RegionKind;
use crate::trace::Space::Cfg;
use crate::trace::Width::{self, B1, B2, B4};

/// Registers that pseudo-random writes leave alone.
pub(super) type Skip = BTreeSet<u64>;

/// Capabilities in a list at most: 192 bytes behind the header, 4 bytes each.
const CAPABILITY_LIMIT: usize = 48;
const VENDOR_SPECIFIC: u64 = 9;
/// Type of virtio's capability for access to BAR memory through configuration space, and its bytes that do it.
/// Virtio 1.2, section 4.1.4.9.
const VIRTIO_WINDOW: (u64, std::ops::Range<u64>) = (5, 4..20);
const VIRTIO_VENDOR: u64 = 0x1af4;

/// Width in the unit of register offsets.
pub(super) fn len(width: Width) -> u64 {
    u64::try_from(width.len()).unwrap_or_default()
}

/// Width in bits.
pub(super) fn bits(width: Width) -> u32 {
    8 * u32::try_from(width.len()).unwrap_or_default()
}

/// Identity and offset of each standard capability.
pub(super) fn capabilities(rec: &mut Recorder<'_>, bdf: Bdf) -> Recorded<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    if rec.peek(Cfg, cfg(bdf, 6), B2)? & 0x10 == 0 {
        return Ok(found);
    }
    let mut at = rec.peek(Cfg, cfg(bdf, 0x34), B1)? & 0xfc;
    while at != 0 && found.len() < CAPABILITY_LIMIT {
        found.push((rec.peek(Cfg, cfg(bdf, at), B1)?, at));
        at = rec.peek(Cfg, cfg(bdf, at + 1), B1)? & 0xfc;
    }
    Ok(found)
}

/// Names the function and its capabilities in the header.
pub(super) fn capability_headers(rec: &mut Recorder<'_>, bdf: Bdf) -> Recorded<Vec<(u64, u64)>> {
    let found = capabilities(rec, bdf)?;
    rec.header("function", &bdf.to_string());
    for (id, at) in &found {
        rec.header("cap", &format!("{bdf} 0x{at:02x} 0x{id:02x}"));
    }
    Ok(found)
}

/// Registers that reach into device memory.
pub(super) fn windows(rec: &mut Recorder<'_>, bdf: Bdf) -> Recorded<Skip> {
    let mut skip = Skip::new();
    let (window, bytes) = VIRTIO_WINDOW;
    for (id, at) in capabilities(rec, bdf)? {
        if id == VENDOR_SPECIFIC
            && at + 3 < 256
            && rec.peek(Cfg, cfg(bdf, at + 3), B1)? == window
            && rec.peek(Cfg, cfg(bdf, 0), B2)? == VIRTIO_VENDOR
        {
            skip.extend(bytes.clone().map(|byte| at + byte));
        }
    }
    Ok(skip)
}

/// Reads the whole space in each width.
pub(super) fn dump(rec: &mut Recorder<'_>, bdf: Bdf, widths: &[Width]) -> Recorded {
    for width in widths {
        for register in (0..256).step_by(width.len()) {
            rec.r(Cfg, cfg(bdf, register), *width)?;
        }
    }
    Ok(())
}

/// Writes each value to every byte, reads it back, restores.
pub(super) fn scan_bytes(rec: &mut Recorder<'_>, bdf: Bdf, skip: &Skip, values: &[u64]) -> Recorded {
    for register in (0..256).filter(|register| !skip.contains(register)) {
        let at = cfg(bdf, register);
        let old = rec.peek(Cfg, at, B1)?;
        for value in values.iter().chain([&old]) {
            rec.w(Cfg, at, B1, *value)?;
            rec.r(Cfg, at, B1)?;
        }
    }
    Ok(())
}

/// Writes words and dwords in pseudo-random order, reads back, restores.
pub(super) fn scan_words(rec: &mut Recorder<'_>, bdf: Bdf, rng: &mut Mt19937, skip: &Skip) -> Recorded {
    let mut places: Vec<(u64, Width)> = Vec::new();
    for width in [B4, B2] {
        places.extend((0..256).step_by(width.len()).map(|register| (register, width)));
    }
    rng.shuffle(&mut places);
    for (register, width) in places {
        if skip.range(register..register + len(width)).next().is_some() {
            continue;
        }
        let at = cfg(bdf, register);
        let old = rec.peek(Cfg, at, width)?;
        for value in [width.ones(), 0, u64::from(rng.bits(bits(width)))] {
            rec.w(Cfg, at, width, value)?;
            rec.r(Cfg, at, width)?;
        }
        rec.w(Cfg, at, width, old)?;
        rec.r(Cfg, at & !3, B4)?;
    }
    Ok(())
}

/// At least `count` pseudo-random accesses, mostly writes that are read back.
pub(super) fn fuzz(rec: &mut Recorder<'_>, bdf: Bdf, rng: &mut Mt19937, count: u64, skip: &Skip) -> Recorded {
    if (0..256)
        .step_by(4)
        .all(|dword| skip.range(dword..dword + 4).next().is_some())
    {
        return Err(RecordError::Machine(format!(
            "no register of {bdf} is left to write to"
        )));
    }
    let mut done = 0;
    while done < count {
        let width = rng.one_of([B1, B2, B4]);
        let step = bits(width) / 8;
        let mut register = u64::from(rng.multiple(256, step));
        if rng.below(3) == 0 {
            // The header has more to show than the rest.
            register = u64::from(rng.multiple(0x40, step));
        }
        let dword = register & !3;
        if skip.range(dword..dword + 4).next().is_some() {
            continue;
        }
        let at = cfg(bdf, register);
        if rng.below(4) == 0 {
            rec.r(Cfg, at, width)?;
            done += 1;
        } else {
            let drawn = [
                rng.bits(bits(width)),
                rng.bits(bits(width)),
                1 << rng.below(bits(width)),
            ]
            .map(u64::from);
            let [first, second, single] = drawn;
            let value = rng.one_of([0, width.ones(), first, second, single]);
            rec.w(Cfg, at, width, value)?;
            rec.r(Cfg, cfg(bdf, dword), B4)?;
            done += 2;
        }
        if rng.below(400) == 0 {
            dump(rec, bdf, &[B4])?;
            done += 64;
        }
    }
    Ok(())
}

/// Register of a BAR (6 = ROM).
pub(super) fn bar_register(bar: u8) -> u64 {
    if bar == 6 { 0x30 } else { 0x10 + 4 * u64::from(bar) }
}

/// Writes an address to a BAR.
pub(super) fn set_bar(rec: &mut Recorder<'_>, bdf: Bdf, bar: u8, kind: RegionKind, addr: u64) -> Recorded {
    let at = cfg(bdf, bar_register(bar));
    rec.w(Cfg, at, B4, addr)?;
    if kind == RegionKind::Mem64 {
        rec.w(Cfg, at + 4, B4, addr >> 32)?;
    }
    Ok(())
}
