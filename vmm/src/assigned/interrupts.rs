// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts from the device to the guest, without this process in between.
//!
//! A storm is bounded by the host: INTx is masked when it fires, until the guest has served it (resample), and messages
//! that arrive while one is pending count as one in the eventfd.

use std::io;
use std::sync::Arc;

use pci_model::{MsiMessage, MsiState};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::config;
use crate::backend::{HostDevice, HostError, InterruptKind};
use crate::irq::{IrqError, IrqRouter};

/// Message control in the capability, and what of it says how many vectors send.
const CONTROL: u16 = 2;
const CONTROL_SENDS: u16 = 0b111 << 4 | 1;

/// INTx on its way to an input.
#[derive(Debug)]
struct Line {
    gsi: u32,
    trigger: EventFd,
    resample: EventFd,
}

/// A vector of MSI.
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
    /// Where the MSI capability is.
    msi_at: Option<u16>,
    gsi: Option<u32>,
    sends_messages: bool,
    line: Option<Line>,
    vectors: Vec<Vector>,
}

/// An interrupt that cannot be set up.
#[derive(Debug, thiserror::Error)]
enum InterruptError {
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Irq(#[from] IrqError),
    #[error("eventfd: {0}")]
    EventFd(#[from] io::Error),
}

impl Interrupts {
    /// No interrupts yet. `pin` is the register of the function.
    pub(super) fn new(device: Arc<dyn HostDevice>, irq: Arc<IrqRouter>, pin: u8, msi_at: Option<u8>) -> Self {
        let has_pin = pin != 0 && device.interrupt_count(InterruptKind::Intx) > 0;
        Self {
            device,
            irq,
            has_pin,
            msi_at: msi_at.map(u16::from),
            gsi: None,
            sends_messages: false,
            line: None,
            vectors: Vec::new(),
        }
    }

    /// Lets the pin lead to this input.
    pub(super) fn set_gsi(&mut self, gsi: Option<u32>) {
        if std::mem::replace(&mut self.gsi, gsi) == gsi {
            return;
        }
        match (gsi, self.line.take()) {
            (Some(gsi), Some(line)) => self.reroute(line, gsi),
            (None, Some(line)) => self.end_line(&line),
            (_, None) if self.sends_messages => {}
            (_, None) => self.start_line(),
        }
    }

    /// Does what the state of the MSI capability asks for; without it, or while it is disabled, the pin serves.
    pub(super) fn follow(&mut self, msi: Option<MsiState>) {
        let Some(msi) = msi.filter(|msi| msi.enabled) else {
            self.sends_messages = false;
            self.stop_vectors();
            self.start_line();
            return;
        };
        self.sends_messages = true;
        if let Some(line) = self.line.take() {
            self.end_line(&line);
        }
        let count = u32::from(msi.vectors).min(self.device.interrupt_count(InterruptKind::Msi));
        if u32::try_from(self.vectors.len()) != Ok(count) {
            self.stop_vectors();
            if let Err(error) = self.start_vectors(&msi, count) {
                log::error!("MSI: {error}; the guest gets no interrupts");
                return self.stop_vectors();
            }
        }
        self.update_vectors(&msi);
    }

    /// Ends all interrupts, until [`follow`](Self::follow).
    pub(super) fn stop(&mut self) {
        self.stop_vectors();
        if let Some(line) = self.line.take() {
            self.end_line(&line);
        }
    }

    fn start_line(&mut self) {
        let Some(gsi) = self.gsi.filter(|_| self.has_pin && self.line.is_none()) else {
            return;
        };
        match self.connect_line(gsi) {
            Ok(line) => self.line = Some(line),
            Err(error) => log::error!("INTx at GSI {gsi}: {error}; the guest gets no interrupts from the pin"),
        }
    }

    fn connect_line(&self, gsi: u32) -> Result<Line, InterruptError> {
        let line = Line {
            gsi,
            trigger: EventFd::new(EFD_NONBLOCK)?,
            resample: EventFd::new(EFD_NONBLOCK)?,
        };
        self.device.enable_interrupt(InterruptKind::Intx, &[&line.trigger])?;
        // Masked it is in a known state, whether or not it has fired already.
        let connected = self.device.mask_intx().map_err(InterruptError::from).and_then(|()| {
            let connected = self.irq.connect_level(gsi, &line.trigger, &line.resample);
            Ok(connected?)
        });
        if let Err(error) = connected {
            self.end(InterruptKind::Intx);
            return Err(error);
        }
        let resample = self.device.set_intx_resample(&line.resample);
        if let Err(error) = resample.and_then(|()| self.device.unmask_intx()) {
            self.end_line(&line);
            return Err(error.into());
        }
        Ok(line)
    }

    /// Moves the line to another input. A level that is still asserted fires there once unmasked.
    fn reroute(&mut self, mut line: Line, gsi: u32) {
        let moved = self.device.mask_intx().map_err(InterruptError::from).and_then(|()| {
            self.irq.disconnect(line.gsi, &line.trigger);
            if let Err(error) = self.irq.connect_level(gsi, &line.trigger, &line.resample) {
                self.end(InterruptKind::Intx);
                return Err(error.into());
            }
            line.gsi = gsi;
            Ok(())
        });
        match moved {
            Ok(()) => match self.device.unmask_intx() {
                Ok(()) => self.line = Some(line),
                Err(error) => {
                    log::error!("INTx at GSI {gsi}: {error}; the guest gets no interrupts from the pin");
                    self.end_line(&line);
                }
            },
            Err(InterruptError::Host(error)) => {
                log::error!("INTx at GSI {gsi}: {error}; it stays at GSI {}", line.gsi);
                self.line = Some(line);
            }
            Err(error) => log::error!("INTx at GSI {gsi}: {error}; the guest gets no interrupts from the pin"),
        }
    }

    fn end_line(&self, line: &Line) {
        self.end(InterruptKind::Intx);
        self.irq.disconnect(line.gsi, &line.trigger);
    }

    fn start_vectors(&mut self, msi: &MsiState, count: u32) -> Result<(), InterruptError> {
        for vector in (0_u8..32).zip(0..count).map(|(vector, _)| vector) {
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
        if triggers.is_empty() {
            return Ok(());
        }
        self.device.enable_interrupt(InterruptKind::Msi, &triggers)?;
        // A peer that emulates the device sends only if its register says so. The kernel sets that of the hardware
        // itself, and takes no enable before the eventfds.
        let vectors = u16::from(msi.vectors).min(32);
        let sends = u16::try_from(vectors.trailing_zeros()).unwrap_or(0) << 4 | 1;
        Ok(self.set_control(sends)?)
    }

    /// Follows messages and masks. What a masked vector fires waits in its eventfd.
    fn update_vectors(&mut self, msi: &MsiState) {
        for (index, vector) in (0_u8..32).zip(&mut self.vectors) {
            let Some(message) = msi.message(index) else { break };
            if let Err(error) = vector.update(&self.irq, message, msi.masked >> index & 1 != 0) {
                log::error!("MSI vector {index}: {error}");
            }
        }
    }

    fn stop_vectors(&mut self) {
        if self.vectors.is_empty() {
            return;
        }
        if let Err(error) = self.set_control(0) {
            log::warn!("{error}");
        }
        self.end(InterruptKind::Msi);
        for vector in self.vectors.drain(..) {
            if vector.is_connected {
                self.irq.disconnect(vector.gsi, &vector.trigger);
            }
            self.irq.remove_message(vector.gsi);
        }
    }

    fn set_control(&self, sends: u16) -> Result<(), HostError> {
        let Some(at) = self.msi_at.map(|at| at + CONTROL) else {
            return Ok(());
        };
        let control = config::read_u16(&*self.device, at)?;
        config::write_u16(&*self.device, at, control & !CONTROL_SENDS | sends)
    }

    fn end(&self, kind: InterruptKind) {
        if let Err(error) = self.device.disable_interrupt(kind) {
            log::warn!("{error}");
        }
    }
}

impl Vector {
    fn update(&mut self, irq: &IrqRouter, message: MsiMessage, is_masked: bool) -> Result<(), IrqError> {
        if self.message != message {
            irq.change_message(self.gsi, message)?;
            self.message = message;
        }
        match (is_masked, self.is_connected) {
            (true, true) => irq.disconnect(self.gsi, &self.trigger),
            (false, false) => irq.connect(self.gsi, &self.trigger)?,
            _ => {}
        }
        self.is_connected = !is_masked;
        Ok(())
    }
}
