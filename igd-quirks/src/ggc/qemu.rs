// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU makes of GGC, which knows generations and not classes.

use core::ops::RangeInclusive;

use crate::platform::QemuEra;

const MIB: u64 = 1 << 20;
/// First GMS code of the small sizes, from generation 9 on.
const SMALL: u64 = 0xf0;
/// Largest GMS code that QEMU up to 9.2 knows before generation 9.
const OLD_MAX: u64 = 0x10;

/// QEMU refuses its option `x-igd-gms`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("x-igd-gms={code:#x} is refused by {era}{}: allowed are {allowed}", OfGeneration(*generation))]
pub struct QemuGmsError {
    /// The code.
    pub code: u32,
    /// The version.
    pub era: QemuEra,
    /// The generation that QEMU takes the device for.
    pub generation: Option<u8>,
    /// What is allowed.
    pub allowed: &'static str,
    /// The GGC that the version carries on with, or `None` where it refuses to start.
    pub continues_with: Option<u16>,
}

/// Codes that a version allows.
struct Allowed {
    text: &'static str,
    ranges: &'static [RangeInclusive<u32>],
}

const NONE: Allowed = Allowed {
    text: "none",
    ranges: &[],
};
const TO_10: Allowed = Allowed {
    text: "0 to 0x10",
    ranges: &[0..=0x10],
};
const TO_40: Allowed = Allowed {
    text: "0 to 0x40",
    ranges: &[0..=0x40],
};
const TO_40_AND_SMALL: Allowed = Allowed {
    text: "0 to 0x40, 0xf0 to 0xfe",
    ranges: &[0..=0x40, 0xf0..=0xfe],
};

struct OfGeneration(Option<u8>);

impl core::fmt::Display for OfGeneration {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(generation) => write!(f, " for generation {generation}"),
            None => f.write_str(" for a device of unknown generation"),
        }
    }
}

/// Shift and mask of GMS as QEMU places it.
const fn gms_field(generation: u8) -> (u32, u16) {
    if generation < 8 { (3, 0x1f) } else { (8, 0xff) }
}

fn with_gms(generation: u8, ggc: u16, code: u16) -> u16 {
    let (shift, mask) = gms_field(generation);
    ggc & !(mask << shift) | (code & mask) << shift
}

/// The GGC that the guest sees with `x-igd-gms` set to `gms`; 0 is the option left out.
///
/// Up to 9.1, GMS is 0 unless the option is given. 9.2 ignores the option.
///
/// # Errors
///
/// [`QemuGmsError`] if the version refuses the code.
pub fn guest_ggc(era: QemuEra, generation: Option<u8>, host_ggc: u16, gms: u32) -> Result<u16, QemuGmsError> {
    let without = match (era, generation) {
        (QemuEra::UpTo9_1, Some(generation)) => with_gms(generation, host_ggc, 0),
        _ => host_ggc,
    };
    if gms == 0 || era == QemuEra::V9_2 {
        return Ok(without);
    }
    let allowed = match (era, generation) {
        // Before 10.1 no option is looked at for a generation that is not known.
        (QemuEra::UpTo9_1 | QemuEra::V9_2 | QemuEra::V10_0, None) => return Ok(without),
        (QemuEra::From10_1, None) => &NONE,
        (QemuEra::UpTo9_1, Some(_)) | (_, Some(0..=7)) => &TO_10,
        (QemuEra::V9_2 | QemuEra::V10_0, Some(_)) | (QemuEra::From10_1, Some(8)) => &TO_40,
        (QemuEra::From10_1, Some(_)) => &TO_40_AND_SMALL,
    };
    let fits = allowed.ranges.iter().any(|range| range.contains(&gms));
    match (generation, u16::try_from(gms)) {
        (Some(generation), Ok(code)) if fits => Ok(with_gms(generation, host_ggc, code)),
        _ => {
            let continues_with = (era != QemuEra::From10_1).then_some(without);
            Err(QemuGmsError {
                code: gms,
                era,
                generation,
                allowed: allowed.text,
                continues_with,
            })
        }
    }
}

/// What `etc/igd-bdsm-size` says for the GGC that the guest sees, in bytes; 0 for an unknown generation.
///
/// Up to 9.2 the translation table is part of it, and codes above 10h count 0 before generation 9.
#[must_use]
pub fn bdsm_size(era: QemuEra, generation: Option<u8>, ggc: u16) -> u64 {
    let Some(generation) = generation else { return 0 };
    let (shift, mask) = gms_field(generation);
    let code = u64::from(ggc >> shift & mask);
    let old = era <= QemuEra::V9_2;
    let stolen = match code {
        SMALL.. if generation >= 9 => (code - SMALL + 1) * 4 * MIB,
        _ if old && generation < 9 && code > OLD_MAX => 0,
        _ => code * 32 * MIB,
    };
    if old {
        stolen + gtt_size(era, generation, ggc)
    } else {
        stolen
    }
}

/// Bytes of the translation table as QEMU up to 9.2 counts them.
fn gtt_size(era: QemuEra, generation: u8, ggc: u16) -> u64 {
    if generation < 8 {
        return u64::from(ggc >> 8 & 3) * MIB;
    }
    match ggc >> 6 & 3 {
        0 if era > QemuEra::UpTo9_1 => 0,
        code => MIB << code,
    }
}
