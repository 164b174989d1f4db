// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What a peer says of its device when asked for the first time.

use super::connection::{CallError, Connection};
use super::region::{Place, Sight};
use super::wire::{self, Command, FIXED_REGIONS, MAX_TRANSFER, REGION_INFO, u16_at, u32_at};
use crate::backend::{InterruptKind, Region};

/// More regions or kinds of interrupts than this nobody has.
const MAX_REGIONS: u32 = 64;
const MAX_IRQS: u32 = 64;

/// Ways to interrupt, by VFIO's index, and how many of each PCI allows.
pub(super) const INTERRUPTS: [(InterruptKind, u32); 3] = [
    (InterruptKind::Intx, 1),
    (InterruptKind::Msi, 32),
    (InterruptKind::Msix, 2048),
];

/// A peer's device.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) regions: Vec<Region>,
    /// Where each region is, in the same order.
    pub(super) places: Vec<Place>,
    /// How many there are of each of [`INTERRUPTS`].
    pub(super) interrupts: [u32; INTERRUPTS.len()],
    pub(super) can_reset: bool,
    /// Most bytes of a region that the peer takes or gives in one message, at least 8.
    pub(super) transfer: usize,
    /// Most descriptors that the peer takes with one message, at least 1.
    pub(super) fds: usize,
}

impl Peer {
    /// Agrees on the version and asks for everything. The reason of a failure names command, value and limit.
    pub(super) fn ask(connection: &mut Connection) -> Result<Self, String> {
        let (transfer, fds) = agree(connection)?;
        let body = call(connection, Command::DeviceGetInfo, &wire::words(&[16, 0, 0, 0]), 16)?;
        let number = |offset| u32_at(&body, offset).ok_or_else(|| short(Command::DeviceGetInfo, body.len(), 16));
        let (flags, regions, irqs) = (number(4)?, number(8)?, number(12)?);
        if flags & wire::DEVICE_PCI == 0 {
            return Err(format!("DEVICE_GET_INFO: flags {flags:#x}: no PCI device"));
        }
        if !(FIXED_REGIONS - 1..=MAX_REGIONS).contains(&regions) || irqs > MAX_IRQS {
            return Err(format!(
                "DEVICE_GET_INFO: {regions} regions and {irqs} kinds of interrupts: {} to {MAX_REGIONS} and at most {MAX_IRQS} are possible",
                FIXED_REGIONS - 1
            ));
        }
        let mut peer = Self {
            regions: Vec::new(),
            places: Vec::new(),
            interrupts: [0; INTERRUPTS.len()],
            can_reset: flags & wire::DEVICE_RESET != 0,
            transfer,
            fds,
        };
        for index in 0..regions {
            let Some(Sight { region, place }) = look(connection, index)? else {
                continue;
            };
            if peer.regions.iter().any(|known| known.kind == region.kind) {
                return Err(format!("region {index}: a second {}", region.kind));
            }
            peer.regions.push(region);
            peer.places.push(place);
        }
        for (index, (count, (kind, most))) in (0..irqs).zip(peer.interrupts.iter_mut().zip(INTERRUPTS)) {
            *count = interrupt_count(connection, index)?;
            if *count > most {
                return Err(format!("{count} interrupts by {kind}: there are at most {most}"));
            }
        }
        Ok(peer)
    }
}

fn short(command: Command, got: usize, wanted: usize) -> String {
    format!("{}: an answer of {got} bytes, {wanted} are needed", command.name())
}

fn explain(command: Command, error: &CallError) -> String {
    match error {
        CallError::Refused(_) => format!("{}: {error}", command.name()),
        CallError::Broken(reason) => reason.clone(),
    }
}

/// Asks for `most` bytes at most.
fn call(connection: &mut Connection, command: Command, body: &[u8], most: usize) -> Result<Vec<u8>, String> {
    match connection.call(command, &[body], &[], most) {
        Ok((answer, _)) => Ok(answer.to_vec()),
        Err(error) => Err(explain(command, &error)),
    }
}

/// Agrees on the version; gives how many bytes and descriptors the peer takes in one message.
fn agree(connection: &mut Connection) -> Result<(usize, usize), String> {
    let body = call(connection, Command::Version, wire::VERSION, MAX_TRANSFER)?;
    let (Some(major), Some(minor)) = (u16_at(&body, 0), u16_at(&body, 2)) else {
        return Err(short(Command::Version, body.len(), 4));
    };
    if major != 0 || minor > wire::MINOR {
        return Err(format!(
            "VERSION: {major}.{minor} is not spoken here, 0.{} is",
            wire::MINOR
        ));
    }
    let text = body.get(4..).unwrap_or(&[]);
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let said = match text {
        [] => serde_json::Value::Null,
        _ => {
            serde_json::from_slice(text).map_err(|error| format!("VERSION: capabilities that are no JSON: {error}"))?
        }
    };
    let number = |name: &str, default| {
        let value = said.get("capabilities").and_then(|all| all.get(name));
        value.map_or(Some(default), serde_json::Value::as_u64)
    };
    let transfer = number("max_data_xfer_size", wire::DEFAULT_TRANSFER).filter(|size| *size >= 8);
    let fds = number("max_msg_fds", wire::DEFAULT_FDS);
    let (Some(transfer), Some(fds)) = (transfer, fds) else {
        return Err("VERSION: max_data_xfer_size must be a number from 8 on, max_msg_fds a number".into());
    };
    Ok((
        usize::try_from(transfer).unwrap_or(MAX_TRANSFER).min(MAX_TRANSFER),
        usize::try_from(fds.clamp(1, 8)).unwrap_or(1),
    ))
}

/// The region with this index, if it exists and is one that we know.
fn look(connection: &mut Connection, index: u32) -> Result<Option<Sight>, String> {
    let room = u32::try_from(MAX_TRANSFER).unwrap_or(u32::MAX);
    let mut question = wire::words(&[room, 0, index, 0]);
    question.resize(REGION_INFO, 0);
    match connection.call(Command::RegionGetInfo, &[&question], &[], MAX_TRANSFER) {
        Ok((answer, file)) => Sight::new(index, answer, file).map_err(|reason| format!("region {index}: {reason}")),
        // How kernels and servers say that there is none.
        Err(CallError::Refused(_)) => Ok(None),
        Err(CallError::Broken(reason)) => Err(format!("region {index}: {reason}")),
    }
}

fn interrupt_count(connection: &mut Connection, index: u32) -> Result<u32, String> {
    const EVENTFD: u32 = 1 << 0;
    match connection.call(Command::IrqGetInfo, &[&wire::words(&[16, 0, index, 0])], &[], 16) {
        Ok((answer, _)) => {
            let number = |offset| u32_at(answer, offset).ok_or_else(|| short(Command::IrqGetInfo, answer.len(), 16));
            let (flags, count) = (number(4)?, number(12)?);
            Ok(if flags & EVENTFD != 0 { count } else { 0 })
        }
        Err(CallError::Refused(_)) => Ok(0),
        Err(CallError::Broken(reason)) => Err(reason),
    }
}
