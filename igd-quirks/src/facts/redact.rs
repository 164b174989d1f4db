// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Taking out of facts what tells one machine of a kind from the next.

use super::{Bytes, ConfigBytes, DeviceFacts, HostFacts};
use crate::opregion::{OpRegion, VbtPlace, layout};

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
            // Without mailbox 5 a VBT may reach to where that would be.
            let kept = mailbox4_vbt_end(opregion);
            for (offset, len) in OPREGION_FIELDS {
                let skipped = match offset {
                    ..layout::MAILBOX4 => 0,
                    _ => kept.saturating_sub(offset).min(len),
                };
                opregion.clear(offset + skipped, len - skipped);
            }
        }
    }
}

/// Where a VBT in mailbox 4 ends, or 0 if there is none.
fn mailbox4_vbt_end(opregion: &[u8]) -> usize {
    match OpRegion::parse(opregion).map(|region| region.vbt()) {
        Ok(Ok((VbtPlace::Mailbox4, vbt))) => layout::MAILBOX4 + vbt.bytes().len(),
        _ => 0,
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
        // The end of the chain is not read as a capability, whatever stands at 0.
        config[..4].copy_from_slice(&[0x03, 0x00, 0x00, 0x00]);
        config[0x100..0x104].copy_from_slice(&[0x0d, 0x00, 0x41, 0x18]);
        config[0x184..0x188].copy_from_slice(&[0x0b, 0x00, 0x01, 0x20]);
        config[0x200..0x204].copy_from_slice(&[0x10, 0x00, 0x01, 0x30]);
        config[0x300..0x304].copy_from_slice(&[0x03, 0x00, 0x01, 0x00]);
        let mut facts = HostFacts::default();
        facts.device.config = ConfigBytes::new(config.clone()).unwrap();
        facts.device.opregion = Some(OpRegionBytes::new(vec![0x41; 0x1c10]).unwrap());
        facts.redact();

        config[0x304..0x30c].fill(0);
        assert_eq!(facts.device.config[..], config);
        let opregion = facts.device.opregion.unwrap();
        for (at, byte) in opregion.iter().enumerate() {
            let hidden = (0x18..0x58).contains(&at) || at >= 0x1c04;
            assert_eq!(*byte == 0, hidden, "{at:#x}");
        }
    }

    #[test]
    fn a_vbt_that_reaches_over_mailbox_5_stays_whole() {
        let mut bytes = vec![0x41; 0x2000];
        bytes[..24].copy_from_slice(b"IntelGraphicsMem\x08\0\0\0\0\0\0\x01");
        bytes[layout::MBOX..layout::MBOX + 4].copy_from_slice(&[0x0d, 0, 0, 0]);
        let vbt = &mut bytes[layout::MAILBOX4..];
        vbt[..4].copy_from_slice(b"$VBT");
        vbt[24..26].copy_from_slice(&0x1880_u16.to_le_bytes());
        vbt[28..32].copy_from_slice(&[48, 0, 0, 0]);
        vbt[48..64].copy_from_slice(b"BIOS_DATA_BLOCK ");
        vbt[66..70].copy_from_slice(&[22, 0, 22, 0]);
        let mut facts = HostFacts::default();
        facts.device.opregion = Some(OpRegionBytes::new(bytes.clone()).unwrap());
        facts.redact();

        bytes[0x18..0x58].fill(0);
        bytes[0x1c80..0x1d04].fill(0);
        assert_eq!(facts.device.opregion.unwrap()[..], bytes);
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
