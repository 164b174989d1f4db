// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A machine for each platform: the device with its ROM, and once more without.

use std::time::Duration;

use super::super::scenarios::{Boot, Device, Kernel, PLAIN};
use super::matrix::{WITH_ROM, WITHOUT_ROM};

const fn device(profile: &'static str) -> Device {
    Device {
        slot: WITH_ROM,
        profile,
        more: &[],
    }
}

const fn without_rom(profile: &'static str) -> Device {
    Device {
        slot: WITHOUT_ROM,
        profile,
        more: &["--fault", "missing=rom"],
    }
}

const fn boot(name: &'static str, devices: &'static [Device]) -> Boot {
    Boot {
        name,
        kernel: Some(Kernel::Stock),
        devices,
        memory_mib: 2048,
        limit: Duration::from_secs(900),
        ..PLAIN
    }
}

/// Where BAR0 has the translation table: in its upper half.
pub(super) fn table(profile: &str) -> u32 {
    match profile {
        "snb" | "ivb" | "hsw" => 2 << 20,
        _ => 8 << 20,
    }
}

pub(in super::super) static SNB: Boot = boot("oracle-snb", &[device("snb"), without_rom("snb")]);
pub(in super::super) static IVB: Boot = boot("oracle-ivb", &[device("ivb"), without_rom("ivb")]);
pub(in super::super) static HSW: Boot = boot("oracle-hsw", &[device("hsw"), without_rom("hsw")]);
pub(in super::super) static BDW: Boot = boot("oracle-bdw", &[device("bdw"), without_rom("bdw")]);
pub(in super::super) static SKL: Boot = boot("oracle-skl", &[device("skl"), without_rom("skl")]);
pub(in super::super) static KBL: Boot = boot("oracle", &[device("kbl"), without_rom("kbl")]);
pub(in super::super) static CFL: Boot = boot("oracle-cfl", &[device("cfl"), without_rom("cfl")]);
pub(in super::super) static ICL: Boot = boot("oracle-icl", &[device("icl"), without_rom("icl")]);
pub(in super::super) static TGL: Boot = boot("oracle-tgl", &[device("tgl"), without_rom("tgl")]);
pub(in super::super) static ADL: Boot = boot("oracle-adl", &[device("adl"), without_rom("adl")]);
pub(in super::super) static MTL: Boot = boot("oracle-mtl", &[device("mtl"), without_rom("mtl")]);

#[cfg(test)]
mod tests {
    use super::super::super::scenarios::{Check, SCENARIOS};

    #[test]
    fn a_machine_has_the_platform_that_its_scenario_checks() {
        let mut count = 0;
        for scenario in SCENARIOS {
            if let Check::Oracle(profile) = scenario.check {
                count += 1;
                assert!(scenario.boot.devices.iter().all(|device| device.profile == profile));
                assert_eq!(scenario.boot.devices.len(), 2, "{profile}: with a ROM, and without");
                assert_eq!(scenario.name, scenario.boot.name);
            }
        }
        assert!(count >= 6);
    }
}
