// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One test for each rule of the interface: ports, selection, directory, DMA, memory-mapped layout, state.
//!
//! Keys of the fixture: 0x20 `etc/igd-bdsm-size`, 0x21 `etc/igd-opregion`, 0x22 `etc/w`, 0x23 `opt/z`.

mod common;

use common::{D, Guest, RAM, fixture, opregion};
use fwcfg::{Fault, FwCfgBuilder, InsertError, Written};

const BUF: u64 = 0x2000;

fn directory_start(guest: &mut Guest) -> Vec<u8> {
    guest.read(0x19, 4)
}

#[test]
fn v01_signature_is_four_bytes() {
    assert_eq!(Guest::new().read(0, 5), *b"QEMU\0");
}

#[test]
fn v02_id_has_both_bits() {
    assert_eq!(Guest::new().read(1, 4), [3, 0, 0, 0]);
    let mut without = Guest::with(fixture().dma(false));
    assert_eq!(without.read(1, 4), [1, 0, 0, 0]);
}

#[test]
fn v03_bit_14_is_ignored() {
    let mut guest = Guest::new();
    assert_eq!(guest.read(0x4000, 4), *b"QEMU");
    assert_eq!(guest.outw(0x510, 0xc002).selected, Some(0x8002));
    assert_eq!(
        guest.dma(0x4022_0018, 8, BUF).1.written.map(|written| written.key),
        Some(0x22)
    );
}

#[test]
fn v04_the_signature_is_selected_at_power_on() {
    assert_eq!(Guest::new().data(2), *b"QE");
}

#[test]
fn v05_uuid_by_string_input() {
    let mut guest = Guest::new();
    guest.select(2);
    let mut out = [0; 16];
    guest.device.read_string(&mut out).unwrap();
    assert_eq!(u128::from_be_bytes(out), 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
}

#[test]
fn v06_ram_size_then_zeros() {
    assert_eq!(Guest::new().read(3, 10), [0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn v07_to_v10_directory() {
    let mut guest = Guest::new();
    assert_eq!(directory_start(&mut guest), [0, 0, 0, 4]);
    assert_eq!(guest.data(8), [0, 0, 0, 8, 0, 0x20, 0, 0]);
    let mut name = b"etc/igd-bdsm-size".to_vec();
    name.resize(56, 0);
    assert_eq!(guest.data(56), name);
    assert_eq!(guest.data(8), [0, 0, 0x20, 0, 0, 0x21, 0, 0]);
}

#[test]
fn v11_file_then_zeros() {
    assert_eq!(Guest::new().read(0x20, 9), [0, 0, 0, 4, 0, 0, 0, 0, 0]);
}

#[test]
fn v12_selection_starts_over() {
    let mut guest = Guest::new();
    assert_eq!(guest.read(0x23, 5), *b"ABC\0\0");
    assert_eq!(guest.read(0x23, 1), *b"A");
}

#[test]
fn v13_absent_key_reads_zero() {
    assert_eq!(Guest::new().read(0x3f, 1), [0]);
}

#[test]
fn v14_v15_key_out_of_range_reads_zero() {
    for key in [0x40, 0xffff] {
        let mut guest = Guest::new();
        assert_eq!(guest.outw(0x510, key).selected, Some(0xffff));
        assert_eq!(guest.data(1), [0]);
        assert_eq!(guest.device.selected(), 0xffff);
    }
}

#[test]
fn v16_v17_v18_table_of_the_architecture() {
    assert_eq!(Guest::new().read(0x8002, 5), [1, 0, 0, 0, 0]);
    assert_eq!(Guest::new().read(0x8000, 2), [0, 0]);
    assert_eq!(Guest::new().read(0xc002, 1), [1]);
}

#[test]
fn v19_a_byte_read_of_the_selector_is_data() {
    let mut guest = Guest::new();
    guest.select(0);
    assert_eq!((guest.inb(0x510), guest.inb(0x511)), (0x51, 0x45));
}

#[test]
fn v20_data_writes_are_dropped() {
    let mut guest = Guest::new();
    guest.select(0x23);
    let effects = guest.out(0x511, &[0xff]);
    assert!(matches!(effects.fault, Some(Fault::Dropped { offset: 1, len: 1 })));
    assert_eq!(guest.data(3), *b"ABC");
}

#[test]
fn v21_v22_only_a_word_selects() {
    let mut guest = Guest::new();
    guest.select(0x23);
    assert!(guest.out(0x510, &[0]).selected.is_none());
    assert_eq!(guest.inb(0x511), 0x41);
    guest.select(0x23);
    assert!(guest.outl(0x510, 0).selected.is_none());
    assert_eq!(guest.inb(0x511), 0x41);
}

#[test]
fn v23_a_word_read_of_the_selector_is_zero() {
    let mut guest = Guest::new();
    guest.select(0x23);
    assert_eq!((guest.inw(0x510), guest.inb(0x511)), (0, 0x41));
}

#[test]
fn v24_dma_signature() {
    for mut guest in [Guest::new(), Guest::split()] {
        assert_eq!(guest.inl(0x514), 0x554d_4551);
        assert_eq!(guest.inl(0x518), 0x4746_4320);
        assert_eq!(guest.inb(0x51b), 0x47);
        assert_eq!(guest.inw(0x516), 0x554d);
    }
}

#[test]
fn v25_select_and_read() {
    let mut guest = Guest::new();
    let (control, effects) = guest.dma(0x0020_000a, 8, BUF);
    assert_eq!(control, 0);
    assert_eq!(effects.selected, Some(0x20));
    assert!(effects.fault.is_none() && effects.status_lost.is_none() && !effects.paused);
    assert_eq!(guest.mem(BUF, 8), 0x0400_0000_u64.to_le_bytes());
}

#[test]
fn v26_bytes_past_the_end_are_zeros() {
    let mut guest = Guest::new();
    guest.poke(BUF, &[0xee; 8]);
    assert_eq!(guest.dma(0x0023_000a, 6, BUF).0, 0);
    assert_eq!(guest.mem(BUF, 8), *b"ABC\0\0\0\xee\xee");
}

#[test]
fn v27_a_second_read_goes_on() {
    let mut guest = Guest::new();
    assert_eq!(guest.dma(0x0021_000a, 16, BUF).0, 0);
    assert_eq!(guest.dma(0x0000_0002, 16, BUF + 16).0, 0);
    assert_eq!(guest.mem(BUF, 32), opregion()[..32]);
}

#[test]
fn v28_select_only_shares_the_cursor() {
    let mut guest = Guest::new();
    assert_eq!(guest.dma(0x0023_0008, 0, 0).0, 0);
    assert_eq!(guest.inb(0x511), 0x41);
}

#[test]
fn v29_v30_skip_stops_at_the_end() {
    let mut guest = Guest::new();
    assert_eq!(guest.dma(0x0023_000c, 2, 0).0, 0);
    assert_eq!(guest.inb(0x511), 0x43);
    assert_eq!(guest.dma(0x0023_000c, u32::MAX, 0).0, 0);
    assert_eq!(guest.data(2), [0, 0]);
}

#[test]
fn v31_write() {
    let mut guest = Guest::new();
    guest.poke(BUF, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let (control, effects) = guest.dma(0x0022_0018, 8, BUF);
    assert_eq!(control, 0);
    let (key, offset, len) = (0x22, 0, 8);
    assert_eq!(effects.written, Some(Written { key, offset, len }));
    assert_eq!(guest.read(0x22, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn v32_write_after_skip() {
    let mut guest = Guest::new();
    guest.poke(BUF, &[1, 2, 3, 4]);
    assert_eq!(guest.dma(0x0022_000c, 4, 0).0, 0);
    let (control, effects) = guest.dma(0x0000_0010, 4, BUF);
    assert_eq!(control, 0);
    let (key, offset, len) = (0x22, 4, 4);
    assert_eq!(effects.written, Some(Written { key, offset, len }));
    assert_eq!(guest.read(0x22, 8), [0, 0, 0, 0, 1, 2, 3, 4]);
}

#[test]
fn v33_v34_a_write_that_is_too_long_stores_nothing_and_moves_the_offset() {
    let mut guest = Guest::new();
    guest.poke(BUF, &[0xff; 9]);
    guest.poke(0x3000, &[0xee]);
    let (control, effects) = guest.dma(0x0022_0018, 9, BUF);
    assert_eq!((control, effects.written), (1, None));
    assert!(matches!(effects.fault, Some(Fault::WriteOutside { key: 0x22, .. })));
    assert_eq!(guest.dma(0x0000_0002, 1, 0x3000).0, 0);
    assert_eq!(guest.mem(0x3000, 1), [0]);
    assert_eq!(guest.read(0x22, 8), [0; 8]);
}

#[test]
fn v35_read_only_items_stay_as_they_are() {
    let mut guest = Guest::new();
    let (control, effects) = guest.dma(0x0023_0018, 3, BUF);
    assert_eq!(control, 1);
    assert!(matches!(effects.fault, Some(Fault::ReadOnly { key: 0x23 })));
    assert_eq!(guest.read(0x23, 3), *b"ABC");
}

#[test]
fn v36_v37_key_out_of_range_by_dma() {
    let mut guest = Guest::new();
    let (control, effects) = guest.dma(0x0040_0018, 1, BUF);
    assert_eq!((control, effects.selected), (1, Some(0xffff)));
    guest.poke(BUF, &[0xee; 5]);
    assert_eq!(guest.dma(0x0040_000a, 4, BUF).0, 0);
    assert_eq!(guest.mem(BUF, 5), [0, 0, 0, 0, 0xee]);
    assert_eq!(guest.dma(0x0040_000c, 4, 0).0, 0);
}

#[test]
fn v38_v39_v40_control_bits() {
    for control in [0x0023_001e, 0x0023_000b, 0x0023_ffea] {
        let mut guest = Guest::new();
        assert_eq!(guest.dma(control, 3, BUF).0, 0, "{control:#x}");
        assert_eq!(guest.mem(BUF, 3), *b"ABC");
    }
}

#[test]
fn v41_a_bad_buffer_moves_the_offset() {
    let mut guest = Guest::new();
    let (control, effects) = guest.dma(0x0023_000a, 3, 0xffff_ffff_0000_0000);
    assert_eq!(control, 1);
    let gpa = 0xffff_ffff_0000_0000;
    assert!(matches!(effects.fault, Some(Fault::Buffer { gpa: at, len: 3 }) if at == gpa));
    assert_eq!(guest.inb(0x511), 0);
}

#[test]
fn v42_nothing_is_read_to_nowhere() {
    assert_eq!(Guest::new().dma(0x0023_000a, 0, u64::MAX).0, 0);
}

#[test]
fn v43_the_high_half_lasts_for_one_command() {
    let mut guest = Guest::new();
    guest.descriptor(D, 0x0023_000a, 3, BUF);
    let effects = guest.go(0x1_0000_1000);
    assert!(matches!(effects.fault, Some(Fault::Descriptor { gpa: 0x1_0000_1000 })));
    assert_eq!(effects.status_lost, Some(0x1_0000_1000));
    assert_eq!(guest.control(D), 0x0023_000a);
    assert!(guest.outl(0x518, 0x1000u32.swap_bytes()).fault.is_none());
    assert_eq!(guest.mem(BUF, 3), *b"ABC");
}

#[test]
fn v44_the_low_half_is_enough() {
    let mut guest = Guest::new();
    guest.descriptor(D, 0x0020_000a, 8, BUF);
    assert!(guest.outl(0x518, 0x1000u32.swap_bytes()).fault.is_none());
    assert_eq!(
        (guest.control(D), guest.mem(BUF, 8)),
        (0, 0x0400_0000_u64.to_le_bytes().to_vec())
    );
}

#[test]
fn v45_v46_only_the_whole_low_half_starts_a_command() {
    let mut guest = Guest::new();
    guest.descriptor(0, 0x0023_000a, 3, BUF);
    guest.descriptor(D, 0x0023_000a, 3, BUF);
    let _ = guest.outl(0x514, u32::MAX);
    let _ = guest.outl(0x514, 0);
    assert_eq!(guest.device.state().dma_latch, 0);
    assert!(matches!(
        guest.outw(0x518, 0x0010).fault,
        Some(Fault::Dropped { offset: 8, len: 2 })
    ));
    assert_eq!((guest.control(0), guest.control(D)), (0x0023_000a, 0x0023_000a));
}

#[test]
fn v47_a_descriptor_across_the_end_of_ram_fails() {
    let mut guest = Guest::new();
    let at = RAM as u64 - 8;
    guest.poke(at, &[0xee; 8]);
    let effects = guest.go(at);
    assert!(matches!(effects.fault, Some(Fault::Descriptor { gpa }) if gpa == at));
    assert_eq!((guest.control(at), effects.status_lost), (1, None));
    assert_eq!(guest.data(4), *b"QEMU");
}

#[test]
fn v48_the_status_is_stored_last() {
    let mut guest = Guest::new();
    assert_eq!(guest.dma(0x0023_000a, 3, D).0, 0);
}

#[test]
fn v49_v50_memory_mapped_reads() {
    let mut guest = Guest::wide();
    let read = |guest: &mut Guest, key: u16, lens: &[usize]| -> Vec<Vec<u8>> {
        let effects = guest.device.mmio_write(8, &key.to_be_bytes(), &guest.ram);
        assert_eq!(effects.selected, Some(key));
        let one = |&len: &usize| {
            let mut data = vec![0xcc; len];
            guest.device.mmio_read(0, &mut data).unwrap();
            data
        };
        lens.iter().map(one).collect()
    };
    assert_eq!(read(&mut guest, 0, &[8]), [b"QEMU\0\0\0\0"]);
    assert_eq!(read(&mut guest, 0x23, &[4, 2]), [b"ABC\0".to_vec(), vec![0, 0]]);
    assert_eq!(read(&mut guest, 0x23, &[1, 2]), [b"A", b"BC".as_slice()]);
}

#[test]
fn v51_memory_mapped_dma() {
    let mut guest = Guest::wide();
    guest.descriptor(D, 0x0020_000a, 8, BUF);
    let effects = guest.device.mmio_write(0x10, &D.to_be_bytes(), &guest.ram);
    assert_eq!((effects.selected, guest.control(D)), (Some(0x20), 0));
    assert_eq!(guest.mem(BUF, 8), 0x0400_0000_u64.to_le_bytes());
}

#[test]
fn v52_slots_run_out() {
    let mut builder = FwCfgBuilder::new();
    for file in 0..32 {
        builder.add_file(&format!("opt/{file:02}"), [file]).unwrap();
    }
    assert_eq!(
        builder.add_file("etc/first", [0]),
        Err(InsertError::NoSlots {
            name: "etc/first".into(),
            slots: 32
        })
    );
    let mut guest = Guest::with(builder);
    assert_eq!(directory_start(&mut guest), [0, 0, 0, 32]);
    for file in 0..32 {
        let record = guest.data(64);
        assert_eq!(record[..8], [0, 0, 0, 1, 0, 0x20 + file, 0, 0]);
        assert_eq!(record[8..16], [format!("opt/{file:02}").as_bytes(), &[0, 0]].concat());
    }
    assert_eq!(guest.data(1), [0]);
    assert_eq!(guest.read(0x3f, 1), [31]);
}

#[test]
fn v53_name_length() {
    let mut builder = FwCfgBuilder::new();
    let name = "n".repeat(56);
    assert_eq!(builder.add_file(&name[..55], [0]), Ok(()));
    assert_eq!(builder.add_file(&name, [0]), Err(InsertError::NameTooLong { name }));
}

#[test]
fn v54_byte_order_of_names() {
    let mut builder = FwCfgBuilder::new();
    for name in ["b", "a", "C"] {
        builder.add_file(name, [0]).unwrap();
    }
    let name = String::from("a");
    assert_eq!(builder.add_file("a", [1]), Err(InsertError::DuplicateName { name }));
    let device = builder.build();
    assert_eq!(
        device.files().collect::<Vec<_>>(),
        [(0x20, "C"), (0x21, "a"), (0x22, "b")]
    );
}

#[test]
fn v55_a_restored_device_reads_on() {
    let mut guest = Guest::new();
    guest.read(0x23, 2);
    let state = guest.device.state();
    let mut restored = Guest::new();
    restored.device.restore(&state).unwrap();
    assert_eq!(restored.inb(0x511), 0x43);
}

#[test]
fn v56_any_selector_and_offset_can_be_restored() {
    let mut guest = Guest::new();
    let mut state = guest.device.state();
    state.selector = 0x1234;
    state.offset = u32::MAX;
    guest.device.restore(&state).unwrap();
    assert_eq!(guest.inb(0x511), 0);
    assert_eq!(guest.dma(0x0000_0004, 1, 0).0, 0);
    state.selector = 0x23;
    guest.device.restore(&state).unwrap();
    assert_eq!((guest.inb(0x511), guest.data(3)), (0, vec![0; 3]));
    assert_eq!(guest.dma(0x0000_0002, 1, BUF).0, 0);
}
