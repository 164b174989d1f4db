// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The scenarios, and the machines that they run in.

use std::time::Duration;

use super::oracle::machines as oracle;

/// Where the host's firmware left the OpRegion and stolen memory; 48 MiB from BDSM on are kept from the kernel.
pub(super) const ASLS: u32 = 0x3f00_0000;
pub(super) const BDSM: u32 = 0x3d00_0000;
/// Stolen memory of the simulated devices in MiB.
pub(super) const STOLEN_MIB: u64 = 32;

/// A simulated device of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    /// Slot and function, as QEMU wants them.
    pub(super) slot: &'static str,
    pub(super) profile: &'static str,
    /// Arguments of igd-sim; the last of two counts.
    pub(super) more: &'static [&'static str],
}

impl Device {
    /// What igd-sim is told.
    pub(super) fn args(&self) -> Vec<String> {
        let mut args = vec!["--profile".to_owned(), self.profile.to_owned()];
        args.extend(["--stolen-base".to_owned(), format!("{BDSM:#x}")]);
        if !self.more.contains(&"--asls") {
            args.extend(["--asls".to_owned(), format!("{ASLS:#x}")]);
        }
        args.extend(self.more.iter().map(|arg| (*arg).to_owned()));
        args
    }
}

/// Whose kernel runs in the machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub(super) enum Kernel {
    /// Debian 13's, 6.12
    Stock,
    /// Debian 12's
    #[value(name = "6.1")]
    Linux6_1,
    /// Debian 13's from backports, 7.2 in 2026
    #[value(name = "backports")]
    Backports,
    /// Built from Debian's source, with iommufd and cdev
    Own,
}

/// A machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    pub(super) name: &'static str,
    /// The only kernel that will do.
    pub(super) kernel: Option<Kernel>,
    pub(super) devices: &'static [Device],
    pub(super) memory_mib: u32,
    /// Address bits that the IOMMU translates.
    pub(super) iommu_bits: u8,
    /// Whether the host's graphics driver is in the initial RAM disk.
    pub(super) has_driver: bool,
    /// Whether a guest with a graphics driver is in the initial RAM disk.
    pub(super) has_guest: bool,
    /// Tests of `igd-vmm` that are in the initial RAM disk.
    pub(super) tests: &'static [&'static str],
    /// Benches of `igd-vmm` that are there, too.
    pub(super) benches: &'static [&'static str],
    pub(super) limit: Duration,
}

/// Something to find out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) boot: &'static Boot,
    /// The script below `conformance/lab/steps`.
    pub(super) step: &'static str,
    pub(super) check: Check,
    /// Whether it runs if nothing is asked for.
    pub(super) is_default: bool,
}

/// What has to come out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// The facts of the same device without a kernel between.
    Facts,
    /// The plan from the facts.
    Plan,
    /// SeaBIOS places everything; these descriptors are among those of the VMM.
    Run(&'static [&'static str]),
    /// A second VMM does, right after the first was killed.
    Killed,
    /// Each case ends with its code and says these words.
    Cases(&'static [Case]),
    /// Every test of these programs ran and passed.
    Tests(&'static [&'static str]),
    /// There is a time for each of these.
    Times(&'static [&'static str]),
    /// The guest is interrupted, and the device reaches its memory.
    Signals,
    /// The guest's driver says the same in QEMU and in our VMM.
    Judge,
    /// The guest's driver says these words.
    Driver(&'static [&'static str]),
    /// QEMU and our VMM show the same of this platform, but for known differences.
    Oracle(&'static str),
}

/// A run that is to fail, or to warn.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) code: i32,
    pub(super) words: &'static [&'static str],
    /// The kernels that it is so with, from the first version to before the second.
    pub(super) kernels: std::ops::Range<(u32, u32)>,
}

/// Every kernel.
const ALL: std::ops::Range<(u32, u32)> = (0, 0)..(u32::MAX, 0);
/// The first that shows OpRegion and bridges of a display controller that is not VGA compatible.
const HEADLESS: (u32, u32) = (6, 15);

const KBL: Device = Device {
    slot: "02.0",
    profile: "kbl",
    more: &[],
};
const TGL: Device = Device {
    slot: "02.0",
    profile: "tgl",
    more: &[],
};

/// What the machines have in common.
pub(super) const PLAIN: Boot = Boot {
    name: "",
    kernel: None,
    devices: &[KBL],
    memory_mib: 1024,
    iommu_bits: 48,
    has_driver: false,
    has_guest: false,
    tests: &[],
    benches: &[],
    limit: Duration::from_secs(240),
};

static MACHINE: Boot = Boot {
    name: "machine",
    devices: &[
        Device {
            more: &["--test-page"],
            ..KBL
        },
        Device {
            slot: "04.0",
            profile: "kbl",
            more: &["--class", "0x038000"],
        },
        Device {
            slot: "05.0",
            profile: "kbl",
            more: &["--asls", "0"],
        },
        // Reserved memory without an OpRegion.
        Device {
            slot: "06.0",
            profile: "kbl",
            more: &["--asls", "0x3d800000"],
        },
    ],
    ..PLAIN
};

/// With a narrow IOMMU, as many client processors have it, and the driver that a desktop loads.
static NARROW: Boot = Boot {
    name: "narrow",
    kernel: Some(Kernel::Stock),
    iommu_bits: 39,
    has_driver: true,
    ..PLAIN
};

static CDEV: Boot = Boot {
    name: "cdev",
    kernel: Some(Kernel::Own),
    ..PLAIN
};

/// Those that need KVM.
const TESTS: &[&str] = &["interrupts", "machine"];
static TESTED: Boot = Boot {
    name: "kvm",
    kernel: Some(Kernel::Stock),
    memory_mib: 1536,
    tests: TESTS,
    limit: Duration::from_secs(400),
    ..PLAIN
};

static SPEED: Boot = Boot {
    name: "speed",
    kernel: Some(Kernel::Stock),
    memory_mib: 1536,
    benches: &["bar"],
    limit: Duration::from_secs(400),
    ..PLAIN
};
/// The ways to a BAR that have to have their time.
const WAYS: &[&str] = &[
    "limit/read-dword",
    "mapped/read-dword",
    "in-process/read-dword",
    "vfio/read-dword",
    "vfio/write-dword",
    "vfio/read-page",
    "vfio-mapped/read-dword",
    "vfio-mapped/write-dword",
    "vfio-mapped/read-page",
];

const LINUX: Boot = Boot {
    name: "linux-kbl",
    kernel: Some(Kernel::Stock),
    memory_mib: 1536,
    has_guest: true,
    limit: Duration::from_secs(300),
    ..PLAIN
};
static LINUX_KBL: Boot = LINUX;
static JUDGE: Boot = Boot {
    name: "judge",
    memory_mib: 3072,
    limit: Duration::from_secs(600),
    ..LINUX
};
static LINUX_TGL: Boot = Boot {
    name: "linux-tgl",
    devices: &[TGL],
    ..LINUX
};

const fn always(name: &'static str, code: i32, words: &'static [&'static str]) -> Case {
    Case {
        name,
        code,
        words,
        kernels: ALL,
    }
}

const CASES: &[Case] = &[
    Case {
        kernels: (0, 0)..HEADLESS,
        ..always("class-0380", 3, &["The host shows no OpRegion", "for class 0380h 6.15"])
    },
    Case {
        kernels: HEADLESS..ALL.end,
        ..always("class-0380", 0, &["etc/igd-opregion"])
    },
    always(
        "no-opregion",
        3,
        &["ASLS of the host is 0", "firmware with an OpRegion"],
    ),
    always("bad-signature", 1, &["no OpRegion at the address in ASLS", "dmesg"]),
    always(
        "group",
        1,
        &["0000:00:03.1 (driver virtio-pci)", "bind them to vfio-pci too"],
    ),
    always("absent", 1, &["no such function"]),
    always("memlock", 1, &["memory to lock: 8192 KiB", "ulimit -l"]),
    always("no-driver", 1, &["has no driver", "driverctl"]),
    always("other-driver", 1, &["its driver is pci-stub", "driverctl"]),
    always(
        "no-isa-bridge",
        0,
        &[
            "The ids of the host's bridge at 00:1f.0 cannot be copied",
            "host with an Intel ISA bridge at 00:1f.0",
        ],
    ),
];

const WIDTH: &[Case] = &[
    always("enough", 0, &["no BAR at or above 0x8000000000"]),
    always(
        "too-much",
        3,
        &[
            "the IOMMU translates 39 bits, up to 0x8000000000",
            "Give the guest less memory",
        ],
    ),
];

const BOUND_TO_I915: &[&str] = &["its driver is i915", "driverctl set-override 0000:00:02.0 vfio-pci"];
const IN_USE: &[Case] = &[
    always("in-use", 1, BOUND_TO_I915),
    always("run", 1, BOUND_TO_I915),
    always("given", 0, &["etc/igd-opregion"]),
];

/// Every scenario, in the order in which they run in their machines: the last leaves its machine altered.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "probe",
        text: "facts through VFIO are the device's, but for known differences",
        boot: &MACHINE,
        step: "probe",
        check: Check::Facts,
        is_default: true,
    },
    Scenario {
        name: "plan",
        text: "the plan is the one that the facts give elsewhere",
        boot: &MACHINE,
        step: "plan",
        check: Check::Plan,
        is_default: true,
    },
    Scenario {
        name: "run",
        text: "SeaBIOS runs the ROM, places OpRegion and stolen memory; no BAR traps",
        boot: &MACHINE,
        step: "run",
        check: Check::Run(&["/dev/vfio/", "/dev/kvm"]),
        is_default: true,
    },
    Scenario {
        name: "signals",
        text: "MSI reaches the guest; the device reaches its memory, and no other",
        boot: &MACHINE,
        step: "signals",
        check: Check::Signals,
        is_default: true,
    },
    Scenario {
        name: "killed",
        text: "SIGKILL, and started again at once; the device is as it was before",
        boot: &MACHINE,
        step: "killed",
        check: Check::Killed,
        is_default: true,
    },
    Scenario {
        name: "negative",
        text: "nine ways to fail, each with a message that says what to do",
        boot: &MACHINE,
        step: "negative",
        check: Check::Cases(CASES),
        is_default: true,
    },
    Scenario {
        name: "narrow-run",
        text: "as run, where the IOMMU translates 39 bits",
        boot: &NARROW,
        step: "run",
        check: Check::Run(&["/dev/vfio/", "/dev/kvm"]),
        is_default: false,
    },
    Scenario {
        name: "narrow-width",
        text: "more memory than it reaches is refused, with the numbers",
        boot: &NARROW,
        step: "width",
        check: Check::Cases(WIDTH),
        is_default: false,
    },
    Scenario {
        name: "in-use",
        text: "i915 has the device: the message says what to do, and doing it helps",
        boot: &NARROW,
        step: "in-use",
        check: Check::Cases(IN_USE),
        is_default: false,
    },
    Scenario {
        name: "cdev",
        text: "as run, by cdev and iommufd",
        boot: &CDEV,
        step: "run",
        check: Check::Run(&["/dev/vfio/devices/vfio0", "/dev/iommu"]),
        is_default: false,
    },
    Scenario {
        name: "cdev-killed",
        text: "as killed, by cdev and iommufd",
        boot: &CDEV,
        step: "killed",
        check: Check::Killed,
        is_default: false,
    },
    Scenario {
        name: "kvm",
        text: "the VMM's tests on a KVM that leaves the guest to the processor",
        boot: &TESTED,
        step: "kvm",
        check: Check::Tests(TESTS),
        is_default: false,
    },
    Scenario {
        name: "speed",
        text: "what an access to a BAR costs through vfio-pci, and through its mapping",
        boot: &SPEED,
        step: "speed",
        check: Check::Times(WAYS),
        is_default: false,
    },
    Scenario {
        name: "linux-kbl",
        text: "i915 in a guest without firmware: PCH, OpRegion, VBT, stolen memory",
        boot: &LINUX_KBL,
        step: "linux",
        check: Check::Driver(&[
            "Found SunrisePoint PCH",
            "DSM size = 32M",
            "ACPI OpRegion version 2.1.0",
            "Found valid VBT in ACPI OpRegion (RVDA)",
            "Initialized i915",
            "GUEST driver i915",
        ]),
        is_default: false,
    },
    Scenario {
        name: "judge",
        text: "i915 says the same of the device in QEMU 11 and in our VMM",
        boot: &JUDGE,
        step: "judge",
        check: Check::Judge,
        is_default: false,
    },
    Scenario {
        name: "linux-tgl",
        text: "the same on Tiger Lake, whose stolen memory no firmware places",
        boot: &LINUX_TGL,
        step: "linux",
        check: Check::Driver(&[
            "Found Tiger Lake LP PCH",
            "DSM size = 64M",
            "ACPI OpRegion version 2.1.0",
            "Found valid VBT in ACPI OpRegion (RVDA)",
            "Initialized i915",
            "GUEST driver i915",
        ]),
        is_default: false,
    },
    Scenario {
        name: "linux-tgl-identity",
        text: "stolen memory at the host's address, where i915 can use it",
        boot: &LINUX_TGL,
        step: "linux-identity",
        check: Check::Driver(&[
            "DSM size = 64M",
            "Memory reserved for graphics device: 65536K, usable: 64512K",
            "Initialized i915",
            "GUEST driver i915",
        ]),
        is_default: false,
    },
    like_qemu("oracle", "kbl", &oracle::KBL),
    like_qemu("oracle-snb", "snb", &oracle::SNB),
    like_qemu("oracle-ivb", "ivb", &oracle::IVB),
    like_qemu("oracle-hsw", "hsw", &oracle::HSW),
    like_qemu("oracle-bdw", "bdw", &oracle::BDW),
    like_qemu("oracle-skl", "skl", &oracle::SKL),
    like_qemu("oracle-cfl", "cfl", &oracle::CFL),
    like_qemu("oracle-icl", "icl", &oracle::ICL),
    like_qemu("oracle-tgl", "tgl", &oracle::TGL),
    like_qemu("oracle-adl", "adl", &oracle::ADL),
    like_qemu("oracle-mtl", "mtl", &oracle::MTL),
];

const fn like_qemu(name: &'static str, profile: &'static str, boot: &'static Boot) -> Scenario {
    Scenario {
        name,
        text: "the guest finds what QEMU 11 shows it, for every set of options",
        boot,
        step: "oracle",
        check: Check::Oracle(profile),
        is_default: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_steps_exist() {
        let steps = crate::tools::root().unwrap().join("conformance/lab/steps");
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            assert!(
                steps.join(format!("{}.sh", scenario.step)).is_file(),
                "{}",
                scenario.step
            );
            let is_same = |other: &&Scenario| other.name == scenario.name;
            assert_eq!(SCENARIOS.iter().position(|other| is_same(&other)), Some(index));
        }
    }

    #[test]
    fn an_asls_of_its_own_replaces_the_common_one() {
        let args = |device: &Device| device.args().join(" ");
        assert!(args(&KBL).ends_with("--asls 0x3f000000"));
        let devices = MACHINE.devices;
        assert!(args(&devices[2]).ends_with("--stolen-base 0x3d000000 --asls 0"));
    }
}
