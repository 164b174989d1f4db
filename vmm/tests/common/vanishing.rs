// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A host device whose BAR2 is gone after a write to its interrupt line, as that of a device that falls off the bus.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use igd_quirks::facts::Extent;
use igd_vmm::backend::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::tempfile::TempFile;

const BAR2: RegionKind = RegionKind::Bar(2);
const INTERRUPT_LINE: u64 = 0x3c;

/// The device, over another that answers for everything else.
#[derive(Debug)]
pub(crate) struct Vanishing {
    below: Arc<dyn HostDevice>,
    memory: File,
}

impl Vanishing {
    pub(crate) fn new(below: Arc<dyn HostDevice>) -> Self {
        let memory = TempFile::new().unwrap().into_file();
        memory.set_len(below.region(BAR2).unwrap().size).unwrap();
        Self { below, memory }
    }
}

fn gone(access: &'static str, region: RegionKind, offset: u64, len: usize) -> HostError {
    HostError::Access {
        access,
        region,
        offset,
        len,
        reason: "it has vanished".to_owned(),
    }
}

impl HostDevice for Vanishing {
    fn name(&self) -> &str {
        self.below.name()
    }

    fn regions(&self) -> &[Region] {
        self.below.regions()
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        if region != BAR2 {
            return self.below.read(region, offset, data);
        }
        let read = self.memory.read_exact_at(data, offset);
        read.map_err(|_| gone("read", region, offset, data.len()))
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError> {
        if (region, offset) == (RegionKind::Config, INTERRUPT_LINE) {
            self.memory.set_len(0).unwrap();
        }
        if region != BAR2 {
            return self.below.write(region, offset, data);
        }
        if self.memory.metadata().unwrap().len() == 0 {
            return Err(gone("write", region, offset, data.len()));
        }
        self.memory.write_all_at(data, offset).unwrap();
        Ok(())
    }

    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError> {
        if region != BAR2 {
            return self.below.map(region, area);
        }
        Ok(Mapping::new(self.memory.as_fd(), area.start, area.len).unwrap())
    }

    fn interrupt_count(&self, kind: InterruptKind) -> u32 {
        self.below.interrupt_count(kind)
    }

    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError> {
        self.below.enable_interrupt(kind, triggers)
    }

    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError> {
        self.below.disable_interrupt(kind)
    }

    fn mask_intx(&self) -> Result<(), HostError> {
        self.below.mask_intx()
    }

    fn unmask_intx(&self) -> Result<(), HostError> {
        self.below.unmask_intx()
    }

    fn set_intx_resample(&self, resample: &EventFd) -> Result<(), HostError> {
        self.below.set_intx_resample(resample)
    }

    fn reset(&self) -> Result<(), HostError> {
        self.below.reset()
    }

    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError> {
        self.below.map_dma(memory)
    }

    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError> {
        self.below.unmap_dma(iova, len)
    }
}
