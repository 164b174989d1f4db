// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Which crate may link which: see `docs/adr/0002-crates-and-arrows.md`.

use anyhow::Result;

use crate::metadata::{Package, packages};

const FLOOR_1: &[&str] = &["pci-model"];
const FLOORS_1_AND_2: &[&str] = &["pci-model", "fwcfg", "lpc-bridge", "igd-quirks", "igd-sim"];

/// What is counted goes through a VMM's dispatch, too.
const ALL_BUT_CONFORMANCE: &[&str] = &["pci-model", "fwcfg", "lpc-bridge", "igd-quirks", "igd-sim", "igd-vmm"];

/// The fuzzing targets use what a VMM uses, and compare it with what a lab has.
const EVERYTHING: &[&str] = &[
    "pci-model",
    "fwcfg",
    "lpc-bridge",
    "igd-quirks",
    "igd-sim",
    "igd-conformance",
    "igd-vmm",
];

/// Each package and the packages of the workspace that it may link.
const ARROWS: &[(&str, &[&str])] = &[
    ("pci-model", &[]),
    ("fwcfg", FLOOR_1),
    ("lpc-bridge", FLOOR_1),
    ("igd-quirks", FLOOR_1),
    ("igd-sim", FLOOR_1),
    ("igd-conformance", FLOORS_1_AND_2),
    ("igd-vmm", FLOORS_1_AND_2),
    ("igd-counts", ALL_BUT_CONFORMANCE),
    ("igd-fuzz-common", EVERYTHING),
    ("xtask", &[]),
];

/// Refuses an arrow that nobody decided on.
pub(super) fn check() -> Result<()> {
    super::found(&undecided(&packages()?))
}

fn undecided(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == package.name) else {
            found.push(format!(
                "{} has no row in the table of arrows: write an ADR",
                package.name
            ));
            continue;
        };
        for link in package.links.iter().filter(|link| !allowed.contains(&link.as_str())) {
            found.push(format!("{} links {link}: a new arrow needs an ADR", package.name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, links: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            folder: name.into(),
            published: true,
            features: Vec::new(),
            links: links.iter().map(|link| (*link).to_owned()).collect(),
            library: None,
            benches: false,
        }
    }

    #[test]
    fn arrows_up_and_sideways_are_found() {
        let found = |name, links: &[&str]| undecided(&[package(name, links)]).join("");
        assert_eq!(found("fwcfg", &["pci-model"]), "");
        assert_eq!(
            found("fwcfg", &["pci-model", "lpc-bridge"]),
            "fwcfg links lpc-bridge: a new arrow needs an ADR"
        );
        assert!(found("pci-model", &["fwcfg"]).contains("links fwcfg"));
        assert!(found("igd-conformance", &["igd-vmm"]).contains("links igd-vmm"));
        assert!(found("igd-sim", &["igd-quirks"]).contains("links igd-quirks"));
        assert!(found("gpu", &[]).contains("no row"));
    }
}
