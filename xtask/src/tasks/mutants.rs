// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! `cargo xtask mutants`: changes to the pure crates that no test notices.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::metadata::{Package, packages};
use crate::tools::{MUTANTS, cargo, root, target_dir};

/// The crates whose tests are held to it: no system call, so every line can be reached.
pub(crate) const PURE: &[&str] = &["pci-model", "fwcfg", "lpc-bridge", "igd-quirks"];
/// Survivors that are understood.
const EXPLAINED: &str = "xtask/mutants.json";
/// A change survived that nobody has explained.
const SURVIVED: u8 = 100;

const AFTER_HELP: &str = "\
Examples:
  cargo xtask mutants lpc-bridge                          one crate
  cargo xtask mutants pci-model -- --shard 0/8            an eighth of one
  cargo xtask mutants fwcfg -- --file fwcfg/src/dma.rs    one file
  cargo xtask mutants -- --in-diff CHANGES.diff           what a change touches

Exit codes:
  0  all noticed or explained in xtask/mutants.json     1  it could not be run     2  wrong arguments
  100  a change survived";

/// Arguments of `cargo xtask mutants`.
#[derive(clap::Args, Default, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Packages; the four pure crates unless given
    #[arg(value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Arguments for `cargo mutants`
    #[arg(last = true, value_name = "ARGS")]
    mutants: Vec<OsString>,
}

/// Runs `cargo mutants` and says what survived.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let Some(names) = choose(&args.packages, PURE, &packages()?) else {
        return Ok(2);
    };
    if !MUTANTS.is_present() {
        bail!("cargo mutants is not installed: {}", MUTANTS.install);
    }
    let explained = fs::read_to_string(root()?.join(EXPLAINED)).with_context(|| format!("cannot read {EXPLAINED}"))?;
    let explained = Explained::parse(&explained).with_context(|| EXPLAINED.to_owned())?;
    let folder = target_dir()?.join("mutants");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut command = cargo([
        "mutants",
        "--all-features",
        "--no-shuffle",
        "--colors",
        "never",
        "--output",
    ]);
    command.arg(&folder).current_dir(root()?);
    // It builds in copies, each with a folder of its own.
    command.env_remove("CARGO_TARGET_DIR");
    for name in &names {
        command.args(["--package", name]);
    }
    let status = command
        .args(&args.mutants)
        .status()
        .context("cannot start cargo mutants")?;
    // 0 all caught, 2 missed some, 3 some timed out; the rest is a failure to run.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!(
            "cargo mutants failed ({status}); see {}",
            folder.join("mutants.out/log").display()
        );
    }
    let result = Outcome::read(&folder.join("mutants.out"))?;
    let (text, survived) = result.text(&explained);
    println!("{text}");
    Ok(if survived { SURVIVED } else { 0 })
}

/// The packages that were named, or those that go without saying; `None` after a word about one that does not exist.
pub(crate) fn choose(named: &[String], default: &[&str], all: &[Package]) -> Option<Vec<String>> {
    if let Some(unknown) = named
        .iter()
        .find(|name| !all.iter().any(|package| package.name == **name))
    {
        eprintln!("error: no package {unknown}; there are {}", default.join(", "));
        return None;
    }
    Some(if named.is_empty() {
        default.iter().map(|name| (*name).to_owned()).collect()
    } else {
        named.to_vec()
    })
}

/// Survivors that are understood: file and change, without the line, which moves.
#[derive(Debug)]
struct Explained(Vec<(String, String)>);

impl Explained {
    fn parse(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).context("not JSON")?;
        let list = value.as_array().context("not a list")?;
        let entry = |entry: &Value| {
            let field = |key: &str| {
                let text = entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
                text.map(str::to_owned)
                    .with_context(|| format!("an entry without `{key}`: {entry}"))
            };
            field("reason")?;
            Ok((field("file")?, field("change")?))
        };
        list.iter().map(entry).collect::<Result<_>>().map(Self)
    }

    /// Whether `file:line:column: change` is among them.
    fn has(&self, mutant: &str) -> bool {
        let mut parts = mutant.splitn(4, ':');
        let (Some(file), Some(change)) = (parts.next(), parts.nth(2)) else {
            return false;
        };
        self.0.iter().any(|known| known.0 == file && known.1 == change.trim())
    }
}

/// What came of each change, as `file:line:column: change`.
#[derive(Default, Debug)]
struct Outcome {
    caught: Vec<String>,
    missed: Vec<String>,
    timeout: Vec<String>,
    unviable: Vec<String>,
}

impl Outcome {
    fn read(folder: &Path) -> Result<Self> {
        let list = |name: &str| {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok::<_, anyhow::Error>(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: list("caught.txt")?,
            missed: list("missed.txt")?,
            timeout: list("timeout.txt")?,
            unviable: list("unviable.txt")?,
        })
    }

    /// The table, the survivors, and whether one is unexplained.
    fn text(&self, explained: &Explained) -> (String, bool) {
        let (known, survivors): (Vec<_>, Vec<_>) = self.missed.iter().partition(|mutant| explained.has(mutant));
        let mut text = String::new();
        for survivor in &survivors {
            text += &format!("survived  {survivor}\n");
        }
        for timeout in &self.timeout {
            text += &format!("timeout   {timeout}\n");
        }
        text += &format!(
            "{:<12} {:>7} {:>7} {:>9} {:>9} {:>9} {:>8}\n",
            "crate", "caught", "missed", "explained", "timeouts", "unviable", "caught %"
        );
        let mut folders: Vec<&str> = Vec::new();
        for list in [&self.caught, &self.missed, &self.timeout, &self.unviable] {
            folders.extend(list.iter().map(|mutant| folder(mutant)));
        }
        folders.sort_unstable();
        folders.dedup();
        for name in &folders {
            let here = |list: &[String]| list.iter().filter(|mutant| folder(mutant) == *name).count();
            let (caught, missed, timeouts) = (here(&self.caught), here(&self.missed), here(&self.timeout));
            let known = known.iter().filter(|mutant| folder(mutant) == *name).count();
            // A change that hangs is noticed, and one that cannot be noticed does not count.
            let noticed = caught + timeouts;
            let permille = (noticed * 1000).checked_div(noticed + missed - known).unwrap_or(1000);
            text += &format!(
                "{name:<12} {caught:>7} {:>7} {known:>9} {timeouts:>9} {:>9} {:>8}\n",
                missed - known,
                here(&self.unviable),
                format!("{}.{}", permille / 10, permille % 10)
            );
        }
        text += &match survivors.len() {
            0 => "no unexplained survivor".to_owned(),
            count => format!("{count} SURVIVED: write a test, or the reason why none can exist into {EXPLAINED}"),
        };
        (text, !survivors.is_empty())
    }
}

/// The first folder of a path.
fn folder(mutant: &str) -> &str {
    mutant.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = r#"[{"file": "fwcfg/src/a.rs", "change": "replace | with ^ in f", "reason": "no common bit"}]"#;

    fn list(mutants: &[&str]) -> Vec<String> {
        mutants.iter().map(|mutant| (*mutant).to_owned()).collect()
    }

    #[test]
    fn an_explained_survivor_is_known_at_any_line() {
        let known = Explained::parse(KNOWN).unwrap();
        assert!(known.has("fwcfg/src/a.rs:3:4: replace | with ^ in f"));
        assert!(known.has("fwcfg/src/a.rs:99:1: replace | with ^ in f"));
        for other in [
            "fwcfg/src/b.rs:3:4: replace | with ^ in f",
            "fwcfg/src/a.rs:3:4: replace | with & in f",
            "x",
        ] {
            assert!(!known.has(other), "{other}");
        }
    }

    #[test]
    fn an_explanation_needs_a_reason() {
        for wrong in [
            "{}",
            "[{}]",
            r#"[{"file": "a", "change": "b"}]"#,
            r#"[{"file": "a", "change": "b", "reason": ""}]"#,
        ] {
            assert!(Explained::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_explanations_of_this_repository_are_valid() {
        let text = fs::read_to_string(root().unwrap().join(EXPLAINED)).unwrap();
        Explained::parse(&text).unwrap();
    }

    #[test]
    fn survivors_are_listed_and_shares_counted() {
        let outcome = Outcome {
            caught: list(&[
                "fwcfg/src/a.rs:1:1: x",
                "fwcfg/src/a.rs:2:1: y",
                "pci-model/src/a.rs:1:1: x",
            ]),
            missed: list(&["fwcfg/src/a.rs:3:4: replace | with ^ in f", "fwcfg/src/a.rs:7:1: z"]),
            timeout: list(&["fwcfg/src/a.rs:9:1: w"]),
            unviable: list(&["fwcfg/src/a.rs:9:2: v"]),
        };
        let (text, survived) = outcome.text(&Explained::parse(KNOWN).unwrap());
        assert!(survived);
        assert!(
            text.contains("survived  fwcfg/src/a.rs:7:1: z\ntimeout   fwcfg/src/a.rs:9:1: w\n"),
            "{text}"
        );
        assert!(
            text.contains("fwcfg              2       1         1         1         1     75.0\n"),
            "{text}"
        );
        assert!(
            text.contains("pci-model          1       0         0         0         0    100.0\n"),
            "{text}"
        );
        let none = Outcome::default().text(&Explained::parse("[]").unwrap());
        assert!(!none.1 && none.0.ends_with("no unexplained survivor"));
    }
}
