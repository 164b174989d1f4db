// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts from the device to the guest, without this process in between.
//!
//! A storm is bounded by the host: INTx is masked when it fires until the guest has served it (resample), and messages
//! that arrive while one is pending count as one in the eventfd.

use std::io;
use std::sync::Arc;

use pci_model::{MsiMessage, MsiState};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::backend::{HostDevice, HostError, InterruptKind};
use crate::irq::{IrqError, IrqRouter};

/// INTx on its way to an input.
#[derive(Debug)]
struct Line {
    gsi: u32,
    trigger: EventFd,
    /// Open as long as KVM signals it.
    _resample: EventFd,
}

/// One vector of MSI.
#[derive(Debug)]
struct Vector {
    gsi: u32,
    trigger: EventFd,
    message: MsiMessage,
    is_connected: bool,
}

/// The interrupts of one function. The host allows one kind at a time.
#[derive(Debug)]
pub(super) struct Interrupts {
    device: Arc<dyn HostDevice>,
    irq: Arc<IrqRouter>,
    has_pin: bool,
    gsi: Option<u32>,
    line: Option<Line>,
    vectors: Vec<Vector>,
}

/// An interrupt that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum InterruptError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Irq(#[from] IrqError),
    #[error("eventfd: {0}")]
    EventFd(#[from] io::Error),
}

impl Interrupts {
    pub(super) fn new(device: Arc<dyn HostDevice>, irq: Arc<IrqRouter>, has_pin: bool) -> Self {
        let has_pin = has_pin && device.interrupt_count(InterruptKind::Intx) > 0;
        Self {
            device,
            irq,
            has_pin,
            gsi: None,
            line: None,
            vectors: Vec::new(),
        }
    }

    /// Lets the pin lead to this input.
    pub(super) fn set_gsi(&mut self, gsi: Option<u32>) {
        if self.gsi == gsi {
            return;
        }
        self.gsi = gsi;
        if self.vectors.is_empty() {
            self.stop_line();
            self.start_line();
        }
    }

    /// Follows what the guest wrote to the MSI capability.
    pub(super) fn follow(&mut self, msi: Option<MsiState>) {
        let Some(msi) = msi.filter(|msi| msi.enabled) else {
            if !self.vectors.is_empty() {
                self.stop_vectors();
                self.start_line();
            }
            return;
        };
        let count = u32::from(msi.vectors).min(self.device.interrupt_count(InterruptKind::Msi));
        if usize::try_from(count) != Ok(self.vectors.len()) {
            self.stop_vectors();
            self.stop_line();
            if let Err(error) = self.start_vectors(&msi, count) {
                log::error!("MSI: {error}; the guest gets no interrupts");
                self.stop_vectors();
                return;
            }
        }
        self.update_vectors(&msi);
    }

    /// Ends all interrupts.
    pub(super) fn stop(&mut self) {
        self.stop_vectors();
        self.stop_line();
    }

    /// Starts again after [`stop`](Self::stop), with the pin.
    pub(super) fn start(&mut self) {
        self.start_line();
    }

    fn start_line(&mut self) {
        let Some(gsi) = self.gsi.filter(|_| self.has_pin && self.line.is_none()) else {
            return;
        };
        match self.connect_line(gsi) {
            Ok(line) => self.line = Some(line),
            Err(error) => {
                log::error!("INTx at GSI {gsi}: {error}; the guest gets no interrupts by the pin");
                self.ended(InterruptKind::Intx);
            }
        }
    }

    fn connect_line(&self, gsi: u32) -> Result<Line, InterruptError> {
        let (trigger, resample) = (EventFd::new(EFD_NONBLOCK)?, EventFd::new(EFD_NONBLOCK)?);
        self.device.enable_interrupt(InterruptKind::Intx, &[&trigger])?;
        // What fires until KVM listens would be lost, and the pin stay masked: start from a known state.
        self.device.mask_intx()?;
        self.irq.connect_level(gsi, &trigger, &resample)?;
        let line = Line {
            gsi,
            trigger,
            _resample: resample,
        };
        let unmasked = self
            .device
            .set_intx_resample(&line._resample)
            .and_then(|()| self.device.unmask_intx());
        if unmasked.is_err() {
            self.irq.disconnect(gsi, &line.trigger);
        }
        unmasked?;
        Ok(line)
    }

    fn stop_line(&mut self) {
        if let Some(line) = self.line.take() {
            self.irq.disconnect(line.gsi, &line.trigger);
            self.ended(InterruptKind::Intx);
        }
    }

    fn start_vectors(&mut self, msi: &MsiState, count: u32) -> Result<(), InterruptError> {
        for vector in (0_u8..).take(usize::try_from(count).unwrap_or(0)) {
            let Some(message) = msi.message(vector) else { break };
            let trigger = EventFd::new(EFD_NONBLOCK)?;
            let gsi = self.irq.add_message(message)?;
            self.vectors.push(Vector {
                gsi,
                trigger,
                message,
                is_connected: false,
            });
        }
        let triggers: Vec<&EventFd> = self.vectors.iter().map(|vector| &vector.trigger).collect();
        self.device.enable_interrupt(InterruptKind::Msi, &triggers)?;
        Ok(())
    }

    /// Follows messages and masks. What a masked vector fires waits in its eventfd.
    fn update_vectors(&mut self, msi: &MsiState) {
        for (index, vector) in (0_u8..32).zip(&mut self.vectors) {
            let Some(message) = msi.message(index) else { break };
            let is_masked = msi.masked >> index & 1 != 0;
            let mut result = Ok(());
            if vector.message != message {
                result = self.irq.change_message(vector.gsi, message);
                vector.message = message;
            }
            if is_masked && vector.is_connected {
                self.irq.disconnect(vector.gsi, &vector.trigger);
                vector.is_connected = false;
            } else if !is_masked && !vector.is_connected {
                result = result.and_then(|()| self.irq.connect(vector.gsi, &vector.trigger));
                vector.is_connected = result.is_ok();
            }
            if let Err(error) = result {
                log::error!("MSI vector {index}: {error}");
            }
        }
    }

    fn stop_vectors(&mut self) {
        if self.vectors.is_empty() {
            return;
        }
        self.ended(InterruptKind::Msi);
        for vector in self.vectors.drain(..) {
            if vector.is_connected {
                self.irq.disconnect(vector.gsi, &vector.trigger);
            }
            self.irq.remove_message(vector.gsi);
        }
    }

    fn ended(&self, kind: InterruptKind) {
        if let Err(error) = self.device.disable_interrupt(kind) {
            log::warn!("{error}");
        }
    }
}
