// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Rules of the specifications as port sequences. Each test has the number of its vector; those of carving and
//! passthrough stand beside those modules.
#![expect(clippy::unwrap_used, reason = "a test stops at what should not happen")]

#[path = "support/display.rs"]
mod display;
#[path = "support/machine.rs"]
mod machine;

use display::{bar, bdf, display};
use machine::{CF8, CFC, Machine, display_machine};
use pci_model::host_bridge::{I440Fx, PamAttribute, Q35};
use pci_model::isa_bridge::{Ich9, Piix3, PirqRoute};
use pci_model::{
    BarKind, BarMap, BarRange, BarSpace, BarStep, Bus, Capability, ConfigAccess, ConfigSpace, Ecam, Effects, Function,
    FunctionBuilder, Identity, Msix, MsixDelivery, MsixTable, PowerManagement, PowerState, Rules, Width, capabilities,
};

const CFD: u16 = CFC + 1;
const CFE: u16 = CFC + 2;
const CFF: u16 = CFC + 3;
const MEM0: u64 = 0xe000_0000;

/// `CONFIG_ADDRESS` of a register of 00:02.0.
const fn a(register: u32) -> u32 {
    0x8000_1000 | register
}

fn machine() -> Machine<Function<256>> {
    display_machine(Rules::Specification)
}

impl Machine<Function<256>> {
    /// Selects a register of 00:02.0 and reads it.
    fn get(&mut self, register: u32) -> u32 {
        let _ = self.outl(CF8, a(register));
        self.inl(CFC)
    }

    /// Selects a register of 00:02.0 and writes it.
    fn set(&mut self, register: u32, value: u32) -> Effects {
        let _ = self.outl(CF8, a(register));
        self.outl(CFC, value).effects
    }

    fn command(&mut self, value: u16) -> Effects {
        let _ = self.outl(CF8, a(4));
        self.outw(CFC, value).effects
    }

    fn map(&self) -> BarMap {
        self.bus.get(bdf(2, 0)).unwrap().bar_map()
    }

    fn display(&mut self) -> &mut Function<256> {
        self.bus.get_mut(bdf(2, 0)).unwrap()
    }
}

fn memory(start: u64, size: u64) -> Option<BarRange> {
    BarRange::new(BarSpace::Memory, start, size)
}

fn steps(old: BarMap, new: BarMap) -> Vec<BarStep> {
    old.steps_to(&new).collect()
}

fn byte(space: &mut impl ConfigSpace, offset: u16) -> u32 {
    space.config_read(ConfigAccess::new(offset, Width::Byte).unwrap())
}

fn set_byte(space: &mut impl ConfigSpace, offset: u16, value: u8) -> Effects {
    space.config_write(ConfigAccess::new(offset, Width::Byte).unwrap(), value.into())
}

fn set_dword(space: &mut impl ConfigSpace, offset: u16, value: u32) -> Effects {
    space.config_write(ConfigAccess::new(offset, Width::Dword).unwrap(), value)
}

#[test]
fn v01_a_dword_reads_the_ids() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    assert_eq!(m.inl(CFC), 0x1912_8086);
}

#[test]
fn v02_narrow_reads_take_their_lanes() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    assert_eq!((m.inw(CFE), m.inb(CFD)), (0x1912, 0x80));
}

#[test]
fn v03_without_the_enable_bit_nobody_answers() {
    let mut m = machine();
    let _ = m.outl(CF8, 0x0000_1000);
    assert_eq!(m.inl(CFC), 0xffff_ffff);
}

#[test]
fn v04_an_absent_function_reads_ones_and_takes_no_write() {
    let mut m = machine();
    let _ = m.outl(CF8, 0x8000_1800);
    assert_eq!(m.inl(CFC), 0xffff_ffff);
    let done = m.outl(CFC, 0);
    assert_eq!((done.function, done.effects), (None, Effects::empty()));
}

#[test]
fn v05_a_byte_does_not_change_the_address() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    let _ = m.outb(CF8, 0x04);
    assert_eq!(m.inl(CFC), 0x1912_8086);
}

#[test]
fn v06_a_word_does_not_change_the_address() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    let _ = m.outw(CF8 + 2, 0);
    assert_eq!(m.inl(CFC), 0x1912_8086);
}

#[test]
fn v07_low_bits_of_the_address_do_not_exist() {
    let mut m = machine();
    let _ = m.outl(CF8, a(2));
    assert_eq!((m.inl(CFC), m.inl(CF8)), (0x1912_8086, 0x8000_1000));
}

#[test]
fn v08_reset_control_asks_for_a_reset() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    let done = m.outb(CF8 + 1, 0x06);
    assert_eq!((done.function, done.effects), (None, Effects::SYSTEM_RESET));
    assert_eq!(m.inl(CF8), a(0));
}

#[test]
fn v09_functions_do_not_alias() {
    let mut m = machine();
    let _ = m.outl(CF8, 0x8000_1100);
    assert_eq!(m.inl(CFC), 0xffff_ffff);
    let _ = m.outl(CF8, 0x8000_1104);
    assert_eq!(m.outl(CFC, 0xffff_ffff).function, None);
    assert_eq!(m.get(4) & 0xffff, 0);
}

#[test]
fn v10_a_word_at_the_last_port_has_one_lane() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0));
    assert_eq!(m.inw(CFF), 0xff19);
}

#[test]
fn v11_the_command_register_has_five_bits() {
    let mut m = machine();
    let _ = m.outl(CF8, a(4));
    let _ = m.outw(CFC, 0xffff);
    assert_eq!(m.inw(CFC), 0x0507);
}

#[test]
fn v12_a_status_bit_is_cleared_by_writing_one() {
    let mut m = machine();
    m.display().registers_mut().set_now(0x06, &[0x10, 0x20]);
    let _ = m.outl(CF8, a(4));
    assert_eq!(m.inw(CFE), 0x2010);
    let _ = m.outw(CFE, 0x0000);
    assert_eq!(m.inw(CFE), 0x2010, "a zero clears nothing");
    let _ = m.outw(CFE, 0x2000);
    assert_eq!(m.inw(CFE), 0x0010);
}

#[test]
fn v13_the_capability_bit_is_read_only() {
    let mut m = machine();
    let _ = m.outl(CF8, a(4));
    let _ = m.outw(CFE, 0x0010);
    assert_eq!(m.inw(CFE), 0x0010);
    let _ = m.outw(CFE, 0x0000);
    assert_eq!(m.inw(CFE), 0x0010);
}

#[test]
fn v14_the_ids_are_read_only() {
    let mut m = machine();
    for value in [0xffff_ffff, 0] {
        assert_eq!(m.set(0, value), Effects::empty());
        assert_eq!(m.get(0), 0x1912_8086);
    }
}

#[test]
fn v15_the_line_is_scratch_and_the_pin_is_fixed() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0x3c));
    let _ = m.outw(CFC, 0xff0b);
    assert_eq!(m.inw(CFC), 0x010b);
}

#[test]
fn v16_only_the_cache_line_size_of_its_dword_is_writable() {
    let mut m = machine();
    let _ = m.set(0x0c, 0xffff_ffff);
    assert_eq!(m.get(0x0c), 0x0000_00ff);
}

#[test]
fn v17_a_64_bit_bar_shows_its_size_in_two_halves() {
    let mut m = machine();
    let _ = m.set(0x10, 0xffff_ffff);
    assert_eq!(m.get(0x10), 0xff00_0004);
    let _ = m.set(0x14, 0xffff_ffff);
    assert_eq!(m.get(0x14), 0xffff_ffff);
}

#[test]
fn v18_a_masked_probe_is_an_ordinary_write() {
    let mut m = machine();
    let _ = m.set(0x10, 0xffff_fff0);
    assert_eq!(m.get(0x10), 0xff00_0004);
}

#[test]
fn v19_a_prefetchable_64_bit_bar_shows_its_flags() {
    let mut m = machine();
    let _ = m.set(0x18, 0xffff_ffff);
    let _ = m.set(0x1c, 0xffff_ffff);
    assert_eq!((m.get(0x18), m.get(0x1c)), (0xf000_000c, 0xffff_ffff));
}

#[test]
fn v20_an_io_bar_has_32_bits_and_no_bar_none() {
    let mut m = machine();
    let _ = m.set(0x20, 0xffff_ffff);
    let _ = m.set(0x24, 0xffff_ffff);
    assert_eq!((m.get(0x20), m.get(0x24)), (0xffff_ffc1, 0));
}

#[test]
fn v21_a_rom_keeps_its_enable_bit() {
    let mut m = machine();
    for (value, read) in [
        (0xffff_f800, 0xfffe_0000),
        (0xffff_ffff, 0xfffe_0001),
        (0x0000_0001, 0x0000_0001),
    ] {
        let _ = m.set(0x30, value);
        assert_eq!(m.get(0x30), read, "{value:08x}");
    }
}

#[test]
fn v22_a_bar_is_writable_by_byte() {
    let mut m = machine();
    let _ = m.set(0x10, 0);
    let _ = m.outb(CFF, 0xe0);
    assert_eq!(m.inl(CFC), 0xe000_0004);
}

#[test]
fn v23_an_address_alone_maps_nothing() {
    let mut m = machine();
    assert_eq!(m.set(0x10, 0xe000_0000), Effects::empty());
    assert_eq!(m.map(), BarMap::EMPTY);
}

#[test]
fn v24_memory_enable_maps() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe000_0000);
    assert_eq!(m.command(0x0002), Effects::BAR_MAP);
    let range = memory(MEM0, 0x100_0000).unwrap();
    assert_eq!(steps(BarMap::EMPTY, m.map()), [BarStep::Map { bar: 0, range }]);
}

#[test]
fn v25_a_move_is_an_unmap_and_a_map() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe000_0000);
    let _ = m.command(0x0002);
    let old = m.map();
    assert_eq!(m.set(0x10, 0xe100_0000), Effects::BAR_MAP);
    let range = |start| memory(start, 0x100_0000).unwrap();
    assert_eq!(
        steps(old, m.map()),
        [
            BarStep::Unmap {
                bar: 0,
                range: range(MEM0)
            },
            BarStep::Map {
                bar: 0,
                range: range(0xe100_0000)
            },
        ]
    );
}

#[test]
fn v26_the_upper_half_moves_too() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe100_0000);
    let _ = m.command(0x0002);
    assert_eq!(m.set(0x14, 1), Effects::BAR_MAP);
    assert_eq!(m.map().get(0), memory(0x1_e100_0000, 0x100_0000));
}

#[test]
fn v27_clearing_memory_enable_unmaps() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe100_0000);
    let _ = m.command(0x0002);
    assert_eq!(m.command(0), Effects::BAR_MAP);
    assert_eq!(m.map(), BarMap::EMPTY);
}

#[test]
fn v28_address_0_is_not_decoded() {
    let mut m = machine();
    assert_eq!(m.command(0x0002), Effects::empty());
    let _ = m.set(0x10, 0);
    let _ = m.set(0x14, 0);
    assert_eq!(m.map(), BarMap::EMPTY);
}

#[test]
fn v29_the_end_of_the_32_bit_space_is_not_decoded() {
    let identity = Identity {
        vendor: 0x1234,
        device: 1,
        ..Identity::default()
    };
    let function = FunctionBuilder::new(identity)
        .bar(0, bar(BarKind::Memory32 { prefetchable: false }, 0x1000))
        .unwrap()
        .build()
        .unwrap();
    let mut m = Machine::with(Rules::Specification, [(bdf(2, 0), function)]);
    let _ = m.set(0x10, 0xffff_f000);
    assert_eq!(m.command(0x0002), Effects::empty());
    assert_eq!(m.map(), BarMap::EMPTY);
    let _ = m.set(0x10, 0xffff_e000);
    assert_eq!(m.map().get(0), memory(0xffff_e000, 0x1000));
}

#[test]
fn v30_io_enable_maps_ports() {
    let mut m = machine();
    let _ = m.command(0x0001);
    assert_eq!(m.set(0x20, 0x0000_c001), Effects::BAR_MAP);
    assert_eq!(m.map().get(4), BarRange::new(BarSpace::Io, 0xc000, 0x40));
    assert_eq!(m.get(0x20), 0x0000_c001);
}

#[test]
fn v31_ports_move_without_memory_enable() {
    let mut m = machine();
    let _ = m.command(0x0001);
    let _ = m.set(0x20, 0xc001);
    assert_eq!(m.set(0x20, 0xd001), Effects::BAR_MAP);
    assert_eq!(m.map().get(4), BarRange::new(BarSpace::Io, 0xd000, 0x40));
}

#[test]
fn v32_a_rom_needs_both_enable_bits() {
    let mut m = machine();
    assert_eq!(m.set(0x30, 0xe200_0001), Effects::empty());
    assert_eq!(m.command(0x0002), Effects::BAR_MAP);
    assert_eq!(m.map().get(6), memory(0xe200_0000, 0x2_0000));
    assert_eq!(m.set(0x30, 0xe200_0000), Effects::BAR_MAP);
    assert_eq!(m.map(), BarMap::EMPTY);
}

#[test]
fn v33_the_capability_list_is_in_order() {
    let mut m = machine();
    let mut found = Vec::new();
    let mut next = m.get(0x34) & 0xfc;
    while next != 0 {
        found.push(next);
        next = m.get(next) >> 8 & 0xfc;
    }
    assert_eq!(found, [0x40, 0x70, 0xac, 0xd0]);
}

#[test]
fn v34_enabled_msi_vectors_are_limited_to_those_there_are() {
    let mut m = machine();
    let _ = m.outl(CF8, a(0xac));
    let _ = m.outw(CFE, 0x0071);
    assert_eq!(m.inw(CFE), 0x0081);
}

#[test]
fn v35_a_message_address_is_a_multiple_of_4() {
    let mut m = machine();
    let _ = m.set(0xb0, 0xfee0_0003);
    assert_eq!(m.get(0xb0), 0xfee0_0000);
}

#[test]
fn v36_message_data_has_16_bits() {
    let mut m = machine();
    let _ = m.set(0xb8, 0xffff_4123);
    assert_eq!(m.get(0xb8), 0x0000_4123);
}

#[test]
fn v37_enabling_msi_silences_intx() {
    let mut m = machine();
    assert_eq!(m.display().set_intx(true), Effects::INTX);
    assert!(m.display().intx_level());
    let _ = m.outl(CF8, a(0xac));
    assert_eq!(m.outw(CFE, 0x0001).effects, Effects::MSI | Effects::INTX);
    assert!(!m.display().intx_level());
    assert!(m.display().msi().unwrap().enabled);
    assert_eq!(m.outw(CFE, 0x0000).effects, Effects::MSI | Effects::INTX);
    assert!(m.display().intx_level());
}

#[test]
fn v38_d3hot_unmaps_and_d0_maps_again() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe000_0000);
    let _ = m.command(0x0002);
    let mapped = m.map();
    let _ = m.outl(CF8, a(0xd4));
    assert_eq!(m.outw(CFC, 0x0003).effects, Effects::BAR_MAP | Effects::POWER);
    assert_eq!((m.map(), m.display().power_state()), (BarMap::EMPTY, PowerState::D3Hot));
    assert_eq!(m.outw(CFC, 0x0000).effects, Effects::BAR_MAP | Effects::POWER);
    assert_eq!((m.map(), m.display().power_state()), (mapped, PowerState::D0));
}

#[test]
fn v38_leaving_d3hot_without_protection_resets() {
    let power = PowerManagement::default();
    let identity = Identity {
        vendor: 0x8086,
        ..Identity::default()
    };
    let function = FunctionBuilder::new(identity)
        .bar(0, bar(BarKind::Memory32 { prefetchable: false }, 0x1000))
        .and_then(|f| f.capability_at(0xd0, Capability::PowerManagement(power)))
        .and_then(FunctionBuilder::build)
        .unwrap();
    let mut m = Machine::with(Rules::Specification, [(bdf(2, 0), function)]);
    let _ = m.set(0x10, 0xe000_0000);
    let _ = m.command(0x0006);
    let _ = m.set(0xd4, 3);
    let effects = m.set(0xd4, 0);
    assert_eq!(effects, Effects::POWER | Effects::FUNCTION_RESET | Effects::BUS_MASTER);
    assert_eq!((m.get(0x10), m.get(4) & 0xffff), (0, 0));
}

#[test]
fn v39_function_level_reset() {
    let mut m = machine();
    let _ = m.set(0x10, 0xe000_0000);
    let _ = m.command(0x0002);
    let _ = m.outl(CF8, a(0x78));
    let done = m.outw(CFC, 0x8000);
    assert_eq!(done.effects, Effects::FUNCTION_RESET | Effects::BAR_MAP);
    assert_eq!(done.function, Some(bdf(2, 0)));
    assert_eq!(m.inw(CFC), 0);
    assert_eq!((m.get(0x10), m.get(4) & 0xffff), (4, 0));
}

fn express_bus() -> Bus<Function<4096>, 4> {
    let mut bus = Bus::new(0);
    bus.insert(bdf(2, 0), display(Rules::Specification).build().unwrap())
        .unwrap();
    bus
}

#[test]
fn v40_the_memory_mapped_window_reaches_the_function() {
    let mut bus = express_bus();
    let ecam = Ecam::new(Rules::Specification);
    let mut dword = [0; 4];
    ecam.read(0x1_0000, &mut dword, &mut bus);
    assert_eq!(u32::from_le_bytes(dword), 0x1912_8086);
    let mut class = [0; 1];
    ecam.read(0x1_000b, &mut class, &mut bus);
    assert_eq!(class, [0x03]);
    ecam.read(0x1_8000, &mut dword, &mut bus);
    assert_eq!(dword, [0xff; 4]);
}

#[test]
fn v41_a_conventional_function_ends_at_100() {
    let mut bus = machine().bus;
    let ecam = Ecam::new(Rules::Specification);
    let before = bus.get(bdf(2, 0)).unwrap().registers().clone();
    let done = ecam.write(0x1_0100, &[0; 4], &mut bus);
    assert_eq!((done.function, done.effects), (None, Effects::empty()));
    let mut dword = [0; 4];
    ecam.read(0x1_0100, &mut dword, &mut bus);
    assert_eq!(dword, [0xff; 4]);
    assert_eq!(*bus.get(bdf(2, 0)).unwrap().registers(), before);
}

fn msix_machine() -> Machine<Function<256>> {
    let msix = Msix::new(8, (0, 0), (0, 0x800)).unwrap();
    let identity = Identity {
        vendor: 0x8086,
        ..Identity::default()
    };
    let function = FunctionBuilder::new(identity)
        .capability(Capability::Msix(msix))
        .and_then(FunctionBuilder::build)
        .unwrap();
    Machine::with(Rules::Specification, [(bdf(2, 0), function)])
}

#[test]
fn v42_msix_control_has_two_writable_bits() {
    let mut m = msix_machine();
    let _ = m.outl(CF8, a(0x40));
    assert_eq!(m.inw(CFE), 0x0007);
    assert_eq!(m.outw(CFE, 0xffff).effects, Effects::MSIX);
    assert_eq!(m.inw(CFE), 0xc007);
}

#[test]
fn v43_msix_control_is_reached_at_every_width() {
    let mut m = msix_machine();
    assert_eq!(m.set(0x40, 0xc007_0011), Effects::MSIX);
    let control = m.display().msix().unwrap();
    assert!(control.enabled && control.function_mask && control.vectors == 8);
    let mut m = msix_machine();
    let _ = m.outl(CF8, a(0x40));
    assert_eq!(m.outb(CFF, 0xc0).effects, Effects::MSIX);
    assert_eq!(m.display().msix(), Some(control));
}

#[test]
fn v44_a_masked_vector_waits_in_the_pending_bits() {
    let mut m = msix_machine();
    let mut table = MsixTable::<8>::new();
    let _ = m.set(0x40, 0x8000_0000);
    let control = m.display().msix().unwrap();
    let mut entry = [0; 4];
    table.read(0xc, &mut entry);
    assert_eq!(entry, [1, 0, 0, 0]);
    table.write(0, &0xfee0_0000_u32.to_le_bytes());
    table.write(8, &0x31_u32.to_le_bytes());
    assert_eq!(table.fire(0, control), MsixDelivery::Held);
    let mut pending = [0; 8];
    table.read_pending(0, &mut pending);
    assert_eq!(pending, [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(table.take_pending(control), None);
    table.write(0xc, &[0; 4]);
    let message = table.take_pending(control).unwrap();
    assert_eq!((message.address, message.data), (0xfee0_0000, 0x31));
    table.read_pending(0, &mut pending);
    assert_eq!(pending, [0; 8]);
}

#[test]
fn v45_table_accesses_of_odd_sizes_are_harmless() {
    let mut table = MsixTable::<8>::new();
    let before = table.clone();
    for len in [1, 2, 3] {
        for offset in [0, 1, 0xc, 8 * 16 - 4, 8 * 16] {
            table.write(offset, &[0; 4][..len]);
            let mut data = [0; 4];
            table.read(offset, &mut data[..len]);
            assert!(data[..len].iter().all(|b| *b == 0xff));
        }
    }
    table.write(8 * 16, &[0; 4]);
    assert_eq!(table, before);
    assert_eq!(table.vector(8), None);
}

#[test]
fn v46_pam_opens_segments() {
    let mut bridge = I440Fx::new((0x1af4, 0x1100), 128 << 20, Rules::Specification).unwrap();
    assert_eq!(set_byte(&mut bridge, 0x5a, 0x33), Effects::PAM);
    assert_eq!(set_byte(&mut bridge, 0x59, 0x10), Effects::PAM);
    let pam = bridge.pam();
    let attribute = |reads_ram, writes_ram| Some(PamAttribute { reads_ram, writes_ram });
    for addr in [0xc_0000, 0xc_3fff, 0xc_4000, 0xc_7fff] {
        assert_eq!(pam.attribute_at(addr), attribute(true, true));
    }
    assert_eq!(pam.attribute_at(0xc_8000), attribute(false, false));
    assert_eq!(pam.attribute_at(0xe_ffff), attribute(false, false));
    for addr in [0xf_0000, 0xf_ffff] {
        assert_eq!(pam.attribute_at(addr), attribute(true, false));
    }
}

#[test]
fn v47_firmware_writes_pam_back_as_dwords() {
    let bridge = I440Fx::new((0x1af4, 0x1100), 128 << 20, Rules::Specification).unwrap();
    let mut m = Machine::with(Rules::Specification, [(bdf(0, 0), bridge)]);
    let _ = m.outl(CF8, 0x8000_0058);
    let low = m.inl(CFC);
    let _ = m.outl(CFC, low & 0xff | 0x3333_3000);
    let _ = m.outl(CF8, 0x8000_005c);
    let high = m.inl(CFC);
    assert_eq!((low, high), (0, 0));
    let _ = m.outl(CFC, 0x3333_3333);
    let bridge = m.bus.get_mut(bdf(0, 0)).unwrap();
    assert!(
        bridge
            .pam()
            .segments()
            .all(|s| s.attribute.reads_ram && s.attribute.writes_ram)
    );
    assert_eq!(byte(bridge, 0x58), 0);
}

fn q35() -> Q35 {
    Q35::new((0x1af4, 0x1100), 0, Rules::Specification).unwrap()
}

#[test]
fn v48_pciexbar_opens_the_window() {
    let mut bridge = q35();
    assert_eq!(set_dword(&mut bridge, 0x60, 0), Effects::empty());
    assert_eq!(set_dword(&mut bridge, 0x64, 0), Effects::empty());
    assert_eq!(set_dword(&mut bridge, 0x60, 0xb000_0001), Effects::ECAM);
    let window = bridge.ecam().unwrap();
    assert_eq!((window.base, window.size), (0xb000_0000, 256 << 20));
}

#[test]
fn v48_smaller_windows_have_more_address_bits() {
    for (rules, length, base, size) in [
        (Rules::Specification, 0, 0xe000_0000, 256 << 20),
        (Rules::Specification, 1, 0xe800_0000, 128 << 20),
        (Rules::Specification, 2, 0xec00_0000, 64 << 20),
        (Rules::Qemu7, 0, 0xe000_0000, 256 << 20),
        (Rules::Qemu7, 1, 0xe600_0000, 128 << 20),
        (Rules::Qemu11, 2, 0xe200_0000, 64 << 20),
    ] {
        let mut bridge = Q35::new((0x1af4, 0x1100), 0, rules).unwrap();
        let _ = set_dword(&mut bridge, 0x60, 0xefff_fff1 | length << 1);
        let window = bridge.ecam().unwrap();
        assert_eq!((window.base, window.size), (base, size), "{rules:?} {length}");
        let state = bridge.state();
        assert_eq!(bridge.restore(&state), Ok(Effects::empty()));
    }
}

#[test]
fn v49_a_reserved_length_leaves_the_window() {
    let mut bridge = q35();
    let _ = set_dword(&mut bridge, 0x60, 0xb000_0001);
    let window = bridge.ecam();
    assert_eq!(set_dword(&mut bridge, 0x60, 0xb000_0007), Effects::empty());
    assert_eq!(bridge.ecam(), window);
    assert!(window.is_some());
}

#[test]
fn v50_the_smram_lock_closes_and_holds() {
    let mut bridge = q35();
    assert_eq!(set_byte(&mut bridge, 0x9d, 0x5a), Effects::SMRAM);
    assert_eq!(byte(&mut bridge, 0x9d), 0x1a);
    assert_eq!(set_byte(&mut bridge, 0x9d, 0x00), Effects::empty());
    assert_eq!(byte(&mut bridge, 0x9d), 0x1a);
}

#[test]
fn v51_piix3_routes_inta_of_the_display() {
    let mut bridge = Piix3::new((0x1af4, 0x1100), Rules::Specification).unwrap();
    assert_eq!(set_byte(&mut bridge, 0x61, 0x0b), Effects::PIRQ);
    assert_eq!(bridge.route(Piix3::line(2, 1)), PirqRoute::Isa(11));
    assert_eq!(set_byte(&mut bridge, 0x61, 0x80), Effects::PIRQ);
    assert_eq!(bridge.route(Piix3::line(2, 1)), PirqRoute::Disconnected);
    let _ = set_byte(&mut bridge, 0x61, 0xff);
    assert_eq!(byte(&mut bridge, 0x61), 0x8f, "6:4 are reserved");
}

#[test]
fn v52_ich9_routes_inta_of_the_display() {
    let mut bridge = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
    let line = Ich9::line(2, 1);
    let _ = set_byte(&mut bridge, 0x6a, 0x80);
    assert_eq!((bridge.route(line), Ich9::gsi(line)), (PirqRoute::Disconnected, 22));
    let _ = set_byte(&mut bridge, 0x6a, 0x0a);
    assert_eq!(bridge.route(line), PirqRoute::Isa(10));
}

#[test]
fn v57_the_multi_function_bit_is_that_of_the_slot() {
    let mut m = machine();
    let other = m.display().clone();
    let header = |m: &mut Machine<Function<256>>| {
        let _ = m.outl(CF8, a(0x0c));
        m.inb(CFE)
    };
    assert_eq!(header(&mut m), 0x00);
    m.bus.insert(bdf(2, 1), other).unwrap();
    assert_eq!(header(&mut m), 0x80);
    assert!(m.bus.remove(bdf(2, 1)).is_some());
    assert_eq!(header(&mut m), 0x00);
}

#[test]
fn v58_broken_capability_lists_end() {
    for (first, next) in [(0x40, 0x40), (0x40, 0xff), (0x40, 0x03), (0xff, 0), (0x03, 0)] {
        let mut image = [0; 256];
        image[0x06] = 0x10;
        image[0x34] = first;
        image[0x40] = 0x05;
        image[0x41] = next;
        let function = FunctionBuilder::from_image(&image).build().unwrap();
        assert!(capabilities(function.registers().bytes()).count() <= 1);
    }
}

#[test]
fn v59_a_half_written_bar_survives_saving() {
    let mut m = machine();
    let _ = m.command(0x0002);
    let _ = m.set(0x10, 0xe000_0000);
    let state = m.display().state();
    let mut restored = machine();
    assert_eq!(restored.display().restore(&state), Ok(Effects::BAR_MAP));
    assert_eq!(restored.map(), m.map());
    assert_eq!(restored.display().registers().bytes(), m.display().registers().bytes());
    for (register, value) in [(0x14, 1), (0x10, 0xe100_0000), (0x04, 0), (0x14, 0), (0x04, 2)] {
        assert_eq!(m.set(register, value), restored.set(register, value));
        assert_eq!(m.map(), restored.map());
    }
}
