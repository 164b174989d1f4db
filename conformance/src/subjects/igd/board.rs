// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The functions of a machine, each built by the crate that knows it.

use lpc_bridge::{Identity, LpcBridge};
use pci_model::host_bridge::{I440Fx, Q35};
use pci_model::isa_bridge::{Ich9, Piix3};
use pci_model::{
    Bar, BarKind, BarMap, Bdf, Bus, ConfigAccess, ConfigSpace, EXTENDED_CONFIG_SIZE, Effects, Function,
    FunctionBuilder, Rules, capabilities,
};

use super::devices;
use super::quirks::{Assigned, AssignedFunction};
use super::setting::Setting;
use crate::trace::{self, Header, PciImage};

const EXTENDED: usize = EXTENDED_CONFIG_SIZE as usize;

/// A function of the machine.
#[derive(Debug)]
pub(super) enum BoardFunction {
    I440Fx(Box<I440Fx>),
    Q35(Box<Q35>),
    Piix3(Box<Piix3>),
    Ich9(Box<Ich9>),
    Lpc(Box<LpcBridge>),
    Conventional(Box<Function<256>>),
    Express(Box<Function<EXTENDED>>),
    Assigned(Box<AssignedFunction>),
}

impl BoardFunction {
    fn as_config(&self) -> &dyn ConfigSpace {
        match self {
            Self::I440Fx(function) => &**function,
            Self::Q35(function) => &**function,
            Self::Piix3(function) => &**function,
            Self::Ich9(function) => &**function,
            Self::Lpc(function) => &**function,
            Self::Conventional(function) => &**function,
            Self::Express(function) => &**function,
            Self::Assigned(function) => &**function,
        }
    }

    fn as_config_mut(&mut self) -> &mut dyn ConfigSpace {
        match self {
            Self::I440Fx(function) => &mut **function,
            Self::Q35(function) => &mut **function,
            Self::Piix3(function) => &mut **function,
            Self::Ich9(function) => &mut **function,
            Self::Lpc(function) => &mut **function,
            Self::Conventional(function) => &mut **function,
            Self::Express(function) => &mut **function,
            Self::Assigned(function) => &mut **function,
        }
    }
}

impl ConfigSpace for BoardFunction {
    fn config_size(&self) -> u16 {
        self.as_config().config_size()
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.as_config_mut().config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.as_config_mut().config_write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        self.as_config().bar_map()
    }

    fn reset(&mut self) -> Effects {
        self.as_config_mut().reset()
    }
}

/// The bus of a header's functions, with those of a plan in place of the recorded ones.
pub(super) fn build(
    header: &Header,
    setting: Setting,
    assigned: Option<Assigned>,
) -> Result<Bus<BoardFunction, 256>, String> {
    let mut bus = Bus::new(0);
    // A recorded vendor id of all ones is the answer of an absent function.
    for image in header
        .pci
        .iter()
        .filter(|image| !image.config.starts_with(&[0xff, 0xff]))
        .filter(|image| !assigned.as_ref().is_some_and(|assigned| assigned.provides(image.bdf)))
    {
        let function = function(header, image, setting).map_err(|error| format!("@pci {}: {error}", image.bdf))?;
        bus.insert(image.bdf, function)
            .map_err(|error| format!("@pci {}: {error}", image.bdf))?;
    }
    if let Some(assigned) = assigned {
        assigned.install(&mut bus, header.ram, setting.rules())?;
    }
    Ok(bus)
}

fn function(header: &Header, image: &PciImage, setting: Setting) -> Result<BoardFunction, String> {
    let rules = setting.rules();
    let config = &*image.config;
    let [v0, v1, d0, d1, ..] = *config;
    let text = |error: pci_model::BuildError| error.to_string();
    Ok(match (u16::from_le_bytes([v0, v1]), u16::from_le_bytes([d0, d1])) {
        (0x8086, 0x1237) => BoardFunction::I440Fx(Box::new(I440Fx::from_image(config, rules).map_err(text)?)),
        (0x8086, 0x29c0) => BoardFunction::Q35(Box::new(Q35::from_image(config, rules).map_err(text)?)),
        (0x8086, 0x7000) => BoardFunction::Piix3(Box::new(Piix3::from_image(config, rules).map_err(text)?)),
        (0x8086, 0x2918) => BoardFunction::Ich9(Box::new(Ich9::from_image(config, rules).map_err(text)?)),
        _ if is_lpc_bridge(header, image.bdf) => BoardFunction::Lpc(Box::new(lpc(image, setting.rules())?)),
        _ if has_extended_space(header, config) => {
            let mut extended = [0; EXTENDED];
            for (to, from) in extended.iter_mut().zip(config) {
                *to = *from;
            }
            BoardFunction::Express(Box::new(endpoint(header, image.bdf, &extended, setting)?))
        }
        _ => BoardFunction::Conventional(Box::new(endpoint(header, image.bdf, config, setting)?)),
    })
}

/// Whether the trace is about QEMU's stand-in for the LPC bridge of an Intel graphics function.
fn is_lpc_bridge(header: &Header, bdf: Bdf) -> bool {
    let is_there = header
        .devices
        .iter()
        .any(|device| device.starts_with("vfio-pci-igd-lpc-bridge"));
    is_there && bdf.device() == 0x1f && bdf.function() == 0
}

fn lpc(image: &PciImage, rules: Rules) -> Result<LpcBridge, String> {
    let mut bridge = LpcBridge::new(image.bdf, rules).map_err(|error| error.to_string())?;
    let [v0, v1, ..] = *image.config;
    // Until a graphics function gives it one, the bridge has no identity at all.
    if [v0, v1] != [0; 2] {
        bridge.set_identity(Identity::from_config(&*image.config).map_err(|error| error.to_string())?);
    }
    Ok(bridge)
}

/// On a PCI Express machine a function with the capability of that name has 4096 bytes.
fn has_extended_space(header: &Header, config: &[u8; 256]) -> bool {
    header.machine.contains("q35") && capabilities(config).any(|found| found.id == pci_model::spec::capability::EXPRESS)
}

fn endpoint<const N: usize>(
    header: &Header,
    bdf: Bdf,
    image: &[u8; N],
    setting: Setting,
) -> Result<Function<N>, String> {
    let mut builder = FunctionBuilder::from_image(image).rules(setting.rules());
    for spec in header.bars.iter().filter(|bar| bar.bdf == bdf) {
        let prefetchable = spec.prefetchable;
        let kind = match spec.kind {
            trace::BarKind::Mem32 => BarKind::Memory32 { prefetchable },
            trace::BarKind::Mem64 => BarKind::Memory64 { prefetchable },
            trace::BarKind::Io => BarKind::Io,
            trace::BarKind::Rom => BarKind::Rom,
        };
        let bar = Bar::new(kind, spec.size).map_err(|error| error.to_string())?;
        builder = builder.bar(spec.bar, bar).map_err(|error| error.to_string())?;
    }
    let mut function = builder.build().map_err(|error| error.to_string())?;
    devices::apply(&mut function, setting)?;
    Ok(function)
}
