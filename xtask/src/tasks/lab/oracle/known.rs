// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What QEMU's machines show otherwise than ours, or not at all, and why; and the words in which both refuse.

use super::compare::{Known, Part, Reason};

const DIRECTORY: &str = "fw_cfg directory";
const Q35: Option<&str> = Some("q35");

const OWN_TABLES: &str = "each board describes its own devices in tables";
const SMI: &str = "QEMU's Q35 has system management mode, which firmware asks for";

/// The differences that there have to be on this platform.
pub(super) fn known(profile: &str) -> Vec<&'static Known> {
    let unread: &[Known] = if UEFI_ONLY.contains(&profile) { UNREAD_ROM } else { &[] };
    KNOWN.iter().chain(unread).collect()
}

/// Differences on every platform.
const KNOWN: &[Known] = &[
    file(None, "etc/acpi/tables", OWN_TABLES),
    file(None, "etc/table-loader", OWN_TABLES),
    file(None, "etc/smbios/smbios-tables", OWN_TABLES),
    file(
        None,
        "genroms/kvmvapic.bin",
        "QEMU has a ROM that helps guests of 32 bits with interrupt priorities",
    ),
    file(
        None,
        "etc/e820",
        "QEMU lists what is reserved for KVM and for HyperTransport on processors of AMD",
    ),
    file(Q35, "etc/smi/features-ok", SMI),
    file(Q35, "etc/smi/requested-features", SMI),
    file(Q35, "etc/smi/supported-features", SMI),
    Known {
        machine: None,
        item: "fw_cfg etc/e820",
        part: Part::Whole,
        why: "of the same areas; RAM is compared on its own",
    },
    Known {
        machine: None,
        item: "fw_cfg etc/system-states",
        part: Part::Bytes(3, &[0x81, 0x82], &[0x01, 0x02]),
        why: "our machines do not suspend, neither to memory (S3) nor to disk (S4)",
    },
    Known {
        machine: None,
        item: "VGA memory",
        part: Part::Bytes(0, &[0x41, 0x07], &[0xff, 0xff]),
        why: "RAM shows through at A0000h in QEMU where no device has VGA; on a board nobody answers there",
    },
    Known {
        machine: None,
        item: "ROM header",
        part: Part::Bytes(0, &[0; 128], &[0xff; 128]),
        why: "without a ROM nobody answers at its address: QEMU reads zeros there, a board ones",
    },
    Known {
        machine: Some("pc"),
        item: DIRECTORY,
        part: Part::File("vgaroms/rom.bin"),
        why: "QEMU hands a romfile to the firmware as a file where rombar=0 hides it; ours only hides it",
    },
    Known {
        machine: Q35,
        item: "00:00.0 config",
        part: Part::Bytes(0x50, &[0x40], &[0x10]),
        why: "a Q35 of 10.2 and later offers 64 MiB of extended TSEG, older ones and ours 16 MiB",
    },
    Known {
        machine: Q35,
        item: "00:1f.0 config",
        part: Part::Bytes(0x0e, &[0x80], &[0x00]),
        why: "QEMU's Q35 has a SATA controller and an SMBus controller beside the ISA bridge, ours has not",
    },
];

/// Platforms whose ROM has an image for UEFI only, which the machine's SeaBIOS does not put at C0000h.
const UEFI_ONLY: &[&str] = &["icl", "tgl", "adl", "mtl"];
const NO_COPY: &str = "the kernel shows no ROM that it does not find at C0000h, but a BAR for it, and so does QEMU";
const UNREAD_ROM: &[Known] = &[
    rom_bar("device BAR 30 after Dword ffffffff", 0, &[0x01, 0x00, 0xfe, 0xff]),
    rom_bar("device BAR 30 after Dword cf000001", 0, &[0x01, 0x00, 0x00, 0xcf]),
    rom_bar("device config at the end", 0x30, &[0x01, 0x00, 0x00, 0xcf]),
];

const fn rom_bar(item: &'static str, at: usize, reference: &'static [u8]) -> Known {
    Known {
        machine: None,
        item,
        part: Part::Bytes(at, reference, &[0; 4]),
        why: NO_COPY,
    }
}

const fn file(machine: Option<&'static str>, name: &'static str, why: &'static str) -> Known {
    Known {
        machine,
        item: DIRECTORY,
        part: Part::File(name),
        why,
    }
}

/// QEMU has one message for all that keeps a device from legacy mode.
const NO_LEGACY: &str = "doesn't support legacy mode";

pub(super) const REASONS: &[Reason] = &[
    reason(NO_LEGACY, "legacy mode needs an i440FX"),
    reason(NO_LEGACY, "legacy mode needs 00:02.0"),
    reason(NO_LEGACY, "legacy mode ends with generation 9"),
    reason(NO_LEGACY, "is not known as Sandy Bridge or newer"),
    reason("existing device at 1f.0", "stands at 00:1f.0"),
    reason("Device has no ROM", "The device has no expansion ROM"),
    reason("'x-igd-gms' expects", "allowed are"),
    reason("x-igd-gms is not supported", "it has no BDSM"),
];

const fn reason(reference: &'static str, ours: &'static str) -> Reason {
    Reason { reference, ours }
}
