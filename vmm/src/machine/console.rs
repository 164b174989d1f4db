// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The line into a machine's serial port.

use std::sync::Weak;

use super::io::{Io, lock};

/// The line into a machine's serial port. It does not keep the machine.
#[derive(Clone, Debug)]
pub struct Console {
    pub(super) io: Weak<Io>,
    pub(super) index: usize,
}

impl Console {
    /// Sends bytes, and says how many were taken: the port has room for 64 that the guest has not read. `None` if the
    /// machine is gone.
    #[must_use]
    pub fn send(&self, bytes: &[u8]) -> Option<usize> {
        let io = self.io.upgrade()?;
        let attached = io.devices.get(self.index)?;
        Some(lock(&attached.device).receive(bytes))
    }
}
