// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of BAR0 that answer: just enough that a driver does not wait for what never comes.
//!
//! Forcewake is acknowledged, engines report ready for reset, power wells and PLLs follow their requests. All other
//! registers store what is written. Offsets: Linux, `drivers/gpu/drm/i915`.

use crate::profile::{Class, Profile};
use crate::spec::mmio;

/// What a write to a register does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// Bits 31:16 select which of 15:0 are written, here and at the acknowledge register.
    MaskedAck(u64),
    /// The acknowledge register follows bit 0.
    Ack(u64),
    /// Bits 31:16 select; bit 0 requests a reset and bit 1 says that the engine is ready for it.
    EngineReset,
    /// Reads as zero at once: the reset is done.
    SelfClear,
    /// Each odd bit requests, the even one below follows.
    PowerWells,
    /// Bit 31 starts a command of bits 7:0, which are the result afterwards: none failed. The data register follows.
    Mailbox,
    /// Bit 31 requests, bit 30 follows.
    FollowsTop,
    /// Bit 0 starts, bit 1 says that it failed; both are clear at once.
    SidebandDone,
    /// Firmware locked it.
    ReadOnly,
}

/// One register.
#[derive(Clone, Copy)]
struct Row {
    offset: u64,
    action: Action,
    first: Class,
    last: Class,
}

const fn row(offset: u64, action: Action, first: Class, last: Class) -> Row {
    Row {
        offset,
        action,
        first,
        last,
    }
}

use Action::{Ack, EngineReset, FollowsTop, Mailbox, MaskedAck, PowerWells, ReadOnly, SelfClear, SidebandDone};
use Class::{Cherryview, Gen6, Gen7, Gen8, Gen9, Gen11, Gen12, LocalMemory};

/// Where the second GT has its registers, the one of media.
const MEDIA: u64 = 0x38_0000;
/// The semaphore of steering: reads one when taken, and is always to be had.
const STEERING: u64 = 0xfd0;

/// Registers, by rising offset, and the classes that have them.
const ROWS: &[Row] = &[
    row(STEERING, ReadOnly, LocalMemory, LocalMemory),
    row(0x20d0, EngineReset, Gen8, LocalMemory),
    row(0x941c, SelfClear, Gen6, LocalMemory),
    row(0xa188, MaskedAck(0x13_0040), Gen6, Gen6),
    row(0xa188, MaskedAck(0x13_0044), Gen7, Gen12),
    row(0xa188, MaskedAck(0xdfc), LocalMemory, LocalMemory),
    row(0xa18c, Ack(0x13_0090), Gen6, Gen6),
    row(0xa270, MaskedAck(0xd88), Gen9, Gen9),
    row(0xa278, MaskedAck(0xd84), Gen9, LocalMemory),
    row(0xa540, MaskedAck(0xd50), Gen11, LocalMemory),
    row(0xa544, MaskedAck(0xd54), Gen11, LocalMemory),
    row(0xa548, MaskedAck(0xd58), Gen11, LocalMemory),
    row(0xa54c, MaskedAck(0xd5c), Gen11, LocalMemory),
    row(0xa560, MaskedAck(0xd70), Gen11, LocalMemory),
    row(0xa564, MaskedAck(0xd74), Gen11, LocalMemory),
    row(0x1_20d0, EngineReset, Gen8, Gen9),
    row(0x1_a0d0, EngineReset, Gen8, LocalMemory),
    row(0x2_20d0, EngineReset, Gen8, LocalMemory),
    row(0x4_4300, FollowsTop, Gen12, LocalMemory),
    row(0x4_4304, FollowsTop, Gen12, LocalMemory),
    row(0x4_4fe8, FollowsTop, Gen11, LocalMemory),
    row(0x4_5008, FollowsTop, Gen9, LocalMemory),
    row(0x4_5400, PowerWells, Gen7, LocalMemory),
    row(0x4_5404, PowerWells, Gen7, LocalMemory),
    row(0x4_5408, PowerWells, Gen7, LocalMemory),
    row(0x4_540c, PowerWells, Gen7, LocalMemory),
    row(0x4_5440, PowerWells, Gen11, LocalMemory),
    row(0x4_5444, PowerWells, Gen11, LocalMemory),
    row(0x4_5450, PowerWells, Gen11, LocalMemory),
    row(0x4_5454, PowerWells, Gen11, LocalMemory),
    row(0x4_6010, FollowsTop, Gen9, LocalMemory),
    row(0x4_6014, FollowsTop, Gen9, LocalMemory),
    row(0x4_6070, FollowsTop, Gen9, LocalMemory),
    row(0xc_6008, SidebandDone, Gen7, Gen8),
    row(mmio::GGC, ReadOnly, Gen6, LocalMemory),
    row(mmio::BDSM, ReadOnly, Gen6, Gen12),
    row(mmio::BDSM + 4, ReadOnly, Gen11, Gen12),
    row(mmio::GSMBASE, ReadOnly, Gen6, Gen12),
    row(mmio::GSMBASE + 4, ReadOnly, Gen6, Gen12),
    row(mmio::STOLEN_RESERVED, ReadOnly, Gen6, Gen12),
    row(0x11_a0d0, EngineReset, LocalMemory, LocalMemory),
    row(0x13_00b0, MaskedAck(0x13_00b4), Gen7, Cherryview),
    row(0x13_00b8, MaskedAck(0x13_00bc), Gen7, Cherryview),
    row(0x13_8124, Mailbox, Gen6, LocalMemory),
    row(mmio::STOLEN_ACCESS, ReadOnly, LocalMemory, LocalMemory),
    row(0x1c_00d0, EngineReset, Gen11, LocalMemory),
    row(0x1c_80d0, EngineReset, Gen11, LocalMemory),
    row(0x1d_00d0, EngineReset, Gen11, LocalMemory),
    row(MEDIA + STEERING, ReadOnly, LocalMemory, LocalMemory),
    row(MEDIA + 0x941c, SelfClear, LocalMemory, LocalMemory),
    row(MEDIA + 0xa188, MaskedAck(MEDIA + 0xdfc), LocalMemory, LocalMemory),
    row(MEDIA + 0xa540, MaskedAck(MEDIA + 0xd50), LocalMemory, LocalMemory),
    row(MEDIA + 0xa548, MaskedAck(MEDIA + 0xd58), LocalMemory, LocalMemory),
    row(MEDIA + 0xa560, MaskedAck(MEDIA + 0xd70), LocalMemory, LocalMemory),
    row(MEDIA + 0xa618, MaskedAck(MEDIA + 0xdf8), LocalMemory, LocalMemory),
];

/// Data of the mailbox at 0x138124.
const MAILBOX_DATA: u64 = 0x13_8128;

impl Row {
    fn applies(&self, class: Class) -> bool {
        (self.first..=self.last).contains(&class)
    }
}

/// Where a write that a register answers to leads: dwords to store, the second at the acknowledge register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stores {
    /// What the register itself holds now.
    pub(crate) own: u32,
    /// Another register that follows, and what it holds now.
    pub(crate) follower: Option<(u64, u32)>,
}

/// What a dword written to `offset` leads to; `read` gives what registers hold. `None`: it is stored as it is.
pub(crate) fn write<E>(
    class: Class,
    offset: u64,
    value: u32,
    mut read: impl FnMut(u64) -> Result<u32, E>,
) -> Result<Option<Stores>, E> {
    let first = ROWS.partition_point(|row| row.offset < offset);
    let mut same = ROWS.iter().skip(first).take_while(|row| row.offset == offset);
    let Some(row) = same.find(|row| row.applies(class)) else {
        return Ok(None);
    };
    let masked = |old: u32| old & !(value >> 16) | value & (value >> 16);
    let own = match row.action {
        MaskedAck(ack) => {
            return Ok(Some(Stores {
                own: value,
                follower: Some((ack, masked(read(ack)?) & 0xffff)),
            }));
        }
        Ack(ack) => {
            return Ok(Some(Stores {
                own: value,
                follower: Some((ack, value & 1)),
            }));
        }
        EngineReset => {
            let now = masked(read(offset)?) & 0xffff;
            if now & 1 != 0 { now | 2 } else { now & !2 }
        }
        SelfClear => 0,
        SidebandDone => value & !0b11,
        PowerWells => value & 0xaaaa_aaaa | (value & 0xaaaa_aaaa) >> 1,
        Mailbox => {
            // Requests for another state of clocks or memory are granted by bit 0 of the data.
            let is_request = matches!(value & 0x8000_00ff, 0x8000_0007 | 0x8000_0021);
            let follower = is_request.then_some((MAILBOX_DATA, 1));
            return Ok(Some(Stores {
                own: value & 0x7fff_ff00,
                follower,
            }));
        }
        FollowsTop => value & !(1 << 30) | value >> 1 & 1 << 30,
        ReadOnly => read(offset)?,
    };
    Ok(Some(Stores { own, follower: None }))
}

/// The pages of BAR0 with registers that answer, by rising offset, each once.
pub(crate) fn trapped_pages(class: Class) -> impl Iterator<Item = u64> {
    let mut before = None;
    ROWS.iter()
        .filter(move |row| row.applies(class))
        .filter_map(move |row| {
            let page = row.offset & !0xfff;
            (before.replace(page) != Some(page)).then_some(page)
        })
}

/// Versions of the blocks of a platform that says them itself: display, graphics and media, as major and minor.
const VERSIONS: [[(u32, u32); 3]; 3] = [
    [(14, 0), (12, 70), (13, 0)],
    [(20, 0), (20, 4), (20, 0)],
    [(30, 0), (30, 0), (30, 0)],
];

/// Where it says them: display, graphics and media.
const VERSION_AT: [u64; 3] = [0x5_10a0, 0xd8c, 0x38_0d8c];

/// What registers hold after a reset: offset and dword.
pub(crate) fn initial(profile: &Profile, ggc: u16, bdsm: u64) -> Vec<(u64, u32)> {
    let Profile {
        class,
        stolen_mib,
        gtt_mib,
        ..
    } = *profile;
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    let mut values = vec![(mmio::GGC, u32::from(ggc))];
    if class == LocalMemory {
        values.extend([(mmio::STOLEN_ACCESS, 1), (STEERING, 1), (MEDIA + STEERING, 1)]);
        let known = VERSIONS
            .iter()
            .find(|[(display, _), ..]| *display == u32::from(profile.display));
        for (at, (major, minor)) in VERSION_AT.iter().zip(known.into_iter().flatten()) {
            values.push((*at, major << 22 | minor << 14));
        }
    } else {
        let gsm = bdsm.saturating_sub(u64::from(gtt_mib) << 20);
        values.push((mmio::BDSM, low(bdsm) | 1));
        values.push((mmio::BDSM + 4, low(bdsm >> 32)));
        values.push((mmio::GSMBASE, low(gsm) | 1));
        values.push((mmio::GSMBASE + 4, low(gsm >> 32)));
        if stolen_mib > 0 {
            // The last MiB, enabled.
            let kept = bdsm.saturating_add(u64::from(stolen_mib - 1) << 20);
            values.push((mmio::STOLEN_RESERVED, low(kept) | 1));
        }
    }
    if class >= Gen9 {
        values.push((mmio::FUSE_STATUS, u32::MAX));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    fn run(class: Class, held: &mut BTreeMap<u64, u32>, offset: u64, value: u32) -> Option<u32> {
        let stores = write(class, offset, value, |at| {
            Ok::<_, Infallible>(*held.get(&at).unwrap_or(&0))
        })
        .unwrap()?;
        held.insert(offset, stores.own);
        held.extend(stores.follower);
        Some(stores.own)
    }

    #[test]
    fn offsets_rise_so_that_searching_finds_them() {
        assert!(ROWS.is_sorted_by(|a, b| a.offset < b.offset || a.offset == b.offset && a.last < b.first));
        assert!(ROWS.iter().all(|row| row.offset % 4 == 0 && row.first <= row.last));
    }

    #[test]
    fn forcewake_is_acknowledged_bit_by_bit() {
        let mut held = BTreeMap::new();
        run(Gen9, &mut held, 0xa278, 0x0001_0001);
        run(Gen9, &mut held, 0xa278, 0x8000_8000);
        assert_eq!(held[&0xd84], 0x8001);
        run(Gen9, &mut held, 0xa278, 0x0001_0000);
        assert_eq!(held[&0xd84], 0x8000);
        assert_eq!(run(Gen8, &mut held, 0xa278, 1), None, "not a register of Broadwell");
        run(Gen6, &mut held, 0xa188, 0x0001_0001);
        assert_eq!(held[&0x13_0040], 1);
        run(Gen7, &mut held, 0xa188, 0x0001_0001);
        assert_eq!(held[&0x13_0044], 1);
        run(Gen6, &mut held, 0xa18c, 1);
        assert_eq!(held[&0x13_0090], 1);
    }

    #[test]
    fn requests_are_followed() {
        let mut held = BTreeMap::new();
        assert_eq!(run(Gen9, &mut held, 0x20d0, 0x0001_0001), Some(3));
        assert_eq!(run(Gen9, &mut held, 0x20d0, 0x0001_0000), Some(0));
        assert_eq!(run(Gen9, &mut held, 0x941c, 1), Some(0));
        assert_eq!(run(Gen9, &mut held, 0x4_5404, 0x2000_0002), Some(0x3000_0003));
        assert_eq!(run(Gen9, &mut held, 0x13_8124, 0x8000_0105), Some(0x100));
        assert!(!held.contains_key(&0x13_8128));
        assert_eq!(run(Gen9, &mut held, 0x13_8124, 0x8000_0021), Some(0));
        assert_eq!(held[&0x13_8128], 1);
        assert_eq!(run(Gen9, &mut held, 0x4_6010, 0x8000_0000), Some(0xc000_0000));
        assert_eq!(run(Gen9, &mut held, 0x4_6010, 0x4000_0000), Some(0));
        assert_eq!(run(Gen7, &mut held, 0xc_6008, 0x0000_0603), Some(0x600));
        held.insert(mmio::BDSM, 0x8b80_0001);
        assert_eq!(run(Gen9, &mut held, mmio::BDSM, 0), Some(0x8b80_0001));
    }

    #[test]
    fn trapped_pages_rise() {
        for profile in crate::Profile::all() {
            let pages: Vec<u64> = trapped_pages(profile.class).collect();
            assert!(pages.is_sorted_by(|a, b| a < b), "{}", profile.name);
            assert!(pages.contains(&0x10_8000) && pages.len() < 20);
            assert!(
                pages
                    .iter()
                    .all(|page| page + 0x1000 <= profile.class.registers_len() / 2)
            );
        }
    }
}
