// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What `vfio-pci` shows of an OpRegion.

use igd_quirks::opregion::{KernelView, OpRegion, Version, kernel_view, layout};

use super::{Answers, Question, REFUSED};
use crate::subject::Refusal;

/// Size, version and RVDA that user space sees, or that the OpRegion is refused.
pub(super) fn presented(question: &Question<'_>) -> Result<Answers, Refusal> {
    let kib: u32 = question.number("kib")?;
    let mut header = vec![0; layout::SIZE];
    put(&mut header, 0, question.text("signature")?.as_bytes());
    put(&mut header, layout::SIZE_KIB, &kib.to_le_bytes());
    let (version, rvda, rvds) = (
        question.number("version")?,
        question.number("rvda")?,
        question.number("rvds")?,
    );
    let view = OpRegion::parse(&header)
        .is_ok()
        .then(|| kernel_view(Version(version), rvda, rvds));
    let answer = |text: fn(&KernelView) -> String| view.as_ref().map_or(REFUSED.to_owned(), text);
    Ok(vec![
        ("size", answer(|view| view.size.to_string())),
        ("shown-version", answer(|view| format!("{:#06x}", view.version.0))),
        ("shown-rvda", answer(|view| format!("{:#x}", view.rvda))),
    ])
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value) {
        *to = *from;
    }
}
