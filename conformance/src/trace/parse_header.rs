// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Header lines to [`Header`].

use super::header::{BarKind, BarSpec, CapSpec, Header, Item, Kind, PciImage, Rom};
use super::parse::{Cursor, ParseError};

/// Keys that stand once and are kept as text in [`Header::other`].
const SINGLE: [&str; 4] = ["seed", "firmware", "spec", "compat"];
/// Most entries of any list in the header.
const MAX_ENTRIES: usize = 65536;
/// What the `@rom` header says of the image behind shadow RAM.
const ROM_RULE: &str = "every dword holds its own address";

/// Collects header lines.
#[derive(Default)]
pub(super) struct Builder {
    header: Header,
    versioned: bool,
    /// Keys seen, and for keys that stand several times what tells two of them apart.
    seen: std::collections::HashSet<(String, u64)>,
}

type Parsed<T> = Result<T, ParseError>;

impl Builder {
    /// Takes in the header `@key text`, which is `line` as a whole.
    pub(super) fn add(&mut self, line: &[u8], key: &str, text: &str) -> Parsed<()> {
        let cursor = Cursor::header_text(line, key);
        if !self.versioned {
            return self.version(cursor, key);
        }
        let tag = self.field(cursor, key, text)?;
        if let Some(tag) = tag
            && !self.seen.insert((key.to_owned(), tag))
        {
            return Err(cursor.wrong("the header stands twice"));
        }
        Ok(())
    }

    /// The header of all lines added.
    pub(super) fn finish(self) -> Result<Header, String> {
        if !self.versioned {
            return Err("not a register trace: it does not begin with `@trace 1`".to_owned());
        }
        Ok(self.header)
    }

    fn version(&mut self, mut cursor: Cursor<'_>, key: &str) -> Parsed<()> {
        if key != "trace" {
            return Err(cursor.wrong("not a register trace: its first header is not `@trace 1`"));
        }
        let start = cursor;
        if cursor.number("expected the version of the format")? != super::VERSION {
            return Err(start.wrong("this version of the trace format is not known, only version 1"));
        }
        cursor.end()?;
        self.versioned = true;
        Ok(())
    }

    /// Parses one header into its field; returns what two headers of this key must not share.
    fn field(&mut self, mut cursor: Cursor<'_>, key: &str, text: &str) -> Parsed<Option<u64>> {
        let header = &mut self.header;
        let lists = [
            header.devices.len(),
            header.functions.len(),
            header.pci.len(),
            header.bars.len(),
            header.caps.len(),
            header.items.len(),
            header.igd_host.len(),
            header.other.len(),
        ];
        if lists.iter().any(|len| *len >= MAX_ENTRIES) {
            return Err(cursor.wrong("more than 65536 headers of a kind"));
        }
        match key {
            "trace" => return Err(cursor.wrong("the header stands twice")),
            "kind" => {
                header.kind = Kind::from_name(text).ok_or_else(|| cursor.wrong("expected qtest or firmware"))?;
            }
            "qemu" => header.qemu = text.split(' ').map(str::to_owned).collect(),
            "machine" => text.clone_into(&mut header.machine),
            "cmdline" => text.clone_into(&mut header.cmdline),
            "suite" => text.clone_into(&mut header.suite),
            "ram" => {
                header.ram = cursor.number("expected the size of RAM")?;
                cursor.end()?;
            }
            "rom" => header.rom = Some(rom(cursor)?),
            "device" => {
                header.devices.push(text.to_owned());
                return Ok(None);
            }
            "function" => {
                let bdf = cursor.bdf()?;
                cursor.end()?;
                header.functions.push(bdf);
                return Ok(Some(bdf.to_bits().into()));
            }
            "pci" => {
                let image = pci(cursor)?;
                let tag = image.bdf.to_bits().into();
                header.pci.push(image);
                return Ok(Some(tag));
            }
            "bar" => {
                let bar = bar(cursor)?;
                header.bars.push(bar);
                return Ok(Some(u64::from(bar.bdf.to_bits()) << 8 | u64::from(bar.bar)));
            }
            "cap" => {
                let cap = cap(cursor)?;
                header.caps.push(cap);
                return Ok(Some(u64::from(cap.bdf.to_bits()) << 8 | u64::from(cap.offset)));
            }
            "item" => {
                let item = item(cursor)?;
                let tag = item.key.into();
                header.items.push(item);
                return Ok(Some(tag));
            }
            "writable" => {
                let key = cursor.small("expected a fw_cfg key")?;
                cursor.end()?;
                header.writable.push(key);
                return Ok(Some(key.into()));
            }
            "igd-host" => {
                let name = cursor.word("expected the name of a host property")?;
                cursor.space("the value is missing")?;
                let value = cursor.text()?;
                if !self.seen.insert((format!("{key} {name}"), 0)) {
                    return Err(cursor.wrong("the header stands twice"));
                }
                header.igd_host.push((name.to_owned(), value.to_owned()));
                return Ok(None);
            }
            _ => {
                header.other.push((key.to_owned(), text.to_owned()));
                if !SINGLE.contains(&key) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(0))
    }
}

fn rom(mut cursor: Cursor<'_>) -> Parsed<Rom> {
    let begin = cursor;
    let start = cursor.number("expected the address of the image")?;
    cursor.space("the size is missing")?;
    let size = cursor.number("expected the size of the image")?;
    cursor.space("the rule of the content is missing")?;
    if start.checked_add(size).is_none() {
        return Err(begin.wrong("the image wraps around"));
    }
    if cursor.text()? != ROM_RULE {
        return Err(cursor.wrong("expected `every dword holds its own address`"));
    }
    Ok(Rom { start, size })
}

fn pci(mut cursor: Cursor<'_>) -> Parsed<PciImage> {
    let bdf = cursor.bdf()?;
    cursor.space("the 256 bytes are missing")?;
    let start = cursor;
    let bytes = cursor.hex()?;
    cursor.end()?;
    let mut config = Box::new([0; 256]);
    if bytes.len() != 256 || bytes.copy_to(config.as_mut_slice()) != 256 {
        return Err(start.wrong("expected 256 bytes of configuration space"));
    }
    Ok(PciImage { bdf, config })
}

fn bar(mut cursor: Cursor<'_>) -> Parsed<BarSpec> {
    let bdf = cursor.bdf()?;
    cursor.space("the BAR is missing")?;
    let at_bar = cursor;
    let bar = cursor.bar()?;
    cursor.space("the kind is missing")?;
    let start = cursor;
    let kind = match cursor.word("expected the kind of the BAR")? {
        "mem32" => BarKind::Mem32,
        "mem64" => BarKind::Mem64,
        "io" => BarKind::Io,
        "rom" => BarKind::Rom,
        _ => return Err(start.wrong("expected mem32, mem64, io or rom")),
    };
    if (kind == BarKind::Rom) != (bar == 6) || kind == BarKind::Mem64 && bar == 5 {
        return Err(at_bar.wrong("no BAR of this kind has this number"));
    }
    cursor.space("pf or - is missing")?;
    let start = cursor;
    let prefetchable = match cursor.word("expected pf or -")? {
        "pf" => true,
        "-" => false,
        _ => return Err(start.wrong("expected pf or -")),
    };
    cursor.space("the size is missing")?;
    let start = cursor;
    let size = cursor.number("expected the size of the BAR")?;
    cursor.end()?;
    if !size.is_power_of_two() {
        return Err(start.wrong("the size of a BAR is a power of two"));
    }
    Ok(BarSpec {
        bdf,
        bar,
        kind,
        prefetchable,
        size,
    })
}

fn cap(mut cursor: Cursor<'_>) -> Parsed<CapSpec> {
    let bdf = cursor.bdf()?;
    cursor.space("the offset is missing")?;
    let offset = cursor.small("expected an offset below 0x100")?;
    cursor.space("the capability id is missing")?;
    let id = cursor.small("expected a capability id below 0x100")?;
    cursor.end()?;
    Ok(CapSpec { bdf, offset, id })
}

fn item(mut cursor: Cursor<'_>) -> Parsed<Item> {
    let key = cursor.small("expected a fw_cfg key of 16 bits")?;
    cursor.space("the size is missing")?;
    let at_size = cursor;
    let size = cursor.number("expected the size of the item")?;
    cursor.space("the name is missing")?;
    let name = cursor.word("expected the name of the item")?.to_owned();
    cursor.space("the content is missing")?;
    let content = cursor.hex()?;
    cursor.end()?;
    if u64::try_from(content.len()) != Ok(size) {
        return Err(at_size.wrong("another number of bytes than the line says"));
    }
    Ok(Item {
        key,
        name,
        bytes: content.bytes().collect(),
    })
}
