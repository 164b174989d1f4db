// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Power management, capability 01h.
//!
//! ```text
//! +2 PMC    15:11 PME# from D3cold..D0 | 10 D2 | 9 D1 | 8:6 aux current | 5 DSI | 3 clock | 2:0 version
//! +4 PMCSR  15 PME status (w1c) | 14:13 scale | 12:9 data select | 8 PME enable | 3 no soft reset | 1:0 state
//! ```

use crate::registers::Registers;
use crate::rules::Rules;

const PMC: u16 = 2;
/// Offset of PMCSR in the capability.
pub(crate) const PMCSR: u16 = 4;
const STATE: u16 = 0b11;
const NO_SOFT_RESET: u16 = 1 << 3;
const PME_ENABLE: u16 = 1 << 8;
const DATA_SELECT: u16 = 0xf << 9;
const PME_STATUS: u16 = 1 << 15;
const PME_SUPPORT: u16 = 0x1f << 11;
const D1_SUPPORT: u16 = 1 << 9;
const D2_SUPPORT: u16 = 1 << 10;

/// Power state of a function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum PowerState {
    /// Fully on.
    #[default]
    D0,
    /// Light sleep, optional.
    D1,
    /// Deeper sleep, optional.
    D2,
    /// Off as far as software reaches; configuration space stays accessible.
    D3Hot,
}

impl PowerState {
    pub(crate) const fn from_pmcsr(pmcsr: u16) -> Self {
        match pmcsr & STATE {
            0 => Self::D0,
            1 => Self::D1,
            2 => Self::D2,
            _ => Self::D3Hot,
        }
    }
}

/// The power management capability of a new function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PowerManagement {
    /// Power management capabilities (PMC), read-only.
    pub pmc: u16,
    /// Whether leaving D3hot keeps the registers.
    pub no_soft_reset: bool,
}

impl PowerManagement {
    pub(crate) fn body(self) -> [u8; 6] {
        let [pmc0, pmc1] = self.pmc.to_le_bytes();
        [pmc0, pmc1, if self.no_soft_reset { 1 << 3 } else { 0 }, 0, 0, 0]
    }
}

pub(crate) fn install<const N: usize>(registers: &mut Registers<N>, at: u16) {
    let pme = registers.u16(at + PMC) & PME_SUPPORT != 0;
    let writable = if pme { STATE | PME_ENABLE | DATA_SELECT } else { STATE };
    registers.set_writable(at + PMCSR, &writable.to_le_bytes());
    if pme {
        registers.set_w1c(at + PMCSR, &PME_STATUS.to_le_bytes());
    }
    registers.clear_volatile(at + PMCSR, 2);
}

/// What a write that left `written` in PMCSR leads to: the state bits to keep, and whether the function resets.
pub(crate) const fn transition(rules: Rules, pmc: u16, old: u16, written: u16) -> (u16, bool) {
    let (from, to) = (old & STATE, written & STATE);
    let supported = match to {
        1 => pmc & D1_SUPPORT != 0,
        2 => pmc & D2_SUPPORT != 0,
        _ => true,
    };
    let checks = !matches!(rules, Rules::Qemu7);
    let allowed = !checks || (supported && (to == 0 || to >= from));
    let state = if allowed { to } else { from };
    let resets = matches!(rules, Rules::Specification) && from == 3 && state == 0 && old & NO_SOFT_RESET == 0;
    (state, resets)
}

/// Whether a function in this state decodes its BARs.
pub(crate) const fn decodes(rules: Rules, state: PowerState) -> bool {
    matches!(rules, Rules::Qemu7) || matches!(state, PowerState::D0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions() {
        let all = D1_SUPPORT | D2_SUPPORT;
        let spec = |pmc, old, new| transition(Rules::Specification, pmc, old, new);
        assert_eq!(spec(0, 0, 3), (3, false));
        assert_eq!(spec(0, 3, 0), (0, true), "leaving D3hot resets");
        assert_eq!(spec(0, 3 | NO_SOFT_RESET, NO_SOFT_RESET), (0, false));
        assert_eq!(spec(0, 0, 1), (0, false), "D1 is not there");
        assert_eq!(spec(all, 0, 1), (1, false));
        assert_eq!(spec(all, 2, 1), (2, false), "only D0 is shallower");
        assert_eq!(spec(all, 3, 1), (3, false));
        assert_eq!(transition(Rules::Qemu7, 0, 3, 1), (1, false));
        assert_eq!(transition(Rules::Qemu11, 0, 3, 1), (3, false));
        assert_eq!(transition(Rules::Qemu11, 0, 3, 0), (0, false));
    }
}
