// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Fields and codes of GGC, class by class.
//!
//! Processor datasheets, volume 2, "GGC"; codes as Linux (`early-quirks.c`, `i915_gem_stolen.c`) and ACRN's device
//! model list them.

use crate::platform::Class;

/// A run of GMS codes: first, last, MiB of the first, MiB from one to the next.
pub(super) struct Run(pub(super) u8, pub(super) u8, u32, u32);

impl Run {
    /// MiB that `code` stands for, if it is of the run.
    pub(super) fn mib(&self, code: u8) -> Option<u32> {
        let Self(first, last, mib, step) = *self;
        (first..=last)
            .contains(&code)
            .then(|| mib + u32::from(code - first) * step)
    }
}

/// How a class lays out GGC.
pub(super) struct Layout {
    pub(super) gms_shift: u8,
    pub(super) gms_mask: u8,
    pub(super) ggms_shift: u8,
    /// MiB of the translation table by GGMS code.
    pub(super) ggms_mib: [u32; 4],
    /// Whether GGMS must be 3.
    pub(super) ggms_fixed: bool,
    /// GMS codes that a document defines.
    pub(super) defined: &'static [Run],
    /// GMS codes that drivers compute.
    pub(super) computed: &'static [Run],
    /// `defined` for people.
    pub(super) allowed: &'static str,
}

/// The first sixteen steps of 32 MiB.
const BASIC: Run = Run(0x00, 0x10, 0, 32);
/// Sizes below 64 MiB in steps of 4 MiB.
const SMALL: Run = Run(0xf0, 0xfe, 4, 4);

const G6: Layout = Layout {
    gms_shift: 3,
    gms_mask: 0x1f,
    ggms_shift: 8,
    ggms_mib: [0, 1, 2, 3],
    ggms_fixed: false,
    defined: &[BASIC],
    computed: &[Run(0x00, 0x1f, 0, 32)],
    allowed: "0x00 to 0x10",
};

const CHV: Layout = Layout {
    ggms_mib: [0, 2, 4, 8],
    defined: &[BASIC, Run(0x11, 0x16, 8, 4), Run(0x17, 0x1d, 36, 4)],
    computed: &[BASIC, Run(0x11, 0x16, 8, 4), Run(0x17, 0x1f, 36, 4)],
    allowed: "0x00 to 0x1d",
    ..G6
};

const G8: Layout = Layout {
    gms_shift: 8,
    gms_mask: 0xff,
    ggms_shift: 6,
    ggms_mib: [0, 2, 4, 8],
    ggms_fixed: false,
    defined: &[Run(0x00, 0x40, 0, 32)],
    computed: &[Run(0x00, 0xff, 0, 32)],
    allowed: "0x00 to 0x40",
};

const G9: Layout = Layout {
    defined: &[
        BASIC,
        Run(0x20, 0x20, 1024, 0),
        Run(0x30, 0x30, 1536, 0),
        Run(0x40, 0x40, 2048, 0),
        SMALL,
    ],
    computed: &[Run(0x00, 0xef, 0, 32), Run(0xf0, 0xff, 4, 4)],
    allowed: "0x00 to 0x10, 0x20, 0x30, 0x40, 0xf0 to 0xfe",
    ..G8
};

const LMEM_BAR: Layout = Layout {
    ggms_fixed: true,
    defined: &[Run(0x00, 0x04, 0, 32), SMALL],
    computed: &[Run(0x00, 0x04, 0, 32), SMALL],
    allowed: "0x00 to 0x04, 0xf0 to 0xfe",
    ..G8
};

pub(super) const fn layout(class: Class) -> &'static Layout {
    match class {
        Class::G6 | Class::G7 => &G6,
        Class::Chv => &CHV,
        Class::G8 => &G8,
        Class::G9 | Class::G11 | Class::G12 => &G9,
        Class::LmemBar => &LMEM_BAR,
    }
}
