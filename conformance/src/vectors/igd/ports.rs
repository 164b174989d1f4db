// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The index and data ports in BAR4.

use igd_quirks::device::{BdsmSetup, DeviceSetup, GttPortSetup, IgdDevice};

use super::{Answers, Question};
use crate::subject::Refusal;

const INDEX: u64 = 0;
const DATA: u64 = 4;
const DWORD: usize = 4;

/// What the hardware sees of data for an index.
pub(super) fn bar4(question: &Question<'_>) -> Result<Answers, Refusal> {
    let generation: u8 = question.number("generation")?;
    let mut igd = IgdDevice::new(&DeviceSetup {
        bdsm: BdsmSetup::Dword(question.number("guest-bdsm")?),
        gtt_port: Some(GttPortSetup {
            host_bdsm: question.number("host-bdsm")?,
            entry_size: if generation < 8 { 4 } else { 8 },
            index_end: question.number("index-end")?,
        }),
        ..DeviceSetup::default()
    });
    let _ = igd.bar4_write(INDEX, DWORD, question.number("index")?);
    let seen = igd.bar4_write(DATA, DWORD, question.number("data")?);
    Ok(vec![("value", format!("{:#010x}", seen.value))])
}
