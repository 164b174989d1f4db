// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `igd-vmm run`.

use std::io::BufWriter;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use igd_quirks::plan::RomPlan;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::signal::register_signal_handler;

use super::args::{Dump, RunArgs};
use super::{FAILED, Failure, GUEST, LOST, files, source, status};
use crate::machine::{End, Hypervisor, Machine, Outcome};
use crate::trace::TraceWriter;
use crate::{fault, probe};

/// Most of an expansion ROM.
const ROM: u64 = 16 << 20;
/// Most of guest memory that is written to one file.
const DUMP: u64 = 1 << 30;

static STOP: OnceLock<EventFd> = OnceLock::new();

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    if let Some(stop) = STOP.get() {
        // Writing to an eventfd is safe in a handler; one that is full has been written to.
        let _ = stop.write(1);
    }
}

/// Runs a machine to its end.
pub(super) fn run(args: &RunArgs) -> Result<u8, Failure> {
    let stop = stop_on_signals()?;
    fault::install().map_err(Failure::failed)?;
    let hypervisor = Hypervisor::new().map_err(Failure::failed)?;
    let device = source::open(&args.device, Some(hypervisor.vm()))?;
    let mut options = source::machine(&args.machine, args.cpus, true)?;
    let facts = probe::probe(&*device, options.facts(&*device)).map_err(Failure::failed)?;
    let plan = source::decide(&facts, &args.device, &args.policy).map_err(|refusals| source::refused(&refusals))?;
    for step in &plan.steps {
        log::info!("{}: {}", step.kind, step.action);
    }
    for warning in &plan.warnings {
        log::warn!("{} {}", warning.fact, warning.remedy);
    }
    let romfile = match &plan.rom {
        RomPlan::File(name) => Some(files::read(Path::new(name), ROM)?),
        _ => None,
    };
    options.serial = files::output(&args.serial)?;
    options.debug_console = files::output(&args.debugcon)?;
    let mut machine = Machine::new(hypervisor, options, &plan, &facts, device, romfile).map_err(Failure::failed)?;
    if let Some(path) = &args.trace {
        let file = BufWriter::with_capacity(1 << 18, files::create(path)?);
        let trace = TraceWriter::new(
            file,
            &machine.inventory(),
            args.machine.machine.into(),
            machine.ram().clone(),
        );
        machine.observe(Box::new(trace));
    }
    let limit = args.exit_after.map(Duration::from_secs);
    let outcome = machine.run(stop, limit).map_err(Failure::failed)?;
    finish(args, &outcome)
}

/// An eventfd that becomes readable on an interrupt from the terminal or a request to end.
fn stop_on_signals() -> Result<&'static EventFd, Failure> {
    if STOP.get().is_none() {
        let stop = EventFd::new(EFD_NONBLOCK).map_err(Failure::failed)?;
        // Another thread may have been first, with one that serves as well.
        let _ = STOP.set(stop);
    }
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        register_signal_handler(signal, on_signal).map_err(Failure::failed)?;
    }
    STOP.get().ok_or_else(|| Failure::Failed("no eventfd".to_owned()))
}

fn finish(args: &RunArgs, outcome: &Outcome) -> Result<u8, Failure> {
    for dump in &args.dump_memory {
        write_dump(dump, outcome)?;
    }
    if let Some(path) = &args.status {
        let text = serde_json::to_string_pretty(&status::to_json(outcome)).map_err(Failure::failed)?;
        files::write(path, (text + "\n").as_bytes())?;
    }
    if fault::count() > 0 {
        log::warn!("{} faults on memory of the device were survived", fault::count());
    }
    Ok(match &outcome.end {
        End::PowerOff | End::Stopped | End::TimedOut => 0,
        End::Exit(value) => GUEST | value & 0x3f,
        End::DeviceLost(device) => {
            eprintln!("igd-vmm: {device} is gone; the guest was ended");
            LOST
        }
        End::Failed(reason) => {
            eprintln!("igd-vmm: {reason}");
            FAILED
        }
    })
}

fn write_dump(dump: &Dump, outcome: &Outcome) -> Result<(), Failure> {
    let Some(address) = dump.address.or(outcome.status.asls.map(u64::from)) else {
        return Err(Failure::Failed(format!(
            "{}: the device has no OpRegion of its own to dump",
            dump.file.display()
        )));
    };
    if dump.len > DUMP {
        return Err(Failure::Failed(format!(
            "{:#x} bytes of guest memory: at most {DUMP:#x}",
            dump.len
        )));
    }
    let mut bytes = vec![0; usize::try_from(dump.len).map_err(Failure::failed)?];
    let read = outcome.ram.memory().read_slice(&mut bytes, GuestAddress(address));
    read.map_err(|_| Failure::Failed(format!("{:#x} bytes at {address:#x} are not in guest RAM", dump.len)))?;
    files::write(&dump.file, &bytes)
}
