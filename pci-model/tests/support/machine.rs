// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ports in front of a bus.

use pci_model::{Bdf, Bus, ConfigMechanism, ConfigSpace, Function, PortEffects, ResetControl, Rules};

use crate::display::{bdf, display};

pub(crate) const CF8: u16 = 0;
pub(crate) const CFC: u16 = 4;

/// Ports in front of a bus.
pub(crate) struct Machine<F> {
    pub(crate) ports: ConfigMechanism,
    pub(crate) bus: Bus<F, 8>,
}

impl<F: ConfigSpace> Machine<F> {
    pub(crate) fn with(rules: Rules, functions: impl IntoIterator<Item = (Bdf, F)>) -> Self {
        let mut bus = Bus::new(0);
        for (at, function) in functions {
            bus.insert(at, function).unwrap();
        }
        Self {
            ports: ConfigMechanism::new(ResetControl::Piix3, rules),
            bus,
        }
    }

    fn read<const L: usize>(&mut self, port: u16) -> [u8; L] {
        let mut data = [0x5a; L];
        self.ports.port_read(port, &mut data, &mut self.bus);
        data
    }

    pub(crate) fn outl(&mut self, port: u16, value: u32) -> PortEffects {
        self.ports.port_write(port, &value.to_le_bytes(), &mut self.bus)
    }

    pub(crate) fn outw(&mut self, port: u16, value: u16) -> PortEffects {
        self.ports.port_write(port, &value.to_le_bytes(), &mut self.bus)
    }

    pub(crate) fn outb(&mut self, port: u16, value: u8) -> PortEffects {
        self.ports.port_write(port, &[value], &mut self.bus)
    }

    pub(crate) fn inl(&mut self, port: u16) -> u32 {
        u32::from_le_bytes(self.read(port))
    }

    pub(crate) fn inw(&mut self, port: u16) -> u16 {
        u16::from_le_bytes(self.read(port))
    }

    pub(crate) fn inb(&mut self, port: u16) -> u8 {
        u8::from_le_bytes(self.read(port))
    }
}

/// The machine with the display function at 00:02.0.
pub(crate) fn display_machine(rules: Rules) -> Machine<Function<256>> {
    Machine::with(rules, [(bdf(2, 0), display(rules).build().unwrap())])
}
