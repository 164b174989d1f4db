// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a configuration write changed.

use bitflags::bitflags;

bitflags! {
    /// What a configuration write or a reset changed, for the VMM to act on.
    ///
    /// An effect says *what* changed; the state of the function says *to what*: after [`BAR_MAP`](Self::BAR_MAP) ask
    /// [`ConfigSpace::bar_map`](crate::ConfigSpace::bar_map) and compare it with the map that is applied.
    #[must_use = "an effect that nobody acts on leaves the guest's view and the VMM's apart"]
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Effects: u32 {
        /// A BAR is decoded somewhere else, or no longer, or again.
        const BAR_MAP = 1 << 0;
        /// The level that the function drives on its INTx pin changed.
        const INTX = 1 << 1;
        /// MSI was enabled or disabled, its message changed, or a pending vector may now be delivered.
        const MSI = 1 << 2;
        /// MSI-X was enabled, disabled, masked or unmasked as a whole.
        const MSIX = 1 << 3;
        /// The power state changed.
        const POWER = 1 << 4;
        /// The function was reset: by function level reset, or by leaving D3hot without soft reset protection.
        const FUNCTION_RESET = 1 << 5;
        /// Bus mastering was enabled or disabled.
        const BUS_MASTER = 1 << 6;
        /// The attributes of a shadow RAM segment (PAM) changed.
        const PAM = 1 << 7;
        /// What stands at SMRAM or TSEG changed.
        const SMRAM = 1 << 8;
        /// The ECAM window was opened, closed, moved or resized.
        const ECAM = 1 << 9;
        /// The routing of a PIRQ line changed.
        const PIRQ = 1 << 10;
        /// The ACPI register block (PMBASE) was moved, opened, closed, or its interrupt changed.
        const ACPI = 1 << 11;
        /// The root complex register block (RCBA) was moved, opened or closed.
        const RCBA = 1 << 12;
        /// Software asked for a reset of the whole system.
        const SYSTEM_RESET = 1 << 13;
        /// Bus numbers, windows or the secondary reset of a bridge changed.
        const BRIDGE = 1 << 14;
    }
}
