// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saved state.

/// Saved state of an [`LpcBridge`](crate::LpcBridge).
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LpcBridgeStateV1 {
    /// The configuration bytes.
    #[cfg_attr(feature = "serde", serde(with = "serde_big_array::BigArray"))]
    pub config: [u8; 256],
}
