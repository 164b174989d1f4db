// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A simulated device in this process.

mod dma;
mod interrupts;

use std::error::Error;
use std::fmt;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use igd_quirks::facts::Extent;
use igd_sim::{Interrupt, Options, Profile, Signal, SimDevice};
use vmm_sys_util::eventfd::EventFd;

use super::vfio_user::{Watch, pieces};
use super::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind, mapping};
use dma::DmaTable;
use interrupts::Interrupts;

/// A simulated device as a host's. BAR0 and BAR2 are always in files, so that a guest reaches them without an exit.
pub struct SimHost {
    name: String,
    regions: Vec<Region>,
    state: Arc<Mutex<State>>,
    resample: Mutex<Option<Watch>>,
}

struct State {
    device: SimDevice,
    interrupts: Interrupts,
    dma: DmaTable,
}

impl State {
    /// Carries out what the device asked for by itself.
    fn act(&mut self) {
        match self.device.take_signal() {
            Some(Signal::Interrupt(Interrupt::Message(_))) => self.interrupts.fire_msi(),
            Some(Signal::Interrupt(Interrupt::Line | Interrupt::Held | Interrupt::Silent)) | None => {}
            Some(Signal::Dma(dma)) => {
                let done = self.dma.transfer(&mut self.device, dma);
                self.device.finish_dma(done);
            }
        }
        // The pin follows the device, the command register and the mask of MSI.
        self.interrupts.set_level(self.device.function().intx_level());
    }
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHost")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl SimHost {
    /// A device of this platform at power-on, with its BARs in shared memory.
    ///
    /// # Errors
    ///
    /// [`HostError::Open`] if an option asks for what the platform cannot be.
    pub fn new(profile: Profile, options: &Options) -> Result<Self, HostError> {
        let name = format!("sim {}", profile.name);
        let mut options = options.clone();
        options.shared = true;
        let device = SimDevice::new(&profile, &options).map_err(|error| HostError::Open {
            device: name.clone(),
            reason: chain(&error),
        })?;
        let regions = device.regions().iter();
        let regions = regions.filter_map(|region| describe(&device, region)).collect();
        let state = State {
            device,
            interrupts: Interrupts::default(),
            dma: DmaTable::default(),
        };
        Ok(Self {
            name,
            regions,
            state: Arc::new(Mutex::new(state)),
            resample: Mutex::new(None),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The simulation's name of a region, if the access lies within it.
    fn find(&self, kind: RegionKind, offset: u64, len: usize) -> Result<(&Region, igd_sim::RegionKind), HostError> {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        self.region(kind)
            .filter(|region| end.is_some_and(|end| end <= region.size))
            .map(|region| (region, theirs(kind)))
            .ok_or(HostError::OutOfRange {
                region: kind,
                offset,
                len,
            })
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn describe(device: &SimDevice, region: &igd_sim::Region) -> Option<Region> {
    let kind = ours(region.kind)?;
    let mappable = match kind {
        RegionKind::Bar(bar) if device.bar_file(bar).is_some() => device.mappable(bar),
        _ => Vec::new(),
    };
    Some(Region {
        kind,
        size: region.size,
        writable: region.writable,
        mappable: mappable
            .into_iter()
            .map(|(start, len)| Extent::new(start, len))
            .collect(),
    })
}

/// The seam's name of a region; `None` for one that is newer than the seam.
fn ours(kind: igd_sim::RegionKind) -> Option<RegionKind> {
    use igd_sim::RegionKind as Theirs;
    Some(match kind {
        Theirs::Bar(index) => RegionKind::Bar(index),
        Theirs::Rom => RegionKind::Rom,
        Theirs::Config => RegionKind::Config,
        Theirs::Vga => RegionKind::Vga,
        Theirs::OpRegion => RegionKind::OpRegion,
        Theirs::HostBridge => RegionKind::HostBridge,
        Theirs::LpcBridge => RegionKind::LpcBridge,
        _ => return None,
    })
}

const fn theirs(kind: RegionKind) -> igd_sim::RegionKind {
    use igd_sim::RegionKind as Theirs;
    match kind {
        RegionKind::Bar(index) => Theirs::Bar(index),
        RegionKind::Rom => Theirs::Rom,
        RegionKind::Config => Theirs::Config,
        RegionKind::Vga => Theirs::Vga,
        RegionKind::OpRegion => Theirs::OpRegion,
        RegionKind::HostBridge => Theirs::HostBridge,
        RegionKind::LpcBridge => Theirs::LpcBridge,
    }
}

const fn their_interrupt(kind: InterruptKind) -> igd_sim::InterruptKind {
    match kind {
        InterruptKind::Intx => igd_sim::InterruptKind::Intx,
        InterruptKind::Msi => igd_sim::InterruptKind::Msi,
        InterruptKind::Msix => igd_sim::InterruptKind::Msix,
    }
}

impl HostDevice for SimHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        let (_, kind) = self.find(region, offset, data.len())?;
        let len = data.len();
        let mut state = self.state();
        for (at, range) in pieces(region, offset, len, len) {
            let piece = data.get_mut(range).unwrap_or(&mut []);
            let result = state.device.read_exact(kind, at, piece);
            result.map_err(|error| HostError::Access {
                access: "read",
                region,
                offset,
                len,
                reason: chain(&error),
            })?;
        }
        Ok(())
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError> {
        let (_, kind) = self.find(region, offset, data.len())?;
        let len = data.len();
        let mut state = self.state();
        for (at, range) in pieces(region, offset, len, len) {
            let result = state.device.write_all(kind, at, data.get(range).unwrap_or(&[]));
            state.act();
            result.map_err(|error| HostError::Access {
                access: "write",
                region,
                offset,
                len,
                reason: chain(&error),
            })?;
        }
        Ok(())
    }

    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError> {
        let failed = |reason: String| HostError::Map { region, area, reason };
        let (found, _) = self.find(region, 0, 0).map_err(|error| failed(error.to_string()))?;
        mapping::admit(found, area)?;
        let state = self.state();
        let file = match region {
            RegionKind::Bar(bar) => state.device.bar_file(bar),
            _ => None,
        };
        let file = file.ok_or_else(|| failed("no file holds it".into()))?;
        Mapping::new(file.as_fd(), area.start, area.len).map_err(|error| failed(error.to_string()))
    }

    fn interrupt_count(&self, kind: InterruptKind) -> u32 {
        let kind = their_interrupt(kind);
        let infos = self.state().device.interrupts();
        infos.iter().find(|info| info.kind == kind).map_or(0, |info| info.count)
    }

    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError> {
        let failed = |reason: String| HostError::Interrupt {
            action: "enabling",
            kind,
            reason,
        };
        let most = self.interrupt_count(kind);
        let [trigger] = triggers else {
            return Err(failed(format!("{} eventfds for {most} interrupts", triggers.len())));
        };
        let trigger = trigger.try_clone().map_err(|error| failed(error.to_string()))?;
        let mut state = self.state();
        match kind {
            InterruptKind::Intx => state.interrupts.set_intx(Some(trigger)),
            InterruptKind::Msi => state.interrupts.set_msi(Some(trigger)),
            InterruptKind::Msix => return Err(failed(format!("1 eventfd for {most} interrupts"))),
        }
        Ok(())
    }

    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError> {
        match kind {
            InterruptKind::Intx => {
                *self.resample.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.state().interrupts.set_intx(None);
            }
            InterruptKind::Msi => self.state().interrupts.set_msi(None),
            InterruptKind::Msix => {}
        }
        Ok(())
    }

    fn mask_intx(&self) -> Result<(), HostError> {
        self.state().interrupts.mask();
        Ok(())
    }

    fn unmask_intx(&self) -> Result<(), HostError> {
        self.state().interrupts.unmask();
        Ok(())
    }

    fn set_intx_resample(&self, resample: &EventFd) -> Result<(), HostError> {
        let state = Arc::clone(&self.state);
        let watch = Watch::eventfd("sim-intx", resample, move || lock(&state).interrupts.unmask());
        let watch = watch.map_err(|error| HostError::Interrupt {
            action: "resampling",
            kind: InterruptKind::Intx,
            reason: error.to_string(),
        })?;
        *self.resample.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        Ok(())
    }

    fn reset(&self) -> Result<(), HostError> {
        let mut state = self.state();
        let result = state.device.reset();
        state.act();
        result.map_err(|error| HostError::Reset { reason: chain(&error) })
    }

    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError> {
        self.state().dma.map(memory).map_err(|reason| HostError::Dma {
            action: "map",
            range: Extent::new(memory.iova, memory.len),
            reason,
        })
    }

    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError> {
        self.state().dma.unmap(iova, len).map_err(|reason| HostError::Dma {
            action: "unmap",
            range: Extent::new(iova, len),
            reason,
        })
    }
}
