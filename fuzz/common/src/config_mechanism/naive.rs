// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
#![expect(
    clippy::indexing_slicing,
    reason = "a naive model of fixed arrays; an index outside is a broken oracle"
)]
//! Both configuration mechanisms done naively: byte by byte, over functions that are plain storage.

use pci_model::{ConfigAccess, ConfigSpace, Effects, Rules};

/// A function that stores what it is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Storage {
    bytes: Vec<u8>,
}

impl Storage {
    /// `size` bytes in which each tells its function and place.
    pub(super) fn new(devfn: u8, size: u16) -> Self {
        let bytes = (0..size).map(|at| {
            let [low, high] = at.to_le_bytes();
            // Bit 7 of the header type would hide whether the bus sets it.
            if at == 0x0e {
                0
            } else {
                low ^ devfn.rotate_left(3) ^ high.wrapping_mul(0x1d)
            }
        });
        Self { bytes: bytes.collect() }
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// What a write to a byte says it changed; each place says something else.
fn effects(at: usize) -> Effects {
    [
        Effects::BAR_MAP,
        Effects::INTX,
        Effects::MSI,
        Effects::BUS_MASTER,
        Effects::POWER,
    ][at % 5]
}

impl ConfigSpace for Storage {
    fn config_size(&self) -> u16 {
        u16::try_from(self.len()).unwrap_or(u16::MAX)
    }

    fn config_read(&mut self, at: ConfigAccess) -> u32 {
        assert_eq!(
            usize::from(at.offset()) % at.width().len(),
            0,
            "a function is read unaligned: {at:x?}"
        );
        let places = (at.offset()..at.end()).rev();
        places.fold(0, |value, at| {
            value << 8 | u32::from(self.bytes.get(usize::from(at)).copied().unwrap_or(0xff))
        })
    }

    fn config_write(&mut self, at: ConfigAccess, value: u32) -> Effects {
        assert_eq!(
            usize::from(at.offset()) % at.width().len(),
            0,
            "a function is written unaligned: {at:x?}"
        );
        let mut all = Effects::empty();
        for (at, new) in (usize::from(at.offset())..usize::from(at.end())).zip(value.to_le_bytes()) {
            if let Some(byte) = self.bytes.get_mut(at) {
                *byte = new;
                all |= effects(at);
            }
        }
        all
    }

    fn reset(&mut self) -> Effects {
        Effects::empty()
    }
}

/// All of the machine that a configuration access can reach.
#[derive(Clone)]
pub(super) struct Naive {
    pub(super) rules: Rules,
    pub(super) ich9: bool,
    pub(super) bus: u8,
    /// Functions by device and function number.
    pub(super) functions: Vec<(u8, Storage)>,
    pub(super) address: u32,
    pub(super) reset_control: u8,
}

/// What a write did: the bus, device and function it reached, and the effects.
pub(super) type Done = (Option<u16>, Effects);

/// A piece of an access: how far into the access, where, and how long.
type Piece = (usize, usize, usize);

/// An access as its largest naturally aligned pieces of up to four bytes.
fn pieces(offset: usize, len: usize) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut done = 0;
    while done < len {
        let fits = |size: &usize| (offset + done).is_multiple_of(*size) && done + size <= len;
        let size = [4, 2, 1].into_iter().find(fits).unwrap_or(1);
        all.push((done, offset + done, size));
        done += size;
    }
    all
}

impl Naive {
    fn is_qemu(&self) -> bool {
        self.rules != Rules::Specification
    }

    /// QEMU 11 serves accesses of 1, 2, 4 and 8 bytes that are aligned; 8 bytes count as two of 4.
    fn refuses(&self, offset: u64, len: usize) -> bool {
        let aligned = match len {
            1 => true,
            2 => offset.is_multiple_of(2),
            4 | 8 => offset.is_multiple_of(4),
            _ => false,
        };
        self.rules == Rules::Qemu11 && !aligned
    }

    fn function(&mut self, bdf: u16) -> Option<&mut Storage> {
        let [bus, devfn] = bdf.to_be_bytes();
        let here = bus == self.bus;
        self.functions
            .iter_mut()
            .find(|(place, _)| here && *place == devfn)
            .map(|(_, function)| function)
    }

    fn byte(&mut self, bdf: u16, at: usize) -> Option<u8> {
        let [_, devfn] = bdf.to_be_bytes();
        let others = self
            .functions
            .iter()
            .any(|(place, _)| place / 8 == devfn / 8 && place % 8 != 0);
        let function = self.function(bdf)?;
        let byte = function.bytes.get(at).copied().unwrap_or(0xff);
        let multi_function = at == 0x0e && devfn % 8 == 0 && others;
        Some(byte | u8::from(multi_function) << 7)
    }

    /// Function and register that a data port leads to.
    fn target(&self, lane: usize) -> Option<(u16, usize)> {
        let [register, devfn, bus, high] = self.address.to_le_bytes();
        let register = if self.is_qemu() {
            usize::from(register) | lane
        } else {
            usize::from(register & 0xfc) + lane
        };
        (high & 0x80 != 0).then_some((u16::from_be_bytes([bus, devfn]), register))
    }

    pub(super) fn port_read(&mut self, offset: usize, len: usize) -> Vec<u8> {
        let mut data = vec![0xff; len];
        if self.is_qemu() && offset == 1 && len != 1 {
            data.fill(0);
            if let Some(first) = data.first_mut() {
                *first = self.reset_control;
            }
            return data;
        }
        if self.refuses(offset as u64, len) {
            data.fill(0);
            return data;
        }
        for (done, port, size) in pieces(offset, len) {
            for lane in 0..size {
                data[done + lane] = match port {
                    1 if size == 1 => self.reset_control,
                    0..4 => {
                        // QEMU answers with the low bytes, wherever the access begins.
                        let lane = if self.is_qemu() { lane } else { port + lane };
                        self.address.to_le_bytes()[lane]
                    }
                    4..8 => self.data_byte(port - 4, lane),
                    _ => 0xff,
                };
            }
        }
        data
    }

    fn data_byte(&mut self, port: usize, lane: usize) -> u8 {
        let Some((bdf, register)) = self.target(port) else {
            return 0xff;
        };
        // The low bits of QEMU's latch can lead beyond the last register.
        match self.function(bdf) {
            None => 0xff,
            Some(_) if register + lane >= 256 => 0,
            Some(_) => self.byte(bdf, register + lane).unwrap_or(0xff),
        }
    }

    pub(super) fn port_write(&mut self, offset: usize, data: &[u8]) -> Done {
        let nothing = (None, Effects::empty());
        if let (0, [a, b, c, d]) = (offset, data) {
            let address = u32::from_le_bytes([*a, *b, *c, *d]);
            self.address = if self.is_qemu() { address } else { address & 0x80ff_fffc };
            return nothing;
        }
        if self.is_qemu() && offset == 1 && data.len() != 1 {
            let widest = if self.ich9 { 4 } else { 2 };
            return match data.first() {
                Some(first) if data.len() <= widest => self.control_reset(*first),
                _ => nothing,
            };
        }
        if self.refuses(offset as u64, data.len()) {
            return nothing;
        }
        let mut done = nothing;
        for (start, port, size) in pieces(offset, data.len()) {
            let bytes = &data[start..start + size];
            let piece = match port {
                1 if size == 1 => self.control_reset(bytes[0]),
                4..8 => match self.target(port - 4) {
                    Some((bdf, register)) => self.store(bdf, register, bytes, 256),
                    None => nothing,
                },
                _ => nothing,
            };
            done = (done.0.or(piece.0), done.1 | piece.1);
        }
        done
    }

    fn control_reset(&mut self, value: u8) -> Done {
        if value & 4 != 0 {
            return (None, Effects::SYSTEM_RESET);
        }
        self.reset_control = value & if self.ich9 { 0x0a } else { 0x02 };
        (None, Effects::empty())
    }

    /// Stores bytes below `end`; the function counts as written if there was one such byte.
    fn store(&mut self, bdf: u16, register: usize, bytes: &[u8], end: usize) -> Done {
        let Some(function) = self.function(bdf) else {
            return (None, Effects::empty());
        };
        let end = end.min(function.len());
        let mut done = (None, Effects::empty());
        for (at, new) in (register..end).zip(bytes) {
            function.bytes[at] = *new;
            done = (Some(bdf), done.1 | effects(at));
        }
        done
    }

    fn ecam_target(offset: u64) -> (Option<u16>, usize) {
        let register = usize::try_from(offset % 0x1000).unwrap_or(0);
        (u16::try_from(offset / 0x1000).ok(), register)
    }

    pub(super) fn ecam_read(&mut self, offset: u64, len: usize) -> Vec<u8> {
        if self.refuses(offset, len) {
            return vec![0; len];
        }
        let (bdf, register) = Self::ecam_target(offset);
        (register..register + len)
            .map(|at| bdf.and_then(|bdf| self.byte(bdf, at)).unwrap_or(0xff))
            .collect()
    }

    pub(super) fn ecam_write(&mut self, offset: u64, data: &[u8]) -> Done {
        let (bdf, register) = Self::ecam_target(offset);
        match bdf {
            Some(bdf) if !self.refuses(offset, data.len()) => self.store(bdf, register, data, 0x1000),
            _ => (None, Effects::empty()),
        }
    }
}
