// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why a machine cannot be had.

use std::io;

use pci_model::{BuildError, BusError};

use crate::assigned::ApplyError;
use crate::irq::IrqError;
use crate::memory::RamError;

/// Why a machine cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// There is no KVM.
    #[error("/dev/kvm: {0} (is the module kvm_intel or kvm_amd loaded, and may you open the device?)")]
    NoKvm(kvm_ioctls::Error),
    /// KVM refused.
    #[error("{what}: {source}")]
    Kvm {
        /// What was asked.
        what: &'static str,
        /// Why.
        source: kvm_ioctls::Error,
    },
    /// Guest RAM.
    #[error(transparent)]
    Ram(#[from] RamError),
    /// Interrupts.
    #[error(transparent)]
    Irq(#[from] IrqError),
    /// The device.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A function of the board.
    #[error(transparent)]
    Function(#[from] BuildError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The identity of a bridge.
    #[error("bytes of a bridge: {0}")]
    Patch(#[from] lpc_bridge::PatchError),
    /// The bridge at 00:1f.0.
    #[error(transparent)]
    Lpc(#[from] lpc_bridge::LpcBridgeError),
    /// The identity of the bridge at 00:1f.0.
    #[error("00:1f.0: {0}")]
    Identity(#[from] lpc_bridge::ConfigError),
    /// The device needs an address in the guest.
    #[error("the device has no address in the guest; say one, such as addr=0x2")]
    NoAddress,
    /// Something of the host's failed.
    #[error("{what}: {source}")]
    Host {
        /// What was asked.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What the guest boots with.
    #[error("{0}")]
    Boot(String),
}

impl MachineError {
    pub(super) fn kvm(what: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |source| Self::Kvm { what, source }
    }

    pub(super) fn host(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { what, source }
    }
}
