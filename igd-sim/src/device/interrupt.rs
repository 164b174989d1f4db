// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Interrupts of a device: which there are, and what becomes of one.

use pci_model::MsiMessage;

/// A way to interrupt, numbered as VFIO does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum InterruptKind {
    /// The INTx pin, 0.
    Intx,
    /// Message signalled interrupts, 1.
    Msi,
    /// MSI-X, 2.
    Msix,
    /// Errors of the device, 3.
    Error,
    /// The host wants the device back, 4.
    Request,
}

/// A way to interrupt and how many there are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct InterruptInfo {
    /// The way.
    pub kind: InterruptKind,
    /// How many.
    pub count: u32,
    /// Whether it can be masked and unmasked, and masks itself when it fires.
    pub maskable: bool,
}

impl InterruptInfo {
    /// The ways of an integrated GPU, in VFIO's order. Errors are told of PCI Express functions alone.
    pub(crate) const fn list(is_express: bool) -> [Self; 5] {
        [
            Self {
                kind: InterruptKind::Intx,
                count: 1,
                maskable: true,
            },
            Self {
                kind: InterruptKind::Msi,
                count: 1,
                maskable: false,
            },
            Self {
                kind: InterruptKind::Msix,
                count: 0,
                maskable: false,
            },
            Self {
                kind: InterruptKind::Error,
                count: is_express as u32,
                maskable: false,
            },
            Self {
                kind: InterruptKind::Request,
                count: 1,
                maskable: false,
            },
        ]
    }
}

/// What becomes of an interrupt that the device raises.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Interrupt {
    /// This message is sent.
    Message(MsiMessage),
    /// The vector is masked; it is pending now.
    Held,
    /// The INTx pin is asserted.
    Line,
    /// MSI is off and INTx is disabled: nobody hears it.
    Silent,
}
