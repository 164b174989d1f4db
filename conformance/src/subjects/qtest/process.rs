// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Starts QEMU with stopped guest processors, and ends it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::machine::Link;
use super::qmp::Qmp;
use super::shim::Shim;
use super::work_dir::WorkDir;

/// Name of the program.
const PROGRAM: &str = "qemu-system-x86_64";
/// Debian package that contains `qemu-system-x86_64`.
pub const PACKAGE: &str = "qemu-system-x86";
/// Longest wait for an answer, or for QEMU to connect.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked whether QEMU has connected.
const POLL: Duration = Duration::from_millis(2);
/// Bytes at the end of QEMU's messages that an error quotes.
const QUOTE: u64 = 500;

/// Some distributions leave the qtest accelerator out; with TCG, processors that never start do as well, but the
/// virtual clock cannot be stepped.
const ACCELERATORS: [&[&str]; 2] = [&["-accel", "qtest"], &["-accel", "tcg", "-S"]];

/// How QEMU is started.
#[derive(Clone, Debug, Default)]
pub struct Launcher {
    /// The program; `qemu-system-x86_64` if empty.
    pub binary: String,
    /// Directory that QEMU is confined to by `chroot`; sockets and files lie in its `tmp`.
    pub root: Option<PathBuf>,
    /// Words before the command.
    pub prefix: Vec<String>,
    /// `NAME=VALUE` for QEMU's environment.
    pub env: Vec<String>,
    /// Folder, as QEMU sees it, with the files of an assigned device that traces name. Without it, the device is one of a
    /// made-up host.
    pub files: Option<String>,
    /// Command of the C compiler that builds the made-up host; `$CC` or `cc` if empty.
    pub compiler: String,
    /// Library that is loaded into QEMU.
    preload: Option<String>,
    /// The made-up host, once a trace needs it; all clones share it.
    shim: Arc<OnceLock<Result<Shim, String>>>,
    accelerator: Arc<OnceLock<usize>>,
    version: OnceLock<String>,
}

/// `[PROGRAM][,root:DIR][,prefix:WORDS][,env:NAME=VALUE][,files:DIR]`; parts may stand in any order, `env` repeatedly.
impl FromStr for Launcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (binary, rest) = text
            .split_once(',')
            .map_or((text, None), |(binary, rest)| (binary, Some(rest)));
        let mut launcher = Self::new(binary, None);
        for part in rest.into_iter().flat_map(|rest| rest.split(',')) {
            match part.split_once(':') {
                Some(("root", dir)) if !dir.is_empty() => launcher.root = Some(dir.into()),
                Some(("prefix", words)) => launcher.prefix = words.split_whitespace().map(str::to_owned).collect(),
                Some(("env", word)) if word.contains('=') => launcher.env.push(word.to_owned()),
                Some(("files", dir)) if !dir.is_empty() => launcher.files = Some(dir.to_owned()),
                _ => {
                    return Err(format!(
                        "{part:?} is not a part of qemu:[PROGRAM][,root:DIR][,prefix:WORDS][,env:NAME=VALUE][,files:DIR]"
                    ));
                }
            }
        }
        Ok(launcher)
    }
}

impl Launcher {
    /// A launcher of `binary`, or of `qemu-system-x86_64` if it is empty, below `root` if that is given.
    #[must_use]
    pub fn new(binary: &str, root: Option<PathBuf>) -> Self {
        Self {
            binary: binary.to_owned(),
            root,
            ..Self::default()
        }
    }

    fn program(&self) -> &str {
        if self.binary.is_empty() { PROGRAM } else { &self.binary }
    }

    /// Prefix, environment, change of root and program; `arg` adds to it.
    fn command(&self) -> Command {
        let mut words: Vec<&OsStr> = self.prefix.iter().map(OsStr::new).collect();
        if !self.env.is_empty() {
            words.push("env".as_ref());
            words.extend(self.env.iter().map(OsStr::new));
        }
        if let Some(root) = &self.root {
            words.extend([OsStr::new("chroot"), root.as_os_str()]);
        }
        let preload = self.preload.as_ref().map(|library| format!("LD_PRELOAD={library}"));
        if let Some(preload) = &preload {
            // Behind the change of root, for the library is below it.
            words.extend(["env".as_ref(), OsStr::new(preload)]);
        }
        words.push(self.program().as_ref());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).current_dir("/").stdin(Stdio::null());
        command
    }

    /// Version of the program, such as `7.2.22`.
    ///
    /// # Errors
    ///
    /// The program is missing, with the name of the package that has it, or is not QEMU.
    pub fn version(&self) -> Result<String, String> {
        if let Some(known) = self.version.get() {
            return Ok(known.clone());
        }
        let output = self
            .command()
            .arg("--version")
            .output()
            .map_err(|error| self.missing(&error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        // `QEMU emulator version 7.2.22 (Debian ...)`
        let mut words = text
            .lines()
            .next()
            .unwrap_or_default()
            .split(' ')
            .skip_while(|word| *word != "version");
        let version = words.nth(1).filter(|_| text.starts_with("QEMU")).ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            self.missing(said.lines().next().unwrap_or("it does not say that it is QEMU"))
        })?;
        Ok(self.version.get_or_init(|| version.to_owned()).clone())
    }

    fn missing(&self, reason: &str) -> String {
        format!(
            "cannot start {}: {reason} (in Debian it is in package {PACKAGE})",
            self.program()
        )
    }

    /// This launcher if it has the files of an assigned device, else one with those of a made-up host, which is built
    /// when it is needed first.
    ///
    /// # Errors
    ///
    /// The host cannot be made up; the text says what to install.
    pub(crate) fn with_assigned_device(&self) -> Result<Self, String> {
        let mut launcher = self.clone();
        if launcher.files.is_none() {
            let build = || Shim::build(&self.compiler, self.root.as_deref());
            let shim = self.shim.get_or_init(build).as_ref().map_err(Clone::clone)?;
            launcher.files = Some(shim.files());
            launcher.preload = Some(shim.library());
        }
        Ok(launcher)
    }

    /// A directory that QEMU can see.
    pub(crate) fn work_dir(&self) -> Result<WorkDir, String> {
        WorkDir::new(self.root.as_deref()).map_err(|error| format!("cannot make a directory for QEMU: {error}"))
    }

    /// Starts QEMU with `args`.
    pub(crate) fn start(&self, args: &[String]) -> Result<Link, String> {
        let known = self.accelerator.get().copied();
        let mut said = String::new();
        for (index, accelerator) in ACCELERATORS.iter().enumerate() {
            if known.is_some_and(|known| known != index) {
                continue;
            }
            match self.attempt(accelerator, args) {
                Ok(link) => {
                    // Another thread may have been first, with the same result.
                    let _ = self.accelerator.set(index);
                    return Ok(link);
                }
                Err(error) => said = error,
            }
        }
        Err(said)
    }

    fn attempt(&self, accelerator: &[&str], args: &[String]) -> Result<Link, String> {
        let dir = self.work_dir()?;
        let io = |error: std::io::Error| format!("cannot start {}: {error}", self.program());
        let qtest = listen(&dir.join("qtest")).map_err(io)?;
        let qmp = listen(&dir.join("qmp")).map_err(io)?;
        let log = dir.join("log");
        let messages = File::create(&log).map_err(io)?;
        let child = self
            .command()
            .args(accelerator)
            .args(args)
            .args(["-display", "none", "-qtest-log", "none", "-qtest"])
            .arg(format!("unix:{}", escape_commas(&dir.inside("qtest"))))
            .arg("-chardev")
            .arg(format!("socket,id=mon,path={}", escape_commas(&dir.inside("qmp"))))
            .args(["-mon", "chardev=mon,mode=control"])
            .stdout(messages.try_clone().map_err(io)?)
            .stderr(messages)
            .spawn()
            .map_err(|error| self.missing(&error.to_string()))?;
        let mut guard = Guard { child, log, _dir: dir };
        let connected = (|| {
            let deadline = Instant::now() + TIMEOUT;
            let qmp = accept(&qmp, &mut guard.child, deadline)?;
            let qtest = accept(&qtest, &mut guard.child, deadline)?;
            let qmp = Qmp::new(qmp, TIMEOUT).map_err(|error| error.to_string())?;
            let qtest = Client::new(qtest, TIMEOUT).map_err(|error| error.to_string())?;
            Ok::<_, String>((qmp, qtest))
        })();
        match connected {
            Ok((qmp, qtest)) => Ok(Link {
                qtest,
                qmp: Some(qmp),
                guard: Some(guard),
            }),
            Err(error) => {
                guard.end();
                Err(format!(
                    "{} did not start: {error}{}",
                    self.program(),
                    guard.last_words()
                ))
            }
        }
    }
}

/// Commas separate the parts of a QEMU option; two of them are one that does not.
pub(crate) fn escape_commas(text: &str) -> String {
    text.replace(',', ",,")
}

fn listen(path: &Path) -> Result<UnixListener, std::io::Error> {
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &UnixListener, child: &mut Child, deadline: Instant) -> Result<UnixStream, String> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
        match child.try_wait() {
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => return Err(format!("it did not connect within {} s", TIMEOUT.as_secs())),
            Ok(Some(status)) => return Err(format!("it ended ({status})")),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// A running QEMU; ended when dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    log: PathBuf,
    _dir: WorkDir,
}

impl Guard {
    fn end(&mut self) {
        // It may have ended by itself; then there is only the exit status to collect.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What QEMU printed last, on one line, after a colon; empty if it was silent.
    pub(crate) fn last_words(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| {
            let start = fs::metadata(&self.log)?.len().saturating_sub(QUOTE);
            file.seek(SeekFrom::Start(start))?;
            file.take(QUOTE).read_to_end(&mut bytes)
        });
        let text = String::from_utf8_lossy(&bytes);
        let words: Vec<&str> = text.split_whitespace().collect();
        if read.is_err() || words.is_empty() {
            String::new()
        } else {
            format!(": {}", words.join(" "))
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_name() {
        let launcher: Launcher = "qemu,root:/chroot,env:A=1,env:B=2,files:/x,prefix:nice -n 5"
            .parse()
            .unwrap();
        assert_eq!(launcher.program(), "qemu");
        assert_eq!(launcher.root, Some("/chroot".into()));
        assert_eq!((launcher.env.len(), launcher.prefix.len()), (2, 3));
        assert_eq!("".parse::<Launcher>().unwrap().program(), PROGRAM);
        for text in ["qemu,", "qemu,root:", "qemu,env:A", "qemu,other:x"] {
            assert!(text.parse::<Launcher>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_before_the_program() {
        let words = |launcher: &Launcher| format!("{:?}", launcher.command().arg("--version"));
        let mut launcher = Launcher::new("q", None);
        assert!(words(&launcher).ends_with("\"q\" \"--version\""));
        launcher.root = Some("/r".into());
        assert!(words(&launcher).ends_with("\"chroot\" \"/r\" \"q\" \"--version\""));
        launcher.env.push("A=1".to_owned());
        assert!(words(&launcher).ends_with("\"env\" \"A=1\" \"chroot\" \"/r\" \"q\" \"--version\""));
        launcher.prefix.push("nice".to_owned());
        launcher.root = None;
        assert!(words(&launcher).ends_with("\"nice\" \"env\" \"A=1\" \"q\" \"--version\""));
        launcher.env.clear();
        launcher.prefix.clear();
        launcher.root = Some("/r".into());
        launcher.preload = Some("/l.so".to_owned());
        let preloaded = "\"chroot\" \"/r\" \"env\" \"LD_PRELOAD=/l.so\" \"q\" \"--version\"";
        assert!(words(&launcher).ends_with(preloaded), "{}", words(&launcher));
    }

    #[test]
    fn own_files_need_no_compiler() {
        let mut launcher = Launcher::new("q", None);
        launcher.compiler = "/no/such/compiler".to_owned();
        for _ in 0..2 {
            assert!(launcher.with_assigned_device().unwrap_err().contains("install gcc"));
        }
        launcher.files = Some("/srv".to_owned());
        let own = launcher.with_assigned_device().unwrap();
        assert_eq!((own.files, own.preload), (Some("/srv".to_owned()), None));
    }

    #[test]
    fn a_missing_program_names_the_package() {
        let launcher = Launcher::new("/no/such/program", None);
        assert!(launcher.version().unwrap_err().contains(PACKAGE));
        assert!(launcher.start(&[]).unwrap_err().contains(PACKAGE));
        assert!(
            Launcher::new("true", None)
                .version()
                .unwrap_err()
                .contains("does not say that it is QEMU")
        );
    }

    #[test]
    fn a_program_that_ends_is_told_from_one_that_answers() {
        let error = Launcher::new("ls", None)
            .start(&["--no-such-option".to_owned()])
            .unwrap_err();
        assert!(error.contains("did not start: it ended"), "{error}");
        assert!(error.contains("ls: "), "{error}");
    }
}
