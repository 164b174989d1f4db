// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Capabilities of one function.

use pci_model::Bdf;

use crate::record::recorder::{Recorded, Recorder, cfg};
use crate::trace::Space::Cfg;
use crate::trace::Width::{B2, B4};

/// Offset of the last dword of configuration space.
const LAST: u64 = 0xfc;
/// Initiate function level reset, in the dword of device control and status.
const FUNCTION_LEVEL_RESET: u64 = 0x8000;

/// Exercises the capability `id` at `at`.
pub(super) fn run(rec: &mut Recorder<'_>, bdf: Bdf, id: u64, at: u64) -> Recorded {
    let cap = Capability { bdf, at };
    match id {
        0x01 => cap.power_management(rec),
        0x05 => cap.msi(rec),
        0x10 => cap.express(rec),
        0x11 => cap.msix(rec),
        _ => cap.other(rec, id),
    }
}

struct Capability {
    bdf: Bdf,
    at: u64,
}

impl Capability {
    fn register(&self, offset: u64) -> u64 {
        cfg(self.bdf, self.at + offset)
    }

    /// Dwords of the capability from `start` up to `end` that lie in configuration space.
    fn dwords(&self, start: u64, end: u64) -> impl Iterator<Item = u64> + use<> {
        let at = self.at;
        (start..end).step_by(4).take_while(move |offset| at + offset <= LAST)
    }

    fn control(&self, rec: &mut Recorder<'_>, values: &[u64]) -> Recorded {
        for value in values {
            rec.w(Cfg, self.register(2), B2, *value)?;
            rec.r(Cfg, self.register(0), B4)?;
        }
        Ok(())
    }

    fn msi(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("cap.msi", "message control, address, data, masks");
        let control = rec.r(Cfg, self.register(2), B2)?;
        self.control(rec, &[0xffff, 0x0000, 0x0001, 0x0070, 0x0071, 0x0080, 0])?;
        let masks_per_vector = control & 0x100 != 0;
        for offset in self.dwords(4, if masks_per_vector { 0x18 } else { 0x10 }) {
            for value in [0xffff_ffff, 0, 0xfee0_1004, 0x0000_4123, 0] {
                rec.w(Cfg, self.register(offset), B4, value)?;
                rec.r(Cfg, self.register(offset), B4)?;
            }
        }
        Ok(())
    }

    fn msix(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("cap.msix", "message control, table and PBA pointers");
        self.control(rec, &[0xffff, 0, 0x8000, 0x4000, 0xc000, 0x07ff, 0])?;
        for offset in [4, 8] {
            rec.w(Cfg, self.register(offset), B4, 0xffff_ffff)?;
            rec.r(Cfg, self.register(offset), B4)?;
        }
        Ok(())
    }

    fn power_management(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("cap.pm", "power state, PME status and data bits");
        let command = cfg(self.bdf, 4);
        rec.w(Cfg, command, B2, 3)?;
        for value in [0xffff, 0, 1, 0, 2, 0, 3, 1, 3, 0, 0x8100, 0x0100, 0] {
            rec.w(Cfg, self.register(4), B2, value)?;
            rec.r(Cfg, self.register(0), B4)?;
            rec.r(Cfg, self.register(4), B4)?;
            rec.r(Cfg, command, B2)?;
            rec.map(self.bdf)?;
        }
        Ok(())
    }

    fn express(&self, rec: &mut Recorder<'_>) -> Recorded {
        rec.section("cap.pcie", "device and link registers");
        for offset in self.dwords(0, 0x3c) {
            let at = self.register(offset);
            let old = rec.peek(Cfg, at, B4)?;
            let ones = if offset == 8 {
                0xffff_ffff & !FUNCTION_LEVEL_RESET
            } else {
                0xffff_ffff
            };
            for value in [ones, 0] {
                rec.w(Cfg, at, B4, value)?;
                rec.r(Cfg, at, B4)?;
            }
            rec.w(Cfg, at, B4, old)?;
        }
        Ok(())
    }

    fn other(&self, rec: &mut Recorder<'_>, id: u64) -> Recorded {
        rec.section("cap.other", &format!("capability id 0x{id:02x}"));
        for offset in self.dwords(0, 16) {
            rec.r(Cfg, self.register(offset), B4)?;
        }
        Ok(())
    }
}
