// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Ports for firmware under test: a console at 402h, and the end of the machine at 501h.

use std::fmt;
use std::io::Write;

use super::{Device, Request};

/// What a read of the console gives, so that firmware knows that it is there.
const PRESENT: u8 = 0xe9;

/// The debug console: each byte written goes to a writer.
pub struct DebugConsole<W>(W);

impl<W> fmt::Debug for DebugConsole<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DebugConsole")
    }
}

impl<W: Write> DebugConsole<W> {
    /// A console on this writer.
    pub const fn new(writer: W) -> Self {
        Self(writer)
    }
}

impl<W: Write + Send> Device for DebugConsole<W> {
    fn read(&mut self, _: u64, data: &mut [u8]) {
        data.fill(PRESENT);
    }

    fn write(&mut self, _: u64, data: &[u8]) -> Option<Request> {
        // A reader that is gone must not end the guest.
        let _ = self
            .0
            .write_all(data.get(..1).unwrap_or(&[]))
            .and_then(|()| match data {
                [b'\n'] => self.0.flush(),
                _ => Ok(()),
            });
        None
    }
}

/// The debug exit: what is written ends the machine.
#[derive(Clone, Copy, Default, Debug)]
pub struct DebugExit;

impl Device for DebugExit {
    fn read(&mut self, _: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn write(&mut self, _: u64, data: &[u8]) -> Option<Request> {
        data.first().map(|value| Request::Exit(*value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out() {
        let mut text = Vec::new();
        let mut console = DebugConsole::new(&mut text);
        let mut present = [0];
        console.read(0, &mut present);
        for byte in b"ok\n" {
            assert_eq!(console.write(0, &[*byte]), None);
        }
        assert_eq!(present, [0xe9]);
        assert_eq!(text, b"ok\n");
    }

    #[test]
    fn a_value_ends_the_machine() {
        assert_eq!(DebugExit.write(0, &[7, 8]), Some(Request::Exit(7)));
        assert_eq!(DebugExit.write(0, &[]), None);
    }
}
