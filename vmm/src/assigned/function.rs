// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function as the guest's bus has it: emulated registers over the shadow over the device.

use std::sync::{Arc, Mutex};

use igd_quirks::device::{BdsmSetup, IgdDevice};
use igd_quirks::facts::Extent;
use pci_model::{BarMap, BarStep, ConfigAccess, ConfigSpace, Effects, Passthrough};

use super::BarHost;
use super::bars::{AssignedBars, lock};
use super::config::HostConfig;
use super::interrupts::Interrupts;
use crate::backend::{HostDevice, HostError};

/// The function on the bus. Dropping it gives the device back.
#[derive(Debug)]
pub struct AssignedFunction {
    device: Arc<dyn HostDevice>,
    below: Passthrough<HostConfig, 256>,
    igd: Arc<Mutex<IgdDevice>>,
    bars: Arc<AssignedBars>,
    host: Option<Arc<dyn BarHost>>,
    applied: BarMap,
    interrupts: Interrupts,
    dma: Vec<Extent>,
    is_detached: bool,
}

impl AssignedFunction {
    pub(super) fn new(
        device: Arc<dyn HostDevice>,
        below: Passthrough<HostConfig, 256>,
        igd: Arc<Mutex<IgdDevice>>,
        bars: Arc<AssignedBars>,
        interrupts: Interrupts,
        dma: Vec<Extent>,
    ) -> Self {
        Self {
            device,
            below,
            igd,
            bars,
            host: None,
            applied: BarMap::EMPTY,
            interrupts,
            dma,
            is_detached: false,
        }
    }

    /// Tells this machine where BARs are from now on.
    pub fn attach(&mut self, host: Arc<dyn BarHost>) {
        self.host = Some(host);
    }

    /// Lets the interrupt pin lead to this input.
    pub fn set_intx_gsi(&mut self, gsi: Option<u32>) {
        self.interrupts.set_gsi(gsi);
    }

    /// Address of the OpRegion as the guest sees it, if it is emulated.
    #[must_use]
    pub fn asls(&self) -> Option<u32> {
        lock(&self.igd).asls()
    }

    /// Base of stolen memory as the guest sees it.
    #[must_use]
    pub fn bdsm(&self) -> BdsmSetup {
        lock(&self.igd).bdsm()
    }

    fn unmap_to(&self, next: &BarMap) {
        for step in self.applied.unmaps_to(next) {
            if let (BarStep::Unmap { bar, range }, Some(host)) = (step, &self.host) {
                host.unmap(bar, range);
            }
        }
    }

    /// Maps what the shadow decodes now.
    fn map(&mut self) {
        let next = self.below.bar_map();
        for step in self.applied.maps_to(&next) {
            if let (BarStep::Map { bar, range }, Some(host)) = (step, &self.host) {
                host.map(bar, range);
            }
        }
        self.applied = next;
    }

    fn write_below(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let (effects, forward) = self.below.write(at, value);
        // A device that does not decode any more must not be reached any more, so its slots go first; one that decodes
        // again must do so before it is reached.
        self.unmap_to(&self.below.bar_map());
        if let Some(forward) = forward
            && let Err(error) = self.below.forward(forward)
        {
            self.bars.refused(&error);
        }
        self.map();
        if effects.intersects(Effects::MSI | Effects::FUNCTION_RESET) {
            self.interrupts.follow(self.below.shadow().msi());
        }
        effects
    }

    /// Gives the device back: nothing of it is mapped, it interrupts nobody, reaches no memory and is reset.
    ///
    /// Doing so again does nothing.
    pub fn detach(&mut self) -> Vec<HostError> {
        if std::mem::replace(&mut self.is_detached, true) {
            return Vec::new();
        }
        self.unmap_to(&BarMap::EMPTY);
        self.applied = BarMap::EMPTY;
        self.interrupts.stop();
        let reset = self.device.reset().err();
        let unmapped = self.dma.drain(..).rev();
        let unmapped = unmapped.filter_map(|part| self.device.unmap_dma(part.start, part.len).err());
        reset.into_iter().chain(unmapped).collect()
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
        let owned = lock(&self.igd).config_owns(at);
        if owned == at.width().ones() {
            return lock(&self.igd).config_read(at, 0);
        }
        let below = self.below.read(at).unwrap_or_else(|error| {
            self.bars.refused(&error);
            u32::MAX
        });
        lock(&self.igd).config_read(at, below)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let taken = lock(&self.igd).config_write(at, value);
        let forwards = taken.forwards();
        forwards.fold(Effects::empty(), |effects, (at, value)| {
            effects | self.write_below(at, value)
        })
    }

    fn bar_map(&self) -> BarMap {
        self.applied
    }

    fn reset(&mut self) -> Effects {
        self.unmap_to(&BarMap::EMPTY);
        self.applied = BarMap::EMPTY;
        self.interrupts.stop();
        if let Err(error) = self.device.reset() {
            log::warn!("{}: {error}", self.device.name());
        }
        let effects = self.below.reset_shadow();
        lock(&self.igd).reset();
        self.interrupts.start();
        effects
    }
}
