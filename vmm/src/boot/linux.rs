// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A Linux kernel started without firmware, by the 32-bit boot protocol (*The Linux/x86 Boot Protocol*).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use linux_loader::loader::{BzImage, KernelLoader};
use vm_memory::{ByteValued, Bytes, GuestAddress};

use super::acpi::Tables;
use super::e820::{self, Entry};
use crate::memory::GuestRam;

/// Where things go in the first megabyte, which firmware would use.
const GDT: u64 = 0x500;
const BOOT_PARAMS: u64 = 0x7000;
const COMMAND_LINE: u64 = 0x2_0000;
const TABLES: u32 = 0xe_0000;
/// Where a kernel is loaded that says nothing else.
const KERNEL: u64 = 0x10_0000;
/// Most of a command line with its end.
const COMMAND_LINE_MAX: usize = 2048;
const PAGE: u64 = 4096;
const LOADED_BY: u8 = 0xff;
/// xloadflags and loadflags: keep segments, heap is usable.
const CAN_USE_HEAP: u8 = 0x80;
const SIGNATURE: u16 = 0xaa55;
const HEADER: u32 = 0x5372_6448;
/// What firmware keeps for itself below 1 MiB.
const LOW_END: u64 = 0x9_fc00;
const HIGH_START: u64 = 0x10_0000;

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
    /// The kernel is no bzImage, or does not fit.
    #[error("{}: no kernel that can be loaded here: {reason}", path.display())]
    Kernel {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The initial RAM disk does not fit.
    #[error("{}: {size:#x} bytes do not fit guest RAM below {limit:#x}", path.display())]
    Initrd {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Where it has to end.
        limit: u64,
    },
    /// The command line is too long, or has a zero byte in it.
    #[error("a command line of {0} bytes: {COMMAND_LINE_MAX} at the most, without zeros")]
    CommandLine(usize),
    /// The memory map has too many entries, or there is no RAM where the parameters go.
    #[error("{0}")]
    Memory(&'static str),
}

/// Puts a kernel with what it needs into guest RAM.
///
/// # Errors
///
/// A file cannot be read, or does not fit.
pub fn load(
    ram: &GuestRam,
    kernel: &Path,
    initrd: Option<&Path>,
    append: &str,
    map: &[Entry],
    tables: &Tables,
) -> Result<EntryState, LinuxError> {
    let memory = &**ram.memory();
    let write = |gpa: u64, bytes: &[u8]| {
        memory
            .write_slice(bytes, GuestAddress(gpa))
            .map_err(|_| LinuxError::Memory("no RAM in the first megabyte"))
    };
    let mut file = open(kernel)?;
    let loaded = BzImage::load(memory, None, &mut file, Some(GuestAddress(KERNEL)));
    let loaded = loaded.map_err(|error| LinuxError::Kernel {
        path: kernel.to_owned(),
        reason: error.to_string(),
    })?;
    let mut params = boot_params {
        hdr: loaded.setup_header.unwrap_or_default(),
        ..Default::default()
    };
    params.hdr.type_of_loader = LOADED_BY;
    params.hdr.loadflags |= CAN_USE_HEAP;
    params.hdr.boot_flag = SIGNATURE;
    params.hdr.header = HEADER;
    if append.len() >= COMMAND_LINE_MAX || append.contains('\0') {
        return Err(LinuxError::CommandLine(append.len()));
    }
    write(COMMAND_LINE, append.as_bytes())?;
    params.hdr.cmd_line_ptr = u32::try_from(COMMAND_LINE).unwrap_or(0);
    params.hdr.cmdline_size = u32::try_from(append.len()).unwrap_or(0);
    if let Some(path) = initrd {
        let (start, size) = place_initrd(ram, path, map, loaded.kernel_end, params.hdr.initrd_addr_max.into())?;
        (params.hdr.ramdisk_image, params.hdr.ramdisk_size) = (start, size);
    }
    let linked = tables
        .link(TABLES)
        .ok_or(LinuxError::Memory("no place for ACPI tables"))?;
    write(linked.rsdp, &linked.bytes)?;
    params.acpi_rsdp_addr = linked.rsdp;
    let entries = low(map);
    if entries.len() > params.e820_table.len() {
        return Err(LinuxError::Memory("too many entries in the memory map"));
    }
    for (to, from) in params.e820_table.iter_mut().zip(&entries) {
        *to = boot_e820_entry {
            addr: from.range.start,
            size: from.range.len,
            r#type: from.kind,
        };
    }
    params.e820_entries = u8::try_from(entries.len()).unwrap_or(0);
    write(BOOT_PARAMS, params.as_slice())?;
    write(GDT, &DESCRIPTORS.map(u64::to_le_bytes).concat())?;
    Ok(EntryState {
        rip: loaded.kernel_load.0,
        rsi: BOOT_PARAMS,
        gdt: GDT,
        gdt_limit: 31,
        code: 0x10,
        data: 0x18,
    })
}

fn open(path: &Path) -> Result<File, LinuxError> {
    File::open(path).map_err(|source| LinuxError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The map without what lies between 640 KiB and 1 MiB.
fn low(map: &[Entry]) -> Vec<Entry> {
    let mut entries = Vec::with_capacity(map.len() + 1);
    for entry in map {
        let range = entry.range;
        if entry.kind != e820::RAM || range.start >= HIGH_START {
            entries.push(*entry);
            continue;
        }
        let parts = [(range.start, range.end().min(LOW_END)), (HIGH_START, range.end())];
        for (start, end) in parts {
            if start < end {
                let range = igd_quirks::facts::Extent::new(start, end - start);
                entries.push(Entry { range, ..*entry });
            }
        }
    }
    entries
}

/// Puts the RAM disk as high as the kernel reaches, in RAM that is not reserved.
fn place_initrd(
    ram: &GuestRam,
    path: &Path,
    map: &[Entry],
    kernel_end: u64,
    limit: u64,
) -> Result<(u32, u32), LinuxError> {
    let mut file = open(path)?;
    let read = |source| LinuxError::Read {
        path: path.to_owned(),
        source,
    };
    let size = file.metadata().map_err(read)?.len();
    // Kernels from before protocol 2.03 say nothing.
    let limit = if limit == 0 { 0x37ff_ffff } else { limit } + 1;
    let too_large = || LinuxError::Initrd {
        path: path.to_owned(),
        size,
        limit,
    };
    let usable = map.iter().filter(|entry| entry.kind == e820::RAM);
    let starts = usable.filter_map(|entry| {
        let end = entry.range.end().min(limit);
        let start = end.checked_sub(size)? & !(PAGE - 1);
        (start >= entry.range.start.max(kernel_end).max(HIGH_START)).then_some(start)
    });
    let start = starts.max().ok_or_else(too_large)?;
    let mut gpa = start;
    let mut chunk = vec![0; 1 << 16];
    let mut left = size;
    while left > 0 {
        let len = usize::try_from(left).unwrap_or(chunk.len()).min(chunk.len());
        let bytes = chunk.get_mut(..len).unwrap_or(&mut []);
        file.read_exact(bytes).map_err(read)?;
        ram.memory()
            .write_slice(bytes, GuestAddress(gpa))
            .map_err(|_| too_large())?;
        let done = u64::try_from(len).unwrap_or(left);
        gpa += done;
        left -= done;
    }
    match (u32::try_from(start), u32::try_from(size)) {
        (Ok(start), Ok(size)) => Ok((start, size)),
        _ => Err(too_large()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::acpi;
    use crate::machine::{BoardInfo, BoardKind};
    use igd_quirks::facts::Extent;

    #[test]
    fn the_first_megabyte_has_a_hole() {
        let map = [Entry {
            range: Extent::new(0, 64 << 20),
            kind: e820::RAM,
        }];
        let map: Vec<_> = low(&map)
            .iter()
            .map(|entry| (entry.range.start, entry.range.end()))
            .collect();
        assert_eq!(map, [(0, LOW_END), (HIGH_START, 64 << 20)]);
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let extents = [Extent::new(0, 64 << 20)];
        let ram = GuestRam::new(&extents).unwrap();
        let board = BoardInfo {
            kind: BoardKind::Pc,
            ram: extents.to_vec(),
            cpus: 1,
        };
        let tables = acpi::tables(&board);
        let path = std::env::temp_dir().join(format!("igd-vmm-{}-no-kernel", std::process::id()));
        for bytes in [vec![], vec![0; 100], vec![0xff; 0x4000]] {
            std::fs::write(&path, bytes).unwrap();
            let loaded = load(&ram, &path, None, "", &[], &tables);
            assert!(matches!(loaded, Err(LinuxError::Kernel { .. })), "{loaded:?}");
        }
        std::fs::remove_file(&path).unwrap();
        let loaded = load(&ram, &path, None, "", &[], &tables);
        assert!(matches!(loaded, Err(LinuxError::Read { .. })));
    }
}
