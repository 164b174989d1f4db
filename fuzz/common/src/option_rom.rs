// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Option ROMs: a chain of images within bounds, and its repair, with sums of its own.

use core::fmt::Write;

use arbitrary::{Result, Unstructured};
use igd_quirks::rom::{CodeType, OptionRom, RomAbsent, RomError, present};

use crate::Target;
use crate::util::{Edit, apply, edits, field, put, rarely, show, sum};

/// The target.
pub const TARGET: Target = Target {
    name: "option_rom",
    package: "igd-quirks",
    summary: "option ROMs: a chain of images within bounds, and its repair, with sums of its own",
    run,
    describe,
    seeds,
};

const UNIT: usize = 512;
const CODE_TYPES: [u8; 4] = [0, 3, 1, 0xff];

/// An image of the chain.
#[derive(Clone, Debug)]
struct Image {
    units: u16,
    told: u16,
    pcir: u16,
    vendor: u16,
    device: u16,
    code_type: u8,
    indicator: u8,
    noise: u8,
}

/// A ROM, and the function that it is repaired for.
#[derive(Clone, Debug)]
struct Input {
    bytes: Vec<u8>,
    vendor: u16,
    device: u16,
    chain: Vec<Image>,
    edits: Vec<Edit>,
}

impl Input {
    fn read(data: &[u8]) -> Result<Self> {
        let mut u = Unstructured::new(data);
        let flags: u8 = u.arbitrary()?;
        let vendor = if flags & 2 != 0 { u.arbitrary()? } else { 0x8086 };
        let device = u.arbitrary()?;
        let mut chain = Vec::new();
        let mut list = Vec::new();
        let bytes = if flags & 1 != 0 {
            u.take_rest().to_vec()
        } else {
            for _ in 0..u.int_in_range(0..=5_u8)? {
                chain.push(Image::read(&mut u)?);
            }
            if let Some(last) = chain.last_mut()
                && flags & 4 == 0
            {
                last.indicator |= 0x80;
            }
            let mut bytes: Vec<u8> = chain.iter().flat_map(Image::bytes).collect();
            list = edits(&mut u, bytes.len())?;
            apply(&mut bytes, &list);
            bytes
        };
        Ok(Self {
            bytes,
            vendor,
            device,
            chain,
            edits: list,
        })
    }
}

impl Image {
    fn read(u: &mut Unstructured<'_>) -> Result<Self> {
        let units = u.int_in_range(1..=4)?;
        Ok(Self {
            units,
            told: if rarely(u, 10)? { u.arbitrary()? } else { units },
            pcir: if rarely(u, 4)? {
                u.int_in_range(0..=0x220)?
            } else {
                0x40
            },
            vendor: if rarely(u, 4)? { u.arbitrary()? } else { 0x8086 },
            device: u.arbitrary()?,
            code_type: *u.choose(&CODE_TYPES)?,
            indicator: if rarely(u, 8)? { u.arbitrary()? } else { 0 },
            noise: u.arbitrary()?,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..=u8::MAX)
            .cycle()
            .map(|byte| byte.wrapping_mul(self.noise))
            .take(usize::from(self.units) * UNIT)
            .collect();
        put(&mut bytes, 0, &[0x55, 0xaa]);
        put(&mut bytes, 0x18, &self.pcir.to_le_bytes());
        let pcir = usize::from(self.pcir);
        put(&mut bytes, pcir, b"PCIR");
        put(&mut bytes, pcir + 4, &self.vendor.to_le_bytes());
        put(&mut bytes, pcir + 6, &self.device.to_le_bytes());
        put(&mut bytes, pcir + 0x10, &self.told.to_le_bytes());
        put(&mut bytes, pcir + 0x14, &[self.code_type, self.indicator]);
        bytes
    }
}

/// Runs one input.
///
/// # Panics
///
/// An oracle is broken.
pub fn run(data: &[u8]) {
    let Ok(input) = Input::read(data) else { return };
    let bytes = &input.bytes;
    let is_blank = bytes.iter().all(|byte| *byte == 0xff);
    match present(true, Some(bytes)) {
        Ok(shown) => assert!(!is_blank && shown == bytes, "{} bytes are present", bytes.len()),
        Err(RomAbsent::NoShadow) => assert!(bytes.is_empty(), "no shadow in {} bytes", bytes.len()),
        Err(RomAbsent::AllOnes(len)) => assert!(is_blank && len == bytes.len(), "{len} ones"),
        Err(error) => panic!("turned on, and {error}"),
    }
    let Ok(rom) = OptionRom::parse(bytes) else { return };
    chain(bytes, &rom);
    repair(&input, &rom);
}

/// The images follow each other from the start, and are what their headers say.
fn chain(bytes: &[u8], rom: &OptionRom<'_>) {
    let mut end = 0;
    let last = rom.images().len() - 1;
    assert!(
        last <= bytes.len() / UNIT,
        "{} images in {} bytes",
        last + 1,
        bytes.len()
    );
    for (index, image) in rom.images().iter().enumerate() {
        assert_eq!(image.offset, end, "image {index} does not follow the one before");
        end += image.len;
        let of_image = bytes
            .get(image.offset..end)
            .unwrap_or_else(|| panic!("image {index} leaves the ROM: {image:?}"));
        assert!(
            of_image.starts_with(&[0x55, 0xaa]) && of_image.len().is_multiple_of(UNIT),
            "{image:?}"
        );
        let pcir = image.offset + usize::from(u16::from_le_bytes(field(of_image, 0x18)));
        assert!(
            image.pcir == pcir && pcir + 0x18 <= end && pcir >= image.offset + 0x1a,
            "{image:?}"
        );
        let data = bytes.get(pcir..end).unwrap_or_default();
        assert!(data.starts_with(b"PCIR"), "{image:?}");
        assert_eq!(image.vendor, u16::from_le_bytes(field(data, 4)), "{image:?}");
        assert_eq!(image.device, u16::from_le_bytes(field(data, 6)), "{image:?}");
        assert_eq!(
            image.len / UNIT,
            usize::from(u16::from_le_bytes(field(data, 0x10))),
            "{image:?}"
        );
        let code_type = match field(data, 0x14) {
            [0] => CodeType::Legacy,
            [3] => CodeType::Efi,
            [other] => CodeType::Other(other),
        };
        assert_eq!(image.code_type, code_type, "{image:?}");
        assert_eq!(image.checksum_ok, sum(of_image) == 0, "{image:?}");
        let [indicator] = field(data, 0x15);
        let is_last = indicator & 0x80 != 0 || index == last && is_none(bytes.get(end..).unwrap_or_default());
        assert_eq!(is_last, index == last, "image {index} of {last}: {image:?}");
    }
}

/// Whether what follows an image that is not the last is no image of a PCI device.
fn is_none(rest: &[u8]) -> bool {
    let pcir = usize::from(u16::from_le_bytes(field(rest, 0x18)));
    rest.len() > 1 && !rest.starts_with(&[0x55, 0xaa])
        || rest.len() > 0x19 && (pcir < 0x1a || field(rest, pcir) != *b"PCIR" || rest.len() < pcir + 0x18)
}

fn repair(input: &Input, rom: &OptionRom<'_>) {
    let (vendor, device) = (input.vendor, input.device);
    let ours = |image: &&igd_quirks::rom::RomImage| image.vendor == vendor;
    let repaired = match rom.repaired(vendor, device) {
        Ok(repaired) => repaired,
        Err(error) => {
            let first = rom.images().first().map_or(0, |image| image.vendor);
            assert_eq!(error, RomError::Vendor { vendor, found: first });
            assert!(
                !rom.images().iter().any(|image| ours(&image)),
                "an image of {vendor:04x} is not repaired"
            );
            return;
        }
    };
    assert_eq!(repaired.len(), input.bytes.len(), "length of the repaired ROM");
    let mut expected = input.bytes.clone();
    for image in rom.images().iter().filter(ours) {
        put(&mut expected, image.pcir + 6, &device.to_le_bytes());
        let now = repaired.get(image.offset..image.offset + image.len).unwrap_or_default();
        if image.code_type == CodeType::Legacy {
            assert_eq!(sum(now), 0, "sum of the repaired image at {:#x}", image.offset);
            put(&mut expected, image.offset + 6, &field::<1>(now, 6));
        }
    }
    assert!(
        expected == repaired,
        "more than ids and checksums of images for {vendor:04x} changed"
    );
    let again = OptionRom::parse(&repaired).unwrap_or_else(|error| panic!("the repaired ROM is refused: {error}"));
    assert_eq!(again.images().len(), rom.images().len(), "images of the repaired ROM");
    let of_vendor = again.images().iter().filter(ours);
    assert!(of_vendor.clone().count() > 0, "no image is for {vendor:04x} any more");
    for image in of_vendor {
        assert_eq!(image.device, device, "{image:?}");
        assert!(image.checksum_ok || image.code_type != CodeType::Legacy, "{image:?}");
    }
    let all_ours = rom.images().iter().all(|image| ours(&image));
    assert_eq!(
        again.is_for(vendor, device),
        all_ours,
        "whether the whole ROM is for {vendor:04x}:{device:04x}"
    );
    assert!(
        again.repaired(vendor, device).as_ref() == Ok(&repaired),
        "a second repair changes it"
    );
}

/// Shows one input.
#[must_use]
pub fn describe(data: &[u8]) -> String {
    let input = match Input::read(data) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let mut text = format!(
        "for {:04x}:{:04x}, {} bytes\n",
        input.vendor,
        input.device,
        input.bytes.len()
    );
    for image in &input.chain {
        let _ = writeln!(text, "put {image:x?}");
    }
    text.push_str(&show(&input.edits));
    match OptionRom::parse(&input.bytes) {
        Ok(rom) => {
            for image in rom.images() {
                let _ = writeln!(text, "found {image:x?}");
            }
        }
        Err(error) => {
            let _ = writeln!(text, "refused: {error}");
        }
    }
    text
}

/// Inputs to start from.
#[must_use]
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let image = |code_type, device, indicator| Image {
        units: 1,
        told: 1,
        pcir: 0x40,
        vendor: 0x8086,
        device,
        code_type,
        indicator,
        noise: 7,
    };
    let given = |images: &[Image]| {
        let mut bytes = vec![1, 0x12, 0x59];
        bytes.extend(images.iter().flat_map(Image::bytes));
        bytes
    };
    vec![
        ("efi".to_owned(), given(&[image(3, 0x5912, 0x80)])),
        (
            "legacy-and-efi".to_owned(),
            given(&[image(0, 0x0406, 0), image(3, 0x0406, 0x80)]),
        ),
        ("unending".to_owned(), given(&[image(0, 0x0406, 0)])),
        // Flags, device; three images with every field; no edit.
        (
            "chain".to_owned(),
            [&[0, 0x12, 0x59, 3][..], &[0, 0, 0, 0, 6, 4, 0, 0, 9].repeat(3), &[0]].concat(),
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
        let text = of("legacy-and-efi");
        assert!(
            text.contains("for 8086:5912, 1024 bytes\nfound RomImage { offset: 0, len: 200"),
            "{text}"
        );
        assert!(of("chain").matches("found RomImage").count() == 3, "{}", of("chain"));
        assert!(
            of("unending").contains("refused: ROM of 512 bytes ends"),
            "{}",
            of("unending")
        );
    }
}
