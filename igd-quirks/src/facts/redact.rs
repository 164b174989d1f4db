// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Taking out of facts what tells one machine of a kind from the next.

use super::{Bytes, ConfigBytes, DeviceFacts, HostFacts};

/// OpRegion fields that name a build or a unit, offset and length: version strings of system BIOS, VBIOS and driver,
/// and in mailbox 5 the EDID of the built-in panel, which has its serial number.
const OPREGION_FIELDS: [(usize, usize); 4] = [(0x18, 32), (0x38, 16), (0x48, 16), (0x1c04, 256)];

/// Extended capability with a serial number: 8 bytes after the header.
const DEVICE_SERIAL_NUMBER: u16 = 0x0003;

/// More capabilities do not fit into extended configuration space.
const MAX_CAPABILITIES: usize = (4096 - 256) / 8;

impl HostFacts {
    /// Overwrites serial numbers and version strings with zeros, so that facts can be shown to others.
    ///
    /// What a plan depends on stays: device and subsystem ids, sizes, addresses. Panel data inside the VBT stays too,
    /// since its checksum covers it.
    pub fn redact(&mut self) {
        let DeviceFacts {
            config,
            opregion,
            host_bridge,
            lpc_bridge,
            ..
        } = &mut self.device;
        for config in [Some(config), host_bridge.as_mut(), lpc_bridge.as_mut()]
            .into_iter()
            .flatten()
        {
            clear_serial_number(config);
        }
        if let Some(opregion) = opregion {
            for (offset, len) in OPREGION_FIELDS {
                opregion.clear(offset, len);
            }
        }
    }
}

fn clear_serial_number(config: &mut ConfigBytes) {
    let mut offset = 0x100;
    for _ in 0..MAX_CAPABILITIES {
        let Some(&[id_low, id_high, version_and_next, next]) = config.get(offset..).and_then(<[u8]>::first_chunk)
        else {
            return;
        };
        if u16::from_le_bytes([id_low, id_high]) == DEVICE_SERIAL_NUMBER {
            Bytes::clear(config, offset + 4, 8);
        }
        offset = usize::from(next) << 4 | usize::from(version_and_next >> 4 & 0xc);
        if offset < 0x100 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::facts::OpRegionBytes;
    use std::vec;

    #[test]
    fn serial_numbers_go_and_the_rest_stays() {
        let mut config = vec![0xee; 4096];
        config[0x100..0x104].copy_from_slice(&[0x0d, 0x00, 0x01, 0x18]);
        config[0x180..0x184].copy_from_slice(&[0x03, 0x00, 0x01, 0x00]);
        let mut facts = HostFacts::default();
        facts.device.config = ConfigBytes::new(config.clone()).unwrap();
        facts.device.opregion = Some(OpRegionBytes::new(vec![0x41; 0x1c10]).unwrap());
        facts.redact();

        config[0x184..0x18c].fill(0);
        assert_eq!(facts.device.config[..], config);
        let opregion = facts.device.opregion.unwrap();
        for (at, byte) in opregion.iter().enumerate() {
            let hidden = (0x18..0x58).contains(&at) || at >= 0x1c04;
            assert_eq!(*byte == 0, hidden, "{at:#x}");
        }
    }

    #[test]
    fn a_chain_that_returns_to_itself_ends() {
        let mut config = vec![0; 4096];
        config[0x100..0x104].copy_from_slice(&[0x03, 0x00, 0x01, 0x10]);
        let mut facts = HostFacts::default();
        facts.device.config = ConfigBytes::new(config.clone()).unwrap();
        facts.redact();
        assert_eq!(facts.device.config[..], config);
    }
}
