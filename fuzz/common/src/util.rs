// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What the targets share: edits of bytes, where a slice lies in another, sums.

use core::fmt;
use core::ops::Range;

use arbitrary::{Result, Unstructured};

/// Most edits of one input.
const MAX_EDITS: usize = 8;
/// Longest text of an edit.
const MAX_EDIT: usize = 32;
/// Most bytes that an edit appends.
const MAX_GROWTH: usize = 0x3000;

/// A change of a byte string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Edit {
    /// Other bytes in place of those at an offset.
    Set(usize, Vec<u8>),
    /// More bytes at an offset.
    Insert(usize, Vec<u8>),
    /// Fewer bytes: the range is gone.
    Remove(Range<usize>),
    /// The bytes of a range once more, at an offset.
    Repeat(Range<usize>, usize),
    /// The same byte so often at the end.
    Grow(u8, usize),
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(at, bytes) => write!(f, "set {at:#x} to {}", bytes.escape_ascii()),
            Self::Insert(at, bytes) => write!(f, "insert at {at:#x} {}", bytes.escape_ascii()),
            Self::Remove(range) => write!(f, "remove {range:#x?}"),
            Self::Repeat(range, at) => write!(f, "repeat {range:#x?} at {at:#x}"),
            Self::Grow(byte, len) => write!(f, "append {len:#x} of {byte:#04x}"),
        }
    }
}

/// Up to eight edits of `len` bytes; the offsets of later ones may lie outside of what earlier ones leave.
pub(crate) fn edits(u: &mut Unstructured<'_>, len: usize) -> Result<Vec<Edit>> {
    let count = u.int_in_range(0..=MAX_EDITS)?;
    (0..count).map(|_| edit(u, len)).collect()
}

fn edit(u: &mut Unstructured<'_>, len: usize) -> Result<Edit> {
    let kind = u.int_in_range(0..=7_u8)?;
    let at = u.int_in_range(0..=len)?;
    let size = u.int_in_range(0..=MAX_EDIT)?;
    Ok(match kind {
        0..4 => Edit::Set(at, u.bytes(size.min(u.len()))?.to_vec()),
        4 => Edit::Insert(at, u.bytes(size.min(u.len()))?.to_vec()),
        5 => Edit::Remove(at..at + size * size),
        6 => Edit::Repeat(at..at + size * size, u.int_in_range(0..=len)?),
        _ => Edit::Grow(u.arbitrary()?, u.int_in_range(0..=MAX_GROWTH)?),
    })
}

/// True for one in `of` of random inputs, and false where the input has ended.
pub(crate) fn rarely(u: &mut Unstructured<'_>, of: u8) -> Result<bool> {
    Ok(u.int_in_range(1..=of)? == of)
}

/// Carries edits out; what does not fit is cut.
pub(crate) fn apply(bytes: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        let end = bytes.len();
        match edit {
            Edit::Set(at, with) => put(bytes, *at, with),
            Edit::Insert(at, with) => {
                let at = (*at).min(end);
                bytes.splice(at..at, with.iter().copied());
            }
            Edit::Remove(range) => drop(bytes.drain(range.start.min(end)..range.end.min(end))),
            Edit::Repeat(range, at) => {
                let again = bytes.get(range.start.min(end)..range.end.min(end)).map(<[u8]>::to_vec);
                let at = (*at).min(end);
                bytes.splice(at..at, again.unwrap_or_default());
            }
            Edit::Grow(byte, len) => bytes.resize(end + len, *byte),
        }
    }
}

/// Overwrites bytes from `at` on, as far as there are any.
pub(crate) fn put(bytes: &mut [u8], at: usize, with: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(with) {
        *to = *from;
    }
}

/// Where `part` lies in `whole`, if it does.
pub(crate) fn within(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    let start = part.start.addr().checked_sub(whole.start.addr())?;
    let end = part.end.addr().checked_sub(whole.start.addr())?;
    (part.end.addr() <= whole.end.addr()).then_some(start..end)
}

/// What the bytes add up to.
pub(crate) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A little-endian field, or zeros where it would leave the bytes.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// A line for each edit.
pub(crate) fn show(edits: &[Edit]) -> String {
    edits.iter().map(|edit| format!("{edit}\n")).collect()
}

/// Runs every seed, what is near to one, and random strings.
#[cfg(test)]
pub(crate) fn exercise(target: &crate::Target, random: u32) {
    let seeds = (target.seeds)();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut names = std::collections::BTreeSet::new();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    for (name, bytes) in &seeds {
        assert!(names.insert(name), "two seeds have the name {name}");
        assert!(bytes.len() <= 8 << 10, "seed {name} is {} bytes", bytes.len());
        (target.run)(bytes);
        assert!(!(target.describe)(bytes).is_empty(), "seed {name} shows nothing");
    }
    for round in 0..random {
        let near = seeds.get(numbers.below(seeds.len()));
        let mut bytes = match near {
            Some((_, seed)) if round % 2 == 0 => seed.clone(),
            _ => (0..numbers.below(400)).map(|_| numbers.byte()).collect(),
        };
        for _ in 0..numbers.below(4) {
            let at = numbers.below(bytes.len());
            let byte = numbers.byte();
            put(&mut bytes, at, &[byte]);
        }
        (target.run)(&bytes);
        if round % 16 == 0 {
            let _ = (target.describe)(&bytes);
        }
    }
}

/// Numbers that are the same in every run.
#[cfg(test)]
struct Numbers(u64);

#[cfg(test)]
impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 8).unwrap_or(0) % end.max(1)
    }
}
