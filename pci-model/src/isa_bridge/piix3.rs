// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The PIIX3 ISA bridge, 8086:7000.
//!
//! *Intel 82371SB PCI ISA IDE Xcelerator* (290550), section 2.2.

use crate::access::ConfigAccess;
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder, Identity};
use crate::effects::Effects;
use crate::function::Function;
use crate::isa_bridge::{PirqRoute, Row, install};
use crate::registers::ImmutableByte;
use crate::rules::Rules;
use crate::spec;
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

const PIRQ: u16 = 0x60;

/// Status: medium DEVSEL timing.
const MEDIUM_DEVSEL: u16 = 0x0200;

/// I/O recovery time, X-bus chip select, PIRQA..D, top of memory, motherboard IRQ and DMA, chip select, APIC base,
/// deterministic latency, SMI control and enables, system event enable, fast off timer, clock scale.
const ROWS: [Row; 17] = [
    Row {
        at: 0x4c,
        writable: 0x7f,
        initial: 0x4d,
        len: 1,
    },
    Row {
        at: 0x4e,
        writable: 0xffff,
        initial: 0x0003,
        len: 2,
    },
    Row {
        at: PIRQ,
        writable: 0x8f8f_8f8f,
        initial: 0x8080_8080,
        len: 4,
    },
    Row {
        at: 0x69,
        writable: 0xfe,
        initial: 0x02,
        len: 1,
    },
    Row {
        at: 0x70,
        writable: 0x8f,
        initial: 0x80,
        len: 1,
    },
    Row {
        at: 0x76,
        writable: 0x8f,
        initial: 0x0c,
        len: 1,
    },
    Row {
        at: 0x77,
        writable: 0x8f,
        initial: 0x0c,
        len: 1,
    },
    Row {
        at: 0x78,
        writable: 0xffff,
        initial: 0x0002,
        len: 2,
    },
    Row {
        at: 0x80,
        writable: 0x7f,
        initial: 0x00,
        len: 1,
    },
    Row {
        at: 0x82,
        writable: 0x0f,
        initial: 0x00,
        len: 1,
    },
    Row {
        at: 0xa0,
        writable: 0x1f,
        initial: 0x08,
        len: 1,
    },
    Row {
        at: 0xa2,
        writable: 0xff,
        initial: 0x00,
        len: 2,
    },
    Row {
        at: 0xa4,
        writable: 0xf000_ffff,
        initial: 0,
        len: 4,
    },
    Row {
        at: 0xa8,
        writable: 0xff,
        initial: 0x0f,
        len: 1,
    },
    Row {
        at: 0xaa,
        writable: 0xffff,
        initial: 0x0000,
        len: 2,
    },
    Row {
        at: 0xac,
        writable: 0xff,
        initial: 0x00,
        len: 1,
    },
    Row {
        at: 0xae,
        writable: 0xff,
        initial: 0x00,
        len: 1,
    },
];

/// The PIIX3 ISA bridge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piix3 {
    function: Function<256>,
}

impl Piix3 {
    /// The bridge.
    ///
    /// # Errors
    ///
    /// None for any argument; the result is that of the builder.
    pub fn new(subsystem: (u16, u16), rules: Rules) -> Result<Self, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x7000,
            revision: 0,
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
        Self::from_builder(FunctionBuilder::from_image(image), rules)
    }

    fn from_builder(builder: FunctionBuilder<256>, rules: Rules) -> Result<Self, BuildError> {
        let mut function = builder.rules(rules).build()?;
        let registers = function.registers_mut();
        for at in 0x40..0x100_u16 {
            registers.set(at, &[0]);
        }
        registers.set(spec::STATUS, &MEDIUM_DEVSEL.to_le_bytes());
        install(registers, &ROWS, rules.is_qemu());
        Ok(Self { function })
    }

    /// Where PIRQ line 0 to 3 (A to D) leads.
    #[must_use]
    pub fn route(&self, line: u8) -> PirqRoute {
        PirqRoute::from_bits(self.function.registers().u8(PIRQ + u16::from(line & 3)))
    }

    /// The PIRQ line, 0 to 3, of an interrupt pin (1 to 4) of a device on bus 0.
    #[must_use]
    pub const fn line(device: u8, pin: u8) -> u8 {
        device.wrapping_add(pin).wrapping_sub(2) & 3
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
        let Self { function } = self;
        function.state()
    }

    /// Puts a saved state in place.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this bridge has not.
    pub fn restore(&mut self, state: &FunctionStateV1<256>) -> Result<Effects, ImmutableByte> {
        let before = self.routes();
        Ok(self.function.restore(state)? | self.differences(before))
    }

    fn routes(&self) -> u32 {
        self.function.registers().u32(PIRQ)
    }

    fn differences(&self, before: u32) -> Effects {
        if before == self.routes() {
            Effects::empty()
        } else {
            Effects::PIRQ
        }
    }
}

impl ConfigSpace for Piix3 {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let before = self.routes();
        self.function.config_write(at, value) | self.differences(before)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        let before = self.routes();
        self.function.reset() | self.differences(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;

    #[test]
    fn routes_an_interrupt() {
        let mut bridge = Piix3::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let line = Piix3::line(2, 1);
        assert_eq!(line, 1, "00:02.0 INTA is PIRQB");
        assert_eq!(bridge.route(line), PirqRoute::Disconnected);
        let at = ConfigAccess::new(0x61, Width::Byte).unwrap();
        assert_eq!(bridge.config_write(at, 0x0b), Effects::PIRQ);
        assert_eq!(bridge.route(line), PirqRoute::Isa(11));
        assert_eq!(bridge.config_write(at, 0x0b), Effects::empty());
        assert_eq!(bridge.config_write(at, 0x80), Effects::PIRQ);
        assert_eq!(bridge.route(line), PirqRoute::Disconnected);
        assert_eq!(
            bridge.config_read(ConfigAccess::new(0x06, Width::Word).unwrap()),
            0x0200
        );
    }
}
