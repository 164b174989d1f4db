// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The initial RAM disk of the machine, and that of its guest.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Place;
use super::cpio::Archive;
use super::modules;
use super::signals;
use crate::tools::root;

/// What the machine needs of a kernel that has them as modules.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "vfio",
    "vfio_iommu_type1",
    "vfio_pci",
    "kvm_amd",
];
/// Loaded by a step.
const ON_DEMAND: &[&str] = &["pci_stub"];
const DRIVER: &[&str] = &["i915"];

/// The files of the guest.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) kernel: PathBuf,
    pub(super) initrd: Vec<u8>,
}

/// A program of tests, or of benches.
#[derive(Debug)]
pub(super) struct Program {
    /// `test` or `bench`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The guest of the VMM: a kernel with the graphics driver as modules.
pub(super) fn guest(place: &Place, kernel: &Path, modules: &Path) -> Result<Guest> {
    let mut archive = base(place)?;
    archive.program("init", &script("guest-init.sh")?);
    add_modules(place, &mut archive, modules, DRIVER, "modules.order")?;
    Ok(Guest {
        kernel: kernel.to_owned(),
        initrd: archive.finish(),
    })
}

/// What of the machine's initial RAM disk is not the same for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contents<'a> {
    /// Folder of the kernel's modules, if it has any.
    pub(super) modules: Option<&'a Path>,
    /// Whether the host's graphics driver is among them.
    pub(super) has_driver: bool,
    pub(super) guest: Option<&'a Guest>,
    pub(super) programs: &'a [Program],
    /// The OpRegion as it lies in the host's memory.
    pub(super) opregion: &'a Path,
}

/// Writes the machine's initial RAM disk.
pub(super) fn machine(place: &Place, contents: Contents<'_>, out: &Path) -> Result<()> {
    let mut archive = Archive::new();
    archive.program("init", &script("init.sh")?);
    archive.program("bin/bind-vfio", &script("bind-vfio.sh")?);
    archive.program("bin/igd-vmm", &read(&place.vmm)?);
    for name in ["attempt.sh", "run-vmm.sh", "run-linux.sh"] {
        archive.file(&format!("lab/{name}"), &script(name)?);
    }
    archive.file(
        "lab/bios.bin",
        &read(&place.cache.root().join("usr/share/seabios/bios-256k.bin"))?,
    );
    archive.file("lab/signals.bin", &signals::image()?);
    archive.file("lab/opregion.bin", &read(contents.opregion)?);
    let steps = root()?.join("conformance/lab/steps");
    for entry in fs::read_dir(&steps).with_context(|| format!("cannot list {}", steps.display()))? {
        let path = entry.context("cannot list the steps")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.file(&format!("lab/steps/{name}"), &read(&path)?);
    }
    match contents.modules {
        Some(folder) => {
            add_modules(place, &mut archive, folder, MODULES, "modules.order")?;
            if contents.has_driver {
                add_modules(place, &mut archive, folder, DRIVER, "modules.driver")?;
            }
            for module in modules::load(folder, ON_DEMAND, &|path| decompress(place, path))? {
                archive.file(&format!("modules/{}.ko", module.name), &module.content);
            }
        }
        None => archive.file("modules.order", b""),
    }
    for Program { kind, name, path } in contents.programs {
        archive.program(&format!("lab/{kind}/{name}"), &read(path)?);
    }
    if let Some(guest) = contents.guest {
        archive.file("lab/vmlinuz", &read(&guest.kernel)?);
        archive.file("lab/guest.cpio", &guest.initrd);
    }
    add_busybox(place, &mut archive)?;
    let file = fs::File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
    let gzip = Command::new("gzip")
        .arg("-1")
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn();
    let mut gzip = gzip.context("cannot start gzip")?;
    let mut input = gzip.stdin.take().context("gzip takes no input")?;
    input.write_all(&archive.finish()).context("gzip takes no input")?;
    drop(input);
    if !gzip.wait().context("gzip was lost")?.success() {
        bail!("gzip failed");
    }
    Ok(())
}

fn base(place: &Place) -> Result<Archive> {
    let mut archive = Archive::new();
    add_busybox(place, &mut archive)?;
    Ok(archive)
}

/// Busybox and a link for each of its programs that is not there already.
fn add_busybox(place: &Place, archive: &mut Archive) -> Result<()> {
    let busybox = place.cache.root().join("usr/bin/busybox");
    archive.program("bin/busybox", &read(&busybox)?);
    let list = Command::new(&busybox).arg("--list").output();
    let list = list.with_context(|| format!("cannot start {}", busybox.display()))?;
    for applet in String::from_utf8_lossy(&list.stdout).split_whitespace() {
        archive.link(&format!("bin/{applet}"), "busybox");
    }
    Ok(())
}

fn add_modules(place: &Place, archive: &mut Archive, folder: &Path, names: &[&str], list: &str) -> Result<()> {
    let mut order = String::new();
    for module in modules::load(folder, names, &|path| decompress(place, path))? {
        archive.file(&format!("modules/{}.ko", module.name), &module.content);
        order += &format!("{}\n", module.name);
    }
    archive.file(list, order.as_bytes());
    Ok(())
}

/// A module as the kernel takes it.
fn decompress(place: &Place, path: &Path) -> Result<Vec<u8>> {
    let mut command = match path.extension().and_then(|ending| ending.to_str()) {
        Some("xz") => place.cache.program("xz"),
        Some("gz") => Command::new("gzip"),
        Some("zst") => Command::new("zstd"),
        _ => return read(path),
    };
    let output = command.arg("-dc").arg(path).output();
    let output = output.with_context(|| format!("cannot decompress {}", path.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("cannot decompress {}: {}", path.display(), said.trim());
    }
    Ok(output.stdout)
}

fn script(name: &str) -> Result<Vec<u8>> {
    read(&root()?.join("conformance/lab").join(name))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
