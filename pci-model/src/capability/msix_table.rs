// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The MSI-X table and pending bits as a small device.
//!
//! ```text
//! entry, 16 bytes: +0 address | +4 upper address | +8 data | +C vector control: bit 0 mask
//! ```

use crate::capability::msi::MsiMessage;
use crate::capability::msix::MsixControl;

const ENTRY: u64 = 16;

/// The table and the pending bits of `V` vectors, 1 to 2048.
///
/// Valid accesses are 4 or 8 bytes, naturally aligned. All others are harmless: a read gives ones, a write is dropped.
/// After a write, or after the control word changed, ask [`take_pending`](Self::take_pending) for messages that may go
/// out now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MsixTable<const V: usize> {
    entries: [[u32; 4]; V],
    pending: [bool; V],
}

impl<const V: usize> Default for MsixTable<V> {
    fn default() -> Self {
        Self::new()
    }
}

/// What becomes of an interrupt that a function raises.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MsixDelivery {
    /// Send this message.
    Send(MsiMessage),
    /// The vector or the function is masked; the vector is pending now.
    Held,
    /// MSI-X is disabled or there is no such vector.
    Off,
}

impl<const V: usize> MsixTable<V> {
    const VALID: () = assert!(V >= 1 && V <= 2048, "an MSI-X table has 1 to 2048 vectors");

    /// A table with every vector masked.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::VALID;
        Self {
            entries: [[0, 0, 0, 1]; V],
            pending: [false; V],
        }
    }

    /// Size of the table in bytes.
    #[must_use]
    pub const fn table_len() -> u64 {
        V as u64 * ENTRY
    }

    /// Size of the pending bits in bytes: whole 64-bit words.
    #[must_use]
    pub const fn pending_len() -> u64 {
        V.div_ceil(64) as u64 * 8
    }

    /// Every vector masked, nothing pending.
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// The dword at an offset, if it is aligned and there is one.
    #[inline]
    fn dword(&mut self, offset: u64) -> Option<&mut u32> {
        let at = usize::try_from(offset / 4).ok().filter(|_| offset.is_multiple_of(4))?;
        self.entries.as_flattened_mut().get_mut(at)
    }

    /// Reads the table.
    #[inline]
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        match <&mut [u8; 4]>::try_from(&mut *data) {
            Ok(data) => *data = self.dword(offset).map_or(u32::MAX, |dword| *dword).to_le_bytes(),
            Err(_) => self.read_wide(offset, data),
        }
    }

    #[inline(never)]
    fn read_wide(&mut self, offset: u64, data: &mut [u8]) {
        if !is_valid(offset, data.len(), Self::table_len()) {
            data.fill(0xff);
            return;
        }
        for (at, part) in (offset..).step_by(4).zip(data.chunks_mut(4)) {
            part.copy_from_slice(&self.dword(at).map_or(u32::MAX, |dword| *dword).to_le_bytes());
        }
    }

    /// Writes the table. Of the vector control only the mask bit is kept.
    #[inline]
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        match data.try_into() {
            Ok(data) => self.write_dword(offset, u32::from_le_bytes(data)),
            Err(_) => self.write_wide(offset, data),
        }
    }

    #[inline]
    fn write_dword(&mut self, offset: u64, value: u32) {
        let keep = match offset % ENTRY {
            0 => 0xffff_fffc,
            0xc => 1,
            _ => u32::MAX,
        };
        if let Some(dword) = self.dword(offset) {
            *dword = value & keep;
        }
    }

    #[inline(never)]
    fn write_wide(&mut self, offset: u64, data: &[u8]) {
        if !is_valid(offset, data.len(), Self::table_len()) {
            return;
        }
        for (at, part) in (offset..).step_by(4).zip(data.chunks(4)) {
            if let Ok(bytes) = part.try_into() {
                self.write_dword(at, u32::from_le_bytes(bytes));
            }
        }
    }

    /// Reads the pending bits; they are read-only.
    pub fn read_pending(&self, offset: u64, data: &mut [u8]) {
        if !is_valid(offset, data.len(), Self::pending_len()) {
            data.fill(0xff);
            return;
        }
        for (byte, at) in data.iter_mut().zip(offset..) {
            let first = usize::try_from(at).ok().and_then(|at| at.checked_mul(8));
            let bits = first.and_then(|first| self.pending.get(first..)).unwrap_or(&[]);
            *byte = bits
                .iter()
                .zip(0..8)
                .fold(0, |byte, (bit, i)| byte | u8::from(*bit) << i);
        }
    }

    /// Raises `vector`.
    pub fn fire(&mut self, vector: u16, control: MsixControl) -> MsixDelivery {
        let Some((entry, pending)) = self
            .entries
            .get(usize::from(vector))
            .zip(self.pending.get_mut(usize::from(vector)))
        else {
            return MsixDelivery::Off;
        };
        if !control.enabled {
            return MsixDelivery::Off;
        }
        if control.function_mask || is_masked(entry) {
            *pending = true;
            return MsixDelivery::Held;
        }
        MsixDelivery::Send(message(entry))
    }

    /// Takes the lowest vector that is pending and no longer masked.
    pub fn take_pending(&mut self, control: MsixControl) -> Option<MsiMessage> {
        if !control.enabled || control.function_mask {
            return None;
        }
        let (entry, pending) = self
            .entries
            .iter()
            .zip(&mut self.pending)
            .find(|(entry, pending)| **pending && !is_masked(entry))?;
        *pending = false;
        Some(message(entry))
    }

    /// The message of `vector` and whether the vector is masked, or `None` if there is no such vector.
    #[must_use]
    pub fn vector(&self, vector: u16) -> Option<(MsiMessage, bool)> {
        self.entries
            .get(usize::from(vector))
            .map(|entry| (message(entry), is_masked(entry)))
    }

    /// The state to save.
    #[must_use]
    pub fn state(&self) -> MsixTableStateV1<V> {
        let Self { entries, pending } = self;
        MsixTableStateV1 {
            entries: *entries,
            pending: *pending,
        }
    }

    /// The table in a saved state.
    ///
    /// # Errors
    ///
    /// An entry holds bits that no write leaves there.
    pub fn from_state(state: &MsixTableStateV1<V>) -> Result<Self, MsixTableStateError> {
        let MsixTableStateV1 { entries, pending } = state;
        for (vector, [address, _, _, control]) in (0_u16..).zip(entries) {
            if address & 3 != 0 || *control > 1 {
                return Err(MsixTableStateError {
                    vector,
                    address: *address,
                    control: *control,
                });
            }
        }
        Ok(Self {
            entries: *entries,
            pending: *pending,
        })
    }
}

/// A saved vector that no guest could have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("vector {vector} has address {address:#x} and control {control:#x}: bits are set that are read-only zero")]
pub struct MsixTableStateError {
    /// The vector.
    pub vector: u16,
    /// Its address, low half.
    pub address: u32,
    /// Its vector control.
    pub control: u32,
}

/// Saved state of an [`MsixTable`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MsixTableStateV1<const V: usize> {
    /// Address, upper address, data and vector control of each vector.
    #[cfg_attr(feature = "serde", serde(with = "serde_big_array::BigArray"))]
    pub entries: [[u32; 4]; V],
    /// Vectors that fired while masked.
    #[cfg_attr(feature = "serde", serde(with = "serde_big_array::BigArray"))]
    pub pending: [bool; V],
}

/// Whether an access is of a valid width, aligned, and begins inside of the structure; then it ends inside too.
const fn is_valid(offset: u64, len: usize, limit: u64) -> bool {
    let is_aligned = match len {
        4 => offset.is_multiple_of(4),
        8 => offset.is_multiple_of(8),
        _ => false,
    };
    is_aligned && offset < limit
}

fn is_masked(entry: &[u32; 4]) -> bool {
    let [.., control] = entry;
    control & 1 != 0
}

fn message(entry: &[u32; 4]) -> MsiMessage {
    let [low, high, data, _] = *entry;
    MsiMessage {
        address: u64::from(high) << 32 | u64::from(low),
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: MsixControl = MsixControl {
        enabled: true,
        function_mask: false,
        vectors: 8,
    };

    #[test]
    fn a_masked_vector_is_held_and_then_sent() {
        let mut table = MsixTable::<8>::new();
        let mut control = [0; 4];
        table.read(12, &mut control);
        assert_eq!(u32::from_le_bytes(control), 1, "masked at reset");
        table.write(0, &0xfee0_1000_u64.to_le_bytes());
        table.write(8, &0x4123_u32.to_le_bytes());
        assert_eq!(table.fire(0, ON), MsixDelivery::Held);
        let mut pending = [0; 8];
        table.read_pending(0, &mut pending);
        assert_eq!(pending, [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(table.take_pending(ON), None);
        table.write(12, &0_u32.to_le_bytes());
        let message = MsiMessage {
            address: 0xfee0_1000,
            data: 0x4123,
        };
        assert_eq!(
            table.take_pending(MsixControl {
                function_mask: true,
                ..ON
            }),
            None
        );
        assert_eq!(table.take_pending(ON), Some(message));
        assert_eq!(table.take_pending(ON), None);
        assert_eq!(table.fire(0, ON), MsixDelivery::Send(message));
        assert_eq!(table.fire(0, MsixControl { enabled: false, ..ON }), MsixDelivery::Off);
        assert_eq!(table.fire(8, ON), MsixDelivery::Off);
    }

    #[test]
    fn odd_accesses_are_harmless() {
        let mut table = MsixTable::<3>::new();
        let before = table.clone();
        for offset in [0, 1, 2, 3, 4, 7, 0x2c, 0x30, u64::MAX - 3, u64::MAX] {
            for len in [0_usize, 1, 2, 3, 5, 7, 16] {
                let mut data = [0; 16];
                table.read(offset, &mut data[..len]);
                assert!(data[..len].iter().all(|byte| *byte == 0xff));
                table.read_pending(offset, &mut data[..len]);
                table.write(offset, &data[..len]);
            }
        }
        for offset in [0x30, u64::MAX - 3] {
            table.write(offset, &[0; 4]);
            let mut data = [0; 4];
            table.read(offset, &mut data);
            assert_eq!(data, [0xff; 4]);
        }
        assert_eq!(table, before);
    }

    #[test]
    fn pending_bits_of_a_part_of_a_byte() {
        let mut table = MsixTable::<11>::new();
        for vector in [0, 7, 8, 10] {
            assert_eq!(table.fire(vector, ON), MsixDelivery::Held);
        }
        let mut pending = [0xee; 8];
        table.read_pending(0, &mut pending);
        assert_eq!(pending, [0x81, 0x05, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            (MsixTable::<11>::table_len(), MsixTable::<65>::pending_len()),
            (176, 16)
        );
    }

    #[test]
    fn state_is_the_whole_table_and_hostile_state_is_refused() {
        let mut table = MsixTable::<2>::new();
        table.write(16, &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]);
        let _ = table.fire(1, ON);
        let state = table.state();
        assert_eq!(MsixTable::from_state(&state), Ok(table));
        let hostile = MsixTableStateV1 {
            entries: [[2, 0, 0, 0]; 2],
            pending: [false; 2],
        };
        assert_eq!(
            MsixTable::from_state(&hostile),
            Err(MsixTableStateError {
                vector: 0,
                address: 2,
                control: 0
            })
        );
    }
}
