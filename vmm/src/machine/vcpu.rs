// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A virtual processor: its registers at reset, and its loop.

use std::sync::Arc;

use kvm_bindings::{
    CpuId, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, kvm_fpu, kvm_lapic_state, kvm_mp_state, kvm_regs,
    kvm_sregs, kvm_vcpu_events,
};
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::control::{Control, Event, Next};
use super::io::Io;
use crate::devices::Request;

/// Times that KVM may fail to reach memory in a row before the machine ends.
const FAULTS: u32 = 16;

/// What a processor is at power-on.
#[derive(Clone)]
struct Registers {
    regs: kvm_regs,
    sregs: kvm_sregs,
    fpu: kvm_fpu,
    lapic: kvm_lapic_state,
    events: kvm_vcpu_events,
    mp_state: kvm_mp_state,
}

/// A processor.
pub(super) struct Vcpu {
    fd: VcpuFd,
    id: u8,
    power_on: Registers,
}

impl Vcpu {
    /// The processor with this descriptor, as KVM made it; `entry` puts the first one elsewhere than at the reset vector.
    pub(super) fn new(
        fd: VcpuFd,
        id: u8,
        cpuid: &CpuId,
        entry: impl FnOnce(&mut kvm_regs, &mut kvm_sregs),
    ) -> Result<Self, kvm_ioctls::Error> {
        fd.set_cpuid2(&for_processor(cpuid, id))?;
        let (mut regs, mut sregs) = (fd.get_regs()?, fd.get_sregs()?);
        let mp_state = if id == 0 {
            entry(&mut regs, &mut sregs);
            KVM_MP_STATE_RUNNABLE
        } else {
            KVM_MP_STATE_UNINITIALIZED
        };
        let power_on = Registers {
            regs,
            sregs,
            fpu: fd.get_fpu()?,
            lapic: fd.get_lapic()?,
            events: fd.get_vcpu_events()?,
            mp_state: kvm_mp_state { mp_state },
        };
        let vcpu = Self { fd, id, power_on };
        vcpu.reset()?;
        Ok(vcpu)
    }

    fn reset(&self) -> Result<(), kvm_ioctls::Error> {
        let Registers {
            regs,
            sregs,
            fpu,
            lapic,
            events,
            mp_state,
        } = &self.power_on;
        self.fd.set_mp_state(*mp_state)?;
        self.fd.set_sregs(sregs)?;
        self.fd.set_regs(regs)?;
        self.fd.set_fpu(fpu)?;
        self.fd.set_lapic(lapic)?;
        self.fd.set_vcpu_events(events)
    }

    /// Runs until the machine ends.
    pub(super) fn run(mut self, io: &Io, control: &Arc<Control>) {
        let mut generation = 0;
        let mut faults = 0;
        loop {
            match control.next(&mut generation) {
                Next::Run => {}
                Next::Reset => {
                    if let Err(error) = self.reset() {
                        control.tell(Event::Failed(format!("processor {}: reset: {error}", self.id)));
                    }
                }
                Next::End => return,
            }
            while control.is_running() {
                match self.step(io, &mut faults) {
                    Ok(None) => {}
                    Ok(Some(request)) => control.tell(Event::Request(request)),
                    Err(reason) => control.tell(Event::Failed(format!("processor {}: {reason}", self.id))),
                }
            }
        }
    }

    fn step(&mut self, io: &Io, faults: &mut u32) -> Result<Option<Request>, String> {
        let exit = match self.fd.run() {
            Ok(exit) => exit,
            Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => return Ok(None),
            Err(error) if error.errno() == libc::EFAULT && *faults < FAULTS => {
                *faults += 1;
                if io.space.slow_down() {
                    log::warn!("memory of the device cannot be reached any more: its BARs are accessed one by one");
                }
                return Ok(None);
            }
            Err(error) => return Err(format!("KVM_RUN: {error}")),
        };
        *faults = 0;
        match exit {
            VcpuExit::IoIn(port, data) => {
                let (data, len) = (data.as_mut_ptr(), data.len());
                let size = self.io_size(len);
                // SAFETY: the bytes lie in the region that KVM shares with this processor's descriptor, which is mapped
                // as long as the descriptor is open, and nobody else touches them until it runs again.
                #[expect(unsafe_code, reason = "the size of an item lies in the same region as the items")]
                let data = unsafe { std::slice::from_raw_parts_mut(data, len) };
                io.port_read(port, size, data);
                Ok(None)
            }
            VcpuExit::IoOut(port, data) => {
                let (data, len) = (data.as_ptr(), data.len());
                let size = self.io_size(len);
                // SAFETY: as above.
                #[expect(unsafe_code, reason = "the size of an item lies in the same region as the items")]
                let data = unsafe { std::slice::from_raw_parts(data, len) };
                Ok(io.port_write(port, size, data))
            }
            VcpuExit::MmioRead(addr, data) => {
                io.memory_read(addr, data);
                Ok(None)
            }
            VcpuExit::MmioWrite(addr, data) => Ok(io.memory_write(addr, data)),
            // A processor that can do nothing more starts again, as hardware does after a triple fault.
            VcpuExit::Shutdown => Ok(Some(Request::Reset)),
            VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::Hlt => Ok(None),
            VcpuExit::SystemEvent(kind, _) => match kind {
                kvm_bindings::KVM_SYSTEM_EVENT_SHUTDOWN => Ok(Some(Request::PowerOff)),
                _ => Ok(Some(Request::Reset)),
            },
            VcpuExit::InternalError => {
                let rip = self.fd.get_regs().map_or(0, |regs| regs.rip);
                Err(format!("KVM cannot run the instruction at rip {rip:#x}"))
            }
            VcpuExit::FailEntry(reason, _) => Err(format!("KVM cannot enter the guest, reason {reason:#x}")),
            other => Err(format!("unexpected exit {other:?}")),
        }
    }

    /// Size of one item of the port access that the processor left the guest for.
    fn io_size(&mut self, len: usize) -> usize {
        let run = self.fd.get_kvm_run();
        // SAFETY: the exit reason was an access to a port, for which KVM fills this member of the union.
        #[expect(unsafe_code, reason = "a union of what belongs to each exit reason")]
        let size = unsafe { run.__bindgen_anon_1.io.size };
        match size {
            1 | 2 | 4 => size.into(),
            _ => len,
        }
    }
}

/// The answers of CPUID that differ between processors.
fn for_processor(cpuid: &CpuId, id: u8) -> CpuId {
    let mut cpuid = cpuid.clone();
    for entry in cpuid.as_mut_slice() {
        match entry.function {
            1 => entry.ebx = entry.ebx & 0x00ff_ffff | u32::from(id) << 24,
            0xb | 0x1f => entry.edx = id.into(),
            _ => {}
        }
    }
    cpuid
}
