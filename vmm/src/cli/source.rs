// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Where the device comes from, and what machine it is for.

use std::sync::Arc;
use std::time::Duration;

use igd_quirks::facts::{Firmware, HostFacts};
use igd_quirks::plan::{Plan, Provisioning, Refusals, plan};

use kvm_ioctls::VmFd;

use super::Failure;
use super::args::{DeviceArgs, MachineArgs, PolicyArgs};
use crate::backend::HostDevice;
use crate::backend::sim::SimHost;
use crate::backend::vfio::{Mode, VfioDevice};
use crate::backend::vfio_user::VfioUserHost;
use crate::boot::image;
use crate::machine::{Boot, MachineOptions, Output};

/// How long a vfio-user server may take for an answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Opens the device that the arguments name, for this virtual machine if there is one.
pub(super) fn open(args: &DeviceArgs, vm: Option<&VmFd>) -> Result<Arc<dyn HostDevice>, Failure> {
    if args.device.host.is_some() && (args.sim.is_some() || args.vfio_user.is_some()) {
        return Err(Failure::Usage(
            "two devices: leave out host= in --device, or --sim and --vfio-user".to_owned(),
        ));
    }
    if let Some(profile) = args.sim {
        let mut options = igd_sim::Options::default();
        options.shared = true;
        return Ok(Arc::new(SimHost::new(*profile, &options).map_err(Failure::failed)?));
    }
    if let Some(socket) = &args.vfio_user {
        return Ok(Arc::new(
            VfioUserHost::connect(socket, ANSWER).map_err(Failure::failed)?,
        ));
    }
    match args.device.host {
        Some(address) => Ok(Arc::new(
            VfioDevice::open(address, Mode::Auto, vm).map_err(Failure::failed)?,
        )),
        None => Err(Failure::Usage(
            "no device: say host=0000:00:02.0 in --device, or --vfio-user SOCKET, or --sim PROFILE".to_owned(),
        )),
    }
}

/// The machine of the arguments. Its firmware is read only if it is to run.
pub(super) fn machine(args: &MachineArgs, cpus: u8, is_run: bool) -> Result<MachineOptions, Failure> {
    let boot = match (&args.kernel, &args.firmware) {
        (Some(kernel), _) => Boot::Linux {
            kernel: kernel.clone(),
            initrd: args.initrd.clone(),
            append: args.append.clone(),
        },
        (None, path) => {
            let image = if is_run {
                let found = match path {
                    Some(path) => path.clone(),
                    None => image::find().map_err(Failure::failed)?,
                };
                image::load(&found).map_err(Failure::failed)?
            } else {
                Vec::new()
            };
            Boot::Firmware {
                image,
                kind: args.firmware_kind.into(),
            }
        }
    };
    Ok(MachineOptions {
        kind: args.machine.into(),
        memory: args.memory,
        cpus,
        boot,
        serial: Output::None,
        debug_console: Output::None,
    })
}

/// The plan for these facts.
pub(super) fn decide(facts: &HostFacts, device: &DeviceArgs, policy: &PolicyArgs) -> Result<Plan, Refusals> {
    let provisioning = policy.provisioning.unwrap_or(match facts.machine.firmware {
        Firmware::DirectKernel => Provisioning::Direct,
        _ => Provisioning::FwCfg,
    });
    plan(facts, &device.device, policy.policy, provisioning)
}

/// Every reason why there is no plan, with what to do.
pub(super) fn refused(refusals: &Refusals) -> Failure {
    let mut text = String::from("there is no plan:");
    for finding in refusals {
        text += &format!("\n   - {}\n     {}", finding.fact, finding.remedy);
    }
    Failure::Refused(text)
}

#[cfg(test)]
mod tests {
    use super::super::args::{Args, Command};
    use super::*;
    use clap::Parser;

    fn opened(line: &str) -> Result<Arc<dyn HostDevice>, Failure> {
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Probe(args) => open(&args.device, None),
            _ => panic!("not a probe"),
        }
    }

    #[test]
    fn there_is_exactly_one_device() {
        for wrong in [
            "igd-vmm probe",
            "igd-vmm probe --device addr=0x2",
            "igd-vmm probe --sim kbl --device host=00:02.0",
            "igd-vmm probe --vfio-user igd.sock --device host=00:02.0,addr=0x2",
        ] {
            assert!(matches!(opened(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
        assert!(opened("igd-vmm probe --sim kbl --device addr=0x2").is_ok());
    }
}
