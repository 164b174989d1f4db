// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! GGC, the graphics control register at 50h: sizes of stolen memory and of the translation table.

mod layout;
pub mod qemu;

use core::fmt;

use crate::platform::Class;
use crate::spec;
use layout::{Layout, Run, layout};

const MIB: u64 = 1 << 20;
/// Bytes that an entry of the translation table maps.
const GPU_PAGE: u64 = 4096;
const GGMS_MASK: u8 = 3;
/// The only GGMS code of platforms that fix it.
const GGMS_FIXED: u8 = 3;

/// How strictly codes are read that no document defines.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Strictness {
    /// Undefined codes are refused.
    #[default]
    Native,
    /// Undefined codes are computed with the formula that Linux and QEMU use, and marked.
    Compatible,
}

/// A value of GGC, read with the layout of its class.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ggc {
    class: Class,
    bits: u16,
}

/// What GGC says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GgcSizes {
    /// Bytes of data stolen memory (DSM).
    pub stolen: u64,
    /// Bytes of the graphics translation table (GTT).
    pub gtt: u64,
    /// Whether `stolen` comes from a code that no document defines.
    pub undefined_code: bool,
}

/// Why a value of GGC has no meaning, or a size no code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgcError {
    /// The GMS field holds a code that the class does not define.
    #[error("GMS code {code:#04x} of GGC is not defined for {class}: allowed are {allowed}")]
    UndefinedGms {
        /// The code.
        code: u8,
        /// The layout it was read with.
        class: Class,
        /// The codes that are defined.
        allowed: &'static str,
    },
    /// The GGMS field holds a code that the class does not allow.
    #[error("GGMS code {code} of GGC {ggc:#06x} is not allowed for {class}: it must be 3")]
    GgmsNotThree {
        /// The code.
        code: u8,
        /// The whole register.
        ggc: u16,
        /// The layout it was read with.
        class: Class,
    },
    /// No code of the class stands for that much stolen memory.
    #[error("no GMS code of {class} stands for {bytes} bytes of stolen memory: allowed are {allowed}")]
    NoSuchStolenSize {
        /// The size asked for.
        bytes: u64,
        /// The layout asked for.
        class: Class,
        /// The codes that are defined.
        allowed: &'static str,
    },
    /// No code of the class stands for a translation table of that size.
    #[error("no GGMS code of {class} stands for a translation table of {bytes} bytes: allowed are {sizes} MiB")]
    NoSuchGttSize {
        /// The size asked for.
        bytes: u64,
        /// The layout asked for.
        class: Class,
        /// The sizes that have a code.
        sizes: GttSizes,
    },
    /// The GMS field cannot be another one.
    #[error("GMS code {code:#04x} cannot be given to {class}: its stolen memory is behind BAR2, not in RAM")]
    FixedGms {
        /// The code asked for.
        code: u8,
        /// The class.
        class: Class,
    },
}

/// The sizes of translation table that a class has codes for; prints them in MiB.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct GttSizes(pub Class);

impl fmt::Display for GttSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = layout(self.0);
        let [a, b, c, d] = layout.ggms_mib;
        if layout.ggms_fixed {
            write!(f, "{d}")
        } else {
            write!(f, "{a}, {b}, {c}, {d}")
        }
    }
}

impl Ggc {
    /// The register `bits` with the layout of `class`.
    #[must_use]
    pub const fn new(class: Class, bits: u16) -> Self {
        Self { class, bits }
    }

    /// The register that stands for `stolen` bytes of stolen memory, a table of `gtt` bytes and IVD.
    ///
    /// Where two codes mean the same size, the smaller is taken.
    ///
    /// # Errors
    ///
    /// [`GgcError::NoSuchStolenSize`] or [`GgcError::NoSuchGttSize`] if the class has no code for a size.
    pub fn encode(class: Class, stolen: u64, gtt: u64, vga_disabled: bool) -> Result<Self, GgcError> {
        let layout = layout(class);
        let code = |wanted: u64| (0..=layout.gms_mask).find(|code| bytes_of(layout.defined, *code) == Some(wanted));
        let allowed = layout.allowed;
        let gms = code(stolen).ok_or(GgcError::NoSuchStolenSize {
            bytes: stolen,
            class,
            allowed,
        })?;
        let ggms = (0_u8..)
            .zip(layout.ggms_mib)
            .find(|(code, mib)| u64::from(*mib) * MIB == gtt && (!layout.ggms_fixed || *code == GGMS_FIXED));
        let sizes = GttSizes(class);
        let (ggms, _) = ggms.ok_or(GgcError::NoSuchGttSize {
            bytes: gtt,
            class,
            sizes,
        })?;
        let ivd = if vga_disabled { spec::GGC_IVD } else { 0 };
        let bits = u16::from(gms) << layout.gms_shift | u16::from(ggms) << layout.ggms_shift | ivd;
        Ok(Self { class, bits })
    }

    /// All 16 bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.bits
    }

    /// The class whose layout is used.
    #[must_use]
    pub const fn class(self) -> Class {
        self.class
    }

    /// IVD, bit 1: the device does not claim VGA cycles.
    #[must_use]
    pub const fn vga_disabled(self) -> bool {
        self.bits & spec::GGC_IVD != 0
    }

    /// Code in the GMS field.
    #[must_use]
    pub const fn gms(self) -> u8 {
        let layout = layout(self.class);
        (self.bits >> layout.gms_shift).to_le_bytes()[0] & layout.gms_mask
    }

    /// Code in the GGMS field.
    #[must_use]
    pub const fn ggms(self) -> u8 {
        (self.bits >> layout(self.class).ggms_shift).to_le_bytes()[0] & GGMS_MASK
    }

    /// Sizes in bytes.
    ///
    /// # Errors
    ///
    /// [`GgcError::UndefinedGms`] for a code that the class does not define (with [`Strictness::Compatible`] only
    /// where Linux refuses it as well), [`GgcError::GgmsNotThree`] on platforms where that field is fixed.
    pub fn sizes(self, strictness: Strictness) -> Result<GgcSizes, GgcError> {
        Ok(GgcSizes {
            gtt: self.gtt_size()?,
            stolen: self.stolen_size(strictness)?,
            undefined_code: bytes_of(layout(self.class).defined, self.gms()).is_none(),
        })
    }

    /// Bytes of the translation table.
    ///
    /// # Errors
    ///
    /// [`GgcError::GgmsNotThree`] on platforms where the field is fixed.
    pub fn gtt_size(self) -> Result<u64, GgcError> {
        let layout = layout(self.class);
        let code = self.ggms();
        if layout.ggms_fixed && code != GGMS_FIXED {
            return Err(GgcError::GgmsNotThree {
                code,
                ggc: self.bits,
                class: self.class,
            });
        }
        Ok(layout
            .ggms_mib
            .get(usize::from(code))
            .map_or(0, |mib| u64::from(*mib) * MIB))
    }

    /// Bytes of stolen memory, whatever GGMS says.
    ///
    /// # Errors
    ///
    /// [`GgcError::UndefinedGms`] as with [`Ggc::sizes`].
    pub fn stolen_size(self, strictness: Strictness) -> Result<u64, GgcError> {
        let layout = layout(self.class);
        let runs = match strictness {
            Strictness::Native => layout.defined,
            Strictness::Compatible => layout.computed,
        };
        bytes_of(runs, self.gms()).ok_or_else(|| self.undefined(self.gms(), layout))
    }

    /// Bytes of graphics address space that the translation table covers, 4 KiB an entry.
    ///
    /// # Errors
    ///
    /// [`GgcError::GgmsNotThree`] on platforms where the field is fixed.
    pub fn address_space(self) -> Result<u64, GgcError> {
        Ok(self.gtt_size()? / self.class.pte_size() * GPU_PAGE)
    }

    /// The register with another GMS code, all other bits kept. Code 0 asks for no change.
    ///
    /// # Errors
    ///
    /// [`GgcError::UndefinedGms`] for a code that the class does not define, [`GgcError::FixedGms`] where the field
    /// cannot be another one since the hardware has the memory.
    pub fn with_gms(self, code: u8) -> Result<Self, GgcError> {
        if code == 0 {
            return Ok(self);
        }
        if self.class == Class::LmemBar {
            return Err(GgcError::FixedGms {
                code,
                class: self.class,
            });
        }
        let layout = layout(self.class);
        if bytes_of(layout.defined, code).is_none() {
            return Err(self.undefined(code, layout));
        }
        let field = u16::from(layout.gms_mask) << layout.gms_shift;
        Ok(Self {
            bits: self.bits & !field | u16::from(code) << layout.gms_shift,
            ..self
        })
    }

    const fn undefined(self, code: u8, layout: &Layout) -> GgcError {
        GgcError::UndefinedGms {
            code,
            class: self.class,
            allowed: layout.allowed,
        }
    }
}

/// Bytes that `code` stands for in the first run that has it.
fn bytes_of(runs: &[Run], code: u8) -> Option<u64> {
    runs.iter()
        .find_map(|run| run.mib(code))
        .map(|mib| u64::from(mib) * MIB)
}
