// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Debian's packages, downloaded by apt and unpacked into a folder: nothing is installed, and nobody has to be root.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The suite with a QEMU that has vfio-user-pci (10.1 or later), and the one that its libraries come from.
pub(super) const QEMU_SUITE: &str = "trixie-backports";
const SUITE: &str = "trixie";
pub(super) const SUITES: &[&str] = &[SUITE, QEMU_SUITE];
const QEMU: &[&str] = &["qemu-system-x86", "seabios", "busybox-static", "xz-utils"];
const KERNEL: &str = "linux-image-amd64";
const SOURCE: &str = "linux-source";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How long apt may take for everything.
const LIMIT: Duration = Duration::from_secs(900);
/// How often progress is told.
const TOLD: Duration = Duration::from_secs(5);

/// The folder with everything that was downloaded.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    pub(super) folder: PathBuf,
}

impl Cache {
    /// Unpacked packages.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// What was downloaded, if all of it was.
    fn ready(&self) -> PathBuf {
        self.folder.join("packages.txt")
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready().is_file()
    }

    /// A program of the packages, with their loader and their libraries: this machine's may be older.
    pub(super) fn program(&self, name: &str) -> Command {
        let root = self.root();
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(format!(
            "{}:{}",
            libraries.display(),
            libraries.join("pulseaudio").display()
        ));
        command.arg(root.join("usr/bin").join(name));
        command
    }

    /// The newest file in `folder` of the packages whose name begins so.
    pub(super) fn newest(&self, folder: &str, start: &str) -> Result<PathBuf> {
        let folder = self.root().join(folder);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        found.retain(|path| {
            let name = path.file_name().map(OsStr::to_string_lossy);
            name.is_some_and(|name| name.starts_with(start))
        });
        found.sort();
        found
            .pop()
            .with_context(|| format!("no {start}* in {}", folder.display()))
    }

    /// Downloads and unpacks what is not there yet. Needs no network afterwards.
    ///
    /// # Errors
    ///
    /// A download fails or takes too long.
    pub(super) fn fill(&self, apt: &Apt) -> Result<()> {
        let start = Instant::now();
        eprintln!("lab: asking {} for its lists of packages", apt.site());
        apt.update()?;
        let kernel = apt.kernel()?;
        let qemu: Vec<String> = QEMU.iter().map(|name| (*name).to_owned()).collect();
        let sets = [
            (
                ["install", "--yes", "--download-only", "-t", QEMU_SUITE].as_slice(),
                &qemu,
            ),
            (&["download"], &kernel),
        ];
        let mut lists = Vec::new();
        for (verb, names) in sets {
            lists.push(apt.uris(verb, names)?);
        }
        let (count, bytes) = total(&lists.concat());
        eprintln!(
            "lab: fetching {count} packages, {} MB, once: QEMU, busybox, {}; about {} s at 10 MB/s",
            bytes / 1_000_000,
            kernel.join(", "),
            bytes / 10_000_000
        );
        for (verb, names) in sets {
            apt.download(verb, names, bytes)?;
        }
        self.unpack(&apt.debs())?;
        fs::write(self.ready(), lists.concat()).context("cannot write to the cache")?;
        eprintln!("lab: fetched and unpacked in {:.0} s", start.elapsed().as_secs_f32());
        Ok(())
    }

    /// Downloads and unpacks the kernel of the suite and nothing else.
    ///
    /// # Errors
    ///
    /// A download fails or takes too long.
    pub(super) fn fill_kernel(&self, apt: &Apt) -> Result<()> {
        apt.update()?;
        let kernel = apt.kernel()?;
        let uris = apt.uris(&["download"], &kernel)?;
        let (_, bytes) = total(&uris);
        eprintln!("lab: fetching {}, {} MB, once", kernel.join(", "), bytes / 1_000_000);
        apt.download(&["download"], &kernel, bytes)?;
        self.unpack(&apt.debs())?;
        fs::write(self.ready(), uris).context("cannot write to the cache")
    }

    /// The kernel's source as a tar file.
    pub(super) fn source(&self, apt: &Apt) -> Result<PathBuf> {
        apt.update()?;
        let names = [apt.first_dependency(SOURCE, "linux-source-")?];
        let (_, bytes) = total(&apt.uris(&["download"], &names)?);
        eprintln!("lab: fetching {}, {} MB, once", names.concat(), bytes / 1_000_000);
        apt.download(&["download"], &names, bytes)?;
        let deb = newest_of(&apt.debs(), &format!("{}_", names.concat()))?;
        let folder = self.folder.join("source");
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        checked(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&folder))?;
        Ok(folder.join("usr/src").join(format!("{}.tar.xz", names.concat())))
    }

    fn unpack(&self, debs: &Path) -> Result<()> {
        let fresh = self.folder.join("root.new");
        let _ = fs::remove_dir_all(&fresh);
        fs::create_dir_all(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
        let entries = fs::read_dir(debs).with_context(|| format!("cannot list {}", debs.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".deb") && !name.starts_with(SOURCE) {
                checked(Command::new("dpkg-deb").arg("-x").arg(&path).arg(&fresh))?;
            }
        }
        let root = self.root();
        let _ = fs::remove_dir_all(&root);
        fs::rename(&fresh, &root).with_context(|| format!("cannot create {}", root.display()))
    }
}

fn newest_of(folder: &Path, start: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| {
        let name = path.file_name().map(OsStr::to_string_lossy);
        name.is_some_and(|name| name.starts_with(start) && name.ends_with(".deb"))
    });
    found.sort();
    found
        .pop()
        .with_context(|| format!("no {start}*.deb in {}", folder.display()))
}

/// This machine's apt with lists and a status of our own.
#[derive(Debug)]
pub(super) struct Apt {
    folder: PathBuf,
    site: String,
}

impl Apt {
    /// Sets it up below `cache`, with these suites of the archive that this machine uses.
    ///
    /// # Errors
    ///
    /// This is no Debian machine, or its apt knows no archive.
    pub(super) fn new(cache: &Path, suites: &[&str]) -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let output = Command::new("apt-get")
            .args(["indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"])
            .output()
            .context("cannot start apt-get")?;
        let targets = String::from_utf8_lossy(&output.stdout).into_owned();
        let site = site(&release, &targets)?;
        let folder = cache.join("apt");
        for part in ["lists/partial", "debs/partial"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let signed = if Path::new(KEYS).is_file() {
            format!("[signed-by={KEYS}] ")
        } else {
            String::new()
        };
        let sources: String = suites
            .iter()
            .map(|suite| format!("deb {signed}{site} {suite} main\n"))
            .collect();
        fs::write(folder.join("sources.list"), sources).context("cannot write to the cache")?;
        fs::write(folder.join("status"), "").context("cannot write to the cache")?;
        Ok(Self { folder, site })
    }

    fn site(&self) -> &str {
        &self.site
    }

    fn debs(&self) -> PathBuf {
        self.folder.join("debs")
    }

    /// A command of apt. What the machine says about proxies stays; its sources, lists and packages do not count.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        let own = |name: &str| self.folder.join(name).display().to_string();
        let options = [
            format!("Dir::Etc::sourcelist={}", own("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("Dir::State={}", self.folder.display()),
            format!("Dir::State::lists={}", own("lists")),
            format!("Dir::State::status={}", own("status")),
            format!("Dir::Cache={}", self.folder.display()),
            format!("Dir::Cache::archives={}", own("debs")),
            "APT::Install-Recommends=false".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Sandbox::User=".to_owned(),
        ];
        for option in options {
            command.args(["-o", &option]);
        }
        command
            .args(args)
            .env("LC_ALL", "C")
            .current_dir(self.debs())
            .stdin(Stdio::null());
        command
    }

    fn update(&self) -> Result<()> {
        checked(&mut self.command("apt-get", &["-qq", "update"]))
    }

    fn dependencies(&self, package: &str, starts: &[&str]) -> Result<Vec<String>> {
        let output = self
            .command("apt-cache", &["depends", package])
            .output()
            .context("cannot start apt-cache")?;
        Ok(dependencies(&String::from_utf8_lossy(&output.stdout), starts))
    }

    /// The packages of the suite's kernel.
    fn kernel(&self) -> Result<Vec<String>> {
        let image = self.first_dependency(KERNEL, "linux-image-")?;
        // From Linux 7 on, the package is empty and depends on these.
        let parts = self.dependencies(&image, &["linux-binary-", "linux-modules-"])?;
        Ok([vec![image], parts].concat())
    }

    fn first_dependency(&self, package: &str, start: &str) -> Result<String> {
        let found = self.dependencies(package, &[start])?;
        let first = found.into_iter().next();
        first.with_context(|| format!("{package} depends on no {start}*"))
    }

    /// What would be downloaded, in apt's words.
    fn uris(&self, verb: &[&str], names: &[String]) -> Result<String> {
        let mut command = self.command("apt-get", &["-qq", "--print-uris"]);
        let output = command
            .args(verb)
            .args(names)
            .output()
            .context("cannot start apt-get")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("apt-get {} {}: {}", verb.join(" "), names.join(" "), said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn download(&self, verb: &[&str], names: &[String], all: u64) -> Result<()> {
        let mut command = self.command("apt-get", &["-qq"]);
        let child = command.args(verb).args(names).stdout(Stdio::null()).spawn();
        let mut child = super::boot::Program(child.context("cannot start apt-get")?);
        let start = Instant::now();
        let mut told = Instant::now();
        loop {
            if let Some(status) = child.0.try_wait().context("apt-get was lost")? {
                if !status.success() {
                    bail!(
                        "apt-get {} failed ({status}); is the archive within reach?",
                        verb.join(" ")
                    );
                }
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                bail!("apt-get {} takes more than {} s", verb.join(" "), LIMIT.as_secs());
            }
            if told.elapsed() > TOLD {
                told = Instant::now();
                let bytes = size(&self.debs()) + size(&self.debs().join("partial"));
                eprintln!("lab:   {} of {} MB", bytes / 1_000_000, all / 1_000_000);
            }
            sleep(Duration::from_millis(100));
        }
    }
}

/// The archive for Debian's own packages, from what apt says of its sources: `SITE RELEASE` a line.
fn site(release: &str, targets: &str) -> Result<String> {
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_matches('"'))
    };
    if field("ID=") != Some("debian") {
        bail!("this is not Debian, whose packages are used");
    }
    let codename = field("VERSION_CODENAME=").unwrap_or("stable");
    let lines: Vec<(&str, &str)> = targets.lines().filter_map(|line| line.split_once(' ')).collect();
    let own = lines.iter().find(|(_, release)| *release == codename);
    // Machines that name their suite in another way; updates for security are in another archive.
    let other = || lines.iter().find(|(_, release)| !release.contains("security"));
    let (site, _) = own.or_else(other).context("apt has no source of packages")?;
    Ok((*site).to_owned())
}

/// Packages that `apt-cache depends` names and whose names begin so.
fn dependencies(text: &str, starts: &[&str]) -> Vec<String> {
    let named = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    named
        .filter(|name| starts.iter().any(|start| name.starts_with(start)))
        .map(str::to_owned)
        .collect()
}

/// Number and bytes of what `--print-uris` lists: `'URI' FILE BYTES HASH` a line.
fn total(uris: &str) -> (usize, u64) {
    let sizes = uris.lines().filter(|line| line.starts_with('\''));
    let sizes: Vec<u64> = sizes.filter_map(|line| line.split(' ').nth(2)?.parse().ok()).collect();
    (sizes.len(), sizes.iter().sum())
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .sum()
}

/// Runs a command and shows what it says only if it fails.
pub(super) fn checked(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "{} failed ({}): {}",
            command.get_program().display(),
            output.status,
            said.trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_archive_is_used() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let targets = "http://a.example/debian-security bookworm-security\nhttp://b.example/debian bookworm\n";
        assert_eq!(site(debian, targets).unwrap(), "http://b.example/debian");
        let renamed = "http://a.example/debian-security stable-security\nhttp://b.example/debian stable\n";
        assert_eq!(site(debian, renamed).unwrap(), "http://b.example/debian");
        assert!(site(debian, "").unwrap_err().to_string().contains("no source"));
        let other = "ID=ubuntu\nID_LIKE=debian\n";
        assert!(site(other, targets).unwrap_err().to_string().contains("not Debian"));
    }

    #[test]
    fn what_apt_says_is_read() {
        let depends = "linux-image-amd64\n  Depends: linux-base-amd64\n  Depends: linux-image-7.2.12+deb13-amd64\n";
        assert_eq!(
            dependencies(depends, &["linux-image-"]),
            ["linux-image-7.2.12+deb13-amd64"]
        );
        let uris =
            "Reading lists\n'http://b.example/a.deb' a_1_amd64.deb 1200 SHA256:0\n'http://b.example/b.deb' b.deb 34 \n";
        assert_eq!(total(uris), (2, 1234));
        assert_eq!(total("'http://b.example/a.deb'"), (0, 0));
    }
}
