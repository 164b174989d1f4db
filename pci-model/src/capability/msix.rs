// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! MSI-X, capability 11h: the 12 bytes in configuration space.
//!
//! ```text
//! +2 control  15 enable | 14 function mask | 10:0 vectors - 1
//! +4 table    31:3 offset | 2:0 BAR
//! +8 pending  31:3 offset | 2:0 BAR
//! ```

use crate::registers::Registers;

const CONTROL: u16 = 2;
const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;

/// The MSI-X capability of a new function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msix {
    vectors: u16,
    table: u32,
    pending: u32,
}

/// An MSI-X capability that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MsixError {
    /// The number of vectors is out of range.
    #[error("{0} MSI-X vectors: the number must be 1 to 2048")]
    Vectors(u16),
    /// The structure is in no BAR, or not aligned.
    #[error("MSI-X structure at BAR{bar} offset {offset:#x}: the BAR must be 0 to 5, the offset a multiple of 8")]
    Place {
        /// The BAR asked for.
        bar: u8,
        /// The offset asked for.
        offset: u32,
    },
}

impl Msix {
    /// A capability for `vectors` vectors; `table` and `pending` are BAR and offset of the two structures.
    ///
    /// # Errors
    ///
    /// The number is not 1 to 2048, or a place is no BAR or no multiple of 8.
    pub fn new(vectors: u16, table: (u8, u32), pending: (u8, u32)) -> Result<Self, MsixError> {
        if !(1..=2048).contains(&vectors) {
            return Err(MsixError::Vectors(vectors));
        }
        let place = |(bar, offset): (u8, u32)| {
            if bar > 5 || !offset.is_multiple_of(8) {
                return Err(MsixError::Place { bar, offset });
            }
            Ok(offset | u32::from(bar))
        };
        Ok(Self {
            vectors,
            table: place(table)?,
            pending: place(pending)?,
        })
    }

    pub(crate) fn body(self) -> [u8; 10] {
        let [n0, n1] = (self.vectors - 1).to_le_bytes();
        let [t0, t1, t2, t3] = self.table.to_le_bytes();
        let [p0, p1, p2, p3] = self.pending.to_le_bytes();
        [n0, n1, t0, t1, t2, t3, p0, p1, p2, p3]
    }
}

/// What the MSI-X message control word holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MsixControl {
    /// Whether messages are sent at all; INTx is silent then.
    pub enabled: bool,
    /// Whether every vector is masked.
    pub function_mask: bool,
    /// How many vectors the function has.
    pub vectors: u16,
}

impl MsixControl {
    pub(crate) fn read<const N: usize>(registers: &Registers<N>, at: u16) -> Self {
        let control = registers.u16(at + CONTROL);
        Self {
            enabled: control & ENABLE != 0,
            function_mask: control & FUNCTION_MASK != 0,
            vectors: (control & 0x7ff) + 1,
        }
    }
}

pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, at: u16) {
    registers.set_writable(at + CONTROL, &(ENABLE | FUNCTION_MASK).to_le_bytes());
    registers.clear_volatile(at + CONTROL, 2);
}
