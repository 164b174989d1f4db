// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the user asks for, as a structure or with the names QEMU gave it.

mod parse;

#[cfg(feature = "serde")]
pub(crate) use parse::number;
pub use parse::{OptionError, OptionErrors};

use alloc::string::String;
use core::fmt;

use pci_model::Bdf;

#[cfg(feature = "serde")]
use crate::facts::form;

/// The user's wishes. What is left out is decided by the policy.
///
/// Parses from QEMU's `-device` string, or from the same `key=value` pairs without a device name:
///
/// ```
/// use igd_quirks::options::{OnOffAuto, Options};
///
/// let options: Options = "vfio-pci,host=0000:00:02.0,addr=0x2,x-igd-opregion=on".parse()?;
/// assert_eq!(options.addr, "00:02.0".parse().ok());
/// assert_eq!(options.opregion, Some(true));
/// assert_eq!(options.legacy_mode, OnOffAuto::Auto);
/// # Ok::<(), igd_quirks::options::OptionErrors>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct Options {
    /// The host's function, `host`.
    #[cfg_attr(feature = "serde", serde(with = "form::optional_text"))]
    pub host: Option<Bdf>,
    /// Device and function in the guest, `addr`.
    #[cfg_attr(feature = "serde", serde(with = "form::optional_text"))]
    pub addr: Option<Bdf>,
    /// Whether the device is behind a bridge, `bus` with another name than that of the root bus.
    pub behind_bridge: bool,
    /// Whether the guest gets the OpRegion, `x-igd-opregion`.
    pub opregion: Option<bool>,
    /// Whether 00:00.0 and 00:1f.0 take the host's identities, `x-igd-lpc`.
    pub lpc: Option<bool>,
    /// Whether the device becomes the guest's primary display with all it needs, `x-igd-legacy-mode`.
    pub legacy_mode: OnOffAuto,
    /// GMS code in place of the host's, `x-igd-gms`; 0 keeps the host's.
    pub gms: u8,
    /// Whether the guest reaches the legacy VGA ranges, `x-vga`.
    pub vga: Option<bool>,
    /// File with an expansion ROM, `romfile`; empty for none.
    pub romfile: Option<String>,
    /// Whether the guest sees an expansion ROM, `rombar`.
    pub rombar: Option<bool>,
}

impl Options {
    /// Whether the guest finds the device at 00:02.0 of its root bus.
    #[must_use]
    pub fn is_at_igd_address(&self) -> bool {
        !self.behind_bridge && self.addr == Bdf::new(0, 2, 0)
    }
}

/// On, off, or left to the policy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum OnOffAuto {
    /// Left to the policy.
    #[default]
    Auto,
    /// On.
    On,
    /// Off.
    Off,
}

impl fmt::Display for OnOffAuto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}
