// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The power management function of the PIIX4, 8086:7113.
//!
//! ```text
//! 40 PMBASE   15:6 I/O base, bit 0 reads 1     58 DEVACTB   bit 25: an SMI for each write to the APM control port
//! 80 PMREGMISC  bit 0 opens the I/O base       90 SMBus base
//! D2 SMBHSTCFG
//! ```
//!
//! *Intel 82371AB PCI-to-ISA / IDE Xcelerator (PIIX4)* (290562), section 7.1.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder, Identity};
use crate::effects::Effects;
use crate::function::Function;
use crate::isa_bridge::{Row, install};
use crate::registers::ImmutableByte;
use crate::rules::Rules;
use crate::spec;
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

const PMBASE: u16 = 0x40;
const PMBASE_BITS: u16 = 0xffc0;
const PMREGMISC: u16 = 0x80;
const OPEN: u8 = 1;
/// Status: fast back-to-back, medium DEVSEL timing.
const STATUS: u16 = 0x0280;

const ROWS: [Row; 6] = [
    Row {
        at: PMBASE,
        writable: 0xffc0,
        initial: 0x0001,
        len: 4,
    },
    // There is no system management mode: firmware that finds the trigger enabled takes it for set up.
    Row {
        at: 0x58,
        writable: 0xffff_ffff,
        initial: 1 << 25,
        len: 4,
    },
    Row {
        at: 0x5c,
        writable: 0xffff_ffff,
        initial: 0x1000_0000,
        len: 4,
    },
    Row {
        at: PMREGMISC,
        writable: 0x01,
        initial: 0,
        len: 1,
    },
    Row {
        at: 0x90,
        writable: 0xfff0,
        initial: 0x0001,
        len: 4,
    },
    Row {
        at: 0xd2,
        writable: 0x0f,
        initial: 0x09,
        len: 1,
    },
];

/// The power management function of the PIIX4.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piix4Pm {
    function: Function<256>,
}

impl Piix4Pm {
    /// The function, with interrupt 9 and without system management mode.
    ///
    /// # Errors
    ///
    /// None for any argument; the result is that of the builder.
    pub fn new(subsystem: (u16, u16), rules: Rules) -> Result<Self, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x7113,
            revision: 3,
            class: 0x06_8000,
            subsystem_vendor: subsystem.0,
            subsystem: subsystem.1,
            interrupt_pin: 1,
        };
        let mut function = FunctionBuilder::new(identity).rules(rules).build()?;
        let registers = function.registers_mut();
        registers.set(spec::STATUS, &STATUS.to_le_bytes());
        install(registers, &ROWS, rules.is_qemu());
        Ok(Self { function })
    }

    /// Base of the 64 ports of the ACPI registers, or `None` while they are closed.
    #[must_use]
    pub fn acpi(&self) -> Option<u16> {
        let registers = self.function.registers();
        let base = registers.u16(PMBASE) & PMBASE_BITS;
        (registers.u8(PMREGMISC) & OPEN != 0).then_some(base)
    }

    /// The function.
    #[must_use]
    pub fn function(&self) -> &Function<256> {
        &self.function
    }

    /// The state to save.
    #[must_use]
    pub fn state(&self) -> FunctionStateV1<256> {
        let Self { function } = self;
        function.state()
    }

    /// Puts a saved state in place.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this function has not.
    pub fn restore(&mut self, state: &FunctionStateV1<256>) -> Result<Effects, ImmutableByte> {
        let before = self.acpi();
        Ok(self.function.restore(state)? | self.moved(before))
    }

    fn moved(&self, before: Option<u16>) -> Effects {
        if before == self.acpi() {
            Effects::empty()
        } else {
            Effects::ACPI
        }
    }
}

impl ConfigSpace for Piix4Pm {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let before = self.acpi();
        self.function.config_write(at, value) | self.moved(before)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        let before = self.acpi();
        self.function.reset() | self.moved(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    fn access(offset: u16, width: Width) -> ConfigAccess {
        ConfigAccess::new(offset, width).unwrap()
    }

    #[test]
    fn the_registers_open_where_the_base_says() {
        let mut function = Piix4Pm::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        assert_eq!(function.acpi(), None);
        let base = access(PMBASE, Width::Dword);
        assert_eq!(function.config_write(base, 0x0000_0601), Effects::empty());
        assert_eq!(function.config_read(base), 0x0601);
        let open = access(PMREGMISC, Width::Byte);
        assert_eq!(function.config_write(open, 1), Effects::ACPI);
        assert_eq!(function.acpi(), Some(0x600));
        assert_eq!(function.config_write(base, 0xffff_b001), Effects::ACPI);
        assert_eq!(function.acpi(), Some(0xb000));
        let saved = function.state();
        assert_eq!(function.reset(), Effects::ACPI);
        assert_eq!(function.acpi(), None);
        assert_eq!(function.config_read(base), 0x0001);
        assert_eq!(function.restore(&saved), Ok(Effects::ACPI));
        assert_eq!(function.acpi(), Some(0xb000));
    }

    #[test]
    fn firmware_finds_system_management_set_up() {
        let mut function = Piix4Pm::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let activity = access(0x58, Width::Dword);
        assert_ne!(function.config_read(activity) & 1 << 25, 0);
    }
}
