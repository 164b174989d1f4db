// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which bits of a passed-through function are emulated, and what of an access reaches the device.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at what should not happen"
)]

use std::convert::Infallible;

use pci_model::{
    Bar, BarKind, ConfigAccess, ConfigBackend, ConfigSpace, Effects, Passthrough, PassthroughError, Width,
};

/// The bytes of a device, which takes every write.
#[derive(Clone, Debug)]
struct Device(Vec<u8>);

impl ConfigBackend for Device {
    type Error = Infallible;

    fn read(&mut self, at: ConfigAccess) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        let len = at.width().len();
        bytes[..len].copy_from_slice(&self.0[usize::from(at.offset())..][..len]);
        Ok(u32::from_le_bytes(bytes))
    }

    fn write(&mut self, at: ConfigAccess, value: u32) -> Result<(), Infallible> {
        let len = at.width().len();
        self.0[usize::from(at.offset())..][..len].copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }
}

fn access(offset: u16, len: usize) -> ConfigAccess {
    ConfigAccess::new(offset, Width::from_len(len).unwrap()).unwrap()
}

/// A function with capabilities of every kind.
fn image<const N: usize>() -> [u8; N] {
    let mut image = [0; N];
    image[0x06] = 0x10;
    image[0x34] = 0x40;
    for (at, bytes) in [
        (0x40, &[0x09, 0x50, 0x0c][..]),
        (0x50, &[0x05, 0x70, 0x80, 1]),
        (0x70, &[0x11, 0x80, 7, 0]),
        (0x80, &[0x10, 0xc0, 0x92, 0]),
        (0xc0, &[0x01, 0xd0]),
        (0xd0, &[0x05, 0x00, 0x00, 0]),
    ] {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    if N > 0x100 {
        image[0x100..0x104].copy_from_slice(&0x1401_0001_u32.to_le_bytes());
        image[0x140..0x144].copy_from_slice(&0x0001_0003_u32.to_le_bytes());
    }
    image
}

fn passthrough<const N: usize>(rom: bool) -> Passthrough<Device, N> {
    let bar = |kind, size| Bar::new(kind, size).unwrap();
    Passthrough::new(Device(image::<N>().to_vec()), |builder| {
        let builder = builder.bar(0, bar(BarKind::Memory64 { prefetchable: false }, 1 << 24))?;
        if rom {
            builder.bar(6, bar(BarKind::Rom, 1 << 16))
        } else {
            Ok(builder)
        }
    })
    .unwrap()
}

/// The bits that the shadow answers, told from a device that says the opposite of all that it said.
fn emulated<const N: usize>(function: &mut Passthrough<Device, N>) -> Vec<u8> {
    let shadow = *function.shadow().registers().bytes();
    function.backend_mut().0 = shadow.iter().map(|byte| !byte).collect();
    let read = |offset| function.read(access(offset, 1)).unwrap().to_le_bytes()[0];
    let bytes = (0..u16::try_from(N).unwrap()).map(read);
    bytes.zip(shadow).map(|(read, shadow)| !(read ^ shadow)).collect()
}

#[test]
fn what_is_emulated_from_the_start() {
    let mut expected = vec![0; 4096];
    for (at, mask) in [
        (0x06, &[0x10][..]),
        (0x0e, &[0x80]),
        (0x10, &[0xff; 24]),
        (0x30, &[0xff; 4]),
        (0x34, &[0xff]),
        (0x41, &[0xff]),
        (0x50, &[0xff; 0x18]),
        (0x70, &[0xff; 12]),
        (0x81, &[0xff]),
        (0x82, &[0xf0]),
        (0x8c, &[0xff; 8]),
        (0xac, &[0xff; 8]),
        (0xc1, &[0xff]),
        (0xd0, &[0xff; 10]),
        (0x102, &[0xf0, 0xff]),
        (0x142, &[0xf0, 0xff]),
    ] {
        expected[at..at + mask.len()].copy_from_slice(mask);
    }
    assert_eq!(emulated(&mut passthrough::<4096>(false)), expected);
    assert_eq!(emulated(&mut passthrough::<256>(false)), expected[..256]);
}

#[test]
fn a_rom_that_is_not_passed_through_reads_zero() {
    for (has_rom, expected) in [(false, 0), (true, 0xffff_0001)] {
        let mut function = passthrough::<256>(has_rom);
        function.backend_mut().0[0x30..0x34].fill(0x5a);
        let (_, forward) = function.write(access(0x30, 4), u32::MAX);
        assert_eq!(forward, None);
        assert_eq!(function.read(access(0x30, 4)), Ok(expected));
    }
    let mut image = image::<256>();
    image[0x30..0x34].fill(0xa5);
    let mut function = Passthrough::<_, 256>::new(Device(image.to_vec()), Ok).unwrap();
    assert_eq!(function.read(access(0x30, 4)), Ok(0), "the host's address is not shown");
}

#[test]
fn other_functions_of_the_host_are_not_those_of_the_guest() {
    let mut image = image::<256>();
    image[0x0e] = 0x80;
    let mut function = Passthrough::<_, 256>::new(Device(image.to_vec()), Ok).unwrap();
    assert_eq!(function.read(access(0x0e, 1)), Ok(0));
    assert_eq!(function.shadow().registers().u8(0x0e), 0);
}

#[test]
fn bits_that_were_emulated_stay_so() {
    let mut function = passthrough::<256>(false);
    function.emulate(0x44, &[0x0f]);
    function.emulate(0x44, &[0x3c, 0x01]);
    assert_eq!(emulated(&mut function)[0x44..0x46], [0x3f, 0x01]);
}

#[test]
fn every_width_and_place_sees_the_same_bytes() {
    let mut function = passthrough::<256>(false);
    function.emulate(0x44, &[0xff, 0x0f, 0xf0, 0xff]);
    function.backend_mut().0 = (0..=255).collect();
    let bytes: Vec<u8> = (0..256)
        .map(|offset| function.read(access(offset, 1)).unwrap().to_le_bytes()[0])
        .collect();
    for offset in 0..256 {
        for len in [2, 4] {
            let read = function.read(access(offset, len)).unwrap().to_le_bytes();
            // Beyond the end there are ones.
            let expected = bytes.iter().copied().chain([0xff; 4]).skip(offset.into()).take(len);
            assert!(read[..len].iter().copied().eq(expected), "{offset:#x}, {len} bytes");
        }
    }
}

#[test]
fn a_write_over_two_registers_changes_what_is_the_devices() {
    for offset in 0x44..0x48 {
        for len in [1, 2, 4] {
            let mut function = passthrough::<256>(false);
            function.emulate(0x45, &[0xff, 0x0f]);
            function.backend_mut().0.fill(0x11);
            let (effects, forward) = function.write(access(offset, len), 0xeeee_eeee);
            assert_eq!(effects, Effects::empty());
            let is_emulated = (offset, len) == (0x45, 1);
            assert_eq!(forward.is_none(), is_emulated);
            let _ = forward.map(|forward| function.forward(forward));
            for (at, byte) in (0_u16..).zip(&function.backend_mut().0) {
                let expected = match at {
                    _ if !(offset..offset + u16::try_from(len).unwrap()).contains(&at) => 0x11,
                    0x45 => 0x11,
                    0x46 => 0xe1,
                    _ => 0xee,
                };
                assert_eq!(*byte, expected, "{at:#x} after {len} bytes at {offset:#x}");
            }
        }
    }
}

/// Where a device has an error to report, a write beside it must not clear that error.
#[test]
fn errors_of_the_device_survive_a_write_beside_them() {
    let mut function = passthrough::<256>(false);
    function.emulate(0x06, &[0x00, 0xf0]);
    function.backend_mut().0[0x07] = 0xf9;
    let (_, forward) = function.write(access(0x06, 2), 0);
    assert_eq!(forward.map(|forward| function.forward(forward)), Some(Ok(())));
    assert_eq!(function.backend_mut().0[0x07], 0, "no one is written");
}

#[test]
fn the_shadow_follows_a_reset_of_the_device() {
    let mut function = passthrough::<256>(false);
    let _ = function.write(access(0x10, 4), 0xe000_0000);
    let _ = function.write(access(0x04, 2), 6);
    assert_eq!(function.reset_shadow(), Effects::BAR_MAP | Effects::BUS_MASTER);
    assert_eq!(function.bar_map(), function.shadow().bar_map());
    assert_eq!(function.shadow().registers().u32(0x10), 4);
    assert_eq!(function.limits(), function.shadow().limits());
}

#[test]
fn a_device_that_does_not_answer_is_named() {
    struct Silent;
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("no answer")]
    struct NoAnswer;
    impl ConfigBackend for Silent {
        type Error = NoAnswer;

        fn read(&mut self, at: ConfigAccess) -> Result<u32, NoAnswer> {
            (at.offset() < 0x48).then_some(0).ok_or(NoAnswer)
        }

        fn write(&mut self, _: ConfigAccess, _: u32) -> Result<(), NoAnswer> {
            Err(NoAnswer)
        }
    }
    let error = Passthrough::<_, 256>::new(Silent, Ok).err().unwrap();
    assert_eq!(
        error,
        PassthroughError::Read {
            offset: 0x48,
            source: NoAnswer
        }
    );
    assert!(error.to_string().contains("0x048"), "{error}");
}
