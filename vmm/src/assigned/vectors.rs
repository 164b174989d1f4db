// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Vectors of messages: an eventfd each, which the hypervisor serves while the guest has the vector unmasked.

use std::io;
use std::time::Instant;

use pci_model::MsiMessage;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::irq::{IrqError, IrqRouter};
use crate::wait::wait;

/// One vector. What fires while it is masked waits in its eventfd.
#[derive(Debug)]
pub(super) struct Vector {
    trigger: EventFd,
    /// The GSI that sends, and what it sends. None before the vector was unmasked for the first time.
    route: Option<(u32, MsiMessage)>,
    is_connected: bool,
}

impl Vector {
    /// A masked vector.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            trigger: EventFd::new(EFD_NONBLOCK)?,
            route: None,
            is_connected: false,
        })
    }

    /// What the device signals.
    pub(super) const fn trigger(&self) -> &EventFd {
        &self.trigger
    }

    /// Whether it has fired and nobody was told.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_connected && wait([Some(&self.trigger)], Some(Instant::now())).is_ok_and(|[fired]| fired)
    }

    /// Follows message and mask. A message counts from when the vector is unmasked.
    pub(super) fn update(&mut self, irq: &IrqRouter, message: MsiMessage, is_masked: bool) -> Result<(), IrqError> {
        if is_masked {
            self.disconnect(irq);
            return Ok(());
        }
        let gsi = match self.route {
            Some((gsi, now)) => {
                if now != message {
                    irq.change_message(gsi, message)?;
                }
                gsi
            }
            None => irq.add_message(message)?,
        };
        self.route = Some((gsi, message));
        if !self.is_connected {
            irq.connect(gsi, &self.trigger)?;
            self.is_connected = true;
        }
        Ok(())
    }

    /// Gives back what it has of the hypervisor.
    pub(super) fn end(&mut self, irq: &IrqRouter) {
        self.disconnect(irq);
        if let Some((gsi, _)) = self.route.take() {
            irq.remove_message(gsi);
        }
    }

    fn disconnect(&mut self, irq: &IrqRouter) {
        if let Some((gsi, _)) = self.route.filter(|_| std::mem::take(&mut self.is_connected)) {
            irq.disconnect(gsi, &self.trigger);
        }
    }
}
