// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The assigned function: the host's, through `pci-model`'s passthrough, under the registers that `igd-quirks` emulates.

use std::convert::Infallible;

use igd_quirks::device::{DeviceSetup, IgdDevice};
use pci_model::{
    BarKind, BarMap, ConfigAccess, ConfigSpace, Effects, Passthrough, PassthroughError, Rules, Width, spec,
};

use super::host::{self, BARS, CONFIG, Host, HostBars, HostConfig};

/// Command bits that are cleared before the function is reset: ports, memory, bus mastering.
const QUIESCED: u32 = 0x0007;

/// Bytes of the smallest ROM that PCI has an encoding for. QEMU gives a smaller file a smaller BAR.
const ROM_MIN: u64 = 0x800;

/// The guest's function on the made-up host.
#[derive(Debug)]
pub(in crate::subjects::igd) struct AssignedFunction {
    config: Passthrough<HostConfig, CONFIG>,
    bars: HostBars,
    igd: IgdDevice,
}

impl AssignedFunction {
    /// The function with the quirks of `setup`, and with a ROM of `rom` bytes if the guest sees one.
    pub(super) fn new(host: &Host, setup: &DeviceSetup, rom: Option<u64>, rules: Rules) -> Result<Self, String> {
        let mut bars: Vec<_> = BARS
            .into_iter()
            .map(|(index, kind, size)| Ok((index, host::bar(kind, size)?)))
            .collect::<Result<_, String>>()?;
        if let Some(size) = rom {
            bars.push((pci_model::ROM, host::bar(BarKind::Rom, size.max(ROM_MIN))?));
        }
        let config = Passthrough::new(HostConfig(host.config), |builder| {
            bars.into_iter()
                .try_fold(builder.rules(rules), |builder, (index, bar)| builder.bar(index, bar))
        })
        .map_err(|error: PassthroughError<Infallible>| error.to_string())?;
        Ok(Self {
            config,
            bars: HostBars::new(),
            igd: IgdDevice::new(setup),
        })
    }

    fn read(&mut self, at: ConfigAccess) -> u32 {
        let Ok(hardware) = self.config.read(at);
        self.igd.config_read(at, hardware)
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        let mut effects = Effects::empty();
        for (at, value) in self.igd.config_write(at, value).forwards() {
            let (changed, forward) = self.config.write(at, value);
            effects |= changed;
            if let Some(forward) = forward {
                let Ok(()) = self.config.forward(forward);
            }
        }
        effects
    }

    /// Reads at most 8 bytes of a BAR.
    pub(in crate::subjects::igd) fn bar_read(&mut self, bar: u8, offset: u64, data: &mut [u8]) {
        if bar == 4 {
            self.igd.bar4_read(offset);
        }
        let hardware = self.bars.read(bar, offset, data.len());
        let value = match bar {
            0 => {
                let hardware = self.redirected_read(offset, data.len(), hardware);
                self.igd.bar0_read(offset, data.len(), hardware)
            }
            _ => hardware,
        };
        for (to, from) in data.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    /// Puts what configuration space answers into the hardware's answer.
    fn redirected_read(&mut self, offset: u64, len: usize, hardware: u64) -> u64 {
        let mut bytes = hardware.to_le_bytes();
        let redirects: Vec<_> = self.igd.bar0_redirects(offset, len).collect();
        for (first, at) in redirects {
            let to = bytes.iter_mut().skip(first).take(at.width().len());
            for (to, from) in to.zip(self.read(at).to_le_bytes()) {
                *to = from;
            }
        }
        u64::from_le_bytes(bytes)
    }

    /// Writes at most 8 bytes of a BAR.
    pub(in crate::subjects::igd) fn bar_write(&mut self, bar: u8, offset: u64, data: &[u8]) {
        let len = data.len();
        let value = data.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        match (bar, u32::try_from(value)) {
            (0, _) => {
                let write = self.igd.bar0_write(offset, len, value);
                for (offset, len, value) in write.forwards() {
                    self.bars.write(bar, offset, len, value);
                }
                for (at, value) in write.redirects() {
                    // The bus asks for the place of BARs each time.
                    let _ = self.write(at, value);
                }
            }
            (4, Ok(value)) => {
                let write = self.igd.bar4_write(offset, len, value);
                self.bars.write(bar, offset, len, write.value.into());
            }
            _ => self.bars.write(bar, offset, len, value),
        }
    }
}

impl ConfigSpace for AssignedFunction {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        self.config.bar_map()
    }

    /// Resets as VFIO does: the function is made quiet first, and its own registers are left to the host.
    fn reset(&mut self) -> Effects {
        let mut effects = Effects::empty();
        if let Some(command) = ConfigAccess::new(spec::COMMAND, Width::Word) {
            let quiet = self.read(command) & !QUIESCED;
            effects |= self.write(command, quiet);
        }
        self.igd.reset();
        effects | self.config.reset_shadow()
    }
}
