// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The machine without its processors: accesses through the exit dispatch, and the slots that follow.

use core::fmt::Write;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arbitrary::{Result, Unstructured};
use igd_quirks::facts::{Extent, Firmware, HostFacts};
use igd_quirks::options::Options;
use igd_quirks::plan::{Plan, Provisioning, plan};
use igd_quirks::policy::Policy;
use igd_sim::Profile;
use igd_vmm::backend::sim::SimHost;
use igd_vmm::backend::{HostDevice, RegionKind};
use igd_vmm::devices::Request;
use igd_vmm::irq::{IrqBackend, IrqRouter};
use igd_vmm::machine::{BoardKind, Boot, MachineOptions, Output, Part, Platform, SlotBackend};
use igd_vmm::probe::probe;
use pci_model::{BarSpace, Bdf, ConfigAccess, MsiMessage, Width};
use vmm_sys_util::eventfd::EventFd;

use crate::Target;
use crate::util::rarely;

/// The target.
pub const TARGET: Target = Target {
    name: "vmm_machine",
    package: "igd-vmm",
    summary: "the machine without its processors: accesses through the exit dispatch, and the slots that follow",
    run,
    describe,
    seeds,
};

const RAM: u64 = 32 << 20;
const FLASH: u64 = 0x1_0000;
const ECAM: u64 = 0xb000_0000;
const PAGE: u64 = 4096;
/// Below, PAM and SMRAM decide what is seen.
const PLAIN: u64 = 0x10_0000;
/// Slots that one access may set: all BARs and shadow segments, twice.
const MOST_SLOTS: u64 = 256;
/// Profiles with stolen memory small enough for the RAM, of each place of BDSM, and one without.
const PROFILES: [&str; 4] = ["kbl", "tgl", "mtl", "snb"];

/// What a guest does.
#[derive(Clone, Copy, Debug)]
enum Action {
    PortRead(u16, usize),
    PortWrite(u16, usize, u32),
    Read(u64, usize),
    Write(u64, usize, u64),
    /// A dword of the assigned function's configuration space, through ports or window.
    Config(u8, u32),
    Reset,
}

struct Input {
    profile: &'static str,
    kind: BoardKind,
    provisioning: Provisioning,
    actions: Vec<Action>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let profile = *u.choose(&PROFILES)?;
        let kind = *u.choose(&[BoardKind::Pc, BoardKind::Q35])?;
        let provisioning = *u.choose(&[Provisioning::FwCfg, Provisioning::Direct])?;
        let mut actions = Vec::new();
        while !u.is_empty() && actions.len() < 48 {
            actions.push(action(&mut u)?);
        }
        Ok(Self {
            profile,
            kind,
            provisioning,
            actions,
        })
    }
}

fn action(u: &mut Unstructured<'_>) -> Result<Action> {
    let ports = [0xcf8, 0xcfc, 0x510, 0x514, 0x3c0, 0x70, 0xb2, 0x600, 0xe000, 0x60, 0x92];
    let places: [u64; 11] = [
        ECAM + 0x1_0000,
        ECAM,
        ECAM + 0xf_8000,
        0xe000_0000,
        0xe000_0000 + 0x10_8040,
        0xa_0000,
        0xc_0000,
        0xfed1_c000,
        0xffff_0000,
        0x1_0000_0000,
        0x100_0000,
    ];
    let values = [
        0xe000_0004,
        0x0000_0007,
        0x0000_0000,
        0xffff_ffff,
        0xd000_000c,
        0x0000_e001,
        0x0000_0001,
        0xe080_0001,
        0x00a0_0000,
        0x8000_1004,
        0x8000_1010,
        0xb000_0001,
    ];
    let value = |u: &mut Unstructured<'_>| -> Result<u32> {
        if rarely(u, 3)? {
            u.arbitrary()
        } else {
            u.choose(&values).copied()
        }
    };
    Ok(match u.int_in_range(0..=15_u8)? {
        0..6 => {
            let registers = [
                0x04, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x30, 0x5c, 0xc0, 0xfc, 0xd4, 0xac, 0x3c,
            ];
            let register = if rarely(u, 4)? {
                u.arbitrary::<u8>()? & 0xfc
            } else {
                *u.choose(&registers)?
            };
            Action::Config(register, value(u)?)
        }
        6 | 7 => Action::PortRead(port(u, &ports)?, *u.choose(&[4, 1, 2])?),
        8..11 => Action::PortWrite(port(u, &ports)?, *u.choose(&[4, 1, 2])?, value(u)?),
        11 | 12 => Action::Read(place(u, &places)?, *u.choose(&[4, 8, 1, 2])?),
        13 | 14 => Action::Write(place(u, &places)?, *u.choose(&[4, 8, 1, 2])?, value(u)?.into()),
        _ => Action::Reset,
    })
}

fn port(u: &mut Unstructured<'_>, of: &[u16]) -> Result<u16> {
    if rarely(u, 8)? {
        return u.arbitrary();
    }
    Ok(u.choose(of)?.wrapping_add(u.int_in_range(0..=7)?))
}

fn place(u: &mut Unstructured<'_>, of: &[u64]) -> Result<u64> {
    if rarely(u, 8)? {
        return u.arbitrary();
    }
    Ok(u.choose(of)?.wrapping_add(u.int_in_range(0..=0x107)?))
}

/// Slots and how often they were set.
#[derive(Clone, Debug, Default)]
struct Slots(Arc<Mutex<(BTreeMap<u32, Part>, u64)>>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, (BTreeMap<u32, Part>, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotBackend for Slots {
    fn set(&self, slot: u32, part: Part) -> io::Result<()> {
        let mut state = self.lock();
        let (slots, calls) = &mut *state;
        *calls += 1;
        if part.len == 0 {
            assert!(slots.remove(&slot).is_some(), "slot {slot} is removed, and is none");
            return Ok(());
        }
        let is_whole = (part.gpa | part.len | part.hva).is_multiple_of(PAGE);
        assert!(
            is_whole && part.gpa.checked_add(part.len).is_some(),
            "slot {slot} shows {part:x?}"
        );
        let end = part.gpa + part.len;
        let other = slots
            .iter()
            .find(|(_, other)| other.gpa < end && part.gpa < other.gpa + other.len);
        assert!(other.is_none(), "slot {slot} shows {part:x?} over {other:x?}");
        assert!(slots.insert(slot, part).is_none(), "slot {slot} is set twice");
        Ok(())
    }
}

/// Interrupts that go nowhere.
#[derive(Debug)]
struct Nowhere;

impl IrqBackend for Nowhere {
    fn set_messages(&self, _: &[(u32, MsiMessage)]) -> io::Result<()> {
        Ok(())
    }

    fn connect(&self, _: u32, _: &EventFd, _: Option<&EventFd>) -> io::Result<()> {
        Ok(())
    }

    fn disconnect(&self, _: u32, _: &EventFd) -> io::Result<()> {
        Ok(())
    }
}

struct Guest {
    platform: Platform,
    plan: Plan,
    device: Arc<dyn HostDevice>,
    slots: Slots,
    /// Address of the assigned function.
    at: Bdf,
}

impl Guest {
    fn new(input: &Input) -> Option<Self> {
        let profile = *Profile::by_name(input.profile)?;
        let device: Arc<dyn HostDevice> = Arc::new(SimHost::new(profile, &igd_sim::Options::default()).ok()?);
        let options = MachineOptions {
            kind: input.kind,
            memory: if input.profile == "kbl" { RAM * 4 } else { RAM * 8 },
            cpus: 1,
            boot: Boot::Firmware {
                image: vec![0xf4; usize::try_from(FLASH).ok()?],
                kind: Firmware::SeaBios,
            },
            serial: Output::None,
            debug_console: Output::None,
        };
        let facts: HostFacts = probe(&*device, options.facts(&*device)).ok()?;
        let wishes = Options {
            addr: Bdf::new(0, 2, 0),
            ..Options::default()
        };
        let mut plan = plan(&facts, &wishes, Policy::Native, input.provisioning).ok()?;
        // Clearing 8 MiB is most of the time of an input; the smaller table of Sandy Bridge stands for all.
        plan.clear_gtt = plan.clear_gtt.filter(|_| input.profile == "snb");
        let slots = Slots::default();
        let irq = Arc::new(IrqRouter::with_backend(Box::new(Nowhere)).ok()?);
        let ours = Box::new(slots.clone());
        let platform = Platform::new(options, &plan, &facts, Arc::clone(&device), None, irq, ours);
        let platform = platform.unwrap_or_else(|error| panic!("no machine from a plan: {error}"));
        let at = platform.assigned_at();
        Some(Self {
            platform,
            plan,
            device,
            slots,
            at,
        })
    }

    fn port_dword(&self, port: u16) -> u32 {
        let mut bytes = [0; 4];
        self.platform.port_read(port, 4, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn set_port(&self, port: u16, value: u32) {
        let request = self.platform.port_write(port, 4, &value.to_le_bytes());
        assert_eq!(request, None, "a dword to port {port:#x}");
    }

    /// `CONFIG_ADDRESS` of a register of the assigned function.
    fn selector(&self, register: u8) -> u32 {
        1 << 31 | u32::from(self.at.to_bits()) << 8 | u32::from(register & 0xfc)
    }

    /// What the ports, and on a Q35 the window, say of a register is what the function says.
    fn config(&self, register: u8) {
        let kept = self.port_dword(0xcf8);
        self.set_port(0xcf8, self.selector(register));
        let through_ports = self.port_dword(0xcfc);
        self.set_port(0xcf8, kept);
        let direct = ConfigAccess::new(register.into(), Width::Dword).and_then(|at| self.platform.assigned_config(at));
        assert_eq!(
            Some(through_ports),
            direct,
            "register {register:#04x} of {} through the ports",
            self.at
        );
        if let Some(window) = self.window() {
            let mut bytes = [0; 4];
            let addr = window + (u64::from(self.at.to_bits()) << 12) + u64::from(register);
            self.platform.memory_read(addr, &mut bytes);
            assert_eq!(
                Some(u32::from_le_bytes(bytes)),
                direct,
                "register {register:#04x} of {} through {addr:#x}",
                self.at
            );
        }
    }

    /// Where the ECAM window is, as the host bridge's PCIEXBAR says; of a Q35 alone.
    fn window(&self) -> Option<u64> {
        let kept = self.port_dword(0xcf8);
        let read = |register: u32| {
            self.set_port(0xcf8, 1 << 31 | register);
            self.port_dword(0xcfc)
        };
        let (low, high) = (read(0x60), read(0x64));
        self.set_port(0xcf8, kept);
        // Only the usual place: another length or alignment is the bridge's own affair.
        let is_q35 = !self.plan.isa_bridge.patches().is_empty()
            && matches!(self.plan.isa_bridge, igd_quirks::plan::IsaBridgePlan::Patch(_));
        (is_q35 && low & 0xf000_0007 == 1 | (low & 0xf000_0000) && high == 0 && low >> 28 >= 4)
            .then_some(u64::from(low & 0xf000_0000))
    }

    /// What is decoded is what the command register and the BARs say, and the slots show exactly that.
    fn memory(&self) {
        let dword = |register| {
            let at = ConfigAccess::new(register, Width::Dword);
            at.and_then(|at| self.platform.assigned_config(at)).unwrap_or_default()
        };
        let command = dword(4);
        let mut expected = vec![Extent::new((1 << 32) - FLASH, FLASH)];
        for extent in self.platform_ram() {
            let start = extent.start.max(PLAIN);
            expected.push(Extent::new(start, extent.end().saturating_sub(start)));
        }
        for (bar, range) in (0_u8..).zip(self.platform.bars()) {
            let Some(range) = range else { continue };
            let enabled = match range.space() {
                BarSpace::Memory => command & 2 != 0,
                BarSpace::Io => command & 1 != 0,
            };
            assert!(
                enabled,
                "BAR{bar} is at {range:x?} with command register {command:#06x}"
            );
            let register = if bar == 6 { 0x30 } else { 0x10 + 4 * u16::from(bar) };
            let low = u64::from(dword(register)) & if range.space() == BarSpace::Io { !3 } else { !0xf };
            let start = u32::try_from(range.start() & 0xffff_ffff).unwrap_or_default();
            let is_there = if bar == 6 { low & !0x7ff } else { low };
            assert_eq!(u64::from(start), is_there, "BAR{bar} is at {range:x?}");
            if range.space() == BarSpace::Memory && range.start().is_multiple_of(PAGE) {
                expected.extend(
                    self.carved(bar)
                        .into_iter()
                        .filter_map(|piece| Some(Extent::new(range.start().checked_add(piece.start)?, piece.len))),
                );
            }
        }
        let state = self.slots.lock();
        let shown = state.0.values().map(|part| Extent::new(part.gpa, part.len));
        assert_eq!(
            merged(shown),
            merged(expected.into_iter()),
            "what the slots show above 1 MiB"
        );
    }

    fn platform_ram(&self) -> Vec<Extent> {
        self.platform.ram().extents().to_vec()
    }

    /// The parts of a BAR that a guest reaches without an exit: what can be mapped, but for pages that trap.
    fn carved(&self, bar: u8) -> Vec<Extent> {
        let Some(region) = self.device.region(RegionKind::Bar(bar)) else {
            return Vec::new();
        };
        let mut areas = region.mappable.clone();
        for trap in self.plan.traps.iter().filter(|trap| trap.bar == bar) {
            let first = trap.range.start / PAGE * PAGE;
            let end = trap.range.end().next_multiple_of(PAGE);
            areas = areas
                .into_iter()
                .flat_map(|area| {
                    let before = Extent::new(area.start, first.min(area.end()).saturating_sub(area.start));
                    let start = end.max(area.start);
                    [before, Extent::new(start, area.end().saturating_sub(start))]
                })
                .filter(|area| area.len > 0)
                .collect();
        }
        areas
    }

    fn perform(&self, action: Action) -> Option<Request> {
        let mut bytes = [0; 8];
        match action {
            Action::PortRead(port, size) => {
                self.platform
                    .port_read(port, size, bytes.get_mut(..size).unwrap_or_default());
                None
            }
            Action::PortWrite(port, size, value) => {
                let value = value.to_le_bytes();
                self.platform
                    .port_write(port, size, value.get(..size).unwrap_or_default())
            }
            Action::Read(addr, size) => {
                self.platform
                    .memory_read(addr, bytes.get_mut(..size).unwrap_or_default());
                None
            }
            Action::Write(addr, size, value) => {
                let value = value.to_le_bytes();
                self.platform.memory_write(addr, value.get(..size).unwrap_or_default())
            }
            Action::Config(register, value) => {
                self.set_port(0xcf8, self.selector(register));
                self.platform.port_write(0xcfc, 4, &value.to_le_bytes())
            }
            Action::Reset => Some(Request::Reset),
        }
    }
}

/// The ranges above 1 MiB in rising order, those that touch as one.
fn merged(ranges: impl Iterator<Item = Extent>) -> Vec<Extent> {
    // Shadow RAM that reads and writes as RAM is shown by the slot of what is above.
    let above = ranges.map(|range| {
        let start = range.start.max(PLAIN);
        Extent::new(start, range.end().saturating_sub(start))
    });
    let mut ranges: Vec<Extent> = above.filter(|range| range.len > 0).collect();
    ranges.sort_unstable();
    let mut merged: Vec<Extent> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end() => last.len = last.end().max(range.end()) - last.start,
            _ => merged.push(range),
        }
    }
    merged
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let Some(guest) = Guest::new(&input) else { return };
    guest.memory();
    for action in &input.actions {
        let before = guest.slots.lock().1;
        if guest.perform(*action) == Some(Request::Reset) {
            guest.platform.reset();
        }
        let calls = guest.slots.lock().1 - before;
        assert!(calls <= MOST_SLOTS, "{action:x?} sets {calls} slots");
        guest.memory();
        let register = match action {
            Action::Config(register, _) => *register,
            _ => 0x04,
        };
        guest.config(register);
    }
    for register in (0..=u8::MAX).step_by(4) {
        guest.config(register);
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!(
        "{} on {:?}, provisioning {}\n",
        input.profile, input.kind, input.provisioning
    );
    for action in input.actions {
        let _ = match action {
            Action::PortRead(port, size) => writeln!(text, "in {port:#06x} {size}"),
            Action::PortWrite(port, size, value) => writeln!(text, "out {port:#06x} {size} {value:#x}"),
            Action::Read(addr, size) => writeln!(text, "read {addr:#x} {size}"),
            Action::Write(addr, size, value) => writeln!(text, "write {addr:#x} {size} {value:#x}"),
            Action::Config(register, value) => writeln!(text, "config {register:#04x} {value:#x}"),
            Action::Reset => writeln!(text, "reset"),
        };
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Kind, rarely, register, rarely, value.
    let config = |register: u8, value: u8| vec![0, 0, register, 0, value];
    let place = [config(1, 0), config(2, 2), config(3, 4), config(5, 5), config(0, 1)].concat();
    let reads = [vec![11, 0, 0, 0, 0, 0], vec![11, 0, 3, 0, 0, 0], vec![6, 0, 8, 0, 0]].concat();
    let end = [15];
    (0..16_u8)
        .map(|index| {
            let head = [index & 3, index >> 2 & 1, index >> 3];
            let name = format!("bars-placed-{index:02}");
            (
                name,
                [&head[..], &place, &reads, &config(0, 2), &place, &end[..]].concat(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 60);
    }

    #[test]
    fn inputs_are_readable() {
        let text = describe(&seeds()[0].1);
        assert!(
            text.starts_with("kbl on Pc, provisioning fw-cfg\nconfig 0x10 0xe0000004\nconfig 0x14 0x0\n"),
            "{text}"
        );
    }

    #[test]
    fn every_platform_has_a_machine() {
        for (name, bytes) in seeds() {
            let input = Input::read(&bytes).unwrap();
            assert!(Guest::new(&input).is_some(), "{name}: {}", describe(&bytes));
        }
    }
}
