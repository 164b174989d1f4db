// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Message signalled interrupts, capability 05h.
//!
//! ```text
//! +2 control  8 per-vector mask | 7 64-bit | 6:4 enabled (log2) | 3:1 capable (log2) | 0 enable
//!             32-bit  64-bit  32-bit+mask  64-bit+mask
//! address       +4      +4        +4           +4
//! upper          -      +8         -           +8
//! data          +8      +C        +8           +C
//! mask           -       -        +C          +10
//! pending        -       -       +10          +14
//! length        0A      0E        14           18
//! ```

use crate::registers::Registers;
use crate::rules::Rules;

const CONTROL: u16 = 2;
const ADDRESS: u16 = 4;
const ENABLE: u16 = 1;
const ENABLED_VECTORS: u16 = 0b111 << 4;
const IS_64BIT: u16 = 1 << 7;
const PER_VECTOR_MASK: u16 = 1 << 8;

/// The MSI capability of a new function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msi {
    vectors_log2: u8,
    is_64bit: bool,
    per_vector_mask: bool,
}

/// An MSI capability that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{vectors} MSI vectors: the number must be 1, 2, 4, 8, 16 or 32")]
pub struct MsiError {
    /// The number asked for.
    pub vectors: u8,
}

impl Msi {
    /// A capability for `vectors` vectors.
    ///
    /// # Errors
    ///
    /// The number is not 1, 2, 4, 8, 16 or 32.
    pub const fn new(vectors: u8, is_64bit: bool, per_vector_mask: bool) -> Result<Self, MsiError> {
        if !vectors.is_power_of_two() || vectors > 32 {
            return Err(MsiError { vectors });
        }
        Ok(Self {
            vectors_log2: vectors.trailing_zeros().to_le_bytes()[0],
            is_64bit,
            per_vector_mask,
        })
    }

    pub(crate) fn control(self) -> u16 {
        let mut control = u16::from(self.vectors_log2) << 1;
        if self.is_64bit {
            control |= IS_64BIT;
        }
        if self.per_vector_mask {
            control |= PER_VECTOR_MASK;
        }
        control
    }
}

/// Length of a capability with this message control word, in bytes.
pub(crate) const fn length(control: u16) -> u16 {
    match (control & IS_64BIT != 0, control & PER_VECTOR_MASK != 0) {
        (false, false) => 0x0a,
        (true, false) => 0x0e,
        (false, true) => 0x14,
        (true, true) => 0x18,
    }
}

/// Where the registers of a capability are.
#[derive(Clone, Copy)]
struct Layout {
    upper: Option<u16>,
    data: u16,
    mask: Option<u16>,
}

impl Layout {
    const fn new(at: u16, control: u16) -> Self {
        let wide = control & IS_64BIT != 0;
        let data = at + if wide { 0xc } else { 8 };
        Self {
            upper: if wide { Some(at + 8) } else { None },
            data,
            mask: if control & PER_VECTOR_MASK != 0 {
                Some(data + 4)
            } else {
                None
            },
        }
    }
}

/// The vectors of `2^log2`, as a mask.
const fn vector_mask(log2: u16) -> u32 {
    u32::MAX >> (32 - (1_u32 << if log2 > 5 { 5 } else { log2 }))
}

pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, at: u16) {
    let control = registers.u16(at + CONTROL);
    let layout = Layout::new(at, control);
    registers.set_writable(at + CONTROL, &(ENABLE | ENABLED_VECTORS).to_le_bytes());
    registers.set_writable(at + ADDRESS, &0xffff_fffc_u32.to_le_bytes());
    if let Some(upper) = layout.upper {
        registers.set_writable(upper, &[0xff; 4]);
    }
    registers.set_writable(layout.data, &[0xff; 2]);
    if let Some(mask) = layout.mask {
        let vectors = vector_mask(control >> 1 & 7).to_le_bytes();
        registers.set_writable(mask, &vectors);
        registers.set_volatile(mask + 4, &vectors);
    }
    registers.clear_volatile(at, length(control).into());
}

/// Limits the number of enabled vectors to what the function has. QEMU does so only while MSI is enabled.
pub(crate) fn clamp<const N: usize>(registers: &mut Registers<N>, at: u16, rules: Rules) {
    let control = registers.u16(at + CONTROL);
    let (enabled, capable) = (control >> 4 & 7, control >> 1 & 7);
    if enabled > capable && (control & ENABLE != 0 || !rules.is_qemu()) {
        registers.set_now(at + CONTROL, &(control & !ENABLED_VECTORS | capable << 4).to_le_bytes());
    }
}

/// A message: a 32-bit write to memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MsiMessage {
    /// Where it is written.
    pub address: u64,
    /// What is written.
    pub data: u32,
}

/// What the MSI capability holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MsiState {
    /// Whether messages are sent at all; INTx is silent then.
    pub enabled: bool,
    /// How many vectors software enabled: 1 to 32.
    pub vectors: u8,
    /// Message address.
    pub address: u64,
    /// Message data of vector 0.
    pub data: u16,
    /// Masked vectors.
    pub masked: u32,
    /// Vectors that fired while masked.
    pub pending: u32,
}

impl MsiState {
    pub(crate) fn read<const N: usize>(registers: &Registers<N>, at: u16) -> Self {
        let control = registers.u16(at + CONTROL);
        let layout = Layout::new(at, control);
        let upper = layout.upper.map_or(0, |upper| registers.u32(upper));
        let mask = layout.mask;
        Self {
            enabled: control & ENABLE != 0,
            vectors: 1 << (control >> 4 & 7).min(5),
            address: u64::from(upper) << 32 | u64::from(registers.u32(at + ADDRESS)),
            data: registers.u16(layout.data),
            masked: mask.map_or(0, |mask| registers.u32(mask)),
            pending: mask.map_or(0, |mask| registers.u32(mask + 4)),
        }
    }

    /// The message of `vector`, or `None` if software did not enable it.
    #[must_use]
    pub fn message(&self, vector: u8) -> Option<MsiMessage> {
        if vector >= self.vectors {
            return None;
        }
        let low_bits = u16::from(self.vectors - 1);
        let data = self.data & !low_bits | u16::from(vector);
        Some(MsiMessage {
            address: self.address,
            data: u32::from(data),
        })
    }
}

/// What becomes of an interrupt that a function raises.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MsiDelivery {
    /// Send this message.
    Send(MsiMessage),
    /// The vector is masked; it is pending now.
    Held,
    /// MSI is disabled or the vector is not enabled.
    Off,
}

pub(crate) fn fire<const N: usize>(registers: &mut Registers<N>, at: u16, vector: u8) -> MsiDelivery {
    let state = MsiState::read(registers, at);
    let Some(message) = state.message(vector).filter(|_| state.enabled) else {
        return MsiDelivery::Off;
    };
    if state.masked >> vector & 1 == 0 {
        return MsiDelivery::Send(message);
    }
    set_pending(registers, at, state.pending | 1 << vector);
    MsiDelivery::Held
}

/// Takes the lowest vector that is pending and no longer masked.
pub(crate) fn take_pending<const N: usize>(registers: &mut Registers<N>, at: u16) -> Option<MsiMessage> {
    let state = MsiState::read(registers, at);
    // A vector that software no longer enables stays pending.
    let enabled = u32::MAX >> (32 - u32::from(state.vectors));
    let ready = state.pending & !state.masked & enabled;
    if !state.enabled || ready == 0 {
        return None;
    }
    let vector = ready.trailing_zeros().to_le_bytes()[0];
    set_pending(registers, at, state.pending & !(1 << vector));
    state.message(vector)
}

fn set_pending<const N: usize>(registers: &mut Registers<N>, at: u16, pending: u32) {
    if let Some(mask) = Layout::new(at, registers.u16(at + CONTROL)).mask {
        registers.set_now(mask + 4, &pending.to_le_bytes());
    }
}

/// Bits of the byte at `offset` that the device itself changes: the pending bits.
pub(crate) fn device_bits<const N: usize>(registers: &Registers<N>, at: u16, offset: u16) -> u8 {
    let control = registers.u16(at + CONTROL);
    let Some(mask) = Layout::new(at, control).mask else {
        return 0;
    };
    let pending = offset.wrapping_sub(mask + 4);
    vector_mask(control >> 1 & 7)
        .to_le_bytes()
        .get(usize::from(pending))
        .copied()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let lengths = [(false, false), (true, false), (false, true), (true, true)]
            .map(|(wide, mask)| length(Msi::new(1, wide, mask).unwrap().control()));
        assert_eq!(lengths, [10, 14, 20, 24]);
        assert_eq!(Msi::new(3, false, false), Err(MsiError { vectors: 3 }));
        assert_eq!(Msi::new(64, false, false), Err(MsiError { vectors: 64 }));
        assert_eq!(Msi::new(0, false, false), Err(MsiError { vectors: 0 }));
    }

    #[test]
    fn vector_masks() {
        assert_eq!([0, 1, 3, 5, 7].map(vector_mask), [1, 3, 0xff, u32::MAX, u32::MAX]);
    }

    #[test]
    fn messages_replace_the_low_bits() {
        let state = MsiState {
            enabled: true,
            vectors: 4,
            address: 0xfee0_0000,
            data: 0x4123,
            masked: 0,
            pending: 0,
        };
        let data = |vector| state.message(vector).map(|m| m.data);
        assert_eq!(
            [0, 1, 2, 3, 4].map(data),
            [Some(0x4120), Some(0x4121), Some(0x4122), Some(0x4123), None]
        );
    }
}
