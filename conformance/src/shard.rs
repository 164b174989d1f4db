// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Splitting a run over several machines.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::corpus::Trace;

/// Most shards of a run.
const MAX_SHARDS: u32 = 1024;

/// One of the parts of a run, as `K/N` with K from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// The text is no shard.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected K/N with 1 <= K <= N <= {MAX_SHARDS}, such as 1/3")]
pub struct ParseShardError;

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.bytes().all(|c| c.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or(ParseShardError)
        };
        let (index, count) = text.split_once('/').ok_or(ParseShardError)?;
        let shard = Self {
            index: number(index)?,
            count: number(count)?,
        };
        let valid = (1..=shard.count).contains(&shard.index) && shard.count <= MAX_SHARDS;
        if valid { Ok(shard) } else { Err(ParseShardError) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// The traces of this shard.
    ///
    /// The shards of one list are disjoint, complete and about as large as each other: the largest trace goes to the
    /// emptiest shard first. The same list is always split in the same way.
    #[must_use]
    pub fn take(self, traces: Vec<Trace>) -> Vec<Trace> {
        let mut order: Vec<_> = traces.into_iter().collect();
        order.sort_by(|a, b| (Reverse(a.size), &a.name).cmp(&(Reverse(b.size), &b.name)));
        let mut loads: Vec<_> = (1..=self.count).map(|index| (0_u64, index)).collect();
        let mut taken = Vec::new();
        for trace in order {
            let Some(lightest) = loads.iter_mut().min() else { break };
            lightest.0 = lightest.0.saturating_add(trace.size.max(1));
            if lightest.1 == self.index {
                taken.push(trace);
            }
        }
        taken.sort_by(|a, b| a.name.cmp(&b.name));
        taken
    }
}
