// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Standard input as the line into the guest's serial port.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use crate::machine::Console;

/// How long a guest that does not read is left alone.
const PATIENCE: Duration = Duration::from_millis(5);

/// What the terminal was before, to be again when this is dropped.
#[derive(Debug)]
pub(super) struct Terminal(Option<Termios>);

impl Terminal {
    /// Sends what is typed, key by key and without an echo: that is the guest's. Signals stay: Ctrl-C ends the guest.
    pub(super) fn connect(console: Console) -> io::Result<Self> {
        let terminal = Self::take()?;
        thread::Builder::new().name("console".to_owned()).spawn(move || {
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = io::stdin().lock().read(&mut bytes) {
                if send(&console, bytes.get(..count).unwrap_or(&[])).is_none() {
                    break;
                }
            }
        })?;
        Ok(terminal)
    }

    fn take() -> io::Result<Self> {
        let input = io::stdin();
        // One in the background may not change it.
        if !isatty(&input) || tcgetpgrp(&input).is_ok_and(|group| group != getpgrp()) {
            return Ok(Self(None));
        }
        let before = tcgetattr(&input)?;
        let mut now = before.clone();
        now.local_modes &= !(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&input, OptionalActions::Now, &now)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0
            && let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, before)
        {
            log::warn!("the terminal cannot be restored: {error}; the command `reset` does that");
        }
    }
}

/// Sends all bytes, as the guest takes them; `None` once it is gone.
fn send(console: &Console, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        match console.send(bytes)? {
            0 => thread::sleep(PATIENCE),
            count => bytes = bytes.get(count..).unwrap_or(&[]),
        }
    }
    Some(())
}
