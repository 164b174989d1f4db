// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The fw_cfg device: bytes, strings and DMA.

use std::hint::black_box;

use fwcfg::spec::{DMA_KEY_SHIFT, DMA_READ, DMA_SELECT, KEY_FILE_FIRST, PORT_DATA, PORT_DMA, PORT_SELECTOR};
use fwcfg::{Effects, FwCfg, FwCfgBuilder, SourceError, VmMemory};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::Case;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// Where the descriptor and the buffer lie in guest memory.
const DESCRIPTOR: GuestAddress = GuestAddress(0x1000);
const BUFFER: GuestAddress = GuestAddress(0x10_0000);

pub(super) fn cases() -> Vec<Case> {
    vec![
        byte(),
        string(4 * KIB),
        dma("fwcfg/dma-8k", 8 * KIB),
        dma("fwcfg/dma-kib", MIB).bulk(10, 1024),
        copy("limit/copy-8k", 8 * KIB),
        copy("limit/copy-kib", MIB).bulk(10, 1024),
    ]
}

/// A device with one file, which is selected, and the bytes of the file.
fn device(len: usize) -> (FwCfg, Vec<u8>) {
    let mut content = (0_u8..=0xfa).collect::<Vec<_>>().repeat(len / 0xfb + 1);
    content.truncate(len);
    let mut builder = FwCfgBuilder::new();
    builder.add_file("opt/test", content.as_slice()).unwrap();
    let mut device = builder.build();
    let effects = device.port_write(PORT_SELECTOR, &KEY_FILE_FIRST.to_le_bytes(), &());
    assert_eq!(effects.selected, Some(KEY_FILE_FIRST));
    (device, content)
}

/// What is counted, as a VMM calls it.
mod counted {
    use super::*;

    #[inline(never)]
    pub(super) fn read(device: &mut FwCfg, port: u16, data: &mut [u8]) -> Result<(), SourceError> {
        device.port_read(port, data)
    }

    #[inline(never)]
    pub(super) fn string(device: &mut FwCfg, port: u16, data: &mut [u8]) -> Result<(), SourceError> {
        device.port_read_flattened(port, data)
    }

    #[inline(never)]
    pub(super) fn copy(to: &mut [u8], from: &[u8]) {
        to.copy_from_slice(from);
    }

    #[inline(never)]
    pub(super) fn write(device: &mut FwCfg, port: u16, data: &[u8], memory: &GuestMemoryMmap) -> Effects {
        device.port_write(port, data, &VmMemory(memory))
    }
}

/// A byte through the data port, as a firmware without DMA reads.
fn byte() -> Case {
    let (mut device, content) = device(MIB);
    let mut read = move || {
        let mut data = [0];
        counted::read(&mut device, black_box(PORT_DATA), black_box(&mut data)).unwrap();
        data
    };
    assert!(content.iter().take(300).all(|byte| read() == [*byte]));
    Case::new("fwcfg/byte", move || {
        black_box(read());
    })
}

/// The bytes of a `rep insb` that a hypervisor hands over as one buffer.
fn string(len: usize) -> Case {
    let (mut device, content) = device(MIB);
    let mut buffer = vec![0; len];
    counted::string(&mut device, PORT_DATA, &mut buffer).unwrap();
    assert!(content.starts_with(&buffer));
    let case = Case::new("fwcfg/string-byte", move || {
        counted::string(&mut device, black_box(PORT_DATA), black_box(&mut buffer)).unwrap();
    });
    case.bulk(50, len as u64)
}

/// A DMA command that selects the file and reads all of it, from the write that starts it.
fn dma(name: &'static str, len: usize) -> Case {
    let (mut device, content) = device(len);
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 4 * MIB)]).unwrap();
    let control = u32::from(KEY_FILE_FIRST) << DMA_KEY_SHIFT | DMA_SELECT | DMA_READ;
    let length = u32::try_from(len).unwrap();
    let buffer = u32::try_from(BUFFER.0).unwrap();
    let descriptor = [control, length, 0, buffer].map(u32::to_be_bytes).concat();
    let start = u32::try_from(DESCRIPTOR.0).unwrap().to_be_bytes();
    let mut run = {
        let memory = memory.clone();
        move || {
            // The device stores its status over the control field.
            memory.write_slice(&descriptor, DESCRIPTOR).unwrap();
            counted::write(
                &mut device,
                black_box(PORT_DMA + 4),
                black_box(&start),
                black_box(&memory),
            )
        }
    };
    let effects = run();
    assert!(effects.fault.is_none() && effects.status_lost.is_none());
    let mut copied = vec![0; len];
    memory.read_slice(&mut copied, BUFFER).unwrap();
    assert!(copied == content);
    Case::new(name, move || {
        let _ = black_box(run());
    })
}

/// What a DMA command of this length cannot do without.
fn copy(name: &'static str, len: usize) -> Case {
    let from = vec![0x5a; len];
    let mut to = vec![0; len];
    Case::new(name, move || {
        counted::copy(black_box(&mut to), black_box(&from));
    })
}
