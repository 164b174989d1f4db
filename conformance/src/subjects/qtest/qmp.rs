// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The few QMP commands that qtest has no word for: system reset, and where BARs are decoded.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use pci_model::Bdf;
use serde_json::Value;

use super::connection::{Connection, ConnectionError, shorten};

/// Longest message: a `query-pci` of a machine full of functions is a tenth of it.
const LINE_LIMIT: usize = 1 << 20;
/// Functions of one machine that are looked at.
const FUNCTION_LIMIT: usize = 65_536;

/// Kind of a region in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RegionKind {
    Io,
    Mem32,
    Mem64,
}

/// One BAR (6 = ROM) of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Region {
    pub(crate) bar: u8,
    pub(crate) kind: RegionKind,
    pub(crate) prefetchable: bool,
    pub(crate) size: u64,
    /// Where it is decoded, or `None` if it is not.
    pub(crate) addr: Option<u64>,
}

impl Region {
    /// Offset of `addr` within the region, if it answers there.
    pub(crate) fn offset_of(&self, io: bool, addr: u64) -> Option<u64> {
        let offset = addr.checked_sub(self.addr?)?;
        ((self.kind == RegionKind::Io) == io && offset < self.size).then_some(offset)
    }
}

/// A QMP connection.
#[derive(Debug)]
pub(crate) struct Qmp {
    connection: Connection,
}

impl Qmp {
    /// Waits for the greeting and leaves negotiation mode.
    pub(super) fn new(stream: UnixStream, timeout: Duration) -> Result<Self, ConnectionError> {
        let mut qmp = Self {
            connection: Connection::new(stream, "QMP", timeout, LINE_LIMIT)?,
        };
        let deadline = qmp.connection.deadline();
        let greeting = qmp.connection.line(deadline)?;
        if parse(&greeting)?.get("QMP").is_none() {
            return Err(malformed("", &greeting, "a greeting"));
        }
        qmp.command("qmp_capabilities")?;
        Ok(qmp)
    }

    fn command(&mut self, name: &str) -> Result<Value, ConnectionError> {
        self.send(name)?;
        let deadline = self.connection.deadline();
        loop {
            let line = self.connection.line(deadline)?;
            if let Some(value) = returned(name, &line)? {
                return Ok(value);
            }
        }
    }

    /// Resets the machine and waits until it is done.
    pub(crate) fn system_reset(&mut self) -> Result<(), ConnectionError> {
        const NAME: &str = "system_reset";
        self.send(NAME)?;
        let deadline = self.connection.deadline();
        let (mut accepted, mut done) = (false, false);
        while !(accepted && done) {
            let line = self.connection.line(deadline)?;
            match returned(NAME, &line)? {
                Some(_) => accepted = true,
                None => done |= parse(&line)?.get("event").is_some_and(|event| event == "RESET"),
            }
        }
        Ok(())
    }

    /// The functions on the root buses, in order of their addresses.
    pub(crate) fn functions(&mut self) -> Result<Vec<Bdf>, ConnectionError> {
        let buses = self.command("query-pci")?;
        let mut found = Vec::new();
        for device in devices(&buses) {
            found.push(address(device).ok_or_else(|| malformed("query-pci", &device.to_string(), "an address"))?);
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The BARs of a function, in the order of the answer; `None` if there is no such function.
    pub(crate) fn regions(&mut self, bdf: Bdf) -> Result<Option<Vec<Region>>, ConnectionError> {
        let buses = self.command("query-pci")?;
        let mut queue: Vec<&Value> = devices(&buses).collect();
        let mut seen = 0;
        while let Some(device) = queue.pop() {
            seen += 1;
            if seen > FUNCTION_LIMIT {
                break;
            }
            if address(device) == Some(bdf) {
                return device
                    .get("regions")
                    .and_then(Value::as_array)
                    .and_then(|list| list.iter().map(region).collect::<Option<Vec<_>>>())
                    .map(Some)
                    .ok_or_else(|| malformed("query-pci", &device.to_string(), "regions"));
            }
            queue.extend(array(device.get("pci_bridge").and_then(|bridge| bridge.get("devices"))));
        }
        Ok(None)
    }

    /// Asks the program to end, without waiting.
    pub(super) fn quit(&mut self) {
        // Who does not hear it is ended by a signal.
        let _ = self.send("quit");
    }

    fn send(&mut self, name: &str) -> Result<(), ConnectionError> {
        self.connection.send(format!("{{\"execute\":\"{name}\"}}\n").as_bytes())
    }
}

fn malformed(command: &str, answer: &str, wanted: &'static str) -> ConnectionError {
    ConnectionError::Malformed {
        peer: "QMP",
        command: command.to_owned(),
        answer: shorten(answer),
        wanted,
    }
}

fn parse(line: &str) -> Result<Value, ConnectionError> {
    serde_json::from_str(line).map_err(|_| malformed("", line, "JSON"))
}

/// What a command returned, or `None` if the line is an event.
fn returned(command: &str, line: &str) -> Result<Option<Value>, ConnectionError> {
    let Value::Object(mut message) = parse(line)? else {
        return Err(malformed(command, line, "an object"));
    };
    if let Some(error) = message.get("error") {
        return Err(ConnectionError::Refused {
            peer: "QMP",
            command: command.to_owned(),
            answer: shorten(&error.to_string()),
        });
    }
    Ok(message.remove("return"))
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn devices(buses: &Value) -> impl Iterator<Item = &Value> {
    array(Some(buses)).flat_map(|bus| array(bus.get("devices")))
}

fn address(device: &Value) -> Option<Bdf> {
    let part = |name| {
        device
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|number| u8::try_from(number).ok())
    };
    Bdf::new(part("bus")?, part("slot")?, part("function")?)
}

fn region(value: &Value) -> Option<Region> {
    let flag = |name| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let kind = match value.get("type")?.as_str()? {
        "io" => RegionKind::Io,
        _ if flag("mem_type_64") => RegionKind::Mem64,
        _ => RegionKind::Mem32,
    };
    // Addresses are signed in QMP, and -1 is that of a BAR that is not decoded.
    let number = value.get("address")?;
    let addr = number.as_u64().or_else(|| number.as_i64().map(i64::cast_unsigned))?;
    Some(Region {
        bar: u8::try_from(value.get("bar")?.as_u64()?).ok().filter(|bar| *bar <= 6)?,
        kind,
        prefetchable: flag("prefetch"),
        size: value.get("size")?.as_u64()?,
        addr: (addr != u64::MAX).then_some(addr),
    })
}
