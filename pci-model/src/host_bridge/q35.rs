// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The Q35 memory controller hub, 8086:29C0.
//!
//! ```text
//! 50  extended TSEG in MiB (QEMU): write FFFF, read the size
//! 60  PCIEXBAR, 8 bytes: 35:26 base | 2:1 length: 256, 128, 64 MiB | 0 enable
//! 90  PAM0..6
//! 9C  SMRAM at SMBASE (QEMU): write FF, read 01 if supported; bit 1 locks
//! 9D  SMRAM: 6 open | 5 closed | 4 lock | 3 enable | 2:0 = 010
//! 9E  ESMRAMC: 7 high SMRAM | 6 error | 5:3 = 111 | 2:1 TSEG size | 0 TSEG enable
//! ```
//!
//! *Intel 4 Series Chipset Family Datasheet* (319970), section 5.1.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder, Identity};
use crate::ecam::EcamWindow;
use crate::effects::Effects;
use crate::function::Function;
use crate::host_bridge::pam::{PAM_REGISTERS, PAM_WRITABLE, Pam};
use crate::registers::ImmutableByte;
use crate::rules::Rules;
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

const EXT_TSEG: u16 = 0x50;
const PCIEXBAR: u16 = 0x60;
const PCIEXBAR_INITIAL: u64 = 0xb000_0000;
const PCIEXBAR_WRITABLE: u64 = 0xf_fc00_0007;
const PCIEXBAR_BASE: u64 = 0xf_f000_0000;
const PAM0: u16 = 0x90;
const SMBASE: u16 = 0x9c;
const SMBASE_QUERY: u8 = 0xff;
const SMBASE_IN_RAM: u8 = 0x01;
const SMBASE_LOCK: u8 = 0x02;
const SMRAM: u16 = 0x9d;
const SMRAM_INITIAL: u8 = 0x02;
const SMRAM_WRITABLE: u8 = 0x78;
const SMRAM_WRITABLE_LOCKED: u8 = 0x20;
const ESMRAMC: u16 = 0x9e;
const ESMRAMC_INITIAL: u8 = 0x38;
const ESMRAMC_WRITABLE: u8 = 0x87;

/// System management RAM at 0xA0000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Smram {
    /// Visible to everyone, not only in system management mode.
    pub open: bool,
    /// Data accesses go to the display even in system management mode.
    pub closed: bool,
    /// Cannot be opened until a reset.
    pub locked: bool,
    /// There is SMRAM at all.
    pub enabled: bool,
}

impl Smram {
    pub(crate) const OPEN: u8 = 1 << 6;

    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self {
            open: bits & Self::OPEN != 0,
            closed: bits & 1 << 5 != 0,
            locked: bits & 1 << 4 != 0,
            enabled: bits & 1 << 3 != 0,
        }
    }
}

/// The Q35 memory controller hub.
///
/// Its window for configuration accesses is [`ecam`](Self::ecam). A reserved length in PCIEXBAR leaves the window where
/// it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Q35 {
    // Fixed at build time.
    rules: Rules,
    ext_tseg_mib: u16,
    // Volatile state.
    function: Function<256>,
    ecam: Option<EcamWindow>,
}

/// Saved state of a [`Q35`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Q35StateV1 {
    /// The configuration bytes.
    pub function: FunctionStateV1<256>,
    /// The window, which a reserved length lets differ from what PCIEXBAR says.
    pub ecam: Option<EcamWindow>,
}

/// A saved state that no hub can be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Q35StateError {
    /// A byte has read-only bits that this hub has not.
    #[error(transparent)]
    Register(#[from] ImmutableByte),
    /// PCIEXBAR does not lead to the window.
    #[error("PCIEXBAR {pciexbar:#x} does not lead to the saved configuration window {window:x?}")]
    Window {
        /// The saved register.
        pciexbar: u64,
        /// The saved window.
        window: Option<EcamWindow>,
    },
}

impl Q35 {
    /// The hub. `ext_tseg_mib` is what firmware reads as the size of extended TSEG; 0 for none.
    ///
    /// # Errors
    ///
    /// None for any argument; the result is that of the builder.
    pub fn new(subsystem: (u16, u16), ext_tseg_mib: u16, rules: Rules) -> Result<Self, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x29c0,
            revision: 0,
            class: 0x06_0000,
            subsystem_vendor: subsystem.0,
            subsystem: subsystem.1,
            interrupt_pin: 0,
        };
        Self::from_builder(FunctionBuilder::new(identity), ext_tseg_mib, rules)
    }

    /// A hub with these configuration bytes, from which the identity and the size of extended TSEG are taken.
    ///
    /// # Errors
    ///
    /// The header type of the image is not 0.
    pub fn from_image(image: &[u8; 256], rules: Rules) -> Result<Self, BuildError> {
        let tseg = image
            .get(usize::from(EXT_TSEG)..)
            .and_then(|b| b.first_chunk())
            .copied()
            .unwrap_or([0; 2]);
        Self::from_builder(FunctionBuilder::from_image(image), u16::from_le_bytes(tseg), rules)
    }

    fn from_builder(builder: FunctionBuilder<256>, ext_tseg_mib: u16, rules: Rules) -> Result<Self, BuildError> {
        let mut function = builder.rules(rules).build()?;
        let registers = function.registers_mut();
        registers.set(EXT_TSEG, &ext_tseg_mib.to_le_bytes());
        registers.set(PCIEXBAR, &PCIEXBAR_INITIAL.to_le_bytes());
        registers.set(SMBASE, &[0]);
        registers.set(SMRAM, &[SMRAM_INITIAL]);
        registers.set(ESMRAMC, &[ESMRAMC_INITIAL]);
        if rules.is_qemu() {
            registers.set_writable(PCIEXBAR, &[0xff; 8]);
        } else {
            registers.set_writable(PCIEXBAR, &PCIEXBAR_WRITABLE.to_le_bytes());
            registers.set(PAM0, &[0; 7]);
            registers.set_writable(PAM0, &PAM_WRITABLE);
        }
        let mut bridge = Self {
            rules,
            ext_tseg_mib,
            function,
            ecam: None,
        };
        bridge.unlock();
        Ok(bridge)
    }

    /// Gives the registers that lock themselves the masks they have after a reset.
    fn unlock(&mut self) {
        let smbase = if self.rules.is_qemu() || self.ext_tseg_mib != 0 {
            0xff
        } else {
            0
        };
        let tseg = if self.rules.is_qemu() || self.ext_tseg_mib != 0 {
            [0xff; 2]
        } else {
            [0; 2]
        };
        let registers = self.function.registers_mut();
        registers.set_writable(EXT_TSEG, &tseg);
        registers.set_writable(SMBASE, &[smbase]);
        registers.set_writable(SMRAM, &[SMRAM_WRITABLE]);
        registers.set_writable(ESMRAMC, &[ESMRAMC_WRITABLE]);
        // A reset restores them even while they are locked.
        registers.set_volatile(EXT_TSEG, &[0xff; 2]);
        registers.set_volatile(SMBASE, &[0xff]);
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

    /// Size of the system management RAM at the top of low memory, in bytes, or `None` while it is disabled or
    /// empty.
    #[must_use]
    pub fn tseg(&self) -> Option<u64> {
        let esmramc = self.function.registers().u8(ESMRAMC);
        let mib = match (esmramc & 1, esmramc >> 1 & 3) {
            (0, _) => return None,
            (_, 0) => 1,
            (_, 1) => 2,
            (_, 2) => 8,
            _ => u64::from(self.ext_tseg_mib),
        };
        (mib != 0).then_some(mib << 20)
    }

    /// The window for configuration accesses, or `None` while it is closed.
    #[must_use]
    pub fn ecam(&self) -> Option<EcamWindow> {
        self.ecam
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
    pub fn state(&self) -> Q35StateV1 {
        let Self {
            rules: _,
            ext_tseg_mib: _,
            function,
            ecam,
        } = self;
        Q35StateV1 {
            function: function.state(),
            ecam: *ecam,
        }
    }

    /// Puts a saved state in place.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this hub has not, or PCIEXBAR does not lead to the window. The hub is
    /// unchanged.
    pub fn restore(&mut self, state: &Q35StateV1) -> Result<Effects, Q35StateError> {
        let Q35StateV1 { function, ecam } = state;
        let pciexbar = function
            .config
            .get(usize::from(PCIEXBAR)..)
            .and_then(|b| b.first_chunk());
        let pciexbar = pciexbar.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if !could_lead_to(pciexbar, *ecam, self.rules) {
            return Err(Q35StateError::Window {
                pciexbar,
                window: *ecam,
            });
        }
        let before = self.marks();
        self.unlock();
        let restored = self.function.restore(function);
        self.lock_smram();
        self.mask_smbase();
        let effects = restored?;
        self.ecam = *ecam;
        Ok(effects | self.differences(&before))
    }

    fn update_ecam(&mut self) {
        let registers = self.function.registers();
        let value = u64::from(registers.u32(PCIEXBAR + 4)) << 32 | u64::from(registers.u32(PCIEXBAR));
        if let Some(window) = window(value, self.rules) {
            self.ecam = window;
        }
    }

    fn update_ext_tseg(&mut self) {
        if self.function.registers().u16(EXT_TSEG) == 0xffff {
            let size = self.ext_tseg_mib.to_le_bytes();
            self.function.registers_mut().set_now(EXT_TSEG, &size);
        }
    }

    fn lock_smram(&mut self) {
        if !self.smram().locked {
            return;
        }
        let registers = self.function.registers_mut();
        let closed = registers.u8(SMRAM) & !Smram::OPEN;
        registers.set_now(SMRAM, &[closed]);
        registers.set_writable(SMRAM, &[SMRAM_WRITABLE_LOCKED]);
        registers.set_volatile(SMRAM, &[SMRAM_WRITABLE]);
        registers.set_writable(ESMRAMC, &[0]);
        registers.set_volatile(ESMRAMC, &[ESMRAMC_WRITABLE]);
    }

    fn update_smbase(&mut self) {
        let is_fresh = self.function.registers().changeable(SMBASE) == 0xff;
        let registers = self.function.registers_mut();
        let value = match registers.u8(SMBASE) {
            SMBASE_QUERY => SMBASE_IN_RAM,
            // QEMU 7 wants the query first.
            _ if is_fresh && self.rules == Rules::Qemu7 => 0,
            value if value & SMBASE_LOCK != 0 => SMBASE_LOCK,
            value => value,
        };
        registers.set_now(SMBASE, &[value]);
        self.mask_smbase();
    }

    fn mask_smbase(&mut self) {
        let registers = self.function.registers_mut();
        let mask = match registers.u8(SMBASE) {
            SMBASE_IN_RAM => SMBASE_LOCK,
            SMBASE_LOCK => 0,
            _ => return,
        };
        registers.set_writable(SMBASE, &[mask]);
        registers.set_volatile(SMBASE, &[0xff]);
    }

    fn marks(&self) -> (Pam, Smram, Option<u64>, Option<EcamWindow>, u8) {
        (
            self.pam(),
            self.smram(),
            self.tseg(),
            self.ecam,
            self.function.registers().u8(SMBASE),
        )
    }

    fn differences(&self, before: &(Pam, Smram, Option<u64>, Option<EcamWindow>, u8)) -> Effects {
        let (pam, smram, tseg, ecam, smbase) = self.marks();
        let mut effects = Effects::empty();
        effects.set(Effects::PAM, before.0 != pam);
        effects.set(Effects::SMRAM, (before.1, before.2, before.4) != (smram, tseg, smbase));
        effects.set(Effects::ECAM, before.3 != ecam);
        effects
    }
}

/// The window that a value of PCIEXBAR leads to, or `None` if its length is reserved.
fn window(pciexbar: u64, rules: Rules) -> Option<Option<EcamWindow>> {
    // A smaller window has more bits of base. QEMU takes others than the data sheet.
    let (of_128, of_64) = if rules.is_qemu() {
        (3 << 25, 1 << 25)
    } else {
        (1 << 27, 3 << 26)
    };
    let (size, more_base) = match pciexbar >> 1 & 3 {
        0 => (256 << 20, 0),
        1 => (128 << 20, of_128),
        2 => (64 << 20, of_64),
        _ => return None,
    };
    let base = pciexbar & (PCIEXBAR_BASE | more_base);
    Some((pciexbar & 1 != 0).then_some(EcamWindow { base, size }))
}

/// Whether a hub can show `found` while PCIEXBAR holds `pciexbar`: a reserved length leaves any earlier window.
fn could_lead_to(pciexbar: u64, found: Option<EcamWindow>, rules: Rules) -> bool {
    match (window(pciexbar, rules), found) {
        (Some(now), found) => now == found,
        (None, None) => true,
        (None, Some(EcamWindow { base, .. })) => {
            (0..3).any(|length| window(base & !7 | length << 1 | 1, rules) == Some(found))
        }
    }
}

impl ConfigSpace for Q35 {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        if !at.overlaps(EXT_TSEG, EXT_TSEG + 2)
            && !at.overlaps(PCIEXBAR, PCIEXBAR + 8)
            && !at.overlaps(PAM0, PAM0 + PAM_REGISTERS)
            && !at.overlaps(SMBASE, ESMRAMC + 1)
        {
            return self.function.config_write(at, value);
        }
        let before = self.marks();
        let effects = self.function.config_write(at, value);
        if at.overlaps(PCIEXBAR, PCIEXBAR + 8) {
            self.update_ecam();
        }
        if at.overlaps(EXT_TSEG, EXT_TSEG + 2) {
            self.update_ext_tseg();
        }
        if at.overlaps(SMRAM, SMRAM + 1) {
            self.lock_smram();
        }
        if at.overlaps(SMBASE, SMBASE + 1) {
            self.update_smbase();
        }
        effects | self.differences(&before)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        let before = self.marks();
        let effects = self.function.reset();
        self.unlock();
        self.update_ecam();
        effects | self.differences(&before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bases of a window of a length, with one bit of the base set on top of A0000000.
    fn bases(rules: Rules, length: u64) -> [u64; 4] {
        [28, 27, 26, 25].map(|bit| {
            window(0xa000_0000 | 1 << bit | length << 1 | 1, rules)
                .unwrap()
                .unwrap()
                .base
        })
    }

    #[test]
    fn smaller_windows_have_more_bits_of_base() {
        let spec = |length| bases(Rules::Specification, length);
        assert_eq!(spec(0), [0xb000_0000, 0xa000_0000, 0xa000_0000, 0xa000_0000]);
        assert_eq!(spec(1), [0xb000_0000, 0xa800_0000, 0xa000_0000, 0xa000_0000]);
        assert_eq!(spec(2), [0xb000_0000, 0xa800_0000, 0xa400_0000, 0xa000_0000]);
        // As QEMU 7.2 and 11.1 answer.
        let qemu = |length| bases(Rules::Qemu11, length);
        assert_eq!(qemu(0), [0xb000_0000, 0xa000_0000, 0xa000_0000, 0xa000_0000]);
        assert_eq!(qemu(1), [0xb000_0000, 0xa000_0000, 0xa400_0000, 0xa200_0000]);
        assert_eq!(qemu(2), [0xb000_0000, 0xa000_0000, 0xa000_0000, 0xa200_0000]);
    }
}
