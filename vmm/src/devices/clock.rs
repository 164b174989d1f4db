// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The time that devices tell.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time, so that tests can have their own.
pub trait Clock: Send + fmt::Debug {
    /// Time since the machine was built.
    fn elapsed(&self) -> Duration;

    /// Seconds since 1970, in UTC.
    fn seconds(&self) -> u64;
}

/// The host's time.
#[derive(Clone, Copy, Debug)]
pub struct HostClock(Instant);

impl Default for HostClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for HostClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn seconds(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}
