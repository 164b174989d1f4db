// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The keyboard controller (i8042), ports 60h and 64h: enough for firmware to find a keyboard that nobody presses, and to
//! reset the machine. There are no interrupts.

use std::collections::VecDeque;

use super::{Device, Request};

const DATA: u64 = 0;
const COMMAND: u64 = 4;
const FULL: u8 = 1;
/// Self test passed, not locked.
const READY: u8 = 0x04 | 0x10;
/// What firmware sees of the keyboard's answers at most.
const QUEUE: usize = 16;
/// Set 2 translated, keyboard interrupt enabled.
const CONFIGURATION: u8 = 0x61;

/// Where the next byte for the data port goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    Keyboard,
    /// The parameter of a keyboard command.
    Parameter,
    Configuration,
    OutputPort,
    Mouse,
}

/// The keyboard controller.
#[derive(Debug)]
pub struct Keyboard {
    answers: VecDeque<u8>,
    configuration: u8,
    next: Next,
}

impl Default for Keyboard {
    fn default() -> Self {
        Self {
            answers: VecDeque::with_capacity(QUEUE),
            configuration: CONFIGURATION,
            next: Next::Keyboard,
        }
    }
}

impl Keyboard {
    fn answer(&mut self, bytes: &[u8]) {
        let room = QUEUE.saturating_sub(self.answers.len());
        self.answers.extend(bytes.iter().take(room));
    }

    fn command(&mut self, command: u8) -> Option<Request> {
        match command {
            0x20 => self.answer(&[self.configuration]),
            0x60 => self.next = Next::Configuration,
            0xaa => self.answer(&[0x55]),
            // Interfaces of mouse and keyboard are in order.
            0xa9 | 0xab => self.answer(&[0x00]),
            0xa7 => self.configuration |= 0x20,
            0xa8 => self.configuration &= !0x20,
            0xad => self.configuration |= 0x10,
            0xae => self.configuration &= !0x10,
            // A20 is always on.
            0xd0 => self.answer(&[0x03]),
            0xd1 => self.next = Next::OutputPort,
            0xd4 => self.next = Next::Mouse,
            // Pulse of the reset line.
            0xf0..=0xff if command & 1 == 0 => return Some(Request::Reset),
            _ => {}
        }
        None
    }

    fn data(&mut self, value: u8) -> Option<Request> {
        match std::mem::replace(&mut self.next, Next::Keyboard) {
            Next::Configuration => self.configuration = value,
            Next::OutputPort if value & 1 == 0 => return Some(Request::Reset),
            // There is no mouse.
            Next::OutputPort | Next::Mouse => {}
            Next::Parameter => self.answer(&[0xfa]),
            Next::Keyboard => match value {
                // Reset and self test.
                0xff => self.answer(&[0xfa, 0xaa]),
                0xf2 => self.answer(&[0xfa, 0xab, 0x83]),
                0xee => self.answer(&[0xee]),
                // Lights, scan code set, rate: a parameter follows.
                0xed | 0xf0 | 0xf3 => {
                    self.next = Next::Parameter;
                    self.answer(&[0xfa]);
                }
                _ => self.answer(&[0xfa]),
            },
        }
        None
    }
}

impl Device for Keyboard {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        let value = match offset {
            DATA => self.answers.pop_front().unwrap_or(0),
            COMMAND if self.answers.is_empty() => READY,
            COMMAND => READY | FULL,
            _ => 0xff,
        };
        if let Some(first) = data.first_mut() {
            *first = value;
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        match (offset, data.first()) {
            (DATA, Some(value)) => self.data(*value),
            (COMMAND, Some(command)) => self.command(*command),
            _ => None,
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(keyboard: &mut Keyboard, offset: u64, value: u8) -> Vec<u8> {
        assert_eq!(keyboard.write(offset, &[value]), None);
        let mut answers = Vec::new();
        loop {
            let mut byte = [0];
            keyboard.read(COMMAND, &mut byte);
            if byte[0] & FULL == 0 {
                return answers;
            }
            keyboard.read(DATA, &mut byte);
            answers.push(byte[0]);
        }
    }

    #[test]
    fn firmware_finds_a_keyboard() {
        let mut keyboard = Keyboard::default();
        assert_eq!(ask(&mut keyboard, COMMAND, 0xaa), [0x55]);
        assert_eq!(ask(&mut keyboard, COMMAND, 0xab), [0x00]);
        assert_eq!(ask(&mut keyboard, COMMAND, 0x20), [CONFIGURATION]);
        assert!(ask(&mut keyboard, COMMAND, 0x60).is_empty());
        assert!(ask(&mut keyboard, DATA, 0x30).is_empty());
        assert_eq!(ask(&mut keyboard, COMMAND, 0x20), [0x30]);
        assert_eq!(ask(&mut keyboard, DATA, 0xff), [0xfa, 0xaa]);
        assert_eq!(ask(&mut keyboard, DATA, 0xf0), [0xfa]);
        assert_eq!(ask(&mut keyboard, DATA, 0xff), [0xfa], "a parameter, not a reset");
    }

    #[test]
    fn the_machine_is_reset() {
        let mut keyboard = Keyboard::default();
        assert_eq!(keyboard.write(COMMAND, &[0xfe]), Some(Request::Reset));
        assert_eq!(keyboard.write(COMMAND, &[0xd1]), None);
        assert_eq!(keyboard.write(DATA, &[0xfe]), Some(Request::Reset));
    }

    #[test]
    fn answers_are_bounded() {
        let mut keyboard = Keyboard::default();
        for _ in 0..1000 {
            assert_eq!(keyboard.write(DATA, &[0xff]), None);
        }
        assert!(keyboard.answers.len() <= QUEUE);
    }
}
