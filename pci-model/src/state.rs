// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved state.

/// Saved state of a [`Function`](crate::Function).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FunctionStateV1<const N: usize> {
    /// The configuration bytes.
    #[cfg_attr(feature = "serde", serde(with = "serde_big_array::BigArray"))]
    pub config: [u8; N],
    /// What the device wants on its INTx pin.
    pub intx_asserted: bool,
}
