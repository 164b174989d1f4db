// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Configuration space: on the function, through both mechanisms, and writes that move BARs.

use std::hint::black_box;

use lpc_bridge::{Identity as Bridge, Overlay, Pch};
use pci_model::{
    Bar, BarKind, BarMap, BarStep, Bdf, Bus, Capability, ConfigAccess, ConfigMechanism, ConfigSpace, Ecam, Effects,
    Express, ExpressKind, Function, FunctionBuilder, Identity, Msi, PortEffects, PowerManagement, ResetControl, Rules,
    Width,
};

use super::Case;

const IDS: u32 = 0x1912_8086;
const COMMAND: u16 = 0x04;
const BAR0: u16 = 0x10;
const INTERRUPT_LINE: u16 = 0x3c;

pub(super) fn cases() -> Vec<Case> {
    vec![
        read(),
        write(),
        overlay(),
        ports("ports/read-4", 4),
        ports("ports/read-256", 256),
        ports_write(),
        ecam(),
        ecam_write(),
        decode(),
        bar_move(),
    ]
}

type PortBus = Bus<Function<256>, 256>;
type EcamBus = Bus<Function<4096>, 32>;

fn access(offset: u16, width: Width) -> ConfigAccess {
    ConfigAccess::new(offset, width).unwrap()
}

/// A display function with two memory BARs, MSI, PCI Express and power management.
fn display<const N: usize>() -> Function<N> {
    let identity = Identity {
        vendor: 0x8086,
        device: 0x1912,
        class: 0x03_0000,
        interrupt_pin: 1,
        ..Identity::default()
    };
    let express = Express {
        kind: ExpressKind::RootComplexIntegratedEndpoint,
        device_capabilities: 1 << 28,
        device_capabilities_2: 0,
    };
    let memory = |prefetchable, size| Bar::new(BarKind::Memory64 { prefetchable }, size).unwrap();
    let mut function = FunctionBuilder::new(identity)
        .bar(0, memory(false, 16 << 20))
        .and_then(|f| f.bar(2, memory(true, 256 << 20)))
        .and_then(|f| f.capability(Capability::Express(express)))
        .and_then(|f| f.capability(Capability::Msi(Msi::new(1, true, false).unwrap())))
        .and_then(|f| f.capability(Capability::PowerManagement(PowerManagement::default())))
        .and_then(FunctionBuilder::build)
        .unwrap();
    let _ = function.config_write(access(BAR0, Width::Dword), 0xe000_0000);
    let _ = function.config_write(access(0x18, Width::Dword), 0xd000_0000);
    let _ = function.config_write(access(COMMAND, Width::Word), 0x0006);
    function
}

/// A bus with its first `functions` places taken; the last of them is asked.
fn bus<const N: usize, const SLOTS: usize>(functions: u16) -> (Box<Bus<Function<N>, SLOTS>>, Bdf) {
    let mut bus = Box::new(Bus::new(0));
    for devfn in 0..functions {
        bus.insert(Bdf::from_bits(devfn), display()).unwrap();
    }
    (bus, Bdf::from_bits(functions - 1))
}

/// What is counted, as a VMM calls it.
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn read(function: &mut Function<256>, at: ConfigAccess) -> u32 {
        function.config_read(at)
    }

    #[inline(never)]
    pub(super) fn write(function: &mut Function<256>, at: ConfigAccess, value: u32) -> Effects {
        function.config_write(at, value)
    }

    #[inline(never)]
    pub(super) fn overlay_read(function: &mut Function<256>, overlay: &Overlay, at: ConfigAccess) -> u32 {
        overlay.merge(at, function.config_read(at))
    }

    #[inline(never)]
    pub(super) fn port_read(ports: &mut ConfigMechanism, offset: u16, data: &mut [u8], bus: &mut PortBus) {
        ports.port_read(offset, data, bus);
    }

    #[inline(never)]
    pub(super) fn port_write(ports: &mut ConfigMechanism, offset: u16, data: &[u8], bus: &mut PortBus) -> PortEffects {
        ports.port_write(offset, data, bus)
    }

    #[inline(never)]
    pub(super) fn ecam_read(ecam: Ecam, offset: u64, data: &mut [u8], bus: &mut EcamBus) {
        ecam.read(offset, data, bus);
    }

    #[inline(never)]
    pub(super) fn ecam_write(ecam: Ecam, offset: u64, data: &[u8], bus: &mut EcamBus) -> PortEffects {
        ecam.write(offset, data, bus)
    }

    /// A write and what follows from it: each step from the applied map to the new one.
    #[inline(never)]
    pub(super) fn follow(function: &mut Function<256>, applied: &mut BarMap, at: ConfigAccess, value: u32) -> u64 {
        let mut taken = 0;
        let effects = function.config_write(at, value);
        if effects.contains(Effects::BAR_MAP) {
            let now = function.bar_map();
            for step in applied.steps_to(&now) {
                taken += match step {
                    BarStep::Unmap { range, .. } => range.start(),
                    BarStep::Map { range, .. } => range.last(),
                };
            }
            *applied = now;
        }
        taken
    }
}

fn read() -> Case {
    let mut function = display();
    let at = access(0, Width::Dword);
    assert_eq!(counted::read(&mut function, at), IDS);
    Case::new("config/read", move || {
        black_box(counted::read(&mut function, black_box(at)));
    })
}

/// Bytes without consequences.
fn write() -> Case {
    let mut function = display();
    let at = access(INTERRUPT_LINE, Width::Byte);
    assert!(counted::write(&mut function, at, 0x0a).is_empty());
    Case::new("config/write", move || {
        let _ = black_box(counted::write(&mut function, black_box(at), black_box(0x0b)));
    })
}

fn overlay() -> Case {
    let mut function = display();
    let overlay = Overlay::from(Bridge::from(Pch::LynxPointH));
    let at = access(0, Width::Dword);
    assert_eq!(counted::overlay_read(&mut function, &overlay, at), 0x8c4e_8086);
    Case::new("config/overlay-read", move || {
        black_box(counted::overlay_read(&mut function, &overlay, black_box(at)));
    })
}

/// An address, and the dword that it leads to.
fn ports(name: &'static str, functions: u16) -> Case {
    let (mut bus, bdf): (Box<PortBus>, _) = bus(functions);
    let mut ports = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
    let address = (0x8000_0000 | u32::from(bdf.to_bits()) << 8).to_le_bytes();
    let mut access = move || {
        let _ = counted::port_write(&mut ports, black_box(0), black_box(&address), &mut bus);
        let mut data = [0; 4];
        counted::port_read(&mut ports, black_box(4), black_box(&mut data), &mut bus);
        u32::from_le_bytes(data)
    };
    assert_eq!(access(), IDS);
    Case::new(name, move || {
        black_box(access());
    })
}

fn ports_write() -> Case {
    let (mut bus, bdf): (Box<PortBus>, _) = bus(4);
    let mut ports = ConfigMechanism::new(ResetControl::Piix3, Rules::Specification);
    let address = (0x8000_0000 | u32::from(bdf.to_bits()) << 8 | u32::from(INTERRUPT_LINE)).to_le_bytes();
    let mut access = move || {
        let _ = counted::port_write(&mut ports, black_box(0), black_box(&address), &mut bus);
        counted::port_write(&mut ports, black_box(4), black_box(&[0x0b]), &mut bus)
    };
    assert_eq!(access().function, Some(bdf));
    Case::new("ports/write", move || {
        let _ = black_box(access());
    })
}

fn ecam() -> Case {
    let (mut bus, bdf): (Box<EcamBus>, _) = bus(4);
    let ecam = Ecam::new(Rules::Specification);
    let offset = u64::from(bdf.to_bits()) << 12;
    let mut access = move || {
        let mut data = [0; 4];
        counted::ecam_read(black_box(ecam), black_box(offset), black_box(&mut data), &mut bus);
        u32::from_le_bytes(data)
    };
    assert_eq!(access(), IDS);
    Case::new("ecam/read", move || {
        black_box(access());
    })
}

fn ecam_write() -> Case {
    let (mut bus, bdf): (Box<EcamBus>, _) = bus(4);
    let ecam = Ecam::new(Rules::Specification);
    let offset = u64::from(bdf.to_bits()) << 12 | u64::from(INTERRUPT_LINE);
    let mut access = move || counted::ecam_write(black_box(ecam), black_box(offset), black_box(&[0x0b]), &mut bus);
    assert_eq!(access().function, Some(bdf));
    Case::new("ecam/write", move || {
        let _ = black_box(access());
    })
}

/// Writes two values in turn.
fn follow(name: &'static str, at: ConfigAccess, values: [u32; 2]) -> Case {
    let mut function = display();
    let mut applied = function.bar_map();
    let [mut next, mut then] = values;
    let mut write = move || {
        let taken = counted::follow(&mut function, &mut applied, black_box(at), black_box(next));
        (next, then) = (then, next);
        taken
    };
    assert!((0..4).all(|_| write() != 0));
    Case::new(name, move || {
        black_box(write());
    })
}

/// The command register turns the decoding of both BARs off and on.
fn decode() -> Case {
    follow("decode/toggle", access(COMMAND, Width::Word), [0x0004, 0x0006])
}

/// One of the BARs moves, while it is decoded.
fn bar_move() -> Case {
    follow("decode/move", access(BAR0, Width::Dword), [0xe100_0000, 0xe000_0000])
}
