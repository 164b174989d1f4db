// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Guest-physical memory as one flat list of parts that are backed by memory of this process.

/// Size of the smallest page.
pub(super) const PAGE: u64 = 4096;

/// A part of guest-physical memory that is backed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Part {
    /// First guest-physical address.
    pub gpa: u64,
    /// Length in bytes.
    pub len: u64,
    /// Address in this process.
    pub hva: u64,
    /// Whether writes of the guest exit.
    pub readonly: bool,
}

impl Part {
    const fn end(&self) -> u64 {
        self.gpa.saturating_add(self.len)
    }

    /// The bytes from `start` to `end`, which lie in the part.
    const fn cut(&self, start: u64, end: u64) -> Self {
        Self {
            gpa: start,
            len: end - start,
            hva: self.hva + (start - self.gpa),
            readonly: self.readonly,
        }
    }

    const fn is_continued_by(&self, next: &Self) -> bool {
        self.end() == next.gpa && self.hva + self.len == next.hva && self.readonly == next.readonly
    }
}

/// The parts that a guest sees of `layers`, in rising order: where layers overlap, the earlier one wins.
///
/// A layer that is not made of whole pages, or wraps, backs nothing.
pub(super) fn flatten(layers: &[Part]) -> Vec<Part> {
    let mut flat: Vec<Part> = Vec::with_capacity(layers.len() + 4);
    for layer in layers {
        if layer.len == 0
            || (layer.gpa | layer.len | layer.hva) % PAGE != 0
            || layer.gpa.checked_add(layer.len).is_none()
        {
            continue;
        }
        let mut start = layer.gpa;
        let mut visible = Vec::new();
        for above in &flat {
            if above.end() <= start || above.gpa >= layer.end() {
                continue;
            }
            if above.gpa > start {
                visible.push(layer.cut(start, above.gpa));
            }
            start = above.end();
        }
        if start < layer.end() {
            visible.push(layer.cut(start, layer.end()));
        }
        flat.extend(visible);
        flat.sort_unstable_by_key(|part| part.gpa);
    }
    flat.dedup_by(|next, before| {
        let is_one = before.is_continued_by(next);
        if is_one {
            before.len += next.len;
        }
        is_one
    });
    flat
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(gpa: u64, len: u64, hva: u64, readonly: bool) -> Part {
        Part {
            gpa,
            len,
            hva,
            readonly,
        }
    }

    #[test]
    fn the_earlier_layer_wins() {
        let ram = part(0, 0x10_0000, 0x10_0000, false);
        let rom = part(0xf_0000, 0x1_0000, 0x80_0000, true);
        let flat = flatten(&[rom, ram]);
        assert_eq!(flat, [part(0, 0xf_0000, 0x10_0000, false), rom]);
        assert_eq!(flatten(&[ram, rom]), [ram]);
    }

    #[test]
    fn neighbours_that_belong_together_are_one() {
        let low = part(0, 0x1000, 0x5000, false);
        let high = part(0x1000, 0x1000, 0x6000, false);
        assert_eq!(flatten(&[high, low]), [part(0, 0x2000, 0x5000, false)]);
        let other = part(0x1000, 0x1000, 0x6000, true);
        assert_eq!(flatten(&[other, low]).len(), 2);
    }

    #[test]
    fn what_is_not_made_of_pages_backs_nothing() {
        for wrong in [
            part(0x800, 0x1000, 0, false),
            part(0, 0x1800, 0, false),
            part(0, 0x1000, 0x10, false),
            part(0, 0, 0, false),
            part(u64::MAX - 0xfff, 0x1000, 0, false),
        ] {
            assert_eq!(flatten(&[wrong]), []);
        }
    }

    fn layers() -> impl Strategy<Value = Vec<Part>> {
        let layer = (0..32_u64, 0..12_u64, 0..64_u64, any::<bool>());
        let layer = layer.prop_map(|(gpa, len, hva, readonly)| part(gpa * PAGE, len * PAGE, hva * PAGE, readonly));
        proptest::collection::vec(layer, 0..8)
    }

    proptest! {
        #[test]
        fn every_page_is_that_of_the_first_layer_that_has_it(layers in layers()) {
            let flat = flatten(&layers);
            prop_assert!(flat.windows(2).all(|pair| pair[0].end() <= pair[1].gpa));
            let at = |parts: &[Part], gpa: u64| {
                let part = parts.iter().find(|part| part.gpa <= gpa && gpa < part.end())?;
                Some((part.hva + (gpa - part.gpa), part.readonly))
            };
            for page in 0..48 {
                prop_assert_eq!(at(&flat, page * PAGE), at(&layers, page * PAGE));
            }
        }
    }
}
