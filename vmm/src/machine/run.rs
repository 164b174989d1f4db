// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine from power-on to its end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use igd_quirks::device::BdsmSetup;
use pci_model::BarRange;
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::build::Machine;
use super::control::{Control, Event};
use super::io::{Io, lock};
use super::vcpu::Vcpu;
use crate::devices::Request;
use crate::memory::GuestRam;
use crate::wait::wait;

/// How long processors are waited for before they are kicked again.
const KICK: Duration = Duration::from_millis(2);
/// How often, before they count as stuck.
const KICKS: u32 = 2500;

/// Why a machine ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The guest turned itself off, or was a kernel without firmware that reset the machine.
    PowerOff,
    /// The guest wrote this value to the debug exit port.
    Exit(u8),
    /// Someone asked for it.
    Stopped,
    /// Its time was over.
    TimedOut,
    /// The device is gone.
    DeviceLost(String),
    /// It could not go on.
    Failed(String),
}

/// What was seen of a machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Address of the OpRegion that the device has, if it is emulated.
    pub asls: Option<u32>,
    /// Base of stolen memory that the device has, if it is emulated.
    pub bdsm: Option<u64>,
    /// Where BARs are decoded, 6 for the ROM.
    pub bars: [Option<BarRange>; 7],
    /// Accesses that left the guest, by who answered: name and number.
    pub accesses: Vec<(&'static str, u64)>,
    /// Accesses that the device refused.
    pub refused: u64,
    /// Memory slots in use.
    pub slots: usize,
    /// Calls to KVM for memory slots.
    pub slot_calls: u64,
    /// How often the machine started again.
    pub resets: u64,
}

/// How a machine ended, and what is left of it.
#[derive(Debug)]
pub struct Outcome {
    /// Why it ended.
    pub end: End,
    /// What was seen of it.
    pub status: Status,
    /// Guest RAM.
    pub ram: GuestRam,
}

impl Machine {
    /// Runs until the guest ends, `stop` becomes readable, or `limit` is over. The device is given back then.
    ///
    /// # Errors
    ///
    /// The host has no thread or no signal for it; the guest has not started.
    pub fn run(self, stop: &EventFd, limit: Option<Duration>) -> io::Result<Outcome> {
        let Self {
            io,
            vcpus,
            ram,
            device,
            is_restartable,
            ..
        } = self;
        register_signal_handler(SIGRTMIN(), on_kick).map_err(io::Error::other)?;
        let control = Arc::new(Control::new()?);
        let threads = start(vcpus, &io, &control)?;
        let mut resets = 0;
        let deadline = limit.map(|limit| Instant::now() + limit);
        let end = loop {
            let fds = [Some(control.happened()), Some(stop), device.lost()];
            match wait(fds, deadline) {
                Ok([_, _, true]) => break End::DeviceLost(device.name().to_owned()),
                Ok([_, true, _]) => break End::Stopped,
                Ok([true, ..]) => match control.take_event() {
                    Some(Event::Request(Request::Reset)) if !is_restartable => break End::PowerOff,
                    Some(Event::Request(Request::Reset)) => {
                        if !halt(&control, &threads) {
                            break End::Failed("a processor does not stop".to_owned());
                        }
                        io.reset();
                        resets += 1;
                        control.restart();
                    }
                    Some(Event::Request(Request::PowerOff)) => break End::PowerOff,
                    Some(Event::Request(Request::Exit(value))) => break End::Exit(value),
                    Some(Event::Failed(reason)) => break End::Failed(reason),
                    None => {}
                },
                Ok(_) => break End::TimedOut,
                Err(error) => break End::Failed(format!("waiting for the machine: {error}")),
            }
        };
        finish(&control, threads);
        let status = status(&io, resets);
        if let Some(function) = lock(&io.chipset).assigned_mut() {
            for error in function.detach() {
                log::warn!("{error}");
            }
        }
        Ok(Outcome { end, status, ram })
    }
}

extern "C" fn on_kick(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn start(vcpus: Vec<Vcpu>, io: &Arc<Io>, control: &Arc<Control>) -> io::Result<Vec<JoinHandle<()>>> {
    let mut threads: Vec<JoinHandle<()>> = Vec::with_capacity(vcpus.len());
    for (index, vcpu) in vcpus.into_iter().enumerate() {
        let (io, shared) = (Arc::clone(io), Arc::clone(control));
        let thread = std::thread::Builder::new().name(format!("vcpu{index}"));
        match thread.spawn(move || vcpu.run(&io, &shared)) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                finish(control, threads);
                return Err(error);
            }
        }
    }
    Ok(threads)
}

fn kick(threads: &[JoinHandle<()>]) {
    for thread in threads.iter().filter(|thread| !thread.is_finished()) {
        if let Err(error) = thread.kill(SIGRTMIN()) {
            log::error!("a processor cannot be interrupted: {error}");
        }
    }
}

/// Makes all processors wait.
fn halt(control: &Control, threads: &[JoinHandle<()>]) -> bool {
    control.pause();
    (0..KICKS).any(|_| {
        kick(threads);
        control.all_wait(threads.len(), KICK)
    })
}

fn finish(control: &Control, threads: Vec<JoinHandle<()>>) {
    control.end();
    // A kick that arrives before the processor enters the guest is lost.
    for _ in 0..KICKS {
        if threads.iter().all(JoinHandle::is_finished) {
            break;
        }
        kick(&threads);
        std::thread::sleep(KICK);
    }
    for thread in threads {
        if !thread.is_finished() {
            log::error!("a processor does not end");
        } else if thread.join().is_err() {
            log::error!("a processor ended in a panic");
        }
    }
}

fn status(io: &Io, resets: u64) -> Status {
    let chipset = lock(&io.chipset);
    let function = chipset.assigned();
    let (slot_calls, slots) = io.space.slot_counts();
    let load = |name, counter: &std::sync::atomic::AtomicU64| (name, counter.load(Ordering::Relaxed));
    let counters = &io.counters;
    Status {
        asls: function.and_then(|function| function.asls()),
        bdsm: function.and_then(|function| match function.bdsm() {
            BdsmSetup::Hardware => None,
            BdsmSetup::Dword(base) => Some(base.into()),
            BdsmSetup::Qword(base) => Some(base),
        }),
        bars: io.space.bars(),
        accesses: vec![
            load("config-ports", &counters.config_ports),
            load("ecam", &counters.ecam),
            load("fw-cfg", &counters.fw_cfg),
            load("bars", &counters.bars),
            load("vga", &counters.vga),
            load("devices", &counters.devices),
            load("unclaimed", &counters.unclaimed),
        ],
        refused: io.assigned.failures(),
        slots,
        slot_calls,
        resets,
    }
}
