// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The bytes of BAR0 that lead to configuration space, in the order of their addresses.

use alloc::vec::Vec;

use super::Redirect;

/// Consecutive bytes of BAR0, and the byte of configuration space that stands for the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    first: u64,
    last: u64,
    config: u16,
}

/// Runs in rising order, none of which touches another's bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Redirects(Vec<Run>);

impl Redirects {
    /// Where several claim a byte, the first has it. A byte that stands for none of configuration space is nobody's.
    pub(super) fn new(redirects: &[Redirect]) -> Self {
        let mut all = Self::default();
        for &Redirect { bar0, config, len } in redirects {
            if let Some(length) = len.checked_sub(1) {
                let length = length.min(u16::MAX - config);
                all.claim(bar0, bar0.saturating_add(length.into()), config);
            }
        }
        all
    }

    fn claim(&mut self, first: u64, last: u64, config: u16) {
        let mut free = Vec::new();
        let mut next = Some(first);
        for run in self.0.iter().filter(|run| run.last >= first && run.first <= last) {
            let before = run.first.checked_sub(1);
            free.extend(next.zip(before).filter(|(first, last)| first <= last));
            next = run.last.checked_add(1);
        }
        free.extend(next.map(|first| (first, last)).filter(|(first, last)| first <= last));
        self.0.extend(free.into_iter().filter_map(|(start, last)| {
            let distance = u16::try_from(start.checked_sub(first)?).ok()?;
            let config = config.checked_add(distance)?;
            Some(Run {
                first: start,
                last,
                config,
            })
        }));
        self.0.sort_unstable_by_key(|run| run.first);
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The byte of configuration space that stands for a byte of BAR0.
    #[inline]
    pub(super) fn find(&self, byte: u64) -> Option<u16> {
        let at = self.0.partition_point(|run| run.last < byte);
        let run = self.0.get(at)?;
        let distance = u16::try_from(byte.checked_sub(run.first)?).ok()?;
        run.config.checked_add(distance)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    fn naive(redirects: &[Redirect], byte: u64) -> Option<u16> {
        redirects.iter().find_map(|redirect| {
            let distance = u16::try_from(byte.checked_sub(redirect.bar0)?).ok()?;
            let config = redirect.config.checked_add(distance)?;
            (distance < redirect.len).then_some(config)
        })
    }

    proptest! {
        #[test]
        fn the_first_that_claims_a_byte_has_it(
            redirects in proptest::collection::vec(
                (
                    prop_oneof![0_u64..64, (0_u64..64).prop_map(|distance| u64::MAX - distance)],
                    prop_oneof![0_u16..64, (0_u16..64).prop_map(|distance| u16::MAX - distance)],
                    prop_oneof![0_u16..24, Just(u16::MAX)],
                )
                    .prop_map(|(bar0, config, len)| Redirect { bar0, config, len }),
                0..12,
            ),
        ) {
            let found = Redirects::new(&redirects);
            prop_assert_eq!(found.is_empty(), redirects.iter().all(|redirect| redirect.len == 0));
            for byte in (0..160).chain(u64::MAX - 80..=u64::MAX).chain([65_500, 65_534, 65_535, 65_536]) {
                prop_assert_eq!(found.find(byte), naive(&redirects, byte), "byte {:#x}", byte);
            }
        }
    }
}
