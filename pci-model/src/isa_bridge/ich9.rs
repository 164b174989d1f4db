// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ICH9 LPC bridge, 8086:2918.
//!
//! ```text
//! 40 PMBASE 15:7 | 0 = 1      44 ACPI_CNTL 7 enable | 2:0 SCI      60..63 68..6B PIRQA..H
//! A0 GEN_PMCON_1 4 SMI lock   F0 RCBA 31:14 | 0 enable
//! ```
//!
//! *Intel I/O Controller Hub 9 Family Datasheet* (316972), section 13.1.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder, Identity};
use crate::effects::Effects;
use crate::function::Function;
use crate::isa_bridge::{PirqRoute, Row, install};
use crate::registers::ImmutableByte;
use crate::rules::Rules;
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

const PMBASE: u16 = 0x40;
const ACPI_CNTL: u16 = 0x44;
const PIRQ_A: u16 = 0x60;
const PIRQ_E: u16 = 0x68;
const GEN_PMCON_1: u16 = 0xa0;
const SMI_LOCK: u8 = 1 << 4;
const RCBA: u16 = 0xf0;

const ROWS: [Row; 8] = [
    Row {
        at: PMBASE,
        writable: 0x0000_ff80,
        initial: 0x0000_0001,
        len: 4,
    },
    Row {
        at: ACPI_CNTL,
        writable: 0x87,
        initial: 0,
        len: 1,
    },
    Row {
        at: PIRQ_A,
        writable: 0x8f8f_8f8f,
        initial: 0x8080_8080,
        len: 4,
    },
    Row {
        at: PIRQ_E,
        writable: 0x8f8f_8f8f,
        initial: 0x8080_8080,
        len: 4,
    },
    // COM and LPT decode ranges and enables.
    Row {
        at: 0x80,
        writable: 0x3f0f_1377,
        initial: 0,
        len: 4,
    },
    Row {
        at: GEN_PMCON_1,
        writable: 0x06bf,
        initial: 0,
        len: 2,
    },
    // BIOS control: write enable, lock enable and prefetch.
    Row {
        at: 0xdc,
        writable: 0x0f,
        initial: 0,
        len: 1,
    },
    Row {
        at: RCBA,
        writable: 0xffff_c001,
        initial: 0,
        len: 4,
    },
];

/// QEMU resets these; the enable bits of ACPI control are writable in PMBASE by mistake and stay in the interface.
const QEMU_ROWS: [Row; 5] = [
    Row {
        at: PMBASE,
        writable: 0x0000_ff87,
        initial: 0x0000_0001,
        len: 4,
    },
    Row {
        at: ACPI_CNTL,
        writable: 0xff,
        initial: 0,
        len: 1,
    },
    Row {
        at: PIRQ_A,
        writable: 0xffff_ffff,
        initial: 0x8080_8080,
        len: 4,
    },
    Row {
        at: PIRQ_E,
        writable: 0xffff_ffff,
        initial: 0x8080_8080,
        len: 4,
    },
    Row {
        at: RCBA,
        writable: 0xffff_ffff,
        initial: 0,
        len: 4,
    },
];

/// The ICH9 LPC bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ich9 {
    rules: Rules,
    function: Function<256>,
}

impl Ich9 {
    /// The bridge.
    ///
    /// # Errors
    ///
    /// None for any argument; the result is that of the builder.
    pub fn new(subsystem: (u16, u16), rules: Rules) -> Result<Self, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x2918,
            revision: 2,
            class: 0x06_0100,
            subsystem_vendor: subsystem.0,
            subsystem: subsystem.1,
            interrupt_pin: 0,
        };
        Self::from_builder(FunctionBuilder::new(identity), rules)
    }

    /// A bridge with the identity of these configuration bytes.
    ///
    /// # Errors
    ///
    /// The header type of the image is not 0.
    pub fn from_image(image: &[u8; 256], rules: Rules) -> Result<Self, BuildError> {
        let mut bridge = Self::from_builder(FunctionBuilder::from_image(image), rules)?;
        // Which ports the machine has shows in the decode enables.
        let decode = image
            .get(0x80..)
            .and_then(|b| b.first_chunk::<4>())
            .copied()
            .unwrap_or([0; 4]);
        bridge.function.registers_mut().set(0x80, &decode);
        Ok(bridge)
    }

    fn from_builder(builder: FunctionBuilder<256>, rules: Rules) -> Result<Self, BuildError> {
        let mut function = builder.rules(rules).build()?;
        let rows: &[Row] = if rules.is_qemu() { &QEMU_ROWS } else { &ROWS };
        install(function.registers_mut(), rows, false);
        Ok(Self { rules, function })
    }

    /// Base of the ACPI registers and the interrupt they raise, or `None` while they are disabled. 128 ports.
    #[must_use]
    pub fn acpi(&self) -> Option<(u16, u8)> {
        let registers = self.function.registers();
        let control = registers.u8(ACPI_CNTL);
        let sci = match control & 7 {
            select @ 0..=2 => 9 + select,
            4 => 20,
            5 => 21,
            _ => return None,
        };
        (control & 0x80 != 0).then_some((registers.u16(PMBASE) & 0xff80, sci))
    }

    /// Base of the root complex registers, or `None` while they are disabled. 16 KiB.
    #[must_use]
    pub fn rcba(&self) -> Option<u64> {
        let value = self.function.registers().u32(RCBA);
        (value & 1 != 0).then_some(u64::from(value & 0xffff_c000))
    }

    /// Where PIRQ line 0 to 7 (A to H) leads.
    #[must_use]
    pub fn route(&self, line: u8) -> PirqRoute {
        let group = if line & 4 == 0 { PIRQ_A } else { PIRQ_E };
        PirqRoute::from_bits(self.function.registers().u8(group + u16::from(line & 3)))
    }

    /// The PIRQ line, 4 to 7, of an interrupt pin (1 to 4) of device 0 to 24 on bus 0. Those of the devices above are
    /// in the root complex registers.
    #[must_use]
    pub const fn line(device: u8, pin: u8) -> u8 {
        4 + (device.wrapping_add(pin).wrapping_sub(1) & 3)
    }

    /// The input of the I/O APIC that PIRQ line 0 to 7 leads to while its routing register disconnects it.
    #[must_use]
    pub const fn gsi(line: u8) -> u8 {
        16 + (line & 7)
    }

    /// The function.
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
        let Self { rules: _, function } = self;
        function.state()
    }

    /// Puts a saved state in place.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this bridge has not.
    pub fn restore(&mut self, state: &FunctionStateV1<256>) -> Result<Effects, ImmutableByte> {
        let before = self.marks();
        self.set_lock_mask(false);
        let restored = self.function.restore(state);
        self.lock();
        Ok(restored? | self.differences(before))
    }

    fn set_lock_mask(&mut self, locked: bool) {
        let rows: &[Row] = if self.rules.is_qemu() { &[] } else { &ROWS };
        let row = rows.iter().find(|row| row.at == GEN_PMCON_1);
        let [mask, _, _, _] = row.map_or(u32::MAX, |row| row.writable).to_le_bytes();
        let mask = if locked { mask & !SMI_LOCK } else { mask };
        let registers = self.function.registers_mut();
        if self.rules.is_qemu() {
            registers.set_storage(GEN_PMCON_1, &[mask]);
        } else {
            registers.set_writable(GEN_PMCON_1, &[mask]);
            registers.set_volatile(GEN_PMCON_1, &[mask | SMI_LOCK]);
        }
    }

    fn lock(&mut self) {
        let locked = self.function.registers().u8(GEN_PMCON_1) & SMI_LOCK != 0;
        self.set_lock_mask(locked);
    }

    fn marks(&self) -> [u32; 5] {
        [PMBASE, ACPI_CNTL, PIRQ_A, PIRQ_E, RCBA].map(|at| self.function.registers().u32(at))
    }

    fn differences(&self, before: [u32; 5]) -> Effects {
        let after = self.marks();
        let effects = [
            Effects::ACPI,
            Effects::ACPI,
            Effects::PIRQ,
            Effects::PIRQ,
            Effects::RCBA,
        ];
        let rows = before.into_iter().zip(after).zip(effects);
        rows.filter(|((before, after), _)| before != after)
            .fold(Effects::empty(), |all, (_, effect)| all | effect)
    }
}

impl ConfigSpace for Ich9 {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let before = self.marks();
        let effects = self.function.config_write(at, value);
        if at.overlaps(GEN_PMCON_1, GEN_PMCON_1 + 1) {
            self.lock();
        }
        effects | self.differences(before)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        let before = self.marks();
        let effects = self.function.reset();
        self.lock();
        effects | self.differences(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    #[test]
    fn routes_an_interrupt() {
        let mut bridge = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let line = Ich9::line(2, 1);
        assert_eq!((line, Ich9::gsi(line)), (6, 22), "00:02.0 INTA is PIRQG");
        assert_eq!(bridge.route(line), PirqRoute::Disconnected);
        let at = ConfigAccess::new(0x6a, Width::Byte).unwrap();
        assert_eq!(bridge.config_write(at, 0x0a), Effects::PIRQ);
        assert_eq!(bridge.route(line), PirqRoute::Isa(10));
    }

    #[test]
    fn the_smi_lock_holds_until_a_reset() {
        let mut bridge = Ich9::new((0, 0), Rules::Specification).unwrap();
        let at = ConfigAccess::new(GEN_PMCON_1, Width::Byte).unwrap();
        let _ = bridge.config_write(at, 0x10);
        let _ = bridge.config_write(at, 0x00);
        assert_eq!(bridge.config_read(at), 0x10);
        let _ = bridge.reset();
        assert_eq!(bridge.config_read(at), 0);
        let _ = bridge.config_write(at, 0x10);
        assert_eq!(bridge.config_read(at), 0x10);
    }

    #[test]
    fn acpi_and_rcba_open_with_their_enable_bits() {
        let mut bridge = Ich9::new((0, 0), Rules::Specification).unwrap();
        let at = |offset| ConfigAccess::new(offset, Width::Dword).unwrap();
        assert_eq!(bridge.config_write(at(PMBASE), 0x0601), Effects::ACPI);
        assert_eq!(bridge.acpi(), None);
        assert_eq!(bridge.config_write(at(ACPI_CNTL), 0x80), Effects::ACPI);
        assert_eq!(bridge.acpi(), Some((0x600, 9)));
        assert_eq!(bridge.config_write(at(RCBA), 0xfed1_c001), Effects::RCBA);
        assert_eq!(bridge.rcba(), Some(0xfed1_c000));
        assert_eq!(bridge.reset(), Effects::ACPI | Effects::RCBA);
        assert_eq!((bridge.acpi(), bridge.rcba()), (None, None));
    }
}
