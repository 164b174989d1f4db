// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Reading options from text.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use pci_model::Bdf;

use super::{OnOffAuto, Options};

/// Device names before the first comma.
const DRIVERS: [&str; 2] = ["vfio-pci", "vfio-pci-nohotplug"];
/// Names that QEMU's machines give their root bus.
const ROOT_BUSES: [&str; 2] = ["pci.0", "pcie.0"];
/// Longest part of a user's text that an error repeats, in characters.
const SHOWN: usize = 64;

const SWITCH: &str = "on or off";
const SWITCH_OR_AUTO: &str = "on, off or auto";
const HOST: &str = "an address of the host on segment 0, such as 0000:00:02.0";
const ADDR: &str = "device and function in hexadecimal, such as 0x2 or 02.0; device up to 1f, function up to 7";
const GMS: &str =
    "a number from 0 to 0xff, decimal or 0x and hexadecimal; what a device takes is checked with the facts";
const TEXT: &str = "a name";

type Setter = fn(&mut Options, &str) -> Option<()>;

/// Every key: its name, how its value is stored, and what is allowed.
const KEYS: &[(&str, Setter, &str)] = &[
    ("host", set_host, HOST),
    ("addr", set_addr, ADDR),
    ("bus", set_bus, TEXT),
    ("id", set_nothing, TEXT),
    (
        "x-igd-opregion",
        |options, value| switch(value).map(|on| options.opregion = Some(on)),
        SWITCH,
    ),
    (
        "x-igd-lpc",
        |options, value| switch(value).map(|on| options.lpc = Some(on)),
        SWITCH,
    ),
    ("x-igd-legacy-mode", set_legacy_mode, SWITCH_OR_AUTO),
    ("x-igd-gms", set_gms, GMS),
    (
        "x-vga",
        |options, value| switch(value).map(|on| options.vga = Some(on)),
        SWITCH,
    ),
    ("romfile", set_romfile, "a file name, or nothing for no ROM"),
    ("rombar", set_rombar, "0 or 1, on, off or auto"),
];

/// An option that is not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// A key that does not exist.
    #[error("unknown option `{key}`: there are {}", Keys)]
    UnknownKey {
        /// The key, cut after 64 characters.
        key: String,
    },
    /// A part that is no `key=value`.
    #[error("`{part}` is no option: expected key=value")]
    NoValue {
        /// The part, cut after 64 characters.
        part: String,
    },
    /// A value that the key does not take.
    #[error("{key}={value} is not understood: expected {allowed}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value, cut after 64 characters.
        value: String,
        /// What the key takes.
        allowed: &'static str,
    },
    /// The device name at the beginning is another one.
    #[error("device `{name}` is not supported: expected vfio-pci or vfio-pci-nohotplug")]
    Driver {
        /// The name, cut after 64 characters.
        name: String,
    },
}

/// Everything that is wrong with an option string, in its order; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionErrors(Vec<OptionError>);

impl OptionErrors {
    /// The errors in the order of the text.
    pub fn iter(&self) -> core::slice::Iter<'_, OptionError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a OptionErrors {
    type Item = &'a OptionError;
    type IntoIter = core::slice::Iter<'a, OptionError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for OptionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl core::error::Error for OptionErrors {}

struct Keys;

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, ..)) in KEYS.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Options {
    /// Sets one option by its QEMU name. What was set before is replaced.
    ///
    /// # Errors
    ///
    /// The key does not exist, or does not take the value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let Some(&(key, setter, allowed)) = KEYS.iter().find(|(name, ..)| *name == key) else {
            return Err(OptionError::UnknownKey { key: shown(key) });
        };
        setter(self, value).ok_or_else(|| OptionError::BadValue {
            key,
            value: shown(value),
            allowed,
        })
    }
}

impl FromStr for Options {
    type Err = OptionErrors;

    /// Reads `key=value` pairs separated by commas, with or without a device name before the first. As with QEMU, two
    /// commas stand for one within a value, and of a repeated key the last counts.
    fn from_str(text: &str) -> Result<Self, OptionErrors> {
        let mut options = Self::default();
        let mut errors = Vec::new();
        for (index, part) in parts(text).iter().enumerate() {
            let result = match part.split_once('=') {
                Some(("driver", name)) => driver(name),
                Some((key, value)) => options.set(key, value),
                None if index == 0 && !part.is_empty() => driver(part),
                None if part.is_empty() => Ok(()),
                None => Err(OptionError::NoValue { part: shown(part) }),
            };
            errors.extend(result.err());
        }
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(OptionErrors(errors))
        }
    }
}

/// The text between commas, with doubled commas made single.
fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            ',' if chars.next_if_eq(&',').is_some() => part.push(','),
            ',' => parts.push(core::mem::take(&mut part)),
            _ => part.push(char),
        }
    }
    parts.push(part);
    parts
}

fn driver(name: &str) -> Result<(), OptionError> {
    if DRIVERS.contains(&name) {
        Ok(())
    } else {
        Err(OptionError::Driver { name: shown(name) })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// A number: decimal, or `0x` and hexadecimal digits.
pub(crate) fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "yes" | "true" | "y" => Some(true),
        "off" | "no" | "false" | "n" => Some(false),
        _ => None,
    }
}

fn set_host(options: &mut Options, value: &str) -> Option<()> {
    options.host = Some(value.parse().ok()?);
    Some(())
}

/// QEMU's form: hexadecimal device, then perhaps a dot and the function, each with or without `0x`.
fn set_addr(options: &mut Options, value: &str) -> Option<()> {
    let (device, function) = value.split_once('.').unwrap_or((value, "0"));
    let byte = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() > 2 || digits.starts_with('+') {
            return None;
        }
        u8::from_str_radix(digits, 16).ok()
    };
    options.addr = Some(Bdf::new(0, byte(device)?, byte(function)?)?);
    Some(())
}

fn set_bus(options: &mut Options, value: &str) -> Option<()> {
    if value.is_empty() {
        return None;
    }
    options.behind_bridge = !ROOT_BUSES.contains(&value);
    Some(())
}

fn set_nothing(_: &mut Options, value: &str) -> Option<()> {
    (!value.is_empty()).then_some(())
}

fn set_legacy_mode(options: &mut Options, value: &str) -> Option<()> {
    options.legacy_mode = match (value, switch(value)) {
        ("auto", _) => OnOffAuto::Auto,
        (_, Some(true)) => OnOffAuto::On,
        (_, Some(false)) => OnOffAuto::Off,
        (_, None) => return None,
    };
    Some(())
}

fn set_gms(options: &mut Options, value: &str) -> Option<()> {
    options.gms = u8::try_from(number(value)?).ok()?;
    Some(())
}

#[expect(clippy::unnecessary_wraps, reason = "one of the setters of a table")]
fn set_romfile(options: &mut Options, value: &str) -> Option<()> {
    options.romfile = Some(value.to_owned());
    Some(())
}

fn set_rombar(options: &mut Options, value: &str) -> Option<()> {
    options.rombar = match (value, switch(value)) {
        ("auto", _) => None,
        ("1", _) | (_, Some(true)) => Some(true),
        ("0", _) | (_, Some(false)) => Some(false),
        _ => return None,
    };
    Some(())
}
