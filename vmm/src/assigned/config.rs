// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space of the host's device.

use std::sync::Arc;

use pci_model::spec::{self, command};
use pci_model::{ConfigAccess, ConfigBackend};

use crate::backend::{HostDevice, HostError, RegionKind};

/// What lets a device answer, reach memory, or keep its pin quiet.
const ACTIVE: u16 = command::IO | command::MEMORY | command::BUS_MASTER | command::INTX_DISABLE;

/// Configuration space of the host's device.
#[derive(Clone, Debug)]
pub(super) struct HostConfig(pub(super) Arc<dyn HostDevice>);

impl ConfigBackend for HostConfig {
    type Error = HostError;

    fn read(&mut self, at: ConfigAccess) -> Result<u32, HostError> {
        let mut bytes = [0; 4];
        let data = bytes.get_mut(..at.width().len()).unwrap_or(&mut []);
        self.0.read(RegionKind::Config, at.offset().into(), data)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), HostError> {
        let bytes = value.to_le_bytes();
        let data = bytes.get(..at.width().len()).unwrap_or(&[]);
        self.0.write(RegionKind::Config, at.offset().into(), data)
    }
}

pub(super) fn read_u16(device: &dyn HostDevice, offset: u16) -> Result<u16, HostError> {
    let mut bytes = [0; 2];
    device.read(RegionKind::Config, offset.into(), &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

pub(super) fn read_u32(device: &dyn HostDevice, offset: u16) -> Result<u32, HostError> {
    let mut bytes = [0; 4];
    device.read(RegionKind::Config, offset.into(), &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

pub(super) fn write_u16(device: &dyn HostDevice, offset: u16, value: u16) -> Result<(), HostError> {
    device.write(RegionKind::Config, offset.into(), &value.to_le_bytes())
}

/// Lets the device answer nowhere and reach no memory.
pub(super) fn quiesce(device: &dyn HostDevice) -> Result<(), HostError> {
    let now = read_u16(device, spec::COMMAND)?;
    write_u16(device, spec::COMMAND, now & !ACTIVE)
}

/// Resets the device. A host keeps the registers of a device over its reset, so it is quiesced first.
pub(super) fn reset(device: &dyn HostDevice) -> Result<(), HostError> {
    quiesce(device)?;
    device.reset()
}

/// Does something for which the device must decode what `bits` of the command register say.
pub(super) fn decoding<E: From<HostError>>(
    device: &dyn HostDevice,
    bits: u16,
    action: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let before = read_u16(device, spec::COMMAND)?;
    write_u16(device, spec::COMMAND, before | bits)?;
    let done = action();
    let restored = write_u16(device, spec::COMMAND, before);
    done?;
    Ok(restored?)
}
