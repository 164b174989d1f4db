// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Sizes in GGC.

use igd_quirks::ggc::{Ggc, GgcError, Strictness, qemu};
use igd_quirks::platform::{Class, QemuEra};

use super::{Answers, CLASSES, Question, REFUSED};
use crate::subject::Refusal;

/// Sizes of stolen memory by the documents and by the drivers' formula, and of the translation table, in MiB.
pub(super) fn ggc(question: &Question<'_>) -> Result<Answers, Refusal> {
    let ggc = Ggc::new(question.name("class", &CLASSES)?, question.number("ggc")?);
    let mib = |bytes: Result<u64, GgcError>| bytes.map_or(REFUSED.to_owned(), |bytes| (bytes >> 20).to_string());
    let stolen = |strictness| mib(ggc.sizes(strictness).map(|sizes| sizes.stolen));
    Ok(vec![
        ("native", stolen(Strictness::Native)),
        ("linux", stolen(Strictness::Compatible)),
        ("gtt", mib(ggc.gtt_size())),
        ("ivd", if ggc.vga_disabled() { "yes" } else { "no" }.to_owned()),
    ])
}

/// GGC with another GMS code.
pub(super) fn gms_override(question: &Question<'_>) -> Result<Answers, Refusal> {
    let (ggc, code) = (question.number("ggc")?, question.number::<u8>("code")?);
    let mut classes: Vec<_> = CLASSES.iter().map(|(name, class)| (*name, Some(*class))).collect();
    classes.push(("unknown", None));
    let class = question.name("class", &classes)?;
    let hex = |ggc: u16| format!("{ggc:#06x}");
    let patched = class.map(|class| Ggc::new(class, ggc).with_gms(code));
    let by_qemu = qemu::guest_ggc(QemuEra::From10_1, class.and_then(generation), ggc, code.into());
    Ok(vec![
        ("qemu", by_qemu.map_or(REFUSED.to_owned(), hex)),
        (
            "native",
            match patched {
                Some(Ok(ggc)) => hex(ggc.bits()),
                Some(Err(_)) | None => REFUSED.to_owned(),
            },
        ),
    ])
}

/// What QEMU calls a class.
const fn generation(class: Class) -> Option<u8> {
    match class {
        Class::G6 => Some(6),
        Class::G7 => Some(7),
        Class::G8 | Class::Chv => Some(8),
        Class::G9 => Some(9),
        Class::G11 => Some(11),
        Class::G12 => Some(12),
        Class::LmemBar => None,
    }
}
