// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! QEMU's own assignment of the device as the oracle: the same probe, device and options in QEMU and in our VMM.

pub(super) mod asm;
mod compare;
mod known;
pub(super) mod machines;
mod matrix;
mod probe;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Place;
use super::cpio::Archive;
use super::scenarios::Boot;
use crate::tools::succeed;
use asm::DONE;
use compare::{End, Pair, compare};

/// What a program ends with.
struct Codes {
    /// After the probe, which wrote this value to the port that ends the machine.
    probed: fn(u8) -> i32,
    /// When it refuses the device.
    refused: &'static [i32],
}

const QEMU: Codes = Codes {
    probed: |value| i32::from(value) << 1 | 1,
    // A refusal of a GMS code ends by a signal, after the message and before the guest starts.
    refused: &[1, 139],
};
const OURS: Codes = Codes {
    probed: |value| 64 | i32::from(value & 0x3f),
    refused: &[3],
};

/// Adds QEMU, the probe and the list of runs to the machine's initial RAM disk.
pub(super) fn add(place: &Place, boot: &Boot, initrd: &Path) -> Result<()> {
    let device = boot.devices.first().context("a machine without a device")?;
    let table = machines::table(device.profile);
    let mut archive = Archive::default();
    for slot in [2, 3] {
        archive.file(&format!("lab/oracle/probe-{slot}.bin"), &probe::image(slot, table)?);
    }
    archive.file("lab/oracle/runs", matrix::list(&matrix::runs()).as_bytes());
    let rom = initrd.with_extension("rom");
    let mut dump = Command::new(&place.sim);
    dump.args(device.args()).arg("--dump-rom").arg(&rom);
    succeed(dump.stdout(Stdio::null()))?;
    archive.file(matrix::ROM_FILE.trim_start_matches('/'), &read(&rom)?);
    add_qemu(place, &mut archive)?;
    append(initrd, archive)
}

/// Adds QEMU to the machine's initial RAM disk.
pub(super) fn add_program(place: &Place, initrd: &Path) -> Result<()> {
    let mut archive = Archive::default();
    add_qemu(place, &mut archive)?;
    append(initrd, archive)
}

fn append(initrd: &Path, archive: Archive) -> Result<()> {
    let file = fs::OpenOptions::new().append(true).open(initrd);
    let mut file = file.with_context(|| format!("cannot write {}", initrd.display()))?;
    let len = file.metadata().context("cannot write the initial RAM disk")?.len();
    // The kernel takes one archive after another, each aligned; this one is large and gains nothing by compression.
    let padding = vec![0; usize::try_from(len.next_multiple_of(4) - len).unwrap_or_default()];
    let written = file
        .write_all(&padding)
        .and_then(|()| file.write_all(&archive.finish()));
    written.with_context(|| format!("cannot write {}", initrd.display()))
}

/// The fetched QEMU with its loader and the libraries that it names.
fn add_qemu(place: &Place, archive: &mut Archive) -> Result<()> {
    let qemu = place.cache.root().join("usr/bin/qemu-system-x86_64");
    let mut list = place.cache.program("qemu-system-x86_64");
    let loader = Path::new(list.get_program()).to_owned();
    list.args(["--version"]).env("LD_TRACE_LOADED_OBJECTS", "1");
    let output = list.output().context("cannot start the fetched loader")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = libraries(&said);
    if libraries.is_empty() {
        bail!("the fetched loader names no libraries of QEMU: {}", said.trim());
    }
    for (name, path) in libraries {
        archive.program(&format!("lab/qemu/{name}"), &read(Path::new(path))?);
    }
    archive.program("lab/qemu/loader", &read(&loader)?);
    archive.program("lab/qemu/qemu", &read(&qemu)?);
    for name in ["kvmvapic.bin", "linuxboot_dma.bin"] {
        let rom = place.cache.root().join("usr/share/qemu").join(name);
        archive.file(&format!("lab/qemu/share/{name}"), &read(&rom)?);
    }
    Ok(())
}

/// Names and files, from `NAME => FILE (ADDRESS)` a line.
fn libraries(said: &str) -> Vec<(&str, &str)> {
    let lines = said.lines().filter_map(|line| {
        let (name, file) = line.trim().split_once(" => ")?;
        let file = file.split(" (").next()?;
        (!name.starts_with('/') && file.starts_with('/')).then_some((name, file))
    });
    lines.collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What differs on this platform and should not, or should and does not.
pub(super) fn failures(folder: &Path, profile: &str) -> Vec<String> {
    let pairs = matrix::runs().into_iter().map(|run| Pair {
        reference: end(folder, &run.name, "qemu", run.slot, &QEMU),
        ours: end(folder, &run.name, "vmm", run.slot, &OURS),
        machine: run.machine,
        run: run.name,
    });
    let pairs: Vec<Pair> = pairs.collect();
    let outcome = compare(&pairs, &known::known(profile), known::REASONS);
    eprintln!(
        "lab: {} sets of options: {} probed, {} refused by both; {} answers equal, {} differ as known",
        pairs.len(),
        outcome.probed,
        outcome.refused,
        outcome.equal,
        outcome.known
    );
    outcome.failures
}

/// How a program ended: its code, what it said, what the probe wrote.
fn end(folder: &Path, run: &str, program: &str, slot: u8, codes: &Codes) -> End {
    let file = |ending: &str| folder.join(format!("{run}.{program}{ending}"));
    let said = fs::read(file(".err")).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let code = fs::read_to_string(file(".code")).unwrap_or_default();
    match code.trim().parse::<i32>() {
        Ok(code) if code == (codes.probed)(DONE) => {
            let written = fs::read(file("")).unwrap_or_default();
            match probe::read(slot, &written) {
                Ok(found) => End::Probed(found),
                Err(error) => End::Broken(format!("writes nonsense: {error}")),
            }
        }
        Ok(code) if codes.refused.contains(&code) => End::Refused(said),
        Ok(code) => End::Broken(format!(
            "ends with {code}: {}",
            said.lines().last().unwrap_or("nothing")
        )),
        Err(_) => End::Broken("did not run".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let said = "\tlinux-vdso.so.1 (0x1)\n\tliba.so.1 => /x/liba.so.1 (0x2)\n\t/lib64/ld.so => /y/ld.so (0x3)\n";
        assert_eq!(libraries(said), [("liba.so.1", "/x/liba.so.1")]);
    }

    #[test]
    fn a_run_that_left_nothing_is_no_agreement() {
        let folder = std::env::temp_dir().join(format!("lab-oracle-{}-none", std::process::id()));
        let failures = failures(&folder, "kbl");
        assert!(failures[0].contains("QEMU did not run, we did not run"), "{failures:?}");
    }
}
