// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The kernel's modules and the order in which they are loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders deep in which modules lie.
const DEPTH: usize = 12;
const ENDINGS: &[&str] = &[".ko", ".ko.xz", ".ko.gz", ".ko.zst"];

/// A module to load.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The modules of these names with everything that they depend on, in the order of loading. One that the kernel does not
/// have as a module is built in, or will be missed by whoever uses it.
///
/// # Errors
///
/// A folder or a file cannot be read.
pub(super) fn load(folder: &Path, names: &[&str], read: &dyn Fn(&Path) -> Result<Vec<u8>>) -> Result<Vec<Module>> {
    let paths = index(folder)?;
    let mut loaded: Vec<Module> = Vec::new();
    // A module waits here until those that it needs are loaded.
    let mut waiting: Vec<String> = names.iter().rev().map(|name| plain(name)).collect();
    let mut contents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    while let Some(name) = waiting.pop() {
        let Some(path) = paths
            .get(&name)
            .filter(|_| loaded.iter().all(|module| module.name != name))
        else {
            continue;
        };
        if let Some(content) = contents.remove(&name) {
            loaded.push(Module { name, content });
            continue;
        }
        let content = read(path)?;
        let needed = depends(&content);
        contents.insert(name.clone(), content);
        waiting.push(name);
        let is_new = |needed: &String| !contents.contains_key(needed);
        waiting.extend(needed.into_iter().filter(is_new));
    }
    Ok(loaded)
}

fn index(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry
                .with_context(|| format!("cannot list {}", folder.display()))?
                .path();
            if path.is_dir() && !path.is_symlink() && depth < DEPTH {
                folders.push((path, depth + 1));
                continue;
            }
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending)) {
                paths.insert(plain(name), path);
            }
        }
    }
    Ok(paths)
}

/// The kernel takes both signs for one.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// What a module says that it depends on.
fn depends(content: &[u8]) -> Vec<String> {
    const TAG: &[u8] = b"\0depends=";
    let Some(at) = content.windows(TAG.len()).position(|window| window == TAG) else {
        return Vec::new();
    };
    let rest = content.get(at + TAG.len()..).unwrap_or_default();
    let list = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let folder = std::env::temp_dir().join(format!("lab-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel/drivers")).unwrap();
        let modules = [
            ("vfio-pci.ko.xz", "vfio-pci-core,vfio"),
            ("vfio-pci-core.ko", "vfio,irqbypass"),
            ("vfio.ko", ""),
            ("irqbypass.ko", ""),
            // Two that need each other do not keep us here.
            ("a.ko", "b"),
            ("b.ko", "a"),
        ];
        for (name, needed) in modules {
            fs::write(
                folder.join("kernel/drivers").join(name),
                format!("x\0depends={needed}\0y"),
            )
            .unwrap();
        }
        let read = |path: &Path| Ok(fs::read(path)?);
        let order = |names: &[&str]| -> Vec<String> {
            let loaded = load(&folder, names, &read).unwrap();
            loaded.into_iter().map(|module| module.name).collect()
        };
        assert_eq!(
            order(&["vfio", "vfio_pci", "built_in"]),
            ["vfio", "irqbypass", "vfio_pci_core", "vfio_pci"]
        );
        assert_eq!(order(&["a"]), ["b", "a"]);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_module_that_says_nothing_needs_nothing() {
        assert!(depends(b"nothing").is_empty());
        assert!(depends(b"\0depends=\0").is_empty());
        assert_eq!(depends(b"\0depends=ttm,drm-kms"), ["ttm", "drm_kms"]);
    }
}
