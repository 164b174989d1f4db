// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! One client: its messages, in order.

use std::os::fd::AsFd;

use super::connection::{Connection, Request};
use super::dma::DmaTable;
use super::irq::Irqs;
use super::wire::{self, u16_at, u32_at, u64_at};
use super::{Access, Observer, ServeError, Statistics};
use crate::device::{Interrupt, InterruptKind, RegionKind, Signal, SimDevice};
use crate::fault::Fault;
use crate::test_page::{Dma, DmaKind};

/// What a reply holds besides its header.
#[derive(Default)]
struct Reply {
    body: Vec<u8>,
    /// The BAR whose file goes with it.
    bar: Option<u8>,
}

impl From<Vec<u8>> for Reply {
    fn from(body: Vec<u8>) -> Self {
        Self { body, bar: None }
    }
}

/// A client being served.
pub(crate) struct Session<'a> {
    device: &'a mut SimDevice,
    observer: &'a mut dyn Observer,
    has_version: bool,
    dma: DmaTable,
    irqs: Irqs,
    /// The level on the INTx pin after the last message.
    intx_level: bool,
    statistics: Statistics,
}

impl<'a> Session<'a> {
    pub(crate) fn new(device: &'a mut SimDevice, observer: &'a mut dyn Observer) -> Self {
        let irqs = Irqs::new(device.interrupts());
        Self {
            device,
            observer,
            has_version: false,
            dma: DmaTable::default(),
            irqs,
            intx_level: false,
            statistics: Statistics::default(),
        }
    }

    /// Answers messages until the client leaves.
    pub(crate) fn run(mut self, connection: &Connection<'_>) -> Result<Statistics, ServeError> {
        while let Some(request) = connection.receive()? {
            let header = request.header;
            self.statistics.messages += 1;
            if header.flags & wire::FLAG_KIND != 0 {
                return Err(ServeError::NotACommand { flags: header.flags });
            }
            self.misbehave()?;
            let outcome = self.handle(request);
            self.act();
            let (message, bar) = match outcome {
                Ok(Reply { body, bar }) => (header.reply(&body), bar),
                Err(error) => {
                    self.statistics.refused += 1;
                    (header.refuse(error), None)
                }
            };
            let file = bar.and_then(|bar| self.device.bar_file(bar));
            if header.flags & wire::FLAG_NO_REPLY == 0 {
                connection.send(&message, file.map(AsFd::as_fd))?;
            }
            if !self.has_version {
                return Err(ServeError::NoVersion {
                    command: header.command,
                });
            }
        }
        self.statistics.resets = self.device.resets();
        Ok(self.statistics)
    }

    fn misbehave(&self) -> Result<(), ServeError> {
        for fault in self.device.faults() {
            match fault {
                Fault::Slow(wait) => std::thread::sleep(*wait),
                Fault::Disconnect { after } if self.statistics.messages > *after => {
                    return Err(ServeError::Injected { after: *after });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn handle(&mut self, request: Request) -> Result<Reply, u32> {
        let Request {
            header,
            body,
            fds,
            too_many_fds,
        } = request;
        if too_many_fds {
            return Err(wire::EINVAL);
        }
        match header.command {
            wire::VERSION => self.version(&body),
            _ if !self.has_version => Err(wire::EINVAL),
            wire::DEVICE_GET_INFO => Ok(self.device_info()),
            wire::DEVICE_GET_REGION_INFO => self.region_info(&body),
            wire::DEVICE_GET_IRQ_INFO => self.irq_info(&body),
            wire::DEVICE_SET_IRQS => {
                // What the pin still drives when it is unmasked interrupts again.
                if self.irqs.set(&body, fds)? && self.device.function().intx_level() {
                    self.irqs.fire(InterruptKind::Intx);
                }
                Ok(Reply::default())
            }
            wire::REGION_READ => self.region_read(&body),
            wire::REGION_WRITE => self.region_write(&body),
            wire::DMA_MAP => {
                let number = |offset| u64_at(&body, offset).ok_or(wire::EINVAL);
                let (offset, address, size) = (number(8)?, number(16)?, number(24)?);
                if fds.len() > 1 {
                    return Err(wire::EINVAL);
                }
                let keeps_file = self.device.has_test_page();
                self.dma
                    .map(address, size, offset, fds.into_iter().next(), keeps_file)?;
                self.statistics.dma_maps += 1;
                Ok(Reply::default())
            }
            wire::DMA_UNMAP => self.dma_unmap(&body),
            wire::DEVICE_RESET => {
                self.device.reset().map_err(|_| wire::EIO)?;
                Ok(Reply::default())
            }
            _ => Err(wire::EOPNOTSUPP),
        }
    }

    fn version(&mut self, body: &[u8]) -> Result<Reply, u32> {
        let (major, minor) = (
            u16_at(body, 0).ok_or(wire::EINVAL)?,
            u16_at(body, 2).ok_or(wire::EINVAL)?,
        );
        if major != 0 || self.has_version {
            return Err(wire::EINVAL);
        }
        let text = String::from_utf8_lossy(body.get(4..).unwrap_or(&[]));
        self.observer.client(text.trim_end_matches('\0'));
        self.has_version = true;
        let mut reply = vec![0, 0];
        reply.extend_from_slice(&minor.min(wire::MINOR).to_le_bytes());
        let capabilities = format!(
            concat!(
                r#"{{"capabilities":{{"max_msg_fds":{},"max_data_xfer_size":{},"#,
                r#""max_dma_maps":{},"pgsizes":4096}}}}"#,
                "\0"
            ),
            wire::MAX_FDS,
            wire::MAX_TRANSFER,
            wire::MAX_DMA_MAPS
        );
        reply.extend_from_slice(capabilities.as_bytes());
        Ok(reply.into())
    }

    fn device_info(&self) -> Reply {
        let typed = u32::try_from(self.typed_regions().count()).unwrap_or(0);
        let irqs = u32::try_from(self.device.interrupts().len()).unwrap_or(0);
        words(&[16, wire::DEVICE_FLAGS, wire::FIXED_REGIONS + typed, irqs]).into()
    }

    /// Regions that are told by a type, with their subtype.
    fn typed_regions(&self) -> impl Iterator<Item = (RegionKind, u32)> + '_ {
        self.device.regions().iter().filter_map(|region| match region.kind {
            RegionKind::OpRegion => Some((region.kind, 1)),
            RegionKind::HostBridge => Some((region.kind, 2)),
            RegionKind::LpcBridge => Some((region.kind, 3)),
            _ => None,
        })
    }

    /// The region with this index, and its subtype if it has one.
    fn region_at(&self, index: u32) -> Option<(RegionKind, Option<u32>)> {
        match index {
            0..=5 => Some((RegionKind::Bar(u8::try_from(index).ok()?), None)),
            wire::ROM_INDEX => Some((RegionKind::Rom, None)),
            wire::CONFIG_INDEX => Some((RegionKind::Config, None)),
            wire::VGA_INDEX => Some((RegionKind::Vga, None)),
            _ => {
                let place = usize::try_from(index.checked_sub(wire::FIXED_REGIONS)?).ok()?;
                self.typed_regions()
                    .nth(place)
                    .map(|(kind, subtype)| (kind, Some(subtype)))
            }
        }
    }

    fn region_info(&self, body: &[u8]) -> Result<Reply, u32> {
        let argsz = u32_at(body, 0).ok_or(wire::EINVAL)?;
        let index = u32_at(body, 8).ok_or(wire::EINVAL)?;
        let (kind, subtype) = self.region_at(index).ok_or(wire::EINVAL)?;
        let region = self.device.find_region(kind);
        let mut flags = match region {
            Some(region) if region.writable => wire::REGION_READABLE | wire::REGION_WRITABLE,
            Some(_) => wire::REGION_READABLE,
            None => 0,
        };
        let mut caps = Vec::new();
        let mut bar = None;
        if let RegionKind::Bar(index) = kind
            && region.is_some()
            && self.device.bar_file(index).is_some()
        {
            flags |= wire::REGION_MAPPABLE;
            bar = Some(index);
            caps = sparse_areas(&self.device.mappable(index));
        }
        if let Some(subtype) = subtype {
            let header = u32::from(wire::CAP_TYPE) | 1 << 16;
            caps = words(&[header, 0, wire::REGION_TYPE_INTEL, subtype]);
        }
        let mut cap_offset = 0;
        if !caps.is_empty() {
            flags |= wire::REGION_CAPS;
            cap_offset = wire::REGION_INFO;
        }
        let needed = wire::REGION_INFO + u32::try_from(caps.len()).unwrap_or(0);
        let mut reply = words(&[needed, flags, index, cap_offset]);
        reply.extend_from_slice(&region.map_or(0, |region| region.size).to_le_bytes());
        reply.extend_from_slice(&0_u64.to_le_bytes());
        if argsz >= needed {
            reply.extend_from_slice(&caps);
        }
        Ok(Reply { body: reply, bar })
    }

    fn irq_info(&self, body: &[u8]) -> Result<Reply, u32> {
        let index = u32_at(body, 8).ok_or(wire::EINVAL)?;
        let place = usize::try_from(index).map_err(|_| wire::EINVAL)?;
        let info = self.device.interrupts().get(place).copied().ok_or(wire::EINVAL)?;
        let more = if info.maskable {
            wire::IRQ_MASKABLE | wire::IRQ_AUTOMASKED
        } else {
            wire::IRQ_NO_RESIZE
        };
        Ok(words(&[16, wire::IRQ_EVENTFD | more, index, info.count]).into())
    }

    /// Offset, region and length of an access.
    fn access(&self, body: &[u8]) -> Result<(u64, RegionKind, usize), u32> {
        let offset = u64_at(body, 0).ok_or(wire::EINVAL)?;
        let index = u32_at(body, 8).ok_or(wire::EINVAL)?;
        let len = u32_at(body, 12)
            .and_then(|len| usize::try_from(len).ok())
            .ok_or(wire::EINVAL)?;
        if len > wire::MAX_TRANSFER {
            return Err(wire::EINVAL);
        }
        let (kind, _) = self.region_at(index).ok_or(wire::EINVAL)?;
        Ok((offset, kind, len))
    }

    fn region_read(&mut self, body: &[u8]) -> Result<Reply, u32> {
        let (offset, kind, len) = self.access(body)?;
        self.statistics.reads += 1;
        let mut reply = body.get(..16).unwrap_or(body).to_vec();
        reply.resize(16 + len, 0);
        let got = self
            .device
            .read(kind, offset, reply.get_mut(16..).unwrap_or(&mut []))
            .map_err(|error| {
                self.observer.failure(&error);
                errno(&error)
            })?;
        reply.truncate(16 + got);
        crate::bytes::put(&mut reply, 12, &u32::try_from(got).unwrap_or(0).to_le_bytes());
        let data = reply.get(16..).unwrap_or(&[]);
        self.observer.access(&Access {
            is_write: false,
            region: kind,
            offset,
            data,
        });
        Ok(reply.into())
    }

    fn region_write(&mut self, body: &[u8]) -> Result<Reply, u32> {
        let (offset, kind, len) = self.access(body)?;
        let data = body.get(16..).filter(|data| data.len() == len).ok_or(wire::EINVAL)?;
        self.statistics.writes += 1;
        self.observer.access(&Access {
            is_write: true,
            region: kind,
            offset,
            data,
        });
        self.device.write_all(kind, offset, data).map_err(|error| {
            self.observer.failure(&error);
            errno(&error)
        })?;
        Ok(body.get(..16).unwrap_or(body).to_vec().into())
    }

    fn dma_unmap(&mut self, body: &[u8]) -> Result<Reply, u32> {
        let flags = u32_at(body, 4).ok_or(wire::EINVAL)?;
        let (address, size) = (
            u64_at(body, 8).ok_or(wire::EINVAL)?,
            u64_at(body, 16).ok_or(wire::EINVAL)?,
        );
        match flags {
            0 => self.dma.unmap(address, size)?,
            wire::DMA_UNMAP_ALL if address == 0 && size == 0 => self.dma.clear(),
            _ => return Err(wire::EINVAL),
        }
        self.statistics.dma_unmaps += 1;
        Ok(body.get(..24).unwrap_or(body).to_vec().into())
    }

    /// Carries out what the device asked for by itself.
    fn act(&mut self) {
        match self.device.take_signal() {
            Some(Signal::Interrupt(Interrupt::Message(_))) => self.irqs.fire(InterruptKind::Msi),
            Some(Signal::Interrupt(Interrupt::Line | Interrupt::Held | Interrupt::Silent)) | None => {}
            Some(Signal::Dma(dma)) => {
                let done = self.transfer(dma);
                self.device.finish_dma(done);
            }
        }
        // The pin rises by the device or by the command register.
        let level = self.device.function().intx_level();
        if level && !self.intx_level {
            self.irqs.fire(InterruptKind::Intx);
        }
        self.intx_level = level;
    }

    fn transfer(&mut self, dma: Dma) -> bool {
        let Dma { kind, address, len } = dma;
        match kind {
            DmaKind::Fill => self.dma.fill(address, len),
            DmaKind::Fetch => {
                let device = &mut *self.device;
                self.dma.fetch(address, len, |at, bytes| {
                    device.write_all(RegionKind::Bar(2), at, bytes).is_ok()
                })
            }
        }
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The capability that says which parts may be mapped.
fn sparse_areas(areas: &[(u64, u64)]) -> Vec<u8> {
    let header = u32::from(wire::CAP_SPARSE_MMAP) | 1 << 16;
    let mut bytes = words(&[header, 0, u32::try_from(areas.len()).unwrap_or(0), 0]);
    for (offset, size) in areas {
        bytes.extend_from_slice(&offset.to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
    }
    bytes
}

/// How a kernel would say it.
fn errno(error: &crate::AccessError) -> u32 {
    use crate::AccessError::{Injected, Memory, NotDecoded, Short};
    match error {
        Injected { .. } | NotDecoded { .. } | Memory { .. } | Short { .. } => wire::EIO,
        _ => wire::EINVAL,
    }
}
