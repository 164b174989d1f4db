// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The ISA bridge itself.
//!
//! ```text
//! 00 vendor, device   04 command (0507 writable)   08 revision   09 class 0601xx   0C cache line size (writable)
//! 0E header type 0, bit 7 by option   2C subsystem   3C interrupt line (writable)   40..FF by the rules
//! ```

use pci_model::{
    BarMap, Bdf, BuildError, ConfigAccess, ConfigSpace, Effects, Function, FunctionBuilder, ImmutableByte, Rules,
    spec as pci,
};

use crate::identity::Identity;
use crate::overlay::Overlay;
use crate::spec;
use crate::state::LpcBridgeStateV1;

/// An ISA bridge at 00:1f.0 that has an identity and does nothing: no BAR, no capability, no interrupt.
///
/// It is what QEMU calls `vfio-pci-igd-lpc-bridge`. Under QEMU's rules the bytes from 0x40 on are storage which a reset
/// leaves alone; under those of the specification they are read-only zero.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LpcBridge {
    function: Function<256>,
}

/// A bridge that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LpcBridgeError {
    /// Software looks for the bridge at 00:1f.0 and nowhere else.
    #[error("the ISA bridge has its place at 00:1f.0, not at {found}")]
    Address {
        /// The address asked for.
        found: Bdf,
    },
    /// The function cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl LpcBridge {
    /// Where software looks for the bridge: 00:1f.0.
    pub const ADDRESS: Bdf = spec::LPC_ADDRESS;

    /// A bridge without an identity: it has the vendor id 0000 until [`set_identity`](Self::set_identity), and firmware
    /// takes it for absent.
    ///
    /// # Errors
    ///
    /// `bdf` is not [`ADDRESS`](Self::ADDRESS).
    pub fn new(bdf: Bdf, rules: Rules) -> Result<Self, LpcBridgeError> {
        if bdf != Self::ADDRESS {
            return Err(LpcBridgeError::Address { found: bdf });
        }
        let header = pci_model::Identity {
            class: u32::from(spec::CLASS_ISA_BRIDGE) << 8,
            ..pci_model::Identity::default()
        };
        let function = FunctionBuilder::new(header).rules(rules).build()?;
        let mut bridge = Self { function };
        bridge.set_identity(Identity::default());
        Ok(bridge)
    }

    /// Gives the bridge an identity, at once and over every reset.
    pub fn set_identity(&mut self, identity: Identity) {
        Overlay::from(identity).patch(&mut self.function);
    }

    /// The identity it shows.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::read(self.function.registers().bytes())
    }

    /// Says whether device 1f has other functions, which software does not look for otherwise.
    pub fn set_multi_function(&mut self, multi_function: bool) {
        let header = if multi_function { pci::MULTI_FUNCTION } else { 0 };
        self.function.registers_mut().set(pci::HEADER_TYPE, &[header]);
    }

    /// The state to save.
    #[must_use]
    pub fn state(&self) -> LpcBridgeStateV1 {
        let Self { function } = self;
        let config = function.state().config;
        LpcBridgeStateV1 { config }
    }

    /// Puts a saved state into this bridge, which must have the identity and options of the saved one.
    ///
    /// # Errors
    ///
    /// A byte of the state has read-only bits that this bridge has not; the bridge is unchanged.
    pub fn restore(&mut self, state: &LpcBridgeStateV1) -> Result<Effects, ImmutableByte> {
        let LpcBridgeStateV1 { config } = state;
        // A bridge that masters nothing and raises nothing never has a bit to clear.
        for (offset, found) in (0..).zip(config).skip(usize::from(pci::STATUS)).take(2) {
            let expected = self.function.registers().u8(offset);
            if expected != *found {
                return Err(ImmutableByte {
                    offset,
                    fixed: 0xff,
                    expected,
                    found: *found,
                });
            }
        }
        self.function.restore(&pci_model::FunctionStateV1 {
            config: *config,
            intx_asserted: false,
        })
    }
}

impl ConfigSpace for LpcBridge {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.function.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.function.config_write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        self.function.bar_map()
    }

    fn reset(&mut self) -> Effects {
        self.function.reset()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use pci_model::Width;
    use std::string::ToString;

    #[test]
    fn any_other_address_is_refused_by_name() {
        for bits in 0..=u16::MAX {
            let found = Bdf::from_bits(bits);
            let bridge = LpcBridge::new(found, Rules::Qemu11);
            assert_eq!(bridge.is_ok(), bits == 0x00f8, "{found}");
        }
        let error = LpcBridge::new(Bdf::from_bits(0x01f8), Rules::Qemu7).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ISA bridge has its place at 00:1f.0, not at 01:1f.0"
        );
    }

    #[test]
    fn without_an_identity_firmware_sees_nothing() {
        let bridge = LpcBridge::new(LpcBridge::ADDRESS, Rules::Qemu11).unwrap();
        assert_eq!(bridge.identity(), Identity::default());
        let mut expected = [0; 256];
        expected[0x0a..0x0c].copy_from_slice(&[0x01, 0x06]);
        expected[0x2c..0x30].copy_from_slice(&[0xf4, 0x1a, 0x00, 0x11]);
        assert_eq!(bridge.state().config, expected);
    }

    #[test]
    fn the_device_area_follows_the_rules() {
        for (rules, kept) in [
            (Rules::Specification, 0),
            (Rules::Qemu7, 0xa5a5_a5a5),
            (Rules::Qemu11, 0xa5a5_a5a5),
        ] {
            let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, rules).unwrap();
            for offset in (0x40..0x100).step_by(4) {
                let at = ConfigAccess::new(offset, Width::Dword).unwrap();
                assert_eq!(bridge.config_write(at, 0xa5a5_a5a5), Effects::empty());
                assert_eq!(bridge.config_read(at), kept, "{rules:?} {offset:#x}");
                assert_eq!(bridge.reset(), Effects::empty());
                assert_eq!(bridge.config_read(at), kept, "{rules:?} {offset:#x}");
            }
        }
    }

    #[test]
    fn says_whether_it_is_alone() {
        let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, Rules::Qemu11).unwrap();
        let at = ConfigAccess::new(0x0e, Width::Byte).unwrap();
        bridge.set_multi_function(true);
        bridge.set_identity(Identity::default());
        let _ = bridge.config_write(at, 0);
        let _ = bridge.reset();
        assert_eq!(bridge.config_read(at), 0x80);
        bridge.set_multi_function(false);
        assert_eq!(bridge.config_read(at), 0);
    }

    #[test]
    fn a_state_with_signals_it_never_raises_is_refused() {
        let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, Rules::Qemu11).unwrap();
        let before = bridge.clone();
        for (offset, found) in [(6, 0x08), (7, 0xf9), (0, 0x86), (0x0e, 0x80), (0x3d, 1)] {
            let mut state = before.state();
            state.config[usize::from(offset)] = found;
            let error = bridge.restore(&state).unwrap_err();
            assert_eq!((error.offset, error.found), (offset, found));
            assert_eq!(bridge, before);
        }
    }
}
