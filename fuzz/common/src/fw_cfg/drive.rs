// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Does each step to the device and to the model, and compares them.

use std::cell::RefCell;

use fwcfg::{Effects, Fault, FwCfg, FwCfgStateV1, Item, PausedDmaV1, SourceError};

use super::memory::{Bytes, Ram};
use super::naive::{self, Command, Content, Done, Held, Naive};
use super::step::{LEN, Step, bytes_of};
use super::{Options, bytes_of as item_bytes};
use crate::records;

/// A device and its model, each with its memory.
struct Pair {
    options: Options,
    device: FwCfg,
    ram: Ram,
    naive: Naive,
    bytes: Bytes,
    /// An item was replaced, so that a state no longer fits a device that was built anew.
    modified: bool,
}

/// Runs an input whose header says how the device is built.
pub(crate) fn run(data: &[u8], options: fn([u8; 1]) -> Options) {
    let (header, records) = records::split::<1, LEN>(data);
    drive(options(header), records.map(Step::decode));
}

/// Shows such an input.
pub(crate) fn describe(data: &[u8], options: fn([u8; 1]) -> Options) -> String {
    let (header, records) = records::split::<1, LEN>(data);
    records::lines(
        &format!("{:?}", options(header)),
        records.map(|record| Step::decode(record).to_string()),
    )
}

/// Does all steps.
fn drive(options: Options, steps: impl Iterator<Item = Step>) {
    let mut pair = Pair {
        options,
        device: super::device(options),
        ram: Ram(RefCell::new(Bytes::new(options.memory))),
        naive: Naive::new(options),
        bytes: Bytes::new(options.memory),
        modified: false,
    };
    for step in steps {
        pair.step(step);
        pair.check(step);
    }
    let state = pair.device.state();
    check_state(&state, &pair.naive);
}

impl Pair {
    fn step(&mut self, step: Step) {
        match step {
            Step::Read { offset, len } => {
                let mut data = vec![0x5c; len];
                let result = self.read(offset, &mut data);
                let (expected, fault) = self.naive.read(offset, len);
                assert_eq!(data, expected, "{step}");
                assert_eq!(
                    result.err().as_ref().map(source),
                    fault,
                    "{step}: failure of the source"
                );
            }
            Step::ReadString { offset, len } => {
                let mut data = vec![0x5c; len];
                let result = if self.options.mmio {
                    self.device.read_string(&mut data)
                } else {
                    self.device
                        .port_read_flattened(u16::try_from(offset).unwrap_or(u16::MAX), &mut data)
                };
                let (expected, fault) = if self.options.mmio || offset == 1 {
                    self.naive.read_string(len)
                } else {
                    self.naive.read(offset, len)
                };
                assert_eq!(data, expected, "{step}");
                assert_eq!(
                    result.err().as_ref().map(source),
                    fault,
                    "{step}: failure of the source"
                );
            }
            Step::Write { offset, len, value } => {
                let bytes = bytes_of(value);
                self.write(offset, bytes.get(..len).unwrap_or(&bytes), step);
            }
            Step::Select(key) => {
                let bytes = if self.options.mmio {
                    key.to_be_bytes()
                } else {
                    key.to_le_bytes()
                };
                self.write(if self.options.mmio { 8 } else { 0 }, &bytes, step);
            }
            Step::Latch { high, value } => {
                self.write(self.latch_at() + if high { 0 } else { 4 }, &value.to_be_bytes(), step);
            }
            Step::Dma {
                descriptor,
                control,
                len,
                buffer,
            } => {
                let fields = [control.to_be_bytes(), len.to_be_bytes()].concat();
                self.ram_write(descriptor, &[fields, buffer.to_be_bytes().to_vec()].concat());
                let [a, b, c, d, e, f, g, h] = descriptor.to_be_bytes();
                self.write(self.latch_at(), &[a, b, c, d], step);
                self.write(self.latch_at() + 4, &[e, f, g, h], step);
            }
            Step::RamWrite { gpa, value } => self.ram_write(gpa, &value.to_le_bytes()),
            Step::Resume => {
                let effects = self.device.resume(&self.ram);
                check_done(effects, self.naive.resume(&mut self.bytes), step);
            }
            Step::Modify { key, len, writable } => self.modify(key, len, writable, step),
            Step::Reset => {
                self.device.reset();
                self.naive.reset();
            }
            Step::SaveAndRestore => {
                let state = self.device.state();
                check_state(&state, &self.naive);
                if !self.modified {
                    self.device = super::device(self.options);
                }
                let restored = self.device.restore(&state);
                assert_eq!(restored, Ok(()), "{step}: its own state");
                assert_eq!(self.device.state(), state, "{step}: state of the restored device");
            }
            Step::RestoreOther {
                selector,
                offset,
                latch,
            } => {
                let mut state = self.device.state();
                (state.selector, state.offset, state.dma_latch) = (selector, offset, latch);
                let restored = self.device.restore(&state);
                let allowed = self.options.dma || latch == 0;
                assert_eq!(restored.is_ok(), allowed, "{step}: {restored:?}");
                if allowed {
                    let in_range = selector & 0x3fff < 0x20 + super::SLOTS;
                    self.naive.selected = in_range.then_some(selector & 0xbfff);
                    (self.naive.offset, self.naive.latch) = (offset, latch);
                }
            }
        }
    }

    fn latch_at(&self) -> u64 {
        if self.options.mmio { 0x10 } else { 4 }
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<(), SourceError> {
        if self.options.mmio {
            self.device.mmio_read(offset, data)
        } else {
            self.device.port_read(u16::try_from(offset).unwrap_or(u16::MAX), data)
        }
    }

    fn write(&mut self, offset: u64, data: &[u8], step: Step) {
        let effects = if self.options.mmio {
            self.device.mmio_write(offset, data, &self.ram)
        } else {
            self.device
                .port_write(u16::try_from(offset).unwrap_or(u16::MAX), data, &self.ram)
        };
        check_done(effects, self.naive.write(offset, data, &mut self.bytes), step);
    }

    /// The guest's own writes reach what the device's do; where there is no memory they are lost.
    fn ram_write(&mut self, gpa: u64, data: &[u8]) {
        self.bytes.set_all(gpa, data.iter().copied());
        self.ram.0.borrow_mut().set_all(gpa, data.iter().copied());
    }

    fn modify(&mut self, key: u16, len: u32, writable: bool, step: Step) {
        let bytes = item_bytes(!key, len);
        let item = if writable {
            Item::writable(bytes.clone())
        } else {
            Item::from(bytes.clone())
        };
        let result = self.device.modify(key, item);
        let held = self.naive.items.get_mut(&key);
        assert_eq!(result.is_ok(), held.is_some(), "{step}: {result:?}");
        if let Some(held) = held {
            self.modified = true;
            *held = Held {
                name: held.name,
                reset: writable.then(|| bytes.clone()),
                content: Content::Bytes(bytes),
                writable,
                pauses: false,
            };
        }
    }

    fn check(&self, step: Step) {
        assert_eq!(
            self.device.selected(),
            self.naive.selected_key(),
            "after {step}: selected key"
        );
        assert_eq!(
            self.device.is_paused(),
            self.naive.paused.is_some(),
            "after {step}: a command waits"
        );
        let ram = self.ram.0.borrow();
        if *ram != self.bytes {
            panic!(
                "after {step}: guest memory differs at {:?}",
                ram.first_difference(&self.bytes)
            );
        }
        for (key, held) in &self.naive.items {
            if let Content::Bytes(bytes) = &held.content {
                let found = self.device.item(*key).and_then(Item::bytes);
                assert_eq!(found, Some(bytes.as_slice()), "after {step}: item {key:#06x}");
            }
        }
    }
}

fn source(error: &SourceError) -> naive::Fault {
    naive::Fault::Source(error.key, error.offset, error.len)
}

fn check_done(effects: Effects, expected: Done, step: Step) {
    let fault = effects.fault.map(|fault| match fault {
        Fault::Descriptor { gpa } => naive::Fault::Descriptor(gpa),
        Fault::Buffer { gpa, len } => naive::Fault::Buffer(gpa, len),
        Fault::WriteOutside { key, offset, len } => naive::Fault::WriteOutside(key, offset, len),
        Fault::ReadOnly { key } => naive::Fault::ReadOnly(key),
        Fault::Source(error) => source(&error),
        Fault::Busy { offset } => naive::Fault::Busy(offset),
        Fault::Dropped { offset, len } => naive::Fault::Dropped(offset, len),
        other => panic!("{step}: a fault that the model does not know: {other}"),
    });
    let found = Done {
        selected: effects.selected,
        written: effects
            .written
            .map(|written| (written.key, written.offset, written.len)),
        fault,
        status_lost: effects.status_lost,
        paused: effects.paused,
    };
    assert_eq!(found, expected, "{step}: effects");
}

fn check_state(state: &FwCfgStateV1, naive: &Naive) {
    let found = (state.version, state.dma, state.selector, state.offset, state.dma_latch);
    let expected = (1, naive.options.dma, naive.selected_key(), naive.offset, naive.latch);
    assert_eq!(
        found, expected,
        "version, DMA, selector, offset and DMA address of the state"
    );
    let paused = naive.paused.map(|command| {
        let Command {
            descriptor,
            control,
            len,
            buffer,
        } = command;
        PausedDmaV1 {
            descriptor,
            control,
            len,
            buffer,
        }
    });
    assert_eq!(state.paused, paused, "waiting command of the state");
    let keys: Vec<_> = state
        .items
        .iter()
        .map(|item| (item.key, item.name.as_deref(), item.writable))
        .collect();
    let expected: Vec<_> = naive
        .items
        .iter()
        .map(|(key, held)| (*key, held.name, held.writable))
        .collect();
    assert_eq!(keys, expected, "items of the state");
}
