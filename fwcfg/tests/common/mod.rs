// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A guest: a device, RAM from address 0, and accesses as a CPU makes them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use std::cell::RefCell;

use fwcfg::{AccessRule, DataWidth, Effects, FwCfg, FwCfgBuilder, GuestMemory, Item};

pub(crate) const RAM: usize = 0x1000_0000;
/// Where the descriptor lies.
pub(crate) const D: u64 = 0x1000;

pub(crate) struct Guest {
    pub(crate) device: FwCfg,
    pub(crate) ram: RefCell<Vec<u8>>,
}

pub(crate) fn opregion() -> Vec<u8> {
    let mut bytes = vec![0xa5; 8192];
    bytes[..16].copy_from_slice(b"IntelGraphicsMem");
    bytes
}

/// A builder with the items that the vectors are about.
pub(crate) fn fixture() -> FwCfgBuilder {
    let mut builder = FwCfgBuilder::new();
    let uuid = 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes();
    builder.add_item(0x0002, uuid).unwrap();
    builder.add_item(0x0003, 0x8000_0000_u64.to_le_bytes()).unwrap();
    builder.add_item(0x0005, 2u16.to_le_bytes()).unwrap();
    builder.add_item(0x000f, 4u16.to_le_bytes()).unwrap();
    builder.add_item(0x8002, 1u32.to_le_bytes()).unwrap();
    builder.add_file("opt/z", b"ABC").unwrap();
    builder.add_file("etc/w", Item::writable(vec![0; 8])).unwrap();
    builder.add_file("etc/igd-opregion", opregion()).unwrap();
    builder
        .add_file("etc/igd-bdsm-size", 0x0400_0000_u64.to_le_bytes())
        .unwrap();
    builder
}

impl Guest {
    pub(crate) fn new() -> Self {
        Self::with(fixture())
    }

    pub(crate) fn with(builder: FwCfgBuilder) -> Self {
        Self {
            device: builder.build(),
            ram: RefCell::new(vec![0; RAM]),
        }
    }

    pub(crate) fn split() -> Self {
        Self::with(fixture().access_rule(AccessRule::Split))
    }

    pub(crate) fn wide() -> Self {
        Self::with(fixture().data_width(DataWidth::Eight))
    }

    pub(crate) fn out(&mut self, port: u16, data: &[u8]) -> Effects {
        self.device.port_write(port - 0x510, data, &self.ram)
    }

    pub(crate) fn outw(&mut self, port: u16, value: u16) -> Effects {
        self.out(port, &value.to_le_bytes())
    }

    pub(crate) fn outl(&mut self, port: u16, value: u32) -> Effects {
        self.out(port, &value.to_le_bytes())
    }

    pub(crate) fn select(&mut self, key: u16) {
        assert!(self.outw(0x510, key).selected.is_some());
    }

    pub(crate) fn inp<const N: usize>(&mut self, port: u16) -> [u8; N] {
        let mut data = [0xcc; N];
        self.device.port_read(port - 0x510, &mut data).unwrap();
        data
    }

    pub(crate) fn inb(&mut self, port: u16) -> u8 {
        self.inp::<1>(port)[0]
    }

    pub(crate) fn inw(&mut self, port: u16) -> u16 {
        u16::from_le_bytes(self.inp(port))
    }

    pub(crate) fn inl(&mut self, port: u16) -> u32 {
        u32::from_le_bytes(self.inp(port))
    }

    /// `len` reads of the data port.
    pub(crate) fn data(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.inb(0x511)).collect()
    }

    /// Selects a key and reads its first bytes.
    pub(crate) fn read(&mut self, key: u16, len: usize) -> Vec<u8> {
        self.select(key);
        self.data(len)
    }

    pub(crate) fn mem(&self, gpa: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read(gpa, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn poke(&self, gpa: u64, bytes: &[u8]) {
        self.ram.write(gpa, bytes).unwrap();
    }

    pub(crate) fn descriptor(&self, at: u64, control: u32, len: u32, gpa: u64) {
        self.poke(at, &control.to_be_bytes());
        self.poke(at + 4, &len.to_be_bytes());
        self.poke(at + 8, &gpa.to_be_bytes());
    }

    /// Writes both halves of the DMA address.
    pub(crate) fn go(&mut self, at: u64) -> Effects {
        let address = at.to_be_bytes();
        let high = self.out(0x514, &address[..4]);
        assert!(high.fault.is_none() && high.selected.is_none());
        self.out(0x518, &address[4..])
    }

    /// Runs a command; returns the control field that it left, and its effects.
    pub(crate) fn dma(&mut self, control: u32, len: u32, gpa: u64) -> (u32, Effects) {
        self.descriptor(D, control, len, gpa);
        let effects = self.go(D);
        (self.control(D), effects)
    }

    pub(crate) fn control(&self, at: u64) -> u32 {
        u32::from_be_bytes(self.mem(at, 4).try_into().unwrap())
    }
}
