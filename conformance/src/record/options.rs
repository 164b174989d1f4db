// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! What to record, and the command line and header that follow from it.

use pci_model::Bdf;

use super::recorder::{RecordError, Recorder};
use super::suites::{Needs, Suite, fwcfg_files};
use crate::subjects::qtest::{Launcher, WorkDir, escape_commas, is_made_up, on_made_up_host, rom_image};
use crate::trace::Rom;

/// Pseudo-random accesses unless another number is asked for.
pub(super) const COUNT: u64 = 500;
/// Firmware of the suites about shadow RAM.
const ROM: Rom = Rom {
    start: 0xe0000,
    size: 0x20000,
};
const ROM_FILE: &str = "rom.bin";
/// Device properties whose values are paths.
const PATH_PROPERTIES: [&str; 2] = ["sysfsdev=", "romfile="];

/// What to record.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) suite: &'static Suite,
    pub(super) machine: String,
    pub(super) devices: Vec<String>,
    /// The function under test.
    pub(super) bdf: Bdf,
    pub(super) seed: u64,
    pub(super) count: u64,
    /// The longer variant.
    pub(super) held: bool,
    /// Registers that pseudo-random writes leave alone.
    pub(super) skip: std::collections::BTreeSet<u64>,
    pub(super) ram_mib: u64,
}

impl Options {
    /// Driver of the first device, or nothing.
    pub(super) fn driver(&self) -> &str {
        self.devices
            .first()
            .and_then(|device| device.split(',').next())
            .unwrap_or_default()
    }

    /// Size of guest RAM.
    pub(super) fn ram_bytes(&self) -> u64 {
        self.ram_mib << 20
    }

    /// These options, and the launcher, with the files of the made-up host if a device is one of that.
    ///
    /// # Errors
    ///
    /// The host cannot be made up; the text says what to install.
    pub(super) fn on_host(mut self, launcher: Launcher) -> Result<(Self, Launcher), String> {
        if !self.devices.iter().any(|device| is_made_up(device)) {
            return Ok((self, launcher));
        }
        let launcher = launcher.with_assigned_device()?;
        let files = launcher.files.as_deref().unwrap_or_default();
        for device in self.devices.iter_mut().filter(|device| is_made_up(device)) {
            *device = on_made_up_host(device, files);
        }
        Ok((self, launcher))
    }

    /// Records the suite.
    ///
    /// # Errors
    ///
    /// QEMU did not start, an access failed, or the machine lacks what the suite is about.
    pub(super) fn record(&self, launcher: &Launcher) -> Result<String, String> {
        let files = launcher.work_dir()?;
        let (args, shown) = self
            .command_line(&files)
            .map_err(|error| format!("cannot write a file: {error}"))?;
        let mut rec = Recorder::new(launcher, &args).map_err(|error| error.to_string())?;
        self.header(&mut rec, launcher, &shown)?;
        match (self.suite.run)(&mut rec, self) {
            Ok(()) => Ok(rec.text()),
            Err(error @ RecordError::Access(_)) => Err(format!("{error} {}", rec.progress())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// QEMU's arguments, and how the header shows them: without the places of files.
    fn command_line(&self, dir: &WorkDir) -> Result<(Vec<String>, Vec<String>), std::io::Error> {
        let mut args: Vec<String> = ["-machine", &self.machine, "-m", &self.ram_mib.to_string()]
            .map(String::from)
            .into();
        args.extend(["-nodefaults", "-vga", "none", "-nic", "none"].map(String::from));
        let mut shown = args.clone();
        for device in &self.devices {
            args.extend(["-device".to_owned(), device.clone()]);
            shown.extend(["-device".to_owned(), without_paths(device)]);
        }
        match self.suite.needs {
            Needs::Nothing => {}
            Needs::Firmware => {
                let image = rom_image(ROM).unwrap_or_default();
                args.extend(["-bios".to_owned(), dir.store(ROM_FILE, &image)?]);
                shown.extend(["-bios", ROM_FILE].map(String::from));
            }
            Needs::Items => {
                for (index, (name, bytes)) in fwcfg_files(self.seed, self.held).into_iter().enumerate() {
                    let file = format!("item{index}");
                    let path = escape_commas(&dir.store(&file, &bytes)?);
                    args.extend(["-fw_cfg".to_owned(), format!("name={name},file={path}")]);
                    shown.extend(["-fw_cfg".to_owned(), format!("name={name},file={file}")]);
                }
            }
        }
        Ok((args, shown))
    }

    fn header(&self, rec: &mut Recorder<'_>, launcher: &Launcher, shown: &[String]) -> Result<(), String> {
        rec.header("trace", "1");
        rec.header("kind", "qtest");
        rec.header("qemu", &launcher.version()?);
        rec.header("machine", &self.machine);
        for device in &self.devices {
            rec.header("device", &without_paths(device));
        }
        for (name, value) in launcher.env.iter().filter_map(|word| word.split_once('=')) {
            if name.starts_with("IGD_") {
                rec.header("igd-host", &format!("{name} {value}"));
            }
        }
        rec.header("cmdline", &format!("qemu-system-x86_64 {}", shown.join(" ")));
        rec.header("suite", self.suite.name);
        rec.header("seed", &self.seed.to_string());
        if self.held {
            rec.header("held", "1");
        }
        if self.suite.name == "fuzz" && !self.skip.is_empty() {
            let registers: Vec<String> = self.skip.iter().map(|register| format!("0x{register:02x}")).collect();
            rec.header("skip", &registers.join(","));
        }
        rec.header("ram", &format!("{:#x}", self.ram_bytes()));
        if self.suite.needs == Needs::Firmware {
            rec.header(
                "rom",
                &format!("{:#x} {:#x} every dword holds its own address", ROM.start, ROM.size),
            );
        }
        Ok(())
    }
}

/// A `-device` value with names of files in place of their paths.
fn without_paths(device: &str) -> String {
    let parts: Vec<String> = device
        .split(',')
        .map(|part| {
            let start = PATH_PROPERTIES
                .iter()
                .find_map(|name| part.find(name).map(|at| at + name.len()));
            let (name, path) = part.split_at(start.unwrap_or(part.len()));
            format!("{name}{}", path.rsplit('/').next().unwrap_or_default())
        })
        .collect();
    parts.join(",")
}

/// Registers from ranges such as `0x60-0x67,0xf0`.
pub(super) fn parse_registers(text: &str) -> Result<std::collections::BTreeSet<u64>, String> {
    let number = |word: &str| {
        let parsed = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        parsed
            .ok()
            .filter(|register| *register < 256)
            .ok_or_else(|| format!("{word:?} is not a register below 0x100"))
    };
    let mut registers = std::collections::BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        registers.extend(number(first)?..=number(last)?);
    }
    Ok(registers)
}

/// A function as on QEMU's command line: `1f.0`, `1f` or `00:1f.0`.
pub(super) fn parse_function(text: &str) -> Result<Bdf, String> {
    let (bus, rest) = text.rsplit_once(':').unwrap_or(("0", text));
    let (device, function) = rest.split_once('.').unwrap_or((rest, "0"));
    format!("{bus}:{device}.{function}")
        .parse()
        .map_err(|_| format!("{text:?} is not a function, such as 02.0"))
}

/// The function of a `-device` value, by its `addr`; 00:00.0 if there is none.
pub(super) fn function_of(device: &str) -> Result<Bdf, String> {
    match device.split(',').find_map(|part| part.strip_prefix("addr=")) {
        Some(addr) => parse_function(&addr.replace("0x", "")),
        None => Ok(Bdf::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_shown() {
        assert_eq!(
            without_paths("vfio-pci,sysfsdev=/a/b/0000:00:02.0,romfile=/c,d=/e,addr=2.0"),
            "vfio-pci,sysfsdev=0000:00:02.0,romfile=c,d=/e,addr=2.0"
        );
    }

    #[test]
    fn registers_and_functions() {
        assert_eq!(
            parse_registers("0x60-0x62,240")
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>(),
            [0x60, 0x61, 0x62, 240]
        );
        assert!(parse_registers("").unwrap().is_empty());
        for text in ["256", "x", "1-", "0x10-0x100"] {
            assert!(parse_registers(text).is_err(), "{text}");
        }
        assert_eq!(parse_function("1f").unwrap().to_string(), "00:1f.0");
        assert_eq!(parse_function("00:02.1").unwrap().to_string(), "00:02.1");
        assert!(parse_function("20.0").is_err());
        assert_eq!(function_of("edu,addr=0x5").unwrap().to_string(), "00:05.0");
        assert_eq!(function_of("vmcoreinfo").unwrap(), Bdf::default());
    }
}
