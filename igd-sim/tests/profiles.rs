// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The profiles agree with themselves and with what drivers decode.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::collections::BTreeSet;

use igd_sim::{Class, Options, Profile, RegionKind, SimDevice};
use pci_model::{BarKind, Function, capabilities};

/// How drivers decode the graphics control register: stolen MiB and GTT MiB. Written from their tables, not from ours.
fn decode(device: u16, ggc: u16) -> (u32, u32) {
    let ggc = u32::from(ggc);
    let high = ggc >> 8;
    let low = ggc >> 3 & 0x1f;
    let old_gtt = ggc >> 8 & 3;
    let new_gtt = match ggc >> 6 & 3 {
        0 => 0,
        n => 1 << n,
    };
    match device >> 8 {
        // Sandy Bridge, Ivy Bridge, Haswell, Valleyview.
        0x01 | 0x04 | 0x0f => (low * 32, old_gtt),
        // Broadwell.
        0x16 => (high * 32, new_gtt),
        // Cherryview.
        0x22 => {
            let stolen = match low {
                0..=0x10 => low * 32,
                0x11..=0x16 => (low - 0x11) * 4 + 8,
                _ => (low - 0x17) * 4 + 36,
            };
            (stolen, if old_gtt == 0 { 0 } else { 1 << old_gtt })
        }
        _ => (if high >= 0xf0 { (high - 0xf0 + 1) * 4 } else { high * 32 }, new_gtt),
    }
}

fn device(profile: &Profile) -> SimDevice {
    SimDevice::new(profile, &Options::default()).unwrap()
}

fn dword(device: &mut SimDevice, kind: RegionKind, offset: u64) -> u32 {
    let mut bytes = [0; 4];
    device.read_exact(kind, offset, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

#[test]
fn each_platform_is_there_once() {
    let names: BTreeSet<&str> = Profile::all().iter().map(|profile| profile.name).collect();
    let ids: BTreeSet<u16> = Profile::all().iter().map(|profile| profile.device).collect();
    assert_eq!((names.len(), ids.len()), (Profile::all().len(), Profile::all().len()));
    for name in [
        "snb", "ivb", "hsw", "vlv", "bdw", "chv", "skl", "bxt", "kbl", "cfl", "icl", "ehl", "tgl", "rkl", "adl", "rpl",
        "mtl", "lnl", "ptl",
    ] {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_registers_say_what_the_profile_says() {
    for profile in Profile::all() {
        let mut device = device(profile);
        let ggc = profile.ggc().unwrap();
        assert_eq!(
            decode(profile.device, ggc),
            (profile.stolen_mib, profile.gtt_mib),
            "{}",
            profile.name
        );
        assert_eq!(dword(&mut device, RegionKind::Config, 0x50) & 0xffff, u32::from(ggc));
        assert_eq!(
            dword(&mut device, RegionKind::Bar(0), 0x10_8040),
            u32::from(ggc),
            "the copy in BAR0"
        );
        assert_eq!(
            dword(&mut device, RegionKind::HostBridge, 0x50),
            u32::from(ggc),
            "the copy in the host bridge"
        );
        assert_eq!(ggc & 2, 0, "VGA is enabled");
        assert!(profile.gtt_mib * (1 << 20) <= u32::try_from(profile.class.registers_len() / 2).unwrap());
        let base = match profile.class {
            Class::Gen11 | Class::Gen12 => {
                assert_eq!(dword(&mut device, RegionKind::Config, 0x5c), 0, "{}", profile.name);
                assert_eq!(dword(&mut device, RegionKind::Config, 0xc4), 0);
                dword(&mut device, RegionKind::Config, 0xc0)
            }
            Class::LocalMemory => {
                assert_eq!(dword(&mut device, RegionKind::Config, 0x5c), 0);
                assert_eq!(dword(&mut device, RegionKind::Config, 0xc0), 0);
                assert_eq!(dword(&mut device, RegionKind::Bar(0), 0x10_80c0), 0);
                assert_eq!(dword(&mut device, RegionKind::Bar(0), 0x13_8914), 1);
                let display = dword(&mut device, RegionKind::Bar(0), 0x5_10a0) >> 22;
                assert_eq!(display, u32::from(profile.display), "{}", profile.name);
                continue;
            }
            _ => dword(&mut device, RegionKind::Config, 0x5c),
        };
        assert_eq!(base, profile.stolen_base | 1, "{}", profile.name);
        assert_eq!(dword(&mut device, RegionKind::Bar(0), 0x10_80c0), base);
        let kept = dword(&mut device, RegionKind::Bar(0), 0x10_82c0);
        assert!(
            kept & 1 != 0 && kept > base && kept < base + profile.stolen_mib * (1 << 20),
            "{}",
            profile.name
        );
        let top = dword(&mut device, RegionKind::HostBridge, 0xbc) & !1;
        assert_eq!(top - (base & !1), profile.stolen_mib << 20);
    }
}

#[test]
fn bars_have_the_sizes_that_software_finds() {
    for profile in Profile::all() {
        let mut device = device(profile);
        for region in device.regions().to_vec() {
            let (RegionKind::Bar(index), size) = (region.kind, region.size) else {
                continue;
            };
            assert!(size.is_power_of_two(), "{} BAR{index}", profile.name);
            let at = 0x10 + 4 * u64::from(index);
            device.write_all(RegionKind::Config, at, &[0xff; 4]).unwrap();
            let low = dword(&mut device, RegionKind::Config, at);
            let mut mask = u64::from(low & if low & 1 != 0 { !3 } else { !0xf }) | 0xffff_ffff_0000_0000;
            if low & 0b111 == 0b100 {
                device.write_all(RegionKind::Config, at + 4, &[0xff; 4]).unwrap();
                let high = dword(&mut device, RegionKind::Config, at + 4);
                mask = mask & 0xffff_ffff | u64::from(high) << 32;
            }
            assert_eq!(mask.wrapping_neg(), size, "{} BAR{index}", profile.name);
        }
        let size = |kind| device.find_region(kind).map_or(0, |region| region.size);
        let registers = if profile.display <= 7 { 4 << 20 } else { 16 << 20 };
        assert_eq!(
            (size(RegionKind::Bar(0)), size(RegionKind::Bar(2))),
            (registers, 256 << 20),
            "{}",
            profile.name
        );
        assert_eq!(size(RegionKind::Bar(4)), if profile.display >= 14 { 0 } else { 64 });
    }
}

fn chain(function: &Function<256>) -> Vec<(u8, u8)> {
    capabilities(function.registers().bytes())
        .map(|found| (found.id, found.offset))
        .collect()
}

#[test]
fn capabilities_are_where_the_hardware_has_them() {
    for (name, expected) in [
        ("snb", vec![(5, 0x90), (1, 0xd0), (0x13, 0xa4)]),
        ("hsw", vec![(5, 0x90), (1, 0xd0), (0x13, 0xa4)]),
        ("chv", vec![(1, 0xd0), (5, 0x90), (9, 0xb0)]),
        ("kbl", vec![(9, 0x40), (0x10, 0x70), (5, 0xac), (1, 0xd0)]),
        ("lnl", vec![(9, 0x40), (0x10, 0x70), (5, 0xac), (1, 0xd0)]),
    ] {
        let device = device(Profile::by_name(name).unwrap());
        assert_eq!(chain(device.function()), expected, "{name}");
        assert_eq!(
            device.interrupts()[3].count,
            u32::from(expected.contains(&(0x10, 0x70)))
        );
    }
    let kbl = device(Profile::by_name("kbl").unwrap());
    assert_eq!(
        kbl.function().registers().u16(0x72) >> 4 & 0xf,
        9,
        "an endpoint inside the root complex"
    );
    assert!(matches!(
        kbl.function().bars().get(2).unwrap().kind(),
        BarKind::Memory64 { prefetchable: true }
    ));
}

#[test]
fn neighbours_are_bridges_of_intel() {
    for profile in Profile::all() {
        let mut device = device(profile);
        for (kind, id, class) in [
            (RegionKind::HostBridge, profile.host_bridge, 0x06_0000),
            (RegionKind::LpcBridge, profile.lpc_bridge, 0x06_0100),
        ] {
            assert_eq!(
                dword(&mut device, kind, 0),
                u32::from(id) << 16 | 0x8086,
                "{}",
                profile.name
            );
            assert_eq!(dword(&mut device, kind, 8) >> 8, class);
            assert_eq!(dword(&mut device, kind, 0x2c) & 0xffff, 0x8086);
            assert!(device.write_all(kind, 0, &[0; 4]).is_err());
        }
    }
}

#[test]
fn the_opregion_of_each_platform_is_whole() {
    for profile in Profile::all() {
        let mut device = device(profile);
        let size = device.find_region(RegionKind::OpRegion).unwrap().size;
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        device.read_exact(RegionKind::OpRegion, 0, &mut bytes).unwrap();
        assert_eq!(&bytes[..16], b"IntelGraphicsMem");
        let rvds = u32::from_le_bytes(bytes[0x3c2..0x3c6].try_into().unwrap());
        assert_eq!(size, 0x2000 + u64::from(rvds), "{}", profile.name);
        let at = if rvds == 0 { 0x400 } else { 0x2000 };
        let table = &bytes[at..at + usize::from(profile.vbt_len)];
        assert_eq!(&table[..4], b"$VBT");
        assert_eq!(
            table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)),
            0,
            "{}",
            profile.name
        );
    }
}
