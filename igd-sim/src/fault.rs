// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a device does wrong on purpose.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use crate::device::RegionKind;
use crate::opregion::OpRegionFault;
use crate::rom::RomFault;

/// One thing that goes wrong.
///
/// ```
/// use igd_sim::{Fault, RegionKind};
///
/// let fault: Fault = "error=opregion@0x2000".parse()?;
/// assert_eq!(fault, Fault::Error { region: RegionKind::OpRegion, offset: Some(0x2000) });
/// assert_eq!(fault.to_string(), "error=opregion@0x2000");
/// # Ok::<(), igd_sim::ParseFaultError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Reads of the region deliver half of what was asked for.
    Short(RegionKind),
    /// Accesses to the region fail: all, or those that touch the byte at `offset`.
    Error {
        /// The region.
        region: RegionKind,
        /// The byte.
        offset: Option<u64>,
    },
    /// The region does not exist.
    Missing(RegionKind),
    /// The OpRegion has a defect.
    OpRegion(OpRegionFault),
    /// The option ROM has a defect.
    Rom(RomFault),
    /// BARs refuse accesses while memory decoding is off or the function sleeps, as the kernel's driver does.
    DecodeGate,
    /// The server waits before each answer.
    Slow(Duration),
    /// The server closes the connection instead of its answer after this many.
    Disconnect {
        /// Answers before that.
        after: u64,
    },
}

/// Longest wait before an answer.
const SLOWEST: Duration = Duration::from_secs(60);

/// Text that names no fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{text}` is no fault: {expected}")]
pub struct ParseFaultError {
    text: String,
    expected: &'static str,
}

const KINDS: &str = "short=REGION, error=REGION[@OFFSET], missing=REGION, opregion=DEFECT, rom=DEFECT, decode-gate, slow=MS, disconnect=N";
const REGIONS: &str = "regions are config, bar0, bar2, bar4, rom, opregion, host-bridge, lpc-bridge, vga";

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |expected| ParseFaultError {
            text: text.chars().take(60).collect(),
            expected,
        };
        let (kind, argument) = text.split_once('=').unwrap_or((text, ""));
        let region = |name: &str| name.parse::<RegionKind>().map_err(|_| wrong(REGIONS));
        match kind {
            "short" => Ok(Self::Short(region(argument)?)),
            "missing" => Ok(Self::Missing(region(argument)?)),
            "error" => {
                let (name, offset) = match argument.split_once('@') {
                    Some((name, offset)) => {
                        let offset =
                            parse_u64(offset).ok_or_else(|| wrong("the offset is a number, 0x for hexadecimal"))?;
                        (name, Some(offset))
                    }
                    None => (argument, None),
                };
                Ok(Self::Error {
                    region: region(name)?,
                    offset,
                })
            }
            "opregion" => argument.parse().map(Self::OpRegion).map_err(|()| {
                wrong("defects are bad-signature, bad-size, truncated, bad-checksum, bad-vbt, rvds-lies, rvda-inside")
            }),
            "rom" => argument
                .parse()
                .map(Self::Rom)
                .map_err(|()| wrong("defects are bad-signature, bad-checksum, wrong-device, bad-pointer")),
            "decode-gate" if text == kind => Ok(Self::DecodeGate),
            "slow" => parse_u64(argument)
                .map(Duration::from_millis)
                .filter(|wait| *wait <= SLOWEST)
                .map(Self::Slow)
                .ok_or_else(|| wrong("the wait is 0 to 60000 milliseconds")),
            "disconnect" => parse_u64(argument)
                .map(|after| Self::Disconnect { after })
                .ok_or_else(|| wrong("the number of answers is a number")),
            _ => Err(wrong(KINDS)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(region) => write!(f, "short={region}"),
            Self::Error { region, offset: None } => write!(f, "error={region}"),
            Self::Error {
                region,
                offset: Some(offset),
            } => write!(f, "error={region}@{offset:#x}"),
            Self::Missing(region) => write!(f, "missing={region}"),
            Self::OpRegion(defect) => write!(f, "opregion={defect}"),
            Self::Rom(defect) => write!(f, "rom={defect}"),
            Self::DecodeGate => f.write_str("decode-gate"),
            Self::Slow(wait) => write!(f, "slow={}", wait.as_millis()),
            Self::Disconnect { after } => write!(f, "disconnect={after}"),
        }
    }
}

/// A decimal number, or a hexadecimal one after `0x`.
pub(crate) fn parse_u64(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_hexdigit());
    plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives() {
        for text in [
            "short=config",
            "error=bar0",
            "error=opregion@0x3ba",
            "missing=lpc-bridge",
            "opregion=rvds-lies",
            "rom=bad-pointer",
            "decode-gate",
            "slow=250",
            "disconnect=0",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!(
            "error=vga@16".parse(),
            Ok(Fault::Error {
                region: RegionKind::Vga,
                offset: Some(16)
            })
        );
    }

    #[test]
    fn wrong_text_says_what_was_expected() {
        for (text, hint) in [
            ("", "short=REGION"),
            ("loud", "short=REGION"),
            ("decode-gate=1", "short=REGION"),
            ("short=bar9", "regions are"),
            ("short", "regions are"),
            ("error=rom@", "offset"),
            ("error=rom@-1", "offset"),
            ("opregion=fine", "defects are"),
            ("rom=", "defects are"),
            ("slow=60001", "60000"),
            ("disconnect=soon", "number"),
        ] {
            let message = text.parse::<Fault>().unwrap_err().to_string();
            assert!(message.contains(hint), "{text}: {message}");
        }
    }
}
