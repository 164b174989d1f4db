// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scenarios.

/// Where the device comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Device {
    /// Simulated in the process.
    Sim(&'static str),
    /// Another process, over vfio-user.
    Served(&'static str),
    /// Another process, which is killed while the firmware runs.
    Killed(&'static str),
}

/// A recorded run of QEMU to compare with, and what differs for a reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Like {
    /// Name of the trace.
    pub(super) trace: &'static str,
    /// Sequences that differ.
    pub(super) ignored: &'static [&'static str],
    /// Dwords with other values.
    pub(super) values: &'static [&'static str],
}

/// One run, and what has to come out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) device: Device,
    pub(super) args: &'static [&'static str],
    /// How long it may take.
    pub(super) seconds: &'static str,
    /// Exit code of igd-vmm.
    pub(super) code: i32,
    /// Whether the firmware says that it placed OpRegion and stolen memory, and where.
    pub(super) is_told: bool,
    /// Whether OpRegion and stolen memory are placed at all.
    pub(super) is_placed: bool,
    pub(super) like: Option<Like>,
}

/// Devices that this machine has not; sizes of tables that are its own; what SeaBIOS 1.16 and 1.17 do otherwise.
///
/// - `etc/e820` of QEMU has an entry for an AMD range; the directory has other files; tables are QEMU's own.
/// - `genroms/kvmvapic.bin` is a ROM of QEMU.
const FW_CFG: &[&str] = &[
    "fw_cfg file-dir",
    "fw_cfg etc/e820",
    "fw_cfg etc/acpi/rsdp",
    "fw_cfg etc/acpi/tables",
    "fw_cfg etc/table-loader",
    "fw_cfg etc/smbios/smbios-tables",
    "fw_cfg etc/igd-opregion",
    "fw_cfg genroms/kvmvapic.bin",
];

/// As above. There is no system management mode here, for which SeaBIOS sets up SMRAM at 9Dh; with ACPI tables it puts the
/// ACPI registers elsewhere than without, as in the recorded machine.
const Q35: &[&str] = &[
    "fw_cfg file-dir",
    "fw_cfg etc/e820",
    "fw_cfg etc/acpi/rsdp",
    "fw_cfg etc/acpi/tables",
    "fw_cfg etc/table-loader",
    "fw_cfg etc/smbios/smbios-tables",
    "fw_cfg etc/igd-opregion",
    "fw_cfg genroms/kvmvapic.bin",
    "00:00.0/9c",
    "00:1f.0/a0",
];
const Q35_PLACES: &[&str] = &["00:02.0/fc", "00:02.0/5c", "00:1f.0/40"];

/// The addresses of OpRegion and stolen memory, which follow from the size of the OpRegion.
const PLACES: &[&str] = &["00:02.0/fc", "00:02.0/5c"];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "pc",
        text: "SeaBIOS writes ASLS and BDSM, the OpRegion lies at ASLS",
        device: Device::Sim("kbl"),
        args: &[],
        seconds: "20",
        code: 0,
        is_told: true,
        is_placed: true,
        like: None,
    },
    Scenario {
        name: "q35",
        text: "the same on Q35, through ECAM",
        device: Device::Sim("kbl"),
        args: &["--machine", "q35"],
        seconds: "20",
        code: 0,
        is_told: true,
        is_placed: true,
        like: None,
    },
    Scenario {
        name: "pc-as-qemu",
        text: "the accesses of SeaBIOS in QEMU, device set alike",
        device: Device::Sim("kbl"),
        args: &["--memory", "256M", "--device", "addr=0x2,rombar=0,x-igd-opregion=on"],
        seconds: "20",
        code: 0,
        is_told: true,
        is_placed: true,
        like: Some(Like {
            trace: "q111-igd-pc-pio",
            ignored: FW_CFG,
            values: PLACES,
        }),
    },
    Scenario {
        name: "q35-as-qemu",
        text: "the same on Q35",
        device: Device::Sim("kbl"),
        args: &[
            "--machine",
            "q35",
            "--memory",
            "256M",
            "--device",
            "addr=0x2,rombar=0,x-igd-legacy-mode=off,x-igd-opregion=on",
        ],
        seconds: "20",
        code: 0,
        is_told: true,
        is_placed: true,
        like: Some(Like {
            trace: "q111-igd-q35-dma",
            ignored: Q35,
            values: Q35_PLACES,
        }),
    },
    Scenario {
        name: "tgl-direct",
        text: "generation 12: BDSM64 and ASLS are set before SeaBIOS runs",
        device: Device::Sim("tgl"),
        args: &["--provisioning", "direct"],
        seconds: "20",
        code: 0,
        is_told: false,
        is_placed: true,
        like: None,
    },
    Scenario {
        name: "kbl-identity",
        text: "stolen memory at the host's address",
        device: Device::Sim("kbl"),
        args: &["--provisioning", "identity", "--memory", "3G"],
        seconds: "20",
        code: 0,
        is_told: false,
        is_placed: true,
        like: None,
    },
    Scenario {
        name: "vfio-user",
        text: "as pc, with the device in another process",
        device: Device::Served("kbl"),
        args: &[],
        seconds: "20",
        code: 0,
        is_told: true,
        is_placed: true,
        like: None,
    },
    Scenario {
        name: "killed",
        text: "the device's process is killed: reported, exit code 4",
        device: Device::Killed("kbl"),
        args: &[],
        seconds: "20",
        code: 4,
        is_told: false,
        is_placed: false,
        like: None,
    },
];
