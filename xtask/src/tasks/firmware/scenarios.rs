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

impl Device {
    /// The platform.
    pub(super) const fn profile(self) -> &'static str {
        let (Self::Sim(profile) | Self::Served(profile) | Self::Killed(profile)) = self;
        profile
    }
}

/// What has to lie in guest memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::tasks) struct Placed {
    /// Whether the firmware places it, and says where.
    pub(in crate::tasks) is_told: bool,
    /// Stolen memory in MiB.
    pub(in crate::tasks) stolen_mib: u64,
    /// Where stolen memory has to be, if not anywhere.
    pub(in crate::tasks) base: Option<u64>,
    /// What the plan takes out of the OpRegion: offsets, and the bits that are 0 then.
    pub(in crate::tasks) cleared: &'static [(usize, u8)],
}

/// MBOX without mailbox 2: a guest's SWSCI would reach the host's firmware.
pub(in crate::tasks) const NO_SWSCI: &[(usize, u8)] = &[(0x58, 1 << 1)];

const KBL: Placed = Placed {
    is_told: true,
    stolen_mib: 32,
    base: None,
    cleared: NO_SWSCI,
};

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
    /// Exit code of igd-vmm.
    pub(super) code: i32,
    /// Why it ended, as the status has it. A firmware that hangs ends in time too, but as `timed-out`.
    pub(super) end: &'static str,
    /// OpRegion and stolen memory, where there is time to place them.
    pub(super) placed: Option<Placed>,
    pub(super) like: Option<Like>,
}

/// What differs from the recorded machines, which had neither ACPI nor a device's ROM:
///
/// - The tables are QEMU's own, its `etc/e820` has an entry for an AMD range, and the directory has other files.
/// - The recorded OpRegion is smaller.
/// - `genroms/kvmvapic.bin` is a ROM of QEMU.
/// - 00:01.1 is QEMU's IDE controller, 00:01.3 the ACPI function that QEMU was told to leave out, 00:1f.0 a bridge that
///   it was told to add.
const PC: &[&str] = &[
    "fw_cfg file-dir",
    "fw_cfg etc/e820",
    "fw_cfg etc/acpi/rsdp",
    "fw_cfg etc/acpi/tables",
    "fw_cfg etc/table-loader",
    "fw_cfg etc/smbios/smbios-tables",
    "fw_cfg etc/igd-opregion",
    "fw_cfg genroms/kvmvapic.bin",
    "00:01.1",
    "00:01.3",
    "00:1f.0",
];

/// As above. There is no system management mode here, for which SeaBIOS sets up SMRAM at 9Dh; with ACPI tables it puts
/// the ACPI registers elsewhere than without, as in the recorded machine. 00:1f.2 and 00:1f.3 are QEMU's disk and SMB
/// controllers.
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
    "00:1f.2",
    "00:1f.3",
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
        code: 0,
        end: "stopped",
        placed: Some(KBL),
        like: None,
    },
    Scenario {
        name: "q35",
        text: "the same on Q35, through ECAM",
        device: Device::Sim("kbl"),
        args: &["--machine", "q35"],
        code: 0,
        end: "stopped",
        placed: Some(KBL),
        like: None,
    },
    Scenario {
        name: "pc-as-qemu",
        text: "the accesses of SeaBIOS in QEMU, device set alike",
        device: Device::Sim("kbl"),
        args: &["--memory", "256M", "--device", "addr=0x2,rombar=0,x-igd-opregion=on"],
        code: 0,
        end: "stopped",
        placed: Some(KBL),
        like: Some(Like {
            trace: "q111-igd-pc-pio",
            ignored: PC,
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
        code: 0,
        end: "stopped",
        placed: Some(KBL),
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
        code: 0,
        end: "stopped",
        placed: Some(Placed {
            is_told: false,
            stolen_mib: 64,
            ..KBL
        }),
        like: None,
    },
    Scenario {
        name: "kbl-identity",
        text: "stolen memory at the host's address",
        device: Device::Sim("kbl"),
        args: &["--provisioning", "identity", "--memory", "3G"],
        code: 0,
        end: "stopped",
        placed: Some(Placed {
            is_told: false,
            base: Some(0x8b80_0000),
            ..KBL
        }),
        like: None,
    },
    Scenario {
        name: "vfio-user",
        text: "as pc, with the device in another process",
        device: Device::Served("kbl"),
        args: &[],
        code: 0,
        end: "stopped",
        placed: Some(KBL),
        like: None,
    },
    Scenario {
        name: "killed",
        text: "the device's process is killed: reported, exit code 4",
        device: Device::Killed("kbl"),
        args: &[],
        code: 4,
        end: "device-lost",
        placed: None,
        like: None,
    },
];
