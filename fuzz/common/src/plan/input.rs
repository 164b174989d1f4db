// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Facts, options and policy from bytes: mostly those of a machine that could exist.

use core::fmt;

use arbitrary::{Result, Unstructured};
use igd_quirks::facts::{
    BarFacts, Bytes, Chipset, Extent, Firmware, HostFacts, MachineFacts, RamLayout, RomFacts, Slot, VgaFacts,
};
use igd_quirks::options::{OnOffAuto, Options};
use igd_quirks::plan::Provisioning;
use igd_quirks::platform::{DISCRETE_IDS, PLATFORM_IDS, QemuEra};
use igd_quirks::policy::Policy;
use igd_sim::opregion::OpRegion;
use igd_sim::{Profile, encode_ggc};
use pci_model::Bdf;

use crate::util::{apply, edits, put, rarely};

const POLICIES: [Policy; 6] = [
    Policy::Native,
    Policy::Document2016,
    Policy::Qemu(QemuEra::UpTo9_1),
    Policy::Qemu(QemuEra::V9_2),
    Policy::Qemu(QemuEra::V10_0),
    Policy::Qemu(QemuEra::From10_1),
];
const SLOTS: [Slot; 4] = [Slot::Empty, Slot::Bridge, Slot::MadeForGraphics, Slot::Other];
const FIRMWARE: [Firmware; 5] = [
    Firmware::SeaBios,
    Firmware::Ovmf,
    Firmware::OvmfWithIgdDriver,
    Firmware::DirectKernel,
    Firmware::Unknown,
];

/// What a plan is made from.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) facts: HostFacts,
    pub(super) options: Options,
    pub(super) policy: Policy,
    pub(super) provisioning: Provisioning,
}

impl Input {
    pub(super) fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let policy = *u.choose(&POLICIES)?;
        let provisioning = *u.choose(&[Provisioning::FwCfg, Provisioning::Direct, Provisioning::Identity])?;
        let mut facts = HostFacts {
            machine: machine(&mut u)?,
            ..HostFacts::default()
        };
        let options = options(&mut u)?;
        device(&mut u, &mut facts)?;
        Ok(Self {
            facts,
            options,
            policy,
            provisioning,
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {}, provisioning {}", self.policy, self.provisioning)?;
        writeln!(f, "{:?}", self.options)?;
        // The facts as a file, which `igd-vmm plan --facts` reads.
        let text = serde_json::to_string_pretty(&self.facts).map_err(|_| fmt::Error)?;
        writeln!(f, "{text}")
    }
}

fn machine(u: &mut Unstructured<'_>) -> Result<MachineFacts> {
    let bits = |u: &mut Unstructured<'_>| -> Result<Option<u8>> {
        Ok(match u.int_in_range(0..=4_u8)? {
            0 => None,
            1 => Some(39),
            2 => Some(46),
            3 => Some(32),
            _ => Some(u.arbitrary()?),
        })
    };
    let below = [2 << 30, 1 << 30, 0xb000_0000, 0xc000_0000, 0x4c80_0000, 0, 1 << 20];
    let above = [0, 4096, 60 << 30, 1 << 38];
    let start = [0xc000_0000, 0xb000_0000, 0x8000_0000, 1 << 32];
    let odd = |u: &mut Unstructured<'_>, of: &[u64]| {
        if rarely(u, 12)? {
            u.arbitrary()
        } else {
            u.choose(of).copied()
        }
    };
    let slot = |u: &mut Unstructured<'_>, usual| {
        if rarely(u, 5)? {
            u.choose(&SLOTS).copied()
        } else {
            Ok(usual)
        }
    };
    Ok(MachineFacts {
        chipset: *u.choose(&[Chipset::I440Fx, Chipset::Q35, Chipset::Bare])?,
        host_bridge: slot(u, Slot::Bridge)?,
        isa_bridge: slot(u, Slot::Empty)?,
        ram: RamLayout {
            below_4g: odd(u, &below)?,
            above_4g: odd(u, &above)?,
        },
        mmio_start: odd(u, &start)?,
        firmware: *u.choose(&FIRMWARE)?,
        hotplug: rarely(u, 16)?,
        other_vga: rarely(u, 10)?,
        iommu_bits: bits(u)?,
        guest_phys_bits: bits(u)?,
    })
}

fn options(u: &mut Unstructured<'_>) -> Result<Options> {
    let switch = |u: &mut Unstructured<'_>| u.choose(&[None, None, None, Some(true), Some(false)]).copied();
    Ok(Options {
        host: None,
        addr: if rarely(u, 5)? {
            Some(Bdf::from_bits(u.int_in_range(0..=0xff)?))
        } else {
            Bdf::new(0, 2, 0)
        },
        behind_bridge: rarely(u, 10)?,
        opregion: switch(u)?,
        lpc: switch(u)?,
        legacy_mode: *u.choose(&[OnOffAuto::Auto, OnOffAuto::Auto, OnOffAuto::On, OnOffAuto::Off])?,
        gms: match u.int_in_range(0..=3_u8)? {
            0..2 => 0,
            2 => *u.choose(&[1, 2, 0x10, 0x20, 0xf0, 0xf1])?,
            _ => u.arbitrary()?,
        },
        vga: switch(u)?,
        romfile: u.choose(&[None, Some("a.rom"), Some("")])?.map(str::to_owned),
        rombar: switch(u)?,
    })
}

/// A profile of the simulated device, and what is changed of it.
fn device(u: &mut Unstructured<'_>, facts: &mut HostFacts) -> Result<()> {
    let profile = u.choose(Profile::all())?;
    let device = &mut facts.device;
    device.device = match u.int_in_range(0..=7_u8)? {
        0..5 => profile.device,
        5 => {
            let (_, ids) = u.choose(PLATFORM_IDS)?;
            *u.choose(ids)?
        }
        6 => u.choose(DISCRETE_IDS)?.1,
        _ => u.arbitrary()?,
    };
    device.vendor = if rarely(u, 16)? { u.arbitrary()? } else { 0x8086 };
    device.class = match u.int_in_range(0..=7_u8)? {
        0..5 => 0x03_0000,
        5..7 => 0x03_8000,
        _ => u.int_in_range(0..=0xff_ffff)?,
    };
    device.is_virtfn = rarely(u, 20)?;
    device.revision = profile.revision;
    let ggc = match u.int_in_range(0..=3_u8)? {
        0 => profile.ggc().unwrap_or_default(),
        1 => encode_ggc(profile.class, 32 * u.int_in_range(0..=17)?, profile.gtt_mib).unwrap_or_default(),
        _ => u.arbitrary()?,
    };
    let base: u64 = match u.int_in_range(0..=3_u8)? {
        0..2 => profile.stolen_base.into(),
        2 => u64::from(u.arbitrary::<u16>()?) << 20,
        _ => u.arbitrary()?,
    } | 1;
    let mut config = vec![
        0;
        if rarely(u, 8)? {
            u.int_in_range(0..=0x1000)?
        } else {
            256
        }
    ];
    put(&mut config, 0x00, &device.vendor.to_le_bytes());
    put(&mut config, 0x02, &device.device.to_le_bytes());
    put(&mut config, 0x50, &ggc.to_le_bytes());
    put(
        &mut config,
        0x5c,
        base.to_le_bytes().first_chunk::<4>().unwrap_or(&[0; 4]),
    );
    put(&mut config, 0xc0, &base.to_le_bytes());
    put(&mut config, 0xfc, &(profile.stolen_base - 0x1000).to_le_bytes());
    device.config = Bytes::new(config).unwrap_or_default();
    if !rarely(u, 10)? {
        let bytes = OpRegion::of(profile, profile.opregion).map(|region| region.vfio_bytes().0);
        let mut bytes = bytes.unwrap_or_default();
        if rarely(u, 4)? {
            let edits = edits(u, bytes.len())?;
            apply(&mut bytes, &edits);
        }
        device.opregion = Bytes::new(bytes).ok();
    }
    let odd_size = |u: &mut Unstructured<'_>, usual: u64| if rarely(u, 12)? { u.arbitrary() } else { Ok(usual) };
    for (index, usual) in [
        (0, profile.class.registers_len()),
        (2, profile.class.aperture_len()),
        (4, profile.class.ports_len()),
    ] {
        let size = odd_size(u, usual)?;
        let mmap = if rarely(u, 4)? {
            vec![Extent::new(u.arbitrary()?, u.arbitrary()?)]
        } else {
            Vec::new()
        };
        if !rarely(u, 16)? {
            device.bars.push(BarFacts { index, size, mmap });
        }
    }
    let bridge = |id: u16| {
        let mut bytes = vec![0x5a; 256];
        put(&mut bytes, 0, &[0x86, 0x80]);
        put(&mut bytes, 2, &id.to_le_bytes());
        Bytes::new(bytes).ok()
    };
    device.host_bridge = if rarely(u, 6)? {
        None
    } else {
        bridge(profile.host_bridge)
    };
    device.lpc_bridge = match u.int_in_range(0..=7_u8)? {
        0..6 => bridge(profile.lpc_bridge),
        6 => Bytes::new(u.bytes(u.len().min(40))?).ok(),
        _ => None,
    };
    device.vga = match u.int_in_range(0..=5_u8)? {
        0..4 => Some(VgaFacts {
            size: 0xc_0000,
            writable: true,
        }),
        4 => Some(VgaFacts {
            size: u.arbitrary()?,
            writable: u.arbitrary()?,
        }),
        _ => None,
    };
    device.rom = match u.int_in_range(0..=3_u8)? {
        0 => RomFacts::default(),
        1 => image(igd_sim::rom::build(profile, device.class, None)),
        2 => image(igd_sim::rom::build(
            profile,
            device.class,
            Some(igd_sim::rom::RomFault::WrongDevice),
        )),
        _ => {
            let mut bytes = igd_sim::rom::build(profile, device.class, None);
            bytes.drain(..bytes.len().saturating_sub(0x2000));
            let edits = edits(u, 0x200)?;
            apply(&mut bytes, &edits);
            image(bytes)
        }
    };
    Ok(())
}

fn image(bytes: Vec<u8>) -> RomFacts {
    Bytes::new(bytes).map_or_else(|_| RomFacts::default(), RomFacts::Image)
}
