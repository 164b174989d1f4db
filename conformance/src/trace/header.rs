// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The header of a trace: how it was made and what to build the device from.

use pci_model::Bdf;

/// How a trace was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Kind {
    /// A scripted sequence of accesses.
    #[default]
    Qtest,
    /// The accesses of real firmware.
    Firmware,
}

impl Kind {
    /// The name in a trace.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qtest => "qtest",
            Self::Firmware => "firmware",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Qtest, Self::Firmware]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// Kind of a BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BarKind {
    /// 32-bit memory.
    Mem32,
    /// 64-bit memory, two registers.
    Mem64,
    /// I/O ports.
    Io,
    /// Expansion ROM.
    Rom,
}

/// `@bar`: one base address register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BarSpec {
    /// The function.
    pub bdf: Bdf,
    /// 0 to 5, or 6 for the ROM.
    pub bar: u8,
    /// Kind.
    pub kind: BarKind,
    /// Whether reads have no side effects.
    pub prefetchable: bool,
    /// Size in bytes.
    pub size: u64,
}

/// `@pci`: configuration space of a function at reset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PciImage {
    /// The function.
    pub bdf: Bdf,
    /// 256 bytes.
    pub config: Box<[u8; 256]>,
}

/// `@cap`: one capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapSpec {
    /// The function.
    pub bdf: Bdf,
    /// Offset in configuration space.
    pub offset: u8,
    /// Capability id.
    pub id: u8,
}

/// `@item`: content of a `fw_cfg` item at reset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// Selector key.
    pub key: u16,
    /// Name; names with `/`, and those that the recorded directory lists, are files.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// `@rom`: the firmware image behind shadow RAM; every dword holds its own physical address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rom {
    /// Physical address.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
}

/// The header of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// `@kind`
    pub kind: Kind,
    /// `@qemu`: the versions that gave these answers.
    pub qemu: Vec<String>,
    /// `@machine`, such as `pc,acpi=off`.
    pub machine: String,
    /// `@device`, in order.
    pub devices: Vec<String>,
    /// `@cmdline`
    pub cmdline: String,
    /// `@suite`
    pub suite: String,
    /// `@ram`: bytes of guest RAM from address 0.
    pub ram: u64,
    /// `@rom`
    pub rom: Option<Rom>,
    /// `@function`: what the accesses are about.
    pub functions: Vec<Bdf>,
    /// `@pci`
    pub pci: Vec<PciImage>,
    /// `@bar`
    pub bars: Vec<BarSpec>,
    /// `@cap`
    pub caps: Vec<CapSpec>,
    /// `@item`
    pub items: Vec<Item>,
    /// `@writable`: keys of items that the guest may write.
    pub writable: Vec<u16>,
    /// `@igd-host`: name and value.
    pub igd_host: Vec<(String, String)>,
    /// Headers that none of the above holds (`seed`, `firmware`, `spec`, `compat` and unknown ones): key and text.
    pub other: Vec<(String, String)>,
}

impl Header {
    /// Text of the first header `key` among [`Header::other`].
    #[must_use]
    pub fn other(&self, key: &str) -> Option<&str> {
        self.other
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, text)| text.as_str())
    }

    /// `@compat`: the name of the compatibility setting that the answers ask for, such as `qemu-11.1`.
    ///
    /// Without it, a subject with several settings decides by [`Header::qemu`].
    #[must_use]
    pub fn compat(&self) -> Option<&str> {
        self.other("compat")
    }
}
