// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! A QEMU that is started for each trace.

use super::command_line::{arguments, launcher_for};
use super::machine::QtestMachine;
use super::process::Launcher;
use crate::subject::{Machine, Refusal, Subject};
use crate::trace::{Header, Rom};

/// Largest firmware image that QEMU takes.
const ROM_LIMIT: u64 = 16 << 20;

/// Starts QEMU for each trace, from the trace's own header.
#[derive(Debug)]
pub struct Qemu {
    launcher: Launcher,
    version: String,
}

impl Qemu {
    /// Finds out the version of the launcher's QEMU.
    ///
    /// # Errors
    ///
    /// QEMU cannot be started; the text says what to install.
    pub fn new(launcher: Launcher) -> Result<Self, String> {
        let version = launcher.version()?;
        Ok(Self { launcher, version })
    }
}

impl Subject for Qemu {
    fn name(&self) -> &str {
        "qemu"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn machine(&self, header: &Header) -> Result<Box<dyn Machine + '_>, Refusal> {
        answers_for(&header.qemu, &self.version).map_err(Refusal::Skip)?;
        let launcher = launcher_for(header, &self.launcher).map_err(Refusal::Skip)?;
        let files = launcher.work_dir().map_err(Refusal::Error)?;
        let args = arguments(header, &launcher, &files)?;
        let link = launcher.start(&args).map_err(Refusal::Error)?;
        Ok(Box::new(QtestMachine {
            link,
            ram: header.ram,
            _files: Some(files),
        }))
    }
}

/// Whether QEMU `own` should answer as `recorded` did: a release of the same major version, or no version is named.
///
/// # Errors
///
/// The reason why not.
pub(crate) fn answers_for(recorded: &[String], own: &str) -> Result<(), String> {
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    if recorded.is_empty() || recorded.iter().any(|version| major(version) == major(own)) {
        return Ok(());
    }
    Err(format!("recorded on QEMU {}, this is {own}", recorded.join(" and ")))
}

/// The image that `@rom` describes: every dword holds its own physical address.
///
/// # Errors
///
/// The image is larger than QEMU takes, not a multiple of 4 bytes, or does not end below 4 GiB.
pub(crate) fn rom_image(rom: Rom) -> Result<Vec<u8>, String> {
    let end = rom.start.checked_add(rom.size).and_then(|end| u32::try_from(end).ok());
    match (u32::try_from(rom.start), end) {
        (Ok(start), Some(end)) if rom.size <= ROM_LIMIT && rom.size.is_multiple_of(4) => {
            Ok((start..end).step_by(4).flat_map(u32::to_le_bytes).collect())
        }
        _ => Err(format!(
            "firmware image of {:#x} bytes at {:#x} is not one that QEMU takes",
            rom.size, rom.start
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_decides() {
        let recorded = ["7.2.22".to_owned(), "11.1.2".to_owned()];
        assert_eq!(answers_for(&recorded, "11.1.2"), Ok(()));
        assert_eq!(answers_for(&recorded, "7.0.0"), Ok(()));
        assert_eq!(answers_for(&[], "1.0"), Ok(()));
        assert_eq!(
            answers_for(&recorded, "10.0.2").unwrap_err(),
            "recorded on QEMU 7.2.22 and 11.1.2, this is 10.0.2"
        );
    }

    #[test]
    fn a_rom_dword_holds_its_address() {
        let image = rom_image(Rom {
            start: 0xe0000,
            size: 0x20000,
        })
        .unwrap();
        assert_eq!(image.len(), 0x20000);
        assert_eq!(image[0x1_2344..0x1_2348], 0xf_2344_u32.to_le_bytes());
        for (start, size) in [
            (0, ROM_LIMIT + 4),
            (0, 6),
            (u64::MAX, 4),
            (0xffff_ffff, 4),
            (1 << 40, 4),
        ] {
            assert!(rom_image(Rom { start, size }).is_err(), "{start:#x} {size:#x}");
        }
    }
}
