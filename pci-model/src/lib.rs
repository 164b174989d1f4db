// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![no_std]
#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod access;
mod bar;
mod bar_map;
mod bdf;
mod builder;
mod bus;
mod capability;
pub mod carve;
mod ecam;
mod effects;
mod function;
pub mod host_bridge;
pub mod isa_bridge;
mod lanes;
mod mechanism;
mod passthrough;
mod registers;
mod rules;
pub mod spec;
mod state;
mod window;

pub use access::{ConfigAccess, EXTENDED_CONFIG_SIZE, Width};
pub use bar::{BAR_COUNT, Bar, BarError, BarKind, Bars, DecodeLimits, ROM};
pub use bar_map::{BarMap, BarRange, BarSpace, BarStep};
pub use bdf::{Bdf, ParseBdfError};
pub use builder::{BuildError, Capability, FunctionBuilder, Identity};
pub use bus::{Bus, BusError, ConfigRouter};
pub use capability::{
    CapabilityHeader, Express, ExpressKind, ExtendedCapabilityHeader, Msi, MsiDelivery, MsiError, MsiMessage, MsiState,
    Msix, MsixControl, MsixDelivery, MsixError, MsixTable, MsixTableStateError, MsixTableStateV1, PowerManagement,
    PowerState, capabilities, extended_capabilities, hide_capability, hide_extended_capability,
};
pub use ecam::{Ecam, EcamWindow};
pub use effects::Effects;
pub use function::Function;
pub use mechanism::{CONFIG_PORT, CONFIG_PORTS, ConfigMechanism, ConfigMechanismStateV1, PortEffects, ResetControl};
pub use passthrough::{ConfigBackend, Forward, Passthrough, PassthroughError};
pub use registers::{ImmutableByte, Registers};
pub use rules::{Rules, Unaligned};
pub use state::FunctionStateV1;
pub use window::{ConfigSpace, Mmio, PortIo};
