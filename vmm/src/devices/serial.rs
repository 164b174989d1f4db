// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The serial port COM1: the 16550 of `vm-superio`.

use std::fmt;
use std::io::{self, Write};

use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

use super::{Device, Request};

/// An eventfd that raises the interrupt.
#[derive(Debug)]
struct Interrupt(EventFd);

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// A serial port that writes to `W`.
pub struct SerialPort<W: Write>(Serial<Interrupt, NoEvents, W>);

impl<W: Write> fmt::Debug for SerialPort<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SerialPort")
    }
}

impl<W: Write> SerialPort<W> {
    /// A port that signals `interrupt`, which is to lead to GSI 4.
    pub fn new(interrupt: EventFd, writer: W) -> Self {
        Self(Serial::new(Interrupt(interrupt), writer))
    }
}

impl<W: Write + Send> Device for SerialPort<W> {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let (Ok(offset), Some(first)) = (u8::try_from(offset), data.first_mut()) {
            *first = self.0.read(offset);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Option<Request> {
        if let (Ok(offset), Some(first)) = (u8::try_from(offset), data.first())
            && let Err(error) = self.0.write(offset, *first)
        {
            log::debug!("serial port: {error:?}");
        }
        None
    }

    fn receive(&mut self, data: &[u8]) -> usize {
        let room = data.get(..data.len().min(self.0.fifo_capacity())).unwrap_or(&[]);
        self.0.enqueue_raw_bytes(room).unwrap_or_else(|error| {
            log::debug!("serial port: {error:?}");
            0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_in_as_far_as_there_is_room() {
        let interrupt = EventFd::new(vmm_sys_util::eventfd::EFD_NONBLOCK).unwrap();
        let raised = interrupt.try_clone().unwrap();
        let mut port = SerialPort::new(interrupt, io::sink());
        assert_eq!(port.write(1, &[1]), None);
        assert_eq!(port.receive(b"abc"), 3);
        assert!(raised.read().is_ok());
        let mut byte = [0];
        port.read(5, &mut byte);
        assert_eq!(byte[0] & 1, 1);
        for expected in *b"abc" {
            port.read(0, &mut byte);
            assert_eq!(byte, [expected]);
        }
        let flood = [b'x'; 1000];
        let taken = port.receive(&flood);
        assert!((1..1000).contains(&taken), "{taken}");
        assert_eq!(port.receive(&flood), 0);
        port.read(0, &mut byte);
        assert_eq!(port.receive(&flood), 1);
    }

    #[test]
    fn bytes_come_out_and_interrupts_are_raised() {
        let interrupt = EventFd::new(vmm_sys_util::eventfd::EFD_NONBLOCK).unwrap();
        let raised = interrupt.try_clone().unwrap();
        let mut text = Vec::new();
        let mut port = SerialPort::new(interrupt, &mut text);
        assert_eq!(port.write(0, b"x"), None);
        assert!(raised.read().is_err(), "not enabled yet");
        assert_eq!(port.write(1, &[2]), None);
        assert_eq!(port.write(0, b"y"), None);
        assert!(raised.read().is_ok());
        let mut status = [0];
        port.read(5, &mut status);
        assert_eq!(status[0] & 0x60, 0x60, "ready to send");
        port.read(9, &mut status);
        assert_eq!(text, b"xy");
    }
}
