// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What was seen of a machine, for programs.

use serde_json::{Map, Value, json};

use crate::machine::{End, Outcome};

/// The outcome as JSON. Addresses are hexadecimal text.
pub(super) fn to_json(outcome: &Outcome) -> Value {
    let status = &outcome.status;
    let (end, detail) = match &outcome.end {
        End::PowerOff => ("power-off", None),
        End::Exit(value) => ("exit", Some(json!(value))),
        End::Stopped => ("stopped", None),
        End::TimedOut => ("timed-out", None),
        End::DeviceLost(device) => ("device-lost", Some(json!(device))),
        End::Failed(reason) => ("failed", Some(json!(reason))),
    };
    let bars = (0..).zip(&status.bars).filter_map(|(index, range)| {
        let range = (*range)?;
        Some(json!({
            "bar": index,
            "space": format!("{:?}", range.space()).to_lowercase(),
            "address": format!("{:#x}", range.start()),
            "size": format!("{:#x}", range.size()),
        }))
    });
    let accesses: Map<String, Value> = status
        .accesses
        .iter()
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect();
    json!({
        "end": end,
        "detail": detail,
        "asls": status.asls.map(|address| format!("{address:#x}")),
        "bdsm": status.bdsm.map(|address| format!("{address:#x}")),
        "bars": bars.collect::<Vec<Value>>(),
        "accesses": accesses,
        "refused": status.refused,
        "slots": status.slots,
        "slot-calls": status.slot_calls,
        "resets": status.resets,
    })
}
