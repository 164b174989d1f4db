// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernel's VFIO: by group and type1, or by cdev and iommufd.

mod advice;
mod ioctls;
mod regions;

use std::fmt;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use igd_quirks::facts::Extent;
use kvm_bindings::{kvm_create_device, kvm_device_type_KVM_DEV_TYPE_VFIO};
use kvm_ioctls::VmFd;
use pci_model::Bdf;
use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_RESET, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
    VFIO_PCI_REQ_IRQ_INDEX,
};
use vfio_ioctls::{VfioContainer, VfioDeviceFd, VfioError, VfioIommufd, VfioOps};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind};
use regions::Told;

/// More regions than any device has.
const REGIONS: u32 = 64;
/// How long a device that is in use is waited for, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// Where configuration space has BAR0.
const BAR0: u64 = 0x10;

/// Which of the kernel's interfaces is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Mode {
    /// Cdev where the kernel has it, else the group.
    #[default]
    Auto,
    /// `/dev/vfio/GROUP` and a type1 IOMMU.
    Group,
    /// `/dev/vfio/devices/vfioN` and `/dev/iommu`.
    Cdev,
}

/// A function of the host that is bound to vfio-pci.
pub struct VfioDevice {
    name: String,
    sysfs: PathBuf,
    device: vfio_ioctls::VfioDevice,
    ops: Arc<dyn VfioOps>,
    can_reset: bool,
    regions: Vec<Region>,
    /// Index and offset in the descriptor of each region.
    places: Vec<u64>,
    lost: Option<EventFd>,
}

impl fmt::Debug for VfioDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VfioDevice")
            .field("name", &self.name)
            .field("regions", &self.regions)
            .finish_non_exhaustive()
    }
}

impl VfioDevice {
    /// Opens the function at this address. KVM is told of it if there is a virtual machine already: a device that does
    /// not snoop needs that.
    ///
    /// # Errors
    ///
    /// The function is not there, not bound to vfio-pci, or the kernel refuses; the message says what to do.
    pub fn open(address: Bdf, mode: Mode, vm: Option<&VmFd>) -> Result<Self, HostError> {
        let address = format!("0000:{address}");
        let sysfs = Path::new("/sys/bus/pci/devices").join(&address);
        let name = format!("vfio {address}");
        let failed = |reason: String| HostError::Open {
            device: name.clone(),
            reason,
        };
        if let Some(obstacle) = advice::obstacle(&sysfs) {
            return Err(failed(obstacle));
        }
        let ops = ops(mode, &sysfs, vm).map_err(|error| failed(advice::reason(&sysfs, &error)))?;
        let device = open_patiently(&name, &sysfs, &ops).map_err(|error| failed(advice::reason(&sysfs, &error)))?;
        let info = ioctls::info(&device).map_err(|error| failed(error.to_string()))?;
        let mut opened = Self {
            name: name.clone(),
            sysfs,
            device,
            ops,
            can_reset: info.flags & VFIO_DEVICE_FLAGS_RESET != 0,
            regions: Vec::new(),
            places: Vec::new(),
            lost: None,
        };
        opened.find_regions(info.num_regions.min(REGIONS));
        opened.lost = opened.request_irq();
        Ok(opened)
    }

    fn find_regions(&mut self, count: u32) {
        let told = |(position, index)| Told {
            index,
            size: self.device.get_region_size(position),
            offset: self.device.get_region_offset(position),
            flags: self.device.get_region_flags(position),
            capabilities: self.device.get_region_caps(position),
        };
        let positions = regions::positions(count, |index| ioctls::has_region(&self.device, index));
        let all: Vec<Told> = positions.map(told).collect();
        let config = all.iter().find(|told| told.index == 7).map(|told| told.offset);
        let is_io = |bar: u8| {
            let mut low = [0];
            let at = config.map(|config| config + BAR0 + 4 * u64::from(bar));
            let read = at.and_then(|at| self.with_file(|file| file.read_exact_at(&mut low, at)).ok());
            read.is_some() && low[0] & 1 != 0
        };
        let found: Vec<(Region, u64)> = all
            .iter()
            .filter_map(|told| Some((regions::region(told, is_io)?, told.offset)))
            .collect();
        (self.regions, self.places) = found.into_iter().unzip();
    }

    /// The kernel asks for the device back through this, if it can.
    fn request_irq(&self) -> Option<EventFd> {
        let info = self.device.get_irq_info(VFIO_PCI_REQ_IRQ_INDEX)?;
        let lost = EventFd::new(EFD_NONBLOCK).ok().filter(|_| info.count > 0)?;
        self.device.enable_irq(VFIO_PCI_REQ_IRQ_INDEX, vec![&lost]).ok()?;
        Some(lost)
    }

    /// The descriptor of the device as a file.
    fn with_file<T>(&self, use_it: impl FnOnce(&File) -> T) -> T {
        // SAFETY: the descriptor is open as long as `self` lives, and this file is never dropped, so it is not closed.
        #[expect(unsafe_code, reason = "a borrowed file for exact reads and writes at an offset")]
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.device.as_raw_fd()) });
        use_it(&file)
    }

    /// Where in the descriptor an access lies.
    fn place(&self, kind: RegionKind, offset: u64, len: usize) -> Result<u64, HostError> {
        let out_of_range = HostError::OutOfRange {
            region: kind,
            offset,
            len,
        };
        let found = self
            .regions
            .iter()
            .zip(&self.places)
            .find(|(region, _)| region.kind == kind);
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        match (found, end) {
            (Some((region, base)), Some(end)) if end <= region.size => base.checked_add(offset).ok_or(out_of_range),
            _ => Err(out_of_range),
        }
    }

    fn interrupt(&self, action: &'static str, kind: InterruptKind, error: impl fmt::Display) -> HostError {
        HostError::Interrupt {
            action,
            kind,
            reason: error.to_string(),
        }
    }

    fn dma(&self, action: &'static str, range: Extent, error: &dyn fmt::Display) -> HostError {
        let width = advice::iommu_bits(&self.sysfs)
            .map_or("of unknown width".to_owned(), |bits| format!("of {bits} address bits"));
        HostError::Dma {
            action,
            range,
            reason: format!(
                "{error} ({:#x} bytes, an IOMMU {width}, memory to lock: {}); raise the limit with ulimit -l, or place memory \
                 and BARs lower",
                range.len,
                locked_limit()
            ),
        }
    }
}

/// How much memory may be locked.
fn locked_limit() -> String {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the structure that it is given.
    #[expect(unsafe_code, reason = "getrlimit has no safe wrapper among the dependencies")]
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    match (result, limit.rlim_cur) {
        (0, libc::RLIM_INFINITY) => "unlimited".to_owned(),
        (0, bytes) => format!("{} KiB", bytes / 1024),
        _ => "unknown".to_owned(),
    }
}

fn ops(mode: Mode, sysfs: &Path, vm: Option<&VmFd>) -> Result<Arc<dyn VfioOps>, VfioError> {
    let has_cdev = Path::new("/dev/iommu").exists() && sysfs.join("vfio-dev").is_dir();
    let kvm = vm.and_then(|vm| {
        let mut request = kvm_create_device {
            type_: kvm_device_type_KVM_DEV_TYPE_VFIO,
            fd: 0,
            flags: 0,
        };
        match vm.create_device(&mut request) {
            Ok(device) => Some(Arc::new(VfioDeviceFd::new_from_kvm(device))),
            Err(error) => {
                log::warn!("KVM is not told of the device: {error}");
                None
            }
        }
    });
    if mode == Mode::Cdev || mode == Mode::Auto && has_cdev {
        let iommufd = iommufd_ioctls::IommuFd::new().map_err(VfioError::NewVfioIommufd)?;
        return Ok(Arc::new(VfioIommufd::new(Arc::new(iommufd), None, kvm)?));
    }
    Ok(Arc::new(VfioContainer::new(kvm)?))
}

/// Opens the device, and waits a while for one that is in use: when a VMM is killed, the kernel takes the device back
/// only after it has unmapped the guest's memory from the IOMMU, which takes seconds for a large guest.
fn open_patiently(name: &str, sysfs: &Path, ops: &Arc<dyn VfioOps>) -> Result<vfio_ioctls::VfioDevice, VfioError> {
    let start = Instant::now();
    let mut is_told = false;
    loop {
        let error = match vfio_ioctls::VfioDevice::new(sysfs, Arc::clone(ops), true) {
            Ok(device) => return Ok(device),
            Err(error) => error,
        };
        if !advice::is_in_use(&error) || start.elapsed() > PATIENCE {
            return Err(error);
        }
        if !is_told {
            is_told = true;
            log::warn!(
                "{name} is in use; waiting up to {} s, as after a VMM that was killed",
                PATIENCE.as_secs()
            );
        }
        sleep(POLL);
    }
}

const fn index(kind: InterruptKind) -> u32 {
    match kind {
        InterruptKind::Intx => VFIO_PCI_INTX_IRQ_INDEX,
        InterruptKind::Msi => VFIO_PCI_MSI_IRQ_INDEX,
        InterruptKind::Msix => VFIO_PCI_MSIX_IRQ_INDEX,
    }
}

/// Lengths of the accesses that make one up: naturally aligned ones to registers. What is only memory is read at once,
/// since the kernel maps the ROM and looks through its images for each read.
fn pieces(region: RegionKind, offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let widest = match region {
        RegionKind::Bar(_) => 8,
        _ => 4,
    };
    let is_memory = matches!(region, RegionKind::Rom | RegionKind::OpRegion);
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = len - done;
        if is_memory && left > 0 {
            done = len;
            return Some((offset, 0..len));
        }
        let at = offset.checked_add(u64::try_from(done).ok()?)?;
        let sizes = [8_usize, 4, 2, 1].into_iter().filter(|size| *size <= widest);
        let size = sizes
            .filter(|size| *size <= left)
            .find(|size| u64::try_from(*size).is_ok_and(|size| at.is_multiple_of(size)))?;
        let range = done..done + size;
        done += size;
        Some((at, range))
    })
}

impl HostDevice for VfioDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        let len = data.len();
        self.place(region, offset, len)?;
        for (at, range) in pieces(region, offset, len) {
            let place = self.place(region, at, range.len())?;
            let bytes = data.get_mut(range).unwrap_or(&mut []);
            let read = self.with_file(|file| file.read_exact_at(bytes, place));
            read.map_err(|error| access("read", region, offset, len, &error))?;
        }
        Ok(())
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError> {
        let len = data.len();
        self.place(region, offset, len)?;
        for (at, range) in pieces(region, offset, len) {
            let place = self.place(region, at, range.len())?;
            let bytes = data.get(range).unwrap_or(&[]);
            let written = self.with_file(|file| file.write_all_at(bytes, place));
            written.map_err(|error| access("write", region, offset, len, &error))?;
        }
        Ok(())
    }

    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError> {
        let failed = |reason: String| HostError::Map { region, area, reason };
        let is_in = |whole: &Extent| whole.start <= area.start && area.end() <= whole.end();
        let known = self
            .region(region)
            .is_some_and(|region| region.mappable.iter().any(is_in));
        if !known {
            return Err(failed("the kernel does not offer it".to_owned()));
        }
        let place = self.place(region, area.start, usize::try_from(area.len).unwrap_or(usize::MAX))?;
        // SAFETY: the descriptor is open as long as `self` lives, which is longer than the call.
        #[expect(unsafe_code, reason = "the device lends no descriptor with a lifetime")]
        let file = unsafe { BorrowedFd::borrow_raw(self.device.as_raw_fd()) };
        Mapping::new(file, place, area.len).map_err(|error| failed(error.to_string()))
    }

    fn interrupt_count(&self, kind: InterruptKind) -> u32 {
        self.device.get_irq_info(index(kind)).map_or(0, |info| info.count)
    }

    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError> {
        let most = self.interrupt_count(kind);
        if triggers.is_empty() || u32::try_from(triggers.len()).is_ok_and(|count| count > most) {
            let reason = format!("{} eventfds for {most} interrupts", triggers.len());
            return Err(self.interrupt("enabling", kind, reason));
        }
        match ioctls::trigger(&self.device, index(kind), triggers) {
            Ok(set) if set == triggers.len() => Ok(()),
            Ok(available) => {
                let reason = format!("the host has {available} of {} vectors left", triggers.len());
                Err(self.interrupt("enabling", kind, reason))
            }
            Err(error) => Err(self.interrupt("enabling", kind, error)),
        }
    }

    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError> {
        let disabled = self.device.disable_irq(index(kind));
        disabled.map_err(|error| self.interrupt("disabling", kind, error))
    }

    fn mask_intx(&self) -> Result<(), HostError> {
        let masked = ioctls::mask(&self.device, VFIO_PCI_INTX_IRQ_INDEX);
        masked.map_err(|error| self.interrupt("masking", InterruptKind::Intx, error))
    }

    fn unmask_intx(&self) -> Result<(), HostError> {
        let unmasked = self.device.unmask_irq(VFIO_PCI_INTX_IRQ_INDEX);
        unmasked.map_err(|error| self.interrupt("unmasking", InterruptKind::Intx, error))
    }

    fn set_intx_resample(&self, resample: &EventFd) -> Result<(), HostError> {
        let set = self.device.set_irq_resample_fd(VFIO_PCI_INTX_IRQ_INDEX, vec![resample]);
        set.map_err(|error| self.interrupt("resampling", InterruptKind::Intx, error))
    }

    fn reset(&self) -> Result<(), HostError> {
        if !self.can_reset {
            return Err(HostError::Reset {
                reason: "the function cannot be reset by itself".to_owned(),
            });
        }
        ioctls::reset(&self.device).map_err(|error| HostError::Reset {
            reason: error.to_string(),
        })
    }

    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError> {
        let range = Extent::new(memory.iova, memory.len);
        let len = usize::try_from(memory.len).map_err(|error| self.dma("map", range, &error))?;
        let address = usize::try_from(memory.hva).map_err(|error| self.dma("map", range, &error))?;
        let pointer = std::ptr::with_exposed_provenance_mut(address);
        // SAFETY: the range is guest RAM, which stays mapped until the machine has unmapped it for the device.
        #[expect(unsafe_code, reason = "the device may write to this memory from now on")]
        let mapped = unsafe { self.ops.vfio_dma_map(memory.iova, len, pointer) };
        mapped.map_err(|error| self.dma("map", range, &error))
    }

    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError> {
        let range = Extent::new(iova, len);
        let size = usize::try_from(len).map_err(|error| self.dma("unmap", range, &error))?;
        let unmapped = self.ops.vfio_dma_unmap(iova, size);
        unmapped.map_err(|error| self.dma("unmap", range, &error))
    }

    fn iommu_bits(&self) -> Option<u8> {
        advice::iommu_bits(&self.sysfs)
    }

    fn lost(&self) -> Option<&EventFd> {
        self.lost.as_ref()
    }
}

fn access(access: &'static str, region: RegionKind, offset: u64, len: usize, error: &io::Error) -> HostError {
    HostError::Access {
        access,
        region,
        offset,
        len,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_naturally_aligned() {
        let of = |region, offset, len| -> Vec<(u64, usize)> {
            pieces(region, offset, len)
                .map(|(at, range)| (at, range.len()))
                .collect()
        };
        assert_eq!(of(RegionKind::Bar(0), 8, 8), [(8, 8)]);
        assert_eq!(of(RegionKind::Bar(0), 4, 8), [(4, 4), (8, 4)]);
        assert_eq!(of(RegionKind::Config, 0, 8), [(0, 4), (4, 4)]);
        assert_eq!(of(RegionKind::Config, 1, 4), [(1, 1), (2, 2), (4, 1)]);
        assert_eq!(of(RegionKind::Rom, 1, 0x2_0000), [(1, 0x2_0000)]);
        assert!(of(RegionKind::Rom, 0, 0).is_empty());
        assert!(of(RegionKind::Config, 0, 0).is_empty());
        assert!(of(RegionKind::Config, u64::MAX, 2).len() <= 1);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let missing = Bdf::new(0xfe, 0x1f, 7).unwrap();
        let error = VfioDevice::open(missing, Mode::Auto, None).unwrap_err();
        assert!(error.to_string().contains("vfio 0000:fe:1f.7"), "{error}");
        assert!(error.to_string().contains("no such function"), "{error}");
    }
}
