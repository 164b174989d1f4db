// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The made-up host: a library for QEMU that shows an Intel graphics function, built from the source in `shim`.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use super::work_dir::WorkDir;

const SOURCE: &str = include_str!("../../../shim/vfio_igd.c");
const SOURCE_FILE: &str = "vfio_igd.c";
const LIBRARY: &str = "vfio_igd.so";
const COMPILER: &str = "cc";
/// Debian packages with what is needed to build the library.
const PACKAGES: &str = "gcc and libc6-dev";

/// The function's address on the made-up host; its folder stands in for that of sysfs.
pub(crate) const FUNCTION: &str = "0000:00:02.0";
const GROUP: (&str, &str) = ("iommu_group", "/sys/kernel/iommu_groups/7");
/// The option ROM: QEMU looks at no byte of it.
const ROM: (&str, usize) = ("igd.rom", 1024);

/// A folder with the library and the files that go with it; goes away with its owner.
#[derive(Debug)]
pub(super) struct Shim(WorkDir);

impl Shim {
    /// Builds the library with `compiler`; if that is empty, with `$CC` or `cc`. The folder lies below `root`.
    ///
    /// # Errors
    ///
    /// There is no compiler, with the names of the packages that have it, or it fails.
    pub(super) fn build(compiler: &str, root: Option<&Path>) -> Result<Self, String> {
        let failed = |reason: &str| {
            format!("cannot build the library that makes up a host: {reason} (in Debian, install {PACKAGES})")
        };
        let io = |error: std::io::Error| failed(&error.to_string());
        let dir = WorkDir::new(root).map_err(io)?;
        fs::write(dir.join(SOURCE_FILE), SOURCE).map_err(io)?;
        let variable = std::env::var("CC").unwrap_or_default();
        let mut words = [compiler, &variable, COMPILER]
            .into_iter()
            .map(str::split_whitespace)
            .find(|words| words.clone().next().is_some())
            .into_iter()
            .flatten();
        let program = words.next().unwrap_or(COMPILER);
        let output = Command::new(program)
            .args(words)
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([dir.join(LIBRARY), dir.join(SOURCE_FILE)])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(&format!("{program}: {error}")))?;
        if !output.status.success() || !dir.join(LIBRARY).exists() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it built nothing");
            return Err(failed(&format!("{program}: {said}")));
        }
        fs::write(dir.join(ROM.0), vec![0; ROM.1]).map_err(io)?;
        let function = dir.join(FUNCTION);
        DirBuilder::new().mode(0o700).create(&function).map_err(io)?;
        symlink(GROUP.1, function.join(GROUP.0)).map_err(io)?;
        Ok(Self(dir))
    }

    /// The library, as QEMU sees it.
    pub(super) fn library(&self) -> String {
        self.0.inside(LIBRARY)
    }

    /// The folder with the files, as QEMU sees it.
    pub(super) fn files(&self) -> String {
        let function = self.0.inside(FUNCTION);
        function
            .strip_suffix(FUNCTION)
            .map_or(String::new(), |folder| folder.trim_end_matches('/').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_compiler_names_the_packages() {
        for (compiler, text) in [
            ("/no/such/compiler -m64", "/no/such/compiler: No such file"),
            ("true", "true: it built nothing"),
            ("ls --no-such-option", "ls: "),
        ] {
            let error = Shim::build(compiler, None).unwrap_err();
            assert!(
                error.contains(text) && error.ends_with("install gcc and libc6-dev)"),
                "{error}"
            );
        }
    }

    #[test]
    fn files_lie_beside_the_library() {
        // Whether there is a compiler is not the question here.
        let folder = WorkDir::new(None).unwrap();
        let compiler = folder.join("compiler");
        fs::write(
            &compiler,
            "#!/bin/sh\nfor last; do :; done\ntest -s \"$last\" && echo x > \"$5\"\n",
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&compiler, mode).unwrap();
        let shim = Shim::build(compiler.to_str().unwrap(), None).unwrap();
        assert_eq!(shim.library(), format!("{}/{LIBRARY}", shim.files()));
        let group = Path::new(&shim.files()).join(FUNCTION).join(GROUP.0);
        assert!(fs::read_link(group).unwrap().ends_with("7"));
        assert_eq!(fs::metadata(Path::new(&shim.files()).join(ROM.0)).unwrap().len(), 1024);
    }
}
