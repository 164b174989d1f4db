// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernels: Debian's, and one of our own with iommufd, which Debian's leave out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::packages::{Apt, Cache, QEMU_SUITE, SUITES, checked};
use super::scenarios::Kernel;
use crate::tools::root;

/// What building a kernel takes besides a C compiler, and the packages that have it.
const TOOLS: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("xz", "xz-utils"),
];
/// A header for the same.
const LIBELF: &str = "/usr/include/libelf.h";

/// A kernel to boot.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) modules: Option<PathBuf>,
}

/// The kernel that was asked for, or why it cannot be built here.
///
/// # Errors
///
/// It cannot be fetched, or does not build.
pub(super) fn image(kernel: Kernel, cache: &Cache) -> Result<Result<Image, String>> {
    match kernel {
        Kernel::Stock => stock(cache).map(Ok),
        Kernel::Linux6_1 => of_suite(cache, "bookworm").map(Ok),
        Kernel::Backports => of_suite(cache, QEMU_SUITE).map(Ok),
        Kernel::Own => own(cache),
    }
}

/// The kernel of another suite, which has a part of the cache for itself.
fn of_suite(cache: &Cache, suite: &str) -> Result<Image> {
    let part = Cache {
        folder: cache.folder.join(suite),
    };
    if !part.is_ready() {
        part.fill_kernel(&Apt::new(&part.folder, &[suite])?)?;
    }
    stock(&part)
}

/// Debian's kernel, out of the fetched packages.
pub(super) fn stock(cache: &Cache) -> Result<Image> {
    let modules = cache
        .newest("usr/lib/modules", "")
        .or_else(|_| cache.newest("lib/modules", ""))?;
    let version = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // From Linux 7 on it lies with its modules.
    let inside = modules.join("vmlinuz");
    let path = if inside.is_file() {
        inside
    } else {
        cache.newest("boot", &format!("vmlinuz-{version}"))?
    };
    Ok(Image {
        name: version,
        path,
        modules: Some(modules),
    })
}

/// What is missing to build a kernel. Installed if that is possible.
fn missing() -> Option<String> {
    let absent = || {
        let has = |tool: &str| {
            let mut command = Command::new(tool);
            let tried = command
                .arg("--version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            tried.is_ok()
        };
        let tools = TOOLS.iter().filter(|(tool, _)| !has(tool)).map(|(_, package)| *package);
        let library = (!Path::new(LIBELF).is_file()).then_some("libelf-dev");
        tools.chain(library).collect::<Vec<&str>>()
    };
    let wanted = absent();
    if !wanted.is_empty() && crate::tasks::firmware::is_root() {
        eprintln!("$ apt-get install {}", wanted.join(" "));
        let mut install = Command::new("apt-get");
        install
            .args(["-qq", "install", "--no-install-recommends", "-y"])
            .args(&wanted);
        let _ = install.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    let wanted = absent();
    (!wanted.is_empty()).then(|| format!("building a kernel needs more: apt-get install {}", wanted.join(" ")))
}

/// A kernel built from Debian's source. Built again when its configuration changes.
///
/// # Errors
///
/// The source cannot be had, or does not build.
fn own(cache: &Cache) -> Result<Result<Image, String>> {
    let fragment = fs::read(root()?.join("conformance/lab/kernel.config")).context("cannot read kernel.config")?;
    let folder = cache.folder.join("own");
    let image = Image {
        name: "own".to_owned(),
        path: folder.join("bzImage"),
        modules: None,
    };
    let built_from = folder.join("kernel.config");
    if image.path.is_file() && fs::read(&built_from).is_ok_and(|built| built == fragment) {
        return Ok(Ok(image));
    }
    if let Some(reason) = missing() {
        return Ok(Err(reason));
    }
    let archive = cache.source(&Apt::new(&cache.folder, SUITES)?)?;
    let source = cache.folder.join("linux");
    let _ = fs::remove_dir_all(&source);
    for path in [&source, &folder] {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    let start = Instant::now();
    eprintln!("lab: building a kernel, once; about 4 minutes with two processors");
    let mut unpack = Command::new("tar");
    unpack
        .args(["--strip-components=1", "-xf"])
        .arg(&archive)
        .arg("-C")
        .arg(&source);
    checked(&mut unpack)?;
    let make = |target: &[&str]| {
        let mut command = Command::new("make");
        command.arg("-s").args(target).current_dir(&source);
        checked(&mut command)
    };
    make(&["tinyconfig"])?;
    let config = source.join(".config");
    let mut text = fs::read(&config).with_context(|| format!("cannot read {}", config.display()))?;
    text.extend_from_slice(&fragment);
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    make(&["olddefconfig"])?;
    let configured = fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    for option in ["CONFIG_IOMMUFD=y", "CONFIG_VFIO_DEVICE_CDEV=y", "CONFIG_VFIO_PCI_IGD=y"] {
        if !configured.lines().any(|line| line == option) {
            bail!("the kernel's configuration refuses {option}");
        }
    }
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    make(&[&format!("-j{jobs}"), "bzImage"])?;
    fs::copy(source.join("arch/x86/boot/bzImage"), &image.path).context("the build left no bzImage")?;
    fs::write(&built_from, &fragment).context("cannot write to the cache")?;
    // 2 GB that nothing needs any more.
    let _ = fs::remove_dir_all(&source);
    let _ = fs::remove_dir_all(cache.folder.join("source"));
    eprintln!("lab: kernel built in {:.0} s", start.elapsed().as_secs_f32());
    Ok(Ok(image))
}
