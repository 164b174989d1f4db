// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The made-up host behind the recorded quirks: what its graphics function, its bridges and its OpRegion hold.
//!
//! The numbers are those of the recording's host, whose properties a header changes by `@igd-host`. It is memory
//! throughout: what is written to a register is read back, and no reset clears it.

use std::convert::Infallible;

use fwcfg::GuestMemory;
use pci_model::{Bar, BarKind, ConfigAccess, ConfigBackend};

use crate::subjects::igd::ram::Ram;

/// Bytes of a configuration space.
pub(super) const CONFIG: usize = 256;
/// Bytes of the VGA region.
pub(super) const VGA: u64 = 0xc_0000;
const OPREGION: usize = 0x2000;
const BDSM: u32 = 0x7c00_0001;

/// BAR0 with the registers, BAR2 with the aperture, BAR4 with the ports.
pub(super) const BARS: [(u8, BarKind, u64); 3] = [
    (0, BarKind::Memory64 { prefetchable: false }, 16 << 20),
    (2, BarKind::Memory64 { prefetchable: true }, 256 << 20),
    (4, BarKind::Io, 64),
];

/// The host's properties and what they make of its configuration spaces.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) config: [u8; CONFIG],
    pub(super) opregion: Option<Vec<u8>>,
    pub(super) host_bridge: Option<[u8; CONFIG]>,
    pub(super) lpc_bridge: Option<[u8; CONFIG]>,
}

impl Host {
    /// The host with these properties, name and value.
    pub(super) fn new(properties: &[(String, String)]) -> Result<Self, String> {
        let (mut device, mut ggc, mut bdsm, mut class) = (0x3e92, 0x01c1, BDSM, 0x03_0000);
        let (mut opregion, mut host_bridge, mut lpc_bridge) = (true, true, true);
        for (name, value) in properties {
            let number = || number(value).ok_or_else(|| format!("@igd-host {name} {value}: not a number"));
            match name.as_str() {
                "IGD_DEVICE" => device = number()?,
                "IGD_GGC" => ggc = number()?,
                "IGD_BDSM" => bdsm = number()?,
                "IGD_CLASS" => class = number()?,
                "IGD_NO_OPREGION" => opregion = false,
                "IGD_NO_HOST" => host_bridge = false,
                "IGD_NO_LPC" => lpc_bridge = false,
                _ => return Err(format!("@igd-host {name}: no property of the host that is known")),
            }
        }
        let mut config = [0; CONFIG];
        for (offset, value) in [
            (0x00, 0x8086 | device << 16),
            (0x04, 0x0010_0000),
            (0x08, class << 8 | 2),
            (0x10, 0x0000_0004),
            (0x18, 0x0000_000c),
            (0x20, 0x0000_0001),
            (0x2c, 0x2212_8086),
            (0x34, 0x0000_0090),
            (0x3c, 0x0000_0100),
            (0x50, ggc),
            (0x5c, bdsm),
            (0x90, 0x0000_d005),
            (0xc0, bdsm),
            (0xd0, 0x0002_0001),
            (0xfc, 0x7bff_0018),
        ] {
            put(&mut config, offset, value);
        }
        Ok(Self {
            config,
            opregion: opregion.then(opregion_bytes),
            host_bridge: host_bridge.then(|| bridge(0xa000_0000, [0x3ec2_8086, 0x0600_0007, 0x8534_1043])),
            lpc_bridge: lpc_bridge.then(|| bridge(0xb000_0000, [0xa305_8086, 0x0601_0010, 0x8535_1043])),
        })
    }
}

/// A bridge whose dwords tell where they are, but for ids, class and subsystem.
fn bridge(mark: u32, [ids, class, subsystem]: [u32; 3]) -> [u8; CONFIG] {
    let mut config = [0; CONFIG];
    for offset in (0..CONFIG).step_by(4) {
        let value = match offset {
            0x00 => ids,
            0x08 => class,
            0x2c => subsystem,
            _ => mark | u32::try_from(offset).unwrap_or(0),
        };
        put(&mut config, offset, value);
    }
    config
}

fn opregion_bytes() -> Vec<u8> {
    let mut bytes = vec![0; OPREGION];
    for (to, from) in bytes.iter_mut().zip(*b"IntelGraphicsMem") {
        *to = from;
    }
    put(&mut bytes, 0x10, 8);
    put(&mut bytes, 0x14, 0x0200_0000);
    for offset in (0x18..OPREGION).step_by(4).filter(|at| !(0x300..0x400).contains(at)) {
        put(&mut bytes, offset, 0x0900_0000 | u32::try_from(offset).unwrap_or(0));
    }
    bytes
}

fn put(bytes: &mut [u8], offset: usize, value: u32) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(value.to_le_bytes()) {
        *to = from;
    }
}

/// A number as the host reads it: decimal, or with `0x` hexadecimal.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The function's configuration space on the host.
#[derive(Clone, Debug)]
pub(super) struct HostConfig(pub(super) [u8; CONFIG]);

impl ConfigBackend for HostConfig {
    type Error = Infallible;

    fn read(&mut self, at: ConfigAccess) -> Result<u32, Infallible> {
        let bytes = self.0.iter().skip(at.offset().into()).take(at.width().len());
        Ok(bytes.rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Infallible> {
        let bytes = self.0.iter_mut().skip(at.offset().into()).take(at.width().len());
        for (to, from) in bytes.zip(value.to_le_bytes()) {
            *to = from;
        }
        Ok(())
    }
}

/// What is behind the BARs on the host.
#[derive(Debug)]
pub(super) struct HostBars(Vec<(u8, Ram)>);

impl HostBars {
    pub(super) fn new() -> Self {
        Self(
            BARS.into_iter()
                .map(|(index, _, size)| (index, Ram::new(size)))
                .collect(),
        )
    }

    fn bar(&self, index: u8) -> Option<&Ram> {
        self.0.iter().find(|(bar, _)| *bar == index).map(|(_, memory)| memory)
    }

    /// Reads at most 8 bytes; what is beyond the BAR reads as ones.
    pub(super) fn read(&self, bar: u8, offset: u64, len: usize) -> u64 {
        let mut bytes = [0; 8];
        let data = bytes.get_mut(..len).unwrap_or_default();
        if self.bar(bar).is_none_or(|memory| memory.read(offset, data).is_err()) {
            data.fill(0xff);
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes at most 8 bytes; what is beyond the BAR is dropped.
    pub(super) fn write(&self, bar: u8, offset: u64, len: usize, value: u64) {
        if let Some(memory) = self.bar(bar) {
            let bytes = value.to_le_bytes();
            // Nobody is there to be told, as on a bus.
            let _ = memory.write(offset, bytes.get(..len).unwrap_or(&bytes));
        }
    }
}

/// A BAR of the host for the guest's function.
pub(super) fn bar(kind: BarKind, size: u64) -> Result<Bar, String> {
    Bar::new(kind, size).map_err(|error| error.to_string())
}
