// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The firmware image.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where distributions put SeaBIOS.
pub const SEABIOS: &[&str] = &[
    "/usr/share/seabios/bios-256k.bin",
    "/usr/share/qemu/bios-256k.bin",
    "/usr/share/qemu-kvm/bios-256k.bin",
    "/run/current-system/sw/share/qemu/bios-256k.bin",
];
const MIN: u64 = 64 << 10;
const MAX: u64 = 16 << 20;
const PAGE: u64 = 4096;

/// An image that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// SeaBIOS is not installed.
    #[error("no SeaBIOS found in {}; install it (Debian, Ubuntu: apt-get install seabios) or name one with --firmware", SEABIOS.join(", "))]
    NotFound,
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no flat image.
    #[error("{}: {size:#x} bytes; an image has 64 KiB to 16 MiB in whole pages of 4 KiB", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// The image has no code where a processor starts.
    #[error("{}: nothing at the reset vector, 16 bytes before its end", path.display())]
    NoResetVector {
        /// The file.
        path: PathBuf,
    },
}

/// The SeaBIOS of the distribution.
///
/// # Errors
///
/// There is none in the usual places.
pub fn find() -> Result<PathBuf, ImageError> {
    let found = SEABIOS.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or(ImageError::NotFound)
}

/// Reads an image.
///
/// # Errors
///
/// The file cannot be read, or is no flat image that ends with the reset vector.
pub fn load(path: &Path) -> Result<Vec<u8>, ImageError> {
    let read = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let mut image = Vec::new();
    file.take(MAX + 1).read_to_end(&mut image).map_err(read)?;
    let size = u64::try_from(image.len()).unwrap_or(u64::MAX);
    if !(MIN..=MAX).contains(&size) || !size.is_multiple_of(PAGE) {
        return Err(ImageError::Size {
            path: path.to_owned(),
            size,
        });
    }
    let vector = image.last_chunk::<16>().copied().unwrap_or_default();
    if vector == [0; 16] || vector == [0xff; 16] {
        return Err(ImageError::NoResetVector { path: path.to_owned() });
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(name: &str, image: &[u8]) -> Result<Vec<u8>, ImageError> {
        let path = std::env::temp_dir().join(format!("igd-vmm-{}-{name}", std::process::id()));
        std::fs::write(&path, image).unwrap();
        let loaded = load(&path);
        std::fs::remove_file(&path).unwrap();
        loaded
    }

    #[test]
    fn images_are_flat_and_start_somewhere() {
        let mut image = vec![0xff; 0x1_0000];
        assert!(matches!(loaded("ones", &image), Err(ImageError::NoResetVector { .. })));
        image[0xfff0] = 0xe9;
        assert_eq!(loaded("good", &image).unwrap().len(), 0x1_0000);
        assert!(matches!(
            loaded("odd", &image[1..]),
            Err(ImageError::Size { size: 0xffff, .. })
        ));
        assert!(matches!(
            loaded("small", &image[0x1000..]),
            Err(ImageError::Size { .. })
        ));
        assert!(matches!(load(Path::new("/nonexistent")), Err(ImageError::Read { .. })));
    }
}
