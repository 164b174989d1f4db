// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The eventfds that a client wants signalled.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::wire::{
    EINVAL, IRQ_SET_BOOL, IRQ_SET_EVENTFD, IRQ_SET_MASK, IRQ_SET_NONE, IRQ_SET_TRIGGER, IRQ_SET_UNMASK, u32_at,
};
use crate::device::{InterruptInfo, InterruptKind};

const SLOTS: usize = 5;

/// One eventfd a way to interrupt: an integrated GPU has no more of any.
#[derive(Debug)]
pub(crate) struct Irqs {
    ways: [InterruptInfo; SLOTS],
    fds: [Option<File>; SLOTS],
    masked: [bool; SLOTS],
}

/// What a client asks to be done with interrupts.
struct Order {
    data: u32,
    action: u32,
    slot: usize,
    count: u32,
    /// The values of boolean data.
    on: bool,
}

impl Order {
    fn parse(ways: &[InterruptInfo; SLOTS], body: &[u8]) -> Option<Self> {
        let flags = u32_at(body, 4)?;
        let (index, start, count) = (u32_at(body, 8)?, u32_at(body, 12)?, u32_at(body, 16)?);
        let slot = usize::try_from(index).ok()?;
        let info = ways.get(slot)?;
        let data = flags & (IRQ_SET_NONE | IRQ_SET_BOOL | IRQ_SET_EVENTFD);
        let action = flags & (IRQ_SET_MASK | IRQ_SET_UNMASK | IRQ_SET_TRIGGER);
        let is_single = data.is_power_of_two() && action.is_power_of_two() && data | action == flags;
        let is_inside = start.checked_add(count)? <= info.count;
        let is_all_off = count == 0 && data == IRQ_SET_NONE && action == IRQ_SET_TRIGGER;
        let is_maskable = action == IRQ_SET_TRIGGER || info.maskable;
        let on = if data == IRQ_SET_BOOL {
            *body.get(20)? != 0
        } else {
            true
        };
        (is_single && is_maskable && is_inside && (count > 0 || is_all_off)).then_some(Self {
            data,
            action,
            slot,
            count,
            on,
        })
    }
}

impl Irqs {
    pub(crate) fn new(ways: [InterruptInfo; SLOTS]) -> Self {
        Self {
            ways,
            fds: [const { None }; SLOTS],
            masked: [false; SLOTS],
        }
    }

    /// Carries out what a message asks for, and says whether it unmasked something.
    pub(crate) fn set(&mut self, body: &[u8], mut fds: Vec<OwnedFd>) -> Result<bool, u32> {
        let Order {
            data,
            action,
            slot,
            count,
            on,
        } = Order::parse(&self.ways, body).ok_or(EINVAL)?;
        let (Some(file), Some(masked)) = (self.fds.get_mut(slot), self.masked.get_mut(slot)) else {
            return Err(EINVAL);
        };
        if data != IRQ_SET_EVENTFD && !fds.is_empty() || fds.len() > 1 {
            return Err(EINVAL);
        }
        match (action, data) {
            (IRQ_SET_TRIGGER, IRQ_SET_EVENTFD) => *file = fds.pop().map(File::from),
            (IRQ_SET_TRIGGER, _) if count == 0 => {
                *file = None;
                *masked = false;
            }
            (IRQ_SET_TRIGGER, _) if on => signal(file.as_ref()),
            // An eventfd that masks or unmasks by itself is a kernel's business; a client does it by message.
            (_, IRQ_SET_EVENTFD) => return Err(EINVAL),
            (IRQ_SET_MASK, _) if on => *masked = true,
            (IRQ_SET_UNMASK, _) if on => {
                *masked = false;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    /// Signals a way to interrupt; one that is maskable masks itself by it, and is silent while masked.
    pub(crate) fn fire(&mut self, kind: InterruptKind) {
        let ways = self.ways.iter().zip(self.masked.iter_mut().zip(&self.fds));
        for (info, (masked, file)) in ways.filter(|(info, _)| info.kind == kind) {
            if !*masked {
                *masked = info.maskable;
                signal(file.as_ref());
            }
        }
    }
}

/// Adds one to an eventfd. One that cannot take more has been signalled already; waiting for it would stop the server.
fn signal(file: Option<&File>) {
    let Some(mut file) = file else { return };
    let mut ready = [PollFd::new(file, PollFlags::OUT)];
    let is_ready = poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0);
    if is_ready && ready.iter().all(|fd| fd.revents().contains(PollFlags::OUT)) {
        // What is no eventfd is the client's to mend.
        let _ = file.write(&1_u64.to_ne_bytes());
    }
}
