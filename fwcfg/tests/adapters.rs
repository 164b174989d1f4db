// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The device behind foreign traits.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::cell::RefCell;
use std::rc::Rc;

use fwcfg::{Attached, Effects, Events, FwCfg, FwCfgBuilder, Item, SourceError};
use pci_model::{Mmio, PortIo};

/// Notes what happened and answers the selection of `tables`.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<String>>>);

impl Events for Notes {
    fn effects(&mut self, device: &mut FwCfg, effects: Effects) {
        let mut notes = self.0.borrow_mut();
        if let Some(key) = effects.selected {
            notes.push(format!("select {key:#x}"));
        }
        if let Some(fault) = effects.fault {
            notes.push(fault.to_string());
        }
        if let Some(gpa) = effects.status_lost {
            notes.push(format!("status lost at {gpa:#x}"));
        }
        if effects.paused {
            let item = Item::from(b"new").paused_on_select();
            device.modify_file("tables", item).unwrap();
        }
    }

    fn source_failed(&mut self, error: SourceError) {
        self.0.borrow_mut().push(error.to_string());
    }
}

fn device() -> FwCfg {
    let mut builder = FwCfgBuilder::new();
    builder
        .add_file("tables", Item::from(b"old").paused_on_select())
        .unwrap();
    builder.build()
}

const COMMAND: [u8; 16] = [0, 0x20, 0, 0x0a, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0x40];

#[test]
fn attached_ports() {
    let notes = Notes::default();
    let ram = RefCell::new(vec![0xee; 0x100]);
    ram.borrow_mut()[..16].copy_from_slice(&COMMAND);
    let mut port = Attached::new(device(), &ram, notes.clone());
    let mut data = [0; 1];
    port.port_read(1, &mut data);
    assert_eq!(data, *b"Q");
    port.port_write(8, &[0; 4]);
    assert_eq!(ram.borrow()[..4], [0; 4]);
    assert_eq!(ram.borrow()[0x40..0x44], *b"new\0");
    port.port_write(1, &[0]);
    port.port_write(8, &0x100_u32.to_be_bytes());
    assert_eq!(
        *notes.0.borrow(),
        [
            "select 0x20",
            "no register takes a write of 1 bytes at 0x1",
            "DMA descriptor at 0x100 is not in guest RAM",
            "status lost at 0x100"
        ]
    );
    port.device_mut().reset();
    assert_eq!((port.device().selected(), port.into_device().has_dma()), (0, true));
    assert!(!FwCfgBuilder::new().dma(false).build().has_dma());
}

#[test]
fn attached_registers() {
    let ram = RefCell::new(vec![0; 0x100]);
    let mut window = Attached::new(device(), &ram, ());
    window.mmio_write(8, &[0, 0x20]);
    let mut data = [0; 1];
    window.mmio_read(0, &mut data);
    assert_eq!(data, *b"o");
}

#[cfg(feature = "vm-memory")]
#[test]
fn guest_memory_of_vm_memory() {
    use fwcfg::{GuestMemory, MemoryError, VmMemory};
    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    let regions = [(GuestAddress(0), 0x1000), (GuestAddress(0x1000), 0x1000)];
    let mmap = GuestMemoryMmap::<()>::from_ranges(&regions).unwrap();
    mmap.write_slice(&COMMAND, GuestAddress(0xff8)).unwrap();
    let memory = VmMemory(&mmap);
    assert_eq!(memory.read(0x1ffd, &mut [0; 4]), Err(MemoryError));
    assert_eq!(memory.write(0x2000, &[0]), Err(MemoryError));
    let mut device = device();
    assert!(device.port_write(8, &0xff8_u32.to_be_bytes(), &memory).paused);
    assert!(device.resume(&memory).fault.is_none());
    let mut buffer = [0xee; 4];
    mmap.read_slice(&mut buffer, GuestAddress(0x40)).unwrap();
    assert_eq!(buffer, *b"old\0");
}

#[cfg(feature = "vm-device")]
#[test]
fn buses_of_vm_device() {
    use std::sync::{Arc, Mutex};

    use fwcfg::GuestMemory;
    use vm_device::bus::{MmioAddress, MmioRange, PioAddress, PioRange};
    use vm_device::device_manager::{IoManager, MmioManager, PioManager};

    #[derive(Debug)]
    struct NoMemory;

    impl GuestMemory for NoMemory {
        fn read(&self, _: u64, _: &mut [u8]) -> Result<(), fwcfg::MemoryError> {
            Err(fwcfg::MemoryError)
        }

        fn write(&self, _: u64, _: &[u8]) -> Result<(), fwcfg::MemoryError> {
            Err(fwcfg::MemoryError)
        }
    }

    let attached = Arc::new(Mutex::new(Attached::new(device(), NoMemory, ())));
    let mut manager = IoManager::new();
    let ports = PioRange::new(PioAddress(0x510), 12).unwrap();
    manager.register_pio(ports, attached.clone()).unwrap();
    let registers = MmioRange::new(MmioAddress(0x0902_0000), 0x18).unwrap();
    manager.register_mmio(registers, attached).unwrap();

    let mut data = [0; 4];
    manager.pio_read(PioAddress(0x511), &mut data).unwrap();
    assert_eq!(data, *b"QEMU");
    manager.pio_write(PioAddress(0x510), &[0x20, 0]).unwrap();
    manager.pio_read(PioAddress(0x511), &mut data[..2]).unwrap();
    assert_eq!(data[..2], *b"ol");
    assert!(manager.pio_read(PioAddress(0x511), &mut [0; 56]).is_err());
    manager.mmio_write(MmioAddress(0x0902_0008), &[0, 1]).unwrap();
    manager.mmio_read(MmioAddress(0x0902_0000), &mut data[..1]).unwrap();
    assert_eq!(data[0], 3);
}

#[cfg(all(feature = "std", unix))]
#[test]
fn a_file_is_read_where_the_guest_looks() {
    use std::io::Write;

    let path = std::env::temp_dir().join(format!("fwcfg-{}", std::process::id()));
    let mut file = std::fs::File::options();
    let mut file = file
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .unwrap();
    file.write_all(b"kernel image").unwrap();
    std::fs::remove_file(&path).unwrap();
    let mut builder = FwCfgBuilder::new();
    builder
        .add_item(0x0011, Item::from_file(file.try_clone().unwrap()).unwrap())
        .unwrap();
    let mut device = builder.build();
    let _ = device.port_write(0, &[0x11, 0], &());
    let mut out = [0xcc; 14];
    device.read_string(&mut out[..7]).unwrap();
    device.read_string(&mut out[7..]).unwrap();
    assert_eq!(out, *b"kernel image\0\0");
    file.set_len(4).unwrap();
    let _ = device.port_write(0, &[0x11, 0], &());
    assert!(device.read_string(&mut out).is_err());
    assert_eq!(out, [0; 14]);
    // Files with holes, so that nothing is stored.
    for (len, fits) in [(0xffff_fffe_u64, true), (0xffff_ffff, false), (0x1_0000_0000, false)] {
        file.set_len(len).unwrap();
        let item = Item::from_file(file.try_clone().unwrap());
        assert_eq!(item.is_ok(), fits, "{len:#x}");
        if let Ok(item) = item {
            assert_eq!((item.len(), item.is_empty()), (len, false));
        }
    }
    file.set_len(0).unwrap();
    assert!(Item::from_file(file).unwrap().is_empty());
}
