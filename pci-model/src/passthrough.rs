// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A passed-through function: a device's own configuration space under emulated bits.

use crate::access::{ConfigAccess, Width};
use crate::bar::{self, DecodeLimits};
use crate::bar_map::BarMap;
use crate::builder::{BuildError, FunctionBuilder};
use crate::capability::{self, capabilities, extended_capabilities};
use crate::effects::Effects;
use crate::function::Function;
use crate::lanes::{self, Piece};
use crate::spec::{self, capability as id, status};
use crate::state::FunctionStateV1;

/// The configuration space of a host device. Accesses are aligned, and exact or an error: never a partial value.
pub trait ConfigBackend {
    /// Why the host refused.
    type Error: core::error::Error;

    /// Reads one access, zero-extended.
    ///
    /// # Errors
    ///
    /// The host did not deliver every byte.
    fn read(&mut self, at: ConfigAccess) -> Result<u32, Self::Error>;

    /// Writes one access.
    ///
    /// # Errors
    ///
    /// The host did not take every byte.
    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Self::Error>;
}

/// A function that cannot be passed through.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PassthroughError<E> {
    /// Its configuration space could not be read.
    #[error("reading configuration byte {offset:#05x} of the host device failed")]
    Read {
        /// Where.
        offset: u16,
        /// What the host said.
        source: E,
    },
    /// Its configuration space makes no function.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A host function with `N` configuration bytes as the guest sees it: `(shadow & emulated) | (device & !emulated)`.
///
/// Emulated from the start: BARs and ROM, the multi-function bit, the chain of capabilities, MSI, MSI-X, and the type
/// and link registers of PCI Express. [`emulate`](Self::emulate) adds more. A write reaches the shadow at once; what of
/// it concerns the device is handed back as a [`Forward`], for the VMM to send with [`forward`](Self::forward) between
/// unmapping and mapping:
///
/// ```
/// # use pci_model::{BarMap, BarStep, ConfigAccess, ConfigBackend, Passthrough};
/// # fn apply(_: BarStep) {}
/// fn guest_write<B: ConfigBackend>(
///     function: &mut Passthrough<B, 256>,
///     applied: &mut BarMap,
///     at: ConfigAccess,
///     value: u32,
/// ) -> Result<(), B::Error> {
///     let (_effects, forward) = function.write(at, value);
///     applied.unmaps_to(&function.bar_map()).for_each(apply);
///     *applied = applied.common(&function.bar_map());
///     let sent = forward.map_or(Ok(()), |forward| function.forward(forward));
///     // After a failure the function's map is the old one again, and what was unmapped for it comes back.
///     applied.maps_to(&function.bar_map()).for_each(apply);
///     *applied = function.bar_map();
///     sent
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Passthrough<B, const N: usize> {
    backend: B,
    shadow: Function<N>,
    emulated: [u8; N],
}

/// What of a guest's write is for the device.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "the device has not seen the write yet"]
pub struct Forward<const N: usize> {
    at: ConfigAccess,
    value: u32,
    before: FunctionStateV1<N>,
}

impl<B: ConfigBackend, const N: usize> Passthrough<B, N> {
    /// Reads the host's configuration space and puts emulated bits over it. `configure` adds the BARs with their sizes,
    /// hides capabilities and chooses limits.
    ///
    /// # Errors
    ///
    /// A byte could not be read, or the bytes and the BARs make no function.
    pub fn new(
        mut backend: B,
        configure: impl FnOnce(FunctionBuilder<N>) -> Result<FunctionBuilder<N>, BuildError>,
    ) -> Result<Self, PassthroughError<B::Error>> {
        let mut image = [0; N];
        for (bytes, offset) in image.chunks_mut(4).zip((0_u16..).step_by(4)) {
            if let Some(at) = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width)) {
                let value = backend
                    .read(at)
                    .map_err(|source| PassthroughError::Read { offset, source })?;
                lanes::store(bytes, value);
            }
        }
        let shadow = configure(FunctionBuilder::from_image(&image))?.build()?;
        let mut function = Self {
            backend,
            shadow,
            emulated: [0; N],
        };
        function.emulate_standard();
        Ok(function)
    }

    fn emulate_standard(&mut self) {
        let config = *self.shadow.registers().bytes();
        self.emulate(spec::BAR0, &[0xff; 24]);
        self.emulate(spec::ROM_BAR, &[0xff; 4]);
        // Whether there are others is told by the bus of the guest.
        self.emulate(spec::HEADER_TYPE, &[spec::MULTI_FUNCTION]);
        let layout = self.shadow.registers().u8(spec::HEADER_TYPE) & !spec::MULTI_FUNCTION;
        self.shadow.registers_mut().set(spec::HEADER_TYPE, &[layout]);
        self.emulate(spec::CAPABILITIES_POINTER, &[0xff]);
        self.emulate(spec::STATUS, &status::CAPABILITIES.to_le_bytes());
        for found in capabilities(&config) {
            let at = u16::from(found.offset);
            self.emulate(at + 1, &[0xff]);
            match found.id {
                id::MSI => {
                    let control = self.shadow.registers().u16(at + 2);
                    let length = usize::from(capability::msi_length(control));
                    self.emulate(at, [0xff; 0x18].get(..length).unwrap_or(&[0xff; 0x18]));
                }
                id::MSIX => self.emulate(at, &[0xff; 12]),
                id::EXPRESS => {
                    self.emulate(at + 2, &[0xf0]);
                    self.emulate(at + 0x0c, &[0xff; 8]);
                    self.emulate(at + 0x2c, &[0xff; 8]);
                }
                _ => {}
            }
        }
        for found in extended_capabilities(&config) {
            // The pointer to the next capability: 31:20 of the header.
            self.emulate(found.offset + 2, &[0xf0, 0xff]);
        }
        if self.shadow.bars().get(bar::ROM).is_none() {
            self.shadow.registers_mut().set(spec::ROM_BAR, &[0; 4]);
        }
    }

    /// Lets the guest see the shadow, not the device, in these bits. Bits that were emulated stay so.
    pub fn emulate(&mut self, offset: u16, mask: &[u8]) {
        for (to, from) in self.emulated.iter_mut().skip(usize::from(offset)).zip(mask) {
            *to |= from;
        }
    }

    /// The shadow, to look at.
    #[must_use]
    pub fn shadow(&self) -> &Function<N> {
        &self.shadow
    }

    /// The shadow, to set values and masks of emulated bits.
    pub fn shadow_mut(&mut self) -> &mut Function<N> {
        &mut self.shadow
    }

    /// The host device.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Where the BARs are decoded now.
    #[must_use]
    pub fn bar_map(&self) -> BarMap {
        crate::ConfigSpace::bar_map(&self.shadow)
    }

    fn mask(&self, at: ConfigAccess) -> u32 {
        let bytes = self.emulated.get(usize::from(at.offset())..).unwrap_or(&[]);
        // Beyond the end there is no device to ask either.
        let lanes = bytes
            .iter()
            .copied()
            .chain(core::iter::repeat(0xff))
            .take(at.width().len());
        lanes
            .zip(0_u32..)
            .fold(0, |mask, (byte, lane)| mask | u32::from(byte) << (8 * lane))
    }

    /// Reads one access. Bits that the shadow answers cost no access to the device.
    ///
    /// # Errors
    ///
    /// The host refused.
    pub fn read(&mut self, at: ConfigAccess) -> Result<u32, B::Error> {
        let mut bytes = [0; 4];
        let len = at.width().len();
        for Piece { offset, bytes } in lanes::whole(at.offset(), bytes.get_mut(..len).unwrap_or(&mut [])) {
            let Some(at) = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width)) else {
                continue;
            };
            let emulated = self.mask(at);
            let shadow = self.shadow.registers().read(at);
            let device = if emulated == at.width().ones() {
                0
            } else {
                self.backend.read(at)?
            };
            lanes::store(bytes, shadow & emulated | device & !emulated);
        }
        Ok(lanes::load(bytes.get(..len).unwrap_or(&bytes)))
    }

    /// Writes one access to the shadow, and says what changed and what is to be forwarded to the device.
    pub fn write(&mut self, at: ConfigAccess, value: u32) -> (Effects, Option<Forward<N>>) {
        let before = self.shadow.state();
        let effects = crate::ConfigSpace::config_write(&mut self.shadow, at, value);
        let is_for_device = self.mask(at) != at.width().ones();
        (effects, is_for_device.then_some(Forward { at, value, before }))
    }

    /// Sends a write to the device. In a piece that is emulated in part, the device keeps its own emulated bits.
    ///
    /// # Errors
    ///
    /// The host refused; the shadow is again what it was before the write.
    pub fn forward(&mut self, forward: Forward<N>) -> Result<(), B::Error> {
        let Forward { at, value, before } = forward;
        let sent = self.send(at, value);
        if sent.is_err() {
            // The state comes from this very function.
            let restored = self.shadow.restore(&before);
            debug_assert!(restored.is_ok());
        }
        sent
    }

    fn send(&mut self, at: ConfigAccess, value: u32) -> Result<(), B::Error> {
        let bytes = value.to_le_bytes();
        for Piece { offset, bytes } in lanes::whole(at.offset(), bytes.get(..at.width().len()).unwrap_or(&bytes)) {
            let Some(at) = Width::from_len(bytes.len()).and_then(|width| ConfigAccess::new(offset, width)) else {
                continue;
            };
            let emulated = self.mask(at);
            if emulated == at.width().ones() {
                continue;
            }
            let guest = lanes::load(bytes);
            let value = if emulated == 0 {
                guest
            } else {
                // A status bit read back as one would be cleared by writing it.
                let kept = self.backend.read(at)? & emulated & !self.shadow.registers().w1c(at);
                guest & !emulated | kept
            };
            self.backend.write(at, value)?;
        }
        Ok(())
    }

    /// Resets the shadow after the device was reset, whoever did it.
    pub fn reset_shadow(&mut self) -> Effects {
        crate::ConfigSpace::reset(&mut self.shadow)
    }

    /// The limits within which BARs are decoded.
    #[must_use]
    pub fn limits(&self) -> DecodeLimits {
        self.shadow.limits()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Bar, BarKind, BarStep};
    use std::vec::Vec;

    #[derive(Debug, PartialEq, Eq, Clone, thiserror::Error)]
    #[error("the host said no")]
    struct Refused;

    #[derive(Debug)]
    struct Device {
        config: [u8; 256],
        log: Vec<(u16, usize, Option<u32>)>,
        refuse: bool,
    }

    impl ConfigBackend for Device {
        type Error = Refused;

        fn read(&mut self, at: ConfigAccess) -> Result<u32, Refused> {
            assert!(usize::from(at.offset()).is_multiple_of(at.width().len()));
            self.log.push((at.offset(), at.width().len(), None));
            if self.refuse {
                return Err(Refused);
            }
            Ok(lanes::load(
                &self.config[usize::from(at.offset())..][..at.width().len()],
            ))
        }

        fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Refused> {
            assert!(usize::from(at.offset()).is_multiple_of(at.width().len()));
            self.log.push((at.offset(), at.width().len(), Some(value)));
            if self.refuse {
                return Err(Refused);
            }
            lanes::store(&mut self.config[usize::from(at.offset())..][..at.width().len()], value);
            Ok(())
        }
    }

    fn access(offset: u16, len: usize) -> ConfigAccess {
        ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap()
    }

    fn function() -> Passthrough<Device, 256> {
        let mut config = [0; 256];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x12, 0x19]);
        config[0x06] = 0x10;
        config[0x10..0x14].copy_from_slice(&[0x04, 0, 0, 0xd0]);
        config[0x34] = 0xac;
        config[0xac..0xb0].copy_from_slice(&[5, 0, 0x80, 0]);
        config[0x50..0x52].copy_from_slice(&[0xcd, 0xab]);
        let device = Device {
            config,
            log: Vec::new(),
            refuse: false,
        };
        let bar = Bar::new(BarKind::Memory64 { prefetchable: false }, 1 << 24).unwrap();
        let mut function = Passthrough::new(device, |builder| builder.bar(0, bar)).unwrap();
        function.backend.log.clear();
        function
    }

    #[test]
    fn emulated_bits_come_from_the_shadow() {
        let mut function = function();
        function.emulate(0x50, &[0xff]);
        function.shadow_mut().registers_mut().set(0x50, &[0x34, 0x12]);
        assert_eq!(function.read(access(0x50, 2)), Ok(0xab34));
        assert_eq!(function.read(access(0x50, 1)), Ok(0x34));
        assert_eq!(function.read(access(0x51, 1)), Ok(0xab));
        let reads: Vec<_> = function.backend.log.iter().map(|(at, len, _)| (*at, *len)).collect();
        assert_eq!(
            reads,
            [(0x50, 2), (0x51, 1)],
            "the byte that the shadow answers is not read"
        );
    }

    #[test]
    fn the_guest_does_not_see_the_hosts_bars() {
        let mut function = function();
        assert_eq!(function.read(access(0x10, 4)), Ok(0x04));
        let (_, forward) = function.write(access(0x10, 4), 0xe000_0000);
        assert_eq!(forward, None, "nothing of a BAR reaches the device");
        assert_eq!(function.read(access(0x10, 4)), Ok(0xe000_0004));
        let (_, forward) = function.write(access(0xb0, 4), 0xfee0_1000);
        assert_eq!(forward, None, "nor of MSI");
    }

    #[test]
    fn unmap_comes_before_a_disable_and_map_after_an_enable() {
        let mut function = function();
        let mut applied = BarMap::EMPTY;
        let mut order = Vec::new();
        let (_, none) = function.write(access(0x10, 4), 0xe000_0000);
        assert_eq!(none, None);
        for command in [2, 0] {
            let (effects, forward) = function.write(access(0x04, 2), command);
            assert!(effects.contains(Effects::BAR_MAP));
            assert_eq!(
                function.backend.log.len(),
                order.iter().filter(|o| **o == "write").count()
            );
            order.extend(applied.unmaps_to(&function.bar_map()).map(|_| "unmap"));
            function.forward(forward.unwrap()).unwrap();
            order.push("write");
            order.extend(applied.maps_to(&function.bar_map()).map(|_| "map"));
            applied = function.bar_map();
        }
        assert_eq!(order, ["write", "map", "unmap", "write"]);
        assert_eq!(function.backend.log, [(0x04, 2, Some(2)), (0x04, 2, Some(0))]);
    }

    #[test]
    fn a_refused_write_leaves_no_trace() {
        let mut function = function();
        let _ = function.write(access(0x10, 4), 0xe000_0000);
        let before = function.shadow().clone();
        function.backend.refuse = true;
        let (_, forward) = function.write(access(0x04, 2), 2);
        assert_eq!(
            BarMap::EMPTY
                .steps_to(&function.bar_map())
                .filter(|s| matches!(s, BarStep::Map { .. }))
                .count(),
            1
        );
        assert_eq!(function.forward(forward.unwrap()), Err(Refused));
        assert_eq!(function.shadow(), &before);
        assert_eq!(function.read(access(0x00, 4)), Err(Refused));
    }

    #[test]
    fn a_piece_emulated_in_part_keeps_the_devices_bits() {
        let mut function = function();
        function.emulate(0x50, &[0x0f]);
        let (_, forward) = function.write(access(0x50, 2), 0x5555);
        function.forward(forward.unwrap()).unwrap();
        assert_eq!(function.backend.log.last(), Some(&(0x50, 2, Some(0x555d))));
        // Status: the capability bit is emulated, and errors that the device has pending are not cleared by the way.
        function.backend.config[0x07] = 0xf9;
        let (_, forward) = function.write(access(0x06, 2), 0x2000);
        function.forward(forward.unwrap()).unwrap();
        assert_eq!(function.backend.log.last(), Some(&(0x06, 2, Some(0x2010))));
    }

    #[test]
    fn unaligned_accesses_reach_the_device_in_aligned_pieces() {
        let mut function = function();
        assert_eq!(function.read(access(0x01, 4)), Ok(0x0019_1280));
        let reads: Vec<_> = function.backend.log.drain(..).map(|(at, len, _)| (at, len)).collect();
        assert_eq!(reads, [(1, 1), (2, 2), (4, 1)]);
    }
}
