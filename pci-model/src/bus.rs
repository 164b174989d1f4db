// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The functions of one bus.

use crate::access::ConfigAccess;
use crate::bar_map::{BarMap, BarRange, BarSpace};
use crate::bdf::Bdf;
use crate::effects::Effects;
use crate::spec;
use crate::window::ConfigSpace;

/// Finds functions by address; what a configuration mechanism needs of the machine.
pub trait ConfigRouter {
    /// Size of the configuration space of the function at `bdf`, or `None` if there is no function.
    fn config_size(&mut self, bdf: Bdf) -> Option<u16>;

    /// Reads from the function at `bdf`, or `None` if there is no function.
    fn config_read(&mut self, bdf: Bdf, at: ConfigAccess) -> Option<u32>;

    /// Writes to the function at `bdf`, or `None` if there is no function.
    fn config_write(&mut self, bdf: Bdf, at: ConfigAccess, value: u32) -> Option<Effects>;
}

const ABSENT: u16 = u16::MAX;

/// Up to `SLOTS` functions on one bus, each at its device and function number.
///
/// Finding a function takes one array look-up, however many there are. Bit 7 of the header type of function 0 is that of
/// the function itself, or set if the device has other functions.
#[derive(Clone, Debug)]
pub struct Bus<F, const SLOTS: usize> {
    number: u8,
    functions: [Option<F>; SLOTS],
    /// Place in `functions` of each device and function number.
    index: [u16; 256],
    /// Devices that have a function other than 0.
    multi_function: u32,
}

/// A function that cannot be put on a bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// Another function is there.
    #[error("there already is a function at {0}")]
    Occupied(Bdf),
    /// The bus has no place left.
    #[error("no place for {bdf}: the bus holds {slots} functions")]
    Full {
        /// The function.
        bdf: Bdf,
        /// How many the bus holds.
        slots: usize,
    },
    /// The address is on another bus.
    #[error("{bdf} is not on bus {number:#04x}")]
    OtherBus {
        /// The function.
        bdf: Bdf,
        /// Number of this bus.
        number: u8,
    },
}

impl<F: ConfigSpace, const SLOTS: usize> Bus<F, SLOTS> {
    /// An empty bus.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self {
            number,
            functions: core::array::from_fn(|_| None),
            index: [ABSENT; 256],
            multi_function: 0,
        }
    }

    /// Puts a function on the bus.
    ///
    /// # Errors
    ///
    /// The address is on another bus or taken, or the bus is full.
    pub fn insert(&mut self, bdf: Bdf, function: F) -> Result<(), BusError> {
        if bdf.bus() != self.number {
            return Err(BusError::OtherBus {
                bdf,
                number: self.number,
            });
        }
        if self.get(bdf).is_some() {
            return Err(BusError::Occupied(bdf));
        }
        let free = (0_u16..ABSENT)
            .zip(&mut self.functions)
            .find(|(_, slot)| slot.is_none());
        let Some((at, slot)) = free else {
            return Err(BusError::Full { bdf, slots: SLOTS });
        };
        *slot = Some(function);
        self.set_index(bdf, at);
        Ok(())
    }

    /// Takes a function off the bus.
    pub fn remove(&mut self, bdf: Bdf) -> Option<F> {
        let place = self.place(bdf)?;
        let removed = self.functions.get_mut(place)?.take();
        self.set_index(bdf, ABSENT);
        removed
    }

    fn set_index(&mut self, bdf: Bdf, at: u16) {
        if let Some(index) = self.index.get_mut(usize::from(bdf.devfn())) {
            *index = at;
        }
        let device = usize::from(bdf.device()) * 8;
        let others = self.index.get(device + 1..device + 8).unwrap_or(&[]);
        let bit = 1 << bdf.device();
        if others.iter().any(|at| *at != ABSENT) {
            self.multi_function |= bit;
        } else {
            self.multi_function &= !bit;
        }
    }

    #[inline]
    fn place(&self, bdf: Bdf) -> Option<usize> {
        if bdf.bus() != self.number {
            return None;
        }
        self.index.get(usize::from(bdf.devfn())).map(|at| usize::from(*at))
    }

    /// The function at `bdf`.
    #[must_use]
    #[inline]
    pub fn get(&self, bdf: Bdf) -> Option<&F> {
        self.functions.get(self.place(bdf)?)?.as_ref()
    }

    /// The function at `bdf`.
    #[inline]
    pub fn get_mut(&mut self, bdf: Bdf) -> Option<&mut F> {
        let place = self.place(bdf)?;
        self.functions.get_mut(place)?.as_mut()
    }

    /// The functions in rising order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = (Bdf, &F)> {
        (0..=0xff).filter_map(|devfn| {
            let bdf = Bdf::from_bits(u16::from(self.number) << 8 | devfn);
            Some((bdf, self.get(bdf)?))
        })
    }

    /// The function, BAR and offset that answer at `addr`. Where BARs overlap, the lowest function and BAR win.
    #[must_use]
    pub fn claim(&self, space: BarSpace, addr: u64) -> Option<(Bdf, u8, u64)> {
        self.iter().find_map(|(bdf, function)| {
            let (bar, offset) = function.bar_map().claim(space, addr)?;
            Some((bdf, bar, offset))
        })
    }

    /// The first BAR, in rising order, that overlaps BAR `bar` of `bdf` and wins: a conflict worth a line in a log.
    #[must_use]
    pub fn conflict(&self, bdf: Bdf, bar: u8) -> Option<(Bdf, u8, BarRange)> {
        let range = self.get(bdf)?.bar_map().get(bar)?;
        let maps = self.iter().map(|(other, function)| (other, function.bar_map()));
        maps.flat_map(|(other, map): (Bdf, BarMap)| {
            (0..7).filter_map(move |index| Some((other, index, map.get(index)?)))
        })
        .take_while(|(other, index, _)| (*other, *index) < (bdf, bar))
        .find(|(_, _, other)| other.overlaps(range))
    }

    /// Resets every function; the effects are those of all together.
    pub fn reset(&mut self) -> Effects {
        self.functions
            .iter_mut()
            .flatten()
            .fold(Effects::empty(), |effects, function| effects | function.reset())
    }
}

impl<F: ConfigSpace, const SLOTS: usize> ConfigRouter for Bus<F, SLOTS> {
    fn config_size(&mut self, bdf: Bdf) -> Option<u16> {
        Some(self.get(bdf)?.config_size())
    }

    #[inline]
    fn config_read(&mut self, bdf: Bdf, at: ConfigAccess) -> Option<u32> {
        let value = self.get_mut(bdf)?.config_read(at);
        let header_type = spec::HEADER_TYPE;
        if bdf.function() == 0
            && at.overlaps(header_type, header_type + 1)
            && self.multi_function >> bdf.device() & 1 != 0
        {
            return Some(value | u32::from(spec::MULTI_FUNCTION) << (8 * (header_type - at.offset())));
        }
        Some(value)
    }

    fn config_write(&mut self, bdf: Bdf, at: ConfigAccess, value: u32) -> Option<Effects> {
        Some(self.get_mut(bdf)?.config_write(at, value))
    }
}
