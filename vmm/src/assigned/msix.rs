// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X: the table and the pending bits that the guest has in place of the device's, and the vectors behind them.
//!
//! The host programs the device's own table, so no guest access may reach it. All vectors lead to eventfds as soon as the
//! guest enables MSI-X; what a masked one fires stays in its eventfd, is seen in the pending bits, and goes out when
//! the vector is unmasked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igd_quirks::facts::Extent;
use pci_model::{MsixControl, MsixTable, capabilities, spec};

use super::config;
use super::vectors::Vector;
use crate::backend::{HostDevice, HostError, InterruptKind, Region, RegionKind};
use crate::irq::IrqRouter;

/// Most vectors that a function can have.
const MOST: usize = 2048;
/// Bytes of a vector in the table.
const ENTRY: u64 = 16;
/// Message control in the capability, and the bit that lets it send.
const CONTROL: u16 = 2;
const ENABLE: u16 = 1 << 15;
const TABLE: u16 = 4;
const PENDING: u16 = 8;

/// Where a device has its MSI-X structures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct MsixPlace {
    /// Where the capability is.
    at: u16,
    vectors: u16,
    table: (u8, Extent),
    pending: (u8, Extent),
}

impl MsixPlace {
    /// Finds them. `None` where the device has no MSI-X, no interrupts behind it, or structures that are in no memory
    /// BAR; the guest does without it then.
    pub(super) fn find(device: &dyn HostDevice) -> Result<Option<Self>, HostError> {
        let available = device.interrupt_count(InterruptKind::Msix);
        if available == 0 {
            return Ok(None);
        }
        let mut config = [0; 256];
        device.read(RegionKind::Config, 0, &mut config)?;
        let Some(found) = capabilities(&config).find(|found| found.id == spec::capability::MSIX) else {
            return Ok(None);
        };
        let at = u16::from(found.offset);
        let vectors = (config::read_u16(device, at + CONTROL)? & 0x7ff) + 1;
        let place = |register: u16, len: u64| {
            let value = config::read_u32(device, at + register)?;
            Ok::<_, HostError>((value.to_le_bytes()[0] & 7, Extent::new(u64::from(value & !7), len)))
        };
        let table = place(TABLE, u64::from(vectors) * ENTRY)?;
        let pending = place(PENDING, u64::from(vectors).div_ceil(64) * 8)?;
        let is_memory = |(bar, extent): &(u8, Extent)| {
            let is_ports = || config::read_u32(device, spec::BAR0 + 4 * u16::from(*bar)).map(|bar| bar & 1 != 0);
            let holds = |region: &Region| extent.end() <= region.size;
            device.region(RegionKind::Bar(*bar)).is_some_and(holds) && is_ports().is_ok_and(|ports| !ports)
        };
        if let Some((bar, extent)) = [table, pending].iter().find(|place| !is_memory(place)) {
            let name = device.name();
            log::warn!("{name}: MSI-X structure {extent} of BAR{bar}: no memory BAR holds it; the guest has no MSI-X");
            return Ok(None);
        }
        if u32::from(vectors) > available {
            log::warn!("{}: MSI-X has {vectors} vectors, the host {available}", device.name());
        }
        Ok(Some(Self {
            at,
            vectors,
            table,
            pending,
        }))
    }

    /// What of a BAR the guest must not reach.
    pub(super) fn traps(&self, bar: u8) -> impl Iterator<Item = Extent> {
        let places = [self.table, self.pending].into_iter();
        places.filter(move |(of, _)| *of == bar).map(|(_, extent)| extent)
    }
}

/// MSI-X of one function, shared by its configuration space and its BARs.
#[derive(Debug)]
pub(super) struct Msix {
    place: MsixPlace,
    device: Arc<dyn HostDevice>,
    irq: Arc<IrqRouter>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    table: Box<MsixTable<MOST>>,
    control: MsixControl,
    /// Empty while MSI-X is disabled.
    vectors: Vec<Vector>,
}

impl Msix {
    pub(super) fn new(place: MsixPlace, device: Arc<dyn HostDevice>, irq: Arc<IrqRouter>) -> Self {
        let state = State {
            table: Box::default(),
            control: MsixControl::default(),
            vectors: Vec::new(),
        };
        Self {
            place,
            device,
            irq,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads table or pending bits. `false` if the access is all the device's; one that is partly so reads ones.
    pub(super) fn read(&self, bar: u8, offset: u64, data: &mut [u8]) -> bool {
        let MsixPlace { table, pending, .. } = self.place;
        match (
            within(table, bar, offset, data.len()),
            within(pending, bar, offset, data.len()),
        ) {
            (Part::None, Part::None) => return false,
            (Part::All(at), _) => self.state().table.read(at, data),
            (Part::None, Part::All(at)) => self.read_pending(at, data),
            _ => data.fill(0xff),
        }
        true
    }

    /// Writes the table. `false` if the access is all the device's; one that is partly so is dropped.
    pub(super) fn write(&self, bar: u8, offset: u64, data: &[u8]) -> bool {
        let MsixPlace { table, pending, .. } = self.place;
        match (
            within(table, bar, offset, data.len()),
            within(pending, bar, offset, data.len()),
        ) {
            (Part::None, Part::None) => return false,
            (Part::All(at), _) => {
                let mut state = self.state();
                state.table.write(at, data);
                // Two vectors are never in one access of 8 bytes.
                state.update(&self.irq, usize::try_from(at / ENTRY).unwrap_or(usize::MAX));
            }
            _ => {}
        }
        true
    }

    fn read_pending(&self, offset: u64, data: &mut [u8]) {
        // The table knows which accesses are valid; what is pending, the eventfds know.
        self.state().table.read_pending(offset, data);
        if data.iter().all(|byte| *byte == 0xff) {
            return;
        }
        let state = self.state();
        let first = usize::try_from(offset).unwrap_or(usize::MAX).saturating_mul(8);
        let mut vectors = state.vectors.iter().skip(first);
        for byte in data {
            let bits = (0..8).zip(vectors.by_ref());
            *byte = bits.fold(0, |byte, (bit, vector)| byte | u8::from(vector.is_pending()) << bit);
        }
    }

    /// Does what message control asks for.
    ///
    /// # Errors
    ///
    /// The host refuses; MSI-X is off then.
    pub(super) fn follow(&self, control: MsixControl) -> Result<(), super::interrupts::InterruptError> {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.control, control);
        if !control.enabled {
            self.end(&mut state);
        } else if state.vectors.is_empty() {
            if let Err(error) = self.start(&mut state) {
                self.end(&mut state);
                return Err(error);
            }
        } else if before.function_mask == control.function_mask {
            return Ok(());
        }
        for vector in 0..state.vectors.len() {
            state.update(&self.irq, vector);
        }
        Ok(())
    }

    /// Ends all vectors; the table stays.
    pub(super) fn stop(&self) {
        self.end(&mut self.state());
    }

    /// Ends all vectors and masks them in the table, as a reset does.
    pub(super) fn reset(&self) {
        let mut state = self.state();
        self.end(&mut state);
        state.control = MsixControl::default();
        state.table.reset();
    }

    fn start(&self, state: &mut State) -> Result<(), super::interrupts::InterruptError> {
        let available = self.device.interrupt_count(InterruptKind::Msix);
        let count = u32::from(self.place.vectors).min(available);
        for _ in 0..count {
            state.vectors.push(Vector::new()?);
        }
        let triggers: Vec<_> = state.vectors.iter().map(Vector::trigger).collect();
        self.device.enable_interrupt(InterruptKind::Msix, &triggers)?;
        Ok(self.let_send(true)?)
    }

    fn end(&self, state: &mut State) {
        if state.vectors.is_empty() {
            return;
        }
        for error in [
            self.let_send(false).err(),
            self.device.disable_interrupt(InterruptKind::Msix).err(),
        ] {
            error.into_iter().for_each(|error| log::warn!("{error}"));
        }
        for mut vector in state.vectors.drain(..) {
            vector.end(&self.irq);
        }
    }

    /// A peer that emulates the device sends only if its register says so; a kernel drops the write.
    fn let_send(&self, sends: bool) -> Result<(), HostError> {
        let at = self.place.at + CONTROL;
        let control = config::read_u16(&*self.device, at)? & !ENABLE;
        config::write_u16(&*self.device, at, if sends { control | ENABLE } else { control })
    }
}

impl State {
    fn update(&mut self, irq: &IrqRouter, index: usize) {
        let entry = u16::try_from(index).ok().and_then(|index| self.table.vector(index));
        let (Some((message, is_masked)), Some(vector)) = (entry, self.vectors.get_mut(index)) else {
            return;
        };
        if let Err(error) = vector.update(irq, message, is_masked || self.control.function_mask) {
            log::error!("MSI-X vector {index}: {error}");
        }
    }
}

/// How much of an access a structure answers.
enum Part {
    None,
    Some,
    /// All, from this offset in the structure.
    All(u64),
}

fn within((of, extent): (u8, Extent), bar: u8, offset: u64, len: usize) -> Part {
    let end = offset.saturating_add(len as u64);
    if of != bar || end <= extent.start || offset >= extent.end() {
        return Part::None;
    }
    match offset.checked_sub(extent.start) {
        Some(at) if end <= extent.end() => Part::All(at),
        _ => Part::Some,
    }
}
