// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! BAR0: registers in the lower half, GTT in the upper.

use crate::bytes::put;
use crate::gt;
use crate::memory::{MemoryError, PAGE, SparseMemory};
use crate::profile::Class;
use crate::test_page::{Asked, TestPage};

/// Entries of the GTT that firmware left behind: one page of them.
const STALE_LEN: usize = PAGE;

/// BAR0.
#[derive(Debug)]
pub(crate) struct Bar0 {
    class: Class,
    memory: SparseMemory,
    initial: Vec<(u64, u32)>,
    test_page: Option<TestPage>,
}

impl Bar0 {
    /// BAR0 at power-on. `stale` is the host address that the first entries of the GTT still point to.
    pub(crate) fn new(
        class: Class,
        memory: SparseMemory,
        initial: Vec<(u64, u32)>,
        stale: u64,
        has_test_page: bool,
    ) -> Result<Self, MemoryError> {
        let test_page = has_test_page.then(TestPage::new);
        let mut bar = Self {
            class,
            memory,
            initial,
            test_page,
        };
        bar.reset()?;
        let mut entries = Vec::with_capacity(STALE_LEN);
        for entry in 0..STALE_LEN / class.pte_len() {
            let page = u64::try_from(entry * PAGE).unwrap_or(0);
            let bytes = (stale.saturating_add(page) | 1).to_le_bytes();
            entries.extend_from_slice(bytes.get(..class.pte_len()).unwrap_or(&bytes));
        }
        bar.memory.write(bar.half(), &entries)?;
        Ok(bar)
    }

    pub(crate) const fn memory(&self) -> &SparseMemory {
        &self.memory
    }

    /// Offset of the GTT.
    pub(crate) const fn half(&self) -> u64 {
        self.memory.size() / 2
    }

    pub(crate) const fn has_test_page(&self) -> bool {
        self.test_page.is_some()
    }

    /// Offset of the page with test registers.
    const fn test_page_at(&self) -> Option<u64> {
        match self.test_page {
            Some(_) => Some(self.half() - 4096),
            None => None,
        }
    }

    /// Pages that must not be mapped, by rising offset.
    pub(crate) fn trapped_pages(&self) -> Vec<u64> {
        gt::trapped_pages(self.class).chain(self.test_page_at()).collect()
    }

    /// What a function level reset does: registers start again, the GTT stays.
    pub(crate) fn reset(&mut self) -> Result<(), MemoryError> {
        self.memory.clear(self.half())?;
        for (offset, value) in &self.initial {
            self.memory.write(*offset, &value.to_le_bytes())?;
        }
        if let Some(page) = &mut self.test_page {
            *page = TestPage::new();
        }
        Ok(())
    }

    pub(crate) fn finish_dma(&mut self, done: bool) {
        if let Some(page) = &mut self.test_page {
            page.finish(done);
        }
    }

    /// Where in the test page an access starts that lies wholly in it.
    fn in_test_page(&self, offset: u64, len: usize) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.test_page_at()?)?).ok()?;
        (at.checked_add(len)? <= PAGE).then_some(at)
    }

    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        if let (Some(page), Some(at)) = (&self.test_page, self.in_test_page(offset, buf.len())) {
            page.read(at, buf);
            return Ok(());
        }
        self.memory.read(offset, buf)
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<Asked, MemoryError> {
        let at = self.in_test_page(offset, data.len());
        if let (Some(page), Some(at)) = (&mut self.test_page, at) {
            return Ok(page.write(at, data));
        }
        let registers = usize::try_from(self.half().saturating_sub(offset)).unwrap_or(usize::MAX);
        let (low, high) = data.split_at(registers.min(data.len()));
        self.write_registers(offset, low)?;
        if !high.is_empty() {
            self.memory.write(offset.max(self.half()), high)?;
        }
        Ok(Asked::Nothing)
    }

    /// Writes dword by dword; a dword of which only some bytes are written keeps the others.
    fn write_registers(&mut self, offset: u64, data: &[u8]) -> Result<(), MemoryError> {
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            let dword = at & !3;
            let skip = usize::try_from(at - dword).unwrap_or(0);
            let (now, later) = rest.split_at(rest.len().min(4 - skip));
            let mut bytes = [0; 4];
            self.memory.read(dword, &mut bytes)?;
            put(&mut bytes, skip, now);
            self.write_dword(dword, u32::from_le_bytes(bytes))?;
            rest = later;
            at = dword.saturating_add(4);
        }
        Ok(())
    }

    fn write_dword(&mut self, offset: u64, value: u32) -> Result<(), MemoryError> {
        let memory = &mut self.memory;
        let stores = gt::write(self.class, offset, value, |at| {
            let mut bytes = [0; 4];
            memory.read(at, &mut bytes)?;
            Ok::<_, MemoryError>(u32::from_le_bytes(bytes))
        })?;
        let Some(stores) = stores else {
            return memory.write(offset, &value.to_le_bytes());
        };
        memory.write(offset, &stores.own.to_le_bytes())?;
        match stores.follower {
            Some((at, value)) => memory.write(at, &value.to_le_bytes()),
            None => Ok(()),
        }
    }
}
