// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the crate tells a person: each case in words of its own, and the words that matter in it.

use igd_quirks::bridges::{MachineKind, WayOut};
use igd_quirks::facts::{Chipset, Extent, Firmware, Slot};
use igd_quirks::plan::Mode;
use igd_quirks::vga::VgaClaim;

#[test]
fn ways_out_of_an_occupied_slot() {
    for (way, action, consequence) in [
        (WayOut::Keep, "leave the machine's bridge", "UEFI drivers do not run"),
        (WayOut::Overlay, "lay the host's ids", "no longer finds it"),
        (WayOut::OtherMachine, "nothing at 00:1f.0", "no PCI Express root ports"),
    ] {
        assert!(way.action().contains(action), "{way:?}");
        assert!(way.consequence().contains(consequence), "{way:?}");
    }
}

#[test]
fn what_linux_makes_of_each_machine() {
    for (machine, words) in [
        (MachineKind::I440fxLike, "the PIIX bridge"),
        (MachineKind::Q35Like, "ICH9 bridge with subsystem 1af4:1100"),
        (MachineKind::Bare, "finds no bridge"),
    ] {
        assert!(machine.linux_without_lpc().contains(words), "{machine:?}");
    }
}

#[test]
fn what_the_claim_on_vga_means() {
    for (class, is_disabled, words) in [
        (0x0300, false, "can have text mode and a VBIOS"),
        (0x0300, true, "IVD of GGC is set"),
        (0x0380, false, "no VGA controller"),
        (0x0380, true, "no VGA controller"),
    ] {
        let claim = VgaClaim::new(class, is_disabled);
        assert!(claim.consequence().contains(words), "{claim:?}");
    }
}

#[test]
fn what_a_machine_is_made_of() {
    let chipsets = [Chipset::I440Fx, Chipset::Q35, Chipset::Bare].map(|it| it.to_string());
    assert_eq!(chipsets, ["i440FX", "Q35", "no particular chipset"]);
    for (slot, words) in [
        (Slot::Empty, "nothing"),
        (Slot::Bridge, "chipset's own bridge"),
        (Slot::MadeForGraphics, "made for graphics"),
        (Slot::Other, "no such bridge"),
    ] {
        assert!(slot.to_string().contains(words), "{slot:?}");
    }
    for (firmware, words) in [
        (Firmware::SeaBios, "SeaBIOS"),
        (Firmware::Ovmf, "OVMF without"),
        (Firmware::OvmfWithIgdDriver, "OVMF with an IGD driver"),
        (Firmware::DirectKernel, "no firmware"),
        (Firmware::Unknown, "unknown"),
    ] {
        assert!(firmware.to_string().contains(words), "{firmware:?}");
    }
}

#[test]
fn where_a_range_ends() {
    let show = |start, len| Extent { start, len }.to_string();
    assert_eq!(show(0x1000, 0x200), "0x1000-0x11ff");
    assert_eq!(show(0, 0), "0x0, empty");
}

#[test]
fn modes_have_the_names_of_options() {
    let modes = [Mode::Legacy, Mode::Upt, Mode::Untouched].map(|mode| mode.to_string());
    assert_eq!(modes, ["legacy", "upt", "untouched"]);
}
