// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The MSI-X table of a function with 8 vectors.

use pci_model::{
    Capability, ConfigSpace, FunctionBuilder, Identity, MsiMessage, Msix, MsixControl, MsixDelivery, MsixTable,
};

use super::{Answers, Question, word};
use crate::subject::Refusal;
use crate::vectors::steps::{Step, joined, value_of, wrong};

const VECTORS: usize = 8;
const CAPABILITY: u16 = 0x40;
const CONTROL: u16 = CAPABILITY + 2;
/// Offset of the pending bits in the BAR.
const PENDING: u32 = 0x800;

/// Most bytes of one access.
const MAX_ACCESS: usize = 8;

/// Answers of the steps that have one.
pub(super) fn table(question: &Question<'_>) -> Result<Answers, Refusal> {
    let refused = |error: &dyn std::error::Error| Refusal::Error(error.to_string());
    let msix = Msix::new(8, (0, 0), (0, PENDING)).map_err(|error| refused(&error))?;
    let mut function = FunctionBuilder::<256>::new(Identity::default())
        .capability_at(CAPABILITY, Capability::Msix(msix))
        .and_then(FunctionBuilder::build)
        .map_err(|error| refused(&error))?;
    let mut table = MsixTable::<VECTORS>::new();
    let mut answers = Vec::new();
    for step in Step::all(question)? {
        let control: MsixControl = function.msix().unwrap_or_default();
        let too_wide = || wrong(step.text, "more than 8 bytes in one access");
        match step.verb {
            "r" | "pending" => {
                let mut data = [0; MAX_ACCESS];
                let data = data.get_mut(..step.count()?).ok_or_else(too_wide)?;
                if step.verb == "r" {
                    table.read(step.at()?, data);
                } else {
                    table.read_pending(step.at()?, data);
                }
                answers.push(value_of(data));
            }
            "w" => {
                let bytes = step.value::<u64>()?.to_le_bytes();
                let len = step.count()?;
                let data = bytes.get(..len).ok_or_else(too_wide)?;
                table.write(step.at()?, data);
            }
            "control" => {
                let _ = function.config_write(word(CONTROL)?, step.value()?);
            }
            "fire" => answers.push(match table.fire(step.value()?, control) {
                MsixDelivery::Send(sent) => message(sent),
                MsixDelivery::Held => "held".to_owned(),
                MsixDelivery::Off => "off".to_owned(),
            }),
            "take" => answers.push(table.take_pending(control).map_or("-".to_owned(), message)),
            _ => return Err(step.unknown()),
        }
    }
    Ok(vec![("answers", joined(&answers))])
}

fn message(MsiMessage { address, data }: MsiMessage) -> String {
    format!("{address:#x}:{data:#x}")
}
