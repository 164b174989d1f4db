// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The saved state as bytes. What is written here once must be read for ever.
#![cfg(feature = "serde")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use lpc_bridge::{Identity, LpcBridge, LpcBridgeStateV1, Pch};
use pci_model::{ConfigAccess, ConfigSpace, Rules, Width};

/// The configuration bytes and nothing before or after them.
const GOLDEN: &str = "\
    8680849d07050000110001064000800000000000000000000000000000000000\
    000000000000000000000000aa1792220000000000000000000000000b000000\
    efbeadde00000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000a5";

fn golden() -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&GOLDEN[at..at + 2], 16).unwrap();
    (0..GOLDEN.len()).step_by(2).map(byte).collect()
}

fn bridge() -> LpcBridge {
    let mut bridge = LpcBridge::new(LpcBridge::ADDRESS, Rules::Qemu11).unwrap();
    bridge.set_identity(Identity {
        revision: 0x11,
        subsystem_vendor: 0x17aa,
        subsystem: 0x2292,
        ..Identity::from(Pch::CannonPointLp)
    });
    bridge.set_multi_function(true);
    bridge
}

#[test]
fn version_1_is_written_and_read() {
    let mut saved = bridge();
    for (offset, width, value) in [
        (0x04, Width::Word, 0xffff),
        (0x0c, Width::Byte, 0x40),
        (0x3c, Width::Byte, 0x0b),
        (0x40, Width::Dword, 0xdead_beef),
        (0xff, Width::Byte, 0xa5),
    ] {
        let _ = saved.config_write(ConfigAccess::new(offset, width).unwrap(), value);
    }
    assert_eq!(postcard::to_allocvec(&saved.state()).unwrap(), golden());
    let state: LpcBridgeStateV1 = postcard::from_bytes(&golden()).unwrap();
    let mut restored = bridge();
    let _ = restored.restore(&state).unwrap();
    assert_eq!(restored, saved);
}

#[test]
fn a_truncated_state_is_refused() {
    let golden = golden();
    for len in 0..golden.len() {
        assert!(
            postcard::from_bytes::<LpcBridgeStateV1>(&golden[..len]).is_err(),
            "{len}"
        );
    }
}
