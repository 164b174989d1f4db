// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the interrupts of a simulated device go.

use vmm_sys_util::eventfd::EventFd;

/// Eventfds, and the state of the INTx pin on the host's side of it.
#[derive(Debug, Default)]
pub(super) struct Interrupts {
    intx: Option<EventFd>,
    msi: Option<EventFd>,
    /// INTx masks itself when it fires, until it is unmasked.
    is_masked: bool,
    level: bool,
}

impl Interrupts {
    /// Sends the pin to `trigger`, or nowhere. An asserted level fires at once.
    pub(super) fn set_intx(&mut self, trigger: Option<EventFd>) {
        self.intx = trigger;
        self.is_masked = false;
        self.fire_intx();
    }

    pub(super) fn set_msi(&mut self, trigger: Option<EventFd>) {
        self.msi = trigger;
    }

    pub(super) fn mask(&mut self) {
        self.is_masked = true;
    }

    pub(super) fn unmask(&mut self) {
        self.is_masked = false;
        self.fire_intx();
    }

    pub(super) fn set_level(&mut self, level: bool) {
        let rises = level && !self.level;
        self.level = level;
        if rises {
            self.fire_intx();
        }
    }

    pub(super) fn fire_msi(&self) {
        signal(self.msi.as_ref());
    }

    fn fire_intx(&mut self) {
        if self.level && !self.is_masked && self.intx.is_some() {
            self.is_masked = true;
            signal(self.intx.as_ref());
        }
    }
}

fn signal(trigger: Option<&EventFd>) {
    if let Some(Err(error)) = trigger.map(|trigger| trigger.write(1)) {
        log::warn!("an interrupt is lost: {error}");
    }
}
