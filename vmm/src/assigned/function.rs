// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function as the guest's bus has it: emulated registers over the shadow over the device.

use std::sync::Arc;

use igd_quirks::device::BdsmSetup;
use pci_model::{BarMap, BarStep, Bars, ConfigAccess, ConfigSpace, Effects, Passthrough, spec};

use super::BarHost;
use super::bars::{AssignedBars, tell};
use super::config::{self, HostConfig};
use super::interrupts::Interrupts;
use super::undo::Undo;
use crate::backend::{HostDevice, HostError};

/// The function on the bus. Dropping it gives the device back.
///
/// A host takes its mappings away when the device no longer decodes them, and does not wait for the guest's. So slots
/// go before the device is told to stop decoding, and come after it was told to decode: by the command register, by the
/// power state, or by a reset.
#[derive(Debug)]
pub struct AssignedFunction {
    device: Arc<dyn HostDevice>,
    below: Passthrough<HostConfig, 256>,
    bars: Arc<AssignedBars>,
    host: Option<Arc<dyn BarHost>>,
    /// What the machine was told.
    mapped: BarMap,
    interrupts: Interrupts,
    undo: Undo,
    is_detached: bool,
}

impl AssignedFunction {
    pub(super) fn new(
        device: Arc<dyn HostDevice>,
        below: Passthrough<HostConfig, 256>,
        bars: Arc<AssignedBars>,
        interrupts: Interrupts,
        undo: Undo,
    ) -> Self {
        Self {
            device,
            below,
            bars,
            host: None,
            mapped: BarMap::EMPTY,
            interrupts,
            undo,
            is_detached: false,
        }
    }

    /// Tells this machine where BARs are decoded, from now on.
    pub fn attach(&mut self, host: Arc<dyn BarHost>) {
        self.unmap(&BarMap::EMPTY);
        self.host = Some(host);
        self.map();
    }

    /// The BARs of the function, 6 for the ROM.
    #[must_use]
    pub fn bars(&self) -> &Bars {
        self.below.shadow().bars()
    }

    /// Lets the interrupt pin lead to this input, or nowhere.
    pub fn set_intx_gsi(&mut self, gsi: Option<u32>) {
        if !self.is_detached {
            self.interrupts.set_gsi(gsi);
        }
    }

    /// Address of the OpRegion as the guest sees it, if it is emulated.
    #[must_use]
    pub fn asls(&self) -> Option<u32> {
        self.bars.igd().asls()
    }

    /// Base of stolen memory as the guest sees it.
    #[must_use]
    pub fn bdsm(&self) -> BdsmSetup {
        self.bars.igd().bdsm()
    }

    /// Gives the device back: nothing of it is mapped, it interrupts nobody, is reset, and reaches no memory. Then the
    /// guest reads ones, as where there is no function. Says what the host refused meanwhile.
    ///
    /// Doing so again does nothing.
    pub fn detach(&mut self) -> Vec<HostError> {
        if std::mem::replace(&mut self.is_detached, true) {
            return Vec::new();
        }
        self.unmap(&BarMap::EMPTY);
        self.interrupts.stop();
        self.undo.unwind()
    }

    /// Unmaps what is not in `next`.
    fn unmap(&mut self, next: &BarMap) {
        for step in self.mapped.unmaps_to(next) {
            if let (BarStep::Unmap { bar, range }, Some(host)) = (step, &self.host) {
                host.unmap(bar, range);
            }
        }
        // What is left decides what has to be mapped, be it that the device refuses what it was unmapped for.
        self.mapped = self.mapped.common(next);
    }

    /// Maps what the shadow decodes now.
    fn map(&mut self) {
        let next = self.below.bar_map();
        for step in self.mapped.maps_to(&next) {
            if let (BarStep::Map { bar, range }, Some(host)) = (step, &self.host) {
                host.map(bar, range);
            }
        }
        self.mapped = next;
    }

    fn write_below(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let (effects, forward) = self.below.write(at, value);
        let resets = effects.contains(Effects::FUNCTION_RESET);
        let next = self.below.bar_map();
        self.unmap(&next);
        if resets {
            self.interrupts.reset();
        }
        let sent = forward.map_or(Ok(()), |forward| self.below.forward(forward));
        if let Err(error) = &sent {
            // The shadow is as before, and so is the map.
            self.bars.refused(error);
        } else if resets {
            self.follow_reset();
        }
        self.map();
        if effects.intersects(Effects::MSI | Effects::MSIX | Effects::FUNCTION_RESET) {
            let shadow = self.below.shadow();
            self.interrupts.follow(shadow.msi(), shadow.msix());
        }
        if sent.is_ok() { effects } else { Effects::empty() }
    }

    /// A host gives a device its registers back after a reset; the guest's function has lost them.
    fn follow_reset(&self) {
        let command = self.below.shadow().registers().u16(spec::COMMAND);
        if let Err(error) = config::write_u16(&*self.device, spec::COMMAND, command) {
            self.bars.refused(&error);
        }
    }
}

impl Drop for AssignedFunction {
    fn drop(&mut self) {
        for error in self.detach() {
            log::warn!("{}: {error}", self.device.name());
        }
    }
}

impl ConfigSpace for AssignedFunction {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        let ones = at.width().ones();
        if self.is_detached {
            return ones;
        }
        let owned = {
            let igd = self.bars.igd();
            let owned = igd.config_owns(at);
            if owned == ones {
                return igd.config_read(at, 0);
            }
            owned
        };
        let below = self.below.read(at).unwrap_or_else(|error| {
            self.bars.refused(&error);
            ones
        });
        match owned {
            0 => below,
            _ => self.bars.igd().config_read(at, below),
        }
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        if self.is_detached {
            return Effects::empty();
        }
        let taken = self.bars.igd().config_write(at, value);
        tell(taken.event());
        let forwards = taken.forwards();
        forwards.fold(Effects::empty(), |effects, (at, value)| {
            effects | self.write_below(at, value)
        })
    }

    fn bar_map(&self) -> BarMap {
        if self.is_detached {
            BarMap::EMPTY
        } else {
            self.below.bar_map()
        }
    }

    fn reset(&mut self) -> Effects {
        if self.is_detached {
            return Effects::empty();
        }
        self.unmap(&BarMap::EMPTY);
        self.interrupts.reset();
        if let Err(error) = config::reset(&*self.device) {
            log::warn!("{}: {error}; it starts again as it is", self.device.name());
        }
        let effects = self.below.reset_shadow();
        self.bars.igd().reset();
        self.interrupts.follow(None, None);
        effects
    }
}
