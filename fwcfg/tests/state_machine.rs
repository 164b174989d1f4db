// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Any sequence of accesses against a model that goes byte by byte, with a save and restore after each.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails the test"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use fwcfg::{DataWidth, FwCfg, FwCfgBuilder, GuestMemory, Item};
use proptest::prelude::*;
use proptest::sample::select;

const RAM: usize = 0x4000;

#[derive(Clone, Debug)]
enum Step {
    Out { offset: u16, data: Vec<u8> },
    In { offset: u16, len: usize },
    Flat { len: usize },
    MmioOut { offset: u64, data: Vec<u8> },
    MmioIn { offset: u64, len: usize },
    Command { at: u64, control: u32, len: u32, gpa: u64 },
    Modify { key: u16, bytes: Vec<u8>, writable: bool },
    Reset,
}

fn items() -> Vec<(u16, &'static str, Vec<u8>, bool)> {
    vec![
        (0x0005, "", vec![2, 0], false),
        (0x0013, "", vec![], false),
        (0x8002, "", vec![1, 2, 3, 4], false),
        (0x8020, "", (0..40).collect(), false),
        (0x0020, "etc/w", vec![0; 8], true),
        (0x0021, "etc/x", (0..=255).collect(), false),
        (0x0022, "opt/y", b"xyz".to_vec(), false),
        (0x0023, "opt/z", vec![7; 100], true),
    ]
}

fn build() -> FwCfg {
    let mut builder = FwCfgBuilder::with_file_slots(0x10)
        .unwrap()
        .data_width(DataWidth::Eight);
    for (key, name, bytes, writable) in items() {
        let item = if writable {
            Item::writable(bytes)
        } else {
            Item::from(bytes)
        };
        if name.is_empty() {
            builder.add_item(key, item).unwrap();
        } else {
            builder.add_file(name, item).unwrap();
        }
    }
    builder.build()
}

/// An item: its bytes, and the bytes after a reset if a guest may write it.
type Held = (Vec<u8>, Option<Vec<u8>>);

fn index(value: u64) -> usize {
    usize::try_from(value).unwrap()
}

struct Model {
    items: BTreeMap<u16, Held>,
    /// The selected key, or nothing if it is out of range.
    key: Option<u16>,
    offset: u64,
    latch: u64,
    ram: Vec<u8>,
}

impl Model {
    fn new() -> Self {
        let own = [(0x0000, b"QEMU".to_vec()), (0x0001, vec![3, 0, 0, 0])];
        let mut held: BTreeMap<u16, Held> = own.into_iter().map(|(key, bytes)| (key, (bytes, None))).collect();
        for (key, _, bytes, writable) in items() {
            held.insert(key, (bytes.clone(), writable.then_some(bytes)));
        }
        let mut model = Self {
            items: held,
            key: Some(0),
            offset: 0,
            latch: 0,
            ram: vec![0; RAM],
        };
        model.list();
        model
    }

    fn list(&mut self) {
        let mut directory = vec![0, 0, 0, 4];
        for (key, name, ..) in items().into_iter().filter(|(_, name, ..)| !name.is_empty()) {
            let len = u32::try_from(self.items[&key].0.len()).unwrap();
            directory.extend(len.to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0, 0]);
            directory.extend(name.bytes().chain(std::iter::repeat(0)).take(56));
        }
        directory.resize(4 + 64 * 16, 0);
        self.items.insert(0x19, (directory, None));
    }

    fn select(&mut self, key: u16) {
        self.key = (key & 0x3fff < 0x30).then_some(key & 0xbfff);
        self.offset = 0;
    }

    fn content(&self) -> &[u8] {
        match self.key.and_then(|key| self.items.get(&key)) {
            Some((bytes, _)) => bytes,
            None => &[],
        }
    }

    fn next(&mut self) -> u8 {
        let Ok(offset) = usize::try_from(self.offset) else {
            return 0;
        };
        match self.content().get(offset).copied() {
            Some(byte) => {
                self.offset += 1;
                byte
            }
            None => 0,
        }
    }

    fn input(&mut self, offset: u16, len: usize) -> Vec<u8> {
        if !usize::from(offset).is_multiple_of(len) {
            return vec![0; len];
        }
        match (offset, len) {
            (0 | 1, 1) => vec![self.next()],
            (0 | 1, _) => vec![0; len],
            (4..=11, _) => b"QEMU CFG"[usize::from(offset) - 4..][..len].to_vec(),
            _ => vec![0xff; len],
        }
    }

    fn output(&mut self, offset: u16, data: &[u8]) {
        match (offset, data.len()) {
            (0, 2) => self.select(u16::from_le_bytes(data.try_into().unwrap())),
            (4, 4) => self.latch = u64::from(u32::from_be_bytes(data.try_into().unwrap())) << 32,
            (8, 4) => {
                self.latch |= u64::from(u32::from_be_bytes(data.try_into().unwrap()));
                self.run();
            }
            _ => {}
        }
    }

    fn mmio_input(&mut self, offset: u64, len: usize) -> Vec<u8> {
        if !offset.is_multiple_of(len as u64) {
            return vec![0; len];
        }
        match offset {
            0 => (0..len).map(|_| self.next()).collect(),
            1..10 => vec![0; len],
            0x10..0x18 => b"QEMU CFG"[index(offset - 0x10)..][..len].to_vec(),
            _ => vec![0xff; len],
        }
    }

    fn mmio_output(&mut self, offset: u64, data: &[u8]) {
        match (offset, data.len()) {
            (8, 2) => self.select(u16::from_be_bytes(data.try_into().unwrap())),
            (0x10, 4) => self.output(4, data),
            (0x14, 4) => self.output(8, data),
            (0x10, 8) => {
                self.latch = u64::from_be_bytes(data.try_into().unwrap());
                self.run();
            }
            _ => {}
        }
    }

    fn load(&self, gpa: u64) -> Option<u8> {
        self.ram.get(usize::try_from(gpa).ok()?).copied()
    }

    /// Stores all bytes or, if one of them is not in RAM, none.
    fn store(&mut self, gpa: u64, bytes: &[u8]) -> bool {
        let start = usize::try_from(gpa).unwrap();
        match start
            .checked_add(bytes.len())
            .and_then(|end| self.ram.get_mut(start..end))
        {
            Some(target) => target.copy_from_slice(bytes),
            None => return false,
        }
        true
    }

    fn run(&mut self) {
        let at = std::mem::take(&mut self.latch);
        let raw: Option<Vec<u8>> = (0..16).map(|byte| self.load(at.checked_add(byte)?)).collect();
        let error = raw.is_none_or(|raw| {
            let word = |first: usize| u32::from_be_bytes(raw[first..first + 4].try_into().unwrap());
            self.command(word(0), word(4), u64::from(word(8)) << 32 | u64::from(word(12)))
        });
        self.store(at, &u32::from(error).to_be_bytes());
    }

    /// Carries out a command and returns whether it failed.
    fn command(&mut self, control: u32, len: u32, gpa: u64) -> bool {
        if control & 8 != 0 {
            self.select((control >> 16) as u16);
        }
        let held = (self.content().len() as u64)
            .saturating_sub(self.offset)
            .min(u64::from(len));
        let start = index(self.offset);
        if len == 0 || control & 0b10110 == 0 {
            return false;
        }
        self.offset += held;
        if control & 2 != 0 {
            let bytes = self
                .content()
                .get(start..start + index(held))
                .unwrap_or_default()
                .to_vec();
            if gpa.checked_add(u64::from(len)).is_none() || !bytes.is_empty() && !self.store(gpa, &bytes) {
                return true;
            }
            let zeros = vec![0; len as usize - bytes.len()];
            return !zeros.is_empty() && !self.store(gpa + held, &zeros);
        }
        if control & 16 == 0 {
            return false;
        }
        if held < u64::from(len) {
            return true;
        }
        let loaded: Vec<_> = (0..held).map(|byte| self.load(gpa.checked_add(byte)?)).collect();
        match self.key.and_then(|key| self.items.get_mut(&key)) {
            Some((bytes, Some(_))) => {
                for (to, from) in bytes[start..].iter_mut().zip(&loaded) {
                    *to = from.unwrap_or(0);
                }
                loaded.contains(&None)
            }
            _ => true,
        }
    }

    fn reset(&mut self) {
        for (bytes, reset) in self.items.values_mut() {
            if let Some(value) = reset {
                bytes.clone_from(value);
            }
        }
        self.latch = 0;
        self.select(0);
    }
}

fn key() -> impl Strategy<Value = u16> {
    let known = items().into_iter().map(|(key, ..)| key).collect::<Vec<_>>();
    prop_oneof![
        6 => select(known),
        2 => select(vec![0x00, 0x01, 0x19, 0x2f, 0x30, 0x4019, 0x4020, 0xc002, 0x8000, 0x802f, 0x8030, 0xffff]),
        1 => any::<u16>(),
    ]
}

fn gpa() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..RAM as u64,
        2 => RAM as u64 - 24..RAM as u64 + 8,
        1 => select(vec![u64::MAX, u64::MAX - 7, 1 << 32, 1 << 63]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let width = || select(vec![1usize, 2, 4]);
    let wide = || select(vec![1usize, 2, 4, 8]);
    let bytes = |len: usize| proptest::collection::vec(any::<u8>(), len);
    let control = (key(), any::<u16>(), 0..32u32).prop_map(|(key, noise, bits)| {
        let noise = if noise & 7 == 0 { noise & 0xffe0 } else { 0 };
        u32::from(key) << 16 | u32::from(noise) | bits
    });
    let len = prop_oneof![6 => 0..16u32, 2 => 0..300u32, 1 => 0..4096u32];
    prop_oneof![
        4 => key().prop_map(|key| Step::Out { offset: 0, data: key.to_le_bytes().to_vec() }),
        1 => key().prop_map(|key| Step::MmioOut { offset: 8, data: key.to_be_bytes().to_vec() }),
        4 => (0..14u16, width()).prop_map(|(offset, len)| Step::In { offset, len }),
        2 => (0..14u16, width()).prop_flat_map(move |(offset, len)| bytes(len)
            .prop_map(move |data| Step::Out { offset, data })),
        2 => (0..300usize).prop_map(|len| Step::Flat { len }),
        2 => (0..0x20u64, wide()).prop_map(|(offset, len)| Step::MmioIn { offset, len }),
        2 => (0..0x20u64, wide()).prop_flat_map(move |(offset, len)| bytes(len)
            .prop_map(move |data| Step::MmioOut { offset, data })),
        8 => (gpa(), control, len, gpa()).prop_map(|(at, control, len, gpa)| Step::Command { at, control, len, gpa }),
        1 => (key(), proptest::collection::vec(any::<u8>(), 0..40), any::<bool>())
            .prop_map(|(key, bytes, writable)| Step::Modify { key, bytes, writable }),
        1 => Just(Step::Reset),
    ]
}

/// Does a step on both and compares what the guest read.
fn apply(step: Step, device: &mut FwCfg, ram: &RefCell<Vec<u8>>, model: &mut Model) {
    match step {
        Step::Out { offset, data } => {
            let _ = device.port_write(offset, &data, ram);
            model.output(offset, &data);
        }
        Step::In { offset, len } => {
            let mut got = vec![0xcc; len];
            device.port_read(offset, &mut got).unwrap();
            assert_eq!(got, model.input(offset, len));
        }
        Step::Flat { len } => {
            let mut got = vec![0xcc; len];
            device.port_read_flattened(1, &mut got).unwrap();
            let expected: Vec<u8> = (0..len).map(|_| model.next()).collect();
            assert_eq!(got, expected);
        }
        Step::MmioOut { offset, data } => {
            let _ = device.mmio_write(offset, &data, ram);
            model.mmio_output(offset, &data);
        }
        Step::MmioIn { offset, len } => {
            let mut got = vec![0xcc; len];
            device.mmio_read(offset, &mut got).unwrap();
            assert_eq!(got, model.mmio_input(offset, len));
        }
        Step::Command { at, control, len, gpa } => {
            let raw = u128::from(control) << 96 | u128::from(len) << 64 | u128::from(gpa);
            let raw = raw.to_be_bytes();
            assert_eq!(ram.write(at, &raw).is_ok(), model.store(at, &raw));
            let effects = device.mmio_write(0x10, &at.to_be_bytes(), ram);
            model.mmio_output(0x10, &at.to_be_bytes());
            let status = (0..4)
                .map(|byte| model.load(at.checked_add(byte)?))
                .collect::<Option<Vec<_>>>();
            assert_eq!(effects.status_lost.is_some(), status.is_none());
            if let Some(status) = status {
                assert_eq!(effects.fault.is_some(), status == [0, 0, 0, 1]);
            }
        }
        Step::Modify { key, bytes, writable } => {
            let item = if writable {
                Item::writable(bytes.clone())
            } else {
                Item::from(bytes.clone())
            };
            let known = model.items.contains_key(&key) && !matches!(key, 0 | 1 | 0x19);
            assert_eq!(device.modify(key, item).is_ok(), known);
            if known {
                model.items.insert(key, (bytes.clone(), writable.then_some(bytes)));
                model.list();
            }
        }
        Step::Reset => {
            device.reset();
            model.reset();
        }
    }
}

/// A device in the state of `device`, built as that one was before guests and `modify` came.
fn moved(device: &FwCfg, model: &Model) -> FwCfg {
    let mut other = build();
    for (&key, (bytes, reset)) in &model.items {
        if !matches!(key, 0 | 1 | 0x19) {
            let item = match reset {
                Some(value) => Item::writable(value.clone()),
                None => Item::from(bytes.clone()),
            };
            other.modify(key, item).unwrap();
        }
    }
    let state = device.state();
    other.restore(&state).unwrap();
    assert_eq!(other.state(), state);
    other
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_sequence_agrees_with_the_model(steps in proptest::collection::vec(step(), 1..60)) {
        let mut device = build();
        let mut model = Model::new();
        let ram = RefCell::new(vec![0; RAM]);
        for step in steps {
            apply(step, &mut device, &ram, &mut model);
            let state = device.state();
            prop_assert_eq!(state.selector, model.key.unwrap_or(0xffff));
            prop_assert_eq!(u64::from(state.offset), model.offset);
            prop_assert_eq!(state.dma_latch, model.latch);
            prop_assert!(*ram.borrow() == model.ram, "guest memory differs");
            for (key, (bytes, reset)) in &model.items {
                let item = device.item(*key).unwrap();
                prop_assert_eq!(item.bytes(), Some(bytes.as_slice()));
                prop_assert_eq!(item.is_writable(), reset.is_some());
            }
            device = moved(&device, &model);
        }
    }

    #[test]
    fn no_state_makes_the_device_panic(selector: u16, offset: u32, dma_latch: u64, keys in proptest::collection::vec(key(), 1..8)) {
        let mut device = build();
        let mut state = device.state();
        state.selector = selector;
        state.offset = offset;
        state.dma_latch = dma_latch;
        device.restore(&state).unwrap();
        let ram = RefCell::new(vec![0xff; 64]);
        let mut out = [0; 300];
        device.read_string(&mut out).unwrap();
        let _ = device.port_write(8, &[0; 4], &ram);
        for key in keys {
            let _ = device.port_write(0, &key.to_le_bytes(), &ram);
            device.read_string(&mut out).unwrap();
        }
    }
}
