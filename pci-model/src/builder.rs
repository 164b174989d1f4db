// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Describes a function before it exists.

use crate::bar::{Bar, BarError, Bars, DecodeLimits};
use crate::capability::{Express, Msi, Msix, PowerManagement, capabilities, hide_capability};
use crate::function::Function;
use crate::registers::Registers;
use crate::rules::Rules;
use crate::spec::{self, capability as id};

/// Who a function is: the read-only part of its header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Class code, 24 bits: base class, subclass, programming interface.
    pub class: u32,
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
    /// Interrupt pin: 0 none, 1 to 4 for INTA to INTD.
    pub interrupt_pin: u8,
}

/// A capability of a new function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Capability<'a> {
    /// Power management.
    PowerManagement(PowerManagement),
    /// Message signalled interrupts.
    Msi(Msi),
    /// MSI-X.
    Msix(Msix),
    /// PCI Express.
    Express(Express),
    /// Any other: id, and the read-only bytes that follow the id and the pointer.
    Other(u8, &'a [u8]),
}

/// A function that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A BAR is wrong.
    #[error(transparent)]
    Bar(#[from] BarError),
    /// A bridge has BAR0, BAR1 and a ROM only.
    #[error("BAR{0} of a function with a type 1 header, which has BAR0 and BAR1")]
    BridgeBar(u8),
    /// The header is neither of type 0 nor of type 1.
    #[error("header type {0:#04x}: neither 0 nor 1")]
    HeaderType(u8),
    /// No such place for a capability.
    #[error("capability {id:#04x} of {length} bytes at {offset:#x}: not a free multiple of 4 between 0x40 and 0xff")]
    CapabilityPlace {
        /// Capability id.
        id: u8,
        /// Where it was to be.
        offset: u16,
        /// Its length.
        length: usize,
    },
    /// The configuration space is neither 256 nor 4096 bytes.
    #[error("a configuration space of {0} bytes: neither 256 nor 4096")]
    ConfigSize(usize),
}

/// The dwords of the header, as bits.
const HEADER_DWORDS: u64 = (1 << (spec::DEVICE_SPECIFIC / 4)) - 1;

/// Describes a [`Function`] of `N` configuration bytes, 256 or 4096.
///
/// ```
/// use pci_model::{Bar, BarKind, Capability, ConfigSpace, FunctionBuilder, Identity, Msi};
///
/// let identity = Identity { vendor: 0x1234, device: 0x11e8, class: 0x00ff00, interrupt_pin: 1, ..Identity::default() };
/// let mut function = FunctionBuilder::<256>::new(identity)
///     .bar(0, Bar::new(BarKind::Memory32 { prefetchable: false }, 0x10_0000)?)?
///     .capability(Capability::Msi(Msi::new(1, true, false).unwrap()))?
///     .build()?;
/// assert_eq!(function.capability(0x05), Some(0x40));
/// # Ok::<(), pci_model::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FunctionBuilder<const N: usize> {
    image: [u8; N],
    bars: Bars,
    rules: Rules,
    limits: Option<DecodeLimits>,
    /// Dwords of the first 256 bytes that a capability occupies.
    occupied: u64,
}

impl<const N: usize> FunctionBuilder<N> {
    /// A function with a type 0 header and nothing else.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let Identity {
            vendor,
            device,
            revision,
            class,
            subsystem_vendor,
            subsystem,
            interrupt_pin,
        } = identity;
        let mut registers = Registers::<N>::new();
        let [prog_if, subclass, base, _] = class.to_le_bytes();
        registers.set(spec::VENDOR_ID, &vendor.to_le_bytes());
        registers.set(spec::DEVICE_ID, &device.to_le_bytes());
        registers.set(spec::REVISION_ID, &[revision, prog_if, subclass, base]);
        registers.set(spec::SUBSYSTEM_VENDOR_ID, &subsystem_vendor.to_le_bytes());
        registers.set(spec::SUBSYSTEM_ID, &subsystem.to_le_bytes());
        registers.set(spec::INTERRUPT_PIN, &[interrupt_pin]);
        Self::from_image(registers.bytes())
    }

    /// A function with these configuration bytes: recorded from a device, say.
    ///
    /// BAR addresses, writable command bits, status errors, and what software left in the power management, MSI and
    /// MSI-X registers are dropped, since a function starts without them. Capabilities are found in the image and get
    /// the masks of the specifications.
    #[must_use]
    pub fn from_image(image: &[u8; N]) -> Self {
        Self {
            image: *image,
            bars: Bars::new(),
            rules: Rules::default(),
            limits: None,
            occupied: HEADER_DWORDS | crate::capability::occupied(image),
        }
    }

    /// Makes the function a bridge, with a type 1 header and a 64-bit prefetchable window.
    #[must_use]
    pub fn bridge(mut self) -> Self {
        self.put(spec::HEADER_TYPE, &[1]);
        self.put(spec::type1::PREFETCH_WINDOW, &[1, 0, 1, 0]);
        self
    }

    /// Chooses a named compatibility setting.
    #[must_use]
    pub fn rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// Limits where BARs are decoded; without it [`DecodeLimits::new`] holds.
    #[must_use]
    pub fn limits(mut self, limits: DecodeLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Adds a BAR: `index` is 0 to 5, or 6 for the ROM.
    ///
    /// # Errors
    ///
    /// The register does not exist, is of the wrong kind, or is taken.
    pub fn bar(mut self, index: u8, bar: Bar) -> Result<Self, BuildError> {
        self.bars.insert(index, bar)?;
        Ok(self)
    }

    /// Adds a capability behind those that are there.
    ///
    /// # Errors
    ///
    /// There is no room left.
    pub fn capability(self, capability: Capability<'_>) -> Result<Self, BuildError> {
        let last = 63 - self.occupied.leading_zeros();
        let offset = u16::try_from((last + 1) * 4).unwrap_or(u16::MAX);
        self.capability_at(offset, capability)
    }

    /// Adds a capability at `offset`, at the end of the list.
    ///
    /// # Errors
    ///
    /// The place is no multiple of 4 between 0x40 and 0xFF, or another capability is there.
    pub fn capability_at(mut self, offset: u16, capability: Capability<'_>) -> Result<Self, BuildError> {
        match capability {
            Capability::PowerManagement(power) => self.insert(offset, id::POWER_MANAGEMENT, &power.body())?,
            Capability::Msi(msi) => {
                let control = msi.control();
                let mut body = [0; 0x18];
                let length = usize::from(crate::capability::msi_length(control)) - 2;
                for (to, from) in body.iter_mut().zip(control.to_le_bytes()) {
                    *to = from;
                }
                self.insert(offset, id::MSI, body.get(..length).unwrap_or(&body))?;
            }
            Capability::Msix(msix) => self.insert(offset, id::MSIX, &msix.body())?,
            Capability::Express(express) => self.insert(offset, id::EXPRESS, &express.body())?,
            Capability::Other(id, body) => self.insert(offset, id, body)?,
        }
        Ok(self)
    }

    /// Takes the capabilities with this id out of the list. Their bytes stay, read-only.
    #[must_use]
    pub fn hide_capability(mut self, id: u8) -> Self {
        loop {
            let found = capabilities(&self.image).find(|c| c.id == id).map(|c| c.offset);
            match found {
                Some(offset) if hide_capability(&mut self.image, offset) => {}
                _ => break,
            }
        }
        self
    }

    fn insert(&mut self, offset: u16, id: u8, body: &[u8]) -> Result<(), BuildError> {
        let length = body.len() + 2;
        let end = usize::from(offset) + length;
        let wrong = BuildError::CapabilityPlace { id, offset, length };
        if !offset.is_multiple_of(4) || offset < spec::DEVICE_SPECIFIC || end > usize::from(spec::CONFIG_SIZE) {
            return Err(wrong);
        }
        let dwords = length.div_ceil(4);
        let bits = (u64::MAX >> (64 - dwords)) << (offset >> 2);
        if self.occupied & bits != 0 {
            return Err(wrong);
        }
        self.occupied |= bits;
        let [at, _] = offset.to_le_bytes();
        let last = capabilities(&self.image).last();
        self.put(
            last.map_or(spec::CAPABILITIES_POINTER, |last| u16::from(last.offset) + 1),
            &[at],
        );
        let [status, _] = spec::status::CAPABILITIES.to_le_bytes();
        if let Some(byte) = self.image.get_mut(usize::from(spec::STATUS)) {
            *byte |= status;
        }
        self.put(offset, &[id, 0]);
        self.put(offset + 2, body);
        Ok(())
    }

    fn put(&mut self, offset: u16, bytes: &[u8]) {
        for (to, from) in self.image.iter_mut().skip(usize::from(offset)).zip(bytes) {
            *to = *from;
        }
    }

    /// Builds the function in its state at power-on.
    ///
    /// # Errors
    ///
    /// The header type is unknown, a bridge has more than two BARs, or `N` is neither 256 nor 4096.
    pub fn build(self) -> Result<Function<N>, BuildError> {
        let Self {
            image,
            bars,
            rules,
            limits,
            occupied: _,
        } = self;
        if N != usize::from(spec::CONFIG_SIZE) && N != usize::from(crate::EXTENDED_CONFIG_SIZE) {
            return Err(BuildError::ConfigSize(N));
        }
        let header_type = image.get(usize::from(spec::HEADER_TYPE)).copied().unwrap_or(0) & !spec::MULTI_FUNCTION;
        let is_bridge = match header_type {
            0 => false,
            1 => true,
            other => return Err(BuildError::HeaderType(other)),
        };
        let limits = limits.unwrap_or(DecodeLimits::new(rules));
        if is_bridge && let Some((index, _)) = bars.iter().find(|(i, _)| (2..6).contains(i)) {
            return Err(BuildError::BridgeBar(index));
        }
        if is_bridge && bars.get(1).is_some_and(Bar::is_64bit) {
            return Err(BuildError::BridgeBar(2));
        }
        Ok(Function::assemble(&image, is_bridge, bars, rules, limits))
    }
}
