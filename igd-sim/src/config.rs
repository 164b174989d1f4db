// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration spaces: of the graphics function, the host bridge and the ISA bridge.

use pci_model::{
    Bar, BarKind, BuildError, Capability, Express, ExpressKind, Function, FunctionBuilder, Identity, Msi,
    PowerManagement,
};

use crate::bytes::put;
use crate::device::BuildFailure;
use crate::profile::{CapabilityLayout, Class, Profile};
use crate::spec::{INTEL, MIB, config, host, rom};

/// Power management version 2, device specific initialisation, no PME.
const PMC: u16 = 0x0022;
/// Function level reset, role-based error reporting.
const DEVICE_CAPABILITIES: u32 = 1 << 28 | 1 << 15;
/// Advanced features: length 6, transactions pending and function level reset.
const ADVANCED_FEATURES: [u8; 4] = [6, 0b11, 0, 0];
const ADVANCED_FEATURES_ID: u8 = 0x13;
const VENDOR_ID: u8 = 0x09;
/// A vendor capability is 12 bytes here; its length is its first byte.
const VENDOR: [u8; 10] = [0x0c, 1, 0, 0, 0, 0, 0, 0, 0, 0];
const SUBSYSTEM: u16 = 0x2212;

/// What of the graphics function's registers a user may choose.
pub(crate) struct Chosen {
    /// Class code, 24 bits.
    pub(crate) class: u32,
    /// Graphics control.
    pub(crate) ggc: u16,
    /// Base of stolen memory.
    pub(crate) bdsm: u64,
    /// Address of the OpRegion; 0 without one.
    pub(crate) asls: u32,
    /// Whether the ROM has a BAR.
    pub(crate) has_rom: bool,
    /// Whether software may write GGC and BDSM.
    pub(crate) unlocked: bool,
}

/// The graphics function at 00:02.0.
pub(crate) fn function(profile: &Profile, chosen: &Chosen) -> Result<Function<256>, BuildFailure> {
    let mut builder = FunctionBuilder::<256>::new(Identity {
        vendor: INTEL,
        device: profile.device,
        revision: profile.revision,
        class: chosen.class,
        subsystem_vendor: INTEL,
        subsystem: SUBSYSTEM,
        interrupt_pin: 1,
    });
    let class = profile.class;
    let prefetchable = class == Class::LocalMemory;
    builder = builder
        .bar(
            0,
            Bar::new(BarKind::Memory64 { prefetchable }, class.registers_len()).map_err(BuildError::from)?,
        )?
        .bar(
            2,
            Bar::new(BarKind::Memory64 { prefetchable: true }, class.aperture_len()).map_err(BuildError::from)?,
        )?;
    if class.ports_len() > 0 {
        builder = builder.bar(4, Bar::new(BarKind::Io, class.ports_len()).map_err(BuildError::from)?)?;
    }
    if chosen.has_rom {
        builder = builder.bar(
            pci_model::ROM,
            Bar::new(BarKind::Rom, rom::WINDOW).map_err(BuildError::from)?,
        )?;
    }
    let mut function = capabilities(builder, profile)?.build()?;
    let registers = function.registers_mut();
    registers.set(config::GGC, &chosen.ggc.to_le_bytes());
    if let Some((offset, len)) = class.bdsm() {
        let lock = if chosen.unlocked { 0 } else { config::BDSM_LOCK };
        let value = (chosen.bdsm | u64::from(lock)).to_le_bytes();
        registers.set(offset, value.get(..len).unwrap_or(&value));
        if chosen.unlocked {
            // The base, and the bit that ends the writing.
            let mask = 0xffff_ffff_fff0_0001_u64.to_le_bytes();
            registers.set_writable(offset, mask.get(..len).unwrap_or(&mask));
        }
    }
    if chosen.unlocked {
        registers.set_writable(config::GGC, &[0xff; 2]);
    }
    registers.set_writable(config::ASLE, &[0xff; 4]);
    registers.set_writable(config::SWSCI, &[0xff; 2]);
    registers.set(config::ASLS, &chosen.asls.to_le_bytes());
    // Firmware writes it once; a function level reset does not take it away.
    registers.set_storage(config::ASLS, &[0xff; 4]);
    Ok(function)
}

fn capabilities(builder: FunctionBuilder<256>, profile: &Profile) -> Result<FunctionBuilder<256>, BuildFailure> {
    let has_mask = profile.class == Class::LocalMemory;
    let msi = Capability::Msi(Msi::new(1, false, has_mask)?);
    let power = Capability::PowerManagement(PowerManagement {
        pmc: PMC,
        no_soft_reset: false,
    });
    let express = Capability::Express(Express {
        kind: ExpressKind::RootComplexIntegratedEndpoint,
        device_capabilities: DEVICE_CAPABILITIES,
        device_capabilities_2: 0,
    });
    let vendor = Capability::Other(VENDOR_ID, &VENDOR);
    let advanced = Capability::Other(ADVANCED_FEATURES_ID, &ADVANCED_FEATURES);
    let list: &[(u16, Capability<'_>)] = match profile.capabilities {
        CapabilityLayout::Legacy => &[(0x90, msi), (0xd0, power), (0xa4, advanced)],
        CapabilityLayout::Atom => &[(0xd0, power), (0x90, msi), (0xb0, vendor)],
        CapabilityLayout::Express => &[(0x40, vendor), (0x70, express), (0xac, msi), (0xd0, power)],
    };
    list.iter().try_fold(builder, |builder, (offset, capability)| {
        Ok(builder.capability_at(*offset, *capability)?)
    })
}

/// The host bridge at 00:00.0.
pub(crate) fn host_bridge(profile: &Profile, chosen: &Chosen) -> [u8; 256] {
    let mut image = header(profile.host_bridge, profile.revision, 0x06_0000, 0);
    let [b0, b1, b2, b3, ..] = chosen.bdsm.to_le_bytes();
    let base = u32::from_le_bytes([b0, b1, b2, b3]);
    let mib = |count: u32| count.saturating_mul(u32::try_from(MIB).unwrap_or(0));
    put(&mut image, host::GGC.into(), &chosen.ggc.to_le_bytes());
    put(&mut image, host::BDSM.into(), &(base | 1).to_le_bytes());
    put(
        &mut image,
        host::BGSM.into(),
        &(base.saturating_sub(mib(profile.gtt_mib)) | 1).to_le_bytes(),
    );
    put(
        &mut image,
        host::TOLUD.into(),
        &(base.saturating_add(mib(profile.stolen_mib)) | 1).to_le_bytes(),
    );
    image
}

/// The ISA bridge at 00:1f.0, function 0 of several.
pub(crate) fn lpc_bridge(profile: &Profile) -> [u8; 256] {
    header(profile.lpc_bridge, 0x10, 0x06_0100, 0x80)
}

fn header(device: u16, revision: u8, class: u32, header_type: u8) -> [u8; 256] {
    let mut image = [0; 256];
    let [prog_if, subclass, base, _] = class.to_le_bytes();
    let command = pci_model::spec::command::MEMORY | pci_model::spec::command::BUS_MASTER;
    put(&mut image, 0x00, &INTEL.to_le_bytes());
    put(&mut image, 0x02, &device.to_le_bytes());
    put(&mut image, 0x04, &command.to_le_bytes());
    put(&mut image, 0x08, &[revision, prog_if, subclass, base]);
    put(&mut image, 0x0e, &[header_type]);
    put(&mut image, 0x2c, &INTEL.to_le_bytes());
    put(&mut image, 0x2e, &SUBSYSTEM.to_le_bytes());
    image
}
