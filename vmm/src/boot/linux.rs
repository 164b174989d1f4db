// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A Linux kernel started without firmware, by the 32-bit boot protocol (*The Linux/x86 Boot Protocol*).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use igd_quirks::facts::Extent;
use igd_quirks::plan::{Reservation, ReservationKind};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use linux_loader::loader::{BzImage, KernelLoader};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::acpi::Tables;
use super::e820::{self, Entry};
use crate::memory::GuestRam;

/// Where things go in the first megabyte, which firmware would use. Shadow RAM above 640 KiB is not there yet.
const GDT: u64 = 0x500;
const BOOT_PARAMS: u64 = 0x7000;
const COMMAND_LINE: u64 = 0x2_0000;
/// The tables stand where an extended BIOS data area would: kernels look for them there that are not told.
const TABLES: Extent = Extent::new(0x8_0000, 0x2_0000);
/// What never is RAM below 1 MiB.
const LEGACY: Extent = Extent::new(0xa_0000, 0x6_0000);
/// Words of the BIOS data area: segment of the extended one, and KiB below it.
const DATA_AREA_SEGMENT: u64 = 0x40e;
const DATA_AREA_KIB: u64 = 0x413;
/// Where the code of a bzImage is loaded.
const KERNEL: u64 = 0x10_0000;
/// First protocol whose header says how much memory a kernel needs (Linux 2.6.31).
const PROTOCOL: u16 = 0x020a;
/// Most of a command line without its end.
const COMMAND_LINE_MAX: u32 = 0xffff;
const PAGE: u64 = 4096;
/// A loader without a number of its own.
const LOADED_BY: u8 = 0xff;

/// Null, flat code, flat data: where the kernel expects them (selectors 10h and 18h).
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// The registers of the first processor where they are not those of a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryState {
    /// First instruction.
    pub rip: u64,
    /// Address of the boot parameters.
    pub rsi: u64,
    /// Address of the descriptor table.
    pub gdt: u64,
    /// Its limit.
    pub gdt_limit: u16,
    /// Selector of flat 32-bit code.
    pub code: u16,
    /// Selector of flat data.
    pub data: u16,
}

/// A kernel that cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinuxError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel is no bzImage.
    #[error("{}: no bzImage that can be loaded: {reason}", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The kernel is too old.
    #[error("{}: boot protocol {:x}.{:02x}, at least 2.0a is needed (Linux 2.6.31)", path.display(), version >> 8, version & 0xff)]
    Protocol {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// The kernel needs more RAM than there is in one piece from 1 MiB up.
    #[error("{}: the kernel needs RAM up to {end:#x}, there is RAM up to {limit:#x}; give the guest more", path.display())]
    KernelMemory {
        /// The file.
        path: PathBuf,
        /// First address that it does not need.
        end: u64,
        /// First address that is not RAM.
        limit: u64,
    },
    /// The initial RAM disk does not fit.
    #[error("{}: {size:#x} bytes do not fit guest RAM between {from:#x} and {limit:#x}; give the guest more", path.display())]
    Initrd {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Where the kernel ends.
        from: u64,
        /// Where it has to end.
        limit: u64,
    },
    /// The command line is too long.
    #[error("a command line of {len} bytes: the kernel takes {limit} at the most")]
    CommandLine {
        /// Its length in bytes.
        len: usize,
        /// The most.
        limit: u32,
    },
    /// The command line has a zero byte.
    #[error("the command line has a zero byte at {0}")]
    CommandLineZero(usize),
    /// The memory map has too many entries.
    #[error("{entries} entries in the memory map, a kernel takes {limit} at the most")]
    Map {
        /// How many.
        entries: usize,
        /// The most.
        limit: usize,
    },
    /// The ACPI tables are too long.
    #[error("ACPI tables of {len:#x} bytes: {:#x} at the most", TABLES.len)]
    Tables {
        /// Their length in bytes.
        len: usize,
    },
    /// There is no RAM where something has to go.
    #[error("no RAM at {0:#x}")]
    NoRam(u64),
}

/// Puts a kernel with what it needs into guest RAM.
///
/// # Errors
///
/// A file cannot be read, is not what it should be, or does not fit.
pub fn load(
    ram: &GuestRam,
    kernel: &Path,
    initrd: Option<&Path>,
    append: &str,
    map: &[Entry],
    tables: &Tables,
) -> Result<EntryState, LinuxError> {
    let map = with_holes(map);
    let (mut file, len) = open(kernel)?;
    let from = GuestAddress(KERNEL);
    // Where the image would not fit, what is written to is RAM of a guest that never starts.
    let loaded = BzImage::load(&**ram.memory(), Some(from), &mut file, None).map_err(|error| LinuxError::Kernel {
        path: kernel.to_owned(),
        reason: error.to_string(),
    })?;
    let mut params = boot_params {
        hdr: loaded.setup_header.unwrap_or_default(),
        ..Default::default()
    };
    let end = kernel_end(kernel, &params.hdr, len, &map)?;
    params.hdr.type_of_loader = LOADED_BY;

    let limit = params.hdr.cmdline_size.min(COMMAND_LINE_MAX);
    let line_len = u32::try_from(append.len()).unwrap_or(u32::MAX);
    if line_len > limit {
        return Err(LinuxError::CommandLine {
            len: append.len(),
            limit,
        });
    }
    if let Some(at) = append.bytes().position(|byte| byte == 0) {
        return Err(LinuxError::CommandLineZero(at));
    }
    write(ram, COMMAND_LINE, &[append.as_bytes(), &[0]].concat())?;
    params.hdr.cmd_line_ptr = u32::try_from(COMMAND_LINE).unwrap_or(0);
    if let Some(path) = initrd {
        let (start, size) = load_initrd(ram, path, &map, end, params.hdr.initrd_addr_max)?;
        (params.hdr.ramdisk_image, params.hdr.ramdisk_size) = (start, size);
    }
    params.acpi_rsdp_addr = load_tables(ram, tables)?;

    let limit = params.e820_table.len();
    let entries = u8::try_from(map.len())
        .ok()
        .filter(|entries| usize::from(*entries) <= limit);
    params.e820_entries = entries.ok_or(LinuxError::Map {
        entries: map.len(),
        limit,
    })?;
    for (to, from) in params.e820_table.iter_mut().zip(&map) {
        *to = boot_e820_entry {
            addr: from.range.start,
            size: from.range.len,
            r#type: from.kind,
        };
    }
    write(ram, BOOT_PARAMS, params.as_slice())?;
    write(ram, GDT, &DESCRIPTORS.map(u64::to_le_bytes).concat())?;
    Ok(EntryState {
        rip: KERNEL,
        rsi: BOOT_PARAMS,
        gdt: GDT,
        gdt_limit: 31,
        code: 0x10,
        data: 0x18,
    })
}

fn write(ram: &GuestRam, gpa: u64, bytes: &[u8]) -> Result<(), LinuxError> {
    let written = ram.memory().write_slice(bytes, GuestAddress(gpa));
    written.map_err(|_| LinuxError::NoRam(gpa))
}

/// A regular file and its length: another kind might never end, or never begin.
fn open(path: &Path) -> Result<(File, u64), LinuxError> {
    let open = || {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    };
    open().map_err(|source| LinuxError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The map with what a kernel may not use below 1 MiB.
fn with_holes(map: &[Entry]) -> Vec<Entry> {
    let (ram, rest): (Vec<Entry>, Vec<Entry>) = map.iter().partition(|entry| entry.kind == e820::RAM);
    let ram: Vec<Extent> = ram.iter().map(|entry| entry.range).collect();
    let holes = [(TABLES, ReservationKind::AcpiNvs), (LEGACY, ReservationKind::Reserved)];
    let holes = holes.map(|(range, kind)| Reservation { range, kind });
    let mut all = e820::entries(&ram, &holes);
    all.extend(rest);
    all.sort_unstable_by_key(|entry| entry.range.start);
    all
}

/// First address beyond what a kernel occupies before it knows of the memory map: its image, and where it unpacks itself.
fn kernel_end(path: &Path, header: &setup_header, file: u64, map: &[Entry]) -> Result<u64, LinuxError> {
    let path = || path.to_owned();
    let version = header.version;
    if version < PROTOCOL {
        return Err(LinuxError::Protocol { path: path(), version });
    }
    let alignment = u64::from(header.kernel_alignment).max(1);
    let moved = KERNEL.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
    let preferred = header.pref_address;
    let runs_at = if header.relocatable_kernel == 0 {
        preferred
    } else {
        moved.max(preferred)
    };
    let unpacked = runs_at.saturating_add(header.init_size.into());
    let end = unpacked.max(KERNEL.saturating_add(file));
    let around = map
        .iter()
        .find(|entry| entry.kind == e820::RAM && entry.range.start <= KERNEL && KERNEL < entry.range.end());
    let limit = around.map_or(KERNEL, |entry| entry.range.end());
    if end > limit {
        return Err(LinuxError::KernelMemory {
            path: path(),
            end,
            limit,
        });
    }
    Ok(end)
}

/// Puts the RAM disk as high as the kernel allows, in RAM that is not reserved; gives address and size.
fn load_initrd(ram: &GuestRam, path: &Path, map: &[Entry], from: u64, last: u32) -> Result<(u32, u32), LinuxError> {
    let (mut file, size) = open(path)?;
    let limit = u64::from(last) + 1;
    let does_not_fit = || LinuxError::Initrd {
        path: path.to_owned(),
        size,
        from,
        limit,
    };
    let usable = map.iter().filter(|entry| entry.kind == e820::RAM);
    let starts = usable.filter_map(|entry| {
        let start = entry.range.end().min(limit).checked_sub(size)? & !(PAGE - 1);
        (start >= entry.range.start.max(from)).then_some(start)
    });
    let start = starts.max().ok_or_else(does_not_fit)?;
    let numbers = u32::try_from(start).ok().zip(u32::try_from(size).ok());
    let (gpa, len) = numbers.ok_or_else(does_not_fit)?;
    let count = usize::try_from(len).map_err(|_| does_not_fit())?;
    let read = ram
        .memory()
        .read_exact_volatile_from(GuestAddress(start), &mut file, count);
    read.map_err(|error| LinuxError::Read {
        path: path.to_owned(),
        source: io::Error::other(error),
    })?;
    Ok((gpa, len))
}

/// Puts the tables in place and gives the address of the first.
fn load_tables(ram: &GuestRam, tables: &Tables) -> Result<u64, LinuxError> {
    let gpa = u32::try_from(TABLES.start).unwrap_or(0);
    let linked = tables.link(gpa);
    let fits = linked.filter(|linked| u64::try_from(linked.bytes.len()).is_ok_and(|len| len <= TABLES.len));
    let linked = fits.ok_or(LinuxError::Tables {
        len: tables.tables.len(),
    })?;
    write(ram, linked.rsdp, &linked.bytes)?;
    let word = |value: u64| u16::try_from(value).unwrap_or(0).to_le_bytes();
    write(ram, DATA_AREA_SEGMENT, &word(TABLES.start >> 4))?;
    write(ram, DATA_AREA_KIB, &word(TABLES.start >> 10))?;
    Ok(linked.rsdp)
}

#[cfg(test)]
mod tests;
