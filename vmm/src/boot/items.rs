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
    let numbers: [(u16, Vec<u8>); 7] = [
        (UUID, vec![0; 16]),
        (RAM_SIZE, ram.to_le_bytes().into()),
        (NOGRAPHIC, 0_u16.to_le_bytes().into()),
        (PROCESSORS, cpus.to_le_bytes().into()),
        (BOOT_MENU, 0_u16.to_le_bytes().into()),
        (MAX_PROCESSORS, cpus.to_le_bytes().into()),
        (IRQ0_OVERRIDE, vec![1]),
    ];
    for (key, bytes) in numbers {
        builder.add_item(key, bytes)?;
    }
    let smbios = smbios::tables(board);
    let named: [(&str, Vec<u8>); 11] = [
        ("bios-geometry", Vec::new()),
        ("bootorder", Vec::new()),
        ("etc/acpi/rsdp", tables.rsdp.clone()),
        ("etc/acpi/tables", tables.tables.clone()),
        ("etc/boot-fail-wait", u32::MAX.to_le_bytes().into()),
        ("etc/e820", e820::to_bytes(&known(map))),
        ("etc/smbios/smbios-anchor", smbios.anchor),
        ("etc/smbios/smbios-tables", smbios.tables),
        ("etc/system-states", SLEEP_STATES.into()),
        ("etc/table-loader", tables.loader.clone()),
        ("etc/tpm/log", Vec::new()),
    ];
    for (name, bytes) in named {
        builder.add_file(name, bytes)?;
    }
    for file in files {
        builder.add_file(&file.name, file.bytes.to_vec())?;
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::acpi;
    use crate::machine::BoardKind;
    use igd_quirks::facts::Extent;

    fn device(files: &[FirmwareFile]) -> Result<FwCfg, InsertError> {
        let board = BoardInfo {
            kind: BoardKind::Pc,
            ram: vec![Extent::new(0, 256 << 20), Extent::new(1 << 32, 1 << 30)],
            cpus: 3,
        };
        let map = e820::entries(&board.ram, &[]);
        fw_cfg(&board, &map, &acpi::tables(&board), files)
    }

    #[test]
    fn files_have_the_keys_of_qemu() {
        // QEMU 7.2 and 11.1 with `-machine pc`, without the ROM that comes after them.
        let expected = [
            "bios-geometry",
            "bootorder",
            "etc/acpi/rsdp",
            "etc/acpi/tables",
            "etc/boot-fail-wait",
            "etc/e820",
            "etc/smbios/smbios-anchor",
            "etc/smbios/smbios-tables",
            "etc/system-states",
            "etc/table-loader",
            "etc/tpm/log",
        ];
        let device = device(&[]).unwrap();
        let files: Vec<_> = device.files().collect();
        let expected: Vec<_> = (0x20..).zip(expected).collect();
        assert_eq!(files, expected);
    }

    #[test]
    fn numbers_are_those_of_the_board() {
        let device = device(&[]).unwrap();
        let item = |key| device.item(key).unwrap().bytes().unwrap().to_vec();
        assert_eq!(item(RAM_SIZE), (0x5000_0000_u64).to_le_bytes());
        assert_eq!((item(PROCESSORS), item(MAX_PROCESSORS)), (vec![3, 0], vec![3, 0]));
        assert_eq!(item(IRQ0_OVERRIDE).first(), Some(&1));
        let map = item(device.file_key("etc/e820").unwrap());
        assert_eq!(map.len(), 40);
        assert_eq!(map[20..28], (1_u64 << 32).to_le_bytes());
    }

    #[test]
    fn firmware_knows_two_kinds() {
        let entry = |kind| Entry {
            range: Extent::new(0x3000, 0x1000),
            kind,
        };
        let kinds = known(&[entry(1), entry(2), entry(4)])
            .into_iter()
            .map(|entry| entry.kind);
        assert!(kinds.eq([1, 2, 2]));
    }

    #[test]
    fn a_plan_cannot_replace_the_boards_files() {
        let file = |name: &str| FirmwareFile {
            name: name.to_owned(),
            bytes: igd_quirks::facts::Bytes::new([1]).unwrap(),
        };
        let device_with = device(&[file("etc/igd-bdsm-size")]).unwrap();
        assert!(device_with.file_key("etc/igd-bdsm-size").is_some());
        let refused = device(&[file("etc/e820")]);
        assert!(matches!(refused, Err(InsertError::DuplicateName { .. })), "{refused:?}");
    }
}
