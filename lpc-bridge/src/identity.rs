// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Who a bridge says it is.

use pci_model::spec as pci;

use crate::overlay::{self, ISA_BRIDGE};
use crate::pch::{Pch, VirtualBridge};
use crate::spec;

/// The ids that an ISA bridge shows, and by which graphics software tells the platform.
///
/// The default is a bridge that has none yet: vendor and device 0000:0000, subsystem 1af4:1100.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Programming interface, the lowest byte of the class code.
    pub prog_if: u8,
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
}

impl Default for Identity {
    fn default() -> Self {
        let (subsystem_vendor, subsystem) = spec::QEMU_SUBSYSTEM;
        Self {
            vendor: spec::NULL_VENDOR,
            device: 0,
            revision: 0,
            prog_if: 0,
            subsystem_vendor,
            subsystem,
        }
    }
}

impl Identity {
    /// The identity of a host's ISA bridge, from its configuration bytes: those of the VFIO region, or of `config` in
    /// sysfs. Nothing but the fields of [`ISA_BRIDGE`] is taken.
    ///
    /// # Errors
    ///
    /// The bytes end before the last field, or are not those of an ISA bridge with a type 0 header.
    pub fn from_config(config: &[u8]) -> Result<Self, ConfigError> {
        check(config, spec::CLASS_ISA_BRIDGE, overlay::length(&ISA_BRIDGE))?;
        Ok(Self::read(config))
    }

    /// The identity in these bytes, whatever they are; zeros beyond their end.
    pub(crate) fn read(config: &[u8]) -> Self {
        let byte = |at: u16| config.get(usize::from(at)).copied().unwrap_or(0);
        Self {
            vendor: word(config, pci::VENDOR_ID),
            device: word(config, pci::DEVICE_ID),
            revision: byte(pci::REVISION_ID),
            prog_if: byte(pci::CLASS_CODE),
            subsystem_vendor: word(config, pci::SUBSYSTEM_VENDOR_ID),
            subsystem: word(config, pci::SUBSYSTEM_ID),
        }
    }

    /// Why software may not recognise a bridge with this identity.
    #[must_use]
    pub fn warning(&self) -> Option<IdentityWarning> {
        let Self { vendor, device, .. } = *self;
        if vendor != spec::INTEL {
            return Some(IdentityWarning::NotIntel { vendor });
        }
        if Pch::from_device_id(device).is_none() && VirtualBridge::from_identity(self).is_none() {
            return Some(IdentityWarning::UnknownPch { device });
        }
        None
    }
}

impl From<Pch> for Identity {
    /// An identity for a bridge of this family where no host's can be had: a device id of the family, the revision that
    /// Xen gives it (Lynx Point-H and Wildcat Point-LP) or 0, and the subsystem 1af4:1100.
    fn from(pch: Pch) -> Self {
        Self {
            vendor: spec::INTEL,
            device: pch.device_id(),
            revision: pch.revision(),
            ..Self::default()
        }
    }
}

/// Configuration bytes that are not those of the bridge they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The bytes end too early. An unprivileged reader of sysfs gets 64.
    #[error("configuration of {len:#x} bytes, {needed:#x} are needed")]
    TooShort {
        /// Length of the configuration in bytes.
        len: usize,
        /// Bytes up to the end of the last field.
        needed: usize,
    },
    /// No function answers there.
    #[error("no function: its vendor id reads {vendor:04x}")]
    Absent {
        /// Vendor id.
        vendor: u16,
    },
    /// The function is another kind of device, whose ids would be a lie under a bridge's class.
    #[error("class {found:04x}, not {expected:04x}")]
    Class {
        /// Base class and subclass.
        found: u16,
        /// Base class and subclass of the bridge.
        expected: u16,
    },
    /// The header is not of type 0, so that there are no subsystem ids where they are looked for.
    #[error("header type {0:#04x}, not 0")]
    HeaderType(u8),
}

/// Why software may not recognise an identity, which is otherwise sound.
///
/// A warning and no error: the bridge works, and a driver that is newer than this crate may know the id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityWarning {
    /// Graphics software looks at ISA bridges of Intel only.
    #[error("vendor {vendor:04x} is not Intel")]
    NotIntel {
        /// Vendor id.
        vendor: u16,
    },
    /// The device id belongs to no family of [`Pch`] and to no [`VirtualBridge`].
    #[error("device {device:04x} is of no known family of ISA bridges")]
    UnknownPch {
        /// Device id.
        device: u16,
    },
}

/// Checks that these are the bytes of a bridge of this class, and enough of them.
pub(crate) fn check(config: &[u8], class: u16, needed: usize) -> Result<(), ConfigError> {
    if config.len() < needed {
        return Err(ConfigError::TooShort {
            len: config.len(),
            needed,
        });
    }
    let vendor = word(config, pci::VENDOR_ID);
    if vendor == spec::NO_VENDOR || vendor == spec::NULL_VENDOR {
        return Err(ConfigError::Absent { vendor });
    }
    let found = word(config, pci::CLASS_CODE + 1);
    if found != class {
        return Err(ConfigError::Class { found, expected: class });
    }
    match config.get(usize::from(pci::HEADER_TYPE)).copied().unwrap_or(0) {
        header if header & !pci::MULTI_FUNCTION == 0 => Ok(()),
        header => Err(ConfigError::HeaderType(header)),
    }
}

/// The little-endian word at `at`; zeros beyond the end.
fn word(config: &[u8], at: u16) -> u16 {
    let byte = |at: u16| config.get(usize::from(at)).copied().unwrap_or(0);
    u16::from_le_bytes([byte(at), byte(at + 1)])
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    fn host() -> [u8; 256] {
        let mut config = [0xee; 256];
        config[..4].copy_from_slice(&[0x86, 0x80, 0x84, 0x9d]);
        config[8..12].copy_from_slice(&[0x30, 0x00, 0x01, 0x06]);
        config[0x0e] = 0x80;
        config[0x2c..0x30].copy_from_slice(&[0xaa, 0x17, 0x92, 0x22]);
        config
    }

    #[test]
    fn takes_the_five_fields() {
        let identity = Identity::from_config(&host()).unwrap();
        let expected = Identity {
            vendor: 0x8086,
            device: 0x9d84,
            revision: 0x30,
            prog_if: 0,
            subsystem_vendor: 0x17aa,
            subsystem: 0x2292,
        };
        assert_eq!(identity, expected);
        assert_eq!(identity.warning(), None);
    }

    #[test]
    fn enough_is_the_end_of_the_last_field() {
        let host = host();
        for len in 0..0x30 {
            let error = Identity::from_config(&host[..len]).unwrap_err();
            assert_eq!(error, ConfigError::TooShort { len, needed: 0x30 });
        }
        assert!(Identity::from_config(&host[..0x30]).is_ok());
        assert_eq!(
            Identity::from_config(&[]).unwrap_err().to_string(),
            "configuration of 0x0 bytes, 0x30 are needed"
        );
    }

    #[test]
    fn refusals_name_the_value() {
        let with = |at: usize, bytes: &[u8]| {
            let mut config = host();
            config[at..at + bytes.len()].copy_from_slice(bytes);
            Identity::from_config(&config).unwrap_err().to_string()
        };
        assert_eq!(with(0, &[0xff, 0xff]), "no function: its vendor id reads ffff");
        assert_eq!(with(0, &[0, 0]), "no function: its vendor id reads 0000");
        assert_eq!(with(0x0a, &[0x80, 0x05]), "class 0580, not 0601");
        assert_eq!(with(0x0a, &[0x00]), "class 0600, not 0601");
        assert_eq!(with(0x0e, &[0x81]), "header type 0x81, not 0");
        assert_eq!(with(0x0e, &[0x40]), "header type 0x40, not 0");
    }

    #[test]
    fn the_programming_interface_is_the_hosts() {
        let mut config = host();
        config[9] = 0x80;
        assert_eq!(Identity::from_config(&config).unwrap().prog_if, 0x80);
    }

    #[test]
    fn strange_ids_are_warnings() {
        let strange = |vendor, device| Identity {
            vendor,
            device,
            ..Identity::default()
        };
        assert_eq!(
            strange(0x1022, 0x790e).warning(),
            Some(IdentityWarning::NotIntel { vendor: 0x1022 })
        );
        assert_eq!(
            strange(0x8086, 0xffff).warning(),
            Some(IdentityWarning::UnknownPch { device: 0xffff })
        );
        assert_eq!(strange(0x8086, 0x2918).warning(), None);
        let real_ich9 = Identity {
            subsystem_vendor: 0x8086,
            ..strange(0x8086, 0x2918)
        };
        assert_eq!(
            real_ich9.warning(),
            Some(IdentityWarning::UnknownPch { device: 0x2918 })
        );
        assert_eq!(
            Identity::default().warning(),
            Some(IdentityWarning::NotIntel { vendor: 0 })
        );
    }

    #[test]
    fn xens_identities_are_among_the_synthetic_ones() {
        let shown = |pch| {
            let Identity { device, revision, .. } = Identity::from(pch);
            (device, revision)
        };
        assert_eq!(shown(Pch::LynxPointH), (0x8c4e, 4));
        assert_eq!(shown(Pch::WildcatPointLp), (0x9cc3, 3));
        assert_eq!(shown(Pch::CannonPointLp), (0x9d84, 0));
        assert_eq!(
            Identity::from(Pch::CannonPointLp),
            Identity {
                vendor: 0x8086,
                device: 0x9d84,
                ..Identity::default()
            }
        );
    }
}
