// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The emulated registers of an assigned IGD, and the plan.

use std::hint::black_box;

use igd_quirks::device::{Bar4Write, BdsmSetup, DeviceSetup, GttPortSetup, IgdDevice, Redirect};
use igd_quirks::facts::{BarFacts, ConfigBytes, HostFacts, OpRegionBytes, VgaFacts};
use igd_quirks::options::Options;
use igd_quirks::plan::{Plan, Provisioning, Refusals, plan};
use igd_quirks::policy::Policy;
use pci_model::{ConfigAccess, Width};

use super::Case;

const GGC: u16 = 0x02c1;
const MIRROR_GGC: u64 = 0x10_8040;
/// The trapped page, at which no register is.
const TRAPS: u64 = 0x10_8000;
const ASLS: u32 = 0x7bff_0018;
/// What the hardware answers.
const HARDWARE: u64 = 0x1234;

pub(super) fn cases() -> Vec<Case> {
    vec![
        config_read(),
        bar0_read("igd/mirror-read", MIRROR_GGC, GGC.into()),
        bar0_read("igd/beside-mirror", TRAPS, HARDWARE),
        trap("igd/trap-1", 1),
        trap("igd/trap-64", 64),
        gtt_write(),
        plan_case(),
    ]
}

fn setup() -> DeviceSetup {
    DeviceSetup {
        ggc: Some(GGC),
        bdsm: BdsmSetup::Dword(0),
        asls: Some(0),
        ggc_mirror: true,
        bdsm_mirror: true,
        hide_swsci: true,
        ..DeviceSetup::default()
    }
}

/// What is counted, as a VMM calls it.
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn config_read(igd: &IgdDevice, at: ConfigAccess, hardware: u32) -> u32 {
        igd.config_read(at, hardware)
    }

    /// What a trapped read of BAR0 costs but for the hardware: which bytes are emulated, and their values.
    #[inline(never)]
    pub(super) fn bar0_read(igd: &IgdDevice, offset: u64, len: usize, hardware: u64) -> u64 {
        if igd.bar0_owns(offset, len) == 0 {
            return hardware;
        }
        igd.bar0_read(offset, len, hardware)
    }

    #[inline(never)]
    pub(super) fn find(igd: &IgdDevice, offset: u64, len: usize) -> Option<(usize, ConfigAccess)> {
        igd.bar0_redirects(offset, len).next()
    }

    #[inline(never)]
    pub(super) fn bar4_write(igd: &mut IgdDevice, offset: u64, len: usize, value: u32) -> Bar4Write {
        igd.bar4_write(offset, len, value)
    }

    #[inline(never)]
    pub(super) fn make(facts: &HostFacts, options: &Options) -> Result<Plan, Refusals> {
        plan(facts, options, Policy::Native, Provisioning::FwCfg)
    }
}

/// ASLS, over what the hardware answered.
fn config_read() -> Case {
    let mut igd = IgdDevice::new(&setup());
    let at = ConfigAccess::new(0xfc, Width::Dword).unwrap();
    let _ = igd.config_write(at, ASLS);
    assert_eq!(counted::config_read(&igd, at, 1), ASLS);
    Case::new("igd/config-read", move || {
        black_box(counted::config_read(&igd, black_box(at), black_box(1)));
    })
}

fn bar0_read(name: &'static str, offset: u64, expected: u64) -> Case {
    let igd = IgdDevice::new(&setup());
    assert_eq!(counted::bar0_read(&igd, offset, 2, HARDWARE), expected);
    Case::new(name, move || {
        black_box(counted::bar0_read(
            &igd,
            black_box(offset),
            black_box(2),
            black_box(HARDWARE),
        ));
    })
}

/// Where an access to a trapped page of BAR0 leads, with so many ranges that lead to configuration space.
fn trap(name: &'static str, traps: u16) -> Case {
    let redirects = (0..traps).map(|trap| Redirect {
        bar0: TRAPS + 16 * u64::from(trap),
        config: 0x50,
        len: 4,
    });
    let igd = IgdDevice::new(&DeviceSetup {
        redirects: redirects.collect(),
        ..DeviceSetup::default()
    });
    let last = TRAPS + 16 * u64::from(traps - 1);
    let at = ConfigAccess::new(0x50, Width::Dword).unwrap();
    assert_eq!(counted::find(&igd, last, 4), Some((0, at)));
    assert_eq!(counted::find(&igd, last + 4, 4), None);
    Case::new(name, move || {
        black_box(counted::find(&igd, black_box(last), black_box(4)));
    })
}

/// An index and its data, translated.
fn gtt_write() -> Case {
    let mut igd = IgdDevice::new(&DeviceSetup {
        bdsm: BdsmSetup::Dword(0x7c00_0000),
        gtt_port: Some(GttPortSetup {
            host_bdsm: 0x8a00_0000,
            entry_size: 8,
            index_end: 0x10_0000,
        }),
        ..DeviceSetup::default()
    });
    let mut write = move || {
        let _ = counted::bar4_write(&mut igd, black_box(0), black_box(4), black_box(1));
        counted::bar4_write(&mut igd, black_box(4), black_box(4), black_box(0x8a00_1001)).value
    };
    assert_eq!(write(), 0x7c00_1001);
    Case::new("igd/gtt-write", move || {
        black_box(write());
    })
}

/// A made-up Kaby Lake host.
fn facts() -> HostFacts {
    let config = |patches: &[(usize, &[u8])]| {
        let mut bytes = vec![0; 256];
        for (at, patch) in patches {
            let to = bytes.iter_mut().skip(*at);
            to.zip(*patch).for_each(|(to, from)| *to = *from);
        }
        ConfigBytes::new(bytes).unwrap()
    };
    let bridge = |device: u16, subclass: u8| {
        let [low, high] = device.to_le_bytes();
        config(&[
            (0x00, &[0x86, 0x80, low, high]),
            (0x08, &[0x07, 0, subclass, 6]),
            (0x2c, &[0x43, 0x10, 0x34, 0x85]),
        ])
    };
    let mut facts = HostFacts::default();
    let device = &mut facts.device;
    (device.vendor, device.device, device.class, device.revision) = (0x8086, 0x5916, 0x03_0000, 2);
    (device.subsystem_vendor, device.subsystem) = (0x8086, 0x2212);
    device.config = config(&[
        (0x00, &[0x86, 0x80, 0x16, 0x59]),
        (0x08, &[2, 0, 0, 3]),
        (0x50, &0x01c1_u16.to_le_bytes()),
        (0x5c, &0x7c00_0001_u32.to_le_bytes()),
        (0xfc, &0x7bff_0018_u32.to_le_bytes()),
    ]);
    let bars = [(0, 16 << 20), (2, 256 << 20), (4, 64)];
    device.bars = bars
        .map(|(index, size)| BarFacts {
            index,
            size,
            mmap: vec![],
        })
        .to_vec();
    let mut opregion = b"IntelGraphicsMem\x08\0\0\0\0\0\0\x02".to_vec();
    opregion.resize(8192, 0);
    device.opregion = Some(OpRegionBytes::new(opregion).unwrap());
    device.host_bridge = Some(bridge(0x5904, 0x00));
    device.lpc_bridge = Some(bridge(0x9d58, 0x01));
    device.vga = Some(VgaFacts {
        size: 0xc_0000,
        writable: true,
    });
    facts
}

fn plan_case() -> Case {
    let facts = facts();
    let options: Options = "vfio-pci,host=0000:00:02.0,addr=0x2".parse().unwrap();
    assert!(counted::make(&facts, &options).is_ok());
    let case = Case::new("igd/plan", move || {
        let _ = black_box(counted::make(black_box(&facts), black_box(&options)));
    });
    case.bulk(100, 1)
}
