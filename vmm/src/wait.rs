// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Waiting for eventfds.

use std::io;
use std::os::fd::AsRawFd;
use std::time::Instant;

use vmm_sys_util::eventfd::EventFd;

/// Waits until one of the descriptors is readable or the time is over; tells which.
pub(crate) fn wait<const N: usize>(fds: [Option<&EventFd>; N], deadline: Option<Instant>) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.map_or(-1, AsRawFd::as_raw_fd),
        events: libc::POLLIN,
        revents: 0,
    });
    loop {
        let timeout = match deadline {
            None => -1,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX)
            }
        };
        let count = libc::nfds_t::try_from(N).unwrap_or(0);
        // SAFETY: the array has as many entries as it says, and lives until the call returns.
        #[expect(unsafe_code, reason = "poll takes a pointer")]
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout) };
        match ready {
            0 if deadline.is_some_and(|deadline| deadline > Instant::now()) => {}
            0.. => return Ok(polled.map(|fd| fd.revents != 0)),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}
