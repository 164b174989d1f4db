// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Bus, device and function numbers.

use core::fmt;
use core::str::FromStr;

/// The address of a function on a PCI segment: bus (8 bits), device (5 bits), function (3 bits).
///
/// Prints and parses as `00:1f.0`; a leading segment `0000:` is accepted and must be zero.
///
/// ```
/// use pci_model::Bdf;
///
/// let lpc: Bdf = "00:1f.0".parse()?;
/// assert_eq!(lpc, Bdf::new(0, 0x1f, 0).unwrap());
/// assert_eq!(lpc.to_string(), "00:1f.0");
/// # Ok::<(), pci_model::ParseBdfError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bdf(u16);

impl Bdf {
    /// The address of a function, or `None` if `device` is above 31 or `function` above 7.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > 31 || function > 7 {
            return None;
        }
        Some(Self((bus as u16) << 8 | (device as u16) << 3 | function as u16))
    }

    /// The address from its 16 bits on the wire: bus in 15:8, device in 7:3, function in 2:0.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The 16 bits on the wire.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// Bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Device and function as one byte: device in 7:3, function in 2:0.
    #[must_use]
    pub const fn devfn(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// Device number, 0 to 31.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// Function number, 0 to 7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.devfn() & 7
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{:x}", self.bus(), self.device(), self.function())
    }
}

impl fmt::Debug for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a PCI function address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a PCI address: expected bus:device.function in hexadecimal, such as 00:02.0, on segment 0")]
pub struct ParseBdfError;

impl FromStr for Bdf {
    type Err = ParseBdfError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (head, function) = text.rsplit_once('.').ok_or(ParseBdfError)?;
        let (head, device) = head.rsplit_once(':').ok_or(ParseBdfError)?;
        let bus = match head.rsplit_once(':') {
            Some((segment, bus)) => {
                if number(segment, 4)? != 0 {
                    return Err(ParseBdfError);
                }
                bus
            }
            None => head,
        };
        let byte = |text, digits| u8::try_from(number(text, digits)?).map_err(|_| ParseBdfError);
        Self::new(byte(bus, 2)?, byte(device, 2)?, byte(function, 1)?).ok_or(ParseBdfError)
    }
}

fn number(text: &str, digits: usize) -> Result<u16, ParseBdfError> {
    if text.is_empty() || text.len() > digits || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(ParseBdfError);
    }
    u16::from_str_radix(text, 16).map_err(|_| ParseBdfError)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_address_survives_text() {
        for bits in 0..=u16::MAX {
            let bdf = Bdf::from_bits(bits);
            assert_eq!(bdf.to_string().parse(), Ok(bdf));
            assert_eq!(std::format!("{bdf:?}"), bdf.to_string());
            assert_eq!(Bdf::new(bdf.bus(), bdf.device(), bdf.function()), Some(bdf));
        }
    }

    #[test]
    fn wrong_text_is_refused() {
        for text in [
            "",
            "02.0",
            "0:20.0",
            "00:1f.8",
            "00:1f",
            "1:00:02.0",
            "00:+2.0",
            "000:02.0",
            "00:02.00",
        ] {
            assert_eq!(text.parse::<Bdf>(), Err(ParseBdfError), "{text}");
        }
        assert_eq!("0000:00:02.0".parse(), Ok(Bdf::from_bits(0x10)));
    }
}
