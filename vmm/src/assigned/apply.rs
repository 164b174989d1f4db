// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The steps of a plan that concern the device, in order; undone in reverse where one fails.

use std::sync::Arc;

use igd_quirks::device::IgdDevice;
use igd_quirks::facts::{Extent, HostFacts};
use igd_quirks::plan::{Image, Plan, StepKind};
use pci_model::carve::CarveError;
use pci_model::{Bar, BarError, BarKind, BuildError, FunctionBuilder, Passthrough, PassthroughError, ROM, spec};
use vm_memory::{Bytes, GuestAddress};

use super::bars::AssignedBars;
use super::config::{self, HostConfig};
use super::function::AssignedFunction;
use super::interrupts::Interrupts;
use super::msix::{Msix, MsixPlace};
use super::undo::{Done, Undo};
use super::{gtt, pieces, rom};
use crate::backend::{HostDevice, HostError, RegionKind};
use crate::irq::IrqRouter;
use crate::memory::GuestRam;

/// A device as its machine has it.
#[derive(Debug)]
pub struct Applied {
    /// The function, for the bus.
    pub function: AssignedFunction,
    /// Its BARs, for the processors.
    pub bars: Arc<AssignedBars>,
}

/// A plan that cannot be carried out. What had been done is undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The host refuses.
    #[error("{step}: {source}")]
    Host {
        /// What was done.
        step: &'static str,
        /// Why.
        source: HostError,
    },
    /// The plan is for another device.
    #[error(
        "the device is {:04x}:{:04x}, but the plan is for {:04x}:{:04x}; read the facts of this device and plan again",
        found.0, found.1, expected.0, expected.1
    )]
    OtherDevice {
        /// Vendor and device of the facts.
        expected: (u16, u16),
        /// Vendor and device that were found.
        found: (u16, u16),
    },
    /// The device has not got what the plan is about.
    #[error("{step}: the device has no region {region}; read the facts of this device and plan again")]
    NoRegion {
        /// What there is not.
        region: RegionKind,
        /// Which part of the plan.
        step: StepKind,
    },
    /// Its configuration space makes no function.
    #[error("configuration space: {0}")]
    Function(BuildError),
    /// A BAR that cannot be.
    #[error("BAR{bar} of {size:#x} bytes: {source}")]
    Bar {
        /// Index; 6 is the ROM.
        bar: u8,
        /// Size in bytes.
        size: u64,
        /// Why.
        source: BarError,
    },
    /// A BAR that cannot be carved.
    #[error("BAR{bar}: {source}")]
    Carve {
        /// Index.
        bar: u8,
        /// Why.
        source: CarveError,
    },
    /// The OpRegion does not fit guest RAM.
    #[error("the OpRegion at {0} is not in guest RAM")]
    OpRegion(Extent),
    /// The expansion ROM cannot be shown.
    #[error("an expansion ROM of {0:#x} bytes: it must have 1 byte to 16 MiB")]
    RomSize(u64),
    /// The plan names a file for the ROM, which was not given.
    #[error("the expansion ROM is to come from {0:?}, which was not read")]
    NoRomFile(String),
    /// The translation table is larger than any there is.
    #[error("GTT indices below {0:#x}: no translation table has more than 8 MiB")]
    GttIndex(u32),
}

impl ApplyError {
    pub(super) fn host(step: &'static str) -> impl Fn(HostError) -> Self {
        move |source| Self::Host { step, source }
    }
}

/// Carries out the steps of `plan` that concern the device, in their order. `romfile` is the content of the file that
/// the plan names for the expansion ROM.
///
/// A device that cannot be reset is taken as it is, quiet.
///
/// # Errors
///
/// A step failed. Command register, guest memory and interrupts are then as found, and the device was reset; entries of
/// its translation table that were cleared stay so.
pub fn apply(
    plan: &Plan,
    facts: &HostFacts,
    device: Arc<dyn HostDevice>,
    ram: &GuestRam,
    irq: Arc<IrqRouter>,
    romfile: Option<Vec<u8>>,
) -> Result<Applied, ApplyError> {
    check(facts, &*device)?;
    let mut undo = Undo::new(Arc::clone(&device), ram.clone());
    take(&device, ram, &mut undo)?;
    if let Some(image) = &plan.memory.opregion {
        write_opregion(image, ram, &mut undo)?;
    }
    let mut bars = pieces::bars(&*device)?;
    let msix = MsixPlace::find(&*device).map_err(ApplyError::host("reading the MSI-X capability"))?;
    let pieces = pieces::map(&*device, &bars, &plan.traps, msix.as_ref())?;
    if !plan.vga.is_empty() && device.region(RegionKind::Vga).is_none() {
        let (region, step) = (RegionKind::Vga, StepKind::RouteVga);
        return Err(ApplyError::NoRegion { region, step });
    }
    let rom = rom::image(&plan.rom, &*device, romfile)?;
    if !rom.is_empty() {
        let (bar, size) = (ROM, rom.len() as u64);
        let found = Bar::new(BarKind::Rom, size).map_err(|source| ApplyError::Bar { bar, size, source })?;
        bars.push((bar, found));
    }
    let below = Passthrough::new(HostConfig(Arc::clone(&device)), |builder| {
        configure(builder, &bars, msix.is_some())
    });
    let below = below.map_err(|error| match error {
        PassthroughError::Read { source, .. } => ApplyError::host("reading configuration space")(source),
        PassthroughError::Build(error) => ApplyError::Function(error),
    })?;
    if let Some(clear) = plan.clear_gtt {
        gtt::clear(&*device, clear, &pieces)?;
    }
    undo.release_memory();

    let igd = IgdDevice::new(&plan.device);
    let msix = msix.map(|place| Arc::new(Msix::new(place, Arc::clone(&device), Arc::clone(&irq))));
    let bars = AssignedBars::new(Arc::clone(&device), igd, pieces, rom, plan.vga.clone(), msix.clone());
    let bars = Arc::new(bars);
    let shadow = below.shadow();
    let (pin, msi) = (
        shadow.registers().u8(spec::INTERRUPT_PIN),
        shadow.capability(spec::capability::MSI),
    );
    let interrupts = Interrupts::new(Arc::clone(&device), irq, pin, msi, msix);
    let function = AssignedFunction::new(device, below, Arc::clone(&bars), interrupts, undo);
    Ok(Applied { function, bars })
}

/// Whether the plan is for this device.
fn check(facts: &HostFacts, device: &dyn HostDevice) -> Result<(), ApplyError> {
    let [a, b, c, d] = config::read_u32(device, spec::VENDOR_ID)
        .map_err(ApplyError::host("asking who the device is"))?
        .to_le_bytes();
    let found = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    let expected = (facts.device.vendor, facts.device.device);
    if found == expected {
        Ok(())
    } else {
        Err(ApplyError::OtherDevice { expected, found })
    }
}

/// Resets the device and gives it guest memory.
fn take(device: &Arc<dyn HostDevice>, ram: &GuestRam, undo: &mut Undo) -> Result<(), ApplyError> {
    let reset = ApplyError::host("reset before use");
    let command = config::read_u16(&**device, spec::COMMAND).map_err(&reset)?;
    undo.push(Done::Taken(command));
    match config::reset(&**device) {
        Err(error @ HostError::Reset { .. }) => log::warn!("{}: {error}; it is taken as it is", device.name()),
        result => result.map_err(&reset)?,
    }
    for part in ram.dma() {
        device.map_dma(&part).map_err(ApplyError::host("guest memory"))?;
        undo.push(Done::Dma(Extent::new(part.iova, part.len)));
    }
    undo.push(Done::InUse);
    Ok(())
}

fn write_opregion(image: &Image, ram: &GuestRam, undo: &mut Undo) -> Result<(), ApplyError> {
    let at = GuestAddress(image.gpa);
    let outside = |_| ApplyError::OpRegion(Extent::new(image.gpa, image.bytes.len() as u64));
    let mut before = vec![0; image.bytes.len()];
    ram.memory().read_slice(&mut before, at).map_err(outside)?;
    undo.push(Done::Memory(image.gpa, before));
    ram.memory().write_slice(&image.bytes, at).map_err(outside)
}

fn configure(
    mut builder: FunctionBuilder<256>,
    bars: &[(u8, Bar)],
    has_msix: bool,
) -> Result<FunctionBuilder<256>, BuildError> {
    if !has_msix {
        builder = builder.hide_capability(spec::capability::MSIX);
    }
    bars.iter()
        .try_fold(builder, |builder, (index, bar)| builder.bar(*index, *bar))
}
