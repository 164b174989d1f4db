// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The MT19937 generator, and draws from it as Python's `random` module makes them.
//!
//! Makoto Matsumoto and Takuji Nishimura, "Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random
//! Number Generator", ACM TOMACS 8(1), 1998; seeding by an array as in their 2002 revision. The seed in a trace stands
//! for one sequence of accesses for ever, so the draws are part of the trace format's contract.

/// Words of state.
const N: usize = 624;
/// Distance of the word that a word is mixed with.
const M: usize = 397;
const MATRIX_A: u32 = 0x9908_b0df;
const UPPER: u32 = 0x8000_0000;

/// The generator.
#[derive(Clone, Debug)]
pub(super) struct Mt19937 {
    state: [u32; N],
    next: usize,
}

impl Mt19937 {
    /// The generator of Python's `random.Random(seed)`.
    pub(super) fn new(seed: u64) -> Self {
        let [low, high] = [seed & u64::from(u32::MAX), seed >> 32].map(|half| u32::try_from(half).unwrap_or_default());
        if high == 0 {
            Self::from_key(&[low])
        } else {
            Self::from_key(&[low, high])
        }
    }

    fn from_seed(seed: u32) -> Self {
        let mut state = [0; N];
        let mut last = seed;
        for (word, index) in state.iter_mut().zip(0_u32..) {
            if index > 0 {
                last = (last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(index);
            }
            *word = last;
        }
        Self { state, next: N }
    }

    fn from_key(key: &[u32]) -> Self {
        let mut new = Self::from_seed(19_650_218);
        let (mut at, mut last) = (1, new.word(0));
        for (value, index) in key.iter().zip(0_u32..).cycle().take(N.max(key.len())) {
            let mixed = new.word(at) ^ (last ^ last >> 30).wrapping_mul(1_664_525);
            last = mixed.wrapping_add(*value).wrapping_add(index);
            at = new.seed_word(at, last);
        }
        for _ in 1..N {
            let mixed = new.word(at) ^ (last ^ last >> 30).wrapping_mul(1_566_083_941);
            last = mixed.wrapping_sub(u32::try_from(at).unwrap_or_default());
            at = new.seed_word(at, last);
        }
        new.set(0, UPPER);
        new
    }

    /// Stores a word while seeding and returns the place of the next one; word 0 follows the last and is passed over.
    fn seed_word(&mut self, at: usize, value: u32) -> usize {
        self.set(at, value);
        if at + 1 < N {
            return at + 1;
        }
        self.set(0, value);
        1
    }

    fn word(&self, at: usize) -> u32 {
        self.state.get(at % N).copied().unwrap_or_default()
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(word) = self.state.get_mut(at % N) {
            *word = value;
        }
    }

    fn twist(&mut self) {
        for at in 0..N {
            let joined = (self.word(at) & UPPER) | (self.word(at + 1) & !UPPER);
            let odd = if joined & 1 == 1 { MATRIX_A } else { 0 };
            self.set(at, self.word(at + M) ^ joined >> 1 ^ odd);
        }
        self.next = 0;
    }

    /// 32 pseudo-random bits.
    pub(super) fn next_u32(&mut self) -> u32 {
        if self.next >= N {
            self.twist();
        }
        let mut value = self.word(self.next);
        self.next += 1;
        value ^= value >> 11;
        value ^= value << 7 & 0x9d2c_5680;
        value ^= value << 15 & 0xefc6_0000;
        value ^ value >> 18
    }

    /// `getrandbits(bits)` for up to 32 bits.
    pub(super) fn bits(&mut self, bits: u32) -> u32 {
        debug_assert!(bits <= 32);
        if bits == 0 {
            0
        } else {
            self.next_u32() >> (32 - bits.min(32))
        }
    }

    /// `randrange(end)`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        if end == 0 {
            return 0;
        }
        let bits = u32::BITS - end.leading_zeros();
        loop {
            let value = self.bits(bits);
            if value < end {
                return value;
            }
        }
    }

    /// `randrange(start, end)`.
    pub(super) fn range(&mut self, start: u32, end: u32) -> u32 {
        start + self.below(end.saturating_sub(start))
    }

    /// `randrange(0, end, step)`.
    pub(super) fn multiple(&mut self, end: u32, step: u32) -> u32 {
        step * self.below(end.div_ceil(step.max(1)))
    }

    fn index(&mut self, len: usize) -> usize {
        let end = u32::try_from(len).unwrap_or(u32::MAX);
        usize::try_from(self.below(end)).unwrap_or_default()
    }

    /// `choice(list)`, or `None` without drawing if the list is empty.
    pub(super) fn choice<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        if list.is_empty() {
            return None;
        }
        let index = self.index(list.len());
        list.get(index).copied()
    }

    /// `choice` from a list that is never empty.
    pub(super) fn one_of<T: Copy, const COUNT: usize>(&mut self, list: [T; COUNT]) -> T {
        const { assert!(COUNT > 0) };
        let index = self.index(COUNT);
        let [first, ..] = list.as_slice() else {
            unreachable!("a list of at least one")
        };
        *list.get(index).unwrap_or(first)
    }

    /// `shuffle(list)`.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            let other = self.index(at + 1);
            list.swap(at, other);
        }
    }

    /// `randbytes(len)`.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        for chunk in out.chunks_mut(4) {
            // The last word is shifted down so that its high bits remain.
            let word = self.next_u32().to_le_bytes();
            for (to, from) in chunk.iter_mut().rev().zip(word.iter().rev()) {
                *to = *from;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output file that accompanies the authors' program begins with these, for the key 0x123 0x234 0x345 0x456.
    #[test]
    fn authors_vector() {
        let mut rng = Mt19937::from_key(&[0x123, 0x234, 0x345, 0x456]);
        let words: Vec<u32> = (0..5).map(|_| rng.next_u32()).collect();
        assert_eq!(
            words,
            [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476]
        );
    }

    /// All following vectors were computed with Python 3.11.
    #[test]
    fn seeds_of_one_and_two_words() {
        let mut rng = Mt19937::new(1);
        let words: Vec<u32> = (0..5).map(|_| rng.bits(32)).collect();
        assert_eq!(
            words,
            [577_090_037, 2_444_712_010, 3_639_700_191, 3_445_702_192, 3_280_387_012]
        );
        assert_eq!([1, 7, 16, 31].map(|bits| rng.bits(bits)), [0, 32, 7727, 1_063_938_749]);
        assert_eq!(Mt19937::new(0).bits(32), 3_626_764_237);
        let mut rng = Mt19937::new(u64::MAX);
        assert_eq!([rng.bits(32), rng.bits(32)], [93_740_670, 1_068_495_656]);
        assert_eq!(Mt19937::new(0x1_2345_6789).bits(32), 218_060_191);
    }

    #[test]
    fn the_state_is_renewed() {
        let mut rng = Mt19937::new(42);
        let words: Vec<u32> = (0..2000).map(|_| rng.next_u32()).collect();
        assert_eq!(
            [words[623], words[624], words[1999]],
            [2_929_454_134, 1_071_722_055, 1_557_724_698]
        );
    }

    #[test]
    fn draws() {
        let mut rng = Mt19937::new(1);
        assert_eq!(rng.bytes(7), [0xf5, 0xb1, 0x65, 0x22, 0x58, 0xb7, 0x91]);
        assert_eq!(rng.bytes(4), [0xdf, 0x6a, 0xf1, 0xd8]);
        assert_eq!(rng.below(150), 16);
        assert_eq!(rng.multiple(256, 4), 128);
        assert_eq!(rng.one_of([10, 20, 30]), 10);
        assert_eq!(rng.bytes(1), [0x7e]);
        let mut rng = Mt19937::new(1);
        let mut list: Vec<u32> = (0..10).collect();
        rng.shuffle(&mut list);
        assert_eq!(list, [6, 8, 9, 7, 5, 3, 0, 4, 1, 2]);
        assert_eq!((rng.below(1), rng.range(5, 6)), (0, 5));
        assert_eq!((rng.below(0), rng.choice::<u8>(&[])), (0, None));
    }
}
