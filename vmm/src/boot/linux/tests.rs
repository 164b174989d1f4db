// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Kernels that can be started, and files that only look like it.

use super::*;
use crate::boot::acpi;
use crate::machine::{BoardInfo, BoardKind};

const MIB: u64 = 1 << 20;
const RESERVED: Extent = Extent::new(60 * MIB, 2 * MIB);

/// A kernel in one file and a RAM disk in another, which are gone afterwards.
struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
}

impl Files {
    fn new(name: &str, kernel: &[u8], initrd: &[u8]) -> Self {
        let path = |kind| std::env::temp_dir().join(format!("igd-vmm-{}-{name}.{kind}", std::process::id()));
        let files = Self {
            kernel: path("kernel"),
            initrd: path("initrd"),
        };
        std::fs::write(&files.kernel, kernel).unwrap();
        std::fs::write(&files.initrd, initrd).unwrap();
        files
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kernel);
        let _ = std::fs::remove_file(&self.initrd);
    }
}

/// A bzImage of protocol 2.15 with one sector of setup code, which runs at 16 MiB and needs 8 MiB there.
fn kernel() -> Vec<u8> {
    let mut image = vec![0; 0x400];
    let mut put = |at: usize, value: &[u8]| image[at..at + value.len()].copy_from_slice(value);
    put(0x1f1, &[1]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &0x10_0000_u32.to_le_bytes());
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x238, &2047_u32.to_le_bytes());
    put(0x258, &0x100_0000_u64.to_le_bytes());
    put(0x260, &0x80_0000_u32.to_le_bytes());
    image.extend([0xcc; 0x1800]);
    image
}

fn with(at: usize, value: &[u8]) -> Vec<u8> {
    let mut image = kernel();
    image[at..at + value.len()].copy_from_slice(value);
    image
}

fn machine(cpus: u8) -> (GuestRam, Vec<Entry>, Tables) {
    let extents = vec![Extent::new(0, 64 * MIB)];
    let reservation = Reservation {
        range: RESERVED,
        kind: ReservationKind::Reserved,
    };
    let board = BoardInfo {
        kind: BoardKind::Pc,
        ram: extents.clone(),
        cpus,
    };
    let map = e820::entries(&extents, &[reservation]);
    (GuestRam::new(&extents).unwrap(), map, acpi::tables(&board))
}

fn load_all(name: &str, kernel: &[u8], initrd: &[u8], append: &str) -> (GuestRam, Result<EntryState, LinuxError>) {
    let files = Files::new(name, kernel, initrd);
    let (ram, map, tables) = machine(1);
    let loaded = load(&ram, &files.kernel, Some(&files.initrd), append, &map, &tables);
    (ram, loaded)
}

#[test]
fn a_kernel_finds_what_the_protocol_promises() {
    let (ram, loaded) = load_all("good", &kernel(), &[0xa5; 0x1234], "console=ttyS0");
    let entry = loaded.unwrap();
    let memory = ram.memory();
    assert_eq!(entry.rip, KERNEL);
    assert_eq!(memory.read_obj::<u32>(GuestAddress(entry.rip)).unwrap(), 0xcccc_cccc);
    let descriptor = |selector: u16| {
        memory
            .read_obj::<u64>(GuestAddress(entry.gdt + u64::from(selector)))
            .unwrap()
    };
    assert_eq!(descriptor(entry.code), 0x00cf_9b00_0000_ffff);
    assert_eq!(descriptor(entry.data), 0x00cf_9300_0000_ffff);
    assert!(entry.gdt_limit >= entry.data + 7);

    let params: boot_params = memory.read_obj(GuestAddress(entry.rsi)).unwrap();
    let header = params.hdr;
    let (line, image, size) = (header.cmd_line_ptr, header.ramdisk_image, header.ramdisk_size);
    let mut text = [0; 14];
    memory.read_slice(&mut text, GuestAddress(line.into())).unwrap();
    assert_eq!(&text, b"console=ttyS0\0");
    assert_eq!(size, 0x1234);
    assert_eq!(u64::from(image), 64 * MIB - 0x2000, "as high as it can be");
    assert_eq!(
        memory.read_obj::<u8>(GuestAddress(u64::from(image) + 0x1233)).unwrap(),
        0xa5
    );

    let rsdp = params.acpi_rsdp_addr;
    let mut signature = [0; 8];
    memory.read_slice(&mut signature, GuestAddress(rsdp)).unwrap();
    assert_eq!(&signature, b"RSD PTR ");
    let segment: u16 = memory.read_obj(GuestAddress(DATA_AREA_SEGMENT)).unwrap();
    assert_eq!(u64::from(segment) << 4, rsdp, "the same without being told");

    let map: Vec<_> = params.e820_table[..params.e820_entries.into()]
        .iter()
        .map(|entry| (entry.addr, entry.size, entry.r#type))
        .collect();
    let expected = [
        (0, TABLES.start, 1),
        (TABLES.start, TABLES.len, 4),
        (LEGACY.start, LEGACY.len, 2),
        (MIB, 59 * MIB, 1),
        (RESERVED.start, RESERVED.len, 2),
        (62 * MIB, 2 * MIB, 1),
    ];
    assert_eq!(map, expected);
}

#[test]
fn a_ram_disk_avoids_the_kernel_and_what_is_reserved() {
    let (ram, loaded) = load_all("below", &kernel(), &vec![1; 3 << 20], "");
    let params: boot_params = ram.memory().read_obj(GuestAddress(loaded.unwrap().rsi)).unwrap();
    let image = params.hdr.ramdisk_image;
    assert_eq!(
        u64::from(image),
        57 * MIB,
        "too large for what is above the reservation"
    );
    // The kernel reaches to 24 MiB.
    assert!(load_all("just", &kernel(), &vec![1; 36 << 20], "").1.is_ok());
    let (_, loaded) = load_all("large", &kernel(), &vec![1; (36 << 20) + 1], "");
    let refused = matches!(loaded, Err(LinuxError::Initrd { from, .. }) if from == 24 * MIB);
    assert!(refused, "{loaded:?}");
    let last = with(0x22c, &(30 * MIB - 1).to_le_bytes()[..4]);
    let (ram, loaded) = load_all("last", &last, &[1; 100], "");
    let params: boot_params = ram.memory().read_obj(GuestAddress(loaded.unwrap().rsi)).unwrap();
    let image = params.hdr.ramdisk_image;
    assert_eq!(u64::from(image), 30 * MIB - PAGE, "initrd_addr_max");
}

#[test]
fn what_is_no_kernel_is_refused() {
    let mut short = kernel();
    short.truncate(0x300);
    for (name, image) in [
        ("empty", vec![]),
        ("zeros", vec![0; 100]),
        ("ones", vec![0xff; 0x4000]),
        ("short", short),
        ("zimage", with(0x211, &[0])),
        ("sectors", with(0x1f1, &[0xff])),
    ] {
        let (_, loaded) = load_all(name, &image, &[], "");
        assert!(matches!(loaded, Err(LinuxError::Kernel { .. })), "{name}: {loaded:?}");
    }
    let (_, loaded) = load_all("old", &with(0x206, &[0x09, 0x02]), &[], "");
    assert!(
        matches!(loaded, Err(LinuxError::Protocol { version: 0x0209, .. })),
        "{loaded:?}"
    );
}

#[test]
fn a_kernel_that_unpacks_beyond_ram_is_refused() {
    for (name, image) in [
        ("size", with(0x260, &u32::MAX.to_le_bytes())),
        ("address", with(0x258, &u64::MAX.to_le_bytes())),
        ("alignment", with(0x230, &u32::MAX.to_le_bytes())),
        // 16 MiB to 60 MiB is free, then comes what is reserved.
        ("reserved", with(0x260, &0x2c0_0001_u32.to_le_bytes())),
    ] {
        let (_, loaded) = load_all(name, &image, &[], "");
        let limit = |at: u64| at == RESERVED.start;
        let refused = matches!(&loaded, Err(LinuxError::KernelMemory { limit: at, .. }) if limit(*at));
        assert!(refused, "{name}: {loaded:?}");
    }
    assert!(
        load_all("fits", &with(0x260, &0x2c0_0000_u32.to_le_bytes()), &[], "")
            .1
            .is_ok()
    );
}

#[test]
fn command_lines_are_as_long_as_the_kernel_says() {
    assert!(load_all("line", &kernel(), &[], &"x".repeat(2047)).1.is_ok());
    let (_, loaded) = load_all("long", &kernel(), &[], &"x".repeat(2048));
    let refused = matches!(loaded, Err(LinuxError::CommandLine { len: 2048, limit: 2047 }));
    assert!(refused, "{loaded:?}");
    let boundless = with(0x238, &u32::MAX.to_le_bytes());
    let (_, loaded) = load_all("boundless", &boundless, &[], &"x".repeat(0x1_0000));
    assert!(matches!(loaded, Err(LinuxError::CommandLine { .. })), "{loaded:?}");
    let (_, loaded) = load_all("zero", &kernel(), &[], "a\0b");
    assert!(matches!(loaded, Err(LinuxError::CommandLineZero(1))), "{loaded:?}");
}

#[test]
fn files_are_regular_ones() {
    let (ram, map, tables) = machine(1);
    for path in ["/nonexistent/kernel", "/", "/dev/zero"] {
        let loaded = load(&ram, Path::new(path), None, "", &map, &tables);
        let named = matches!(&loaded, Err(LinuxError::Read { path: of, .. }) if of == Path::new(path));
        assert!(named, "{loaded:?}");
    }
}

#[test]
fn tables_of_the_most_processors_fit() {
    let (ram, _, tables) = machine(255);
    assert_eq!(load_tables(&ram, &tables).unwrap(), TABLES.start);
    assert!(tables.tables.len() > 255 * 16);
}
