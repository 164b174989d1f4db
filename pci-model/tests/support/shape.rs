// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a function is made of, as data.

use pci_model::{
    Bar, BarKind, BuildError, Capability, Express, ExpressKind, Function, FunctionBuilder, Identity, Msi, Msix,
    PowerManagement, Rules,
};

#[derive(Clone, Debug)]
pub(crate) enum Cap {
    Power { pmc: u16, no_soft_reset: bool },
    Msi { log2: u8, wide: bool, maskable: bool },
    Msix { vectors: u16 },
    Express { kind: ExpressKind, flr: bool },
    Vendor(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) bridge: bool,
    pub(crate) pin: u8,
    pub(crate) bars: Vec<(u8, BarKind, u64)>,
    pub(crate) caps: Vec<Cap>,
}

impl Shape {
    pub(crate) fn build<const N: usize>(&self, rules: Rules) -> Result<Function<N>, BuildError> {
        let identity = Identity {
            vendor: 0x8086,
            device: 0x1912,
            class: 0x03_0000,
            interrupt_pin: self.pin,
            ..Identity::default()
        };
        let mut builder = FunctionBuilder::new(identity).rules(rules);
        if self.bridge {
            builder = builder.bridge();
        }
        for &(index, kind, size) in &self.bars {
            builder = builder.bar(index, Bar::new(kind, size)?)?;
        }
        for cap in &self.caps {
            builder = match cap {
                Cap::Power { pmc, no_soft_reset } => builder.capability(Capability::PowerManagement(PowerManagement {
                    pmc: *pmc,
                    no_soft_reset: *no_soft_reset,
                })),
                Cap::Msi { log2, wide, maskable } => {
                    builder.capability(Capability::Msi(Msi::new(1 << log2, *wide, *maskable).unwrap()))
                }
                Cap::Msix { vectors } => {
                    builder.capability(Capability::Msix(Msix::new(*vectors, (0, 0), (1, 0x8000)).unwrap()))
                }
                Cap::Express { kind, flr } => builder.capability(Capability::Express(Express {
                    kind: *kind,
                    device_capabilities: u32::from(*flr) << 28,
                    device_capabilities_2: 0,
                })),
                Cap::Vendor(body) => builder.capability(Capability::Other(0x09, body)),
            }?;
        }
        builder.build()
    }
}
