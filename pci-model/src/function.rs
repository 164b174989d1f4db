// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A PCI function: header, BARs and capabilities over masked bytes.

use crate::access::ConfigAccess;
use crate::bar::{self, BAR_COUNT, Bars, DecodeLimits, Decoder, ROM};
use crate::bar_map::BarMap;
use crate::capability::{self, Known, MsiDelivery, MsiMessage, MsiState, MsixControl, PowerState};
use crate::effects::Effects;
use crate::registers::{ImmutableByte, Registers};
use crate::rules::Rules;
use crate::spec::{self, command, status, type1};
use crate::state::FunctionStateV1;
use crate::window::ConfigSpace;

/// A PCI function with `N` configuration bytes, 256 or 4096.
///
/// Built by [`FunctionBuilder`](crate::FunctionBuilder). A write changes bytes under their masks; a write that reaches
/// the command register, a BAR or the control word of a capability also says so in its [`Effects`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function<const N: usize> {
    // Fixed at build time.
    bars: Bars,
    decoders: [Decoder; BAR_COUNT],
    is_bridge: bool,
    rules: Rules,
    limits: DecodeLimits,
    known: Known,
    /// What a write to each dword of the first 256 bytes has to be followed by.
    hooks: [Hook; HOOKS],
    // Volatile state.
    registers: Registers<N>,
    /// What the device wants on its INTx pin.
    intx_asserted: bool,
    // Derived from the volatile state.
    /// Where the registers of each BAR place it; decoded are those whose space is.
    map: BarMap,
    /// BARs whose registers hold an address at which they can be decoded, as bits.
    placed: u8,
    /// BARs whose space is decoded, as bits.
    enabled: u8,
    /// Whether the power state lets BARs be decoded.
    is_on: bool,
    intx_level: bool,
}

impl<const N: usize> Function<N> {
    pub(crate) fn assemble(image: &[u8; N], is_bridge: bool, bars: Bars, rules: Rules, limits: DecodeLimits) -> Self {
        let mut registers = Registers::from_image(image);
        if rules.is_qemu() {
            for offset in spec::DEVICE_SPECIFIC..u16::try_from(N).unwrap_or(u16::MAX) {
                registers.set_storage(offset, &[0xff]);
            }
        }
        let known = capability::install(&mut registers, rules);
        header(&mut registers, is_bridge);
        let mut hooks = [Hook::None; HOOKS];
        hook(&mut hooks, spec::COMMAND, 4, Hook::Command);
        let mut map = BarMap::EMPTY;
        let mut decoders = [Decoder::default(); BAR_COUNT];
        for (index, bar) in bars.iter() {
            let at = bar::register_offset(index, rom_offset(is_bridge));
            let length = if bar.is_64bit() { 8 } else { 4 };
            let [mask, initial] = [bar.writable(), u64::from(bar.flags())].map(u64::to_le_bytes);
            registers.set(at, initial.get(..length).unwrap_or(&[]));
            registers.set_writable(at, mask.get(..length).unwrap_or(&[]));
            hook(&mut hooks, at, length, Hook::Bar(index));
            map.describe(index, bar.space(), bar.size());
            if let Some(decoder) = decoders.get_mut(usize::from(index)) {
                *decoder = Decoder::new(bar, at, &limits);
            }
        }
        let caps = [
            (known.power, capability::PMCSR, 2),
            (known.msi, 0, 0x18),
            (known.msix, 0, 4),
            (known.express, capability::DEVICE_CONTROL, 2),
            (known.advanced, 4, 1),
        ];
        for (at, offset, length) in caps {
            if let Some(at) = at {
                hook(&mut hooks, at + offset, length, Hook::Other);
            }
        }
        if is_bridge {
            hook(&mut hooks, type1::BUS_NUMBERS, 0x18, Hook::Other);
            hook(&mut hooks, type1::BRIDGE_CONTROL, 2, Hook::Other);
        }
        let mut function = Self {
            bars,
            decoders,
            is_bridge,
            rules,
            limits,
            known,
            hooks,
            registers,
            intx_asserted: false,
            map,
            placed: 0,
            enabled: 0,
            is_on: true,
            intx_level: false,
        };
        let _ = function.update_map();
        function
    }

    /// The registers, to look at.
    #[must_use]
    pub fn registers(&self) -> &Registers<N> {
        &self.registers
    }

    /// The registers, to give the device values and masks of its own: identity, and what lies from offset 0x40 on.
    pub fn registers_mut(&mut self) -> &mut Registers<N> {
        &mut self.registers
    }

    /// The BARs.
    #[must_use]
    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// The limits within which BARs are decoded.
    #[must_use]
    pub fn limits(&self) -> DecodeLimits {
        self.limits
    }

    /// The compatibility setting.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules
    }

    /// The offset of the first capability with this id.
    #[must_use]
    pub fn capability(&self, id: u8) -> Option<u8> {
        capability::capabilities(self.registers.bytes())
            .find(|c| c.id == id)
            .map(|c| c.offset)
    }

    /// The power state.
    #[must_use]
    pub fn power_state(&self) -> PowerState {
        let pmcsr = self
            .known
            .power
            .map_or(0, |at| self.registers.u16(at + capability::PMCSR));
        PowerState::from_pmcsr(pmcsr)
    }

    /// What the MSI capability holds, if there is one.
    #[must_use]
    pub fn msi(&self) -> Option<MsiState> {
        self.known.msi.map(|at| MsiState::read(&self.registers, at))
    }

    /// What the MSI-X control word holds, if there is one.
    #[must_use]
    pub fn msix(&self) -> Option<MsixControl> {
        self.known.msix.map(|at| MsixControl::read(&self.registers, at))
    }

    /// Raises an MSI vector.
    pub fn fire_msi(&mut self, vector: u8) -> MsiDelivery {
        self.known.msi.map_or(MsiDelivery::Off, |at| {
            capability::msi_fire(&mut self.registers, at, vector)
        })
    }

    /// Takes the lowest MSI vector that is pending and no longer masked; to be asked until `None` after
    /// [`Effects::MSI`].
    pub fn take_pending_msi(&mut self) -> Option<MsiMessage> {
        self.known
            .msi
            .and_then(|at| capability::msi_take_pending(&mut self.registers, at))
    }

    /// Sets what the device wants on its INTx pin.
    pub fn set_intx(&mut self, asserted: bool) -> Effects {
        self.intx_asserted = asserted;
        let [low, high] = self.registers.u16(spec::STATUS).to_le_bytes();
        let [bit, _] = status::INTERRUPT.to_le_bytes();
        self.registers
            .set_now(spec::STATUS, &[if asserted { low | bit } else { low & !bit }, high]);
        self.gate_intx()
    }

    /// The level on the INTx pin: asserted, not disabled, and neither MSI nor MSI-X in use.
    #[must_use]
    pub fn intx_level(&self) -> bool {
        self.intx_level
    }

    /// The state to save.
    #[must_use]
    pub fn state(&self) -> FunctionStateV1<N> {
        let Self {
            bars: _,
            decoders: _,
            is_bridge: _,
            rules: _,
            limits: _,
            known: _,
            hooks: _,
            registers,
            intx_asserted,
            map: _,
            placed: _,
            enabled: _,
            is_on: _,
            intx_level: _,
        } = self;
        FunctionStateV1 {
            config: *registers.bytes(),
            intx_asserted: *intx_asserted,
        }
    }

    /// Puts a saved state into this function, which must have been built alike. Nothing is signalled: the effects say
    /// what differs from the state before, for a VMM that restores over a live machine.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this function has not; the function is unchanged.
    pub fn restore(&mut self, state: &FunctionStateV1<N>) -> Result<Effects, ImmutableByte> {
        let FunctionStateV1 { config, intx_asserted } = state;
        let before = self.marks();
        let registers = self.registers.clone();
        let msi = self.known.msi;
        let [status_bit, _] = status::INTERRUPT.to_le_bytes();
        self.registers.restore(config, |offset| {
            let pending = msi.map_or(0, |at| capability::msi_device_bits(&registers, at, offset));
            let interrupt = if offset == spec::STATUS { status_bit } else { 0 };
            pending | interrupt
        })?;
        if let Some(msi) = msi {
            capability::msi_clamp(&mut self.registers, msi, self.rules);
        }
        Ok(self.set_intx(*intx_asserted) | self.compare(before))
    }

    /// What a write has to be followed by. One that may touch two dwords, or end beyond the last, is looked at closely.
    #[inline]
    fn hook_of(&self, at: ConfigAccess) -> Hook {
        let offset = usize::from(at.offset());
        if !at.is_aligned() || offset + 4 > N {
            return Hook::Other;
        }
        self.hooks.get(offset / 4).copied().unwrap_or(Hook::None)
    }

    /// A write to registers of this BAR.
    #[inline]
    fn write_bar(&mut self, at: ConfigAccess, value: u32, index: u8) -> Effects {
        self.registers.write(at, value);
        let moved = self.place_bar(index);
        self.decode(moved)
    }

    /// A write to the command register.
    #[inline]
    fn write_command(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let before = self.registers.u16(spec::COMMAND);
        self.registers.write(at, value);
        let changed = before ^ self.registers.u16(spec::COMMAND);
        self.enable_bars();
        let mut effects = self.decode(0);
        effects.set(Effects::BUS_MASTER, changed & command::BUS_MASTER != 0);
        if changed & command::INTX_DISABLE != 0 {
            return self.gate_intx_after(effects);
        }
        effects
    }

    /// Apart, so that a write without an effect on the pin needs no frame.
    #[cold]
    fn gate_intx_after(&mut self, effects: Effects) -> Effects {
        effects | self.gate_intx()
    }

    /// A write with any effect. Out of line, so that a write without has no large frame.
    #[inline(never)]
    fn write_hooked(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let before = self.marks();
        self.registers.write(at, value);
        let mut resets = false;
        if let Some(power) = self.known.power {
            let pmcsr = self.registers.u16(power + capability::PMCSR);
            let pmc = self.registers.u16(power + 2);
            let (state, soft_reset) = capability::transition(self.rules, pmc, before.pmcsr, pmcsr);
            self.registers
                .set_now(power + capability::PMCSR, &(pmcsr & !3 | state).to_le_bytes());
            resets = soft_reset;
        }
        if let Some(msi) = self.known.msi {
            capability::msi_clamp(&mut self.registers, msi, self.rules);
        }
        resets |= self.starts_flr(at, value);
        if resets {
            self.reset_registers();
            return Effects::FUNCTION_RESET | self.compare(before);
        }
        self.compare(before)
    }

    fn starts_flr(&self, at: ConfigAccess, value: u32) -> bool {
        let written = |offset: u16| {
            let lane = usize::from(offset.checked_sub(at.offset())?);
            value.to_le_bytes().get(..at.width().len())?.get(lane).copied()
        };
        let express = self.known.express.is_some_and(|express| {
            capability::has_flr(&self.registers, express)
                && written(express + capability::DEVICE_CONTROL + 1).is_some_and(|b| b & capability::INITIATE_FLR != 0)
        });
        // Advanced features: byte 3 says FLR in bit 1, byte 4 starts it by bit 0.
        let advanced = self.known.advanced.is_some_and(|advanced| {
            self.registers.u8(advanced + 3) & 2 != 0 && written(advanced + 4).is_some_and(|b| b & 1 != 0)
        });
        express || advanced
    }

    fn reset_registers(&mut self) {
        self.registers.reset();
        self.intx_asserted = false;
    }

    fn marks(&self) -> Marks {
        let at = |offset: Option<u16>, plus: u16| offset.map_or(0, |offset| self.registers.u16(offset + plus));
        Marks {
            command: self.registers.u16(spec::COMMAND),
            pmcsr: at(self.known.power, capability::PMCSR),
            msi: self.msi(),
            msix: at(self.known.msix, 2),
            bridge: if self.is_bridge {
                bridge_marks(&self.registers)
            } else {
                [0; 7]
            },
        }
    }

    /// What differs from `before`; brings the derived state up to date.
    fn compare(&mut self, before: Marks) -> Effects {
        let after = self.marks();
        let mut effects = self.update_map();
        effects.set(
            Effects::BUS_MASTER,
            (before.command ^ after.command) & command::BUS_MASTER != 0,
        );
        effects.set(
            Effects::POWER,
            PowerState::from_pmcsr(before.pmcsr) != PowerState::from_pmcsr(after.pmcsr),
        );
        effects.set(Effects::MSI, before.msi != after.msi);
        effects.set(Effects::MSIX, before.msix != after.msix);
        effects.set(Effects::BRIDGE, before.bridge != after.bridge);
        effects | self.gate_intx()
    }

    fn gate_intx(&mut self) -> Effects {
        let disabled = self.registers.u16(spec::COMMAND) & command::INTX_DISABLE != 0;
        let message = self.msi().is_some_and(|msi| msi.enabled) || self.msix().is_some_and(|msix| msix.enabled);
        let level = self.intx_asserted && !disabled && !message;
        let changed = core::mem::replace(&mut self.intx_level, level) != level;
        if changed { Effects::INTX } else { Effects::empty() }
    }

    /// Brings the map up to date.
    fn update_map(&mut self) -> Effects {
        let bars = 0..=ROM;
        let moved = bars.fold(0, |moved, bar| moved | self.place_bar(bar));
        self.is_on = capability::decodes(self.rules, self.power_state());
        self.enable_bars();
        self.decode(moved)
    }

    /// Places a BAR where its registers say. Gives its bit if it was elsewhere.
    #[inline]
    fn place_bar(&mut self, index: u8) -> u8 {
        let decoder = self.decoders.get(usize::from(index));
        if let Some(start) = decoder.and_then(|decoder| decoder.place(&self.registers)) {
            self.placed |= 1 << index;
            u8::from(self.map.place(index, start)) << index
        } else {
            self.placed &= !(1 << index);
            0
        }
    }

    /// Reads from the registers which BARs have their space decoded.
    #[inline]
    fn enable_bars(&mut self) {
        let command = self.registers.u16(spec::COMMAND);
        let io = self.map.io();
        let memory_on = if command & command::MEMORY != 0 { !io } else { 0 };
        let io_on = if command & command::IO != 0 { io } else { 0 };
        self.enabled = if self.is_on { memory_on | io_on } else { 0 };
    }

    /// Decodes the BARs that are placed and enabled, and says whether those are others than before or some have moved.
    #[inline]
    fn decode(&mut self, moved: u8) -> Effects {
        let before = self.map.decoded();
        let decoded = self.placed & self.enabled;
        self.map.set_decoded(decoded);
        let is_same = before == decoded && moved & decoded == 0;
        if is_same { Effects::empty() } else { Effects::BAR_MAP }
    }
}

impl<const N: usize> ConfigSpace for Function<N> {
    fn config_size(&self) -> u16 {
        u16::try_from(N).unwrap_or(u16::MAX)
    }

    #[inline]
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.registers.read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        match self.hook_of(at) {
            Hook::None => {
                self.registers.write(at, value);
                Effects::empty()
            }
            Hook::Bar(index) => self.write_bar(at, value, index),
            Hook::Command => self.write_command(at, value),
            Hook::Other => self.write_hooked(at, value),
        }
    }

    fn bar_map(&self) -> BarMap {
        self.map
    }

    fn reset(&mut self) -> Effects {
        let before = self.marks();
        self.reset_registers();
        self.compare(before)
    }
}

/// What effects are told from.
#[derive(Clone, Copy)]
struct Marks {
    command: u16,
    pmcsr: u16,
    msi: Option<MsiState>,
    msix: u16,
    bridge: [u32; 7],
}

fn bridge_marks<const N: usize>(registers: &Registers<N>) -> [u32; 7] {
    let mut marks = [0; 7];
    for (mark, at) in marks.iter_mut().zip((type1::BUS_NUMBERS..).step_by(4)) {
        *mark = registers.u32(at);
    }
    let [windows @ .., control] = &mut marks;
    *control = u32::from(registers.u16(type1::BRIDGE_CONTROL));
    // The secondary status word shares a dword with the I/O window; its errors are no effect.
    let [_, io, ..] = windows;
    *io &= 0xffff;
    marks
}

const fn rom_offset(is_bridge: bool) -> u16 {
    if is_bridge { spec::ROM_BAR_TYPE1 } else { spec::ROM_BAR }
}

/// What a write to a dword has to be followed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hook {
    /// Nothing.
    None,
    /// The command register may have changed, and nothing else that has effects.
    Command,
    /// This BAR may have been placed elsewhere.
    Bar(u8),
    /// Anything.
    Other,
}

/// How many dwords can have hooks: those of the first 256 bytes.
const HOOKS: usize = 64;

/// Hooks the dwords that `length` bytes at `offset` touch.
fn hook(hooks: &mut [Hook; HOOKS], offset: u16, length: usize, hook: Hook) {
    let first = usize::from(offset) / 4;
    let last = (usize::from(offset) + length.max(1) - 1) / 4;
    for slot in hooks.iter_mut().take(last + 1).skip(first) {
        *slot = if *slot == Hook::None { hook } else { Hook::Other };
    }
}

/// Gives the header its masks. BARs get theirs from their sizes.
fn header<const N: usize>(registers: &mut Registers<N>, is_bridge: bool) {
    registers.set_writable(spec::COMMAND, &command::WRITABLE.to_le_bytes());
    registers.set_w1c(spec::STATUS, &status::W1C.to_le_bytes());
    let [interrupt, _] = status::INTERRUPT.to_le_bytes();
    let [_, errors] = status::W1C.to_le_bytes();
    registers.set_volatile(spec::STATUS, &[interrupt, errors]);
    registers.clear_volatile(spec::COMMAND, 4);
    registers.set_writable(spec::CACHE_LINE_SIZE, &[0xff]);
    registers.set_writable(spec::INTERRUPT_LINE, &[0xff]);
    if !is_bridge {
        return;
    }
    registers.set_writable(type1::BUS_NUMBERS, &[0xff; 4]);
    registers.set_writable(type1::IO_WINDOW, &[0xf0; 2]);
    registers.set_w1c(type1::SECONDARY_STATUS, &status::W1C.to_le_bytes());
    registers.set_writable(type1::MEMORY_WINDOW, &[0xf0, 0xff, 0xf0, 0xff]);
    registers.set_writable(type1::PREFETCH_WINDOW, &[0xf0, 0xff, 0xf0, 0xff]);
    // Bit 0 of base and limit says that the window has upper halves.
    for (at, upper) in [(type1::PREFETCH_WINDOW, 0), (type1::PREFETCH_WINDOW + 2, 4)] {
        if registers.u8(at) & 0xf == 1 {
            registers.set_writable(type1::PREFETCH_UPPER + upper, &[0xff; 4]);
        }
    }
    registers.set_writable(
        type1::BRIDGE_CONTROL,
        &(type1::BRIDGE_CONTROL_WRITABLE & !type1::BRIDGE_CONTROL_W1C).to_le_bytes(),
    );
    registers.set_w1c(type1::BRIDGE_CONTROL, &type1::BRIDGE_CONTROL_W1C.to_le_bytes());
    registers.clear_volatile(type1::BUS_NUMBERS, 0x18);
    registers.clear_volatile(type1::BRIDGE_CONTROL, 2);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::Width;
    use std::vec::Vec;

    #[test]
    fn hooks_are_on_the_dwords_that_are_touched() {
        for (offset, length, dwords) in [
            (0x04, 4, 1..=1),
            (0x10, 8, 4..=5),
            (0x42, 0x18, 16..=22),
            (0x44, 0, 17..=17),
            (0xfe, 2, 63..=63),
            (0xfc, 0x18, 63..=63),
        ] {
            let mut hooks = [Hook::None; HOOKS];
            hook(&mut hooks, offset, length, Hook::Command);
            let hooked: Vec<usize> = (0..HOOKS).filter(|dword| hooks[*dword] == Hook::Command).collect();
            assert_eq!(
                hooked,
                dwords.clone().collect::<Vec<_>>(),
                "{length} bytes at {offset:#x}"
            );
            hook(&mut hooks, offset, length, Hook::Bar(0));
            assert!(dwords.into_iter().all(|dword| hooks[dword] == Hook::Other));
        }
    }

    /// The short way is for an aligned access with four bytes from its offset on.
    #[test]
    fn what_has_to_be_looked_at_closely() {
        let function = crate::FunctionBuilder::<256>::from_image(&[0; 256]).build().unwrap();
        for (offset, width, hook) in [
            (0x04, Width::Dword, Hook::Command),
            (0x07, Width::Byte, Hook::Command),
            (0x0c, Width::Byte, Hook::None),
            (0x43, Width::Byte, Hook::None),
            (0x43, Width::Word, Hook::Other),
            (0xf8, Width::Dword, Hook::None),
            (0xfc, Width::Dword, Hook::None),
            (0xfe, Width::Word, Hook::Other),
            (0xfff, Width::Byte, Hook::Other),
        ] {
            let at = ConfigAccess::new(offset, width).unwrap();
            assert_eq!(function.hook_of(at), hook, "{at:?}");
        }
    }
}
