// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Joining corpora, and choosing the few inputs of one that are kept in the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::build::Place;
use super::campaign::{files, libfuzzer};
use super::targets::Target;

/// How many inputs of a target are kept, and how many bytes they have together.
const KEPT_FILES: usize = 100;
const KEPT_BYTES: u64 = 64 << 10;

/// Adds to `fuzz/corpus` what the corpora below `folders` have and it has not.
pub(crate) fn merge(targets: &[Target], folders: &[PathBuf], place: &Place) -> Result<()> {
    let mut known = 0;
    for target in targets {
        let sources: Vec<_> = folders
            .iter()
            .map(|folder| folder.join(target.name()))
            .filter(|folder| folder.is_dir())
            .collect();
        if sources.is_empty() {
            continue;
        }
        known += 1;
        let corpus = place.of("corpus", target.name());
        fs::create_dir_all(&corpus).with_context(|| format!("cannot create {}", corpus.display()))?;
        let before = files(&corpus).len();
        select(target, &corpus, &sources, false, place)?;
        println!(
            "{:<18} {:>6} new inputs, {} in all",
            target.name(),
            files(&corpus).len() - before,
            files(&corpus).len()
        );
    }
    if known == 0 {
        bail!("none of these folders has one of a target's name: a corpus is FOLDER/TARGET/INPUT");
    }
    Ok(())
}

/// Replaces `fuzz/seeds` of each target by the few inputs that reach what its corpus reaches.
pub(crate) fn minimize(targets: &[Target], place: &Place) -> Result<()> {
    for target in targets {
        let seeds = place.of("seeds", target.name());
        let sources: Vec<_> = [place.of("corpus", target.name()), seeds.clone()]
            .into_iter()
            .filter(|folder| folder.is_dir())
            .collect();
        if sources.is_empty() {
            println!("{:<18} no corpus yet", target.name());
            continue;
        }
        let scratch = place.made.join("minimize").join(target.name());
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
        select(target, &scratch, &sources, true, place)?;
        let found: Vec<(u64, PathBuf)> = files(&scratch)
            .into_iter()
            .map(|file| (fs::metadata(&file).map_or(0, |file| file.len()), file))
            .collect();
        let all = found.len();
        let kept = small_enough(found);
        let bytes: u64 = kept.iter().map(|(len, _)| len).sum();
        replace(&seeds, &kept)?;
        println!(
            "{:<18} {:>3} of {all} inputs kept, {bytes} bytes",
            target.name(),
            kept.len()
        );
    }
    Ok(())
}

/// Copies into `to` those inputs of `sources` that reach something new.
fn select(target: &Target, to: &Path, sources: &[PathBuf], fewest: bool, place: &Place) -> Result<()> {
    let mut command = libfuzzer(place, target.name());
    // For the repository the fewest inputs that reach every edge, however often; else the smallest, which fuzz faster.
    command.args(if fewest {
        ["-set_cover_merge=1", "-use_counters=0"].as_slice()
    } else {
        &["-merge=1"]
    });
    command.arg(to).args(sources);
    let output = command
        .stderr(Stdio::piped())
        .output()
        .context("cannot start the target")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{}: merge failed: {}",
            target.name(),
            said.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}

/// The smallest first, as many as may be kept.
fn small_enough(mut found: Vec<(u64, PathBuf)>) -> Vec<(u64, PathBuf)> {
    found.sort();
    let mut left = KEPT_BYTES;
    let fits = |(len, _): &(u64, PathBuf)| {
        let rest = left.checked_sub(*len);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    found.into_iter().take(KEPT_FILES).take_while(fits).collect()
}

fn replace(seeds: &Path, kept: &[(u64, PathBuf)]) -> Result<()> {
    let _ = fs::remove_dir_all(seeds);
    fs::create_dir_all(seeds).with_context(|| format!("cannot create {}", seeds.display()))?;
    for (_, file) in kept {
        let to = seeds.join(file.file_name().unwrap_or_default());
        fs::copy(file, &to).with_context(|| format!("cannot write {}", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_small_inputs_are_kept() {
        let named = |lens: &[u64]| -> Vec<(u64, PathBuf)> {
            let name = |(index, len): (usize, &u64)| (*len, PathBuf::from(format!("{index:03}")));
            lens.iter().enumerate().map(name).collect()
        };
        let lens = |kept: Vec<(u64, PathBuf)>| -> Vec<u64> { kept.into_iter().map(|(len, _)| len).collect() };
        assert_eq!(lens(small_enough(named(&[9, 1, 5]))), [1, 5, 9]);
        assert_eq!(small_enough(named(&[1; 200])).len(), KEPT_FILES);
        assert_eq!(lens(small_enough(named(&[KEPT_BYTES, 1, 2]))), [1, 2]);
        assert_eq!(lens(small_enough(named(&[KEPT_BYTES]))), [KEPT_BYTES]);
        assert!(small_enough(Vec::new()).is_empty());
    }
}
