// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The guest's side of an assigned IGD: emulated registers over those of the hardware.
//!
//! The device holds no handle to the hardware. A VMM asks the hardware itself and lets the device put its bytes into the
//! answer; of a write, it sends to the hardware what the device leaves for it:
//!
//! ```
//! use igd_quirks::device::{BdsmSetup, DeviceSetup, Event, IgdDevice};
//! use pci_model::{ConfigAccess, Width};
//!
//! let mut igd = IgdDevice::new(&DeviceSetup {
//!     bdsm: BdsmSetup::Dword(0),
//!     bdsm_mirror: true,
//!     ..DeviceSetup::default()
//! });
//! let bdsm = ConfigAccess::new(0x5c, Width::Dword).unwrap();
//!
//! let write = igd.config_write(bdsm, 0x7c00_0000);
//! assert_eq!(write.forwards().count(), 0);
//! assert_eq!(write.event(), Some(Event::BdsmWritten(0x7c00_0000)));
//!
//! let hardware = 0x8a00_0001;
//! assert_eq!(igd.config_read(bdsm, hardware), 0x7c00_0000);
//! assert_eq!(igd.bar0_read(0x10_80c0, 4, hardware.into()), 0x7c00_0000);
//! ```
//!
//! On top of [`pci_model::Passthrough`], which emulates what PCI defines:
//!
//! ```
//! use igd_quirks::device::IgdDevice;
//! use pci_model::{ConfigAccess, ConfigBackend, Effects, Passthrough};
//!
//! type Function<B> = Passthrough<B, 256>;
//!
//! fn read<B: ConfigBackend>(igd: &IgdDevice, below: &mut Function<B>, at: ConfigAccess) -> Result<u32, B::Error> {
//!     Ok(igd.config_read(at, below.read(at)?))
//! }
//!
//! fn write<B: ConfigBackend>(
//!     igd: &mut IgdDevice,
//!     below: &mut Function<B>,
//!     at: ConfigAccess,
//!     value: u32,
//! ) -> Result<Effects, B::Error> {
//!     let mut effects = Effects::empty();
//!     for (at, value) in igd.config_write(at, value).forwards() {
//!         let (changed, forward) = below.write(at, value);
//!         forward.map_or(Ok(()), |forward| below.forward(forward))?;
//!         effects |= changed;
//!     }
//!     Ok(effects)
//! }
//! ```

mod config;
mod gtt_port;
mod lanes;
mod mirror;
mod redirects;
mod registers;
mod setup;
mod state;

pub use config::ConfigWrite;
pub use gtt_port::Bar4Write;
pub use mirror::Bar0Write;
pub use setup::{BdsmSetup, DeviceRules, DeviceSetup, GttPortSetup, Redirect};
pub use state::IgdDeviceStateV1;

use alloc::vec::Vec;

use gtt_port::GttPort;
use redirects::Redirects;
use registers::Registers;

/// The emulated registers of an assigned IGD, as its configuration space, BAR0 and BAR4 show them.
///
/// A byte that is not emulated is the hardware's, in accesses of every width and alignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IgdDevice {
    power_on: Registers,
    rules: DeviceRules,
    registers: Registers,
    redirects: Vec<Redirect>,
    /// Where those lead, to be found quickly.
    redirected: Redirects,
    gtt_port: Option<GttPort>,
}

/// What a guest did to an emulated register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The base of stolen memory was written, and is this now.
    BdsmWritten(u64),
    /// The address of the OpRegion was written, and is this now.
    AslsWritten(u32),
    /// GGC was written, which is read-only.
    GgcWriteIgnored,
    /// SWSCI was written, which is hidden.
    SwsciWriteDropped,
    /// This GTT entry was written before there was a base of stolen memory to translate it to; an empty one went to the
    /// hardware.
    GttEntryWithoutBdsm(u32),
}

/// A saved state of another device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A register that the guest cannot write has another value, or is emulated in one of the two only.
    #[error("register {register} is {expected:x?} here and {found:x?} in the state")]
    ReadOnly {
        /// Name or place of the register.
        register: &'static str,
        /// Its value here, if it is emulated.
        expected: Option<u16>,
        /// Its value in the state.
        found: Option<u16>,
    },
    /// The base of stolen memory is another register.
    #[error("the base of stolen memory is {expected:x?} here and {found:x?} in the state")]
    Bdsm {
        /// What it is here.
        expected: BdsmSetup,
        /// What it is in the state.
        found: BdsmSetup,
    },
    /// ASLS is emulated in one of the two only.
    #[error("ASLS is {found:x?} in the state, and is emulated in one of the two only")]
    Asls {
        /// What it is in the state.
        found: Option<u32>,
    },
    /// There is a GTT index, but the ports are not emulated.
    #[error("GTT index {found:#x} in the state, but the ports are not emulated")]
    GttIndex {
        /// The index in the state.
        found: u32,
    },
}

impl IgdDevice {
    /// The device of a setup, at power-on.
    ///
    /// A mirror of a register that is not emulated shows the hardware, and ports that would translate to a base of
    /// stolen memory at 5Ch translate nothing without one.
    #[must_use]
    pub fn new(setup: &DeviceSetup) -> Self {
        let registers = Registers::new(setup);
        let has_base = matches!(setup.bdsm, BdsmSetup::Dword(_));
        Self {
            power_on: registers.clone(),
            rules: setup.rules,
            registers,
            redirects: setup.redirects.clone(),
            redirected: Redirects::new(&setup.redirects),
            gtt_port: setup.gtt_port.filter(|_| has_base).map(GttPort::new),
        }
    }

    /// Resets the device together with the machine.
    pub fn reset(&mut self) {
        if self.rules == DeviceRules::Qemu {
            return;
        }
        self.registers = self.power_on.clone();
        if let Some(port) = &mut self.gtt_port {
            port.index = gtt_port::NO_INDEX;
        }
    }

    /// Base of stolen memory as the guest set it, or what it was at power-on.
    #[must_use]
    pub const fn bdsm(&self) -> BdsmSetup {
        self.registers.bdsm
    }

    /// Address of the OpRegion as the guest set it, or what it was at power-on; `None` if it is the hardware's.
    #[must_use]
    pub const fn asls(&self) -> Option<u32> {
        self.registers.asls
    }
}
