// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The function on the bus: slots before and after the device, resets, emulated registers.

use std::sync::Arc;

use igd_quirks::device::{BdsmSetup, DeviceSetup, Redirect};
use igd_vmm::assigned::Applied;
use pci_model::{ConfigSpace, Effects};

use super::fake::{COMMAND, EXPRESS, FakeMachine, MSI, MSIX, PM};
use super::{Bench, MIRROR, place, read, write};

#[test]
fn slots_follow_the_command_register() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    let _ = write(function, 0x10, 4, 0xe000_0000);
    assert!(
        bench.log().is_empty(),
        "nothing is decoded yet, and BARs are not the device's"
    );

    let effects = write(function, COMMAND, 2, 2);
    assert!(effects.contains(Effects::BAR_MAP));
    assert_eq!(bench.log(), ["write configuration space 4+2 2", "slots + 0 e0000000"]);
    let _ = write(function, 0x10, 4, 0xe100_0000);
    assert_eq!(bench.log(), ["slots - 0 e0000000", "slots + 0 e1000000"]);
    let _ = write(function, 0x14, 4, 1);
    assert_eq!(bench.log(), ["slots - 0 e1000000", "slots + 0 1e1000000"]);
    let _ = write(function, COMMAND, 1, 0);
    assert_eq!(bench.log(), ["slots - 0 1e1000000", "write configuration space 4+1 0"]);
}

#[test]
fn a_machine_that_comes_late_is_told_what_is_decoded() {
    let bench = Bench::new();
    let mut applied = bench.apply().unwrap();
    place(&mut applied.function);
    bench.log();
    applied
        .function
        .attach(Arc::new(FakeMachine(Arc::clone(&bench.device))));
    assert_eq!(
        bench.log(),
        [
            "slots + 0 e0000000",
            "slots + 2 d0000000",
            "slots + 4 c000",
            "slots + 6 f0000000"
        ]
    );
}

#[test]
fn a_refused_write_brings_the_slots_back() {
    let bench = Bench::new();
    let mut applied = bench.start();
    place(&mut applied.function);
    let map = applied.function.bar_map();
    bench.log();
    bench.device.fail_after(0);
    let effects = write(&mut applied.function, COMMAND, 2, 0);
    assert_eq!(effects, Effects::empty());
    let bars = ["0 e0000000", "2 d0000000", "4 c000", "6 f0000000"];
    let [minus, plus] = ["-", "+"].map(|sign| bars.map(|bar| format!("slots {sign} {bar}")));
    assert_eq!(bench.log(), [minus, plus].concat());
    assert_eq!(applied.function.bar_map(), map);
    assert_eq!(applied.bars.failures(), 1);
    assert_eq!(read(&mut applied.function, COMMAND, 2), 7);
}

#[test]
fn sleeping_is_like_a_disable() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    let _ = write(function, 0x10, 4, 0xe000_0000);
    let _ = write(function, COMMAND, 2, 2);
    function.set_intx_gsi(Some(10));
    bench.log();
    let effects = write(function, PM + 4, 2, 3);
    assert!(effects.contains(Effects::POWER));
    assert_eq!(bench.log(), ["slots - 0 e0000000", "write configuration space d4+2 3"]);

    // Leaving D3hot resets the function. The host restores the command register, the guest's function has lost it.
    let effects = write(function, PM + 4, 2, 0);
    assert!(effects.contains(Effects::FUNCTION_RESET));
    let expected = [
        "disable INTx",
        "disconnect 10",
        "write configuration space d4+2 0",
        "write configuration space 4+2 0",
        "enable INTx",
        "mask INTx",
        "connect level 10",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), expected);
    assert_eq!((read(function, COMMAND, 2), read(function, 0x10, 4)), (0, 4));
}

#[test]
fn a_function_level_reset_ends_slots_and_messages_first() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(10));
    place(function);
    let _ = write(function, 0x5c, 4, 0x1234_0000);
    let _ = write(function, MSI + 2, 2, 1);
    bench.log();
    let effects = write(function, EXPRESS + 8, 2, 0x8000);
    assert!(effects.contains(Effects::FUNCTION_RESET));
    let expected = [
        "slots - 0 e0000000",
        "slots - 2 d0000000",
        "slots - 4 c000",
        "slots - 6 f0000000",
        "write configuration space ae+2 184",
        "disable MSI",
        "disconnect 24",
        "write configuration space 78+2 8000",
        "write configuration space 4+2 0",
        "enable INTx",
        "mask INTx",
        "connect level 10",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), expected);
    assert_eq!(bench.device.config_u16(COMMAND), 0);
    assert_eq!(
        function.bdsm(),
        BdsmSetup::Dword(0x1234_0000),
        "what firmware wrote stays"
    );
}

#[test]
fn a_reset_of_the_machine_starts_again() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let function = &mut applied.function;
    function.set_intx_gsi(Some(10));
    let _ = write(function, 0x10, 4, 0xe000_0000);
    let _ = write(function, COMMAND, 2, 6);
    let _ = write(function, 0x5c, 4, 0x1234_0000);
    let _ = write(function, MSI + 2, 2, 1);
    bench.log();
    let effects = function.reset();
    assert!(effects.contains(Effects::BAR_MAP | Effects::MSI));
    let expected = [
        "slots - 0 e0000000",
        "write configuration space ae+2 184",
        "disable MSI",
        "disconnect 24",
        "write configuration space 4+2 0",
        "reset",
        "enable INTx",
        "mask INTx",
        "connect level 10",
        "resample INTx",
        "unmask INTx",
    ];
    assert_eq!(bench.log(), expected);
    assert_eq!(function.bdsm(), BdsmSetup::Dword(0x7c00_0000));
    assert_eq!((read(function, COMMAND, 2), read(function, 0x10, 4)), (0, 4));
}

#[test]
fn emulated_registers_are_in_front_of_the_device() {
    let bench = Bench::new();
    let Applied { mut function, bars } = bench.start();
    place(&mut function);
    bench.device.fill(MIRROR, &[0xaa; 0x200]);
    bench.log();
    assert_eq!(read(&mut function, 0x50, 4), 0x01c1);
    assert_eq!(read(&mut function, 0x5c, 4), 0x7c00_0000);
    let _ = write(&mut function, 0xfc, 4, 0x9000);
    assert_eq!((read(&mut function, 0xfc, 4), function.asls()), (0x9000, Some(0x9000)));
    let _ = write(&mut function, 0x5a, 4, 0x1234_5678);
    assert_eq!(read(&mut function, 0x5c, 4), 0x7c00_1234, "the half that is emulated");
    assert_eq!(bench.log(), ["write configuration space 5a+2 5678"]);

    let bar0 = |offset, len: usize| {
        let mut data = [0; 8];
        bars.bar_read(0, offset, &mut data[..len]);
        u64::from_le_bytes(data)
    };
    assert_eq!(bar0(MIRROR + 0xc0, 4), 0x7c00_1234);
    assert!(bench.log().is_empty(), "the device is not asked");
    assert_eq!(bar0(MIRROR + 0x40, 4), 0xaaaa_01c1);
    assert_eq!(bar0(MIRROR + 0xbc, 8), 0x7c00_1234_aaaa_aaaa);
    assert_eq!(bar0(MIRROR + 0x10, 1), 0xaa);
    bars.bar_write(0, MIRROR + 0xbc, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        bench.device.peek(MIRROR + 0xbc, 8),
        [1, 2, 3, 4, 0xaa, 0xaa, 0xaa, 0xaa]
    );
    assert_eq!(function.bdsm(), BdsmSetup::Dword(0x0807_0605));
}

#[test]
fn registers_in_bar0_may_be_those_of_configuration_space() {
    let bench = Bench::with(|plan| {
        plan.device = DeviceSetup {
            redirects: vec![Redirect {
                bar0: MIRROR + 0xc0,
                config: 0x5c,
                len: 4,
            }],
            ..DeviceSetup::default()
        };
    });
    let Applied { mut function, bars } = bench.start();
    place(&mut function);
    bench.device.fill(MIRROR, &[0xaa; 0x200]);
    bench.log();
    let mut data = [0; 8];
    bars.bar_read(0, MIRROR + 0xbc, &mut data);
    assert_eq!(u64::from_le_bytes(data), 0x8a00_0001_aaaa_aaaa);
    bench.log();
    bars.bar_read(0, MIRROR + 0xc0, &mut data[..4]);
    assert!(bench.log().is_empty(), "BAR0 is not asked");
    bars.bar_write(0, MIRROR + 0xc0, &[0, 0, 0, 0x55]);
    assert_eq!(bench.log(), ["write configuration space 5c+4 55000000"]);
}

#[test]
fn msi_x_is_not_in_the_list() {
    let bench = Bench::new();
    let mut applied = bench.start();
    let mut next = 0x34;
    let mut seen = Vec::new();
    for _ in 0..8 {
        next = u16::try_from(read(&mut applied.function, next, 1)).unwrap();
        if next == 0 {
            break;
        }
        seen.push(next);
        next += 1;
    }
    assert_eq!(seen, [EXPRESS, MSI, PM]);
    assert!(!seen.contains(&MSIX));
}

#[test]
fn the_shadow_answers_beyond_the_end() {
    let bench = Bench::new();
    let mut applied = bench.start();
    assert_eq!(applied.function.config_size(), 256);
    assert_eq!(read(&mut applied.function, 0x100, 4), u32::MAX);
    let _ = write(&mut applied.function, 0xffc, 4, 0);
    assert!(bench.log().is_empty());
}
