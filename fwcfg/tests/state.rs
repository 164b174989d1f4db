// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Saving and restoring.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

#[expect(dead_code, reason = "the other test programs use the rest")]
mod common;

use common::{D, Guest, fixture};
use fwcfg::{ContentStateV1, FwCfgBuilder, FwCfgStateV1, Item, PausedDmaV1, RestoreError, Source};

#[derive(Debug)]
struct Ones;

impl Source for Ones {
    fn read_at(&self, _: u32, buf: &mut [u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        buf.fill(1);
        Ok(())
    }
}

fn small() -> FwCfgBuilder {
    let mut builder = FwCfgBuilder::with_file_slots(0x10).unwrap();
    builder.add_item(0x0005, 2u16.to_le_bytes()).unwrap();
    builder
        .add_item(0x0011, Item::from_source(Box::new(Ones), 300))
        .unwrap();
    builder.add_file("etc/w", Item::writable(vec![0; 4])).unwrap();
    builder
}

fn small_state() -> FwCfgStateV1 {
    let mut guest = Guest::with(small());
    guest.poke(0x2000, &[1, 2, 3, 4]);
    assert_eq!(guest.dma(0x0020_0018, 4, 0x2000).0, 0);
    guest.select(0x0020);
    guest.data(2);
    let _ = guest.outl(0x514, 0x0000_0001_u32.swap_bytes());
    guest.device.state()
}

#[test]
fn contents_travel() {
    let mut guest = Guest::new();
    guest.poke(0x2000, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(guest.dma(0x0022_0018, 8, 0x2000).0, 0);
    guest.device.modify(0x23, b"longer than before").unwrap();
    guest.select(0x8002);
    guest.data(1);
    let state = guest.device.state();

    let mut other = Guest::new();
    other.device.restore(&state).unwrap();
    assert_eq!(other.device.state(), state);
    assert_eq!(other.device.selected(), 0x8002);
    assert_eq!(other.read(0x22, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(other.read(0x23, 18), *b"longer than before");
    assert_eq!(other.read(0x19, 4 + 4 * 64)[4 + 3 * 64..][..4], [0, 0, 0, 18]);
    other.device.reset();
    assert_eq!(other.read(0x22, 8), [0; 8]);
}

#[test]
fn restoring_into_the_selected_item_is_seen() {
    let mut guest = Guest::new();
    guest.select(0x23);
    let mut state = guest.device.state();
    let saved = state.items.iter_mut().find(|item| item.key == 0x23).unwrap();
    saved.content = ContentStateV1::Bytes(b"XYZ".to_vec());
    guest.device.restore(&state).unwrap();
    assert_eq!(guest.data(3), *b"XYZ");
}

#[test]
fn a_waiting_command_goes_on_after_restore() {
    let mut guest = Guest::with(small());
    let mut state = guest.device.state();
    state.selector = 0x20;
    state.paused = Some(PausedDmaV1 {
        descriptor: D,
        control: 0x0020_0018,
        len: 4,
        buffer: 0x2000,
    });
    guest.poke(0x2000, &[1, 2, 3, 4]);
    guest.poke(D, &[0xee; 4]);
    guest.device.restore(&state).unwrap();
    assert_eq!(guest.control(D), 0xeeee_eeee);
    assert!(guest.device.resume(&guest.ram).written.is_some());
    assert_eq!((guest.control(D), guest.read(0x20, 4)), (0, vec![1, 2, 3, 4]));
}

/// Restores a state that was changed, and checks that a refusal leaves the device as it was.
fn refused(change: impl FnOnce(&mut FwCfgStateV1)) -> RestoreError {
    let mut state = small_state();
    change(&mut state);
    let mut device = small().build();
    let before = device.state();
    let error = device.restore(&state).unwrap_err();
    assert_eq!(device.state(), before);
    error
}

#[test]
fn states_that_do_not_fit_are_refused() {
    assert_eq!(refused(|s| s.version = 2), RestoreError::Version { version: 2 });
    let (state, device) = (false, true);
    assert_eq!(refused(|s| s.dma = false), RestoreError::Dma { state, device });
    let (state, device) = (0x20, 0x10);
    assert_eq!(
        refused(|s| s.file_slots = 0x20),
        RestoreError::FileSlots { state, device }
    );
    let key = 0x0011;
    assert_eq!(refused(|s| s.items[0].key = 0x0011), RestoreError::Kind { key });
    let twice = |s: &mut FwCfgStateV1| s.items.push(s.items[1].clone());
    assert_eq!(refused(twice), RestoreError::DuplicateItem { key });
    assert_eq!(refused(|s| drop(s.items.remove(1))), RestoreError::MissingItem { key });
    for key in [0x0006, 0x4005, 0x0030, 0xffff, 0x0000, 0x0019] {
        let unknown = |s: &mut FwCfgStateV1| s.items[0].key = key;
        assert_eq!(refused(unknown), RestoreError::UnknownItem { key });
    }
    let key = 0x0020;
    assert_eq!(
        refused(|s| s.items[2].name = Some("etc/v".into())),
        RestoreError::Name {
            key,
            state: Some("etc/v".into()),
            device: Some("etc/w".into())
        }
    );
    let (state, device) = (false, true);
    assert_eq!(
        refused(|s| s.items[2].writable = false),
        RestoreError::Writable { key, state, device }
    );
    let (state, device) = (5, 4);
    assert_eq!(
        refused(|s| s.items[2].content = ContentStateV1::Bytes(vec![0; 5])),
        RestoreError::Length { key, state, device }
    );
    let (key, state, device) = (0x0011, 301, 300);
    assert_eq!(
        refused(|s| s.items[1].content = ContentStateV1::Source { len: 301 }),
        RestoreError::Length { key, state, device }
    );
}

#[test]
fn a_state_without_dma_has_no_dma_address() {
    let mut device = fixture().dma(false).build();
    let mut state = device.state();
    assert_eq!(device.restore(&state), Ok(()));
    state.dma_latch = 0x10;
    assert_eq!(device.restore(&state), Err(RestoreError::DmaState { latch: 0x10 }));
}

#[test]
fn messages_name_the_value() {
    assert_eq!(refused(|s| s.version = 7).to_string(), "state version 7, expected 1");
    assert_eq!(
        refused(|s| s.file_slots = 0x20).to_string(),
        "0x20 file slots in the state, 0x10 in the device"
    );
    assert_eq!(
        refused(|s| s.items[0].key = 0x4005).to_string(),
        "the device has no item of key 0x4005"
    );
}

#[cfg(feature = "serde")]
#[test]
fn the_serialised_form_is_stable() {
    let mut state = small_state();
    state.paused = Some(PausedDmaV1 {
        descriptor: 0x1234,
        control: 0x0020_000a,
        len: 5,
        buffer: 6,
    });
    #[rustfmt::skip]
    let golden = [
        1, // version
        1, // DMA
        0x10, // file slots
        0x20, // selector
        2, // offset
        0x80, 0x80, 0x80, 0x80, 0x10, // latch
        1, 0xb4, 0x24, 0x8a, 0x80, 0x80, 0x01, 5, 6, // waiting command
        3, // items
        0x05, 0, 0, 0, 2, 2, 0,
        0x11, 0, 0, 1, 0xac, 0x02,
        0x20, 1, 5, b'e', b't', b'c', b'/', b'w', 1, 0, 4, 1, 2, 3, 4,
    ];
    assert_eq!(postcard::to_allocvec(&state).unwrap(), golden);
    assert_eq!(postcard::from_bytes::<FwCfgStateV1>(&golden).unwrap(), state);
}
