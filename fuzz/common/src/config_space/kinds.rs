// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The functions that are fuzzed, as data that both the crate's builder and the naive model are made from.

use pci_model::{
    Bar, BarKind, BuildError, Capability, DecodeLimits, Express, ExpressKind, Function, FunctionBuilder, Identity, Msi,
    Msix, PowerManagement, Rules,
};

/// Kind of a BAR; prefetchable memory is a kind of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Mem32,
    Mem32Pref,
    Mem64,
    Mem64Pref,
    Io,
    Rom,
}

/// A capability, by the fields that decide over its masks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cap {
    Power {
        pmc: u16,
        no_soft_reset: bool,
    },
    Msi {
        log2: u8,
        wide: bool,
        maskable: bool,
    },
    Msix {
        vectors: u16,
    },
    Express {
        code: u8,
        caps: u32,
        caps2: u32,
    },
    /// Advanced features, with or without function level reset.
    Advanced {
        flr: bool,
    },
    Other {
        id: u8,
        body: &'static [u8],
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) bridge: bool,
    pub(super) pin: u8,
    pub(super) bars: &'static [(u8, Kind, u64)],
    /// Places in the order of the list.
    pub(super) caps: &'static [(u16, Cap)],
    /// Last memory address that BARs are decoded at, if the machine sets one.
    pub(super) memory_last: Option<u64>,
}

pub(super) const PLAIN: Shape = Shape {
    name: "no BARs",
    bridge: false,
    pin: 0,
    bars: &[],
    caps: &[],
    memory_last: None,
};

pub(super) const CONVENTIONAL: [Shape; 6] = [
    Shape {
        name: "all kinds of BARs",
        pin: 1,
        bars: &[
            (0, Kind::Mem32, 0x1000),
            (1, Kind::Mem32Pref, 0x10_0000),
            (2, Kind::Io, 0x40),
            (3, Kind::Mem64, 0x100_0000),
            (5, Kind::Io, 0x1_0000),
            (6, Kind::Rom, 0x1_0000),
        ],
        caps: &[
            (
                0x40,
                Cap::Power {
                    pmc: 0xfe03,
                    no_soft_reset: false,
                },
            ),
            (
                0x50,
                Cap::Msi {
                    log2: 3,
                    wide: true,
                    maskable: true,
                },
            ),
            (
                0x70,
                Cap::Other {
                    id: 9,
                    body: &[7, 0xaa, 0xbb, 0xcc, 0xdd],
                },
            ),
        ],
        ..PLAIN
    },
    Shape {
        name: "graphics",
        pin: 1,
        bars: &[
            (0, Kind::Mem64, 0x100_0000),
            (2, Kind::Mem64Pref, 0x1000_0000),
            (4, Kind::Io, 0x40),
        ],
        caps: &[
            (
                0x40,
                Cap::Other {
                    id: 9,
                    body: &[0x0c, 1, 0x10, 0x21, 0x62, 0, 0, 0, 0, 0],
                },
            ),
            (
                0x70,
                Cap::Express {
                    code: 9,
                    caps: 0x1000_8000,
                    caps2: 0,
                },
            ),
            (
                0xac,
                Cap::Msi {
                    log2: 0,
                    wide: false,
                    maskable: false,
                },
            ),
            (
                0xd0,
                Cap::Power {
                    pmc: 0x0002,
                    no_soft_reset: true,
                },
            ),
        ],
        ..PLAIN
    },
    Shape {
        name: "bridge",
        bridge: true,
        pin: 2,
        bars: &[(0, Kind::Mem64, 0x100), (6, Kind::Rom, 0x800)],
        caps: &[
            (
                0xf0,
                Cap::Msi {
                    log2: 1,
                    wide: false,
                    maskable: false,
                },
            ),
            (
                0x80,
                Cap::Power {
                    pmc: 0x4801,
                    no_soft_reset: false,
                },
            ),
            (
                0x44,
                Cap::Other {
                    id: 0x0d,
                    body: &[0, 0, 0xf4, 0x1a, 0x00, 0x11],
                },
            ),
        ],
        ..PLAIN
    },
    Shape {
        name: "32 vectors, advanced features",
        pin: 4,
        bars: &[
            (0, Kind::Io, 4),
            (1, Kind::Mem32, 0x10),
            (2, Kind::Mem32, 0x8000_0000),
            (4, Kind::Mem64, 0x8000_0000_0000_0000),
            (6, Kind::Rom, 0x100_0000),
        ],
        caps: &[
            (
                0x48,
                Cap::Msi {
                    log2: 5,
                    wide: false,
                    maskable: true,
                },
            ),
            (0x60, Cap::Advanced { flr: true }),
            (0x68, Cap::Msix { vectors: 2048 }),
            (
                0x78,
                Cap::Power {
                    pmc: 0x0003,
                    no_soft_reset: false,
                },
            ),
        ],
        ..PLAIN
    },
    Shape {
        name: "39 address bits",
        bars: &[
            (0, Kind::Mem64, 0x4000_0000),
            (2, Kind::Mem32, 0x40),
            (4, Kind::Mem64Pref, 0x1_0000_0000),
        ],
        caps: &[(0x40, Cap::Advanced { flr: false }), (0x50, Cap::Msix { vectors: 1 })],
        memory_last: Some(0x7f_ffff_ffff),
        ..PLAIN
    },
    PLAIN,
];

pub(super) const EXTENDED: [Shape; 2] = [
    Shape {
        name: "endpoint",
        pin: 1,
        bars: &[
            (0, Kind::Mem64, 0x4000),
            (2, Kind::Mem64Pref, 0x2_0000_0000),
            (6, Kind::Rom, 0x8_0000),
        ],
        caps: &[
            (
                0x40,
                Cap::Express {
                    code: 0,
                    caps: 0x1000_0020,
                    caps2: 0x000c_0000 | 0x1f,
                },
            ),
            (
                0x80,
                Cap::Power {
                    pmc: 0xc803,
                    no_soft_reset: true,
                },
            ),
            (0x90, Cap::Msix { vectors: 64 }),
            (
                0xa0,
                Cap::Msi {
                    log2: 4,
                    wide: true,
                    maskable: false,
                },
            ),
        ],
        ..PLAIN
    },
    Shape {
        name: "legacy endpoint",
        bars: &[(0, Kind::Mem32, 0x1000)],
        caps: &[
            (
                0xc4,
                Cap::Express {
                    code: 1,
                    caps: 0x0000_0018,
                    caps2: 0x0020_0b60,
                },
            ),
            (
                0x40,
                Cap::Power {
                    pmc: 0x0603,
                    no_soft_reset: false,
                },
            ),
        ],
        ..PLAIN
    },
];

impl Kind {
    pub(super) const fn is_wide(self) -> bool {
        matches!(self, Self::Mem64 | Self::Mem64Pref)
    }

    fn of_crate(self) -> BarKind {
        match self {
            Self::Mem32 => BarKind::Memory32 { prefetchable: false },
            Self::Mem32Pref => BarKind::Memory32 { prefetchable: true },
            Self::Mem64 => BarKind::Memory64 { prefetchable: false },
            Self::Mem64Pref => BarKind::Memory64 { prefetchable: true },
            Self::Io => BarKind::Io,
            Self::Rom => BarKind::Rom,
        }
    }
}

/// The identity of every function here; the model writes the same bytes by hand.
pub(super) fn identity(pin: u8) -> Identity {
    Identity {
        vendor: 0x8086,
        device: 0x1912,
        revision: 6,
        class: 0x03_8000,
        subsystem_vendor: 0x1af4,
        subsystem: 0x1100,
        interrupt_pin: pin,
    }
}

/// Gives a builder the BARs and limits of a shape.
pub(super) fn with_bars<const N: usize>(
    mut builder: FunctionBuilder<N>,
    shape: &Shape,
    rules: Rules,
) -> Result<FunctionBuilder<N>, BuildError> {
    builder = builder.rules(rules);
    for &(index, kind, size) in shape.bars {
        builder = builder.bar(index, Bar::new(kind.of_crate(), size)?)?;
    }
    if let Some(memory_last) = shape.memory_last {
        let limits = DecodeLimits::new(rules);
        builder = builder.limits(DecodeLimits { memory_last, ..limits });
    }
    Ok(builder)
}

/// Builds a shape with the crate.
pub(super) fn build<const N: usize>(shape: &Shape, rules: Rules) -> Result<Function<N>, Box<dyn std::error::Error>> {
    let mut builder = FunctionBuilder::<N>::new(identity(shape.pin));
    if shape.bridge {
        builder = builder.bridge();
    }
    builder = with_bars(builder, shape, rules)?;
    for &(at, cap) in shape.caps {
        let advanced;
        let cap = match cap {
            Cap::Power { pmc, no_soft_reset } => Capability::PowerManagement(PowerManagement { pmc, no_soft_reset }),
            Cap::Msi { log2, wide, maskable } => Capability::Msi(Msi::new(1 << log2, wide, maskable)?),
            Cap::Msix { vectors } => Capability::Msix(Msix::new(vectors, (0, 0), (0, 0x800))?),
            Cap::Express { code, caps, caps2 } => Capability::Express(Express {
                kind: match code {
                    0 => ExpressKind::Endpoint,
                    1 => ExpressKind::LegacyEndpoint,
                    _ => ExpressKind::RootComplexIntegratedEndpoint,
                },
                device_capabilities: caps,
                device_capabilities_2: caps2,
            }),
            Cap::Advanced { flr } => {
                advanced = [6, if flr { 3 } else { 1 }, 0, 0];
                Capability::Other(0x13, &advanced)
            }
            Cap::Other { id, body } => Capability::Other(id, body),
        };
        builder = builder.capability_at(at, cap)?;
    }
    Ok(builder.build()?)
}
