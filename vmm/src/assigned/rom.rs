// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The expansion ROM that the guest sees.

use igd_quirks::plan::{RomPlan, StepKind};
use pci_model::spec::command;

use super::ApplyError;
use super::config::decoding;
use crate::backend::{HostDevice, RegionKind};

/// Size of the smallest ROM BAR.
const MIN: usize = 2 << 10;
/// Size of the largest.
const MAX: usize = 16 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 4096;

/// The bytes of the ROM, padded with ones to the size of its BAR; none for no ROM.
pub(super) fn image(plan: &RomPlan, device: &dyn HostDevice, romfile: Option<Vec<u8>>) -> Result<Vec<u8>, ApplyError> {
    let mut image = match (plan, romfile) {
        (RomPlan::Hidden, _) => return Ok(Vec::new()),
        (RomPlan::Host, _) => read(device)?,
        (RomPlan::Repaired(bytes), _) => bytes.to_vec(),
        (RomPlan::File(_), Some(bytes)) => bytes,
        (RomPlan::File(name), None) => return Err(ApplyError::NoRomFile(name.clone())),
    };
    let len = image.len();
    if len == 0 || len > MAX {
        return Err(ApplyError::RomSize(len as u64));
    }
    image.resize(len.next_power_of_two().max(MIN), 0xff);
    Ok(image)
}

/// The host's ROM. A host lets it be read only while the device decodes memory.
fn read(device: &dyn HostDevice) -> Result<Vec<u8>, ApplyError> {
    let region = device.region(RegionKind::Rom).ok_or(ApplyError::NoRegion {
        region: RegionKind::Rom,
        step: StepKind::ShowRom,
    })?;
    let len = usize::try_from(region.size).ok().filter(|len| *len <= MAX);
    let mut image = vec![0; len.ok_or(ApplyError::RomSize(region.size))?];
    decoding(device, command::MEMORY, || {
        let mut parts = image.chunks_mut(CHUNK).zip((0_u64..).step_by(CHUNK));
        parts.try_for_each(|(part, offset)| device.read(RegionKind::Rom, offset, part))
    })
    .map_err(ApplyError::host("reading the expansion ROM"))?;
    Ok(image)
}
