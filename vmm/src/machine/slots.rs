// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Memory slots that follow a list of parts.

use std::sync::Arc;
use std::{fmt, io};

use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;

use super::view::Part;

/// The hypervisor's side of a machine's memory slots.
pub trait SlotBackend: Send + Sync + fmt::Debug {
    /// Lets a slot show a part of memory, which is there as long as the machine is. No bytes remove the slot.
    ///
    /// # Errors
    ///
    /// The hypervisor refuses; the slot is as before.
    fn set(&self, slot: u32, part: Part) -> io::Result<()>;
}

/// The slots of a KVM machine.
#[derive(Debug)]
pub(super) struct KvmSlots(pub(super) Arc<VmFd>);

impl SlotBackend for KvmSlots {
    fn set(&self, slot: u32, part: Part) -> io::Result<()> {
        let region = kvm_userspace_memory_region {
            slot,
            flags: if part.readonly { KVM_MEM_READONLY } else { 0 },
            guest_phys_addr: part.gpa,
            memory_size: part.len,
            userspace_addr: part.hva,
        };
        // SAFETY: the memory is guest RAM, the firmware image or a mapping of the device; their owners outlive the
        // slots, since the machine drops its virtual machine and processors first.
        #[expect(unsafe_code, reason = "KVM_SET_USER_MEMORY_REGION takes an address")]
        let result = unsafe { self.0.set_user_memory_region(region) };
        result.map_err(io::Error::from)
    }
}

/// The memory slots of a virtual machine.
#[derive(Debug)]
pub(super) struct Slots {
    backend: Box<dyn SlotBackend>,
    applied: Vec<(u32, Part)>,
    free: Vec<u32>,
    next: u32,
    ioctls: u64,
}

/// A part that KVM refused.
#[derive(Debug, thiserror::Error)]
#[error("memory slot for {:#x} bytes at {:#x}: {source}", part.len, part.gpa)]
pub(super) struct SlotError {
    part: Part,
    source: io::Error,
}

impl Slots {
    /// No slots yet.
    pub(super) const fn new(backend: Box<dyn SlotBackend>) -> Self {
        Self {
            backend,
            applied: Vec::new(),
            free: Vec::new(),
            next: 0,
            ioctls: 0,
        }
    }

    /// How many calls it took so far.
    pub(super) const fn ioctls(&self) -> u64 {
        self.ioctls
    }

    /// How many slots there are.
    pub(super) fn len(&self) -> usize {
        self.applied.len()
    }

    /// Backs exactly these parts. Slots that stay are not touched; those that go are removed before others come.
    ///
    /// # Errors
    ///
    /// KVM refused a part, which is not backed then; the others are.
    pub(super) fn apply(&mut self, parts: &[Part]) -> Result<(), SlotError> {
        let mut result = Ok(());
        let (kept, gone): (Vec<_>, Vec<_>) = self.applied.iter().partition(|(_, part)| parts.contains(part));
        self.applied = kept;
        for (slot, part) in gone {
            match self.set(slot, Part { len: 0, ..part }) {
                Ok(()) => self.free.push(slot),
                Err(error) => {
                    self.applied.push((slot, part));
                    result = Err(error);
                }
            }
        }
        for part in parts {
            if self.applied.iter().any(|(_, applied)| applied == part) {
                continue;
            }
            let slot = self.free.pop().unwrap_or_else(|| {
                self.next += 1;
                self.next - 1
            });
            match self.set(slot, *part) {
                Ok(()) => self.applied.push((slot, *part)),
                Err(error) => {
                    self.free.push(slot);
                    result = Err(error);
                }
            }
        }
        result
    }

    fn set(&mut self, slot: u32, part: Part) -> Result<(), SlotError> {
        self.ioctls += 1;
        self.backend
            .set(slot, part)
            .map_err(|source| SlotError { part, source })
    }
}
