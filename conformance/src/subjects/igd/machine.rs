// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine built from a trace's header.

use std::ops::Range;

use fwcfg::{FwCfg, GuestMemory};
use pci_model::{
    BarSpace, Bdf, Bus, CONFIG_PORT, CONFIG_PORTS, ConfigMechanism, ConfigSpace, Ecam, Effects, ResetControl,
};

use super::board::{self, BoardFunction};
use super::quirks::{Assigned, AssignedFunction};
use super::ram::Ram;
use super::setting::Setting;
use super::{devices, firmware_config};
use crate::subject::{Machine, MachineError, Probe, Refusal};
use crate::trace::{Header, Rom, Space, Width};

const FWCFG_PORT: u16 = 0x510;

const SHADOW: Range<u64> = 0xc_0000..0x10_0000;

/// The devices of this repository as a machine.
#[derive(Debug)]
pub(super) struct IgdMachine {
    setting: Setting,
    ports: ConfigMechanism,
    ecam: Ecam,
    bus: Bus<BoardFunction, 256>,
    fwcfg: Option<FwCfg>,
    ram: Ram,
    rom: Option<Rom>,
}

impl IgdMachine {
    pub(super) fn new(header: &Header, setting: Setting) -> Result<Self, Refusal> {
        if let Some(reason) = devices::unmodelled(&header.devices).map_err(Refusal::Error)? {
            return Err(Refusal::Skip(reason));
        }
        let assigned = Assigned::of(header, setting).map_err(Refusal::Error)?;
        let planned = assigned.as_ref().map(|assigned| assigned.items(header));
        let planned = planned.transpose().map_err(Refusal::Error)?;
        let items = planned.as_deref().unwrap_or(&header.items);
        let bus = board::build(header, setting, assigned).map_err(Refusal::Error)?;
        let is_q35 = bus
            .iter()
            .any(|(_, function)| matches!(function, BoardFunction::Q35(_) | BoardFunction::Ich9(_)));
        let is_q35 = is_q35 || header.machine.contains("q35");
        let chipset = if is_q35 {
            ResetControl::Ich9
        } else {
            ResetControl::Piix3
        };
        Ok(Self {
            setting,
            ports: ConfigMechanism::new(chipset, setting.rules()),
            ecam: Ecam::default(),
            bus,
            fwcfg: firmware_config::build(items, &header.writable, setting).map_err(Refusal::Error)?,
            ram: Ram::new(header.ram),
            rom: header.rom,
        })
    }

    /// Reads ports, each part by whoever owns it.
    fn port_read(&mut self, port: u64, data: &mut [u8]) -> Result<(), MachineError> {
        let mut at = port;
        for part in parts(port, data.len(), self.splits(port)) {
            let bytes = data.get_mut(part).unwrap_or_default();
            self.port_read_part(at, bytes)?;
            at = at.wrapping_add(bytes.len() as u64);
        }
        Ok(())
    }

    fn port_read_part(&mut self, port: u64, data: &mut [u8]) -> Result<(), MachineError> {
        if let Some(offset) = within(port, CONFIG_PORT, CONFIG_PORTS) {
            self.ports.port_read(offset, data, &mut self.bus);
            return Ok(());
        }
        if let Some(fwcfg) = &mut self.fwcfg
            && let Some(offset) = within(port, FWCFG_PORT, fwcfg.port_count())
        {
            return fwcfg
                .port_read(offset, data)
                .map_err(|error| MachineError(error.to_string()));
        }
        if let Some((function, bar, offset)) = self.assigned_bar(BarSpace::Io, port) {
            function.bar_read(bar, offset, data);
            return Ok(());
        }
        data.fill(0xff);
        Ok(())
    }

    fn port_write(&mut self, port: u64, data: &[u8]) {
        let mut at = port;
        for part in parts(port, data.len(), self.splits(port)) {
            let bytes = data.get(part).unwrap_or_default();
            self.port_write_part(at, bytes);
            at = at.wrapping_add(bytes.len() as u64);
        }
    }

    fn port_write_part(&mut self, port: u64, data: &[u8]) {
        if let Some(offset) = within(port, CONFIG_PORT, CONFIG_PORTS) {
            let done = self.ports.port_write(offset, data, &mut self.bus);
            if done.effects.contains(Effects::SYSTEM_RESET) {
                self.system_reset();
            }
        } else if let Some(fwcfg) = &mut self.fwcfg
            && let Some(offset) = within(port, FWCFG_PORT, fwcfg.port_count())
        {
            // The recorded guest looks at its status word; nobody else is there to be told.
            let _ = fwcfg.port_write(offset, data, &self.ram);
        } else if let Some((function, bar, offset)) = self.assigned_bar(BarSpace::Io, port) {
            function.bar_write(bar, offset, data);
        }
    }

    /// The BAR of an assigned function that answers at an address, and the offset in it.
    fn assigned_bar(&mut self, space: BarSpace, addr: u64) -> Option<(&mut AssignedFunction, u8, u64)> {
        let (bdf, bar, offset) = self.bus.claim(space, addr)?;
        match self.bus.get_mut(bdf)? {
            BoardFunction::Assigned(function) => Some((function, bar, offset)),
            _ => None,
        }
    }

    /// Whether an access that starts at a port which nobody owns is served in aligned parts. The devices split their
    /// own.
    fn splits(&self, port: u64) -> bool {
        let is_owned = within(port, CONFIG_PORT, CONFIG_PORTS).is_some()
            || self
                .fwcfg
                .as_ref()
                .is_some_and(|fwcfg| within(port, FWCFG_PORT, fwcfg.port_count()).is_some());
        !is_owned && self.setting != Setting::Qemu11
    }

    /// What answers at a physical address.
    fn owner(&self, addr: u64, len: u64) -> Result<Owner, MachineError> {
        let window = self.bus.iter().find_map(|(_, function)| match function {
            BoardFunction::Q35(bridge) => bridge.ecam(),
            _ => None,
        });
        if let Some(offset) = window.and_then(|window| addr.checked_sub(window.base).filter(|at| *at < window.size)) {
            return Ok(Owner::Ecam(offset));
        }
        if SHADOW.contains(&addr) {
            let attribute = self.bus.iter().find_map(|(_, function)| match function {
                BoardFunction::I440Fx(bridge) => bridge.pam().attribute_at(addr),
                BoardFunction::Q35(bridge) => bridge.pam().attribute_at(addr),
                _ => None,
            });
            let attribute = attribute.unwrap_or_default();
            // QEMU write-protects shadow RAM against CPUs only, and qtest writes as a device does.
            let writes_ram = attribute.writes_ram || (attribute.reads_ram && self.setting != Setting::Specification);
            return Ok(Owner::Shadow {
                reads_ram: attribute.reads_ram,
                writes_ram,
            });
        }
        if self.ram.holds(addr, len) {
            return Ok(Owner::Ram);
        }
        if let Some((bdf, bar, offset)) = self.bus.claim(BarSpace::Memory, addr) {
            if let Some(BoardFunction::Assigned(_)) = self.bus.get(bdf) {
                return Ok(Owner::Assigned);
            }
            return Err(MachineError(format!(
                "{addr:#x} is BAR{bar} + {offset:#x} of {bdf}, whose registers this subject does not model"
            )));
        }
        Ok(Owner::Nobody)
    }

    fn mem_read(&mut self, addr: u64, data: &mut [u8]) -> Result<(), MachineError> {
        match self.owner(addr, data.len() as u64)? {
            Owner::Ecam(offset) => self.ecam.read(offset, data, &mut self.bus),
            Owner::Ram | Owner::Shadow { reads_ram: true, .. } => return self.ram_read(addr, data),
            Owner::Shadow { .. } => rom_read(self.rom, addr, data),
            Owner::Assigned => {
                if let Some((function, bar, offset)) = self.assigned_bar(BarSpace::Memory, addr) {
                    function.bar_read(bar, offset, data);
                }
            }
            // An address that nobody decodes: a master abort gives ones, QEMU gives zeros.
            Owner::Nobody => data.fill(if self.setting == Setting::Specification {
                0xff
            } else {
                0
            }),
        }
        Ok(())
    }

    fn mem_write(&mut self, addr: u64, data: &[u8]) -> Result<(), MachineError> {
        match self.owner(addr, data.len() as u64)? {
            Owner::Ecam(offset) => {
                let _ = self.ecam.write(offset, data, &mut self.bus);
            }
            Owner::Ram | Owner::Shadow { writes_ram: true, .. } => return self.ram_write(addr, data),
            Owner::Assigned => {
                if let Some((function, bar, offset)) = self.assigned_bar(BarSpace::Memory, addr) {
                    function.bar_write(bar, offset, data);
                }
            }
            Owner::Shadow { .. } | Owner::Nobody => {}
        }
        Ok(())
    }

    fn system_reset(&mut self) {
        let _ = self.bus.reset();
        self.ports.reset();
        if let Some(fwcfg) = &mut self.fwcfg {
            fwcfg.reset();
        }
    }

    fn function(&self, bdf: Bdf) -> Result<&BoardFunction, MachineError> {
        self.bus
            .get(bdf)
            .ok_or_else(|| MachineError(format!("the header describes no function {bdf}")))
    }
}

enum Owner {
    Ecam(u64),
    Ram,
    Shadow { reads_ram: bool, writes_ram: bool },
    Assigned,
    Nobody,
}

impl Machine for IgdMachine {
    fn read(&mut self, space: Space, addr: u64, width: Width) -> Result<u64, MachineError> {
        let mut bytes = [0; 8];
        let data = bytes.get_mut(..width.len()).unwrap_or_default();
        match space {
            Space::Io => self.port_read(addr, data)?,
            Space::Mem => self.mem_read(addr, data)?,
            Space::Ram => self.ram_read(addr, data)?,
            Space::Cfg => {
                let (select, offset) = config(addr)?;
                let _ = self.ports.port_write(0, &select, &mut self.bus);
                self.ports.port_read(offset, data, &mut self.bus);
            }
        }
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, space: Space, addr: u64, width: Width, value: u64) -> Result<(), MachineError> {
        let bytes = value.to_le_bytes();
        let data = bytes.get(..width.len()).unwrap_or_default();
        match space {
            Space::Io => self.port_write(addr, data),
            Space::Mem => self.mem_write(addr, data)?,
            Space::Ram => self.ram_write(addr, data)?,
            Space::Cfg => {
                let (select, offset) = config(addr)?;
                let _ = self.ports.port_write(0, &select, &mut self.bus);
                let _ = self.ports.port_write(offset, data, &mut self.bus);
            }
        }
        Ok(())
    }

    fn ram_read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), MachineError> {
        self.ram
            .read(addr, out)
            .map_err(|_| outside(addr, out.len() as u64, self.ram.size()))
    }

    fn ram_write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.ram
            .write(addr, bytes)
            .map_err(|_| outside(addr, bytes.len() as u64, self.ram.size()))
    }

    fn ram_fill(&mut self, addr: u64, len: u64, byte: u8) -> Result<(), MachineError> {
        self.ram
            .fill(addr, len, byte)
            .map_err(|_| outside(addr, len, self.ram.size()))
    }

    fn bar(&mut self, bdf: Bdf, bar: u8) -> Result<Option<u64>, MachineError> {
        Ok(self.function(bdf)?.bar_map().get(bar).map(|range| range.start()))
    }

    fn probe(&mut self, space: Space, addr: u64, _width: Width, bdf: Bdf) -> Result<Probe, MachineError> {
        let space = match space {
            Space::Io => BarSpace::Io,
            Space::Mem => BarSpace::Memory,
            Space::Ram | Space::Cfg => return Err(MachineError("a BAR is in io or mem".to_owned())),
        };
        Ok(Probe {
            at: self.function(bdf)?.bar_map().claim(space, addr),
            value: None,
        })
    }

    fn reset(&mut self) -> Result<(), MachineError> {
        self.system_reset();
        Ok(())
    }

    fn setting(&self) -> Option<&str> {
        Some(self.setting.name())
    }
}

/// The parts of an access of `len` bytes at `port`: one, or naturally aligned ones.
fn parts(port: u64, len: usize, split: bool) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start >= len {
            return None;
        }
        let aligned = 1 << port.wrapping_add(start as u64).trailing_zeros().min(2);
        let room = (len - start + 1).next_power_of_two() / 2;
        let step = if split { aligned.min(room) } else { len };
        let part = start..start + step;
        start += step;
        Some(part)
    })
}

/// The offset of `addr` in the window of `len` ports from `first` on.
fn within(addr: u64, first: u16, len: u16) -> Option<u16> {
    let offset = u16::try_from(addr.checked_sub(u64::from(first))?).ok()?;
    (offset < len).then_some(offset)
}

/// `CONFIG_ADDRESS` as bytes, and the offset of the data port among the configuration ports.
fn config(addr: u64) -> Result<([u8; 4], u16), MachineError> {
    let address = u32::try_from(addr)
        .ok()
        .filter(|addr| *addr < 1 << 24)
        .ok_or_else(|| MachineError(format!("configuration address {addr:#x} is beyond bus 0xff")))?;
    let lane = u16::try_from(addr & 3).unwrap_or(0);
    Ok(((1 << 31 | address & !3).to_le_bytes(), 4 + lane))
}

fn outside(addr: u64, len: u64, size: u64) -> MachineError {
    MachineError(format!(
        "{len} bytes at {addr:#x} are not RAM, of which there are {size:#x} bytes"
    ))
}

/// The image behind shadow RAM: every dword holds its own address. What is outside of it is empty.
fn rom_read(rom: Option<Rom>, addr: u64, data: &mut [u8]) {
    for (byte, at) in data.iter_mut().zip(addr..) {
        let inside = rom.is_some_and(|rom| at.checked_sub(rom.start).is_some_and(|offset| offset < rom.size));
        let [b0, b1, b2, b3, ..] = (at & !3).to_le_bytes();
        *byte = match (inside, at & 3) {
            (false, _) => 0,
            (true, 0) => b0,
            (true, 1) => b1,
            (true, 2) => b2,
            (true, _) => b3,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_complete() {
        let split = |port, len| parts(port, len, true).map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(split(0x50f, 4), [1, 2, 1]);
        assert_eq!(split(0x50e, 4), [2, 2]);
        assert_eq!(split(0x50c, 4), [4]);
        assert_eq!(split(0x50f, 2), [1, 1]);
        assert_eq!(split(0x50d, 3), [1, 2]);
        assert!(parts(0x50f, 4, false).eq([Range { start: 0, end: 4 }]));
    }
}
