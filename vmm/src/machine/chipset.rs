// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The boards: their bus, the ways to configuration space, and what follows from a write.

use std::sync::Arc;

use igd_quirks::plan::{IsaBridgePlan, Patch, Plan};
use lpc_bridge::{LpcBridge, Overlay};
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::isa_bridge::{Ich9, Piix3, Piix4Pm, PirqRoute};
use pci_model::{
    Bdf, Bus, ConfigAccess, ConfigMechanism, ConfigRouter, Ecam, Effects, PortEffects, ResetControl, Rules, Width,
};

use super::functions::BoardFunction;
use super::space::Space;
use super::{BoardInfo, BoardKind, MachineError};
use crate::assigned::AssignedFunction;

/// Subsystem ids of the board's own functions, those of QEMU.
const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);
const HOST_BRIDGE: Bdf = Bdf::from_bits(0);
const PIIX3: Bdf = Bdf::from_bits(0x08);
const PIIX4_PM: Bdf = Bdf::from_bits(0x0b);
const LPC: Bdf = Bdf::from_bits(0xf8);

/// Interrupts of PIRQ A to D, and of E to H: what firmware chooses, and what the ACPI tables say.
const PIRQ: u32 = 0x0b0b_0a0a;
/// Where firmware opens ECAM: PCIEXBAR of a Q35. An i440FX has nothing there.
const ECAM: u32 = 0xb000_0001;
/// Where firmware puts the ACPI registers; bit 0 reads as one.
const PM_BASE: u32 = 0x601;

/// What firmware writes to bridges, for machines whose firmware does not: there is none, or it does not know the bridge
/// under the host's identity. Function, register, width and value.
const PRESETS: [(Bdf, u16, Width, u32); 9] = [
    (HOST_BRIDGE, 0x60, Width::Dword, ECAM),
    (PIIX3, 0x60, Width::Dword, PIRQ),
    (PIIX4_PM, 0x40, Width::Dword, PM_BASE),
    (PIIX4_PM, 0x80, Width::Byte, 1),
    (LPC, 0x60, Width::Dword, PIRQ),
    (LPC, 0x68, Width::Dword, PIRQ),
    (LPC, 0x40, Width::Dword, PM_BASE),
    (LPC, 0x44, Width::Byte, 0x80),
    (LPC, 0xf0, Width::Dword, 0xfed1_c001),
];

/// The bus with the ports and the window that lead to it.
#[derive(Debug)]
pub(super) struct Chipset {
    bus: Bus<BoardFunction, 8>,
    mechanism: ConfigMechanism,
    ecam: Ecam,
    assigned: Bdf,
    space: Arc<Space>,
    has_firmware: bool,
}

/// What a configuration write asks of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Followup {
    /// Start again.
    pub(super) reset: bool,
    /// The ACPI registers are somewhere else; ask [`Chipset::acpi_base`].
    pub(super) acpi: bool,
}

impl Chipset {
    /// The board with the bridges as the plan wants them, and the assigned function at `at`.
    pub(super) fn new(
        board: &BoardInfo,
        plan: &Plan,
        at: Bdf,
        function: AssignedFunction,
        space: Arc<Space>,
        has_firmware: bool,
    ) -> Result<Self, MachineError> {
        let rules = Rules::Specification;
        let ram = board
            .ram
            .iter()
            .fold(0, |sum: u64, extent| sum.saturating_add(extent.len));
        let mut bus = Bus::new(0);
        let mut add = |bdf: Bdf, function: BoardFunction| bus.insert(bdf, function).map_err(MachineError::Bus);
        let control = match board.kind {
            BoardKind::Pc => {
                let mut bridge = I440Fx::new(SUBSYSTEM, ram, rules)?;
                overlay(&plan.host_bridge)?.patch(bridge.function_mut());
                add(HOST_BRIDGE, BoardFunction::I440Fx(Box::new(bridge)))?;
                add(PIIX3, BoardFunction::Piix3(Box::new(Piix3::new(SUBSYSTEM, rules)?)))?;
                add(
                    PIIX4_PM,
                    BoardFunction::Piix4Pm(Box::new(Piix4Pm::new(SUBSYSTEM, rules)?)),
                )?;
                ResetControl::Piix3
            }
            BoardKind::Q35 => {
                let mut bridge = Q35::new(SUBSYSTEM, 16, rules)?;
                overlay(&plan.host_bridge)?.patch(bridge.function_mut());
                add(HOST_BRIDGE, BoardFunction::Q35(Box::new(bridge)))?;
                let mut bridge = Ich9::new(SUBSYSTEM, rules)?;
                if let IsaBridgePlan::Patch(patches) = &plan.isa_bridge {
                    overlay(patches)?.patch(bridge.function_mut());
                }
                add(LPC, BoardFunction::Ich9(Box::new(bridge)))?;
                ResetControl::Ich9
            }
        };
        if let IsaBridgePlan::Create(patches) = &plan.isa_bridge {
            add(LPC, BoardFunction::Lpc(Box::new(created(patches, rules)?)))?;
        }
        add(at, BoardFunction::Assigned(Box::new(function)))?;
        let mut chipset = Self {
            bus,
            mechanism: ConfigMechanism::new(control, rules),
            ecam: Ecam::new(rules),
            assigned: at,
            space,
            has_firmware: has_firmware && !matches!(plan.isa_bridge, IsaBridgePlan::Patch(_)),
        };
        chipset.preset();
        let _ = chipset.follow(Effects::all());
        Ok(chipset)
    }

    /// Sets up the bridges where no firmware does.
    fn preset(&mut self) {
        if self.has_firmware {
            return;
        }
        for (bdf, register, width, value) in PRESETS {
            // An i440FX has another register at PCIEXBAR's place, and a bridge made for graphics has none.
            let is_boards = !matches!(
                self.bus.get(bdf),
                None | Some(BoardFunction::Lpc(_) | BoardFunction::I440Fx(_))
            );
            if let Some(at) = ConfigAccess::new(register, width).filter(|_| is_boards) {
                // The caller follows all effects at once.
                let _ = self.bus.config_write(bdf, at, value);
            }
        }
    }

    /// Address of the assigned function.
    pub(super) const fn assigned_at(&self) -> Bdf {
        self.assigned
    }

    /// The assigned function.
    pub(super) fn assigned(&self) -> Option<&AssignedFunction> {
        match self.bus.get(self.assigned) {
            Some(BoardFunction::Assigned(function)) => Some(function),
            _ => None,
        }
    }

    /// The assigned function.
    pub(super) fn assigned_mut(&mut self) -> Option<&mut AssignedFunction> {
        match self.bus.get_mut(self.assigned) {
            Some(BoardFunction::Assigned(function)) => Some(function),
            _ => None,
        }
    }

    /// The bus, to look at.
    pub(super) fn bus_mut(&mut self) -> &mut Bus<BoardFunction, 8> {
        &mut self.bus
    }

    /// Reads the ports from 0xCF8.
    pub(super) fn port_read(&mut self, offset: u16, data: &mut [u8]) {
        self.mechanism.port_read(offset, data, &mut self.bus);
    }

    /// Writes the ports from 0xCF8.
    pub(super) fn port_write(&mut self, offset: u16, data: &[u8]) -> Followup {
        let PortEffects { effects, .. } = self.mechanism.port_write(offset, data, &mut self.bus);
        self.follow(effects)
    }

    /// Reads the ECAM window.
    pub(super) fn ecam_read(&mut self, offset: u64, data: &mut [u8]) {
        self.ecam.read(offset, data, &mut self.bus);
    }

    /// Writes the ECAM window.
    pub(super) fn ecam_write(&mut self, offset: u64, data: &[u8]) -> Followup {
        let PortEffects { effects, .. } = self.ecam.write(offset, data, &mut self.bus);
        self.follow(effects)
    }

    /// Resets the functions and the mechanism together with the machine.
    pub(super) fn reset(&mut self) {
        let effects = self.bus.reset();
        self.mechanism.reset();
        self.preset();
        let _ = self.follow(effects | Effects::all());
    }

    /// Base of the ACPI registers, if they are decoded.
    pub(super) fn acpi_base(&self) -> Option<u16> {
        match (self.bus.get(PIIX4_PM), self.bus.get(LPC)) {
            (Some(BoardFunction::Piix4Pm(function)), _) => function.acpi(),
            (_, Some(BoardFunction::Ich9(function))) => function.acpi().map(|(base, _)| base),
            _ => None,
        }
    }

    /// The interrupt input that the assigned function's pin leads to.
    fn gsi(&self) -> Option<u32> {
        // A graphics function has pin A, if any.
        let device = self.assigned.device();
        let (route, otherwise) = match (self.bus.get(PIIX3), self.bus.get(LPC)) {
            (Some(BoardFunction::Piix3(bridge)), _) => (bridge.route(Piix3::line(device, 1)), None),
            (_, Some(BoardFunction::Ich9(bridge))) => {
                let line = Ich9::line(device, 1);
                (bridge.route(line), Some(u32::from(Ich9::gsi(line))))
            }
            _ => return None,
        };
        match route {
            PirqRoute::Isa(irq) => Some(irq.into()),
            PirqRoute::Disconnected => otherwise,
        }
    }

    /// Does what follows from the effects of a write.
    fn follow(&mut self, effects: Effects) -> Followup {
        if effects.is_empty() {
            return Followup::default();
        }
        if effects.intersects(Effects::PAM | Effects::SMRAM) {
            let shadow = match self.bus.get(HOST_BRIDGE) {
                Some(BoardFunction::I440Fx(bridge)) => Some((bridge.pam(), bridge.smram())),
                Some(BoardFunction::Q35(bridge)) => Some((bridge.pam(), bridge.smram())),
                _ => None,
            };
            if let Some((pam, smram)) = shadow {
                self.space.set_shadow(pam, smram);
            }
        }
        if effects.contains(Effects::ECAM)
            && let Some(BoardFunction::Q35(bridge)) = self.bus.get(HOST_BRIDGE)
        {
            self.space.set_ecam(bridge.ecam());
        }
        if effects.contains(Effects::RCBA)
            && let Some(BoardFunction::Ich9(bridge)) = self.bus.get(LPC)
        {
            self.space.set_rcba(bridge.rcba());
        }
        if effects.contains(Effects::PIRQ) {
            let gsi = self.gsi();
            if let Some(function) = self.assigned_mut() {
                function.set_intx_gsi(gsi);
            }
        }
        Followup {
            reset: effects.contains(Effects::SYSTEM_RESET),
            acpi: effects.contains(Effects::ACPI),
        }
    }
}

fn overlay(patches: &[Patch]) -> Result<Overlay, MachineError> {
    let patches: Vec<(u16, &[u8])> = patches.iter().map(|patch| (patch.offset, &patch.bytes[..])).collect();
    Ok(Overlay::from_patches(&patches)?)
}

/// A bridge of its own at 00:1f.0 that shows these bytes.
fn created(patches: &[Patch], rules: Rules) -> Result<LpcBridge, MachineError> {
    let mut config = [0; 256];
    // What makes bytes those of an ISA bridge.
    if let Some(class) = config.get_mut(0x0a..0x0c) {
        class.copy_from_slice(&[0x01, 0x06]);
    }
    for patch in patches {
        let at = usize::from(patch.offset);
        let end = at.saturating_add(patch.bytes.len());
        if let Some(bytes) = config.get_mut(at..end) {
            bytes.copy_from_slice(&patch.bytes);
        }
    }
    let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, rules)?;
    bridge.set_identity(lpc_bridge::Identity::from_config(&config)?);
    Ok(bridge)
}
