// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The expansion ROM that the guest sees.

use igd_quirks::facts::{HostFacts, RomFacts};
use igd_quirks::plan::{Plan, RomPlan};

use super::ApplyError;

/// Size of the smallest ROM BAR, and of the largest.
const SIZES: [u64; 2] = [2 << 10, 16 << 20];

/// The bytes of the ROM, padded with ones to the size of its BAR; none for no ROM.
pub(super) fn image(plan: &Plan, facts: &HostFacts, romfile: Option<Vec<u8>>) -> Result<Vec<u8>, ApplyError> {
    let mut image = match (&plan.rom, romfile) {
        (RomPlan::Hidden, _) => return Ok(Vec::new()),
        (RomPlan::Host, _) => match &facts.device.rom {
            RomFacts::Image(bytes) => bytes.to_vec(),
            RomFacts::Absent(_) => return Ok(Vec::new()),
        },
        (RomPlan::Repaired(bytes), _) => bytes.to_vec(),
        (RomPlan::File(_), Some(bytes)) => bytes,
        (RomPlan::File(name), None) => return Err(ApplyError::NoRomFile(name.clone())),
    };
    let len = u64::try_from(image.len()).unwrap_or(u64::MAX);
    let [min, max] = SIZES;
    if len == 0 || len > max {
        return Err(ApplyError::RomSize(len));
    }
    let size = len.next_power_of_two().max(min);
    image.resize(usize::try_from(size).unwrap_or(usize::MAX), 0xff);
    Ok(image)
}
