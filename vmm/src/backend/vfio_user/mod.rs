// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A device that another process presents over vfio-user.
//!
//! The peer is not trusted: every answer comes within a time, is checked, and is at most 4 KiB. An answer that breaks the
//! protocol, one that does not come, or the end of the connection loses the device for good; from then on every call
//! returns [`HostError::Lost`] at once, and [`HostDevice::lost`] is signalled.

mod connection;
mod link;
mod peer;
mod pieces;
mod region;
mod watch;
mod wire;

use std::ops::{ControlFlow, Range};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use igd_quirks::facts::Extent;
use vmm_sys_util::eventfd::EventFd;

use super::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind, mapping};
use connection::{CallError, Connection};
use link::Link;
use peer::{INTERRUPTS, Peer};
use region::Place;
use wire::{ACCESS, Command, u32_at, u64_at};

pub(in crate::backend) use pieces::pieces;
pub(in crate::backend) use watch::Watch;

/// How long an answer may take, if nothing else is said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// A vfio-user peer's device.
#[derive(Debug)]
pub struct VfioUserHost {
    name: String,
    link: Arc<Link>,
    peer: Peer,
    resample: Mutex<Option<Watch>>,
    _hang_up: Watch,
}

impl VfioUserHost {
    /// Connects to the socket at `path`; each answer may take `timeout`, from 1 ms to an hour.
    ///
    /// # Errors
    ///
    /// [`HostError::Open`] if nobody listens there, or what is said there is no PCI device by the rules of the protocol.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, HostError> {
        let name = format!("vfio-user {}", path.display());
        let failed = |reason: String| HostError::Open {
            device: name.clone(),
            reason,
        };
        let mut connection = Connection::open(path, timeout)
            .map_err(|error| failed(format!("{error}; is a vfio-user server listening there?")))?;
        let peer = Peer::ask(&mut connection).map_err(failed)?;
        if !peer.regions.iter().any(|region| region.kind == RegionKind::Config) {
            return Err(failed("region 7: the device has no configuration space".into()));
        }
        let link = Arc::new(Link::new(connection).map_err(|error| failed(error.to_string()))?);
        let hang_up = watch_for_hang_up(&link).map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            name,
            link,
            peer,
            resample: Mutex::new(None),
            _hang_up: hang_up,
        })
    }

    fn lost(&self, reason: &str) -> HostError {
        HostError::Lost {
            device: self.name.clone(),
            reason: self.link.reason().unwrap_or(reason).to_owned(),
        }
    }

    fn check(&self) -> Result<(), HostError> {
        self.link.reason().map_or(Ok(()), |reason| Err(self.lost(reason)))
    }

    /// The region and its place, if the access lies within it.
    fn find(&self, kind: RegionKind, offset: u64, len: usize) -> Result<(&Region, &Place), HostError> {
        let found = self.peer.regions.iter().zip(&self.peer.places);
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        found
            .filter(|(region, _)| region.kind == kind)
            .find(|(region, _)| end.is_some_and(|end| end <= region.size))
            .ok_or(HostError::OutOfRange {
                region: kind,
                offset,
                len,
            })
    }

    /// Accesses a region piece by piece. `each` is given an access as it is sent, and where in the buffer its bytes are.
    fn access(
        &self,
        way: &'static str,
        kind: RegionKind,
        offset: u64,
        len: usize,
        mut each: impl FnMut([u8; ACCESS], Range<usize>) -> Result<(), CallError>,
    ) -> Result<(), HostError> {
        self.check()?;
        let (_, place) = self.find(kind, offset, len)?;
        for (at, range) in pieces(kind, offset, len, self.peer.transfer) {
            let count = u32::try_from(range.len()).unwrap_or(0);
            each(wire::access(at, place.index, count), range).map_err(|error| match error {
                CallError::Broken(reason) => self.lost(&reason),
                CallError::Refused(_) => HostError::Access {
                    access: way,
                    region: kind,
                    offset,
                    len,
                    reason: error.to_string(),
                },
            })?;
        }
        Ok(())
    }

    /// Sends what has an answer without content, of at most `most` bytes.
    fn order(
        &self,
        command: Command,
        body: &[u8],
        fds: &[RawFd],
        failed: impl FnOnce(String) -> HostError,
    ) -> Result<(), HostError> {
        order(&self.link, command, body, fds).map_err(|error| match error {
            CallError::Broken(reason) => self.lost(&reason),
            CallError::Refused(_) => failed(error.to_string()),
        })
    }

    fn set_irqs(
        &self,
        action: &'static str,
        kind: InterruptKind,
        flags: u32,
        span: Range<u32>,
        fds: &[RawFd],
    ) -> Result<(), HostError> {
        let body = irqs(flags, kind, span);
        self.order(Command::SetIrqs, &body, fds, |reason| HostError::Interrupt {
            action,
            kind,
            reason,
        })
    }

    fn resample(&self) -> std::sync::MutexGuard<'_, Option<Watch>> {
        self.resample.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers to orders hold nothing, or repeat the question.
const MOST_OF_ORDER: usize = 64;

fn order(link: &Link, command: Command, body: &[u8], fds: &[RawFd]) -> Result<(), CallError> {
    link.call(command, &[body], fds, MOST_OF_ORDER, |_, _| Ok(()))
}

fn irqs(flags: u32, kind: InterruptKind, span: Range<u32>) -> Vec<u8> {
    let index = (0..).zip(INTERRUPTS).find(|(_, (known, _))| *known == kind);
    let index = index.map_or(u32::MAX, |(index, _)| index);
    wire::words(&[20, flags, index, span.start, span.end.saturating_sub(span.start)])
}

fn watch_for_hang_up(link: &Arc<Link>) -> std::io::Result<Watch> {
    let socket = link.socket().try_clone()?;
    let link = Arc::clone(link);
    Watch::new("vfio-user-hup", socket, libc::EPOLLRDHUP, move || {
        link.lose("the peer closed the connection");
        ControlFlow::Break(())
    })
}

/// Checks what an answer to an access says about itself: the same place, and a count that fits its bytes.
fn check_access(asked: &[u8; ACCESS], answer: &[u8], carries_data: bool) -> Result<(), String> {
    let count = u32_at(answer, 12).ok_or_else(|| format!("an answer of {} bytes", answer.len()))?;
    let wanted = u32_at(asked, 12).unwrap_or(0);
    if u64_at(answer, 0) != u64_at(asked, 0) || u32_at(answer, 8) != u32_at(asked, 8) {
        return Err("an answer for another place".into());
    }
    let data = answer.len().saturating_sub(ACCESS);
    let expected = if carries_data { count } else { 0 };
    if count > wanted || u32::try_from(data) != Ok(expected) {
        return Err(format!("an answer for {count} of {wanted} bytes, with {data}"));
    }
    Ok(())
}

/// Whether all bytes were moved. Fewer are within the protocol, but not what was asked for.
fn check_count(asked: &[u8; ACCESS], answer: &[u8]) -> Result<(), CallError> {
    let (wanted, got) = (u32_at(asked, 12).unwrap_or(0), u32_at(answer, 12).unwrap_or(0));
    if got == wanted {
        return Ok(());
    }
    Err(CallError::Refused(format!("the peer moved {got} of {wanted} bytes")))
}

impl HostDevice for VfioUserHost {
    fn name(&self) -> &str {
        &self.name
    }

    fn regions(&self) -> &[Region] {
        &self.peer.regions
    }

    fn read(&self, region: RegionKind, offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        self.access("read", region, offset, data.len(), |asked, range| {
            let most = ACCESS + range.len();
            let whole = self.link.call(Command::RegionRead, &[&asked], &[], most, |answer, _| {
                check_access(&asked, answer, true)?;
                let bytes = answer.get(ACCESS..).unwrap_or(&[]);
                if let Some(to) = data.get_mut(range).and_then(|to| to.get_mut(..bytes.len())) {
                    to.copy_from_slice(bytes);
                }
                Ok(check_count(&asked, answer))
            });
            whole?
        })
    }

    fn write(&self, region: RegionKind, offset: u64, data: &[u8]) -> Result<(), HostError> {
        self.access("write", region, offset, data.len(), |asked, range| {
            let bytes = data.get(range).unwrap_or(&[]);
            let body: [&[u8]; 2] = [&asked, bytes];
            let whole = self.link.call(Command::RegionWrite, &body, &[], ACCESS, |answer, _| {
                check_access(&asked, answer, false)?;
                Ok(check_count(&asked, answer))
            });
            whole?
        })
    }

    fn map(&self, region: RegionKind, area: Extent) -> Result<Mapping, HostError> {
        self.check()?;
        let failed = |reason: String| HostError::Map { region, area, reason };
        let found = self.find(region, 0, 0).map_err(|error| failed(error.to_string()))?;
        mapping::admit(found.0, area)?;
        let (file, start) = found.1.file.as_ref().ok_or_else(|| failed("no file holds it".into()))?;
        let at = start.checked_add(area.start).ok_or_else(|| failed("it wraps".into()))?;
        Mapping::new(file.as_fd(), at, area.len).map_err(|error| failed(error.to_string()))
    }

    fn interrupt_count(&self, kind: InterruptKind) -> u32 {
        let mut counts = INTERRUPTS.iter().zip(self.peer.interrupts);
        counts
            .find(|((known, _), _)| *known == kind)
            .map_or(0, |(_, count)| count)
    }

    fn enable_interrupt(&self, kind: InterruptKind, triggers: &[&EventFd]) -> Result<(), HostError> {
        const ACTION: &str = "enabling";
        let most = self.interrupt_count(kind);
        let count = u32::try_from(triggers.len()).unwrap_or(u32::MAX);
        if !(1..=most).contains(&count) {
            return Err(HostError::Interrupt {
                action: ACTION,
                kind,
                reason: format!("{count} eventfds for {most} interrupts"),
            });
        }
        let fds: Vec<RawFd> = triggers.iter().map(|trigger| trigger.as_raw_fd()).collect();
        let mut start = 0_u32;
        for fds in fds.chunks(self.peer.fds) {
            let end = start.saturating_add(u32::try_from(fds.len()).unwrap_or(0));
            let flags = wire::IRQ_SET_EVENTFD | wire::IRQ_SET_TRIGGER;
            self.set_irqs(ACTION, kind, flags, start..end, fds)?;
            start = end;
        }
        Ok(())
    }

    fn disable_interrupt(&self, kind: InterruptKind) -> Result<(), HostError> {
        if kind == InterruptKind::Intx {
            *self.resample() = None;
        }
        self.set_irqs("disabling", kind, wire::IRQ_SET_NONE | wire::IRQ_SET_TRIGGER, 0..0, &[])
    }

    fn mask_intx(&self) -> Result<(), HostError> {
        let flags = wire::IRQ_SET_NONE | wire::IRQ_SET_MASK;
        self.set_irqs("masking", InterruptKind::Intx, flags, 0..1, &[])
    }

    fn unmask_intx(&self) -> Result<(), HostError> {
        self.set_irqs("unmasking", InterruptKind::Intx, UNMASK, 0..1, &[])
    }

    /// The peer is asked by message: servers need not take an eventfd that unmasks.
    fn set_intx_resample(&self, resample: &EventFd) -> Result<(), HostError> {
        self.check()?;
        let link = Arc::clone(&self.link);
        let body = irqs(UNMASK, InterruptKind::Intx, 0..1);
        let watch = Watch::eventfd("vfio-user-intx", resample, move || {
            if let Err(error) = order(&link, Command::SetIrqs, &body, &[]) {
                log::warn!("INTx stays masked: {error}");
            }
        });
        let watch = watch.map_err(|error| HostError::Interrupt {
            action: "resampling",
            kind: InterruptKind::Intx,
            reason: error.to_string(),
        })?;
        *self.resample() = Some(watch);
        Ok(())
    }

    fn reset(&self) -> Result<(), HostError> {
        self.check()?;
        if !self.peer.can_reset {
            let reason = "the peer's device has no reset".into();
            return Err(HostError::Reset { reason });
        }
        self.order(Command::DeviceReset, &[], &[], |reason| HostError::Reset { reason })
    }

    fn map_dma(&self, memory: &DmaMemory<'_>) -> Result<(), HostError> {
        let mut body = wire::words(&[32, wire::DMA_ACCESS]);
        for value in [memory.offset, memory.iova, memory.len] {
            body.extend_from_slice(&value.to_le_bytes());
        }
        let range = Extent::new(memory.iova, memory.len);
        self.order(Command::DmaMap, &body, &[memory.file.as_raw_fd()], |reason| {
            HostError::Dma {
                action: "map",
                range,
                reason,
            }
        })
    }

    fn unmap_dma(&self, iova: u64, len: u64) -> Result<(), HostError> {
        let mut body = wire::words(&[24, 0]);
        body.extend_from_slice(&iova.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        self.order(Command::DmaUnmap, &body, &[], |reason| HostError::Dma {
            action: "unmap",
            range: Extent::new(iova, len),
            reason,
        })
    }

    fn lost(&self) -> Option<&EventFd> {
        Some(self.link.lost())
    }
}

const UNMASK: u32 = wire::IRQ_SET_NONE | wire::IRQ_SET_UNMASK;
