// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Option ROMs: PCI Firmware Specification 3.0, chapter 5.

use alloc::vec::Vec;
use core::fmt;

use crate::bytes::{u16_at, u32_at};

/// First two bytes of an image.
const SIGNATURE: u16 = 0xaa55;
/// Offset in the image of the pointer to its PCI data structure.
const PCIR_POINTER: usize = 0x18;
/// Bytes of the header, which ends with that pointer.
const HEADER_LEN: usize = 0x1a;
/// First bytes of the PCI data structure: `PCIR`.
const PCIR_SIGNATURE: u32 = u32::from_le_bytes(*b"PCIR");
const PCIR_VENDOR: usize = 4;
const PCIR_DEVICE: usize = 6;
const PCIR_IMAGE_UNITS: usize = 0x10;
const PCIR_CODE_TYPE: usize = 0x14;
const PCIR_INDICATOR: usize = 0x15;
const PCIR_LEN: usize = 0x18;
const INDICATOR_LAST: u8 = 0x80;
/// Image lengths count these.
const UNIT: usize = 512;
/// Byte of a legacy image that firmware ignores and QEMU makes the checksum right with.
const CHECKSUM_BYTE: usize = 6;

/// For whom the code of an image is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum CodeType {
    /// A PC BIOS (VBIOS).
    Legacy,
    /// UEFI (GOP driver).
    Efi,
    /// Anything else.
    Other(u8),
}

impl fmt::Display for CodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Legacy => f.write_str("legacy BIOS"),
            Self::Efi => f.write_str("UEFI"),
            Self::Other(code) => write!(f, "code type {code}"),
        }
    }
}

/// One image of an option ROM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RomImage {
    /// Offset in the ROM in bytes.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
    /// Offset of the PCI data structure in the ROM.
    pub pcir: usize,
    /// For whom the code is.
    pub code_type: CodeType,
    /// Vendor id the image is for.
    pub vendor: u16,
    /// Device id the image is for.
    pub device: u16,
    /// Whether the bytes add up to zero; a firmware demands that of legacy images only.
    pub checksum_ok: bool,
}

/// An option ROM whose images all lie within its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionRom<'a> {
    bytes: &'a [u8],
    images: Vec<RomImage>,
}

/// Why bytes are no option ROM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RomError {
    /// Another signature.
    #[error("image at {offset:#x} of the ROM starts with {found:04x}h, not aa55h")]
    Signature {
        /// Offset of the image.
        offset: usize,
        /// The two bytes there.
        found: u16,
    },
    /// The ROM ends within a header.
    #[error("ROM of {len} bytes ends within the headers of the image at {offset:#x}")]
    Truncated {
        /// Offset of the image.
        offset: usize,
        /// Bytes given.
        len: usize,
    },
    /// No PCI data structure where the pointer says.
    #[error("image at {offset:#x} of the ROM has no PCI data structure at {pcir:#x}")]
    Pcir {
        /// Offset of the image.
        offset: usize,
        /// Where it should be, relative to the image.
        pcir: usize,
    },
    /// An image longer than the ROM, or of no length.
    #[error("image at {offset:#x} says it has {told} bytes, the ROM of {len} bytes has {} there", len.saturating_sub(*offset))]
    ImageLength {
        /// Offset of the image.
        offset: usize,
        /// Its length in bytes by its header.
        told: usize,
        /// Bytes given.
        len: usize,
    },
    /// Images for other vendors only.
    #[error("no image of the ROM is for vendor {vendor:04x}: the first is for {found:04x}")]
    Vendor {
        /// Vendor wanted.
        vendor: u16,
        /// Vendor of the first image.
        found: u16,
    },
}

/// Why a device has no option ROM.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RomAbsent {
    /// The user turned it off.
    #[error("the ROM is turned off by an option (rombar=0)")]
    TurnedOff,
    /// The host has no region for it, or one of size 0: firmware left no shadow copy at C0000h.
    #[error("the host has no shadow ROM: it was started by UEFI without a VBIOS, or graphics is not primary")]
    NoShadow,
    /// All bytes are ones.
    #[error("the ROM reads as {0} bytes of ffh: the device does not answer")]
    AllOnes(usize),
}

/// The bytes of a ROM, if there are any to look at.
///
/// # Errors
///
/// [`RomAbsent`] says why there are none.
pub fn present(turned_on: bool, region: Option<&[u8]>) -> Result<&[u8], RomAbsent> {
    if !turned_on {
        return Err(RomAbsent::TurnedOff);
    }
    let bytes = region.filter(|bytes| !bytes.is_empty()).ok_or(RomAbsent::NoShadow)?;
    if bytes.iter().all(|byte| *byte == 0xff) {
        return Err(RomAbsent::AllOnes(bytes.len()));
    }
    Ok(bytes)
}

impl<'a> OptionRom<'a> {
    /// Walks the images of a ROM. What follows the last image is ignored, and so is what follows others but is no image
    /// of a PCI device: a host's kernel reads the ROM of the first display from the copy that firmware left at C0000h, of
    /// the first image alone.
    ///
    /// # Errors
    ///
    /// [`RomError`] for a first image that is not one, or for one that leaves the ROM.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RomError> {
        let mut images = Vec::new();
        let mut offset = 0;
        loop {
            let (image, last) = match image_at(bytes, offset) {
                Err(RomError::Signature { .. } | RomError::Pcir { .. }) if !images.is_empty() => {
                    return Ok(Self { bytes, images });
                }
                found => found?,
            };
            offset += image.len;
            images.push(image);
            if last {
                return Ok(Self { bytes, images });
            }
        }
    }

    /// The images, first to last; at least one.
    #[must_use]
    pub fn images(&self) -> &[RomImage] {
        &self.images
    }

    /// Whether an image for `code_type` is there.
    #[must_use]
    pub fn has(&self, code_type: CodeType) -> bool {
        self.images.iter().any(|image| image.code_type == code_type)
    }

    /// Whether every image is for this vendor and device.
    #[must_use]
    pub fn is_for(&self, vendor: u16, device: u16) -> bool {
        self.images
            .iter()
            .all(|image| (image.vendor, image.device) == (vendor, device))
    }

    /// A ROM whose images of `vendor` are for `device`, with right checksums in the legacy ones. Firmware runs an
    /// image only if its ids are those of the function.
    ///
    /// # Errors
    ///
    /// [`RomError::Vendor`] if no image is of that vendor.
    pub fn repaired(&self, vendor: u16, device: u16) -> Result<Vec<u8>, RomError> {
        if !self.images.iter().any(|image| image.vendor == vendor) {
            let found = self.images.first().map_or(0, |image| image.vendor);
            return Err(RomError::Vendor { vendor, found });
        }
        let mut rom = self.bytes.to_vec();
        for image in self.images.iter().filter(|image| image.vendor == vendor) {
            let id = image.pcir + PCIR_DEVICE;
            if let Some(field) = rom.get_mut(id..id + 2) {
                field.copy_from_slice(&device.to_le_bytes());
            }
            if let (CodeType::Legacy, Some(bytes)) =
                (image.code_type, rom.get_mut(image.offset..image.offset + image.len))
            {
                let excess = sum(bytes);
                if let Some(byte) = bytes.get_mut(CHECKSUM_BYTE) {
                    *byte = byte.wrapping_sub(excess);
                }
            }
        }
        Ok(rom)
    }
}

/// The image at `offset`, and whether it is the last.
fn image_at(bytes: &[u8], offset: usize) -> Result<(RomImage, bool), RomError> {
    let len = bytes.len();
    let truncated = RomError::Truncated { offset, len };
    let rest = bytes.get(offset..).ok_or(truncated)?;
    let found = u16_at(rest, 0).ok_or(truncated)?;
    if found != SIGNATURE {
        return Err(RomError::Signature { offset, found });
    }
    let pcir = usize::from(u16_at(rest, PCIR_POINTER).ok_or(truncated)?);
    let no_pcir = RomError::Pcir { offset, pcir };
    let data = rest.get(pcir..).and_then(|data| data.get(..PCIR_LEN)).ok_or(no_pcir)?;
    if pcir < HEADER_LEN || u32_at(data, 0) != Some(PCIR_SIGNATURE) {
        return Err(no_pcir);
    }
    let told = usize::from(u16_at(data, PCIR_IMAGE_UNITS).ok_or(truncated)?) * UNIT;
    let image = rest.get(..told).filter(|image| image.len() >= pcir + PCIR_LEN);
    let image = image.ok_or(RomError::ImageLength { offset, told, len })?;
    let code_type = match data.get(PCIR_CODE_TYPE).copied().ok_or(truncated)? {
        0 => CodeType::Legacy,
        3 => CodeType::Efi,
        other => CodeType::Other(other),
    };
    let indicator = data.get(PCIR_INDICATOR).copied().ok_or(truncated)?;
    let image = RomImage {
        offset,
        len: told,
        pcir: offset + pcir,
        code_type,
        vendor: u16_at(data, PCIR_VENDOR).ok_or(truncated)?,
        device: u16_at(data, PCIR_DEVICE).ok_or(truncated)?,
        checksum_ok: sum(image) == 0,
    };
    Ok((image, indicator & INDICATOR_LAST != 0))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}
