// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The DMA interface of `fw_cfg`.

use super::fwcfg::{DATA, Files, OPREGION, SIGNATURE, STOLEN_SIZE, TEST, VMCOREINFO, select};
use crate::record::mt19937::Mt19937;
use crate::record::recorder::{Recorded, Recorder};
use crate::trace::Space::Io;
use crate::trace::Width::{self, B1, B2, B4};

// QEMU docs/specs/fw_cfg, "DMA Interface".
const REGISTER_HIGH: u64 = 0x514;
const REGISTER_LOW: u64 = 0x518;
pub(super) const ERROR: u32 = 1;
pub(super) const READ: u32 = 2;
pub(super) const SKIP: u32 = 4;
pub(super) const SELECT: u32 = 8;
pub(super) const WRITE: u32 = 16;
const FIRST_RESERVED_BIT: u32 = 5;
const WRITE_CHANNEL: u16 = 0x4000;
const ABSENT: u16 = 0x3fff;

/// Where descriptors are put.
pub(super) const DESCRIPTOR: u64 = 0x10000;

/// Control word that selects an item.
pub(super) fn item(key: u16, command: u32) -> u32 {
    u32::from(key) << 16 | SELECT | command
}

/// Length of a transfer.
fn short(len: u32) -> usize {
    usize::try_from(len).unwrap_or_default()
}

/// Half of an address as the register, which is big-endian, takes it.
fn register_half(addr: u64, shift: u32) -> u64 {
    u32::try_from(addr >> shift & u64::from(u32::MAX))
        .unwrap_or_default()
        .swap_bytes()
        .into()
}

/// One transfer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dma {
    control: u32,
    len: u32,
    addr: u64,
    descriptor: u64,
    high: bool,
    back: Option<(u64, usize)>,
}

impl Dma {
    pub(super) fn new(control: u32, len: u32, addr: u64) -> Self {
        Self {
            control,
            len,
            addr,
            descriptor: DESCRIPTOR,
            high: true,
            back: None,
        }
    }

    /// The descriptor lies elsewhere.
    pub(super) fn at(self, descriptor: u64) -> Self {
        Self { descriptor, ..self }
    }

    /// The upper half of the register is not written.
    fn low_only(self) -> Self {
        Self { high: false, ..self }
    }

    /// RAM to look at afterwards.
    pub(super) fn back(self, addr: u64, len: usize) -> Self {
        Self {
            back: Some((addr, len)),
            ..self
        }
    }

    fn words(&self) -> Vec<u8> {
        [self.control.to_be_bytes(), self.len.to_be_bytes()]
            .into_iter()
            .flatten()
            .chain(self.addr.to_be_bytes())
            .collect()
    }

    pub(super) fn run(self, rec: &mut Recorder<'_>) -> Recorded {
        rec.wb(self.descriptor, &self.words())?;
        if self.high {
            rec.w(Io, REGISTER_HIGH, B4, register_half(self.descriptor, 32))?;
        }
        rec.w(Io, REGISTER_LOW, B4, register_half(self.descriptor, 0))?;
        rec.rb(self.descriptor, 16)?;
        match self.back {
            Some((addr, len)) => rec.rb(addr, len),
            None => Ok(()),
        }
    }
}

/// What all parts work with.
struct Setup {
    opregion: (u16, u32),
    stolen: (u16, u32),
    test: (u16, u32),
    writable: Option<(u16, u32)>,
    /// Buffer in guest RAM.
    buffer: u64,
    /// One more place for a descriptor.
    other: u64,
    ram: u64,
}

/// Runs all parts and returns the address of the buffer.
pub(super) fn run(rec: &mut Recorder<'_>, ram: u64, files: &Files, rng: &mut Mt19937) -> Recorded<u64> {
    rec.section("fwcfg.dma-signature", "reads of the DMA register");
    for offset in 0..8 {
        for (width, len) in [(B1, 1), (B2, 2), (B4, 4)] {
            if offset + len <= 8 {
                rec.r(Io, REGISTER_HIGH + offset, width)?;
            }
        }
    }
    let setup = Setup {
        opregion: files.get(OPREGION)?,
        stolen: files.get(STOLEN_SIZE)?,
        test: files.get(TEST)?,
        writable: files.find(VMCOREINFO),
        buffer: 0x20_0000 + (u64::from(rng.below(256)) << 12),
        other: DESCRIPTOR + (u64::from(rng.below(64)) << 4),
        ram,
    };
    setup.reads(rec)?;
    setup.skips(rec)?;
    setup.commands(rec)?;
    setup.read_only(rec)?;
    if let Some((key, size)) = setup.writable {
        setup.writes(rec, key, size, rng)?;
    }
    setup.descriptors(rec)?;
    setup.outside_of_ram(rec)?;
    setup.edges(rec)?;
    Ok(setup.buffer)
}

impl Setup {
    fn reads(&self, rec: &mut Recorder<'_>) -> Recorded {
        let buffer = self.buffer;
        let (key, size) = self.opregion;
        rec.section("fwcfg.dma-read-select", "select and read in one transfer");
        rec.fb(buffer, 12288, 0xee)?;
        Dma::new(item(key, READ), size, buffer)
            .back(buffer, short(size) + 16)
            .run(rec)?;
        let (key, _) = self.test;
        rec.section("fwcfg.dma-read-continues", "a second read goes on at the offset");
        Dma::new(item(key, READ), 3, buffer).back(buffer, 8).run(rec)?;
        Dma::new(READ, 4, buffer).back(buffer, 8).run(rec)?;
        rec.rs(DATA, 2)?;
        Dma::new(READ, 2, buffer).back(buffer, 8).run(rec)?;
        let (key, size) = self.stolen;
        rec.section("fwcfg.dma-read-past-end", "bytes past the end are zeros");
        rec.fb(buffer, 64, 0xee)?;
        Dma::new(item(key, READ), size.saturating_add(12), buffer)
            .back(buffer, 32)
            .run(rec)?;
        Dma::new(READ, 4, buffer + 24).back(buffer, 32).run(rec)?;
        rec.section("fwcfg.dma-read-unknown-key", "an absent item reads as zeros");
        rec.fb(buffer, 64, 0xee)?;
        Dma::new(item(ABSENT, READ), 8, buffer).back(buffer, 16).run(rec)?;
        let (key, _) = self.test;
        rec.section("fwcfg.dma-read-zero-length", "a transfer of no bytes");
        Dma::new(item(key, READ), 0, buffer).back(buffer, 16).run(rec)?;
        rec.rs(DATA, 2)?;
        Ok(())
    }

    fn skips(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("fwcfg.dma-skip", "skip moves the offset");
        Dma::new(item(self.opregion.0, SKIP), 0x300, self.buffer)
            .back(self.buffer, 16)
            .run(rec)?;
        rec.rs(DATA, 4)?;
        Dma::new(SKIP, 0x100, 0).run(rec)?;
        rec.rs(DATA, 4)?;
        rec.section("fwcfg.dma-skip-past-end", "skip further than the item is long");
        let (key, size) = self.test;
        for len in [size.saturating_add(1), u32::MAX] {
            Dma::new(item(key, SKIP), len, 0).run(rec)?;
            rec.rs(DATA, 2)?;
        }
        Ok(())
    }

    fn commands(&self, rec: &mut Recorder<'_>) -> Recorded {
        let buffer = self.buffer;
        let (test, _) = self.test;
        rec.section("fwcfg.dma-select-only", "select with no transfer");
        Dma::new(item(SIGNATURE, 0), 4, buffer).back(buffer, 8).run(rec)?;
        rec.rs(DATA, 4)?;
        Dma::new(item(SIGNATURE, 0), 0, 0).run(rec)?;
        rec.rs(DATA, 4)?;
        rec.section("fwcfg.dma-no-operation", "control without a command bit");
        for control in [0, 0xffff_0000] {
            Dma::new(control, 16, buffer).back(buffer, 16).run(rec)?;
        }
        rec.section("fwcfg.dma-error-bit-in", "the error bit is set by the guest");
        select(rec, SIGNATURE)?;
        for control in [ERROR, ERROR | READ] {
            Dma::new(control, 4, buffer).back(buffer, 8).run(rec)?;
        }
        rec.section("fwcfg.dma-command-priority", "several command bits at once");
        for command in [READ | SKIP, READ | WRITE, SKIP | WRITE, READ | WRITE | SKIP] {
            rec.fb(buffer, 16, 0xee)?;
            Dma::new(item(test, command), 3, buffer).back(buffer, 8).run(rec)?;
            rec.rs(DATA, 1)?;
        }
        rec.section("fwcfg.dma-reserved-bits", "control bits 5 to 15");
        rec.fb(buffer, 16, 0xee)?;
        for bit in FIRST_RESERVED_BIT..16 {
            Dma::new(item(test, READ | 1 << bit), 4, buffer)
                .back(buffer, 4)
                .run(rec)?;
        }
        Ok(())
    }

    fn read_only(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("fwcfg.dma-write-read-only", "write to an item that is read-only");
        let (key, size) = self.test;
        rec.wb(self.buffer, b"WXYZ")?;
        Dma::new(item(key, WRITE), 4, self.buffer).run(rec)?;
        rec.rs(DATA, 2)?;
        select(rec, key)?;
        rec.rs(DATA, size.min(8))?;
        Dma::new(item(SIGNATURE, WRITE), 4, self.buffer).run(rec)?;
        select(rec, SIGNATURE)?;
        rec.rs(DATA, 4)?;
        Ok(())
    }

    fn writes(&self, rec: &mut Recorder<'_>, key: u16, size: u32, rng: &mut Mt19937) -> Recorded {
        let buffer = self.buffer;
        let show = |rec: &mut Recorder<'_>| -> Recorded {
            select(rec, key)?;
            rec.rs(DATA, size)?;
            Ok(())
        };
        rec.section("fwcfg.dma-write", "write to a writable item");
        rec.wb(buffer, &rng.bytes(short(size)))?;
        Dma::new(item(key, WRITE), size, buffer).run(rec)?;
        rec.rs(DATA, 2)?;
        show(rec)?;
        rec.section("fwcfg.dma-write-offset", "skip, then write inside the item");
        rec.wb(buffer, &[0xa1, 0xa2, 0xa3, 0xa4])?;
        Dma::new(item(key, SKIP), 5, 0).run(rec)?;
        Dma::new(WRITE, 4, buffer).run(rec)?;
        show(rec)?;
        rec.section("fwcfg.dma-write-too-long", "write past the end of the item");
        rec.wb(buffer, &rng.bytes(short(size) + 8))?;
        Dma::new(item(key, WRITE), size.saturating_add(1), buffer).run(rec)?;
        rec.rs(DATA, 2)?;
        show(rec)?;
        Dma::new(item(key, SKIP), size.saturating_sub(2), 0).run(rec)?;
        Dma::new(WRITE, 4, buffer).run(rec)?;
        show(rec)?;
        rec.section("fwcfg.dma-write-key-bit14", "write with the write channel bit");
        Dma::new(item(key | WRITE_CHANNEL, WRITE), size, buffer).run(rec)?;
        show(rec)?;
        rec.section("fwcfg.dma-write-zero-length", "write of no bytes");
        Dma::new(item(key, WRITE), 0, buffer).run(rec)?;
        rec.rs(DATA, size)?;
        Ok(())
    }

    fn descriptors(&self, rec: &mut Recorder<'_>) -> Recorded {
        // Port, width: parts of the register, and accesses that reach over its ends.
        const PARTS: [(u64, Width); 8] = [
            (0x518, B1),
            (0x518, B2),
            (0x51a, B2),
            (0x51b, B1),
            (0x514, B2),
            (0x516, B4),
            (0x51a, B4),
            (0x515, B4),
        ];
        let buffer = self.buffer;
        let read = Dma::new(item(self.test.0, READ), 6, buffer);
        rec.section("fwcfg.dma-descriptor-place", "descriptor at other addresses");
        for descriptor in [self.other, 0x10ff8, 0x20001, 0x9f000, buffer + 0x2000 - 9] {
            rec.fb(buffer, 16, 0xee)?;
            read.at(descriptor).back(buffer, 8).run(rec)?;
        }
        let low_only = read.low_only().back(buffer, 8);
        rec.section(
            "fwcfg.dma-high-register-default",
            "without a write to 0x514 the upper half is zero",
        );
        low_only.run(rec)?;
        rec.section(
            "fwcfg.dma-high-register-sticky",
            "the upper half is cleared by every transfer",
        );
        rec.w(Io, REGISTER_HIGH, B4, u64::from(0x7f_u32.swap_bytes()))?;
        low_only.run(rec)?;
        low_only.run(rec)?;
        rec.section(
            "fwcfg.dma-half-writes",
            "8-bit and 16-bit writes to the DMA register start nothing",
        );
        for (port, width) in PARTS {
            rec.fb(buffer, 16, 0xee)?;
            rec.wb(DESCRIPTOR, &read.words())?;
            rec.w(Io, port, width, register_half(DESCRIPTOR, 0) >> (8 * (port & 3)))?;
            rec.rb(DESCRIPTOR, 16)?;
            rec.rb(buffer, 8)?;
        }
        read.back(buffer, 8).run(rec)
    }

    fn outside_of_ram(&self, rec: &mut Recorder<'_>) -> Recorded {
        let (test, _) = self.test;
        rec.section("fwcfg.dma-bad-descriptor", "descriptor outside of RAM");
        for descriptor in [0xd000_0000, 0xf_ffff_ff00, 1 << 52] {
            select(rec, SIGNATURE)?;
            rec.w(Io, REGISTER_HIGH, B4, register_half(descriptor, 32))?;
            rec.w(Io, REGISTER_LOW, B4, register_half(descriptor, 0))?;
            rec.rs(DATA, 4)?;
        }
        rec.section("fwcfg.dma-bad-buffer", "buffer outside of RAM");
        for addr in [0xd000_0000, 1 << 40, 0xffff_ffff_ffff_f000] {
            for command in [READ, SKIP] {
                Dma::new(item(test, command), 4, addr).run(rec)?;
                rec.rs(DATA, 2)?;
            }
            if let Some((key, size)) = self.writable {
                Dma::new(item(key, WRITE), size, addr).run(rec)?;
                select(rec, key)?;
                rec.rs(DATA, size)?;
            }
        }
        Ok(())
    }

    fn edges(&self, rec: &mut Recorder<'_>) -> Recorded {
        let top = self.ram;
        let control = item(self.test.0, READ);
        rec.section("fwcfg.dma-buffer-ends-at-ram", "buffer at the last bytes of RAM");
        for (before_end, look_at) in [(8, 16), (4, 12)] {
            rec.fb(top - 16, 16, 0xee)?;
            Dma::new(control, 8, top - before_end)
                .back(top - 16, look_at)
                .run(rec)?;
        }
        rec.section("fwcfg.dma-buffer-over-descriptor", "buffer that covers the descriptor");
        let start = DESCRIPTOR - 32;
        Dma::new(item(self.opregion.0, READ), 64, start)
            .back(start, 64)
            .run(rec)
    }
}
