// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a plan for a trace is computed from: facts of the made-up host, and options and policy of the header.

use igd_quirks::facts::{
    BarFacts, Chipset, ConfigBytes, DeviceFacts, Firmware, HostFacts, MachineFacts, OpRegionBytes, RamLayout, RomFacts,
    Slot, VgaFacts,
};
use igd_quirks::options::Options;
use igd_quirks::policy::Policy;

use super::host::{BARS, CONFIG, Host, VGA};
use crate::subjects::igd::setting::Setting;
use crate::trace::Header;

/// The first address that is never RAM in QEMU's `pc` with less memory than that.
const MMIO_START: u64 = 0xc000_0000;

/// Whether the machine is a Q35.
pub(super) fn is_q35(header: &Header) -> bool {
    header
        .machine
        .split(',')
        .next()
        .is_some_and(|name| name.contains("q35"))
}

/// What VFIO shows of the host, and the machine without the function.
pub(super) fn facts(host: &Host, header: &Header) -> Result<HostFacts, String> {
    let word = |at: usize| {
        let bytes = host.config.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
    };
    let [revision, prog_if] = word(0x08).to_le_bytes();
    let config = |bytes: &[u8; CONFIG]| ConfigBytes::new(*bytes).map_err(|error| error.to_string());
    let bars = BARS.into_iter().map(|(index, _, size)| BarFacts {
        index,
        size,
        mmap: Vec::new(),
    });
    let opregion = host.opregion.as_ref().map(|bytes| OpRegionBytes::new(bytes.clone()));
    let device = DeviceFacts {
        vendor: word(0x00),
        device: word(0x02),
        class: u32::from(word(0x0a)) << 8 | u32::from(prog_if),
        revision,
        subsystem_vendor: word(0x2c),
        subsystem: word(0x2e),
        is_virtfn: false,
        config: config(&host.config)?,
        bars: bars.collect(),
        opregion: opregion.transpose().map_err(|error| error.to_string())?,
        host_bridge: host.host_bridge.as_ref().map(config).transpose()?,
        lpc_bridge: host.lpc_bridge.as_ref().map(config).transpose()?,
        rom: RomFacts::Absent("the host shows a ROM of 0 bytes".to_owned()),
        vga: Some(VgaFacts {
            size: VGA,
            writable: true,
        }),
    };
    let (chipset, isa_bridge) = if is_q35(header) {
        (Chipset::Q35, Slot::Bridge)
    } else {
        (Chipset::I440Fx, Slot::Empty)
    };
    let machine = MachineFacts {
        chipset,
        host_bridge: Slot::Bridge,
        isa_bridge,
        ram: RamLayout {
            below_4g: header.ram,
            above_4g: 0,
        },
        mmio_start: MMIO_START.max(header.ram),
        firmware: Firmware::SeaBios,
        ..MachineFacts::default()
    };
    Ok(HostFacts {
        device,
        machine,
        ..HostFacts::default()
    })
}

/// The options of `@device`. The host's function is named by `sysfsdev`, which stands for `host`.
pub(super) fn options(device: &str) -> Result<Options, String> {
    let parts = device.split(',').map(|part| match part.strip_prefix("sysfsdev=") {
        Some(address) => format!("host={address}"),
        None => part.to_owned(),
    });
    let text = parts.collect::<Vec<_>>().join(",");
    text.parse().map_err(|error| format!("@device {device}: {error}"))
}

/// The policy of the QEMU that was recorded, or of the setting in its place.
pub(super) fn policy(header: &Header, setting: Setting) -> Result<Policy, String> {
    let recorded = Setting::of(header)?;
    let name = match (setting, header.qemu.last()) {
        (Setting::Specification, _) => "native".to_owned(),
        (setting, Some(version)) if setting == recorded => format!("qemu-{version}"),
        (setting, _) => setting.name().to_owned(),
    };
    name.parse().map_err(|error| format!("policy {name}: {error}"))
}
