// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Why a device cannot be had, and what to do: from what sysfs says.

use std::fs;
use std::path::Path;

use vfio_ioctls::VfioError;

/// What stands in the way of opening the function at `sysfs`, as far as can be seen without opening anything.
pub(super) fn obstacle(sysfs: &Path) -> Option<String> {
    if !sysfs.is_dir() {
        return Some("there is no such function; lspci -D lists them".to_owned());
    }
    let driver = name_of_link(&sysfs.join("driver"));
    if driver.as_deref() != Some("vfio-pci") {
        let now = driver.map_or("it has no driver".to_owned(), |driver| {
            format!("its driver is {driver}")
        });
        return Some(format!(
            "{now}; bind it to vfio-pci: driverctl set-override {} vfio-pci, or write vfio-pci to {} and bind it again",
            sysfs.file_name().unwrap_or_default().display(),
            sysfs.join("driver_override").display()
        ));
    }
    if !sysfs.join("iommu_group").exists() {
        return Some(
            "it is in no IOMMU group; enable the IOMMU: VT-d in the firmware's setup and intel_iommu=on on the kernel's \
             command line"
                .to_owned(),
        );
    }
    None
}

/// The number of the function's group.
pub(super) fn group(sysfs: &Path) -> Option<String> {
    name_of_link(&sysfs.join("iommu_group"))
}

/// What else is in the group and keeps it from being used: functions with a driver that is not vfio's.
pub(super) fn others_in_group(sysfs: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(sysfs.join("iommu_group/devices")) else {
        return Vec::new();
    };
    let mut others: Vec<String> = entries
        .flatten()
        .take(64)
        .filter(|entry| Some(&*entry.file_name()) != sysfs.file_name())
        .filter_map(|entry| {
            let driver = name_of_link(&entry.path().join("driver"))?;
            let is_harmless = matches!(&*driver, "vfio-pci" | "pci-stub" | "pcieport");
            (!is_harmless).then(|| format!("{} (driver {driver})", entry.file_name().display()))
        })
        .collect();
    others.sort_unstable();
    others
}

/// Whether somebody else has the device open. A cdev that is open answers as to a wrong argument.
pub(super) fn is_in_use(error: &VfioError) -> bool {
    match error {
        VfioError::OpenGroup(error, _) => error.raw_os_error() == Some(libc::EBUSY),
        VfioError::VfioDeviceBindIommufd(error) => matches!(error.errno(), libc::EBUSY | libc::EINVAL),
        _ => false,
    }
}

/// Why opening failed although nothing stood in the way.
pub(super) fn reason(sysfs: &Path, error: &VfioError) -> String {
    let is_refused = match error {
        VfioError::GroupGetDeviceFD(error) | VfioError::VfioDeviceBindIommufd(error) => error.errno() == libc::EINVAL,
        _ => false,
    };
    if is_refused && has_asls(sysfs) {
        return format!(
            "{error}; the kernel finds no OpRegion at the address in ASLS, if dmesg says `Failed to setup Intel IGD \
             regions`: update the machine's firmware, and enable the graphics device in its setup"
        );
    }
    let others = others_in_group(sysfs);
    if !others.is_empty() {
        return format!(
            "{error}; its IOMMU group also has {}: bind them to vfio-pci too, or leave them without a driver",
            others.join(", ")
        );
    }
    let group = group(sysfs).map_or(String::new(), |group| format!(" of /dev/vfio/{group}"));
    format!(
        "{error}; look at the owner{group}, whether another program has it open, whether the module vfio_iommu_type1 is \
         loaded, and at dmesg"
    )
}

/// Whether this is a display controller of Intel whose firmware says where the OpRegion is.
fn has_asls(sysfs: &Path) -> bool {
    let text = |name: &str| fs::read_to_string(sysfs.join(name)).unwrap_or_default();
    let config = fs::read(sysfs.join("config")).unwrap_or_default();
    let asls = config.get(0xfc..0x100).unwrap_or_default();
    text("vendor").trim() == "0x8086" && text("class").starts_with("0x03") && asls.iter().any(|byte| *byte != 0)
}

fn name_of_link(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    target.file_name().map(|name| name.display().to_string())
}

/// Bits of an address that the function's IOMMU translates, from VT-d's capability register (MGAW).
pub(super) fn iommu_bits(sysfs: &Path) -> Option<u8> {
    let text = fs::read_to_string(sysfs.join("iommu/intel-iommu/cap")).ok()?;
    let capability = u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()?;
    u8::try_from((capability >> 16 & 0x3f) + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("igd-vmm-{}-{name}", std::process::id()));
            fs::create_dir_all(root.join("0000:00:02.0")).unwrap();
            Self(root)
        }

        fn function(&self) -> PathBuf {
            self.0.join("0000:00:02.0")
        }

        fn driver(&self, function: &Path, driver: &str) {
            fs::create_dir_all(self.0.join(driver)).unwrap();
            symlink(self.0.join(driver), function.join("driver")).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_first_obstacle_is_named() {
        let tree = Tree::new("obstacle");
        let function = tree.function();
        assert!(obstacle(&tree.0.join("absent")).unwrap().contains("no such function"));
        assert!(obstacle(&function).unwrap().contains("has no driver"));
        tree.driver(&function, "i915");
        assert!(obstacle(&function).unwrap().contains("its driver is i915"));
        fs::remove_file(function.join("driver")).unwrap();
        tree.driver(&function, "vfio-pci");
        assert!(obstacle(&function).unwrap().contains("intel_iommu=on"));
        fs::create_dir_all(tree.0.join("groups/7/devices")).unwrap();
        symlink(tree.0.join("groups/7"), function.join("iommu_group")).unwrap();
        assert_eq!(obstacle(&function), None);
        assert!(reason(&function, &VfioError::GroupViable).contains("/dev/vfio/7"));

        let other = tree.0.join("groups/7/devices/0000:00:02.1");
        fs::create_dir_all(&other).unwrap();
        assert_eq!(others_in_group(&function), [""; 0], "one without a driver is harmless");
        tree.driver(&other, "snd_hda_intel");
        assert_eq!(others_in_group(&function), ["0000:00:02.1 (driver snd_hda_intel)"]);
        assert!(reason(&function, &VfioError::GroupViable).contains("snd_hda_intel"));
    }

    #[test]
    fn a_refusal_for_the_sake_of_the_opregion_is_told_from_others() {
        let tree = Tree::new("asls");
        let function = tree.function();
        let refused = VfioError::GroupGetDeviceFD(vmm_sys_util::errno::Error::new(libc::EINVAL));
        fs::write(function.join("vendor"), "0x8086\n").unwrap();
        fs::write(function.join("class"), "0x030000\n").unwrap();
        let mut config = [0; 256];
        fs::write(function.join("config"), config).unwrap();
        assert!(
            !reason(&function, &refused).contains("ASLS"),
            "none is where it should be"
        );
        config[0xff] = 0x3d;
        fs::write(function.join("config"), config).unwrap();
        assert!(reason(&function, &refused).contains("no OpRegion at the address in ASLS"));
        assert!(!reason(&function, &VfioError::GroupViable).contains("ASLS"));
        fs::write(function.join("class"), "0x020000\n").unwrap();
        assert!(!reason(&function, &refused).contains("ASLS"), "no display");
    }

    #[test]
    fn one_that_is_in_use_is_waited_for() {
        let busy = |errno| VfioError::OpenGroup(std::io::Error::from_raw_os_error(errno), "1".to_owned());
        assert!(is_in_use(&busy(libc::EBUSY)));
        assert!(!is_in_use(&busy(libc::EACCES)));
        assert!(!is_in_use(&VfioError::GroupViable));
        let bind = |errno| VfioError::VfioDeviceBindIommufd(vmm_sys_util::errno::Error::new(errno));
        assert!(is_in_use(&bind(libc::EINVAL)));
        assert!(!is_in_use(&bind(libc::EPERM)));
    }

    #[test]
    fn the_width_is_in_the_capability_register() {
        let tree = Tree::new("width");
        let function = tree.function();
        assert_eq!(iommu_bits(&function), None);
        fs::create_dir_all(function.join("iommu/intel-iommu")).unwrap();
        fs::write(function.join("iommu/intel-iommu/cap"), "1c0000c40660462\n").unwrap();
        assert_eq!(iommu_bits(&function), Some(39));
        fs::write(function.join("iommu/intel-iommu/cap"), "not a number").unwrap();
        assert_eq!(iommu_bits(&function), None);
    }
}
