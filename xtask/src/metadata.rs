// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The packages of the workspace, as cargo describes them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::tools::{cargo, root};

/// A package of the workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Package {
    /// Name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Whether it may be published.
    pub(crate) published: bool,
    /// Names of its features but `default`.
    pub(crate) features: Vec<String>,
    /// Names of the packages of this workspace that it links, tests aside.
    pub(crate) links: Vec<String>,
    /// Source of its library, if it has one.
    pub(crate) library: Option<PathBuf>,
    /// Whether it has benchmarks.
    pub(crate) benches: bool,
}

/// Every package of the workspace.
///
/// # Errors
///
/// Cargo refuses a manifest, or says something else than expected.
pub(crate) fn packages() -> Result<Vec<Package>> {
    let mut command = cargo(["metadata", "--no-deps", "--format-version", "1"]);
    let output = command
        .current_dir(root()?)
        .output()
        .context("cannot start cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    list(&metadata, "packages").map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let name = text(value, "name").context("a package has no name")?.to_owned();
    let folder = text(value, "manifest_path").map(Path::new).and_then(Path::parent);
    let features = value.get("features").and_then(Value::as_object);
    let targets = || list(value, "targets");
    let is = |target: &Value, kind| list(target, "kind").any(|known| known == kind);
    Ok(Package {
        folder: folder.with_context(|| format!("{name} has no folder"))?.to_owned(),
        published: list(value, "publish").next().is_some() || value.get("publish").is_none_or(Value::is_null),
        features: features
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .filter(|name| name != "default")
            .collect(),
        links: list(value, "dependencies")
            .filter(|link| text(link, "path").is_some() && text(link, "kind") != Some("dev"))
            .filter_map(|link| text(link, "name").map(str::to_owned))
            .collect(),
        library: targets()
            .find(|target| is(target, "lib"))
            .and_then(|target| text(target, "src_path"))
            .map(PathBuf::from),
        benches: targets().any(|target| is(target, "bench")),
        name,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_is_described() {
        let packages = packages().unwrap();
        let find = |name: &str| packages.iter().find(|package| package.name == name).unwrap();
        let xtask = find("xtask");
        assert!(!xtask.published && xtask.links.is_empty() && xtask.library.is_none());
        let conformance = find("igd-conformance");
        assert!(conformance.published && conformance.links.contains(&"pci-model".to_owned()));
        assert!(
            find("pci-model")
                .library
                .as_ref()
                .is_some_and(|path| path.ends_with("pci-model/src/lib.rs"))
        );
    }
}
