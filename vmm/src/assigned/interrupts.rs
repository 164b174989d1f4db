// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts from the device to the guest, without this process in between.
//!
//! A storm is bounded by the host: INTx is masked when it fires, until the guest has served it (resample), and messages
//! that arrive while one is pending count as one in the eventfd.

use std::io;
use std::sync::Arc;

use pci_model::{MsiState, MsixControl};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::config;
use super::msix::Msix;
use super::vectors::Vector;
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
    /// Of MSI.
    vectors: Vec<Vector>,
    msix: Option<Arc<Msix>>,
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
    /// No interrupts yet. `pin` is the register of the function.
    pub(super) fn new(
        device: Arc<dyn HostDevice>,
        irq: Arc<IrqRouter>,
        pin: u8,
        msi_at: Option<u8>,
        msix: Option<Arc<Msix>>,
    ) -> Self {
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
            msix,
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

    /// Does what the states of the MSI and MSI-X capabilities ask for. MSI-X comes before MSI where both are enabled;
    /// without either, the pin serves.
    pub(super) fn follow(&mut self, msi: Option<MsiState>, msix: Option<MsixControl>) {
        let msix = msix.filter(|control| control.enabled && self.msix.is_some());
        let msi = msi.filter(|msi| msi.enabled && msix.is_none());
        self.sends_messages = msi.is_some() || msix.is_some();
        if msi.is_none() {
            self.stop_vectors();
        }
        if msix.is_none()
            && let Some(msix) = &self.msix
        {
            msix.stop();
        }
        if !self.sends_messages {
            return self.start_line();
        }
        if let Some(line) = self.line.take() {
            self.end_line(&line);
        }
        let done = match (msi, &self.msix, msix) {
            (Some(msi), ..) => self.follow_msi(&msi),
            (None, Some(msix), Some(control)) => msix.follow(control),
            _ => Ok(()),
        };
        if let Err(error) = done {
            log::error!("{error}; the guest gets no interrupts");
        }
    }

    fn follow_msi(&mut self, msi: &MsiState) -> Result<(), InterruptError> {
        let count = u32::from(msi.vectors).min(self.device.interrupt_count(InterruptKind::Msi));
        if u32::try_from(self.vectors.len()) != Ok(count) {
            self.stop_vectors();
            if let Err(error) = self.start_vectors(msi, count) {
                self.stop_vectors();
                return Err(error);
            }
        }
        self.update_vectors(msi);
        Ok(())
    }

    /// Ends all interrupts, until [`follow`](Self::follow).
    pub(super) fn stop(&mut self) {
        self.stop_vectors();
        if let Some(msix) = &self.msix {
            msix.stop();
        }
        if let Some(line) = self.line.take() {
            self.end_line(&line);
        }
    }

    /// Ends all interrupts as a reset of the function does: vectors of MSI-X are masked from then on.
    pub(super) fn reset(&mut self) {
        self.stop();
        if let Some(msix) = &self.msix {
            msix.reset();
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
        for _ in (0..32).zip(0..count) {
            self.vectors.push(Vector::new()?);
        }
        let triggers: Vec<&EventFd> = self.vectors.iter().map(Vector::trigger).collect();
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
        for mut vector in self.vectors.drain(..) {
            vector.end(&self.irq);
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
