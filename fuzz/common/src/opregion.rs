// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `OpRegions` of hostile firmware: bounds, and the copy that a guest gets.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_quirks::opregion::{
    ExtendedVbt, GuestCopy, GuestCopyOptions, OpRegion, VbtPlace, Version, kernel_view, layout,
};
use igd_sim::opregion::{OpRegion as SimRegion, OpRegionFault, VbtPlacement};
use igd_sim::{OpRegionVersion, Profile};

use crate::Target;
use crate::util::{Edit, apply, edits, field, show, within};

/// The target.
pub const TARGET: Target = Target {
    name: "opregion",
    package: "igd-quirks",
    summary: "OpRegions of hostile firmware: bounds, and the copy that a guest gets",
    run,
    describe,
    seeds,
};

/// Bytes that a guest's copy may have otherwise: version, MBOX, RVDA and RVDS.
const CHANGED: [(usize, usize); 3] = [(0x16, 2), (0x58, 4), (0x3ba, 12)];
const FAULTS: [Option<OpRegionFault>; 8] = [
    None,
    Some(OpRegionFault::BadSignature),
    Some(OpRegionFault::BadSize),
    Some(OpRegionFault::Truncated),
    Some(OpRegionFault::BadChecksum),
    Some(OpRegionFault::BadVbt),
    Some(OpRegionFault::RvdsLies),
    Some(OpRegionFault::RvdaInside),
];

/// How an OpRegion is made up.
#[derive(Clone, Debug)]
struct Recipe {
    version: OpRegionVersion,
    vbt_len: u16,
    placement: VbtPlacement,
    fault: Option<OpRegionFault>,
    through_vfio: bool,
    fields: Vec<Edit>,
    edits: Vec<Edit>,
}

/// An OpRegion, and what to change in the copy.
#[derive(Clone, Debug)]
struct Input {
    bytes: Vec<u8>,
    options: GuestCopyOptions,
    /// `None` for bytes as they were given.
    recipe: Option<Recipe>,
    made: Option<SimRegion>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let flags: u8 = u.arbitrary()?;
        let options = GuestCopyOptions {
            hide_swsci: flags & 1 != 0,
            pad: flags & 2 != 0,
        };
        if flags & 4 != 0 {
            let bytes = u.take_rest().to_vec();
            return Ok(Self {
                bytes,
                options,
                recipe: None,
                made: None,
            });
        }
        let recipe = Recipe::read(&mut u, flags & 8 != 0)?;
        let table = igd_sim::vbt::build("FUZZ", recipe.vbt_len);
        let made = SimRegion::new(recipe.version, &table, recipe.placement)
            .ok()
            .map(|mut region| {
                if let Some(fault) = recipe.fault {
                    region.damage(fault);
                }
                region
            });
        let mut bytes = match &made {
            None => Vec::new(),
            Some(region) if recipe.through_vfio => region.vfio_bytes().0,
            Some(region) => region.host_bytes(),
        };
        apply(&mut bytes, &recipe.fields);
        apply(&mut bytes, &recipe.edits);
        Ok(Self {
            bytes,
            options,
            recipe: Some(recipe),
            made,
        })
    }
}

impl Recipe {
    fn read(u: &mut Unstructured<'_>, through_vfio: bool) -> Result<Self> {
        let (major, minor) = *u.choose(&[(1, 0), (2, 0), (2, 1), (2, 4), (3, 0)])?;
        let vbt_len = *u.choose(&[70, 0x1000, 0x1800, 0x1801, 0x1c00, 0x2000, 0x2400, 0xffff])?;
        let placement = match u.int_in_range(0..=3_u8)? {
            0 => VbtPlacement::Mailbox,
            1 => VbtPlacement::Absolute {
                // Below, the simulated kernel shows what a real one would not.
                address: u.int_in_range(0x2000..=u64::MAX)?,
            },
            2 => VbtPlacement::Relative { offset: 0x2000 },
            _ => VbtPlacement::Relative {
                offset: u.int_in_range(0x2000..=0x5000)?,
            },
        };
        let fault = *u.choose(&FAULTS)?;
        let mut fields = Vec::new();
        for _ in 0..u.int_in_range(0..=4_u8)? {
            let (at, len) = *u.choose(&[
                (0x10, 4),
                (0x16, 2),
                (0x58, 4),
                (0x3ba, 8),
                (0x3c2, 4),
                (0x400, 4),
                (0x418, 2),
            ])?;
            let value: u64 = match u.int_in_range(0..=3_u8)? {
                0 => u.arbitrary()?,
                1 => u.int_in_range(0..=0x20)?,
                2 => 0x2000_u64.wrapping_add_signed(u.int_in_range(-32..=32)?),
                _ => u64::MAX - u.int_in_range(0..=0x3000)?,
            };
            fields.push(Edit::Set(at, value.to_le_bytes().into_iter().take(len).collect()));
        }
        let edits = edits(u, 0x2400)?;
        Ok(Self {
            version: OpRegionVersion::new(major, minor),
            vbt_len,
            placement,
            fault,
            through_vfio,
            fields,
            edits,
        })
    }

    fn is_plain(&self) -> bool {
        self.fault.is_none() && self.fields.is_empty() && self.edits.is_empty()
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    if let (Some(recipe), Some(made)) = (&input.recipe, &input.made)
        && recipe.is_plain()
    {
        as_the_kernel_shows_it(recipe, made);
    }
    let Ok(region) = OpRegion::parse(&input.bytes) else {
        return;
    };
    bounds(&input.bytes, &region);
    copy(&region, input.options);
}

/// What the simulated device, which does as a kernel, says of a region that nobody damaged.
fn as_the_kernel_shows_it(recipe: &Recipe, made: &SimRegion) {
    let (bytes, len) = made.vfio_bytes();
    let region = OpRegion::parse(&bytes).unwrap_or_else(|error| panic!("a region of the kernel is refused: {error}"));
    let host = made.host_bytes();
    let (version, rvda, rvds) = (
        Version(u16::from_le_bytes(field(&host, 0x16))),
        u64::from_le_bytes(field(&host, 0x3ba)),
        u32::from_le_bytes(field(&host, 0x3c2)),
    );
    let view = kernel_view(version, rvda, rvds);
    assert_eq!(
        (view.size, view.version, view.rvda),
        (len, region.version(), region.rvda()),
        "{recipe:?}"
    );
    let copy = GuestCopy::new(&region, GuestCopyOptions::default());
    assert!(
        copy.bytes == bytes,
        "a copy of what the kernel shows differs: {:?}",
        copy.changes
    );
    assert!(region.vbt().is_ok(), "no VBT in {recipe:?}");
    // Where the VBT is behind the region, the copy of the raw bytes is what the kernel shows.
    if let Ok(raw) = OpRegion::parse(&host)
        && !matches!(raw.extended_vbt(), ExtendedVbt::Unreachable { .. })
    {
        let copy = GuestCopy::new(&raw, GuestCopyOptions::default());
        assert!(
            copy.bytes == bytes,
            "a copy of the raw bytes differs: {:?}",
            copy.changes
        );
    }
}

fn extended<'a>(region: &OpRegion<'a>) -> &'a [u8] {
    match region.extended_vbt() {
        ExtendedVbt::Present(bytes) => bytes,
        _ => &[],
    }
}

fn bounds(bytes: &[u8], region: &OpRegion<'_>) {
    assert!(region.bytes() == bytes, "other bytes than were given");
    assert!(
        bytes.len() >= 0x2000 && bytes.starts_with(b"IntelGraphicsMem"),
        "{} bytes accepted",
        bytes.len()
    );
    assert_eq!(field(bytes, 0x10), [8, 0, 0, 0], "size in KiB accepted");
    let mut end = 0x2000;
    match region.extended_vbt() {
        ExtendedVbt::None => {}
        ExtendedVbt::Present(vbt) => {
            let place = within(bytes, vbt).unwrap_or_else(|| panic!("extended VBT of {} outside", vbt.len()));
            assert!(
                place.start >= 0x2000,
                "extended VBT at {place:#x?} within the mailboxes"
            );
            assert_eq!(
                u32::try_from(vbt.len()),
                Ok(region.rvds()),
                "length of the extended VBT"
            );
            if region.version() > Version::V2_0 {
                assert_eq!(
                    u64::try_from(place.start),
                    Ok(region.rvda()),
                    "place of the extended VBT"
                );
            }
            end = place.end;
        }
        ExtendedVbt::Unreachable { rvda, rvds } => {
            assert_eq!(region.version(), Version::V2_0, "RVDA {rvda:#x} out of reach");
            assert!(rvda != 0 && rvds != 0, "RVDA {rvda:#x}, RVDS {rvds:#x}");
        }
    }
    let padding = bytes.get(end..).unwrap_or_default();
    assert!(
        padding.len() < 4096 && padding.iter().all(|byte| *byte == 0),
        "{} bytes unaccounted for",
        padding.len()
    );
    assert!(within(bytes, region.mailbox4()).is_some_and(|place| place.start == 0x400 && place.end <= 0x2000));
    if let Ok((place, vbt)) = region.vbt() {
        let found = within(bytes, vbt.bytes()).unwrap_or_else(|| panic!("VBT of {} outside", vbt.bytes().len()));
        let room = match place {
            VbtPlace::Mailbox4 => 0x400..0x2000,
            VbtPlace::Extended => within(bytes, extended(region)).unwrap_or(0..0),
        };
        assert!(
            found.start == room.start && found.end <= room.end,
            "VBT at {found:#x?} of {room:#x?}"
        );
    }
}

fn copy(host: &OpRegion<'_>, options: GuestCopyOptions) {
    let copy = GuestCopy::new(host, options);
    let vbt = extended(host);
    let len = 0x2000 + vbt.len();
    let padded = if options.pad { len.next_multiple_of(4096) } else { len };
    assert_eq!(
        copy.bytes.len(),
        padded,
        "length of the copy with a VBT of {} behind it",
        vbt.len()
    );
    let guest = OpRegion::parse(&copy.bytes)
        .unwrap_or_else(|error| panic!("the copy is no OpRegion: {error}; changes {:?}", copy.changes));
    bounds(&copy.bytes, &guest);
    assert!(extended(&guest) == vbt, "another extended VBT in the copy");
    if vbt.is_empty() {
        let ignored = guest.version() < Version::V2_0;
        assert!(
            ignored || guest.rvda() == 0,
            "RVDA {:#x} without an extended VBT",
            guest.rvda()
        );
    } else {
        assert_eq!(guest.rvda(), 0x2000, "RVDA of the copy");
        assert!(
            guest.version() > Version::V2_0,
            "relative RVDA in version {}",
            guest.version()
        );
    }
    let swsci = host.mailboxes().swsci() && !options.hide_swsci;
    assert_eq!(guest.mailboxes().swsci(), swsci, "mailbox 2 of the copy");
    for (at, (ours, theirs)) in copy.bytes.iter().zip(host.bytes()).enumerate().take(0x2000) {
        let may_change = CHANGED.iter().any(|(start, len)| (*start..start + len).contains(&at));
        assert!(
            may_change || ours == theirs,
            "byte {at:#x} of the copy is {ours:#04x}, was {theirs:#04x}"
        );
    }
    let found = |region: &OpRegion<'_>| region.vbt().map(|(place, vbt)| (place, vbt.bytes().to_vec()));
    assert!(found(&guest) == found(host), "another VBT in the copy");
    let again = GuestCopy::new(&guest, options);
    assert!(
        again.bytes == copy.bytes,
        "a copy of the copy differs: {:?}",
        again.changes
    );
    assert!(
        again.changes.is_empty(),
        "changes in a copy of the copy: {:?}",
        again.changes
    );
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!("{:?}\n", input.options);
    match &input.recipe {
        None => text.push_str("bytes as given\n"),
        Some(recipe) => {
            let _ = writeln!(
                text,
                "version {}, VBT of {:#x}, {:?}, fault {:?}, {}",
                recipe.version,
                recipe.vbt_len,
                recipe.placement,
                recipe.fault,
                if recipe.through_vfio {
                    "as VFIO shows it"
                } else {
                    "as it lies in memory"
                }
            );
            text.push_str(&show(&recipe.fields));
            text.push_str(&show(&recipe.edits));
        }
    }
    let bytes = &input.bytes;
    let _ = writeln!(text, "{} bytes", bytes.len());
    let _ = writeln!(
        text,
        "version {:04x} MBOX {:#x} RVDA {:#x} RVDS {:#x}",
        u16::from_le_bytes(field(bytes, layout::VERSION)),
        u32::from_le_bytes(field(bytes, layout::MBOX)),
        u64::from_le_bytes(field(bytes, layout::RVDA)),
        u32::from_le_bytes(field(bytes, layout::RVDS)),
    );
    match OpRegion::parse(bytes) {
        Ok(_) => text.push_str("accepted\n"),
        Err(error) => {
            let _ = writeln!(text, "refused: {error}");
        }
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    // Flags; version, length of the VBT, placement by number; fault; fields; edits.
    let recipes: [(&str, &[u8]); 7] = [
        ("mailbox", &[0x03, 1, 2, 0, 0, 0, 0]),
        (
            "absolute-as-vfio",
            &[0x0b, 1, 5, 1, 0, 0, 0, 0, 0x9a, 0x5f, 0x10, 0x18, 0, 0, 0],
        ),
        (
            "absolute-as-copied",
            &[0x02, 1, 5, 1, 0, 0, 0, 0, 0x9a, 0x5f, 0x10, 0x18, 0, 0, 0],
        ),
        ("relative", &[0x03, 2, 6, 2, 0, 0, 0]),
        ("relative-far", &[0x00, 3, 6, 3, 0x10, 0x00, 0, 0, 0]),
        ("rvds-lies", &[0x0a, 2, 6, 2, 6, 0, 0]),
        ("rvda-inside", &[0x0a, 2, 6, 2, 7, 0, 0]),
    ];
    let mut seeds: Vec<_> = recipes
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()))
        .collect();
    for name in ["snb", "kbl", "tgl"] {
        let Some(profile) = Profile::by_name(name) else {
            continue;
        };
        if let Ok(region) = SimRegion::of(profile, profile.opregion) {
            // The mailboxes alone: a whole one is too long for a seed.
            let mut bytes = vec![4];
            bytes.extend(region.host_bytes().into_iter().take(0x1fff));
            seeds.push((format!("cut-{name}"), bytes));
        }
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 2000);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        let text = of("relative");
        assert!(
            text.contains("version 2.1, VBT of 0x2400, Relative { offset: 8192 }, fault None"),
            "{text}"
        );
        assert!(text.ends_with("accepted\n"), "{text}");
        assert!(of("rvds-lies").contains("refused: "));
    }
}
