// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A display function, as a PC has it at 00:02.0.

use pci_model::{
    Bar, BarKind, Bdf, Capability, Express, ExpressKind, FunctionBuilder, Identity, Msi, PowerManagement, Rules,
};

pub(crate) fn bdf(device: u8, function: u8) -> Bdf {
    Bdf::new(0, device, function).unwrap()
}

pub(crate) fn bar(kind: BarKind, size: u64) -> Bar {
    Bar::new(kind, size).unwrap()
}

/// 8086:1912 with BAR0 of 16 MiB, BAR2 of 256 MiB, 64 ports in BAR4, a ROM of 128 KiB, and four capabilities: vendor at
/// 40, PCI Express at 70, MSI at AC, power management at D0.
pub(crate) fn display<const N: usize>(rules: Rules) -> FunctionBuilder<N> {
    let identity = Identity {
        vendor: 0x8086,
        device: 0x1912,
        revision: 6,
        class: 0x03_0000,
        subsystem_vendor: 0x8086,
        subsystem: 0x2015,
        interrupt_pin: 1,
    };
    let express = Express {
        kind: ExpressKind::RootComplexIntegratedEndpoint,
        device_capabilities: 1 << 28,
        device_capabilities_2: 0,
    };
    let power = PowerManagement {
        pmc: 0x0003,
        no_soft_reset: true,
    };
    FunctionBuilder::new(identity)
        .rules(rules)
        .bar(0, bar(BarKind::Memory64 { prefetchable: false }, 16 << 20))
        .and_then(|f| f.bar(2, bar(BarKind::Memory64 { prefetchable: true }, 256 << 20)))
        .and_then(|f| f.bar(4, bar(BarKind::Io, 64)))
        .and_then(|f| f.bar(6, bar(BarKind::Rom, 128 << 10)))
        .and_then(|f| f.capability_at(0x40, Capability::Other(0x09, &[0x0c, 0x01, 0, 0, 0, 0, 0, 0, 0, 0])))
        .and_then(|f| f.capability_at(0x70, Capability::Express(express)))
        .and_then(|f| f.capability_at(0xac, Capability::Msi(Msi::new(1, true, false).unwrap())))
        .and_then(|f| f.capability_at(0xd0, Capability::PowerManagement(power)))
        .unwrap()
}
