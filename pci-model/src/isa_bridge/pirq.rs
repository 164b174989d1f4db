// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where a PIRQ line leads.

/// Where a PIRQ line leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PirqRoute {
    /// To this interrupt of the two 8259 controllers, 0 to 15.
    Isa(u8),
    /// Nowhere; on a machine with an I/O APIC, to the input of the line.
    Disconnected,
}

impl PirqRoute {
    /// The route of a PIRQ routing register: bit 7 disconnects, 3:0 is the interrupt. Other values than 0 to 15
    /// disconnect as well.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        if bits < 16 { Self::Isa(bits) } else { Self::Disconnected }
    }
}
