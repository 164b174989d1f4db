// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration mechanism #1 where implementations differ: the specifications, and what QEMU 7.2 and 11.1 answer.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

#[path = "support/display.rs"]
mod display;
#[path = "support/machine.rs"]
mod machine;

use display::{bdf, display};
use machine::{CF8, CFC, Machine, display_machine};
use pci_model::host_bridge::I440Fx;
use pci_model::{ConfigMechanism, ConfigMechanismStateV1, Effects, Function, PortEffects, ResetControl, Rules};

const CF9: u16 = CF8 + 1;
const CFA: u16 = CF8 + 2;
const CFB: u16 = CF8 + 3;
const CFD: u16 = CFC + 1;
const CFE: u16 = CFC + 2;
const CFF: u16 = CFC + 3;
const RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];

/// The host bridge alone, selected.
fn pc(rules: Rules) -> Machine<I440Fx> {
    let bridge = I440Fx::new((0x1af4, 0x1100), 128 << 20, rules).unwrap();
    let mut m = Machine::with(rules, [(bdf(0, 0), bridge)]);
    let _ = m.outl(CF8, 0x8000_0000);
    m
}

fn is_nothing(done: PortEffects) -> bool {
    done.function.is_none() && done.effects.is_empty()
}

#[test]
fn aligned_reads_are_the_same_everywhere() {
    for rules in RULES {
        let mut m = pc(rules);
        assert_eq!(m.inl(CFC), 0x1237_8086);
        assert_eq!((m.inw(CFC), m.inw(CFE)), (0x8086, 0x1237));
        assert_eq!([CFC, CFD, CFE, CFF].map(|port| m.inb(port)), [0x86, 0x80, 0x37, 0x12]);
    }
}

#[test]
fn unaligned_reads_split_until_qemu_11() {
    for rules in [Rules::Specification, Rules::Qemu7] {
        let mut m = pc(rules);
        assert_eq!(m.inw(CFD), 0x3780);
        assert_eq!(m.inl(CFE), 0xffff_1237);
        assert_eq!(m.inw(CFF), 0xff12);
        assert_eq!(m.inl(CFF), 0xffff_ff12);
        assert_eq!(m.inl(CFD), 0xff12_3780);
    }
    let mut m = pc(Rules::Qemu11);
    assert_eq!((m.inw(CFD), m.inw(CFF), m.inl(CFD), m.inl(CFE)), (0, 0, 0, 0));
}

#[test]
fn a_read_over_the_boundary_takes_from_both_registers() {
    let mut m = pc(Rules::Qemu7);
    assert_eq!(m.inl(CFA), 0x8086_0000, "the low word of the latch, then data");
    assert_eq!(m.inl(CFB), 0x3780_8600);
    let mut m = pc(Rules::Specification);
    assert_eq!(m.inl(CFA), 0x8086_8000, "the high word of the latch, then data");
    assert_eq!(m.inl(CFB), 0x3780_8680);
    let mut m = pc(Rules::Qemu11);
    assert_eq!((m.inl(CFA), m.inl(CFB)), (0, 0));
}

#[test]
fn narrow_reads_of_the_latch() {
    let mut m = pc(Rules::Specification);
    let _ = m.outl(CF8, 0x8012_3454);
    assert_eq!([CF8, CFA, CFB].map(|port| m.inb(port)), [0x54, 0x12, 0x80]);
    assert_eq!(m.inb(CF9), 0, "reset control, not the latch");
    assert_eq!((m.inw(CF8), m.inw(CFA)), (0x3454, 0x8012));
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        let mut m = pc(rules);
        let _ = m.outl(CF8, 0x8012_3454);
        assert_eq!(
            [CF8, CFA, CFB].map(|port| m.inb(port)),
            [0x54; 3],
            "the low bits, wherever"
        );
        assert_eq!((m.inw(CF8), m.inw(CFA)), (0x3454, 0x3454));
    }
}

#[test]
fn only_a_dword_changes_the_latch() {
    for rules in RULES {
        let mut m = pc(rules);
        for port in [CF8, CFA, CFB] {
            assert!(is_nothing(m.outb(port, 0xff)));
        }
        assert!(is_nothing(m.outw(CF8, 0xffff)));
        assert!(is_nothing(m.outw(CFA, 0xffff)));
        assert_eq!(m.inl(CF8), 0x8000_0000, "{rules:?}");
    }
}

#[test]
fn reserved_bits_of_the_latch() {
    let mut m = pc(Rules::Specification);
    let _ = m.outl(CF8, 0xffff_ffff);
    assert_eq!(m.inl(CF8), 0x80ff_fffc);
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        let mut m = pc(rules);
        let _ = m.outl(CF8, 0xffff_ffff);
        assert_eq!(m.inl(CF8), 0xffff_ffff);
    }
}

#[test]
fn low_bits_of_the_latch_join_the_offset_in_qemu() {
    let mut m = pc(Rules::Specification);
    let _ = m.outl(CF8, 0x8000_0002);
    assert_eq!((m.inw(CFC), m.inb(CFE)), (0x8086, 0x37));
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        let mut m = pc(rules);
        let _ = m.outl(CF8, 0x8000_0002);
        assert_eq!((m.inw(CFC), m.inb(CFC)), (0x1237, 0x37), "the offset is 0 or 2");
        assert_eq!((m.inb(CFD), m.inb(CFE)), (0x12, 0x37), "lanes are or-ed, not added");
    }
}

#[test]
fn a_write_over_two_registers_has_the_effects_of_both() {
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        for (latch, value, effects) in [
            (0x8000_1003, 0x0400, Effects::BUS_MASTER),
            (0x8000_1003, 0x0000, Effects::empty()),
            // Two bytes of an MSI address, each with the same effect.
            (0x8000_10b1, 0xe010, Effects::MSI),
        ] {
            let mut m = display_machine(rules);
            let _ = m.outl(CF8, latch);
            let done = m.outw(CFC, value);
            assert_eq!((done.function, done.effects), (Some(bdf(2, 0)), effects), "{latch:#x}");
        }
    }
}

#[test]
fn a_clear_enable_bit_closes_the_data_ports() {
    for rules in RULES {
        let mut m = pc(rules);
        let _ = m.outl(CF8, 0x0000_0000);
        assert_eq!((m.inl(CFC), m.inw(CFE), m.inb(CFF)), (0xffff_ffff, 0xffff, 0xff));
        let _ = m.outl(CF8, 0x0000_0004);
        assert!(is_nothing(m.outw(CFC, 0xffff)));
        let _ = m.outl(CF8, 0x8000_0004);
        assert_eq!(m.inw(CFC), 0);
    }
}

#[test]
fn other_buses_and_functions_do_not_alias() {
    for rules in RULES {
        let mut m = display_machine(rules);
        for address in [0x8001_1000, 0x80ff_1000, 0x8000_1100, 0x8000_1700, 0x8000_9000] {
            let _ = m.outl(CF8, address);
            assert_eq!(m.inl(CFC), 0xffff_ffff, "{address:#x}");
            let _ = m.outl(CF8, address | 4);
            assert!(is_nothing(m.outl(CFC, 0xffff_ffff)), "{address:#x}");
        }
        let _ = m.outl(CF8, 0x8000_1004);
        assert_eq!(m.inw(CFC), 0);
    }
}

#[test]
fn effects_name_their_function() {
    for rules in RULES {
        let mut m = display_machine(rules);
        let _ = m.outl(CF8, 0x8000_1004);
        let done = m.outw(CFC, 0x0004);
        assert_eq!((done.function, done.effects), (Some(bdf(2, 0)), Effects::BUS_MASTER));
        let done = m.outb(CFC, 0x04);
        assert_eq!((done.function, done.effects), (Some(bdf(2, 0)), Effects::empty()));
    }
}

#[test]
fn reset_control_keeps_the_bits_of_its_chipset() {
    for rules in RULES {
        for (chipset, kept) in [(ResetControl::Piix3, 0x02), (ResetControl::Ich9, 0x0a)] {
            let mut m: Machine<Function<256>> = Machine::with(rules, []);
            m.ports = ConfigMechanism::new(chipset, rules);
            assert!(is_nothing(m.outb(CF9, 0xfb)));
            assert_eq!(m.inb(CF9), kept, "{rules:?} {chipset:?}");
            let done = m.outb(CF9, 0x04);
            assert_eq!((done.function, done.effects), (None, Effects::SYSTEM_RESET));
            assert_eq!(m.inb(CF9), kept, "a reset request changes no bit");
            m.ports.reset();
            assert_eq!(m.inb(CF9), 0);
        }
    }
}

#[test]
fn a_word_reaches_reset_control() {
    for rules in [Rules::Specification, Rules::Qemu7, Rules::Qemu11] {
        for chipset in [ResetControl::Piix3, ResetControl::Ich9] {
            let mut m: Machine<Function<256>> = Machine::with(rules, []);
            m.ports = ConfigMechanism::new(chipset, rules);
            let _ = m.outl(CF8, 0x8000_0010);
            assert_eq!(m.outw(CF9, 0x0006).effects, Effects::SYSTEM_RESET, "{rules:?}");
            assert_eq!(m.inl(CF8), 0x8000_0010);
        }
    }
}

#[test]
fn a_dword_reaches_reset_control_where_the_chipset_takes_it() {
    for rules in [Rules::Qemu7, Rules::Qemu11] {
        for (chipset, reset) in [(ResetControl::Piix3, false), (ResetControl::Ich9, true)] {
            let mut m: Machine<Function<256>> = Machine::with(rules, []);
            m.ports = ConfigMechanism::new(chipset, rules);
            let effects = m.outl(CF9, 0x0000_0006).effects;
            assert_eq!(effects == Effects::SYSTEM_RESET, reset, "{rules:?} {chipset:?}");
        }
    }
}

#[test]
fn the_latch_survives_a_reset_in_qemu_alone() {
    for rules in RULES {
        let mut m = pc(rules);
        m.ports.reset();
        let expected = if rules == Rules::Specification { 0 } else { 0x8000_0000 };
        assert_eq!(m.inl(CF8), expected);
    }
}

#[test]
fn unaligned_writes_split_until_qemu_11() {
    for rules in RULES {
        let mut m = display_machine(rules);
        let _ = m.outl(CF8, 0x8000_1010);
        let _ = m.outw(CFE, 0);
        let _ = m.outw(CFF, 0x55e0);
        let written = if rules == Rules::Qemu11 { 4 } else { 0xe000_0004 };
        assert_eq!(m.inl(CFC), written, "{rules:?}");
    }
}

#[test]
fn a_256_byte_window_of_an_extended_function() {
    for rules in RULES {
        let mut m: Machine<Function<4096>> = Machine::with(rules, [(bdf(2, 0), display(rules).build().unwrap())]);
        m.bus
            .get_mut(bdf(2, 0))
            .unwrap()
            .registers_mut()
            .set(0x0fc, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let _ = m.outl(CF8, 0x8000_10fc);
        assert_eq!(m.inl(CFC), 0x0403_0201);
        let _ = m.outl(CF8, 0x8000_10ff);
        if rules == Rules::Specification {
            assert_eq!(m.inl(CFC), 0x0403_0201);
        } else {
            assert_eq!(m.inb(CFC), 4, "the last byte");
            assert_eq!(m.inl(CFC), 4, "nothing of 100 is reached");
        }
    }
}

#[test]
fn a_saved_latch_has_no_bits_that_a_write_drops() {
    let mut ports = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
    ports.restore(&ConfigMechanismStateV1 {
        address: u32::MAX,
        reset_control: u8::MAX,
    });
    let state = ports.state();
    assert_eq!((state.address, state.reset_control), (0x80ff_fffc, 0x02));
}
