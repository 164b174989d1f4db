// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Encodes the graphics control register (GGC) from sizes.
//!
//! ```text
//!               stolen memory (GMS)                       GTT (GGMS)
//! gen 6, 7      7:3   32 MiB x code, to 512               9:8  0 1 2 3 MiB
//! Broadwell     15:8  32 MiB x code, to 2048              7:6  0 2 4 8 MiB
//! Cherryview    7:3   32 MiB x code, to 512;              9:8  0 2 4 8 MiB
//!                     11h.. 8 MiB and 4 each; 17h.. 36 MiB and 4 each
//! gen 9 to 12   15:8  32 MiB x code, to 512; 20h 30h 40h  7:6  0 2 4 8 MiB
//!                     1024 1536 2048 MiB; F0h.. 4 MiB each, to 60
//! later         15:8  to 128 MiB, or 4 to 60 MiB          7:6  8 MiB
//! ```

use crate::profile::Class;

/// Sizes that the graphics control register of a platform cannot say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgcError {
    /// No code for this much stolen memory.
    #[error("{mib} MiB of stolen memory: {class} has no code for it")]
    Stolen {
        /// The size asked for.
        mib: u32,
        /// The platform class.
        class: Class,
    },
    /// No code for a GTT of this size.
    #[error("a GTT of {mib} MiB: {class} has no code for it")]
    Gtt {
        /// The size asked for.
        mib: u32,
        /// The platform class.
        class: Class,
    },
}

/// The register that says `stolen_mib` of stolen memory and a GTT of `gtt_mib`, with VGA enabled and without the lock.
///
/// # Errors
///
/// The class has no code for one of the sizes.
pub fn encode(class: Class, stolen_mib: u32, gtt_mib: u32) -> Result<u16, GgcError> {
    let gms = stolen_code(class, stolen_mib).ok_or(GgcError::Stolen { mib: stolen_mib, class })?;
    let ggms = gtt_code(class, gtt_mib).ok_or(GgcError::Gtt { mib: gtt_mib, class })?;
    Ok(match class {
        Class::Gen6 | Class::Gen7 | Class::Cherryview => gms << 3 | ggms << 8,
        Class::Gen8 | Class::Gen9 | Class::Gen11 | Class::Gen12 | Class::LocalMemory => gms << 8 | ggms << 6,
    })
}

fn stolen_code(class: Class, mib: u32) -> Option<u16> {
    let mib = u16::try_from(mib).ok()?;
    let units = mib.is_multiple_of(32).then_some(mib / 32);
    match class {
        Class::Gen6 | Class::Gen7 => units.filter(|&code| code <= 0x10),
        Class::Gen8 => units.filter(|&code| code <= 0x40),
        Class::Cherryview => units.filter(|&code| code <= 0x10).or_else(|| cherryview(mib)),
        Class::Gen9 | Class::Gen11 | Class::Gen12 => units
            .filter(|code| matches!(code, 0..=0x10 | 0x20 | 0x30 | 0x40))
            .or_else(|| small(mib)),
        Class::LocalMemory => units.filter(|&code| code <= 4).or_else(|| small(mib)),
    }
}

/// Sizes below 64 MiB in steps of 4, as codes from F0h.
fn small(mib: u16) -> Option<u16> {
    (mib.is_multiple_of(4) && (4..=60).contains(&mib)).then(|| 0xf0 + mib / 4 - 1)
}

fn cherryview(mib: u16) -> Option<u16> {
    match mib {
        8..=28 if mib.is_multiple_of(4) => Some(0x11 + (mib - 8) / 4),
        36..=60 if mib.is_multiple_of(4) => Some(0x17 + (mib - 36) / 4),
        _ => None,
    }
}

fn gtt_code(class: Class, mib: u32) -> Option<u16> {
    match (class, mib) {
        (Class::Gen6 | Class::Gen7, 0..=3) => u16::try_from(mib).ok(),
        (Class::LocalMemory, 8) => Some(3),
        (Class::Gen6 | Class::Gen7 | Class::LocalMemory, _) => None,
        (_, 0) => Some(0),
        (_, 2) => Some(1),
        (_, 4) => Some(2),
        (_, 8) => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Cherryview, Gen6, Gen7, Gen8, Gen9, Gen12, LocalMemory};

    /// Registers as drivers decode them: class, stolen MiB, GTT MiB, register.
    const VECTORS: [(Class, u32, u32, u16); 24] = [
        (Gen6, 0, 0, 0x0000),
        (Gen6, 32, 1, 0x0108),
        (Gen6, 32, 2, 0x0208),
        (Gen6, 512, 2, 0x0280),
        (Gen6, 32, 3, 0x0308),
        (Gen7, 64, 2, 0x0210),
        (Gen8, 32, 4, 0x0180),
        (Gen8, 32, 8, 0x01c0),
        (Gen8, 512, 2, 0x1040),
        (Gen8, 2048, 8, 0x40c0),
        (Cherryview, 512, 0, 0x0080),
        (Cherryview, 32, 2, 0x0108),
        (Cherryview, 32, 4, 0x0208),
        (Cherryview, 8, 4, 0x0288),
        (Cherryview, 12, 4, 0x0290),
        (Cherryview, 36, 4, 0x02b8),
        (Cherryview, 60, 4, 0x02e8),
        (Gen9, 32, 8, 0x01c0),
        (Gen9, 1024, 8, 0x20c0),
        (Gen9, 4, 8, 0xf0c0),
        (Gen12, 60, 8, 0xfec0),
        (Gen12, 8, 8, 0xf1c0),
        (LocalMemory, 128, 8, 0x04c0),
        (LocalMemory, 4, 8, 0xf0c0),
    ];

    #[test]
    fn sizes_become_codes() {
        for (class, stolen, gtt, ggc) in VECTORS {
            assert_eq!(encode(class, stolen, gtt), Ok(ggc), "{class} {stolen} {gtt}");
        }
    }

    #[test]
    fn sizes_without_a_code_are_refused() {
        for (class, mib) in [
            (Gen6, 544),
            (Gen6, 4),
            (Gen8, 60),
            (Gen8, 2080),
            (Cherryview, 4),
            (Gen9, 544),
            (Gen9, 62),
            (Gen9, 4096),
            (LocalMemory, 160),
            (Gen12, u32::MAX),
        ] {
            assert_eq!(encode(class, mib, 2), Err(GgcError::Stolen { mib, class }));
        }
        assert_eq!(encode(Gen6, 32, 4), Err(GgcError::Gtt { mib: 4, class: Gen6 }));
        assert_eq!(encode(Gen9, 32, 3), Err(GgcError::Gtt { mib: 3, class: Gen9 }));
        assert_eq!(
            encode(LocalMemory, 32, 4),
            Err(GgcError::Gtt {
                mib: 4,
                class: LocalMemory
            })
        );
    }
}
