// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Small registers of the chipset: port 92h, and the root complex registers of ICH9.

use super::{Device, Request};

/// Port 92h: the fast A20 gate, which is always open, and the fast reset.
#[derive(Clone, Copy, Default, Debug)]
pub struct Port92;

impl Device for Port92 {
    fn read(&mut self, _: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(first) = data.first_mut() {
            *first = 0x02;
        }
    }

    fn write(&mut self, _: u64, data: &[u8]) -> Option<Request> {
        data.first().filter(|value| **value & 1 != 0).map(|_| Request::Reset)
    }
}

const RCRB: usize = 0x4000;
/// Interrupt routes of devices 31 to 25, D31IR to D25IR.
const ROUTES: [usize; 7] = [0x3140, 0x3142, 0x3144, 0x3146, 0x3148, 0x314c, 0x3150];
const ROUTE: u16 = 0x3210;

/// The root complex registers: storage with the interrupt routes at their values after a reset.
#[derive(Debug)]
pub struct RootComplex {
    registers: Vec<u8>,
}

impl Default for RootComplex {
    fn default() -> Self {
        let mut device = Self {
            registers: vec![0; RCRB],
        };
        device.reset();
        device
    }
}

impl Device for RootComplex {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.registers.iter().copied().skip(from).chain(std::iter::repeat(0));
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.registers.iter_mut().skip(from);
        bytes.zip(data).for_each(|(to, from)| *to = *from);
        None
    }

    fn reset(&mut self) {
        self.registers.fill(0);
        for at in ROUTES {
            let _ = self.write(at as u64, &ROUTE.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_reset_resets() {
        assert_eq!(Port92.write(0, &[0x02]), None);
        assert_eq!(Port92.write(0, &[0x03]), Some(Request::Reset));
    }

    #[test]
    fn routes_are_kept_until_a_reset() {
        let mut device = RootComplex::default();
        let mut route = [0; 2];
        device.read(0x3140, &mut route);
        assert_eq!(u16::from_le_bytes(route), ROUTE);
        assert_eq!(device.write(0x3140, &[0x34, 0x12]), None);
        device.read(0x3140, &mut route);
        assert_eq!(u16::from_le_bytes(route), 0x1234);
        device.reset();
        device.read(0x3140, &mut route);
        assert_eq!(u16::from_le_bytes(route), ROUTE);
        assert_eq!(device.write(0x3fff, &[1, 2, 3, 4]), None);
        device.read(0x3fff, &mut route);
        assert_eq!(route, [1, 0]);
    }
}
