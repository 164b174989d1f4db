// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What fw_cfg tells the firmware, as QEMU's machines do.

use fwcfg::{FwCfg, FwCfgBuilder, InsertError};
use igd_quirks::plan::FirmwareFile;

use super::acpi::Tables;
use super::e820::{self, Entry};
use super::smbios;
use crate::machine::BoardInfo;

const UUID: u16 = 0x02;
const RAM_SIZE: u16 = 0x03;
const NOGRAPHIC: u16 = 0x04;
const PROCESSORS: u16 = 0x05;
const NUMA: u16 = 0x0d;
const BOOT_MENU: u16 = 0x0e;
const MAX_PROCESSORS: u16 = 0x0f;
const IRQ0_OVERRIDE: u16 = 0x8002;

/// Sleep states S0 to S5: S3 and S4 are not there, S5 is.
const SLEEP_STATES: [u8; 6] = [0x80, 0, 0, 0x01, 0x02, 0x80];

/// The map in the kinds that firmware knows: SeaBIOS and OVMF leave out what is neither RAM nor reserved.
fn known(map: &[Entry]) -> Vec<Entry> {
    let kind = |kind| if kind == e820::RAM { e820::RAM } else { e820::RESERVED };
    map.iter()
        .map(|entry| Entry {
            kind: kind(entry.kind),
            ..*entry
        })
        .collect()
}

/// The device with the items of a machine: its memory map and tables, and the files of a plan.
///
/// # Errors
///
/// A file of the plan has a name that cannot be.
pub fn fw_cfg(board: &BoardInfo, map: &[Entry], tables: &Tables, files: &[FirmwareFile]) -> Result<FwCfg, InsertError> {
    let mut builder = FwCfgBuilder::new();
    let ram = board
        .ram
        .iter()
        .fold(0, |sum: u64, extent| sum.saturating_add(extent.len));
    let cpus = u16::from(board.cpus);
    let numbers: [(u16, Vec<u8>); 8] = [
        (UUID, vec![0; 16]),
        (RAM_SIZE, ram.to_le_bytes().into()),
        (NOGRAPHIC, 0_u16.to_le_bytes().into()),
        (PROCESSORS, cpus.to_le_bytes().into()),
        (NUMA, vec![0; 8 * (1 + usize::from(cpus))]),
        (BOOT_MENU, 0_u16.to_le_bytes().into()),
        (MAX_PROCESSORS, cpus.to_le_bytes().into()),
        (IRQ0_OVERRIDE, vec![1]),
    ];
    for (key, bytes) in numbers {
        builder.add_item(key, bytes)?;
    }
    let smbios = smbios::tables(board);
    let named: [(&str, Vec<u8>); 9] = [
        ("bootorder", Vec::new()),
        ("etc/acpi/rsdp", tables.rsdp.clone()),
        ("etc/acpi/tables", tables.tables.clone()),
        ("etc/boot-fail-wait", u32::MAX.to_le_bytes().into()),
        ("etc/e820", e820::to_bytes(&known(map))),
        ("etc/smbios/smbios-anchor", smbios.anchor),
        ("etc/smbios/smbios-tables", smbios.tables),
        ("etc/system-states", SLEEP_STATES.into()),
        ("etc/table-loader", tables.loader.clone()),
    ];
    for (name, bytes) in named {
        builder.add_file(name, bytes)?;
    }
    for file in files {
        builder.add_file(&file.name, file.bytes.to_vec())?;
    }
    Ok(builder.build())
}
