// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the boards have in common: their small devices, and what they start with.

use std::io::{self, Write};

use fwcfg::FwCfg;
use igd_quirks::plan::Plan;
use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{BoardInfo, Boot, MachineError, Output};
use crate::boot::linux::{self, EntryState};
use crate::boot::{acpi, e820, fw_cfg};
use crate::devices::{
    AcpiPm, Cmos, DebugConsole, DebugExit, Device, HostClock, Keyboard, Port92, RootComplex, SerialPort,
};
use crate::irq::IrqRouter;
use crate::memory::GuestRam;

/// Input of the serial port.
const SERIAL_GSI: u32 = 4;

/// First port and number of ports of each window of a device.
type Windows = Vec<(u16, u16)>;

/// The small devices of a board.
pub(super) struct Devices {
    /// With the ports of each.
    pub(super) ports: Vec<(Box<dyn Device>, Windows)>,
    /// Index of the one whose ports the chipset opens.
    pub(super) acpi: usize,
    /// Index of the serial port, if there is one.
    pub(super) serial: Option<usize>,
    pub(super) rcba: Box<dyn Device>,
}

/// The devices of a board. The timer's port 61h and the interrupt controllers' 4D0h and 4D1h are KVM's.
pub(super) fn devices(
    board: &BoardInfo,
    serial: Output,
    debug_console: Output,
    irq: &IrqRouter,
) -> Result<Devices, MachineError> {
    let (pm, apm) = AcpiPm::new(HostClock::default());
    let mut ports: Vec<(Box<dyn Device>, Windows)> = vec![
        (Box::new(pm), vec![]),
        (Box::new(apm), vec![(0xb2, 2)]),
        (Box::new(Cmos::new(board, HostClock::default())), vec![(0x70, 2)]),
        (Box::new(Keyboard::default()), vec![(0x60, 1), (0x64, 1)]),
        (Box::new(Port92), vec![(0x92, 1)]),
        (Box::new(DebugExit), vec![(0x501, 1)]),
    ];
    if let Some(writer) = writer(debug_console) {
        ports.push((Box::new(DebugConsole::new(writer)), vec![(0x402, 1)]));
    }
    let serial = writer(serial);
    let serial_at = serial.is_some().then_some(ports.len());
    if let Some(writer) = serial {
        let interrupt = EventFd::new(EFD_NONBLOCK).map_err(MachineError::host("an eventfd"))?;
        irq.connect(SERIAL_GSI, &interrupt)?;
        ports.push((Box::new(SerialPort::new(interrupt, writer)), vec![(0x3f8, 8)]));
    }
    Ok(Devices {
        ports,
        acpi: 0,
        serial: serial_at,
        rcba: Box::new(RootComplex::default()),
    })
}

fn writer(output: Output) -> Option<Box<dyn Write + Send>> {
    match output {
        Output::None => None,
        Output::Stdout => Some(Box::new(io::stdout())),
        Output::File(file) => Some(Box::new(file)),
    }
}

/// The fw_cfg device, and where the first processor starts if not at the reset vector.
pub(super) fn boot(
    board: &BoardInfo,
    plan: &Plan,
    boot: &Boot,
    ram: &GuestRam,
) -> Result<(FwCfg, Option<EntryState>), MachineError> {
    let map = e820::entries(&board.ram, &plan.memory.reserved);
    let tables = acpi::tables(board);
    let device = fw_cfg(board, &map, &tables, &plan.files).map_err(|error| MachineError::Boot(error.to_string()))?;
    let entry = match boot {
        Boot::Firmware { .. } => None,
        Boot::Linux { kernel, initrd, append } => {
            let loaded = linux::load(ram, kernel, initrd.as_deref(), append, &map, &tables);
            Some(loaded.map_err(|error| MachineError::Boot(error.to_string()))?)
        }
    };
    Ok((device, entry))
}

/// Puts a processor into flat 32-bit protected mode at a kernel's entry.
pub(super) fn enter(entry: &EntryState, regs: &mut kvm_regs, sregs: &mut kvm_sregs) {
    let segment = |selector, type_| kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    };
    sregs.cs = segment(entry.code, 0xb);
    let data = segment(entry.data, 0x3);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.gdt.base = entry.gdt;
    sregs.gdt.limit = entry.gdt_limit;
    sregs.cr0 |= 1;
    regs.rip = entry.rip;
    regs.rsi = entry.rsi;
    // Interrupts off; bit 1 is always set.
    regs.rflags = 2;
}
