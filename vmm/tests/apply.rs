// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A plan carried out on a device that keeps a log: orders of calls, what is undone, what the guest sees.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

#[path = "common/bench.rs"]
mod bench;
#[path = "common/fake.rs"]
mod fake;
#[path = "apply/function.rs"]
mod function;
#[path = "apply/interrupts.rs"]
mod interrupts;
#[path = "apply/msix.rs"]
mod msix;
#[cfg(feature = "sim")]
#[path = "apply/sim.rs"]
mod sim;

use bench::{Bench, GTT, MIRROR, OPREGION, place, read, write};
use fake::{BAR0_SIZE, COMMAND, FOUND_COMMAND, MAPPABLE, ROM_SIZE};
use igd_quirks::device::{BdsmSetup, GttPortSetup};
use igd_quirks::facts::{Extent, RomBytes};
use igd_quirks::plan::{GttClear, RomPlan};
use igd_vmm::assigned::Applied;
use pci_model::ConfigSpace;
use vm_memory::{Bytes, GuestAddress};

#[test]
fn steps_are_taken_in_order() {
    let bench = Bench::new();
    bench.device.fill(GTT.start, &[0xee; 0x3000]);
    let applied = bench.apply().unwrap();
    let log = bench.log();
    let rom: Vec<String> = (0..0x11)
        .map(|part| {
            format!(
                "read ROM {:x}+{:x}",
                part * 0x1000,
                if part == 0x10 { 0x800 } else { 0x1000 }
            )
        })
        .collect();
    let before = [
        "write configuration space 4+2 0",
        "reset",
        "map DMA 0+10000",
        "map DMA 100000+1000",
        "map BAR0 0+108000",
        "map BAR0 109000+6f8000",
        "write configuration space 4+2 2",
    ];
    let after = [
        "write configuration space 4+2 0",
        "write configuration space 4+2 2",
        "write BAR0 801000+1000 0",
        "write BAR0 802000+800 0",
        "write configuration space 4+2 0",
    ];
    let expected: Vec<&str> = before
        .into_iter()
        .chain(rom.iter().map(|line| &line[..]))
        .chain(after)
        .collect();
    assert_eq!(log, expected);
    // The first page through memory, the others one write each.
    assert_eq!(bench.device.peek(GTT.start, 0x2800), [0; 0x2800]);
    assert_eq!(
        bench.device.peek(GTT.start + 0x2800, 0x800),
        [0xee; 0x800],
        "nothing beyond the range"
    );
    assert_eq!(
        bench
            .ram
            .memory()
            .read_obj::<u8>(GuestAddress(OPREGION + 0x1fff))
            .unwrap(),
        7
    );
    assert_eq!(
        (applied.function.asls(), applied.function.bdsm()),
        (Some(0x8000), BdsmSetup::Dword(0x7c00_0000))
    );
}

#[test]
fn whatever_fails_everything_is_undone() {
    let mut refused = 0;
    for call in 0.. {
        let bench = Bench::new();
        bench
            .ram
            .memory()
            .write_slice(&[3; 0x2000], GuestAddress(OPREGION))
            .unwrap();
        let found = bench.device.state();
        bench.device.fail_after(call);
        let result = bench.apply();
        let has_failed = bench.device.has_failed();
        match result {
            Err(error) => {
                assert!(error.to_string().contains("told to"), "{error}");
                refused += 1;
                let mut opregion = [0; 0x2000];
                bench
                    .ram
                    .memory()
                    .read_slice(&mut opregion, GuestAddress(OPREGION))
                    .unwrap();
                assert!(opregion == [3; 0x2000], "call {call}");
            }
            // A device that cannot be reset is taken.
            Ok(applied) => drop(applied),
        }
        assert_eq!(bench.device.state(), found, "call {call}");
        assert_eq!(bench.device.mappings(), 0, "call {call}");
        if !has_failed {
            break;
        }
    }
    assert!(refused > 90, "{refused}");
}

#[test]
fn what_goes_wrong_has_a_name() {
    let refusal = |bench: &Bench| {
        let found = bench.device.state();
        let text = bench.apply().unwrap_err().to_string();
        assert_eq!(bench.device.state(), found, "{text}");
        assert_eq!(bench.device.mappings(), 0, "{text}");
        text
    };
    let mut other = Bench::new();
    other.facts.device.device = 0x9a49;
    assert!(refusal(&other).starts_with("the device is 8086:1912, but the plan is for 8086:9a49;"));
    assert!(other.log().is_empty(), "another device is left alone");

    let wrong: [(Bench, &str); 8] = [
        (
            Bench::with(|plan| plan.rom = RomPlan::File("x.rom".into())),
            "\"x.rom\", which was not read",
        ),
        (
            Bench::with(|plan| plan.rom = RomPlan::Repaired(RomBytes::default())),
            "a ROM of 0x0 bytes",
        ),
        (
            Bench::with(|plan| plan.memory.opregion.as_mut().unwrap().gpa = 0xf000),
            "0xf000-0x10fff is not in guest RAM",
        ),
        (
            Bench::with(|plan| plan.memory.opregion.as_mut().unwrap().gpa = u64::MAX),
            "is not in guest RAM",
        ),
        (
            Bench::with(|plan| plan.clear_gtt = Some(GttClear::Ports { index_end: u32::MAX })),
            "GTT indices below 0xffffffff",
        ),
        (
            Bench::with(|plan| plan.clear_gtt = Some(GttClear::Bar0(Extent::new(0xff_f000, u64::MAX)))),
            "beyond its end",
        ),
        (
            Bench::with(|plan| plan.clear_gtt = Some(GttClear::Bar0(Extent::new(u64::MAX - 9, 9)))),
            "beyond its end",
        ),
        (
            Bench::with(|plan| plan.traps[0].range.start = BAR0_SIZE),
            "BAR0: trapped range 0x1000000+0x2 leaves the BAR",
        ),
    ];
    for (bench, text) in &wrong {
        let said = refusal(bench).replace("an expansion ROM", "a ROM");
        assert!(said.contains(text), "{said}");
    }
    let mut large = Bench::with(|plan| plan.rom = RomPlan::File("x.rom".into()));
    large.romfile = Some(vec![0; (16 << 20) + 1]);
    assert!(refusal(&large).contains("0x1000001 bytes: it must have 1 byte to 16 MiB"));
}

#[test]
fn detaching_is_the_reverse() {
    let bench = Bench::new();
    let found = bench.device.state();
    let Applied { mut function, bars } = bench.start();
    function.set_intx_gsi(Some(10));
    let _ = write(&mut function, 0x10, 4, 0xe000_0000);
    let _ = write(&mut function, COMMAND, 2, 6);
    bench.log();
    assert!(function.detach().is_empty());
    let expected = [
        "slots - 0 e0000000",
        "disable INTx",
        "disconnect 10",
        "write configuration space 4+2 0",
        "reset",
        "unmap DMA 100000+1000",
        "unmap DMA 0+10000",
        "write configuration space 4+2 3",
    ];
    assert_eq!(bench.log(), expected);
    assert_eq!(bench.device.state(), found);
    assert_eq!(bench.device.config_u16(COMMAND), FOUND_COMMAND);

    // Nothing reaches the device any more.
    let _ = write(&mut function, COMMAND, 2, 7);
    function.set_intx_gsi(Some(11));
    let _ = function.reset();
    assert_eq!(read(&mut function, 0, 4), u32::MAX);
    assert!(function.detach().is_empty());
    drop(function);
    assert!(bench.log().is_empty());
    assert_eq!(bench.device.mappings(), 2);
    drop(bars);
    assert_eq!(bench.device.mappings(), 0);
}

#[test]
fn detaching_goes_on_after_a_refusal() {
    let bench = Bench::new();
    let found = bench.device.state();
    let mut applied = bench.start();
    // The reset: the command register is read and written before.
    bench.device.fail_after(2);
    let errors = applied.function.detach();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("reset"), "{}", errors[0]);
    assert_eq!(bench.device.state(), found);
}

#[test]
fn ports_into_the_translation_table_are_translated() {
    let bench = Bench::with(|plan| {
        plan.device.gtt_port = Some(GttPortSetup {
            host_bdsm: 0x8a00_0000,
            entry_size: 4,
            index_end: 0x20_0000,
        });
        plan.clear_gtt = Some(GttClear::Ports { index_end: 10 });
    });
    let applied = bench.apply().unwrap();
    let log = bench.log();
    let cleared: Vec<&str> = log
        .iter()
        .map(|line| &line[..])
        .filter(|line| line.contains("BAR4"))
        .collect();
    let pairs = [1, 5, 9].map(|index| [format!("write BAR4 0+4 {index}"), "write BAR4 4+4 0".to_owned()]);
    assert_eq!(cleared, pairs.concat());

    let Applied { mut function, bars } = applied;
    place(&mut function);
    bench.log();
    bars.bar_write(4, 0, &5_u32.to_le_bytes());
    bars.bar_write(4, 4, &0x8a12_3001_u32.to_le_bytes());
    assert_eq!(bench.log(), ["write BAR4 0+4 5", "write BAR4 4+4 7c123001"]);
}

#[test]
fn only_whole_untrapped_pages_are_backed() {
    let bench = Bench::new();
    let bars = bench.start().bars;
    let pieces: Vec<_> = bars.pieces(0).iter().map(|piece| (piece.offset, piece.len)).collect();
    assert_eq!(pieces, [(0, MIRROR), (MIRROR + 0x1000, MAPPABLE - MIRROR - 0x1000)]);
    assert!(
        bars.pieces(0)
            .iter()
            .all(|piece| piece.hva != 0 && piece.hva.is_multiple_of(4096))
    );
    for bar in [1, 2, 3, 4, 5, 6, 255] {
        assert_eq!(bars.pieces(bar), []);
    }
}

#[test]
fn refusals_read_as_ones_and_are_counted() {
    let bench = Bench::new();
    let Applied { mut function, bars } = bench.start();
    let mut data = [0; 8];
    // Nothing is decoded.
    bars.bar_read(2, 0, &mut data);
    assert_eq!(data, [0xff; 8]);
    bars.bar_write(2, 0, &data);
    bars.bar_read(0, MIRROR + 0x3e, &mut data);
    assert_eq!(data, [0xff, 0xff, 0xc1, 0x01, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(bars.failures(), 3);
    bench.device.fail_after(0);
    assert_eq!(read(&mut function, 0x08, 4), u32::MAX);
    assert_eq!(bars.failures(), 4);
    for (bar, offset, len) in [
        (0, u64::MAX, 8),
        (0, BAR0_SIZE - 1, 3),
        (1, 0, 4),
        (4, 62, 4),
        (7, 0, 1),
        (255, 0, 64),
    ] {
        let mut data = [0; 64];
        bars.bar_read(bar, offset.min(u64::MAX - 64), &mut data[..len]);
        assert_eq!(data[..len], vec![0xff; len], "BAR{bar}");
        bars.bar_write(bar, offset.min(u64::MAX - 64), &data[..len]);
    }
}

#[test]
fn vga_is_what_the_plan_says() {
    let bench = Bench::new();
    let bars = bench.start().bars;
    assert!(bars.has_vga());
    let vga = |address| {
        let mut data = [0; 2];
        bars.vga_read(address, &mut data);
        u16::from_le_bytes(data)
    };
    assert_eq!([0xa_0000, 0xb_fffe, 0x3b0, 0x3de].map(vga), [0x4444; 4]);
    assert_eq!(
        [0, 0x9_ffff, 0xb_ffff, 0x3bb, 0x3bc, 0x3df, u64::MAX].map(vga),
        [0xffff; 7]
    );
    bench.log();
    bars.vga_write(0x3df, &[1, 2]);
    assert!(bench.log().is_empty());
    bars.vga_write(0x3d4, &[1, 2]);
    assert_eq!(bench.log(), ["write VGA 3d4+2 201"]);
    assert_eq!(bars.failures(), 0);
    assert!(!Bench::with(|plan| plan.vga.clear()).start().bars.has_vga());
}

#[test]
fn the_rom_has_the_size_of_a_power_of_two() {
    let rom = |bench: &Bench| {
        let Applied { mut function, bars } = bench.start();
        let _ = write(&mut function, 0x30, 4, 0xffff_f800);
        let size = read(&mut function, 0x30, 4).wrapping_neg();
        let mut data = vec![0; 0x2_0008];
        bars.bar_read(6, 0, &mut data);
        bars.bar_write(6, 0, &[1, 2, 3, 4]);
        let mut again = [0; 4];
        bars.bar_read(6, 0, &mut again);
        assert_eq!(again, data[..4]);
        let mut beyond = [0; 4];
        bars.bar_read(6, u64::MAX, &mut beyond);
        assert_eq!(beyond, [0xff; 4]);
        (size, data)
    };
    let (size, data) = rom(&Bench::new());
    assert_eq!(size, 0x2_0000);
    let end = usize::try_from(ROM_SIZE).unwrap();
    assert!(data[..end].iter().all(|byte| *byte == 0x55) && data[end..].iter().all(|byte| *byte == 0xff));

    let repaired = RomBytes::new([0x11; 100]).unwrap();
    let (size, data) = rom(&Bench::with(|plan| plan.rom = RomPlan::Repaired(repaired)));
    assert_eq!((size, data[99], data[100]), (0x800, 0x11, 0xff));

    let mut file = Bench::with(|plan| plan.rom = RomPlan::File("x.rom".into()));
    file.romfile = Some(vec![0x22; 0x1000]);
    let (size, data) = rom(&file);
    assert_eq!((size, data[0xfff], data[0x1000]), (0x1000, 0x22, 0xff));

    let (size, _) = rom(&Bench::with(|plan| plan.rom = RomPlan::Hidden));
    assert_eq!(size, 0, "no register");
}
