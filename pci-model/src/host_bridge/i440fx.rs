// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The i440FX host bridge, 8086:1237.
//!
//! ```text
//! 57      RAM size in 8 MiB (QEMU)       59..5F  PAM0..6
//! 72      SMRAM: 6 open | 5 closed | 4 lock | 3 enable | 2:0 = 010
//! ```
//!
//! *Intel 440FX PCIset* (290549), section 3.2. DRAM timing and error registers do not exist here: a VM has nothing
//! behind them.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder, Identity};
use crate::effects::Effects;
use crate::function::Function;
use crate::host_bridge::pam::{PAM_REGISTERS, PAM_WRITABLE, Pam};
use crate::host_bridge::q35::Smram;
use crate::registers::ImmutableByte;
use crate::rules::Rules;
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

const RAM_SIZE: u16 = 0x57;
const PAM0: u16 = 0x59;
const SMRAM: u16 = 0x72;
const SMRAM_INITIAL: u8 = 0x02;
const SMRAM_WRITABLE: u8 = 0x78;
const SMRAM_WRITABLE_LOCKED: u8 = 0x00;

/// The i440FX host bridge.
///
/// Under QEMU's rules every byte from 0x40 on is storage, SMRAM has no lock, and PAM and SMRAM keep their values over a
/// reset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct I440Fx {
    function: Function<256>,
    rules: Rules,
}

impl I440Fx {
    /// The bridge of a machine with `ram_size` bytes of RAM, which QEMU shows to firmware in units of 8 MiB.
    ///
    /// # Errors
    ///
    /// None for any argument; the result is that of the builder.
    pub fn new(subsystem: (u16, u16), ram_size: u64, rules: Rules) -> Result<Self, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x1237,
            revision: 0x02,
            class: 0x06_0000,
            subsystem_vendor: subsystem.0,
            subsystem: subsystem.1,
            interrupt_pin: 0,
        };
        let mut bridge = Self::from_builder(FunctionBuilder::new(identity), rules)?;
        let units = u8::try_from(ram_size >> 23).unwrap_or(u8::MAX);
        bridge.function.registers_mut().set(RAM_SIZE, &[units]);
        Ok(bridge)
    }

    /// A bridge with these configuration bytes.
    ///
    /// # Errors
    ///
    /// The header type of the image is not 0.
    pub fn from_image(image: &[u8; 256], rules: Rules) -> Result<Self, BuildError> {
        let mut bridge = Self::from_builder(FunctionBuilder::from_image(image), rules)?;
        for at in (0x40..0x100).filter(|at| *at != SMRAM) {
            let byte = image.get(usize::from(at)).copied().unwrap_or(0);
            bridge.function.registers_mut().set(at, &[byte]);
        }
        Ok(bridge)
    }

    fn from_builder(builder: FunctionBuilder<256>, rules: Rules) -> Result<Self, BuildError> {
        let mut function = builder.rules(rules).build()?;
        let registers = function.registers_mut();
        registers.set(SMRAM, &[SMRAM_INITIAL]);
        if !rules.is_qemu() {
            registers.set(PAM0, &[0; 7]);
            registers.set_writable(PAM0, &PAM_WRITABLE);
            registers.set_writable(SMRAM, &[SMRAM_WRITABLE]);
        }
        Ok(Self { function, rules })
    }

    /// Shadow RAM attributes.
    #[must_use]
    pub fn pam(&self) -> Pam {
        Pam::read(self.function.registers(), PAM0, self.rules)
    }

    /// SMRAM control.
    #[must_use]
    pub fn smram(&self) -> Smram {
        Smram::from_bits(self.function.registers().u8(SMRAM))
    }

    /// The registers, to look at.
    #[must_use]
    pub fn function(&self) -> &Function<256> {
        &self.function
    }

    /// The function, to give it another identity.
    pub fn function_mut(&mut self) -> &mut Function<256> {
        &mut self.function
    }

    /// The state to save.
    #[must_use]
    pub fn state(&self) -> FunctionStateV1<256> {
        let Self { function, rules: _ } = self;
        function.state()
    }

    /// Puts a saved state in place.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this bridge has not.
    pub fn restore(&mut self, state: &FunctionStateV1<256>) -> Result<Effects, ImmutableByte> {
        // The mask of SMRAM follows from its lock bit, not from the past.
        self.set_smram_mask(SMRAM_WRITABLE);
        let (pam, smram) = (self.pam(), self.smram());
        let effects = self.function.restore(state);
        self.lock_smram();
        Ok(effects? | self.differences(pam, smram))
    }

    fn set_smram_mask(&mut self, mask: u8) {
        if !self.rules.is_qemu() {
            // What a reset restores stays, even while the lock bit forbids to write it.
            self.function.registers_mut().set_writable(SMRAM, &[mask]);
            self.function.registers_mut().set_volatile(SMRAM, &[SMRAM_WRITABLE]);
        }
    }

    fn lock_smram(&mut self) {
        if self.rules.is_qemu() || !self.smram().locked {
            return;
        }
        let unlocked = self.function.registers().u8(SMRAM) & !Smram::OPEN;
        self.function.registers_mut().set_now(SMRAM, &[unlocked]);
        self.set_smram_mask(SMRAM_WRITABLE_LOCKED);
    }

    fn differences(&self, pam: Pam, smram: Smram) -> Effects {
        let mut effects = Effects::empty();
        effects.set(Effects::PAM, pam != self.pam());
        effects.set(Effects::SMRAM, smram != self.smram());
        effects
    }
}

impl ConfigSpace for I440Fx {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        if !at.overlaps(PAM0, PAM0 + PAM_REGISTERS) && !at.overlaps(SMRAM, SMRAM + 1) {
            return self.function.config_write(at, value);
        }
        let (pam, smram) = (self.pam(), self.smram());
        let effects = self.function.config_write(at, value);
        self.lock_smram();
        effects | self.differences(pam, smram)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        let (pam, smram) = (self.pam(), self.smram());
        let effects = self.function.reset();
        self.set_smram_mask(SMRAM_WRITABLE);
        effects | self.differences(pam, smram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    #[test]
    fn bits_that_no_segment_follows_have_no_effect() {
        let mut bridge = I440Fx::new((0, 0), 1 << 30, Rules::Qemu11).unwrap();
        let pam0 = ConfigAccess::new(PAM0, Width::Byte).unwrap();
        assert_eq!(bridge.config_write(pam0, 0xcf), Effects::empty(), "reserved");
        assert_eq!(bridge.config_write(pam0, 0x20), Effects::PAM);
        assert_eq!(
            bridge.config_write(pam0, 0x30),
            Effects::empty(),
            "the same under QEMU's rules"
        );
    }
}
