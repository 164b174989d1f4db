// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR4: ports that reach BAR0 by an index and a data register.
//!
//! ```text
//! +0 index   31:2 offset in the half of BAR0 | 0 the half: 0 registers, 1 GTT (before generation 11)
//! +4 data    the dword there
//! ```

use super::bar0::Bar0;
use crate::bytes::put;
use crate::memory::MemoryError;
use crate::profile::Class;

const INDEX: u64 = 0;
const DATA: u64 = 4;

#[derive(Debug, Default)]
pub(crate) struct Ports {
    index: [u8; 4],
}

impl Ports {
    /// Where in BAR0 the data register leads, or `None` if past its half.
    fn target(&self, class: Class, bar0: &Bar0) -> Option<u64> {
        let index = u64::from(u32::from_le_bytes(self.index));
        let offset = index & !3;
        let is_gtt = index & 1 != 0 && class < Class::Gen11;
        (offset < bar0.half()).then(|| if is_gtt { bar0.half() + offset } else { offset })
    }

    pub(crate) fn read(&self, class: Class, bar0: &Bar0, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let mut window = [0; 8];
        put(&mut window, 0, &self.index);
        let len = u64::try_from(buf.len()).unwrap_or(u64::MAX);
        if offset < DATA + 4
            && offset.saturating_add(len) > DATA
            && let Some(target) = self.target(class, bar0)
        {
            let mut data = [0; 4];
            bar0.read(target, &mut data)?;
            put(&mut window, 4, &data);
        }
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, byte) in (at..).zip(buf) {
            *byte = window.get(place).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// Only whole dwords reach BAR0; other accesses to the data register are dropped.
    pub(crate) fn write(&mut self, class: Class, bar0: &mut Bar0, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        if offset < DATA {
            let at = usize::try_from(offset - INDEX).unwrap_or(4);
            put(&mut self.index, at, data);
            return match data.get(4..8) {
                Some(data) if at == 0 => self.write(class, bar0, DATA, data),
                _ => Ok(()),
            };
        }
        if offset == DATA
            && data.len() == 4
            && let Some(target) = self.target(class, bar0)
        {
            bar0.write(target, data)?;
        }
        Ok(())
    }
}
