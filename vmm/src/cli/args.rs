// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use igd_quirks::facts::Firmware;
use igd_quirks::options::Options;
use igd_quirks::plan::Provisioning;
use igd_quirks::policy::Policy;
use igd_sim::Profile;
use log::LevelFilter;

use crate::machine::BoardKind;

const AFTER_HELP: &str = "\
Examples:
  igd-vmm plan --device vfio-pci,host=0000:00:02.0,addr=0x2
  igd-vmm probe --device host=00:02.0 --json > laptop.json
  igd-vmm plan --facts laptop.json --device addr=0x2 --provisioning direct
  igd-vmm run --sim kbl --debugcon stdio
  igd-vmm run --vfio-user /run/igd.sock --machine q35 --memory 2G --cpus 2 --kernel bzImage --append console=ttyS0

Exit codes:
  0  done; of run: the guest turned itself off, or was asked to end
  1  something failed        2  wrong arguments
  3  there is no plan        4  the device is gone
  64 to 127  the guest wrote to port 501h: 64 and the lower 6 bits of the value";

/// Gives an Intel integrated GPU to a virtual machine.
///
/// The device is the host's own (host= in --device, bound to vfio-pci), that of a vfio-user server, or a simulated one.
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100, after_help = AFTER_HELP)]
pub(super) struct Args {
    /// What is told on standard error
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(super) log: LevelFilter,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Boots firmware or a kernel with the device
    Run(Box<RunArgs>),
    /// Prints what would be done, and why; nothing is changed
    Plan(PlanArgs),
    /// Prints the facts about the device
    Probe(ProbeArgs),
}

#[derive(clap::Args, Debug)]
pub(super) struct DeviceArgs {
    /// The device, as for QEMU: [vfio-pci,]host=0000:00:02.0,addr=0x2,x-igd-opregion=on
    #[arg(long, value_name = "OPTIONS", default_value = "addr=0x2", value_parser = options)]
    pub(super) device: Options,

    /// A simulated device of this platform, such as kbl; igd-sim --list names them
    #[arg(long, value_name = "PROFILE", value_parser = profile, group = "source")]
    pub(super) sim: Option<&'static Profile>,

    /// The device of a vfio-user server at this socket
    #[arg(long, value_name = "SOCKET", group = "source")]
    pub(super) vfio_user: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
pub(super) struct MachineArgs {
    /// Board: pc (i440FX) or q35
    #[arg(long, value_name = "BOARD", value_enum, default_value = "pc")]
    pub(super) machine: Board,

    /// Guest RAM, such as 512M or 2G
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = memory)]
    pub(super) memory: u64,

    /// Flat firmware image of 64 KiB to 16 MiB; by default the distribution's SeaBIOS
    #[arg(long, value_name = "FILE", conflicts_with = "kernel")]
    pub(super) firmware: Option<PathBuf>,

    /// What the firmware is, as far as graphics is concerned
    #[arg(long, value_name = "KIND", value_enum, default_value = "seabios")]
    pub(super) firmware_kind: FirmwareKind,

    /// A Linux kernel (bzImage) to start without firmware
    #[arg(long, value_name = "FILE")]
    pub(super) kernel: Option<PathBuf>,

    /// The kernel's initial RAM disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub(super) initrd: Option<PathBuf>,

    /// The kernel's command line
    #[arg(
        long,
        value_name = "TEXT",
        requires = "kernel",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) append: String,
}

#[derive(clap::Args, Debug)]
pub(super) struct PolicyArgs {
    /// Whose decisions: native, document-2016, or a version of QEMU such as qemu-10.1
    #[arg(long, value_name = "POLICY", default_value = "native", value_parser = policy)]
    pub(super) policy: Policy,

    /// Who places OpRegion and stolen memory: fw-cfg, direct or identity; by default the firmware, or nobody without one
    #[arg(long, value_name = "STRATEGY")]
    pub(super) provisioning: Option<Provisioning>,
}

#[derive(clap::Args, Debug)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    #[command(flatten)]
    pub(super) machine: MachineArgs,

    /// As a facts file
    #[arg(long)]
    pub(super) json: bool,

    /// Without serial numbers and version strings
    #[arg(long)]
    pub(super) redact: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    #[command(flatten)]
    pub(super) machine: MachineArgs,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Facts from a file instead of a device; the machine is that of the file
    #[arg(
        long,
        value_name = "FILE",
        group = "source",
        conflicts_with_all = ["machine", "memory", "firmware", "firmware_kind", "kernel"]
    )]
    pub(super) facts: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(clap::Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) device: DeviceArgs,
    #[command(flatten)]
    pub(super) machine: MachineArgs,
    #[command(flatten)]
    pub(super) policy: PolicyArgs,

    /// Processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) cpus: u8,

    /// Where the serial port writes to: stdio, none or a file; with stdio it reads there too
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(super) serial: String,

    /// Where the debug console at port 402h writes to: stdio, none or a file
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(super) debugcon: String,

    /// Records every access to configuration space, fw_cfg, trapped BARs and VGA as a trace
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// Ends the guest after this time
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) exit_after: Option<u64>,

    /// Writes what was seen of the machine to a file, as JSON, at the end
    #[arg(long, value_name = "FILE")]
    pub(super) status: Option<PathBuf>,

    /// Writes guest memory to a file at the end: ADDRESS,LENGTH,FILE; may be given several times
    #[arg(long, value_name = "RANGE", value_parser = dump)]
    pub(super) dump_memory: Vec<Dump>,
}

/// Guest memory to write to a file. An address of `asls` is that of the OpRegion.
#[derive(Clone, Debug)]
pub(super) struct Dump {
    pub(super) address: Option<u64>,
    pub(super) len: u64,
    pub(super) file: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Board {
    Pc,
    Q35,
}

impl From<Board> for BoardKind {
    fn from(board: Board) -> Self {
        match board {
            Board::Pc => Self::Pc,
            Board::Q35 => Self::Q35,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FirmwareKind {
    Seabios,
    Ovmf,
    OvmfIgd,
    Unknown,
}

impl From<FirmwareKind> for Firmware {
    fn from(kind: FirmwareKind) -> Self {
        match kind {
            FirmwareKind::Seabios => Self::SeaBios,
            FirmwareKind::Ovmf => Self::Ovmf,
            FirmwareKind::OvmfIgd => Self::OvmfWithIgdDriver,
            FirmwareKind::Unknown => Self::Unknown,
        }
    }
}

fn options(text: &str) -> Result<Options, String> {
    text.parse::<Options>().map_err(|error| error.to_string())
}

fn policy(text: &str) -> Result<Policy, String> {
    text.parse::<Policy>().map_err(|error| error.to_string())
}

fn profile(name: &str) -> Result<&'static Profile, String> {
    Profile::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = Profile::all().iter().map(|profile| profile.name).collect();
        format!("no such platform; there are {}", names.join(", "))
    })
}

/// A number of bytes, with K, M or G.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text}: not a size such as 512M, 2G or 0x10000");
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (text.get(..text.len() - 1), 10),
        Some(b'm' | b'M') => (text.get(..text.len() - 1), 20),
        Some(b'g' | b'G') => (text.get(..text.len() - 1), 30),
        _ => (Some(text), 0),
    };
    let digits = digits.ok_or_else(wrong)?;
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    let number = number.map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    let whole = bytes.is_multiple_of(1 << 20);
    match bytes {
        0x0200_0000..=0x100_0000_0000 if whole => Ok(bytes),
        _ => Err(format!("{text}: guest RAM has 32M to 1024G, in whole megabytes")),
    }
}

fn dump(text: &str) -> Result<Dump, String> {
    let mut parts = text.splitn(3, ',');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(address), Some(len), Some(file)) if !file.is_empty() => Ok(Dump {
            address: match address {
                "asls" => None,
                _ => Some(size(address)?),
            },
            len: size(len)?,
            file: file.into(),
        }),
        _ => Err(format!("{text}: not ADDRESS,LENGTH,FILE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_that_would_be_ignored_are_refused() {
        let parse = |line: &str| Args::try_parse_from(line.split(' ')).map(|_| ());
        assert!(parse("igd-vmm plan --facts f.json --device host=00:02.0,addr=0x2").is_ok());
        for wrong in [
            "igd-vmm plan --facts f.json --machine q35",
            "igd-vmm plan --facts f.json --memory 1G",
            "igd-vmm plan --facts f.json --kernel bzImage",
            "igd-vmm plan --facts f.json --sim kbl",
            "igd-vmm plan --sim kbl --vfio-user igd.sock",
            "igd-vmm run --sim kbl --append quiet",
            "igd-vmm run --sim kbl --kernel bzImage --firmware bios.bin",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(memory("512M"), Ok(512 << 20));
        assert_eq!(memory("3G"), Ok(3 << 30));
        assert_eq!(size("0x10"), Ok(16));
        for wrong in [
            "",
            "M",
            "1.5G",
            "16M",
            "33554433",
            "99999999999999999999G",
            "20000000000G",
            "-1M",
        ] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn dumps_name_range_and_file() {
        let parsed = dump("asls,8K,opregion.bin").unwrap();
        assert_eq!((parsed.address, parsed.len), (None, 8192));
        assert_eq!(dump("0x1000,16,a,b").unwrap().file, PathBuf::from("a,b"));
        assert!(dump("0x1000,16").is_err());
        assert!(dump("0x1000,16,").is_err());
    }
}
