// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Facts and behaviour of a simulated device: in this process and over vfio-user, which must not differ.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::fs::File;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use igd_quirks::facts::{Extent, HostFacts, MachineFacts, RomFacts};
use igd_sim::server::{DEFAULT_STALL, Listener, ServeError, Statistics, serve};
use igd_sim::{Options, Profile, SimDevice};
use igd_vmm::backend::sim::SimHost;
use igd_vmm::backend::vfio_user::{DEFAULT_TIMEOUT, VfioUserHost};
use igd_vmm::backend::{DmaMemory, HostDevice, HostError, InterruptKind, Mapping, Region, RegionKind};
use igd_vmm::probe::{ProbeError, probe};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};
use vmm_sys_util::tempdir::TempDir;

/// A server for one client.
struct Served {
    host: Option<VfioUserHost>,
    server: Option<JoinHandle<Result<Statistics, ServeError>>>,
    _folder: TempDir,
}

impl Served {
    fn new(profile: Profile, options: &Options) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.as_path().join("igd.sock");
        let listener = Listener::bind(&path).unwrap();
        let mut options = options.clone();
        options.shared = true;
        let server = std::thread::spawn(move || {
            let mut device = SimDevice::new(&profile, &options).unwrap();
            serve(
                listener.accept().unwrap(),
                &mut device,
                &mut (),
                DEFAULT_STALL,
                &AtomicBool::new(false),
            )
        });
        Self {
            host: Some(VfioUserHost::connect(&path, DEFAULT_TIMEOUT).unwrap()),
            server: Some(server),
            _folder: folder,
        }
    }

    fn host(&self) -> &VfioUserHost {
        self.host.as_ref().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.host = None;
        let ended = self.server.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// Runs a test on the device in this process and on the one over the wire.
fn on_both(name: &str, change: impl FnOnce(&mut Options), test: impl Fn(&dyn HostDevice)) {
    let profile = *Profile::by_name(name).unwrap();
    let mut options = Options::default();
    change(&mut options);
    test(&SimHost::new(profile, &options).unwrap());
    test(Served::new(profile, &options).host());
}

fn facts_of_both(profile: Profile, options: &Options) -> HostFacts {
    let ours = probe(&SimHost::new(profile, options).unwrap(), MachineFacts::default()).unwrap();
    let theirs = probe(Served::new(profile, options).host(), MachineFacts::default()).unwrap();
    let text = |facts: &HostFacts| serde_json::to_string_pretty(facts).unwrap();
    assert_eq!(text(&ours), text(&theirs), "{}", profile.name);
    assert_eq!(ours, theirs);
    ours
}

#[test]
fn facts_do_not_depend_on_the_way() {
    for profile in Profile::all() {
        let facts = facts_of_both(*profile, &Options::default());
        assert_eq!((facts.device.vendor, facts.device.device), (0x8086, profile.device));
        assert_eq!(
            (facts.device.class, facts.device.revision),
            (0x03_0000, profile.revision)
        );
        assert_eq!(facts.device.ggc(), Some(profile.ggc().unwrap()));
        assert_eq!(facts.device.config.len(), 256);
        let bar = facts.device.bar(2).unwrap();
        assert_eq!(bar.mmap, [Extent::new(0, bar.size)]);
        assert!(facts.device.bar(0).unwrap().mmap.len() > 1, "{}", profile.name);
        assert_eq!(facts.device.opregion.as_ref().unwrap()[..16], *b"IntelGraphicsMem");
        let id = |config: &[u8]| u16::from_le_bytes([config[2], config[3]]);
        assert_eq!(id(facts.device.host_bridge.as_ref().unwrap()), profile.host_bridge);
        assert_eq!(id(facts.device.lpc_bridge.as_ref().unwrap()), profile.lpc_bridge);
        assert_eq!(facts.device.vga.unwrap().size, 0xc0000);
        // Facts survive their text.
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<HostFacts>(&text).unwrap(), facts);
    }
}

#[test]
fn options_show_in_the_facts() {
    let kbl = *Profile::by_name("kbl").unwrap();
    let mut options = Options::default();
    options.asls = Some(0x3f00_0000);
    options.host_opregion = true;
    let facts = facts_of_both(kbl, &options);
    assert_eq!(facts.device.config[0xfc..], 0x3f00_0000_u32.to_le_bytes());

    options.asls = Some(0);
    let facts = facts_of_both(kbl, &options);
    assert_eq!(facts.device.opregion, None);
    assert_eq!((facts.device.host_bridge, facts.device.lpc_bridge), (None, None));

    let mut options = Options::default();
    options.class = Some(0x03_8000);
    options.faults = vec!["missing=rom".parse().unwrap()];
    let facts = facts_of_both(*Profile::by_name("tgl").unwrap(), &options);
    assert_eq!((facts.device.class, facts.device.vga), (0x03_8000, None));
    assert!(matches!(facts.device.rom, RomFacts::Absent(reason) if reason.contains("no ROM")));
}

#[test]
fn what_cannot_be_read_is_named() {
    on_both(
        "kbl",
        |options| options.faults = vec!["short=opregion".parse().unwrap()],
        |host| {
            let error = probe(host, MachineFacts::default()).unwrap_err().to_string();
            assert!(error.contains("OpRegion") && error.contains(host.name()), "{error}");
        },
    );
    on_both(
        "kbl",
        |options| options.faults = vec!["error=rom".parse().unwrap()],
        |host| {
            let facts = probe(host, MachineFacts::default()).unwrap();
            assert!(matches!(facts.device.rom, RomFacts::Absent(reason) if reason.contains("ROM")));
        },
    );
}

fn read<const N: usize>(host: &dyn HostDevice, region: RegionKind, offset: u64) -> [u8; N] {
    let mut bytes = [0xcc; N];
    host.read(region, offset, &mut bytes).unwrap();
    bytes
}

#[test]
fn accesses_are_exact_or_an_error() {
    on_both(
        "skl",
        |_| {},
        |host| {
            let bar = RegionKind::Bar(2);
            let data: Vec<u8> = (0..100).collect();
            host.write(bar, 0x1003, &data).unwrap();
            assert_eq!(read::<100>(host, bar, 0x1003).as_slice(), data);
            let size = host.region(bar).unwrap().size;
            host.write(bar, size - 1, &[7]).unwrap();
            for (region, offset, len) in [
                (bar, size - 1, 2),
                (bar, u64::MAX, 1),
                (bar, size + 1, 0),
                (RegionKind::Bar(1), 0, 1),
                (RegionKind::Config, 255, 2),
            ] {
                let mut data = vec![0; len];
                let expected = format!("{len} bytes at {offset:#x} of {region}");
                for error in [host.read(region, offset, &mut data), host.write(region, offset, &data)] {
                    let error = error.unwrap_err();
                    assert!(matches!(error, HostError::OutOfRange { .. }), "{error}");
                    assert!(error.to_string().starts_with(&expected), "{error}");
                }
            }
            assert!(host.write(RegionKind::OpRegion, 0, &[0]).is_err());
            assert_eq!(read::<16>(host, RegionKind::OpRegion, 0), *b"IntelGraphicsMem");
        },
    );
}

#[test]
fn a_mapping_is_the_memory_of_the_bar() {
    on_both(
        "cfl",
        |_| {},
        |host| {
            let region = RegionKind::Bar(2);
            let map = |start, len| host.map(region, Extent::new(start, len));
            let mapping = map(0x10_0000, 0x2000).unwrap();
            assert_eq!(mapping.len(), 0x2000);
            let at = std::ptr::without_provenance_mut::<u8>(usize::try_from(mapping.hva() + 0x1234).unwrap());
            // SAFETY: within a mapping that is alive.
            #[expect(unsafe_code, reason = "writes as a guest would")]
            unsafe {
                at.write_volatile(0x5a);
            }
            assert_eq!(read::<1>(host, region, 0x10_1234), [0x5a]);
            let size = host.region(region).unwrap().size;
            for (start, len) in [
                (0, 0),
                (0x800, 0x1000),
                (0, 0x800),
                (size, 0x1000),
                (0, size + 0x1000),
                (u64::MAX - 0xfff, 0x1000),
            ] {
                assert!(
                    matches!(map(start, len), Err(HostError::Map { .. })),
                    "{start:#x} {len:#x}"
                );
            }
            // The page with the mirrors of GGC and BDSM is not there to be mapped.
            let trapped = host.map(RegionKind::Bar(0), Extent::new(0x10_8000, 0x1000));
            assert!(matches!(trapped, Err(HostError::Map { .. })));
            assert!(host.map(RegionKind::Config, Extent::new(0, 0x1000)).is_err());
        },
    );
}

/// First byte of the page with test registers.
fn test_page(host: &dyn HostDevice) -> u64 {
    host.region(RegionKind::Bar(0)).unwrap().size / 2 - 4096
}

fn poke(host: &dyn HostDevice, register: u64, value: u32) {
    host.write(RegionKind::Bar(0), test_page(host) + register, &value.to_le_bytes())
        .unwrap();
}

fn eventfd() -> EventFd {
    EventFd::new(EFD_NONBLOCK).unwrap()
}

/// How often an eventfd is signalled within a time that suffices.
fn wait(eventfd: &EventFd) -> u64 {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let Ok(count) = eventfd.read() {
            return count;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    0
}

fn with_test_page(options: &mut Options) {
    options.test_page = true;
}

#[test]
fn intx_masks_itself_until_it_is_resampled() {
    on_both("kbl", with_test_page, |host| {
        let (trigger, resample) = (eventfd(), eventfd());
        assert_eq!(host.interrupt_count(InterruptKind::Intx), 1);
        host.enable_interrupt(InterruptKind::Intx, &[&trigger]).unwrap();
        host.set_intx_resample(&resample).unwrap();
        poke(host, 0x00, 1);
        assert_eq!(wait(&trigger), 1);
        // Still asserted, and masked.
        poke(host, 0x00, 1);
        assert!(trigger.read().is_err());
        resample.write(1).unwrap();
        assert_eq!(wait(&trigger), 1);
        // Deasserted: nothing is left to say.
        poke(host, 0x04, 1);
        host.unmask_intx().unwrap();
        assert!(trigger.read().is_err());
        host.mask_intx().unwrap();
        poke(host, 0x00, 1);
        assert!(trigger.read().is_err());
        host.unmask_intx().unwrap();
        assert_eq!(wait(&trigger), 1);
        host.disable_interrupt(InterruptKind::Intx).unwrap();
        resample.write(1).unwrap();
        poke(host, 0x04, 1);
        poke(host, 0x00, 1);
        std::thread::sleep(Duration::from_millis(20));
        assert!(trigger.read().is_err());
        // Whoever waited for it does so no more.
        assert_eq!(resample.read().unwrap(), 1);
    });
}

#[test]
fn msi_goes_to_its_eventfd() {
    on_both("tgl", with_test_page, |host| {
        let mut at = u64::from(read::<1>(host, RegionKind::Config, 0x34)[0]);
        while read::<1>(host, RegionKind::Config, at) != [5] {
            at = u64::from(read::<1>(host, RegionKind::Config, at + 1)[0]);
            assert_ne!(at, 0);
        }
        let trigger = eventfd();
        host.enable_interrupt(InterruptKind::Msi, &[&trigger]).unwrap();
        let control = u16::from_le_bytes(read(host, RegionKind::Config, at + 2));
        host.write(RegionKind::Config, at + 2, &(control | 1).to_le_bytes())
            .unwrap();
        poke(host, 0x00, 1);
        poke(host, 0x00, 1);
        assert_eq!(wait(&trigger), 2);
        host.disable_interrupt(InterruptKind::Msi).unwrap();
        poke(host, 0x00, 1);
        assert!(trigger.read().is_err());
        for wrong in [&[][..], &[&trigger, &trigger]] {
            let error = host.enable_interrupt(InterruptKind::Msi, wrong).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{} eventfds for 1", wrong.len())),
                "{error}"
            );
        }
        assert_eq!(host.interrupt_count(InterruptKind::Msix), 0);
        assert!(host.enable_interrupt(InterruptKind::Msix, &[&trigger]).is_err());
    });
}

fn memory(len: u64) -> File {
    // SAFETY: the name ends with 0, and the descriptor is checked before it is owned.
    #[expect(unsafe_code, reason = "no safe wrapper")]
    let file = unsafe {
        let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        File::from_raw_fd(fd)
    };
    file.set_len(len).unwrap();
    file
}

#[test]
fn dma_reaches_what_is_mapped_and_nothing_else() {
    on_both("kbl", with_test_page, |host| {
        let file = memory(0x4000);
        let map = |iova, len, offset| {
            host.map_dma(&DmaMemory {
                iova,
                len,
                hva: 0,
                file: &file,
                offset,
            })
        };
        let transfer = |order, address: u32, len| {
            for (register, value) in [(0x08, address), (0x0c, 0), (0x10, len), (0x14, order)] {
                poke(host, register, value);
            }
            read::<4>(host, RegionKind::Bar(0), test_page(host) + 0x18) == [0; 4]
        };
        map(0x10_0000, 0x2000, 0x1000).unwrap();
        assert!(transfer(1, 0x10_0ff0, 0x20));
        let mut bytes = [0; 0x22];
        file.read_exact_at(&mut bytes, 0x1fef).unwrap();
        assert_eq!(
            (bytes[..3].to_vec(), bytes[0x20], bytes[0x21]),
            (vec![0, 0, 1], 0x1f, 0)
        );
        assert!(transfer(2, 0x10_0ff0, 0x20));
        assert_eq!(read::<3>(host, RegionKind::Bar(2), 0), [0, 1, 2]);
        for (address, len) in [(0xf_fff0, 0x20), (0x10_1ff0, 0x20), (0, 1), (0x20_0000, 1)] {
            assert!(!transfer(1, address, len), "{address:#x}");
        }
        for (iova, len) in [
            (0x10_0000, 0x1000),
            (0xf_f000, 0x2000),
            (0x10_1000, 0x1000),
            (0x30_0000, 0),
            (u64::MAX, 0x1000),
        ] {
            let error = map(iova, len, 0).unwrap_err();
            assert!(matches!(error, HostError::Dma { action: "map", .. }), "{error}");
        }
        assert!(matches!(
            host.unmap_dma(0x10_0000, 0x1000),
            Err(HostError::Dma { action: "unmap", .. })
        ));
        host.unmap_dma(0x10_0000, 0x2000).unwrap();
        assert!(!transfer(1, 0x10_0ff0, 0x20));
        map(0x10_0000, 0x2000, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0x4000);
    });
}

#[test]
fn a_reset_starts_registers_again() {
    on_both(
        "adl",
        |_| {},
        |host| {
            host.write(RegionKind::Config, 0x04, &[2, 0]).unwrap();
            host.write(RegionKind::Bar(0), 0x2000, &[1, 2, 3, 4]).unwrap();
            host.reset().unwrap();
            assert_eq!(read::<2>(host, RegionKind::Config, 0x04), [0, 0]);
            assert_eq!(read::<4>(host, RegionKind::Bar(0), 0x2000), [0; 4]);
            assert!(host.lost().is_none_or(|lost| lost.read().is_err()));
        },
    );
}

/// A device that says what it likes and has nothing but ones.
#[derive(Debug)]
struct Liar(Vec<Region>);

impl Liar {
    fn new(changes: &[(RegionKind, u64)]) -> Self {
        let mut regions = vec![(RegionKind::Config, 4096)];
        regions.retain(|(kind, _)| changes.iter().all(|(changed, _)| changed != kind));
        regions.extend(changes.iter().filter(|(_, size)| *size > 0));
        let region = |(kind, size)| Region {
            kind,
            size,
            writable: false,
            mappable: Vec::new(),
        };
        Self(regions.into_iter().map(region).collect())
    }
}

impl HostDevice for Liar {
    fn name(&self) -> &str {
        "liar"
    }
    fn regions(&self) -> &[Region] {
        &self.0
    }
    fn read(&self, region: RegionKind, _offset: u64, data: &mut [u8]) -> Result<(), HostError> {
        assert!(data.len() <= 16 << 20, "{} bytes were allocated", data.len());
        if region == RegionKind::Rom {
            return Err(HostError::Lost {
                device: "liar".into(),
                reason: "pulled out".into(),
            });
        }
        data.fill(0xff);
        Ok(())
    }
    fn write(&self, _: RegionKind, _: u64, _: &[u8]) -> Result<(), HostError> {
        unreachable!("a probe writes nothing")
    }
    fn map(&self, _: RegionKind, _: Extent) -> Result<Mapping, HostError> {
        unreachable!("a probe maps nothing")
    }
    fn interrupt_count(&self, _: InterruptKind) -> u32 {
        0
    }
    fn enable_interrupt(&self, _: InterruptKind, _: &[&EventFd]) -> Result<(), HostError> {
        unreachable!()
    }
    fn disable_interrupt(&self, _: InterruptKind) -> Result<(), HostError> {
        unreachable!()
    }
    fn mask_intx(&self) -> Result<(), HostError> {
        unreachable!()
    }
    fn unmask_intx(&self) -> Result<(), HostError> {
        unreachable!()
    }
    fn set_intx_resample(&self, _: &EventFd) -> Result<(), HostError> {
        unreachable!()
    }
    fn reset(&self) -> Result<(), HostError> {
        unreachable!()
    }
    fn map_dma(&self, _: &DmaMemory<'_>) -> Result<(), HostError> {
        unreachable!()
    }
    fn unmap_dma(&self, _: u64, _: u64) -> Result<(), HostError> {
        unreachable!()
    }
    fn iommu_bits(&self) -> Option<u8> {
        Some(39)
    }
}

#[test]
fn sizes_are_bounded_before_memory_is_taken() {
    for (kind, size) in [
        (RegionKind::Config, 255),
        (RegionKind::Config, 4097),
        (RegionKind::OpRegion, (1 << 20) + 1),
        (RegionKind::OpRegion, u64::MAX),
        (RegionKind::HostBridge, 64),
        (RegionKind::LpcBridge, 1 << 40),
    ] {
        let error = probe(&Liar::new(&[(kind, size)]), MachineFacts::default()).unwrap_err();
        let expected = format!("liar: {kind} of {size:#x} bytes");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let none = probe(&Liar::new(&[(RegionKind::Config, 0)]), MachineFacts::default());
    assert!(matches!(none, Err(ProbeError::NoConfig { .. })));
    let huge = probe(&Liar::new(&[(RegionKind::Rom, 1 << 50)]), MachineFacts::default()).unwrap();
    assert!(matches!(huge.device.rom, RomFacts::Absent(reason) if reason.contains("0x4000000000000")));
    let gone = probe(&Liar::new(&[(RegionKind::Rom, 1 << 16)]), MachineFacts::default());
    assert!(matches!(
        gone,
        Err(ProbeError::Read {
            source: HostError::Lost { .. },
            ..
        })
    ));
}

#[test]
fn what_the_machine_does_not_know_the_device_tells() {
    let facts = probe(&Liar::new(&[]), MachineFacts::default()).unwrap();
    assert_eq!((facts.machine.iommu_bits, facts.device.config.len()), (Some(39), 4096));
    let machine = MachineFacts {
        iommu_bits: Some(48),
        ..MachineFacts::default()
    };
    let facts = probe(&Liar::new(&[]), machine).unwrap();
    assert_eq!(facts.machine.iommu_bits, Some(48));
}

#[test]
fn an_option_that_cannot_be_is_refused() {
    let mut options = Options::default();
    options.stolen_mib = Some(3);
    let error = SimHost::new(*Profile::by_name("kbl").unwrap(), &options).unwrap_err();
    assert!(error.to_string().starts_with("sim kbl cannot be opened: "), "{error}");
}
