// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Makes a device from a profile and options.

use super::bar0::Bar0;
use super::ports::Ports;
use super::vga::Vga;
use super::{BuildFailure, Options, Region, RegionKind, SimDevice};
use crate::config::{self, Chosen};
use crate::fault::Fault;
use crate::memory::SparseMemory;
use crate::opregion::OpRegion;
use crate::profile::Profile;
use crate::spec::config::GGC_VGA_DISABLE;
use crate::spec::{self, MIB};
use crate::{ggc, gt, vbt};

/// Pages that a BAR may use in this process: 128 MiB.
const PAGE_LIMIT: usize = 32 << 10;
/// Where firmware of these platforms has the OpRegion.
const ASLS: u32 = 0x7b7e_6018;

impl SimDevice {
    /// A device at power-on.
    ///
    /// # Errors
    ///
    /// An option asks for what the platform cannot say or the host cannot give.
    pub fn new(profile: &Profile, options: &Options) -> Result<Self, BuildFailure> {
        let mut profile = *profile;
        profile.stolen_mib = options.stolen_mib.unwrap_or(profile.stolen_mib);
        profile.opregion = options.opregion_version.unwrap_or(profile.opregion);
        let class = options.class.unwrap_or(0x03_0000);
        if class > 0xff_ffff {
            return Err(BuildFailure::Class(class));
        }
        let rom_fault = options.faults.iter().find_map(|fault| match fault {
            Fault::Rom(defect) => Some(*defect),
            _ => None,
        });
        let rom = crate::rom::build(&profile, class, rom_fault);
        let is_missing = |kind| options.faults.contains(&Fault::Missing(kind));
        let chosen = Chosen {
            class,
            ggc: ggc::encode(profile.class, profile.stolen_mib, profile.gtt_mib)?,
            bdsm: stolen_base(&profile, options)?,
            asls: options.asls.unwrap_or(ASLS),
            has_rom: !rom.is_empty() && !is_missing(RegionKind::Rom),
            unlocked: options.unlocked,
        };
        let function = config::function(&profile, &chosen)?;
        let (opregion, opregion_len) = opregion(&profile, options)?;
        let initial = gt::initial(&profile, chosen.ggc, chosen.bdsm);
        let registers = memory(0, profile.class.registers_len(), options)?;
        let bar0 = Bar0::new(profile.class, registers, initial, chosen.bdsm, options.test_page);
        let has_opregion = chosen.asls != 0 && chosen.asls != u32::MAX;
        let is_vga = class >> 8 == 0x0300 && chosen.ggc & GGC_VGA_DISABLE == 0;
        let igd = |len: u64| if has_opregion { len } else { 0 };
        let regions = [
            (RegionKind::Bar(0), profile.class.registers_len()),
            (RegionKind::Bar(2), profile.class.aperture_len()),
            (RegionKind::Bar(4), profile.class.ports_len()),
            (RegionKind::Rom, if chosen.has_rom { spec::rom::WINDOW } else { 0 }),
            (RegionKind::Config, 256),
            (RegionKind::Vga, if is_vga { spec::vga::WINDOW } else { 0 }),
            (RegionKind::OpRegion, igd(opregion_len)),
            (RegionKind::HostBridge, igd(256)),
            (RegionKind::LpcBridge, igd(256)),
        ];
        let present = regions
            .into_iter()
            .filter(|(kind, size)| *size > 0 && !is_missing(*kind));
        Ok(Self {
            profile,
            faults: options.faults.clone(),
            regions: present
                .map(|(kind, size)| Region {
                    kind,
                    size,
                    writable: !kind.is_read_only(),
                })
                .collect(),
            function,
            bar0: bar0.map_err(BuildFailure::Registers)?,
            aperture: memory(2, profile.class.aperture_len(), options)?,
            ports: Ports::default(),
            vga: Vga::new(),
            rom,
            opregion,
            host_bridge: config::host_bridge(&profile, &chosen),
            lpc_bridge: config::lpc_bridge(&profile),
            signal: None,
            resets: 0,
        })
    }
}

fn stolen_base(profile: &Profile, options: &Options) -> Result<u64, BuildFailure> {
    let base = options.stolen_base.unwrap_or_else(|| profile.stolen_base.into());
    let mib = profile.stolen_mib;
    let limit = match profile.class.bdsm() {
        Some((_, 8)) => 1 << 52,
        _ => 1 << 32,
    };
    let end = base.checked_add(u64::from(mib) * MIB);
    if !base.is_multiple_of(MIB) || end.is_none_or(|end| end > limit) {
        return Err(BuildFailure::StolenBase { base, mib, limit });
    }
    Ok(base)
}

fn opregion(profile: &Profile, options: &Options) -> Result<(Vec<u8>, u64), BuildFailure> {
    let version = profile.opregion;
    let mut region = match options.vbt {
        Some(placement) => {
            let table = vbt::build(&profile.platform.to_uppercase(), profile.vbt_len);
            OpRegion::new(version, &table, placement)?
        }
        None => OpRegion::of(profile, version)?,
    };
    for fault in &options.faults {
        if let Fault::OpRegion(defect) = fault {
            region.damage(*defect);
        }
    }
    if options.host_opregion {
        let bytes = region.host_bytes();
        let len = u64::try_from(bytes.len()).unwrap_or(0);
        return Ok((bytes, len));
    }
    Ok(region.vfio_bytes())
}

#[cfg_attr(
    not(feature = "server"),
    expect(clippy::unnecessary_wraps, reason = "files can fail, pages cannot")
)]
fn memory(bar: u8, size: u64, options: &Options) -> Result<SparseMemory, BuildFailure> {
    #[cfg(feature = "server")]
    if options.shared {
        return SparseMemory::shared(&format!("igd-sim-bar{bar}"), size)
            .map_err(|source| BuildFailure::Memory { bar, source });
    }
    let _ = (bar, options);
    Ok(SparseMemory::new(size, PAGE_LIMIT))
}
