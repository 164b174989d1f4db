// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The MSI-X table.

use std::hint::black_box;

use pci_model::{MsixControl, MsixDelivery, MsixTable};

use super::Case;

/// An entry in the middle of the table.
const VECTOR: u16 = 40;
const OFFSET: u64 = 16 * VECTOR as u64;

const ADDRESS: u32 = 0xfee0_1000;

type Table = MsixTable<64>;

pub(super) fn cases() -> Vec<Case> {
    vec![read(), write(), fire()]
}

/// What is counted, as a VMM calls it.
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn read(table: &mut Table, offset: u64, data: &mut [u8]) {
        table.read(offset, data);
    }

    #[inline(never)]
    pub(super) fn write(table: &mut Table, offset: u64, data: &[u8]) {
        table.write(offset, data);
    }

    #[inline(never)]
    pub(super) fn fire(table: &mut Table, vector: u16, control: MsixControl) -> MsixDelivery {
        table.fire(vector, control)
    }
}

fn read() -> Case {
    let mut table = Table::new();
    table.write(OFFSET, &ADDRESS.to_le_bytes());
    let mut access = move || {
        let mut data = [0; 4];
        counted::read(&mut table, black_box(OFFSET), black_box(&mut data));
        u32::from_le_bytes(data)
    };
    assert_eq!(access(), ADDRESS);
    Case::new("msix/read", move || {
        black_box(access());
    })
}

/// The address of a vector that is masked.
fn write() -> Case {
    let mut table = Table::new();
    let bytes = ADDRESS.to_le_bytes();
    counted::write(&mut table, OFFSET, &bytes);
    let written = table.vector(VECTOR).map(|(message, masked)| (message.address, masked));
    assert_eq!(written, Some((ADDRESS.into(), true)));
    Case::new("msix/write", move || {
        counted::write(&mut table, black_box(OFFSET), black_box(&bytes));
    })
}

fn fire() -> Case {
    let mut table = Table::new();
    let control = MsixControl {
        enabled: true,
        function_mask: false,
        vectors: 64,
    };
    table.write(OFFSET + 12, &[0; 4]);
    let mut raise = move || counted::fire(&mut table, black_box(VECTOR), black_box(control));
    assert!(matches!(raise(), MsixDelivery::Send(_)));
    Case::new("msix/fire", move || {
        black_box(raise());
    })
}
