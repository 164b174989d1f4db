// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device in the light of a policy: what it is taken for.

use alloc::string::{String, ToString};
use alloc::{format, vec::Vec};

use crate::facts::{HostFacts, RomBytes, RomFacts};
use crate::options::Options;
use crate::platform::{BdsmKind, Class, Identified, QemuEra, identify, qemu_generation};
use crate::policy::{ClassRule, IdRule, Policy, PolicyRules};
use crate::rom::{self, OptionRom};
use crate::spec;

/// What decisions are made from.
pub(super) struct Subject<'a> {
    pub(super) facts: &'a HostFacts,
    pub(super) options: &'a Options,
    pub(super) policy: Policy,
    pub(super) rules: &'static PolicyRules,
    /// Name and ids, for people.
    pub(super) name: String,
    pub(super) kind: Kind,
    /// The generation the policy takes the device for.
    pub(super) generation: Option<u8>,
    pub(super) rom: RomSource,
}

/// What the device is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// No business of ours, and why.
    Foreign(&'static str),
    /// Integrated graphics whose generation is known.
    Igd(Layout),
    /// Graphics of Intel, of no known generation.
    Unknown,
}

/// How its registers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Layout {
    Class(Class),
    Qemu(QemuEra, u8),
}

/// The expansion ROM that a guest could have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RomSource {
    Host,
    Repaired(RomBytes),
    File(String),
    /// None, and why.
    Absent(String),
}

impl<'a> Subject<'a> {
    pub(super) fn new(facts: &'a HostFacts, options: &'a Options, policy: Policy) -> Self {
        let rules = policy.rules();
        let device = &facts.device;
        let identified = match device.is_virtfn {
            true => Identified::VirtualFunction,
            false => identify(device.device),
        };
        let ids = format!("{:04x}:{:04x}", device.vendor, device.device);
        let name = match identified {
            _ if device.vendor != spec::VENDOR_INTEL => format!("Device {ids}"),
            Identified::Igd(platform) => format!("{platform} ({ids})"),
            Identified::Discrete(family) => format!("{family} ({ids})"),
            Identified::VirtualFunction => format!("Virtual function ({ids})"),
            Identified::Unknown => format!("Unknown device ({ids})"),
        };
        let kind = kind(facts, rules, identified);
        let generation = match kind {
            Kind::Igd(Layout::Qemu(_, generation)) => Some(generation),
            Kind::Igd(Layout::Class(class)) => Some(number(class)),
            Kind::Foreign(_) | Kind::Unknown => None,
        };
        Self {
            facts,
            options,
            policy,
            rules,
            name,
            kind,
            generation,
            rom: rom_source(facts, options),
        }
    }

    /// The generation by which the policy redirects mirrors, or `None` if it does not. Mode and OpRegion do not matter.
    pub(super) fn redirected_generation(&self) -> Option<u8> {
        let device = &self.facts.device;
        let class = match self.rules.classes {
            ClassRule::Display => device.is_display(),
            ClassRule::Vga | ClassRule::Any => device.subclass() == spec::CLASS_VGA,
        };
        match self.rules.ids {
            IdRule::Qemu(era) if self.rules.redirect_mirrors && class && device.vendor == spec::VENDOR_INTEL => {
                qemu_generation(era, device.device)
            }
            IdRule::Qemu(_) | IdRule::Exact => None,
        }
    }

    /// IVD of the host's GGC.
    pub(super) fn vga_disabled(&self) -> bool {
        self.facts.device.ggc().is_some_and(|ggc| ggc & spec::GGC_IVD != 0)
    }

    /// The register that the policy takes for BDSM.
    pub(super) fn bdsm(&self) -> BdsmKind {
        match (self.kind, self.generation) {
            (Kind::Igd(Layout::Class(class)), _) => class.bdsm(),
            (_, Some(generation)) if self.rules.bdsm_qword_from.is_some_and(|from| generation >= from) => {
                BdsmKind::Qword
            }
            (_, Some(_)) => BdsmKind::Dword,
            (_, None) => BdsmKind::None,
        }
    }

    /// The host's value of that register, or `None` if it was not read.
    pub(super) fn host_bdsm(&self) -> Option<u64> {
        let device = &self.facts.device;
        match self.bdsm() {
            BdsmKind::Dword => device
                .config_bytes(spec::BDSM)
                .map(|bytes| u32::from_le_bytes(bytes).into()),
            BdsmKind::Qword => device.config_bytes(spec::BDSM64).map(u64::from_le_bytes),
            BdsmKind::None => None,
        }
    }
}

/// The number by which policies count a class.
fn number(class: Class) -> u8 {
    match class {
        Class::G6 => 6,
        Class::G7 => 7,
        Class::G8 | Class::Chv => 8,
        Class::G9 => 9,
        Class::G11 => 11,
        Class::G12 => 12,
        Class::LmemBar => 13,
    }
}

fn kind(facts: &HostFacts, rules: &PolicyRules, identified: Identified) -> Kind {
    let device = &facts.device;
    let class = match rules.classes {
        ClassRule::Vga => device.subclass() == spec::CLASS_VGA,
        ClassRule::Display => device.is_display(),
        ClassRule::Any => true,
    };
    if device.vendor != spec::VENDOR_INTEL {
        return Kind::Foreign("its vendor is not Intel (8086h)");
    }
    if !class {
        return Kind::Foreign("its class is not one of graphics that this policy handles");
    }
    if rules.needs_opregion_region && device.opregion.is_none() {
        return Kind::Foreign("the host shows no OpRegion, without which this policy does nothing");
    }
    match (rules.ids, identified) {
        (IdRule::Qemu(era), _) => match qemu_generation(era, device.device) {
            Some(generation) => Kind::Igd(Layout::Qemu(era, generation)),
            None if rules.opregion_for_unknown => Kind::Unknown,
            None => Kind::Foreign("this policy knows no generation for its id"),
        },
        (IdRule::Exact, Identified::Igd(platform)) => match platform.class() {
            Some(class) => Kind::Igd(Layout::Class(class)),
            None => Kind::Foreign("graphics before Sandy Bridge is not supported"),
        },
        (IdRule::Exact, Identified::Discrete(_)) => Kind::Foreign("it is a discrete card"),
        (IdRule::Exact, Identified::VirtualFunction) => {
            Kind::Foreign("it is an SR-IOV virtual function, which has neither OpRegion nor stolen memory")
        }
        (IdRule::Exact, Identified::Unknown) if device.opregion.is_none() => {
            Kind::Foreign("its id is not known and the host shows no OpRegion for it")
        }
        (IdRule::Exact, Identified::Unknown) => Kind::Unknown,
    }
}

fn rom_source(facts: &HostFacts, options: &Options) -> RomSource {
    let absent = |reason: &dyn ToString| RomSource::Absent(reason.to_string());
    if options.rombar == Some(false) {
        return absent(&rom::RomAbsent::TurnedOff);
    }
    let bytes: &[u8] = match (&options.romfile, &facts.device.rom) {
        (Some(file), _) if file.is_empty() => return absent(&"romfile is empty"),
        (Some(file), _) => return RomSource::File(file.clone()),
        (None, RomFacts::Absent(reason)) => return RomSource::Absent(reason.clone()),
        (None, RomFacts::Image(bytes)) => bytes,
    };
    let (vendor, device) = (facts.device.vendor, facts.device.device);
    let parsed = rom::present(true, Some(bytes))
        .map_err(|reason| reason.to_string())
        .and_then(|bytes| OptionRom::parse(bytes).map_err(|error| error.to_string()));
    match parsed {
        Err(reason) => RomSource::Absent(reason),
        Ok(rom) if rom.is_for(vendor, device) => RomSource::Host,
        Ok(rom) => match rom.repaired(vendor, device).map(RomBytes::new) {
            Ok(Ok(bytes)) => RomSource::Repaired(bytes),
            Ok(Err(error)) => absent(&error),
            Err(error) => absent(&error),
        },
    }
}

/// What a guest's firmware can run of a ROM, or `None` if that is not known.
pub(super) fn code_types(facts: &HostFacts) -> Option<Vec<rom::CodeType>> {
    let RomFacts::Image(bytes) = &facts.device.rom else {
        return None;
    };
    let rom = OptionRom::parse(bytes).ok()?;
    Some(rom.images().iter().map(|image| image.code_type).collect())
}
