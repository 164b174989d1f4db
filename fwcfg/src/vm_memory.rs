// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest memory of the `vm-memory` crate.

use vm_memory::{Bytes, GuestAddress, GuestAddressSpace, GuestMemory as _, GuestMemoryBackend};

use crate::memory::{GuestMemory, MemoryError};

/// Guest memory of the `vm-memory` crate: a reference, an `Arc` or a `GuestMemoryAtomic`.
#[derive(Clone, Debug)]
pub struct VmMemory<S>(pub S);

/// One region of untranslated memory mostly holds all bytes: it is found with a fraction of the steps that a range over
/// any number of regions takes.
impl<S: GuestAddressSpace> GuestMemory for VmMemory<S> {
    #[inline]
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let memory = self.0.memory();
        let region = memory.physical_memory();
        if let Some(Ok(whole)) = region.map(|memory| memory.get_slice(GuestAddress(gpa), buf.len())) {
            whole.copy_to(buf);
            return Ok(());
        }
        memory.read_slice(buf, GuestAddress(gpa)).map_err(|_| MemoryError)
    }

    #[inline]
    fn write(&self, gpa: u64, buf: &[u8]) -> Result<(), MemoryError> {
        let memory = self.0.memory();
        let region = memory.physical_memory();
        if let Some(Ok(whole)) = region.map(|memory| memory.get_slice(GuestAddress(gpa), buf.len())) {
            whole.copy_from(buf);
            return Ok(());
        }
        memory.write_slice(buf, GuestAddress(gpa)).map_err(|_| MemoryError)
    }
}
