// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Register emulation, one vector after the other.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

use igd_quirks::device::{BdsmSetup, DeviceRules, DeviceSetup, Event, GttPortSetup, IgdDevice, Redirect, RestoreError};
use pci_model::carve::Span;
use pci_model::{ConfigAccess, Width};

const HARDWARE: u32 = 0x8a00_0001;

fn at(offset: u16, len: usize) -> ConfigAccess {
    ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap()
}

fn dword() -> DeviceSetup {
    DeviceSetup {
        bdsm: BdsmSetup::Dword(0),
        asls: Some(0),
        bdsm_mirror: true,
        ..DeviceSetup::default()
    }
}

fn qword() -> DeviceSetup {
    DeviceSetup {
        bdsm: BdsmSetup::Qword(0),
        ..dword()
    }
}

fn patched_ggc(ggc: u16) -> DeviceSetup {
    DeviceSetup {
        ggc: Some(ggc),
        ggc_mirror: true,
        ..dword()
    }
}

/// Writes, expecting the hardware to see nothing of it.
fn write(igd: &mut IgdDevice, offset: u16, len: usize, value: u32) -> Option<Event> {
    let write = igd.config_write(at(offset, len), value);
    assert_eq!(write.forwards().count(), 0, "{offset:#x}");
    write.event()
}

fn read(igd: &IgdDevice, offset: u16, len: usize) -> u32 {
    igd.config_read(at(offset, len), HARDWARE)
}

#[test]
fn bdsm_before_generation_11() {
    let mut igd = IgdDevice::new(&dword());
    assert_eq!(read(&igd, 0x5c, 4), 0);
    assert_eq!(
        write(&mut igd, 0x5c, 4, 0x7c00_0000),
        Some(Event::BdsmWritten(0x7c00_0000))
    );
    assert_eq!(read(&igd, 0x5c, 4), 0x7c00_0000);
    assert_eq!(igd.bar0_read(0x10_80c0, 4, HARDWARE.into()), 0x7c00_0000);
    assert_eq!(igd.bar0_read(0x10_80c4, 4, HARDWARE.into()), u64::from(HARDWARE));
    assert_eq!(read(&igd, 0xc0, 4), HARDWARE);
    assert_eq!(read(&igd, 0xc4, 4), HARDWARE);
    assert_eq!(igd.bdsm(), BdsmSetup::Dword(0x7c00_0000));
}

#[test]
fn bdsm_from_generation_11_on() {
    let mut igd = IgdDevice::new(&qword());
    assert_eq!(
        write(&mut igd, 0xc0, 4, 0x8000_0000),
        Some(Event::BdsmWritten(0x8000_0000))
    );
    assert_eq!((read(&igd, 0xc0, 4), read(&igd, 0xc4, 4)), (0x8000_0000, 0));
    assert_eq!(igd.bar0_read(0x10_80c0, 8, u64::MAX), 0x8000_0000);
    assert_eq!(write(&mut igd, 0xc4, 4, 0x12), Some(Event::BdsmWritten(0x12_8000_0000)));
    assert_eq!(igd.bar0_read(0x10_80c4, 4, u64::MAX), 0x12);
    assert_eq!(read(&igd, 0x5c, 4), HARDWARE);
    assert_eq!(igd.config_owns(at(0x5c, 4)), 0);
}

#[test]
fn bdsm_takes_every_width_and_alignment() {
    let mut igd = IgdDevice::new(&qword());
    write(&mut igd, 0xc0, 1, 0x11);
    write(&mut igd, 0xc2, 2, 0x4433);
    write(&mut igd, 0xc3, 4, 0x8877_6655);
    assert_eq!(igd.bdsm(), BdsmSetup::Qword(0x88_7766_5533_0011));

    let half = igd.config_write(at(0xbe, 4), 0xdead_beef);
    assert_eq!(half.forwards().collect::<Vec<_>>(), [(at(0xbe, 2), 0xbeef)]);
    assert_eq!(igd.bdsm(), BdsmSetup::Qword(0x88_7766_5533_dead));
    assert_eq!(igd.config_read(at(0xbe, 4), 0x1234_5678), 0xdead_5678);
    assert_eq!(igd.config_owns(at(0xbe, 4)), 0xffff_0000);

    let end = igd.config_write(at(0xc7, 4), 0x0403_02ff);
    let parts = [(at(0xc8, 2), 0x0302), (at(0xca, 1), 0x04)];
    assert_eq!(end.forwards().collect::<Vec<_>>(), parts);
    assert_eq!(end.event(), Some(Event::BdsmWritten(0xff88_7766_5533_dead)));
}

#[test]
fn asls_is_all_the_guests() {
    let mut igd = IgdDevice::new(&qword());
    assert_eq!(
        write(&mut igd, 0xfc, 4, 0x7ff0_0000),
        Some(Event::AslsWritten(0x7ff0_0000))
    );
    assert_eq!(read(&igd, 0xfe, 2), 0x7ff0);
    write(&mut igd, 0xfd, 1, 0x18);
    assert_eq!(igd.asls(), Some(0x7ff0_1800));
}

#[test]
fn ggc_is_the_hardwares_unless_patched() {
    let mut igd = IgdDevice::new(&dword());
    let write = igd.config_write(at(0x50, 2), 0xffff);
    assert_eq!(write.forwards().collect::<Vec<_>>(), [(at(0x50, 2), 0xffff)]);
    assert_eq!(write.event(), None);
    assert_eq!(igd.bar0_read(0x10_8040, 2, 0x02c1), 0x02c1);
    assert_eq!(igd.bar0_owns(0x10_8040, 8), 0);
}

#[test]
fn patched_ggc_is_read_only() {
    let mut igd = IgdDevice::new(&patched_ggc(0xf0c1));
    assert_eq!(write(&mut igd, 0x50, 2, 0xffff), Some(Event::GgcWriteIgnored));
    assert_eq!(read(&igd, 0x50, 2), 0xf0c1);
    assert_eq!(igd.bar0_read(0x10_8040, 2, 0), 0xf0c1);
    // 52h is not part of GGC.
    let write = igd.config_write(at(0x50, 4), 0x1234_ffff);
    assert_eq!(write.forwards().collect::<Vec<_>>(), [(at(0x52, 2), 0x1234)]);
    assert_eq!(igd.config_read(at(0x50, 4), HARDWARE), 0x8a00_f0c1);
    let write = igd.bar0_write(0x10_8040, 8, 0x8877_6655_4433_2211);
    let parts = [(0x10_8042, 2, 0x4433), (0x10_8044, 4, 0x8877_6655)];
    assert_eq!(write.forwards().collect::<Vec<_>>(), parts);
    assert_eq!(write.event(), Some(Event::GgcWriteIgnored));
}

#[test]
fn ggc_of_32_bits_covers_what_follows() {
    let mut igd = IgdDevice::new(&DeviceSetup {
        ggc_high: Some(0x1234),
        ..patched_ggc(0x02c1)
    });
    assert_eq!(write(&mut igd, 0x52, 2, 0xffff), Some(Event::GgcWriteIgnored));
    assert_eq!(read(&igd, 0x50, 4), 0x1234_02c1);
    assert_eq!(igd.bar0_read(0x10_8040, 4, 0), 0x1234_02c1);
    // The mirror is one of GGC.
    assert_eq!(igd.bar0_read(0x10_8042, 2, 0x5678), 0x5678);
    assert_eq!(igd.bar0_read(0x10_8041, 2, 0x5678), 0x5602);
    assert_eq!(igd.bar0_read(0x10_803f, 4, 0x5678_9abc), 0x5602_c1bc);
    assert_eq!(
        igd.bar0_write(0x10_8043, 1, 0x55).forwards().collect::<Vec<_>>(),
        [(0x10_8043, 1, 0x55)]
    );
    assert_eq!(igd.bar0_write(0x10_8040, 4, 0).forwards().count(), 0);
}

#[test]
fn nothing_is_emulated_without_stolen_memory() {
    let mut igd = IgdDevice::new(&DeviceSetup {
        bdsm: BdsmSetup::Hardware,
        ..patched_ggc(0)
    });
    assert_eq!((read(&igd, 0x5c, 4), read(&igd, 0xc0, 4)), (HARDWARE, HARDWARE));
    assert_eq!(igd.bar0_read(0x10_80c0, 8, 77), 77);
    let write = igd.config_write(at(0x5c, 4), 5);
    assert_eq!(write.forwards().collect::<Vec<_>>(), [(at(0x5c, 4), 5)]);
    assert_eq!(
        igd.bar0_write(0x10_80c0, 8, 9).forwards().collect::<Vec<_>>(),
        [(0x10_80c0, 8, 9)]
    );
}

#[test]
fn ggc_without_graphics_memory() {
    let igd = IgdDevice::new(&patched_ggc(0x00c1));
    assert_eq!(igd.config_read(at(0x50, 4), 0x02c1), 0x00c1);
}

#[test]
fn mirror_and_configuration_space_are_one_register() {
    let mut igd = IgdDevice::new(&qword());
    let write = igd.bar0_write(0x10_80c0, 8, 0x0000_0004_0af0_0000);
    assert_eq!(write.forwards().count(), 0);
    assert_eq!(write.event(), Some(Event::BdsmWritten(0x4_0af0_0000)));
    assert_eq!(read(&igd, 0xc0, 4), 0x0af0_0000);
    assert_eq!(read(&igd, 0xc4, 1), 4);
    assert_eq!(igd.bar0_read(0x10_80c3, 2, 0xffff), 0x040a);

    // The window ends after 4 bytes where the register does.
    let mut igd = IgdDevice::new(&dword());
    let write = igd.bar0_write(0x10_80c0, 8, 0x1111_2222_0af0_0000);
    assert_eq!(write.forwards().collect::<Vec<_>>(), [(0x10_80c4, 4, 0x1111_2222)]);
    assert_eq!(
        igd.bar0_read(0x10_80bc, 8, 0x1111_2222_3333_4444),
        0x0af0_0000_3333_4444
    );
}

#[test]
fn what_is_emulated_of_bar0() {
    let igd = IgdDevice::new(&patched_ggc(0x02c1));
    assert_eq!(igd.bar0_owns(0x10_803e, 8), 0xffff_0000);
    assert_eq!(igd.bar0_owns(0x10_80c0, 8), 0xffff_ffff);
    assert_eq!(igd.bar0_owns(0x10_8044, 8), 0);
}

#[test]
fn traps_are_the_mirrored_registers() {
    let traps = |setup: &DeviceSetup| IgdDevice::new(setup).bar0_traps().collect::<Vec<_>>();
    assert_eq!(traps(&DeviceSetup::default()), []);
    assert_eq!(traps(&dword()), [Span::new(0x10_80c0, 4)]);
    assert_eq!(traps(&qword()), [Span::new(0x10_80c0, 8)]);
    let both = [Span::new(0x10_8040, 2), Span::new(0x10_80c0, 4)];
    assert_eq!(traps(&patched_ggc(0x02c1)), both);
    let unmirrored = DeviceSetup {
        bdsm_mirror: false,
        ..dword()
    };
    assert_eq!(traps(&unmirrored), []);
}

#[test]
fn redirected_bytes_are_those_of_configuration_space() {
    let setup = DeviceSetup {
        bdsm: BdsmSetup::Hardware,
        redirects: vec![
            Redirect {
                bar0: 0x10_8040,
                config: 0x50,
                len: 2,
            },
            Redirect {
                bar0: 0x10_80c0,
                config: 0xc0,
                len: 8,
            },
        ],
        ..dword()
    };
    let mut igd = IgdDevice::new(&setup);
    let traps = [Span::new(0x10_8040, 2), Span::new(0x10_80c0, 8)];
    assert_eq!(igd.bar0_traps().collect::<Vec<_>>(), traps);
    let redirects = |offset, len| igd.bar0_redirects(offset, len).collect::<Vec<_>>();
    assert_eq!(redirects(0x10_80c0, 8), [(0, at(0xc0, 4)), (4, at(0xc4, 4))]);
    assert_eq!(redirects(0x10_80c3, 2), [(0, at(0xc3, 1)), (1, at(0xc4, 1))]);
    assert_eq!(redirects(0x10_80be, 4), [(2, at(0xc0, 2))]);
    assert_eq!(redirects(0x10_80c8, 8), []);
    // The access that starts at GGC leads there as a whole.
    assert_eq!(redirects(0x10_8040, 8), [(0, at(0x50, 4))]);
    assert_eq!(redirects(0x10_8042, 2), []);
    assert_eq!((igd.bar0_owns(0x10_80c0, 8), igd.bar0_read(0x10_80c0, 8, 77)), (0, 77));

    let write = igd.bar0_write(0x10_80c4, 8, 0x8877_6655_4433_2211);
    assert_eq!(write.redirects().collect::<Vec<_>>(), [(at(0xc4, 4), 0x4433_2211)]);
    assert_eq!(write.forwards().collect::<Vec<_>>(), [(0x10_80c8, 4, 0x8877_6655)]);
    assert_eq!(write.event(), None);
}

#[test]
fn a_mirror_goes_before_a_redirect() {
    let mut igd = IgdDevice::new(&DeviceSetup {
        redirects: vec![Redirect {
            bar0: 0x10_80c0,
            config: 0xfffe,
            len: u16::MAX,
        }],
        ..dword()
    });
    let write = igd.bar0_write(0x10_80c0, 8, 7);
    assert_eq!((write.redirects().count(), write.forwards().count()), (0, 1));
    // Beyond configuration space there is nothing to lead to.
    assert_eq!(igd.bar0_redirects(0x10_80c4, 4).count(), 0);
}

#[test]
fn hidden_swsci_reads_zero_and_drops_writes() {
    for rules in [DeviceRules::Native, DeviceRules::Qemu] {
        let mut igd = IgdDevice::new(&DeviceSetup {
            hide_swsci: true,
            rules,
            ..DeviceSetup::default()
        });
        assert_eq!(igd.config_read(at(0xe8, 4), 0x1234_8001), 0x1234_0000);
        assert_eq!(write(&mut igd, 0xe8, 2, 0x8001), Some(Event::SwsciWriteDropped));
        assert_eq!(write(&mut igd, 0xe9, 1, 0x80), Some(Event::SwsciWriteDropped));
    }
    assert_eq!(read(&IgdDevice::new(&dword()), 0xe8, 4), HARDWARE);
}

#[test]
fn a_reset_brings_back_power_on_or_keeps() {
    for (rules, base, asls) in [
        (DeviceRules::Native, 0x6000_0000, 0x5000_0000),
        (DeviceRules::Qemu, 0x7c00_0000, 0x7ff0_0000),
    ] {
        let mut igd = IgdDevice::new(&DeviceSetup {
            bdsm: BdsmSetup::Dword(0x6000_0000),
            asls: Some(0x5000_0000),
            rules,
            ..DeviceSetup::default()
        });
        let _ = igd.config_write(at(0x5c, 4), 0x7c00_0000);
        let _ = igd.config_write(at(0xfc, 4), 0x7ff0_0000);
        igd.reset();
        assert_eq!((igd.bdsm(), igd.asls()), (BdsmSetup::Dword(base), Some(asls)));
    }
}

#[test]
fn qemus_rules_let_the_hardware_see_all_writes() {
    let mut igd = IgdDevice::new(&DeviceSetup {
        rules: DeviceRules::Qemu,
        ..patched_ggc(0x02c1)
    });
    for (offset, value) in [(0x50, 0xffff), (0x5c, 0x7c00_0000), (0xfc, 0x7ff0_0000)] {
        let write = igd.config_write(at(offset, 4), value);
        assert_eq!(write.forwards().collect::<Vec<_>>(), [(at(offset, 4), value)]);
    }
    assert_eq!(read(&igd, 0x50, 2), 0x02c1);
    assert_eq!(igd.bar0_write(0x10_80c0, 4, 7).forwards().count(), 0);
}

fn ports(entry_size: u8, index_end: u32, guest_bdsm: u32) -> IgdDevice {
    let mut igd = IgdDevice::new(&DeviceSetup {
        gtt_port: Some(GttPortSetup {
            host_bdsm: 0x8a00_0000,
            entry_size,
            index_end,
        }),
        ..dword()
    });
    let _ = igd.config_write(at(0x5c, 4), guest_bdsm);
    igd
}

fn entry(igd: &mut IgdDevice, index: u32, data: u32) -> u32 {
    assert_eq!(igd.bar4_write(0, 4, index).value, index);
    igd.bar4_write(4, 4, data).value
}

#[test]
fn gtt_entries_move_to_the_guests_stolen_memory() {
    for (index, data, entry_size, expected) in [
        (0x1, 0x8a00_0001, 4, 0x7c00_0001),
        (0x5, 0x8a00_2001, 4, 0x7c00_2001),
        (0x5, 0x0000_0000, 8, 0),
        (0x5, 0x0000_0012, 8, 0),
        (0x9, 0x8a00_1001, 8, 0x7c00_1001),
        (0x1, 0x0000_1001, 8, 0xf200_1001),
        (0xc, 0x8a00_0001, 8, 0x8a00_0001),
        (0x0, 0x8a00_0001, 4, 0x8a00_0001),
        (0x3ffd, 0x8a00_0001, 4, 0x7c00_0001),
        (0x4001, 0x8a00_0001, 8, 0x8a00_0001),
        (u32::MAX, 0x8a00_0001, 4, 0x8a00_0001),
    ] {
        let mut igd = ports(entry_size, 0x4000, 0x7c00_0000);
        assert_eq!(
            entry(&mut igd, index, data),
            expected,
            "index {index:#x}, entries of {entry_size} bytes"
        );
    }
}

/// Though the end has the form of an entry's index.
#[test]
fn the_table_ends_before_its_end() {
    let mut igd = ports(4, 0x4001, 0x7c00_0000);
    assert_eq!(entry(&mut igd, 0x3ffd, 0x8a00_0001), 0x7c00_0001);
    assert_eq!(entry(&mut igd, 0x4001, 0x8a00_0001), 0x8a00_0001);
}

#[test]
fn an_index_serves_one_entry() {
    let mut igd = ports(4, 0x4000, 0x7c00_0000);
    assert_eq!(entry(&mut igd, 1, 0x8a00_0001), 0x7c00_0001);
    assert_eq!(igd.bar4_write(4, 4, 0x8a00_0001).value, 0x8a00_0001);
    for forget in [0, 4, 7] {
        let _ = igd.bar4_write(0, 4, 1);
        igd.bar4_read(forget);
        assert_eq!(igd.bar4_write(4, 4, 0x8a00_0001).value, 0x8a00_0001);
    }
    let _ = igd.bar4_write(0, 4, 1);
    igd.bar4_read(8);
    assert_eq!(igd.bar4_write(0x20, 4, 0x8a00_0001).value, 0x8a00_0001);
    assert_eq!(igd.bar4_write(4, 4, 0x8a00_0001).value, 0x7c00_0001);
}

#[test]
fn narrow_writes_are_those_of_the_port_where_they_start() {
    let mut igd = ports(8, 0x4000, 0x7c12_3000);
    for (index, offset, len, data, expected) in [
        (9, 4, 1, 0x7f, 0x7f),
        (9, 4, 2, 0x1001, 0x4001),
        (9, 6, 2, 0x90f7, 0xc0f7),
        (5, 6, 1, 0x2a, 0),
        (4, 5, 1, 0x67, 0x67),
    ] {
        let _ = igd.bar4_write(0, 4, index);
        assert_eq!(igd.bar4_write(offset, len, data).value, expected, "index {index:#x}");
        assert_eq!(
            igd.bar4_write(4, 4, 0x8a00_0001).value,
            0x8a00_0001,
            "the index is forgotten"
        );
    }
    assert_eq!(igd.bar4_write(1, 1, 5).value, 5);
    assert_eq!(igd.bar4_write(4, 4, 0x8a00_0001).value, 0);
}

#[test]
fn without_a_base_entries_are_empty() {
    let mut igd = ports(8, 0x4000, 0);
    let _ = igd.bar4_write(0, 4, 1);
    let write = igd.bar4_write(4, 4, 0x8a00_0001);
    assert_eq!(
        (write.value, write.event),
        (0, Some(Event::GttEntryWithoutBdsm(0x8a00_0001)))
    );
}

#[test]
fn ports_trap_only_where_they_translate() {
    assert_eq!(ports(4, 0x4000, 0).bar4_trap(), Some(Span::new(0, 8)));
    assert_eq!(IgdDevice::new(&dword()).bar4_trap(), None);
    let mut igd = IgdDevice::new(&DeviceSetup {
        gtt_port: Some(GttPortSetup {
            host_bdsm: 0x8a00_0000,
            entry_size: 4,
            index_end: 0x4000,
        }),
        ..qword()
    });
    assert_eq!(igd.bar4_trap(), None);
    assert_eq!(entry(&mut igd, 1, 0x8a00_0001), 0x8a00_0001);
}

#[test]
fn an_index_needs_ports() {
    let mut igd = ports(4, 0x4000, 0x7c00_0000);
    let _ = igd.bar4_write(0, 4, 1);
    let mut without = IgdDevice::new(&dword());
    assert_eq!(without.restore(&igd.state()), Err(RestoreError::GttIndex { found: 1 }));
}
