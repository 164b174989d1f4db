// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The arguments.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use igd_sim::opregion::VbtPlacement;
use igd_sim::{Fault, OpRegionVersion, Options, Profile};

/// A simulated Intel integrated GPU on a vfio-user socket.
///
/// QEMU from 10.1 on connects to it with the device vfio-user-pci, a Rust VMM with the crate `vfio_user`. Clients are
/// served one after another, each with a device of its own.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Platform, such as kbl or tgl
    #[arg(short, long, value_name = "NAME", value_parser = profile)]
    pub(crate) profile: Option<&'static Profile>,

    /// Where to listen
    #[arg(short, long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Lists the platforms
    #[arg(long)]
    pub(crate) list: bool,

    /// Ends after the first client
    #[arg(long)]
    pub(crate) once: bool,

    /// Prints accesses: `w|r REGION OFFSET WIDTH VALUE`
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, default_missing_value = "config-writes")]
    pub(crate) log: Option<LogKind>,

    /// How long a client may take for one message
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) stall: u64,

    /// Writes the OpRegion to a file, for fw_cfg or a loader
    #[arg(long, value_name = "FILE")]
    pub(crate) dump_opregion: Option<PathBuf>,

    /// Writes the option ROM to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) dump_rom: Option<PathBuf>,

    /// Something that goes wrong; may be given several times
    #[arg(long, value_name = "FAULT", help_heading = "Device")]
    pub(crate) fault: Vec<Fault>,

    /// Version of the OpRegion, such as 2.0
    #[arg(long, value_name = "VERSION", help_heading = "Device")]
    pub(crate) opregion_version: Option<OpRegionVersion>,

    /// Where the VBT is; by default in its mailbox if it fits
    #[arg(long, value_name = "PLACE", value_enum, help_heading = "Device")]
    pub(crate) vbt: Option<VbtPlace>,

    /// Shows the OpRegion as it lies in a host's memory, instead of as VFIO shows it
    #[arg(long, help_heading = "Device")]
    pub(crate) host_opregion: bool,

    /// What ASLS holds; 0 for a host without an OpRegion
    #[arg(long, value_name = "ADDRESS", value_parser = number32, help_heading = "Device")]
    pub(crate) asls: Option<u32>,

    /// Stolen memory in MiB
    #[arg(long, value_name = "MIB", help_heading = "Device")]
    pub(crate) stolen: Option<u32>,

    /// Host address of stolen memory (BDSM)
    #[arg(long, value_name = "ADDRESS", value_parser = number, help_heading = "Device")]
    pub(crate) stolen_base: Option<u64>,

    /// Class code: 0x038000 for a function without a display
    #[arg(long, value_name = "CODE", value_parser = number32, help_heading = "Device")]
    pub(crate) class: Option<u32>,

    /// Lets software write GGC and BDSM, as before firmware locks them
    #[arg(long, help_heading = "Device")]
    pub(crate) unlocked: bool,

    /// Adds a page of test registers to BAR0: interrupts and DMA on demand
    #[arg(long, help_heading = "Device")]
    pub(crate) test_page: bool,

    /// Hands no BAR over as a file: each access is a message
    #[arg(long, help_heading = "Device")]
    pub(crate) no_mmap: bool,
}

const AFTER_HELP: &str = "\
Numbers are decimal, or hexadecimal with 0x.

Faults:
  short=REGION           reads deliver half
  error=REGION[@OFFSET]  accesses fail, or those that touch one byte
  missing=REGION         the region does not exist
  opregion=DEFECT        bad-signature, bad-size, truncated, bad-checksum, bad-vbt, rvds-lies, rvda-inside
  rom=DEFECT             bad-signature, bad-checksum, wrong-device, bad-pointer
  decode-gate            BARs fail while memory decoding is off, as with the kernel's vfio-pci
  slow=MS                each answer waits
  disconnect=N           the connection ends after N answers
Regions: config, bar0, bar2, bar4, rom, opregion, host-bridge, lpc-bridge, vga.

Exit status: 0 done, 1 failed, 2 wrong arguments.

Examples:
  igd-sim --profile kbl --socket /tmp/igd.sock --log
  qemu-system-x86_64 -device '{\"driver\":\"vfio-user-pci\",\"addr\":\"02.0\",\"socket\":{\"type\":\"unix\",\"path\":\"/tmp/igd.sock\"}}'
  igd-sim --profile cfl --opregion-version 2.0 --vbt absolute --dump-opregion opregion.bin
  igd-sim --profile tgl --socket igd.sock --fault opregion=rvds-lies --fault slow=50";

/// Which accesses are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogKind {
    /// Writes to configuration space
    ConfigWrites,
    /// All accesses to configuration space
    Config,
    /// All accesses
    All,
}

/// Where the VBT is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum VbtPlace {
    /// In mailbox 4
    Mailbox,
    /// At an address of its own: version 2.0
    Absolute,
    /// Behind the OpRegion: version 2.1 and later
    Relative,
    /// Behind the OpRegion and a gap
    RelativeGap,
}

impl Args {
    /// The options of the device.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        options.stolen_mib = self.stolen;
        options.stolen_base = self.stolen_base;
        options.class = self.class;
        options.asls = self.asls;
        options.opregion_version = self.opregion_version;
        options.vbt = self.vbt.map(|place| match place {
            VbtPlace::Mailbox => VbtPlacement::Mailbox,
            VbtPlace::Absolute => VbtPlacement::Absolute { address: 0x9a5f_1018 },
            VbtPlace::Relative => VbtPlacement::Relative { offset: 0x2000 },
            VbtPlace::RelativeGap => VbtPlacement::Relative { offset: 0x5000 },
        });
        options.host_opregion = self.host_opregion;
        options.unlocked = self.unlocked;
        options.test_page = self.test_page;
        options.shared = self.socket.is_some() && !self.no_mmap;
        options.faults.clone_from(&self.fault);
        options
    }
}

fn profile(name: &str) -> Result<&'static Profile, String> {
    Profile::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Profile::all().iter().map(|profile| profile.name).collect();
        format!("the platforms are {}", names.join(", "))
    })
}

fn number(text: &str) -> Result<u64, String> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    u64::from_str_radix(digits, radix).map_err(|error| error.to_string())
}

fn number32(text: &str) -> Result<u32, String> {
    let value = number(text)?;
    u32::try_from(value).map_err(|_| format!("{value:#x} has more than 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_have_a_radix_and_a_limit() {
        assert_eq!(number("0x3f000000"), Ok(0x3f00_0000));
        assert_eq!(number("12"), Ok(12));
        assert!(number("0x").is_err() && number32("0x100000000").is_err());
    }
}
