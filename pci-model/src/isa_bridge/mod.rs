// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! ISA bridges that PC firmware knows, and the interrupt lines that they route.

mod ich9;
mod piix3;
mod piix4_pm;
mod pirq;

pub use ich9::Ich9;
pub use piix3::Piix3;
pub use piix4_pm::Piix4Pm;
pub use pirq::PirqRoute;

use crate::registers::Registers;

/// A register of a bridge: offset, writable bits and values after a reset, 1 to 4 bytes.
pub(crate) struct Row {
    pub(crate) at: u16,
    pub(crate) writable: u32,
    pub(crate) initial: u32,
    pub(crate) len: usize,
}

/// Gives `registers` the rows of a table. With `keep_masks` only the values after a reset.
pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, rows: &[Row], keep_masks: bool) {
    for Row {
        at,
        writable,
        initial,
        len,
    } in rows
    {
        let initial = initial.to_le_bytes();
        registers.set(*at, initial.get(..*len).unwrap_or(&initial));
        let mask = writable.to_le_bytes();
        let mask = mask.get(..*len).unwrap_or(&mask);
        if keep_masks {
            registers.set_volatile(*at, [0xff; 4].get(..*len).unwrap_or(&[0xff; 4]));
        } else {
            registers.set_writable(*at, mask);
        }
    }
}
