// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The functions of a board's one bus.

use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::isa_bridge::{Ich9, Piix3, Piix4Pm};
use pci_model::{BarMap, ConfigAccess, ConfigSpace, Effects};

use crate::assigned::AssignedFunction;

/// A function of the board, or the one assigned to it.
#[derive(Debug)]
pub(super) enum BoardFunction {
    I440Fx(Box<I440Fx>),
    Q35(Box<Q35>),
    Piix3(Box<Piix3>),
    Piix4Pm(Box<Piix4Pm>),
    Ich9(Box<Ich9>),
    Lpc(Box<lpc_bridge::LpcBridge>),
    Assigned(Box<AssignedFunction>),
}

impl BoardFunction {
    fn inner(&self) -> &dyn ConfigSpace {
        match self {
            Self::I440Fx(function) => &**function,
            Self::Q35(function) => &**function,
            Self::Piix3(function) => &**function,
            Self::Piix4Pm(function) => &**function,
            Self::Ich9(function) => &**function,
            Self::Lpc(function) => &**function,
            Self::Assigned(function) => &**function,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn ConfigSpace {
        match self {
            Self::I440Fx(function) => &mut **function,
            Self::Q35(function) => &mut **function,
            Self::Piix3(function) => &mut **function,
            Self::Piix4Pm(function) => &mut **function,
            Self::Ich9(function) => &mut **function,
            Self::Lpc(function) => &mut **function,
            Self::Assigned(function) => &mut **function,
        }
    }
}

impl ConfigSpace for BoardFunction {
    fn config_size(&self) -> u16 {
        self.inner().config_size()
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.inner_mut().config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.inner_mut().config_write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        self.inner().bar_map()
    }

    fn reset(&mut self) -> Effects {
        self.inner_mut().reset()
    }
}
