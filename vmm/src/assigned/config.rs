// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space of the host's device.

use std::sync::Arc;

use pci_model::{ConfigAccess, ConfigBackend};

use crate::backend::{HostDevice, HostError, RegionKind};

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
