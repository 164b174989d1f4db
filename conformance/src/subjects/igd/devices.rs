// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Registers of particular devices that no specification of PCI defines, as data.

use std::sync::OnceLock;

use pci_model::Function;
use serde::Deserialize;

use super::setting::Setting;

/// `devices.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    device: Vec<Device>,
    unmodelled: Vec<Unmodelled>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unmodelled {
    /// Names of QEMU's devices.
    devices: Vec<String>,
    /// What they have that is not modelled.
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    /// Vendor and device ids: `8086:7010`.
    ids: Vec<String>,
    /// What it is, for the reader.
    #[expect(dead_code, reason = "for the reader of the file, and so that no entry goes without")]
    name: String,
    register: Vec<Register>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    /// First byte: an offset, or an offset in a capability.
    at: u16,
    /// Capability that `at` counts from.
    capability: Option<u8>,
    /// Writable bits of each byte.
    #[serde(default)]
    writable: Vec<u8>,
    /// Bits of each byte that writing one clears.
    #[serde(default)]
    w1c: Vec<u8>,
    /// Whether a reset keeps the bits.
    #[serde(default)]
    kept: bool,
    /// Values after a reset, where they are not those at power-on.
    #[serde(default)]
    initial: Vec<u8>,
    /// The only setting under which the row holds.
    setting: Option<String>,
    /// Why, for the reader.
    #[expect(dead_code, reason = "for the reader of the file, and so that no entry goes without")]
    reason: String,
}

fn table() -> Result<&'static Table, String> {
    static TABLE: OnceLock<Result<Table, String>> = OnceLock::new();
    TABLE
        .get_or_init(|| toml::from_str(include_str!("devices.toml")).map_err(|error| format!("devices.toml: {error}")))
        .as_ref()
        .map_err(Clone::clone)
}

/// Why a trace about these devices of QEMU cannot be replayed, if it cannot.
pub(super) fn unmodelled(devices: &[String]) -> Result<Option<String>, String> {
    let table = table()?;
    let name = |device: &String| device.split(',').next().unwrap_or_default().to_owned();
    Ok(devices.iter().map(name).find_map(|name| {
        let row = table.unmodelled.iter().find(|row| row.devices.contains(&name))?;
        Some(format!("{name} is not modelled: {}", row.reason))
    }))
}

/// Gives a function the registers of its device. They are those of QEMU's devices, so that other rules have none.
pub(super) fn apply<const N: usize>(function: &mut Function<N>, setting: Setting) -> Result<(), String> {
    if setting == Setting::Specification {
        return Ok(());
    }
    let registers = function.registers();
    let id = format!("{:04x}:{:04x}", registers.u16(0), registers.u16(2));
    let devices = table()?.device.iter().filter(|device| device.ids.contains(&id));
    let rows = devices.flat_map(|device| &device.register);
    for register in rows.filter(|row| row.setting.as_ref().is_none_or(|name| name == setting.name())) {
        let base = match register.capability {
            None => 0,
            Some(id) => match function.capability(id) {
                Some(at) => u16::from(at),
                None => continue,
            },
        };
        let at = base + register.at;
        let registers = function.registers_mut();
        registers.set(at, &register.initial);
        if register.kept {
            registers.set_storage(at, &register.writable);
        } else {
            registers.set_writable(at, &register.writable);
        }
        registers.set_w1c(at, &register.w1c);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_well_formed() {
        for device in &table().unwrap().device {
            assert!(!device.ids.is_empty() && !device.register.is_empty());
            for register in &device.register {
                let name = register.setting.as_deref().unwrap_or("qemu-11.1");
                assert!(name.parse::<Setting>().is_ok(), "{name}");
                assert!(
                    register.at >= 0x40 || register.capability.is_some(),
                    "the header has its own rules"
                );
            }
        }
    }
}
