// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Graphics control words of every platform, against igd-sim's own encoder.

use core::fmt;

use arbitrary::{Result, Unstructured};
use igd_quirks::ggc::{Ggc, GgcError, Strictness, qemu};
use igd_quirks::platform::{BdsmKind, Class, Identified, PLATFORM_IDS, QemuEra, identify, qemu_generation};
use igd_sim::{Profile, encode_ggc};

use crate::Target;

/// The target.
pub const TARGET: Target = Target {
    name: "ggc",
    package: "igd-quirks",
    summary: "graphics control words of every platform, against igd-sim's own encoder",
    run,
    describe,
    seeds,
};

const MIB: u64 = 1 << 20;
/// Largest size of stolen memory that any document names, in MiB.
const MAX_DEFINED: u32 = 2048;
/// Largest that drivers compute from a code, in MiB: `FFh` times 32.
const MAX_COMPUTED: u64 = 255 * 32;
const MAX_GTT: u32 = 8;
const IVD: u16 = 2;
const ERAS: [QemuEra; 4] = [QemuEra::UpTo9_1, QemuEra::V9_2, QemuEra::V10_0, QemuEra::From10_1];

/// A register of a platform, and sizes to encode.
#[derive(Clone, Copy, Debug)]
struct Input {
    device: u16,
    bits: u16,
    stolen_mib: u32,
    gtt_mib: u32,
    gms: u8,
    era: QemuEra,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let bits = u.arbitrary()?;
        let (_, ids) = u.choose(PLATFORM_IDS)?;
        Ok(Self {
            bits,
            device: *u.choose(ids)?,
            stolen_mib: match u.int_in_range(0..=3_u8)? {
                0 => u.arbitrary()?,
                1 => 32 * u.int_in_range(0..=0x41)?,
                _ => u.int_in_range(0..=600)?,
            },
            gtt_mib: u.int_in_range(0..=9)?,
            gms: u.arbitrary()?,
            era: *u.choose(&ERAS)?,
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            bits,
            stolen_mib,
            gtt_mib,
            gms,
            era,
        } = self;
        writeln!(f, "device {device:04x}, {:?}", identify(*device))?;
        writeln!(f, "decode GGC {bits:#06x}")?;
        writeln!(f, "encode {stolen_mib} MiB stolen, GTT of {gtt_mib} MiB")?;
        writeln!(f, "GMS code {gms:#04x} in its place, in {era} as well")
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let Identified::Igd(platform) = identify(input.device) else {
        panic!("{:04x} is in the table of ids and is not found", input.device)
    };
    quirky(&input);
    let Some(class) = platform.class() else { return };
    let sim = sim_class(class);
    let same_register = match class.bdsm() {
        BdsmKind::Dword => sim.bdsm() == Some((0x5c, 4)),
        BdsmKind::Qword => sim.bdsm() == Some((0xc0, 8)),
        BdsmKind::None => sim.bdsm().is_none(),
    };
    assert!(
        same_register,
        "{class} has BDSM {:?} here, {:?} there",
        class.bdsm(),
        sim.bdsm()
    );
    if let Some(profile) = Profile::all().iter().find(|profile| profile.device == input.device) {
        assert_eq!(profile.class, sim, "class of {platform}");
    }
    decode(class, sim, input.bits);
    encode(class, sim, &input);
    replace(Ggc::new(class, input.bits), input.gms);
}

const fn sim_class(class: Class) -> igd_sim::Class {
    match class {
        Class::G6 => igd_sim::Class::Gen6,
        Class::G7 => igd_sim::Class::Gen7,
        Class::G8 => igd_sim::Class::Gen8,
        Class::Chv => igd_sim::Class::Cherryview,
        Class::G9 => igd_sim::Class::Gen9,
        Class::G11 => igd_sim::Class::Gen11,
        Class::G12 => igd_sim::Class::Gen12,
        Class::LmemBar => igd_sim::Class::LocalMemory,
    }
}

/// Bits of GMS and of GGMS.
const fn fields(sim: igd_sim::Class) -> (u16, u16) {
    match sim {
        igd_sim::Class::Gen6 | igd_sim::Class::Gen7 | igd_sim::Class::Cherryview => (0x1f << 3, 3 << 8),
        _ => (0xff << 8, 3 << 6),
    }
}

/// MiB that the other encoder means by these bits of GMS. From generation 9 on, 32 MiB have two codes and it knows one.
fn stolen_of(sim: igd_sim::Class, gms: u16) -> Option<u32> {
    let gtt = if sim == igd_sim::Class::LocalMemory { 8 } else { 2 };
    let (mask, _) = fields(sim);
    let found = (0..=MAX_DEFINED)
        .step_by(4)
        .find(|mib| encode_ggc(sim, *mib, gtt).is_ok_and(|ggc| ggc & mask == gms));
    let second = matches!(
        sim,
        igd_sim::Class::Gen9 | igd_sim::Class::Gen11 | igd_sim::Class::Gen12 | igd_sim::Class::LocalMemory
    );
    found.or_else(|| (second && gms == 0xf700).then_some(32))
}

fn gtt_of(sim: igd_sim::Class, ggms: u16) -> Option<u32> {
    let (_, mask) = fields(sim);
    (0..=MAX_GTT).find(|mib| encode_ggc(sim, 0, *mib).is_ok_and(|ggc| ggc & mask == ggms))
}

fn decode(class: Class, sim: igd_sim::Class, bits: u16) {
    let ggc = Ggc::new(class, bits);
    let (gms, ggms) = fields(sim);
    let (stolen, gtt) = (stolen_of(sim, bits & gms), gtt_of(sim, bits & ggms));
    let told = ggc.stolen_size(Strictness::Native).ok();
    assert_eq!(
        told,
        stolen.map(|mib| u64::from(mib) * MIB),
        "stolen memory of GGC {bits:#06x} of {class}"
    );
    let told = ggc.gtt_size().ok();
    assert_eq!(
        told,
        gtt.map(|mib| u64::from(mib) * MIB),
        "translation table of GGC {bits:#06x} of {class}"
    );
    assert_eq!(ggc.vga_disabled(), bits & IVD != 0, "IVD of {bits:#06x}");
    if let (Ok(size), Ok(space)) = (ggc.gtt_size(), ggc.address_space()) {
        let entries = size / u64::try_from(sim.pte_len()).unwrap_or(1);
        assert_eq!(space, entries * 4096, "address space of GGC {bits:#06x} of {class}");
    }
    let native = ggc.sizes(Strictness::Native);
    assert_eq!(
        native.is_ok(),
        stolen.is_some() && gtt.is_some(),
        "{native:?} of GGC {bits:#06x} of {class}"
    );
    match ggc.sizes(Strictness::Compatible) {
        Ok(sizes) => {
            assert!(
                sizes.stolen <= MAX_COMPUTED * MIB && sizes.stolen % MIB == 0,
                "{sizes:?} of {bits:#06x}"
            );
            assert!(sizes.gtt <= u64::from(MAX_GTT) * MIB, "{sizes:?} of {bits:#06x}");
            assert_eq!(
                sizes.undefined_code,
                stolen.is_none(),
                "{sizes:?} of {bits:#06x} of {class}"
            );
            if let Ok(native) = native {
                assert_eq!(sizes, native, "a defined code of {bits:#06x} of {class}");
            }
        }
        Err(error) => {
            assert!(
                native.is_err(),
                "{bits:#06x} of {class} is defined and refused: {error}"
            );
            let known = matches!(error, GgcError::UndefinedGms { .. } | GgcError::GgmsNotThree { .. });
            assert!(known, "{error:?}");
        }
    }
}

fn encode(class: Class, sim: igd_sim::Class, input: &Input) {
    let (stolen, gtt) = (u64::from(input.stolen_mib) * MIB, u64::from(input.gtt_mib) * MIB);
    for vga_disabled in [false, true] {
        let ours = Ggc::encode(class, stolen, gtt, vga_disabled);
        let theirs = encode_ggc(sim, input.stolen_mib, input.gtt_mib).ok();
        let expected = theirs.map(|bits| if vga_disabled { bits | IVD } else { bits });
        assert_eq!(
            ours.ok().map(Ggc::bits),
            expected,
            "{class}: {stolen:#x} stolen, table of {gtt:#x}"
        );
        let Ok(ggc) = ours else { continue };
        let sizes = ggc.sizes(Strictness::Native);
        assert_eq!(
            sizes.map(|sizes| (sizes.stolen, sizes.gtt)),
            Ok((stolen, gtt)),
            "what was encoded as {:#06x} for {class}",
            ggc.bits()
        );
    }
    // Not a multiple of 1 MiB.
    assert!(
        Ggc::encode(class, stolen | 1, gtt, false).is_err(),
        "{class}: {stolen:#x} plus 1"
    );
}

fn replace(ggc: Ggc, code: u8) {
    let (mask, _) = fields(sim_class(ggc.class()));
    match ggc.with_gms(code) {
        Ok(other) => {
            assert_eq!(other.bits() & !mask, ggc.bits() & !mask, "bits beside GMS of {ggc:?}");
            let expected = if code == 0 { ggc.gms() } else { code };
            assert_eq!(other.gms(), expected, "GMS code of {other:?}");
            assert_eq!(other.with_gms(code), Ok(other), "the same code again");
            let defined = other.stolen_size(Strictness::Native);
            assert!(code == 0 || defined.is_ok(), "{other:?} was accepted: {defined:?}");
        }
        Err(error) => assert_ne!(code, 0, "no change is refused: {error}"),
    }
}

/// What QEMU makes of the register.
fn quirky(input: &Input) {
    let generation = qemu_generation(input.era, input.device);
    let mask = match generation {
        None => 0,
        Some(0..8) => 0x1f << 3,
        Some(_) => 0xff << 8,
    };
    let shown = match qemu::guest_ggc(input.era, generation, input.bits, input.gms.into()) {
        Ok(shown) => shown,
        Err(error) => error.continues_with.unwrap_or(input.bits),
    };
    assert_eq!(shown & !mask, input.bits & !mask, "{input:?} becomes {shown:#06x}");
    let told = qemu::bdsm_size(input.era, generation, shown);
    assert!(
        told <= (MAX_COMPUTED + u64::from(MAX_GTT)) * MIB && told.is_multiple_of(MIB),
        "{told:#x} for {input:?}"
    );
    assert!(
        generation.is_some() || told == 0,
        "{told:#x} for no generation of {input:?}"
    );
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    Input::read(data).map_or_else(|error| error.to_string(), |input| input.to_string())
}

/// Inputs to start from: the register of each profile of the simulated device.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let of = |profile: &Profile| {
        let row = PLATFORM_IDS.iter().position(|(_, ids)| ids.contains(&profile.device))?;
        let (_, ids) = PLATFORM_IDS.get(row)?;
        let id = ids.iter().position(|id| *id == profile.device)?;
        let [low, high] = profile.ggc().ok()?.to_le_bytes();
        let mut bytes = vec![low, high, u8::try_from(row).ok()?];
        // A list of one element takes no byte to choose from.
        bytes.extend((ids.len() > 1).then(|| u8::try_from(id).unwrap_or(0)));
        bytes.push(2);
        bytes.extend(u16::try_from(profile.stolen_mib).ok()?.to_be_bytes());
        bytes.extend([u8::try_from(profile.gtt_mib).ok()?, 2, 3]);
        Some((profile.name.to_owned(), bytes))
    };
    Profile::all().iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 4000);
    }

    #[test]
    fn inputs_are_readable() {
        let text = describe(&seeds().iter().find(|(name, _)| name == "kbl").unwrap().1);
        assert!(
            text.contains("device 5912, Igd(Kbl)\ndecode GGC 0x01c0\nencode 32 MiB stolen, GTT of 8 MiB"),
            "{text}"
        );
    }

    #[test]
    fn every_register_of_every_class() {
        for class in Class::ALL {
            for bits in 0..=u16::MAX {
                // GMS and GGMS alone: the oracle searches.
                let (gms, ggms) = fields(sim_class(class));
                if bits & !(gms | ggms) == 0 {
                    decode(class, sim_class(class), bits);
                }
            }
        }
    }
}
