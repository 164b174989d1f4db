// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Another machine's bytes in front of a bridge's own.

use core::fmt;

use pci_model::{BarMap, ConfigAccess, ConfigSpace, Effects, Function, Width, spec as pci};

use crate::identity::{ConfigError, Identity, check};
use crate::spec;

const SIZE: usize = pci::CONFIG_SIZE as usize;

const fn field(offset: u16, width: Width) -> ConfigAccess {
    match ConfigAccess::new(offset, width) {
        Some(field) => field,
        None => panic!("a field lies within configuration space"),
    }
}

/// The fields of a host bridge that follow the host: revision and programming interface, subsystem ids.
///
/// Vendor and device id are not among them: firmware and chipset drivers must find the bridge that the machine has.
pub const HOST_BRIDGE: [ConfigAccess; 3] = [
    field(pci::REVISION_ID, Width::Word),
    field(pci::SUBSYSTEM_VENDOR_ID, Width::Word),
    field(pci::SUBSYSTEM_ID, Width::Word),
];

/// The fields of a host bridge that follow the host on Xen, which also shows graphics control and memory sizes.
///
/// For a machine with an i440FX. A Q35 has a register of its own at 0x50.
pub const XEN_HOST_BRIDGE: [ConfigAccess; 7] = [
    field(pci::REVISION_ID, Width::Word),
    field(pci::SUBSYSTEM_VENDOR_ID, Width::Word),
    field(pci::SUBSYSTEM_ID, Width::Word),
    field(0x50, Width::Word),
    field(0x52, Width::Word),
    field(0xa4, Width::Dword),
    field(0xa8, Width::Dword),
];

/// The fields of an ISA bridge that follow the host: ids, revision and programming interface, subsystem ids.
pub const ISA_BRIDGE: [ConfigAccess; 5] = [
    field(pci::VENDOR_ID, Width::Word),
    field(pci::DEVICE_ID, Width::Word),
    field(pci::REVISION_ID, Width::Word),
    field(pci::SUBSYSTEM_VENDOR_ID, Width::Word),
    field(pci::SUBSYSTEM_ID, Width::Word),
];

/// Bytes up to the end of the last field.
pub(crate) fn length(fields: &[ConfigAccess]) -> usize {
    fields.iter().map(|field| usize::from(field.end())).max().unwrap_or(0)
}

/// Bytes of the first 256 that a function shows in place of its own, read-only.
///
/// ```
/// use lpc_bridge::{Identity, Overlay, Pch};
///
/// let overlay = Overlay::from(Identity::from(Pch::LynxPointH));
/// let patches: Vec<(u16, &[u8])> = overlay.patches().collect();
/// assert_eq!(patches, [
///     (0x00, &[0x86, 0x80, 0x4e, 0x8c][..]),
///     (0x08, &[0x04, 0x00][..]),
///     (0x2c, &[0xf4, 0x1a, 0x00, 0x11][..]),
/// ]);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Zero where nothing is covered.
    value: [u8; SIZE],
    /// Ones where something is.
    covered: [u8; SIZE],
}

impl Default for Overlay {
    fn default() -> Self {
        Self {
            value: [0; SIZE],
            covered: [0; SIZE],
        }
    }
}

/// A patch that an overlay cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The byte is part of a header register that works, or lies beyond the 256 bytes.
    #[error("byte {offset:#05x} is no identity: it must be in 0..4, 8..c, 2c..30 or 40..100")]
    Place {
        /// Offset of the byte.
        offset: usize,
    },
    /// Two patches give a value to the byte.
    #[error("byte {offset:#05x} is patched twice")]
    Twice {
        /// Offset of the byte.
        offset: usize,
    },
}

impl Overlay {
    /// An overlay of these patches: an offset and the bytes from there on.
    ///
    /// A patch from 0x40 on must not cover a register or capability that works: it would read as patched and act as
    /// before.
    ///
    /// # Errors
    ///
    /// A byte is patched twice, or is none of vendor and device id, revision and class, subsystem ids, 0x40 to 0xFF.
    pub fn from_patches(patches: &[(u16, &[u8])]) -> Result<Self, PatchError> {
        let mut overlay = Self::default();
        for (offset, bytes) in patches {
            for (offset, byte) in (usize::from(*offset)..).zip(*bytes) {
                overlay.cover(offset, *byte)?;
            }
        }
        Ok(overlay)
    }

    /// The host's [`HOST_BRIDGE`] fields, from the configuration bytes of its host bridge.
    ///
    /// # Errors
    ///
    /// The bytes end before the last field, or are not those of a host bridge with a type 0 header.
    pub fn host_bridge(config: &[u8]) -> Result<Self, ConfigError> {
        check(config, spec::CLASS_HOST_BRIDGE, length(&HOST_BRIDGE))?;
        Ok(Self::copy(&HOST_BRIDGE, config))
    }

    /// The host's [`XEN_HOST_BRIDGE`] fields, from the configuration bytes of its host bridge.
    ///
    /// # Errors
    ///
    /// The bytes end before the last field, or are not those of a host bridge with a type 0 header.
    pub fn xen_host_bridge(config: &[u8]) -> Result<Self, ConfigError> {
        check(config, spec::CLASS_HOST_BRIDGE, length(&XEN_HOST_BRIDGE))?;
        Ok(Self::copy(&XEN_HOST_BRIDGE, config))
    }

    /// The patches in rising order, adjoining ones as one.
    pub fn patches(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let start = at + self.covered.get(at..)?.iter().position(|covered| *covered != 0)?;
            let covered = self.covered.get(start..)?;
            let end = start
                + covered
                    .iter()
                    .position(|covered| *covered == 0)
                    .unwrap_or(covered.len());
            at = end;
            Some((u16::try_from(start).ok()?, self.value.get(start..end)?))
        })
    }

    /// Gives a function these bytes, read-only from now on and over a reset.
    ///
    /// A state saved from a function with an overlay goes into one with the same overlay.
    pub fn patch<const N: usize>(&self, function: &mut Function<N>) {
        let registers = function.registers_mut();
        for (offset, bytes) in self.patches() {
            registers.set(offset, bytes);
            for (offset, _) in (offset..).zip(bytes) {
                registers.set_writable(offset, &[0]);
                registers.set_w1c(offset, &[0]);
            }
        }
    }

    /// What a read of `at` gives where the function below gives `value`.
    #[must_use]
    #[inline]
    pub fn merge(&self, at: ConfigAccess, value: u32) -> u32 {
        let dword = |bytes: &[u8; SIZE]| {
            let start = usize::from(at.offset());
            let mut dword = [0; 4];
            match bytes.get(start..).and_then(<[u8]>::first_chunk) {
                Some(bytes) => dword = *bytes,
                None => dword
                    .iter_mut()
                    .zip(bytes.iter().skip(start))
                    .for_each(|(to, from)| *to = *from),
            }
            u32::from_le_bytes(dword)
        };
        let covered = dword(&self.covered) & at.width().ones();
        value & !covered | dword(&self.value) & covered
    }

    fn copy(fields: &[ConfigAccess], config: &[u8]) -> Self {
        let mut overlay = Self::default();
        for offset in fields.iter().flat_map(|field| field.offset()..field.end()) {
            let byte = config.get(usize::from(offset)).copied().unwrap_or(0);
            overlay.put(usize::from(offset), byte);
        }
        overlay
    }

    fn cover(&mut self, offset: usize, byte: u8) -> Result<(), PatchError> {
        if !matches!(offset, 0..4 | 8..0xc | 0x2c..0x30 | 0x40..SIZE) {
            return Err(PatchError::Place { offset });
        }
        if self.covered.get(offset).is_some_and(|covered| *covered != 0) {
            return Err(PatchError::Twice { offset });
        }
        self.put(offset, byte);
        Ok(())
    }

    fn put(&mut self, offset: usize, byte: u8) {
        if let (Some(value), Some(covered)) = (self.value.get_mut(offset), self.covered.get_mut(offset)) {
            (*value, *covered) = (byte, 0xff);
        }
    }
}

impl From<Identity> for Overlay {
    /// The [`ISA_BRIDGE`] fields of an identity.
    fn from(identity: Identity) -> Self {
        let Identity {
            vendor,
            device,
            revision,
            prog_if,
            subsystem_vendor,
            subsystem,
        } = identity;
        let revision = u16::from_le_bytes([revision, prog_if]);
        let mut overlay = Self::default();
        let values = [vendor, device, revision, subsystem_vendor, subsystem];
        for (field, value) in ISA_BRIDGE.iter().zip(values) {
            for (offset, byte) in (usize::from(field.offset())..).zip(value.to_le_bytes()) {
                overlay.put(offset, byte);
            }
        }
        overlay
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.patches()).finish()
    }
}

/// A function seen through an [`Overlay`]: for a bridge that is not built on [`Function`].
///
/// Reads show the overlay's bytes at every width and alignment. Writes go to the function as they are, and so do its
/// effects: the registers that work stay the machine's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlaid<C> {
    inner: C,
    overlay: Overlay,
}

impl<C> Overlaid<C> {
    /// `inner` seen through `overlay`.
    #[must_use]
    pub const fn new(inner: C, overlay: Overlay) -> Self {
        Self { inner, overlay }
    }

    /// The function below.
    #[must_use]
    pub const fn inner(&self) -> &C {
        &self.inner
    }

    /// The function below.
    pub const fn inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }
}

impl<C: ConfigSpace> ConfigSpace for Overlaid<C> {
    fn config_size(&self) -> u16 {
        self.inner.config_size()
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        self.overlay.merge(at, self.inner.config_read(at))
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        self.inner.config_write(at, value)
    }

    fn bar_map(&self) -> BarMap {
        self.inner.bar_map()
    }

    fn reset(&mut self) -> Effects {
        self.inner.reset()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use pci_model::host_bridge::I440Fx;
    use pci_model::isa_bridge::Ich9;
    use pci_model::{Rules, Width::Dword};
    use std::format;
    use std::string::ToString;
    use std::vec::Vec;

    fn host() -> [u8; 256] {
        let mut config = core::array::from_fn(|i| u8::try_from(i).unwrap());
        config[..4].copy_from_slice(&[0x86, 0x80, 0x30, 0x3e]);
        config[0x0a..0x0c].copy_from_slice(&[0x00, 0x06]);
        config[0x0e] = 0;
        config
    }

    fn shown(overlay: &Overlay) -> Vec<(u16, Vec<u8>)> {
        overlay.patches().map(|(at, bytes)| (at, bytes.to_vec())).collect()
    }

    #[test]
    fn a_host_bridge_keeps_its_ids() {
        let overlay = Overlay::host_bridge(&host()).unwrap();
        assert_eq!(
            shown(&overlay),
            [(8, [8, 9].to_vec()), (0x2c, [0x2c, 0x2d, 0x2e, 0x2f].to_vec())]
        );
        let mut bridge = I440Fx::new((0x1af4, 0x1100), 1 << 30, Rules::Specification).unwrap();
        overlay.patch(bridge.function_mut());
        let mut read = |offset| bridge.config_read(ConfigAccess::new(offset, Dword).unwrap());
        assert_eq!(read(0), 0x1237_8086);
        assert_eq!(read(8), 0x0600_0908);
        assert_eq!(read(0x2c), 0x2f2e_2d2c);
    }

    #[test]
    fn xens_host_bridge_needs_and_shows_more() {
        let host = host();
        let overlay = Overlay::xen_host_bridge(&host).unwrap();
        let bytes = |range: core::ops::Range<usize>| host[range].to_vec();
        assert_eq!(
            shown(&overlay),
            [
                (8, bytes(8..10)),
                (0x2c, bytes(0x2c..0x30)),
                (0x50, bytes(0x50..0x54)),
                (0xa4, bytes(0xa4..0xac))
            ]
        );
        for (len, needed, result) in [
            (64, 0xac, Overlay::xen_host_bridge(&host[..64])),
            (0xab, 0xac, Overlay::xen_host_bridge(&host[..0xab])),
            (0x2f, 0x30, Overlay::host_bridge(&host[..0x2f])),
        ] {
            assert_eq!(result, Err(ConfigError::TooShort { len, needed }));
        }
        assert!(Overlay::host_bridge(&host[..0x30]).is_ok());
        assert!(Overlay::xen_host_bridge(&host[..0xac]).is_ok());
    }

    #[test]
    fn what_is_no_host_bridge_is_refused() {
        let mut isa = host();
        isa[0x0a] = 0x01;
        let error = ConfigError::Class {
            found: 0x0601,
            expected: 0x0600,
        };
        assert_eq!(Overlay::host_bridge(&isa), Err(error));
        assert_eq!(Overlay::xen_host_bridge(&isa), Err(error));
        assert_eq!(
            Overlay::host_bridge(&[0xff; 256]),
            Err(ConfigError::Absent { vendor: 0xffff })
        );
    }

    #[test]
    fn an_existing_bridge_gives_up_its_ids_alone() {
        let mut bridge = Ich9::new((0x1af4, 0x1100), Rules::Specification).unwrap();
        let plain = *bridge.function().registers().bytes();
        let identity = Identity::read(&host());
        Overlay::from(identity).patch(bridge.function_mut());
        let covered = |at: u16| ISA_BRIDGE.iter().any(|field| field.overlaps(at, at + 1));
        for (at, (byte, plain)) in (0..).zip(bridge.function().registers().bytes().iter().zip(plain)) {
            let expected = if covered(at) { host()[usize::from(at)] } else { plain };
            assert_eq!(*byte, expected, "{at:#x}");
        }
        let at = |offset| ConfigAccess::new(offset, Dword).unwrap();
        assert_eq!(bridge.config_write(at(0x60), 0x0b0b_0b0b), Effects::PIRQ);
        assert_eq!(bridge.config_write(at(0xf0), 0xfed1_c001), Effects::RCBA);
        assert_eq!(bridge.rcba(), Some(0xfed1_c000));
        let _ = bridge.reset();
        assert_eq!(Identity::read(bridge.function().registers().bytes()), identity);
    }

    #[test]
    fn working_registers_cannot_be_patched() {
        for offset in 0..0x1000_u16 {
            let result = Overlay::from_patches(&[(offset, &[1])]);
            let allowed = offset < 4
                || (8..0xc).contains(&offset)
                || (0x2c..0x30).contains(&offset)
                || (0x40..0x100).contains(&offset);
            assert_eq!(result.is_ok(), allowed, "{offset:#x}");
        }
        let run = Overlay::from_patches(&[(0x2c, &[0; 5])]);
        assert_eq!(run, Err(PatchError::Place { offset: 0x30 }));
        let beyond = Overlay::from_patches(&[(u16::MAX, &[0; 2])]);
        assert_eq!(beyond, Err(PatchError::Place { offset: 0xffff }));
        let twice = Overlay::from_patches(&[(0x40, &[1, 2]), (0x41, &[2])]);
        assert_eq!(twice, Err(PatchError::Twice { offset: 0x41 }));
        assert_eq!(twice.unwrap_err().to_string(), "byte 0x041 is patched twice");
        assert_eq!(Overlay::from_patches(&[]), Ok(Overlay::default()));
    }

    #[test]
    fn prints_as_its_patches() {
        let overlay = Overlay::from_patches(&[(0x40, &[1]), (0x41, &[2]), (0xff, &[3])]).unwrap();
        assert_eq!(format!("{overlay:?}"), "{64: [1, 2], 255: [3]}");
    }
}
