// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What software finds when it looks for the platform's ISA bridge: the host's ids, and nothing else of the host.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use lpc_bridge::{Identity, LpcBridge, Overlaid, Overlay, Pch, VirtualBridge};
use pci_model::host_bridge::I440Fx;
use pci_model::isa_bridge::{Ich9, Piix3};
use pci_model::{Bdf, Bus, ConfigAccess, ConfigMechanism, ConfigSpace, Effects, ResetControl, Rules};

const ALL_RULES: [Rules; 3] = [Rules::Specification, Rules::Qemu7, Rules::Qemu11];
const COPIED: [usize; 10] = [0, 1, 2, 3, 8, 9, 0x2c, 0x2d, 0x2e, 0x2f];

/// Any function, as a machine holds it.
struct Slot(Box<dyn ConfigSpace>);

impl ConfigSpace for Slot {
    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.0.config_read(at)
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.0.config_write(at, value)
    }

    fn reset(&mut self) -> Effects {
        self.0.reset()
    }
}

struct Machine {
    ports: ConfigMechanism,
    bus: Bus<Slot, 8>,
}

impl Machine {
    fn new(rules: Rules) -> Self {
        Self {
            ports: ConfigMechanism::new(ResetControl::Piix3, rules),
            bus: Bus::new(0),
        }
    }

    fn with(mut self, bdf: &str, function: impl ConfigSpace + 'static) -> Self {
        self.bus.insert(bdf.parse().unwrap(), Slot(Box::new(function))).unwrap();
        self
    }

    /// A read through ports 0xCF8 and 0xCFC.
    fn read<const L: usize>(&mut self, bdf: Bdf, offset: u16) -> [u8; L] {
        let address = 1 << 31 | u32::from(bdf.to_bits()) << 8 | u32::from(offset & 0xfc);
        let _ = self.ports.port_write(0, &address.to_le_bytes(), &mut self.bus);
        let mut data = [0; L];
        self.ports.port_read(4 + (offset & 3), &mut data, &mut self.bus);
        data
    }

    /// The functions of bus 0, found as an operating system does: function 0 first, others if its header says so.
    fn functions(&mut self) -> Vec<Bdf> {
        let mut found = Vec::new();
        for device in 0..32 {
            let first = Bdf::new(0, device, 0).unwrap();
            if self.read::<2>(first, 0) == [0xff, 0xff] {
                continue;
            }
            let [header] = self.read(first, 0x0e);
            for function in 0..if header & 0x80 == 0 { 1 } else { 8 } {
                let bdf = Bdf::new(0, device, function).unwrap();
                if self.read::<2>(bdf, 0) != [0xff, 0xff] {
                    found.push(bdf);
                }
            }
        }
        found
    }

    /// Intel's ISA bridges with their device ids and subsystems, in the order in which a driver comes by them.
    fn isa_bridges(&mut self) -> Vec<(Bdf, Identity)> {
        let mut found = Vec::new();
        for bdf in self.functions() {
            let [prog_if] = self.read(bdf, 9);
            let class = u16::from_le_bytes(self.read(bdf, 0x0a));
            let identity = Identity {
                vendor: u16::from_le_bytes(self.read(bdf, 0)),
                device: u16::from_le_bytes(self.read(bdf, 2)),
                revision: self.read::<1>(bdf, 8)[0],
                prog_if,
                subsystem_vendor: u16::from_le_bytes(self.read(bdf, 0x2c)),
                subsystem: u16::from_le_bytes(self.read(bdf, 0x2e)),
            };
            if class == 0x0601 && identity.vendor == 0x8086 {
                found.push((bdf, identity));
            }
        }
        found
    }
}

/// The ISA bridge of a laptop. Bytes that are no identity are all 0x5A, but for class and header type.
fn host() -> [u8; 256] {
    let mut config = [0x5a; 256];
    config[..4].copy_from_slice(&[0x86, 0x80, 0x84, 0x9d]);
    config[8..12].copy_from_slice(&[0x11, 0x00, 0x01, 0x06]);
    config[0x0e] = 0x80;
    config[0x2c..0x30].copy_from_slice(&[0xaa, 0x17, 0x92, 0x22]);
    config
}

fn bridge(rules: Rules) -> LpcBridge {
    LpcBridge::new(LpcBridge::ADDRESS, rules).unwrap()
}

#[test]
fn the_driver_finds_the_hosts_bridge_beside_the_machines_own() {
    for rules in ALL_RULES {
        let identity = Identity::from_config(&host()).unwrap();
        let mut lpc = bridge(rules);
        lpc.set_identity(identity);
        let mut machine = Machine::new(rules)
            .with("00:00.0", I440Fx::new((0x1af4, 0x1100), 1 << 30, rules).unwrap())
            .with("00:01.0", Piix3::new((0x1af4, 0x1100), rules).unwrap())
            .with("00:1f.0", lpc);
        let bridges = machine.isa_bridges();
        let [(_, piix3), (bdf, found)] = bridges[..] else {
            panic!("{bridges:?}");
        };
        assert_eq!(VirtualBridge::from_identity(&piix3), Some(VirtualBridge::Piix3));
        assert_eq!((bdf, found), (LpcBridge::ADDRESS, identity));
        assert_eq!(Pch::from_device_id(found.device), Some(Pch::CannonPointLp));
    }
}

#[test]
fn nothing_else_of_the_host_shows() {
    for rules in ALL_RULES {
        let host = host();
        let mut lpc = bridge(rules);
        lpc.set_identity(Identity::from_config(&host).unwrap());
        let mut machine = Machine::new(rules).with("00:1f.0", lpc);
        for offset in 0..0x100_u16 {
            let [byte] = machine.read::<1>(LpcBridge::ADDRESS, offset);
            let expected = match usize::from(offset) {
                copied if COPIED.contains(&copied) => host[copied],
                0x0a => 0x01,
                0x0b => 0x06,
                _ => 0,
            };
            assert_eq!(byte, expected, "{rules:?} {offset:#x}");
        }
    }
}

#[test]
fn a_bridge_without_an_identity_is_passed_by() {
    let mut machine = Machine::new(Rules::Qemu11).with("00:1f.0", bridge(Rules::Qemu11));
    assert_eq!(machine.isa_bridges(), []);
    assert_eq!(machine.read::<4>(LpcBridge::ADDRESS, 0), [0; 4]);
    assert_eq!(machine.read::<4>(LpcBridge::ADDRESS, 0x2c), [0xf4, 0x1a, 0x00, 0x11]);
}

#[test]
fn q35s_own_bridge_becomes_the_hosts_by_either_way() {
    for rules in ALL_RULES {
        let identity = Identity::from_config(&host()).unwrap();
        let overlay = Overlay::from(identity);
        let plain = Ich9::new((0x1af4, 0x1100), rules).unwrap();
        let mut patched = plain.clone();
        overlay.patch(patched.function_mut());
        for mut machine in [
            Machine::new(rules).with("00:1f.0", patched),
            Machine::new(rules).with("00:1f.0", Overlaid::new(plain.clone(), overlay)),
        ] {
            assert_eq!(machine.isa_bridges(), [(LpcBridge::ADDRESS, identity)]);
            for offset in 0..0x100 {
                let [byte] = machine.read::<1>(LpcBridge::ADDRESS, offset);
                let expected = if COPIED.contains(&usize::from(offset)) {
                    host()[usize::from(offset)]
                } else {
                    plain.function().registers().u8(offset)
                };
                assert_eq!(byte, expected, "{rules:?} {offset:#x}");
            }
        }
    }
}
