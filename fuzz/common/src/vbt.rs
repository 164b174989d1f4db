// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Video BIOS tables of hostile firmware: bounds, blocks, outputs and checksum, against a walk of its own.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_quirks::vbt::Vbt;

use crate::Target;
use crate::util::{Edit, apply, edits, field, put, rarely, show, sum, within};

/// The target.
pub const TARGET: Target = Target {
    name: "vbt",
    package: "igd-quirks",
    summary: "video BIOS tables of hostile firmware: bounds, blocks, outputs and checksum, against a walk of its own",
    run,
    describe,
    seeds,
};

const HEADER: usize = 48;
const CHECKSUM: usize = 26;
const BLOCK_IDS: [u8; 6] = [1, 2, 27, 52, 53, 254];

/// A table, and what was done to it.
#[derive(Clone, Debug)]
struct Input {
    bytes: Vec<u8>,
    blocks: Vec<(u8, u16, Vec<u8>)>,
    edits: Vec<Edit>,
    is_given: bool,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let flags: u8 = u.arbitrary()?;
        if flags & 1 != 0 {
            return Ok(Self {
                bytes: u.take_rest().to_vec(),
                blocks: Vec::new(),
                edits: Vec::new(),
                is_given: true,
            });
        }
        let version: u16 = u.int_in_range(100..=260)?;
        let blocks = (0..u.int_in_range(0..=6_u8)?)
            .map(|_| block(&mut u))
            .collect::<Result<Vec<_>>>()?;
        let mut bytes = igd_sim::vbt::build("FUZZ", 70);
        put(&mut bytes, HEADER + 16, &version.to_le_bytes());
        for (id, told, content) in &blocks {
            bytes.push(*id);
            bytes.extend(told.to_le_bytes());
            bytes.extend(content);
        }
        let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        put(&mut bytes, 24, &len.to_le_bytes());
        put(&mut bytes, HEADER + 20, &(len - 48).to_le_bytes());
        let edits = edits(&mut u, bytes.len())?;
        apply(&mut bytes, &edits);
        if flags & 2 != 0 {
            igd_sim::vbt::seal(&mut bytes);
        }
        Ok(Self {
            bytes,
            blocks,
            edits,
            is_given: false,
        })
    }
}

/// Id, length by the header and content, which mostly agree.
fn block(u: &mut Unstructured<'_>) -> Result<(u8, u16, Vec<u8>)> {
    let id = if rarely(u, 8)? {
        u.arbitrary()?
    } else {
        *u.choose(&BLOCK_IDS)?
    };
    let len = u.int_in_range(0..=120)?;
    let mut content = u.bytes(len.min(u.len()))?.to_vec();
    let told = match u.int_in_range(0..=7_u8)? {
        0 => u.arbitrary()?,
        _ => u16::try_from(content.len()).unwrap_or(0),
    };
    if id == 53 && u.arbitrary()? {
        let inner = u32::try_from(content.len()).unwrap_or(0);
        put(&mut content, 0, &[3]);
        put(&mut content, 1, &inner.to_le_bytes());
    }
    Ok((id, told, content))
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(Input { mut bytes, .. }) = Input::read(data) else {
        return;
    };
    let Ok(vbt) = Vbt::parse(&bytes) else { return };
    let table = vbt.bytes();
    let place = within(&bytes, table).unwrap_or_else(|| panic!("table of {} bytes outside", table.len()));
    let told = usize::from(u16::from_le_bytes(field(&bytes, 24)));
    assert!(
        place == (0..told) && told >= HEADER,
        "table at {place:#x?}, its header says {told:#x}"
    );
    assert_eq!(vbt.checksum_ok(), sum(table) == 0, "checksum");
    let product = vbt.product();
    assert!(
        product.starts_with("$VBT") && product.len() <= 20,
        "product {product:?}"
    );
    assert!(!product.contains(|c: char| c.is_control()), "product {product:?}");
    assert_eq!(Vbt::parse(table), Ok(vbt), "the table without what follows it");
    walk(&vbt);
    let text = vbt.to_string();
    assert!(
        text.lines().count() <= 2 + table.len(),
        "{} lines for {} bytes",
        text.lines().count(),
        table.len()
    );

    let sealed = |bytes: &mut Vec<u8>| {
        let mut table = bytes.get(..told).unwrap_or_default().to_vec();
        igd_sim::vbt::seal(&mut table);
        put(bytes, 0, &table);
    };
    let before = bytes.clone();
    let was_right = sum(before.get(..told).unwrap_or_default()) == 0;
    sealed(&mut bytes);
    let vbt = Vbt::parse(&bytes).unwrap_or_else(|error| panic!("with a right checksum it is refused: {error}"));
    assert!(vbt.checksum_ok(), "checksum of a table that was made right");
    assert_eq!(
        was_right,
        before == bytes,
        "whether making it right changes a right one"
    );
    for (at, (old, new)) in before.iter().zip(&bytes).enumerate() {
        assert!(old == new || at == CHECKSUM, "byte {at:#x} changed with the checksum");
    }
    let once = bytes.clone();
    sealed(&mut bytes);
    assert!(once == bytes, "making it right twice");
}

/// The blocks as they follow each other, and the outputs in block 2.
fn walk(vbt: &Vbt<'_>) {
    let table = vbt.bytes();
    let start = usize::try_from(u32::from_le_bytes(field(table, 28))).unwrap_or(usize::MAX);
    let bdb = table.get(start..).unwrap_or_default();
    let end = start + usize::from(u16::from_le_bytes(field(bdb, 20)));
    assert!(
        bdb.starts_with(b"BIOS_DATA_BLOCK") && end <= table.len(),
        "data blocks at {start:#x} to {end:#x}"
    );
    let mut at = start + usize::from(u16::from_le_bytes(field(bdb, 18)));
    let mut definitions = None;
    let mut blocks = vbt.blocks();
    loop {
        let rest = table.get(at..end).unwrap_or_default();
        let len = match (rest.first(), rest.get(3)) {
            (Some(53), Some(3..)) => usize::try_from(u32::from_le_bytes(field(rest, 4))).unwrap_or(usize::MAX),
            _ => usize::from(u16::from_le_bytes(field(rest, 1))),
        };
        let long = rest.first() == Some(&53) && rest.get(3) >= Some(&3);
        let whole = rest.len() >= if long { 8 } else { 3 };
        let expected = rest.get(3..).and_then(|data| data.get(..len)).filter(|_| whole);
        let found = blocks.next();
        assert_eq!(found.map(|block| block.data), expected, "block at {at:#x}");
        let (Some(block), Some(data)) = (found, expected) else {
            break;
        };
        assert_eq!(Some(&block.id), rest.first(), "id of the block at {at:#x}");
        assert_eq!(
            within(table, block.data),
            Some(at + 3..at + 3 + len),
            "block at {at:#x}"
        );
        if block.id == 2 && definitions.is_none() {
            definitions = Some(data);
        }
        at += 3 + len;
    }
    assert!(blocks.next().is_none(), "a block after the last");

    let data = definitions.unwrap_or_default();
    let size = data.get(4).map_or(0, |size| usize::from(*size)).max(1);
    let entries = data
        .get(5..)
        .unwrap_or_default()
        .chunks_exact(size)
        .filter(|entry| entry.len() >= 17);
    let expected: Vec<(u16, u16, u8)> = entries
        .map(|entry| {
            let [port] = field(entry, 16);
            (
                u16::from_le_bytes(field(entry, 0)),
                u16::from_le_bytes(field(entry, 2)),
                port,
            )
        })
        .filter(|(_, kind, _)| *kind != 0)
        .collect();
    let found: Vec<_> = vbt
        .child_devices()
        .map(|device| (device.handle, device.device_type, device.port))
        .collect();
    assert_eq!(found, expected, "outputs: handle, type, port");
    for device in vbt.child_devices() {
        assert!(vbt.bdb_version() >= 155 || device.port_name().is_none(), "{device:?}");
    }
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    if input.is_given {
        text.push_str("bytes as given\n");
    }
    for (id, told, content) in &input.blocks {
        let _ = writeln!(text, "put block {id}, told {told:#x}, {}", content.escape_ascii());
    }
    text.push_str(&show(&input.edits));
    match Vbt::parse(&input.bytes) {
        Ok(vbt) => {
            let _ = write!(text, "{vbt}");
        }
        Err(error) => {
            let _ = writeln!(text, "{} bytes, refused: {error}", input.bytes.len());
        }
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let given = |len| [vec![1], igd_sim::vbt::build("KABYLAKE", len)].concat();
    // Two outputs of 33 bytes in block 2.
    let mut outputs = vec![2, 128, 1, 0, 1, 71, 0, 0, 0, 0, 33];
    for port in [10, 0] {
        let mut entry = [0; 33];
        put(&mut entry, 0, &[8, 0, 0x06, 0x18]);
        put(&mut entry, 16, &[port]);
        outputs.extend(entry);
    }
    outputs.extend([7, 0]);
    vec![
        ("smallest".to_owned(), given(70)),
        ("one-block".to_owned(), given(200)),
        ("outputs".to_owned(), outputs),
        (
            "mipi".to_owned(),
            vec![2, 128, 1, 0, 4, 9, 3, 9, 0, 0, 0, 1, 2, 3, 4, 1, 1, 0],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_random_inputs_keep_the_oracles() {
        crate::util::exercise(&TARGET, 4000);
    }

    #[test]
    fn inputs_are_readable() {
        let of = |wanted| describe(&seeds().iter().find(|(name, _)| name == wanted).unwrap().1);
        assert!(
            of("one-block").contains("$VBT KABYLAKE version 100, 200 bytes, checksum right"),
            "{}",
            of("one-block")
        );
        let text = of("outputs");
        assert!(text.contains("put block 2, told 0x47"), "{text}");
        assert!(text.contains("internal port 10 (DP-A)"), "{text}");
    }
}
