// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reads every fact of a host's device once.

use igd_quirks::facts::{
    BarFacts, Bytes, ConfigBytes, DeviceFacts, Extent, HostFacts, MAX_LIST, MachineFacts, RomBytes, RomFacts, VgaFacts,
};

use crate::backend::{HostDevice, HostError, Region, RegionKind};

/// Standard configuration space, which every function has.
const CONFIG_LEN: usize = 256;
/// Extended configuration space.
const EXTENDED_LEN: usize = 4096;

/// A fact that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The device has no configuration space.
    #[error("{device} shows no configuration space: it is no PCI device, or its driver is not a vfio one")]
    NoConfig {
        /// The device.
        device: String,
    },
    /// A region is smaller or larger than what it holds can be.
    #[error("{device}: {region} of {size:#x} bytes: {min:#x} to {max:#x} are possible")]
    Size {
        /// The device.
        device: String,
        /// The region.
        region: RegionKind,
        /// Size in bytes that the device told.
        size: u64,
        /// Least size in bytes.
        min: usize,
        /// Largest size in bytes.
        max: usize,
    },
    /// More mappable areas than facts can list.
    #[error("{device}: {region} has {count} mappable areas: at most {MAX_LIST} are possible")]
    Areas {
        /// The device.
        device: String,
        /// The region.
        region: RegionKind,
        /// How many.
        count: usize,
    },
    /// A region cannot be read.
    #[error("{device}: {source}")]
    Read {
        /// The device.
        device: String,
        /// Why.
        source: HostError,
    },
}

/// Reads the facts of `device`, which is to stand in `machine`.
///
/// Whether it is a virtual function is not to be seen from here, and is told as `false`. An address width of the IOMMU that
/// the machine does not know is the device's. A ROM that cannot be read is a fact, with the reason.
///
/// # Errors
///
/// Something that exists cannot be read whole, or its size is out of bounds: nothing is allocated by a size beyond them.
pub fn probe(device: &dyn HostDevice, mut machine: MachineFacts) -> Result<HostFacts, ProbeError> {
    let reader = Reader { device };
    let no_config = || ProbeError::NoConfig {
        device: device.name().into(),
    };
    let config: ConfigBytes = reader.bytes(RegionKind::Config, CONFIG_LEN)?.ok_or_else(no_config)?;
    let field = |offset: usize| -> [u8; 4] {
        let bytes = config.get(offset..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or_default()
    };
    let [ids, class, subsystem] = [0x00, 0x08, 0x2c].map(field);
    let word = |[a, b, ..]: [u8; 4]| u16::from_le_bytes([a, b]);
    let high_word = |[_, _, a, b]: [u8; 4]| u16::from_le_bytes([a, b]);
    let [revision, ..] = class;
    machine.iommu_bits = machine.iommu_bits.or_else(|| device.iommu_bits());
    Ok(HostFacts {
        device: DeviceFacts {
            vendor: word(ids),
            device: high_word(ids),
            class: u32::from_le_bytes(class) >> 8,
            revision,
            subsystem_vendor: word(subsystem),
            subsystem: high_word(subsystem),
            is_virtfn: false,
            bars: reader.bars()?,
            opregion: reader.bytes(RegionKind::OpRegion, 1)?,
            host_bridge: reader.bytes::<EXTENDED_LEN>(RegionKind::HostBridge, CONFIG_LEN)?,
            lpc_bridge: reader.bytes::<EXTENDED_LEN>(RegionKind::LpcBridge, CONFIG_LEN)?,
            rom: reader.rom()?,
            vga: device.region(RegionKind::Vga).map(|region| VgaFacts {
                size: region.size,
                writable: region.writable,
            }),
            config,
        },
        machine,
        ..HostFacts::default()
    })
}

struct Reader<'a> {
    device: &'a dyn HostDevice,
}

impl Reader<'_> {
    /// The whole region, if it exists and has `min` to `MAX` bytes.
    fn bytes<const MAX: usize>(&self, kind: RegionKind, min: usize) -> Result<Option<Bytes<MAX>>, ProbeError> {
        let Some(region) = self.device.region(kind) else {
            return Ok(None);
        };
        let out_of_bounds = || ProbeError::Size {
            device: self.device.name().into(),
            region: kind,
            size: region.size,
            min,
            max: MAX,
        };
        let len = usize::try_from(region.size)
            .ok()
            .filter(|len| (min..=MAX).contains(len));
        let mut bytes = vec![0; len.ok_or_else(out_of_bounds)?];
        self.device
            .read(kind, 0, &mut bytes)
            .map_err(|source| ProbeError::Read {
                device: self.device.name().into(),
                source,
            })?;
        Bytes::new(bytes).map(Some).map_err(|_| out_of_bounds())
    }

    fn bars(&self) -> Result<Vec<BarFacts>, ProbeError> {
        let present = (0..=5).filter_map(|index| Some((index, self.device.region(RegionKind::Bar(index))?)));
        present
            .map(|(index, region)| {
                Ok(BarFacts {
                    index,
                    size: region.size,
                    mmap: self.areas(region)?,
                })
            })
            .collect()
    }

    fn areas(&self, region: &Region) -> Result<Vec<Extent>, ProbeError> {
        let areas = &region.mappable;
        if areas.len() > MAX_LIST {
            return Err(ProbeError::Areas {
                device: self.device.name().into(),
                region: region.kind,
                count: areas.len(),
            });
        }
        Ok(areas.clone())
    }

    /// The ROM. Hosts often have none to show, or none that can be read; a device that is gone is another matter.
    fn rom(&self) -> Result<RomFacts, ProbeError> {
        let image: Result<Option<RomBytes>, _> = self.bytes(RegionKind::Rom, 1);
        match image {
            Ok(Some(image)) => Ok(RomFacts::Image(image)),
            Ok(None) => Ok(RomFacts::Absent("the host shows no ROM".into())),
            Err(
                error @ ProbeError::Read {
                    source: HostError::Lost { .. },
                    ..
                },
            ) => Err(error),
            Err(ProbeError::Read { source, .. }) => Ok(RomFacts::Absent(source.to_string())),
            Err(error) => Ok(RomFacts::Absent(error.to_string())),
        }
    }
}
