// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A made-up host whose function QEMU's own code was recorded with.

use igd_quirks::facts::{BarFacts, ConfigBytes, HostFacts, OpRegionBytes, VgaFacts};
use igd_quirks::options::Options;

/// GGC of the host: GMS 1, GGMS 3 (before generation 8: 1), bit 0.
pub(crate) const HOST_GGC: u16 = 0x01c1;
/// BDSM of the host, at 5Ch and at C0h.
pub(crate) const HOST_BDSM: u32 = 0x7c00_0001;
/// ASLS as the host's kernel shows it.
pub(crate) const HOST_ASLS: u32 = 0x7bff_0018;

/// The host with device `id`, on an i440FX with 2 GiB.
pub(crate) fn host(id: u16) -> HostFacts {
    let mut facts = HostFacts::default();
    let device = &mut facts.device;
    (device.vendor, device.device, device.class, device.revision) = (0x8086, id, 0x03_0000, 2);
    (device.subsystem_vendor, device.subsystem) = (0x8086, 0x2212);
    let mut config = vec![0; 256];
    put(&mut config, 0x00, &0x8086_u16.to_le_bytes());
    put(&mut config, 0x02, &id.to_le_bytes());
    put(&mut config, 0x08, &[2, 0, 0, 3]);
    put(&mut config, 0x50, &HOST_GGC.to_le_bytes());
    put(&mut config, 0x5c, &HOST_BDSM.to_le_bytes());
    put(&mut config, 0xc0, &HOST_BDSM.to_le_bytes());
    put(&mut config, 0xfc, &HOST_ASLS.to_le_bytes());
    device.config = ConfigBytes::new(config).unwrap();
    let bar = |index, size| BarFacts {
        index,
        size,
        mmap: vec![],
    };
    device.bars = vec![bar(0, 16 << 20), bar(2, 256 << 20), bar(4, 64)];
    let mut opregion = vec![0; 8192];
    put(&mut opregion, 0, b"IntelGraphicsMem");
    put(&mut opregion, 0x10, &[8, 0, 0, 0, 0, 0, 0, 2]);
    device.opregion = Some(OpRegionBytes::new(opregion).unwrap());
    device.host_bridge = Some(bridge(0x3ec2, 0x07, 0x00, 0x8534));
    device.lpc_bridge = Some(bridge(0xa305, 0x10, 0x01, 0x8535));
    device.vga = Some(VgaFacts {
        size: 0xc_0000,
        writable: true,
    });
    facts
}

pub(crate) fn options(text: &str) -> Options {
    text.parse().unwrap()
}

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn bridge(device: u16, revision: u8, subclass: u8, subsystem: u16) -> ConfigBytes {
    let mut config = vec![0xa0; 256];
    put(&mut config, 0x00, &0x8086_u16.to_le_bytes());
    put(&mut config, 0x02, &device.to_le_bytes());
    put(&mut config, 0x08, &[revision, 0, subclass, 6]);
    put(&mut config, 0x2c, &0x1043_u16.to_le_bytes());
    put(&mut config, 0x2e, &subsystem.to_le_bytes());
    ConfigBytes::new(config).unwrap()
}
