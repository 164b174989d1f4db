// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `igd-vmm run`.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use igd_quirks::plan::RomPlan;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::signal::register_signal_handler;

use super::args::{Dump, RunArgs};
use super::terminal::Terminal;
use super::{FAILED, Failure, GUEST, files, source, status};
use crate::machine::{End, Hypervisor, Machine, Outcome};
use crate::trace::TraceWriter;
use crate::{fault, probe};

/// Most of an expansion ROM.
const ROM: u64 = 16 << 20;
/// How much of guest memory is copied to a file at once.
const PART: usize = 1 << 20;

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
    let _terminal = match machine.console() {
        Some(console) if args.serial == "stdio" => Some(Terminal::connect(console).map_err(Failure::failed)?),
        _ => None,
    };
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

/// Writes what was asked for, all of it that can be, and tells how the machine ended, which a file that cannot be
/// written does not hide.
fn finish(args: &RunArgs, outcome: &Outcome) -> Result<u8, Failure> {
    if fault::count() > 0 {
        log::warn!("{} faults on memory of the device were survived", fault::count());
    }
    let ended = match &outcome.end {
        End::PowerOff | End::Stopped | End::TimedOut => Ok(0),
        End::Exit(value) => Ok(GUEST | value & 0x3f),
        End::DeviceLost(device) => Err(Failure::Lost(format!("{device} is gone; the guest was ended"))),
        End::Failed(reason) => Err(Failure::Failed(reason.clone())),
    };
    let status = args.status.iter().map(|path| write_status(path, outcome));
    let dumps = args.dump_memory.iter().map(|dump| write_dump(dump, outcome));
    let mut is_written = true;
    for failure in status.chain(dumps).filter_map(Result::err) {
        eprintln!("igd-vmm: {}", failure.into_parts().1);
        is_written = false;
    }
    match ended {
        Ok(0) if !is_written => Ok(FAILED),
        ended => ended,
    }
}

fn write_status(path: &Path, outcome: &Outcome) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&status::to_json(outcome)).map_err(Failure::failed)?;
    files::write(path, (text + "\n").as_bytes())
}

fn write_dump(dump: &Dump, outcome: &Outcome) -> Result<(), Failure> {
    let Some(address) = dump.address.or(outcome.status.asls.map(u64::from)) else {
        return Err(Failure::Failed(format!(
            "{}: the device has no OpRegion of its own to dump",
            dump.file.display()
        )));
    };
    let memory = outcome.ram.memory();
    let is_in_ram = usize::try_from(dump.len).is_ok_and(|len| memory.check_range(GuestAddress(address), len));
    if !is_in_ram {
        return Err(Failure::Failed(format!(
            "{:#x} bytes at {address:#x} are not in guest RAM",
            dump.len
        )));
    }
    let mut file = files::create(&dump.file)?;
    let mut bytes = vec![0; PART];
    let mut done = 0;
    while done < dump.len {
        let part = usize::try_from(dump.len - done).map_or(PART, |left| left.min(PART));
        let bytes = bytes.get_mut(..part).unwrap_or_default();
        let at = GuestAddress(address.wrapping_add(done));
        memory.read_slice(bytes, at).map_err(Failure::failed)?;
        let written = file.write_all(bytes);
        written.map_err(|error| Failure::Failed(format!("{}: {error}", dump.file.display())))?;
        done = done.saturating_add(bytes.len() as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::LOST;
    use super::super::args::{Args, Command};
    use super::*;
    use crate::machine::Status;
    use crate::memory::GuestRam;
    use clap::Parser;
    use igd_quirks::facts::Extent;
    use std::fs;
    use vmm_sys_util::tempdir::TempDir;

    const ADDRESS: u64 = 0x3000;

    fn outcome(end: End) -> Outcome {
        let ram = GuestRam::new(&[Extent::new(0, 4 << 20)]).unwrap();
        ram.memory()
            .write_slice(b"IntelGraphicsMem", GuestAddress(ADDRESS))
            .unwrap();
        let status = Status {
            asls: Some(0x3000),
            ..Status::default()
        };
        Outcome { end, status, ram }
    }

    fn finished(end: End, dumps: &[&str]) -> (TempDir, u8) {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.as_path().join(name).display().to_string();
        let mut line = vec![
            "igd-vmm".to_owned(),
            "run".to_owned(),
            "--sim".to_owned(),
            "kbl".to_owned(),
        ];
        line.extend(["--status".to_owned(), path("status.json")]);
        for (index, dump) in dumps.iter().enumerate() {
            line.extend([
                "--dump-memory".to_owned(),
                format!("{dump},{}", path(&index.to_string())),
            ]);
        }
        let Command::Run(args) = Args::try_parse_from(line).unwrap().command else {
            panic!("not a run");
        };
        let code = finish(&args, &outcome(end)).unwrap_or_else(|failure| failure.into_parts().0);
        (folder, code)
    }

    #[test]
    fn each_end_has_its_code() {
        for (end, code) in [
            (End::PowerOff, 0),
            (End::Stopped, 0),
            (End::TimedOut, 0),
            (End::Exit(0), 64),
            (End::Exit(7), 71),
            (End::Exit(0xff), 127),
            (End::DeviceLost("igd".to_owned()), LOST),
            (End::Failed("KVM_RUN".to_owned()), FAILED),
        ] {
            assert_eq!(finished(end.clone(), &[]).1, code, "{end:?}");
        }
    }

    #[test]
    fn a_dump_that_cannot_be_costs_nothing_else() {
        let dumps = ["0x400000,1", "asls,16", "0,3M", "1,4M"];
        let (folder, code) = finished(End::Stopped, &dumps);
        assert_eq!(code, FAILED);
        let file = |name: &str| fs::read(folder.as_path().join(name));
        assert!(file("0").is_err(), "not in RAM");
        assert_eq!(file("1").unwrap(), b"IntelGraphicsMem");
        let large = file("2").unwrap();
        assert_eq!(large.len(), 3 << 20);
        assert_eq!(&large[0x3000..0x3010], b"IntelGraphicsMem");
        assert!(file("3").is_err(), "beyond the end of RAM");
        let status: serde_json::Value = serde_json::from_slice(&file("status.json").unwrap()).unwrap();
        assert_eq!((&status["end"], &status["asls"]), (&"stopped".into(), &"0x3000".into()));

        let (_, code) = finished(End::DeviceLost("igd".to_owned()), &dumps);
        assert_eq!(code, LOST, "the reason goes before");
    }
}
