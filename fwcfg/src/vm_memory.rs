// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory of the `vm-memory` crate.

use vm_memory::{Bytes, GuestAddress, GuestAddressSpace};

use crate::memory::{GuestMemory, MemoryError};

/// Guest memory of the `vm-memory` crate: a reference, an `Arc` or a `GuestMemoryAtomic`.
#[derive(Clone, Debug)]
pub struct VmMemory<S>(pub S);

impl<S: GuestAddressSpace> GuestMemory for VmMemory<S> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let memory = self.0.memory();
        memory.read_slice(buf, GuestAddress(gpa)).map_err(|_| MemoryError)
    }

    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        let memory = self.0.memory();
        memory.write_slice(buf, GuestAddress(gpa)).map_err(|_| MemoryError)
    }
}
