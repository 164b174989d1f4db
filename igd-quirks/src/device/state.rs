// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved state.

use super::gtt_port::{GttPort, NO_INDEX};
use super::registers::Registers;
use super::setup::BdsmSetup;
use super::{IgdDevice, RestoreError};

/// Saved state of an [`IgdDevice`]: what its guest has written, and the values it cannot write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct IgdDeviceStateV1 {
    /// GGC, if it is emulated.
    pub ggc: Option<u16>,
    /// What is behind GGC, if it is emulated.
    pub ggc_high: Option<u16>,
    /// Base of stolen memory.
    pub bdsm: BdsmSetup,
    /// Address of the OpRegion, if it is emulated.
    pub asls: Option<u32>,
    /// The selected index of the GTT port, or all ones.
    pub gtt_index: u32,
}

impl IgdDevice {
    /// The state to save.
    #[must_use]
    pub fn state(&self) -> IgdDeviceStateV1 {
        let Self {
            power_on: _,
            rules: _,
            redirects: _,
            redirected: _,
            registers:
                Registers {
                    ggc,
                    ggc_high,
                    bdsm,
                    asls,
                    hide_swsci: _,
                    ggc_mirror: _,
                    bdsm_mirror: _,
                    windows: _,
                },
            gtt_port,
        } = *self;
        IgdDeviceStateV1 {
            ggc,
            ggc_high,
            bdsm,
            asls,
            gtt_index: gtt_port.map_or(NO_INDEX, |GttPort { index, .. }| index),
        }
    }

    /// Puts a saved state into this device, whose setup must be that of the saved one.
    ///
    /// # Errors
    ///
    /// The state is one of another setup; the device is unchanged.
    pub fn restore(&mut self, state: &IgdDeviceStateV1) -> Result<(), RestoreError> {
        let IgdDeviceStateV1 {
            ggc,
            ggc_high,
            bdsm,
            asls,
            gtt_index,
        } = *state;
        let registers = &mut self.registers;
        for (register, expected, found) in [("GGC", registers.ggc, ggc), ("52h", registers.ggc_high, ggc_high)] {
            if expected != found {
                return Err(RestoreError::ReadOnly {
                    register,
                    expected,
                    found,
                });
            }
        }
        if core::mem::discriminant(&registers.bdsm) != core::mem::discriminant(&bdsm) {
            let expected = registers.bdsm;
            return Err(RestoreError::Bdsm { expected, found: bdsm });
        }
        if registers.asls.is_some() != asls.is_some() {
            return Err(RestoreError::Asls { found: asls });
        }
        match &mut self.gtt_port {
            Some(port) => port.index = gtt_index,
            None if gtt_index == NO_INDEX => {}
            None => return Err(RestoreError::GttIndex { found: gtt_index }),
        }
        (registers.bdsm, registers.asls) = (bdsm, asls);
        Ok(())
    }
}
