// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device in-process: accesses, reset, interrupts, faults.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use igd_sim::{AccessError, Fault, Interrupt, Options, Profile, RegionKind, SimDevice};
use proptest::prelude::*;

fn with(name: &str, change: impl FnOnce(&mut Options)) -> SimDevice {
    let mut options = Options::default();
    change(&mut options);
    SimDevice::new(Profile::by_name(name).unwrap(), &options).unwrap()
}

fn plain(name: &str) -> SimDevice {
    with(name, |_| {})
}

fn read(device: &mut SimDevice, kind: RegionKind, offset: u64) -> u32 {
    let mut bytes = [0; 4];
    device.read_exact(kind, offset, &mut bytes).unwrap();
    u32::from_le_bytes(bytes)
}

fn write(device: &mut SimDevice, kind: RegionKind, offset: u64, value: u32) {
    device.write_all(kind, offset, &value.to_le_bytes()).unwrap();
}

#[test]
fn a_256_mib_aperture_is_there_to_the_last_byte() {
    let mut device = plain("tgl");
    let last = (256 << 20) - 4;
    write(&mut device, RegionKind::Bar(2), last, 0x1234_5678);
    assert_eq!(read(&mut device, RegionKind::Bar(2), last), 0x1234_5678);
    let mut five = [0; 5];
    assert!(matches!(
        device.read_exact(RegionKind::Bar(2), last, &mut five),
        Err(AccessError::Short { wanted: 5, got: 4, .. })
    ));
    assert!(matches!(
        device.write_all(RegionKind::Bar(2), last, &five),
        Err(AccessError::OutOfBounds { size: 0x1000_0000, .. })
    ));
    assert!(matches!(
        device.read_exact(RegionKind::Bar(2), u64::MAX, &mut five),
        Err(AccessError::OutOfBounds { .. })
    ));
}

#[test]
fn firmware_locked_the_registers_unless_asked() {
    let mut device = plain("kbl");
    let before = (
        read(&mut device, RegionKind::Config, 0x50),
        read(&mut device, RegionKind::Config, 0x5c),
    );
    write(&mut device, RegionKind::Config, 0x50, u32::MAX);
    write(&mut device, RegionKind::Config, 0x5c, 0x1cf0_0000);
    write(&mut device, RegionKind::Bar(0), 0x10_80c0, 0);
    assert_eq!(
        (
            read(&mut device, RegionKind::Config, 0x50),
            read(&mut device, RegionKind::Config, 0x5c)
        ),
        before
    );
    assert_eq!(read(&mut device, RegionKind::Bar(0), 0x10_80c0), before.1);
    write(&mut device, RegionKind::Config, 0xfc, 0x1fff_c000);
    assert_eq!(
        read(&mut device, RegionKind::Config, 0xfc),
        0x1fff_c000,
        "ASLS is scratch"
    );
    let mut open = with("tgl", |options| options.unlocked = true);
    write(&mut open, RegionKind::Config, 0xc0, 0x1cf0_0000);
    write(&mut open, RegionKind::Config, 0xc4, 1);
    assert_eq!(read(&mut open, RegionKind::Config, 0xc0), 0x1cf0_0000);
    assert_eq!(read(&mut open, RegionKind::Config, 0xc4), 1);
}

#[test]
fn a_function_level_reset_clears_registers_and_keeps_the_gtt() {
    for (name, offset, value) in [("kbl", 0x78, 0x8000), ("hsw", 0xa8, 0x0001)] {
        let mut device = plain(name);
        let half = device.profile().class.registers_len() / 2;
        let stale = read(&mut device, RegionKind::Bar(0), half);
        assert_eq!(
            stale & !0xfff,
            device.profile().stolen_base,
            "entries that firmware left"
        );
        write(&mut device, RegionKind::Config, 4, 6);
        write(&mut device, RegionKind::Config, 0xfc, 0x7000_0000);
        write(&mut device, RegionKind::Bar(0), 0x7_0000, 0xdead_beef);
        write(&mut device, RegionKind::Bar(0), half + 0x10_0000, 0x0bad_f00d);
        write(&mut device, RegionKind::Bar(2), 0, 0x00c0_ffee);
        device
            .write_all(RegionKind::Config, offset, &u16::to_le_bytes(value))
            .unwrap();
        assert_eq!(device.resets(), 1, "{name}");
        assert_eq!(read(&mut device, RegionKind::Config, 4) & 0xffff, 0);
        assert_eq!(
            read(&mut device, RegionKind::Config, 0xfc),
            0x7000_0000,
            "firmware writes ASLS once"
        );
        assert_eq!(read(&mut device, RegionKind::Bar(0), 0x7_0000), 0);
        assert_eq!(read(&mut device, RegionKind::Bar(0), half + 0x10_0000), 0x0bad_f00d);
        assert_eq!(read(&mut device, RegionKind::Bar(2), 0), 0x00c0_ffee);
        let ggc = u32::from(device.ggc());
        assert_eq!(read(&mut device, RegionKind::Bar(0), 0x10_8040), ggc);
    }
}

#[test]
fn forcewake_answers_at_any_width() {
    let mut device = plain("kbl");
    device
        .write_all(RegionKind::Bar(0), 0xa278, &0x0001_0001_u64.to_le_bytes())
        .unwrap();
    assert_eq!(read(&mut device, RegionKind::Bar(0), 0xd84), 1);
    write(&mut device, RegionKind::Bar(0), 0xa278, 0x0001_0000);
    assert_eq!(read(&mut device, RegionKind::Bar(0), 0xd84), 0);
    device.write_all(RegionKind::Bar(0), 0x7_0001, &[0x22]).unwrap();
    device.write_all(RegionKind::Bar(0), 0x7_0003, &[0x44, 0x55]).unwrap();
    assert_eq!(read(&mut device, RegionKind::Bar(0), 0x7_0000), 0x4400_2200);
    assert_eq!(read(&mut device, RegionKind::Bar(0), 0x7_0004), 0x55);
}

#[test]
fn ports_reach_registers_and_gtt() {
    let mut kbl = plain("kbl");
    let half = 8 << 20;
    write(&mut kbl, RegionKind::Bar(4), 0, 4 * 7 + 1);
    write(&mut kbl, RegionKind::Bar(4), 4, 0x8b80_1001);
    assert_eq!(read(&mut kbl, RegionKind::Bar(0), half + 4 * 7), 0x8b80_1001);
    write(&mut kbl, RegionKind::Bar(4), 0, 0x10_8040);
    let ggc = u32::from(kbl.ggc());
    assert_eq!(read(&mut kbl, RegionKind::Bar(4), 4), ggc);
    let mut both = [0; 8];
    kbl.read_exact(RegionKind::Bar(4), 0, &mut both).unwrap();
    assert_eq!(both[..4], 0x10_8040_u32.to_le_bytes());
    write(&mut kbl, RegionKind::Bar(4), 0, 0xffff_fffc);
    assert_eq!(read(&mut kbl, RegionKind::Bar(4), 4), 0);
    let mut tgl = plain("tgl");
    write(&mut tgl, RegionKind::Bar(4), 0, 4 * 7 + 1);
    write(&mut tgl, RegionKind::Bar(4), 4, 1);
    assert_eq!(
        read(&mut tgl, RegionKind::Bar(0), 4 * 7),
        1,
        "bit 0 means nothing from generation 11 on"
    );
}

#[test]
fn vga_has_memory_and_ports_and_nothing_between() {
    let mut device = plain("kbl");
    write(&mut device, RegionKind::Vga, 0xb_8000, 0x0741_0742);
    assert_eq!(read(&mut device, RegionKind::Vga, 0xb_8000), 0x0741_0742);
    device.write_all(RegionKind::Vga, 0x3c4, &[2]).unwrap();
    let mut byte = [0];
    device.read_exact(RegionKind::Vga, 0x3c4, &mut byte).unwrap();
    assert_eq!(byte, [2]);
    for address in [0, 0x3af, 0x3bc, 0x3e0, 0x9_ffff] {
        assert!(matches!(
            device.read_exact(RegionKind::Vga, address, &mut byte),
            Err(AccessError::NotVga { .. })
        ));
    }
    assert!(
        with("kbl", |options| options.class = Some(0x03_8000))
            .find_region(RegionKind::Vga)
            .is_none()
    );
}

#[test]
fn interrupts_go_where_software_wants_them() {
    let mut device = plain("kbl");
    assert_eq!(device.raise_interrupt(), Interrupt::Line);
    assert_eq!(read(&mut device, RegionKind::Config, 4) >> 16 & 8, 8, "the status bit");
    device.lower_interrupt();
    assert_eq!(read(&mut device, RegionKind::Config, 4) >> 16 & 8, 0);
    write(&mut device, RegionKind::Config, 4, 0x400);
    assert_eq!(device.raise_interrupt(), Interrupt::Silent);
    write(&mut device, RegionKind::Config, 0xb0, 0xfee0_1000);
    write(&mut device, RegionKind::Config, 0xb4, 0x4041);
    device.write_all(RegionKind::Config, 0xae, &[1, 0]).unwrap();
    let Interrupt::Message(message) = device.raise_interrupt() else {
        panic!("no message")
    };
    assert_eq!((message.address, message.data), (0xfee0_1000, 0x4041));
    let mut masked = plain("mtl");
    masked.write_all(RegionKind::Config, 0xae, &[1, 0]).unwrap();
    write(&mut masked, RegionKind::Config, 0xb8, 1);
    assert_eq!(masked.raise_interrupt(), Interrupt::Held);
}

#[test]
fn what_may_be_mapped_excludes_what_answers() {
    for profile in Profile::all() {
        let device = with(profile.name, |options| options.test_page = true);
        let areas = device.mappable(0);
        let inside = |offset: u64| areas.iter().any(|(start, len)| (*start..start + len).contains(&offset));
        let half = profile.class.registers_len() / 2;
        for trapped in [0x10_8040, 0x10_80c0, 0x941c, half - 0x1000] {
            assert!(!inside(trapped), "{} {trapped:#x}", profile.name);
        }
        assert!(
            inside(half) && inside(half * 2 - 1) && inside(0x7_0000),
            "{}",
            profile.name
        );
        let sorted = areas.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0);
        assert!(sorted && areas.iter().all(|(start, len)| start % 4096 == 0 && len % 4096 == 0));
        assert_eq!(device.mappable(2), [(0, 256 << 20)]);
        assert_eq!(device.mappable(4), []);
    }
}

#[test]
fn faults_show_and_nothing_else_changes() {
    let fault = |text: &str| with("kbl", |options| options.faults.push(text.parse().unwrap()));
    let mut bytes = [0; 8];
    let mut short = fault("short=opregion");
    assert_eq!(short.read(RegionKind::OpRegion, 0, &mut bytes).unwrap(), 4);
    assert!(matches!(
        short.read_exact(RegionKind::OpRegion, 0, &mut bytes),
        Err(AccessError::Short { wanted: 8, got: 4, .. })
    ));
    assert!(short.read_exact(RegionKind::Config, 0, &mut bytes).is_ok());
    let mut error = fault("error=config@0x50");
    assert!(error.read_exact(RegionKind::Config, 0x48, &mut bytes).is_ok());
    assert!(matches!(
        error.read_exact(RegionKind::Config, 0x49, &mut bytes),
        Err(AccessError::Injected {
            region: RegionKind::Config,
            offset: 0x49
        })
    ));
    assert!(error.write_all(RegionKind::Config, 0x50, &[0]).is_err());
    for (text, kind) in [
        ("missing=opregion", RegionKind::OpRegion),
        ("missing=lpc-bridge", RegionKind::LpcBridge),
        ("missing=rom", RegionKind::Rom),
        ("missing=bar0", RegionKind::Bar(0)),
    ] {
        let mut missing = fault(text);
        assert_eq!(missing.find_region(kind), None);
        assert!(matches!(missing.read(kind, 0, &mut bytes), Err(AccessError::NoRegion { region }) if region == kind));
        assert_eq!(missing.regions().len(), plain("kbl").regions().len() - 1);
    }
    let mut gate = fault("decode-gate");
    assert!(matches!(
        gate.read(RegionKind::Bar(0), 0, &mut bytes),
        Err(AccessError::NotDecoded { .. })
    ));
    write(&mut gate, RegionKind::Config, 4, 2);
    assert!(gate.read(RegionKind::Bar(0), 0, &mut bytes).is_ok());
    write(&mut gate, RegionKind::Config, 0xd4, 3);
    assert!(gate.read(RegionKind::Bar(0), 0, &mut bytes).is_err(), "it sleeps");
    let lies = fault("opregion=rvds-lies");
    assert_eq!(
        lies.find_region(RegionKind::OpRegion).unwrap().size,
        0x2000 + 0x2000 + (1 << 20)
    );
}

#[test]
fn a_lie_about_the_opregion_costs_nothing() {
    let mut device = with("kbl", |options| {
        options.faults.push("opregion=rvds-lies".parse().unwrap());
    });
    let mut bytes = [0xff; 16];
    device.read_exact(RegionKind::OpRegion, 0x10_0000, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 16]);
}

#[test]
fn no_opregion_no_igd_regions() {
    for asls in [0, u32::MAX] {
        let device = with("kbl", |options| options.asls = Some(asls));
        for kind in [RegionKind::OpRegion, RegionKind::HostBridge, RegionKind::LpcBridge] {
            assert_eq!(device.find_region(kind), None);
        }
    }
}

#[test]
fn wrong_options_are_refused_with_the_value() {
    let refuse = |name: &str, change: fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        SimDevice::new(Profile::by_name(name).unwrap(), &options)
            .unwrap_err()
            .to_string()
    };
    assert!(refuse("kbl", |options| options.stolen_mib = Some(33)).contains("33 MiB"));
    assert!(refuse("kbl", |options| options.stolen_base = Some(0x8000_1000)).contains("0x80001000"));
    assert!(refuse("kbl", |options| options.stolen_base = Some(1 << 32)).contains("0x100000000"));
    assert!(refuse("tgl", |options| options.stolen_base = Some(!0xf_ffff)).contains("0xfffffffffff00000"));
    assert!(refuse("kbl", |options| options.class = Some(0x0103_0000)).contains("0x1030000"));
    assert!(refuse("cfl", |options| options.opregion_version = Some("1.0".parse().unwrap())).contains("8704"));
}

fn kinds() -> impl Strategy<Value = RegionKind> {
    prop_oneof![
        (0_u8..8).prop_map(RegionKind::Bar),
        Just(RegionKind::Rom),
        Just(RegionKind::Config),
        Just(RegionKind::Vga),
        Just(RegionKind::OpRegion),
        Just(RegionKind::HostBridge),
        Just(RegionKind::LpcBridge),
    ]
}

fn offsets() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..0x200,
        any::<u64>(),
        0_u64..(16 << 20),
        (8_u64 << 20) - 0x1010..(8 << 20) + 16,
        (256_u64 << 20) - 16..(256 << 20) + 16,
        (0xa_0000_u64..0xc_0010)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_access_panics_and_reads_are_bounded(
        place in 0..Profile::all().len(),
        accesses in proptest::collection::vec(
            (any::<bool>(), kinds(), offsets(), proptest::collection::vec(any::<u8>(), 0..80)), 1..60),
        faults in proptest::collection::vec(prop_oneof![
            Just("short=bar0"), Just("error=config@4"), Just("opregion=truncated"), Just("rom=bad-pointer"),
            Just("missing=vga"), Just("decode-gate"), Just("opregion=bad-size"),
        ], 0..3),
    ) {
        let mut options = Options::default();
        options.test_page = true;
        options.unlocked = true;
        options.faults = faults.iter().map(|text| text.parse::<Fault>().unwrap()).collect();
        let mut device = SimDevice::new(&Profile::all()[place], &options).unwrap();
        for (is_write, kind, offset, data) in accesses {
            let size = device.find_region(kind).map_or(0, |region| region.size);
            if is_write {
                let done = device.write_all(kind, offset, &data).is_ok();
                prop_assert!(!done || offset + data.len() as u64 <= size);
            } else {
                let mut buf = data.clone();
                if let Ok(got) = device.read(kind, offset, &mut buf) {
                    prop_assert!(offset + got as u64 <= size);
                    prop_assert_eq!(&buf[got..], &data[got..], "bytes behind the answer are untouched");
                }
            }
            if let Some(igd_sim::Signal::Dma(_)) = device.take_signal() {
                device.finish_dma(false);
            }
        }
        let before = device.resets();
        device.reset().unwrap();
        prop_assert_eq!(device.resets(), before + 1);
    }
}
